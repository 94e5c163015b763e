//! Tests of retries: which failures are retried, how often, and after what delay. A command that
//! may have started is never retried.

use std::time::Duration;

use nix::errno::Errno;

use super::call::Call;
use super::harness::{Bench, Config, RETRY_DELAY, address, limits_of_ends};
use super::script::{Answer, Channel, Dial, Packet, Peer, Script, lost};
use crate::error::{CancelCause, HostErrorKind};
use crate::limits;
use crate::link::{LinkError, LinkErrorKind};
use crate::session::state::Phase;
use crate::session::{Input, Retry, RetryPolicy, Timeouts};
use crate::stage::Stage;

#[test]
fn between_two_attempts_the_place_is_free_and_the_delay_is_kept() {
    let dials = [Dial::Fails(1, Errno::ECONNREFUSED), Dial::Connects(1)];
    let mut bench = Bench::new(Script::default().dialling(address(1), &dials));
    bench.command();
    bench.run_until_phase(Phase::BackingOff);
    assert!(!bench.uses_place() && !bench.wants_place() && !bench.view().holds_descriptor);
    assert_eq!(bench.deadline(), Some(bench.now + RETRY_DELAY));
    bench.now += RETRY_DELAY;
    bench.step(Input::Wake);
    assert_eq!(bench.phase(), Phase::Queued);
    assert!(bench.wants_place());
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.dials(), 2);
}

/// The delays between attempts for a host that refuses every connection.
fn pauses(seed: u64, backoff_max: Duration) -> Vec<Duration> {
    let dials = [Dial::Fails(1, Errno::ECONNREFUSED)];
    let config = Config { attempts: 6, backoff_max: Some(backoff_max), seed, ..Config::default() };
    let mut bench = Bench::with(config, Script::default().dialling(address(1), &dials));
    bench.command();
    let mut pauses = Vec::new();
    while !bench.all_ended() {
        if bench.phase() == Phase::BackingOff {
            pauses.push(bench.deadline().unwrap() - bench.now);
            bench.run_until(|bench| bench.phase() != Phase::BackingOff);
        } else {
            bench.round();
        }
    }
    pauses
}

#[test]
fn with_backoff_each_pause_is_random_below_a_ceiling_that_doubles() {
    let max = 12 * RETRY_DELAY;
    let ceilings = [2, 4, 8, 12, 12].map(|factor| factor * RETRY_DELAY);
    let mut longest = [Duration::ZERO; 5];
    for seed in 0..500 {
        let pauses = pauses(seed, max);
        assert_eq!(pauses.len(), ceilings.len(), "one pause after each attempt but the last");
        for ((pause, ceiling), longest) in pauses.iter().zip(ceilings).zip(&mut longest) {
            assert!(*pause <= ceiling, "{pauses:?}");
            *longest = (*longest).max(*pause);
        }
    }
    for (longest, ceiling) in longest.iter().zip(ceilings) {
        assert!(*longest > ceiling * 9 / 10, "{longest:?} of {ceiling:?}");
    }
    assert_ne!(pauses(1, max), pauses(2, max), "two hosts must not retry at the same moments");
}

#[test]
fn one_counter_counts_the_attempts_whatever_stage_they_end_in() {
    let handshake = Peer { handshake: Answer::error(1, LinkErrorKind::Lost), ..Peer::default() };
    let login = Peer { service: Answer::error(1, LinkErrorKind::Lost), ..Peer::default() };
    let channel = Channel { open: Answer::error(1, LinkErrorKind::Lost), ..Channel::default() };
    let opening = Peer { channels: vec![channel], ..Peer::default() };
    let dials = [Dial::Fails(1, Errno::ECONNREFUSED), Dial::Connects(1)];
    let script = Script::peers(vec![handshake, login, opening, Peer::default()]);
    for (attempts, stage) in
        [(1, Stage::Connecting), (2, Stage::Handshaking), (3, Stage::Authenticating), (4, Stage::Opening)]
    {
        let config = Config { attempts, ..Config::default() };
        let mut bench = Bench::with(config, script.clone().dialling(address(1), &dials));
        bench.command();
        bench.run();
        assert_eq!((bench.error(0).attempt(), bench.error(0).stage()), (attempts, stage));
        assert_eq!(bench.dials() as u32, attempts);
    }
    let config = Config { attempts: 5, ..Config::default() };
    let mut bench = Bench::with(config, script.dialling(address(1), &dials));
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
}

