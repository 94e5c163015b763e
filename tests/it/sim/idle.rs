//! A waiting fleet costs nothing.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use hostsim::Sim;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use sshoal::client::JoinError;
use sshoal::config::ClientBuilder;
use sshoal::error::TimeoutKind;
use sshoal::{Budget, Event, Fleet, HostErrorKind, JoinOptions, ParallelClient, ReadOptions};

use super::{client, engine, fleet, resident, run, watch};
use crate::support::proxy::{Action, Direction, Proxy};

/// CPU time of this process.
fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(microseconds.try_into().unwrap())
}

/// Their entries in the list belong to the caller, and existed before.
#[test]
fn hosts_that_wait_for_a_command_take_little_memory() {
    const HOSTS: usize = 20_000;
    let _dog = watch();
    let sim = fleet(&[]);
    // One-time allocations of the process.
    drop(engine(&sim, 1).build().unwrap());
    let builder = engine(&sim, HOSTS);
    let before = resident();
    let fleet = builder.build().unwrap();
    let each = resident().saturating_sub(before) / HOSTS;
    assert_eq!(fleet.hosts().len(), HOSTS);
    assert!(each <= 1024, "{each} bytes each");
}

fn wait_three_seconds(text: &str) {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 100).build().unwrap();
    run(&mut client, "hostname");
    let outputs = client.run_command(text).unwrap();
    let (turns, cpu) = (client.metrics().turns, cpu_time());
    let joined = client.join(&outputs, JoinOptions::default().timeout(Duration::from_secs(3)));
    let (turns, cpu) = (client.metrics().turns - turns, cpu_time() - cpu);
    match joined {
        Err(JoinError::Timeout { unfinished, .. }) => assert_eq!(unfinished.len(), 100),
        other => panic!("{other:?}"),
    }
    // One for the time limit, and a few for packets that were still on their way.
    assert!(turns <= 10, "{turns} turns");
    assert!(cpu < Duration::from_millis(50), "{cpu:?}");
    assert_eq!(client.metrics().connections, 100);
}

#[test]
fn commands_that_sleep() {
    wait_three_seconds("sleep 600");
}

#[test]
fn commands_that_never_answer() {
    wait_three_seconds("hang");
}

/// Each host has one timer, and is alive: it answers the keepalive of every interval, with another
/// server than OpenSSH.
#[test]
fn quiet_hosts_with_keepalives() {
    const HOSTS: usize = 100;
    let _dog = watch();
    let sim = fleet(&[]);
    let interval = Duration::from_millis(500);
    let mut client = client(&sim, HOSTS).keepalive(interval).keepalive_max_missed(2).build().unwrap();
    let outputs = client.run_command("sleep 600").unwrap();
    assert_eq!(client.metrics().timers, HOSTS);
    let (visits, cpu) = (client.metrics().visits, cpu_time());
    let joined = client.join(&outputs, JoinOptions::default().timeout(Duration::from_secs(4)));
    let (visits, cpu) = (client.metrics().visits - visits, cpu_time() - cpu);
    assert!(joined.is_err() && outputs.iter().all(|output| !output.is_finished()));
    // On a busy machine, a turn may end between a host's timer and its visit, which sets the next.
    for _ in 0..20 {
        if client.metrics().timers != HOSTS {
            let _ = client.join(&outputs, JoinOptions::default().timeout(Duration::from_millis(50)));
        }
    }
    assert_eq!((client.metrics().connections, client.metrics().timers), (HOSTS, HOSTS));
    // A timer and a reply in each of eight intervals, and duplicates on a busy machine.
    assert!(visits >= 4 * HOSTS as u64 && visits <= 40 * HOSTS as u64, "{visits} visits");
    assert!(cpu < Duration::from_secs(1), "{cpu:?}");
}

/// A peer that is slow in the handshake is waited for, without keepalives.
#[test]
fn hosts_that_are_silent_before_the_command() {
    let _dog = watch();
    let sim = fleet(&["i%3==0 accept:silence", "i%3==1 kex:silence", "i%3==2 auth:silence"]);
    let mut client = client(&sim, 60).build().unwrap();
    let outputs = client.start_command("hostname").unwrap();
    let options = JoinOptions::default();
    assert!(client.join(&outputs, options.timeout(Duration::from_secs(4))).is_err());
    let (turns, cpu) = (client.metrics().turns, cpu_time());
    assert!(client.join(&outputs, options.timeout(Duration::from_secs(3))).is_err());
    let (turns, cpu) = (client.metrics().turns - turns, cpu_time() - cpu);
    assert!(turns <= 10, "{turns} turns");
    assert!(cpu < Duration::from_millis(50), "{cpu:?}");
}

