//! One test for each legal edge, and a snapshot of the table.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::fs;
use std::path::Path;

use nix::errno::Errno;

use super::call::{Call, Failing, Fault};
use super::command::{dropped, ended, ends_early, with_command};
use super::harness::{Bench, Config, address, opened};
use super::host_keys::{new_host, shows_the_recorded_key_when_asked_for_it};
use super::proxy::refusal;
use super::script::{Answer, Channel, Dial, Packet, Peer, Script, host_key, lost};
use super::touches::leaves_until_its_turn;
use crate::error::{CancelCause, HostErrorKind, UnknownHostProblem};
use crate::link::{ChannelId, LinkErrorKind};
use crate::session::state::{EDGES, Phase, State, is_legal};
use crate::session::{Input, TunnelProgress};
use crate::stage::Stage;

thread_local! {
    static TAKEN: RefCell<Vec<(Phase, Phase)>> = const { RefCell::new(Vec::new()) };
}

/// Called by the session on every transition.
pub(in crate::session) fn record(from: Phase, to: Phase) {
    assert!(is_legal(from, to), "{from:?} -> {to:?} is not a legal edge");
    TAKEN.with_borrow_mut(|taken| taken.push((from, to)));
}

/// The edges that a scenario takes.
pub(super) fn take_edges(scenario: impl FnOnce()) -> Vec<(Phase, Phase)> {
    TAKEN.take();
    scenario();
    TAKEN.take()
}

/// Makes a test of each scenario, which must take the edge that it is for, and collects the
/// scenarios in `SCENARIOS`.
macro_rules! edges {
    ($($from:ident => $to:ident, $name:ident: $scenario:expr;)*) => {
        $(#[test]
        fn $name() {
            let taken = take_edges($scenario);
            assert!(taken.contains(&(Phase::$from, Phase::$to)), "{taken:?}");
        })*

        const SCENARIOS: &[(Phase, Phase, fn())] = &[$((Phase::$from, Phase::$to, $scenario)),*];
    };
}

