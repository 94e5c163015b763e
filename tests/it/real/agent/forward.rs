//! Forwarded agents: real hosts with commands that use one, an agent that refuses, misbehaving
//! agents and commands.

use std::collections::BTreeSet;
use std::os::unix::net::UnixListener;

use sshoal::{HostConfig, HostOutput, Outcome};

use super::super::{build, guard, join, run_one, stdout};
use super::{HOST, authorized, stranger, with_agent};
use crate::support::agent::{
    Agent, EXTENSION, FakeAgent, REQUEST_IDENTITIES, Reply, SIGN_REQUEST, list_of, ssh_add_list,
};
use crate::support::fds::FdBaseline;
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::sshd::Sshd;

/// Three keys, the first of which is accepted.
fn agent_for(sshd: &Sshd) -> Agent {
    let keys = [KeyPair::generate(KeyType::Ecdsa), stranger()];
    Agent::with_keys([authorized(sshd, ClientKey::Ed25519), &keys[0], &keys[1]])
}

/// A host name on a command line for another login to this server, with the forwarded agent only.
fn nested(sshd: &Sshd, command: &str) -> String {
    let options = "-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
    format!("ssh {options} -o LogLevel=ERROR -i none -p {} {}@127.0.2.9 {command}", sshd.port(), sshd.user())
}

fn assert_ran(output: &HostOutput) {
    assert!(matches!(output.outcome(), Some(Outcome::Exited(0))), "{:?}", output.outcome());
}

#[test]
fn commands_see_the_keys_and_sign_with_them() {
    let _dog = guard("forward");
    let sshd = Sshd::start();
    let agent = agent_for(&sshd);
    let counting = FakeAgent::counting(&agent);
    let mut client = build(with_agent(&sshd, [HOST], &counting.socket()).forward_ssh_agent(true));
    assert_eq!(run_one(&mut client, "ssh-add -l"), ssh_add_list(&agent.socket()));
    assert_eq!(counting.requests(SIGN_REQUEST), 1, "the login's own");
    assert_eq!(run_one(&mut client, &nested(&sshd, "echo nested")), ["nested"]);
    assert_eq!(counting.requests(SIGN_REQUEST), 2);
    // Again over the channel of another command, and ten times over one.
    assert_eq!(run_one(&mut client, "for i in 1 2 3 4 5 6 7 8 9 10; do ssh-add -l | wc -l; done"), ["3"; 10]);
}

#[test]
fn commands_on_a_channel_that_was_opened_ahead_see_the_keys() {
    let _dog = guard("forward_spare");
    let sshd = Sshd::start();
    let agent = agent_for(&sshd);
    let builder = with_agent(&sshd, [HOST], &agent.socket()).forward_ssh_agent(true);
    let mut client = build(builder.spare_channel(true));
    client.connect().expect("it connects");
    for _ in 0..3 {
        assert_eq!(run_one(&mut client, "ssh-add -l"), ssh_add_list(&agent.socket()));
    }
}

/// Requests that would change the agent, or make it load a library, are refused before they reach
/// it; allowed requests continue.
#[test]
fn commands_can_neither_change_the_agent_nor_have_it_load_anything() {
    let _dog = guard("forward_filter");
    let sshd = Sshd::start();
    let agent = agent_for(&sshd);
    let keys = ssh_add_list(&agent.socket());
    let recording = FakeAgent::counting(&agent);
    let builder = with_agent(&sshd, [HOST], &recording.socket()).allow_agent(false);
    let mut client =
        build(builder.key_file(sshd.key(ClientKey::Ed25519)).identity_auth(false).forward_ssh_agent(true));
    let attempts = [
        // The agent would load any library below /usr/lib, and run it.
        "ssh-add -s $(ls /usr/lib/*/libssh.so.* /usr/lib/*/libcrypto.so.* | head -1)",
        "ssh-keygen -q -t ed25519 -N '' -f \"$d/key\" && ssh-add \"$d/key\"",
        "ssh-add -c \"$d/key\"",
        "ssh-add -D",
        "ssh-add -x",
        "ssh-add -X",
        "ssh-add -e /usr/lib/x.so",
        "ssh-add -d \"$d/key\"",
    ];
    for attempt in attempts {
        let ask = "export SSH_ASKPASS=/bin/hostname SSH_ASKPASS_REQUIRE=force; d=$(mktemp -d)";
        let command = format!("{ask}; {attempt} >/dev/null 2>&1; echo $?; ssh-add -l; rm -r \"$d\"");
        let told = run_one(&mut client, &command);
        assert_ne!(told[0], "0", "{attempt}");
        assert_eq!(told[1..], keys, "{attempt}");
    }
    assert_eq!(run_one(&mut client, &nested(&sshd, "echo nested")), ["nested"]);
    let heard: BTreeSet<u8> = recording.heard().iter().map(|request| request[0]).collect();
    assert_eq!(heard, BTreeSet::from([REQUEST_IDENTITIES, SIGN_REQUEST, EXTENSION]));
}