#[test]
fn only_retryable_errors_are_tried_again() {
    for (kind, dials) in [
        (LinkErrorKind::Lost, 3),
        (LinkErrorKind::Disconnected(11), 3),
        (LinkErrorKind::Disconnected(2), 1),
        (LinkErrorKind::Disconnected(14), 1),
        (LinkErrorKind::NotSsh, 1),
        (LinkErrorKind::NoCommonAlgorithm, 1),
        (LinkErrorKind::Integrity, 1),
        (LinkErrorKind::Protocol, 1),
        (LinkErrorKind::Limit, 1),
        (LinkErrorKind::Other, 1),
    ] {
        let peer = Peer { handshake: Answer::error(1, kind), ..Peer::default() };
        let mut bench = Bench::new(Script::peer(peer));
        bench.command();
        bench.run();
        assert_eq!(bench.dials(), dials, "{kind:?}");
        assert_eq!(bench.error(0).attempt() as usize, dials, "{kind:?}");
        assert_eq!(bench.error(0).stage(), Stage::Handshaking);
        let text = bench.error(0).to_string();
        match dials {
            1 => assert!(bench.error(0).attempts().is_none() && !text.contains("attempt"), "{text}"),
            _ => assert!(bench.error(0).attempts() == Some(3) && text.contains("(attempt 3 of 3)"), "{text}"),
        }
    }
}

/// The delays for a host whose server drops the first `dropped` connections.
fn drops(config: Config, dropped: usize) -> (Vec<Duration>, Bench) {
    let drop = Peer { handshake: Answer::error(1, LinkErrorKind::Dropped), ..Peer::default() };
    let mut peers = vec![drop; dropped];
    peers.push(Peer::default());
    let mut bench = Bench::with(config, Script::peers(peers));
    bench.command();
    let mut pauses = Vec::new();
    while !bench.all_ended() {
        if bench.phase() == Phase::BackingOff {
            pauses.push(bench.deadline().unwrap() - bench.now);
            assert!(!bench.uses_place());
            bench.run_until(|bench| bench.phase() != Phase::BackingOff);
        } else {
            bench.round();
        }
    }
    (pauses, bench)
}

fn usual() -> Config {
    Config { retry: Some(RetryPolicy::default().time_limit(None)), ..Config::default() }
}

#[test]
fn connections_dropped_before_the_identification_have_a_rule_of_their_own() {
    let (pauses, bench) = drops(usual(), 8);
    assert_eq!((pauses.len(), bench.dials(), bench.session.attempt()), (8, 9, 9));
    assert!(bench.outcome(0).is_success());
}

#[test]
fn a_server_that_drops_every_connection_fails_in_bounded_time() {
    let mut longest = [Duration::ZERO; 10];
    let ceilings = [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000, 4_000, 4_000];
    let ceilings = ceilings.map(Duration::from_millis);
    for seed in 0..300 {
        let (pauses, bench) = drops(Config { seed, ..usual() }, 20);
        assert_eq!(pauses.len(), 10);
        for ((pause, ceiling), longest) in pauses.iter().zip(ceilings).zip(&mut longest) {
            assert!(*pause <= ceiling, "{pauses:?}");
            *longest = (*longest).max(*pause);
        }
        assert_eq!((bench.dials(), bench.error(0).attempt()), (11, 11));
        assert!(bench.error(0).to_string().contains("(attempt 11 of 11)"), "{}", bench.error(0));
        assert_eq!(bench.error(0).stage(), Stage::Handshaking);
        assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)), "{}", bench.error(0));
    }
    for (longest, ceiling) in longest.iter().zip(ceilings) {
        assert!(*longest > ceiling * 9 / 10, "{longest:?} of {ceiling:?}");
    }
}

