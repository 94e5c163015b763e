//! The scenarios run under valgrind: small fleets, one ending each.

use std::io::Write;
use std::time::Duration;

use hostsim::{AuthPolicy, Sim};
use sshoal::{HostErrorKind, HostOutput, JoinOptions, ParallelClient};

use crate::real;
use crate::sim::proxy::{behind, gate};
use crate::sim::{PATIENCE, assert_hostnames, client, command, fleet, run, spawn, stdout, trusting, watch};
use crate::support::agent::{Agent, FAILURE, FakeAgent, Reply, SIGN_REQUEST, list_of, message};
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::peers::Refused;
use crate::support::sshd::Sshd;

const HOSTS: usize = 5;
/// For silent hosts. Long enough for a stage under valgrind.
const LIMIT: Duration = Duration::from_secs(8);

/// Runs a command on hosts that all behave by `rule`; `check` inspects the error.
fn all_fail(rule: &str, check: impl Fn(&HostErrorKind) -> bool) {
    all_fail_in(2, rule, check);
}

/// Like [`all_fail`], with this number of attempts.
fn all_fail_in(attempts: u32, rule: &str, check: impl Fn(&HostErrorKind) -> bool) {
    let _dog = watch();
    let sim = fleet(&[rule]);
    let builder = client(&sim, 2).num_retries(attempts).retry_delay(Duration::from_millis(1));
    let mut client = builder.build().unwrap();
    let outputs = client
        .run_command_with(
            command("hostname; bytes 100000"),
            sshoal::ReadOptions::default().stop_on_errors(false),
        )
        .unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    for output in &outputs {
        let error = output.error().unwrap();
        assert!(check(error.kind()), "{rule}: {error:?}");
    }
}

fn lost(kind: &HostErrorKind) -> bool {
    matches!(kind, HostErrorKind::ConnectionLost(_))
}

fn timed_out(rule: &str) {
    let _dog = watch();
    let sim = fleet(&[rule]);
    let mut client = client(&sim, 2).timeout(LIMIT).build().unwrap();
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    let timeout = |error: sshoal::HostError| matches!(error.kind(), HostErrorKind::Timeout { .. });
    assert!(outputs.iter().all(|output| output.error().is_some_and(timeout)), "{outputs:?}");
}

#[test]
fn commands_with_a_key() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, HOSTS).build().unwrap();
    for _ in 0..2 {
        assert_hostnames(&run(&mut client, "hostname"));
    }
    for text in ["signal TERM", "noexit", "exit 3", "both text"] {
        run(&mut client, text);
    }
}

/// The connections end while a channel that no command has used is being opened, is open, or was
/// refused.
#[test]
fn spare_channels() {
    let _dog = watch();
    let sim = fleet(&[]);
    for commands in 0..3 {
        let mut client = client(&sim, HOSTS).spare_channel(true).build().unwrap();
        assert!(client.connect().unwrap().iter().all(Result::is_ok));
        for _ in 0..commands {
            assert_hostnames(&run(&mut client, "hostname"));
        }
    }
    let sshd = Sshd::builder().option("MaxSessions 1").start();
    let mut client = real::client_for(&sshd, ["127.0.2.1"]).spare_channel(true).build().unwrap();
    for _ in 0..2 {
        run(&mut client, "true");
    }
    client.run_command("sleep 1").unwrap();
    client.start_command("true").unwrap();
}

#[test]
fn commands_with_a_password() {
    let _dog = watch();
    let sim = spawn(Sim::builder().auth(AuthPolicy::Password));
    let mut client = trusting(&sim, sim.hosts(HOSTS)).password(sim.password()).build().unwrap();
    assert_hostnames(&run(&mut client, "hostname"));
}

/// The end of a login with an agent that answers signature requests with `reply`.
fn by_an_agent(reply: fn() -> Reply, check: impl Fn(&HostOutput)) {
    let _dog = watch();
    let sim = fleet(&[]);
    let agent = Agent::with_keys([&KeyPair::generate(KeyType::Ed25519)]);
    agent.add_text(&sim.user_key_openssh().unwrap());
    let agent =
        FakeAgent::over(&agent, move |kind| if kind == SIGN_REQUEST { reply() } else { Reply::Upstream });
    let builder = trusting(&sim, sim.hosts(HOSTS)).allow_agent(true).agent_socket(agent.socket());
    let mut client = builder.build().unwrap();
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    outputs.iter().for_each(check);
}

