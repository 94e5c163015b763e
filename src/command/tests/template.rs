//! Filling one host's values into the placeholders of a text.

use proptest::prelude::*;

use super::*;
use crate::command::template::format;

/// The text with these values filled in.
fn filled(template: &str, args: impl Into<HostArgs>) -> Result<String, TemplateProblem> {
    format(template.as_bytes(), &args.into()).map(|text| String::from_utf8(text).unwrap())
}

fn none() -> HostArgs {
    HostArgs::from(Vec::<HostArg>::new())
}

fn assert_filled(cases: impl IntoIterator<Item = (&'static str, HostArgs, &'static str)>) {
    for (template, args, expected) in cases {
        assert_eq!(filled(template, args.clone()).as_deref(), Ok(expected), "{template:?} {args:?}");
    }
}

fn assert_refused(cases: impl IntoIterator<Item = (&'static str, HostArgs, TemplateProblem)>) {
    for (template, args, expected) in cases {
        assert_eq!(filled(template, args.clone()), Err(expected), "{template:?} {args:?}");
    }
}

#[test]
fn values_in_order() {
    assert_filled([
        ("echo %s", "a".into(), "echo a"),
        ("%s", "".into(), ""),
        ("%s%s", ("a", "b").into(), "ab"),
        ("%s-%s-%s", ["a", "b", "c"].into(), "a-b-c"),
        ("%s", String::from("a").into(), "a"),
        ("%s", (&String::from("a")).into(), "a"),
        ("%s %d", ("a", 1).into(), "a 1"),
        ("%s", 42.into(), "42"),
        ("%d", (-42_i64).into(), "-42"),
        ("%d %d", vec![u64::MAX, 0].into(), "18446744073709551615 0"),
        ("%d", (i64::MIN,).into(), "-9223372036854775808"),
        ("%d", 7_usize.into(), "7"),
        ("%s %s %s %s", (1.5, 0.1_f32, true, 'ß').into(), "1.5 0.1 true ß"),
        ("%s", 1.0.into(), "1"),
        ("%s", false.into(), "false"),
        ("%s", 'x'.into(), "x"),
        ("%s%s%s%s%s%s%s%s", (1, 2, 3, 4, 5, 6, 7, 8_u8).into(), "12345678"),
        ("no place", none(), "no place"),
        ("a b %s", "%s %d %%".into(), "a b %s %d %%"),
    ]);
}

#[test]
fn values_by_name() {
    let one = || HostArgs::named([("name", "value")]);
    let mixed = || HostArgs::named([("host", HostArg::from("web1")), ("port", HostArg::from(80))]);
    assert_filled([
        ("%(name)s", one(), "value"),
        ("%(name)s %(name)s", one(), "value value"),
        ("no place", one(), "no place"),
        ("%(host)s:%(port)d %(port)s", mixed(), "web1:80 80"),
        ("%(a)s", HostArgs::named([("a", 1), ("a", 2)]), "2"),
        ("%()s", HostArgs::named([("", "empty")]), "empty"),
        ("%(größe)s%%", HostArgs::named([("größe", "ä")]), "ä%"),
    ]);
}

#[test]
fn percent_signs_and_other_alphabets() {
    assert_filled([
        ("100%% %s", "a".into(), "100% a"),
        ("%%", none(), "%"),
        ("%%s", none(), "%s"),
        ("%%%s%%", "a".into(), "%a%"),
        ("%%%%", none(), "%%"),
        ("grüße %s — 日本", "жизнь".into(), "grüße жизнь — 日本"),
        ("🦀%s🦀", "🐚".into(), "🦀🐚🦀"),
    ]);
    let bytes = format(b"\xff%s\xfe", &"a".into()).unwrap();
    assert_eq!(bytes, b"\xffa\xfe");
}

#[test]
fn what_does_not_fit_is_named() {
    use TemplateProblem::{BadFormat, MissingKey, MissingPositional, NotAnInteger, TooManyPositional};
    let named = || HostArgs::named([("name", "value")]);
    let missing = |name: &str| MissingKey(name.to_owned());
    assert_refused([
        ("%s", none(), MissingPositional),
        ("%s %s", "a".into(), MissingPositional),
        ("%s", named(), MissingPositional),
        ("no place", "a".into(), TooManyPositional),
        ("%s", ("a", "b").into(), TooManyPositional),
        ("%%", "a".into(), TooManyPositional),
        ("%(other)s", named(), missing("other")),
        ("%(Name)s", named(), missing("Name")),
        ("%(name)s", "a".into(), missing("name")),
        ("ab %d", "a".into(), NotAnInteger(3)),
        ("%d", "1".into(), NotAnInteger(0)),
        ("%d", 1.0.into(), NotAnInteger(0)),
        ("%d", true.into(), NotAnInteger(0)),
        ("é%(name)d", named(), NotAnInteger(2)),
    ]);
    for (template, offset) in [
        ("%", 0),
        ("50% of", 2),
        ("%s %", 3),
        ("é%x", 2),
        ("%i", 0),
        ("%5s", 0),
        ("%05d", 0),
        ("%r", 0),
        ("%-s", 0),
        ("%.2f", 0),
        ("%S", 0),
        ("%é", 0),
        ("%(name", 0),
        ("%(name)", 0),
        ("%(name)x", 0),
        ("%(name)05d", 0),
        ("%(name)%", 0),
        ("%(a(b))s", 0),
        ("%%%", 2),
        ("%%s%", 3),
        ("%( %s", 0),
    ] {
        for args in [HostArgs::from("a"), named()] {
            let refused = filled(template, args);
            assert!(
                matches!(&refused, Err(BadFormat { offset: found }) if *found == offset)
                    // The first problem in the text is the one that is reported.
                    || (template == "%s %" && matches!(refused, Err(MissingPositional))),
                "{template:?}: {refused:?}"
            );
        }
    }
}

#[test]
fn an_error_names_the_host_and_shows_no_value() {
    let refused = |command: Command, hosts| command.to_requests(hosts, Default::default()).unwrap_err();
    let error = refused(Command::new("%s %d").host_args([("a", 1), ("b", 2)]), 3);
    assert!(matches!(error, Error::HostArgs { hosts: 3, args: 2 }));
    assert_eq!(error.to_string(), "host_args has 2 entries for 3 hosts: give one for each host");
    for hosts in [0, 1] {
        let error = refused(Command::new("%s").host_args(["a", "b"]), hosts);
        assert!(matches!(error, Error::HostArgs { hosts: found, args: 2 } if found == hosts));
    }
    let ports = [HostArg::from(22), HostArg::from("secret")];
    let error = refused(Command::new("port %d").host_args(ports), 2);
    assert!(matches!(error, Error::Template { position: 1, problem: TemplateProblem::NotAnInteger(5), .. }));
    let text = "command for host 2 of the run: the value for the placeholder at offset 5 is not an integer";
    assert_eq!(error.to_string(), text);
    let error = refused(Command::new("%(\x1b[2J)s").host_args(["a"]), 1);
    assert_eq!(error.to_string(), "command for host 1 of the run: no value is named \"\\x1b[2J\"");
    let error = refused(Command::new("%s").host_args(["id", " "]), 2);
    let empty = TemplateProblem::Refused(CommandProblem::Empty);
    assert!(matches!(&error, Error::Template { position: 1, problem, .. } if *problem == empty), "{error}");
    let error = refused(Command::new("echo %s").host_args(["a", "b", "\0"]), 3);
    let nul = TemplateProblem::Refused(CommandProblem::Nul(5));
    assert!(matches!(&error, Error::Template { position: 2, problem, .. } if *problem == nul), "{error}");
}

#[test]
fn without_entries_a_percent_sign_is_a_percent_sign() {
    let text = "date +%s; echo %(x)s %% %";
    assert_eq!(sent(&Command::new(text)), text.as_bytes());
    assert_eq!(sent(&Command::new(text).host_args(Vec::<HostArgs>::new())), text.as_bytes());
    // An empty list of entries is not the same as an entry without values.
    assert_eq!(sent(&Command::new("date +%%s").host_args([none()])), b"date +%s");
}

/// A piece of a text, the value that belongs to it, and the result of both.
fn piece() -> impl Strategy<Value = (Vec<u8>, Option<HostArg>, Vec<u8>)> {
    prop_oneof![
        any::<Vec<u8>>().prop_map(|bytes| {
            let escaped = bytes.iter().flat_map(|&byte| vec![byte; 1 + usize::from(byte == b'%')]).collect();
            (escaped, None, bytes)
        }),
        any::<String>().prop_map(|text| (b"%s".to_vec(), Some((&text).into()), text.into_bytes())),
        any::<i64>().prop_map(|n| (b"%d".to_vec(), Some(n.into()), n.to_string().into_bytes())),
        any::<u64>().prop_map(|n| (b"%s".to_vec(), Some(n.into()), n.to_string().into_bytes())),
    ]
}

proptest! {
    #[test]
    fn places_and_percent_signs_are_all_that_changes(pieces in prop::collection::vec(piece(), 0..12)) {
        let (mut template, mut args, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for (place, value, text) in pieces {
            template.extend(place);
            args.extend(value);
            expected.extend(text);
        }
        let (count, args) = (args.len(), HostArgs::from(args));
        prop_assert_eq!(format(&template, &args), Ok(expected));
        if count > 0 {
            prop_assert_eq!(format(&template, &none()), Err(TemplateProblem::MissingPositional));
        }
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(template in "[%()sdxé ]{0,20}", value in any::<i64>()) {
        for args in [HostArgs::from(value), HostArgs::named([("s", value)]), none()] {
            if let Err(TemplateProblem::BadFormat { offset }) = format(template.as_bytes(), &args) {
                prop_assert_eq!(template.as_bytes()[offset], b'%');
            }
        }
    }
}
