//! What a fleet does not change: the signals and the threads of its process.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use sshoal::Budget;
use sshoal::output::Deliver;

use super::{Told, drive, engine, open, run, simulate, watch};
use crate::support::system::{is_rerun, rerun};

/// Fields of this thread's status, as shown by the system.
fn status(fields: &[&str]) -> Vec<String> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let is_wanted = |line: &&str| fields.iter().any(|field| line.starts_with(&format!("{field}:")));
    status.lines().filter(is_wanted).map(str::to_owned).collect()
}

/// Threads, handlers and masks are per process, so the process must do nothing else.
#[test]
fn threads_and_signal_handlers_stay_as_they_are() {
    if !is_rerun() {
        let mut alone = rerun(module_path!(), "threads_and_signal_handlers_stay_as_they_are");
        let output = alone.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let _dog = watch();
    let sim = simulate(&["i%5==0 auth:rst", "i%5==1 stream@10:fin"]);
    let fields = ["Threads", "SigCgt", "SigIgn", "SigBlk"];
    let before = status(&fields);
    assert_eq!(before.len(), 4, "{before:?}");
    let mut fleet = engine(&sim, 50).build().unwrap();
    fleet.start("lines 100; hostname").unwrap();
    let mut told = Told::default();
    drive(&mut fleet, Budget::default(), &mut told, |told| {
        assert_eq!(status(&fields), before);
        !told.done.is_empty()
    });
    fleet.cancel_all();
    drop(fleet);
    assert_eq!(status(&fields), before);
}

/// A program in a language other than Rust may not ignore SIGPIPE, which would end it.
#[test]
fn hosts_that_hang_up_raise_no_signal() {
    let _dog = watch();
    let pending = || status(&["SigPnd"]);
    // A blocked signal stays pending, even one that would be ignored otherwise.
    let sigpipe = SigSet::from(Signal::SIGPIPE);
    sigpipe.thread_block().unwrap();
    let none = pending();
    let sim = simulate(&[
        "i%8==0 accept:rst",
        "i%8==1 banner:fin",
        "i%8==2 kex:rst",
        "i%8==3 auth:rst",
        "i%8==4 open:rst",
        "i%8==5 exec:fin",
        "i%8==6 stream@1:rst",
    ]);
    let mut fleet = engine(&sim, 80).timeout(Duration::from_secs(2)).build().unwrap();
    let command = sshoal::Run::new(open("echo ready; cat")).deliver(Deliver::Lines);
    let commands = fleet.start(command).unwrap().commands;
    let mut told = Told::default();
    drive(&mut fleet, Budget::default(), &mut told, |told| {
        told.finished.len() == 70 && told.lines.values().filter(|lines| !lines.is_empty()).count() >= 10
    });
    // The remaining connections are closed before this end has noticed, and are written to.
    drop(sim);
    for id in &commands {
        let _ = fleet.write_stdin(*id, &[b'x'; 100_000]);
    }
    drive(&mut fleet, Budget::default(), &mut told, |told| !told.done.is_empty());
    assert_eq!(told.done[0].succeeded, 0);
    run(&mut fleet, "hostname");
    drop(fleet);
    assert_eq!(pending(), none, "SIGPIPE");

    // Shows that a signal would have been noticed.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(rustix::io::write(&writer, b"x"), Err(rustix::io::Errno::PIPE));
    assert_ne!(pending(), none);
}