edges! {
    Queued => Resolving, admission_begins_the_lookup: happy;
    Queued => Failed, a_queued_session_can_be_given_up: || {
        let mut bench = Bench::new(Script::default());
        bench.command();
        bench.step(Input::GiveUp(HostErrorKind::Limit("no descriptor".to_owned())));
    };
    Queued => Closed, a_queued_command_can_be_cancelled: || cancelled_in(Phase::Queued);
    Queued => Tunnelling, admission_asks_the_proxy: || { tunnelled(vec![opened()], 1); };
    Tunnelling => Handshaking, ssh_follows_the_tunnel: || { tunnelled(vec![opened()], 1); };
    Tunnelling => Queued, without_a_conduit_it_waits_again: || {
        let mut bench = proxied(vec![opened()], 1);
        bench.link.fault = Some(Fault { nth: 1, with: Failing::Error(LinkErrorKind::Limit) });
        bench.run();
        assert_eq!(bench.no_descriptor, 1);
        assert!(bench.outcome(0).is_success());
    };
    Tunnelling => BackingOff, a_host_that_the_proxy_cannot_reach_is_tried_again: || {
        let bench = tunnelled(vec![refused_by_proxy(2), opened()], 3);
        assert!(bench.outcome(0).is_success());
    };
    Tunnelling => Failed, a_prohibited_tunnel_is_final: || {
        let bench = tunnelled(vec![refused_by_proxy(1), opened()], 3);
        assert!(matches!(bench.error(0).kind(), HostErrorKind::Proxy(_)));
    };
    Tunnelling => Closed, an_unneeded_tunnel_is_given_up: || cancelled_in(Phase::Tunnelling);
    Queued => Launching, admission_starts_the_command: commanded;
    Launching => Handshaking, ssh_follows_the_first_byte: commanded;
    Launching => Reaping, a_command_that_closes_its_output_is_waited_for: || {
        let mut bench = ends_early(None, 1);
        bench.run();
        assert!(ended(&bench).contains("closed the connection"), "{}", bench.error(0));
    };
    Launching => Queued, without_a_process_it_waits_again: || {
        let mut bench = with_command(Script::default(), 1);
        bench.starts = [Errno::EAGAIN, Errno::EMFILE].map(Into::into).into();
        bench.run();
        assert_eq!((bench.no_descriptor, bench.commands_started), (2, 3));
        assert!(bench.outcome(0).is_success());
    };
    Launching => BackingOff, a_command_that_has_ended_is_started_again: || {
        let mut bench = ends_early(Some(1), 3);
        bench.run();
        assert!(bench.outcome(0).is_success());
        assert_eq!(bench.commands_started, 2);
    };
    Launching => Failed, the_last_command_that_ends_is_final: || {
        let bench = ends_early(Some(1), 1);
        assert!(ended(&bench).contains("exit status: 1"), "{}", bench.error(0));
    };
    Launching => Closed, an_unneeded_command_is_given_up: || cancelled_in(Phase::Launching);
    Reaping => BackingOff, a_command_that_ends_without_a_status_is_started_again: || {
        let mut bench = ends_early(None, 3);
        bench.run();
        assert!(bench.outcome(0).is_success());
    };
    Reaping => Failed, a_status_that_is_awaited_is_in_the_error: || {
        let mut bench = ends_early(None, 1);
        assert_eq!(bench.phase(), Phase::Reaping);
        bench.exit(1);
        assert!(ended(&bench).contains("exit status: 1"), "{}", bench.error(0));
    };
    Reaping => Closed, an_unneeded_status_is_not_awaited: || {
        let mut bench = ends_early(None, 3);
        bench.cancel(0);
        assert_eq!((bench.phase(), bench.deadline()), (Phase::Closed, None));
    };
    Handshaking => Reaping, a_command_that_ends_after_a_few_bytes_is_waited_for: || {
        let silent = Peer { handshake: Answer::never(), ..Peer::default() };
        let mut bench = with_command(Script::peer(silent), 1);
        bench.run_until_phase(Phase::Launching);
        bench.link.arrive(0, Packet::Keys(0));
        bench.step(Input::Wake);
        assert_eq!(bench.phase(), Phase::Handshaking);
        bench.link.fail_next(dropped());
        bench.run();
        assert_eq!(bench.error(0).stage(), Stage::Handshaking);
    };
    Resolving => Connecting, addresses_are_dialled: happy;
    Resolving => BackingOff, a_failed_lookup_is_tried_again: || lookup_fails(3);
    Resolving => Failed, the_last_failed_lookup_is_final: || lookup_fails(1);
    Resolving => Closed, an_unneeded_lookup_is_given_up: || cancelled_in(Phase::Resolving);
    Connecting => Handshaking, ssh_follows_tcp: happy;
    Connecting => Queued, without_a_descriptor_it_waits_again: || {
        let dials = [Dial::FailsAtOnce(Errno::EMFILE), Dial::Connects(1)];
        run(Script::default().dialling(address(1), &dials), 1);
    };
    Connecting => BackingOff, a_refused_connect_is_tried_again: || refused(3);
    Connecting => Failed, the_last_refused_connect_is_final: || refused(1);
    Connecting => Closed, an_unneeded_connect_is_given_up: || cancelled_in(Phase::Connecting);
    Handshaking => Verifying, a_host_that_has_shown_its_key_is_verified: happy;
    Handshaking => BackingOff, a_connection_lost_in_the_handshake_is_tried_again: lost_in_the_handshake;
    Handshaking => Failed, an_invalid_host_key_is_final: || {
        run(Script::peer(Peer { key: b"junk".to_vec(), ..Peer::default() }), 3);
    };
    Handshaking => Closed, an_unneeded_handshake_is_given_up: || cancelled_in(Phase::Handshaking);
    Verifying => Authenticating, a_verified_host_is_logged_in_to: happy;
    Verifying => Queued, a_key_of_a_recorded_type_is_asked_for: || { shows_the_recorded_key_when_asked_for_it(); };
    Verifying => BackingOff, a_host_that_takes_too_long_to_verify_is_tried_again: || {
        let mut bench = new_host(None);
        bench.run_until(|bench| bench.session.attempt() == 2);
    };
    Verifying => Failed, a_mistrusted_host_is_final: || {
        run(Script::peer(Peer { key: host_key(1), ..Peer::default() }), 3);
    };
    Verifying => Closed, an_unneeded_verification_is_given_up: || {
        let mut bench = new_host(Some(3));
        bench.run_until_phase(Phase::Verifying);
        bench.cancel(0);
        assert_eq!((bench.phase(), bench.deadline()), (Phase::Closed, None));
        bench.run();
        assert_eq!(bench.phase(), Phase::Closed, "the late answer must be ignored");
    };
    Authenticating => Ready, an_accepted_credential_makes_it_ready: happy;
    Authenticating => Queued, a_host_leaves_until_its_turn_at_a_security_key: leaves_until_its_turn;
    Authenticating => BackingOff, a_connection_lost_in_the_login_is_tried_again: || {
        let service = Answer { after: Some(1), says: Err(lost()) };
        run(Script::peers(vec![Peer { service, ..Peer::default() }, Peer::default()]), 3);
    };
    Authenticating => Failed, a_refused_credential_is_final: || {
        run(Script::peer(Peer { replies: Vec::new(), ..Peer::default() }), 3);
    };
    Authenticating => Closed, an_unneeded_login_is_given_up: || cancelled_in(Phase::Authenticating);
    Ready => Queued, a_connection_that_died_idle_is_made_anew: || {
        let mut bench = Bench::new(Script::default());
        bench.command();
        bench.run();
        bench.command();
        bench.link.arrive(0, Packet::Fault(lost()));
        bench.step(Input::Wake);
        bench.run();
        assert!(bench.all_ended());
    };
    Ready => BackingOff, a_command_that_cannot_have_started_is_tried_again: || {
        opening_fails(LinkErrorKind::Lost);
    };
    Ready => Closed, an_idle_connection_can_be_closed: happy_then_closed;
    Ready => Failed, a_command_that_waits_fails_with_a_final_error: || {
        opening_fails(LinkErrorKind::Integrity);
    };
    BackingOff => Queued, after_the_delay_it_waits_again: || lookup_fails(3);
    BackingOff => Failed, a_session_can_be_given_up_between_two_attempts: || {
        let dials = [Dial::Fails(1, Errno::ECONNREFUSED)];
        let mut bench = Bench::new(Script::default().dialling(address(1), &dials));
        bench.command();
        bench.run_until_phase(Phase::BackingOff);
        bench.step(Input::GiveUp(HostErrorKind::Cancelled(CancelCause::Caller)));
        assert!(matches!(bench.error(0).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
    };
    BackingOff => Closed, an_unneeded_attempt_is_not_made: || cancelled_in(Phase::BackingOff);
    Closed => Queued, a_closed_session_takes_a_command: || {
        let mut bench = happy_bench();
        bench.step(Input::Close);
        bench.command();
        bench.run();
        assert!(bench.outcome(1).is_success());
    };
    Failed => Queued, a_failed_session_takes_a_command: || {
        let dials = [Dial::Fails(1, Errno::ECONNREFUSED), Dial::Connects(1)];
        let config = Config { attempts: 1, ..Config::default() };
        let mut bench = Bench::with(config, Script::default().dialling(address(1), &dials));
        bench.command();
        bench.run_until_phase(Phase::Failed);
        bench.command();
        bench.run();
        assert!(bench.outcome(1).is_success());
    };
}

fn run(script: Script, attempts: u32) -> Bench {
    let mut bench = Bench::with(Config { attempts, ..Config::default() }, script);
    bench.command();
    bench.run();
    assert!(bench.all_ended());
    bench
}

fn refused_by_proxy(reason: u32) -> Vec<TunnelProgress> {
    vec![TunnelProgress::Begun(ChannelId(0)), TunnelProgress::Failed(refusal(reason))]
}

fn proxied(says: Vec<Vec<TunnelProgress>>, attempts: u32) -> Bench {
    let config = Config { attempts, proxied: true, ..Config::default() };
    let mut bench = Bench::with(config, Script::default());
    bench.proxy_says = says.into();
    bench.command();
    bench
}

fn tunnelled(says: Vec<Vec<TunnelProgress>>, attempts: u32) -> Bench {
    let mut bench = proxied(says, attempts);
    bench.run();
    assert!(bench.all_ended());
    bench
}

fn commanded() {
    let mut bench = with_command(Script::default(), 1);
    bench.run();
    assert!(bench.outcome(0).is_success());
}

/// Cancels the only command before it is sent, so that nothing needs the connection any more.
fn cancelled_in(phase: Phase) {
    let dials =
        [if phase == Phase::BackingOff { Dial::Fails(1, Errno::ECONNREFUSED) } else { Dial::Connects(1) }];
    let (proxied, commanded) = (phase == Phase::Tunnelling, phase == Phase::Launching);
    let config = Config { proxied, commanded, ..Config::default() };
    let mut bench = Bench::with(config, Script::default().dialling(address(1), &dials));
    bench.command();
    bench.run_until_phase(phase);
    bench.cancel(0);
    assert_eq!((bench.phase(), bench.deadline()), (Phase::Closed, None));
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
    bench.run();
    assert!(bench.calls(|call| matches!(call, Call::Open(_))).is_empty());
}

fn happy_bench() -> Bench {
    let bench = run(Script::default(), 1);
    assert!(bench.outcome(0).is_success());
    bench
}

fn happy() {
    happy_bench();
}

fn happy_then_closed() {
    happy_bench().step(Input::Close);
}

fn lookup_fails(attempts: u32) {
    let mut bench = Bench::with(Config { attempts, ..Config::default() }, Script::default());
    bench.lookups = vec![Err(|| HostErrorKind::UnknownHost(UnknownHostProblem::NoSuchName))];
    bench.command();
    bench.run();
    assert_eq!(bench.error(0).attempt(), attempts);
}

fn refused(attempts: u32) {
    let dials = [Dial::Fails(1, Errno::ECONNREFUSED)];
    let bench = run(Script::default().dialling(address(1), &dials), attempts);
    assert_eq!(bench.error(0).attempt(), attempts);
}

fn lost_in_the_handshake() {
    let bad = Peer { handshake: Answer::error(1, LinkErrorKind::Lost), ..Peer::default() };
    run(Script::peers(vec![bad, Peer::default()]), 3);
}

fn opening_fails(kind: LinkErrorKind) {
    let channel = Channel { open: Answer::error(1, kind), ..Channel::default() };
    let bad = Peer { channels: vec![channel], ..Peer::default() };
    run(Script::peers(vec![bad, Peer::default()]), 3);
}

#[test]
fn every_legal_edge_has_its_test() {
    for (from, to, cause) in EDGES {
        assert!(SCENARIOS.iter().any(|(a, b, _)| (a, b) == (from, to)), "{from:?} -> {to:?}: {cause}");
    }
    assert_eq!(SCENARIOS.len(), EDGES.len());
    for (from, to, scenario) in SCENARIOS {
        let taken = take_edges(scenario);
        assert!(taken.contains(&(*from, *to)), "{from:?} -> {to:?} is not among {taken:?}");
    }
}

#[test]
#[should_panic(expected = "Queued -> Ready")]
fn an_edge_that_is_not_in_the_table_is_a_panic() {
    let mut bench = Bench::new(Script::default());
    bench.enter(State::Ready(None));
}

#[test]
fn no_edge_is_listed_twice_and_every_state_is_left_and_reached() {
    for (index, (from, to, _)) in EDGES.iter().enumerate() {
        assert!(!EDGES[..index].iter().any(|(a, b, _)| (a, b) == (from, to)), "{from:?} -> {to:?}");
    }
    for phase in Phase::ALL {
        assert!(EDGES.iter().any(|(from, _, _)| *from == phase), "{phase:?} is never left");
        assert!(EDGES.iter().any(|(_, to, _)| *to == phase), "{phase:?} is never reached");
    }
}

/// Draws the states in Graphviz format.
pub(super) fn dot<P: Debug>(name: &str, phases: &[P], edges: &[(P, P, &str)]) -> String {
    let mut dot = format!("digraph {name} {{\n    node [shape=box, style=rounded];\n");
    for phase in phases {
        writeln!(dot, "    {phase:?};").unwrap();
    }
    for (from, to, cause) in edges {
        writeln!(dot, "    {from:?} -> {to:?} [label=\"{cause}\"];").unwrap();
    }
    dot + "}\n"
}

/// A matrix of states, with a cross for each edge from the row's state to the column's.
pub(super) fn table<P: Debug + PartialEq>(phases: &[P], edges: &[(P, P, &str)]) -> String {
    let mut table = format!("{:15}", "from \\ to");
    for to in phases {
        write!(table, " {:14}", format!("{to:?}")).unwrap();
    }
    for from in phases {
        write!(table, "\n{:15}", format!("{from:?}")).unwrap();
        for to in phases {
            let legal = edges.iter().any(|(a, b, _)| (a, b) == (from, to));
            write!(table, " {:14}", if legal { "x" } else { "." }).unwrap();
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

pub(super) fn assert_snapshot(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, text).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == text,
        "{path} differs from the code; if that is intended, run the test with UPDATE_SNAPSHOTS=1.\n\
         --- committed ---\n{committed}\n--- now ---\n{text}"
    );
}

#[test]
fn the_table_is_as_committed() {
    assert_snapshot("docs/states.dot", &dot("session", &Phase::ALL, EDGES));
    assert_snapshot("src/session/tests/states.snap", &table(&Phase::ALL, EDGES));
}
