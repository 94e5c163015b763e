//! What a host runs in place of the login shell.

use std::ffi::CString;

use super::request::Program;
use crate::error::ConfigProblem;
use crate::limits;

/// A program that runs in place of the login shell (OpenSSH: `RemoteCommand`, `SessionType`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LoginProgram {
    pub program: Program,
    /// The command line, or the name of the subsystem.
    pub text: CString,
}

impl LoginProgram {
    /// Checks a setting with this text. `None` stands for the login shell itself.
    pub(crate) fn new(program: Program, text: &str) -> Result<Option<Self>, ConfigProblem> {
        let (setting, max) = match program {
            Program::Command | Program::Shell => ("remote_command", limits::COMMAND_BYTES),
            Program::Subsystem => ("remote_subsystem", limits::NAME_BYTES),
        };
        if text.eq_ignore_ascii_case("none") {
            return Ok(None);
        }
        match CString::new(text) {
            Ok(wire) if !text.trim().is_empty() && text.len() <= max => {
                Ok(Some(Self { program, text: wire }))
            }
            _ => Err(ConfigProblem::Invalid {
                setting,
                value: text.chars().take(limits::NAME_BYTES).collect(),
                problem: format!("must have 1 to {max} bytes, none of them NUL, and not only white space"),
            }),
        }
    }
}
