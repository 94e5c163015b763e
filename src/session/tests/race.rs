//! Tests of addresses that race, in simulated time.

use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use super::call::Call;
use super::harness::{Bench, CONNECT, Config, address};
use super::script::{Dial, Script};
use crate::error::HostErrorKind;
use crate::session::Input;
use crate::session::state::Phase;
use crate::stage::TimeoutKind;

const DELAY: Duration = Duration::from_millis(250);
const REFUSED: Errno = Errno::ECONNREFUSED;

/// One address per dial, numbered from 1.
fn race(delay: Option<Duration>, dials: &[Dial]) -> Bench {
    let addresses: Vec<SocketAddr> = (1..).take(dials.len()).map(address).collect();
    let script = addresses
        .iter()
        .zip(dials)
        .fold(Script::default(), |script, (address, dial)| script.dialling(*address, &[*dial]));
    let mut bench =
        Bench::with(Config { addresses, attempts: 1, attempt_delay: delay, ..Config::default() }, script);
    bench.command();
    bench
}

/// Runs to the end. Returns when each address after the first was dialled.
fn dial_times(bench: &mut Bench) -> Vec<Duration> {
    let mut at = Vec::new();
    while !bench.all_ended() {
        let before = bench.dials();
        assert!(bench.round());
        at.resize(at.len() + bench.dials() - before, bench.now);
    }
    at.iter().map(|dialled| *dialled - at[0]).collect()
}

fn dialled(bench: &Bench) -> Vec<&Call> {
    bench.calls(|call| matches!(call, Call::Dial(_) | Call::DialBeside(_) | Call::HangUp | Call::Start))
}

fn connect_error(bench: &Bench) -> (SocketAddr, usize, usize, Option<i32>) {
    let HostErrorKind::Connect { address, tried, known, error } = bench.error(0).kind() else {
        panic!("{}", bench.error(0))
    };
    (*address, *tried, *known, error.raw_os_error())
}

#[test]
fn the_next_address_is_dialled_beside_after_the_delay_and_not_before() {
    let mut bench = race(Some(DELAY), &[Dial::Silent, Dial::Silent, Dial::Connects(1)]);
    bench.round = Duration::ZERO;
    assert_eq!(dial_times(&mut bench), [Duration::ZERO, DELAY, 2 * DELAY]);
    assert!(bench.outcome(0).is_success());
    let beside = |last| Call::DialBeside(address(last));
    assert_eq!(dialled(&bench), [&Call::Dial(address(1)), &beside(2), &beside(3), &Call::Start]);
}

#[test]
fn without_a_delay_nothing_is_dialled_beside() {
    let mut bench = race(None, &[Dial::Silent, Dial::Silent, Dial::Connects(1)]);
    bench.round = Duration::ZERO;
    let third = CONNECT / 3;
    assert_eq!(dial_times(&mut bench), [Duration::ZERO, third, third + (CONNECT - third) / 2]);
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.calls(|call| matches!(call, Call::DialBeside(_))).len(), 0);
}

#[test]
fn an_address_that_answers_in_time_is_the_only_one() {
    let mut bench = race(Some(DELAY), &[Dial::Connects(200), Dial::Connects(1)]);
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(dialled(&bench), [&Call::Dial(address(1)), &Call::Start]);
}

#[test]
fn the_first_address_to_connect_wins_even_if_dialled_earlier() {
    let mut bench = race(Some(DELAY), &[Dial::Connects(300), Dial::Connects(100), Dial::Connects(1)]);
    assert_eq!(dial_times(&mut bench).len(), 2);
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.calls(|call| *call == Call::Start).len(), 1);
}

#[test]
fn a_failed_address_is_followed_by_the_next_at_once() {
    for dial in [Dial::Fails(2, REFUSED), Dial::FailsAtOnce(Errno::ENETUNREACH)] {
        let mut bench = race(Some(DELAY), &[Dial::Silent, dial, Dial::Connects(1)]);
        let at = dial_times(&mut bench);
        assert!(at[1] >= DELAY && at[2] - at[1] < DELAY / 10, "{dial:?}: {at:?}");
        assert!(bench.outcome(0).is_success());
        let third = [&Call::DialBeside(address(3)), &Call::Start];
        assert_eq!(dialled(&bench)[2..], third, "the first was given up");
    }
}

