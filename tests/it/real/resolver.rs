//! Names, resolved by a name server in this process whose zone is chosen by the first label.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use sshoal::config::{ClientBuilder, DnsConfig, Resolver};
use sshoal::error::{ResolverProblem, TimeoutKind, UnknownHostProblem};
use sshoal::{Command, HostErrorKind, HostOutput, Stage};

use super::{SLOW, build, client_for, guard, join, run_one, stdout};
use crate::support::fds::FdBaseline;
use crate::support::peers::Unanswered;
use crate::support::sshd::Sshd;
use crate::support::zone::{Zone, closed, dead, v4};

fn dns(servers: impl IntoIterator<Item = SocketAddr>) -> DnsConfig {
    DnsConfig::parse_resolv_conf("").servers(servers)
}

fn client<H: AsRef<str>>(sshd: &Sshd, hosts: impl IntoIterator<Item = H>, dns: DnsConfig) -> ClientBuilder {
    client_for(sshd, hosts).resolver(Resolver::Native(dns))
}

/// Runs `command` on all hosts, whatever their results.
fn outputs(builder: ClientBuilder, command: &str) -> Vec<HostOutput> {
    let mut client = build(builder);
    let outputs = client
        .run_command_with(Command::new(command), sshoal::ReadOptions::default().stop_on_errors(false))
        .expect("valid");
    join(&client, &outputs);
    outputs
}

const WHERE: &str = "set -- $SSH_CONNECTION; echo $3";

#[test]
fn hosts_are_reached_at_the_addresses_that_the_server_gives() {
    let _dog = guard("resolver_found");
    let (zone, sshd) = (Zone::start(), Sshd::start());
    let before = FdBaseline::now();
    let hosts: Vec<String> = (1..=40).map(|n| format!("v4-{n}.example")).collect();
    for (n, output) in (1..).zip(&outputs(client(&sshd, &hosts, dns([zone.address()])), WHERE)) {
        assert_eq!(stdout(output), [v4(n).to_string()], "{:?}", output.outcome());
    }
    assert_eq!(zone.seen().queries.len(), 80, "A and AAAA of each host");
    before.assert_same();
}

/// The IPv6 address has no listener, and few machines have a route to it.
#[test]
fn the_next_address_is_tried_after_any_error() {
    let _dog = guard("resolver_next_address");
    let (zone, sshd) = (Zone::start(), Sshd::builder().listen([v4(7)]).start());
    for host in ["both-7.example", "chain-2.example"] {
        let mut client = build(client(&sshd, [host], dns([zone.address()])));
        assert_eq!(run_one(&mut client, WHERE), [v4(7).to_string()]);
    }
}

/// RFC 8305 section 5. Without the delay, the silent address would take half of the time limit.
#[test]
fn an_address_that_is_silent_is_overtaken_by_the_next() {
    let _dog = guard("resolver_race");
    let (silent, listening) = (v4(0x11), v4(0x12));
    let sshd = Sshd::builder().listen([listening]).start();
    let _hole = Unanswered::at(SocketAddr::new(silent, sshd.port()));
    let hosts: Vec<String> = (1..=8).map(|n| format!("web{n}")).collect();
    let names = hosts.join(" ");
    let dns = dns([]).hosts(format!("{silent} {names}\n{listening} {names}\n").as_bytes());
    let before = FdBaseline::now();
    let (begun, delay) = (Instant::now(), Duration::from_millis(250));
    for output in &outputs(client(&sshd, &hosts, dns).timeout(2 * SLOW).attempt_delay(delay), WHERE) {
        assert_eq!(stdout(output), [listening.to_string()], "{:?}", output.outcome());
    }
    let took = begun.elapsed();
    assert!(delay <= took && took < SLOW / 2, "{took:?}");
    before.assert_same();
}

