//! Time limits apply to whole stages. A peer that sends byte by byte cannot extend them, and none
//! of them ends early.

use std::time::{Duration, Instant};

use super::harness::{AUTH, Bench, CONNECT, Config, EXEC, HANDSHAKE, address, limits_of_ends};
use super::script::{Answer, Channel, Dial, Packet, Peer, Script};
use crate::command::RunOptions;
use crate::error::HostErrorKind;
use crate::limits;
use crate::session::state::Phase;
use crate::session::{Input, RetryPolicy};
use crate::stage::{Stage, TimeoutKind};

/// Steps the session every 100 ms while it is in `stage`, and returns when it left the stage.
fn drip(bench: &mut Bench, begun: Instant, in_stage: impl Fn(&Bench) -> bool) -> Duration {
    let deadline = bench.time_limit().unwrap();
    while in_stage(bench) {
        assert_eq!(bench.time_limit(), Some(deadline), "progress has moved the deadline");
        bench.now = (bench.now + Duration::from_millis(100)).min(deadline);
        bench.step(Input::Wake);
    }
    bench.now - begun
}

fn assert_timeout(bench: &Bench, expected: TimeoutKind, limit: Duration, stage: Stage) {
    let error = bench.error(0);
    let HostErrorKind::Timeout { kind, after } = error.kind() else { panic!("{error}") };
    assert_eq!((*kind, *after, error.stage()), (expected, limit, stage));
}

fn stuck(script: Script, phase: Phase) -> (Bench, Instant) {
    let mut bench = Bench::with(Config { attempts: 1, ..Config::default() }, script);
    bench.round = Duration::ZERO;
    bench.command();
    bench.run_until_phase(phase);
    let begun = bench.now;
    (bench, begun)
}

#[test]
fn connecting_has_a_total() {
    let script = Script::default().dialling(address(1), &[Dial::Silent]);
    let (mut bench, begun) = stuck(script, Phase::Connecting);
    let after = drip(&mut bench, begun, |bench| bench.phase() == Phase::Connecting);
    assert_eq!(after, CONNECT);
    assert_timeout(&bench, TimeoutKind::Connect, CONNECT, Stage::Connecting);
}

#[test]
fn the_handshake_has_a_total() {
    let script = Script::peer(Peer { handshake: Answer::never(), ..Peer::default() });
    let (mut bench, begun) = stuck(script, Phase::Handshaking);
    let after = drip(&mut bench, begun, |bench| bench.phase() == Phase::Handshaking);
    assert_eq!(after, HANDSHAKE);
    assert_timeout(&bench, TimeoutKind::Handshake, HANDSHAKE, Stage::Handshaking);
}

#[test]
fn the_login_has_a_total() {
    for peer in
        [Peer { service: Answer::never(), ..Peer::default() }, Peer { auth_after: None, ..Peer::default() }]
    {
        let (mut bench, begun) = stuck(Script::peer(peer), Phase::Authenticating);
        let after = drip(&mut bench, begun, |bench| bench.phase() == Phase::Authenticating);
        assert_eq!(after, AUTH);
        assert_timeout(&bench, TimeoutKind::Auth, AUTH, Stage::Authenticating);
    }
}

#[test]
fn starting_a_command_has_a_total_and_the_connection_lives_on() {
    let opening = Channel { open: Answer::never(), ..Channel::default() };
    let requesting =
        Channel { open: Answer::ok(3), exec: Answer::never(), output: vec![], ..Channel::default() };
    for (channel, stage) in [(opening, Stage::Opening), (requesting, Stage::Requesting)] {
        let peer = Peer { channels: vec![channel, Channel::default()], ..Peer::default() };
        let (mut bench, begun) = stuck(Script::peer(peer), Phase::Ready);
        bench.run_until(|bench| bench.exec(0).stage() == stage);
        let after = drip(&mut bench, begun, |bench| !bench.exec(0).is_finished());
        assert_eq!(after, EXEC);
        assert_timeout(&bench, TimeoutKind::Exec, EXEC, stage);
        assert_eq!(bench.phase(), Phase::Ready);
        bench.command();
        bench.run();
        assert!(bench.outcome(1).is_success());
        assert_eq!(bench.dials(), 1);
    }
}

#[test]
fn a_running_command_has_no_session_limit() {
    let (mut bench, _) = stuck(Script::channel(Channel::sending(vec![])), Phase::Ready);
    bench.run();
    assert_eq!(bench.exec(0).stage(), Stage::Running);
    assert_eq!(bench.deadline(), None);
}

