//! Back-pressure: a full stream suspends reading from its connection until the stream is read or
//! nobody waits for its output any more.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::call::Call;
use super::harness::{Bench, Config, EXEC, limits_of_ends};
use super::script::{Answer, Channel, Packet, Peer, Script, lost};
use crate::command::{OutputOptions, RunOptions};
use crate::error::{CancelCause, HostErrorKind};
use crate::ids::StdStream;
use crate::limits;
use crate::link::Channels;
use crate::output::{Bound, Keep, Room, Sink};
use crate::session::state::Phase;
use crate::session::{Execs, Input, Keepalive, Timeouts};
use crate::stage::{Stage, TimeoutKind};

const PACKET: usize = 1000;
const PACKETS: usize = 20;
const BOUND: usize = 2500;
const LIMIT: Duration = Duration::from_secs(30);

/// Packet `number` of a command's output.
fn packet(number: usize) -> Vec<u8> {
    vec![u8::try_from(number).unwrap(); PACKET]
}

/// A peer whose commands print all packets. Each pump reads one packet.
fn peer(end: Vec<Packet>) -> Peer {
    let output = (0..PACKETS).map(|number| Packet::Stdout(packet(number))).chain(end);
    let channel = Channel::sending(output.map(|packet| (2, packet)).collect());
    Peer { channels: vec![channel], packets_per_pump: 1, alive_after: None, ..Peer::default() }
}

fn ended() -> Vec<Packet> {
    vec![Packet::Status(0), Packet::Eof, Packet::Close]
}

fn keeping(stdout: Keep) -> RunOptions {
    let output = OutputOptions { stdout, ..OutputOptions::default() };
    RunOptions { output, time_limit: Some(LIMIT), ..RunOptions::default() }
}

/// Runs a command until nothing more can happen before its time limit.
fn run(config: Config, peer: Peer, keep: Keep) -> Bench {
    let mut bench = Bench::with(config, Script::peer(peer));
    bench.command_with(keeping(keep), b"", false);
    while bench.round_but_timers() {}
    bench
}

fn held(end: Vec<Packet>) -> Bench {
    let bench = run(Config::default(), peer(end), Keep::BackPressure(BOUND));
    assert_eq!((bench.view().held, bench.exec(0).stdout.len()), (Some(Bound::Stream), 3 * PACKET));
    bench
}

/// How many bytes are left in the socket.
fn waiting(bench: &Bench) -> usize {
    bench.link.queues().unwrap()[2]
}

/// Reads a command's output, and steps the session again if reading was suspended.
fn read(bench: &mut Bench, number: usize) -> Vec<u8> {
    let take = |stream: &mut crate::output::Stream, _| {
        let bytes = stream.unread().to_vec();
        stream.clear();
        bytes
    };
    let bytes = bench.execs.with_stream(bench.commands[number], StdStream::Stdout, take).unwrap();
    if bench.session.may_go_on(&bench.execs) {
        bench.step(Input::Wake);
        while bench.round_but_timers() {}
    }
    bytes
}

#[test]
fn a_full_stream_leaves_the_rest_in_the_socket_until_it_is_read() {
    let mut bench = held(ended());
    assert_eq!(waiting(&bench), PACKETS - 3 + 3);
    let pumps = bench.calls(|call| *call == Call::Pump).len();
    for _ in 0..10 {
        // A readiness event does not change that.
        bench.step(Input::Wake);
    }
    assert_eq!(bench.calls(|call| *call == Call::Pump).len(), pumps, "the link was pumped without room");
    let mut bytes = Vec::new();
    while !bench.exec(0).is_finished() {
        assert!(bench.exec(0).stdout.len() < BOUND + PACKET);
        bytes.extend(read(&mut bench, 0));
    }
    bytes.extend(read(&mut bench, 0));
    assert_eq!(bytes, (0..PACKETS).flat_map(packet).collect::<Vec<u8>>());
    assert!(bench.outcome(0).is_success() && bench.view().held.is_none());
}

#[test]
fn as_many_reads_are_made_as_there_is_room_for() {
    let bench = held(ended());
    let reads = |bytes| bench.session.reads(Room { bytes, bound: Bound::Stream });
    assert_eq!([reads(1), reads(4096), reads(4097), reads(64 * 1024)], [1, 1, 2, 16]);
    assert_eq!(reads(usize::MAX), limits::PUMPS_PER_VISIT);
}

/// The acceptance and all output arrive at the same time.
#[test]
fn the_visit_that_reads_the_acceptance_reads_no_more_than_there_is_room_for() {
    let output = (0..PACKETS).map(|number| Packet::Stdout(packet(number))).chain(ended());
    let channel = Channel::sending(output.map(|packet| (1, packet)).collect());
    let peer = Peer { channels: vec![channel], packets_per_read: 1, alive_after: None, ..Peer::default() };
    let mut bench = run(Config::default(), peer, Keep::BackPressure(BOUND));
    assert_eq!((bench.view().held, bench.exec(0).stdout.len()), (Some(Bound::Stream), 3 * PACKET));
    while !bench.exec(0).is_finished() {
        assert!(bench.exec(0).stdout.len() < BOUND + PACKET);
        read(&mut bench, 0);
    }
    assert!(bench.outcome(0).is_success());
}

