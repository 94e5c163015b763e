//! Commands: their channels, their streams and how they end.

use super::call::Call;
use super::harness::{Bench, EXEC};
use super::script::{Answer, Channel, Packet, Peer, Script, Take, lost};
use crate::command::{OutputOptions, Program, RunOptions};
use crate::error::{ChannelProblem, HostErrorKind};
use crate::ids::StdStream;
use crate::limits;
use crate::link::{Cork, LinkErrorKind};
use crate::output::{Deliver, ExitSignal, Outcome};
use crate::session::state::Phase;
use crate::session::{CommandNews, Input};
use crate::stage::{Stage, TimeoutKind};

fn stdout(text: &str) -> Packet {
    Packet::Stdout(text.as_bytes().to_vec())
}

fn run(channel: Channel) -> Bench {
    let mut bench = Bench::new(Script::channel(channel));
    bench.command();
    bench.run();
    bench
}

fn end_of(output: Vec<(u32, Packet)>) -> String {
    run(Channel::sending(output)).outcome(0).to_string()
}

fn term() -> Packet {
    Packet::Signal(ExitSignal { name: "TERM".to_owned(), core_dumped: false, message: String::new() })
}

#[test]
fn output_and_status_arrive_and_the_connection_stays() {
    let bench = run(Channel::default());
    assert_eq!(bench.exec(0).stdout.unread(), b"out\n");
    assert_eq!(bench.exec(0).stderr.unread(), b"err\n");
    assert_eq!(bench.outcome(0).to_string(), "exit status 0");
    assert!(bench.view().is_idle);
    assert_eq!(bench.calls(|call| *call == Call::Free(0)).len(), 1);
}

#[test]
fn the_outcome_is_what_the_server_reported() {
    assert_eq!(end_of(vec![(2, Packet::Status(255)), (2, Packet::Eof)]), "exit status 255");
    assert_eq!(end_of(vec![(2, Packet::Eof), (4, Packet::Status(7))]), "exit status 7");
    assert_eq!(end_of(vec![(2, Packet::Status(u32::MAX)), (4, Packet::Close)]), "exit status 4294967295");
    assert_eq!(end_of(vec![(2, Packet::Close)]), "ended without an exit status");
    assert_eq!(end_of(vec![(2, Packet::Eof), (4, Packet::Close)]), "ended without an exit status");
    assert_eq!(end_of(vec![(2, term()), (3, Packet::Close)]), "killed by signal TERM");
    assert_eq!(end_of(vec![(2, Packet::Eof), (3, term())]), "killed by signal TERM");
}

#[test]
fn only_the_first_report_of_the_end_counts_whenever_the_second_arrives() {
    for second in [2, 3] {
        let end_of = |first, then| end_of(vec![(2, first), (second, then), (second, Packet::Close)]);
        assert_eq!(end_of(Packet::Status(3), Packet::Status(4)), "exit status 3", "{second}");
        assert_eq!(end_of(Packet::Status(3), term()), "exit status 3", "{second}");
        assert_eq!(end_of(term(), Packet::Status(3)), "killed by signal TERM", "{second}");
    }
}

#[test]
fn neither_eof_nor_status_alone_ends_a_command() {
    for packet in [Packet::Eof, Packet::Status(0), term(), stdout("x")] {
        let mut bench = run(Channel::sending(vec![(2, packet)]));
        assert_eq!(bench.exec(0).stage(), Stage::Running);
        bench.link.arrive(0, Packet::Close);
        bench.run();
        assert!(bench.all_ended());
    }
}

#[test]
fn a_lost_connection_fails_a_command_unless_its_end_was_reported() {
    let bench = run(Channel::sending(vec![(2, Packet::Eof), (3, Packet::Fault(lost()))]));
    assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)));
    assert_eq!(bench.error(0).stage(), Stage::Running);
    let told = vec![(2, Packet::Status(5)), (2, Packet::Eof), (2, Packet::Fault(lost()))];
    assert_eq!(end_of(told), "exit status 5");
    let unconfirmed = Channel {
        output: vec![(2, Packet::Status(6)), (2, Packet::Eof), (4, Packet::Fault(lost()))],
        confirm_after: None,
        ..Channel::default()
    };
    assert_eq!(run(unconfirmed).outcome(0).to_string(), "exit status 6");
}

#[test]
fn output_that_came_with_the_failure_is_kept() {
    let output = vec![(2, stdout("last words")), (2, Packet::Fault(lost()))];
    let bench = run(Channel::sending(output));
    assert_eq!(bench.exec(0).stdout.unread(), b"last words");
}

