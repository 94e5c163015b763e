//! What lines of the prompt mean: the words of clush, and names for how the last command ended.

use clap::{Args, ValueEnum};

use crate::args::OutputArgs;
use crate::history::Which;

/// What a line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    Nothing,
    /// A command for the chosen hosts.
    Command(&'a str),
    /// Other hosts for the next commands.
    Choose(Change, &'a str),
    /// The chosen hosts, and how the last command ended.
    Show,
    Help,
    /// A command for this machine.
    Local(&'a str),
    /// Flags of the output; without any, to fold or not.
    Output(&'a str),
    Leave,
}

/// What a set does to the chosen hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Replace,
    Add,
    Remove,
}

pub const HELP: &str = "\
COMMAND     run it on the chosen hosts; a blank in front keeps it out of the history
?           show the chosen hosts, and how the last command ended
@SET        choose these hosts, as -w SET does (a group is @@GROUP)
+SET -SET   add hosts to the chosen ones, remove hosts
            In a SET, these are hosts of the last command: failed, ok, timeout,
            unreachable, not-started, diff (other output than most,
            if it was folded); all is what the prompt was opened with:
            @failed, @all!web3, -ok
= [FLAGS]   fold output or not (-b), or the flags of output from now on: = -bL
!COMMAND    run it on this machine
quit, ^D    leave
TAB         complete hosts and groups of a SET, and flags
While a command runs: Enter shows how far it is, ^C cancels it";

/// The source that the groups of [`with_ends`] are in.
pub const SOURCE: &str = "prompt";

/// Reads a line.
pub fn parse(line: &str) -> Line<'_> {
    let text = line.trim();
    if line.starts_with(char::is_whitespace) && !text.is_empty() {
        return Line::Command(text);
    }
    let mut chars = text.chars();
    let first = chars.next();
    let rest = chars.as_str().trim_start();
    match first {
        None => Line::Nothing,
        Some('?') if rest == "?" => Line::Help,
        Some('?') => Line::Show,
        Some('@') => Line::Choose(Change::Replace, rest),
        Some('+') => Line::Choose(Change::Add, rest),
        Some('-') => Line::Choose(Change::Remove, rest),
        Some('!') => Line::Local(rest),
        Some('=') => Line::Output(rest),
        Some(_) if ["quit", "exit"].contains(&text) => Line::Leave,
        Some(_) => Line::Command(text),
    }
}

/// The names of ends.
pub fn ends() -> impl Iterator<Item = (Which, String)> {
    let name = |which: &Which| Some((*which, which.to_possible_value()?.get_name().to_owned()));
    Which::value_variants().iter().filter_map(name)
}

/// Whether a set names the hosts that ended like this.
pub fn names_end(set: &str, which: Which) -> bool {
    let name = which.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    set.split(BETWEEN).any(|part| part.strip_prefix('@').unwrap_or(part) == name)
}

/// Whether the name of an end can follow this part of a set.
pub fn begins_end(before: &str) -> bool {
    let before = before.strip_suffix('@').unwrap_or(before);
    before.is_empty() || before.ends_with(BETWEEN)
}

/// What is between the terms of a set.
const BETWEEN: [char; 6] = [',', '!', '&', '^', '(', ')'];

/// A set in which names of ends are groups of [`SOURCE`]: `@failed!web3` and `failed!web3` become
/// `@prompt:failed!web3`.
pub fn with_ends(set: &str) -> String {
    let mut out = String::with_capacity(set.len());
    for part in set.split_inclusive(BETWEEN) {
        let name = part.trim_end_matches(BETWEEN);
        let plain = name.strip_prefix('@').unwrap_or(name);
        if ends().any(|(_, end)| end == plain) {
            out.push_str(&format!("@{SOURCE}:{plain}{}", &part[name.len()..]));
        } else {
            out.push_str(part);
        }
    }
    out
}

/// What follows `=`.
pub fn flags_of_output() -> clap::Command {
    OutputArgs::augment_args(clap::Command::new("=").no_binary_name(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_character_says_what_a_line_is() {
        use Change::{Add, Remove, Replace};
        for (line, meaning) in [
            ("", Line::Nothing),
            ("  ", Line::Nothing),
            ("uptime -p ", Line::Command("uptime -p")),
            ("?", Line::Show),
            ("??", Line::Help),
            ("@web[1-3]", Line::Choose(Replace, "web[1-3]")),
            ("@@group", Line::Choose(Replace, "@group")),
            ("+ web4", Line::Choose(Add, "web4")),
            ("-@rack:1", Line::Choose(Remove, "@rack:1")),
            ("!date", Line::Local("date")),
            ("=", Line::Output("")),
            ("= -b -L", Line::Output("-b -L")),
            ("quit", Line::Leave),
            ("exit", Line::Leave),
            ("quit now", Line::Command("quit now")),
        ] {
            assert_eq!(parse(line), meaning, "{line:?}");
        }
    }

    #[test]
    fn behind_a_blank_every_line_is_a_command() {
        for line in ["! grep -q x file", "quit", "?", "- x", "= x"] {
            assert_eq!(parse(&format!(" {line}")), Line::Command(line));
        }
    }

    #[test]
    fn names_of_ends_are_groups_as_whole_names_only() {
        for (set, meaning) in [
            ("failed", "@prompt:failed"),
            ("@failed", "@prompt:failed"),
            ("ok!web3", "@prompt:ok!web3"),
            ("web[1-9]&(failed,not-started)", "web[1-9]&(@prompt:failed,@prompt:not-started)"),
            ("ok1,failed[1-2],@rack:ok,not-ok", "ok1,failed[1-2],@rack:ok,not-ok"),
            ("-failed", "-failed"),
        ] {
            assert_eq!(with_ends(set), meaning, "{set}");
        }
    }

    #[test]
    fn an_end_is_named_as_a_whole_term() {
        let names_diff = |set| names_end(set, Which::Diff);
        assert!(names_diff("diff") && names_diff("@diff") && names_diff("all!(web1,diff)"));
        assert!(!names_diff("diff1") && !names_diff("@rack:diff") && !names_diff("failed"));
    }

    #[test]
    fn the_help_names_every_end() {
        for (_, name) in ends() {
            assert!(HELP.contains(&name), "{name}");
        }
    }
}
