//! Tests of the way from a name to a connection: addresses in turn, time slices, and a lack of
//! descriptors.

use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;

use super::call::Call;
use super::harness::{Bench, CONNECT, Config, address};
use super::script::{Answer, Dial, Peer, Script};
use crate::error::{HostErrorKind, UnknownHostProblem};
use crate::host::AddressFamily;
use crate::limits;
use crate::session::Input;
use crate::session::state::Phase;
use crate::stage::{Stage, TimeoutKind};

fn config(addresses: u8, attempts: u32) -> Config {
    let addresses = (1..=addresses).map(address).collect();
    Config { addresses, attempts, ..Config::default() }
}

fn dialled(bench: &Bench) -> Vec<u8> {
    let last = |call: &Call| match call {
        Call::Dial(address) => Some(*address.to_string().strip_suffix(":22")?.as_bytes().last()? - b'0'),
        _ => None,
    };
    bench.link.calls.iter().filter_map(last).collect()
}

#[test]
fn an_address_needs_no_lookup() {
    let mut bench = Bench::with(Config { host: "192.0.2.7", ..Config::default() }, Script::default());
    bench.command();
    bench.step(Input::Admitted { commands: usize::MAX });
    assert!(!bench.lookup);
    assert_eq!(bench.calls(|call| *call == Call::Dial(address(7))).len(), 1);
}

#[test]
fn an_identification_sent_before_ssh_starts_is_read() {
    for write_through in [false, true] {
        let peer = Peer { handshake: Answer::ok(0), write_through, ..Peer::default() };
        let mut bench = Bench::new(Script::peer(peer));
        bench.command();
        bench.run();
        assert_eq!((bench.dials(), bench.outcome(0).is_success()), (1, true));
    }
}

#[test]
fn a_name_is_looked_up_before_anything_is_dialled() {
    let mut bench = Bench::new(Script::default());
    bench.command();
    bench.step(Input::Admitted { commands: usize::MAX });
    assert!(bench.lookup);
    assert!(bench.link.calls.is_empty());
    assert!(bench.uses_place());
}

#[test]
fn each_address_is_dialled_until_one_answers() {
    let script = Script::default()
        .dialling(address(1), &[Dial::FailsAtOnce(Errno::ENETUNREACH)])
        .dialling(address(2), &[Dial::Fails(2, Errno::ECONNREFUSED)]);
    let mut bench = Bench::with(config(4, 1), script);
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(dialled(&bench), [1, 2, 3]);
}

#[test]
fn the_error_names_the_last_address_and_how_many_were_tried() {
    let script = Script::default()
        .dialling(address(1), &[Dial::Fails(1, Errno::EHOSTUNREACH)])
        .dialling(address(2), &[Dial::Fails(1, Errno::ECONNREFUSED)]);
    let mut bench = Bench::with(config(2, 1), script);
    bench.command();
    bench.run();
    let HostErrorKind::Connect { address: last, tried, known, error } = bench.error(0).kind() else {
        panic!("{}", bench.error(0))
    };
    assert_eq!((*last, *tried, *known), (address(2), 2, 2));
    assert_eq!(error.raw_os_error(), Some(Errno::ECONNREFUSED as i32));
    assert_eq!(bench.error(0).stage(), Stage::Connecting);
}

#[test]
fn a_name_without_addresses_is_an_unknown_host() {
    let mut bench = Bench::with(config(0, 1), Script::default());
    bench.command();
    bench.run();
    assert!(matches!(bench.error(0).kind(), HostErrorKind::UnknownHost(_)));
}

fn v6(last: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 22))
}

/// The addresses dialled when every one of them refuses.
fn dialled_with(family: AddressFamily) -> Vec<SocketAddr> {
    let addresses = vec![address(1), v6(1), address(2), v6(2)];
    let refuse = |script: Script, address: &SocketAddr| {
        script.dialling(*address, &[Dial::FailsAtOnce(Errno::ECONNREFUSED)])
    };
    let script = addresses.iter().fold(Script::default(), refuse);
    let mut bench = Bench::with(Config { addresses, family, attempts: 1, ..Config::default() }, script);
    bench.command();
    bench.run();
    let dialled = |call: &Call| if let Call::Dial(address) = call { Some(*address) } else { None };
    bench.link.calls.iter().filter_map(dialled).collect()
}

