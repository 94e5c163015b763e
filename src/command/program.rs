//! What a command can be made from, and programs other than command lines: shells and subsystems.
//! They have no text that settings could change.

use std::ffi::CString;

use super::Command;
use super::request::Program;
use super::wrap::Wrapping;
use crate::error::{ConfigProblem, Error};
use crate::limits;
use crate::output::stdin::Input;

/// The text of a shell or subsystem, which is the same for all hosts; `None` for a command line.
/// Rejects settings that would have no effect.
pub(super) fn fixed_text(command: &Command) -> Result<Option<CString>, Error> {
    let other = match command.program {
        Program::Command => return Ok(None),
        Program::Shell => "Command::login_shell",
        Program::Subsystem if command.transfer.is_some() => "a transfer",
        Program::Subsystem => "Command::subsystem",
    };
    if let Some(setting) = text_setting(command) {
        return Err(ConfigProblem::Conflict { setting, other }.of_command());
    }
    let name = &command.text;
    let is_named = !name.is_empty() && name.len() <= limits::NAME_BYTES;
    match CString::new(name.as_slice()) {
        Ok(name) if is_named || command.program == Program::Shell => Ok(Some(name)),
        _ => Err(ConfigProblem::Invalid {
            setting: "Command::subsystem",
            value: String::from_utf8_lossy(name).into_owned(),
            problem: format!("must have 1 to {} bytes, none of them NUL", limits::NAME_BYTES),
        }
        .of_command()),
    }
}

/// A setting that changes the text of a command, if there is one.
fn text_setting(command: &Command) -> Option<&'static str> {
    let Wrapping { sudo, prompts, user, shell } = &command.wrapping;
    let is_transfer = command.transfer.is_some();
    let settings = [
        (!command.host_args.is_empty() && !is_transfer, "host_args"),
        (!command.shell_env.is_empty(), "shell_env"),
        (shell.is_some(), "shell"),
        (user.is_some() && !is_transfer, "run_as"),
        (*sudo && !is_transfer, "sudo"),
        (is_transfer && matches!(command.stdin, Some(Input::Bytes(_))), "stdin"),
        (is_transfer && command.channel.wants_pty(), "use_pty"),
    ];
    let set = settings.into_iter().find(|(is_set, _)| *is_set);
    set.map(|(_, name)| name).or_else(|| prompts.setting().filter(|_| !is_transfer))
}

impl From<&str> for Command {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Command {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&Command> for Command {
    fn from(command: &Command) -> Self {
        command.clone()
    }
}