/// Readiness of an earlier connect counts while later ones are in progress.
#[test]
fn an_address_that_answers_late_may_still_win() {
    let _dog = guard("resolver_late");
    let sshd = Sshd::builder().listen([v4(0x21)]).start();
    let [late, silent] = [v4(0x22), v4(0x23)].map(|ip| Unanswered::at(SocketAddr::new(ip, sshd.port())));
    let (first, second) = (late.address().ip(), silent.address().ip());
    let dns = dns([]).hosts(format!("{first} web\n{second} web\n").as_bytes());
    let builder = client(&sshd, ["web"], dns).timeout(2 * SLOW).attempt_delay(Duration::from_millis(10));
    let begun = Instant::now();
    let answer = thread::spawn(move || {
        // Both connects have started by then; the SYN is repeated after a second.
        thread::sleep(Duration::from_millis(300));
        late.answer_once();
    });
    let found = outputs(builder, "true");
    let error = found[0].error().expect("hung up on");
    assert_eq!(error.stage(), Stage::Handshaking, "{error}");
    assert!(begun.elapsed() < SLOW, "{:?}", begun.elapsed());
    answer.join().expect("it was dialled");
}

#[test]
fn the_search_list_and_the_hosts_file_are_used() {
    let _dog = guard("resolver_search");
    let (zone, sshd) = (Zone::start(), Sshd::start());
    let dns = dns([zone.address()]).search(["nowhere.example", "v4-9.example"]).hosts(b"127.64.1.1 db\n");
    // An address is recorded in its usual form, whatever form the list has.
    let known_hosts = sshd.known_hosts(["v4-3", "db", "127.66.0.1"]);
    let client = client(&sshd, ["v4-3", "db", "127.66.1"], dns).known_hosts([known_hosts]);
    let found = outputs(client, WHERE);
    let found: Vec<String> = found.iter().flat_map(stdout).collect();
    assert_eq!(found, [v4(3).to_string(), "127.64.1.1".to_owned(), "127.66.0.1".to_owned()]);
    assert_eq!(zone.seen().of("v4-3.nowhere.example"), 2);
    assert_eq!(zone.seen().of("db"), 0);
}

#[test]
fn each_failure_has_its_name() {
    let _dog = guard("resolver_failures");
    let (zone, sshd) = (Zone::start(), Sshd::start());
    let hosts = ["nx.example", "nodata.example", "servfail.example", "fe80::1%no-such-if", "a..example"];
    let found = outputs(client(&sshd, hosts, dns([zone.address()])), "true");
    let errors: Vec<_> = found.iter().map(|output| output.error().expect("no address")).collect();
    assert!(errors.iter().all(|error| (error.stage(), error.attempt()) == (Stage::Resolving, 1)));
    use HostErrorKind::{Resolver, UnknownHost};
    for (error, is_expected) in errors.iter().zip([
        |kind: &HostErrorKind| matches!(kind, UnknownHost(UnknownHostProblem::NoSuchName)),
        |kind: &HostErrorKind| matches!(kind, UnknownHost(UnknownHostProblem::NoAddress)),
        |kind: &HostErrorKind| matches!(kind, Resolver(ResolverProblem::ServerFailure(2))),
        |kind: &HostErrorKind| matches!(kind, UnknownHost(UnknownHostProblem::BadName(_))),
        |kind: &HostErrorKind| matches!(kind, UnknownHost(UnknownHostProblem::BadName(_))),
    ]) {
        assert!(is_expected(error.kind()), "{error}");
    }
    assert_eq!(
        errors[0].to_string(),
        format!("nx.example port {}: resolving the name failed: unknown host: no such name", sshd.port())
    );
}

/// parallel-ssh: `UnknownHostError` after `num_retries` tries.
#[test]
fn a_name_may_come_into_being_between_two_attempts() {
    let _dog = guard("resolver_later");
    let (zone, sshd) = (Zone::start(), Sshd::start());
    let builder = |tries, zone: &Zone| {
        let hosts = ["later-5.example", "nx.example"];
        client(&sshd, hosts, dns([zone.address()])).num_retries(tries).retry_delay(Duration::ZERO)
    };
    let found = outputs(builder(3, &zone), WHERE);
    assert_eq!(stdout(&found[0]), [v4(5).to_string()]);
    let error = found[1].error().expect("no such name");
    assert_eq!(error.attempt(), 3);
    assert_eq!(zone.seen().of("nx.example"), 6, "asked for anew by each attempt");
    assert!(outputs(builder(1, &Zone::start()), WHERE)[0].error().is_some());
}

