//! Security keys (FIDO): the agent's user touches the key for one host after the other.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use sshoal::config::FleetBuilder;
use sshoal::{Budget, Event, Fleet, HostConfig, HostErrorKind, Outcome, Proxy};

use super::super::trust::{Collector, LOG};
use super::super::{SLOW, build, guard, run_one, stdout};
use super::{HOST, with_agent};
use crate::support::keys::{KeyPair, KeyType};
use crate::support::security_key::{KeyKind, SoftKey, Touch, TouchAgent};
use crate::support::sshd::Sshd;
use crate::support::system::{is_rerun, rerun};

const SK: KeyKind = KeyKind::SkEd25519;

/// A moment in which an agent's user finds the key.
const MOMENT: Duration = Duration::from_millis(150);

fn soon(_: usize) -> Touch {
    Touch::After(MOMENT)
}

/// A server that accepts only this key.
fn sshd_for(key: &SoftKey) -> Sshd {
    Sshd::builder().authorized_key(&key.public()).start()
}

/// A fleet without any credential but the agent.
fn fleet(sshd: &Sshd, hosts: &[String], agent: &TouchAgent) -> FleetBuilder {
    Fleet::builder(hosts.iter().map(String::as_str))
        .port(sshd.port())
        .user(sshd.user())
        .identity_auth(false)
        .agent_socket(agent.socket())
        .known_hosts([sshd.known_hosts(hosts)])
        .num_retries(1)
        .timeout(SLOW)
}

/// What a fleet has reported.
#[derive(Debug, Default)]
struct Seen {
    /// The hosts that a touch was asked for, in order.
    touches: Vec<String>,
    ends: BTreeMap<String, Outcome>,
}

/// Takes turns until a command on all hosts has ended, and calls `touched` for each touch.
fn drive(fleet: &mut Fleet, mut touched: impl FnMut(&mut Fleet, usize)) -> Seen {
    fleet.start("true").expect("a command");
    let mut seen = Seen::default();
    loop {
        fleet.wait(Some(SLOW)).expect("the poll works");
        fleet.turn(Instant::now(), Budget::default()).expect("the poll works");
        let (before, mut is_done) = (seen.touches.len(), false);
        while let Some(event) = fleet.next_event() {
            match event {
                Event::Touch { name, key, .. } => {
                    assert_eq!(&*key, "alice's key");
                    seen.touches.push(name.to_string());
                }
                Event::Finished { host, outcome, .. } => {
                    seen.ends.insert(format!("{host:?}"), outcome.clone());
                }
                Event::RunDone { .. } => is_done = true,
                _ => {}
            }
        }
        (before..seen.touches.len()).for_each(|number| touched(fleet, number));
        if is_done {
            return seen;
        }
    }
}

impl Seen {
    fn failures(&self) -> Vec<String> {
        let failed = self.ends.values().filter(|outcome| !outcome.is_success());
        failed.map(ToString::to_string).collect()
    }
}

#[test]
fn every_kind_of_security_key_opens_the_host() {
    let _dog = guard("touch_kinds");
    let authority = KeyPair::generate(KeyType::Ed25519);
    for kind in [KeyKind::Plain, KeyKind::SkEd25519, KeyKind::SkEcdsa] {
        let key = SoftKey::generate(kind);
        let line = format!("cert-authority {}", authority.public());
        let sshd = Sshd::builder().authorized_key(&key.public()).start();
        let trusting = Sshd::builder().authorized_key(&line).start();
        let certified = SoftKey::generate(kind).certified(&authority, trusting.user());
        for (sshd, key) in [(sshd, key), (trusting, certified)] {
            let agent = TouchAgent::serial([key], |_| Touch::After(Duration::ZERO));
            let mut client = build(with_agent(&sshd, [HOST], &agent.socket()));
            assert_eq!(run_one(&mut client, "echo in"), ["in"], "{kind:?}");
            assert_eq!(agent.touches(), usize::from(kind != KeyKind::Plain));
        }
    }
}

