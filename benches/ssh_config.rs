//! What a destination costs: 10,000 aliases against files of different shapes, and the time to read
//! a file.
//!
//! The goal is 200 ns per destination and block, and less than a second for 10,000 aliases.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up fails")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sshoal::ssh_config::{LocalContext, SshConfig, SshDestination};

const ALIASES: usize = 10_000;

/// A file with a block of each kind in turn, and the rest as most users have it.
fn mixed(blocks: usize) -> String {
    let mut text = String::new();
    for block in 0..blocks {
        let _ = match block % 4 {
            0 => writeln!(text, "Host rack{block}-* !rack{block}-9*\n  User ops\n  Port 2222"),
            1 => writeln!(text, "Match host *.rack{block}.example.org user ops\n  ProxyJump gate{block}"),
            2 => writeln!(text, "Host host{block}\n  HostName 10.0.{}.{}", block / 256 % 256, block % 256),
            _ => writeln!(text, "Match originalhost rack{block}-*,host{block}\n  IdentityFile ~/.ssh/%h"),
        };
    }
    text += "Host *\n  HostName %h.rack1.example.org\n  User ops\n  IdentityFile ~/.ssh/id_%r\n  ServerAliveInterval 30\n";
    text
}

/// A generated file: a block for each host.
fn one_block_per_host(blocks: usize) -> String {
    let mut text = String::new();
    for block in 0..blocks {
        let _ =
            writeln!(text, "Host host{block}\n  HostName 10.0.{}.{}\n  User ops", block / 256, block % 256);
    }
    text
}

fn config(text: &str) -> SshConfig {
    let context = LocalContext::fixed("alice", 1000, "/home/alice", "desk.example.org");
    SshConfig::parse(text, "config", context).expect("a configuration")
}

fn aliases(count: usize) -> Vec<SshDestination> {
    (0..count).map(|number| SshDestination::new(format!("host{number}"))).collect()
}

fn resolve_all(config: &SshConfig, destinations: &[SshDestination]) {
    let mut resolver = config.resolver();
    for destination in destinations {
        black_box(resolver.resolve(destination).expect("settings"));
    }
}

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ssh_config");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for blocks in [4, 100, 1000] {
        let config = config(&mixed(blocks));
        let destinations = aliases(100);
        group.throughput(Throughput::Elements((100 * blocks) as u64));
        group.bench_function(BenchmarkId::new("destination-and-block", blocks), |bencher| {
            bencher.iter(|| resolve_all(&config, &destinations));
        });
    }
    let destinations = aliases(ALIASES);
    group.throughput(Throughput::Elements(ALIASES as u64));
    let usual = config(&mixed(40));
    group.bench_function("10,000 aliases, 40 blocks", |bencher| {
        bencher.iter(|| resolve_all(&usual, &destinations))
    });
    let text = one_block_per_host(ALIASES);
    let generated = config(&text);
    group.bench_function("10,000 aliases, a block each", |bencher| {
        bencher.iter(|| resolve_all(&generated, &destinations));
    });
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("read 10,000 blocks", |bencher| bencher.iter(|| config(black_box(&text))));
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
