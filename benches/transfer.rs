//! What copies of files cost, beside `sftp`, `scp`, parallel-ssh and asyncssh: tables of
//! `docs/performance.md`.
//!
//! ```text
//! cargo bench --bench transfer                                  # all rows
//! cargo bench --bench transfer -- fleet --hosts 1000            # 10 MB to each of 1,000 hosts
//! cargo bench --bench transfer -- fleet-openssh --hosts 1000    # the same; takes 10 GB of memory
//! cargo bench --bench transfer -- near far --bytes 1000000000   # one large file
//! cargo bench --bench transfer -- near-tree far-tree --files 2000
//! cargo bench --features vendored --bench transfer -- far       # with the bundled libssh
//! ```
//!
//! The rows `fleet` put a file to simulated hosts, which run in a process on other CPUs, and write
//! the same bytes to the standard input of a command on each. Those of `fleet-openssh` do so over
//! as many connections to one OpenSSH server. All other rows copy between this machine and an
//! OpenSSH server on loopback: a file, or a directory of small ones, `near` without delay, `far`
//! with a round trip of 50 ms. Those figures are of whole processes, from start to end, with the
//! processes that they start (`ssh`). The server's CPU time does not count.
//!
//! Programs take turns in each round. A ratio is the median of the ratios of rounds, with its
//! quartiles: if those are far apart, the machine is busy. What is not installed is left out:
//! `pip install parallel-ssh`; asyncssh comes from PyPI by itself.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails at once")]

#[path = "support/mod.rs"]
#[allow(dead_code, reason = "other benchmarks use more of it")]
mod bench;
#[path = "transfer/mod.rs"]
mod suite;
#[path = "../tests/it/support/mod.rs"]
#[allow(unused, reason = "without a test harness, the unit tests of the fixtures are left out")]
mod support;

use std::env;
use std::process::{Command, ExitCode};

use suite::{Group, Options};

const USAGE: &str = "usage: transfer [--hosts N] [--bytes N] [--files N] [--rounds N] \
                     [fleet] [fleet-openssh] [near] [far] [near-tree] [far-tree]";

fn main() -> ExitCode {
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    if let Ok(job) = env::var(suite::JOB) {
        print!("{}", suite::work(&job));
        return ExitCode::SUCCESS;
    }
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let program = || Command::new(env::current_exe().unwrap());
    print!("{}", options.run(&program));
    ExitCode::SUCCESS
}

fn options() -> Option<Options> {
    let mut options = Options::default();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next()?.parse().ok();
        match arg.as_str() {
            // Added by cargo.
            "--bench" => {}
            "--hosts" => options.hosts = number()?,
            "--bytes" => options.bytes = number().map(|bytes| bytes as u64)?,
            "--files" => options.files = Some(number()?),
            "--rounds" => options.rounds = Some(number()?),
            name => options.groups.push(Group::ALL.into_iter().find(|group| group.name() == name)?),
        }
    }
    Some(options)
}
