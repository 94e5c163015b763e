//! The channel that is opened before a command needs it.

use super::call::Call;
use super::harness::{Bench, Config};
use super::prepare::setup;
use super::script::{Answer, Channel, Packet, Peer, Script, lost};
use crate::command::RunOptions;
use crate::error::{ChannelProblem, HostErrorKind};
use crate::limits::UNANSWERED_CHANNELS;
use crate::link::LinkErrorKind;
use crate::output::stdin::Input;
use crate::session;
use crate::session::state::Phase;
use crate::stage::Stage;

fn bench(channels: Vec<Channel>) -> Bench {
    with(Config::default(), channels)
}

fn with(config: Config, channels: Vec<Channel>) -> Bench {
    let config = Config { spare_channel: true, ..config };
    Bench::with(config, Script::peer(Peer { channels, ..Peer::default() }))
}

fn endless() -> Channel {
    Channel::sending(Vec::new())
}

fn refused() -> Channel {
    Channel { open: Answer::error(1, LinkErrorKind::Denied), ..Channel::default() }
}

/// How many channels were requested.
fn opens(bench: &Bench) -> usize {
    bench.calls(|call| matches!(call, Call::Open(_))).len()
}

fn connected(mut bench: Bench) -> Bench {
    bench.connect();
    bench.run();
    assert_eq!(bench.phase(), Phase::Ready);
    bench
}

/// How many rounds pass until the server has accepted the next command.
fn rounds_to_start(bench: &mut Bench) -> usize {
    let number = bench.command();
    let mut rounds = 0;
    while !bench.exec(number).is_settled() {
        assert!(bench.round());
        rounds += 1;
    }
    bench.run();
    assert!(bench.outcome(number).is_success());
    rounds
}

#[test]
fn a_command_on_the_spare_channel_saves_a_round_trip() {
    let mut plain = connected(Bench::new(Script::default()));
    let mut bench = connected(bench(vec![Channel::default()]));
    assert_eq!(opens(&bench), 1);
    for number in 1..4 {
        assert_eq!(rounds_to_start(&mut bench) + 1, rounds_to_start(&mut plain));
        // The next one is ready.
        assert_eq!((opens(&bench), bench.link.open_channels()), (number + 1, 1));
    }
    let execs = bench.calls(|call| matches!(call, Call::Exec(..)));
    assert!(matches!(execs[0], Call::Exec(0, _)), "{execs:?}");
}

#[test]
fn a_spare_channel_is_not_a_command() {
    let mut bench = connected(bench(vec![Channel::default()]));
    let view = bench.view();
    assert!(view.is_idle && !view.uses_place && view.deadline.is_none(), "{view:?}");
    assert_eq!((view.running, view.waiting, bench.link.open_channels()), (0, 0, 1));
    bench.step(session::Input::Close);
    assert_eq!((bench.phase(), bench.link.open_channels()), (Phase::Closed, 0));
    // It belongs to its connection.
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!((bench.dials(), bench.link.open_channels()), (2, 1));
    bench.link.fail_next(lost());
    bench.run();
    assert_eq!(bench.phase(), Phase::Closed);
}

#[test]
fn it_serves_terminals_variables_and_forwarded_agents() {
    let config = Config { forward_agent: true, ..Config::default() };
    let mut bench = connected(with(config, vec![Channel::default()]));
    bench.command_with(RunOptions { setup: setup(), ..RunOptions::default() }, b"input", true);
    bench.run();
    assert!(bench.outcome(0).is_success());
    let on_first = |call: &Call| matches!(call, Call::Request(0, _) | Call::Exec(0, _) | Call::Write(0, _));
    let mut calls = bench.calls(on_first);
    calls.dedup();
    assert_eq!(calls.len(), 6, "{calls:?}");
}

#[test]
fn none_is_opened_while_a_command_waits_for_a_channel() {
    let mut bench = connected(bench(vec![endless()]));
    for _ in 0..3 {
        bench.command();
    }
    let mut most_waiting = 0;
    while bench.round_but_timers() {
        let waiting = (0..3).filter(|number| bench.exec(*number).is_waiting()).count();
        most_waiting = most_waiting.max(waiting);
        assert!(waiting == 0 || opens(&bench) <= 3, "a channel that no command has asked for");
    }
    assert!(most_waiting > 0);
    assert!((0..3).all(|number| bench.exec(number).is_running()));
    assert_eq!((opens(&bench), bench.link.open_channels()), (4, 4));
}

