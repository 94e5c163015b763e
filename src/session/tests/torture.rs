//! Each call of a successful run fails once, in every possible way.

use std::mem;

use super::call::{Call, Failing, Fault};
use super::harness::{Bench, Config};
use super::interactive::{hidden, typed};
use super::prepare::setup;
use super::script::{Channel, Cred, Packet, Peer, Script, Take, lost, private_key};
use crate::command::{RunOptions, SudoLogin, SudoMark};
use crate::error::AuthMethod;
use crate::link::{AuthReply, LinkErrorKind};
use crate::output::Outcome;
use crate::session::state::Phase;
use crate::session::{Input, Offer};
use crate::stage::Stage;

/// A run that makes every call of a link: two commands with input, one of them through a `sudo`
/// that asks for a password, a key that the server is asked about before it signs, a password
/// prompt after that, and closes on both sides.
fn bench(fault: Option<Fault>, attempts: u32) -> Bench {
    let replies = [
        (Cred::Probe(0), AuthReply::Accepted),
        (Cred::Sign(0), AuthReply::Partial),
        (Cred::Interactive, AuthReply::Accepted),
    ];
    let replies = replies.map(|(cred, reply)| (cred, Ok(reply))).to_vec();
    let offers = vec![vec![AuthMethod::KeyboardInteractive]];
    let rounds = vec![hidden("Password: ")];
    let sudo = SudoLogin::known();
    let [prompt, start] = [SudoMark::Prompt, SudoMark::Start].map(|mark| sudo.text(mark).into_bytes());
    let ours_first = vec![
        (2, Packet::Stdout(prompt)),
        (12, Packet::Stdout(start)),
        (18, Packet::Stdout(b"out".to_vec())),
        (20, Packet::Status(0)),
        (20, Packet::Eof),
    ];
    let takes = vec![Take::AtMost(2), Take::Nothing, Take::AtMost(2)];
    let channels = vec![
        Channel { takes, close_after: Some(1), ..Channel::sending(ours_first) },
        Channel { eof_after: Some(1), ..Channel::default() },
    ];
    let peer =
        Peer { replies, offers, rounds, channels, packets_per_pump: 2, full_rounds: 2, ..Peer::default() };
    let plan = vec![Offer::AskThenSign(private_key(0)), typed()];
    let mut bench = Bench::with(Config { plan, attempts, ..Config::default() }, Script::peer(peer));
    // The extra steps without news would make extra calls.
    bench.check_idle = false;
    bench.link.fault = fault;
    let options = RunOptions { setup: setup(), sudo: Some(sudo), ..RunOptions::default() };
    bench.command_with(options, b"input", true);
    bench.command_with_input(b"more", true);
    bench
}

#[test]
fn the_good_run_makes_every_call() {
    let mut bench = bench(None, 1);
    bench.run();
    assert!(bench.outcome(0).is_success() && bench.outcome(1).is_success());
    assert_eq!(bench.exec(0).stdout.unread(), b"out");
    bench.step(Input::Close);
    let mut kinds: Vec<_> = bench.link.calls.iter().map(mem::discriminant).collect();
    kinds.sort_by_key(|kind| format!("{kind:?}"));
    kinds.dedup();
    let all = [
        Call::Dial(super::harness::address(1)),
        Call::Dialled,
        Call::Start,
        Call::Pump,
        Call::HangUp,
        Call::Handshake,
        Call::ServerKey,
        Call::RequestAuth,
        Call::Authenticate(Cred::None),
        Call::Interact,
        Call::Answer(0),
        Call::Open(0),
        Call::Opened(0),
        Call::Request(0, String::new()),
        Call::Exec(0, String::new()),
        Call::Write(0, 0),
        Call::SendEof(0),
        Call::Close(0),
        Call::Free(0),
    ];
    for call in &all {
        assert!(kinds.contains(&mem::discriminant(call)), "{call:?} is never made");
    }
}