/// colmena#216: all hosts at once ask for a touch, and all but one fail.
#[test]
fn one_touch_after_the_other_opens_all_hosts() {
    let _dog = guard("touch_all");
    let key = SoftKey::generate(SK);
    let sshd = sshd_for(&key);
    let agent = TouchAgent::concurrent([key], soon);
    let hosts: Vec<String> = sshd.hosts(8).collect();
    // The hosts that wait have no limits.
    let builder = fleet(&sshd, &hosts, &agent).timeout(4 * MOMENT);
    let seen = drive(&mut builder.build().expect("a fleet"), |_, _| {});
    assert_eq!(seen.failures(), [] as [&str; 0]);
    let port = sshd.port();
    let shown: Vec<String> = hosts.iter().map(|host| format!("{host} port {port}")).collect();
    assert_eq!(seen.touches, shown, "each host once, in the order of the list");
    assert_eq!((agent.most_waiting(), agent.touches()), (1, 8));
    assert_eq!(sshd.count("Connection from"), 8, "none is dialled before its turn");
}

/// In a separate process, because each process has one logger.
#[test]
fn the_blocking_client_waits_for_all_touches_and_logs_them() {
    if !is_rerun() {
        let test = "the_blocking_client_waits_for_all_touches_and_logs_them";
        assert!(rerun(module_path!(), test).status().expect("a process").success());
        return;
    }
    let _dog = guard("touch_blocking");
    log::set_logger(&Collector).expect("the only logger");
    log::set_max_level(log::LevelFilter::Warn);
    let key = SoftKey::generate(SK);
    let sshd = sshd_for(&key);
    let agent = TouchAgent::serial([key], soon);
    let hosts: Vec<String> = sshd.hosts(4).collect();
    let mut client = build(with_agent(&sshd, hosts.iter().map(String::as_str), &agent.socket()));
    let outputs = client.run_command("echo in").expect("all start");
    outputs.iter().for_each(|output| assert_eq!(stdout(output), ["in"]));
    assert_eq!((agent.most_waiting(), agent.touches(), sshd.count("Connection from")), (1, 4, 4));
    let log = LOG.lock().expect("no panic");
    for host in hosts {
        let line =
            format!("WARN {host} port {} waits for a touch of the security key alice's key\n", sshd.port());
        assert_eq!(log.matches(&line).count(), 1, "{log}");
    }
}

#[test]
fn fleets_that_were_built_together_wait_for_one_touch_at_a_time() {
    let _dog = guard("touch_fleets");
    let key = SoftKey::generate(SK);
    let sshd = sshd_for(&key);
    let agent = TouchAgent::concurrent([key], soon);
    let hosts: Vec<String> = sshd.hosts(9).collect();
    let fleets = fleet(&sshd, &hosts, &agent).build_many(3).expect("fleets");
    thread::scope(|scope| {
        let drivers: Vec<_> =
            fleets.into_iter().map(|mut fleet| scope.spawn(move || drive(&mut fleet, |_, _| {}))).collect();
        for driver in drivers {
            let seen = driver.join().expect("a driver");
            assert_eq!((seen.failures(), seen.touches.len()), (vec![], 3));
        }
    });
    assert_eq!((agent.most_waiting(), agent.touches()), (1, 9));
    assert_eq!(sshd.count("Connection from"), 9, "none is dialled before its turn");
}

/// The hosts are dialled to learn which key they take, so several need a touch at the same time.
#[test]
fn fleets_with_other_keys_wait_for_one_touch_at_a_time() {
    let _dog = guard("touch_fleets_mixed");
    let key = SoftKey::generate(SK);
    let sshd = sshd_for(&key);
    let agent = TouchAgent::concurrent([SoftKey::generate(KeyKind::Plain), key], soon);
    let hosts: Vec<String> = sshd.hosts(9).collect();
    let fleets = fleet(&sshd, &hosts, &agent).build_many(3).expect("fleets");
    thread::scope(|scope| {
        let drive = |mut fleet| scope.spawn(move || drive(&mut fleet, |_, _| {}));
        let drivers: Vec<_> = fleets.into_iter().map(drive).collect();
        for driver in drivers {
            let seen = driver.join().expect("a driver");
            assert_eq!((seen.failures(), seen.touches.len()), (vec![], 3));
        }
    });
    assert_eq!((agent.most_waiting(), agent.touches()), (1, 9));
    let dialled = sshd.count("Connection from");
    assert!((9..=18).contains(&dialled), "{dialled} connections for nine hosts");
}

/// Two servers, of which one takes the plain key and one the security key.
struct Mixed {
    plain: Sshd,
    sk: Sshd,
    keys: [SoftKey; 2],
}

