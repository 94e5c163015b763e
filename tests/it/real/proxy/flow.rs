//! Data through a proxy, and how often the proxy is connected to.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use sshoal::{HostConfig, JoinOptions, ParallelClient};

use super::super::{SLOW, build, client_for, guard, join, rest, run_one, stdout, with_key};
use super::{GATE, SECOND_GATE, behind, gate, known};
use crate::support::eventually;
use crate::support::fds::FdBaseline;
use crate::support::keys::ClientKey;
use crate::support::process::signal;
use crate::support::sshd::Sshd;
use crate::support::system::resident;
use crate::support::user::TestUser;

/// Time after which a writer without progress gives up.
const SHORT: Duration = Duration::from_secs(2);

#[test]
fn hosts_behind_one_bastion_share_one_login_there() {
    let _dog = guard("share_one_login");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let hosts: Vec<String> = target.hosts(30).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let mut client = build(behind(&bastion, &target, &hosts));
    for _ in 0..2 {
        let outputs = client.run_command("set -- $SSH_CONNECTION; echo $3").expect("all start");
        join(&client, &outputs);
        for (output, host) in outputs.iter().zip(&hosts) {
            assert_eq!(stdout(output), [*host]);
            assert_eq!(output.exit_code(), Some(0));
        }
    }
    assert_eq!(bastion.count("Connection from"), 1);
    assert_eq!(bastion.count("Accepted publickey"), 1);
    assert_eq!(target.count("Accepted publickey"), 30);
    assert_eq!(client.metrics().connections, 31);
}

#[test]
fn a_chain_of_two_bastions() {
    let _dog = guard("chain_of_two");
    let (outer, inner, target) = (Sshd::start(), Sshd::start(), Sshd::start());
    let known_hosts =
        known(&[(&outer, &[GATE]), (&inner, &[SECOND_GATE]), (&target, &["127.0.2.1", "127.0.2.2"])]);
    let builder = client_for(&target, ["127.0.2.1", "127.0.2.2"]).known_hosts([known_hosts]);
    let mut client = build(builder.proxies([gate(&outer, GATE), gate(&inner, SECOND_GATE)]));
    let outputs = client.run_command("echo through").expect("both start");
    join(&client, &outputs);
    for output in &outputs {
        assert_eq!(stdout(output), ["through"]);
    }
    for (server, logins) in [(&outer, 1), (&inner, 1), (&target, 2)] {
        assert_eq!(server.count("Accepted publickey"), logins);
    }
    assert_eq!(run_one(&mut client, "echo again"), ["again"]);
}

#[test]
fn a_hundred_megabytes_arrive_unaltered() {
    let _dog = guard("hundred_megabytes");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let mut client = build(behind(&bastion, &target, &["127.0.2.1"]));
    let make = "head -c 100000000 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null";
    let outputs = client.run_command(format!("{make}; {make} | cksum >&2")).expect("starts");
    let mut sum = Command::new("cksum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cksum");
    let mut reader = outputs[0].stdout_reader();
    let copied = std::io::copy(&mut reader, &mut sum.stdin.take().expect("piped")).expect("no error");
    assert_eq!(copied, 100_000_000);
    let sum = sum.wait_with_output().expect("cksum");
    join(&client, &outputs);
    let (_, told) = rest(&outputs[0]);
    assert_eq!(told, [sum.stdout.trim_ascii_end().to_vec()]);
}

