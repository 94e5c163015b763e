//! What a source contains.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

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
fn a_directory_needs_recursion() {
    let folder = tree();
    let problem = list(folder.path(), false, Links::Follow).unwrap_err();
    assert!(matches!(problem, LocalProblem::Directory { .. }), "{problem}");
}

/// How much of a tree is left out, and why the first of it.
#[track_caller]
fn missing(listing: &Listing) -> (u64, String) {
    let missing = listing.missing.as_ref().expect("something is left out");
    (missing.count, missing.first.to_string())
}

#[test]
fn what_cannot_be_copied_is_left_out_and_the_rest_is_listed() {
    let folder = tree();
    let root = folder.path();
    let whole = list(root, true, Links::Follow).unwrap();
    assert!(whole.missing.is_none());
    let locked = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    for (name, text) in [
        ("b/aa-socket", "/b/aa-socket is a socket; only files"),
        ("pipe", "/pipe is a pipe; only files"),
        ("device", "/device is a device; only files"),
        ("dangling", "/dangling: No such file"),
        ("self", "/self: Too many levels of symbolic links"),
        ("b/up", "/b/up leads back to a directory that contains it"),
        ("status", "/status is not known; copy it to an ordinary file first"),
        ("b/locked", "cannot open "),
    ] {
        let path = root.join(name);
        let _socket = (name == "b/aa-socket").then(|| UnixListener::bind(&path).unwrap());
        match name {
            "b/aa-socket" => {}
            "pipe" => mkfifo(&path, Mode::S_IRWXU).unwrap(),
            "device" => symlink("/dev/null", &path).unwrap(),
            "dangling" => symlink("nowhere", &path).unwrap(),
            "self" => symlink("self", &path).unwrap(),
            "b/up" => symlink("..", &path).unwrap(),
            "status" => symlink("/proc/self/status", &path).unwrap(),
            // Whether an empty file is one is known only from its contents.
            _ => {
                fs::write(&path, "").unwrap();
                locked(&path);
            }
        }
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o644)).unwrap();
        let listing = without_rights(|| list(root, true, Links::Follow)).unwrap();
        assert_eq!(paths(&listing), paths(&whole), "{name}");
        assert_eq!(listing.bytes, whole.bytes);
        let (count, first) = missing(&listing);
        assert!(count == 1 && first.contains(text), "{name}: {count} {first}");
        if path.is_symlink() {
            assert!(list(root, true, Links::Copy).unwrap().missing.is_none(), "{name}");
        }
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_first_problem_is_named_and_all_are_counted() {
    let folder = tree();
    for name in ["b/z", "c", "d/e"] {
        fs::create_dir_all(folder.path().join("d")).unwrap();
        symlink("nowhere", folder.path().join(name)).unwrap();
    }
    let (count, first) = missing(&list(folder.path(), true, Links::Follow).unwrap());
    assert_eq!(count, 3);
    let expected = format!(
        "cannot follow the link {}: No such file or directory (os error 2)",
        folder.path().join("b/z").display()
    );
    assert_eq!(first, expected);
}

#[test]
fn a_directory_that_cannot_be_read_is_empty() {
    let folder = tree();
    let root = folder.path();
    for path in [root, &root.join("a"), &root.join("b/empty")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(root.join("other"), fs::Permissions::from_mode(0o000)).unwrap();
    let listing = without_rights(|| list(root, true, Links::Skip)).unwrap();
    assert_eq!(paths(&listing), ["", "a", "b", "b/empty", "b/file", "other"]);
    let (count, first) = missing(&listing);
    assert!(count == 1 && first.contains("cannot read the directory /"), "{count} {first}");
    // There is nothing to copy of the source itself.
    let problem = without_rights(|| list(&root.join("other"), true, Links::Follow)).unwrap_err();
    assert!(problem.to_string().contains("/other: Permission denied"), "{problem}");
}

#[test]
fn a_source_that_cannot_be_copied_itself_is_an_error() {
    let folder = tree();
    let root = folder.path();
    let refused = |path: &Path| list(path, true, Links::Copy).unwrap_err().to_string();
    let text = refused(&root.join("missing\x1b"));
    assert!(text.ends_with(r"/missing\x1b: No such file or directory (os error 2)"), "{text}");
    symlink("nowhere", root.join("dangling")).unwrap();
    let text = refused(&root.join("dangling"));
    assert!(text.contains("/dangling: No such file"), "{text}");
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    let text = refused(&root.join("socket"));
    assert!(text.contains("/socket is a socket; only files"), "{text}");
    let text = refused(Path::new("/dev/null"));
    assert!(text.starts_with("/dev/null is a device; only files"), "{text}");
}

#[test]
fn a_file_whose_size_the_system_does_not_know_is_not_copied_as_an_empty_one() {
    let text = list(Path::new("/proc/self/status"), false, Links::Follow).unwrap_err().to_string();
    assert!(text.starts_with("the size of /proc/self/status is not known"), "{text}");
}

#[test]
fn what_is_too_deep_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let deep = (0..limits::TRANSFER_DEPTH).fold(folder.path().to_owned(), |path, _| path.join("d"));
    fs::create_dir_all(&deep).unwrap();
    let listing = list(folder.path(), true, Links::Follow).unwrap();
    let (count, first) = missing(&listing);
    assert!(count == 1 && first.ends_with("d/d is more than 64 directories deep"), "{count} {first}");
    assert_eq!(listing.entries.len(), limits::TRANSFER_DEPTH);
    fs::remove_dir(&deep).unwrap();
    let listing = list(folder.path(), true, Links::Follow).unwrap();
    assert!(listing.missing.is_none() && listing.entries.len() == limits::TRANSFER_DEPTH);
}

#[test]
fn a_tree_with_too_much_in_it_is_refused() {
    let folder = tree();
    let list = |max, links| {
        let options = SourceOptions { recurse: true, links };
        super::super::walk::list_at_most(max, folder.path(), options)
    };
    let text = list(8, Links::Copy).unwrap_err().to_string();
    assert!(
        text.ends_with(" contains more than 8 files and directories; copy its parts one by one"),
        "{text}"
    );
    assert!(list(9, Links::Copy).is_ok());
    // What cannot be copied counts too, because it takes as long to look at.
    symlink("nowhere", folder.path().join("b/dangling")).unwrap();
    symlink("nowhere", folder.path().join("z")).unwrap();
    let problem = list(11, Links::Follow).unwrap_err();
    assert!(matches!(problem, LocalProblem::TooMany { max: 11, .. }), "{problem}");
    let listing = list(12, Links::Follow).unwrap();
    assert_eq!((listing.entries.len(), missing(&listing).0), (10, 2));
}

#[test]
fn no_name_is_forgotten_in_a_directory_of_links_that_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("z"), "").unwrap();
    (0..9).for_each(|number| symlink("z", folder.path().join(format!("link{number}"))).unwrap());
    let options = SourceOptions { recurse: true, links: Links::Skip };
    for max in 2..12 {
        match super::super::walk::list_at_most(max, folder.path(), options) {
            Ok(listing) => assert_eq!(paths(&listing), ["", "z"], "{max}"),
            Err(problem) => assert!(matches!(problem, LocalProblem::TooMany { .. }) && max < 10, "{problem}"),
        }
    }
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
