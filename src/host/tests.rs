use proptest::prelude::*;

use super::HostSpecPart::{Host, User};
use super::{HostSpec, HostSpecProblem};
use crate::text::must_escape;

fn assert_parses(text: &str, user: Option<&str>, host: &str, port: Option<u16>) {
    let spec: HostSpec = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!((spec.user(), spec.host(), spec.port()), (user, host, port), "{text:?}");
    assert_eq!(spec.to_string().parse(), Ok(spec.clone()), "{text:?}");
    assert_eq!(HostSpec::try_from(text), Ok(spec.clone()));
    assert_eq!(HostSpec::from_parts(user, host, port), Ok(spec));
}

fn error_of(text: &str) -> HostSpecProblem {
    match text.parse::<HostSpec>() {
        Ok(spec) => panic!("{text:?} was accepted as {spec:?}"),
        Err(error) => error.problem,
    }
}

fn assert_character(text: &str, part: super::HostSpecPart, character: char) {
    assert_eq!(error_of(text), HostSpecProblem::Character { part, character }, "{text:?}");
}

#[test]
fn names_and_ipv4_addresses() {
    assert_parses("web1", None, "web1", None);
    assert_parses("web2:2222", None, "web2", Some(2222));
    assert_parses("user@host", Some("user"), "host", None);
    assert_parses("user@host:65535", Some("user"), "host", Some(65535));
    assert_parses("10.0.0.1:1", None, "10.0.0.1", Some(1));
    assert_parses("db_1.Example.ORG.", None, "db_1.Example.ORG.", None);
    assert_parses("[web1]:2222", None, "web1", Some(2222));
    assert_parses("[web1]", None, "web1", None);
    assert_parses("bücher.example:22", None, "bücher.example", Some(22));
}

#[test]
fn ipv6_addresses() {
    assert_parses("::1", None, "::1", None);
    assert_parses("[::1]", None, "::1", None);
    assert_parses("[::1]:22", None, "::1", Some(22));
    assert_parses("root@2001:db8::2:22", Some("root"), "2001:db8::2:22", None);
    assert_parses("fe80::1%eth0.100", None, "fe80::1%eth0.100", None);
    assert_parses("user@[fe80::1%eth0]:2222", Some("user"), "fe80::1%eth0", Some(2222));
    assert_parses("[::ffff:10.0.0.1]:22", None, "::ffff:10.0.0.1", Some(22));
}

#[test]
fn users_with_a_domain() {
    assert_parses("u@example.org@web1", Some("u@example.org"), "web1", None);
    assert_parses(r"CORP\u@web1:22", Some(r"CORP\u"), "web1", Some(22));
    assert_parses("machine$@web1", Some("machine$"), "web1", None);
}

/// The names that `valid_ruser` of OpenSSH accepts.
#[test]
fn users_with_blanks_and_backslashes() {
    assert_parses("John Doe@web1", Some("John Doe"), "web1", None);
    assert_parses(r"CORP\John Doe@web1", Some(r"CORP\John Doe"), "web1", None);
    assert_parses("a  b@web1", Some("a  b"), "web1", None);
    assert_character("a -b@web1", User, '-');
    for text in [" a@web1", "a @web1"] {
        assert_character(text, User, ' ');
    }
    for user in ["root@local@target:SSH:admin", " a", "a ", r"CORP\a"] {
        assert_eq!(super::check_user(user), Ok(()), "{user:?}");
    }
    for user in ["", "-a", "a -b", "a\tb", "a\u{a0}b", r"a\", "a;b"] {
        assert!(super::check_user(user).is_err(), "{user:?}");
    }
}

