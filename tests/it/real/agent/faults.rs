//! Misbehaving agents. The host continues with its next credential; only a silent agent uses up
//! authentication time.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use sshoal::error::TimeoutKind;
use sshoal::{HostConfig, HostErrorKind};

use super::super::{SLOW, build, guard, join, run_one, stdout};
use super::{HOST, authorized, with_agent};
use crate::support::agent::{
    Agent, FAILURE, FakeAgent, IDENTITIES_ANSWER, Reply, SIGN_REQUEST, SIGN_RESPONSE, list_of, message,
    string,
};
use crate::support::keys::ClientKey;
use crate::support::process::signal;
use crate::support::sshd::Sshd;

/// Logs in with the credential after the agent.
#[track_caller]
fn falls_back(sshd: &Sshd, socket: &std::path::Path, what: &str) {
    let builder = with_agent(sshd, [HOST], socket).identity_auth(true);
    let mut client = build(builder.identity_files([sshd.key(ClientKey::Ecdsa)]));
    assert_eq!(run_one(&mut client, "echo in"), ["in"], "{what}");
}

#[test]
fn an_agent_that_is_gone_or_has_nothing() {
    let _dog = guard("agent_gone");
    let sshd = Sshd::start();
    let agent = Agent::with_keys([authorized(&sshd, ClientKey::Ed25519)]);
    agent.lock();
    falls_back(&sshd, &agent.socket(), "locked");
    agent.unlock();
    agent.clear();
    falls_back(&sshd, &agent.socket(), "empty");
    let socket = agent.socket();
    drop(agent);
    falls_back(&sshd, &socket, "no socket");
    falls_back(&sshd, sshd.dir(), "a directory");
    falls_back(&sshd, &sshd.key(ClientKey::Ed25519), "a file");
}

#[test]
fn lists_without_sense() {
    let _dog = guard("agent_lists");
    let sshd = Sshd::start();
    let gibibyte = [&(1u32 << 30).to_be_bytes()[..], &[IDENTITIES_ANSWER; 1000]].concat();
    let cut = [&100u32.to_be_bytes()[..], &[IDENTITIES_ANSWER, 0, 0]].concat();
    let replies: Vec<(&str, Vec<u8>)> = vec![
        ("a refusal", message(FAILURE, b"")),
        ("garbage", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("an empty message", vec![0; 4]),
        ("a frame of 1 GiB", gibibyte),
        ("10,000 keys", list_of(10_000)),
        ("2,049 keys", list_of(2_049)),
        ("a count without keys", message(IDENTITIES_ANSWER, &[0, 0, 0, 9])),
        (
            "keys that are none",
            message(IDENTITIES_ANSWER, &[&[0, 0, 0, 1][..], &string(b"key"), &string(b"me")].concat()),
        ),
        ("another answer", message(SIGN_RESPONSE, &string(b"signature"))),
        ("two answers", [list_of(0), list_of(0)].concat()),
        ("no answer but the end", Vec::new()),
    ];
    for (what, bytes) in replies {
        let agent = FakeAgent::start(move |_| match bytes.is_empty() {
            true => Reply::Close,
            false => Reply::Bytes(bytes.clone()),
        });
        falls_back(&sshd, &agent.socket(), what);
        assert!(agent.connections() <= 2, "{what}: {} connections", agent.connections());
    }
    // Half a reply and then nothing is silence; followed by EOF it counts as no reply.
    let agent = FakeAgent::start(move |_| Reply::Bytes(cut.clone()));
    let error =
        super::super::start_error(with_agent(&sshd, [HOST], &agent.socket()).timeout(Duration::from_secs(1)));
    assert!(matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Agent, .. }), "{error}");
}

