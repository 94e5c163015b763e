//! Changing the host list: which hosts stay, which are removed, and what happens to the outputs.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use sshoal::config::ClientBuilder;
use sshoal::error::{CancelCause, Origin};
use sshoal::{Command, Error, HostConfig, HostErrorKind, HostOutput, JoinOptions, ParallelClient};

use super::{SLOW, build, client_for, guard, join, run_one, stdout};
use crate::support::fds::FdBaseline;
use crate::support::keys::ClientKey;
use crate::support::peers::Scripted;
use crate::support::sshd::Sshd;

const A: &str = "127.0.2.1";
const B: &str = "127.0.2.2";
const C: &str = "127.0.2.3";
const D: &str = "127.0.2.4";

/// A client of these hosts that has the keys of the others as well.
fn client(sshd: &Sshd, hosts: &[&str]) -> ClientBuilder {
    let known = sshd.known_hosts([A, B, C, D]);
    client_for(sshd, hosts).known_hosts([known])
}

/// The connection over which each host answers, by the client's port, and its user.
#[track_caller]
fn connections(client: &mut ParallelClient) -> Vec<String> {
    let outputs = client.run_command("set -- $SSH_CONNECTION; echo $3 $2").expect("starts");
    join(client, &outputs);
    outputs.iter().map(|output| stdout(output).concat()).collect()
}

#[track_caller]
fn assert_cancelled(output: &HostOutput) {
    let error = output.error().expect("cancelled");
    assert!(matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::HostRemoved)), "{error}");
    assert_eq!(error.host(), output.host());
}

/// parallel-ssh: the setter of `hosts`. The same host at the same position keeps its connection;
/// any other connection is closed.
#[test]
fn unchanged_hosts_keep_their_connections() {
    let _dog = guard("set_hosts");
    let sshd = Sshd::start();
    let mut client = build(client(&sshd, &[A, B, C]));
    let before = connections(&mut client);
    client.set_hosts([A, D, C]).expect("valid");
    assert_eq!((client.len(), client.metrics().connections), (3, 2));
    let after = connections(&mut client);
    assert_eq!([&after[0], &after[2]], [&before[0], &before[2]]);
    assert!(after[1].starts_with(D), "{after:?}");
    client.set_hosts([A, D, C, B]).expect("valid");
    let grown = connections(&mut client);
    assert_eq!(grown[..3], after);
    assert_eq!(sshd.count("Connection from"), 5);
    // The same host at another position counts as another, and so does one that is written
    // differently.
    client.set_hosts([D, A]).expect("valid");
    assert_eq!(client.metrics().connections, 0);
    let moved = connections(&mut client);
    assert!(moved[0].starts_with(D) && moved[1].starts_with(A) && !grown.contains(&moved[1]), "{moved:?}");
    client.set_hosts([D.to_owned(), format!("{}@{A}", sshd.user())]).expect("valid");
    assert_eq!(client.metrics().connections, 1);
    client.set_hosts([""; 0]).expect("an empty list is legal");
    assert_eq!((client.len(), client.is_empty(), client.metrics().connections), (0, true, 0));
    assert_eq!(client.run_command("true").expect("no hosts is valid").len(), 0);
}

#[test]
fn outputs_of_hosts_that_went_stay_readable() {
    let _dog = guard("set_hosts_outputs");
    let sshd = Sshd::start();
    let fds = FdBaseline::now();
    let mut client = build(client(&sshd, &[A, B, C]));
    let commands = Command::new("%s").host_args([
        "echo a; read -r word; echo $word",
        "echo b; printf part; exec sleep 600",
        "echo c",
    ]);
    let outputs = client.run_command(commands).expect("starts");
    sshd.await_log("Starting session", 3);
    std::thread::sleep(Duration::from_millis(300));
    client.set_hosts([A]).expect("valid");
    assert_eq!(client.metrics().connections, 1);
    assert_cancelled(&outputs[1]);
    assert_eq!(stdout(&outputs[1])[..1], ["b"], "what had arrived");
    assert_eq!(stdout(&outputs[2]), ["c"]);
    assert_eq!(outputs[2].exit_code(), Some(0), "its end had arrived");
    assert_eq!(client.last_output().len(), 3);
    outputs[1].stdin().close();
    assert!(!outputs[0].is_finished());
    outputs[0].stdin().write_all(b"still here\n").expect("it runs on");
    client.join(&outputs, JoinOptions::default().timeout(SLOW).close_stdin(true)).expect("all have ended");
    assert_eq!(
        (stdout(&outputs[0]), outputs[0].exit_code()),
        (vec!["a".into(), "still here".into()], Some(0))
    );
    drop((outputs, client));
    fds.assert_same_within(SLOW);
}

