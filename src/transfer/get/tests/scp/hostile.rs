//! Hosts whose `scp` is none.

use super::*;
use crate::output::ExitSignal;

/// What a host sends after each zero byte, how it ends then, and what the get says to it.
struct Case(&'static [&'static [u8]], Option<Outcome>, &'static str);

fn status(status: u32) -> Option<Outcome> {
    Some(Outcome::Exited(status))
}

fn cases() -> Vec<Case> {
    let killed = ExitSignal { name: "PIPE".to_owned(), core_dumped: false, message: String::new() };
    let killed = Some(Outcome::Signaled(killed));
    vec![
        // Files that there are not.
        Case(
            &[b"\x01scp: /file: No such file or directory\n"],
            status(1),
            "/file: No such file or directory",
        ),
        Case(&[b"\x02protocol error\n"], status(1), "protocol error"),
        Case(&[b"\x01\n"], status(1), ""),
        Case(&[b"\x01\x1b[31mred\x07\xff\n"], status(1), "\\x1b[31mred\\x07\u{fffd}"),
        Case(&[b"\x01scp: cut"], status(1), "cut"),
        Case(&[b"\x01first\n\x01second\n\x01third\n"], status(1), "first"),
        Case(&[b"D0755 0 file\n"], status(0), "it sent a directory in place of a file"),
        Case(&[b"E\n"], status(0), STRAY),
        // Nothing.
        Case(&[], status(127), "exit status 127 before it sent the file"),
        Case(&[], status(0), "exit status 0 before it sent the file"),
        Case(&[], None, "it ended without a status before it sent the file"),
        // What a login shell prints.
        Case(&[b"Welcome to web1\nC0644 5 file\n"], status(0), STRAY),
        Case(&[b"Cannot find your terminal\n"], status(0), STRAY),
        Case(&[b"\n"], status(0), STRAY),
        Case(&[b"\0"], status(0), STRAY),
        Case(&[b"This account is not available"], status(1), STRAY),
        // Lines that are none.
        Case(&[b"C0644 -5 file\n"], status(0), STRAY),
        Case(&[b"C0644 18446744073709551616 file\n"], status(0), STRAY),
        Case(&[b"C9999 5 file\n"], status(0), STRAY),
        Case(&[b"T1 0 1 0\n"], status(0), "it sent times that were not asked for"),
        Case(&[b"C0644 5 fi"], status(0), STRAY),
        // Contents that are too early, too long, too short.
        Case(&[b"C0644 5 file\nhello\0"], status(0), "it sent contents before they were asked for"),
        Case(&[b"C0644 5 file\nC0644 5 file\n"], status(0), "it sent contents before they were asked for"),
        Case(
            &[b"C0644 5 file\n", b"hello!\0"],
            status(0),
            "it sent more than the 5 bytes that it had announced",
        ),
        Case(&[b"C0644 1 file\n", b"h\0\0"], status(0), "it sent more than the 1 byte that it had announced"),
        Case(&[b"C0644 0 file\n", b"x"], status(0), "it sent more than the 0 bytes that it had announced"),
        Case(
            &[b"C0644 5 file\n", b"hello\0", b"C0644"],
            status(0),
            "it sent more than the 5 bytes that it had announced",
        ),
        Case(
            &[b"C0644 5 file\n", b"hello\0\x01warning\n"],
            status(1),
            "it sent more than the 5 bytes that it had announced",
        ),
        Case(&[b"C0644 5 file\n", b"hel"], status(1), "exit status 1 after 3 of 5 bytes"),
        Case(&[b"C0644 5 file\n", b"hel\0"], status(1), "exit status 1 after 4 of 5 bytes"),
        Case(&[b"C0644 5 file\n", b""], killed.clone(), "killed by signal PIPE after 0 of 5 bytes"),
        Case(
            &[b"C0644 18446744073709551615 file\n", b"hello\0"],
            status(0),
            "exit status 0 after 6 of 18446744073709551615 bytes",
        ),
        // Contents that are not confirmed.
        Case(&[b"C0644 5 file\n", b"hello"], status(0), "exit status 0 before it confirmed the contents"),
        Case(&[b"C0644 0 file\n"], status(0), "exit status 0 before it confirmed the contents"),
        Case(
            &[b"C0644 5 file\n", b"hello\x01scp: file: Input/output error\n"],
            status(1),
            "file: Input/output error",
        ),
        Case(&[b"C0644 5 file\n", b"hello\x01scp: file: Input"], status(1), "file: Input"),
        // Ends that are no success.
        Case(&[b"C0644 5 file\n", b"hello\0"], status(1), "exit status 1"),
        Case(&[b"C0644 5 file\n", b"hello\0"], None, "it ended without a status"),
        Case(&[b"C0644 5 file\n", b"hello\0"], killed, "killed by signal PIPE"),
    ]
}

/// The error shows the text that arrived.
const STRAY: &str = "it sent the text \"";

#[track_caller]
fn check(case: &Case, prepare: impl FnOnce(&mut Rig)) -> String {
    let Case(parts, exit, expected) = case;
    let mut run = Run::new();
    let mut rig = run.scp(parts, |get| get).that_ends(exit.clone());
    prepare(&mut rig);
    let text = failed(rig.run());
    let rest = text.strip_prefix("scp failed on the host: ");
    let is_expected =
        |rest: &str| if *expected == STRAY { rest.starts_with(STRAY) } else { rest == *expected };
    assert!(rest.is_some_and(is_expected), "{text}, not {expected}");
    assert_eq!(run.tree(), [""; 0], "{text}");
    text
}

