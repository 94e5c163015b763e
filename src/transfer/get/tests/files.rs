//! Gets of one file.

use super::host::{attrs, data, status};
use super::*;
use crate::limits;
use crate::sftp::{Request, StatusCode};

const CHUNK: usize = limits::SFTP_READ;

/// Whether a request is of some kind.
type IsKind = fn(&Request<'_>) -> bool;

#[test]
fn a_file_arrives_whole_in_whatever_order() {
    for size in [0, 1, 10, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7, 100 * CHUNK] {
        for seed in 0..4 {
            let mut run = Run::new();
            let host = Host::new().file("/var/file", contents(size));
            let mut rig = run.get("/var/file", "{host}/", host, |get| get);
            if seed > 0 {
                rig = rig.in_random_order(seed);
            }
            let done = done(rig.run());
            assert!(run.read("web1/file") == contents(size), "{size} bytes, seed {seed}");
            assert_eq!((done.files, done.bytes, done.total), (1, size as u64, size as u64));
            assert_eq!(run.tree(), ["web1/", "web1/file"]);
            assert_eq!(rig.transfer.unwritten(), 0);
        }
    }
}

#[test]
fn reads_are_sent_ahead_up_to_the_limit() {
    let mut run = Run::new();
    let host = Host::new().file("/file", contents(100 * CHUNK));
    let mut rig = run.get("/file", "copy", host, |get| get);
    while rig.host.count("Read") == 0 {
        assert!(rig.step());
    }
    assert_eq!(rig.host.count("Read"), limits::SFTP_IN_FLIGHT);
    assert_eq!(rig.host.log.last().unwrap(), &format!("Read {} {CHUNK}", 63 * CHUNK));
    done(rig.run());
    assert_eq!(rig.host.count("Read"), 100);
    let rest = &rig.host.log[rig.host.log.len() - 2..];
    assert_eq!(rest, ["Fstat", "Close"]);
    assert_eq!(rig.host.open(), 0);
}

#[test]
fn what_waits_for_the_disk_is_counted() {
    let mut run = Run::new();
    let host = Host::new().file("/file", contents(30 * CHUNK));
    let mut rig = run.get("/file", "copy", host, |get| get);
    while rig.host.count("Read") == 0 {
        assert!(rig.step());
    }
    let replies = std::mem::take(&mut rig.replies);
    for (number, reply) in replies.iter().enumerate() {
        rig.transfer.receive(reply);
        assert_eq!(rig.transfer.unwritten(), (number + 1) * CHUNK);
    }
    assert_eq!(rig.transfer.room(usize::MAX).bytes, limits::FILE_UNWRITTEN - 30 * CHUNK);
    assert_eq!(rig.transfer.room(29 * CHUNK).bytes, 0);
    done(rig.run());
    assert_eq!(rig.transfer.unwritten(), 0);
}

#[test]
fn what_a_cancelled_get_has_on_its_way_to_the_disk_holds_nothing_up() {
    let mut run = Run::new();
    let mut rig = run.get("/file", "copy", Host::new().file("/file", contents(30 * CHUNK)), |get| get);
    while rig.host.count("Read") == 0 {
        assert!(rig.step());
    }
    let replies = std::mem::take(&mut rig.replies);
    replies.iter().for_each(|reply| rig.transfer.receive(reply));
    assert_eq!(rig.transfer.room(CHUNK).bytes, 0);
    rig.transfer.stop();
    assert!(rig.transfer.room(CHUNK).bytes > 0);
    rig.finish_jobs();
    assert_eq!(run.tree(), [""; 0]);
}

#[test]
fn the_rest_of_a_short_read_is_asked_for() {
    let size = 200 * CHUNK + 5;
    for seed in 0..3 {
        let mut run = Run::new();
        let host = Host::new().file("/file", contents(size)).with(|host| host.max_read = 10_000);
        let mut rig = run.get("/file", "copy", host, |get| get).in_random_order(seed);
        done(rig.run());
        assert!(run.read("copy") == contents(size));
        // Later reads are for what the server returns at a time: fewer than four for each chunk.
        assert!(rig.host.count("Read") < 780, "{}", rig.host.count("Read"));
    }
}

#[test]
fn short_reads_do_not_go_on_for_ever() {
    let mut run = Run::new();
    let host = Host::new().file("/file", contents(10 * CHUNK)).with(|host| host.max_read = 1);
    let mut rig = run.get("/file", "copy", host, |get| get);
    let text = failed(rig.run());
    assert_eq!(text, "the SFTP server violated the protocol: reads return only a few bytes each");
    assert_eq!(run.tree(), [""; 0]);
}

#[test]
fn data_of_another_length_is_an_error() {
    for (length, expected) in [(0, "returned 0"), (101, "returned 101")] {
        let mut run = Run::new();
        let host = Host::new().file("/file", contents(100)).quirk(move |id, request| {
            matches!(request, Request::Read { .. }).then(|| data(id, &contents(length)))
        });
        let text = failed(run.get("/file", "copy", host, |get| get).run());
        assert!(text.ends_with(&format!("a read of 100 bytes {expected}")), "{text}");
        assert_eq!(run.tree(), [""; 0]);
    }
}

#[test]
fn a_file_that_shrinks_is_an_error_and_leaves_nothing() {
    let mut run = Run::new();
    let host = Host::new().file("/file", contents(100)).with(|host| {
        host.sizes.insert("/file".to_owned(), 150);
    });
    let text = failed(run.get("/file", "copy", host, |get| get).run());
    let expected = "/file changed while it was read: it has 100 instead of 150 bytes; fetch it again";
    assert_eq!(text, expected);
    assert_eq!(run.tree(), [""; 0]);
}

#[test]
fn the_length_of_a_file_that_shrinks_is_exact_whatever_comes_first() {
    for (size, length) in [(100_000, 40_000), (3 * CHUNK, CHUNK), (3 * CHUNK, 0), (200 * CHUNK, 70_001)] {
        for seed in 0..10 {
            let mut run = Run::new();
            let host = Host::new().file("/file", contents(length)).with(|host| {
                host.sizes.insert("/file".to_owned(), size as u64);
            });
            let mut rig = run.get("/file", "copy", host, |get| get).in_random_order(seed);
            let text = failed(rig.run());
            let expected = format!("it has {length} instead of {size} bytes;");
            assert!(text.contains(&expected), "{text}");
            assert_eq!(run.tree(), [""; 0]);
        }
    }
}

#[test]
fn a_host_that_prints_text_first_is_told_from_one_that_speaks_sftp() {
    let version = [0, 0, 0, 5, 2, 0, 0, 0, 3];
    let long = "long ".repeat(1000);
    let after = |text: &str| [text.as_bytes(), &version].concat();
    for (answer, expected) in [
        (after("Welcome to web1\n"), Some("Welcome to web1")),
        (after("hi\n"), Some("hi")),
        (after("\x1b]52;c;aGk=\x07"), Some("\\x1b]52;c;aGk=\\x07")),
        (b"long ".repeat(1000), Some(&long)),
        (b"\xff\xff\xff\xf0abc".to_vec(), None),
        (after("\0\0\0\x01a"), None),
    ] {
        for seed in 0..20 {
            let mut run = Run::new();
            let answer = answer.clone();
            let host = Host::new()
                .quirk(move |_, request| matches!(request, Request::Init).then(|| vec![answer.clone()]));
            let text = failed(run.get("/file", "copy", host, |get| get).in_random_order(seed).run());
            match expected {
                Some(expected) => {
                    let shown =
                        text.strip_prefix("the host sent the text \"").unwrap_or_else(|| panic!("{text}"));
                    // What has arrived by then is shown.
                    let (shown, advice) = shown.split_once("\" in place of SFTP; ").unwrap();
                    let shown = shown.trim_end_matches('…');
                    assert!(expected.starts_with(shown) && (2..=512).contains(&shown.len()), "{text}");
                    assert!(advice.contains("must print nothing"), "{text}");
                }
                None => assert!(text.starts_with("the SFTP server violated the protocol: "), "{text}"),
            }
        }
    }
}

/// What the file of a host changes to once it was read.
fn changing(bytes: Vec<u8>, modified: u32) -> Change {
    Change { bytes, modified }
}

struct Change {
    bytes: Vec<u8>,
    modified: u32,
}

impl Change {
    fn run(self, run: &mut Run, set: impl FnOnce(Get) -> Get) -> End {
        let mut rig = run.get("/file", "copy", Host::new().file("/file", contents(100)), set);
        while rig.host.count("Read") == 0 {
            assert!(rig.step());
        }
        rig.host.write("/file", self.bytes);
        rig.host.modified = self.modified;
        rig.run()
    }
}

#[test]
fn a_file_that_grows_or_changes_is_an_error() {
    for (bytes, modified) in [(contents(120), 1_000_000_001), (contents(100), 1_000_000_001)] {
        let mut run = Run::new();
        let what = match bytes.len() {
            100 => "its modification time is another one".to_owned(),
            found => format!("it has {found} instead of 100 bytes"),
        };
        let text = failed(changing(bytes, modified).run(&mut run, |get| get));
        let expected = format!("/file changed while it was read: {what}; fetch it again");
        assert_eq!(text, expected);
        assert_eq!(run.tree(), [""; 0]);
    }
}

#[test]
fn a_file_may_grow_on_request() {
    let mut run = Run::new();
    done(changing(contents(120), 1_000_000_001).run(&mut run, |get| get.growing(true)));
    assert!(run.read("copy") == contents(100));
    let mut run = Run::new();
    failed(changing(contents(100), 1_000_000_001).run(&mut run, |get| get.growing(true)));
    failed(changing(contents(90), 1_000_000_001).run(&mut run, |get| get.growing(true)));
}

#[test]
fn a_file_without_a_size_is_read_to_its_end() {
    for seed in 0..3 {
        let mut run = Run::new();
        let host = Host::new().file("/proc/file", contents(9_000)).with(|host| {
            host.sizes.insert("/proc/file".to_owned(), 0);
            host.max_read = 4096;
        });
        let done = done(run.get("/proc/file", "copy", host, |get| get).in_random_order(seed).run());
        assert!(run.read("copy") == contents(9_000));
        assert_eq!((done.bytes, done.total), (9_000, 9_000));
    }
}

#[test]
fn a_file_without_a_size_does_not_go_on_for_ever() {
    let mut run = Run::new();
    let host = Host::new().file("/file", "").quirk(|id, request| match request {
        Request::Read { len, .. } => Some(data(id, &vec![7; *len as usize])),
        _ => None,
    });
    let text = failed(run.get("/file", "copy", host, |get| get).run());
    assert_eq!(text, "/file: the host gives no size for it, and sends more than 67108864 bytes");
    assert_eq!(run.tree(), [""; 0]);
}

#[test]
fn refusals_say_what_was_refused() {
    let kinds: [(&str, IsKind); 4] = [
        ("look at", |request| matches!(request, Request::Stat { .. })),
        ("open", |request| matches!(request, Request::Open { .. })),
        ("look at", |request| matches!(request, Request::Fstat { .. })),
        ("read", |request| matches!(request, Request::Read { .. })),
    ];
    for (action, is_refused) in kinds {
        let mut run = Run::new();
        let host = Host::new()
            .file("/file", contents(5 * CHUNK))
            .quirk(move |id, request| is_refused(request).then(|| status(id, StatusCode::PermissionDenied)));
        let mut rig = run.get("/file", "copy", host, |get| get);
        let text = failed(rig.run());
        let expected =
            format!("cannot {action} /file: permission denied (the server says: \"said the host\")");
        assert_eq!(text, expected);
        assert_eq!(run.tree(), [""; 0]);
    }
}

#[test]
fn answers_of_another_kind_are_errors() {
    let kinds: [IsKind; 4] = [
        |request| matches!(request, Request::Stat { .. }),
        |request| matches!(request, Request::Open { .. }),
        |request| matches!(request, Request::Fstat { .. }),
        |request| matches!(request, Request::Read { .. }),
    ];
    for is_answered in kinds {
        let mut run = Run::new();
        let host = Host::new()
            .file("/file", contents(100))
            .quirk(move |id, request| is_answered(request).then(|| status(id, StatusCode::Ok)));
        let text = failed(run.get("/file", "copy", host, |get| get).run());
        assert!(text.starts_with("the SFTP server violated the protocol: "), "{text}");
        assert_eq!(run.tree(), [""; 0]);
    }
}

#[test]
fn only_files_and_directories_are_fetched() {
    let host = || Host::new().file("/dir/file", "x").node("/pipe", Node::Pipe, 0o600);
    let mut run = Run::new();
    assert_eq!(
        failed(run.get("/dir", "copy", host(), |get| get).run()),
        "/dir is a directory; set recurse to copy it"
    );
    assert_eq!(
        failed(run.get("/pipe", "copy", host(), |get| get).run()),
        "/pipe is neither a file nor a directory"
    );
    // A file that becomes something else before it is opened.
    let mut rig = run.get("/dir/file", "copy", host(), |get| get);
    while rig.host.count("Open") == 0 {
        assert!(rig.step());
    }
    rig.host = std::mem::replace(&mut rig.host, Host::new()).node("/dir/file", Node::Pipe, 0o600);
    assert_eq!(failed(rig.run()), "/dir/file is neither a file nor a directory");
    assert_eq!(run.tree(), [""; 0]);
}

#[test]
fn a_limit_on_bytes_is_checked_before_they_are_fetched() {
    let mut run = Run::new();
    let host = || Host::new().file("/file", contents(100));
    let mut rig = run.get("/file", "copy", host(), |get| get.max_bytes(99));
    assert_eq!(failed(rig.run()), "/file: more than 99 bytes would be fetched; raise Get::max_bytes");
    assert_eq!(rig.host.count("Read"), 0);
    assert_eq!(run.tree(), [""; 0]);
    done(run.get("/file", "copy", host(), |get| get.max_bytes(100)).run());
}

#[test]
fn hosts_have_paths_of_their_own_and_never_share_one() {
    let mut run = Run::new();
    let host = || Host::new().file("/file", "x");
    for name in ["web1", "web2"] {
        done(run.get_as(name, "/file", "{host}/{name}", host(), |get| get).run());
    }
    done(run.get_as("web1", "/file", "one", host(), |get| get).run());
    let text = failed(run.get_as("web2", "/file", "one", host(), |get| get).run());
    assert!(text.contains("/one is already written by this run"), "{text}");
    assert_eq!(run.tree(), ["one", "web1/", "web1/file", "web2/", "web2/file"]);
}

#[test]
fn the_name_of_the_host_is_appended_on_request() {
    let run = Run::new();
    let get = Get::with_suffix("/file", run.path().join("a{b}"), "_");
    let mut shared = Shared::default();
    let Ok(plan) = Work::Get(get).plan(&mut shared, &mut |path| Ok(path.to_vec()), false) else { panic!() };
    done(Rig::new(&plan, "web1", Host::new().file("/file", "x")).run());
    assert_eq!(run.tree(), ["a{b}_web1"]);
}

#[test]
fn what_is_the_same_is_not_read() {
    let mut run = Run::new();
    let host = || Host::new().file("/file", contents(100));
    done(run.get("/file", "copy", host(), |get| get.skip_same(true)).run());
    run.again();
    let mut rig = run.get("/file", "copy", host(), |get| get.skip_same(true));
    let done = done(rig.run());
    assert_eq!((done.files, done.skipped, done.bytes, done.total), (0, 1, 0, 0));
    assert_eq!(rig.host.count("Open"), 0);
}

#[test]
fn an_interrupted_get_is_resumed() {
    let size = limits::RESUME_GAP as usize + 40 * CHUNK;
    let mut run = Run::new();
    let host = || Host::new().file("/file", contents(size));
    let mut rig = run.get("/file", "copy", host(), |get| get.resume(true)).in_random_order(5);
    while rig.transfer.progress().bytes < size as u64 - 5 * CHUNK as u64 {
        assert!(rig.step());
    }
    rig.transfer.lose();
    rig.finish_jobs();
    assert_eq!(run.tree().len(), 1, "{:?}", run.tree());
    run.again();
    let mut rig = run.get("/file", "copy", host(), |get| get.resume(true));
    let done = done(rig.run());
    assert!(done.bytes < size as u64 && done.bytes == done.total, "{done:?}");
    assert!(run.read("copy") == contents(size));
    assert_eq!(run.tree(), ["copy"]);
}

#[test]
fn parts_of_different_files_are_never_mixed() {
    let size = limits::RESUME_GAP as usize + 40 * CHUNK;
    let mut run = Run::new();
    let host = |modified| Host::new().file("/file", contents(size)).with(|host| host.modified = modified);
    let mut rig = run.get("/file", "copy", host(10), |get| get.resume(true));
    while rig.transfer.progress().bytes < size as u64 - 5 * CHUNK as u64 {
        assert!(rig.step());
    }
    rig.transfer.lose();
    rig.finish_jobs();
    // Another time: begins anew.
    run.again();
    let mut rig = run.get("/file", "copy", host(11), |get| get.resume(true));
    while rig.host.count("Read") == 0 {
        assert!(rig.step());
    }
    assert!(rig.host.log.contains(&format!("Read 0 {CHUNK}")));
    rig.transfer.stop();
    rig.finish_jobs();
    // Changed since it was looked at: an error, and no part of it is kept.
    let before = run.tree();
    run.again();
    let mut rig = run.get("/file", "copy", host(12), |get| get.resume(true));
    while rig.host.count("Open") == 0 {
        assert!(rig.step());
    }
    rig.host.modified = 13;
    // The answer to the request for the size is not made yet.
    let text = failed(rig.run());
    assert!(text.starts_with("/file changed while it was read"), "{text}");
    assert_eq!(run.tree(), before);
}

#[test]
fn a_read_that_is_never_answered_does_not_let_a_part_have_large_holes() {
    let size = limits::RESUME_GAP + 200 * CHUNK as u64;
    let mut run = Run::new();
    let zeros = vec![0; CHUNK];
    let host = Host::new().file("/file", "").quirk(move |id, request| match request {
        Request::Stat { .. } | Request::Fstat { .. } => Some(attrs(id, size)),
        Request::Read { offset: 0, .. } => Some(Vec::new()),
        Request::Read { .. } => Some(data(id, &zeros)),
        _ => None,
    });
    let mut rig = run.get("/file", "copy", host, |get| get);
    while rig.step() {}
    assert_eq!(rig.host.count("Read") as u64, limits::RESUME_GAP / CHUNK as u64);
    rig.transfer.stop();
    rig.finish_jobs();
    assert_eq!(run.tree(), [""; 0]);
}

#[test]
fn a_disk_that_does_not_write_does_not_let_a_part_have_large_holes() {
    let size = limits::RESUME_GAP + 200 * CHUNK as u64;
    let mut run = Run::new();
    let zeros = vec![0; CHUNK];
    let host = Host::new().file("/file", "").quirk(move |id, request| match request {
        Request::Stat { .. } | Request::Fstat { .. } => Some(attrs(id, size)),
        Request::Read { .. } => Some(data(id, &zeros)),
        _ => None,
    });
    let mut rig = run.get("/file", "copy", host, |get| get);
    while rig.host.count("Read") == 0 {
        assert!(rig.step());
    }
    while !rig.replies.is_empty() {
        rig.transfer.receive(&rig.replies.remove(0));
        rig.exchange();
    }
    assert_eq!(rig.host.count("Read") as u64, limits::RESUME_GAP / CHUNK as u64);
    assert_eq!(rig.transfer.unwritten() as u64, limits::RESUME_GAP);
    // Once it writes, the rest is asked for.
    rig.jobs.remove(0).run().into_iter().for_each(|(_, answer)| rig.transfer.answer(answer));
    rig.exchange();
    assert!(rig.host.count("Read") as u64 > limits::RESUME_GAP / CHUNK as u64);
}

#[test]
fn a_file_that_grows_before_it_is_opened_is_fetched_as_it_is_then() {
    for size in [150, 60] {
        let mut run = Run::new();
        let mut rig = run.get("/file", "copy", Host::new().file("/file", contents(100)), |get| get);
        while rig.jobs.is_empty() {
            assert!(rig.step());
        }
        rig.host.write("/file", contents(size));
        let done = done(rig.run());
        assert!(run.read("copy") == contents(size));
        assert_eq!((done.bytes, done.total), (size as u64, size as u64));
    }
}

#[test]
fn a_path_that_is_a_directory_here_is_an_error() {
    let mut run = Run::new();
    fs::create_dir(run.path().join("copy")).unwrap();
    for local in ["copy", "copy/.."] {
        let text = failed(run.get("/file", local, Host::new().file("/file", "x"), |get| get).run());
        assert!(text.ends_with("is a directory; give the file a name in it, or remove it first"), "{text}");
    }
    assert_eq!(run.tree(), ["copy/"]);
}

#[test]
fn a_get_that_is_cancelled_at_any_time_leaves_nothing() {
    for is_lost in [false, true] {
        let mut steps = 0;
        loop {
            let mut run = Run::new();
            let host = Host::new().file("/file", contents(3 * CHUNK));
            let mut rig = run.get("/file", "copy", host, |get| get).in_random_order(7);
            let mut is_over = false;
            for _ in 0..steps {
                is_over |= !rig.step();
            }
            if is_lost {
                rig.transfer.lose()
            } else {
                rig.transfer.stop()
            }
            rig.finish_jobs();
            while rig.step() {}
            assert!(rig.transfer.has_ended(), "after {steps} steps");
            let tree = run.tree();
            assert!(tree.is_empty() || tree == ["copy"], "after {steps} steps: {tree:?}");
            if tree == ["copy"] {
                assert!(run.read("copy") == contents(3 * CHUNK));
            }
            steps += 1;
            if is_over {
                assert_eq!(tree, ["copy"]);
                break;
            }
        }
        assert!(steps > 15, "{steps}");
    }
}

#[test]
fn the_last_file_of_this_machine_stays_when_a_get_fails() {
    let mut run = Run::new();
    fs::write(run.path().join("copy"), "old").unwrap();
    let host = Host::new().file("/file", contents(10)).quirk(|id, request| {
        matches!(request, Request::Read { .. }).then(|| status(id, StatusCode::Failure))
    });
    failed(run.get("/file", "copy", host, |get| get).run());
    assert_eq!(run.read("copy"), b"old");
    let host = || Host::new().file("/file", contents(10));
    let text = failed(run.get("/file", "copy", host(), |get| get.overwrite(false)).run());
    assert!(text.contains("/copy exists already"), "{text}");
    done(run.get("/file", "copy", host(), |get| get).run());
    assert!(run.read("copy") == contents(10));
}
