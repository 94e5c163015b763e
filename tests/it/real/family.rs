//! Address families: which of a host's addresses are used, and the error of a host without a
//! matching one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use sshoal::config::{AddressFamily, ClientBuilder};
use sshoal::error::UnknownHostProblem;
use sshoal::{Command, HostConfig, HostErrorKind, Stage};

use super::{SLOW, build, client_for, guard, join, stdout};
use crate::support::sshd::Sshd;

const V4: &str = "127.0.2.1";
const V6: &str = "::1";

/// The hosts' answers: the family they were reached by, or the requested family and the addresses
/// found instead.
#[track_caller]
fn reached(builder: ClientBuilder) -> Vec<Result<String, (AddressFamily, Vec<IpAddr>)>> {
    let mut client = build(builder);
    let server = Command::new("set -- $SSH_CONNECTION; echo $3");
    let outputs =
        client.run_command_with(server, sshoal::ReadOptions::default().stop_on_errors(false)).expect("valid");
    join(&client, &outputs);
    let answer = |output: &sshoal::HostOutput| match output.error() {
        None => Ok(stdout(output).concat()),
        Some(error) => match error.kind() {
            HostErrorKind::UnknownHost(UnknownHostProblem::OtherFamily { wanted, found }) => {
                assert_eq!((error.stage(), error.attempt()), (Stage::Resolving, 1), "{error}");
                Err((*wanted, found.clone()))
            }
            _ => panic!("{error}"),
        },
    };
    outputs.iter().map(answer).collect()
}

fn both() -> Sshd {
    Sshd::builder().listen([Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()]).start()
}

/// parallel-ssh: `ipv6_only`, `NoIPv6AddressFoundError`. Three attempts, 20 s apart, are allowed;
/// only one is made.
#[test]
fn an_address_of_another_family_is_refused_before_anything_is_sent() {
    let _dog = guard("family_literals");
    let sshd = both();
    let client = || client_for(&sshd, [V4, V6]).num_retries(3).retry_delay(SLOW);
    let [v4, v6] = [V4, V6].map(|text| text.parse::<IpAddr>().expect("an address"));
    let begun = Instant::now();
    assert_eq!(reached(client().ipv6_only(true)), [Err((AddressFamily::V6, vec![v4])), Ok(V6.to_owned())]);
    let only_v4 = reached(client().address_family(AddressFamily::V4));
    assert_eq!(only_v4, [Ok(V4.to_owned()), Err((AddressFamily::V4, vec![v6]))]);
    assert!(begun.elapsed() < SLOW, "{:?}", begun.elapsed());
    assert_eq!(sshd.count("Connection from"), 2);
    for family in [AddressFamily::Any, AddressFamily::PreferV4, AddressFamily::PreferV6] {
        let answers = reached(client().address_family(family));
        assert_eq!(answers, [Ok(V4.to_owned()), Ok(V6.to_owned())], "{family}");
    }
}

/// parallel-ssh ignores a host's `ipv6_only=False`.
#[test]
fn each_host_has_its_own_family() {
    let _dog = guard("family_per_host");
    let sshd = both();
    let configs = [
        HostConfig::default(),
        HostConfig::default().ipv6_only(false),
        HostConfig::default(),
        HostConfig::default().address_family(AddressFamily::V4),
    ];
    let answers = reached(client_for(&sshd, [V4, V4, V6, V6]).ipv6_only(true).host_config(configs));
    let reached: Vec<_> =
        answers.iter().map(|answer| answer.as_deref().map_err(|(wanted, _)| *wanted)).collect();
    assert_eq!(reached, [Err(AddressFamily::V6), Ok(V4), Ok(V6), Err(AddressFamily::V4)]);
}

/// `localhost` always has 127.0.0.1; whether it has `::1` depends on the machine.
#[test]
fn a_name_is_reached_by_the_family_that_is_wanted() {
    let _dog = guard("family_of_a_name");
    let sshd = both();
    let client = || client_for(&sshd, ["localhost"]).num_retries(3).retry_delay(Duration::from_secs(60));
    for family in [AddressFamily::V4, AddressFamily::PreferV4] {
        assert_eq!(reached(client().address_family(family)), [Ok("127.0.0.1".to_owned())], "{family}");
    }
    let has_v6 = reached(client().address_family(AddressFamily::PreferV6)) == [Ok(V6.to_owned())];
    match reached(client().ipv6_only(true)).remove(0) {
        Ok(address) => assert_eq!((address.as_str(), has_v6), (V6, true)),
        Err((wanted, found)) => {
            assert_eq!((wanted, has_v6), (AddressFamily::V6, false));
            assert!(
                found.iter().all(|address| *address == Ipv4Addr::LOCALHOST) && !found.is_empty(),
                "{found:?}"
            );
        }
    }
}
