//! Compares sshoal with OpenSSH on random files: the lines that sshoal finds for a host must be
//! those that `ssh-keygen -F` finds.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::line::hashed_column;
use super::super::names::HostNames;
use super::super::{HostKey, KnownHosts, Location, Verdict};
use super::support::{Random, dsa, ed25519, rsa};
use super::take_comparisons;

/// How many files are tried; `SSHOAL_KNOWN_HOSTS_FILES` overrides the number.
const FILES: u64 = 200;

const HOSTS: &[(&str, u16)] = &[
    ("web1", 22),
    ("web1", 2222),
    ("web10", 22),
    ("db.example.org", 22),
    ("db.example.org", 2222),
    ("10.0.0.1", 22),
    ("2001:db8::1", 22),
    ("2001:db8::1", 2222),
];

const NAMES: &[&str] = &[
    "web1",
    "[web1]:2222",
    "web10",
    "db.example.org",
    "[db.example.org]:2222",
    "10.0.0.1",
    "2001:db8::1",
    "[2001:db8::1]:2222",
    "WEB1",
    "Db.Example.ORG",
    "*",
    "?eb1",
    "web?",
    "web*",
    "web1*",
    "*.example.org",
    "*.example.*",
    "[*]:2222",
    "[web1]:*",
    "10.0.0.*",
    "10.*.1",
    "*:*",
    "*1",
    "**e**",
    "",
    "web1?",
    "[web1]:22",
    "web1:2222",
    "w*b*1*",
    "x",
];

/// A line as `ssh-keygen` describes it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Found {
    line: usize,
    marker: String,
    fingerprint: String,
}

fn ask_ssh_keygen(name: &str, file: &Path) -> BTreeSet<Found> {
    let output = Command::new("ssh-keygen").args(["-l", "-F", name, "-f"]).arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found = BTreeSet::new();
    let mut lines = text.lines();
    while let Some(header) = lines.next() {
        let (_, place) = header.split_once(" found: line ").unwrap();
        let (line, marker) = place.split_once(' ').unwrap();
        let fingerprint = lines.next().unwrap().split(' ').find(|word| word.starts_with("SHA256:")).unwrap();
        found.insert(Found {
            line: line.parse().unwrap(),
            marker: marker.to_owned(),
            fingerprint: fingerprint.to_owned(),
        });
    }
    found
}

fn random_names(random: &mut Random) -> String {
    if random.one_in(3) {
        let salt = random.bytes(20).try_into().unwrap();
        let hashed = hashed_column(&salt, NAMES[random.below(8)]);
        return match random.below(12) {
            0 => hashed.replacen("|1|", "|2|", 1),
            1 => hashed[..hashed.len() - random.below(hashed.len())].to_owned(),
            2 => format!("{hashed},web1"),
            _ => hashed,
        };
    }
    let name = |random: &mut Random| {
        let negation = if random.one_in(6) { "!" } else { "" };
        format!("{negation}{}", random.pick(NAMES))
    };
    let count = 1 + random.below(3);
    (0..count).map(|_| name(random)).collect::<Vec<_>>().join(",")
}

fn random_key(random: &mut Random, keys: &[HostKey]) -> String {
    let key = random.pick(keys);
    let text = key.to_openssh();
    match random.below(24) {
        0 => text[..text.len() - random.below(text.len())].to_owned(),
        1 => format!("ssh-rsa {}", STANDARD.encode(key.blob())),
        2 => format!("{text}="),
        3 => format!("{} {}", key.algorithm(), STANDARD.encode(random.bytes(51))),
        4 => format!("{text}#"),
        5 => text.replacen(' ', "\t \t", 1),
        6 => text.replacen("AAAA", "AA\rAA", 1),
        7 => format!("{} {}", key.algorithm(), STANDARD.encode([key.blob(), b"x"].concat())),
        8 => text.replacen("ssh-rsa", "rsa-sha2-256", 1),
        9 => text.to_uppercase(),
        _ => text,
    }
}

