//! Hosts that a command leads to: one process per connection, none of which is left behind.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::process::{Pid, Signal};
use sshoal::config::FleetBuilder;
use sshoal::error::{Label, ProxyCommandProblem, TimeoutKind};
use sshoal::hostkey::HostKeyPolicy;
use sshoal::{Command, Fleet, HostConfig, HostErrorKind, JoinOptions, Outcome, ParallelClient, Proxy, Stage};

use super::descriptors::alone;
use super::proxy::{GATE, of_proxy};
use super::{SLOW, build, client_for, guard, join, known_hosts_at, run_one, start_error, stdout, with_key};
use crate::support::eventually;
use crate::support::fds::FdBaseline;
use crate::support::fleet::Driven;
use crate::support::keys::ClientKey;
use crate::support::peers::Refused;
use crate::support::ports;
use crate::support::process::signal;
use crate::support::sshd::Sshd;
use crate::support::system::resident;

const HOST: &str = "127.0.2.1";
const RELAY: &str = include_str!("proxy_command.py");

/// A number that only the processes of one test have among their arguments.
struct Mark(String);

impl Mark {
    fn new() -> Self {
        Self(format!("10{:08}", ports::random() % 100_000_000))
    }

    /// A command that lasts for longer than any test.
    fn sleep(&self) -> String {
        format!("sleep {}", self.0)
    }

    /// The processes with the mark. Zombies have no arguments.
    fn processes(&self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        let pids =
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
        let has_mark = |pid: &Pid| {
            let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
            arguments.is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&self.0))
        };
        pids.filter(has_mark).collect()
    }

    #[track_caller]
    fn assert_gone(&self) {
        eventually(SLOW, "the end of all processes", || self.processes().is_empty().then_some(()));
        assert_eq!(zombies(), 0);
    }
}

/// A test that fails leaves no process either.
impl Drop for Mark {
    fn drop(&mut self) {
        self.processes().into_iter().for_each(|pid| signal(pid, Signal::KILL));
    }
}

/// How many children of this process have ended and were not waited for.
fn zombies() -> usize {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let is_own = |stat: &String| {
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields[..2] == ["Z", &own]
    };
    stats.filter(is_own).count()
}

/// A command like `nc %h %p`, whose arguments end with the mark.
fn relay(sshd: &Sshd, mark: &Mark) -> String {
    let path = sshd.dir().join("relay.py");
    fs::write(&path, RELAY).expect("write the relay");
    format!("/usr/bin/python3 -S -E {} %h %p {}", path.display(), mark.0)
}

/// A fleet of this server's hosts.
fn fleet_for(sshd: &Sshd, hosts: &[String]) -> FleetBuilder {
    let builder = Fleet::builder(hosts.to_vec()).port(sshd.port()).user(sshd.user());
    with_key(builder, sshd).known_hosts([sshd.known_hosts(hosts)])
}

/// Drives a fleet until no process of a command is left.
#[track_caller]
fn settle(driven: &mut Driven) {
    let begun = Instant::now();
    while driven.fleet.metrics().proxy_commands > 0 {
        driven.turn(Duration::from_millis(20));
        assert!(begun.elapsed() < SLOW, "{}", driven.fleet.metrics());
    }
}

#[test]
fn a_relay_leads_to_hosts_that_are_verified_under_their_names() {
    let _dog = guard("proxy_command_relay");
    let (sshd, mark) = (Sshd::start(), Mark::new());
    let baseline = FdBaseline::now();
    let builder = client_for(&sshd, [HOST, "127.0.2.2"]).proxy_command(relay(&sshd, &mark));
    let mut client = build(builder.keepalive(Duration::from_millis(50)));
    for _ in 0..2 {
        let outputs =
            client.run_command("echo $SSH_CONNECTION; sleep 0.3; head -c 3000000 /dev/zero | tr '\\0' y");
        let outputs = outputs.expect("both start");
        join(&client, &outputs);
        for output in &outputs {
            let lines = stdout(output);
            assert!(lines[0].contains(&format!(" {} ", output.host())), "{}", lines[0]);
            assert_eq!((lines[1].len(), output.exit_code()), (3_000_000, Some(0)));
        }
    }
    assert_eq!(client.metrics().proxy_commands, 2);
    assert_eq!((mark.processes().len(), sshd.count("Accepted publickey")), (2, 2));
    drop(client);
    mark.assert_gone();
    baseline.assert_same_within(SLOW);
    // The key of another name is not accepted.
    let other = sshd.known_hosts(["127.0.2.9"]);
    let builder = client_for(&sshd, [HOST]).proxy_command(relay(&sshd, &mark)).known_hosts([other]);
    let error = start_error(builder);
    assert!(matches!(error.kind(), HostErrorKind::HostKey(_)), "{error}");
    mark.assert_gone();
}