impl Mixed {
    fn new() -> Self {
        let keys = [SoftKey::generate(SK), SoftKey::generate(KeyKind::Plain)];
        let (sk, plain) = (sshd_for(&keys[0]), sshd_for(&keys[1]));
        Self { plain, sk, keys }
    }
}

/// Hosts with every other one at the server for the plain key.
fn mixed_fleet(plain: &Sshd, sk: &Sshd, count: u32, agent: &TouchAgent) -> FleetBuilder {
    let hosts: Vec<String> = plain.hosts(count).collect();
    let files = [plain.known_hosts(&hosts), sk.known_hosts(&hosts)];
    let ports = [plain.port(), sk.port()].into_iter().cycle();
    let configs = hosts.iter().zip(ports).map(|(_, port)| HostConfig::default().port(port));
    fleet(plain, &hosts, agent).known_hosts(files).host_config(configs)
}

/// With other keys in the agent, a host is dialled once to learn which key it takes.
#[test]
fn hosts_that_take_a_plain_key_wait_for_no_touch() {
    let _dog = guard("touch_mixed");
    let Mixed { plain, sk, keys } = Mixed::new();
    let agent = TouchAgent::concurrent(keys, |number| match number {
        0 => Touch::After(20 * MOMENT),
        _ => Touch::After(MOMENT),
    });
    let mut fleet = mixed_fleet(&plain, &sk, 8, &agent).build().expect("a fleet");
    let begun = Instant::now();
    fleet.start("true").expect("a command");
    let (mut opened, mut is_done) = (0, false);
    while !is_done {
        fleet.wait(Some(SLOW)).expect("the poll works");
        fleet.turn(Instant::now(), Budget::default()).expect("the poll works");
        while let Some(event) = fleet.next_event() {
            match event {
                Event::Finished { outcome, .. } => {
                    assert!(outcome.is_success(), "{outcome}");
                    opened += 1;
                    // The first touch takes longer than all the plain logins.
                    assert!(opened > 4 || agent.touches() < 2, "held up for {:?}", begun.elapsed());
                }
                Event::RunDone { .. } => is_done = true,
                _ => {}
            }
        }
    }
    assert_eq!((agent.most_waiting(), agent.touches(), agent.connections()), (1, 4, 2));
    assert_eq!(plain.count("Connection from"), 4);
    let dialled = sk.count("Connection from");
    assert!((4..=8).contains(&dialled), "{dialled} connections for four hosts");
}

/// OpenSSH's agent serves nobody while it waits for a touch, however short the limits of hosts are.
#[test]
fn hosts_outlast_the_touch_of_another_one() {
    let _dog = guard("touch_serial");
    let Mixed { plain, sk, keys } = Mixed::new();
    let limit = Duration::from_secs(2);
    let agent = TouchAgent::serial(keys, move |_| Touch::After(2 * limit));
    let mut fleet = mixed_fleet(&plain, &sk, 4, &agent).timeout(limit).build().expect("a fleet");
    let seen = drive(&mut fleet, |_, _| {});
    assert_eq!((seen.failures(), agent.touches()), (vec![], 2));
}

#[test]
fn a_touch_that_does_not_come_is_the_failure_of_one_host() {
    let _dog = guard("touch_refused");
    let key = SoftKey::generate(SK);
    let sshd = sshd_for(&key);
    let agent = TouchAgent::serial([key], |number| match number {
        1 => Touch::Refused(MOMENT),
        _ => Touch::After(MOMENT),
    });
    let hosts: Vec<String> = sshd.hosts(4).collect();
    let seen = drive(&mut fleet(&sshd, &hosts, &agent).build().expect("a fleet"), |_, _| {});
    let [failure] = &seen.failures()[..] else { panic!("{seen:?}") };
    assert!(failure.contains("the ssh-agent did not sign with alice's key"), "{failure}");
    assert_eq!((seen.touches.len(), seen.ends.len()), (4, 4));
}

#[test]
fn the_next_key_of_a_host_is_tried_without_a_touch() {
    let _dog = guard("touch_next_key");
    let keys = [SoftKey::generate(SK), SoftKey::generate(KeyKind::Plain)];
    let sshd = Sshd::builder().authorized_key(&keys[0].public()).authorized_key(&keys[1].public()).start();
    let agent = TouchAgent::serial(keys, |_| Touch::Refused(MOMENT));
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let seen = drive(&mut fleet(&sshd, &hosts, &agent).build().expect("a fleet"), |_, _| {});
    assert_eq!((seen.failures(), seen.touches.len()), (vec![], 3));
}

