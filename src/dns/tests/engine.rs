//! The whole resolver over real sockets, against a name server in this process.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use mio::{Events, Poll, Token, Waker};

use super::zone::{Zone, closed, dead, v4};
use crate::dns::{
    Dns, DnsConfig, Finished, LookupError, LookupId, LookupResult, Recall, Resolver, Ties, Wanted,
};
use crate::host::AddressFamily;
use crate::limits;

const WAKER: Token = Token(usize::MAX);
/// Long enough even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn token(index: usize, generation: u32) -> Token {
    Token((generation as usize) << 32 | index)
}

pub struct Bench {
    poll: Poll,
    pub dns: Dns,
    pub turns: u32,
    results: HashMap<usize, LookupResult>,
    owners: usize,
}

impl Bench {
    pub fn new(resolver: Resolver) -> Self {
        let poll = Poll::new().unwrap();
        let ties = Ties {
            registry: Arc::new(poll.registry().try_clone().unwrap()),
            waker: Arc::new(Waker::new(poll.registry(), WAKER).unwrap()),
            token,
        };
        let dns = Dns::new(resolver, 10_000, ties, Instant::now());
        Self { poll, dns, turns: 0, results: HashMap::new(), owners: 0 }
    }

    pub fn native(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::new(Resolver::Native(config(servers)))
    }

    pub fn start(&mut self, host: &str) -> (usize, LookupId) {
        self.start_with(host, AddressFamily::Any, Recall::All)
    }

    pub fn start_with(&mut self, host: &str, family: AddressFamily, recall: Recall) -> (usize, LookupId) {
        let owner = self.owners;
        self.owners += 1;
        (owner, self.dns.start(Wanted { host: &host.into(), port: 22, family, recall, owner }))
    }

    pub fn start_v4(&mut self, host: &str) -> usize {
        self.start_with(host, AddressFamily::V4, Recall::All).0
    }

    pub fn turn(&mut self) {
        let mut events = Events::with_capacity(64);
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        let wait = match self.dns.next_deadline() {
            _ if self.dns.has_work() => Duration::ZERO,
            next => next.map_or(PATIENCE, until).min(Duration::from_secs(1)),
        };
        self.poll.poll(&mut events, Some(wait)).unwrap();
        for event in &events {
            let Token(value) = event.token();
            if event.token() != WAKER {
                self.dns.ready(value & 0xffff_ffff, (value >> 32) as u32);
            }
        }
        self.dns.advance(Instant::now());
        self.turns += 1;
        while let Some(Finished { owner, result, .. }) = self.dns.next_finished() {
            assert!(self.results.insert(owner, result).is_none(), "{owner} ends twice");
        }
    }

    /// Runs turns until this lookup has ended.
    pub fn wait(&mut self, owner: usize) -> LookupResult {
        let started = Instant::now();
        loop {
            if let Some(result) = self.results.remove(&owner) {
                return result;
            }
            assert!(started.elapsed() < PATIENCE, "the lookup does not end");
            self.turn();
        }
    }

    pub fn look_up(&mut self, host: &str) -> LookupResult {
        let (owner, _) = self.start(host);
        self.wait(owner)
    }

    /// Runs turns until this lookup has ended. Also returns how long the lookup took.
    pub fn timed(&mut self, host: &str) -> (LookupResult, Duration) {
        let started = Instant::now();
        let result = self.look_up(host);
        (result, started.elapsed())
    }
}

pub fn config(servers: impl IntoIterator<Item = SocketAddr>) -> DnsConfig {
    DnsConfig::parse_resolv_conf("").servers(servers)
}

pub fn ips(result: LookupResult) -> Vec<IpAddr> {
    let addresses = result.expect("found");
    assert!(addresses.iter().all(|address| address.port() == 22));
    let mut ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
    ips.sort_unstable();
    ips
}

fn v6(number: u32) -> IpAddr {
    Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(number)).into()
}

#[test]
fn every_name_in_the_zone_is_found() {
    let zone = Zone::start();
    let mut bench = Bench::native([zone.address()]);
    for (name, expected) in [
        ("v4-1.example", vec![v4(1)]),
        ("v6-2.example", vec![v6(2)]),
        ("both-3.example", vec![v4(3), v6(3)]),
        ("BOTH-3.Example.", vec![v4(3), v6(3)]),
        ("chain-3.example", vec![v4(7), v6(7)]),
        ("hop-3.example", vec![v4(0), v6(0)]),
        ("wrongid-4.example", vec![v4(4), v6(4)]),
        ("wrongq-5.example", vec![v4(5), v6(5)]),
        ("garbage-6.example", vec![v4(6), v6(6)]),
        ("half-7.example", vec![v4(7), v6(7)]),
        ("delay-20.example", vec![v4(20), v6(20)]),
        ("formerr-8.example", vec![v4(8), v6(8)]),
        ("aaaafail-9.example", vec![v4(9)]),
        ("afail-9.example", vec![v6(9)]),
        ("nx6-3.example", vec![v4(3)]),
    ] {
        assert_eq!(ips(bench.look_up(name)), expected, "{name}");
    }
    let many = ips(bench.look_up("many.example"));
    assert_eq!(many.len(), 60, "30 of each family, in messages of up to 1,232 bytes");
}

