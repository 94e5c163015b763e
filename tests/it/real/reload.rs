//! Files that change while a client runs: it reads them again, and no connection is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sshoal::config::{ClientBuilder, DnsConfig, Input, Resolver};
use sshoal::fleet::HostState;
use sshoal::hostkey::HostKeyProblem;
use sshoal::{Command, Error, Fleet, HostErrorKind, Outcome, ParallelClient, Proxy, Run};

use super::{SLOW, build, client_for, guard, join, run_one, stdout};
use crate::support::fleet::Driven;
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::sshd::Sshd;
use crate::support::zone::{Zone, dead};

const A: &str = "127.0.2.1";
const B: &str = "127.0.2.2";
const GATE: &str = "127.0.3.1";

const CONNECTION: &str = "set -- $SSH_CONNECTION; echo $2";

/// The problem with the host key, after a command that must fail for it.
#[track_caller]
fn refusal(client: &mut ParallelClient) -> String {
    match client.run_command("true") {
        Err(Error::Host(error)) => match error.kind() {
            HostErrorKind::HostKey(error) => format!("{:?}", error.problem()),
            _ => panic!("{error}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Replaces a file as most programs do.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("write");
    fs::rename(new, path).expect("rename");
}

#[test]
fn a_host_is_accepted_once_its_key_is_on_record() {
    let _dog = guard("reload_known_hosts");
    let sshd = Sshd::start();
    let known_hosts = sshd.dir().join("known_later");
    let builder = client_for(&sshd, [A]).known_hosts([&known_hosts]).num_retries(1);
    let mut client = build(builder);
    assert_eq!(refusal(&mut client), format!("{:?}", HostKeyProblem::Unknown));
    // An administrator adds the key; then somebody replaces it by another one.
    replace(&known_hosts, &sshd.known_hosts_lines(A));
    let before = run_one(&mut client, CONNECTION);
    let other = KeyPair::generate(KeyType::Ed25519);
    replace(&known_hosts, &format!("[{A}]:{} {}\n", sshd.port(), other.public()));
    assert_eq!(run_one(&mut client, CONNECTION), before, "the connection stays");
    // Accepting a key looks at no file, so this takes a reload.
    client.disconnect().expect("a poll");
    let after = run_one(&mut client, CONNECTION);
    assert_ne!(after, before);
    client.reload().expect("readable");
    assert_eq!(run_one(&mut client, CONNECTION), after, "the connection stays");
    client.disconnect().expect("a poll");
    assert_eq!(refusal(&mut client), format!("{:?}", HostKeyProblem::Changed));
    assert_eq!(client.metrics().rejected_keys, 2);
}

/// A server that accepts `pair`, and a client of these hosts with the key in a file.
fn with_key_file(pair: &KeyPair, hosts: &[&str]) -> (Sshd, PathBuf, ClientBuilder) {
    let sshd = Sshd::builder().authorized_key(pair.public()).start();
    let file = pair.write(sshd.dir(), "id_reloaded");
    let builder = ParallelClient::builder(hosts.iter().copied()).port(sshd.port()).user(sshd.user());
    let builder = builder.key_file(&file).identity_auth(false).allow_agent(false).num_retries(1);
    let builder = builder.timeout(SLOW).known_hosts([sshd.known_hosts(hosts)]);
    (sshd, file, builder)
}

#[test]
fn keys_are_read_again_for_hosts_and_their_proxies() {
    let _dog = guard("reload_keys");
    let right = KeyPair::generate(KeyType::Ed25519);
    let wrong = KeyPair::generate(KeyType::Ed25519);
    let (sshd, file, builder) = with_key_file(&right, &[A, B]);
    let (gate, gate_file, _) = with_key_file(&right, &[GATE]);
    let lines = [A, B].map(|host| sshd.known_hosts_lines(host)).concat() + &gate.known_hosts_lines(GATE);
    let known_hosts = sshd.dir().join("known_of_both");
    fs::write(&known_hosts, lines).expect("write");
    fs::write(&gate_file, wrong.private()).expect("write");
    let proxy = Proxy::new(format!("{GATE}:{}", gate.port())).user(gate.user()).key_file(&gate_file);
    let proxy = proxy.identity_auth(false);
    let behind = sshoal::HostConfig::default().proxies([proxy]);
    let configs = [sshoal::HostConfig::default(), behind];
    let mut client = build(builder.known_hosts([known_hosts]).host_config(configs));
    let options = sshoal::ReadOptions::default().stop_on_errors(false);
    let outputs = client.run_command_with(CONNECTION, options).expect("valid");
    join(&client, &outputs);
    let before = stdout(&outputs[0]);
    let error = outputs[1].error().expect("the proxy has the wrong key");
    assert!(matches!(error.kind(), HostErrorKind::Proxy(_)), "{error}");

    fs::write(&gate_file, right.private()).expect("write");
    // A file that cannot be used: nothing changes.
    fs::write(&file, "no key").expect("write");
    let refused = client.reload();
    assert!(matches!(refused, Err(Error::KeyFile { .. })), "{refused:?}");
    let outputs = client.run_command_with("true", options).expect("valid");
    assert!(outputs[0].error().is_none() && outputs[1].error().is_some());
    join(&client, &outputs);

    fs::write(&file, right.private()).expect("write");
    client.reload().expect("readable");
    let outputs = client.run_command(CONNECTION).expect("both start");
    join(&client, &outputs);
    assert_eq!(stdout(&outputs[0]), before, "the connection stays");
    assert_eq!(outputs[1].outcome().map(|outcome| outcome.to_string()).as_deref(), Some("exit status 0"));
}

/// The files are read on another thread, while a command runs.
#[test]
fn a_fleet_goes_on_while_its_files_are_read() {
    let _dog = guard("reload_fleet");
    let [first, second] = [(); 2].map(|()| KeyPair::generate(KeyType::Ed25519));
    let (sshd, file, _) = with_key_file(&first, &[A, B]);
    let builder = Fleet::builder([A, B]).port(sshd.port()).user(sshd.user()).key_file(&file);
    let builder = builder.identity_auth(false).allow_agent(false).num_retries(1);
    let known_hosts = sshd.known_hosts([A, B]);
    let mut driven = Driven::new(builder.known_hosts([&known_hosts]).build().expect("a fleet"));
    let [a, b] = driven.fleet.hosts() else { panic!("two hosts") };
    let (a, b) = (*a, *b);
    let sleeper = Command::new("read -r line; echo $line").stdin(Input::Open);
    let sleeper = driven.fleet.start(Run::new(sleeper).hosts([a])).expect("valid").commands[0];
    driven.until(SLOW, "a command", |driven| driven.started.contains(&sleeper));

    // The server accepts the first key only.
    fs::write(&file, second.private()).expect("write");
    let reload = driven.fleet.prepare_reload();
    let reloaded = thread::spawn(|| reload.read()).join().expect("no panic").expect("readable");
    driven.fleet.apply(reloaded);
    let refused = driven.fleet.start(Run::new("true").hosts([b])).expect("valid");
    driven.until(SLOW, "a refusal", |driven| driven.done(refused.run).is_some());
    let Outcome::Failed(error) = &driven.ends[&refused.commands[0]] else { panic!("it logs in") };
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");

    fs::remove_file(&known_hosts).expect("removed");
    fs::create_dir(&known_hosts).expect("a directory");
    let refused = driven.fleet.reload();
    assert!(matches!(refused, Err(Error::KnownHosts { .. })), "{refused:?}");

    driven.fleet.write_stdin(sleeper, b"still here\n").expect("room");
    driven.until(SLOW, "the end", |driven| driven.ends.contains_key(&sleeper));
    assert_eq!(driven.output[&sleeper], b"still here\n");
    assert_eq!(driven.fleet.metrics().reconnects, 0);
}

#[test]
fn lookups_in_progress_start_over_with_another_resolver() {
    let _dog = guard("set_resolver");
    let (zone, sshd) = (Zone::start(), Sshd::start());
    let dns = |server| Resolver::Native(DnsConfig::parse_resolv_conf("").servers([server]));
    let (_socket, silent) = dead();
    let host = "v4-9.example";
    let builder = Fleet::builder([host]).port(sshd.port()).user(sshd.user()).identity_auth(false);
    let builder = builder.allow_agent(false).key_file(sshd.key(ClientKey::Ed25519)).timeout(SLOW);
    let builder = builder.known_hosts([sshd.known_hosts([host])]).resolver(dns(silent));
    let mut driven = Driven::new(builder.build().expect("a fleet"));
    let command = driven.fleet.start("true").expect("valid").commands[0];
    driven.until(SLOW, "a lookup", |driven| driven.fleet.metrics().hosts(HostState::Resolving) == 1);
    driven.go_on_for(Duration::from_millis(100));
    driven.fleet.set_resolver(dns(zone.address()));
    driven.until(SLOW, "the end", |driven| driven.ends.contains_key(&command));
    assert!(driven.ends[&command].is_success(), "{}", driven.ends[&command]);
}