/// The number of per-host arguments is checked against the current list.
#[test]
fn values_per_host_have_to_fit_the_new_list() {
    let _dog = guard("set_hosts_values");
    let sshd = Sshd::start();
    let mut client = build(client(&sshd, &[A, B]));
    client.set_hosts([A, B, C]).expect("valid");
    let two = client.run_command(Command::new("echo %s").host_args(["a", "b"]));
    assert!(matches!(two, Err(Error::HostArgs { hosts: 3, args: 2, .. })), "{two:?}");
    let outputs = client.run_command(Command::new("echo %s").host_args(["a", "b", "c"])).expect("starts");
    join(&client, &outputs);
    assert_eq!(outputs.iter().map(|output| stdout(output).concat()).collect::<String>(), "abc");
}

/// parallel-ssh: `hosts` is any iterable but a string. Here a string alone does not compile.
#[test]
fn hosts_come_from_whatever_can_be_iterated() {
    let len = |builder: ClientBuilder| build(builder.no_known_hosts().identity_auth(false)).len();
    let owned: Vec<String> = vec![A.to_owned(), B.to_owned()];
    assert_eq!(len(ParallelClient::builder([A, B])), 2);
    assert_eq!(len(ParallelClient::builder(&owned)), 2);
    assert_eq!(len(ParallelClient::builder(owned)), 2);
    assert_eq!(len(ParallelClient::builder(A.split('.').map(|part| format!("web{part}")))), 4);
    assert_eq!(len(ParallelClient::builder("web1 web2\nweb3".split_whitespace())), 3);
    assert_eq!(len(ParallelClient::builder(std::iter::empty::<&str>())), 0);
}

/// A host that is listed several times counts as several hosts.
#[test]
fn duplicates_come_and_go_one_by_one() {
    let _dog = guard("set_hosts_duplicates");
    let sshd = Sshd::start();
    let mut client = build(client(&sshd, &[A, A, A]));
    let before = connections(&mut client);
    assert_eq!(client.metrics().connections, 3);
    client.set_hosts([A, A]).expect("valid");
    assert_eq!(connections(&mut client), before[..2]);
    assert_eq!(client.metrics().connections, 2);
}

#[test]
fn a_list_that_is_refused_changes_nothing() {
    let _dog = guard("set_hosts_refused");
    let sshd = Sshd::start();
    let mut client = build(client(&sshd, &[A, B]));
    let before = connections(&mut client);
    let refused = client.set_hosts(["web", "-oProxyCommand=x", "c"]);
    assert!(matches!(refused, Err(Error::HostSpec { position: 1, .. })), "{refused:?}");
    let missing = HostConfig::default().key_file("/nonexistent/key");
    let refused = client.set_hosts_with([(A, HostConfig::default()), (C, missing)]);
    assert!(
        matches!(refused, Err(Error::KeyFile { origin: Origin::Host { position: 1, .. }, .. })),
        "{refused:?}"
    );
    let refused = client.set_hosts_with([(C, HostConfig::default().port(0))]);
    assert!(matches!(refused, Err(Error::Config { .. })), "{refused:?}");
    assert_eq!((client.len(), client.metrics().connections), (2, 2));
    assert_eq!(connections(&mut client), before);
}

