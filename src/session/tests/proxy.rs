//! A host behind a proxy, and the proxy itself.

use std::sync::Arc;
use std::time::Duration;

use super::call::{Call, Failing, Fault};
use super::harness::{Bench, CONNECT, Config, HANDSHAKE, RETRY_DELAY};
use super::script::{Answer, Channel, Dial, Packet, Peer, Script, lost};
use crate::error::{ChannelProblem, HostError, HostErrorKind, HostErrorParts};
use crate::limits;
use crate::link::{ChannelId, Conduit, LinkErrorKind, TunnelNews};
use crate::session::state::Phase;
use crate::session::{Input, TunnelId, TunnelProgress, TunnelRequest};
use crate::stage::{Stage, TimeoutKind};

pub(super) fn error_of_proxy(stage: Stage, kind: HostErrorKind) -> HostError {
    HostError::new(HostErrorParts {
        host: "gate".into(),
        port: 22,
        stage,
        attempt: 1,
        attempts: None,
        elapsed: Duration::ZERO,
        kind: Arc::new(kind),
        banner: None,
        command_said: None,
        left_over: Default::default(),
    })
}

pub(super) fn refusal(reason: u32) -> HostError {
    let kind = HostErrorKind::Channel(ChannelProblem::TunnelRefused { reason, text: "no".to_owned() });
    error_of_proxy(Stage::Opening, kind)
}

fn host(attempts: u32, script: Script, says: Vec<Vec<TunnelProgress>>) -> Bench {
    let config = Config { attempts, proxied: true, ..Config::default() };
    let mut bench = Bench::with(config, script);
    bench.proxy_says = says.into();
    bench.command();
    bench
}

fn begun() -> TunnelProgress {
    TunnelProgress::Begun(ChannelId(7))
}

#[test]
fn a_host_behind_a_proxy_is_neither_looked_up_nor_dialled() {
    let mut bench = host(1, Script::default(), vec![vec![begun(), TunnelProgress::Opened]]);
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.dials(), 0);
    assert_eq!(bench.calls(|call| *call == Call::Join).len(), 1);
}

#[test]
fn the_hosts_time_limit_starts_when_the_proxy_requests_its_channel() {
    let mut bench = host(1, Script::default(), vec![vec![begun()]]);
    bench.step(Input::Admitted { commands: usize::MAX });
    assert_eq!((bench.phase(), bench.deadline()), (Phase::Tunnelling, None));
    bench.now += 10 * CONNECT;
    bench.step(Input::Tunnelled(begun()));
    assert_eq!(bench.deadline(), Some(bench.now + CONNECT));
    bench.now += CONNECT;
    bench.step(Input::Wake);
    let HostErrorKind::Timeout { kind: TimeoutKind::Connect, after } = bench.error(0).kind() else {
        panic!("{}", bench.error(0))
    };
    assert_eq!((*after, bench.error(0).stage()), (CONNECT, Stage::Connecting));
}

#[test]
fn the_handshake_through_a_proxy_has_its_own_limit() {
    let silent = Peer { handshake: Answer::never(), ..Peer::default() };
    let mut bench = host(1, Script::peer(silent), vec![vec![begun(), TunnelProgress::Opened]]);
    bench.run_until_phase(Phase::Handshaking);
    assert_eq!(bench.deadline(), Some(bench.now + HANDSHAKE));
    bench.run();
    let kind = bench.error(0).kind();
    assert!(matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Handshake, .. }), "{kind}");
}

#[test]
fn a_proxy_that_could_not_be_reached_is_not_asked_again() {
    let stages = [Stage::Resolving, Stage::Connecting, Stage::Handshaking, Stage::Authenticating];
    for stage in stages {
        let error = error_of_proxy(stage, HostErrorKind::ConnectionLost("reset".to_owned()));
        let mut bench = host(3, Script::default(), vec![vec![TunnelProgress::Failed(error)]]);
        bench.run();
        assert_eq!((bench.phase(), bench.error(0).attempt()), (Phase::Failed, 1), "{stage}");
        let HostErrorKind::Proxy(inner) = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
        assert_eq!((inner.host(), inner.stage()), ("gate", stage));
    }
}

#[test]
fn only_retryable_refusals_are_tried_again() {
    for (reason, attempts) in [(1, 1), (2, 3), (3, 1), (4, 3), (5, 1)] {
        let says = vec![vec![begun(), TunnelProgress::Failed(refusal(reason))]; 3];
        let mut bench = host(3, Script::default(), says);
        bench.run();
        assert_eq!(bench.error(0).attempt(), attempts, "reason {reason}");
    }
}

