//! Answers to transfers that are read in batches, in invented time.

use std::time::Duration;

use crate::Event;
use crate::config::FleetBuilder;
use crate::fleet::admission::tests::bench::{Bench, MILLI, builder, running};
use crate::fleet::tests::throttled::{connected, put};
use crate::limits::{self, CHUNK};
use crate::session::tests::call::Call;
use crate::session::tests::script::Channel;

/// So many hosts that answers are read in batches.
const MANY: usize = limits::BATCHING_TRANSFERS;

/// How many writes a copy takes.
const WRITES: usize = 24;

/// An SFTP server that takes this many milliseconds for an answer.
fn server(pace: u32) -> Channel {
    Channel { sftp: Some(0), pace, ..Channel::sending(Vec::new()) }
}

/// Copies to hosts with this server. Returns how long that took, and how many visits of each host.
fn copy(builder: FleetBuilder, server: Channel) -> (Duration, usize) {
    let mut bench = connected(builder, running(server));
    let (begun, before) = (bench.now, bench.fleet.metrics().visits);
    let commands = bench.begin(put(WRITES * CHUNK));
    bench.finish(&commands);
    assert!(bench.failed.is_empty(), "{:?}", bench.failed);
    let visits = bench.fleet.metrics().visits - before;
    (bench.now - begun, visits as usize / commands.len())
}

#[test]
fn answers_of_many_hosts_are_read_in_batches() {
    let visits = |builder| {
        let (took, visits) = copy(builder, server(20));
        assert!(took < limits::BATCH_TIME, "{took:?}: no batch waits for its time to end");
        visits
    };
    let (few, many) = (visits(builder(MANY - 1)), visits(builder(MANY)));
    assert!(few > WRITES && many < few - WRITES / 2, "{many} visits of each of many, {few} of few");
    // Nobody knows how long a compressed answer is.
    assert_eq!(visits(builder(MANY).compress(true)), few);
}

#[test]
fn answers_that_are_shorter_than_assumed_are_read_in_time() {
    let (took, _) = copy(builder(MANY), Channel { is_terse: true, ..server(0) });
    // Each batch is read when its time is over.
    let most = (WRITES as u32 + 1) * limits::BATCH_TIME;
    assert!((limits::BATCH_TIME..most).contains(&took), "{took:?}");
}

#[test]
fn an_answer_in_a_batch_shows_that_the_peer_is_alive() {
    let keepalive = Duration::from_millis(600);
    let mut bench = connected(builder(MANY).keepalive(keepalive), running(server(400)));
    let commands = bench.begin(put(8 * CHUNK));
    bench.finish(&commands);
    assert!(bench.failed.is_empty() && bench.lost.is_empty(), "{:?}", bench.failed);
    for index in 0..MANY {
        let calls = &bench.link(index).calls;
        assert!(!calls.contains(&Call::Keepalive), "host {index} was asked whether it is alive");
    }
}

#[test]
fn the_answers_to_other_commands_do_not_wait() {
    let mut bench = connected(builder(MANY), running(server(100)));
    let copies = bench.begin(put(WRITES * CHUNK));
    bench.rounds(150);
    let begun = bench.now;
    let others = bench.begin(put(1));
    bench.finish(&others);
    // A handful of answers, which a batch would hold back for some of the copy's.
    let took = bench.now - begun;
    assert!(took < 15 * 100 * MILLI, "{took:?}");
    assert_eq!(bench.unfinished(&copies), MANY);
}

#[test]
fn what_has_arrived_is_read_when_a_copy_is_cancelled() {
    let mut bench = connected(builder(MANY), running(server(100)));
    let copies = bench.begin(put(WRITES * CHUNK));
    bench.run_until(|bench| bench.link(0).has_unread());
    bench.fleet.cancel(copies[0]);
    while bench.fleet.engine.is_due() {
        bench.turn();
    }
    // No event reports it.
    assert!(!bench.link(0).has_unread());
    assert!(bench.link(1).has_unread());
}

#[test]
fn what_has_arrived_is_read_when_a_host_is_removed() {
    let mut bench = connected(builder(MANY), running(server(50)));
    let copies = bench.begin(put(WRITES * CHUNK));
    let written = |bench: &Bench| {
        let progress = bench.fleet.command(copies[0]).and_then(|command| command.progress());
        progress.map_or(0, |done| done.bytes)
    };
    bench.run_until(|bench| written(bench) > 0);
    let before = written(&bench);
    bench.rounds(150);
    assert_eq!(written(&bench), before, "the answers should wait");
    let first = bench.fleet.hosts()[0];
    assert!(bench.fleet.remove_host(first));
    let mut last = None;
    while let Some(event) = bench.fleet.next_event() {
        match event {
            Event::Progress { command, done, .. } if command == copies[0] => last = Some(done.bytes),
            _ => {}
        }
    }
    assert!(last.is_some_and(|bytes| bytes > before), "{last:?}");
}
