//! Too many requests, and constant key exchanges.

use std::fs;
use std::io::Read as _;
use std::time::Duration;

use super::{
    HEALTHY, Hostile, OPEN_CONFIRMATION, OPEN_FAILURE, REQUEST_FAILURE, REQUEST_SUCCESS, SLOW, address, all,
    guard, join, run, stdout,
};
use crate::support::agent::{FakeAgent, Reply};
use crate::support::fds::FdBaseline;
use crate::support::system::{is_rerun, rerun};

/// The process's peak memory, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// In a separate process, because the peak is per process.
#[test]
fn ten_thousand_requests_are_answered_and_cost_no_memory() {
    let _dog = guard("requests");
    if !is_rerun() {
        let mut alone = rerun(module_path!(), "ten_thousand_requests_are_answered_and_cost_no_memory");
        let output = alone.output().expect("run this test's program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let kinds = ["opens", "globals"];
    let server = Hostile::start(&kinds);
    let mut client = server.client([HEALTHY]).build().expect("a client");
    let outputs = client.run_command("greet").expect("starts");
    join(&client, &outputs);
    let before = peak();
    let mut client = server.client(all(&kinds)).build().expect("a client");
    let outputs = run(&mut client, "greet");
    assert_eq!(stdout(&outputs[0]), ["hello"]);
    assert_eq!(stdout(&outputs[1]), ["hello"]);
    let grown = peak() - before;
    assert!(grown < 16 << 20, "{grown} bytes more");
    // libssh sends its queued replies only while the client is driven.
    let answered = || {
        client.finished(&outputs).expect("no error");
        let globals = server.seen(&address(1));
        let of = |kind| globals.get(&kind).copied().unwrap_or_default();
        let counts = (server.count(&address(0), OPEN_FAILURE), of(REQUEST_SUCCESS) + of(REQUEST_FAILURE));
        (counts == (10_000, 10_000)).then_some(())
    };
    crate::support::eventually(SLOW, "every request is answered", answered);
}

#[test]
fn a_flood_holds_nobody() {
    let _dog = guard("flood");
    for kind in ["opens", "globals", "noise"] {
        let server = Hostile::start(&[kind]);
        let mut client = server.client(all(&[kind])).build().expect("a client");
        let outputs = run(&mut client, "greet");
        assert_eq!(stdout(&outputs[0]), ["hello"], "{kind}");
        // The duration of a turn depends on the machine's load; its number of packets depends on
        // the library.
        let (packets, visits) = (if kind == "noise" { 8_000 } else { 10_000 }, client.metrics().visits);
        assert!(visits >= packets / 256, "{kind}: {packets} packets in {visits} visits");
    }
}

#[test]
fn new_keys_every_64_kilobytes_lose_nothing() {
    let _dog = guard("rekeys");
    let server = Hostile::start(&["rekeys"]);
    let mut client = server.client(all(&["rekeys"])).build().expect("a client");
    let outputs = run(&mut client, "greet");
    let mut received = Vec::new();
    outputs[0].stdout_reader().read_to_end(&mut received).expect("no error");
    assert_eq!(received.len(), 20 << 20);
    for (number, line) in received.chunks(16).enumerate() {
        assert!(line == format!("{number:015}\n").as_bytes(), "line {number}: {line:?}");
    }
    assert_eq!(outputs[0].exit_code(), Some(0));
    assert!(server.count(&address(0), super::KEXINIT) > 300);
}

/// In a separate process, because its descriptors are counted.
#[test]
fn every_kind_gives_its_descriptors_back() {
    let _dog = guard("descriptors");
    if !is_rerun() {
        let mut alone = rerun(module_path!(), "every_kind_gives_its_descriptors_back");
        let output = alone.output().expect("run this test's program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let kinds = [
        "after-close",
        "after-refusal",
        "packet-0",
        "confirmed-twice",
        "no-answer",
        "close-for-answer",
        "early-output",
        "success-unasked",
        "channel-before-auth",
        "denies-for-ever",
        "key-for-password",
        "endless-noise",
        "unimplemented-open",
        "disconnects",
        "opens",
    ];
    let server = Hostile::start(&kinds);
    let before = FdBaseline::now();
    let mut client = server.client(all(&kinds)).timeout(Duration::from_secs(3)).build().expect("a client");
    let outputs = client.start_command("greet").expect("a command");
    join(&client, &outputs);
    assert_eq!(stdout(&outputs[kinds.len()]), ["hello"]);
    drop((client, outputs));
    before.assert_same();
}

/// Ten thousand channels at once to a forwarded agent: sixteen are accepted, the rest is refused.
#[test]
fn a_flood_of_channels_to_a_forwarded_agent_is_bounded() {
    let _dog = guard("agent_channels");
    let server = Hostile::start(&["opens"]);
    let agent = FakeAgent::start(|_| Reply::Close);
    let builder = server.client(all(&["opens"])).agent_socket(agent.socket()).forward_ssh_agent(true);
    let mut client = builder.build().expect("a client");
    let outputs = run(&mut client, "greet");
    assert_eq!(stdout(&outputs[0]), ["hello"]);
    let settled = || {
        client.finished(&outputs).expect("no error");
        let refused = server.count(&address(0), OPEN_FAILURE);
        (server.count(&address(0), OPEN_CONFIRMATION) + refused == 10_000).then_some(refused)
    };
    let refused = crate::support::eventually(SLOW, "every channel is answered", settled);
    assert_eq!(refused, 10_000 - 16);
    assert_eq!(agent.connections(), 16);
}
