//! Commands without input, and commands whose input is given in advance.

use std::sync::Arc;

use super::call::Call;
use super::harness::{Bench, Config};
use super::script::{Answer, Channel, Packet, Peer, Script, Take, lost};
use crate::command::{RunOptions, Signal, SudoLogin};
use crate::error::{ChannelProblem, HostErrorKind};
use crate::limits;
use crate::output::stdin::Input;
use crate::session::CommandNews;

fn options(input: impl Into<Input>) -> RunOptions {
    RunOptions { input: input.into(), ..RunOptions::default() }
}

fn with_input(input: impl Into<Input>, channel: Channel) -> Bench {
    let mut bench = Bench::new(Script::channel(channel));
    bench.command_with(options(input), b"", false);
    bench
}

/// The calls that send input or end a command, in order, without repeats.
fn calls(bench: &Bench) -> Vec<&Call> {
    let wanted = |call: &Call| {
        matches!(
            call,
            Call::Exec(..)
                | Call::Write(..)
                | Call::SendEof(_)
                | Call::Signal(..)
                | Call::Close(_)
                | Call::Free(_)
        )
    };
    let mut calls = bench.calls(wanted);
    calls.dedup();
    calls
}

fn exec() -> Call {
    Call::Exec(0, "command 0".to_owned())
}

#[test]
fn empty_input_ends_in_the_step_in_which_the_command_is_accepted() {
    for input in [Input::Empty, "".into()] {
        let mut bench = with_input(input, Channel::sending(vec![]));
        bench.run_until(|bench| bench.exec(0).is_settled());
        assert_eq!(calls(&bench), [&exec(), &Call::SendEof(0)]);
        assert!(bench.exec(0).is_running() && bench.exec(0).stdin.has_ended());
        for packet in [Packet::Status(0), Packet::Eof, Packet::Close] {
            bench.link.arrive(0, packet);
        }
        bench.run();
        assert!(bench.outcome(0).is_success());
        assert_eq!(calls(&bench), [&exec(), &Call::SendEof(0), &Call::Close(0), &Call::Free(0)]);
    }
}

/// No EOF is sent to a command that has ended already: its channel is closed, which includes that.
#[test]
fn a_command_that_ended_with_its_acceptance_gets_only_the_close() {
    let output = vec![(1, Packet::Status(0)), (1, Packet::Eof), (1, Packet::Close)];
    let mut bench = with_input(Input::Empty, Channel::sending(output));
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(calls(&bench), [&exec(), &Call::Close(0), &Call::Free(0)]);
}

#[test]
fn given_input_is_sent_as_the_peer_accepts_it_and_eof_follows() {
    let takes = vec![Take::AtMost(3), Take::Nothing, Take::AtMost(1), Take::Nothing, Take::AtMost(2)];
    let mut bench = with_input("one two three", Channel { takes, ..Channel::sending(vec![]) });
    let id = bench.commands[0];
    bench.run();
    assert_eq!(bench.link.received(0), b"one two three");
    assert_eq!(*calls(&bench).last().unwrap(), &Call::SendEof(0));
    assert_eq!(bench.exec(0).unsent(), 0);
    // The caller has no part in it.
    assert!(bench.execs.get_mut(id).unwrap().write_stdin(b"more").is_err());
    assert!(!bench.execs.get_mut(id).unwrap().close_stdin());
    assert_eq!(bench.news, [(id, CommandNews::Started)], "no room is reported");
}

/// More than the queue of a caller's input holds.
#[test]
fn given_input_per_visit_is_limited() {
    let bytes: Arc<[u8]> = vec![b'x'; limits::STDIN_QUEUE + 1].into();
    let mut bench = with_input(bytes.clone(), Channel::sending(vec![]));
    bench.check_idle = false;
    let mut left = bench.exec(0).unsent();
    assert_eq!(left, bytes.len());
    while left > 0 {
        assert!(bench.round());
        let now = bench.exec(0).unsent();
        assert!(left - now <= limits::INPUT_PER_VISIT);
        left = now;
    }
    bench.run();
    assert_eq!(bench.link.received(0).len(), bytes.len());
    assert_eq!(*calls(&bench).last().unwrap(), &Call::SendEof(0));
}

#[test]
fn refused_given_input_does_not_end_the_command() {
    let takes = vec![Take::AtMost(2), Take::Denied];
    let mut bench = with_input("input", Channel { takes, ..Channel::default() });
    bench.run();
    assert!(bench.outcome(0).is_success(), "{}", bench.outcome(0));
    assert!(!calls(&bench).contains(&&Call::SendEof(0)));

    let mut bench = with_input("input", Channel { takes: vec![Take::Unwritable], ..Channel::default() });
    bench.run();
    let HostErrorKind::Channel(ChannelProblem::Unwritable) = bench.error(0).kind() else { panic!() };
}

/// Input that has not begun to be sent survives a connection that is lost before the command.
#[test]
fn given_input_is_sent_whole_on_the_next_connection() {
    let lossy = Channel {
        exec: Answer::never(),
        open: Answer { after: Some(1), says: Err(lost()) },
        ..Channel::default()
    };
    let peers =
        [lossy, Channel::sending(vec![])].map(|channel| Peer { channels: vec![channel], ..Peer::default() });
    let mut bench = Bench::new(Script::peers(peers.into()));
    bench.command_with(options("all of it"), b"", false);
    bench.run();
    assert_eq!((bench.dials(), bench.link.received(1)), (2, &b"all of it"[..]));
}

#[test]
fn a_cancelled_command_gets_no_second_eof_and_no_more_input() {
    let mut bench = with_input(Input::Empty, Channel::sending(vec![]));
    bench.run_until(|bench| bench.exec(0).is_running());
    bench.cancel(0);
    bench.run();
    let term = Call::Signal(0, Signal::Term);
    assert_eq!(calls(&bench), [&exec(), &Call::SendEof(0), &term, &Call::Close(0), &Call::Free(0)]);

    let takes = vec![Take::AtMost(2), Take::Nothing];
    let mut bench = with_input("input", Channel { takes, ..Channel::sending(vec![]) });
    bench.run_until(|bench| bench.exec(0).unsent() == 3);
    bench.cancel(0);
    bench.run();
    assert_eq!(bench.exec(0).unsent(), 0);
    let after: Vec<_> = calls(&bench).into_iter().skip_while(|call| **call != term).collect();
    assert_eq!(after, [&term, &Call::SendEof(0), &Call::Close(0), &Call::Free(0)]);
}

/// A channel costs less to open if nothing will be written to it.
#[test]
fn channels_are_opened_to_be_written_to_only_if_they_may_be() {
    let writable = |options: RunOptions, spare_channel: bool| {
        let config = Config { spare_channel, ..Config::default() };
        let mut bench = Bench::with(config, Script::channel(Channel::sending(vec![])));
        if spare_channel {
            bench.connect();
            bench.run();
        }
        bench.command_with(options, b"", false);
        bench.run_until(|bench| bench.exec(0).is_running());
        bench.link.is_writable(0)
    };
    let with_password = |input| RunOptions { sudo: Some(SudoLogin::known()), ..options(input) };
    assert!(!writable(options(Input::Empty), false));
    assert!(!writable(options(""), false));
    assert!(writable(options(Input::Open), false));
    assert!(writable(options("x"), false));
    assert!(writable(with_password(Input::Empty), false), "the password is written");
    assert!(writable(options(Input::Empty), true), "a spare channel serves any command");
}