#[test]
fn output_that_came_with_acceptance_and_failure_is_kept() {
    let output = vec![(1, stdout("all at once")), (1, Packet::Fault(lost()))];
    let bench = run(Channel::sending(output.clone()));
    assert_eq!(bench.exec(0).stdout.unread(), b"all at once");
    assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)));
    let mut whole = output;
    whole.splice(1..1, [(1, Packet::Status(0)), (1, Packet::Eof)]);
    let bench = run(Channel::sending(whole));
    assert!(bench.outcome(0).is_success(), "{}", bench.outcome(0));
    assert_eq!(bench.dials(), 1);
}

/// A server may still count a channel that we have just closed. sshd does so if CLOSE and the next
/// OPEN arrive together.
#[test]
fn a_channel_refused_right_after_a_close_is_requested_once_more() {
    let refused = || Channel { open: Answer::error(1, LinkErrorKind::Denied), ..Channel::default() };
    let run = |channels: Vec<Channel>| {
        let mut bench = Bench::new(Script::peer(Peer { channels, ..Peer::default() }));
        bench.command();
        bench.run();
        bench.command();
        bench.run();
        assert!(bench.outcome(0).is_success());
        bench
    };
    let bench = run(vec![Channel::default(), refused(), Channel::default()]);
    assert!(bench.outcome(1).is_success(), "{}", bench.outcome(1));
    assert_eq!(bench.dials(), 1);
    let bench = run(vec![Channel::default(), refused(), refused(), Channel::default()]);
    let HostErrorKind::Channel(ChannelProblem::OpenRefused(_)) = bench.error(1).kind() else { panic!() };
}

#[test]
fn a_refused_channel_ends_its_command_alone() {
    let refused = Channel { open: Answer::error(1, LinkErrorKind::Denied), ..Channel::default() };
    let peer = Peer { channels: vec![refused, Channel::default()], ..Peer::default() };
    let mut bench = Bench::new(Script::peer(peer));
    bench.command();
    bench.command();
    bench.run();
    let HostErrorKind::Channel(ChannelProblem::OpenRefused(_)) = bench.error(0).kind() else { panic!() };
    assert_eq!(bench.error(0).stage(), Stage::Opening);
    assert!(bench.outcome(1).is_success());
}

#[test]
fn a_refused_command_ends_alone() {
    let denied = Channel { exec: Answer::error(1, LinkErrorKind::Denied), ..Channel::default() };
    let closed = Channel { exec: Answer::never(), output: vec![(1, Packet::Close)], ..Channel::default() };
    for refused in [denied, closed] {
        let peer = Peer { channels: vec![refused, Channel::default()], ..Peer::default() };
        let mut bench = Bench::new(Script::peer(peer));
        bench.command();
        bench.command();
        bench.run();
        let HostErrorKind::Channel(ChannelProblem::ExecRefused(_)) = bench.error(0).kind() else { panic!() };
        assert_eq!(bench.error(0).stage(), Stage::Requesting);
        assert!(bench.outcome(1).is_success());
    }
}

/// The error names what was refused.
#[test]
fn a_refused_shell_or_subsystem_ends_alone() {
    let denied = Channel { exec: Answer::error(1, LinkErrorKind::Denied), ..Channel::default() };
    let closed = Channel { exec: Answer::never(), output: vec![(1, Packet::Close)], ..Channel::default() };
    for (program, expected) in [
        (Program::Shell, "the server refused a shell: "),
        (Program::Subsystem, "the server refused the subsystem \"command 0\": "),
    ] {
        for (refused, reason) in
            [(&denied, "Denied; "), (&closed, "it closed the channel instead of answering; ")]
        {
            let peer = Peer { channels: vec![refused.clone(), Channel::default()], ..Peer::default() };
            let mut bench = Bench::new(Script::peer(peer));
            bench.program = program;
            bench.command();
            bench.command();
            bench.run();
            let text = bench.error(0).kind().to_string();
            assert!(text.starts_with(&format!("{expected}{reason}")), "{text}");
            assert_eq!(bench.error(0).stage(), Stage::Requesting);
            assert!(bench.outcome(1).is_success());
        }
    }
}

#[test]
fn output_or_a_status_before_the_close_shows_that_it_ran() {
    for (packet, end) in [(stdout("x"), "ended without an exit status"), (Packet::Status(3), "exit status 3")]
    {
        let output = vec![(1, packet), (1, Packet::Close)];
        let bench = run(Channel { exec: Answer::never(), output, ..Channel::default() });
        assert_eq!(bench.outcome(0).to_string(), end);
    }
}