#[test]
fn commands_side_by_side_have_channels_of_their_own() {
    let _dog = guard("forward_two");
    let sshd = Sshd::start();
    let agent = agent_for(&sshd);
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let builder = with_agent(&sshd, hosts.iter().map(String::as_str), &agent.socket());
    let mut client = build(builder.forward_ssh_agent(true));
    let commands = [nested(&sshd, "echo one"), "ssh-add -l >/dev/null && echo two".to_owned()];
    let outputs = commands.map(|command| client.start_command(command.as_str()).expect("a command"));
    for (outputs, expected) in outputs.iter().zip(["one", "two"]) {
        join(&client, outputs);
        outputs.iter().for_each(|output| assert_eq!(stdout(output), [expected], "{:?}", output.outcome()));
    }
}

/// `forward_ssh_agent` of parallel-ssh, which ignores it, also in `HostConfig`.
#[test]
fn the_agent_is_forwarded_to_the_hosts_that_are_named_and_to_no_other() {
    let _dog = guard("forward_per_host");
    let sshd = Sshd::start();
    let agent = agent_for(&sshd);
    let hosts: Vec<String> = sshd.hosts(2).collect();
    let with = || with_agent(&sshd, hosts.iter().map(String::as_str), &agent.socket());
    let forward = |on| HostConfig::default().forward_ssh_agent(on);
    let inherit = HostConfig::default;
    let seen = |builder| {
        let mut client = build(builder);
        let outputs = client.run_command("test -S \"$SSH_AUTH_SOCK\"; echo $?").expect("all start");
        outputs.iter().map(|output| stdout(output).concat() == "0").collect::<Vec<bool>>()
    };
    assert_eq!(seen(with()), [false, false]);
    assert_eq!(seen(with().forward_ssh_agent(true).host_config([forward(false), inherit()])), [false, true]);
    assert_eq!(seen(with().host_config([forward(true), inherit()])), [true, false]);
    // The login does not need the agent.
    let key = sshd.key(ClientKey::Ecdsa);
    assert_eq!(seen(with().forward_ssh_agent(true).allow_agent(false).key_file(key)), [true, true]);
}

/// No reply is requested: OpenSSH's client does not request one either, and continues without.
#[test]
fn on_a_host_that_does_not_forward_commands_find_no_agent() {
    let _dog = guard("forward_refused");
    let sshd = Sshd::builder().option("AllowAgentForwarding no").start();
    let agent = agent_for(&sshd);
    let mut client = build(with_agent(&sshd, [HOST], &agent.socket()).forward_ssh_agent(true));
    for _ in 0..2 {
        assert_eq!(run_one(&mut client, "echo ${SSH_AUTH_SOCK-none}"), ["none"]);
    }
}