#[test]
fn all_output_passes_through_one_buffer_of_the_fleet() {
    let buffers = Arc::new(Mutex::new(Vec::new()));
    let seen = buffers.clone();
    let sink = Sink::new(move |piece| {
        seen.lock().unwrap().push(piece.bytes.as_ptr() as usize);
        Ok(())
    });
    let mut bench = Bench::new(Script::peer(peer(ended())));
    bench.command_with(keeping(Keep::Sink(sink)), b"", false);
    let mut others = Vec::new();
    while !bench.exec(0).is_finished() {
        bench.round();
        // Takes the place of a buffer that was freed.
        others.push(Vec::<u8>::with_capacity(PACKET));
        if let Some(channel) = bench.exec(0).state.channel() {
            assert_eq!(bench.link.inbox(channel).stdout.capacity(), 0, "memory between visits");
        }
    }
    let mut buffers = buffers.lock().unwrap();
    assert_eq!(buffers.len(), PACKETS);
    buffers.dedup();
    assert_eq!(buffers.len(), 1, "buffers");
}

#[test]
fn other_commands_of_the_connection_are_held_back_too() {
    let mut bench = Bench::new(Script::peer(peer(ended())));
    bench.command_with(keeping(Keep::BackPressure(BOUND)), b"", false);
    bench.run_until(|bench| bench.view().held.is_some());
    bench.command();
    while bench.round_but_timers() {}
    assert_eq!(bench.exec(1).stdout.len(), 0);
    while !bench.exec(0).is_finished() {
        read(&mut bench, 0);
    }
    bench.run();
    assert_eq!(bench.exec(1).stdout.len(), PACKETS * PACKET);
    assert!(bench.outcome(1).is_success());
}

/// While nothing is read, the server cannot be late.
#[test]
fn the_default_limit_of_a_start_waits_while_the_connection_is_held_back() {
    let timeouts = Timeouts { exec: Some(EXEC), exec_is_set: false, ..limits_of_ends() };
    let slow = Channel { open: Answer::ok(5), ..Channel::default() };
    let channels = vec![peer(ended()).channels.remove(0), slow];
    let script = Script::peer(Peer { channels, ..peer(ended()) });
    let mut bench = Bench::with(Config { timeouts, ..Config::default() }, script);
    bench.command_with(keeping(Keep::BackPressure(BOUND)), b"", false);
    bench.run_until(|bench| bench.view().held.is_some());
    bench.command();
    while bench.round_but_timers() {}
    assert_eq!((bench.exec(1).stage(), bench.exec(1).deadline()), (Stage::Opening, None));
    bench.now += 2 * EXEC;
    while !bench.exec(0).is_finished() {
        read(&mut bench, 0);
    }
    bench.run();
    assert!(bench.outcome(1).is_success());
}

/// The call that looks for the answer may read.
#[test]
fn the_answer_about_a_spare_channel_is_not_looked_for_while_the_connection_is_held_back() {
    let slow = Channel { open: Answer::ok(30), ..Channel::default() };
    let channels = vec![peer(ended()).channels.remove(0), slow, Channel::default()];
    let config = Config { spare_channel: true, ..Config::default() };
    let mut bench = run(config, Peer { channels, ..peer(ended()) }, Keep::BackPressure(BOUND));
    assert_eq!(bench.view().held, Some(Bound::Stream));
    let looks = bench.calls(|call| *call == Call::Opened(1)).len();
    for _ in 0..10 {
        bench.step(Input::Wake);
    }
    assert_eq!((looks > 0, bench.calls(|call| *call == Call::Opened(1)).len()), (true, looks));
    while !bench.exec(0).is_finished() {
        read(&mut bench, 0);
    }
    bench.command();
    bench.run();
    assert!(bench.outcome(1).is_success());
}

#[test]
fn a_cancelled_command_holds_nothing_back_and_keeps_no_more_than_its_bound() {
    let mut bench = held(vec![]);
    bench.cancel(0);
    bench.run();
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
    let stdout = &bench.exec(0).stdout;
    assert_eq!((stdout.len(), stdout.dropped()), (3 * PACKET, ((PACKETS - 3) * PACKET) as u64));
    assert!(bench.view().is_idle && waiting(&bench) == 0, "the connection can run the next command");
}

#[test]
fn a_time_limit_ends_a_command_that_is_held_back() {
    let mut bench = held(vec![]);
    bench.run();
    let HostErrorKind::Timeout { kind, after } = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
    assert_eq!((*kind, *after), (TimeoutKind::Command, LIMIT));
    assert!(bench.view().is_idle);
}

#[test]
fn a_released_command_holds_nothing_back() {
    let mut bench = held(ended());
    bench.execs.release(bench.commands[0]);
    assert!(bench.session.may_go_on(&bench.execs));
    bench.step(Input::Wake);
    while bench.round_but_timers() {}
    assert!(bench.exec(0).is_finished() && bench.view().held.is_none());
}

