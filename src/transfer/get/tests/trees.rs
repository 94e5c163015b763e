//! Gets of directories.

use super::host::status;
use super::*;
use crate::limits;
use crate::sftp::{Attrs, Name, Request, StatusCode};
use crate::transfer::Links;
use crate::transfer::local::tests::small_disk::SmallDisk;

pub(super) fn tree() -> Host {
    Host::new()
        .file("/srv/a", contents(100))
        .file("/srv/b/c", contents(50_000))
        .file("/srv/b/d/e", contents(7))
        .node("/srv/empty", Node::Directory, 0o700)
        .file("/srv/zero", "")
}

#[test]
fn a_tree_arrives_whole() {
    for seed in 0..10 {
        let mut run = Run::new();
        let mut rig = run.get("/srv", "{host}/", tree(), |get| get.recurse(true));
        if seed > 0 {
            rig = rig.in_random_order(seed);
        }
        let done = done(rig.run());
        let expected = [
            "web1/",
            "web1/srv/",
            "web1/srv/a",
            "web1/srv/b/",
            "web1/srv/b/c",
            "web1/srv/b/d/",
            "web1/srv/b/d/e",
            "web1/srv/empty/",
            "web1/srv/zero",
        ];
        assert_eq!(run.tree(), expected, "seed {seed}");
        assert!(run.read("web1/srv/b/c") == contents(50_000));
        assert!(run.read("web1/srv/b/d/e") == contents(7));
        assert_eq!((done.files, done.bytes, done.total, done.directories), (4, 50_107, 50_107, 4));
    }
}

