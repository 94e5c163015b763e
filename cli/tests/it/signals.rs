//! Signals without a terminal, and readers that leave.

use std::io::{BufRead, BufReader};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use super::support::user::TestUser;
use super::support::{Done, Site};

/// Starts a command that prints a line and then sleeps for this long on two hosts, and waits until
/// it does.
fn sleeping(site: &Site, seconds: &str) -> Child {
    let child = site.sshoal(["-w", "web1,web2", "exec", "sleep", seconds]).start();
    site.await_processes(seconds, 2);
    child
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it runs");
}

#[test]
fn signals_end_what_runs_and_the_program() {
    let Some(user) = TestUser::create() else { return };
    let site = Site::of_user(&user);
    for (signal, seconds, code) in
        [(Signal::INT, "171", 130), (Signal::TERM, "172", 143), (Signal::HUP, "173", 129)]
    {
        let child = sleeping(&site, seconds);
        send(&child, signal);
        let done = Done::of(child);
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.err.contains("(2): stopped by "), "{done:?}");
        site.await_processes(seconds, 0);
    }
}

#[test]
fn a_command_that_outlives_its_end_is_named() {
    let site = Site::start();
    // It does not end by SIGTERM, and holds its output open.
    let child = site.sshoal(["-w", "web1", "trap '' TERM HUP; while :; do sleep 0.174; done"]).start();
    site.await_processes("0.174", 1);
    send(&child, Signal::TERM);
    let done = Done::of(child);
    let text = "web1: stopped by SIGTERM; the command did not end, and may still run";
    assert!(done.err.contains(text), "{done:?}");
    assert_eq!(done.code, Some(143));
}

#[test]
fn a_second_signal_leaves_at_once_and_names_what_may_run() {
    let site = Site::start();
    // It does not end by SIGTERM, and holds its output open.
    let command = "trap '' TERM; echo ready; while :; do sleep 0.1741; done";
    let mut child = site.sshoal(["-w", "web1", command]).start();
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "web1: ready\n");
    send(&child, Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(300));
    send(&child, Signal::INT);
    let done = Done::of(child);
    assert_eq!(done.code, Some(130), "{done:?}");
    assert!(done.err.contains("web1: may still run"), "{done:?}");
}

#[test]
fn what_nobody_reads_ends_the_run() {
    let Some(user) = TestUser::create() else { return };
    let site = Site::of_user(&user);
    let command = "while :; do echo y; sleep 0.01; done; exec sleep 175";
    let mut child = site.sshoal(["-w", "web1,web2", command]).start();
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    out.read_line(&mut String::new()).expect("a line");
    drop(out);
    let done = Done::of(child);
    assert_eq!(done.code, Some(141), "{done:?}");
    site.await_processes("while :; do echo y; sleep 0.01; done; exec sleep 175", 0);
}

#[test]
fn a_hang_up_that_is_ignored_stays_ignored() {
    let site = Site::start();
    let line = format!(
        "trap '' HUP; exec '{}' -F '{}' -w web1 'exec sleep 1.76'",
        env!("CARGO_BIN_EXE_sshoal"),
        site.config()
    );
    let mut shell = std::process::Command::new("sh");
    let child = shell.args(["-c", &line]).stdin(std::process::Stdio::null()).spawn().expect("sh");
    site.await_processes("1.76", 1);
    send(&child, Signal::HUP);
    assert_eq!(Done::of(child).code, Some(0));
}
