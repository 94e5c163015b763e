//! Commands that lead to hosts, as with OpenSSH's `ProxyCommand`: their texts, and the processes
//! that run them.
//!
//! The process has one end of a socket pair as its standard input and output, and the connection
//! to the host has the other end. It runs in a process group of its own. Its standard error is
//! kept for the error of the host, as far as [`Tail`] has room.

pub(crate) mod limits;
mod process;
mod tail;
#[cfg(test)]
mod tests;

use std::process::ExitStatus;
use std::sync::Arc;
use std::task::Poll;

use crate::host::check_user;

pub(crate) use process::Process;
#[cfg(test)]
pub(crate) use tail::Tail;

/// A command with tokens, as a setting has it. The [check](Self::check) comes first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProxyCommand(Box<str>);

/// What the tokens of a command stand for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// `%h`: the name or address to connect to.
    pub host: &'a str,
    /// `%n`: the name in the host list.
    pub name: &'a str,
    /// `%p`.
    pub port: u16,
    /// `%r`: the login name.
    pub user: &'a str,
}

/// What is known of the process that leads to a host.
pub(crate) trait CommandReport {
    /// How the process has ended: `None` if another part of this program has waited for it.
    /// `Pending` while it runs.
    fn end(&mut self) -> Poll<Option<ExitStatus>>;
    /// The last lines that it has written to standard error, made safe for a terminal.
    fn said(&mut self) -> Option<Arc<str>>;
}

impl ProxyCommand {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether the text means that there is no command (OpenSSH: `none`).
    pub(crate) fn is_none(text: &str) -> bool {
        text.eq_ignore_ascii_case("none")
    }

    /// Checks the text and its tokens. Returns what is wrong with it.
    pub(crate) fn check(text: &str) -> Result<(), String> {
        if text.trim().is_empty() {
            return Err("is empty".to_owned());
        }
        if text.contains('\0') {
            return Err("contains a NUL byte".to_owned());
        }
        if text.len() > crate::limits::COMMAND_BYTES {
            return Err("is too long".to_owned());
        }
        for token in tokens(text) {
            if !matches!(token, Some('h' | 'n' | 'p' | 'r' | '%')) {
                let token = token.map_or_else(String::new, String::from);
                return Err(format!("\"%{token}\" is none of %h, %n, %p, %r and %%"));
            }
        }
        Ok(())
    }

    /// Checks a login name that becomes a part of the command. Host names need no check: they
    /// consist of letters, digits and a few other characters that no shell interprets.
    ///
    /// The rules are stricter than OpenSSH's (`valid_ruser`), which allows `$` and blanks: with
    /// `$IFS-o`, a name could add an option to the command.
    pub(crate) fn check_names(&self, names: &Names<'_>) -> Result<(), String> {
        if !tokens(&self.0).any(|token| token == Some('r')) {
            return Ok(());
        }
        check_user(names.user).map_err(|problem| problem.to_string())?;
        let is_syntax = |character: char| character.is_whitespace() || "$*?[]~#!".contains(character);
        match names.user.chars().find(|character| is_syntax(*character)) {
            Some(character) => Err(format!("a shell would interpret {character:?}")),
            None => Ok(()),
        }
    }

    /// The command for a host.
    pub(crate) fn line(&self, names: &Names<'_>) -> String {
        let mut line = String::with_capacity(self.0.len() + names.host.len());
        let mut rest = &*self.0;
        while let Some((before, after)) = rest.split_once('%') {
            line.push_str(before);
            match after.chars().next() {
                Some('h') => line.push_str(names.host),
                Some('n') => line.push_str(names.name),
                Some('p') => line.push_str(&names.port.to_string()),
                Some('r') => line.push_str(names.user),
                _ => line.push('%'),
            }
            // Checked tokens have one byte.
            rest = after.get(1..).unwrap_or_default();
        }
        line + rest
    }
}

/// The characters after each `%`; `None` at the end of the text.
fn tokens(text: &str) -> impl Iterator<Item = Option<char>> {
    let mut characters = text.chars();
    std::iter::from_fn(move || characters.find(|character| *character == '%').map(|_| characters.next()))
}
