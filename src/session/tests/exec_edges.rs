//! One test for each legal edge of a command, and a snapshot of the table.

use std::cell::RefCell;

use super::edges::{assert_snapshot, dot, table};
use super::harness::Bench;
use super::prepare::setup;
use super::script::{Answer, Channel, Packet, Peer, Script, Take, lost};
use crate::command::RunOptions;
use crate::error::{CancelCause, HostErrorKind};
use crate::link::{LinkError, LinkErrorKind};
use crate::output::Outcome;
use crate::session::exec::{EXEC_EDGES, ExecPhase, ExecState};

thread_local! {
    static TAKEN: RefCell<Vec<(ExecPhase, ExecPhase)>> = const { RefCell::new(Vec::new()) };
}

/// Called by a command on every transition.
pub(in crate::session) fn record_exec(from: ExecPhase, to: ExecPhase) {
    TAKEN.with_borrow_mut(|taken| taken.push((from, to)));
}

/// The edges that a scenario takes.
pub(super) fn take_exec_edges(scenario: impl FnOnce()) -> Vec<(ExecPhase, ExecPhase)> {
    TAKEN.take();
    scenario();
    TAKEN.take()
}

/// Makes a test of each scenario, which must take the edge that it is for, and collects the
/// scenarios in `SCENARIOS`.
macro_rules! exec_edges {
    ($($from:ident => $to:ident, $name:ident: $scenario:expr;)*) => {
        $(#[test]
        fn $name() {
            let taken = take_exec_edges($scenario);
            assert!(taken.contains(&(ExecPhase::$from, ExecPhase::$to)), "{taken:?}");
        })*

        const SCENARIOS: &[(ExecPhase, ExecPhase, fn())] =
            &[$((ExecPhase::$from, ExecPhase::$to, $scenario)),*];
    };
}

exec_edges! {
    Waiting => Finished, a_command_that_waits_can_be_cancelled: || cancelled_in(ExecPhase::Waiting, Script::default());
    Waiting => Opening, a_ready_connection_opens_a_channel: happy;
    Opening => Preparing, an_open_channel_is_prepared: happy;
    Opening => Blocked, a_refused_channel_can_be_waited_for: blocked_and_served;
    Opening => Waiting, a_connection_lost_while_opening_lets_a_command_wait_again: || {
        tried_again(Channel { open: failing(), ..Channel::default() });
    };
    Opening => Finished, a_refused_channel_is_an_error: || refused(Channel { open: denied(), ..Channel::default() });
    Blocked => Waiting, a_closed_channel_makes_room: blocked_and_served;
    Blocked => Finished, a_blocked_command_can_be_cancelled: || {
        let mut bench = blocked();
        bench.cancel(1);
        assert!(matches!(bench.error(1).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
        bench.link.arrive(0, Packet::Close);
        bench.run();
    };
    Preparing => Requesting, a_prepared_channel_is_asked_to_run: happy;
    Preparing => Waiting, a_connection_lost_while_preparing_lets_a_command_wait_again: || {
        tried_again(Channel { requests: vec![failing()], ..Channel::default() });
    };
    Preparing => Closing, a_command_that_is_prepared_can_be_cancelled: || {
        cancelled_in(ExecPhase::Preparing, Script::channel(Channel { requests: vec![Answer::ok(3)], ..Channel::default() }));
    };
    Preparing => Finished, a_refused_request_is_an_error: || {
        refused(Channel { requests: vec![denied()], ..Channel::default() });
    };
    Requesting => Running, an_accepted_command_runs: happy;
    Requesting => Closing, a_command_that_was_sent_can_be_cancelled: || {
        cancelled_in(ExecPhase::Requesting, Script::channel(Channel { exec: Answer::ok(3), ..Channel::default() }));
    };
    Requesting => Finished, a_refused_command_is_an_error: || refused(Channel { exec: denied(), ..Channel::default() });
    Requesting => Waiting, a_transfer_goes_on_where_sftp_is_refused: || {
        without_sftp(Channel { exec: denied(), ..Channel::default() });
    };
    Running => Waiting, a_transfer_goes_on_where_the_sftp_server_is_missing: || {
        without_sftp(Channel::sending(vec![(1, Packet::Status(127)), (1, Packet::Eof), (1, Packet::Close)]));
    };
    Running => Stopping, a_running_command_can_be_cancelled: || {
        cancelled_in(ExecPhase::Running, Script::channel(Channel::sending(vec![])));
    };
    Running => Closing, a_command_that_has_ended_is_closed: happy;
    Running => Finished, a_lost_connection_ends_a_running_command: || {
        refused(Channel { takes: vec![Take::Unwritable], ..Channel::sending(vec![]) });
        let bench = run(Script::channel(Channel::sending(vec![(2, Packet::Fault(lost()))])));
        assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)));
    };
    Stopping => Closing, a_command_that_does_not_stop_is_closed: || {
        cancelled_in(ExecPhase::Running, Script::channel(Channel::sending(vec![])));
    };
    Stopping => Finished, a_connection_lost_while_stopping_changes_no_outcome: || {
        let on_signal = vec![(1, Packet::Fault(lost()))];
        cancelled_in(ExecPhase::Running, Script::channel(Channel { on_signal, ..Channel::sending(vec![]) }));
    };
    Closing => Finished, a_closed_channel_ends_its_command: happy;
}

