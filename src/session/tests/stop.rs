//! Tests of commands that are stopped early, of signals, and of waiting for a channel.

use std::time::Duration;

use super::call::Call;
use super::exec_edges::blocked;
use super::harness::{Bench, Config, EXEC, limits_of_ends};
use super::prepare::setup;
use super::script::{Answer, Channel, Packet, Peer, Script};
use crate::command::RunOptions;
use crate::command::Signal;
use crate::error::{CancelCause, ChannelProblem, HostErrorKind};
use crate::limits;
use crate::link::{LinkError, LinkErrorKind};
use crate::session::state::Phase;
use crate::session::{Input, Timeouts};
use crate::stage::{Stage, TimeoutKind};
use crate::transfer::Get;

const LIMIT: Duration = Duration::from_secs(30);

fn stdout(text: &str) -> Packet {
    Packet::Stdout(text.as_bytes().to_vec())
}

fn running(channel: Channel) -> Bench {
    let mut bench = Bench::new(Script::channel(channel));
    bench.command_with(RunOptions { time_limit: Some(LIMIT), ..RunOptions::default() }, b"", false);
    bench.run_until(|bench| bench.exec(0).is_running());
    bench
}

/// The calls that end a command, in order, without repeats.
fn endings(bench: &Bench) -> Vec<&Call> {
    let wanted = |call: &Call| {
        matches!(call, Call::Signal(..) | Call::SendEof(_) | Call::Close(_) | Call::Free(_) | Call::Exec(..))
    };
    let mut calls = bench.calls(wanted);
    calls.dedup();
    calls
}

fn all_endings() -> [Call; 5] {
    let exec = Call::Exec(0, "command 0".to_owned());
    [exec, Call::Signal(0, Signal::Term), Call::SendEof(0), Call::Close(0), Call::Free(0)]
}

#[test]
fn a_running_command_gets_signal_eof_and_close_in_this_order() {
    let mut bench = running(Channel::sending(vec![(2, stdout("kept"))]));
    bench.run_until(|bench| !bench.exec(0).stdout.unread().is_empty());
    let begun = bench.now;
    bench.cancel(0);
    bench.run();
    assert_eq!(endings(&bench), all_endings().each_ref());
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
    assert_eq!((bench.error(0).stage(), bench.exec(0).stdout.unread()), (Stage::Running, &b"kept"[..]));
    let took = bench.now - begun;
    assert!(took >= limits::STOP_GRACE && took < limits::STOP_GRACE + Duration::from_secs(1), "{took:?}");
    assert!(bench.view().is_idle, "the connection must stay up");
}

#[test]
fn output_after_a_cancel_is_kept_and_an_obedient_command_ends_early() {
    let on_signal = vec![(1, stdout("bye")), (1, Packet::Status(0)), (1, Packet::Eof), (2, Packet::Close)];
    let mut bench = running(Channel { on_signal, ..Channel::sending(vec![]) });
    let begun = bench.now;
    bench.cancel(0);
    bench.run();
    // Output after the cancellation does not change the outcome.
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
    assert_eq!(bench.exec(0).stdout.unread(), b"bye");
    assert!(bench.now - begun < limits::STOP_GRACE);
}

#[test]
fn an_outcome_reported_before_a_cancel_stands() {
    let end = vec![(4, Packet::Status(3)), (4, Packet::Eof)];
    let mut bench = running(Channel { confirm_after: None, ..Channel::sending(end) });
    bench.run_until(|bench| bench.exec(0).stage() == Stage::Closing);
    bench.cancel(0);
    bench.run();
    assert_eq!(bench.outcome(0).to_string(), "exit status 3");
    bench.cancel(0);
    assert_eq!(bench.outcome(0).to_string(), "exit status 3");
    assert!(bench.calls(|call| matches!(call, Call::Signal(..))).is_empty());
    // The end has arrived, but has not been read yet.
    let mut bench = running(Channel::sending(vec![]));
    for packet in [Packet::Status(4), Packet::Eof] {
        bench.link.arrive(0, packet);
    }
    bench.step(Input::Wake);
    bench.cancel(0);
    bench.run();
    assert_eq!(bench.outcome(0).to_string(), "exit status 4");
}