#[test]
fn a_place_that_becomes_free_is_left_to_the_command_that_waits_for_it() {
    let mut bench = bench(vec![endless(), refused(), refused(), Channel::default()]);
    bench.command();
    bench.run();
    bench.command_with(RunOptions { wait_for_channel: true, ..RunOptions::default() }, b"", false);
    while bench.round_but_timers() {}
    assert_eq!((bench.exec(1).is_blocked(), opens(&bench)), (true, 3));
    for packet in [Packet::Status(0), Packet::Eof, Packet::Close] {
        bench.link.arrive(0, packet);
    }
    bench.run_until(|bench| bench.exec(0).is_finished());
    assert_eq!((bench.exec(1).is_waiting(), opens(&bench)), (true, 3));
    bench.run();
    assert!(bench.outcome(1).is_success());
    assert_eq!((opens(&bench), bench.link.open_channels()), (5, 1));
}

#[test]
fn a_command_takes_over_the_channel_that_is_being_opened() {
    let slow = Channel { open: Answer::ok(5), ..Channel::default() };
    let mut bench = bench(vec![slow, endless()]);
    bench.connect();
    bench.run_until(|bench| opens(bench) == 1);
    bench.round();
    let number = bench.command();
    bench.run_until(|bench| bench.exec(number).stage() == Stage::Opening);
    assert_eq!(opens(&bench), 1);
    bench.run();
    assert!(bench.outcome(number).is_success());
    let execs = bench.calls(|call| matches!(call, Call::Exec(..)));
    assert!(matches!(execs[0], Call::Exec(0, _)), "{execs:?}");
}

#[test]
fn a_refusal_is_silent_and_not_repeated_until_a_channel_has_closed() {
    let mut bench = bench(vec![endless(), refused(), Channel::default()]);
    bench.command();
    bench.run();
    assert_eq!((opens(&bench), bench.link.open_channels()), (2, 1));
    for _ in 0..3 {
        bench.link.arrive(0, Packet::Stdout(b"more".to_vec()));
        bench.run();
    }
    assert_eq!((opens(&bench), bench.dials()), (2, 1));
    for packet in [Packet::Status(0), Packet::Eof, Packet::Close] {
        bench.link.arrive(0, packet);
    }
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!((opens(&bench), bench.link.open_channels()), (3, 1));
}

/// A server with room for one channel may still count the one that has just closed.
#[test]
fn a_refusal_right_after_a_close_is_repeated_once() {
    let mut bench = bench(vec![endless(), refused(), refused(), Channel::default()]);
    bench.command();
    bench.run();
    for packet in [Packet::Status(0), Packet::Eof, Packet::Close] {
        bench.link.arrive(0, packet);
    }
    bench.run();
    assert_eq!((opens(&bench), bench.link.open_channels()), (4, 1));
}

/// Whether the command takes over the refused channel or asks for one, the server had none.
#[test]
fn a_command_that_takes_over_a_refused_channel_fails_or_waits_as_without_it() {
    for wait_for_channel in [false, true] {
        let mut slow = refused();
        slow.open.after = Some(4);
        let mut bench = bench(vec![endless(), slow, Channel::default()]);
        bench.command();
        bench.run_until(|bench| opens(bench) == 2);
        bench.round();
        bench.command_with(RunOptions { wait_for_channel, ..RunOptions::default() }, b"", false);
        while bench.round_but_timers() {}
        assert_eq!(opens(&bench), 2);
        if wait_for_channel {
            for packet in [Packet::Status(0), Packet::Eof, Packet::Close] {
                bench.link.arrive(0, packet);
            }
            bench.run();
            assert!(bench.outcome(1).is_success(), "{}", bench.outcome(1));
        } else {
            let kind = bench.error(1).kind();
            assert!(matches!(kind, HostErrorKind::Channel(ChannelProblem::OpenRefused(_))), "{kind}");
        }
    }
}

#[test]
fn a_channel_that_the_server_closes_is_dropped_silently_and_not_replaced() {
    for packet in [Packet::Close, Packet::Eof, Packet::Stdout(b"unasked".to_vec())] {
        let mut bench = connected(bench(vec![Channel::default()]));
        bench.link.arrive(0, packet);
        bench.run();
        assert_eq!((bench.phase(), opens(&bench), bench.link.open_channels()), (Phase::Ready, 1, 0));
        bench.command();
        bench.run();
        assert!(bench.outcome(0).is_success());
        assert_eq!(bench.exec(0).stdout.unread(), b"out\n");
        assert_eq!((opens(&bench), bench.link.open_channels()), (3, 1));
    }
}

#[test]
fn data_on_a_channel_that_is_not_open_ends_the_connection() {
    let mut bench = bench(vec![Channel { open: Answer::never(), ..Channel::default() }]);
    bench.connect();
    bench.run();
    assert_eq!((bench.phase(), opens(&bench)), (Phase::Ready, 1));
    bench.link.arrive(0, Packet::Stdout(b"unasked".to_vec()));
    bench.run();
    assert_eq!(bench.phase(), Phase::Closed);
}