/// The second attempt to connect has succeeded, so its number says nothing about the command.
#[test]
fn a_command_that_fails_on_a_connection_is_not_an_attempt() {
    let dropped = Peer { handshake: Answer::error(1, LinkErrorKind::Lost), ..Peer::default() };
    let running = Channel::sending(vec![(1, Packet::Fault(lost()))]);
    let refused = Channel { exec: Answer::error(1, LinkErrorKind::Denied), ..Channel::default() };
    let silent = Channel { exec: Answer::never(), ..Channel::sending(Vec::new()) };
    for (channel, expected) in [
        (running, "web1: running the command failed: connection lost"),
        (refused, "web1: starting the command failed: the server refused to run the command"),
        (silent, "web1: starting the command failed: exec timeout after 14s"),
    ] {
        for peers in [vec![dropped.clone()], Vec::new()] {
            let second = Peer { channels: vec![channel.clone()], ..Peer::default() };
            let mut bench = Bench::new(Script::peers(peers.into_iter().chain([second]).collect()));
            bench.command();
            bench.run_until(Bench::all_ended);
            let text = bench.error(0).to_string();
            assert!(text.starts_with(expected), "{text}");
            assert_eq!((bench.error(0).attempts(), bench.error(0).attempt() as usize), (None, bench.dials()));
        }
    }
}

#[test]
fn an_attempt_that_no_other_has_time_to_follow_is_not_one_of_several() {
    let policy = RetryPolicy::default().failed(Retry::new(3, Duration::from_secs(20)));
    let lost = Peer { handshake: Answer::error(1, LinkErrorKind::Lost), ..Peer::default() };
    let mut bench = Bench::with(Config { retry: Some(policy), ..Config::default() }, Script::peer(lost));
    bench.command();
    bench.run();
    assert_eq!((bench.dials(), bench.error(0).attempt(), bench.error(0).attempts()), (2, 2, None));
    let text = bench.error(0).to_string();
    assert!(text.starts_with("web1: SSH handshake failed (attempt 2): connection lost"), "{text}");
}

/// What a caller sets for all attempts applies to dropped connections too.
#[test]
fn a_number_of_attempts_and_a_delay_bound_dropped_connections() {
    let (pauses, bench) = drops(Config { attempts: 3, ..Config::default() }, 20);
    assert_eq!((pauses, bench.dials()), (vec![RETRY_DELAY; 2], 3));
    assert!(bench.error(0).to_string().contains("(attempt 3 of 3)"), "{}", bench.error(0));
}

#[test]
fn a_refused_connect_is_tried_once_more_after_a_second_or_is_final() {
    let refused = || Script::default().dialling(address(1), &[Dial::Fails(1, Errno::ECONNREFUSED)]);
    let mut bench = Bench::with(usual(), refused());
    bench.command();
    bench.run_until_phase(Phase::BackingOff);
    assert_eq!(bench.deadline(), Some(bench.now + Duration::from_secs(1)));
    bench.run();
    assert_eq!((bench.dials(), bench.error(0).attempt()), (2, 2));
    assert!(bench.error(0).to_string().contains("(attempt 2 of 2)"), "{}", bench.error(0));

    let never = RetryPolicy::default().refused(Retry::NEVER);
    let mut bench = Bench::with(Config { retry: Some(never), ..Config::default() }, refused());
    bench.command();
    bench.run();
    assert_eq!(bench.dials(), 1);
    assert!(!bench.error(0).to_string().contains("attempt"), "{}", bench.error(0));
}

/// The time that a bench takes for a few rounds.
const ROUNDS: Duration = Duration::from_millis(100);

/// The stages of a bench with the limits that apply if no setting is made.
fn untouched() -> Config {
    let timeouts = Timeouts {
        connect: Some(limits::CONNECT_TIMEOUT),
        handshake: Some(limits::HANDSHAKE_TIMEOUT),
        auth: Some(limits::AUTH_TIMEOUT),
        exec: Some(limits::EXEC_TIMEOUT),
        ..limits_of_ends()
    };
    Config { timeouts, retry: Some(RetryPolicy::default()), ..Config::default() }
}

