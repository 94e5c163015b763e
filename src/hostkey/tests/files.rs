//! Loading of files.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::super::{FILE_BYTES_MAX, KnownHosts, Verdict};
use super::support::{describe, ed25519};

#[test]
fn missing_files_are_empty() {
    let directory = tempfile::tempdir().unwrap();
    let known = KnownHosts::load(&[directory.path().join("none")]).unwrap();
    assert!(known.is_empty() && known.problems().is_empty());
    assert_eq!(known.verdict("web1", 22, &ed25519(1)), Verdict::Unknown);
    assert!(KnownHosts::load::<PathBuf>(&[]).unwrap().is_empty());
}

#[test]
fn unreadable_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = KnownHosts::load(&[directory.path()]).unwrap_err();
    assert_eq!(error.path, directory.path());
    assert!(error.to_string().contains(directory.path().to_str().unwrap()), "{error}");
}

#[test]
fn a_file_above_the_limit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("known_hosts");
    fs::File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    let error = KnownHosts::load(&[&path]).unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn verdicts_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["one", "two"].map(|name| directory.path().join(name));
    let (one, two) = (ed25519(1), ed25519(2));
    fs::write(&paths[0], format!("web1 {}\nbroken\n", one.to_openssh())).unwrap();
    fs::write(&paths[1], format!("\nbroken\nweb1 {}\n", two.to_openssh())).unwrap();
    let known = KnownHosts::load(&paths).unwrap();
    for (key, path, line) in [(&one, &paths[0], 1), (&two, &paths[1], 3)] {
        let Verdict::Known { location } = known.verdict("web1", 22, key) else { panic!() };
        assert_eq!((location.path(), location.line()), (path.as_path(), Some(line)));
        assert_eq!(location.to_string(), format!("{}:{line}", path.display()));
    }
    let at = known.problems().iter().map(|problem| problem.location.to_string()).collect::<Vec<_>>();
    let paths = paths.map(|path| format!("{}:2", path.display()));
    assert_eq!(at, paths);
}

#[test]
fn a_revocation_in_one_file_applies_to_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["user", "system"].map(|name| directory.path().join(name));
    let key = ed25519(1);
    fs::write(&paths[0], format!("web1 {}\n", key.to_openssh())).unwrap();
    fs::write(&paths[1], format!("@revoked * {}\n", key.to_openssh())).unwrap();
    let known = KnownHosts::load(&paths).unwrap();
    assert_eq!(describe(&known.verdict("web1", 22, &key)), "revoked 1");
}

#[test]
fn paths_cannot_write_to_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a\u{1b}[2J\u{202e}b");
    fs::create_dir(&path).unwrap();
    let error = KnownHosts::load(&[&path]).unwrap_err().to_string();
    let mut known = KnownHosts::empty();
    known.parse(b"broken\n", &path);
    let problem = known.problems()[0].to_string();
    for text in [error, problem] {
        assert!(text.contains(r"a\u{1b}[2J\u{202e}b"), "{text:?}");
    }
}
