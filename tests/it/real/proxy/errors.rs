//! Failures of a proxy, behind it, or of both.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sshoal::client::JoinError;
use sshoal::error::{ChannelProblem, TimeoutKind};
use sshoal::{Command, HostErrorKind, JoinOptions, Outcome, ParallelClient, Proxy, Stage};

use super::super::{build, client_for, guard, join, run_one, start_error};
use super::{GATE, SECOND_GATE, behind, gate, known, of_proxy};
use crate::support::keys::{KeyPair, KeyType};
use crate::support::peers::{Refused, Scripted};
use crate::support::sshd::Sshd;

const HOST: &str = "127.0.2.1";

#[track_caller]
fn refusal(error: &sshoal::HostError) -> (u32, &str) {
    match of_proxy(error).kind() {
        HostErrorKind::Channel(ChannelProblem::TunnelRefused { reason, text }) => (*reason, text),
        kind => panic!("{kind}"),
    }
}

#[test]
fn proxy_error_of_a_bastion_that_forbids_it() {
    let _dog = guard("forbids_it");
    let bastion = Sshd::builder().option("AllowTcpForwarding no").start();
    let target = Sshd::start();
    let error = start_error(behind(&bastion, &target, &[HOST]).num_retries(3));
    assert_eq!((error.host(), error.stage(), error.attempt()), (HOST, Stage::Connecting, 1));
    let inner = of_proxy(&error);
    assert_eq!((inner.host(), inner.port(), inner.stage()), (GATE, bastion.port(), Stage::Opening));
    assert_eq!(refusal(&error).0, 1);
    let text = error.to_string();
    assert!(text.contains("administratively prohibited") && text.contains(GATE), "{text}");
    assert_eq!(target.count("Connection from"), 0);
}

