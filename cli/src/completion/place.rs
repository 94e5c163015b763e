//! What is written at the cursor.

use std::collections::HashMap;

use clap::{Arg, ArgAction, Command};

use crate::args;

/// What is known of a line that is being written.
#[derive(Debug)]
pub struct Line {
    pub place: Place,
    /// The values of the flags before the cursor, by their ids.
    values: HashMap<String, Vec<String>>,
}

/// What the word at the cursor is.
#[derive(Debug)]
pub enum Place {
    Nothing,
    /// A flag or a subcommand, as one of these.
    Flags(Vec<(String, String)>),
    /// A value. `before` is what its word begins with, such as `--hosts=`.
    Value {
        before: String,
        typed: String,
        argument: Box<Arg>,
    },
    /// The command that hosts run.
    Command {
        is_first: bool,
    },
}

impl Line {
    /// Reads the words behind the name of the program; the last one is that at the cursor.
    pub fn read(words: &[String]) -> Self {
        let is_first = words.len() < 2;
        match words.first().filter(|_| !is_first).and_then(|first| args::subcommand(first)) {
            Some(command) => Self::of(command, &words[1..], &[]),
            // Subcommands are subcommands as the first word only.
            None if is_first => Self::of(args::of_runs(), words, &args::subcommands()),
            None => Self::of(args::of_runs(), words, &[]),
        }
    }

    /// Reads the words behind the name of a command, which may be one of the subcommands.
    pub fn of(mut command: Command, words: &[String], subcommands: &[Command]) -> Self {
        let mut line = Self { place: Place::Nothing, values: HashMap::new() };
        let Some((at_cursor, before)) = words.split_last() else { return line };
        command.build();
        line.place = line.place_of(&command, before, at_cursor, subcommands);
        line
    }

    /// The last value of a flag, by the id of its argument.
    pub fn value(&self, id: &str) -> Option<&str> {
        self.values.get(id)?.last().map(String::as_str)
    }

    /// All values of a flag, in their order.
    pub fn values(&self, id: &str) -> &[String] {
        self.values.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    fn place_of(
        &mut self,
        command: &Command,
        before: &[String],
        at_cursor: &str,
        subcommands: &[Command],
    ) -> Place {
        let mut positions = 0;
        let mut has_dashes = false;
        let mut words = before.iter();
        while let Some(word) = words.next() {
            if has_dashes || !is_flag(word) {
                // Behind the first word of a command, nothing is a flag.
                if positional(command, positions).is_some_and(Arg::is_trailing_var_arg_set) {
                    return of_positional(command, positions, at_cursor, true);
                }
                positions += 1;
            } else if word == "--" {
                has_dashes = true;
            } else if let Some(argument) = self.note(command, word) {
                match words.next() {
                    Some(value) => self.keep(argument, value),
                    None => return value(argument, "", at_cursor),
                }
            }
        }
        if has_dashes || !is_flag(at_cursor) && at_cursor != "-" {
            let place = of_positional(command, positions, at_cursor, false);
            let names = subcommands.iter().filter(|command| command.get_name().starts_with(at_cursor));
            let names: Vec<_> =
                names.map(|command| (command.get_name().to_owned(), about(command))).collect();
            // No command runs anywhere before hosts are named.
            let is_early = matches!(place, Place::Command { .. }) && self.values.is_empty();
            return if is_early && !has_dashes { Place::Flags(names) } else { place };
        }
        at_flag(command, at_cursor)
    }

    /// Notes the values in a word with flags. Returns the flag whose value is the next word.
    fn note<'a>(&mut self, command: &'a Command, word: &str) -> Option<&'a Arg> {
        if let Some(long) = word.strip_prefix("--") {
            let (name, attached) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let argument = long_flag(command, name)?;
            attached.into_iter().for_each(|value| self.keep(argument, value));
            return Some(argument).filter(|argument| attached.is_none() && wants_next(argument));
        }
        let (argument, attached) = short_flag(command, word)?;
        match attached {
            "" => Some(argument).filter(|argument| wants_next(argument)),
            value => {
                self.keep(argument, value);
                None
            }
        }
    }

    fn keep(&mut self, argument: &Arg, value: &str) {
        self.values.entry(argument.get_id().to_string()).or_default().push(value.to_owned());
    }
}