#[test]
fn ssh_itself_may_be_the_command() {
    let _dog = guard("proxy_command_ssh");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let options = "-F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes";
    let command = format!(
        "ssh {options} -o UserKnownHostsFile={} -i {} -p {} -W %h:%p {}@{GATE}",
        bastion.known_hosts([GATE]).display(),
        bastion.key(ClientKey::Ed25519).display(),
        bastion.port(),
        bastion.user(),
    );
    let mut client = build(client_for(&target, [HOST]).proxy_command(&*command));
    assert_eq!(run_one(&mut client, "echo through"), ["through"]);
    assert_eq!((bastion.count("Accepted publickey"), target.count("Accepted publickey")), (1, 1));
    let refused = Refused::new();
    // Nothing listens behind the bastion: ssh says so, and ends with status 255.
    let builder = client_for(&target, [HOST]).port(refused.address().port());
    let error = start_error(builder.proxy_command(command));
    let HostErrorKind::ProxyCommand(ProxyCommandProblem::Ended { status: Some(status), .. }) = error.kind()
    else {
        panic!("{error}")
    };
    assert_eq!(status.code(), Some(255));
    assert!(error.proxy_command_said().is_some_and(|said| said.contains("Connection refused")), "{error}");
}

#[test]
fn a_command_that_dies_is_named_with_its_status_and_its_words() {
    let _dog = guard("proxy_command_dies");
    let sshd = Sshd::start();
    let count = sshd.dir().join("starts");
    let script = format!("echo >> {}; echo \"no route to %n:%p\" >&2; exit 3", count.display());
    let builder = client_for(&sshd, [HOST]).proxy_command(format!("sh -c '{script}'"));
    let error = start_error(builder.max_attempts(3).retry_delay(Duration::from_millis(1)));
    let HostErrorKind::ProxyCommand(ProxyCommandProblem::Ended { command, status, .. }) = error.kind() else {
        panic!("{error}")
    };
    assert_eq!((status.and_then(|status| status.code()), error.attempt()), (Some(3), 3));
    assert!(command.contains(&format!("no route to {HOST}:{}", sshd.port())), "{command}");
    assert_eq!(error.proxy_command_said(), Some(&*format!("no route to {HOST}:{}", sshd.port())));
    assert_eq!((error.stage(), error.label()), (Stage::Connecting, Label::ProxyCommand));
    assert!(error.to_string().contains("ended (exit status: 3)"), "{error}");
    assert_eq!(fs::read_to_string(count).expect("the command has run").lines().count(), 3);

    let error = start_error(client_for(&sshd, [HOST]).proxy_command("sh -c 'kill -9 $$'"));
    assert!(error.to_string().contains("ended (signal: 9 (SIGKILL))"), "{error}");
    let error = start_error(client_for(&sshd, [HOST]).proxy_command("/nonexistent/program %h"));
    assert!(error.to_string().contains("ended (exit status: 127)"), "{error}");
    let said = error.proxy_command_said().expect("the shell's words");
    assert!(said.contains("/nonexistent/program"), "{said}");
    assert_eq!(zombies(), 0);
}

#[test]
fn a_command_that_hangs_is_ended_with_its_group_and_its_words_are_in_the_error() {
    let _dog = guard("proxy_command_hangs");
    let (sshd, mark) = (Sshd::start(), Mark::new());
    let script = format!("echo waiting for a token >&2; {0} & {0} & {0}", mark.sleep());
    let builder = client_for(&sshd, [HOST]).proxy_command(format!("sh -c '{script}'"));
    let limit = Duration::from_millis(700);
    let error = start_error(builder.timeout(limit));
    let is_limit = matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Connect, .. });
    assert!(is_limit && error.elapsed() < limit + SLOW, "{error}");
    assert_eq!((error.stage(), error.proxy_command_said()), (Stage::Connecting, Some("waiting for a token")));
    mark.assert_gone();
}

/// With turns, the processes go away while the fleet goes on. Without, they do when it is dropped.
#[test]
fn a_command_that_ignores_the_first_signal_is_killed() {
    let _dog = guard("proxy_command_stubborn");
    let (sshd, mark) = (Sshd::start(), Mark::new());
    let script = format!("trap \"\" TERM; {0} & {0}", mark.sleep());
    let hosts = [HOST.to_owned()];
    let fleet = || {
        let builder = fleet_for(&sshd, &hosts).proxy_command(format!("sh -c '{script}'"));
        let mut driven = Driven::new(builder.build().expect("a fleet"));
        driven.fleet.start("true").expect("a run");
        // Once all are there, the shell has its trap.
        while mark.processes().len() < 3 {
            driven.turn(Duration::from_millis(20));
        }
        driven
    };
    let mut driven = fleet();
    let host = driven.fleet.hosts()[0];
    assert!(driven.fleet.remove_host(host));
    while driven.ends.is_empty() {
        driven.turn(SLOW);
    }
    assert_eq!(driven.fleet.metrics().proxy_commands, 1);
    assert_eq!(mark.processes().len(), 3);
    settle(&mut driven);
    mark.assert_gone();

    let driven = fleet();
    let begun = Instant::now();
    drop(driven);
    assert!(begun.elapsed() < SLOW, "{:?}", begun.elapsed());
    mark.assert_gone();
}

