//! Transfers under a limit on their rate, in invented time.

use std::time::{Duration, Instant};

use crate::config::FleetBuilder;
use crate::error::HostErrorKind;
use crate::fleet::admission::tests::bench::{Bench, builder, running};
use crate::ids::CommandId;
use crate::limits::TRANSFER_SHARE as SHARE;
use crate::session::tests::script::{Channel, Peer};
use crate::stage::TimeoutKind;
use crate::transfer::{FileRequest, Put};
use crate::{Command, Error, HostError};

const SECOND: Duration = Duration::from_secs(1);

/// Connected hosts with a file of this size at every path.
fn bench(builder: FleetBuilder, size: usize) -> Bench {
    let channel = Channel { sftp: Some(size as u64), ..Channel::sending(Vec::new()) };
    connected(builder, running(channel))
}

/// Connected hosts like this peer.
pub(super) fn connected(builder: FleetBuilder, peer: Peer) -> Bench {
    let mut bench = Bench::alike(builder, peer);
    let hosts = bench.fleet.hosts().to_vec();
    bench.fleet.connect(hosts.iter().copied());
    bench.run_until(|bench| hosts.iter().all(|id| !bench.fleet.host(*id).unwrap().is_awaited()));
    bench
}

fn get() -> Command {
    FileRequest::read("/file").into()
}

pub(super) fn put(size: usize) -> Command {
    Put::bytes(vec![b'x'; size], "/file").into()
}

/// How many bytes each of these transfers has copied, of those that have not ended.
fn copied(bench: &Bench, commands: &[CommandId]) -> Vec<u64> {
    let copied = |id: &CommandId| Some(bench.fleet.command(*id)?.progress()?.bytes);
    commands.iter().filter_map(copied).collect()
}

#[track_caller]
fn assert_took(bench: &Bench, begun: Instant, bytes: usize, rate: usize) {
    let burst = rate / 4 + SHARE;
    let took = bench.now - begun;
    let least = SECOND.mul_f64((bytes - burst) as f64 / rate as f64);
    // Round trips, and turns that come up to a tick late, take no more than that.
    let most = least + Duration::from_millis(300);
    assert!((least..most).contains(&took), "{bytes} bytes at {rate} B/s took {took:?}, not {least:?}");
}

#[test]
fn a_fleet_keeps_its_rate_and_its_hosts_advance_evenly() {
    let (hosts, size) = (8, 10 * SHARE + 1_000);
    for rate in [20_000, 300_000, 2_000_000] {
        for command in [get(), put(size)] {
            let mut bench = bench(builder(hosts).transfer_rate(rate as u64), size);
            let (begun, turns) = (bench.now, bench.turns.len());
            let commands = bench.begin(command);
            bench.run_until(|bench| {
                let copied = copied(bench, &commands);
                let (least, most) = (copied.iter().min(), copied.iter().max());
                let apart = most.zip(least).map_or(0, |(most, least)| most - least) as usize;
                assert!(copied.len() < hosts || apart <= 2 * SHARE, "{apart} bytes apart");
                bench.unfinished(&commands) == 0
            });
            assert!(bench.failed.is_empty(), "{:?}", bench.failed);
            assert_took(&bench, begun, hosts * size, rate);
            // Waiting takes no turns: a chunk takes one to be requested, and one or two until it is
            // there.
            let (turns, chunks) = (bench.turns.len() - turns, hosts * (size / SHARE));
            assert!(turns < 4 * chunks, "{turns} turns for {chunks} chunks");
            assert_eq!(bench.fleet.metrics().timers, 0);
        }
    }
}

#[test]
fn a_transfer_that_waits_is_not_dead_and_says_so() {
    let settings = builder(2).transfer_rate(1_000).timeout(2 * SECOND).keepalive(3 * SECOND);
    let mut bench = bench(settings, 2 * SHARE);
    let begun = bench.now;
    let commands = bench.begin(put(2 * SHARE));
    bench.run_until(|bench| bench.now > begun + 20 * SECOND);
    let waited = |bench: &Bench, id| bench.fleet.command(id).unwrap().throttled_until(bench.now);
    assert!(commands.iter().all(|id| waited(&bench, *id) == Some(bench.now)));
    bench.finish(&commands);
    assert!(bench.failed.is_empty(), "{:?}", bench.failed);
    assert_took(&bench, begun, 4 * SHARE, 1_000);
}

#[test]
fn without_a_limit_no_transfer_waits() {
    let mut bench = bench(builder(2), 300 * SHARE);
    for command in [get(), put(300 * SHARE)] {
        let begun = bench.now;
        let commands = bench.begin(command);
        bench.run_until(|bench| {
            let now = bench.now;
            let waited = commands.iter().find_map(|id| bench.fleet.command(*id)?.throttled_until(now));
            assert_eq!(waited, None);
            bench.unfinished(&commands) == 0
        });
        assert!(bench.now - begun < SECOND / 2);
    }
}

#[test]
fn the_time_limit_of_a_transfer_goes_on_while_it_waits() {
    let mut bench = bench(builder(1).transfer_rate(1_000), 4 * SHARE);
    let commands = bench.begin(put(4 * SHARE).time_limit(10 * SECOND));
    bench.finish(&commands);
    match bench.failed.iter().map(HostError::kind).collect::<Vec<_>>()[..] {
        [HostErrorKind::Timeout { kind: TimeoutKind::Command, after }] => assert_eq!(*after, 10 * SECOND),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn several_transfers_of_a_host_share_its_turns() {
    let mut bench = bench(builder(2).transfer_rate(50_000), 4 * SHARE);
    let begun = bench.now;
    let commands: Vec<_> = (0..3).flat_map(|_| bench.begin(get())).collect();
    bench.finish(&commands);
    assert!(bench.failed.is_empty(), "{:?}", bench.failed);
    assert_took(&bench, begun, 2 * 3 * 4 * SHARE, 50_000);
}

#[test]
fn a_limit_can_change_while_transfers_run() {
    let mut bench = bench(builder(3).transfer_rate(1), 4 * SHARE);
    let commands = bench.begin(get());
    bench.rounds(50);
    assert_eq!(bench.unfinished(&commands), 3);
    let mut begun = bench.now;
    bench.fleet.set_transfer_rate(100_000).unwrap();
    bench.run_until(|bench| copied(bench, &commands).iter().sum::<u64>() >= 6 * SHARE as u64);
    let took = bench.now - begun;
    assert!(took > SECOND && took < 3 * SECOND, "{took:?}");
    bench.fleet.set_transfer_rate(None).unwrap();
    begun = bench.now;
    bench.finish(&commands);
    assert!(bench.failed.is_empty(), "{:?}", bench.failed);
    assert!(bench.now - begun < SECOND / 10);
}

#[test]
fn a_limit_of_nothing_is_refused() {
    assert!(matches!(builder(1).transfer_rate(0).build(), Err(Error::Config { .. })));
    let mut bench = bench(builder(1).transfer_rate(1), 1);
    let error = bench.fleet.set_transfer_rate(0).unwrap_err().to_string();
    assert!(error.contains("transfer_rate") && error.contains("at least 1"), "{error}");
}