#[test]
fn missing_names_report_their_reason() {
    let zone = Zone::start();
    let mut bench = Bench::native([zone.address()]);
    for (name, expected) in [
        ("nx.example", LookupError::NoSuchName),
        ("dangling.example", LookupError::NoSuchName),
        ("nodata.example", LookupError::NoAddress),
        ("chain-12.example", LookupError::NoAddress),
        ("loop-1.example", LookupError::NoAddress),
        ("servfail.example", LookupError::Rcode(2)),
        ("refused.example", LookupError::Rcode(5)),
        ("notimp.example", LookupError::Rcode(4)),
        ("unformed.example", LookupError::Rcode(1)),
        ("tctc.example", LookupError::BadAnswer),
    ] {
        let (result, took) = bench.timed(name);
        assert_eq!(result, Err(expected), "{name}");
        assert!(took < Duration::from_secs(5), "{name}: {took:?}");
    }
}

#[test]
fn a_lost_message_costs_400_ms_and_a_missing_family_50() {
    let zone = Zone::start();
    let mut bench = Bench::native([zone.address()]);
    let (found, took) = bench.timed("flaky-1.example");
    assert_eq!(ips(found), [v4(1), v6(1)]);
    assert!((400..3_000).contains(&took.as_millis()), "{took:?}");
    for (name, expected) in [("adrop-1.example", v6(1)), ("aaaadrop-1.example", v4(1))] {
        let (found, took) = bench.timed(name);
        assert_eq!(ips(found), [expected]);
        assert!((50..400).contains(&took.as_millis()), "{took:?}");
    }
}

#[test]
fn a_name_server_can_have_an_ipv6_address() {
    let zone = Zone::start_on(Ipv6Addr::LOCALHOST.into());
    let mut bench = Bench::native([zone.address()]);
    assert_eq!(ips(bench.look_up("both-1.example")), [v4(1), v6(1)]);
    let owner = bench.start_v4("tc.example");
    assert_eq!(ips(bench.wait(owner)).len(), limits::ADDRESSES, "over TCP");
}

#[test]
fn only_the_requested_family_is_queried() {
    let zone = Zone::start();
    let mut bench = Bench::native([zone.address()]);
    for (family, expected, wanted) in
        [(AddressFamily::V4, v4(1), RecordType::A), (AddressFamily::V6, v6(1), RecordType::AAAA)]
    {
        let name = format!("both-1.{family}.example");
        let (owner, _) = bench.start_with(&name, family, Recall::All);
        assert_eq!(ips(bench.wait(owner)), [expected]);
        assert_eq!(zone.seen().queries.last(), Some(&(name.to_lowercase(), wanted)));
    }
    assert_eq!(zone.seen().queries.len(), 2);
    let (owner, _) = bench.start_with("v4-1.example", AddressFamily::V6, Recall::All);
    assert_eq!(bench.wait(owner), Err(LookupError::NoAddress));
}

#[test]
fn local_names_send_no_query_and_open_no_socket() {
    let zone = Zone::start();
    let hosts = b"127.5.5.5 hosted\n::1 hosted6\n127.6.6.6 localhost.example\n";
    let mut bench =
        Bench::new(Resolver::Native(config([zone.address()]).search(["v4-1.example"]).hosts(hosts)));
    let loopback = vec!["127.0.0.1".parse().unwrap(), IpAddr::from(Ipv6Addr::LOCALHOST)];
    for (host, expected) in [
        ("127.0.0.9", vec!["127.0.0.9".parse().unwrap()]),
        ("127.1", vec!["127.0.0.1".parse().unwrap()]),
        ("0x7f000002", vec!["127.0.0.2".parse().unwrap()]),
        ("::1", vec![IpAddr::from(Ipv6Addr::LOCALHOST)]),
        // The file has precedence over DNS, where `hosted.v4-1.example` exists, and one family is
        // enough.
        ("hosted", vec!["127.5.5.5".parse().unwrap()]),
        ("HOSTED6", vec![IpAddr::from(Ipv6Addr::LOCALHOST)]),
        ("localhost.example", vec!["127.6.6.6".parse().unwrap()]),
        ("localhost", loopback.clone()),
        ("any.localhost.", loopback),
    ] {
        assert_eq!(ips(bench.look_up(host)), expected, "{host}");
    }
    for host in ["a..b", &"x".repeat(64), "fe80::1%no-such-if"] {
        assert!(matches!(bench.look_up(host), Err(LookupError::BadName(_))), "{host}");
    }
    assert_eq!(zone.seen().queries, []);
    assert_eq!(bench.dns.descriptors_left(), 5, "no socket is open");
}

