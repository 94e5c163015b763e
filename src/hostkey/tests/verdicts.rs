//! The verdicts of the table, and further promises of the index.

use std::path::Path;

use super::super::{HostKey, KnownHosts, LineFault, PROBLEMS_MAX, Verdict};
use super::cases::{CASES, Keys};
use super::support::{describe, dsa, ecdsa_p256, ed25519, rsa};

fn keys() -> Keys {
    Keys { a: ed25519(1), b: ed25519(2), r: rsa(3) }
}

fn parse(text: impl AsRef<[u8]>) -> KnownHosts {
    let mut known = KnownHosts::empty();
    known.parse(text.as_ref(), Path::new("known_hosts"));
    known
}

#[test]
fn verdicts_follow_the_table() {
    let keys = keys();
    let mut wrong = Vec::new();
    for case in CASES {
        let known = parse(case.text(&keys));
        let (host, port) = case.host_and_port();
        let verdict = describe(&known.verdict(host, port, case.shown_key(&keys)));
        if verdict != case.verdict {
            wrong.push(format!("{}: {verdict}, not {}", case.name, case.verdict));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_sliced_scan_gives_the_same_verdicts() {
    let keys = keys();
    for case in CASES {
        let known = parse(case.text(&keys));
        let (host, port) = case.host_and_port();
        let mut scan = known.scan(host, port, case.shown_key(&keys));
        let mut slices = 1;
        while !scan.advance(&known, 1) {
            assert_eq!(scan.verdict(), None, "{}", case.name);
            slices += 1;
        }
        assert!(slices <= 4 * known.len() + 1, "{}: {slices} slices", case.name);
        let verdict = scan.verdict().unwrap();
        assert_eq!(describe(verdict), case.verdict, "{}", case.name);
        // If the host is known, changed or revoked, its lines have been evaluated already.
        let recorded = match verdict {
            Verdict::Unknown | Verdict::OtherType { .. } => known.recorded_algorithms(host, port),
            _ => Vec::new(),
        };
        assert_eq!(scan.algorithms(), recorded, "{}", case.name);
    }
}

#[test]
fn a_scan_continues_where_it_stopped() {
    let (a, b) = (ed25519(1).to_openssh(), ed25519(2).to_openssh());
    let others = format!("db* {a}\n").repeat(9);
    let known = parse(format!("{others}web* {a}\n{others}web? {b}\n{others}"));
    for (slice, slices) in [(1, 29), (7, 5), (28, 2), (29, 1), (usize::MAX, 1)] {
        let mut scan = known.scan("web1", 22, &ed25519(3));
        let unfinished =
            std::iter::repeat_with(|| scan.advance(&known, slice)).take_while(|done| !done).count();
        assert_eq!(unfinished + 1, slices, "slices of {slice}");
        assert_eq!(describe(scan.verdict().unwrap()), "changed 10 20");
    }
}

#[test]
fn all_lines_of_the_host_are_named() {
    let (a, b, r) = (ed25519(1).to_openssh(), ed25519(2).to_openssh(), rsa(3).to_openssh());
    let known = parse(format!("web1 {a}\nweb* {b}\nweb2 {a}\nweb1 {r}\n"));
    assert_eq!(describe(&known.verdict("web1", 22, &ed25519(9))), "changed 1 2");
    assert_eq!(describe(&known.verdict("web1", 22, &rsa(9))), "changed 4");
    assert_eq!(describe(&known.verdict("web1", 22, &dsa(9))), "other 1 ed25519 2 ed25519 4 rsa");
}

#[test]
fn recorded_algorithms_come_best_first() {
    let (e, r) = (ed25519(1).to_openssh(), rsa(3).to_openssh());
    let (c, d) = (ecdsa_p256(4).to_openssh(), dsa(5).to_openssh());
    let known = parse(format!("web1 {d}\nweb1 {r}\n[web1]:2222 {c}\n@cert-authority web1 {c}\nweb* {e}\n"));
    let all = ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256", "ssh-dss"];
    assert_eq!(known.recorded_algorithms("web1", 22), all);
    assert_eq!(known.recorded_algorithms("web1", 2222), ["ecdsa-sha2-nistp256"]);
    assert_eq!(known.recorded_algorithms("web1", 2223), all, "the lines without a port");
    assert_eq!(known.recorded_algorithms("web2", 22), ["ssh-ed25519"]);
    assert!(known.recorded_algorithms("db", 22).is_empty());
}

#[test]
fn a_revoked_key_is_not_requested() {
    let (e, r) = (ed25519(1).to_openssh(), rsa(3).to_openssh());
    let known = parse(format!("web1 {e}\nweb1 {r}\n@revoked * {e}\n"));
    assert_eq!(known.recorded_algorithms("web1", 22), ["rsa-sha2-512", "rsa-sha2-256"]);
}

#[test]
fn skipped_lines_are_reported() {
    let key = ed25519(1).to_openssh();
    let long = "x".repeat(1023);
    let text = format!(
        "# fine\n@trusted web1 {key}\nweb1\n|1|x|y {key}\n{long} {key}\nweb1 ssh-new AAAA\nweb1 {key}\n\
         \r\n@revoked @a {key}\nweb1 x y"
    );
    let known = parse(text);
    let faults = known.problems().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        faults,
        [
            "known_hosts:2: unknown or repeated marker",
            "known_hosts:3: the line has no key",
            "known_hosts:4: malformed hashed name",
            "known_hosts:5: a name is longer than 1022 bytes",
            "known_hosts:6: unsupported key type",
            "known_hosts:9: unknown or repeated marker",
            "known_hosts:10: unsupported key type",
        ]
    );
    assert_eq!(known.problem_count(), 7);
    assert_eq!(describe(&known.verdict("web1", 22, &ed25519(1))), "known 7");
}

#[test]
fn descriptions_of_skipped_lines_are_bounded() {
    let known = parse("x\n".repeat(PROBLEMS_MAX + 5));
    assert_eq!((known.problems().len(), known.problem_count()), (PROBLEMS_MAX, PROBLEMS_MAX + 5));
    assert!(known.problems().iter().all(|problem| problem.fault == LineFault::Truncated));
}

#[test]
fn the_longest_name_that_openssh_accepts() {
    let key = ed25519(1);
    let name = "x".repeat(1022);
    let known = parse(format!("web1,{name} {}\n", key.to_openssh()));
    assert_eq!(describe(&known.verdict(&name, 22, &key)), "known 1");
    let known = parse(format!("web1,{name}x {}\n", key.to_openssh()));
    assert_eq!(known.verdict("web1", 22, &key), Verdict::Unknown);
}

#[test]
fn a_line_of_one_mebibyte() {
    let key = ed25519(1);
    let names = "node.example.org,".repeat(1 << 16);
    let known =
        parse(format!("{names}web1 {}\n# {names}\nweb2 {} {names}\n", key.to_openssh(), key.to_openssh()));
    assert!(known.problems().is_empty());
    assert_eq!(describe(&known.verdict("web1", 22, &key)), "known 1");
    assert_eq!(describe(&known.verdict("web2", 22, &key)), "known 3");
}

#[test]
fn a_hundred_thousand_lines() {
    let columns = [ed25519(1).to_openssh(), ed25519(2).to_openssh()];
    let text = (0..100_000).map(|host| format!("host{host} {}\n", columns[host % 2])).collect::<String>();
    let known = parse(text);
    assert_eq!(known.len(), 100_000);
    assert_eq!(describe(&known.verdict("host99999", 22, &ed25519(2))), "known 100000");
    assert_eq!(describe(&known.verdict("host99999", 22, &ed25519(1))), "changed 100000");
    assert_eq!(known.verdict("host100000", 22, &ed25519(1)), Verdict::Unknown);
}

#[test]
fn patterns_that_make_backtracking_matchers_hang() {
    let key = ed25519(1);
    let pattern = "*a".repeat(500);
    let known = parse(format!("{pattern}b {}\n", key.to_openssh()));
    let host = "a".repeat(5_000);
    assert_eq!(known.verdict(&host, 22, &key), Verdict::Unknown);
    assert_eq!(describe(&known.verdict(&format!("{host}b"), 22, &key)), "known 1");
}

#[test]
fn a_revoked_rsa_key_cannot_hide_behind_another_encoding() {
    let key = rsa(3);
    let known = parse(format!("@revoked * {}\n", key.to_openssh()));
    let padded = [&[0, 0], &super::support::modulus(3)[..]].concat();
    let disguised = super::support::blob(&[b"ssh-rsa", &[0, 1, 0, 1], &padded]);
    assert_ne!(disguised, key.blob());
    let disguised = HostKey::from_blob(disguised).unwrap();
    assert_eq!(describe(&known.verdict("web1", 22, &disguised)), "revoked 1");
}

/// OpenSSH 9.2 reads out of bounds after such a name if the line ends there; later versions skip
/// the line.
#[test]
fn a_nul_in_the_name_ends_the_line() {
    let key = ed25519(1);
    let known = parse(format!("web1\0 {}\n", key.to_openssh()));
    assert_eq!(known.verdict("web1", 22, &key), Verdict::Unknown);
    assert_eq!(known.problems()[0].fault, LineFault::Truncated);
}