/// Data that the host does not read is held back all the way, and arrives completely once it does.
#[test]
fn input_waits_for_a_host_that_does_not_read() {
    let _dog = guard("input_waits");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let mut client = build(behind(&bastion, &target, &["127.0.2.1", "127.0.2.2"]).read_timeout(SHORT));
    let go = target.dir().join("go");
    let wait = format!("while ! [ -e {} ]; do sleep 0.02; done", go.display());
    let command = format!("set -- $SSH_CONNECTION; if [ $3 = 127.0.2.1 ]; then {wait}; fi; cksum");
    let outputs = client.run_command(command).expect("start");
    let sent = vec![b'x'; 24 << 20];
    let (mut taken, before) = (0, resident());
    while let Ok(written @ 1..) = outputs[0].stdin().write(&sent[taken..]) {
        taken += written;
    }
    assert!(taken < sent.len(), "everything was accepted although nobody reads");
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    // The other host uses the same bastion meanwhile.
    outputs[1].stdin().close();
    assert_eq!(stdout(&outputs[1]).len(), 1);
    std::fs::write(&go, "").expect("write");
    while taken < sent.len() {
        taken += outputs[0].stdin().write(&sent[taken..]).unwrap_or(0);
    }
    outputs[0].stdin().close();
    join(&client, &outputs);
    let mut sum = Command::new("cksum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cksum");
    sum.stdin.take().expect("piped").write_all(&sent).expect("cksum reads");
    let sum = String::from_utf8(sum.wait_with_output().expect("cksum").stdout).expect("text");
    assert_eq!(stdout(&outputs[0]), [sum.trim_end()]);
}

/// A host that reads nothing closes only its own channel's window at the bastion.
#[test]
fn a_host_that_stands_still_holds_up_nobody_else() {
    let _dog = guard("stands_still");
    let (bastion, frozen, target) = (Sshd::start(), Sshd::start(), Sshd::start());
    let hosts = [format!("127.0.2.1:{}", frozen.port()), format!("127.0.2.2:{}", target.port())];
    let servers: [(&Sshd, &[&str]); 3] =
        [(&bastion, &[GATE]), (&frozen, &["127.0.2.1"]), (&target, &["127.0.2.2"])];
    frozen.key(ClientKey::Ed25519);
    let builder = with_key(ParallelClient::builder(hosts).user(target.user()), &target);
    let builder = builder.known_hosts([known(&servers)]).read_timeout(SHORT);
    let mut client = build(builder.proxy(gate(&bastion, GATE)));
    // Each command has its own window: together more than all buffers on the way.
    let outputs: Vec<_> = (0..12).map(|_| client.run_command("cksum").expect("start")).collect();
    let sent = vec![b'x'; 2 << 20];
    frozen.daemon().processes().into_iter().for_each(|pid| signal(pid, Signal::STOP));
    for output in &outputs {
        // What is not accepted now is accepted later.
        let _ = output[0].stdin().write_all(&sent[..1 << 20]);
    }
    for output in &outputs {
        output[1].stdin().write_all(&sent).expect("taken");
        output[1].stdin().close();
        assert_eq!(stdout(&output[1]).len(), 1);
    }
    frozen.daemon().processes().into_iter().for_each(|pid| signal(pid, Signal::CONT));
    for output in &outputs {
        output[0].stdin().close();
        join(&client, output);
        assert_eq!(stdout(&output[0]).len(), 1, "{:?}", output[0].outcome());
    }
}

/// Data queued for the bastion's socket is sent once the bastion continues.
#[test]
fn a_bastion_that_stands_still_for_a_while_loses_nothing() {
    let _dog = guard("bastion_stands_still");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let mut client = build(behind(&bastion, &target, &["127.0.2.1", "127.0.2.2", "127.0.2.3", "127.0.2.4"]));
    let outputs: Vec<_> = (0..4).map(|_| client.run_command("cksum").expect("start")).collect();
    let sent = vec![b'x'; 1 << 20];
    bastion.daemon().processes().into_iter().for_each(|pid| signal(pid, Signal::STOP));
    for output in outputs.iter().flatten() {
        output.stdin().write_all(&sent).expect("queued");
        output.stdin().close();
    }
    // So that every host was tried.
    let moment = JoinOptions::default().timeout(Duration::from_millis(200));
    assert!(client.join(&outputs[0], moment).is_err());
    bastion.daemon().processes().into_iter().for_each(|pid| signal(pid, Signal::CONT));
    for output in outputs.iter().flatten() {
        join(&client, std::slice::from_ref(output));
        let lines = stdout(output);
        assert!(lines[0].ends_with(" 1048576"), "{lines:?}");
    }
}

