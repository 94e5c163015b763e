//! New directories, and new names.

use super::*;

#[test]
fn a_directory_is_created() {
    let mut host = Host::new().directory("/d").file("/f", "");
    let create = |path: &str| FileRequest::create_dir(path);
    assert_eq!(run(create("/d/new/"), &mut host).expect("created"), FileResult::Done);
    assert_eq!(host.nodes["/d/new"].0, DIRECTORY | 0o755);
    run(create("/d/secret").mode(0o700), &mut host).expect("created");
    assert_eq!(host.nodes["/d/secret"].0, DIRECTORY | 0o700);
    assert_eq!(error(create("/d"), &mut host), "/d is there already; set create_parents to accept that");
    assert_eq!(error(create("/f"), &mut host), "/f is a file, not a directory");
    assert_eq!(error(create("/n/d"), &mut host), "cannot create the directory /n/d: no such file");
}

#[test]
fn the_directories_above_are_created_on_request() {
    let mut host = Host::new().directory("/d").file("/f", "");
    let create = |path: &str| FileRequest::create_dir(path).create_parents(true);
    run(create("/d/a/b/c").mode(0o700), &mut host).expect("created");
    assert_eq!(host.nodes["/d/a/b"].0, DIRECTORY | 0o755);
    assert_eq!(host.nodes["/d/a/b/c"].0, DIRECTORY | 0o700);
    run(create("/d/a/b").mode(0o700), &mut host).expect("it is there");
    assert_eq!(host.nodes["/d/a/b"].0, DIRECTORY | 0o755, "its mode stays");
    assert_eq!(error(create("/f"), &mut host), "/f is a file, not a directory");
    host.quirk = Some(Box::new(|id, request| match request {
        Request::Mkdir { .. } => Some(peer::status(id, StatusCode::PermissionDenied, b"no")),
        _ => None,
    }));
    let problem = error(create("/x/y"), &mut host);
    assert_eq!(problem, "cannot create the directory /x/y: permission denied (the server says: \"no\")");
}

#[test]
fn a_file_is_replaced_in_one_step_or_not_at_all() {
    let files = || Host::new().file("/a", "a").file("/b", "b");
    let rename = || FileRequest::rename("/a", "/b");
    let mut host = files();
    assert_eq!(run(rename(), &mut host).expect("renamed"), FileResult::Done);
    assert_eq!(host.nodes["/b"].1, b"a");
    assert_eq!(host.log, ["POSIX-RENAME /a /b"]);
    assert_eq!(error(rename(), &mut host), "cannot rename /a: no such file");

    let old = |host: &mut Host| host.extensions.posix_rename = false;
    let mut host = files().with(old);
    let problem = error(rename(), &mut host);
    assert!(problem.contains("posix-rename@openssh.com"), "{problem}");
    assert_eq!(host.log, ["RENAME /a /b", "LSTAT /b"]);
    assert_eq!((&host.nodes["/a"].1[..], &host.nodes["/b"].1[..]), (&b"a"[..], &b"b"[..]));
    run(FileRequest::rename("/a", "/c"), &mut host).expect("renamed");
    assert_eq!(error(FileRequest::rename("/a", "/d"), &mut host), "cannot rename /a: no such file");
}