fn is_flag(word: &str) -> bool {
    word.starts_with('-') && word.len() > 1
}

/// Whether a value follows as the next word.
fn wants_next(argument: &Arg) -> bool {
    argument.get_action().takes_values() && !argument.is_require_equals_set()
}

fn long_flag<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| argument.get_long() == Some(name))
}

/// The last flag of a word such as `-bL` or `-wweb1`, and what is attached to it.
fn short_flag<'a, 'w>(command: &'a Command, word: &'w str) -> Option<(&'a Arg, &'w str)> {
    let mut found = None;
    for (at, c) in word.char_indices().skip(1) {
        let argument = command.get_arguments().find(|argument| argument.get_short() == Some(c))?;
        let rest = &word[at + c.len_utf8()..];
        if wants_next(argument) {
            return Some((argument, rest));
        }
        found = Some((argument, ""));
    }
    found
}

/// The positional argument with this number; the last one may take many.
fn positional(command: &Command, number: usize) -> Option<&Arg> {
    let all: Vec<&Arg> = command.get_positionals().collect();
    let last = *all.last()?;
    let takes_many = matches!(last.get_action(), ArgAction::Append);
    all.get(number).copied().or(Some(last).filter(|_| takes_many))
}

fn of_positional(command: &Command, number: usize, at_cursor: &str, is_later: bool) -> Place {
    match positional(command, number) {
        Some(argument) if argument.get_id() == "command" => Place::Command { is_first: !is_later },
        Some(argument) => value(argument, "", at_cursor),
        None => Place::Nothing,
    }
}

/// A word that begins with `-`.
fn at_flag(command: &Command, word: &str) -> Place {
    if let Some((name, typed)) = word.strip_prefix("--").and_then(|long| long.split_once('=')) {
        return match long_flag(command, name) {
            Some(argument) => value(argument, &format!("--{name}="), typed),
            None => Place::Nothing,
        };
    }
    if !word.starts_with("--")
        && let Some((argument, typed)) = short_flag(command, word).filter(|(_, typed)| !typed.is_empty())
    {
        return value(argument, &word[..word.len() - typed.len()], typed);
    }
    let mut found = Vec::new();
    for argument in
        command.get_arguments().filter(|argument| !argument.is_positional() && !argument.is_hide_set())
    {
        let meaning = argument.get_help().map(|help| first_line(&help.to_string())).unwrap_or_default();
        let takes = argument.get_action().takes_values();
        let long = argument.get_long().map(|long| format!("--{long}"));
        if let Some(long) = &long
            && !(takes && argument.is_require_equals_set() && needs_value(argument))
        {
            found.push((long.clone(), meaning.clone()));
        }
        if let Some(long) = long.filter(|_| takes && argument.is_require_equals_set()) {
            // Words that go on have no meaning of their own: see the scripts.
            found.push((format!("{long}="), String::new()));
        }
        // Short flags are shown with all others, and need no completion.
        if let Some(short) = argument.get_short().filter(|_| !word.starts_with("--")) {
            found.push((format!("-{short}"), meaning));
        }
    }
    found.retain(|(flag, _)| flag.starts_with(word));
    Place::Flags(found)
}

fn needs_value(argument: &Arg) -> bool {
    argument.get_num_args().is_some_and(|numbers| numbers.min_values() > 0)
}

fn value(argument: &Arg, before: &str, typed: &str) -> Place {
    Place::Value { before: before.to_owned(), typed: typed.to_owned(), argument: Box::new(argument.clone()) }
}

fn about(command: &Command) -> String {
    command.get_about().map(|about| first_line(&about.to_string())).unwrap_or_default()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