#[test]
fn a_resolver_that_cannot_be_reached_is_no_unknown_host() {
    let _dog = guard("resolver_closed");
    let sshd = Sshd::start();
    let address = closed();
    let begun = Instant::now();
    let found = outputs(client(&sshd, ["web1.example"], dns([address])), "true");
    let error = found[0].error().expect("no server to query");
    let HostErrorKind::Resolver(ResolverProblem::Unreachable(text)) = error.kind() else { panic!("{error}") };
    assert!(text.starts_with(&format!("{address}: ")), "{text}");
    let (_socket, address) = dead();
    let impatient = dns([address]).timeout(Duration::from_millis(500)).attempts(2);
    let found = outputs(client(&sshd, ["web1.example"], impatient), "true");
    let error = found[0].error().expect("no answer");
    let second = Duration::from_secs(1);
    assert!(
        matches!(error.kind(), HostErrorKind::Resolver(ResolverProblem::Timeout(after)) if *after == second)
    );
    assert!(begun.elapsed() < SLOW, "{:?}", begun.elapsed());
}

#[test]
fn a_lookup_counts_against_the_hosts_own_time_limit() {
    let _dog = guard("resolver_timeout");
    let (zone, sshd) = (Zone::start(), Sshd::start());
    let limit = Duration::from_millis(700);
    let before = FdBaseline::now();
    let mut client = build(client(&sshd, ["drop.example"], dns([zone.address()])).timeout(limit));
    let found = client
        .run_command_with(Command::new("true"), sshoal::ReadOptions::default().stop_on_errors(false))
        .expect("valid");
    let error = found[0].error().expect("no answer");
    let kind = TimeoutKind::Connect;
    assert!(
        matches!(error.kind(), HostErrorKind::Timeout { kind: k, after, .. } if (*k, *after) == (kind, limit))
    );
    assert_eq!(error.stage(), Stage::Resolving);
    drop((found, client));
    before.assert_same();
}

/// A black hole for half of the hosts does not delay the other half, although all of them have a
/// place.
#[test]
fn names_without_an_answer_delay_no_other_host() {
    let _dog = guard("resolver_black_hole");
    let (zone, sshd) = (Zone::start(), Sshd::start());
    let hosts: Vec<String> = (0..40)
        .map(|n| if n % 2 == 0 { format!("drop-{n}.example") } else { format!("v4-{n}.example") })
        .collect();
    let mut client = build(client(&sshd, &hosts, dns([zone.address()])).timeout(SLOW));
    let begun = Instant::now();
    let found = client
        .start_command_with(Command::new(WHERE), sshoal::ReadOptions::default().stop_on_errors(false))
        .expect("valid");
    for (n, output) in (0u32..).zip(&found).filter(|(n, _)| n % 2 == 1) {
        assert_eq!(stdout(output), [v4(n).to_string()]);
    }
    let took = begun.elapsed();
    assert!(found.iter().step_by(2).all(|output| output.outcome().is_none()), "they still wait");
    // Those without a response take 10 s.
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[test]
fn the_systems_resolver_can_be_used_instead() {
    let _dog = guard("resolver_system");
    let sshd = Sshd::start();
    let system = || Resolver::System { threads: 2 };
    let mut client = build(client_for(&sshd, ["localhost"]).resolver(system()));
    let reached: IpAddr = run_one(&mut client, WHERE)[0].parse().expect("an address");
    assert!(reached.is_loopback());
    let found = outputs(client_for(&sshd, ["a..example"]).resolver(system()), "true");
    let error = found[0].error().expect("no such name");
    assert!(
        matches!(error.kind(), HostErrorKind::UnknownHost(UnknownHostProblem::System(_))),
        "{error}: {:?}",
        error.kind()
    );
}