#[test]
fn two_hundred_hosts_at_once() {
    const HOSTS: u32 = 200;
    let _dog = guard("proxy_command_many");
    let (sshd, mark) = (Sshd::start(), Mark::new());
    let hosts: Vec<String> = sshd.hosts(HOSTS).collect();
    let builder = fleet_for(&sshd, &hosts).proxy_command(relay(&sshd, &mark)).timeout(3 * SLOW);
    let mut driven = Driven::new(builder.max_connecting(200).build().expect("a fleet"));
    driven.fleet.start("echo $SSH_CONNECTION; sleep 1").expect("a run");
    let mut most = 0;
    while driven.runs.is_empty() {
        let before = driven.fleet.metrics().proxy_commands;
        driven.turn(SLOW);
        most = most.max(driven.fleet.metrics().proxy_commands.saturating_sub(before));
    }
    // A start takes about as long as a turn may.
    assert!(most <= 20, "{most} processes were started in one turn");
    for (command, outcome) in &driven.ends {
        assert!(matches!(outcome, Outcome::Exited(0)), "{outcome}");
        assert!(driven.output[command].starts_with(b"127.0.0.1 "));
    }
    assert_eq!((driven.ends.len(), driven.fleet.metrics().proxy_commands), (200, 200));
    driven.fleet.drain(Instant::now() + SLOW);
    while !driven.drained {
        driven.turn(SLOW);
    }
    settle(&mut driven);
    mark.assert_gone();
}

#[test]
fn a_hostile_name_runs_nothing() {
    let _dog = guard("proxy_command_hostile");
    let sshd = Sshd::start();
    let proof = sshd.dir().join("proof");
    let touch = format!("touch {}", proof.display());
    let command = "sh -c 'echo %h %n %r >&2; exit 1'";
    let dollar = format!("$({touch})");
    for name in [&*format!("x;{touch}"), &dollar, &format!("`{touch}`"), &format!("'; {touch}; '")] {
        let error =
            ParallelClient::builder([name]).proxy_command(command).build().expect_err("a hostile name");
        assert!(error.to_string().contains("host 1"), "{error}");
        let own = HostConfig::default().hostname(name);
        assert!(client_for(&sshd, [HOST]).host_config([own]).proxy_command(command).build().is_err());
        let own = HostConfig::default().user(name);
        assert!(client_for(&sshd, [HOST]).host_config([own]).proxy_command(command).build().is_err());
    }
    // Names that are unusual only are passed on as they are.
    let own = HostConfig::default().hostname("fe80::1%eth0").user("CORP\\deploy");
    let error = start_error(
        client_for(&sshd, ["wéb-1_a"])
            .host_config([own])
            .proxy_command("sh -c 'echo \"%h %n %r\" >&2; exit 1'"),
    );
    assert_eq!(error.proxy_command_said(), Some("fe80::1%eth0 wéb-1_a CORP\\deploy"));
    assert!(!proof.exists());
}

#[test]
fn a_flood_on_standard_error_neither_blocks_nor_fills_anything() {
    let _dog = guard("proxy_command_flood");
    let (sshd, mark) = (Sshd::start(), Mark::new());
    let flood = format!("yes {} >&2 & exec {}", mark.0, relay(&sshd, &mark));
    let mut client = build(client_for(&sshd, [HOST, "127.0.2.2"]).proxy_command(format!("sh -c '{flood}'")));
    let outputs = client.run_command("sleep 1; echo in").expect("both start");
    let before = resident();
    join(&client, &outputs);
    assert!(outputs.iter().all(|output| stdout(output) == ["in"]));
    assert!(resident() < before + 10 * 1024 * 1024);
    drop((client, outputs));
    mark.assert_gone();
    // What is kept is bounded, also in the error.
    let script = format!("yes {} >&2", mark.0);
    let builder = client_for(&sshd, [HOST]).proxy_command(format!("sh -c '{script}'"));
    let error = start_error(builder.timeout(Duration::from_millis(500)));
    let said = error.proxy_command_said().expect("a flood");
    assert!(said.len() > 2_000 && said.len() <= 4_096, "{}", said.len());
    assert!(error.to_string().len() < 1_000, "{error}");
    mark.assert_gone();
}