#[test]
fn addresses_with_a_scheme() {
    for (text, user, host, port) in [
        ("ssh://web1", None, "web1", None),
        ("ssh://web1/", None, "web1", None),
        ("SSH://deploy@web1:2222", Some("deploy"), "web1", Some(2222)),
        ("ssh://deploy@web1:2222/", Some("deploy"), "web1", Some(2222)),
        ("ssh://CORP%5cdeploy@web1", Some(r"CORP\deploy"), "web1", None),
        ("ssh://deploy%40example.org@web1", Some("deploy@example.org"), "web1", None),
        ("ssh://John%20D%C3%B6@[::1]:22", Some("John Dö"), "::1", Some(22)),
        ("ssh://[fe80::1%25eth0]:22", None, "fe80::1%eth0", Some(22)),
        ("ssh://[fe80::1%eth0]", None, "fe80::1%eth0", None),
    ] {
        assert_parses(text, user, host, port);
    }
    for text in ["ssh://web1/etc", "ssh://web1:22/etc", "ssh://a@web1//"] {
        assert_eq!(error_of(text), HostSpecProblem::Path, "{text:?}");
    }
    for text in ["ssh://a%4@web1", "ssh://a%zz@web1", "ssh://a%ff@web1", "ssh://%@web1", "ssh://%+1@web1"] {
        assert_character(text, User, '%');
    }
    assert_character("ssh://deploy;fingerprint=SHA256-x@web1", User, ';');
    assert_character("ssh://deploy:hunter2@web1", User, ':');
    assert_character("ssh://deploy%3ahunter2@web1", User, ':');
    assert_character("ssh://a@b@web1", Host, '@');
    assert_character("ssh://web1?x", Host, '?');
    assert_eq!(error_of("ssh://@web1"), HostSpecProblem::Empty(User));
    assert_eq!(error_of("ssh://"), HostSpecProblem::Empty(Host));
    assert_eq!(error_of("ssh://web1:0"), HostSpecProblem::Port);
    assert_eq!(error_of("ssh://-v"), HostSpecProblem::LeadingDash(Host));
}

#[test]
fn display_is_the_shortest_form() {
    for (text, shown) in [
        ("[::1]", "::1"),
        ("[::1]:0022", "[::1]:22"),
        ("[web1]:2222", "web1:2222"),
        ("u@[fe80::1%eth0]:22", "u@[fe80::1%eth0]:22"),
    ] {
        assert_eq!(text.parse::<HostSpec>().map(|spec| spec.to_string()).as_deref(), Ok(shown));
    }
}

#[test]
fn empty_parts() {
    for text in ["", "user@", ":22", "[]", "[]:22", "user@:22"] {
        assert_eq!(error_of(text), HostSpecProblem::Empty(Host), "{text:?}");
    }
    for text in ["@host", "@host:22", "@[::1]"] {
        assert_eq!(error_of(text), HostSpecProblem::Empty(User), "{text:?}");
    }
}

#[test]
fn ports() {
    for port in ["", "0", "00", "65536", "4294967318", "+22", "-1", "ssh", "2 2", "22\n", "٢٢", "0x16"] {
        assert_eq!(error_of(&format!("web1:{port}")), HostSpecProblem::Port, "{port:?}");
        assert_eq!(error_of(&format!("[::1]:{port}")), HostSpecProblem::Port, "{port:?}");
    }
    let error = HostSpec::from_parts(Some("me"), "web1", Some(0)).unwrap_err();
    assert_eq!((&*error.text, &error.problem), ("me@web1:0", &HostSpecProblem::Port));
}

#[test]
fn brackets() {
    for text in ["[::1", "::1]", "[::1]22", "[::1]]:22", "[web1:22", "web1]:22", "we[b]1", "x[::1]:22"] {
        assert_eq!(error_of(text), HostSpecProblem::Brackets, "{text:?}");
    }
    assert_character("[[web1]", Host, '[');
    assert_eq!(error_of("[[::1]:22"), HostSpecProblem::Ipv6);
}

#[test]
fn colons_without_an_ipv6_address() {
    for text in
        ["a:b:c", "web1:22:22", ":::1", "1:2:3:4:5:6:7:8:22", "::1%", "[web1:22]", "::g", "http://a:b"]
    {
        assert_eq!(error_of(text), HostSpecProblem::Ipv6, "{text:?}");
    }
}