/// Whatever a host does, and however often it is tried.
#[test]
fn with_no_setting_touched_the_verdict_comes_within_30_s_of_the_first_dial() {
    let peer = |change: fn(&mut Peer)| {
        let mut peer = Peer::default();
        change(&mut peer);
        Script::peer(peer)
    };
    let dials = |dial| Script::default().dialling(address(1), &[dial]);
    let silent_channel = |channel| Script::channel(channel);
    let scripts = [
        dials(Dial::Silent),
        dials(Dial::Fails(1, Errno::ECONNREFUSED)),
        dials(Dial::Fails(1, Errno::EHOSTUNREACH)),
        peer(|peer| peer.handshake = Answer::never()),
        peer(|peer| peer.handshake = Answer::error(1, LinkErrorKind::Dropped)),
        peer(|peer| peer.handshake = Answer::error(1, LinkErrorKind::Lost)),
        peer(|peer| peer.service = Answer::never()),
        peer(|peer| peer.auth_after = None),
        silent_channel(Channel { open: Answer::never(), ..Channel::default() }),
        silent_channel(Channel { open: Answer::error(900, LinkErrorKind::Lost), ..Channel::default() }),
        silent_channel(Channel { exec: Answer::never(), ..Channel::sending(vec![]) }),
    ];
    for (index, script) in scripts.into_iter().enumerate() {
        for seed in 0..20 {
            let mut bench = Bench::with(Config { seed, ..untouched() }, script.clone());
            bench.round = Duration::from_millis(10);
            bench.command();
            bench.step(Input::Admitted { commands: usize::MAX });
            let begun = bench.now;
            bench.run_until(Bench::all_ended);
            let took = bench.now - begun;
            assert!(bench.all_ended() && took <= limits::ATTEMPTS_TIME + ROUNDS, "script {index}: {took:?}");
        }
    }
}

#[test]
fn the_limit_of_all_attempts_is_named_and_ends_an_attempt_at_its_time() {
    let silent = Peer { auth_after: None, ..Peer::default() };
    let mut bench = Bench::with(untouched(), Script::peer(silent));
    bench.command();
    bench.step(Input::Admitted { commands: usize::MAX });
    let begun = bench.now;
    bench.run();
    let took = bench.now - begun;
    assert!(took >= limits::ATTEMPTS_TIME && took <= limits::ATTEMPTS_TIME + ROUNDS, "{took:?}");
    assert_eq!(bench.dials(), 2);
    let text = bench.error(0).to_string();
    assert!(
        text.ends_with("authentication failed (attempt 2): time limit of all attempts after 30s"),
        "{text}"
    );
}

/// The start of the first command is limited with the attempts, that of later commands alone.
#[test]
fn a_command_on_an_open_connection_has_a_limit_of_its_own() {
    let slow = Channel { open: Answer::never(), ..Channel::default() };
    let peer = Peer { channels: vec![Channel::default(), slow], ..Peer::default() };
    let mut bench = Bench::with(untouched(), Script::peer(peer));
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    bench.now += Duration::from_secs(100);
    bench.command();
    bench.run_until(|bench| bench.exec(1).stage() == Stage::Opening);
    let begun = bench.now;
    bench.run();
    // The bench moves in steps of a millisecond.
    assert_eq!((bench.now - begun).as_secs(), limits::EXEC_TIMEOUT.as_secs());
    assert!(bench.error(1).to_string().contains("exec timeout after 30s"), "{}", bench.error(1));
}

/// A host that waits for a place between two attempts is not to blame for the wait.
#[test]
fn the_time_in_the_queue_does_not_count() {
    let lost = Peer { handshake: Answer::error(1, LinkErrorKind::Lost), ..Peer::default() };
    let mut bench = Bench::with(untouched(), Script::peers(vec![lost, Peer::default()]));
    bench.command();
    bench.run_until_phase(Phase::BackingOff);
    bench.run_until_phase(Phase::Queued);
    bench.now += Duration::from_secs(3_600);
    bench.run();
    assert!(bench.outcome(0).is_success());
}

