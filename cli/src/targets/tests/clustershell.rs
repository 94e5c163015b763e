//! The comparison with ClusterShell itself, from PyPI: what sets stand for, and how they are folded.
//!
//! `CLUSTERSHELL_SETS=100000` compares so many sets; `CLUSTERSHELL_SEED` repeats a run.

use std::env;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde::Deserialize;

use super::super::fold::Folded;
use super::super::language::Evaluator;
use super::generator::{Generator, Traits};
use super::table::Tables;

/// So many sets are compared in a usual run of the tests.
const SETS: usize = 5_000;

const VERSION: &str = "1.10.1";

#[derive(Deserialize, Debug, PartialEq)]
#[serde(untagged)]
enum Answer {
    Hosts { folded: String, names: Vec<String> },
    Error { error: String },
}

/// Where ClusterShell is, or why it is nowhere.
fn clustershell() -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clustershell");
    let output = Command::new(script).output().unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    match output.status.code() {
        Some(0) => Ok(stdout.trim().to_owned()),
        Some(75) => Err(stderr.trim().to_owned()),
        _ => panic!("tests/clustershell: {stderr}"),
    }
}

/// What ClusterShell says about each set, from one process.
fn ask(
    sources: &serde_json::Value,
    sets: &[String],
    each: impl FnMut((usize, Answer)),
) -> Result<(), String> {
    let folder = clustershell()?;
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/targets/tests/oracle.py");
    let mut python = Command::new("python3")
        .arg(oracle)
        .env("PYTHONPATH", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let mut questions = format!("{sources}\n");
    for set in sets {
        writeln!(questions, "{}", serde_json::Value::from(set.as_str())).unwrap();
    }
    let writer = thread::spawn(move || stdin.write_all(questions.as_bytes()));
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next(), Some(format!("\"{VERSION}\"")));
    let answers = lines.by_ref().take(sets.len()).map(|line| serde_json::from_str(&line).unwrap());
    answers.enumerate().for_each(each);
    writer.join().unwrap().unwrap();
    assert!(python.wait().unwrap().success());
    Ok(())
}

fn own(tables: &Tables, set: &str) -> Answer {
    match Evaluator::new(tables).text(set, None) {
        Ok(hosts) => {
            let folded = Folded::new(hosts.names());
            Answer::Hosts { folded: folded.to_string(), names: folded.names() }
        }
        Err(error) => Answer::Error { error: error.to_string() },
    }
}

#[test]
fn sets_are_those_of_clustershell() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("CLUSTERSHELL_SEED").unwrap_or_else(|| std::process::id().into());
    let count = number("CLUSTERSHELL_SETS").map_or(SETS, |count| count as usize);
    eprintln!("CLUSTERSHELL_SEED={seed} CLUSTERSHELL_SETS={count}");
    let mut generator = Generator::new(seed);
    let tables = Tables::new(&generator.sources);
    let (sets, traits): (Vec<String>, Vec<Traits>) = (0..count).map(|_| generator.expression()).unzip();
    check_shares(&traits);

    let (mut answered, mut errors, mut names_in_all, mut different) = (0, 0, 0, Vec::new());
    let asked = ask(&tables.to_json(), &sets, |(at, theirs)| {
        answered += 1;
        match &theirs {
            Answer::Hosts { names, .. } => names_in_all += names.len(),
            Answer::Error { .. } => errors += 1,
        }
        let ours = own(&tables, &sets[at]);
        if ours != theirs && different.len() < 10 {
            different.push(format!("{}\n  ours   {ours:?}\n  theirs {theirs:?}", sets[at]));
        }
    });
    if let Err(reason) = asked {
        eprintln!("not compared with ClusterShell: {reason}");
        return;
    }
    eprintln!("{answered} sets with {names_in_all} names, {errors} errors");
    assert!(different.is_empty(), "seed {seed}:\n{}", different.join("\n"));
    assert_eq!((answered, errors), (count, 0));
}

/// The sets are of all kinds: otherwise equal answers would say little.
fn check_shares(traits: &[Traits]) {
    let share = |name: &str, least: f64, is: &dyn Fn(&Traits) -> bool| {
        let share = 100.0 * traits.iter().filter(|traits| is(traits)).count() as f64 / traits.len() as f64;
        eprintln!("{share:.1} % {name}");
        assert!(share >= least, "{name}: {share:.1} %, at least {least} % are needed");
    };
    share("with several operators", 30.0, &|traits| traits.operators >= 2);
    share("with operators in groups", 10.0, &|traits| traits.groups && traits.operators >= 2);
    share("padded", 20.0, &|traits| traits.padded);
    share("of several dimensions", 20.0, &|traits| traits.dimensions >= 2);
    share("of three dimensions and more", 5.0, &|traits| traits.dimensions >= 3);
    share("with steps", 5.0, &|traits| traits.steps);
    share("with wildcards", 3.0, &|traits| traits.wildcards);
}

/// Where ClusterShell is wrong, or more lenient on purpose: what it says, and what sshoal says.
#[test]
fn the_exceptions_are_named() {
    let exceptions = [
        // Digits beside a bracket are put to the ends of ranges, not to each number.
        ("a1[9-11]", "a[19-111]", "a[19,110-111]"),
        ("a0[9-10]", "padding length mismatch", "a[09,010]"),
        // A width that only one end has.
        ("a[0-00]", "a0", "the ends of a range with leading zeros have different widths"),
        // Names that no host can have.
        ("a b", "a b", "a,b"),
        ("a[-2-1]", "a[-2-1]", "a range cannot begin with"),
        ("(a)", "(a)", "a"),
        ("a[1-2][3-4]", "illegal reopening bracket", "a[13-14,23-24]"),
        ("@main:unknown", "", "no group unknown in source main"),
    ];
    assert!(exceptions.len() <= 10);
    let tables = Tables::new(&[("main".to_owned(), vec![("all".to_owned(), "a".to_owned())])]);
    let sets: Vec<String> = exceptions.iter().map(|(set, ..)| (*set).to_owned()).collect();
    let text = |answer: Answer| match answer {
        Answer::Hosts { folded, .. } => folded,
        Answer::Error { error } => error,
    };
    for (set, _, expected) in exceptions {
        let ours = text(own(&tables, set));
        assert!(ours == expected || (ours.contains(' ') && ours.starts_with(expected)), "{set}: {ours}");
    }
    let asked = ask(&tables.to_json(), &sets, |(at, theirs)| {
        let (set, expected, _) = exceptions[at];
        let theirs = text(theirs);
        assert!(theirs == expected || (!expected.is_empty() && theirs.contains(expected)), "{set}: {theirs}");
    });
    if let Err(reason) = asked {
        eprintln!("not compared with ClusterShell: {reason}");
    }
}