#[test]
fn endless_output_before_acceptance_is_a_protocol_error() {
    let flood = vec![(1, Packet::Stdout(vec![b'y'; limits::EARLY_OUTPUT + 1]))];
    let mut bench =
        Bench::new(Script::channel(Channel { exec: Answer::never(), output: flood, ..Channel::default() }));
    bench.check_idle = false;
    bench.command();
    bench.run();
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Protocol(_)), "{}", bench.error(0));
}

#[test]
fn several_commands_run_at_once_and_channels_are_opened_one_at_a_time() {
    let slow = Channel { open: Answer::ok(4), ..Channel::sending(vec![]) };
    let mut bench = Bench::new(Script::channel(slow));
    (0..4).for_each(|_| _ = bench.command());
    bench.run();
    for number in 0..4 {
        assert_eq!(bench.exec(number).stage(), Stage::Running);
    }
    let steps = bench.calls(|call| matches!(call, Call::Open(_) | Call::Exec(..)));
    for (number, pair) in steps.iter().filter(|call| matches!(call, Call::Open(_))).zip(0..) {
        assert_eq!(**number, Call::Open(pair));
    }
    assert_eq!((bench.dials(), bench.link.open_channels()), (1, 4));
    (0..4).for_each(|channel| bench.link.arrive(channel, Packet::Close));
    bench.run();
    assert!(bench.all_ended());
}

#[test]
fn a_command_of_a_ready_session_waits_for_a_place() {
    let mut bench = run(Channel::sending(vec![]));
    assert!(!bench.uses_place() && !bench.wants_place());
    bench.command();
    bench.step(Input::Wake);
    assert!(bench.wants_place(), "it began without being admitted");
    assert_eq!(bench.calls(|call| matches!(call, Call::Open(_))).len(), 1);
    bench.step(Input::Admitted { commands: usize::MAX });
    assert!(bench.uses_place() && !bench.wants_place());
    bench.run();
    assert!(!bench.uses_place(), "a command that was accepted still uses a place");
    assert_eq!(bench.exec(1).stage(), Stage::Running);
}

#[test]
fn input_is_sent_as_the_peer_accepts_it_and_eof_follows() {
    let takes = vec![Take::AtMost(3), Take::Nothing, Take::AtMost(1), Take::Nothing, Take::AtMost(2)];
    let mut bench =
        Bench::new(Script::channel(Channel { takes, eof_after: Some(2), ..Channel::sending(vec![]) }));
    let input = b"one two three four";
    bench.command_with_input(input, true);
    bench.run();
    assert_eq!(bench.link.received(0), input);
    let last_write = bench.link.calls.iter().rposition(|call| matches!(call, Call::Write(..))).unwrap();
    let eof = bench.link.calls.iter().position(|call| matches!(call, Call::SendEof(_))).unwrap();
    assert!(last_write < eof);
    bench.link.arrive(0, Packet::Close);
    bench.run();
    assert!(bench.all_ended());
}

#[test]
fn input_per_visit_is_limited() {
    let mut bench = Bench::new(Script::channel(Channel::sending(vec![])));
    bench.check_idle = false;
    let input = vec![b'x'; 3 * limits::INPUT_PER_VISIT + 1];
    bench.command_with_input(&input, true);
    let mut left = bench.exec(0).stdin.len();
    while left > 0 {
        assert!(bench.round());
        let now = bench.exec(0).stdin.len();
        assert!(left - now <= limits::INPUT_PER_VISIT);
        left = now;
    }
    bench.run();
    assert_eq!(bench.link.received(0).len(), input.len());
}

#[test]
fn a_channel_without_packet_size_gets_no_second_write() {
    let takes = vec![Take::Unwritable];
    let mut bench = Bench::new(Script::channel(Channel { takes, ..Channel::sending(vec![]) }));
    bench.command_with_input(b"input", true);
    bench.run();
    let HostErrorKind::Channel(ChannelProblem::Unwritable) = bench.error(0).kind() else { panic!() };
    assert_eq!(bench.calls(|call| matches!(call, Call::Write(..))).len(), 1);
    assert_eq!(bench.phase(), Phase::Ready);
}

#[test]
fn refused_input_does_not_end_the_command() {
    let channel = Channel { takes: vec![Take::AtMost(2), Take::Denied], ..Channel::default() };
    let mut bench = Bench::new(Script::channel(channel));
    bench.command_with_input(b"input", true);
    bench.run();
    assert!(bench.outcome(0).is_success(), "{}", bench.outcome(0));
    assert!(bench.calls(|call| matches!(call, Call::SendEof(_))).is_empty());
}