#[test]
fn one_place_in_the_pool_is_enough() {
    let _dog = guard("one_place");
    let (outer, inner, target) = (Sshd::start(), Sshd::start(), Sshd::start());
    let hosts = ["127.0.2.1", "127.0.2.2", "127.0.2.3"];
    let known_hosts = known(&[(&outer, &[GATE]), (&inner, &[SECOND_GATE]), (&target, &hosts)]);
    let builder = client_for(&target, hosts).known_hosts([known_hosts]).pool_size(1);
    let mut client = build(builder.proxies([gate(&outer, GATE), gate(&inner, SECOND_GATE)]));
    let outputs = client.run_command("echo here").expect("all start");
    join(&client, &outputs);
    assert!(outputs.iter().all(|output| stdout(output) == ["here"]));
}

#[test]
fn descriptors_come_back() {
    let _dog = guard("descriptors_come_back");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let hosts: Vec<String> = target.hosts(10).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    // Opened once per process.
    run_one(&mut build(behind(&bastion, &target, &hosts[..1])), "true");
    let baseline = FdBaseline::now();
    let mut client = build(behind(&bastion, &target, &hosts));
    let idle = FdBaseline::now().count();
    let outputs = client.run_command("echo x").expect("all start");
    join(&client, &outputs);
    // Two ends for each host, and one socket to the bastion.
    assert_eq!(FdBaseline::now().count(), idle + 2 * hosts.len() + 1);
    drop((client, outputs));
    baseline.assert_same();
    // Also in the middle of connecting.
    let mut client = build(behind(&bastion, &target, &hosts));
    let outputs = client.start_command("sleep 60").expect("local");
    client.finished(&outputs).expect("poll");
    drop((client, outputs));
    baseline.assert_same();
}

#[test]
fn two_users_of_one_bastion_share_nothing() {
    let _dog = guard("two_users");
    let Some(other) = TestUser::create() else { return };
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let hosts = ["127.0.2.1", "127.0.2.2", "127.0.2.3", "127.0.2.4"];
    let as_other = HostConfig::default().proxy(gate(&bastion, GATE).user(other.name()));
    let builder = behind(&bastion, &target, &hosts).host_config([
        HostConfig::default(),
        as_other.clone(),
        HostConfig::default(),
        as_other,
    ]);
    let mut client = build(builder);
    let outputs = client.run_command("echo x").expect("all start");
    join(&client, &outputs);
    assert_eq!(bastion.count("Accepted publickey"), 2);
    for user in [bastion.user(), other.name()] {
        assert_eq!(bastion.count(&format!("Accepted publickey for {user} ")), 1);
    }
}

#[test]
fn host_config_proxy_fields_and_no_proxy() {
    let _dog = guard("proxy_fields");
    let (bastion, other, target) = (Sshd::start(), Sshd::start(), Sshd::start());
    let hosts = ["127.0.2.1", "127.0.2.2", "127.0.2.3"];
    let known_hosts = known(&[(&bastion, &[GATE]), (&other, &[SECOND_GATE]), (&target, &hosts)]);
    let builder = client_for(&target, hosts).known_hosts([known_hosts]);
    // proxy_pkey, proxy_user and proxy_port are inherited one by one.
    let builder = builder.proxy_host(GATE).proxy_port(bastion.port()).proxy_user(bastion.user());
    let builder = builder.proxy_key_file(bastion.key(ClientKey::Ed25519));
    other.key(ClientKey::Ed25519);
    let mut client = build(builder.host_config([
        HostConfig::default(),
        HostConfig::default().proxy_host(SECOND_GATE).proxy_port(other.port()),
        HostConfig::default().no_proxy(),
    ]));
    let outputs = client.run_command("echo x").expect("all start");
    join(&client, &outputs);
    for (server, logins) in [(&bastion, 1), (&other, 1), (&target, 3)] {
        assert_eq!(server.count("Accepted publickey"), logins);
    }
}

