//! Lines and bytes per second through one [`LineBuffer`], the path of every byte of output.
//!
//! Each case pushes the whole input in chunks of 4 KiB, about the size of one delivery by a
//! channel, and reads after each chunk, as the blocking client does; `backlog` pushes everything
//! first, as for a host that nobody reads yet.
//!
//! Then a client reads the lines of simulated hosts, lent and as a `String` each, and the same
//! output as bytes, alternately: `cargo bench --bench lines -- client` does only that.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails at once")]

use std::env;
use std::hint::black_box;
use std::process::{Command, ExitCode};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};

#[path = "lines/mod.rs"]
mod suite;
#[path = "support/mod.rs"]
#[allow(dead_code, reason = "a bench uses a part of it")]
mod support;

// The module is private to the crate.
#[path = "../src/output"]
#[allow(dead_code, unused_imports, reason = "a bench uses a part of it")]
mod crate_source {
    pub mod lines;
}

#[path = "../src"]
#[allow(dead_code, unused_imports, reason = "of these, the buffer needs two")]
mod limits_source {
    pub mod limits;
}

use crate_source::lines::LineBuffer;
use limits_source::limits;

const CHUNK_BYTES: usize = 4096;
const INPUT_BYTES: usize = 4 << 20;

/// Inputs of equal size that differ in the bytes per line.
fn inputs() -> [(&'static str, Vec<u8>); 3] {
    [("short", 8), ("typical", 80), ("long", 1 << 20)].map(|(name, line_bytes)| {
        let line = [vec![b'x'; line_bytes - 1].as_slice(), b"\n"].concat();
        (name, line.repeat(INPUT_BYTES / line_bytes))
    })
}

fn line_count(input: &[u8]) -> u64 {
    input.iter().map(|&byte| u64::from(byte == b'\n')).sum()
}

fn drain_borrowed(buffer: &mut LineBuffer) {
    while let Some(line) = buffer.next_line() {
        black_box(line);
    }
}

fn drain_owned(buffer: &mut LineBuffer) {
    while let Some(line) = buffer.next_line() {
        black_box(line.to_vec());
    }
}

fn run(input: &[u8], mut after_chunk: impl FnMut(&mut LineBuffer), at_end: impl FnOnce(&mut LineBuffer)) {
    let mut buffer = LineBuffer::new();
    for chunk in input.chunks(CHUNK_BYTES) {
        buffer.push(black_box(chunk));
        after_chunk(&mut buffer);
    }
    buffer.finish();
    at_end(&mut buffer);
}

fn raw_reads(input: &[u8]) {
    let mut out = [0; 1500];
    let mut drain = |buffer: &mut LineBuffer| while buffer.read(black_box(&mut out)) > 0 {};
    run(input, &mut drain, |_| {});
}

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lines");
    for (name, input) in inputs() {
        group.throughput(Throughput::ElementsAndBytes {
            elements: line_count(&input),
            bytes: input.len() as u64,
        });
        group.bench_with_input(BenchmarkId::new("borrowed", name), &input, |bencher, input| {
            bencher.iter(|| run(input, drain_borrowed, drain_borrowed));
        });
        group.bench_with_input(BenchmarkId::new("owned", name), &input, |bencher, input| {
            bencher.iter(|| run(input, drain_owned, drain_owned));
        });
        group.bench_with_input(BenchmarkId::new("backlog", name), &input, |bencher, input| {
            bencher.iter(|| run(input, |_| {}, drain_borrowed));
        });
    }
    let (_, input) = &inputs()[0];
    group.throughput(Throughput::Bytes(input.len() as u64));
    group.bench_function("raw", |bencher| bencher.iter(|| raw_reads(input)));
    group.finish();
}

criterion_group!(benches, benchmark);

/// Lines of each host, and rounds of each way to read them.
const LINES: usize = 1_000;
const ROUNDS: usize = 40;
const HOSTS: usize = 100;

fn main() -> ExitCode {
    // The simulated hosts are this program again, as a separate process.
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    if !env::args().any(|arg| arg == "client") {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
    let sim = support::simulator(Command::new(env::current_exe().unwrap()), true, |sim| sim);
    for row in support::pinned(true, || suite::measure(&sim, HOSTS, LINES, ROUNDS)) {
        println!("{row}");
    }
    ExitCode::SUCCESS
}