#[test]
fn a_proxy_lost_under_a_running_command_is_reported_after_all_output() {
    let output = vec![(2, Packet::Stdout(b"so far\n".to_vec()))];
    let script = Script::channel(Channel::sending(output));
    let mut bench = host(3, script, vec![vec![begun(), TunnelProgress::Opened]]);
    bench.run_until(|bench| bench.exec(0).is_settled());
    bench.link.arrive(0, Packet::Stdout(b"and this\n".to_vec()));
    bench.link.arrive(0, Packet::Fault(lost()));
    let cause = HostErrorKind::ConnectionLost("reset".to_owned());
    bench.step(Input::Tunnelled(TunnelProgress::Failed(error_of_proxy(Stage::Forwarding, cause))));
    let HostErrorKind::Proxy(inner) = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
    assert!(matches!(inner.kind(), HostErrorKind::ConnectionLost(_)));
    assert_eq!((bench.error(0).host(), bench.error(0).stage()), ("web1", Stage::Running));
    let exec = bench.execs.get_mut(bench.commands[0]).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = exec.stdout.lend_line(usize::MAX) {
        lines.push(exec.stdout.lent(line).to_vec());
    }
    assert_eq!(lines.last().map(Vec::as_slice), Some(&b"and this"[..]));
}

#[test]
fn a_host_that_ends_its_connection_is_not_a_proxy_failure() {
    let script = Script::channel(Channel::sending(Vec::new()));
    let mut bench = host(1, script, vec![vec![begun(), TunnelProgress::Opened]]);
    bench.run_until(|bench| bench.exec(0).is_settled());
    bench.link.arrive(0, Packet::Fault(lost()));
    bench.step(Input::Wake);
    assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)), "{}", bench.error(0));
}

#[test]
fn a_lost_proxy_before_the_command_is_tried_again() {
    let silent = Peer { handshake: Answer::never(), ..Peer::default() };
    let script = Script::peers(vec![silent, Peer::default()]);
    let mut bench = host(2, script, vec![vec![begun(), TunnelProgress::Opened]; 2]);
    bench.run_until_phase(Phase::Handshaking);
    bench.link.arrive(0, Packet::Fault(lost()));
    let cause = HostErrorKind::ConnectionLost("reset".to_owned());
    bench.step(Input::Tunnelled(TunnelProgress::Failed(error_of_proxy(Stage::Forwarding, cause))));
    assert_eq!(bench.phase(), Phase::BackingOff);
    assert_eq!(bench.deadline(), Some(bench.now + RETRY_DELAY));
    bench.run();
    assert!(bench.outcome(0).is_success());
}

/// The request of a host to the proxy, and the host's end of the conduit.
fn request(index: usize) -> (TunnelRequest, Conduit) {
    let (near, far) = Conduit::pair().unwrap();
    let id = TunnelId { index, generation: 1 };
    (TunnelRequest { id, host: format!("web{index}").into(), port: 22, conduit: far }, near)
}

/// What the proxy reports to the hosts, written as `index begun`, `index opened` or `index failed`.
fn told(bench: &mut Bench) -> Vec<String> {
    let told = std::mem::take(&mut bench.told).into_iter();
    told.map(|(id, tunnelled)| {
        let what = match tunnelled {
            TunnelProgress::Begun(_) => "begun",
            TunnelProgress::Opened => "opened",
            TunnelProgress::Failed(_) => "failed",
            TunnelProgress::Ended => "ended",
        };
        format!("{} {what}", id.index)
    })
    .collect()
}

fn opens(bench: &Bench) -> usize {
    bench.calls(|call| matches!(call, Call::OpenTunnel(..))).len()
}

#[test]
fn a_proxy_requests_many_tunnels_at_once_and_uses_no_place() {
    let mut bench = Bench::proxy(Script::default());
    let (first, _near) = request(1);
    assert!(!bench.wants_place());
    bench.request_tunnel(first);
    assert!(bench.wants_place() && bench.view().has_waiting_hosts);
    let (second, _other) = request(2);
    bench.request_tunnel(second);
    for phase in [Phase::Connecting, Phase::Handshaking, Phase::Authenticating] {
        bench.run_until_phase(phase);
        assert!(!bench.uses_place(), "{phase:?}");
    }
    bench.run_until_phase(Phase::Ready);
    assert!(!bench.uses_place() && !bench.view().has_waiting_hosts);
    assert_eq!(opens(&bench), 2);
    assert_eq!(told(&mut bench), ["1 begun", "2 begun"]);
    bench.link.tell(ChannelId(1), TunnelNews::Opened);
    bench.step(Input::Wake);
    assert_eq!(told(&mut bench), ["2 opened"]);
    let text = "prohibited".to_owned();
    bench.link.tell(ChannelId(0), TunnelNews::Refused { reason: 1, text });
    bench.link.tell(ChannelId(0), TunnelNews::Ended);
    bench.step(Input::Wake);
    assert_eq!(told(&mut bench), ["1 failed", "1 ended"]);
    assert!(!bench.view().is_idle);
    bench.link.tell(ChannelId(1), TunnelNews::Ended);
    bench.step(Input::Wake);
    assert!(bench.view().is_idle);
}