#[test]
fn a_lost_connection_is_noticed_after_its_data_is_read() {
    let mut bench = held(vec![Packet::Fault(lost())]);
    let mut bytes = Vec::new();
    while !bench.exec(0).is_finished() {
        bytes.extend(read(&mut bench, 0));
    }
    bytes.extend(read(&mut bench, 0));
    assert_eq!(bytes.len(), PACKETS * PACKET);
    assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)), "{}", bench.error(0));
    assert_eq!((bench.phase(), bench.view().held), (Phase::Closed, None));
}

#[test]
fn no_keepalive_is_sent_while_reading_is_suspended() {
    let interval = Duration::from_secs(15);
    let keepalive = Some(Keepalive { interval, missed_max: 3 });
    let config = Config { keepalive, ..Config::default() };
    let mut bench = Bench::with(config, Script::peer(peer(vec![])));
    let options = RunOptions { time_limit: None, ..keeping(Keep::BackPressure(BOUND)) };
    bench.command_with(options, b"", false);
    while bench.round_but_timers() {}
    assert_eq!(bench.deadline(), None, "no keepalive is due while nobody reads");
    bench.now += 1_000 * interval;
    bench.step(Input::Wake);
    let asked = |bench: &Bench| bench.calls(|call| *call == Call::Keepalive).len();
    assert_eq!((asked(&bench), bench.phase()), (0, Phase::Ready));
    read(&mut bench, 0);
    bench.view().held.unwrap();
    bench.now += 1_000 * interval;
    while waiting(&bench) > 0 {
        read(&mut bench, 0);
    }
    read(&mut bench, 0);
    assert_eq!((asked(&bench), bench.exec(0).is_running()), (0, true));
    let resumed = bench.now;
    assert!(bench.deadline().is_some_and(|at| at > resumed && at <= resumed + interval));
    bench.run();
    assert_eq!(asked(&bench), 3);
    assert!(matches!(bench.error(0).kind(), HostErrorKind::PeerDead { .. }), "{}", bench.error(0));
}

#[test]
fn the_budget_holds_back_streams_above_their_share() {
    const SHARE: usize = 2 * limits::SHARE_MIN;
    let execs = || Execs::new(2 * (limits::WAITING_COST + SHARE));
    assert_eq!(execs().share(), usize::MAX, "no limit below half of the budget");
    let mut bench = Bench::new(Script::peer(peer(ended())));
    bench.execs = execs();
    bench.command_with(keeping(Keep::All), b"", false);
    while bench.round_but_timers() {}
    assert_eq!(bench.view().held, Some(Bound::Budget));
    let full = SHARE.next_multiple_of(PACKET);
    assert_eq!((bench.execs.unread(), bench.execs.share()), (full, SHARE), "one may fill the half");
    assert_eq!(read(&mut bench, 0).len(), full);
    read(&mut bench, 0);
    read(&mut bench, 0);
    assert!(bench.outcome(0).is_success());
    assert_eq!((bench.execs.unread(), bench.execs.share()), (0, usize::MAX));
    let mut bench = Bench::new(Script::peer(peer(ended())));
    bench.execs = Execs::new(1);
    bench.command_with(keeping(Keep::All), b"", false);
    while bench.round_but_timers() {}
    let least = limits::SHARE_MIN.next_multiple_of(PACKET);
    assert_eq!((bench.execs.unread(), bench.execs.share()), (least, limits::SHARE_MIN), "the minimum");
}

#[test]
fn a_sink_that_fails_ends_its_command_like_a_cancel() {
    for end in [vec![], ended()] {
        let mut left = 2;
        let sink = Sink::new(move |piece| {
            assert_eq!(piece.stream, StdStream::Stdout);
            left -= 1;
            if left > 0 { Ok(()) } else { Err(io::Error::new(io::ErrorKind::StorageFull, "no room\x1b[2J")) }
        });
        // Everything arrives at once, including the end of the command.
        let peer = Peer { packets_per_pump: if end.is_empty() { 1 } else { 2 }, ..peer(end) };
        let mut bench = run(Config::default(), peer, Keep::Sink(sink));
        bench.run();
        let HostErrorKind::Sink { stream: StdStream::Stdout, error } = bench.error(0).kind() else {
            panic!("{}", bench.error(0))
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let text = bench.error(0).to_string();
        let expected = "web1: running the command failed: the sink for standard output failed: no room";
        assert!(text.starts_with(expected) && !text.contains('\x1b'), "{text}");
        assert!(bench.view().is_idle && bench.view().held.is_none());
    }
}

/// A success would suggest that all output had been stored.
#[test]
fn an_exit_status_after_a_failed_sink_is_not_a_success() {
    let sink = Sink::new(|_| Err(io::ErrorKind::StorageFull.into()));
    let peer = Peer { packets_per_pump: usize::MAX, ..peer(ended()) };
    let mut bench = run(Config::default(), peer, Keep::Sink(sink));
    bench.run();
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Sink { .. }), "{:?}", bench.outcome(0));
    assert!(bench.view().is_idle);
}