fn random_line(random: &mut Random, keys: &[HostKey]) -> Vec<u8> {
    match random.below(30) {
        0 => return Vec::new(),
        1 => return b"# comment".to_vec(),
        2 => {
            let length = random.below(80);
            return random.bytes(length).into_iter().filter(|byte| !matches!(byte, 0 | b'\n')).collect();
        }
        _ => {}
    }
    let marker = match random.below(16) {
        0..=2 => "@revoked ",
        3 => "@cert-authority ",
        4 => *random.pick(&["@revoked", "@x ", "@ ", "@revoked @revoked ", "@cert-authority  ", "@Revoked "]),
        _ => "",
    };
    let indent = *random.pick(&["", "", "", " ", "\t "]);
    let gap = *random.pick(&[" ", " ", "\t", "  "]);
    let comment = *random.pick(&["", "", " root@host", " # a b c", "\t", " \u{1b}[2J"]);
    let (names, key) = (random_names(random), random_key(random, keys));
    let mut line = format!("{indent}{marker}{names}{gap}{key}{comment}").into_bytes();
    if random.one_in(20) {
        let position = line.len() - random.below(30);
        line.insert(position, 0);
    }
    if random.one_in(5) {
        line.push(b'\r');
    }
    line
}

fn random_file(random: &mut Random, keys: &[HostKey]) -> Vec<u8> {
    let count = random.below(25);
    let mut file = (0..count).map(|_| random_line(random, keys)).collect::<Vec<_>>().join(&b'\n');
    // OpenSSH 9.2 reads out of bounds after a last line without any blank.
    let last = file.split(|byte| *byte == b'\n').next_back().unwrap_or_default();
    if !random.one_in(3) || !last.trim_ascii().contains(&b' ') {
        file.push(b'\n');
    }
    file
}

/// Everything `known` says about a host, in the format of `ssh-keygen`.
fn lines_we_find(known: &KnownHosts, host: &str, keys: &[HostKey]) -> BTreeSet<Found> {
    let mut found = BTreeSet::new();
    let mut add = |location: &Location, marker: &str, key: &HostKey| {
        found.insert(Found {
            line: location.line().unwrap(),
            marker: marker.to_owned(),
            fingerprint: key.fingerprint().to_string(),
        });
    };
    for key in keys {
        match known.verdict(host, 22, key) {
            Verdict::Revoked { location } => add(&location, "REVOKED", key),
            Verdict::Known { location } => add(&location, "", key),
            _ => {}
        }
    }
    found
}

/// The verdict on a key by the rules of `check_host_key`, from the lines that `ssh-keygen` finds.
fn expected(
    found: &BTreeSet<Found>,
    fallback: &BTreeSet<Found>,
    key: &HostKey,
) -> (&'static str, Option<usize>) {
    let fingerprint = key.fingerprint().to_string();
    let find = |lines: &BTreeSet<Found>, marker: &str| {
        let line = lines.iter().find(|line| line.marker == marker && line.fingerprint == fingerprint);
        line.map(|line| line.line)
    };
    let revoked = find(found, "REVOKED").into_iter().chain(find(fallback, "REVOKED")).min();
    if revoked.is_some() {
        ("revoked", revoked)
    } else if let Some(line) = find(found, "") {
        ("known", Some(line))
    } else if let Some(line) = found.iter().find(|line| line.marker.is_empty()) {
        ("changed", Some(line.line))
    } else if let Some(line) = find(fallback, "") {
        ("known", Some(line))
    } else {
        ("unknown", None)
    }
}

/// A verdict in the terms of OpenSSH, which does not distinguish a key of another type from a
/// changed key.
fn summary(verdict: &Verdict, stranger: &Verdict) -> (&'static str, Option<usize>) {
    match verdict {
        Verdict::Known { location } => ("known", location.line()),
        Verdict::Revoked { location } => ("revoked", location.line()),
        Verdict::Unknown => ("unknown", None),
        Verdict::Changed { .. } | Verdict::OtherType { .. } => match stranger {
            Verdict::OtherType { recorded } => ("changed", recorded[0].1.line()),
            _ => ("changed", None),
        },
    }
}