#[test]
fn signatures_that_are_none() {
    let _dog = guard("agent_signatures");
    let sshd = Sshd::start();
    let agent = Agent::with_keys([authorized(&sshd, ClientKey::Ed25519)]);
    let wrong = [string(b"ssh-ed25519"), string(&[1; 64])].concat();
    let replies: Vec<(&str, Vec<u8>)> = vec![
        ("a refusal", message(FAILURE, b"")),
        ("garbage", b"garbage, and more of it".to_vec()),
        ("another's signature", message(SIGN_RESPONSE, &string(&wrong))),
        ("an empty signature", message(SIGN_RESPONSE, &string(b""))),
        ("a signature of 100 KB", message(SIGN_RESPONSE, &string(&[7; 100_000]))),
        ("a list", list_of(1)),
        ("no answer but the end", Vec::new()),
    ];
    for (what, bytes) in replies {
        let faulty = FakeAgent::over(&agent, move |kind| match kind {
            SIGN_REQUEST if bytes.is_empty() => Reply::Close,
            SIGN_REQUEST => Reply::Bytes(bytes.clone()),
            _ => Reply::Upstream,
        });
        falls_back(&sshd, &faulty.socket(), what);
        assert!((1..=2).contains(&faulty.requests(SIGN_REQUEST)), "{what}");
    }
}

/// A stopped agent accepts requests and does not answer: hosts that do not need it are not delayed.
#[test]
fn only_hosts_that_need_a_silent_agent_run_out_of_time() {
    let _dog = guard("agent_silent");
    let sshd = Sshd::start();
    let agent = Agent::with_keys([authorized(&sshd, ClientKey::Ed25519)]);
    signal(agent.pid(), Signal::STOP);
    let hosts: Vec<String> = sshd.hosts(4).collect();
    let limit = Duration::from_secs(3);
    let key = sshd.key(ClientKey::Ecdsa);
    let configs = [
        HostConfig::default().timeout(limit),
        HostConfig::default().key_file(&key),
        HostConfig::default().allow_agent(false).identity_auth(true).identity_files([&key]),
        HostConfig::default().timeout(limit),
    ];
    let builder = with_agent(&sshd, hosts.iter().map(String::as_str), &agent.socket()).host_config(configs);
    let mut client = build(builder.timeout(SLOW));
    let begun = Instant::now();
    let outputs = client.start_command("echo in").expect("a command");
    for output in [&outputs[1], &outputs[2]] {
        assert_eq!(stdout(output), ["in"]);
    }
    assert!(begun.elapsed() < limit, "held up for {:?}", begun.elapsed());
    join(&client, &outputs);
    for output in [&outputs[0], &outputs[3]] {
        let error = output.error().expect("out of time");
        let HostErrorKind::Timeout { kind: TimeoutKind::Agent, after, .. } = error.kind() else {
            panic!("{error}")
        };
        assert_eq!(*after, limit);
        assert!(error.to_string().contains("waiting for the ssh-agent, after 3s"), "{error}");
    }

    signal(agent.pid(), Signal::CONT);
    let outputs = client.run_command("echo in").expect("all start");
    outputs.iter().for_each(|output| assert_eq!(stdout(output), ["in"]));
}

#[test]
fn an_agent_that_hangs_up_in_between_is_asked_again() {
    let _dog = guard("agent_hangs_up");
    let sshd = Sshd::start();
    let agent = Agent::with_keys([authorized(&sshd, ClientKey::Ed25519)]);
    let first = std::sync::atomic::AtomicBool::new(true);
    let faulty = FakeAgent::over(&agent, move |kind| {
        let hangs_up = kind == SIGN_REQUEST && first.swap(false, std::sync::atomic::Ordering::SeqCst);
        if hangs_up { Reply::Close } else { Reply::Upstream }
    });
    let hosts: Vec<String> = sshd.hosts(10).collect();
    let mut client = build(with_agent(&sshd, hosts.iter().map(String::as_str), &faulty.socket()));
    for output in client.run_command("echo in").expect("all start") {
        assert_eq!(stdout(&output), ["in"]);
    }
    assert_eq!(faulty.connections(), 2);
}
