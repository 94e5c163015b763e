//! How far the window of a channel stays open, as a server's log shows it.

use std::fs;

use sshoal::ParallelClient;
use sshoal::config::ClientBuilder;
use sshoal::transfer::Get;
use tempfile::tempdir;

use super::proxy::behind;
use super::{build, client_for, guard, join, rest};
use crate::support::sshd::Sshd;

/// What a command prints: several windows.
const BYTES: usize = 12 << 20;

/// Prints much, and returns by how much each message grew the window of this server's channel.
fn growths(client: ClientBuilder, sshd: &Sshd) -> Vec<usize> {
    let mut client = build(client);
    let outputs = client.run_command(format!("head -c {BYTES} /dev/zero")).expect("it starts");
    join(&client, &outputs);
    assert_eq!(rest(&outputs[0]).0.concat().len(), BYTES);
    grown(sshd)
}

/// Fetches a file, and returns the same.
fn growths_of_get(client: ClientBuilder, sshd: &Sshd) -> Vec<usize> {
    let folder = tempdir().expect("a folder");
    let (there, here) = (folder.path().join("there"), folder.path().join("here"));
    let contents: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    fs::write(&there, &contents).expect("written");
    let mut client = build(client);
    let outputs = client.run_command(Get::new(there.to_str().expect("UTF-8"), &here)).expect("it starts");
    join(&client, &outputs);
    assert!(fs::read(&here).expect("it is there") == contents, "{:?}", outputs[0].outcome());
    grown(sshd)
}

fn grown(sshd: &Sshd) -> Vec<usize> {
    let log = sshd.log();
    let lines = log.lines().filter_map(|line| line.split_once("rcvd adjust ")?.1.trim().parse().ok());
    lines.collect()
}

fn has_small_steps() -> bool {
    ParallelClient::library().version.starts_with("0.10.")
}

/// A distant server would otherwise get half a window per round trip. libssh since 0.11 grows its
/// window of 2 MiB by at least half, and lets nobody else grow it.
#[track_caller]
fn assert_steps(growths: &[usize]) {
    let largest = if has_small_steps() { 330_000 } else { 2 << 20 };
    // The first growths bring the window to its full size.
    assert!(growths.len() > 4, "{growths:?}");
    assert!(growths[2..].iter().all(|growth| *growth <= largest), "{growths:?}");
}

#[test]
fn a_window_is_grown_long_before_it_is_used_up() {
    let _dog = guard("windows");
    let sshd = Sshd::builder().log_level("DEBUG2").start();
    assert_steps(&growths(client_for(&sshd, ["127.0.0.1"]), &sshd));
}

/// Where libssh lets nobody else grow the window, each growth is of exactly half of it. If it was
/// of more, the server would wait for a round trip each time.
#[test]
fn the_window_of_a_get_is_grown_by_halves() {
    let _dog = guard("windows_get");
    let sshd = Sshd::builder().sftp_server("").log_level("DEBUG2").start();
    let growths = growths_of_get(client_for(&sshd, ["127.0.0.1"]), &sshd);
    assert_steps(&growths);
    assert!(has_small_steps() || growths.iter().all(|growth| *growth == 1 << 20), "{growths:?}");
}

#[test]
fn the_window_of_a_tunnel_is_grown_too() {
    let _dog = guard("windows_tunnel");
    let bastion = Sshd::builder().option("AllowTcpForwarding yes").log_level("DEBUG2").start();
    let target = Sshd::builder().start();
    assert_steps(&growths(behind(&bastion, &target, &["127.0.0.1"]), &bastion));
}