#[test]
fn a_host_that_does_not_answer_behind_the_bastion() {
    let _dog = guard("does_not_answer_behind");
    let bastion = Sshd::start();
    let refused = Refused::new();
    let builder = ParallelClient::builder([refused.address().to_string()]).identity_auth(false);
    let builder = builder.known_hosts([known(&[(&bastion, &[GATE])])]).num_retries(2);
    let error = start_error(builder.retry_delay(Duration::from_millis(1)).proxy(gate(&bastion, GATE)));
    let (reason, text) = refusal(&error);
    assert_eq!((reason, error.attempt()), (2, 2), "{error}");
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn names_are_resolved_by_the_bastion() {
    let _dog = guard("resolved_by_the_bastion");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    // A name that does not exist anywhere: the bastion reports it.
    let error = start_error(behind(&bastion, &target, &["no-such-host.invalid"]));
    assert_eq!(error.stage(), Stage::Connecting);
    assert_eq!(refusal(&error).0, 2, "{error}");
    bastion.await_log("no-such-host.invalid", 1);
    let mut client = build(behind(&bastion, &target, &["localhost"]));
    assert_eq!(run_one(&mut client, "echo found"), ["found"]);
}

/// A server with another host key than the recorded one, under the same name and port, receives no
/// credential.
fn with_another_key(sshd_port_of: &Sshd) -> String {
    let other = KeyPair::generate(KeyType::Ed25519);
    format!("[{GATE}]:{} {}\n", sshd_port_of.port(), other.public())
}

#[test]
fn a_bastion_with_another_host_key_gets_no_credential() {
    let _dog = guard("bastion_other_key");
    let bastion = Sshd::builder().log_level("DEBUG1").start();
    let target = Sshd::start();
    let lines = with_another_key(&bastion) + &target.known_hosts_lines(HOST);
    let file = bastion.dir().join("other");
    std::fs::write(&file, lines).expect("write");
    let proxy = gate(&bastion, GATE).password("a secret");
    let error = start_error(client_for(&target, [HOST]).known_hosts([file]).num_retries(3).proxy(proxy));
    let inner = of_proxy(&error);
    assert_eq!((inner.stage(), inner.attempt(), error.attempt()), (Stage::Handshaking, 1, 1), "{error}");
    let HostErrorKind::HostKey(cause) = inner.kind() else { panic!("{error}") };
    assert_eq!((cause.host(), cause.port()), (GATE, bastion.port()));
    bastion.await_log("Disconnected from", 1);
    assert_eq!(bastion.userauth_requests(), 0, "{}", bastion.log());
    assert_eq!(target.count("Connection from"), 0);
}

#[test]
fn a_host_with_another_key_behind_the_bastion_gets_no_credential() {
    let _dog = guard("host_other_key");
    let bastion = Sshd::start();
    let target = Sshd::builder().log_level("DEBUG1").start();
    // The bastion's recorded key does not apply to the host either: each hop has its own name.
    let lines = bastion.known_hosts_lines(GATE)
        + &format!("[{HOST}]:{} {}\n", target.port(), KeyPair::generate(KeyType::Ed25519).public());
    let file = bastion.dir().join("other");
    std::fs::write(&file, lines).expect("write");
    let builder = client_for(&target, [HOST]).known_hosts([file]).password("a secret");
    let error = start_error(builder.proxy(gate(&bastion, GATE)));
    let HostErrorKind::HostKey(cause) = error.kind() else { panic!("{error}") };
    assert_eq!((cause.host(), cause.port()), (HOST, target.port()));
    // The goodbye may or may not get through the bastion before the end of the connection does.
    target.await_log("debug1: do_cleanup", 1);
    assert_eq!(target.userauth_requests(), 0, "{}", target.log());
}

#[test]
fn a_second_hop_with_another_key_is_the_errors_place() {
    let _dog = guard("second_hop_other_key");
    let (outer, target) = (Sshd::start(), Sshd::start());
    let inner = Sshd::builder().log_level("DEBUG1").start();
    let lines = outer.known_hosts_lines(GATE) + &target.known_hosts_lines(HOST);
    let file = outer.dir().join("two");
    std::fs::write(&file, lines).expect("write");
    let hops = [gate(&outer, GATE), gate(&inner, SECOND_GATE).password("a secret")];
    let error = start_error(client_for(&target, [HOST]).known_hosts([file]).proxies(hops));
    let at = of_proxy(&error);
    assert_eq!((at.host(), at.stage()), (SECOND_GATE, Stage::Handshaking), "{error}");
    assert!(matches!(at.kind(), HostErrorKind::HostKey(_)), "{error}");
    assert_eq!(inner.userauth_requests(), 0, "{}", inner.log());
}

#[test]
fn proxy_password_that_is_wrong_is_tried_once_for_all_hosts() {
    let _dog = guard("proxy_password");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let hosts: Vec<String> = target.hosts(20).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let proxy = Proxy::new(format!("{GATE}:{}", bastion.port())).user(bastion.user());
    let proxy = proxy.password("wrong").identity_auth(false).allow_agent(false);
    let mut client = build(behind(&bastion, &target, &hosts).num_retries(3).proxy(proxy));
    let outputs = client
        .run_command_with(Command::new("true"), sshoal::ReadOptions::default().stop_on_errors(false))
        .expect("no local error");
    for output in &outputs {
        let error = output.error().expect("failed");
        let inner = of_proxy(&error);
        assert!(matches!(inner.kind(), HostErrorKind::Auth { .. }), "{error}");
        assert_eq!((inner.stage(), inner.host()), (Stage::Authenticating, GATE));
    }
    assert_eq!(bastion.count("Connection from"), 1);
    assert_eq!(bastion.count("Failed password"), 1);
}

#[test]
fn a_wrong_login_behind_the_bastion_is_the_hosts_own() {
    let _dog = guard("hosts_own_login");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let builder = behind(&bastion, &target, &[HOST]).key_bytes(KeyPair::generate(KeyType::Ed25519).private());
    let error = start_error(builder.allow_agent(false));
    assert_eq!((error.host(), error.stage()), (HOST, Stage::Authenticating));
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");
}

#[test]
fn a_bastion_that_says_nothing_is_named_by_its_own_limit() {
    let _dog = guard("silent_bastion");
    let target = Sshd::start();
    let silent = Scripted::silent();
    let limit = Duration::from_millis(300);
    let proxy = Proxy::new(silent.address().to_string()).timeout(limit).max_attempts(2);
    let proxy = proxy.retry_delay(Duration::from_millis(1)).identity_auth(false).allow_agent(false);
    // The host's own limit is shorter: it does not run while the bastion is being connected.
    let error = start_error(client_for(&target, [HOST]).timeout(limit / 3).proxy(proxy));
    let inner = of_proxy(&error);
    let HostErrorKind::Timeout { kind: TimeoutKind::Handshake, after, .. } = inner.kind() else {
        panic!("{error}")
    };
    assert_eq!((*after, inner.attempt(), error.attempt()), (limit, 2, 1), "{error}");
    assert_eq!(silent.accepted(), 2);
}

#[test]
fn a_silent_host_behind_the_bastion_is_named_by_its_own_limit() {
    let _dog = guard("silent_behind");
    let bastion = Sshd::start();
    let silent = Scripted::silent();
    let builder = ParallelClient::builder([silent.address().to_string()]).identity_auth(false);
    let builder = builder.known_hosts([known(&[(&bastion, &[GATE])])]).timeout(Duration::from_secs(3));
    let proxy = gate(&bastion, GATE).timeout(super::super::SLOW);
    let error = start_error(builder.num_retries(1).proxy(proxy));
    assert!(matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Handshake, .. }), "{error}");
    silent.wait_for("the end of the connection behind", |silent| silent.open() == 0);
}

