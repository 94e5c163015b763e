//! After every fault: no descriptor is leaked, and none of another owner was closed.

use std::time::Duration;

use rustix::fs::OFlags;
use sshoal::error::TimeoutKind;
use sshoal::{Command, HostErrorKind, HostOutput, JoinOptions, ParallelClient, Stage};

use super::timing::slow_at_authentication;
use super::{SLOW, build, client_at, client_for, guard};
use crate::support::fds::{Canary, FdBaseline};
use crate::support::keys::{KeyPair, KeyType};
use crate::support::peers::{Refused, Scripted, Step, Unanswered};
use crate::support::proxy::{Action, Direction, Proxy};
use crate::support::sshd::Sshd;
use crate::support::system::{is_rerun, rerun};

const SHORT: Duration = Duration::from_millis(300);

/// Returns whether this process runs only this test, because descriptors are per process. Otherwise
/// runs it in a separate process, and checks that it passed.
pub(super) fn alone(module: &str, test: &str) -> bool {
    if !is_rerun() {
        let output = rerun(module, test).output().expect("run this test's program");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        eprint!("{text}");
    }
    is_rerun()
}

/// Opens what the library and libssh open once per process.
fn warm_up(sshd: &Sshd) {
    let mut client = build(client_for(sshd, ["127.0.0.1"]));
    super::run_one(&mut client, "true");
}

/// Runs a client into its fault. Canaries reuse its descriptor numbers as soon as they are free, to
/// detect what it still does to them until its end.
#[track_caller]
fn survives(
    what: &str,
    mut client: ParallelClient,
    fault: impl FnOnce(&mut ParallelClient) -> Vec<HostOutput>,
) {
    let outputs = fault(&mut client);
    eprintln!("{what}: {:?}", outputs.iter().map(HostOutput::outcome).collect::<Vec<_>>());
    let mut canaries = [Canary::open(), Canary::open(), Canary::open()];
    client.finished(&outputs).expect("poll");
    canaries.iter_mut().for_each(Canary::assert_intact);
    drop(client);
    canaries.iter_mut().for_each(Canary::assert_intact);
    drop(outputs);
    canaries.iter_mut().for_each(Canary::assert_intact);
}

/// Runs a command that must fail with this kind of error.
fn fails(expected: fn(&HostErrorKind) -> bool) -> impl FnOnce(&mut ParallelClient) -> Vec<HostOutput> {
    move |client| {
        let command = Command::new("true");
        let outputs = client
            .run_command_with(command, sshoal::ReadOptions::default().stop_on_errors(false))
            .expect("in the outputs");
        for output in &outputs {
            let error = output.error().expect("it fails");
            assert!(expected(error.kind()), "{error}");
        }
        outputs
    }
}

fn is_lost(kind: &HostErrorKind) -> bool {
    matches!(kind, HostErrorKind::ConnectionLost(_))
}

fn is_timeout(kind: &HostErrorKind) -> bool {
    matches!(kind, HostErrorKind::Timeout { .. })
}

#[test]
fn peers_that_are_none() {
    let _dog = guard("peers_that_are_none");
    if !alone(module_path!(), "peers_that_are_none") {
        return;
    }
    let sshd = Sshd::start();
    warm_up(&sshd);
    let baseline = FdBaseline::now();
    let at = |address, limit| build(client_at(&sshd, [address, address]).timeout(limit));
    let check = |what: &str, script: Vec<Step>, expected| {
        let limit = if script.is_empty() { SHORT } else { SLOW };
        let peer = Scripted::start(script);
        survives(what, at(peer.address(), limit), fails(expected));
        peer.wait_for("the end of the connections", |peer| peer.open() == 0);
        drop(peer);
        baseline.assert_same_within(Duration::from_secs(5));
    };

    let refused = Refused::new();
    survives(
        "refused",
        at(refused.address(), SLOW),
        fails(|kind| matches!(kind, HostErrorKind::Connect { .. })),
    );
    drop(refused);
    baseline.assert_same_within(Duration::from_secs(5));
    let unanswered = Unanswered::new();
    survives("unanswered", at(unanswered.address(), SHORT), fails(is_timeout));
    drop(unanswered);
    baseline.assert_same_within(Duration::from_secs(5));

    let banner = Step::Send(b"SSH-2.0-x\r\n".into());
    let greeted = [banner.clone(), Step::ReceiveUntil(b"\n".into())];
    check("reset before the banner", vec![Step::Reset], |kind| {
        // It may arrive before the connect was checked.
        is_lost(kind) || matches!(kind, HostErrorKind::Connect { .. })
    });
    check("end before the banner", vec![Step::Close], is_lost);
    check("silence", vec![], is_timeout);
    check("reset after the banner", [&greeted[..], &[Step::Reset]].concat(), is_lost);
    check("end after the banner", [&greeted[..], &[Step::HalfClose]].concat(), is_lost);
    let garbage = vec![banner, Step::Send(vec![0xff; 100])];
    check("garbage", garbage, |kind| matches!(kind, HostErrorKind::Protocol(_)));
    let old = vec![Step::Send(b"SSH-1.5-x\r\n".into())];
    check("SSH 1.5", old, |kind| matches!(kind, HostErrorKind::Handshake(_)));
}

