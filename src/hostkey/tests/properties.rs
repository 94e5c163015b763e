//! Properties that hold for any input.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::super::pattern::{glob_matches, list_matches};
use super::super::{HostKey, KnownHosts, Verdict};
use super::support::ed25519;

/// Matches a pattern according to its definition. This is too slow for real use.
fn glob_by_definition(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|taken| glob_by_definition(rest, &name[taken..])),
        Some((wanted, rest)) => name.split_first().is_some_and(|(byte, name)| {
            (*wanted == b'?' || wanted == byte) && glob_by_definition(rest, name)
        }),
    }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let key = ed25519(1).to_openssh().into_bytes();
    let piece = prop_oneof![
        vec(any::<u8>(), 0..12),
        vec(prop_oneof![b'!'..=b'@', b'['..=b'z', b'|'..=b'|', b'\n'..=b'\r'], 0..12),
        proptest::sample::select(vec![
            &b"@revoked "[..],
            b"|1|",
            b" ",
            b"\n",
            b"web1",
            b"*",
            b"ssh-rsa AAAA",
            b"="
        ])
        .prop_map(<[u8]>::to_vec),
        proptest::strategy::Just(key),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn globs_follow_their_definition(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
        let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
        prop_assert_eq!(glob_matches(pattern, name), glob_by_definition(pattern, name));
    }

    #[test]
    fn a_negated_match_disqualifies_wherever_it_stands(
        names in vec("[ab*?]{0,3}", 1..5), at in 0..5_usize, name in "[ab]{1,3}"
    ) {
        let mut names = names;
        names.insert(at.min(names.len()), format!("!{name}"));
        prop_assert!(!list_matches(names.join(",").as_bytes(), name.as_bytes()));
    }

    #[test]
    fn no_bytes_make_the_parser_fail(text in line(), host in ".{0,12}", port in any::<u16>()) {
        let mut known = KnownHosts::empty();
        known.parse(&text, Path::new("f"));
        let lines = text.split(|byte| *byte == b'\n').count();
        prop_assert!(known.len() + known.problem_count() <= lines);
        for seed in [1, 2] {
            let verdict = known.verdict(&host, port, &ed25519(seed));
            let mut scan = known.scan(&host, port, &ed25519(seed));
            while !scan.advance(&known, 2) {}
            prop_assert_eq!(Some(&verdict), scan.verdict());
            let on_record = matches!(verdict, Verdict::Known { .. } | Verdict::Revoked { .. });
            prop_assert!(seed == 1 || !on_record);
        }
    }

    #[test]
    fn no_bytes_make_the_key_reader_fail(blob in vec(any::<u8>(), 0..200)) {
        if let Ok(key) = HostKey::from_blob(blob) {
            prop_assert_eq!(HostKey::from_openssh(&key.to_openssh()), Ok(key));
        }
    }

    #[test]
    fn text_split_anywhere_says_the_same(text in line(), at in any::<proptest::sample::Index>()) {
        let mut whole = KnownHosts::empty();
        whole.parse(&text, Path::new("f"));
        let line_starts = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(line_starts).collect::<Vec<_>>();
        let (head, tail) = text.split_at(line_starts[at.index(line_starts.len())]);
        let mut source = super::super::load::Source::new(Path::new("f"));
        let mut parts = KnownHosts::empty();
        parts.parse_more(head, &mut source);
        parts.parse_more(tail, &mut source);
        prop_assert_eq!(parts.problems(), whole.problems());
        for host in ["web1", "a", "b"] {
            let key = ed25519(1);
            prop_assert_eq!(parts.verdict(host, 22, &key), whole.verdict(host, 22, &key));
        }
    }
}