#[test]
fn the_family_says_which_addresses_are_dialled_and_in_which_order() {
    let (a, b, c, d) = (address(1), v6(1), address(2), v6(2));
    for (family, expected) in [
        (AddressFamily::Any, vec![a, b, c, d]),
        (AddressFamily::PreferV4, vec![a, c, b, d]),
        (AddressFamily::PreferV6, vec![b, d, a, c]),
        (AddressFamily::V4, vec![a, c]),
        (AddressFamily::V6, vec![b, d]),
    ] {
        assert_eq!(dialled_with(family), expected, "{family}");
    }
}

/// parallel-ssh: `NoIPv6AddressFoundError`.
#[test]
fn a_host_of_the_other_family_is_unknown_and_not_tried_again() {
    for (host, addresses, family, found) in [
        ("192.0.2.1", vec![], AddressFamily::V6, vec!["192.0.2.1"]),
        ("2001:db8::1", vec![], AddressFamily::V4, vec!["2001:db8::1"]),
        ("web1", vec![address(1), address(2)], AddressFamily::V6, vec!["192.0.2.1", "192.0.2.2"]),
        ("web1", vec![v6(1)], AddressFamily::V4, vec!["2001:db8::1"]),
    ] {
        let config = Config { host, addresses, family, attempts: 3, ..Config::default() };
        let mut bench = Bench::with(config, Script::default());
        bench.command();
        bench.run();
        let error = bench.error(0);
        let HostErrorKind::UnknownHost(UnknownHostProblem::OtherFamily { wanted, found: others }) =
            error.kind()
        else {
            panic!("{error}")
        };
        let others: Vec<_> = others.iter().map(ToString::to_string).collect();
        assert_eq!((*wanted, others), (family, found.iter().map(ToString::to_string).collect()));
        assert_eq!((error.stage(), error.attempt(), bench.dials()), (Stage::Resolving, 1, 0));
        let text = format!("no {family} address: found only {}", found.join(", "));
        assert!(error.to_string().ends_with(&text), "{error}");
    }
}

/// Name servers are asked for the wanted family only, so their answer says nothing about the other
/// family.
#[test]
fn no_address_of_the_only_family_is_final_and_none_at_all_is_not() {
    for (family, attempts) in [(AddressFamily::V6, 1), (AddressFamily::Any, 3), (AddressFamily::PreferV6, 3)]
    {
        let mut bench = Bench::with(Config { family, attempts: 3, ..Config::default() }, Script::default());
        bench.lookups = vec![Err(|| HostErrorKind::UnknownHost(UnknownHostProblem::NoAddress))];
        bench.command();
        bench.run();
        let error = bench.error(0);
        assert_eq!(
            (error.stage(), error.attempt(), bench.dials()),
            (Stage::Resolving, attempts, 0),
            "{error}"
        );
        assert_eq!(error.to_string().ends_with("no IPv6 address"), attempts == 1, "{error}");
    }
}

#[test]
fn no_more_addresses_are_dialled_than_the_limit() {
    let addresses: Vec<_> = (0..200).map(address).collect();
    let mut script = Script::default();
    for address in &addresses {
        script = script.dialling(*address, &[Dial::FailsAtOnce(Errno::ENETUNREACH)]);
    }
    let mut bench = Bench::with(Config { addresses, attempts: 1, ..Config::default() }, script);
    bench.command();
    bench.run();
    assert_eq!(bench.dials(), limits::ADDRESSES);
}