#[test]
fn a_host_that_sends_no_file_fails_and_leaves_nothing() {
    for case in &cases() {
        check(case, |_| {});
    }
}

#[test]
fn every_cut_of_a_stream_has_the_same_end() {
    // Whether contents come before the part file is there depends on the disk.
    for case in cases().iter().filter(|case| !case.2.contains("before they were asked for")) {
        let whole = check(case, |_| {});
        for piece in 1..30 {
            assert_eq!(check(case, |rig| rig.piece = Some(piece)), whole);
        }
        for seed in 0..20 {
            assert_eq!(check(case, |rig| rig.random = Some(Random(2 * seed + 1))), whole);
        }
    }
}

#[test]
fn no_line_and_no_text_is_longer_than_its_limit() {
    for (first, shown) in [(&b"\x01"[..], "xxx"), (b"C0644 ", STRAY), (b"x", STRAY)] {
        for length in [limits::SCP_LINE - first.len(), limits::SCP_LINE, 10 * limits::SCP_LINE] {
            for piece in [None, Some(1), Some(1_000)] {
                let mut run = Run::new();
                let line = [first, &b"x".repeat(length)].concat();
                // The sender goes on for ever, so what it has sent has to be enough.
                let mut rig = run.scp(&[&line], |get| get);
                rig.piece = piece;
                if line.len() <= limits::SCP_LINE {
                    while rig.step() {}
                    assert!(rig.end.is_none());
                    rig.transfer.receive(b"y");
                    rig.exchange();
                }
                let text = failed(rig.run());
                assert!(text.contains(shown) && text.len() < 2 * limits::PEER_TEXT, "{text}");
                assert_eq!(run.tree(), [""; 0]);
            }
        }
    }
}

#[test]
fn a_stream_of_warnings_ends_with_the_first() {
    let warnings = b"\x01scp: no\n".repeat(100_000);
    for parts in [&[&warnings[..]][..], &[b"C0644 3 file\n", &[b"abc", &warnings[..]].concat()]] {
        let mut run = Run::new();
        let mut rig = run.scp(parts, |get| get);
        rig.piece = Some(1_000);
        assert_eq!(failed(rig.run()), "scp failed on the host: no");
        assert_eq!(run.tree(), [""; 0]);
    }
}

#[test]
fn times_come_once_and_before_the_file() {
    const TIMES: &[u8] = b"T1 0 1 0\n";
    for parts in [&[TIMES, TIMES][..], &[b"C0644 5 file\n", TIMES], &[b"T1 0 1\n"], &[&TIMES.repeat(2)]] {
        let mut run = Run::new();
        let text = failed(run.scp(parts, |get| get.preserve(true)).that_ends(status(1)).run());
        assert!(text.starts_with("scp failed on the host: "), "{text}");
        assert_eq!(run.tree(), [""; 0], "{text}");
    }
}

/// Streams that are nearly right: the only good end is that of the whole file.
#[test]
fn whatever_a_host_sends_the_copy_is_whole_or_none() {
    let (mut good, mut bad) = (0, 0);
    for seed in 1..4_000 {
        let mut random = Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15) | 1);
        let data = contents(random.below(40));
        let mut sent = parts(&data).to_vec();
        if random.below(2) == 0 {
            sent.insert(0, b"T1600000000 0 1500000000 0\n".to_vec());
        }
        for _ in 0..random.below(3) {
            let at = random.below(sent.len());
            let part = &mut sent[at];
            let place = random.below(part.len() + 1);
            match random.below(4) {
                0 => part.insert(place, [0, 1, 2, b'\n', b'C', b'0', b' ', 0xff][random.below(8)]),
                1 if place < part.len() => _ = part.remove(place),
                2 => part.truncate(place),
                _ => _ = sent.remove(at),
            }
            if sent.is_empty() {
                break;
            }
        }
        let mut run = Run::new();
        let sent: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        let exit = [status(0), status(0), status(1), None][random.below(4)].clone();
        let mut rig = run.scp(&sent, |get| get.preserve(true)).that_ends(exit.clone()).in_random_order(seed);
        let stop_at = if random.below(8) == 0 { random.below(12) } else { usize::MAX };
        let (mut steps, mut is_stopped) = (0, false);
        while rig.end.is_none() {
            assert!(rig.step(), "stuck: {:?}", rig.transfer);
            steps += 1;
            if steps == stop_at && rig.end.is_none() {
                rig.transfer.stop();
                rig.exchange();
                is_stopped = true;
            }
        }
        match rig.run() {
            // A get that was stopped has no end of its own.
            Ok(_) if is_stopped => assert!(run.tree().iter().all(|name| name == "copy"), "{:?}", run.tree()),
            Ok(done) => {
                assert!(exit.as_ref().is_some_and(Outcome::is_success), "seed {seed}");
                assert_eq!(
                    (run.tree(), run.read("copy").len() as u64),
                    (vec!["copy".to_owned()], done.bytes)
                );
                good += 1;
            }
            Err(_) => {
                assert_eq!(run.tree(), [""; 0], "seed {seed}");
                bad += 1;
            }
        }
    }
    assert!(good > 200 && bad > 1_000, "{good} good, {bad} bad");
}