#[test]
fn random_files_have_the_same_meaning_as_in_openssh() {
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        eprintln!("skipped: OpenSSH is not installed");
        return;
    }
    let files = std::env::var("SSHOAL_KNOWN_HOSTS_FILES").map_or(FILES, |files| files.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("known_hosts");
    let keys = [ed25519(1), ed25519(2), ed25519(3), rsa(1), rsa(2)];
    let mut settled = 0;
    for seed in 0..files {
        let mut random = Random(seed);
        let text = random_file(&mut random, &keys);
        std::fs::write(&path, &text).unwrap();
        let known = KnownHosts::load(&[&path]).unwrap();
        for _ in 0..3 {
            let (host, port) = *random.pick(HOSTS);
            let names = HostNames::new(host, port);
            let found = ask_ssh_keygen(names.exact(), &path);
            let fallback = names.fallback().map(|name| ask_ssh_keygen(name, &path)).unwrap_or_default();
            let context = || format!("seed {seed}, {host} {port}:\n{}", String::from_utf8_lossy(&text));

            // Use a key of a type that no line has, so that the verdict names each line with a host
            // key.
            let stranger = known.verdict(host, port, &dsa(1));
            let ours = match &stranger {
                Verdict::OtherType { recorded } => {
                    recorded.iter().map(|(_, at)| at.line().unwrap()).collect()
                }
                _ => Vec::new(),
            };
            let plain = found.iter().filter(|line| line.marker.is_empty());
            let theirs = plain.map(|line| line.line).collect::<Vec<_>>();
            assert_eq!(ours, theirs, "lines, {}", context());
            settled += theirs.len();

            for key in keys.iter().chain([&ed25519(9), &dsa(9)]) {
                let verdict = summary(&known.verdict(host, port, key), &stranger);
                assert_eq!(verdict, expected(&found, &fallback, key), "{key:?}, {}", context());
            }
            let mut scan = known.scan(host, port, &dsa(1));
            while !scan.advance(&known, 1) {}
            assert_eq!(scan.verdict(), Some(&stranger), "in slices, {}", context());
            // An authority explains why a host is unknown.
            if stranger == Verdict::Unknown {
                let authority =
                    found.iter().chain(&fallback).filter(|line| line.marker == "CA").map(|line| line.line);
                let ours = scan.authority().and_then(|location| location.line());
                assert_eq!(ours, authority.min(), "authority, {}", context());
            }
            if port == 22 {
                let ours = lines_we_find(&known, host, &keys);
                assert!(ours.is_subset(&found), "{ours:?} {found:?} {}", context());
            }
        }
    }
    assert!(settled as u64 > files, "the random files cover too little: {settled} lines in {files} files");
}

/// A search in slices gets the same results as an uninterrupted search.
#[test]
fn slices_of_any_size_find_the_same() {
    let keys = [ed25519(1), ed25519(2), ed25519(3), rsa(1), rsa(2)];
    let mut told = BTreeSet::new();
    for seed in 0..2 * FILES {
        let mut random = Random(seed);
        let mut known = KnownHosts::empty();
        known.parse(&random_file(&mut random, &keys), Path::new("known_hosts"));
        for &(host, port) in HOSTS {
            for key in keys.iter().chain([&ed25519(9), &dsa(9)]) {
                let verdict = known.verdict(host, port, key);
                let mut scan = known.scan(host, port, key);
                let slice = 1 + random.below(9);
                take_comparisons();
                while !scan.advance(&known, slice) {
                    // A line that may also name the host without its port is compared twice.
                    let compared = take_comparisons();
                    assert!(compared <= slice + 1, "seed {seed}: {compared} comparisons, not {slice}");
                }
                assert_eq!(scan.verdict(), Some(&verdict), "seed {seed}, {host} {port} {key:?}");
                let open = matches!(verdict, Verdict::Unknown | Verdict::OtherType { .. });
                let recorded = if open { known.recorded_algorithms(host, port) } else { Vec::new() };
                assert_eq!(scan.algorithms(), recorded, "seed {seed}, {host} {port} {key:?}");
                let kind = format!("{verdict:?}").split([' ', '{']).next().unwrap().to_owned();
                told.insert((kind, recorded.is_empty()));
            }
        }
    }
    assert!(told.len() >= 6, "the random files cover too little: {told:?}");
}
