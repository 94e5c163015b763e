//! Local directories of which something cannot be copied.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use tempfile::TempDir;

use super::host::Node;
use super::world::World;
use crate::error::TransferProblem;
use crate::sftp::{Request, StatusCode};
use crate::transfer::local::tests::without_rights;
use crate::transfer::put::Put;

const SITE: &str = "/srv/app/site";

/// A source with the files `a` and `b/c`, and two links that lead nowhere, and a put of it to
/// [`SITE`], where `stale` is.
fn world(set: impl FnOnce(Put) -> Put) -> (TempDir, World) {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("b")).unwrap();
    for file in ["a", "b/c"] {
        fs::write(source.path().join(file), "new").unwrap();
    }
    for link in ["aa", "b/d"] {
        symlink("nowhere", source.path().join(link)).unwrap();
    }
    let mut world = World::of(&set(Put::new(source.path(), SITE).recurse(true)), false);
    world.may_lack_target = true;
    world.host.nodes.insert(SITE.into(), Node::directory());
    world.host.put(format!("{SITE}/stale").as_bytes(), b"old", 1_000);
    (source, world)
}

fn bytes<'a>(world: &'a World, name: &str) -> Option<&'a [u8]> {
    world.host.bytes(format!("{SITE}/{name}").as_bytes())
}

#[test]
fn the_rest_of_the_directory_is_copied() {
    let (source, mut world) = world(|put| put);
    let error = world.finish().unwrap_err();
    let expected = format!(
        "2 of the files were not copied; the first: cannot follow the link {}: No such file or directory \
         (os error 2)",
        source.path().join("aa").display()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!((bytes(&world, "a"), bytes(&world, "b/c")), (Some(&b"new"[..]), Some(&b"new"[..])));
    let done = world.transfer.progress();
    assert_eq!((done.files, done.directories, done.bytes, done.total), (2, 1, 6, 6), "{done}");
    assert_eq!(world.host.temporaries(), [""; 0]);
}

#[test]
fn problems_of_this_machine_and_of_the_host_are_counted_together() {
    let (_source, mut world) = world(|put| put);
    world.host.refuse = Box::new(|_, request| {
        let is_it = matches!(request, Request::Open { path, .. } if path.ends_with(b"/.a.sshoal-1"));
        is_it.then_some(StatusCode::PermissionDenied)
    });
    match world.finish().unwrap_err() {
        TransferProblem::Incomplete { failed: 3, first, deletes_nothing: false, .. } => {
            assert!(matches!(*first, TransferProblem::Local(_)), "{first}");
        }
        other => panic!("{other}"),
    }
    assert_eq!((bytes(&world, "a"), bytes(&world, "b/c")), (None, Some(&b"new"[..])));
}

#[test]
fn nothing_is_deleted_and_the_error_says_so() {
    let (_source, mut world) = world(|put| put.delete(true));
    let text = world.finish().unwrap_err().to_string();
    let expected = "2 of the files were not copied, so nothing was deleted; the first: cannot follow";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!((bytes(&world, "stale"), bytes(&world, "b/c")), (Some(&b"old"[..]), Some(&b"new"[..])));
}

#[test]
fn a_dry_run_says_what_would_be_missing() {
    for (delete, expected) in [
        (false, "2 of the files would not be copied; the first: cannot follow"),
        (true, "2 of the files would not be copied, so nothing would be deleted; the first: cannot follow"),
    ] {
        let (_source, mut world) = world(|put| put.delete(delete).dry_run(true));
        let before = world.host.nodes.clone();
        let text = world.finish().unwrap_err().to_string();
        assert!(text.starts_with(expected), "{text}");
        let done = world.transfer.progress();
        assert_eq!((done.files, done.bytes, done.deleted), (2, 6, 0), "{done}");
        assert!(world.host.nodes == before);
    }
}

#[test]
fn a_file_that_nobody_may_read_is_the_only_one_that_is_missing() {
    let (source, _) = world(|put| put);
    for link in ["aa", "b/d"] {
        fs::remove_file(source.path().join(link)).unwrap();
    }
    for (path, mode) in [("", 0o755), ("b", 0o755), ("b/c", 0o644), ("a", 0)] {
        fs::set_permissions(source.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    for delete in [false, true] {
        let (text, is_there, is_deleted) = without_rights(|| {
            let put = Put::new(source.path(), SITE).recurse(true).delete(delete);
            let mut world = World::of(&put, false);
            world.may_lack_target = true;
            world.host.nodes.insert(SITE.into(), Node::directory());
            world.host.put(format!("{SITE}/stale").as_bytes(), b"old", 1_000);
            let text = world.finish().unwrap_err().to_string();
            (
                text,
                [bytes(&world, "a"), bytes(&world, "b/c")].map(|file| file.is_some()),
                bytes(&world, "stale").is_none(),
            )
        });
        let kept = if delete { ", so nothing was deleted" } else { "" };
        let expected = format!(
            "1 of the files was not copied{kept}: cannot open {}: Permission denied (os error 13)",
            source.path().join("a").display()
        );
        assert_eq!(text, expected);
        assert_eq!((is_there, is_deleted), ([false, true], false));
    }
}