#[test]
fn option_injection() {
    for text in ["-oProxyCommand=id", "-v", "user@-v", "[-v]:22"] {
        assert_eq!(error_of(text), HostSpecProblem::LeadingDash(Host), "{text:?}");
    }
    assert_eq!(error_of("-luser@host"), HostSpecProblem::LeadingDash(User));
}

/// Checks the character sets of `valid_hostname` and `valid_ruser`, character by character.
#[test]
fn shell_metacharacters_that_openssh_refuses() {
    for character in "'`\"$\\;&<>|(){},".chars() {
        assert_character(&format!("we{character}b"), Host, character);
    }
    for character in "'`\";&<>|(){}".chars() {
        assert_character(&format!("us{character}er@web1"), User, character);
    }
    assert_character(r"user\@web1", User, '\\');
    assert_character("fe80::1%$(id)", Host, '$');
}

#[test]
fn known_hosts_metacharacters() {
    for character in "*?!,|#".chars() {
        assert_character(&format!("{character}web1"), Host, character);
    }
}

#[test]
fn password_in_the_specification_is_refused_and_not_repeated() {
    let error = error_of("deploy:hunter2@web1");
    assert_eq!(error, HostSpecProblem::Character { part: User, character: ':' });
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn control_characters_whitespace_and_invisible_characters() {
    for character in
        ['\0', '\n', '\r', '\t', ' ', '\x1b', '\x7f', '\u{9b}', '\u{a0}', '\u{3000}', '\u{202e}', '\u{200b}']
    {
        assert_character(&format!("web{character}1"), Host, character);
        if character != ' ' {
            assert_character(&format!("us{character}er@web1"), User, character);
        }
        assert_character(&format!("[fe80::1%e{character}]:22"), Host, character);
        let message = error_of(&format!("web{character}1")).to_string();
        assert!(!message.chars().any(must_escape), "{message:?}");
    }
}

#[test]
fn length_limits() {
    let longest = "h".repeat(255);
    assert_parses(&format!("{longest}:22"), None, &longest, Some(22));
    assert_eq!(error_of(&format!("{longest}h")), HostSpecProblem::TooLong { part: Host, len: 256 });
    assert_parses(&format!("{longest}@web1"), Some(&longest), "web1", None);
    assert_eq!(error_of(&format!("u{longest}@web1")), HostSpecProblem::TooLong { part: User, len: 256 });
}

#[test]
fn messages_are_sentences() {
    for (text, message) in [
        ("", "the host is empty"),
        ("we\x1bb", r"the host contains the character '\x1b'"),
        ("web1:0", "the port is not a number between 1 and 65535"),
        ("-v", "the host starts with '-'"),
    ] {
        assert_eq!(error_of(text).to_string(), message);
    }
    let message = error_of(&"h".repeat(300)).to_string();
    assert_eq!(message, "the host is 300 bytes long, more than 255");
}

proptest! {
    #[test]
    fn accepted_texts_are_clean_and_round_trip(text in "\\PC{0,20}|[a-z0-9@:.%\\[\\]-]{0,24}|.{0,12}") {
        if let Ok(spec) = text.parse::<HostSpec>() {
            let shown = spec.to_string();
            prop_assert!(!shown.chars().any(|c| must_escape(c) || c.is_whitespace() && c != ' '));
            prop_assert!(!spec.host().contains(char::is_whitespace));
            prop_assert_eq!(shown.parse(), Ok(spec));
        }
    }

    #[test]
    fn valid_parts_make_a_text_that_gives_them_back(
        user in prop::option::of("[a-z_]([a-z0-9_.@\\\\-]| [a-z0-9]){0,10}[a-z0-9]"),
        host in prop_oneof![
            "[a-z0-9][a-z0-9._-]{0,20}".boxed(),
            any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string()).boxed(),
            any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()).boxed(),
        ],
        port in prop::option::of(1_u16..),
    ) {
        let spec = HostSpec::from_parts(user.as_deref(), &host, port);
        prop_assert!(spec.is_ok());
        let shown = spec.as_ref().map(ToString::to_string);
        prop_assert_eq!(shown.unwrap_or_default().parse(), spec);
    }
}
