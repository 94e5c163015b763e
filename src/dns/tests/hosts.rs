//! The hosts file, and hosts that are literal addresses.

use std::net::{IpAddr, SocketAddr};

use crate::dns::hosts::Hosts;
use crate::dns::{LookupError, literal};

fn find(text: &str, name: &str) -> Vec<String> {
    Hosts::parse(text.as_bytes()).find(name).iter().map(IpAddr::to_string).collect()
}

#[test]
fn lines_of_all_kinds() {
    let text = "\
127.0.0.1\tlocalhost
# 192.0.2.1 commented
192.0.2.2 Web1.Example  web1 # web2
::1 localhost ip6-localhost
192.0.2.3
no-address web3
127.1 short
fe80::1%eth0 zone
192.0.2.4 web1\r
  192.0.2.5   indented
192.0.2.2 web1
";
    for (name, expected) in [
        ("localhost", vec!["127.0.0.1", "::1"]),
        ("web1", vec!["192.0.2.2", "192.0.2.4"]),
        ("web1.example", vec!["192.0.2.2"]),
        ("indented", vec!["192.0.2.5"]),
        ("web2", vec![]),
        ("web3", vec![]),
        ("short", vec![]),
        ("zone", vec![]),
        ("commented", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(find(text, name), expected, "{name:?}");
    }
}

#[test]
fn invalid_utf8_affects_its_own_line_only() {
    let hosts = Hosts::parse(b"192.0.2.1 \xff\xfe\n192.0.2.2 good");
    assert_eq!(hosts.find("good").len(), 1);
}

#[test]
fn addresses_in_every_form_of_inet_aton() {
    for (text, expected) in [
        ("192.0.2.1", Some("192.0.2.1:22")),
        ("127.1", Some("127.0.0.1:22")),
        ("10.1.515", Some("10.1.2.3:22")),
        ("2130706433", Some("127.0.0.1:22")),
        ("0x7f000001", Some("127.0.0.1:22")),
        ("0X7F.1", Some("127.0.0.1:22")),
        ("0177.0.0.01", Some("127.0.0.1:22")),
        ("0", Some("0.0.0.0:22")),
        ("4294967295", Some("255.255.255.255:22")),
        ("::1", Some("[::1]:22")),
        ("fe80::1%lo", Some("[fe80::1%1]:22")),
        ("fe80::1%3", Some("[fe80::1%3]:22")),
        ("4294967296", None),
        ("256.0.0.1", None),
        ("1.2.3.256", None),
        ("1.2.65536", None),
        ("1.2.3.4.5", None),
        ("1..2", None),
        ("1.2.", None),
        ("08", None),
        ("0x", None),
        ("0x+1", None),
        ("+1", None),
        ("-1", None),
        ("", None),
        ("web1", None),
        ("1web", None),
        ("f00.example", None),
        ("web%eth0", None),
    ] {
        let found = literal::parse(text, 22).map(|address| address.map(|address| address.to_string()));
        assert_eq!(found, expected.map(|text| Ok(text.to_owned())), "{text:?}");
    }
}

#[test]
fn an_unknown_zone_is_an_error_and_not_a_name() {
    let found: Option<Result<SocketAddr, LookupError>> = literal::parse("fe80::1%no-such-if", 22);
    assert!(matches!(found, Some(Err(LookupError::BadName(_)))), "{found:?}");
}