/// The socket pair is then full, and the host's input waits. Other hosts go on.
#[test]
fn a_command_that_does_not_read_holds_up_only_its_host() {
    let _dog = guard("proxy_command_stuck");
    let (sshd, mark) = (Sshd::start(), Mark::new());
    let stuck = format!("{} stuck 500000", relay(&sshd, &mark));
    let own = [HostConfig::default().proxy_command(stuck), HostConfig::default()];
    let builder = client_for(&sshd, [HOST, "127.0.2.2"]).proxy_command(relay(&sshd, &mark));
    let mut client = build(builder.host_config(own).close_timeout(Duration::from_millis(500)));
    let input = vec![b'y'; 4_000_000];
    let command = Command::new("wc -c").stdin(input).time_limit(Duration::from_secs(3));
    let outputs = client.run_command(command).expect("both start");
    client.join(&outputs, JoinOptions::default().timeout(SLOW)).expect("both end");
    assert_eq!(stdout(&outputs[1]), ["4000000"]);
    let error = outputs[0].error().expect("its time is up");
    assert!(matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Command, .. }), "{error}");
    drop((client, outputs));
    mark.assert_gone();
}

#[test]
fn a_jump_host_may_be_reached_by_a_command() {
    let _dog = guard("proxy_command_jump");
    let (bastion, target, mark) = (Sshd::start(), Sshd::start(), Mark::new());
    let gate = Proxy::new(format!("{GATE}:{}", bastion.port())).user(bastion.user()).identity_auth(false);
    let gate = gate.key_file(bastion.key(ClientKey::Ed25519));
    let hosts: Vec<String> = target.hosts(5).collect();
    let known = [bastion.known_hosts([GATE]), target.known_hosts(&hosts)];
    let through = |command: String| {
        client_for(&target, &hosts).known_hosts(&known).proxy(gate.clone().proxy_command(command))
    };
    let mut client = build(through(relay(&bastion, &mark)));
    let outputs = client.run_command("echo in").expect("all start");
    join(&client, &outputs);
    assert!(outputs.iter().all(|output| stdout(output) == ["in"]));
    assert_eq!((client.metrics().proxy_commands, mark.processes().len()), (1, 1));
    assert_eq!((bastion.count("Accepted publickey"), target.count("Accepted publickey")), (1, 5));
    drop((client, outputs));
    mark.assert_gone();
    // The proxy's failure is the error of its hosts.
    let error = start_error(through("sh -c 'echo expired token >&2; exit 2'".to_owned()));
    let inner = of_proxy(&error);
    assert_eq!((inner.host(), inner.proxy_command_said()), (GATE, Some("expired token")));
    assert!(matches!(inner.kind(), HostErrorKind::ProxyCommand(_)), "{error}");
}

/// Each host needs three descriptors. Hosts that find none wait for others to end.
#[test]
fn hosts_wait_for_descriptors() {
    let _dog = guard("hosts_wait_for_descriptors");
    if !alone(module_path!(), "hosts_wait_for_descriptors") {
        return;
    }
    let (sshd, mark) = (Sshd::start(), Mark::new());
    let hosts: Vec<String> = sshd.hosts(30).collect();
    let builder = fleet_for(&sshd, &hosts).proxy_command(relay(&sshd, &mark)).timeout(3 * SLOW);
    let mut driven = Driven::new(builder.build().expect("a fleet"));
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let open = FdBaseline::now().count() as u64;
    setrlimit(Resource::RLIMIT_NOFILE, open + 16 + 20, hard).expect("a lower limit");
    driven.fleet.start("echo in").expect("a run");
    while driven.runs.is_empty() {
        driven.turn(SLOW);
        assert!(driven.fleet.metrics().connections <= 6, "{}", driven.fleet.metrics());
    }
    for outcome in driven.ends.values() {
        assert!(matches!(outcome, Outcome::Exited(0)), "{outcome}");
    }
    assert_eq!(driven.ends.len(), 30);
    drop(driven);
    mark.assert_gone();
}

#[test]
fn the_keys_of_an_address_are_recorded_under_the_hosts_name() {
    let _dog = guard("proxy_command_recorded");
    let (sshd, mark) = (Sshd::start(), Mark::new());
    // The command goes elsewhere: the name in the list counts.
    let relay = relay(&sshd, &mark).replace("%h", HOST);
    let known = known_hosts_at(&sshd, &[]);
    let builder = client_for(&sshd, ["vault.invalid"]).proxy_command(relay);
    let mut client = build(builder.known_hosts([&known]).host_keys(HostKeyPolicy::accept_new(&known)));
    assert_eq!(run_one(&mut client, "echo in"), ["in"]);
    drop(client);
    let recorded = fs::read_to_string(PathBuf::from(&known)).expect("known_hosts");
    assert!(recorded.starts_with(&format!("[vault.invalid]:{} ", sshd.port())), "{recorded}");
}