#[test]
fn with_a_single_attempt_a_drop_is_an_error_at_once() {
    let (pauses, bench) = drops(Config { attempts: 1, ..Config::default() }, 1);
    assert_eq!((pauses.len(), bench.dials(), bench.error(0).attempt()), (0, 1, 1));
}

/// The reset arrived before the connect was checked. A closed port would refuse the connection
/// instead of resetting it.
#[test]
fn a_connect_that_is_reset_is_a_drop() {
    let dials = [Dial::Fails(1, Errno::ECONNRESET), Dial::Connects(1)];
    let mut bench = Bench::with(usual(), Script::default().dialling(address(1), &dials));
    bench.command();
    bench.run_until_phase(Phase::BackingOff);
    assert!(bench.deadline().unwrap() - bench.now <= Duration::from_millis(250));
    bench.run();
    assert!(bench.outcome(0).is_success());
}

#[test]
fn a_new_command_has_all_attempts_after_drops_again() {
    let drop = Peer { handshake: Answer::error(1, LinkErrorKind::Dropped), ..Peer::default() };
    let mut bench = Bench::with(usual(), Script::peer(drop));
    for round in 1..=2 {
        bench.command();
        bench.run();
        assert_eq!((bench.phase(), bench.dials()), (Phase::Failed, 11 * round));
    }
}

#[test]
fn a_new_command_for_a_failed_host_has_all_attempts_again() {
    let peer = Peer { handshake: Answer::error(1, LinkErrorKind::Lost), ..Peer::default() };
    let mut bench = Bench::new(Script::peer(peer));
    bench.command();
    bench.run();
    assert_eq!((bench.phase(), bench.dials()), (Phase::Failed, 3));
    bench.command();
    bench.run();
    assert_eq!((bench.phase(), bench.dials()), (Phase::Failed, 6));
    assert_eq!(bench.error(1).attempt(), 3);
}

#[test]
fn a_dead_idle_connection_is_made_anew_at_once_and_with_all_attempts() {
    let refused = Dial::Fails(1, Errno::ECONNREFUSED);
    let dials = [Dial::Connects(1), refused, refused, Dial::Connects(1)];
    let mut bench = Bench::new(Script::default().dialling(address(1), &dials));
    bench.command();
    bench.run();
    bench.link.arrive(0, Packet::Fault(lost()));
    bench.command();
    bench.step(Input::Wake);
    assert_eq!(bench.phase(), Phase::Queued, "the first attempt for a new command has no delay");
    bench.run();
    assert!(bench.outcome(1).is_success());
    assert_eq!(bench.dials(), 4);
}

#[test]
fn a_dead_idle_connection_is_noticed_and_closed() {
    let mut bench = Bench::new(Script::default());
    bench.command();
    bench.run();
    bench.link.arrive(0, Packet::Fault(lost()));
    bench.run();
    assert_eq!(bench.phase(), Phase::Closed);
    assert!(bench.outcome(0).is_success(), "a known outcome has changed");
}

#[test]
fn a_command_that_may_have_started_is_never_sent_twice() {
    for exec in [Answer::never(), Answer::ok(1)] {
        let channel = Channel { exec, output: vec![(3, Packet::Fault(lost()))], ..Channel::default() };
        let bad = Peer { channels: vec![channel], ..Peer::default() };
        let mut bench = Bench::new(Script::peers(vec![bad, Peer::default()]));
        bench.command();
        bench.run();
        assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)));
        assert_eq!((bench.dials(), bench.phase()), (1, Phase::Closed));
    }
}

#[test]
fn commands_that_wait_survive_the_loss_of_one_that_runs() {
    let running = Channel::sending(vec![(4, Packet::Fault(lost()))]);
    let opening = Channel { open: Answer::never(), ..Channel::default() };
    let bad = Peer { channels: vec![running, opening], ..Peer::default() };
    let mut bench = Bench::new(Script::peers(vec![bad, Peer::default()]));
    (0..3).for_each(|_| _ = bench.command());
    bench.run();
    assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)));
    assert!(bench.outcome(1).is_success() && bench.outcome(2).is_success());
    assert_eq!(bench.dials(), 2);
}