#[test]
fn an_agent_that_is_gone_is_the_commands_own_affair() {
    let _dog = guard("forward_gone");
    let sshd = Sshd::start();
    let agent = agent_for(&sshd);
    let mut client = build(with_agent(&sshd, [HOST], &agent.socket()).forward_ssh_agent(true));
    run_one(&mut client, "ssh-add -l");
    let before = FdBaseline::now();
    drop(agent);
    assert_eq!(run_one(&mut client, "ssh-add -l 2>/dev/null || echo gone"), ["gone"]);
    assert_eq!(run_one(&mut client, "echo on"), ["on"]);
    assert!(FdBaseline::now().count() <= before.count());

    let closing = FakeAgent::start(|_| Reply::Close);
    let garbage = FakeAgent::start(|_| Reply::Bytes(vec![0xff; 100]));
    let flood = FakeAgent::start(|kind| match kind {
        REQUEST_IDENTITIES => Reply::Bytes(list_of(2_000)),
        _ => Reply::Close,
    });
    for (agent, expected) in [(&closing, "1"), (&garbage, "1"), (&flood, "0")] {
        let builder = with_agent(&sshd, [HOST], &agent.socket()).allow_agent(false).forward_ssh_agent(true);
        let mut client = build(builder.key_file(sshd.key(ClientKey::Ed25519)));
        assert_eq!(run_one(&mut client, "ssh-add -l >/dev/null 2>&1; echo $?"), [expected]);
    }
}

/// The agent accepts connections and does not read. A command that keeps sending loses its channel
/// once a mebibyte of requests is queued here.
#[test]
fn a_command_that_floods_the_agent_loses_its_channel_and_delays_nobody() {
    const FLOOD: &str = "import os, socket, time
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ['SSH_AUTH_SOCK'])
s.setblocking(False)
request = bytes([0, 1, 0, 0, 13]) + bytes(65535)
sent, end = 0, time.time() + 10
while time.time() < end and sent < 100_000_000:
    try:
        at = sent % len(request)
        sent += s.send(request[at:])
    except BlockingIOError:
        time.sleep(0.01)
    except OSError:
        break
print(sent)";
    let _dog = guard("forward_flood");
    let sshd = Sshd::start();
    let folder = tempfile::tempdir().expect("temporary directory");
    let socket = folder.path().join("deaf");
    let _deaf = UnixListener::bind(&socket).expect("bind");
    let builder = with_agent(&sshd, [HOST], &socket).allow_agent(false).forward_ssh_agent(true);
    let mut client = build(builder.key_file(sshd.key(ClientKey::Ed25519)));
    let flood = client.start_command(format!("/usr/bin/python3 -c \"{FLOOD}\"")).expect("a command");
    for _ in 0..20 {
        assert_eq!(run_one(&mut client, "echo on"), ["on"]);
    }
    join(&client, &flood);
    assert_ran(&flood[0]);
    let sent: usize = stdout(&flood[0])[0].parse().expect("a number");
    assert!((1_000_000..16_000_000).contains(&sent), "{sent} bytes");
}

#[test]
fn a_host_has_sixteen_channels_at_a_time() {
    const MANY: &str = "import os, socket
def one():
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.environ['SSH_AUTH_SOCK'])
    try:
        s.send(bytes([0, 0, 0, 1, 11]))
    except OSError:
        pass
    return s
def heard(s):
    try:
        return len(s.recv(5)) == 5
    except OSError:
        return False
for round in range(2):
    print(sum([heard(s) for s in [one() for _ in range(40)]]))";
    let _dog = guard("forward_many");
    let sshd = Sshd::start();
    let agent = agent_for(&sshd);
    let before = FdBaseline::now().count();
    let mut client = build(with_agent(&sshd, [HOST], &agent.socket()).forward_ssh_agent(true));
    let command = format!("/usr/bin/python3 -c \"{MANY}\"");
    let told = run_one(&mut client, &command);
    assert_eq!(told[0], "16");
    // The second round starts while the channels of the first are being closed.
    let again: usize = told[1].parse().expect("a number");
    assert!(again <= 16, "{again}");
    assert_eq!(run_one(&mut client, &command)[0], "16");
    // The poll, its waker, the connection, the agent's: those of the channels are closed when their
    // ends arrive.
    let are_gone = || FdBaseline::now().count() < before + 12;
    for _ in 0..50 {
        if !are_gone() {
            run_one(&mut client, "true");
        }
    }
    assert!(are_gone(), "{:?}", FdBaseline::now());
}
