//! Deleting what the source does not have.

use std::fs;

use tempfile::TempDir;

use super::host::Node;
use super::world::World;
use crate::error::TransferProblem;
use crate::limits;
use crate::sftp::{Request, StatusCode};
use crate::transfer::Transferred;
use crate::transfer::put::Put;

/// The target on the host.
const SITE: &str = "/srv/app/site";

/// A source with `a`, `b/c`, `b.d` and the empty directory `e`, and a put of it to [`SITE`], where
/// more is.
fn world(set: impl FnOnce(Put) -> Put) -> (TempDir, World) {
    let source = tempfile::tempdir().unwrap();
    for directory in ["b", "e"] {
        fs::create_dir(source.path().join(directory)).unwrap();
    }
    for file in ["a", "b/c", "b.d"] {
        fs::write(source.path().join(file), "new").unwrap();
    }
    let put = Put::new(source.path(), SITE).recurse(true).delete(true);
    let mut world = World::of(&set(put), false);
    world.may_lack_target = true;
    for directory in ["", "/b", "/b/old", "/e", "/old", "/old/er", "/old/er/yet", "/elsewhere"] {
        world.host.nodes.insert(format!("{SITE}{directory}").into_bytes(), Node::directory());
    }
    world.host.nodes.insert(b"/srv/other".to_vec(), Node::directory());
    for file in ["/a", "/b/c", "/b/stale", "/b/old/f", "/old/er/yet/deep", "/.gone.sshoal-1", "/z"] {
        world.host.put(format!("{SITE}{file}").as_bytes(), b"old", 1_000);
    }
    world.host.put(b"/srv/other/precious", b"old", 1_000);
    world.host.link(format!("{SITE}/e/link").as_bytes(), b"/srv/other");
    (source, world)
}

/// What is below the target.
fn there(world: &World) -> Vec<String> {
    let paths = world.host.nodes.keys().map(|path| String::from_utf8(path.clone()).unwrap());
    paths.filter_map(|path| path.strip_prefix(&format!("{SITE}/")).map(str::to_owned)).collect()
}

fn end(world: &mut World) -> Transferred {
    let done = world.finish().unwrap();
    assert_eq!(world.host.open_files(), 0);
    done
}

#[test]
fn only_what_the_source_has_stays() {
    let (_source, mut world) = world(|put| put);
    let done = end(&mut world);
    assert_eq!(there(&world), [".gone.sshoal-1", "a", "b", "b.d", "b/c", "e"]);
    // Files stale, f, deep and z, the link, and the directories b/old, old, er, yet and elsewhere.
    assert_eq!((done.files, done.deleted), (3, 10), "{done}");
    assert!(world.host.bytes(b"/srv/other/precious").is_some(), "no link is followed");
}

#[test]
fn no_more_handles_are_open_than_the_server_allows() {
    for max in 1..=4 {
        let (_source, mut world) = world(|put| put);
        world.host.extensions.limits = true;
        world.host.limits = [0, 0, 0, max];
        end(&mut world);
        assert_eq!(there(&world), [".gone.sshoal-1", "a", "b", "b.d", "b/c", "e"]);
        assert_eq!(world.host.out_of_handles, 0, "{max} handles");
    }
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let (_source, mut world) = world(|put| put.dry_run(true));
    let before = world.host.nodes.clone();
    world.host.refuse = Box::new(|_, request| {
        let looks = matches!(
            request,
            Request::Stat { .. }
                | Request::Lstat { .. }
                | Request::Opendir { .. }
                | Request::Readdir { .. }
                | Request::Close { .. }
        );
        assert!(looks, "{request:?}");
        None
    });
    let done = end(&mut world);
    assert_eq!((done.files, done.bytes, done.directories, done.deleted), (3, 9, 0, 10), "{done}");
    assert!(world.host.nodes == before);
}

#[test]
fn a_target_that_is_not_there_has_nothing_to_delete() {
    let (_source, mut world) = world(|put| put.dry_run(true));
    world.host.nodes.retain(|path, _| !path.starts_with(SITE.as_bytes()));
    let done = end(&mut world);
    assert_eq!((done.files, done.directories, done.deleted), (3, 3, 0), "{done}");
}

#[test]
fn nothing_is_deleted_after_a_failure() {
    let (_source, mut world) = world(|put| put);
    let before = there(&world).len();
    world.host.refuse = Box::new(|_, request| {
        let is_first = matches!(request, Request::Open { path, .. } if path.ends_with(b"/.b.d.sshoal-1"));
        is_first.then_some(StatusCode::PermissionDenied)
    });
    let error = world.finish().unwrap_err();
    assert!(matches!(error, TransferProblem::Incomplete { failed: 1, deletes_nothing: true, .. }), "{error}");
    let expected = "1 of the files was not copied, so nothing was deleted: cannot create /srv/app/site/.b.d";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(there(&world).len(), before);
}

#[test]
fn what_cannot_be_deleted_is_named_and_the_rest_is_deleted() {
    let (_source, mut world) = world(|put| put);
    world.host.refuse = Box::new(|_, request| {
        let is_it = matches!(request, Request::Remove { path } if path.ends_with(b"/stale"));
        is_it.then_some(StatusCode::PermissionDenied)
    });
    let error = world.finish().unwrap_err().to_string();
    let expected = "1 of the files was not copied: cannot delete /srv/app/site/b/stale: permission denied";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(there(&world), [".gone.sshoal-1", "a", "b", "b.d", "b/c", "b/stale", "e"]);
}

#[test]
fn hostile_directories_delete_nothing() {
    let strange: [(&[u8], u32, &str); 5] = [
        (b"../../etc", 0o100_644, "contains a slash"),
        (b"", 0o100_644, "is empty"),
        (b"a\0b", 0o100_644, "contains a NUL byte"),
        (b"unknown", 0o644, "kinds of files"),
        (b"e", 0o040_755, "the same name twice"),
    ];
    for (name, mode, text) in strange {
        let (_source, mut world) = world(|put| put);
        let count = if name == b"e" { 20 } else { 1 };
        world.host.strange_names = vec![(name.to_vec(), mode); count];
        let before = there(&world).len();
        let error = world.finish().unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        // The put has made b.d.
        assert_eq!(there(&world).len(), before + 1);
    }
}

#[test]
fn a_host_with_too_much_is_left_alone() {
    let (_source, mut world) = world(|put| put);
    let long = "x".repeat(limits::FILE_NAME_BYTES);
    let name = |number: usize| (format!("{number}{long}").into_bytes(), 0o100_644);
    world.host.strange_names = (0..limits::PRUNE_BYTES / limits::FILE_NAME_BYTES / 3).map(name).collect();
    let error = world.finish().unwrap_err().to_string();
    assert!(error.contains("too much is in its directories"), "{error}");
    assert!(world.host.bytes(format!("{SITE}/z").as_bytes()).is_some());
}