#[test]
fn truncated_responses_share_one_connection() {
    let zone = Zone::start();
    let mut bench = Bench::native([zone.address()]);
    let owners: Vec<usize> = (0..500).map(|n| bench.start_v4(&format!("tc-{n}.example"))).collect();
    for owner in owners {
        assert_eq!(ips(bench.wait(owner)).len(), limits::ADDRESSES);
    }
    assert_eq!(zone.seen().connections, 1);
}

#[test]
fn a_closed_connection_is_reopened_only_if_it_had_answered() {
    let zone = Zone::start();
    let mut bench = Bench::native([zone.address()]);
    // The server closes the connection after each response, while other queries are open.
    let owners: Vec<usize> = (0..20).map(|n| bench.start_v4(&format!("tconce-{n}.example"))).collect();
    for owner in owners {
        assert_eq!(ips(bench.wait(owner)).len(), limits::ADDRESSES);
    }
    let (result, took) = bench.timed("tcbreak.example");
    assert!(matches!(result, Err(LookupError::Unreachable(_))), "{result:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn equal_lookups_are_shared() {
    let zone = Zone::start();
    let mut bench = Bench::native([zone.address()]);
    let owners: Vec<usize> = (0..100).map(|_| bench.start("delay-30.example").0).collect();
    for owner in owners {
        assert_eq!(ips(bench.wait(owner)), [v4(30), v6(30)]);
    }
    assert_eq!(zone.seen().of("delay-30.example"), 2, "A and AAAA");
}

#[test]
fn responses_are_cached_and_a_retry_repeats_negative_ones() {
    let zone = Zone::start();
    let mut bench = Bench::native([zone.address()]);
    for name in ["both-1.example", "nx.example", "ttl-0.example", "servfail.example"] {
        let first = bench.look_up(name);
        assert_eq!(bench.look_up(name), first, "{name}");
    }
    let seen = zone.seen();
    let asked =
        ["both-1.example", "nx.example", "ttl-0.example", "servfail.example"].map(|name| seen.of(name));
    assert_eq!(asked, [2, 2, 4, 4]);
    for name in ["both-1.example", "nx.example"] {
        let (owner, _) = bench.start_with(name, AddressFamily::Any, Recall::Addresses);
        let _ = bench.wait(owner);
    }
    let seen = zone.seen();
    assert_eq!([seen.of("both-1.example"), seen.of("nx.example")], [2, 4]);
    let started = Instant::now();
    let _ = bench.look_up("ttl-1.example");
    while started.elapsed() < Duration::from_millis(1_100) {
        bench.dns.advance(Instant::now());
        std::thread::yield_now();
    }
    let _ = bench.look_up("ttl-1.example");
    assert_eq!(zone.seen().of("ttl-1.example"), 4);
}

#[test]
fn ten_thousand_names_need_few_descriptors_and_leave_none() {
    const NAMES: u32 = 10_000;
    let zone = Zone::start();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut bench = Bench::native([zone.address()]);
    let before = open();
    let owners: Vec<usize> = (0..NAMES).map(|n| bench.start(&format!("v4-{n}.example")).0).collect();
    let mut peak = 0;
    while bench.results.len() < owners.len() {
        bench.turn();
        if bench.turns.is_multiple_of(64) {
            peak = peak.max(open());
        }
    }
    for (n, owner) in (0..NAMES).zip(owners) {
        assert_eq!(ips(bench.wait(owner)), [v4(n)]);
    }
    assert!(peak - before <= limits::DNS_PORTS + 1, "{before} descriptors, then {peak}");
    assert_eq!(open(), before, "while nothing is looked up, nothing is open");
    // At most 16 lookups start in one turn, so that no turn is long.
    assert!(bench.turns as usize >= NAMES as usize / limits::DNS_PER_TURN, "{} turns", bench.turns);
}

#[test]
fn the_system_resolver_finds_this_machine() {
    let mut bench = Bench::new(Resolver::System { threads: 2 });
    assert!(ips(bench.look_up("localhost")).iter().all(IpAddr::is_loopback));
    assert_eq!(ips(bench.look_up("127.1")), ["127.0.0.1".parse::<IpAddr>().unwrap()]);
    // A cancelled lookup still ends, but is not reported.
    let (owner, id) = bench.start("localhost");
    bench.dns.cancel(id);
    assert!(ips(bench.look_up("localhost")).iter().all(IpAddr::is_loopback));
    assert!(!bench.results.contains_key(&owner));
}

mod servers {
    use super::*;

    #[test]
    fn a_closed_port_is_noticed_at_once() {
        let mut bench = Bench::native([closed()]);
        let (result, took) = bench.timed("v4-1.example");
        assert!(matches!(result, Err(LookupError::Unreachable(_))), "{result:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        let zone = Zone::start();
        let mut bench = Bench::native([closed(), zone.address()]);
        for n in 0..20 {
            let (result, took) = bench.timed(&format!("v4-{n}.example"));
            assert_eq!(ips(result), [v4(n)]);
            assert!(took < limits::DNS_FIRST_PAUSE, "{took:?}");
        }
    }

    #[test]
    fn a_dead_server_alone_is_a_timeout() {
        let (_dead, address) = dead();
        let config = config([address]).timeout(Duration::from_millis(600)).attempts(2);
        let mut bench = Bench::new(Resolver::Native(config));
        let (result, took) = bench.timed("v4-1.example");
        assert_eq!(result, Err(LookupError::Timeout(Duration::from_millis(1200))));
        assert!(took >= Duration::from_millis(1200), "{took:?}");
    }

    #[test]
    fn dead_servers_before_a_good_one_cost_two_lookups_and_then_nothing() {
        let zone = Zone::start();
        let ((_first, first), (_second, second)) = (dead(), dead());
        for servers in [vec![first, zone.address()], vec![first, second, zone.address()]] {
            let dead = servers.len() as u32 - 1;
            let mut bench = Bench::native(servers);
            let mut slow = 0;
            for n in 0..12 {
                let (result, took) = bench.timed(&format!("v4-{n}.example"));
                assert_eq!(ips(result), [v4(n)]);
                assert!(took < 4 * limits::DNS_FIRST_PAUSE, "{took:?}");
                slow += u32::from(took >= limits::DNS_FIRST_PAUSE);
            }
            assert!((1..=2 * dead).contains(&slow), "{slow} slow lookups behind {dead} dead servers");
        }
    }

    #[test]
    fn rotation_spreads_the_queries() {
        let zones = [Zone::start(), Zone::start()];
        let mut rotating = config(zones.iter().map(Zone::address));
        rotating.rotate = true;
        let mut bench = Bench::new(Resolver::Native(rotating));
        for n in 0..10 {
            let _ = bench.look_up(&format!("v4-{n}.example"));
        }
        assert_eq!(zones.map(|zone| zone.seen().queries.len()), [10, 10]);
    }

    #[test]
    fn a_server_that_rejects_edns_gets_none_later() {
        let zone = Zone::start();
        let mut bench = Bench::native([zone.address()]);
        let _ = bench.look_up("formerr-1.example");
        let with_edns = zone.seen().with_edns;
        assert!((1..=2).contains(&with_edns), "{with_edns}");
        for n in 2..9 {
            assert_eq!(ips(bench.look_up(&format!("formerr-{n}.example"))), [v4(n), v6(n)]);
        }
        assert_eq!(zone.seen().with_edns, with_edns);
    }

    #[test]
    fn half_of_the_names_in_a_black_hole_do_not_delay_the_others() {
        let zone = Zone::start();
        let mut bench = Bench::native([zone.address()]);
        let lost: Vec<_> = (0..100).map(|n| bench.start(&format!("drop-{n}.example"))).collect();
        let found: Vec<_> = (0..100).map(|n| bench.start(&format!("v4-{n}.example"))).collect();
        let started = Instant::now();
        for (n, (owner, _)) in found.into_iter().enumerate() {
            assert_eq!(ips(bench.wait(owner)), [v4(n as u32)]);
        }
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        for (_, id) in lost {
            bench.dns.cancel(id);
        }
        assert_eq!(bench.dns.descriptors_left(), 5, "a socket is open although no lookup is pending");
        assert_eq!(bench.dns.next_deadline(), None);
    }
}

#[test]
fn a_cancelled_lookup_reports_nothing_even_after_a_late_response() {
    let zone = Zone::start();
    let mut bench = Bench::native([zone.address()]);
    let (keeper, _) = bench.start("drop.example");
    let (first, id) = bench.start("delay-80.example");
    // This turn sends the queries of both lookups.
    bench.turn();
    bench.dns.cancel(id);
    bench.dns.cancel(id);
    // The new lookup gets the index of the cancelled one.
    let (second, _) = bench.start("delay-150.example");
    assert_eq!(ips(bench.wait(second)), [v4(150), v6(150)]);
    assert!(!bench.results.contains_key(&first) && !bench.results.contains_key(&keeper));
    // One of two waiters for the same name cancels; the other gets the result.
    let ((gone, id), (stays, _)) = (bench.start("delay-40.example"), bench.start("delay-40.example"));
    bench.dns.cancel(id);
    assert_eq!(ips(bench.wait(stays)), [v4(40), v6(40)]);
    assert!(!bench.results.contains_key(&gone));
}