/// This is the situation after a connection has died while idle: no attempt was made for this
/// command yet.
#[test]
fn a_command_that_waits_behind_one_that_runs_has_all_attempts_and_no_delay() {
    let running = Channel::sending(vec![(4, Packet::Fault(lost()))]);
    let opening = Channel { open: Answer::never(), ..Channel::default() };
    let bad = Peer { channels: vec![running, opening], ..Peer::default() };
    let config = Config { attempts: 1, ..Config::default() };
    let mut bench = Bench::with(config, Script::peers(vec![bad, Peer::default()]));
    (0..2).for_each(|_| _ = bench.command());
    bench.run_until(|bench| bench.exec(0).is_finished());
    assert_eq!((bench.error(0).attempt(), bench.phase()), (1, Phase::Queued));
    bench.run();
    assert!(bench.outcome(1).is_success());
    assert_eq!(bench.dials(), 2);
}

/// The retries end, because each new connection has used up a command that ran.
#[test]
fn a_server_that_ends_each_connection_under_a_command_runs_every_command_once() {
    let running = Channel::sending(vec![(4, Packet::Fault(lost()))]);
    let opening = Channel { open: Answer::never(), ..Channel::default() };
    let bad = Peer { channels: vec![running, opening], ..Peer::default() };
    let mut bench = Bench::with(Config { attempts: 1, ..Config::default() }, Script::peer(bad));
    (0..5).for_each(|_| _ = bench.command());
    bench.run();
    assert!((0..5).all(|number| bench.error(number).stage() == Stage::Running));
    assert_eq!(bench.dials(), 5);
}

#[test]
fn only_an_idle_connection_is_closed_on_request() {
    let mut bench = Bench::new(Script::channel(Channel::sending(vec![])));
    bench.command();
    for phase in [Phase::Connecting, Phase::Handshaking, Phase::Authenticating, Phase::Ready] {
        bench.run_until_phase(phase);
        bench.step(Input::Close);
        assert_eq!(bench.phase(), phase);
    }
    bench.run();
    bench.step(Input::Close);
    assert_eq!(bench.phase(), Phase::Ready, "a connection with a running command was closed");
    bench.link.arrive(0, Packet::Close);
    bench.run();
    bench.step(Input::Close);
    assert_eq!(bench.phase(), Phase::Closed);
    assert_eq!(bench.link.calls.last(), Some(&Call::HangUp));
}

#[test]
fn giving_up_ends_every_command_in_every_state() {
    let script = Script::channel(Channel::sending(vec![]));
    for phase in [
        Phase::Queued,
        Phase::Resolving,
        Phase::Connecting,
        Phase::Handshaking,
        Phase::Authenticating,
        Phase::Ready,
    ] {
        let mut bench = Bench::new(script.clone());
        bench.command();
        bench.run_until_phase(phase);
        bench.command();
        bench.step(Input::GiveUp(HostErrorKind::Cancelled(CancelCause::Caller)));
        assert!(bench.all_ended(), "{phase:?}");
        assert_eq!(bench.phase(), Phase::Failed, "{phase:?}");
        bench.step(Input::GiveUp(HostErrorKind::Cancelled(CancelCause::Caller)));
        assert_eq!(bench.phase(), Phase::Failed, "{phase:?}");
        assert!(matches!(bench.error(1).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
    }
}

#[test]
fn after_a_failure_the_link_is_hung_up_and_left_alone() {
    let error = LinkError::new(LinkErrorKind::Protocol, "nonsense");
    let mut bench = Bench::new(Script::peer(Peer { start: Err(error), ..Peer::default() }));
    bench.command();
    bench.run();
    let calls = bench.link.calls.len();
    assert_eq!(bench.link.calls.last(), Some(&Call::HangUp));
    for input in [
        Input::Wake,
        Input::Wake,
        Input::Close,
        Input::Admitted { commands: usize::MAX },
        Input::Resolved(Ok(vec![])),
    ] {
        bench.step(input);
    }
    assert_eq!(bench.link.calls.len(), calls, "{:?}", bench.link.calls);
}