#[test]
fn a_silent_address_gives_way_after_its_share_and_the_last_has_the_rest() {
    let mut script = Script::default();
    for last in 1..=3 {
        script = script.dialling(address(last), &[Dial::Silent]);
    }
    let mut bench = Bench::with(config(3, 1), script);
    bench.round = Duration::ZERO;
    bench.command();
    let begun = bench.now;
    let mut at = Vec::new();
    while !bench.all_ended() {
        let before = bench.dials();
        assert!(bench.round());
        if bench.dials() > before {
            at.push(bench.now - begun);
        }
    }
    let third = CONNECT / 3;
    assert_eq!(at, [Duration::ZERO, third, third + (CONNECT - third) / 2]);
    assert_eq!(bench.now - begun, CONNECT, "the total differs from the connect limit");
    let HostErrorKind::Timeout { kind: TimeoutKind::Connect, after } = bench.error(0).kind() else {
        panic!()
    };
    assert_eq!(*after, CONNECT);
}

#[test]
fn an_address_gets_at_least_a_second() {
    let addresses: Vec<_> = (1..=30).map(address).collect();
    let mut script = Script::default();
    for address in &addresses {
        script = script.dialling(*address, &[Dial::Silent]);
    }
    let mut bench = Bench::with(Config { addresses, attempts: 1, ..Config::default() }, script);
    bench.round = Duration::ZERO;
    bench.command();
    let begun = bench.now;
    bench.run();
    assert_eq!(bench.now - begun, CONNECT);
    assert_eq!(bench.dials() as u64, CONNECT.as_secs() / limits::ADDRESS_SLICE_MIN.as_secs());
}

#[test]
fn a_lookup_counts_against_the_connect_limit() {
    let mut bench = Bench::with(config(1, 1), Script::default().dialling(address(1), &[Dial::Silent]));
    bench.command();
    let begun = bench.now;
    bench.step(Input::Admitted { commands: usize::MAX });
    bench.now = begun + CONNECT - Duration::from_millis(1);
    bench.step(Input::Resolved(Ok(vec![address(1)])));
    assert_eq!(bench.deadline(), Some(begun + CONNECT));
}

#[test]
fn a_late_answer_to_a_lookup_is_ignored() {
    let mut bench = Bench::with(config(1, 1), Script::default());
    bench.command();
    bench.step(Input::Admitted { commands: usize::MAX });
    bench.now += CONNECT;
    bench.step(Input::Wake);
    assert_eq!(bench.phase(), Phase::Failed);
    bench.step(Input::Resolved(Ok(vec![address(1)])));
    assert_eq!((bench.phase(), bench.dials()), (Phase::Failed, 0));
}

#[test]
fn without_a_descriptor_the_host_is_queued_and_no_attempt_is_counted() {
    let mut dials = vec![Dial::FailsAtOnce(Errno::EMFILE); 5];
    let refused = Dial::Fails(1, Errno::ECONNREFUSED);
    dials.extend([Dial::FailsAtOnce(Errno::ENFILE), refused, Dial::Connects(1)]);
    let mut bench = Bench::with(config(1, 2), Script::default().dialling(address(1), &dials));
    bench.command();
    bench.step(Input::Admitted { commands: usize::MAX });
    bench.step(Input::Resolved(Ok(vec![address(1)])));
    assert_eq!(bench.no_descriptor, 1);
    assert_eq!(bench.phase(), Phase::Queued);
    assert!(bench.wants_place() && !bench.uses_place());
    bench.run();
    assert_eq!(bench.no_descriptor, 6);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn a_host_given_up_without_a_descriptor_fails_with_that_reason() {
    let dials = [Dial::FailsAtOnce(Errno::EMFILE)];
    let mut bench = Bench::with(config(1, 3), Script::default().dialling(address(1), &dials));
    bench.command();
    bench.step(Input::Admitted { commands: usize::MAX });
    bench.step(Input::Resolved(Ok(vec![address(1)])));
    bench.step(Input::GiveUp(HostErrorKind::Limit("no descriptor is free".to_owned())));
    assert_eq!(bench.phase(), Phase::Failed);
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Limit(_)));
    assert_eq!(bench.error(0).attempt(), 0, "counted an attempt that was not made");
}