#[test]
fn servers_that_refuse() {
    let _dog = guard("servers_that_refuse");
    if !alone(module_path!(), "servers_that_refuse") {
        return;
    }
    let sshd = Sshd::start();
    warm_up(&sshd);
    let other = Sshd::builder().option("Ciphers 3des-cbc").start();
    let slow = slow_at_authentication(3);
    let tries = Sshd::builder().option("MaxAuthTries 1").start();
    let forbidden = Sshd::builder().option("MaxSessions 0").start();
    let stranger = KeyPair::generate(KeyType::Ed25519);
    let hosts = || ["127.0.2.1", "127.0.2.2"];
    // Write the keys first, because their files belong to the servers.
    let clients: Vec<_> =
        [&sshd, &other, &slow, &tries, &forbidden].map(|sshd| client_for(sshd, hosts())).into();
    let [plain, unlike, sleepy, impatient, closed] = clients.as_slice() else { panic!("five servers") };
    let baseline = FdBaseline::now();
    let check = |what: &str, builder: &sshoal::config::ClientBuilder, expected| {
        survives(what, build(builder.clone()), fails(expected));
        baseline.assert_same_within(Duration::from_secs(5));
    };
    check("no common algorithm", unlike, |kind| matches!(kind, HostErrorKind::Handshake(_)));
    let unknown = plain.clone().no_known_hosts();
    check("unknown host key", &unknown, |kind| matches!(kind, HostErrorKind::HostKey(_)));
    let wrong = plain.clone().key_bytes(stranger.private());
    check("authentication", &wrong, |kind| matches!(kind, HostErrorKind::Auth { .. }));
    check("authentication timeout", &sleepy.clone().timeout(SHORT * 2), is_timeout);
    let wrong = impatient.clone().key_bytes(stranger.private()).password("wrong");
    check("goodbye", &wrong, |kind| {
        matches!(kind, HostErrorKind::Disconnected { .. } | HostErrorKind::Auth { .. })
    });
    check("no channel", closed, |kind| matches!(kind, HostErrorKind::Channel(_)));
}

/// Reads endless output for a while.
fn begin_output(client: &mut ParallelClient) -> Vec<HostOutput> {
    let outputs = client.run_command("yes").expect("starts");
    for output in &outputs {
        assert_eq!(output.stdout().next().expect("a line").expect("no error"), "y");
    }
    outputs
}

#[test]
fn connections_that_break() {
    let _dog = guard("connections_that_break");
    if !alone(module_path!(), "connections_that_break") {
        return;
    }
    let sshd = Sshd::start();
    warm_up(&sshd);
    let baseline = FdBaseline::now();
    let check = |what: &str, fault: &dyn Fn(&Proxy, &mut ParallelClient) -> Vec<HostOutput>| {
        let proxy = Proxy::builder(sshd.address()).start();
        let address = proxy.address();
        let client = build(client_at(&sshd, [address, address]).timeout(SHORT * 8));
        survives(what, client, |client| fault(&proxy, client));
        drop(proxy);
        baseline.assert_same_within(Duration::from_secs(5));
    };
    for action in [Action::Rst, Action::Fin, Action::Scramble(5)] {
        check(&format!("{action:?} in mid-output"), &|proxy, client| {
            let outputs = begin_output(client);
            proxy.inject(Direction::ToClient, action.clone());
            let consume = JoinOptions::default().timeout(SLOW).consume_output(true);
            client.join(&outputs, consume).expect("both fail");
            assert!(outputs.iter().all(|output| output.error().is_some()));
            outputs
        });
    }
    check("killed sessions", &|_, client| {
        let outputs = begin_output(client);
        sshd.daemon().kill_sessions();
        let consume = JoinOptions::default().timeout(SLOW).consume_output(true);
        client.join(&outputs, consume).expect("both fail");
        outputs
    });
    check("exec timeout", &|proxy, client| {
        client.run_command("true").expect("starts");
        proxy.inject(Direction::ToServer, Action::Stall);
        fails(is_timeout)(client)
    });
    check("dropped in mid-output", &|_, client| begin_output(client));
    check("dropped with a full pipe", &|proxy, client| {
        let outputs = client.run_command("cat >/dev/null").expect("starts");
        proxy.inject(Direction::ToServer, Action::StopReading);
        let mut output = outputs[0].clone();
        output.set_read_timeout(SHORT);
        let piece = vec![b'x'; 16 << 20];
        std::io::Write::write_all(&mut output.stdin(), &piece).expect_err("no room");
        outputs
    });
}

