//! Servers that misuse an ssh-agent that is forwarded to them.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sshoal::config::ClientBuilder;
use sshoal::error::ChannelProblem;
use sshoal::{Error, HostErrorKind, HostOutput, Outcome};

use super::{Hostile, SLOW, all, guard, join, run, stdout};
use crate::support::agent::{Agent, FAILURE, FakeAgent, Reply, list_of, message};
use crate::support::eventually;
use crate::support::fds::FdBaseline;
use crate::support::system::{is_rerun, rerun};

/// Limit of threads blocked in libssh.
const PARKED_MAX: usize = 4;

/// Answers with one key, a nonsense signature, and success for an extension.
fn agent() -> FakeAgent {
    FakeAgent::start(|kind| {
        Reply::Bytes(match kind {
            11 => list_of(1),
            13 => message(14, b"nonsense"),
            _ => message(6, b""),
        })
    })
}

fn forwarding(server: &Hostile, kinds: &[&str], agent: &FakeAgent) -> ClientBuilder {
    server.client(all(kinds)).agent_socket(agent.socket()).forward_ssh_agent(true)
}

/// Whether this is a separate process for this test, which leaves threads behind or changes a
/// limit.
#[track_caller]
fn in_own_process(test: &str) -> bool {
    if is_rerun() {
        return true;
    }
    // One heap for all threads: otherwise each new thread of the fake agent counts with a heap
    // of its own.
    let mut program = rerun(module_path!(), test);
    let output = program.env("MALLOC_ARENA_MAX", "1").stderr(Stdio::piped()).output();
    let output = output.expect("this test's program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// Runs these hosts together with a well-behaved one.
#[track_caller]
fn misused(kinds: &[&str], agent: &FakeAgent) -> Vec<HostOutput> {
    let server = Hostile::start(kinds);
    let mut client = forwarding(&server, kinds, agent).build().expect("a client");
    run(&mut client, "greet")
}

/// 256 types, the session bind of a nested ssh, two other extensions, an empty message, and a list.
#[test]
fn the_agent_hears_of_lists_signatures_and_session_binds_and_of_nothing_else() {
    let _dog = guard("agent_every_type");
    let mut expected = vec![FAILURE; 261];
    (expected[11], expected[13], expected[256], expected[260]) = (12, 14, 6, 12);
    let expected: Vec<String> = expected.iter().map(u8::to_string).collect();
    for kind in ["agent-every-type", "agent-byte-by-byte"] {
        let agent = agent();
        let outputs = misused(&[kind], &agent);
        assert_eq!(stdout(&outputs[0]), [expected.join(" ")], "{kind}: {:?}", outputs[0].outcome());
        let heard = agent.heard();
        let kinds: Vec<u8> = heard.iter().map(|request| request[0]).collect();
        assert_eq!(kinds, [11, 13, 27, 11], "{kind}");
        assert_eq!(heard[0], b"\x0banything");
        assert!(heard[2].starts_with(b"\x1b\0\0\0\x18session-bind@openssh.com"), "{kind}");
        assert_eq!(agent.connections(), 1, "{kind}");
    }
}

#[test]
fn a_message_that_is_too_long_ends_its_channel_and_half_a_message_is_nobodys() {
    let _dog = guard("agent_oversize");
    let agent = agent();
    for output in misused(&["agent-oversize", "agent-half"], &agent) {
        assert_eq!(stdout(&output), ["12"], "{:?}", output.outcome());
    }
    assert_eq!(agent.heard(), [b"\x0b", b"\x0b"]);
}

/// Sixteen channels that accept no reply, with 4 MiB of requests on each.
#[test]
fn requests_without_an_end_cost_one_mebibyte() {
    if !in_own_process("requests_without_an_end_cost_one_mebibyte") {
        return;
    }
    let _dog = guard("agent_deaf");
    let agent = agent();
    let server = Hostile::start(&["agent-deaf", "agent-every-type"]);
    let mut client = forwarding(&server, &["agent-every-type"], &agent);
    // Resources that a process allocates once do not count for the host.
    run(&mut client.build().expect("a client"), "greet");
    let before = status("VmHWM:");
    client = forwarding(&server, &["agent-deaf"], &agent);
    let outputs = run(&mut client.build().expect("a client"), "greet");
    assert_eq!(stdout(&outputs[0]), ["poured"], "{:?}", outputs[0].outcome());
    let grown = status("VmHWM:") - before;
    // 0 to 4.6 MiB in 40 runs: the fake agent, which is in this process, counts as well.
    assert!(grown < 6 * 1024, "{grown} KiB more");
    let lists = agent.requests(11);
    assert!(lists <= 2 + 16 * 10, "{lists} lists for a host that reads none");
}

fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect(field);
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// State and CPU time, in ticks, of the threads blocked in libssh.
fn parked() -> Vec<(String, u64)> {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc/self/task").flatten();
    let read = |task: &fs::DirEntry, file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
    let ours = tasks.filter(|task| read(task, "comm").trim() == "sshoal-agent");
    ours.map(|task| {
        let stat = read(&task, "stat");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
        (fields[0].to_owned(), ticks(11) + ticks(12))
    })
    .collect()
}

fn is_stuck(output: &HostOutput) -> bool {
    let Some(error) = output.error() else { return false };
    let HostErrorKind::Protocol(text) = error.kind() else { panic!("{error}") };
    assert!(text.contains("no room for data"), "{error}");
    true
}

/// libssh loops for ever over a reply if packets have no room for it: 0 bytes for the bundled one,
/// 10 for 0.10, which subtracts 10 for headers. Debian's 0.10 refuses a channel of 0.
#[test]
fn packets_without_room_for_an_answer_fail_their_host_and_stop_nobody() {
    if !in_own_process("packets_without_room_for_an_answer_fail_their_host_and_stop_nobody") {
        return;
    }
    let _dog = guard("agent_packets");
    let agent = agent();
    let kinds = ["agent-packet-0", "agent-packet-1", "agent-packet-9", "agent-packet-10", "agent-packet-12"];
    let server = Hostile::start(&kinds);
    let mut client = forwarding(&server, &kinds, &agent).build().expect("a client");
    let outputs = run(&mut client, "greet");
    let stuck: Vec<bool> = outputs.iter().map(is_stuck).collect();
    assert!(stuck[0] ^ stuck[3], "{outputs:?}");
    for (output, stuck) in outputs.iter().zip(stuck).filter(|(_, stuck)| !stuck) {
        let told = stdout(output).concat();
        assert!(
            told == "12" || told == "refused",
            "{stuck}, {}: {told} {:?}",
            output.host(),
            output.outcome()
        );
    }
    for at in [1, 2, 4] {
        assert_eq!(stdout(&outputs[at]), Vec::<String>::new(), "read above");
        assert!(matches!(outputs[at].outcome(), Some(Outcome::Exited(0))), "{:?}", outputs[at].outcome());
    }
    // The other threads have done their work, and may be about to end.
    let one = || Some(parked()).filter(|threads| matches!(&threads[..], [(state, _)] if state == "S"));
    let asleep = eventually(SLOW, "one thread is asleep", one);
    assert!(asleep[0].1 < 20, "{asleep:?}");
    let before = status("VmRSS:");
    let healthy = Hostile::start(&[]);
    for _ in 0..20 {
        run(&mut healthy.client(all(&[])).build().expect("a client"), "greet");
    }
    assert_eq!(parked(), asleep, "it takes time");
    let grown = status("VmRSS:").saturating_sub(before);
    assert!(grown < 2 * 1024, "{grown} KiB more");
    // The connection was shut down, and its host can be used again.
    let again = run(&mut client, "greet");
    assert_eq!(stdout(&again[4]), ["12"]);
}

/// Packets of two bytes.
#[test]
fn answers_arrive_whole_in_tiny_packets() {
    let _dog = guard("agent_tiny_packets");
    let agent = FakeAgent::start(|_| Reply::Bytes(list_of(300)));
    let outputs = misused(&["agent-answer"], &agent);
    let told = stdout(&outputs[0]).concat();
    let expected: String = list_of(300).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(told == expected, "{:?}: {} of {}", outputs[0].outcome(), told.len(), expected.len());
}

#[test]
fn after_four_of_these_no_agent_is_forwarded() {
    if !in_own_process("after_four_of_these_no_agent_is_forwarded") {
        return;
    }
    let _dog = guard("agent_parked");
    let agent = agent();
    // Six hosts for each libssh that make it loop.
    let kinds = [["agent-packet-0"; 6], ["agent-packet-10"; 6]].concat();
    let server = Hostile::start(&kinds);
    let mut client = forwarding(&server, &kinds, &agent).build().expect("a client");
    let outputs = run(&mut client, "greet");
    assert_eq!(outputs.iter().filter(|output| is_stuck(output)).count(), PARKED_MAX);
    for output in outputs.iter().filter(|output| output.error().is_none()) {
        let told = stdout(output).concat();
        assert!(["12", "refused", "closed"].contains(&&*told), "{told}");
    }
    eventually(SLOW, "four threads are left", || (parked().len() == PARKED_MAX).then_some(()));
    let refused = forwarding(&server, &kinds, &agent).build();
    let Err(error) = refused else { panic!("it goes on") };
    assert!(matches!(error, Error::Unsupported { feature: "agent forwarding", .. }), "{error}");
    // Clients built before continue without agent forwarding.
    for output in run(&mut client, "greet") {
        assert_eq!(stdout(&output), ["refused"], "{:?}", output.outcome());
    }
    assert_eq!(parked().len(), PARKED_MAX);
}

/// libssh adopts the packet size of an unsolicited confirmation, and drops the rest of it.
#[test]
fn a_packet_size_that_changes_ends_the_connection_before_anything_is_written() {
    let _dog = guard("confirms_again");
    let kinds =
        ["confirms-again-0", "confirms-again-10", "agent-confirms-again-0", "agent-confirms-again-10"];
    let server = Hostile::start(&kinds);
    let agent = agent();
    let mut client = forwarding(&server, &kinds, &agent).build().expect("a client");
    let outputs = client.start_command("greet").expect("a command");
    for output in &outputs[..2] {
        // Wait until the size has changed.
        let _ = output.stdout().next();
        let _ = output.stdin().write_all(&[b'x'; 100_000]);
    }
    join(&client, &outputs);
    for (output, kind) in outputs.iter().zip(kinds) {
        let error = output.error().expect(kind);
        let is_unwritable = |kind: &HostErrorKind| {
            matches!(kind, HostErrorKind::Protocol(_) | HostErrorKind::Channel(ChannelProblem::Unwritable))
        };
        assert!(is_unwritable(error.kind()), "{kind}: {error}");
    }
    assert_eq!(stdout(&outputs[kinds.len()]), ["hello"]);
}

/// Forty hosts that open sixteen channels each and keep them, while only a quarter of the
/// descriptors may be used for those.
#[test]
fn channels_to_the_agent_leave_descriptors_to_connect_with() {
    const LIMIT: u64 = 400;
    if !in_own_process("channels_to_the_agent_leave_descriptors_to_connect_with") {
        return;
    }
    let _dog = guard("agent_descriptors");
    let agent = Agent::start();
    let kinds = ["agent-channels"; 40];
    let server = Hostile::start(&kinds);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, LIMIT, hard).expect("a lower limit");
    let builder = server.client(all(&kinds)).agent_socket(agent.socket()).forward_ssh_agent(true);
    let mut client = builder.build().expect("a client");
    let outputs = run(&mut client, "greet");
    let let_in = |output: &HostOutput| {
        let told = stdout(output).concat();
        told.parse::<u64>().unwrap_or_else(|_| panic!("{told:?}, {:?}", output.outcome()))
    };
    let channels: u64 = outputs.iter().map(let_in).sum();
    // A few channels may be accepted and closed later, because the limit was reached before they
    // were connected.
    assert!((LIMIT / 4..LIMIT / 4 + 16).contains(&channels), "{channels} channels");
    let open = FdBaseline::now().count();
    assert!(open > 140, "{open} descriptors for 100 channels and 41 connections");
    // Other hosts still get descriptors.
    let mut others = server.client(all(&kinds)).build().expect("a client");
    for output in run(&mut others, "greet") {
        assert!(output.error().is_none(), "{:?}", output.outcome());
    }
}