#[test]
fn whichever_call_fails_every_command_ends_once_and_nothing_hangs() {
    let calls = {
        let mut good = bench(None, 1);
        good.run();
        good.link.fallible
    };
    assert!(calls > 60, "the run makes only {calls} calls");
    for attempts in [1, 2] {
        for nth in 1..=calls {
            for with in WAYS {
                println!("call {nth} of {calls} fails with {with:?}, {attempts} attempts");
                fail_one(Fault { nth, with }, attempts);
            }
        }
    }
}

const WAYS: [Failing; 5] = [
    Failing::Pending,
    Failing::Error(LinkErrorKind::Lost),
    Failing::Error(LinkErrorKind::Protocol),
    Failing::Error(LinkErrorKind::Limit),
    Failing::Error(LinkErrorKind::Other),
];

/// Signals an endless command in every round, and cancels it after this many rounds.
fn cancelled(fault: Option<Fault>, round: usize) -> Bench {
    let channel = Channel { eof_after: Some(1), close_after: Some(1), ..Channel::sending(vec![]) };
    let mut bench = Bench::with(Config { attempts: 1, ..Config::default() }, Script::channel(channel));
    bench.check_idle = false;
    bench.link.fault = fault;
    bench.command_with(RunOptions { setup: setup(), ..RunOptions::default() }, b"", false);
    for _ in 0..round {
        if bench.exec(0).is_running() {
            bench.signal(0);
        }
        bench.round_but_timers();
    }
    if !bench.exec(0).is_finished() {
        bench.cancel(0);
    }
    bench.run();
    bench
}

#[test]
fn whichever_call_fails_a_cancelled_command_is_over_soon() {
    let (rounds, calls) = {
        let mut good = cancelled(None, 0);
        let mut rounds = 0;
        while good.calls(|call| matches!(call, Call::Signal(..))).len() < 2 {
            rounds += 1;
            good = cancelled(None, rounds);
        }
        (rounds + 1, good.link.fallible)
    };
    assert!(rounds > 10 && calls > 40, "{rounds} rounds, {calls} calls");
    for round in 0..=rounds {
        for nth in 1..=calls {
            for with in WAYS {
                println!("cancelled in round {round}, call {nth} of {calls} fails with {with:?}");
                let bench = cancelled(Some(Fault { nth, with }), round);
                assert!(bench.all_ended());
                assert!(matches!(bench.outcome(0), Outcome::Failed(_)), "{}", bench.outcome(0));
                let unanswered = bench.link.unanswered_channels();
                assert!(unanswered == 0 || with == Failing::Pending, "{unanswered} are unanswered");
                assert_eq!((bench.deadline(), bench.link.open_channels()), (None, unanswered));
            }
        }
    }
}

fn fail_one(fault: Fault, attempts: u32) {
    let mut bench = bench(Some(fault), attempts);
    bench.run();
    if !bench.all_ended() {
        // Only a running command may wait forever, because its peer has gone silent and it has no
        // time limit.
        assert_eq!(fault.with, Failing::Pending);
        assert_eq!(bench.phase(), Phase::Ready);
        assert!((0..2).any(|number| bench.exec(number).stage() == Stage::Running));
        bench.link.fail_next(lost());
        bench.run();
    }
    assert!(bench.all_ended());
    if attempts == 1 && matches!(fault.with, Failing::Error(_)) {
        let told = (0..2).filter(|number| matches!(bench.outcome(*number), Outcome::Exited(_))).count();
        let ended = matches!(bench.phase(), Phase::Closed | Phase::Failed);
        // The running command was cut off, and the one that waited behind it gets a new connection.
        let replaced = bench.dials() == 2 && told == 1;
        assert!(ended || told == 2 || replaced, "{:?} despite an unreported outcome", bench.phase());
    }
    if bench.phase() == Phase::Ready {
        bench.step(Input::Close);
    }
    assert!(matches!(bench.phase(), Phase::Closed | Phase::Failed), "{:?}", bench.phase());
    assert_eq!((bench.deadline(), bench.link.open_channels()), (None, 0));
}
