//! Transfers under a limit on their rate.

use std::fs;
use std::time::{Duration, Instant};

use sshoal::transfer::{Get, Put};
use sshoal::{Command, Outcome, ParallelClient};
use tempfile::tempdir;

use super::{contents, sshd, transfer};
use crate::real::{build, client_for, guard, run_all};
use crate::support::sshd::Sshd;

const HOSTS: [&str; 2] = ["127.0.2.1", "127.0.2.2"];
const SIZE: usize = 400_000;
const RATE: u64 = 500_000;

/// Copies on both hosts, and checks that this takes as long as the limit demands.
fn timed(client: &mut ParallelClient, work: impl Into<Command>) {
    // The logins do not count.
    run_all(client, "true");
    let begun = Instant::now();
    for outcome in transfer(client, work) {
        match outcome {
            Outcome::Transferred(done) => assert_eq!(done.bytes, SIZE as u64),
            other => panic!("{other}"),
        }
    }
    let took = begun.elapsed();
    let burst = RATE / 4 + 32 * 1024;
    let seconds = |bytes: u64| Duration::from_secs_f64(bytes as f64 / RATE as f64);
    let (least, most) = (seconds(2 * SIZE as u64 - burst), 5 * seconds(2 * SIZE as u64));
    assert!((least..most).contains(&took), "{took:?}, not {least:?} to {most:?}");
}

/// Sends a file to a name of its own on each host.
fn check_put(sshd: &Sshd) {
    let mut client = build(client_for(sshd, HOSTS).transfer_rate(RATE));
    let folder = tempdir().expect("a folder");
    let (local, remote) = (folder.path().join("local"), folder.path().join("remote"));
    fs::write(&local, contents(SIZE)).expect("written");
    let put = Put::new(&local, format!("{}-%s", remote.display()));
    timed(&mut client, Command::from(put).host_args(HOSTS));
    for host in HOSTS {
        let copy = folder.path().join(format!("remote-{host}"));
        assert!(fs::read(copy).expect("it is there") == contents(SIZE), "{host}");
    }
}

#[test]
fn a_put_keeps_to_the_limit() {
    let _dog = guard("rate_put");
    check_put(&sshd().start());
}

#[test]
fn a_put_by_scp_keeps_to_the_limit() {
    let _dog = guard("rate_scp");
    check_put(&Sshd::builder().option("Subsystem other /bin/false").start());
}

#[test]
fn a_get_keeps_to_the_limit() {
    let _dog = guard("rate_get");
    check_get(&sshd().start());
}

#[test]
fn a_get_by_scp_keeps_to_the_limit() {
    let _dog = guard("rate_get_scp");
    check_get(&Sshd::builder().option("Subsystem other /bin/false").start());
}

/// Fetches a file from each host.
fn check_get(sshd: &Sshd) {
    let mut client = build(client_for(sshd, HOSTS).transfer_rate(RATE));
    let folder = tempdir().expect("a folder");
    let remote = folder.path().join("remote");
    fs::write(&remote, contents(SIZE)).expect("written");
    timed(&mut client, Get::new(remote.to_str().expect("UTF-8"), folder.path().join("{host}/copy")));
    for host in HOSTS {
        let copy = folder.path().join(host).join("copy");
        assert!(fs::read(copy).expect("it is there") == contents(SIZE), "{host}");
    }
}