/// `sleep 8 & exit 3`: the status comes while a process in the background holds the output open.
#[test]
fn a_status_before_the_end_of_the_output_stands_whoever_ends_the_wait() {
    let exited = |config| {
        let mut bench = Bench::with(config, Script::channel(Channel::sending(vec![(2, Packet::Status(3))])));
        bench.command();
        bench.run_until(|bench| bench.exec(0).outcome().is_some());
        assert!(bench.exec(0).is_running(), "{:?}", bench.exec(0).stage());
        assert_eq!(bench.outcome(0).to_string(), "exit status 3");
        bench
    };
    for is_removed in [false, true] {
        let mut bench = exited(Config::default());
        let id = bench.commands[0];
        bench.step(if is_removed { Input::Remove } else { Input::Cancel(id, CancelCause::Caller) });
        assert_eq!(bench.outcome(0).to_string(), "exit status 3", "while it closes");
        bench.run();
        assert!(bench.exec(0).is_finished());
        assert_eq!(bench.outcome(0).to_string(), "exit status 3");
        assert!(bench.calls(|call| matches!(call, Call::Signal(..))).is_empty(), "nothing is left to stop");
    }
    // Where the connection is lost, output may be missing.
    let mut bench = exited(Config::default());
    bench.link.arrive(0, Packet::Fault(LinkError::new(LinkErrorKind::Lost, "reset")));
    bench.step(Input::Wake);
    assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)), "{}", bench.error(0));
}

#[test]
fn a_host_that_confirms_nothing_is_not_waited_for_longer_than_the_limits() {
    let silent = Channel { confirm_after: None, ..Channel::sending(vec![]) };
    let mut bench = running(silent);
    let begun = bench.now;
    bench.cancel(0);
    bench.run();
    let (took, limit) = (bench.now - begun, limits::STOP_GRACE + limits::CLOSE_TIMEOUT);
    assert!(took >= limit && took < limit + Duration::from_secs(1), "{took:?}");
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
    assert_eq!((bench.phase(), bench.link.open_channels()), (Phase::Ready, 0));
}

