//! The bodies of the resolver's fuzz targets, each with its own oracle.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::Query;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::candidates::candidates;
use super::conf::{DnsConfig, Environment};
use super::hosts::Hosts;
use super::wire::{self, Kind, Response};
use crate::limits;

/// Reads arbitrary bytes as a response: to the query that the bytes contain, and to other queries.
pub fn dns_read(message: &[u8]) {
    let Some(fixed) = wire::name("web1.example") else { return };
    let asked = message.get(12..).and_then(|_| {
        let mut decoder = BinDecoder::new(message);
        decoder.read_slice(12).ok()?;
        Some(Query::read(&mut decoder).ok()?.name().clone())
    });
    for name in asked.iter().chain([&fixed]) {
        for kind in [Kind::A, Kind::Aaaa] {
            let response = wire::read(message, name, kind);
            check_answer(message, kind, response.as_ref());
        }
    }
    if let Some(name) = &asked
        && let Ok(other) = name.prepend_label("other")
    {
        for kind in [Kind::A, Kind::Aaaa] {
            let response = wire::read(message, &other, kind);
            assert!(
                matches!(response, None | Some(Response::FormatError)),
                "{response:?} to another question"
            );
        }
    }
}

fn check_answer(message: &[u8], kind: Kind, response: Option<&Response>) {
    let Some(response) = response else { return };
    assert!(message.len() >= 12 && message[2] & 0xf8 == 0x80, "no response to a query");
    let is_truncated = message[2] & 0x02 != 0;
    match response {
        Response::Addresses { addresses, ttl } => {
            assert!((1..=limits::ADDRESSES).contains(&addresses.len()));
            assert!(addresses.iter().all(|address| kind.fits(*address)), "{addresses:?} for {kind:?}");
            assert!(*ttl <= limits::DNS_TTL_MAX);
        }
        Response::Alias { ttl, .. } => assert!(*ttl <= limits::DNS_TTL_MAX),
        Response::NoData { ttl } | Response::NoSuchName { ttl } => {
            assert!(ttl.unwrap_or(Duration::ZERO) <= limits::DNS_NEGATIVE_TTL_MAX);
        }
        Response::Failure(code) => assert!(!matches!(code, 0 | 1 | 3), "{code} is not a failure"),
        Response::FormatError | Response::Truncated => {}
    }
    let is_unread = matches!(response, Response::FormatError | Response::Truncated);
    assert!(!is_truncated || is_unread, "{response:?} from a truncated message");
}

/// Parses any bytes as a `resolv.conf`. The limits must hold, and the resulting names must be few
/// and distinct.
pub fn dns_resolv_conf(text: &[u8]) {
    let environment = Environment { hostname: "host.example", ..Environment::default() };
    let config = DnsConfig::from_parts(text, &environment);
    assert!((1..=limits::DNS_SERVERS).contains(&config.servers.len()));
    assert!(config.servers.iter().all(|server| server.port() == 53));
    assert!(config.ndots <= 15 && (1..=5).contains(&config.attempts));
    assert!((1..=30).contains(&config.timeout.as_secs()), "{:?}", config.timeout);
    assert!(config.search.iter().all(|domain| !domain.is_empty() && !domain.contains([' ', '\t', '\n'])));
    let commented = [b"# nameserver 192.0.2.99\n;options ndots:14\n".as_slice(), text].concat();
    assert_eq!(DnsConfig::from_parts(&commented, &environment), config, "a comment counts");
    for host in ["web1", "web1.dc", "web1.example."] {
        let names: Vec<_> = candidates(host, &config).collect();
        assert!(names.len() <= config.search.len() + 1, "{} names for {host}", names.len());
        for (position, name) in names.iter().enumerate() {
            assert!(name.is_fqdn() && name.len() <= 255, "{name}");
            assert!(!names[..position].contains(name), "{name} twice");
        }
    }
}

/// Parses any bytes as a hosts file, and compares the result with a linear search for each name.
pub fn dns_hosts(text: &[u8]) {
    let hosts = Hosts::parse(text);
    let lines: Vec<Vec<&str>> = text
        .split(|&byte| byte == b'\n')
        .filter_map(|line| str::from_utf8(line.split(|&byte| byte == b'#').next()?).ok())
        .map(|line| line.split_ascii_whitespace().collect())
        .collect();
    for name in lines.iter().flatten().take(64).map(|word| word.to_ascii_lowercase()) {
        let mut expected: Vec<IpAddr> = Vec::new();
        for line in &lines {
            let Some((address, names)) = line.split_first() else { continue };
            let Ok(address) = address.parse() else { continue };
            let is_named = names.iter().any(|other| other.eq_ignore_ascii_case(&name));
            if is_named && !expected.contains(&address) {
                expected.push(address);
            }
        }
        assert_eq!(hosts.find(&name), expected, "{name:?}");
    }
}
