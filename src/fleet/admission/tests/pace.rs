//! The rate limit on new connections.

use std::time::Duration;

use nix::errno::Errno;

use super::bench::{Bench, MILLI, builder, endless, host, peer};
use crate::Proxy;
use crate::fleet::HostState;
use crate::limits;
use crate::session::tests::call::Call;
use crate::session::tests::script::{Dial, Script};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn connections_start_at_the_rate_and_evenly_spread() {
    for rate in [20, 100, 1_000] {
        // Each turn compares the sums with a scan of all hosts.
        let hosts = (2 * rate as usize).min(500);
        let mut bench = Bench::alike(builder(hosts).max_connecting(hosts).connects_per_second(rate), peer(0));
        let commands = bench.start(0..hosts);
        bench.finish(&commands);
        let begun: Vec<Duration> = bench.begun.iter().map(|(_, at)| *at).collect();
        let interval = SECOND / rate;
        assert_eq!(begun.len(), hosts);
        for (nth, at) in begun.iter().enumerate() {
            // The wheel rounds up to a tick, and a turn may come one round late.
            let due = interval * nth as u32;
            let early = limits::CONNECT_BURST + MILLI;
            assert!(*at + early >= due && *at <= due + 3 * MILLI, "{rate}/s: number {nth} at {at:?}");
        }
        assert_eq!(bench.fleet.metrics().timers, 0);
    }
}

/// A timer fires when the next connection may start. An earlier turn has nothing to do.
#[test]
fn the_next_deadline_is_when_the_next_connection_may_start() {
    let mut bench = Bench::alike(builder(4).connects_per_second(1), endless());
    bench.start(0..4);
    bench.rounds(30);
    assert_eq!(bench.begun.len(), 1);
    for nth in 1..4 {
        let before = bench.now;
        let at = bench.fleet.next_deadline().unwrap();
        assert!(at > before + SECOND / 2, "{:?}", at - before);
        assert!(!bench.fleet.engine.is_due(), "no turn is wanted before the deadline");
        bench.now = at - 2 * MILLI;
        bench.turn();
        assert_eq!((bench.begun.len(), bench.turns.last().unwrap().visits), (nth, 0));
        bench.now = at;
        bench.turn();
        assert_eq!(bench.begun.len(), nth + 1);
        bench.rounds(30);
    }
    assert_eq!(bench.fleet.next_deadline(), None);
}

/// Here turns are late, as in a program that does other work as well.
#[test]
fn late_turns_do_not_lower_the_rate() {
    let mut bench = Bench::alike(builder(1_000).max_connecting(1_000).connects_per_second(1_000), endless());
    bench.start(0..1_000);
    for turn in 0..190 {
        bench.now += 5 * MILLI;
        bench.turn();
        let due = 5 * (turn + 1);
        assert!((due..=due + 12).contains(&bench.begun.len()), "{} instead of {due}", bench.begun.len());
    }
}

#[test]
fn retries_count_against_the_rate() {
    let refused = [Dial::FailsAtOnce(Errno::ECONNREFUSED)];
    let script =
        move |index| Script::default().dialling(format!("{}:22", host(index)).parse().unwrap(), &refused);
    let builder = builder(5).connects_per_second(2).num_retries(3).retry_delay(Duration::ZERO);
    let mut bench = Bench::new(builder, script);
    let commands = bench.start(0..5);
    bench.finish(&commands);
    assert_eq!(bench.begun.len(), 15);
    let last = bench.begun[14].1;
    assert!(last >= 7 * SECOND - limits::CONNECT_BURST && last < 7 * SECOND + SECOND / 2, "{last:?}");
}

#[test]
fn an_open_connection_is_used_at_once() {
    let mut bench = Bench::alike(builder(3).connects_per_second(1), peer(0));
    let commands = bench.start([0, 1]);
    bench.finish(&commands);
    let behind = bench.start([2]);
    let before = bench.now;
    let again = bench.start([0, 1]);
    bench.finish(&again);
    assert!(bench.now - before < SECOND / 10);
    assert_eq!(bench.unfinished(&behind), 1);
    // Nor does it count against the rate limit.
    bench.finish(&behind);
    let third = bench.begun[2].1;
    assert!(third >= 2 * SECOND - limits::CONNECT_BURST && third < 2 * SECOND + SECOND / 10, "{third:?}");
}

/// The proxy's own connection counts, and so do the connections through it.
#[test]
fn proxies_and_connections_through_them_count_against_the_rate() {
    let proxy = Proxy::new("10.9.9.9").user("deploy").password("a secret");
    let builder = builder(3).connects_per_second(1).proxy(proxy);
    let mut bench = Bench::alike(builder, peer(0));
    bench.start(0..3);
    bench.rounds(20);
    assert_eq!(bench.begun.len(), 0, "hosts behind a proxy are not resolved");
    let proxy = bench.fleet.engine.hosts.slots.iter().find(|(_, slot)| slot.session.is_proxy()).unwrap().0;
    let dialled =
        |bench: &mut Bench| bench.link(proxy).calls.iter().any(|call| matches!(call, Call::Dial(_)));
    let tunnelling =
        |bench: &Bench| (0..3).filter(|number| bench.state(*number) == HostState::Connecting).count();
    assert_eq!((tunnelling(&bench), dialled(&mut bench)), (1, false), "the first host waits for its proxy");
    bench.rounds(1_000);
    assert_eq!(
        (tunnelling(&bench), dialled(&mut bench)),
        (1, true),
        "the proxy comes before the other hosts"
    );
    bench.rounds(1_000);
    assert_eq!(tunnelling(&bench), 2);
}

#[test]
fn the_rate_can_be_changed_and_lifted() {
    let mut bench = Bench::alike(builder(100).connects_per_second(1), endless());
    bench.start(0..100);
    bench.rounds(500);
    assert_eq!(bench.begun.len(), 1);
    bench.fleet.set_connects_per_second(Some(20)).unwrap();
    bench.rounds(1_000);
    assert!((20..=22).contains(&bench.begun.len()), "{}", bench.begun.len());
    bench.fleet.set_connects_per_second(None).unwrap();
    bench.rounds(20);
    assert_eq!((bench.begun.len(), bench.fleet.engine.schedule.rate_timer.is_none()), (100, true));
}

/// No host is left to connect, so no timer is needed.
#[test]
fn a_rate_without_hosts_arms_no_timer() {
    let mut bench = Bench::alike(builder(3).connects_per_second(1), endless());
    let commands = bench.start(0..3);
    bench.rounds(20);
    assert_eq!(bench.fleet.metrics().timers, 1);
    commands.iter().for_each(|id| bench.fleet.cancel(*id));
    bench.rounds(20);
    assert_eq!((bench.unfinished(&commands), bench.fleet.metrics().timers), (0, 0));
}