/// Whether a loop with nothing else to do would wake up for this fleet.
fn wakes_within(fleet: &Fleet, limit: Duration) -> bool {
    let mut fds = [PollFd::new(fleet.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::try_from(limit).unwrap()).unwrap() > 0
}

/// In a loop that waits for the fleet's descriptor and its next deadline, both of which must report
/// nothing to do. docs/performance.md tells where their memory goes.
#[test]
fn ten_thousand_connected_hosts_wake_nobody_and_take_little_memory() {
    const HOSTS: usize = 10_000;
    let _dog = watch();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    // As many as this process and the simulated fleet may have: each host takes a descriptor.
    let hosts = HOSTS.min(usize::try_from(hard).unwrap() - 100);

    let sim = fleet(&[]);
    let mut fleet = engine(&sim, hosts).max_connecting(500).build().unwrap();
    let before = resident();
    let ids = fleet.hosts().to_vec();
    fleet.connect(ids);
    let (mut connected, mut turns_after) = (0, 0);
    // The last host may have something to read right after it has connected.
    while connected < hosts || turns_after < 100 && wakes_within(&fleet, Duration::from_millis(200)) {
        fleet.wait(None).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        turns_after += usize::from(connected == hosts);
        while let Some(event) = fleet.next_event() {
            match event {
                Event::Entered { .. } => {}
                Event::Connected { .. } => connected += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((fleet.metrics().connections, fleet.metrics().timers), (hosts, 0));
    assert_eq!(fleet.next_deadline(), None);
    assert!(!wakes_within(&fleet, Duration::from_secs(1)));
    // Their entries in the list existed before.
    let each = resident().saturating_sub(before) / hosts;
    assert!(each <= 26 * 1024, "{each} bytes each");
}

/// One packet takes longer than all keepalives, whose answers wait behind it.
#[test]
fn a_packet_on_a_slow_line_is_no_silence() {
    let _dog = watch();
    let sim = fleet(&[]);
    let second = Duration::from_secs(1);
    let (proxy, mut client) = connected(&sim, |builder| builder.keepalive(second).keepalive_max_missed(1));
    slow_down(&proxy, 400);
    let outputs = run(&mut client, "bytes 20000");
    assert_eq!(outputs[0].exit_code(), Some(0), "{:?}", outputs[0].outcome());
}

/// The first host behind a proxy, and a client that is connected to it.
fn connected(sim: &Sim, with: impl FnOnce(ClientBuilder) -> ClientBuilder) -> (Proxy, ParallelClient) {
    let server = format!("{}:{}", sim.host(0), sim.port()).parse().unwrap();
    let proxy = Proxy::builder(server).start();
    let builder = super::trusting(sim, vec![proxy.address().to_string()]);
    let mut client = with(builder.key_bytes(sim.user_key_openssh().unwrap())).build().unwrap();
    assert!(client.connect().unwrap().iter().all(Result::is_ok));
    (proxy, client)
}

/// From now on, the client gets this many bytes in each tenth of a second.
fn slow_down(proxy: &Proxy, bytes: usize) {
    proxy.inject(Direction::ToClient, Action::Drip { bytes, every: Duration::from_millis(100) });
}

fn reading_for(limit: Duration) -> ReadOptions {
    ReadOptions::default().read_timeout(limit)
}

/// Each packet takes several read timeouts.
#[test]
fn a_packet_on_a_slow_line_is_waited_for() {
    const LEN: u64 = 20_000;
    let _dog = watch();
    let sim = fleet(&[]);
    let (proxy, mut client) = connected(&sim, |builder| builder);
    slow_down(&proxy, 400);
    let expected: Vec<u8> = (0..LEN).map(hostsim::pattern_byte).collect();
    let expected = expected.split(|byte| *byte == b'\n').count();

    let outputs =
        client.run_command_with(format!("bytes {LEN}"), reading_for(Duration::from_secs(1))).unwrap();
    let lines: Vec<_> = outputs[0].stdout().raw().map(|line| line.map_err(|e| e.to_string())).collect();
    assert!(lines.iter().all(Result::is_ok), "{:?}", lines.iter().find(|line| line.is_err()));
    assert_eq!(lines.len(), expected);

    let outputs =
        client.run_command_with(format!("bytes {LEN}"), reading_for(Duration::from_secs(1))).unwrap();
    let lines: Vec<_> = client.lines(&outputs).map(|(_, _, line)| line.map_err(|e| e.to_string())).collect();
    assert!(lines.iter().all(Result::is_ok), "{:?}", lines.iter().find(|line| line.is_err()));
    assert_eq!(lines.len(), expected);
}

/// At any time, the answer to a keepalive is on its way, as the line takes as long for one as the
/// pause until the next.
#[test]
fn a_host_that_only_answers_keepalives_is_silent() {
    let _dog = watch();
    let sim = fleet(&[]);
    let limit = Duration::from_secs(2);
    let (proxy, mut client) = connected(&sim, |builder| builder.keepalive(limit / 4));
    let outputs = client.run_command_with("sleep 600", reading_for(limit)).unwrap();
    slow_down(&proxy, 5);
    let answered = proxy.counts().to_client;
    let is_timeout = |error: &sshoal::HostError| {
        matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Read, .. })
    };
    for all in [false, true] {
        let begun = Instant::now();
        let line =
            if all { client.lines(&outputs).next().unwrap().2 } else { outputs[0].stdout().next().unwrap() };
        assert!(line.is_err_and(|error| is_timeout(&error)));
        assert!((limit..2 * limit + limit / 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
    assert!(proxy.counts().to_client > answered + 100, "the host has answered");
}