fn failing() -> Answer {
    Answer { after: Some(1), says: Err(lost()) }
}

fn denied() -> Answer {
    Answer { after: Some(1), says: Err(LinkError::new(LinkErrorKind::Denied, "no")) }
}

fn command(bench: &mut Bench) {
    let options = RunOptions { setup: setup(), wait_for_channel: true, ..RunOptions::default() };
    bench.command_with(options, b"input", false);
}

fn run(script: Script) -> Bench {
    let mut bench = Bench::new(script);
    command(&mut bench);
    bench.run();
    assert!(bench.all_ended());
    bench
}

fn happy() {
    assert!(run(Script::default()).outcome(0).is_success());
}

fn tried_again(channel: Channel) {
    let bad = Peer { channels: vec![channel], ..Peer::default() };
    assert!(run(Script::peers(vec![bad, Peer::default()])).outcome(0).is_success());
}

fn refused(channel: Channel) {
    let bench = run(Script::channel(channel));
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Channel(_)), "{}", bench.error(0));
    assert!(bench.view().is_idle, "the connection must stay up");
}

/// The second channel runs `scp`, which says what its protocol does not have.
fn without_sftp(first: Channel) {
    let channels = vec![first, Channel::default()];
    let mut bench = Bench::new(Script::peer(Peer { channels, ..Peer::default() }));
    bench.transfer();
    bench.run();
    let error = bench.error(0).to_string();
    assert!(error.contains("scp failed on the host: out"), "{error}");
    assert_eq!(bench.dials(), 1);
}

fn cancelled_in(phase: ExecPhase, script: Script) {
    let mut bench = Bench::new(script);
    command(&mut bench);
    bench.run_until(|bench| bench.exec(0).state.phase() == phase);
    bench.cancel(0);
    bench.run();
    assert!(
        matches!(bench.error(0).kind(), HostErrorKind::Cancelled(CancelCause::Caller)),
        "{}",
        bench.error(0)
    );
}

/// The first command runs. The server refuses a channel to the second command until the first one
/// has ended.
pub(super) fn blocked() -> Bench {
    let first = Channel::sending(vec![]);
    let second = Channel { open: denied(), ..Channel::default() };
    let channels = vec![first, second, Channel::default()];
    let mut bench = Bench::new(Script::peer(Peer { channels, ..Peer::default() }));
    command(&mut bench);
    command(&mut bench);
    let is_blocked = |bench: &Bench| bench.exec(1).state.phase() == ExecPhase::Blocked;
    bench.run_until(|bench| bench.exec(0).is_running() && is_blocked(bench));
    bench
}

fn blocked_and_served() {
    let mut bench = blocked();
    assert!(!bench.uses_place(), "a blocked command holds a place");
    bench.link.arrive(0, Packet::Close);
    bench.run();
    assert!(bench.outcome(1).is_success());
    assert_eq!(bench.dials(), 1);
}

#[test]
fn a_lost_login_lets_a_command_wait_again() {
    let service = Answer { after: Some(1), says: Err(lost()) };
    let bench = run(Script::peers(vec![Peer { service, ..Peer::default() }, Peer::default()]));
    assert!(bench.outcome(0).is_success());
}

#[test]
fn every_legal_edge_of_a_command_has_its_test() {
    for (from, to, cause) in EXEC_EDGES {
        assert!(SCENARIOS.iter().any(|(a, b, _)| (a, b) == (from, to)), "{from:?} -> {to:?}: {cause}");
    }
    assert_eq!(SCENARIOS.len(), EXEC_EDGES.len());
}

#[test]
#[should_panic(expected = "Waiting -> Running")]
fn an_edge_of_a_command_that_is_not_in_the_table_is_a_panic() {
    let mut bench = Bench::new(Script::default());
    bench.command();
    let id = bench.commands[0];
    bench.execs.get_mut(id).unwrap().enter(ExecState::Running(crate::link::ChannelId(0)));
}

#[test]
fn only_the_finished_state_is_never_left() {
    for (index, (from, to, _)) in EXEC_EDGES.iter().enumerate() {
        assert!(!EXEC_EDGES[..index].iter().any(|(a, b, _)| (a, b) == (from, to)), "{from:?} -> {to:?}");
    }
    for phase in ExecPhase::ALL {
        let left = EXEC_EDGES.iter().any(|(from, _, _)| *from == phase);
        assert_eq!(left, phase != ExecPhase::Finished, "{phase:?}");
    }
    let state = ExecState::Finished(Outcome::NoStatus);
    assert_eq!(state.phase(), ExecPhase::Finished);
}

#[test]
fn the_table_of_a_command_is_as_committed() {
    assert_snapshot("docs/command-states.dot", &dot("command", &ExecPhase::ALL, EXEC_EDGES));
    assert_snapshot("src/session/tests/command-states.snap", &table(&ExecPhase::ALL, EXEC_EDGES));
}
