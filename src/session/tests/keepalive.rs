//! Keepalives: when one is sent to a quiet peer, when the peer counts as dead, and what happens to
//! its commands.

use std::time::{Duration, Instant};

use super::call::{Call, Failing, Fault};
use super::harness::{Bench, Config};
use super::script::{Channel, Packet, Peer, Script};
use crate::error::HostErrorKind;
use crate::link::LinkErrorKind;
use crate::session::state::Phase;
use crate::session::{Input, Keepalive};
use crate::stage::Stage;

const INTERVAL: Duration = Duration::from_secs(15);
const MISSED: u32 = 3;

fn config() -> Config {
    let keepalive = Some(Keepalive { interval: INTERVAL, missed_max: MISSED });
    Config { keepalive, attempts: 2, ..Config::default() }
}

/// A peer whose commands print nothing and do not end.
fn quiet(alive_after: Option<u32>) -> Peer {
    Peer { channels: vec![Channel::sending(vec![])], alive_after, ..Peer::default() }
}

/// A running command, on a bench whose rounds take no time.
fn running(peers: Vec<Peer>) -> (Bench, Instant) {
    let mut bench = Bench::with(config(), Script::peers(peers));
    bench.round = Duration::ZERO;
    bench.command();
    bench.run_until(|bench| bench.exec(0).stage() == Stage::Running && !bench.link.expects_news());
    let begun = bench.now;
    (bench, begun)
}

fn asked(bench: &Bench) -> usize {
    bench.calls(|call| *call == Call::Keepalive).len()
}

#[test]
fn without_keepalive_a_quiet_connection_sets_no_timer() {
    let mut bench = Bench::new(Script::peer(quiet(None)));
    bench.command();
    bench.run();
    assert_eq!((bench.phase(), bench.deadline()), (Phase::Ready, None));
}

#[test]
fn a_quiet_peer_is_asked_once_per_interval_and_lives_as_long_as_it_answers() {
    let (mut bench, begun) = running(vec![quiet(Some(2))]);
    for intervals in 1..=50 {
        bench.run_until(|bench| bench.now == begun + intervals * INTERVAL);
        bench.run_until(|bench| asked(bench) == intervals as usize && !bench.link.expects_news());
        assert_eq!(bench.deadline(), Some(begun + (intervals + 1) * INTERVAL));
    }
    assert_eq!((bench.phase(), bench.exec(0).stage()), (Phase::Ready, Stage::Running));
}

#[test]
fn a_peer_that_answers_nothing_is_dead_after_the_last_interval_and_its_command_ends() {
    let (mut bench, begun) = running(vec![quiet(None)]);
    bench.run_until(|bench| bench.exec(0).is_finished());
    let HostErrorKind::PeerDead { after, unanswered } = bench.error(0).kind() else {
        panic!("{}", bench.error(0))
    };
    assert_eq!((*after, *unanswered), ((MISSED + 1) * INTERVAL, MISSED));
    assert_eq!(bench.now, begun + *after);
    assert_eq!((bench.error(0).stage(), asked(&bench)), (Stage::Running, MISSED as usize));
    assert_eq!((bench.phase(), bench.dials()), (Phase::Closed, 1), "a command that ran is not run again");
    let text = "the server does not respond: nothing received for 60s, 3 keepalives unanswered";
    assert!(bench.error(0).to_string().ends_with(text), "{}", bench.error(0));
}

#[test]
fn any_packet_is_a_sign_of_life() {
    let (mut bench, begun) = running(vec![quiet(None)]);
    let number = bench.calls(|call| matches!(call, Call::Open(_))).len() - 1;
    for _ in 0..40 {
        bench.now += INTERVAL / 2;
        bench.link.arrive(number, Packet::Stdout(b"still here\n".to_vec()));
        bench.round();
    }
    assert_eq!(asked(&bench), 0, "no keepalive to a peer that sends data");
    assert!(bench.now > begun + 10 * INTERVAL);
    let heard = bench.now;
    bench.run_until(|bench| bench.exec(0).is_finished());
    assert_eq!(bench.now, heard + (MISSED + 1) * INTERVAL, "the count begins with the last packet");
}