#[test]
fn modes_and_times_are_those_of_the_host_on_request() {
    let mut run = Run::new();
    let host = tree().node("/srv/locked", Node::Directory, 0o555).file("/srv/locked/x", "x");
    let mut rig = run.get("/srv", "copy", host, |get| get.recurse(true).preserve(true)).in_random_order(3);
    done(rig.run());
    for (path, mode) in [("copy/locked", 0o555), ("copy/empty", 0o700), ("copy/a", 0o640), ("copy", 0o755)] {
        let metadata = fs::metadata(run.path().join(path)).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (mode, 1_000_000_000), "{path}");
    }
    fs::set_permissions(run.path().join("copy/locked"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
}

/// Gets a tree again, after its directories have got another mode and other times.
fn again(set: impl FnOnce(Get) -> Get) -> (Run, Transferred) {
    let mut run = Run::new();
    done(run.get("/srv", "copy", tree(), |get| get.recurse(true)).run());
    let folder = fs::metadata(run.path()).unwrap();
    fs::create_dir(run.path().join("usual")).unwrap();
    let usual = fs::metadata(run.path().join("usual")).unwrap().mode() & 0o7777;
    let made = fs::metadata(run.path().join("copy/b")).unwrap();
    assert_eq!(made.mode() & 0o7777, 0o755 & usual);
    assert!(made.mtime() >= folder.mtime() - 60, "the current time");
    fs::set_permissions(run.path().join("copy/b"), std::os::unix::fs::PermissionsExt::from_mode(0o711))
        .unwrap();
    run.again();
    let end = run.get("/srv", "copy", tree(), |get| set(get.recurse(true))).run();
    (run, done(end))
}

#[test]
fn a_directory_that_is_there_is_changed_only_on_request() {
    for (case, set, mode, has_time) in [
        ("plain", (|get| get) as fn(Get) -> Get, 0o711, false),
        ("preserve", |get| get.preserve(true), 0o755, true),
        ("skip_same", |get| get.skip_same(true), 0o711, true),
    ] {
        let (run, done) = again(set);
        assert_eq!(done.directories, 0, "{case}");
        let found = fs::metadata(run.path().join("copy/b")).unwrap();
        assert_eq!((found.mode() & 0o7777, found.mtime() == 1_000_000_000), (mode, has_time), "{case}");
    }
}

#[test]
fn what_cannot_be_read_does_not_stop_the_others() {
    let mut run = Run::new();
    let host = tree().quirk(|id, request| match request {
        Request::Open { path: b"/srv/a", .. } | Request::Opendir { path: b"/srv/b/d" } => {
            Some(status(id, StatusCode::PermissionDenied))
        }
        _ => None,
    });
    let mut rig = run.get("/srv", "copy", host, |get| get.recurse(true));
    let text = failed(rig.run());
    let expected = "2 of the files were not copied; the first: cannot open /srv/a: permission denied";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(run.tree(), ["copy/", "copy/b/", "copy/b/c", "copy/b/d/", "copy/empty/", "copy/zero"]);
}

#[test]
fn a_get_whose_directory_cannot_be_opened_fails_as_a_whole() {
    let mut run = Run::new();
    let host = tree().quirk(|id, request| {
        matches!(request, Request::Opendir { .. }).then(|| status(id, StatusCode::PermissionDenied))
    });
    let text = failed(run.get("/srv", "copy", host, |get| get.recurse(true)).run());
    assert!(text.starts_with("cannot read the directory /srv: permission denied"), "{text}");
}

#[test]
fn the_trees_of_two_hosts_are_never_mixed() {
    let mut run = Run::new();
    done(run.get_as("web1", "/srv", "copy", tree(), |get| get.recurse(true)).run());
    let other = tree().file("/srv/more", "x");
    let text = failed(run.get_as("web2", "/srv", "copy", other, |get| get.recurse(true)).run());
    assert!(text.contains("/copy is already written by this run"), "{text}");
    assert!(!run.path().join("copy/more").exists());
}

#[test]
fn a_directory_that_cannot_be_read_further_is_a_problem() {
    let mut run = Run::new();
    let mut left = 2;
    let host = tree().quirk(move |id, request| {
        let is_refused = matches!(request, Request::Readdir { .. }) && {
            left -= 1;
            left == 0
        };
        is_refused.then(|| status(id, StatusCode::Failure))
    });
    let text = failed(run.get("/srv", "copy", host, |get| get.recurse(true)).run());
    let expected = "1 of the files was not copied: cannot read the directory /srv: failure";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn several_files_are_on_their_way_at_a_time() {
    let mut run = Run::new();
    let host = (0..30).fold(Host::new(), |host, number| host.file(&format!("/srv/{number}"), "x"));
    let host = host.with(|host| host.names_per_reply = 100);
    let mut rig = run.get("/srv", "copy", host, |get| get.recurse(true)).in_random_order(9);
    done(rig.run());
    assert_eq!(run.tree().len(), 31);
    // One more for the directory.
    assert_eq!(rig.host.most_open, limits::FILES_AT_ONCE + 1);
}

#[test]
fn no_more_handles_are_open_than_the_server_allows() {
    for max in 1..=4 {
        for seed in 0..6 {
            let mut run = Run::new();
            let mut host = Host::new().with(|host| host.max_handles = max);
            for directory in ["", "/a", "/a/b", "/a/b/c", "/a/d", "/e"] {
                for number in 0..5 {
                    let path = format!("/srv{directory}/{number}");
                    host = host.file(&path, contents(number * 20_000));
                }
            }
            // Two directories of which only the server's answer says that they are some.
            let host = host.node("/srv/l", Node::Link("/srv/e"), 0o777);
            let host = host.node("/srv/k", Node::Link("/srv/a/d"), 0o777);
            let host = host.with(|host| host.lists_attrs = seed % 2 == 0);
            let get = |get: Get| get.recurse(true).links(Links::Follow);
            let mut rig = run.get("/srv", "copy", host, get).in_random_order(seed);
            let end = rig.run();
            let done = end.unwrap_or_else(|problem| panic!("{max} handles, seed {seed}: {problem}"));
            assert_eq!((done.files, done.directories), (8 * 5, 8), "{max} handles, seed {seed}");
            assert!(run.read("copy/l/4") == contents(4 * 20_000));
            assert_eq!(rig.host.open(), 0);
            // Servers that answer out of order may close later than they open.
            assert_eq!(rig.host.most_held, max);
        }
    }
}

/// A host that lists these names in its directory, as files or as directories.
fn naming(names: Vec<Vec<u8>>, mode: u32) -> Host {
    let mut listed = false;
    Host::new().node("/srv/x", Node::File(contents(3)), 0o644).quirk(move |id, request| match request {
        Request::Readdir { .. } if !listed => {
            listed = true;
            let attrs = Attrs { size: Some(3), mode: Some(mode), ..Attrs::default() };
            let names: Vec<_> = names.iter().map(|name| Name { name, long: b"", attrs }).collect();
            Some(vec![peer::names(id, &names)])
        }
        Request::Readdir { .. } => Some(status(id, StatusCode::Eof)),
        _ => None,
    })
}

#[test]
fn no_name_leads_out() {
    let bad: [&[u8]; 7] = [b"", b"../x", b"/etc/x", b"a/b", b"x\0y", b"../../../../tmp/x", &[b'n'; 300]];
    for mode in [0o100_644, 0o040_755, 0o120_777] {
        let mut run = Run::new();
        let names = bad.iter().map(|name| name.to_vec()).chain([b"x".to_vec()]).collect();
        let mut rig = run.get("/srv", "copy", naming(names, mode), |get| get.recurse(true));
        let text = failed(rig.run());
        assert!(
            text.starts_with("7 of the files were not copied; the first: the host's name \"\" "),
            "{text}"
        );
        let expected = if mode == 0o040_755 { "copy/x/" } else { "copy/x" };
        assert_eq!(run.tree(), ["copy/", expected]);
        // Nothing was asked about them.
        let asked: Vec<_> = rig.host.log.iter().filter(|line| line.contains(' ')).collect();
        let is_good =
            |line: &str| line.starts_with("Read ") || line.ends_with(" /srv") || line.ends_with(" /srv/x");
        assert!(asked.iter().all(|line| is_good(line)), "{asked:?}");
    }
}

#[test]
fn a_name_that_is_listed_twice_is_written_once() {
    let mut run = Run::new();
    let host = naming(vec![b"x".to_vec(), b"x".to_vec()], 0o100_644);
    let text = failed(run.get("/srv", "copy", host, |get| get.recurse(true)).run());
    assert!(text.starts_with("1 of the files was not copied: "), "{text}");
    assert!(text.contains("/copy/x is already written by this run"), "{text}");
    assert!(run.read("copy/x") == contents(3));
}

#[test]
fn an_endless_directory_ends() {
    let mut run = Run::new();
    let mut count = 0_u32;
    let host = Host::new().file("/srv/x", "x").quirk(move |id, request| match request {
        Request::Readdir { .. } => {
            let names: Vec<_> = (0..100).map(|number| format!("{count} {number}")).collect();
            count += 1;
            let attrs = Attrs { mode: Some(0o010_000), ..Attrs::default() };
            let names: Vec<_> =
                names.iter().map(|name| Name { name: name.as_bytes(), long: b"", attrs }).collect();
            Some(vec![peer::names(id, &names)])
        }
        _ => None,
    });
    let text = failed(run.get("/srv", "copy", host, |get| get.recurse(true).max_entries(1000)).run());
    let expected = "/srv: it contains more than 1000 files and directories; raise Get::max_entries";
    assert_eq!(text, expected);
}

#[test]
fn a_directory_that_only_lists_itself_ends() {
    let mut run = Run::new();
    let host = Host::new().file("/srv/x", "x").quirk(move |id, request| {
        matches!(request, Request::Readdir { .. }).then(|| vec![super::host::name(id, b".")])
    });
    let text = failed(run.get("/srv", "copy", host, |get| get.recurse(true)).run());
    assert_eq!(text, "the SFTP server violated the protocol: a directory lists itself again and again");
    // A reply without names is the end.
    let host = Host::new().file("/srv/x", "x").quirk(move |id, request| {
        matches!(request, Request::Readdir { .. }).then(|| vec![peer::names(id, &[])])
    });
    run.again();
    assert_eq!(done(run.get("/srv", "copy", host, |get| get.recurse(true)).run()).files, 0);
}

#[test]
fn too_many_names_in_one_reply_are_an_error() {
    let mut run = Run::new();
    let names = (0..=limits::NAMES_PER_REPLY).map(|number| number.to_string().into_bytes()).collect();
    let text = failed(run.get("/srv", "copy", naming(names, 0o010_000), |get| get.recurse(true)).run());
    assert_eq!(text, "the SFTP server violated the protocol: too many names in one reply");
}

#[test]
fn as_many_names_in_one_reply_as_are_allowed_are_no_error() {
    let mut run = Run::new();
    let names = (0..limits::NAMES_PER_REPLY).map(|number| number.to_string().into_bytes()).collect();
    let text = failed(run.get("/srv", "copy", naming(names, 0o010_000), |get| get.recurse(true)).run());
    assert!(text.starts_with("8192 of the files were not copied"), "{text}");
}

#[test]
fn a_directory_lists_itself_and_the_one_above_once() {
    let mut run = Run::new();
    let mut is_listed = false;
    let host = Host::new().file("/srv/x", "x").quirk(move |id, request| match request {
        Request::Readdir { .. } if std::mem::replace(&mut is_listed, true) => {
            Some(status(id, StatusCode::Eof))
        }
        Request::Readdir { .. } => {
            let attrs = Attrs::default();
            let dots = [".", "..", "."].map(|name| Name { name: name.as_bytes(), long: b"", attrs });
            Some(vec![peer::names(id, &dots)])
        }
        _ => None,
    });
    let text = failed(run.get("/srv", "copy", host, |get| get.recurse(true)).run());
    assert_eq!(text, "the SFTP server violated the protocol: a directory lists itself again and again");
}

#[test]
fn directories_below_the_deepest_level_are_left_out() {
    let mut run = Run::new();
    let host = Host::new().file("/srv/1/2/3/x", "x").file("/srv/1/y", "y");
    let text = failed(run.get("/srv", "copy", host, |get| get.recurse(true).max_depth(3)).run());
    let expected =
        "1 of the files was not copied: /srv/1/2/3: more than 3 levels of directories are not fetched";
    assert_eq!(text, expected);
    assert_eq!(run.tree(), ["copy/", "copy/1/", "copy/1/2/", "copy/1/y"]);
}

#[test]
fn devices_are_left_out_with_a_problem() {
    for lists_attrs in [true, false] {
        let mut run = Run::new();
        let host = tree().node("/srv/b/pipe", Node::Pipe, 0o600).with(|host| host.lists_attrs = lists_attrs);
        let text = failed(run.get("/srv", "copy", host, |get| get.recurse(true)).run());
        let expected = "1 of the files was not copied: /srv/b/pipe is neither a file nor a directory";
        assert_eq!(text, expected);
        assert_eq!(run.tree().len(), 8);
    }
}

#[test]
fn a_get_that_is_cancelled_at_any_time_leaves_no_part_files() {
    let mut steps = 0;
    let mut complete = 0;
    loop {
        let mut run = Run::new();
        let mut rig = run.get("/srv", "copy", tree(), |get| get.recurse(true)).in_random_order(11);
        let mut is_over = false;
        for _ in 0..steps {
            is_over |= !rig.step();
        }
        rig.transfer.stop();
        rig.finish_jobs();
        while rig.step() {}
        assert!(rig.transfer.has_ended());
        let tree = run.tree();
        assert!(!tree.iter().any(|path| path.contains("sshoal")), "after {steps} steps: {tree:?}");
        complete = complete.max(tree.len());
        steps += 1;
        if is_over {
            break;
        }
    }
    assert!(steps > 60 && complete == 8, "{steps} steps, {complete} paths");
}

#[test]
fn what_is_in_the_way_here_is_a_problem_of_that_entry() {
    let mut run = Run::new();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(run.path().join("copy/a")).unwrap();
    std::os::unix::fs::symlink(outside.path(), run.path().join("copy/b")).unwrap();
    let text = failed(run.get("/srv", "copy", tree(), |get| get.recurse(true)).run());
    assert!(text.starts_with("2 of the files were not copied; the first: "), "{text}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert_eq!(run.tree(), ["copy/", "copy/a/", "copy/b", "copy/empty/", "copy/zero"]);
}

#[test]
fn a_limit_on_bytes_ends_the_whole_get() {
    let mut run = Run::new();
    let text = failed(run.get("/srv", "copy", tree(), |get| get.recurse(true).max_bytes(50_000)).run());
    assert!(text.ends_with("more than 50000 bytes would be fetched; raise Get::max_bytes"), "{text}");
    assert!(!run.tree().iter().any(|path| path.contains("sshoal")));
}

#[test]
fn a_full_disk_ends_the_whole_get_and_leaves_no_part_files() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("skipped: this user may not mount a small disk");
        return;
    };
    let mut run = Run::new();
    let host = Host::new().file("/srv/large", contents(400_000)).file("/srv/last", "x");
    // A path that is absolute is not below the directory of the run.
    let copy = disk.path().join("copy");
    let mut rig = run.get("/srv", copy.to_str().unwrap(), host, |get| get.recurse(true));
    let text = failed(rig.run());
    let expected =
        format!("cannot write to {}: No space left on device (os error 28)", copy.join("large").display());
    assert_eq!(text, expected);
    let mut left = Vec::new();
    walk(&copy, &copy, &mut left);
    assert!(!left.iter().any(|path| path.contains("sshoal")), "{left:?}");
    assert!(!left.iter().any(|path| path.contains("large")), "{left:?}");
}
