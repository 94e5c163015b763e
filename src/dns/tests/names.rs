//! The search list, and the order of addresses.

use std::net::IpAddr;

use crate::dns::DnsConfig;
use crate::dns::candidates::candidates;
use crate::dns::order;

fn names(host: &str, options: &str) -> Vec<String> {
    let config = DnsConfig::parse_resolv_conf(&format!("search a.example b.example\noptions {options}"));
    candidates(host, &config).map(|name| name.to_ascii()).collect()
}

#[test]
fn the_number_of_dots_decides_which_name_is_tried_first() {
    for (host, ndots, expected) in [
        ("web1", "ndots:1", vec!["web1.a.example.", "web1.b.example.", "web1."]),
        ("web1", "ndots:0", vec!["web1.", "web1.a.example.", "web1.b.example."]),
        ("web1.dc", "ndots:1", vec!["web1.dc.", "web1.dc.a.example.", "web1.dc.b.example."]),
        ("web1.dc", "ndots:5", vec!["web1.dc.a.example.", "web1.dc.b.example.", "web1.dc."]),
        ("web1.", "ndots:1", vec!["web1."]),
        ("web1.dc.", "ndots:5", vec!["web1.dc."]),
        ("web1", "no-tld-query", vec!["web1.a.example.", "web1.b.example."]),
        ("web1.dc", "ndots:5 no-tld-query", vec!["web1.dc.a.example.", "web1.dc.b.example.", "web1.dc."]),
        ("my_host", "ndots:0", vec!["my_host.", "my_host.a.example.", "my_host.b.example."]),
        ("b\u{fc}cher.example.", "", vec!["xn--bcher-kva.example."]),
    ] {
        assert_eq!(names(host, ndots), expected, "{host} with {ndots}");
    }
}

#[test]
fn the_root_in_a_search_list_is_the_name_itself_and_tried_once() {
    let config = DnsConfig::parse_resolv_conf("search . a.example");
    let names: Vec<String> = candidates("web1", &config).map(|name| name.to_ascii()).collect();
    assert_eq!(names, ["web1.", "web1.a.example."]);
}

#[test]
fn invalid_names_are_not_queried() {
    let long = "a".repeat(64);
    let longest = [["a".repeat(63).as_str(); 3].join("."), "b".repeat(61)].join(".");
    assert_eq!(longest.len(), 253);
    for host in [&long, "a..b", ".", "", &format!("{longest}x"), &format!("{longest}.c")] {
        assert_eq!(names(host, ""), [""; 0], "{host:?}");
    }
    // The name itself fits, but the name with a search domain does not.
    assert_eq!(names(&longest, ""), [format!("{longest}.")]);
}

#[test]
fn addresses_without_a_route_come_last_and_ipv6_first() {
    let sorted = |has_route: fn(IpAddr) -> bool| {
        let mut addresses =
            ["192.0.2.2", "2001:db8::2", "192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap());
        order::sort(&mut addresses, has_route);
        addresses.map(|address| address.to_string())
    };
    let v6_first = ["2001:db8::2", "2001:db8::1", "192.0.2.2", "192.0.2.1"];
    assert_eq!(sorted(|_| true), v6_first);
    assert_eq!(sorted(|_| false), v6_first);
    assert_eq!(sorted(|a| a.is_ipv4()), ["192.0.2.2", "192.0.2.1", "2001:db8::2", "2001:db8::1"]);
}

#[test]
fn addresses_of_one_family_keep_their_order_without_a_route_check() {
    let mut addresses = ["192.0.2.2", "192.0.2.1"].map(|text| text.parse().unwrap());
    order::sort(&mut addresses, |_| panic!("asked"));
    assert_eq!(addresses.map(|a: IpAddr| a.to_string()), ["192.0.2.2", "192.0.2.1"]);
}

#[test]
fn routes_come_from_the_system() {
    assert!(order::Routes::default().has("127.0.0.1".parse().unwrap()));
    // The system refuses to send to the broadcast address.
    assert!(!order::Routes::default().has("255.255.255.255".parse().unwrap()));
}