#[test]
fn commands_with_an_agents_key() {
    by_an_agent(|| Reply::Upstream, |output| assert_eq!(output.exit_code(), Some(0), "{output:?}"));
}

#[test]
fn an_agent_that_does_not_sign() {
    for reply in [|| Reply::Bytes(message(FAILURE, b"")), || Reply::Bytes(vec![0xff; 64]), || Reply::Close] {
        by_an_agent(reply, |output| {
            let error = output.error().unwrap();
            assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");
        });
    }
}

#[test]
fn compression_and_keepalives() {
    let _dog = watch();
    let sshd = Sshd::builder().option("Compression yes").start();
    let hosts = real::client_for(&sshd, sshd.hosts(3)).timeout(PATIENCE);
    let mut client = hosts.compress(true).keepalive(Duration::from_millis(100)).build().unwrap();
    for _ in 0..2 {
        for output in run(&mut client, "yes | head -c 300000; sleep 1") {
            assert_eq!(stdout(&output).len(), 300_000);
        }
    }
}

#[test]
fn a_server_that_answers_no_keepalive() {
    let _dog = watch();
    let sim = fleet(&["* stream:silence"]);
    let interval = Duration::from_millis(500);
    let mut client = client(&sim, 2).keepalive(interval).keepalive_max_missed(1).build().unwrap();
    for output in run(&mut client, "hostname") {
        assert!(matches!(output.error().unwrap().kind(), HostErrorKind::PeerDead { .. }), "{output:?}");
    }
}

#[test]
fn hosts_that_leave_the_list() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, HOSTS).build().unwrap();
    let running = client.run_command("hang").unwrap();
    let left = sim.hosts(HOSTS + 2).split_off(HOSTS - 2);
    client.set_hosts(&left).unwrap();
    client.join(&running, JoinOptions::default()).unwrap();
    assert_hostnames(&run(&mut client, "hostname"));
    let begun = client.start_command("hang").unwrap();
    client.set_hosts([""; 0]).unwrap();
    assert!(client.finished(&begun).unwrap());
}

/// Commands that use a forwarded agent, whose agent exits, and that are abandoned while they wait
/// for it.
#[test]
fn forwarded_agents() {
    let _dog = watch();
    let sshd = Sshd::start();
    let key = sshd.key(ClientKey::Ed25519);
    let client = |agent: &FakeAgent| {
        let builder = ParallelClient::builder(sshd.hosts(2)).port(sshd.port()).user(sshd.user());
        let builder =
            builder.known_hosts([sshd.known_hosts(sshd.hosts(2))]).key_file(&key).identity_auth(false);
        let builder = builder.allow_agent(false).agent_socket(agent.socket()).forward_ssh_agent(true);
        builder.num_retries(1).timeout(PATIENCE).build().unwrap()
    };
    let silent = FakeAgent::start(|_| Reply::Bytes(Vec::new()));
    let mut left = client(&silent);
    let outputs = left.start_command("ssh-add -l").unwrap();
    for _ in 0..10 {
        assert!(left.join(&outputs, JoinOptions::default().timeout(LIMIT / 4)).is_err());
        if silent.connections() == 2 {
            break;
        }
    }
    assert_eq!(silent.connections(), 2);
    drop((left, outputs));

    let agents = [FakeAgent::start(|_| Reply::Bytes(list_of(3))), FakeAgent::start(|_| Reply::Close)];
    for (agent, lines) in agents.iter().zip([3, 0]) {
        let mut client = client(agent);
        for _ in 0..2 {
            for output in run(&mut client, "ssh-add -L 2>/dev/null | grep -c AAAA") {
                assert_eq!(stdout(&output), format!("{lines}\n"), "{:?}", output.outcome());
            }
        }
    }
}

#[test]
fn connections_refused() {
    let _dog = watch();
    let refused = Refused::new();
    let mut client = ParallelClient::builder([refused.address().to_string()])
        .user("demo")
        .password("x")
        .identity_auth(false)
        .allow_agent(false)
        .num_retries(1)
        .build()
        .unwrap();
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    assert!(matches!(outputs[0].error().unwrap().kind(), HostErrorKind::Connect { .. }));
}

