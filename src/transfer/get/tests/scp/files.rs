//! What is fetched, and how.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

const CHUNK: usize = limits::SFTP_READ;
const TIMES: &[u8] = b"T1600000000 0 1500000000 0\n";

#[test]
fn a_file_arrives_whole_however_it_is_cut() {
    for size in [0, 1, 10, CHUNK, 5 * CHUNK + 7] {
        for seed in 0..8 {
            let mut run = Run::new();
            let mut rig = run.scp_file(&contents(size), |get| get).in_random_order(seed);
            rig.piece = [None, Some(20), Some(5_000)][seed as usize % 3];
            let done = done(rig.run());
            assert!(run.read("copy") == contents(size), "{size} bytes, seed {seed}");
            let counts = (done.files, done.bytes, done.total, done.skipped);
            assert_eq!(counts, (1, size as u64, size as u64, 0));
            assert_eq!((run.tree(), rig.zeros), (vec!["copy".to_owned()], 3));
        }
    }
}

#[test]
fn the_input_of_scp_ends_with_the_last_answer() {
    let mut run = Run::new();
    let mut rig = run.scp_file(b"text", |get| get);
    while rig.zeros < 3 {
        assert!(!rig.transfer.wants_eof());
        assert!(rig.step());
    }
    assert!(rig.transfer.wants_eof());
    done(rig.run());
    assert!(!rig.transfer.wants_eof());
}

#[test]
fn mode_and_times_are_kept_on_request() {
    for preserve in [false, true] {
        let mut run = Run::new();
        let with_times: [&[u8]; 3] = [TIMES, b"C0666 4 file\n", b"text\0"];
        let sent = if preserve { &with_times[..] } else { &with_times[1..] };
        done(run.scp(sent, |get| get.preserve(preserve).sync(true)).run());
        let found = fs::metadata(run.path().join("copy")).unwrap();
        assert_eq!((found.mode() & 0o7777 == 0o666, found.mtime() == 1_600_000_000), (preserve, preserve));
        assert_eq!(found.atime() == 1_500_000_000, preserve);
    }
    // Not every host has times.
    let mut run = Run::new();
    done(run.scp(&[b"C0600 4 file\n", b"text\0"], |get| get.preserve(true)).run());
    assert_eq!(fs::metadata(run.path().join("copy")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn what_is_the_same_is_skipped() {
    for (header, skipped) in [("C0644 4 file\n", 1), ("C0644 5 file\n", 0)] {
        let mut run = Run::new();
        done(run.scp(&[TIMES, b"C0644 4 file\n", b"text\0"], |get| get.skip_same(true)).run());
        run.again();
        let mut rig = run.scp(&[TIMES, header.as_bytes(), b"other\0"], |get| get.skip_same(true));
        let done = done(rig.run());
        assert_eq!((done.skipped, done.files, done.total), (skipped, 1 - skipped, 5 * (1 - skipped)));
        assert_eq!(run.read("copy"), if skipped == 1 { b"text".as_slice() } else { b"other" });
        // The contents were not asked for.
        assert_eq!(rig.zeros, if skipped == 1 { 2 } else { 4 });
        assert_eq!(run.tree(), ["copy"]);
    }
}

#[test]
fn a_file_that_is_there_is_replaced_if_it_may_be() {
    let mut run = Run::new();
    fs::write(run.path().join("copy"), "old").unwrap();
    let text = failed(run.scp_file(b"new", |get| get.overwrite(false)).run());
    assert!(text.contains("exists"), "{text}");
    assert_eq!((run.read("copy"), run.tree()), (b"old".to_vec(), vec!["copy".to_owned()]));
    run.again();
    done(run.scp_file(b"new", |get| get).run());
    assert_eq!((run.read("copy"), run.tree()), (b"new".to_vec(), vec!["copy".to_owned()]));
}

#[test]
fn the_copy_has_the_local_name_whatever_the_host_calls_the_file() {
    for name in ["../../evil", "/etc/passwd", "..", "", "a b\r", "\u{1b}[31m"] {
        let mut run = Run::new();
        let header = format!("C0644 4 {name}\n");
        done(run.scp(&[header.as_bytes(), b"text\0"], |get| get).run());
        assert_eq!(run.tree(), ["copy"], "{name}");
    }
}

#[test]
fn two_hosts_get_no_copy_of_the_same_name() {
    let mut run = Run::new();
    done(run.scp_file(b"one", |get| get).run());
    let text = failed(run.scp_file(b"two", |get| get).run());
    assert!(text.contains("another host"), "{text}");
    assert_eq!((run.read("copy"), run.tree()), (b"one".to_vec(), vec!["copy".to_owned()]));
}

#[test]
fn a_directory_of_this_machine_that_cannot_be_written_to_is_an_error() {
    let mut run = Run::new();
    fs::create_dir(run.path().join("copy")).unwrap();
    let text = failed(run.scp_file(b"text", |get| get).run());
    assert!(text.contains("is a directory"), "{text}");
    assert_eq!(run.tree(), ["copy/"]);
    fs::set_permissions(run.path(), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn limits_are_kept_before_anything_is_written() {
    let mut run = Run::new();
    let mut rig = run.scp_file(b"12345", |get| get.max_bytes(4));
    let text = failed(rig.run());
    assert_eq!(text, "/file: more than 4 bytes would be fetched; raise Get::max_bytes");
    assert_eq!((run.tree(), rig.zeros), (vec![], 1));
    done(run.scp_file(b"12345", |get| get.max_bytes(5)).run());
}

#[test]
fn a_file_without_a_size_is_an_error_and_no_empty_copy() {
    for (path, is_known) in [("/proc/cpuinfo", false), ("/sys/power/state", false), ("/process", true)] {
        let mut run = Run::new();
        let plan = run.plan(path, "copy", |get| get);
        let end = Rig::new(&plan, &[b"C0444 0 file\n", b"\0"]).run();
        match is_known {
            true => assert_eq!(done(end).files, 1),
            false => assert!(failed(end).starts_with(&format!("{path}: the host gives no size for it"))),
        }
        assert_eq!(run.tree().len(), usize::from(is_known));
    }
}

#[test]
fn a_get_that_needs_sftp_has_no_command() {
    let mut run = Run::new();
    let mut command = |path: &str, set: fn(Get) -> Get| {
        let text = run.plan(path, "copy", set).plain_command();
        text.map(|text| text.into_string().unwrap())
    };
    for (path, set, expected) in [
        ("/file", (|get| get) as fn(Get) -> Get, "scp -f '/file'"),
        ("/file", |get| get.preserve(true), "scp -p -f '/file'"),
        ("a b", |get| get.skip_same(true).sync(true), "scp -p -f 'a b'"),
        ("-rf", |get| get.growing(true).overwrite(false), "scp -f './-rf'"),
        ("it's $(reboot)", |get| get.max_bytes(5), r"scp -f 'it'\''s $(reboot)'"),
    ] {
        assert_eq!(command(path, set).as_deref(), Some(expected));
    }
    assert_eq!(command("/file", |get| get.recurse(true)), None);
    assert_eq!(command("/file", |get| get.resume(true)), None);
    assert_eq!(command(&"x".repeat(limits::COMMAND_BYTES), |get| get), None);
}