/// What proves the touch is in the signature, and the server looks at it.
#[test]
fn a_signature_without_a_touch_is_refused_by_the_server() {
    let _dog = guard("touch_skipped");
    let key = SoftKey::generate(SK);
    let sshd = sshd_for(&key);
    let agent = TouchAgent::serial([key], |_| Touch::Skipped);
    let error = super::super::start_error(with_agent(&sshd, [HOST], &agent.socket()));
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");
}

#[test]
fn a_host_that_is_cancelled_or_removed_gives_up_its_turn() {
    let _dog = guard("touch_cancel");
    let key = SoftKey::generate(SK);
    let sshd = sshd_for(&key);
    // The touch that nobody waits for any more takes its time.
    let agent = TouchAgent::concurrent([key], |number| match number {
        0 | 1 => Touch::After(20 * MOMENT),
        _ => Touch::After(MOMENT),
    });
    let hosts: Vec<String> = sshd.hosts(5).collect();
    let mut fleet = fleet(&sshd, &hosts, &agent).build().expect("a fleet");
    let begun = Instant::now();
    let seen = drive(&mut fleet, |fleet, number| {
        let host = fleet.hosts()[0];
        match number {
            0 => _ = fleet.remove_host(host),
            1 => fleet.cancel_host(host),
            _ => {}
        }
    });
    assert_eq!((seen.failures().len(), seen.touches.len()), (2, 5), "{seen:?}");
    assert!(begun.elapsed() < 20 * MOMENT, "held up for {:?}", begun.elapsed());
}

#[test]
fn an_agent_that_dies_leaves_nobody_waiting() {
    let _dog = guard("touch_dies");
    let key = SoftKey::generate(SK);
    let sshd = sshd_for(&key);
    let agent = TouchAgent::serial([key], |_| Touch::Dies);
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let seen = drive(&mut fleet(&sshd, &hosts, &agent).build().expect("a fleet"), |_, _| {});
    assert_eq!((seen.failures().len(), seen.ends.len()), (3, 3), "{seen:?}");
}

/// A server that is silent does not hold up the others, although it is its turn.
#[test]
fn a_silent_host_does_not_hold_up_the_others() {
    let _dog = guard("touch_silent");
    let key = SoftKey::generate(SK);
    let sshd = sshd_for(&key);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let agent = TouchAgent::serial([key], soon);
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let ports = [silent.local_addr().expect("an address").port(), sshd.port(), sshd.port()];
    let configs = ports.map(|port| HostConfig::default().port(port));
    let [first, second, third] = configs;
    let configs = [first.hostname("127.0.0.1"), second, third];
    let mut fleet = fleet(&sshd, &hosts, &agent).host_config(configs).build().expect("a fleet");
    let seen = drive(&mut fleet, |fleet, number| {
        if number == 1 {
            fleet.cancel_host(fleet.hosts()[0]);
        }
    });
    let [failure] = &seen.failures()[..] else { panic!("{seen:?}") };
    assert!(failure.contains("cancelled"), "it had time until the others had their touches: {failure}");
    assert_eq!(seen.touches.len(), 2);
    drop(silent);
}

/// A proxy has no events, so those of a host behind it name the proxy.
#[test]
fn a_proxy_can_need_a_touch_as_well() {
    let _dog = guard("touch_proxy");
    let key = SoftKey::generate(SK);
    let sshd = sshd_for(&key);
    let agent = TouchAgent::serial([key], soon);
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let gate = Proxy::new("127.0.0.1").port(sshd.port()).known_hosts([sshd.known_hosts(["127.0.0.1"])]);
    let builder = fleet(&sshd, &hosts, &agent).proxy(gate);
    let seen = drive(&mut builder.build().expect("a fleet"), |_, _| {});
    assert_eq!(seen.failures(), [] as [&str; 0]);
    let port = sshd.port();
    let mut names = seen.touches.clone();
    names.sort();
    let mut expected: Vec<String> = hosts.iter().map(|host| format!("{host} port {port}")).collect();
    expected.push(format!("127.0.0.1 port {port}"));
    expected.sort();
    assert_eq!((names, agent.most_waiting()), (expected, 1));
}