#[test]
fn fin_before_the_identification() {
    // A host dropped so early waits up to half a minute before the next attempt.
    all_fail_in(1, "* accept:fin", lost);
}

#[test]
fn reset_before_the_identification() {
    all_fail_in(1, "* accept:rst", |kind| lost(kind) || matches!(kind, HostErrorKind::Connect { .. }));
}

#[test]
fn garbage_instead_of_an_identification() {
    all_fail("* accept:garbage", |kind| matches!(kind, HostErrorKind::Handshake(_)));
}

#[test]
fn garbage_in_the_key_exchange() {
    all_fail("* kex:garbage", |kind| matches!(kind, HostErrorKind::Protocol(_)));
}

#[test]
fn no_common_algorithm() {
    all_fail("* set:kex=diffie-hellman-group16-sha512", |kind| {
        lost(kind) || matches!(kind, HostErrorKind::Handshake(_))
    });
}

#[test]
fn silence_in_the_key_exchange() {
    timed_out("* kex:silence");
}

#[test]
fn another_host_key() {
    all_fail("* set:other-host-key=true", |kind| matches!(kind, HostErrorKind::HostKey(_)));
}

#[test]
fn credentials_refused() {
    all_fail("* set:auth=refuse", |kind| matches!(kind, HostErrorKind::Auth { .. }));
}

#[test]
fn silence_in_authentication() {
    timed_out("* auth:silence");
}

#[test]
fn reset_in_authentication() {
    all_fail("* auth:rst", lost);
}

#[test]
fn channels_refused() {
    all_fail("* open:refuse", |kind| matches!(kind, HostErrorKind::Channel(_)));
}

#[test]
fn channels_unanswered() {
    timed_out("* open:silence");
}

#[test]
fn commands_refused() {
    all_fail("* exec:refuse", |kind| matches!(kind, HostErrorKind::Channel(_)));
}

#[test]
fn commands_unanswered() {
    timed_out("* exec:silence");
}

#[test]
fn reset_in_the_middle_of_output() {
    all_fail("* stream@50000:rst", lost);
}

#[test]
fn altered_output() {
    all_fail("* wire@50000:flip=01", |kind| matches!(kind, HostErrorKind::Integrity(_)));
}

#[test]
fn disconnected_with_a_text() {
    let escapes = "\u{1b}]0;title\u{7}".repeat(20);
    let rule = format!("* stream@9:disconnect={escapes}");
    // A slow client notices the reset after the disconnect message first.
    all_fail(&rule, |kind| lost(kind) || matches!(kind, HostErrorKind::Disconnected { .. }));
}

#[test]
fn channels_opened_by_the_server() {
    let _dog = watch();
    let sim = fleet(&["* exec:opens"]);
    let mut client = client(&sim, 2).build().unwrap();
    run(&mut client, "sleep 1; hostname");
    assert_hostnames(&run(&mut client, "hostname"));
}

#[test]
fn a_client_dropped_in_every_stage() {
    let _dog = watch();
    for stage in ["accept", "kex", "auth", "open", "exec", "stream@1000"] {
        let sim = fleet(&[&format!("* {stage}:silence")]);
        let mut client = client(&sim, 2).build().unwrap();
        let outputs = client.start_command("bytes 5000").unwrap();
        assert!(client.join(&outputs, JoinOptions::default().timeout(LIMIT / 4)).is_err());
    }
}

#[test]
fn output_larger_than_the_window_dropped_in_the_middle() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 2).build().unwrap();
    let outputs = client.start_command("bytes 6000000").unwrap();
    assert_eq!(outputs[0].stdout().raw().take(1000).filter(Result::is_ok).count(), 1000);
}

#[test]
fn output_larger_than_the_window() {
    let _dog = watch();
    let sim = fleet(&["* set:rekey-bytes=1000000"]);
    let mut client = client(&sim, 1).build().unwrap();
    let outputs = run(&mut client, "bytes 4000000");
    let lines: Vec<Vec<u8>> = outputs[0].stdout().raw().map(Result::unwrap).collect();
    assert_eq!(lines.join(&b'\n').len(), 4_000_000);
}

