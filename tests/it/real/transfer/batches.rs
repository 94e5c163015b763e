//! Copies to so many hosts that the answers of each are read in batches.

use std::fs;

use sshoal::transfer::Put;
use sshoal::{Command, Outcome};
use tempfile::tempdir;

use super::{contents, sshd, transfer};
use crate::real::{build, client_for, guard};

/// More than `limits::BATCHING_TRANSFERS`.
const HOSTS: u32 = 70;

#[test]
fn copies_to_many_hosts_are_whole_though_keys_are_renewed() {
    let _dog = guard("transfer_batches");
    let sshd = sshd().log_level("DEBUG1").start();
    let folder = tempdir().expect("a folder");
    let hosts: Vec<String> = sshd.hosts(HOSTS).collect();
    let contents = contents(3_000_000);
    let local = folder.path().join("local");
    fs::write(&local, &contents).expect("written");
    let mut client = build(client_for(&sshd, &hosts).rekey_bytes(1024 * 1024));
    let copy = |number: u32| folder.path().join(number.to_string());
    let target = folder.path().join("%s");
    let put: Command = Put::new(&local, target.to_str().expect("UTF-8")).into();
    let outcomes = transfer(&mut client, put.host_args((0..HOSTS).map(|number| number.to_string())));
    for outcome in outcomes {
        assert!(matches!(outcome, Outcome::Transferred(_)), "{outcome}");
    }
    for number in 0..HOSTS {
        assert!(fs::read(copy(number)).expect("there") == contents, "copy {number} differs");
    }
    let keys = sshd.count("SSH2_MSG_NEWKEYS received");
    assert!(keys >= 3 * HOSTS as usize, "{keys} key exchanges");
}
