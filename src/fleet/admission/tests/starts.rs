//! The places in the pool of commands that start: how long a server that does not answer holds one.

use std::time::Duration;

use super::bench::{Bench, MILLI, builder, endless, peer};
use crate::fleet::CommandState;
use crate::ids::CommandId;
use crate::output::{Deliver, Keep};
use crate::session::tests::script::{Answer, Channel, Packet, Peer, Script};
use crate::{Command, HostError, HostErrorKind, Run};

const SECOND: Duration = Duration::from_secs(1);

/// The time limit of a start.
const LIMIT: Duration = Duration::from_secs(10);

/// A fleet with one place. Host 0 behaves as described, and the others well.
fn one_place(first: Peer) -> Bench {
    let script = move |index| Script::peer(if index == 0 { first.clone() } else { peer(0) });
    Bench::new(builder(3).max_connecting(1).timeout(LIMIT), script)
}

fn with_channel(channel: Channel) -> Peer {
    Peer { channels: vec![channel], alive_after: None, ..peer(0) }
}

fn state(bench: &Bench, command: CommandId) -> CommandState {
    bench.fleet.command(command).map_or(CommandState::Finished, |command| command.state())
}

/// Connects the hosts with these numbers, and returns when that is done.
fn connect(bench: &mut Bench, hosts: impl IntoIterator<Item = usize>) {
    for number in hosts {
        let host = bench.fleet.hosts()[number];
        bench.fleet.connect([host]);
    }
    bench.rounds(50);
}

#[test]
fn a_start_without_an_answer_gives_its_place_back_after_a_second_and_keeps_its_own_limit() {
    for channel in [
        Channel { open: Answer::never(), ..Channel::default() },
        Channel { exec: Answer::never(), ..Channel::sending(vec![]) },
    ] {
        let mut bench = one_place(with_channel(channel));
        connect(&mut bench, 0..2);
        let silent = bench.start([0]);
        bench.rounds(20);
        let begun = bench.now;
        let other = bench.start([1]);
        bench.finish(&other);
        let took = bench.now - begun + 20 * MILLI;
        assert!(took >= SECOND && took < SECOND + 50 * MILLI, "{took:?}");
        assert_eq!((bench.unfinished(&silent), bench.running()), (1, 1));
        bench.finish(&silent);
        let took = bench.now - begun + 20 * MILLI;
        assert!(took >= LIMIT && took < LIMIT + 50 * MILLI, "{took:?}");
    }
}

/// Otherwise each new command of a silent host would hold a place for a second.
#[test]
fn later_starts_on_a_connection_without_answers_hold_no_place() {
    let mut bench = one_place(with_channel(Channel { exec: Answer::never(), ..Channel::sending(vec![]) }));
    connect(&mut bench, 0..3);
    let mut silent = bench.start([0]);
    bench.rounds(20);
    bench.now += SECOND;
    bench.rounds(20);
    for _ in 0..10 {
        silent.extend(bench.start([0]));
        bench.rounds(5);
        let begun = bench.now;
        let others = bench.start([1, 2]);
        bench.finish(&others);
        assert!(bench.now - begun < 50 * MILLI, "{:?}", bench.now - begun);
    }
    assert_eq!(bench.unfinished(&silent), 11);
    bench.finish(&silent);
    assert_eq!(bench.fleet.engine.hosts.sums.places, 0);
}

/// Only one channel is opened at a time, so commands that were admitted cannot begin.
#[test]
fn commands_behind_a_start_without_an_answer_hold_neither_a_place_nor_count_as_running() {
    let mut bench = one_place(with_channel(Channel { open: Answer::never(), ..Channel::default() }));
    connect(&mut bench, 0..2);
    let silent: Vec<_> = (0..5).flat_map(|_| bench.start([0])).collect();
    bench.rounds(20);
    assert_eq!(bench.running(), 5);
    bench.now += SECOND;
    bench.rounds(20);
    assert_eq!((bench.running(), bench.fleet.engine.hosts.sums.places), (1, 0));
    let begun = bench.now;
    let other = bench.start([1]);
    bench.finish(&other);
    assert!(bench.now - begun < 50 * MILLI);
    bench.finish(&silent);
}

