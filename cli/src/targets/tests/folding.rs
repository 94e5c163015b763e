//! Folding, by properties and by what it costs.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::fold::{Folded, fold};
use super::super::language::{Evaluator, Style, parse};
use super::generator::Random;
use super::table::Tables;

fn expanded(set: &str) -> Result<Vec<String>, String> {
    let tables = Tables::new(&[]);
    let hosts = Evaluator::new(&tables).text(set, None).map_err(|error| error.to_string())?;
    Ok(hosts.names().into_iter().map(str::to_owned).collect())
}

/// Names of hosts: few patterns, so that many fold, and all that a name may contain.
fn name() -> impl Strategy<Value = String> {
    let number = prop_oneof![0..30u64, 95..105u64, Just(999), Just(1000)];
    let index = (number, 0..4usize).prop_map(|(number, width)| format!("{number:0width$}"));
    let piece = prop_oneof![Just(""), Just("web"), Just("r"), Just("-"), Just("."), Just("_x")];
    let plain = proptest::collection::vec((piece, index), 1..4).prop_map(|pieces| {
        pieces.into_iter().map(|(piece, index)| format!("{piece}{index}")).collect::<String>()
    });
    prop_oneof![
        8 => plain.clone().prop_filter("no option", |name| !name.starts_with('-')),
        1 => (1..3u64, 1..5u64).prop_map(|(user, host)| format!("u{user}@h{host}")),
        1 => (1..5u64, 20..25u64).prop_map(|(host, port)| format!("h{host}:{port}")),
        1 => (1..5u64).prop_map(|host| format!("2001:db8::{host}")),
        1 => (1..5u64).prop_map(|host| format!("[::{host}]:22")),
        1 => Just("login".to_owned()),
        1 => Just("h12345678901234567890".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A folded text stands for the same names, and is folded to itself.
    #[test]
    fn folded_names_are_the_same_names(names in proptest::collection::vec(name(), 0..60)) {
        let text = fold(&names);
        let again = expanded(&text).map_err(TestCaseError::fail)?;
        let [left, right] = [&names, &again].map(|names| names.iter().collect::<BTreeSet<_>>());
        prop_assert_eq!(left, right, "{}", &text);
        prop_assert_eq!(&fold(&again), &text);
        prop_assert_eq!(Folded::new(&names).names().len(), again.len());
        let mut turned = names;
        turned.reverse();
        prop_assert_eq!(fold(&turned), text, "the order counts");
    }

    /// Neither parsing nor folding panics, whatever the text, and no error has an escape sequence.
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let text = String::from_utf8_lossy(&bytes);
        check_text(&text)?;
    }

    /// The same for texts that look like sets.
    #[test]
    fn nothing_panics_on_what_looks_like_a_set(text in "[a1\\[\\]\\(\\),!&^@:/\\-*? 09x\u{1b}\u{e9}]{0,40}") {
        check_text(&text)?;
    }
}

fn check_text(text: &str) -> Result<(), TestCaseError> {
    for style in [Style::Set, Style::Groups, Style::Argument] {
        if let Err(error) = parse(text, style) {
            prop_assert!(!error.to_string().contains(|c: char| c.is_control()), "{:?}", error);
        }
    }
    match expanded(text) {
        Ok(names) => {
            let again = expanded(&fold(&names)).map_err(TestCaseError::fail)?;
            prop_assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), names.into_iter().collect());
        }
        Err(error) => prop_assert!(!error.contains(|c: char| c.is_control()), "{:?}", error),
    }
    fold([text]);
    Ok(())
}

/// Where ClusterShell lost or added zeros: its issues 286, 293, 404, 429, 442 and 524.
#[test]
fn zeros_are_neither_lost_nor_added() {
    for (names, folded) in [
        ("n[1-4]c[01-09]", "n[1-4]c[01-09]"),
        ("n[1-4]c[01-09]!n4c[08-09]", "n[1-3]c[01-09],n4c[01-07]"),
        (
            "namewithissue007,namewithissue008,namewithissue009,namewithissue01,namewithissue02,namewithissue10",
            "namewithissue[01-02,10,007-009]",
        ),
        ("node[541-570]&node[0541-0570]", ""),
        ("node[541-543],node[0541-0543]", "node[541-543,0541-0543]"),
        ("c09,c010,c10,c9", "c[9,09-10,010]"),
        ("a001,a2", "a[2,001]"),
        ("listserv01,listserv3", "listserv[3,01]"),
        ("sh-110-15,sh-107-06,sh-107-07,sh-17-16", "sh-107-[06-07],sh-110-15,sh-17-16"),
        ("r14c[11-13],r02c[03-04]", "r14c[11-13],r02c[03-04]"),
        ("x0y00,x00y0,x0y0", "x0y[0,00],x00y0"),
    ] {
        let names = expanded(names).unwrap();
        assert_eq!(fold(&names), folded);
        assert_eq!(
            expanded(folded).unwrap().into_iter().collect::<BTreeSet<_>>(),
            names.into_iter().collect()
        );
    }
}

/// The time that this thread has used a processor.
fn processor_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn time_of(work: impl Fn()) -> Duration {
    let one = || {
        let (wall, processor) = (Instant::now(), processor_time());
        work();
        processor.zip(processor_time()).map_or_else(|| wall.elapsed(), |(before, after)| after - before)
    };
    (0..3).map(|_| one()).min().unwrap()
}

/// ClusterShell takes the square of the time for twice the names.
#[test]
fn irregular_names_take_time_in_proportion() {
    type Name = fn(&mut Random, u64) -> String;
    let kinds: [(&str, Name); 4] = [
        ("without numbers", |random, _| (0..12).map(|_| char::from(b'a' + random.below(26) as u8)).collect()),
        ("one number", |random, count| format!("web{}", random.below(count * 4))),
        ("two numbers", |random, count| format!("r{}n{}", random.below(count / 50), random.below(200))),
        ("three numbers", |random, count| {
            format!("r{}c{}n{:02}", random.below(count / 100), random.below(16), random.below(64))
        }),
    ];
    for (kind, name) in kinds {
        let time = |count: u64| {
            let mut random = Random::new(count);
            let names: Vec<String> = (0..count).map(|_| name(&mut random, count)).collect();
            time_of(|| drop(fold(&names)))
        };
        let [few, many] = [12_500, 100_000].map(time);
        let factor = many.as_secs_f64() / few.as_secs_f64();
        eprintln!("{kind}: {few:.1?} for 12,500 names, {many:.1?} for 100,000: {factor:.1} times");
        // 8 times the names; their square would be 64.
        assert!(factor < 24.0, "{kind}: {factor:.1} times");
    }
}
