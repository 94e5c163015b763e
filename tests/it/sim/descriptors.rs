//! Fewer descriptors than hosts. The limit is per process, so each test runs in a separate process.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sshoal::{Budget, Event, HostErrorKind, JoinOptions};

use super::{assert_hostnames, client, command, engine, fleet, run, watch};
use crate::support::system::{is_rerun, rerun};

/// Descriptors that the library leaves to the rest of the program.
const SPARED: u64 = 16;

/// Returns whether this is the test's separate process; otherwise runs it in one.
#[track_caller]
fn in_own_process(test: &str) -> bool {
    if is_rerun() {
        return true;
    }
    let output = rerun(module_path!(), test).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    eprint!("{stderr}");
    false
}

fn open() -> u64 {
    // Without the descriptor of the listing itself.
    fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1
}

/// Lowers the limit so that a client can have `count` connections.
fn leave(count: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, open() + SPARED + count, hard).unwrap();
}

/// Takes every descriptor but `left`.
fn take_all_but(left: usize) -> Vec<File> {
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken.truncate(taken.len() - left);
    taken
}

#[test]
fn more_hosts_than_descriptors_take_turns() {
    if !in_own_process("more_hosts_than_descriptors_take_turns") {
        return;
    }
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 200).pool_size(10).build().unwrap();
    leave(30);
    for _ in 0..2 {
        assert_hostnames(&run(&mut client, "hostname"));
        let stats = client.metrics();
        assert!(stats.pool == 10 && (10..=30).contains(&stats.connections), "{stats:?}");
    }
    assert!(sim.stats().unwrap().connections >= 370);
}

#[test]
fn the_pool_shrinks_to_the_descriptors_that_are_free() {
    if !in_own_process("the_pool_shrinks_to_the_descriptors_that_are_free") {
        return;
    }
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 150).pool_size(100).build().unwrap();
    assert_eq!(client.metrics().pool, 100);
    leave(20);
    assert_hostnames(&run(&mut client, "hostname"));
    let stats = client.metrics();
    assert!((18..=20).contains(&stats.pool), "{stats:?}");
    assert!(stats.connections <= 20, "{stats:?}");
}

/// Like a program with little more than a shell's soft limit: hosts wait for descriptors, and none
/// fails for lack of them.
#[test]
fn a_thousand_hosts_go_through_two_hundred_descriptors() {
    const HOSTS: usize = 1_000;
    const LIMIT: u64 = 200;
    if !in_own_process("a_thousand_hosts_go_through_two_hundred_descriptors") {
        return;
    }
    let _dog = watch();
    let sim = fleet(&[]);
    let mut fleet = engine(&sim, HOSTS).max_connecting(HOSTS).build().unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, LIMIT, hard).unwrap();
    for round in 0..2 {
        fleet.start(format!("echo {round}")).unwrap();
        let (mut most, mut tally) = (0, None);
        while tally.is_none() {
            fleet.wait(None).unwrap();
            fleet.turn(Instant::now(), Budget::default()).unwrap();
            let metrics = fleet.metrics();
            most = most.max(metrics.connections);
            assert!(metrics.pool as u64 <= LIMIT || most == 0, "{metrics}");
            while let Some(event) = fleet.next_event() {
                match event {
                    Event::RunDone { tally: all, .. } => tally = Some(all),
                    Event::Disconnected { error: Some(error), .. } => panic!("{error}"),
                    _ => {}
                }
            }
        }
        let tally = tally.unwrap();
        assert_eq!((tally.succeeded, tally.failed), (HOSTS, 0));
        assert!(most > 100 && most as u64 <= LIMIT - SPARED, "{most} connections at once");
    }
}

/// Another user of the process takes the descriptors that were free when the command started.
#[test]
fn descriptors_may_run_out_in_the_middle() {
    if !in_own_process("descriptors_may_run_out_in_the_middle") {
        return;
    }
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 60).pool_size(5).build().unwrap();
    leave(200);
    let outputs = client.start_command("hostname").unwrap();
    let taken = take_all_but(4);
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert_hostnames(&outputs);
    assert!(client.metrics().connections <= 9);
    drop(taken);
    assert_hostnames(&run(&mut client, "hostname"));
}

#[test]
fn without_a_descriptor_every_host_says_so() {
    if !in_own_process("without_a_descriptor_every_host_says_so") {
        return;
    }
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 20).num_retries(3).build().unwrap();
    leave(0);
    let taken = take_all_but(0);
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    for output in &outputs {
        let error = output.error().unwrap();
        assert!(matches!(error.kind(), HostErrorKind::Limit(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(output.host()) && text.contains("ulimit -n"), "{text}");
    }
    drop(taken);
    leave(30);
    assert_hostnames(&run(&mut client, "hostname"));
}

/// libssh stores a descriptor in 16 bits and would use another file's instead.
#[test]
fn descriptors_that_libssh_cannot_hold_are_refused() {
    const HIGHEST: u64 = 0xffff;
    if !in_own_process("descriptors_that_libssh_cannot_hold_are_refused") {
        return;
    }
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 3).build().unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = HIGHEST + 65;
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_err() {
        eprintln!("not tested: {wanted} descriptors are above the hard limit of {hard}");
        return;
    }
    let taken = take_all_but(60);
    assert!(open() > HIGHEST);
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    for output in &outputs {
        let error = output.error().unwrap();
        assert!(matches!(error.kind(), HostErrorKind::Limit(_)), "{error:?}");
        assert!(error.to_string().contains("is above 65535"), "{error}");
    }
    drop(taken);
    assert_hostnames(&run(&mut client, "hostname"));
}