#[test]
fn a_close_that_cannot_be_sent_at_once_is_sent_later() {
    let output = vec![(2, Packet::Status(0)), (2, Packet::Eof)];
    let bench = run(Channel { output, close_after: Some(6), ..Channel::default() });
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.calls(|call| *call == Call::Free(0)).len(), 1);
}

#[test]
fn a_released_command_leaves_nothing_and_its_output_is_dropped() {
    let mut bench = run(Channel::sending(vec![(2, stdout("kept")), (3, stdout(" until released"))]));
    let id = bench.commands.remove(0);
    bench.execs.release(id);
    bench.link.arrive(0, stdout("dropped"));
    bench.again_without_checks();
    assert!(bench.execs.get(id).unwrap().stdout.unread().is_empty());
    bench.link.arrive(0, Packet::Close);
    bench.again_without_checks();
    bench.again_without_checks();
    assert!(bench.execs.get(id).unwrap().is_finished());
    bench.execs.release(id);
    assert!(bench.execs.get(id).is_none());
    assert_eq!(bench.link.open_channels(), 0);
    assert!(bench.view().is_idle);
}

#[test]
fn everything_is_read_however_little_a_pump_reads_and_however_the_socket_stalls() {
    for packets_per_pump in [1, 2, 3] {
        for full_rounds in [0, 1, 4] {
            for write_through in [false, true] {
                let peer = Peer { packets_per_pump, full_rounds, write_through, ..Peer::default() };
                let mut bench = Bench::new(Script::peer(peer));
                bench.command_with_input(b"input", true);
                bench.run();
                let Outcome::Exited(0) = bench.outcome(0) else { panic!("{}", bench.outcome(0)) };
            }
        }
    }
}

/// Output that arrives before the acceptance, or after the command was told to end, proves that the
/// command runs.
#[test]
fn output_is_reported_after_the_start_even_if_the_acceptance_was_lost() {
    let output = vec![(1, Packet::Stdout(b"out\n".to_vec())), (1, Packet::Fault(lost()))];
    let channel = Channel { exec: Answer::never(), ..Channel::sending(output) };
    let mut bench = Bench::new(Script::channel(channel));
    let output = OutputOptions { deliver: Deliver::Bytes, ..OutputOptions::default() };
    bench.command_with(RunOptions { output, ..RunOptions::default() }, b"", false);
    bench.run();
    assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)), "{}", bench.error(0));
    let id = bench.commands[0];
    let news = [CommandNews::Started, CommandNews::Output(StdStream::Stdout), CommandNews::Finished];
    assert_eq!(bench.news, news.map(|news| (id, news)));
}

#[test]
fn a_command_corks_all_that_is_sent_once_it_may_end() {
    let bench = run(Channel::sending(vec![(1, stdout("out")), (2, Packet::Status(0)), (2, Packet::Close)]));
    let corks = &bench.link.corks;
    assert!(!corks.is_empty() && corks.iter().all(|cork| *cork == Cork::Now), "{corks:?}");
}

/// Only one channel is opened at a time, so each would otherwise wait for the whole limit in turn.
#[test]
fn commands_that_waited_behind_an_unanswered_request_time_out_with_it() {
    let mut bench = Bench::new(Script::channel(Channel { open: Answer::never(), ..Channel::default() }));
    bench.check_idle = false;
    let batched = bench.assigned_command();
    let waiting = [(); 3].map(|()| bench.command());
    bench.run_until(|bench| bench.exec(waiting[0]).stage() == Stage::Opening);
    let asked = bench.exec(waiting[0]).begun();
    bench.now += EXEC / 2;
    bench.step(Input::Start(bench.commands[batched]));
    let later = bench.command();
    bench.run_until(|bench| bench.exec(waiting[0]).is_finished());
    assert_eq!(bench.now - asked, EXEC);
    for number in waiting {
        let error = bench.error(number);
        let HostErrorKind::Timeout { kind, after, .. } = error.kind() else { panic!("{error}") };
        assert_eq!((*kind, *after, error.stage()), (TimeoutKind::Exec, EXEC, Stage::Opening), "{number}");
    }
    for number in [batched, later] {
        assert!(!bench.exec(number).is_finished(), "it has waited for half of the limit");
    }
    bench.run_until(|bench| bench.exec(batched).is_finished());
    assert!(bench.exec(later).is_finished(), "both have waited for all of the limit");
    assert_eq!(bench.calls(|call| matches!(call, Call::Open(_))).len(), 2);
}
