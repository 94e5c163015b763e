//! Transfers of files with real servers.

mod batches;
mod copies;
mod files;
mod get;
mod interrupted;
mod kills;
mod put;
mod rate;
mod servers;
mod side_by_side;
mod without_sftp;

use std::path::Path;

use sshoal::transfer::Transferred;
use sshoal::{Command, HostError, Outcome, ParallelClient};

use crate::support::sshd::{Builder, Sshd};

const SFTP: &str = "Subsystem sftp /usr/lib/openssh/sftp-server";

/// A server with OpenSSH's SFTP server as a program of its own.
fn sshd() -> Builder {
    Sshd::builder().option(SFTP)
}

/// Runs a transfer to its end on all hosts.
#[track_caller]
fn transfer(client: &mut ParallelClient, work: impl Into<Command>) -> Vec<Outcome> {
    let outputs = client.start_command(work.into()).expect("it starts");
    let _ = client.join(&outputs, sshoal::JoinOptions::default().timeout(super::SLOW));
    outputs.iter().map(|output| output.outcome().expect("it has ended")).collect()
}

/// What a transfer has done on the only host.
#[track_caller]
fn done(client: &mut ParallelClient, work: impl Into<Command>) -> Transferred {
    let outcomes = transfer(client, work);
    match &outcomes[..] {
        [Outcome::Transferred(done)] => **done,
        other => panic!("{other:?}"),
    }
}

/// Why a transfer has failed on the only host.
#[track_caller]
fn error(client: &mut ParallelClient, work: impl Into<Command>) -> HostError {
    let mut outcomes = transfer(client, work);
    match (outcomes.pop(), outcomes.len()) {
        (Some(Outcome::Failed(error)), 0) => error,
        other => panic!("{other:?}"),
    }
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Bytes that differ from place to place.
fn contents(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