#[test]
fn a_late_answer_starts_the_count_again() {
    let (mut bench, _) = running(vec![quiet(None)]);
    bench.run_until(|bench| asked(bench) == MISSED as usize);
    bench.now += INTERVAL / 2;
    bench.link.arrive(7, Packet::Stdout(b"for a channel that is gone".to_vec()));
    bench.round();
    let heard = bench.now;
    bench.run_until(|bench| bench.exec(0).is_finished());
    assert_eq!(bench.now, heard + (MISSED + 1) * INTERVAL);
    assert_eq!(asked(&bench), 2 * MISSED as usize);
}

/// A blocking client reads nothing between two of its calls.
#[test]
fn packets_that_arrived_while_nothing_was_read_count() {
    let (mut bench, _) = running(vec![quiet(None)]);
    bench.run_until(|bench| asked(bench) == MISSED as usize);
    bench.link.arrive(7, Packet::Eof);
    bench.now += 1_000 * INTERVAL;
    bench.step(Input::Wake);
    assert_eq!(bench.exec(0).stage(), Stage::Running, "a packet read late still counts");
    let heard = bench.now;
    bench.run_until(|bench| bench.exec(0).is_finished());
    assert_eq!(bench.now, heard + (MISSED + 1) * INTERVAL);
}

#[test]
fn a_pause_in_reading_is_not_silence_of_the_peer() {
    let (mut bench, _) = running(vec![quiet(None)]);
    bench.now += 1_000 * INTERVAL;
    bench.step(Input::Wake);
    assert_eq!((asked(&bench), bench.exec(0).stage()), (1, Stage::Running));
    assert_eq!(bench.deadline(), Some(bench.now + INTERVAL), "the peer has an interval for each answer");
}

#[test]
fn a_dead_idle_connection_is_closed_and_made_anew_for_the_next_command() {
    let mut bench = Bench::with(
        config(),
        Script::peers(vec![Peer { alive_after: None, ..Peer::default() }, Peer::default()]),
    );
    bench.command();
    bench.run_until(|bench| bench.phase() == Phase::Closed);
    assert!(bench.outcome(0).is_success(), "a known outcome has changed");
    assert_eq!((bench.dials(), bench.deadline()), (1, None));
    bench.command();
    bench.run_until(Bench::all_ended);
    assert!(bench.outcome(1).is_success());
    assert_eq!(bench.dials(), 2);
}

#[test]
fn a_command_that_waits_for_its_channel_is_tried_on_a_new_connection() {
    let mut opening = quiet(None);
    opening.channels[0].open.after = None;
    let mut config = config();
    config.timeouts.exec = None;
    let mut bench = Bench::with(config, Script::peers(vec![opening, Peer::default()]));
    bench.command();
    bench.run_until(Bench::all_ended);
    assert!(bench.outcome(0).is_success());
    assert_eq!((bench.dials(), asked(&bench)), (2, MISSED as usize));
}

#[test]
fn a_keepalive_that_cannot_be_sent_ends_the_connection() {
    let bench = |fault| {
        let mut bench = Bench::with(config(), Script::peer(quiet(Some(1))));
        // The extra steps without news would make extra calls.
        bench.check_idle = false;
        bench.link.fault = fault;
        bench.command();
        bench.run_until(|bench| asked(bench) == 1);
        bench
    };
    let good = bench(None);
    let after = good.link.calls.iter().rev().take_while(|call| **call != Call::Keepalive).count();
    let nth = good.link.fallible - after;
    let bench = bench(Some(Fault { nth, with: Failing::Error(LinkErrorKind::Lost) }));
    assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)), "{}", bench.error(0));
    assert_eq!((bench.error(0).stage(), bench.phase()), (Stage::Running, Phase::Closed));
}

/// A keepalive that would be due beyond the clock's range is never sent.
#[test]
fn an_interval_beyond_the_clock_sets_no_timer() {
    let keepalive = Some(Keepalive { interval: Duration::MAX, missed_max: 1 });
    let mut bench = Bench::with(Config { keepalive, ..Config::default() }, Script::peer(quiet(None)));
    bench.command();
    bench.run();
    assert_eq!((bench.phase(), bench.deadline(), asked(&bench)), (Phase::Ready, None, 0));
}