#[test]
fn a_command_that_is_cancelled_on_the_channel_leaves_nothing_behind() {
    let slow = Channel { open: Answer::ok(5), ..Channel::default() };
    let mut bench = bench(vec![slow, Channel::default()]);
    bench.connect();
    bench.run_until(|bench| opens(bench) == 1);
    bench.round();
    let number = bench.command();
    bench.run_until(|bench| bench.exec(number).stage() == Stage::Opening);
    bench.cancel(number);
    assert!(matches!(bench.error(number).kind(), HostErrorKind::Cancelled(_)), "it waits for no answer");
    bench.round();
    assert_eq!(opens(&bench), 1, "another spare channel before the server has answered");
    bench.run();
    assert_eq!((opens(&bench), bench.link.open_channels()), (2, 1));
}

/// A connection whose server opens channels after this many rounds, without a spare channel, and
/// commands that were cancelled before. Only those with an odd number take input.
fn cancelled(after: u32, commands: usize) -> Bench {
    let late = Channel { open: Answer::ok(after), ..Channel::default() };
    let mut bench = connected(Bench::new(Script::channel(late)));
    for number in 0..commands {
        let input = if number % 2 == 0 { Input::Empty } else { Input::Open };
        bench.command_with(RunOptions { input, ..RunOptions::default() }, b"", true);
        bench.run_until(|bench| bench.exec(number).stage() == Stage::Opening);
        bench.cancel(number);
        assert!(matches!(bench.error(number).kind(), HostErrorKind::Cancelled(_)), "it waits for no answer");
    }
    bench
}

/// Otherwise the server would count it until the end of the connection.
#[test]
fn a_channel_that_is_opened_after_its_command_has_ended_is_closed() {
    let mut bench = cancelled(100, 3);
    let view = bench.view();
    assert!(view.is_idle && !view.uses_place && view.deadline.is_none(), "{view:?}");
    assert_eq!((opens(&bench), bench.link.unanswered_channels()), (3, 3));
    while bench.round_but_timers() {}
    assert_eq!((bench.link.open_channels(), bench.dials()), (0, 1));
    bench.command();
    bench.run();
    assert!(bench.outcome(3).is_success());
}

#[test]
fn a_server_without_answers_gets_a_limited_number_of_requests() {
    // Half of them cannot be written to.
    let mut bench = cancelled(10_000, 100);
    assert_eq!((opens(&bench), bench.link.unanswered_channels()), (UNANSWERED_CHANNELS, UNANSWERED_CHANNELS));
    let number = bench.command_with_input(b"input", true);
    while bench.round_but_timers() {}
    bench.run();
    assert!(bench.outcome(number).is_success(), "{}", bench.outcome(number));
    assert_eq!((opens(&bench), bench.link.open_channels(), bench.dials()), (UNANSWERED_CHANNELS, 0, 1));
}

/// The size of packets is known only of a channel that was meant for input.
#[test]
fn input_is_written_to_a_channel_that_was_requested_for_it() {
    let late = Channel { open: Answer::ok(10_000), ..Channel::default() };
    let mut bench = connected(Bench::new(Script::channel(late)));
    for number in 0..20 {
        bench.command_with(RunOptions { input: Input::Empty, ..RunOptions::default() }, b"", true);
        bench.run_until(|bench| bench.exec(number).stage() == Stage::Opening);
        bench.cancel(number);
    }
    assert_eq!(opens(&bench), UNANSWERED_CHANNELS);
    let number = bench.command_with_input(b"input", true);
    bench.run_until(|bench| bench.exec(number).stage() == Stage::Opening);
    assert_eq!(opens(&bench), UNANSWERED_CHANNELS + 1);
    bench.cancel(number);
    let number = bench.command_with_input(b"input", true);
    while bench.round_but_timers() {}
    bench.run();
    assert!(bench.outcome(number).is_success(), "{}", bench.outcome(number));
    assert_eq!((opens(&bench), bench.link.open_channels()), (UNANSWERED_CHANNELS + 1, 0));
}

/// The server may still count it when it refuses the next one.
#[test]
fn a_refusal_right_after_such_a_channel_was_closed_is_not_final() {
    let late = Channel { open: Answer::ok(5), ..Channel::default() };
    let peer = Peer { channels: vec![late, refused(), Channel::default()], ..Peer::default() };
    let mut bench = connected(Bench::new(Script::peer(peer)));
    bench.command();
    bench.run_until(|bench| bench.exec(0).stage() == Stage::Opening);
    bench.cancel(0);
    bench.run();
    bench.command();
    bench.run();
    assert!(bench.outcome(1).is_success(), "{}", bench.outcome(1));
    assert_eq!((opens(&bench), bench.link.open_channels()), (3, 0));
}