/// parallel-ssh ignores `host_config` when `hosts` is set again.
#[test]
fn configurations_belong_to_positions() {
    let _dog = guard("set_hosts_config");
    let sshd = Sshd::start();
    let own = HostConfig::default().alias("one").timeout(SLOW);
    let mut client = build(client(&sshd, &[A, B]).host_config([own.clone(), HostConfig::default()]));
    let before = connections(&mut client);
    let problem = client.set_hosts([A, B, C]).expect_err("two for three").to_string();
    assert_eq!(problem, "host_config has 2 entries for 3 hosts: give one for each host");
    client.set_hosts([A, C]).expect("as many as before");
    let after = connections(&mut client);
    assert_eq!(after[0], before[0]);
    assert_eq!(client.last_output()[0].alias(), Some("one"));
    // Different settings make it another host, equal ones do not.
    client.set_hosts_with([(A, own.clone()), (C, own.clone()), (D, own)]).expect("valid");
    let configured = connections(&mut client);
    assert_eq!(configured[0], after[0]);
    assert!(configured[1].starts_with(C) && configured[1] != after[1], "{configured:?}");
    assert_eq!(client.last_output()[2].alias(), Some("one"));
}

/// Keys are read for new hosts.
#[test]
fn hosts_that_stay_need_their_key_file_no_more() {
    let _dog = guard("set_hosts_keys");
    let sshd = Sshd::start();
    let key = sshd.dir().join("key");
    fs::copy(sshd.key(ClientKey::Ed25519), &key).expect("a copy");
    let mut client = build(client(&sshd, &[A, B]).key_file(&key));
    let before = connections(&mut client);
    fs::remove_file(&key).expect("it is there");
    client.set_hosts([A]).expect("no host is new");
    let refused = client.set_hosts([A, C]);
    assert!(matches!(refused, Err(Error::KeyFile { origin: Origin::Client, .. })), "{refused:?}");
    assert_eq!(connections(&mut client), before[..1]);
    client.set_hosts([""; 0]).expect("no host is left to need it");
    fs::copy(sshd.key(ClientKey::Rsa), &key).expect("a new key");
    client.set_hosts([A, C]).expect("the key is back");
    assert_eq!(connections(&mut client).len(), 2);
    let accepted = sshd.log().lines().rfind(|line| line.starts_with("Accepted publickey")).map(str::to_owned);
    assert!(accepted.is_some_and(|line| line.contains("RSA")), "{}", sshd.log());
}

/// A pool of one place, held by a host that does not answer, and a command for that one and the
/// next.
fn behind_a_silent_host(sshd: &Sshd, silent: &Scripted) -> (ParallelClient, Vec<HostOutput>) {
    let mut client = build(client(sshd, &[A, B]).pool_size(1).timeout(4 * SLOW));
    client.set_hosts([silent.address().to_string(), format!("{A}:{}", sshd.port())]).expect("valid");
    let outputs = client.start_command("echo in").expect("valid");
    assert!(client.join(&outputs, JoinOptions::default().timeout(Duration::from_millis(500))).is_err());
    (client, outputs)
}

/// The only place is held by a host that does not answer; once it is removed, the next one gets it.
#[test]
fn a_host_that_goes_gives_its_place_back() {
    let _dog = guard("set_hosts_place");
    let sshd = Sshd::start();
    let silent = Scripted::silent();
    let (mut client, outputs) = behind_a_silent_host(&sshd, &silent);
    assert_eq!((client.metrics().admission_queue, outputs[1].is_finished()), (1, false));
    client.set_hosts(["127.0.2.9".to_owned(), format!("{A}:{}", sshd.port())]).expect("valid");
    assert_cancelled(&outputs[0]);
    assert_eq!(stdout(&outputs[1]), ["in"]);
    silent.wait_for("the end of the connection", |peer| peer.open() == 0);
}

/// parallel-ssh: `pool_size`, where a change has no effect.
#[test]
fn the_pool_grows_and_shrinks() {
    let _dog = guard("set_pool_size");
    let sshd = Sshd::start();
    let silent = Scripted::silent();
    let (mut client, outputs) = behind_a_silent_host(&sshd, &silent);
    assert_eq!((client.metrics().pool, client.metrics().admission_queue), (1, 1));
    let problem = client.set_pool_size(0).expect_err("no place");
    assert_eq!(problem.to_string(), "pool_size must be at least 1");
    client.set_pool_size(2).expect("valid");
    assert_eq!(stdout(&outputs[1]), ["in"]);
    client.set_pool_size(1).expect("fewer than are taken");
    assert_eq!(client.metrics().pool, 1);
    drop(outputs);
    client.set_hosts([A]).expect("valid");
    assert_eq!(run_one(&mut client, "echo in"), ["in"]);
}