#[test]
fn a_channel_that_does_not_close_is_given_up_with_the_reported_status() {
    let channel = Channel {
        output: vec![(2, Packet::Status(3)), (2, Packet::Eof)],
        confirm_after: None,
        ..Channel::default()
    };
    let (mut bench, _) = stuck(Script::channel(channel), Phase::Ready);
    bench.run_until(|bench| bench.exec(0).stage() == Stage::Closing);
    let begun = bench.now;
    let after = drip(&mut bench, begun, |bench| !bench.exec(0).is_finished());
    assert_eq!(after, limits::CLOSE_TIMEOUT);
    assert_eq!(format!("{}", bench.outcome(0)), "exit status 3");
    assert_eq!(bench.phase(), Phase::Ready);
    assert_eq!(bench.link.open_channels(), 0);
}

#[test]
fn a_timer_that_fires_early_changes_nothing() {
    let silent = Script::default().dialling(address(1), &[Dial::Silent]);
    let handshake = Script::peer(Peer { handshake: Answer::never(), ..Peer::default() });
    let auth = Script::peer(Peer { auth_after: None, ..Peer::default() });
    let exec = Script::channel(Channel { exec: Answer::never(), ..Channel::sending(vec![]) });
    for (script, phase) in [
        (silent, Phase::Connecting),
        (handshake, Phase::Handshaking),
        (auth, Phase::Authenticating),
        (exec, Phase::Ready),
    ] {
        let (mut bench, _) = stuck(script, phase);
        while bench.round_but_timers() {}
        let deadline = bench.time_limit().unwrap();
        bench.now = deadline - Duration::from_nanos(1);
        bench.step(Input::Wake);
        assert_eq!(
            (bench.phase(), bench.time_limit()),
            (phase, Some(deadline)),
            "expired a nanosecond early"
        );
        bench.now = deadline;
        bench.step(Input::Wake);
        assert!(bench.all_ended(), "{phase:?}: not expired in time");
    }
}

/// The program is stopped while each answer is under way, for longer than every limit.
#[test]
fn a_late_turn_reads_before_it_looks_at_limits() {
    let slow = || Channel { open: Answer::ok(3), exec: Answer::ok(3), ..Channel::default() };
    let peer = |channel| Peer {
        handshake: Answer::ok(3),
        service: Answer::ok(3),
        auth_after: Some(3),
        channels: vec![channel],
        ..Peer::default()
    };
    for retry in [RetryPolicy::default(), RetryPolicy::default().time_limit(None)] {
        let config = || Config { retry: Some(retry.attempts(1)), ..Config::default() };
        let mut bench = Bench::with(config(), Script::peer(peer(slow())));
        bench.command();
        for _ in 0..20 {
            bench.round();
            (0..5).for_each(|_| bench.link.tick());
            bench.now += Duration::from_secs(3_600);
        }
        bench.run();
        assert!(bench.outcome(0).is_success(), "{}", bench.outcome(0));
        assert_eq!(bench.dials(), 1);
    }
    // A host that has sent nothing has had its time.
    let (mut bench, _) =
        stuck(Script::peer(Peer { handshake: Answer::never(), ..Peer::default() }), Phase::Handshaking);
    bench.now += Duration::from_secs(3_600);
    bench.step(Input::Wake);
    assert_timeout(&bench, TimeoutKind::Handshake, HANDSHAKE, Stage::Handshaking);
}

/// The end of the command has arrived, and so has its time limit.
#[test]
fn a_late_turn_reads_before_it_looks_at_the_time_limit_of_a_command() {
    let mut bench = Bench::new(Script::channel(Channel::sending(vec![])));
    let limit = Some(Duration::from_secs(5));
    bench.command_with(RunOptions { time_limit: limit, ..RunOptions::default() }, b"", false);
    bench.run_until(|bench| bench.exec(0).is_running());
    for packet in [Packet::Status(4), Packet::Eof] {
        bench.link.arrive(0, packet);
    }
    bench.now += Duration::from_secs(3_600);
    bench.run();
    assert_eq!(bench.outcome(0).to_string(), "exit status 4");
}

#[test]
fn without_limits_nothing_expires() {
    let timeouts = limits_of_ends();
    let peer = Peer { handshake: Answer::never(), ..Peer::default() };
    let mut bench = Bench::with(Config { timeouts, ..Config::default() }, Script::peer(peer));
    bench.command();
    bench.run();
    assert_eq!((bench.phase(), bench.deadline()), (Phase::Handshaking, None));
    bench.now += Duration::from_secs(1_000_000);
    bench.step(Input::Wake);
    assert_eq!(bench.phase(), Phase::Handshaking);
}

#[test]
fn each_stage_has_its_own_limit_from_its_own_start() {
    let (mut bench, _) = stuck(Script::default(), Phase::Connecting);
    let slow = Duration::from_secs(9);
    for (phase, limit) in
        [(Phase::Handshaking, HANDSHAKE), (Phase::Authenticating, AUTH), (Phase::Ready, EXEC)]
    {
        bench.now += slow;
        bench.run_until_phase(phase);
        assert_eq!(bench.time_limit(), Some(bench.now + limit), "{phase:?}");
    }
    bench.run();
    assert!(bench.outcome(0).is_success());
}
