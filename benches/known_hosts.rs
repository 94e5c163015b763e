//! known_hosts with 100,000 lines, half of them hashed: the cost of reading it once, and the cost
//! per host afterwards.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up fails")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sshoal::hostkey::{HostKey, KnownHosts, Verdict};

const LINES: usize = 100_000;

/// A host in plain text in the middle of the file, and a hashed one.
const PLAIN: usize = LINES / 2;
const HASHED: usize = LINES / 2 + 1;

fn name(line: usize) -> String {
    format!("web{line}.example.org")
}

/// An Ed25519 key as sent by a server; each line has another one.
fn blob(line: usize) -> Vec<u8> {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend((0..4_u64).flat_map(|word| (line as u64 + 1).wrapping_mul(0x9e37_79b9 + word).to_be_bytes()));
    blob
}

fn key(line: usize) -> HostKey {
    HostKey::from_blob(blob(line)).expect("a key")
}

fn hashed(line: usize) -> String {
    let salt = &blob(line)[19..39];
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).expect("HMAC takes keys of any length");
    mac.update(name(line).as_bytes());
    let digest = mac.finalize().into_bytes();
    format!("|1|{}|{}", BASE64_STANDARD.encode(salt), BASE64_STANDARD.encode(digest))
}

fn text() -> String {
    let mut text = String::new();
    for line in 0..LINES {
        let names = if line % 2 == 0 { name(line) } else { hashed(line) };
        let _ = writeln!(text, "{names} ssh-ed25519 {}", BASE64_STANDARD.encode(blob(line)));
    }
    text
}

fn parse(text: &str) -> KnownHosts {
    let mut known = KnownHosts::empty();
    known.parse(text.as_bytes(), Path::new("known_hosts"));
    known
}

fn known_hosts(criterion: &mut Criterion) {
    let text = text();
    let known = parse(&text);
    assert_eq!(known.len(), LINES);
    let mut group = criterion.benchmark_group("known_hosts");
    group.sample_size(10);
    group.bench_function("read 100,000 lines", |bench| bench.iter(|| parse(black_box(&text))));
    for (what, line) in [("plain", PLAIN), ("hashed", HASHED)] {
        let (name, key) = (name(line), key(line));
        group.bench_function(format!("known key, {what} name"), |bench| {
            bench.iter(|| {
                let verdict = known.verdict(black_box(&name), 22, &key);
                assert!(matches!(verdict, Verdict::Known { .. }));
            });
        });
        group.bench_function(format!("algorithms to offer, {what} name"), |bench| {
            bench.iter(|| known.named_algorithms(black_box(&name), 22));
        });
    }
    let stranger = key(LINES);
    group.bench_function("unknown key: all hashed names", |bench| {
        bench.iter(|| known.verdict(black_box("stranger"), 22, &stranger));
    });
    // The work of a fleet in one visit (src/limits.rs: `HOST_KEY_LINES`).
    group.bench_function("unknown key: a slice of 500 hashed names", |bench| {
        bench.iter_batched(
            || known.scan("stranger", 22, &stranger),
            |mut scan| assert!(!scan.advance(&known, 500)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, known_hosts);
criterion_main!(benches);