/// The readiness of several sockets is reported together, and only once.
#[test]
fn failures_at_the_same_time_are_all_noticed() {
    let mut bench = race(Some(DELAY), &[Dial::Fails(1, REFUSED), Dial::Fails(1, Errno::EHOSTUNREACH)]);
    bench.run_until_phase(Phase::Connecting);
    bench.now += DELAY;
    bench.step(Input::Wake);
    assert_eq!((bench.dials(), bench.phase()), (2, Phase::Connecting));
    bench.round();
    assert_eq!(bench.phase(), Phase::Failed);
    assert_eq!(connect_error(&bench), (address(2), 2, 2, Some(Errno::EHOSTUNREACH as i32)));
}

#[test]
fn the_error_names_the_address_that_failed_last() {
    let mut bench = race(Some(DELAY), &[Dial::Fails(400, Errno::EHOSTUNREACH), Dial::Fails(1, REFUSED)]);
    bench.run();
    assert_eq!(connect_error(&bench), (address(1), 2, 2, Some(Errno::EHOSTUNREACH as i32)));
}

#[test]
fn the_time_limit_holds_for_all_together() {
    let mut bench = race(Some(DELAY), &[Dial::Silent; 3]);
    bench.round = Duration::ZERO;
    let begun = bench.now;
    bench.run();
    assert_eq!((bench.now - begun, bench.dials()), (CONNECT, 3));
    let is_expected = |kind: &HostErrorKind| matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Connect, after } if *after == CONNECT);
    assert!(is_expected(bench.error(0).kind()), "{}", bench.error(0));
}

#[test]
fn a_delay_longer_than_an_equal_share_holds_no_address_back() {
    let mut bench = race(Some(CONNECT), &[Dial::Silent, Dial::Connects(1)]);
    bench.round = Duration::ZERO;
    assert_eq!(dial_times(&mut bench), [Duration::ZERO, CONNECT / 2]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn without_a_descriptor_the_connect_in_progress_continues() {
    let script = Script::default().dialling(address(1), &[Dial::Connects(800)]);
    let none = [Dial::FailsAtOnce(Errno::EMFILE), Dial::FailsAtOnce(Errno::ENFILE), Dial::Silent];
    let config = Config {
        addresses: vec![address(1), address(2)],
        attempts: 1,
        attempt_delay: Some(DELAY),
        ..Config::default()
    };
    let mut bench = Bench::with(config, script.dialling(address(2), &none));
    bench.command();
    let at = dial_times(&mut bench);
    assert_eq!(at.len(), 4, "the address is dialled again each time: {at:?}");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= DELAY), "{at:?}");
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.no_descriptor, 0);
}

#[test]
fn without_a_descriptor_or_a_connect_in_progress_the_host_is_queued() {
    let dials = [Dial::Fails(300, REFUSED), Dial::FailsAtOnce(Errno::EMFILE)];
    let mut bench = race(Some(DELAY), &dials);
    bench.run_until(|bench| bench.no_descriptor > 0);
    assert_eq!(bench.phase(), Phase::Queued);
}

fn v6(last: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 22))
}

/// RFC 8305 section 4 requires this.
#[test]
fn address_families_alternate() {
    let (a, b, c) = (address(1), address(2), address(3));
    for (addresses, expected) in [
        (vec![v6(1), v6(2), v6(3), a, b], vec![v6(1), a, v6(2), b, v6(3)]),
        (vec![a, b, c, v6(1)], vec![a, v6(1), b, c]),
        (vec![a, b], vec![a, b]),
    ] {
        let script = expected.iter().fold(Script::default(), |script, address| {
            script.dialling(*address, &[Dial::FailsAtOnce(REFUSED)])
        });
        let config = Config { addresses, attempts: 1, attempt_delay: Some(DELAY), ..Config::default() };
        let mut bench = Bench::with(config, script);
        bench.command();
        bench.run();
        let dialled = |call: &Call| if let Call::Dial(address) = call { Some(*address) } else { None };
        assert_eq!(bench.link.calls.iter().filter_map(dialled).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_host_behind_a_proxy_does_not_race() {
    let config = Config { proxied: true, attempt_delay: Some(DELAY), ..Config::default() };
    let mut bench = Bench::with(config, Script::default());
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.dials(), 0);
}
