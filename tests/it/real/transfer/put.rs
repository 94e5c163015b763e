//! Sending files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use sshoal::transfer::Put;
use tempfile::tempdir;

use super::{done, error, names, sshd};
use crate::real::{build, client_for, guard};

const HOST: [&str; 1] = ["127.0.2.1"];

/// Bytes that differ from place to place.
fn contents(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn a_file_arrives_whole_with_its_mode_and_times() {
    let _dog = guard("put_file");
    let sshd = sshd().start();
    let mut client = build(client_for(&sshd, HOST));
    let folder = tempdir().expect("a folder");
    let (local, remote) = (folder.path().join("local"), folder.path().join("remote"));
    for len in [0, 1, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 3_000_000] {
        fs::write(&local, contents(len)).expect("written");
        fs::set_permissions(&local, fs::Permissions::from_mode(0o640)).expect("set");
        let put = Put::new(&local, remote.to_str().expect("UTF-8")).keep_times(true);
        let transferred = done(&mut client, put);
        assert_eq!((transferred.files, transferred.bytes, transferred.total), (1, len as u64, len as u64));
        assert!(fs::read(&remote).expect("it is there") == contents(len), "{len} bytes");
        let (here, there) = (fs::metadata(&local).expect("there"), fs::metadata(&remote).expect("there"));
        assert_eq!(there.mode() & 0o7777, 0o640);
        assert_eq!(there.mtime(), here.mtime());
        assert_eq!(names(folder.path()), ["local", "remote"], "no temporary file is left");
    }
    let missing = error(&mut client, Put::new(folder.path().join("none"), "none"));
    assert!(missing.to_string().contains("none"), "{missing}");
}
