//! What a source contains.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use super::*;

fn list(path: &Path, recurse: bool, links: Links) -> Result<Arc<Listing>, LocalProblem> {
    let source = Arc::new(Source::path(path.to_owned(), SourceOptions { recurse, links }));
    match answer(FileJob::List { source, asker: id(1) }) {
        FileAnswer::Listed(result) => result,
        other => panic!("{other:?}"),
    }
}

fn paths(listing: &Listing) -> Vec<&str> {
    listing.entries.iter().map(|entry| str::from_utf8(&entry.path).unwrap()).collect()
}

/// A tree with an empty directory, an empty file, and links to a file and to a directory.
fn tree() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("b/empty")).unwrap();
    fs::write(root.join("b/file"), contents(100)).unwrap();
    fs::write(root.join("a"), "").unwrap();
    fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::create_dir(root.join("other")).unwrap();
    fs::write(root.join("other/x"), "x").unwrap();
    symlink("other/x", root.join("to-file")).unwrap();
    symlink("../other", root.join("b/to-directory")).unwrap();
    folder
}

#[test]
fn a_tree_is_listed_with_parents_before_children_and_with_empty_directories() {
    let folder = tree();
    let listing = list(folder.path(), true, Links::Copy).unwrap();
    let expected = ["", "a", "b", "b/empty", "b/file", "b/to-directory", "other", "other/x", "to-file"];
    assert_eq!(paths(&listing), expected);
    let kinds: Vec<_> = listing.entries.iter().map(|entry| entry.kind.clone()).collect();
    assert_eq!(kinds[1], EntryKind::File { size: 0 });
    assert_eq!(kinds[3], EntryKind::Directory);
    assert_eq!(kinds[4], EntryKind::File { size: 100 });
    assert_eq!(kinds[5], EntryKind::Symlink { target: b"../other".to_vec() });
    assert_eq!((listing.entries[1].mode, listing.bytes), (0o640, 101));
    let modified = fs::metadata(folder.path().join("a")).unwrap().modified().unwrap();
    let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(u64::from(listing.entries[1].times.unwrap().modified), seconds);
}

#[test]
fn links_are_followed_or_skipped_on_request() {
    let folder = tree();
    let listing = list(folder.path(), true, Links::Follow).unwrap();
    assert!(paths(&listing).contains(&"b/to-directory/x"), "{listing:?}");
    assert_eq!(listing.entries.last().unwrap().kind, EntryKind::File { size: 1 });
    let listing = list(folder.path(), true, Links::Skip).unwrap();
    assert!(!paths(&listing).iter().any(|path| path.contains("to-")), "{listing:?}");
    // The source itself is what the user named.
    let listing = list(&folder.path().join("b/to-directory"), true, Links::Skip).unwrap();
    assert_eq!(paths(&listing), ["", "x"]);
}

#[test]
fn a_link_that_leads_back_is_found() {
    let folder = tree();
    symlink("..", folder.path().join("b/up")).unwrap();
    let problem = list(folder.path(), true, Links::Follow).unwrap_err();
    assert!(matches!(&problem, LocalProblem::Loop { path } if path.ends_with("b/up")), "{problem}");
    assert!(list(folder.path(), true, Links::Copy).is_ok());
}

#[test]
fn a_directory_needs_recursion() {
    let folder = tree();
    let problem = list(folder.path(), false, Links::Follow).unwrap_err();
    assert!(matches!(problem, LocalProblem::Directory { .. }), "{problem}");
}

#[test]
fn what_is_missing_or_cannot_be_read_is_named() {
    let folder = tree();
    let missing = list(&folder.path().join("missing\x1b"), true, Links::Follow).unwrap_err();
    let text = missing.to_string();
    assert!(text.ends_with(r"/missing\x1b: No such file or directory (os error 2)"), "{text}");
    symlink("nowhere", folder.path().join("b/dangling")).unwrap();
    let text = list(folder.path(), true, Links::Follow).unwrap_err().to_string();
    assert!(text.contains("/b/dangling: No such file"), "{text}");
}

#[test]
fn sockets_and_pipes_are_refused_by_name() {
    let folder = tree();
    let _socket = UnixListener::bind(folder.path().join("b/socket")).unwrap();
    let text = list(folder.path(), true, Links::Follow).unwrap_err().to_string();
    assert!(text.contains("/b/socket is a socket; only files"), "{text}");
    let text = list(Path::new("/dev/null"), true, Links::Follow).unwrap_err().to_string();
    assert!(text.starts_with("/dev/null is a device; only files"), "{text}");
}

#[test]
fn a_file_whose_size_the_system_does_not_know_is_not_copied_as_an_empty_one() {
    let text = list(Path::new("/proc/self/status"), false, Links::Follow).unwrap_err().to_string();
    assert!(text.starts_with("the size of /proc/self/status is not known"), "{text}");
}

#[test]
fn a_tree_that_is_too_deep_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let deep = (0..limits::TRANSFER_DEPTH).fold(folder.path().to_owned(), |path, _| path.join("d"));
    fs::create_dir_all(&deep).unwrap();
    let problem = list(folder.path(), true, Links::Follow).unwrap_err();
    assert!(matches!(&problem, LocalProblem::TooDeep { max: 64, .. }), "{problem}");
    fs::remove_dir(&deep).unwrap();
    assert_eq!(list(folder.path(), true, Links::Follow).unwrap().entries.len(), limits::TRANSFER_DEPTH);
}

#[test]
fn a_tree_with_too_much_in_it_is_refused() {
    let folder = tree();
    let options = SourceOptions { recurse: true, links: Links::Copy };
    let text = super::super::walk::list_at_most(8, folder.path(), options).unwrap_err().to_string();
    assert!(
        text.ends_with(" contains more than 8 files and directories; copy its parts one by one"),
        "{text}"
    );
    assert!(super::super::walk::list_at_most(9, folder.path(), options).is_ok());
}

#[test]
fn a_source_is_walked_once() {
    let folder = tree();
    let options = SourceOptions { recurse: true, links: Links::Copy };
    let source = Arc::new(Source::path(folder.path().to_owned(), options));
    let first = source.list().unwrap();
    fs::write(folder.path().join("new"), "").unwrap();
    assert!(Arc::ptr_eq(&first, &source.list().unwrap()));
    let other = Source::path(folder.path().to_owned(), options);
    assert!(paths(&other.list().unwrap()).contains(&"new"));
}