#[test]
fn a_proxy_begins_a_limited_number_per_visit() {
    let mut bench = Bench::proxy(Script::default());
    bench.check_idle = false;
    let (first, near) = request(0);
    let mut nears = vec![near];
    bench.request_tunnel(first);
    bench.run_until_phase(Phase::Ready);
    for index in 1..=limits::TUNNELS_PER_VISIT + 1 {
        let (request, near) = request(index);
        nears.push(near);
        bench.request_tunnel(request);
    }
    assert!(bench.step(Input::Wake));
    assert_eq!(opens(&bench), 1 + limits::TUNNELS_PER_VISIT);
    assert!(!bench.step(Input::Wake));
    assert_eq!(opens(&bench), 2 + limits::TUNNELS_PER_VISIT);
}

#[test]
fn a_host_that_no_longer_waits_is_skipped() {
    let mut bench = Bench::proxy(Script::default());
    let (gone, near) = request(1);
    drop(near);
    bench.request_tunnel(gone);
    bench.run();
    assert_eq!((bench.phase(), opens(&bench)), (Phase::Ready, 0));
    assert!(bench.view().is_idle && told(&mut bench).is_empty());
}

#[test]
fn a_proxy_has_attempts_of_its_own_and_fails_its_hosts_after_the_last() {
    let dials = [Dial::Fails(1, nix::errno::Errno::ECONNREFUSED)];
    let mut bench = Bench::proxy(Script::default().dialling(super::harness::address(1), &dials));
    let (wish, _near) = request(1);
    bench.request_tunnel(wish);
    bench.run_until_phase(Phase::BackingOff);
    assert!(told(&mut bench).is_empty());
    bench.run();
    assert_eq!((bench.phase(), bench.dials()), (Phase::Failed, 3));
    assert_eq!(told(&mut bench), ["1 failed"]);
    // The next request gets a full set of attempts again.
    let (wish, _other) = request(2);
    bench.request_tunnel(wish);
    bench.run();
    assert_eq!((bench.phase(), bench.dials()), (Phase::Failed, 6));
}

#[test]
fn a_lost_proxy_fails_its_tunnels_and_reconnects_for_waiting_hosts() {
    let mut bench = Bench::proxy(Script::default());
    let (first, _near) = request(1);
    bench.request_tunnel(first);
    bench.run_until_phase(Phase::Ready);
    bench.link.tell(ChannelId(0), TunnelNews::Opened);
    bench.step(Input::Wake);
    told(&mut bench);
    let (second, _other) = request(2);
    bench.link.fail_next(lost());
    bench.request_tunnel(second);
    bench.step(Input::Wake);
    assert_eq!(told(&mut bench), ["1 failed"]);
    bench.run_until_phase(Phase::Ready);
    assert_eq!(told(&mut bench), ["2 begun"]);
}

#[test]
fn a_proxy_that_dies_idle_is_closed_and_made_anew_on_demand() {
    let mut bench = Bench::proxy(Script::default());
    let (first, near) = request(1);
    bench.request_tunnel(first);
    bench.run_until_phase(Phase::Ready);
    drop(near);
    bench.link.tell(ChannelId(0), TunnelNews::Ended);
    bench.step(Input::Wake);
    bench.link.fail_next(lost());
    bench.step(Input::Wake);
    assert_eq!(bench.phase(), Phase::Closed);
    told(&mut bench);
    let (second, _other) = request(2);
    bench.request_tunnel(second);
    bench.run_until_phase(Phase::Ready);
    assert_eq!(told(&mut bench), ["2 begun"]);
}

#[test]
fn an_error_opening_a_tunnel_fails_the_proxys_connection() {
    let mut met = false;
    for nth in 1..40 {
        let mut bench = Bench::proxy(Script::default());
        bench.check_idle = false;
        let (wish, _near) = request(1);
        bench.request_tunnel(wish);
        bench.link.fault = Some(Fault { nth, with: Failing::Error(LinkErrorKind::Integrity) });
        bench.run();
        let fallible = |call: &&Call| !matches!(call, Call::HangUp | Call::WakeTunnel(_));
        if matches!(bench.link.calls.iter().rfind(fallible), Some(Call::OpenTunnel(..)))
            && bench.phase() == Phase::Closed
        {
            met = true;
            assert_eq!(told(&mut bench), ["1 failed"]);
        }
    }
    assert!(met);
}