#[test]
fn clients_dropped_on_the_way() {
    let _dog = guard("clients_dropped");
    if !alone(module_path!(), "clients_dropped_on_the_way") {
        return;
    }
    let sshd = Sshd::start();
    warm_up(&sshd);
    let hosts: Vec<String> = sshd.hosts(10).collect();
    let builder = client_for(&sshd, &hosts).pool_size(4);
    let baseline = FdBaseline::now();
    survives("before the first turn", build(builder.clone()), |client| {
        client.start_command("true").expect("valid")
    });
    baseline.assert_same_within(Duration::from_secs(5));
    // Each number of turns ends at another moment: connecting, in the handshake, in authentication,
    // opening, running.
    for turns in 1..60 {
        survives("some turns in", build(builder.clone()), |client| {
            let outputs = client.start_command("echo in; sleep 0.01").expect("valid");
            for _ in 0..turns {
                client.finished(&outputs).expect("poll");
                std::thread::sleep(Duration::from_micros(500));
            }
            outputs
        });
        baseline.assert_same();
    }
}

/// libssh makes its sockets blocking; one that stayed so would block the thread once its peer stops
/// reading.
#[test]
fn every_connection_is_non_blocking_and_not_inherited() {
    let _dog = guard("non_blocking");
    if !alone(module_path!(), "every_connection_is_non_blocking_and_not_inherited") {
        return;
    }
    let sshd = Sshd::start();
    let baseline = FdBaseline::now();
    let hosts: Vec<String> = sshd.hosts(5).collect();
    let mut client = build(client_for(&sshd, &hosts));
    let outputs = client.run_command("cat").expect("all start");
    let now = FdBaseline::now();
    let is_new = |fd: &i32| baseline.targets().all(|(old, _)| old != *fd);
    let sockets: Vec<i32> = now
        .targets()
        .filter(|(fd, target)| is_new(fd) && target.to_string_lossy().starts_with("socket:"))
        .map(|(fd, _)| fd)
        .collect();
    assert_eq!(sockets.len(), 5);
    for fd in sockets {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("fdinfo");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags");
        let flags = OFlags::from_bits_retain(u32::from_str_radix(flags.trim(), 8).expect("octal"));
        assert!(flags.contains(OFlags::NONBLOCK), "descriptor {fd} is blocking: {flags:?}");
        assert!(flags.contains(OFlags::CLOEXEC), "descriptor {fd} is inherited: {flags:?}");
    }
    super::join(&client, &outputs);
}

/// A command without a response fails alone, and its connection still serves the next one.
#[test]
fn an_exec_timeout_names_its_stage() {
    let _dog = guard("exec_timeout");
    let sshd = Sshd::start();
    let proxy = Proxy::builder(sshd.address()).start();
    let mut client = build(client_at(&sshd, [proxy.address()]).timeout(SHORT * 3));
    super::run_one(&mut client, "true");
    proxy.inject(Direction::ToServer, Action::Stall);
    let command = Command::new("true");
    let outputs = client
        .run_command_with(command, sshoal::ReadOptions::default().stop_on_errors(false))
        .expect("in the outputs");
    let error = outputs[0].error().expect("it fails");
    assert_eq!(error.stage(), Stage::Opening, "{error}");
    assert!(matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Exec, .. }), "{error}");
}
