//! Removing.

use super::*;

fn tree() -> Host {
    let mut host = Host::new().directory("/d").file("/d/f1", "").file("/d/f2", "").directory("/d/e");
    for number in 0..200 {
        host = host.file(&format!("/d/e/{number}"), "");
    }
    host = host.directory("/d/e/deep").file("/d/e/deep/file", "").directory("/d/empty");
    // A link to a directory, which is not in the tree.
    host.directory("/other").file("/other/kept", "").node("/d/link", LINK | 0o777, "")
}

#[test]
fn files_links_and_empty_directories_are_removed() {
    let mut host = tree();
    for path in ["/d/f1", "/d/link", "/d/empty/"] {
        assert_eq!(run(FileRequest::remove(path), &mut host).expect("removed"), FileResult::Done);
    }
    assert_eq!(
        host.log,
        [
            "LSTAT /d/f1",
            "REMOVE /d/f1",
            "LSTAT /d/link",
            "REMOVE /d/link",
            "LSTAT /d/empty",
            "RMDIR /d/empty"
        ]
    );
    assert_eq!(error(FileRequest::remove("/d"), &mut host), "cannot remove the directory /d: failure");
    assert_eq!(error(FileRequest::remove("/n"), &mut host), "cannot remove /n: no such file");
}

#[test]
fn a_link_is_not_followed_because_of_a_slash_at_its_end() {
    let mut host = Host::new().node("/l", LINK | 0o777, "").directory("/other");
    run(FileRequest::remove("/l//").recurse(true), &mut host).expect("removed");
    assert_eq!(host.log, ["LSTAT /l", "REMOVE /l"]);
}

#[test]
fn a_directory_is_removed_with_everything_below_it_and_nothing_else() {
    for lists_kinds in [true, false] {
        for reverses in [true, false] {
            let mut host = tree().with(|host| (host.lists_kinds, host.reverses) = (lists_kinds, reverses));
            run(FileRequest::remove("/d").recurse(true), &mut host).expect("removed");
            assert_eq!(host.nodes.keys().collect::<Vec<_>>(), ["/other", "/other/kept"]);
            let opened: Vec<_> = host.log.iter().filter(|request| request.starts_with("OPENDIR")).collect();
            assert_eq!(opened.len(), 4, "{opened:?}");
            assert!(!opened.iter().any(|request| request.contains("link")), "{opened:?}");
            assert!(host.open.is_empty(), "all directories are closed");
        }
    }
    let mut host = tree();
    run(FileRequest::remove("/d").recurse(true).max_entries(207), &mut host).expect("removed");
    let problem = error(FileRequest::remove("/d").recurse(true).max_entries(206), &mut tree());
    assert!(problem.contains("more than 206 entries"), "{problem}");
}

#[test]
fn what_cannot_be_removed_ends_a_removal_and_is_named() {
    let mut host = tree().quirk(|id, request| match request {
        Request::Remove { path: b"/d/e/7" } => Some(peer::status(id, StatusCode::PermissionDenied, b"")),
        _ => None,
    });
    let problem = error(FileRequest::remove("/d").recurse(true), &mut host);
    assert_eq!(problem, "cannot remove /d/e/7: permission denied");
    // What was removed from elsewhere meanwhile is no problem.
    let mut host = tree().quirk(|id, request| match request {
        Request::Remove { path: b"/d/e/7" } | Request::Lstat { path: b"/d/e/7" } => {
            Some(peer::status(id, StatusCode::NoSuchFile, b""))
        }
        _ => None,
    });
    let problem = error(FileRequest::remove("/d").recurse(true), &mut host);
    assert_eq!(problem, "cannot remove the directory /d/e: failure", "the host says that the file is there");
}

#[test]
fn directories_without_an_end_stop_at_a_depth() {
    // Every directory contains another one.
    let endless = |max: Option<usize>| {
        let attrs = Attrs { mode: Some(DIRECTORY), ..Attrs::default() };
        let mut is_listed = false;
        let mut host = Host::new().directory("/d").quirk(move |id, request| match request {
            Request::Opendir { .. } => {
                is_listed = false;
                Some(peer::encode(&Reply::Handle { id, handle: b"h" }))
            }
            Request::Readdir { .. } if !is_listed => {
                is_listed = true;
                Some(peer::names(id, &[Name { name: b"d", long: b"", attrs }]))
            }
            Request::Readdir { .. } => Some(peer::status(id, StatusCode::Eof, b"")),
            _ => None,
        });
        let request = FileRequest::remove("/d").recurse(true);
        let problem = error(if let Some(max) = max { request.max_depth(max) } else { request }, &mut host);
        let opened = host.log.iter().filter(|request| request.starts_with("OPENDIR")).count();
        (problem, opened)
    };
    let (problem, opened) = endless(Some(3));
    assert_eq!(problem, "/d/d/d/d: it is below more than 3 directories; remove it first");
    assert_eq!(opened, 3);
    assert_eq!(endless(None).1, 64);
}
