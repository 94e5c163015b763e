//! The target that computes verdicts from any `known_hosts` file.

use std::path::Path;

use crate::hostkey::{
    HostKey, HostKeyDecision, HostKeyPins, HostKeyPolicy, KnownHosts, RevokedKeys, Verdict, Verifier,
};

/// The keys that hosts send, besides those in the input itself. The corpus uses them too.
const SHOWN: [&str; 3] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBMxsDtPG4AuPpayKr9+b/dzZdzjYIeXN6rq7vcJEMhp",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2ST9sAy/fdd3IQvhPFIgC6xv7NxvWKqNDNjiUNibZs",
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEg1ZEvUJtibKRm7jWFx+x\
     rbqKph7azOms3ZK8UQPXDkPWUVC/LuOqI1EYd59dZoiGi9kZK8EWHSMrnyqYNNz0M=",
];

/// Number of keys tried; more of one type than [`SHOWN`] contains add little.
const KEYS_MAX: usize = 5;
const PORTS: [u16; 2] = [22, 2222];

/// Any bytes as a `known_hosts` file, for a host that sends keys of the file and others.
///
/// The first line of the input is the host, the rest is the file. The oracle is the file split into
/// single lines: on port 22 the verdict of a file is the gravest verdict of its lines, whatever
/// their order and however the index finds them.
pub fn known_hosts(data: &[u8]) {
    let (host, file) = match data.iter().position(|&byte| byte == b'\n') {
        Some(newline) => (&data[..newline], &data[newline + 1..]),
        None => (&b"web1"[..], data),
    };
    let host = &*String::from_utf8_lossy(host);
    let keys = &*keys(file);
    let known = parse(file);
    let lines: Vec<&[u8]> = file.split_inclusive(|&byte| byte == b'\n').collect();
    assert!(known.len() + known.problem_count() <= lines.len(), "more keys and problems than lines");
    check_against_lines(host, keys, &known, &lines);
    check_other_keys(host, keys, &known);
    check_policies(host, keys, &known, file);
    check_revocation_wins(host, keys, file);
    check_authorities_are_no_hosts(host, keys, &lines);
    check_slices(host, keys, &known);
    check_revoked_keys(keys, data);
}

fn parse(file: &[u8]) -> KnownHosts {
    let mut known = KnownHosts::empty();
    known.parse(file, Path::new("known_hosts"));
    known
}

fn keys(file: &[u8]) -> Vec<HostKey> {
    let text = String::from_utf8_lossy(file);
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let in_file = words.windows(2).filter_map(|pair| HostKey::from_openssh(&pair.join(" ")).ok());
    let mut keys: Vec<HostKey> = SHOWN.iter().filter_map(|key| HostKey::from_openssh(key).ok()).collect();
    assert_eq!(keys.len(), SHOWN.len());
    for key in in_file {
        if keys.len() == KEYS_MAX {
            break;
        }
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// The verdict on each key, on each port.
fn verdicts<'a>(
    host: &'a str,
    keys: &'a [HostKey],
    known: &'a KnownHosts,
) -> impl Iterator<Item = (u16, &'a HostKey, Verdict)> {
    let on_port = move |port| keys.iter().map(move |key| (port, key, known.verdict(host, port, key)));
    PORTS.into_iter().flat_map(on_port)
}

const OTHER_TYPE: u8 = 1;
const CHANGED: u8 = 2;
const KNOWN: u8 = 3;

/// The rank of a verdict among those of other lines.
fn gravity(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Unknown => 0,
        Verdict::OtherType { .. } => OTHER_TYPE,
        Verdict::Changed { .. } => CHANGED,
        Verdict::Known { .. } => KNOWN,
        Verdict::Revoked { .. } => 4,
    }
}

fn check_against_lines(host: &str, keys: &[HostKey], known: &KnownHosts, lines: &[&[u8]]) {
    let files: Vec<KnownHosts> = lines.iter().map(|line| parse(line)).collect();
    for (port, key, verdict) in verdicts(host, keys, known) {
        let alone: Vec<u8> = files.iter().map(|file| gravity(&file.verdict(host, port, key))).collect();
        let gravest = alone.iter().copied().max().unwrap_or(0);
        // On other ports, a line without a port makes the key known only if no line has the port.
        if port == 22 || gravest != KNOWN {
            assert_eq!(gravity(&verdict), gravest, "{verdict:?} of a file, {alone:?} of its lines");
        }
        if let Verdict::Known { location } | Verdict::Revoked { location } = &verdict {
            let named = location.line().and_then(|line| alone.get(line - 1));
            assert_eq!(named, Some(&gravity(&verdict)), "{verdict:?} names a line with another verdict");
        }
    }
}

