//! `resolv.conf` as glibc reads it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::dns::conf::{DnsConfig, Environment, Transport};

fn parse(text: &str) -> DnsConfig {
    DnsConfig::parse_resolv_conf(text)
}

fn servers(text: &str) -> Vec<String> {
    parse(text).servers.iter().map(SocketAddr::to_string).collect()
}

#[test]
fn an_empty_file_means_127_0_0_1_and_no_search_list() {
    for text in ["", "\n\n", "# nameserver 192.0.2.1\n; search example.com\n"] {
        let config = parse(text);
        assert_eq!(servers(text), ["127.0.0.1:53"]);
        assert!(config.search.is_empty());
        assert_eq!((config.ndots, config.timeout, config.attempts), (1, Duration::from_secs(5), 2));
        assert_eq!((config.rotate, config.transport, config.ipv6), (false, Transport::Udp, true));
    }
}

#[test]
fn name_servers_in_every_form_the_first_three_are_used() {
    for (text, expected) in [
        ("nameserver 192.0.2.1\nnameserver\t192.0.2.2", vec!["192.0.2.1:53", "192.0.2.2:53"]),
        ("nameserver 127.1", vec!["127.0.0.1:53"]),
        ("nameserver 2001:db8::1 # trailing", vec!["[2001:db8::1]:53"]),
        ("nameserver fe80::1%lo", vec!["[fe80::1%1]:53"]),
        ("nameserver fe80::1%7", vec!["[fe80::1%7]:53"]),
        ("nameserver fe80::1%no-such-if\nnameserver 192.0.2.1", vec!["192.0.2.1:53"]),
        ("nameserver 192.0.2.1\r\nnameserver 192.0.2.2\r\n", vec!["192.0.2.1:53", "192.0.2.2:53"]),
        ("nameserver ns.example.com\nnameserver\nnameserver 192.0.2.9", vec!["192.0.2.9:53"]),
        // Keywords begin a line, and a blank ends them.
        (" nameserver 192.0.2.1\nnameservers 192.0.2.2\nNAMESERVER 192.0.2.3", vec!["127.0.0.1:53"]),
        (
            "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4",
            vec!["192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"],
        ),
    ] {
        assert_eq!(servers(text), expected, "{text:?}");
    }
}

#[test]
fn the_last_of_domain_and_search_counts() {
    for (text, expected) in [
        ("search a.example b.example", vec!["a.example", "b.example"]),
        ("search a.example\ndomain b.example ignored", vec!["b.example"]),
        ("domain b.example\nsearch a.example\tc.example", vec!["a.example", "c.example"]),
        ("search a.example\nsearch", vec!["a.example"]),
        ("search 1 2 3 4 5 6 7 8", vec!["1", "2", "3", "4", "5", "6", "7", "8"]),
    ] {
        assert_eq!(parse(text).search, expected, "{text:?}");
    }
}

#[test]
fn options_are_capped() {
    let of = |text: &str| {
        let config = parse(text);
        (config.ndots, config.timeout.as_secs(), config.attempts)
    };
    for (text, expected) in [
        ("options ndots:3 timeout:7 attempts:4", (3, 7, 4)),
        ("options ndots:0", (0, 5, 2)),
        ("options ndots:99 timeout:99 attempts:99", (15, 30, 5)),
        ("options ndots:99999999999999999999999", (15, 5, 2)),
        // `N` tries, not `N + 1`; a timeout of 0 counts as one second.
        ("options timeout:0 attempts:0", (1, 1, 1)),
        ("options attempts:1\noptions timeout:2", (1, 2, 1)),
        ("options ndots:x timeout:3s", (0, 3, 2)),
        ("options edns0 trust-ad single-request unknown:7 debug", (1, 5, 2)),
    ] {
        assert_eq!(of(text), expected, "{text:?}");
    }
    let config = parse("options rotate use-vc no-aaaa no-tld-query");
    assert!(config.rotate && config.transport == Transport::Tcp && !config.ipv6 && !config.bare_names);
}

#[test]
fn the_host_name_gives_the_default_search_list() {
    let of = |text: &str, environment: &Environment<'_>| {
        DnsConfig::from_parts(text.as_bytes(), environment).search
    };
    let full = Environment { hostname: "host.sub.example", ..Environment::default() };
    assert_eq!(of("nameserver 192.0.2.1", &full), ["sub.example"]);
    assert_eq!(of("search a.example", &full), ["a.example"], "it replaces, it does not add");
    assert!(of("", &Environment { hostname: "host", ..Environment::default() }).is_empty());
}

#[test]
fn the_environment_overrides_the_file() {
    let environment = Environment {
        hostname: "host.sub.example",
        local_domain: Some("x.example y.example"),
        options: Some("ndots:4 attempts:3"),
    };
    let config = DnsConfig::from_parts(b"search a.example\noptions ndots:2 timeout:3", &environment);
    assert_eq!(config.search, ["x.example", "y.example"]);
    assert_eq!((config.ndots, config.timeout.as_secs(), config.attempts), (4, 3, 3));
}

#[test]
fn invalid_utf8_affects_its_own_line_only() {
    let config = DnsConfig::from_parts(
        b"search \xff.example\n\xff\xfe\nnameserver 192.0.2.1",
        &Environment::default(),
    );
    assert_eq!(config.servers, ["192.0.2.1:53".parse::<SocketAddr>().unwrap()]);
}

#[test]
fn settings_replace_the_file() {
    let servers: Vec<SocketAddr> = (1..=5).map(|n| SocketAddr::from(([192, 0, 2, n], 5353))).collect();
    let config =
        parse("search a.example").servers(servers.clone()).search(["b.example"]).ndots(2).attempts(0);
    assert_eq!(config.servers, servers[..3]);
    assert_eq!(
        (config.search.as_slice(), config.ndots, config.attempts),
        (&["b.example".to_owned()][..], 2, 1)
    );
    assert_eq!(config.timeout(Duration::from_secs(3)).attempts(4).time_limit(), Duration::from_secs(12));
}
