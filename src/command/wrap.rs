//! The words that wrap a command: `sudo`, a user, and a shell.

use std::borrow::Cow;
use std::ffi::CString;

use super::sudo::{Prompts, SudoLogin};
use crate::error::{CommandProblem, ConfigProblem, Error};
use crate::host::check_account;
use crate::limits;
use crate::output::Encoding;
use crate::text::quote;

/// The shell to use with `sudo` or a user, if no shell is set: the remote user's own shell.
const REMOTE_SHELL: &str = "$SHELL -c";

#[derive(Debug, Clone, Default)]
pub(super) struct Wrapping {
    pub sudo: bool,
    pub prompts: Prompts,
    pub user: Option<String>,
    pub shell: Option<String>,
}

impl Wrapping {
    /// The bytes that precede the quoted text on the command line for the login shell, and how to
    /// answer the `sudo` in these bytes.
    pub(super) fn prefix(&self, encoding: Encoding) -> Result<Prefix, Error> {
        let mut bytes = Vec::new();
        let mut login = None;
        if self.user.is_some() || self.sudo || self.prompts.setting().is_some() {
            bytes.extend_from_slice(b"sudo ");
            if let Some(user) = &self.user {
                check_account(user).map_err(|problem| invalid("run_as", user, problem))?;
                bytes.extend_from_slice(b"-u ");
                quote_if_needed(&encoded("run_as", user, encoding)?, &mut bytes);
                bytes.push(b' ');
            }
            let options;
            (options, login) = self.prompts.options()?;
            bytes.extend_from_slice(options.as_bytes());
            bytes.push(b' ');
        } else if self.shell.is_none() {
            return Ok(Prefix { bytes: None, login });
        }
        let shell = self.shell.as_deref().unwrap_or(REMOTE_SHELL);
        if shell.trim().is_empty() {
            return Err(ConfigProblem::Unusable { setting: "shell", problem: "is empty" }.of_command());
        }
        bytes.extend_from_slice(&encoded("shell", shell, encoding)?);
        bytes.push(b' ');
        Ok(Prefix { bytes: Some(bytes), login })
    }
}

/// The part of the command line that precedes the text of a command.
pub(super) struct Prefix {
    /// `None` if the text is sent unchanged.
    pub bytes: Option<Vec<u8>>,
    pub login: Option<SudoLogin>,
}

/// The bytes to send: the text after the `exports` or, if there is a prefix, the prefix followed by
/// both of them quoted.
pub(super) fn wrapped(
    text: &[u8],
    exports: &[u8],
    prefix: Option<&[u8]>,
    encoding: Encoding,
) -> Result<CString, CommandProblem> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(CommandProblem::Empty);
    }
    // The text is quoted after it is encoded, because a shell reads bytes, and in ISO-2022-JP the
    // byte of `'` occurs inside other characters.
    let text = [exports, &encoding.encode(text)?].concat();
    let wire = match prefix {
        Some(prefix) => {
            let mut wire = prefix.to_vec();
            quote(&text, &mut wire);
            wire
        }
        None => text,
    };
    if wire.len() > limits::COMMAND_BYTES {
        return Err(CommandProblem::TooLong { len: wire.len(), max: limits::COMMAND_BYTES });
    }
    CString::new(wire).map_err(|nul| CommandProblem::Nul(nul.nul_position()))
}

fn encoded<'a>(setting: &'static str, text: &'a str, encoding: Encoding) -> Result<Cow<'a, [u8]>, Error> {
    encoding.encode(text.as_bytes()).map_err(|problem| invalid(setting, text, problem))
}

fn invalid(setting: &'static str, text: &str, problem: impl ToString) -> Error {
    ConfigProblem::Invalid { setting, value: text.to_owned(), problem: problem.to_string() }.of_command()
}

/// Appends a user name. As in parallel-ssh, ordinary names are not quoted. All others are, for
/// example `DOMAIN\name`, or `#1000`, which would begin a comment.
fn quote_if_needed(name: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.@+".contains(byte);
    if name.iter().all(is_plain) {
        out.extend_from_slice(name);
    } else {
        quote(name, out);
    }
}