/// Either kind of loss ends every command with the bastion's name; the next command reconnects.
#[test]
fn a_bastion_killed_in_the_middle_of_commands() {
    let _dog = guard("killed_in_the_middle");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let hosts: Vec<String> = target.hosts(10).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let mut client = build(behind(&bastion, &target, &hosts));
    let outputs = client.run_command("echo begun; sleep 60").expect("all start");
    for output in &outputs {
        assert_eq!(output.stdout().next().expect("a line").expect("text"), "begun");
    }
    bastion.daemon().kill_sessions();
    join(&client, &outputs);
    for output in &outputs {
        let Some(Outcome::Failed(error)) = output.outcome() else { panic!("{:?}", output.outcome()) };
        assert_eq!(error.stage(), Stage::Running);
        let inner = of_proxy(&error);
        assert_eq!((inner.host(), inner.stage()), (GATE, Stage::Forwarding));
        let text = error.to_string();
        let expected = format!("running the command failed: proxy {GATE} port {}: ", bastion.port());
        assert!(text.contains(&(expected + "forwarding connections failed: ")), "{text}");
        let is_loss =
            matches!(inner.kind(), HostErrorKind::ConnectionLost(_) | HostErrorKind::Disconnected { .. });
        assert!(is_loss, "{error}");
    }
    let outputs = client.run_command("echo again").expect("all start");
    join(&client, &outputs);
    assert!(outputs.iter().all(|output| output.exit_code() == Some(0)));
    assert_eq!(bastion.count("Accepted publickey"), 2);
}

#[test]
fn a_join_timeout_leaves_everything_to_go_on() {
    let _dog = guard("join_timeout_proxied");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let mut client = build(behind(&bastion, &target, &[HOST, "127.0.2.2"]));
    let outputs = client.run_command("read -r word; echo $word").expect("start");
    let short = JoinOptions::default().timeout(Duration::from_millis(50)).close_stdin(false);
    assert!(matches!(client.join(&outputs, short), Err(JoinError::Timeout { .. })));
    for output in &outputs {
        std::io::Write::write_all(&mut output.stdin(), b"later\n").expect("open");
    }
    join(&client, &outputs);
    for output in &outputs {
        assert_eq!(super::super::stdout(output), ["later"]);
    }
}

#[test]
fn a_bastion_on_another_family_than_its_hosts() {
    let _dog = guard("other_family");
    let bastion = Sshd::start();
    let target = Sshd::builder().listen([IpAddr::from(std::net::Ipv6Addr::LOCALHOST)]).start();
    assert!(bastion.address().ip() == IpAddr::from(Ipv4Addr::LOCALHOST));
    let mut client = build(behind(&bastion, &target, &["::1"]));
    assert_eq!(run_one(&mut client, "set -- $SSH_CONNECTION; echo $3"), ["::1"]);
}