#[test]
fn the_limits_of_the_end_can_be_set() {
    let (stop, close) = (Duration::from_millis(20), Duration::from_millis(300));
    for (stop, close) in [(stop, close), (Duration::ZERO, close), (stop, Duration::ZERO)] {
        let timeouts = Timeouts { stop, close, ..limits_of_ends() };
        let silent = Channel { confirm_after: None, ..Channel::sending(vec![]) };
        let mut bench = Bench::with(Config { timeouts, ..Config::default() }, Script::channel(silent));
        bench.command();
        bench.run_until(|bench| bench.exec(0).is_running());
        let begun = bench.now;
        bench.cancel(0);
        bench.run();
        let (took, limit) = (bench.now - begun, stop + close);
        assert!(took >= limit && took < limit + Duration::from_millis(100), "{took:?}");
        assert!(matches!(bench.error(0).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
        assert_eq!((bench.phase(), bench.link.open_channels()), (Phase::Ready, 0));
    }
}

#[test]
fn only_a_command_that_was_not_sent_can_be_withdrawn() {
    let slow = || Channel {
        open: Answer::ok(3),
        requests: vec![Answer::ok(3)],
        exec: Answer::ok(3),
        ..Channel::sending(vec![(9, Packet::Status(0)), (9, Packet::Eof), (9, Packet::Close)])
    };
    for stage in [Stage::Queued, Stage::Opening, Stage::Preparing, Stage::Requesting, Stage::Running] {
        let mut bench = Bench::new(Script::channel(slow()));
        bench.command_with(RunOptions { setup: setup(), ..RunOptions::default() }, b"", false);
        bench.run_until(|bench| bench.exec(0).stage() == stage);
        bench.step(Input::Withdraw(bench.commands[0], CancelCause::Draining));
        bench.run();
        let was_sent = stage >= Stage::Requesting;
        assert_eq!(!bench.calls(|call| matches!(call, Call::Exec(..))).is_empty(), was_sent, "{stage:?}");
        if was_sent {
            assert!(bench.outcome(0).is_success());
        } else {
            let error = bench.error(0);
            assert!(matches!(error.kind(), HostErrorKind::NotStarted(CancelCause::Draining)), "{error}");
            assert_eq!(error.to_string(), "web1: not started: the fleet is draining");
        }
    }
}

/// The session connects anyway, and the command waits for another admission.
#[test]
fn a_command_that_is_held_begins_with_the_next_admission() {
    let mut bench = Bench::new(Script::default());
    bench.command();
    bench.run_until_phase(Phase::Handshaking);
    bench.step(Input::Hold);
    bench.run_until_phase(Phase::Ready);
    assert!(bench.exec(0).is_waiting() && bench.wants_place() && !bench.uses_place());
    assert_eq!(bench.deadline(), None);
    assert!(bench.calls(|call| matches!(call, Call::Open(_))).is_empty());
    bench.run();
    assert!(bench.outcome(0).is_success());
}

#[test]
fn closing_gives_up_a_requested_connection() {
    let mut bench = Bench::new(Script::default());
    bench.connect();
    bench.run_until_phase(Phase::Handshaking);
    bench.step(Input::Close);
    assert_eq!(bench.phase(), Phase::Closed);
    assert!(!bench.session.is_awaited());
}

#[test]
fn a_command_that_was_not_sent_is_never_sent() {
    let slow = Channel { open: Answer::ok(3), requests: vec![Answer::ok(3)], ..Channel::default() };
    let stages = [Stage::Queued, Stage::Opening, Stage::Preparing];
    for stage in stages {
        let peer = Peer { channels: vec![slow.clone(), Channel::default()], ..Peer::default() };
        let mut bench = Bench::new(Script::peer(peer));
        bench.command_with(
            RunOptions { setup: super::prepare::setup(), ..RunOptions::default() },
            b"",
            false,
        );
        bench.run_until(|bench| bench.exec(0).stage() == stage);
        bench.cancel(0);
        bench.run();
        assert!(matches!(bench.error(0).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
        assert_eq!(bench.error(0).stage(), stage);
        assert!(bench.calls(|call| matches!(call, Call::Exec(..) | Call::Signal(..))).is_empty());
        bench.command();
        bench.run();
        assert!(bench.outcome(1).is_success());
    }
}

#[test]
fn a_cancelled_command_leaves_the_others_alone() {
    let endless = Channel::sending(vec![]);
    let mut bench = Bench::new(Script::channel(endless));
    (0..3).for_each(|_| _ = bench.command());
    bench.run_until(|bench| (0..3).all(|number| bench.exec(number).is_running()));
    bench.cancel(1);
    bench.run();
    assert!(bench.exec(0).is_running() && bench.exec(1).is_finished() && bench.exec(2).is_running());
    bench.cancel(0);
    bench.cancel(2);
    bench.run();
    assert!(bench.all_ended() && bench.view().is_idle);
}

#[test]
fn a_time_limit_counts_from_acceptance_and_ends_the_command_alone() {
    let mut bench = Bench::new(Script::channel(Channel { exec: Answer::ok(5), ..Channel::sending(vec![]) }));
    bench.round = Duration::from_secs(1);
    bench.command_with(RunOptions { time_limit: Some(LIMIT), ..RunOptions::default() }, b"", false);
    bench.run_until(|bench| bench.exec(0).is_running());
    let begun = bench.now;
    bench.run_until(|bench| bench.exec(0).is_settled() && !bench.exec(0).is_running());
    assert_eq!(bench.now - begun, LIMIT);
    bench.run();
    match bench.error(0).kind() {
        HostErrorKind::Timeout { kind: TimeoutKind::Command, after } => assert_eq!(*after, LIMIT),
        other => panic!("{other}"),
    }
    assert_eq!((bench.error(0).stage(), bench.dials()), (Stage::Running, 1));
    assert_eq!(endings(&bench), all_endings().each_ref());
    assert!(bench.view().is_idle, "the connection must stay up");
}

#[test]
fn a_command_that_ends_before_its_time_limit_keeps_its_status() {
    let mut bench = running(Channel::default());
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.deadline(), None);
}

#[test]
fn a_signal_is_sent_once_and_changes_nothing_by_itself() {
    let mut bench = running(Channel::sending(vec![]));
    bench.signal(0);
    assert!(bench.exec(0).unsent_signals() == 0 && bench.exec(0).is_running());
    assert_eq!(bench.calls(|call| *call == Call::Signal(0, Signal::Hup)).len(), 1);
    bench.link.arrive(0, Packet::Close);
    bench.run();
    assert!(bench.all_ended());
    bench.signal(0);
    assert_eq!(bench.calls(|call| matches!(call, Call::Signal(..))).len(), 1);
}

#[test]
fn a_refused_channel_is_an_error_if_waiting_is_no_use() {
    let denied = Channel { open: Answer::error(1, LinkErrorKind::Denied), ..Channel::default() };
    let peer = Peer { channels: vec![denied, Channel::default()], ..Peer::default() };
    let mut bench = Bench::new(Script::peer(peer));
    bench.command_with(RunOptions { wait_for_channel: true, ..RunOptions::default() }, b"", false);
    bench.run();
    let HostErrorKind::Channel(ChannelProblem::OpenRefused(_)) = bench.error(0).kind() else { panic!() };
    assert_eq!(bench.calls(|call| matches!(call, Call::Open(_))).len(), 1);
}

#[test]
fn waiting_for_a_channel_ends_at_the_exec_timeout() {
    let mut bench = blocked();
    let begun = bench.exec(1).begun();
    bench.run_until(|bench| bench.exec(1).is_finished());
    assert_eq!(bench.now - begun, EXEC);
    let HostErrorKind::Timeout { kind: TimeoutKind::Exec, .. } = bench.error(1).kind() else { panic!() };
    assert!(bench.exec(0).is_running());
}

#[test]
fn a_requested_connection_needs_no_command() {
    let mut bench = Bench::new(Script::default());
    bench.connect();
    assert!(bench.session.is_awaited() && bench.wants_place());
    bench.run();
    assert!(!bench.session.is_awaited() && bench.view().is_idle);
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.dials(), 1);
    // A second request to connect does nothing while connected, but reconnects after a close.
    bench.connect();
    assert!(!bench.session.is_awaited());
    bench.step(Input::Close);
    bench.connect();
    bench.run();
    assert_eq!((bench.phase(), bench.dials()), (Phase::Ready, 2));
}

#[test]
fn a_requested_connection_gets_as_many_attempts_as_a_command() {
    let lost = Peer { handshake: Answer::error(1, LinkErrorKind::Lost), ..Peer::default() };
    let mut bench = Bench::new(Script::peers(vec![lost.clone(), Peer::default()]));
    bench.connect();
    bench.run();
    assert_eq!((bench.phase(), bench.dials()), (Phase::Ready, 2));
    let mut bench = Bench::new(Script::peer(lost));
    bench.connect();
    bench.run();
    assert_eq!((bench.phase(), bench.dials()), (Phase::Failed, 3));
    assert!(!bench.session.is_awaited());
    let error = bench.session.error().expect("a failed session has an error");
    assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)));
    assert_eq!(error.attempt(), 3);
}

/// `scp` reads the end of its input only after it has sent the file.
#[test]
fn a_cancelled_get_by_scp_closes_its_channel_at_once() {
    let denied = Answer { after: Some(1), says: Err(LinkError::new(LinkErrorKind::Denied, "no")) };
    let refused = Channel { exec: denied, ..Channel::default() };
    let channels = vec![refused, Channel::sending(Vec::new())];
    let mut bench = Bench::new(Script::peer(Peer { channels, ..Peer::default() }));
    bench.transfer_of(Get::new("/srv/file", "copy"));
    let is_sent = |bench: &Bench| !bench.calls(|call| matches!(call, Call::Write(1, 1))).is_empty();
    bench.run_until(is_sent);
    let begun = bench.now;
    bench.cancel(0);
    bench.run();
    assert!(bench.all_ended() && bench.now - begun < limits_of_ends().stop, "{:?}", bench.now - begun);
    let ends = bench.calls(|call| matches!(call, Call::SendEof(1) | Call::Signal(1, _) | Call::Close(1)));
    assert!(matches!(ends[..], [Call::Close(1)]), "{ends:?}");
}