#[test]
fn proxy_password_logs_in() {
    let _dog = guard("proxy_password_logs_in");
    let Some(user) = TestUser::create() else { return };
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let builder = client_for(&target, ["127.0.2.1"])
        .known_hosts([known(&[(&bastion, &[GATE]), (&target, &["127.0.2.1"])])])
        .proxy_host(format!("{}@{GATE}:{}", user.name(), bastion.port()))
        .proxy_password(user.password());
    assert_eq!(run_one(&mut build(builder), "echo x"), ["x"]);
    assert_eq!(bastion.count(&format!("Accepted password for {} ", user.name())), 1);
}

#[test]
fn a_changed_list_of_hosts_takes_its_proxies_along() {
    let _dog = guard("changed_list");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let names = ["127.0.2.1", "127.0.2.2", "127.0.2.3", "127.0.2.4"];
    let known_hosts = known(&[(&bastion, &[GATE]), (&target, &names)]);
    let builder = client_for(&target, &names[..2]).known_hosts([known_hosts]);
    let mut client = build(builder.proxy(gate(&bastion, GATE)));
    let baseline = FdBaseline::now();
    let outputs = client.run_command("echo x").expect("start");
    join(&client, &outputs);
    assert_eq!(client.metrics().connections, 3);
    client.set_hosts(["127.0.2.1"]).expect("a list");
    assert_eq!(client.metrics().connections, 2);
    assert_eq!(run_one(&mut client, "echo y"), ["y"]);
    // New hosts, and one that replaces the last old one, use the existing connection.
    client.set_hosts(["127.0.2.1", "127.0.2.3"]).expect("a list");
    let outputs = client.run_command("echo z").expect("start");
    join(&client, &outputs);
    assert_eq!(client.metrics().connections, 3);
    client.set_hosts(["127.0.2.4"]).expect("a list");
    assert_eq!(run_one(&mut client, "echo w"), ["w"]);
    assert_eq!(client.metrics().connections, 2);
    assert_eq!(bastion.count("Accepted publickey"), 1);
    let none: [&str; 0] = [];
    client.set_hosts(none).expect("a list");
    assert_eq!((client.metrics().connections, client.metrics().timers), (0, 0));
    baseline.assert_same();
}

#[test]
fn disconnect_leaves_no_connection_at_the_bastion_either() {
    let _dog = guard("disconnect_through_proxies");
    let (outer, inner, target) = (Sshd::start(), Sshd::start(), Sshd::start());
    let known_hosts =
        known(&[(&outer, &[GATE]), (&inner, &[SECOND_GATE]), (&target, &["127.0.2.1", "127.0.2.2"])]);
    let builder = client_for(&target, ["127.0.2.1", "127.0.2.2"]).known_hosts([known_hosts]);
    let mut client = build(builder.proxies([gate(&outer, GATE), gate(&inner, SECOND_GATE)]));
    let running = client.run_command("cat").expect("both start");
    assert_eq!(client.metrics().connections, 4);
    client.disconnect().expect("a poll");
    assert_eq!(client.metrics().connections, 0);
    assert!(running.iter().all(|output| output.error().is_some()));
    outer.await_log("Received disconnect from", 1);
    // The outer one ends at once, and may drop what it was about to pass on.
    eventually(SLOW, "the inner connection's end", || {
        let ends = ["Received disconnect from", "Connection closed by"].map(|text| inner.count(text));
        (ends.iter().sum::<usize>() == 1).then_some(())
    });
    // Also in the middle of connecting.
    client.start_command("echo never").expect("a command");
    client.disconnect().expect("a poll");
    assert_eq!((client.metrics().connections, client.metrics().admission_queue), (0, 0));
    assert_eq!(run_one(&mut client, "echo again"), ["again"]);
    assert!(client.connect().expect("a poll").iter().all(Result::is_ok));
    assert_eq!(client.metrics().connections, 4);
}