#[test]
fn standard_input() {
    let _dog = watch();
    let sim = fleet(&["i:1..2 stream:stall", "i:2..3 set:packet=13"]);
    let mut client = client(&sim, 4).build().unwrap();
    let outputs = client
        .run_command_with(
            command("count"),
            sshoal::ReadOptions::default().stop_on_errors(false).read_timeout(PATIENCE / 20),
        )
        .unwrap();
    for (output, length) in outputs.iter().zip([3_000_000, 500_000, 2_000, 0]) {
        // The stalled host may accept it or not.
        let _ = output.stdin().write_all(&vec![b'x'; length]);
        output.stdin().close();
    }
    let finished: Vec<&HostOutput> = [0, 2, 3].map(|index| &outputs[index]).into();
    for (output, expected) in finished.iter().zip(["3000000\n", "2000\n", "0\n"]) {
        assert_eq!(stdout(output), expected);
    }
}

#[test]
fn hosts_behind_two_proxies() {
    let _dog = watch();
    let sim = fleet(&["* set:rekey-bytes=500000"]);
    let proxies = [gate(&sim, 1), gate(&sim, 0)];
    let hosts = sim.hosts(HOSTS + 2).split_off(2);
    let builder = trusting(&sim, hosts).key_bytes(sim.user_key_openssh().unwrap());
    let mut client = builder.proxies(proxies).build().unwrap();
    for _ in 0..2 {
        assert_hostnames(&run(&mut client, "hostname"));
    }
    let outputs = client.run_command("count; bytes 300000").unwrap();
    outputs[0].stdin().write_all(&vec![b'x'; 300_000]).unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert!(stdout(&outputs[0]).starts_with("300000\n"));
    // Some hosts are removed while the proxies stay for the others; then all are removed, in the
    // middle of output.
    client.set_hosts(&sim.hosts(4)[2..]).unwrap();
    drop(client.start_command("bytes 3000000").unwrap());
}

#[test]
fn proxies_that_fail() {
    let _dog = watch();
    for rule in
        ["i:0..1 set:auth=refuse", "i:0..1 kex:garbage", "i:0..1 wire@9000:flip=01", "i:0..1 wire@9000:rst"]
    {
        let sim = fleet(&[rule]);
        let mut client = behind(&sim, HOSTS).proxy(gate(&sim, 0).max_attempts(1)).build().unwrap();
        let outputs = client
            .run_command_with(command("bytes 100000"), sshoal::ReadOptions::default().stop_on_errors(false))
            .unwrap();
        client.join(&outputs, JoinOptions::default()).unwrap();
        for output in &outputs {
            let error = output.error().unwrap();
            assert!(matches!(error.kind(), HostErrorKind::Proxy(_)), "{rule}: {error}");
        }
    }
}

#[test]
fn hosts_that_a_proxy_refuses_or_finds_silent() {
    let _dog = watch();
    let sim = fleet(&["i:1..2 kex:silence"]);
    let hosts = vec!["nowhere.sim".to_owned(), sim.hosts(2)[1].clone()];
    let builder = trusting(&sim, hosts).key_bytes(sim.user_key_openssh().unwrap()).timeout(LIMIT);
    let mut client = builder.proxy(gate(&sim, 0)).build().unwrap();
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    assert!(matches!(outputs[0].error().unwrap().kind(), HostErrorKind::Proxy(_)));
    assert!(matches!(outputs[1].error().unwrap().kind(), HostErrorKind::Timeout { .. }));
}

/// One key of each format, with each cipher that crashes libssh; opened with right and wrong
/// passphrases, whole and truncated.
#[test]
fn keys_of_every_format() {
    let _dog = watch();
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/key_file");
    let mut opened = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for (passphrase, end) in [("x", bytes.len()), ("y", bytes.len()), ("x", bytes.len() / 2)] {
            let builder = ParallelClient::builder(["127.0.0.1"]).no_known_hosts().user("demo");
            let builder = builder.identity_auth(false).allow_agent(false).passphrase(passphrase);
            opened += usize::from(builder.key_bytes(&bytes[..end]).build().is_ok());
        }
    }
    assert!(opened > 25, "{opened}");
}
