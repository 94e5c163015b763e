//! Completion in shells: what the word at the cursor can become.
//!
//! The scripts that `sshoal completions` prints know nothing: for each word they ask this program,
//! by a first word that users do not type (`__complete`). It uses no network, and asks the commands
//! of groups for a short time only. Whatever is wrong, such as a broken ssh_config, is silence
//! here: it is reported when the command runs.
//!
//! | file | what it holds |
//! |---|---|
//! | `line` | the words of a line of bash |
//! | `place` | what is written at the cursor: a flag, the value of one, the command |
//! | `term` | the last term of a set that is being written |
//! | `names` | hosts, groups and their sources |
//! | `sshoal.bash`, `sshoal.zsh`, `sshoal.fish` | the scripts |

mod line;
mod names;
mod place;
mod term;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::{Parser, ValueEnum, ValueHint};
use sshoal::ssh_config::SshConfig;

pub use self::names::{Names, joined};
use self::place::{Line, Place};
pub use self::term::{Term, of_set};

/// A shell that there are completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// The script that the shell reads.
    pub fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("sshoal.bash"),
            Self::Zsh => include_str!("sshoal.zsh"),
            Self::Fish => include_str!("sshoal.fish"),
        }
    }
}

/// What a script asks.
#[derive(Debug, Parser)]
#[command(name = "sshoal __complete")]
pub struct CompleteArgs {
    #[arg(value_enum)]
    shell: Shell,
    /// bash: the line up to the cursor, and the part of its last word that bash replaces. Others:
    /// the words behind the name of the program, up to the cursor.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// What the word at the cursor can become.
#[derive(Debug, Default, PartialEq, Eq)]
enum Answer {
    /// Nothing, or nothing that is known.
    #[default]
    Nothing,
    /// These words, each with what it means, which may be empty.
    Words(Vec<(String, String)>),
    /// What the shell knows.
    Files,
    Folders,
    Users,
    Commands,
}

/// Prints the answer: its kind, and a word on each line, with its meaning behind a tab.
pub fn run(args: &CompleteArgs) -> Result<u8, Box<dyn Error>> {
    let (words, replaced) = match (args.shell, &args.words[..]) {
        (Shell::Bash, [line, replaced, ..]) => {
            let mut words = line::words(line);
            // The name of the program.
            words.drain(..1.min(words.len()));
            (words, Some(replaced.as_str()))
        }
        (_, words) => (words.to_vec(), None),
    };
    let Some(word) = words.last() else { return Ok(0) };
    // bash replaces what is behind the last of some characters, such as `:` and `=`.
    let cut = replaced.filter(|replaced| word.ends_with(replaced)).map_or(0, |part| word.len() - part.len());
    let mut text = String::new();
    match answer(&words) {
        Answer::Nothing => {}
        Answer::Files => text.push_str("files\n"),
        Answer::Folders => text.push_str("folders\n"),
        Answer::Users => text.push_str("users\n"),
        Answer::Commands => text.push_str("commands\n"),
        Answer::Words(found) => {
            text.push_str("words\n");
            for (word, meaning) in found.iter().filter(|(word, _)| is_plain(word)) {
                let word = word.get(cut..).unwrap_or_default();
                match meaning.as_str() {
                    _ if args.shell == Shell::Bash => writeln!(text, "{word}")?,
                    "" => writeln!(text, "{word}")?,
                    meaning => writeln!(text, "{word}\t{meaning}")?,
                }
            }
        }
    }
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(0),
    }
}

/// Whether every shell takes this for one word, without quotes.
pub fn is_plain(word: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.,:@+%/=~[]^".contains(c);
    // What is typed with operators is quoted already.
    !word.is_empty() && word.chars().all(|c| is_plain(c) || "!&() ".contains(c))
}

/// What the last of these words can become.
fn answer(words: &[String]) -> Answer {
    at(&Line::read(words))
}

/// What the last of these words can become, which are flags of this command, and their values.
pub fn of_flags(command: clap::Command, words: &[String]) -> Vec<String> {
    match at(&Line::of(command, words, &[])) {
        Answer::Words(found) => found.into_iter().map(|(word, _)| word).collect(),
        _ => Vec::new(),
    }
}

fn at(line: &Line) -> Answer {
    match &line.place {
        Place::Nothing => Answer::Nothing,
        Place::Flags(found) => Answer::Words(found.clone()),
        Place::Command { is_first: true } => Answer::Commands,
        Place::Command { is_first: false } => Answer::Files,
        Place::Value { before, typed, argument } => value(line, before, typed, argument),
    }
}

/// The values of an argument that begin with `typed`, each behind `before`.
fn value(line: &Line, before: &str, typed: &str, argument: &clap::Arg) -> Answer {
    let with_before = |mut found: Vec<(String, String)>| {
        found.iter_mut().for_each(|(word, _)| word.insert_str(0, before));
        Answer::Words(found)
    };
    let possible = argument.get_possible_values();
    if !possible.is_empty() {
        let values = possible.iter().filter(|value| value.get_name().starts_with(typed));
        let meaning = |value: &clap::builder::PossibleValue| {
            value.get_help().map(ToString::to_string).unwrap_or_default()
        };
        return with_before(values.map(|value| (value.get_name().to_owned(), meaning(value))).collect());
    }
    let found = match argument.get_id().as_str() {
        "sets" | "exclude" | "more" => Names::of(line).in_set(typed),
        "groups" | "exclude_groups" => Names::of(line).in_groups(typed),
        "source" => Names::of(line).sources(typed),
        "ssh_hosts" => Names::of(line).aliases(typed),
        "jump" => Names::of(line).jumps(typed),
        "options" => options(typed),
        _ => {
            return match argument.get_value_hint() {
                // The shell adds what it finds to the word itself.
                ValueHint::AnyPath | ValueHint::FilePath => Answer::Files,
                ValueHint::DirPath => Answer::Folders,
                ValueHint::Username => Answer::Users,
                _ => Answer::Nothing,
            };
        }
    };
    with_before(found.into_iter().map(|word| (word, String::new())).collect())
}

/// What an argument of `-o` can become. Keywords are known in any case, and go on as they were
/// begun.
fn options(typed: &str) -> Vec<String> {
    let is_lower = !typed.is_empty() && !typed.contains(|c: char| c.is_ascii_uppercase());
    let as_typed = |keyword: &str| if is_lower { keyword.to_ascii_lowercase() } else { keyword.to_owned() };
    let mut found: Vec<String> = SshConfig::keywords().map(as_typed).collect();
    found.retain(|keyword| keyword.starts_with(typed));
    found.sort_unstable();
    found.iter_mut().for_each(|keyword| keyword.push('='));
    found
}

#[cfg(test)]
mod tests;