/// A host with a key on record cannot send another one and pass for an unknown host, which
/// accept-new would trust.
fn check_other_keys(host: &str, keys: &[HostKey], known: &KnownHosts) {
    let verdicts: Vec<u8> = keys.iter().map(|key| gravity(&known.verdict(host, 22, key))).collect();
    let on_record = keys.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == KNOWN);
    for (recorded, _) in on_record {
        for (shown, &verdict) in keys.iter().zip(&verdicts) {
            let least = if shown.key_type() == recorded.key_type() { CHANGED } else { OTHER_TYPE };
            assert!(verdict >= least, "{shown:?} has verdict {verdict} although {recorded:?} is on record");
        }
    }
}

/// No policy that verifies accepts a revoked key, and the strict one accepts known keys only.
fn check_policies(host: &str, keys: &[HostKey], known: &KnownHosts, file: &[u8]) {
    let pins = keys.iter().fold(HostKeyPins::new(), |pins, key| pins.for_any_host(key.fingerprint()));
    let strict = Verifier::new(parse(file), HostKeyPolicy::strict());
    let ask = Verifier::new(parse(file), HostKeyPolicy::ask(|_| HostKeyDecision::Accept));
    let pinned = Verifier::new(parse(file), HostKeyPolicy::pinned(pins));
    for (port, key, verdict) in verdicts(host, keys, known) {
        let revoked = matches!(verdict, Verdict::Revoked { .. });
        let accepted = [&strict, &ask, &pinned].map(|verifier| verifier.verify(host, port, key).is_ok());
        assert_eq!(accepted, [matches!(verdict, Verdict::Known { .. }), !revoked, !revoked], "{verdict:?}");
    }
}

/// No other line of a file can undo a revocation, whatever their order.
fn check_revocation_wins(host: &str, keys: &[HostKey], file: &[u8]) {
    let lines: String = keys.iter().map(|key| format!("@revoked * {}\n", key.to_openssh())).collect();
    let first = parse(&[lines.as_bytes(), file].concat());
    let last = parse(&[file, b"\n", lines.as_bytes()].concat());
    for (_, _, verdict) in verdicts(host, keys, &first).chain(verdicts(host, keys, &last)) {
        assert!(matches!(verdict, Verdict::Revoked { .. }), "{verdict:?} despite a revocation");
    }
}

/// If every plain line is changed to one of an authority, the file makes no key of any host known.
fn check_authorities_are_no_hosts(host: &str, keys: &[HostKey], lines: &[&[u8]]) {
    let mut file = Vec::new();
    for line in lines {
        let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if line.get(blanks) != Some(&b'@') {
            file.extend_from_slice(b"@cert-authority ");
        }
        file.extend_from_slice(line);
    }
    let known = parse(&file);
    for (_, _, verdict) in verdicts(host, keys, &known) {
        let untrusted = matches!(verdict, Verdict::Unknown | Verdict::Revoked { .. });
        assert!(untrusted, "{verdict:?} from authorities alone");
    }
}

/// A search in slices of one line ends, and finds the same as an uninterrupted search.
fn check_slices(host: &str, keys: &[HostKey], known: &KnownHosts) {
    for (port, key, verdict) in verdicts(host, keys, known) {
        let mut scan = known.scan(host, port, key);
        let mut slices = 0;
        while !scan.advance(known, 1) {
            slices += 1;
            assert!(slices <= 8 * known.len() * known.len() + 1, "the search does not end");
        }
        assert_eq!(scan.verdict(), Some(&verdict));
        if matches!(verdict, Verdict::Unknown | Verdict::OtherType { .. }) {
            assert_eq!(scan.algorithms(), known.recorded_algorithms(host, port));
        }
    }
}

/// The input as a file of revoked keys, and as what follows the first bytes of a KRL. A key that is
/// added to a text is revoked, and makes no text valid or damaged.
fn check_revoked_keys(keys: &[HostKey], data: &[u8]) {
    const MAGIC: &[u8] = b"SSHKRL\n\0";
    let parse = |content: &[u8]| RevokedKeys::parse(content, Path::new("revoked"));
    let [file, krl] = [data, &[MAGIC, data].concat()].map(parse);
    for key in keys {
        file.iter().chain(&krl).for_each(|revoked| assert_eq!(revoked.contains(key), revoked.contains(key)));
        if !data.starts_with(MAGIC) {
            let added = parse(&[data, b"\n", key.to_openssh().as_bytes()].concat());
            assert_eq!(added.is_ok(), file.is_ok());
            assert!(added.is_err() || added.is_ok_and(|added| added.contains(key)));
        }
    }
}
