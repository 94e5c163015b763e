//! What TAB completes: sets of hosts, and flags of the output. A command is for the hosts, which are
//! not asked what they have.

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::words::{self, Change, Line};
use crate::args::{ConnectionArgs, TaskArgs};
use crate::completion::{self, Names, Term, is_plain, joined};
use crate::targets::{Places, TargetArgs};

/// Where names are from.
#[derive(Debug, Clone)]
pub struct Completion {
    connection: ConnectionArgs,
    targets: TargetArgs,
    /// The hosts that the prompt knows.
    pub hosts: Vec<String>,
}

impl Completion {
    /// With the files that the command line of the prompt names.
    pub fn new(args: &TaskArgs) -> Self {
        let ConnectionArgs { config, options, .. } = args.connection.clone();
        let TargetArgs { source, inventory, .. } = args.targets.clone();
        Self {
            connection: ConnectionArgs { config, options, ..ConnectionArgs::default() },
            targets: TargetArgs { source, inventory, ..TargetArgs::default() },
            hosts: Vec::new(),
        }
    }

    /// What an argument of `-w` can become. Files are read at each TAB, as they are now.
    fn in_set(&self, set: &str) -> Vec<String> {
        Names::new(self.connection.clone(), &self.targets, Places::current()).in_set(set)
    }
}

/// Where the words begin that stand for the end of this line, and what they can be.
fn found(line: &str, hosts: &[String], in_set: impl FnOnce(&str) -> Vec<String>) -> (usize, Vec<String>) {
    let nothing = (line.len(), Vec::new());
    match words::parse(line) {
        // Behind a blank is no set.
        Line::Choose(_, set) if set.contains(char::is_whitespace) || !line.ends_with(set) => nothing,
        Line::Choose(change, set) => {
            let term = completion::of_set(set);
            // Only what is known can be removed.
            let mut found = match (change, &term) {
                (Change::Remove, Term::Host { .. }) => Vec::new(),
                _ => in_set(set),
            };
            if let Term::Host { before, typed } = term {
                found.extend(joined(before, hosts.iter().cloned(), typed));
            }
            let (before, typed) = match term {
                Term::Host { before, typed } | Term::Group { before, typed, .. } => (before, typed),
                Term::File { before, typed } => (before, typed),
                Term::Other => return nothing,
            };
            if words::begins_end(before) {
                found.extend(joined(before, words::ends().map(|(_, name)| name), typed));
            }
            found.retain(|word| is_plain(word) && !word.contains(char::is_whitespace));
            found.sort_unstable();
            found.dedup();
            found.iter_mut().for_each(|word| _ = word.drain(..before.len()));
            (line.len() - typed.len(), found)
        }
        Line::Output(flags) => {
            let mut words: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
            if words.is_empty() || line.ends_with(char::is_whitespace) {
                words.push(String::new());
            }
            let typed = words.last().map_or(0, String::len);
            (line.len() - typed, completion::of_flags(words::flags_of_output(), &words))
        }
        _ => nothing,
    }
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(found(line.get(..pos).unwrap_or_default(), &self.hosts, |set| self.in_set(set)))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}

impl Validator for Completion {}

impl Helper for Completion {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_and_flags_are_completed_and_commands_are_not() {
        let hosts = ["web1", "web2", "db1", "a b", "a\x1bc"].map(str::to_owned);
        let elsewhere = |set: &str| {
            let elsewhere = ["other1", "web1", "@group", "bad name"];
            let begun = |name: &&str| name.starts_with(set);
            elsewhere.into_iter().filter(begun).map(str::to_owned).collect()
        };
        for (line, start, expected) in [
            ("@w", 1, &["web1", "web2"][..]),
            ("@ot", 1, &["other1"]),
            ("+o", 1, &["ok", "other1"]),
            ("@a", 1, &["all"]),
            ("@web1!(d", 7, &["db1", "diff"]),
            ("@@f", 2, &["failed"]),
            ("@@g", 2, &["group"]),
            ("+ d", 2, &["db1", "diff"]),
            ("-d", 1, &["db1", "diff"]),
            // Not known, so not to be removed.
            ("-other", 6, &[]),
            ("@root@f", 6, &[]),
            ("@@racks:f", 8, &[]),
            ("@web[1-", 7, &[]),
            ("@web1 ", 6, &[]),
            ("@web1 w", 7, &[]),
            ("= --dif", 2, &["--diff"]),
            ("= -b --sort=out", 5, &["--sort=output"]),
            ("=", 1, &[]),
            // For the hosts, or this machine.
            ("w", 1, &[]),
            (" @w", 3, &[]),
            ("!w", 2, &[]),
            ("q", 1, &[]),
            ("", 0, &[]),
            ("?", 1, &[]),
        ] {
            let (at, found) = found(line, &hosts, elsewhere);
            assert_eq!(found, expected, "{line:?}");
            assert!(found.is_empty() || at == start, "{line:?}: {at}");
        }
    }
}