/// A host that does not answer gets commands more often than one of them times out.
#[test]
fn a_host_without_answers_does_not_pile_up_commands() {
    let mut bench = one_place(with_channel(Channel { open: Answer::never(), ..Channel::default() }));
    connect(&mut bench, 0..1);
    let mut commands = Vec::new();
    for _ in 0..50 {
        commands.extend(bench.start([0]));
        bench.rounds(20);
        bench.now += LIMIT / 4;
        bench.rounds(20);
        let unfinished = bench.unfinished(&commands);
        assert!(unfinished <= 8, "those of two limits, not {unfinished} of {}", commands.len());
    }
    bench.finish(&commands);
}

#[test]
fn a_start_behind_output_that_waits_to_be_read_gives_its_place_back_at_once() {
    let channel = Channel::sending(vec![(2, Packet::Stdout(b"y\n".to_vec()))]);
    let mut bench = one_place(with_channel(channel));
    connect(&mut bench, 0..2);
    let flood = Command::new("yes").stdout(Keep::BackPressure(1));
    let run = Run::new(flood).hosts([bench.fleet.hosts()[0]]).deliver(Deliver::Nothing);
    let flood = bench.fleet.start(run).unwrap().commands[0];
    bench.rounds(20);
    assert_eq!(state(&bench, flood), CommandState::Running);
    let begun = bench.now;
    let behind = bench.start([0]);
    let other = bench.start([1]);
    bench.finish(&other);
    assert!(bench.now - begun < 50 * MILLI, "{:?}", bench.now - begun);
    assert_eq!((state(&bench, behind[0]), bench.fleet.metrics().held_back), (CommandState::Starting, 1));
}

#[test]
fn a_running_command_counts_as_running_however_quiet_it_is() {
    let mut bench = Bench::alike(builder(2).max_running(1), endless());
    let quiet = bench.start([0]);
    bench.rounds(50);
    bench.now += 3_600 * SECOND;
    bench.turn();
    let other = bench.start([1]);
    bench.rounds(100);
    assert_eq!(
        (state(&bench, quiet[0]), state(&bench, other[0])),
        (CommandState::Running, CommandState::Waiting)
    );
    assert_eq!(bench.running(), 1);
}

#[test]
fn a_connection_with_an_unanswered_keepalive_gets_no_new_commands() {
    let (late, dead) = (Peer { alive_after: Some(500), ..peer(0) }, Peer { alive_after: None, ..peer(0) });
    let script = move |index| match index {
        0 => Script::peer(late.clone()),
        _ => Script::peers(vec![dead.clone(), peer(0)]),
    };
    let builder = builder(2).keepalive(2 * SECOND).keepalive_max_missed(2);
    let mut bench = Bench::new(builder, script);
    connect(&mut bench, 0..2);
    bench.now += 2 * SECOND;
    bench.turn();
    // The keepalives are on their way.
    let asked = bench.now;
    let commands = bench.start([0, 1]);
    bench.rounds(400);
    assert_eq!(commands.iter().map(|id| state(&bench, *id)).max(), Some(CommandState::Waiting));
    bench.run_until(|bench| bench.unfinished(&commands[..1]) == 0);
    assert!(bench.now - asked < 600 * MILLI, "it was answered after 500 ms: {:?}", bench.now - asked);
    assert_eq!(state(&bench, commands[1]), CommandState::Waiting);
    bench.finish(&commands);
    let took = bench.now - asked;
    assert!(took >= 4 * SECOND, "on a new connection, once the peer counts as dead: {took:?}");
}

/// Its commands may end before, by their own limits.
#[test]
fn a_host_that_is_silent_after_the_login_is_reported_as_dead() {
    let is_dead = |error: &HostError| matches!(error.kind(), HostErrorKind::PeerDead { .. });
    for (limit, says_so) in [(3, false), (10, true)] {
        let silent = with_channel(Channel { exec: Answer::never(), ..Channel::sending(vec![]) });
        let builder = builder(1).keepalive(2 * SECOND).keepalive_max_missed(2).max_attempts(1);
        let mut bench = Bench::alike(builder.timeout(limit * SECOND), silent);
        bench.start([0]);
        bench.rounds(20);
        let begun = bench.now;
        bench.run_until(|bench| !bench.lost.is_empty());
        assert!(bench.now - begun > 5 * SECOND && bench.now - begun <= 6 * SECOND, "{:?}", bench.now - begun);
        assert!(is_dead(&bench.lost[0]), "{}", bench.lost[0]);
        assert_eq!(is_dead(&bench.failed[0]), says_so, "{}", bench.failed[0]);
    }
}
