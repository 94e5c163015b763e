//! The words around a command: `sudo`, a user, a shell.

use crate::error::Error;
use crate::host::check_user;

/// What a login shell runs when `sudo` or a user, but no shell is given: the remote user's own.
const REMOTE_SHELL: &str = "$SHELL -c";

#[derive(Debug, Clone, Default)]
pub(super) struct Wrapping {
    pub sudo: bool,
    pub user: Option<String>,
    pub shell: Option<String>,
}

impl Wrapping {
    pub(super) fn check(&self) -> Result<(), Error> {
        if let Some(user) = &self.user {
            check_user(user)
                .map_err(|problem| Error::Config(format!("user {user:?} of the command: {problem}")))?;
        }
        match &self.shell {
            Some(shell) if shell.trim().is_empty() => {
                Err(Error::Config("the shell of the command is empty".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The bytes for the login shell.
    pub(super) fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut wire = Vec::with_capacity(text.len() + 64);
        match &self.user {
            Some(user) => {
                wire.extend_from_slice(b"sudo -u ");
                quote_if_needed(user, &mut wire);
                wire.extend_from_slice(b" -S ");
            }
            None if self.sudo => wire.extend_from_slice(b"sudo -S "),
            None if self.shell.is_none() => return text.to_vec(),
            None => {}
        }
        wire.extend_from_slice(self.shell.as_deref().unwrap_or(REMOTE_SHELL).as_bytes());
        wire.push(b' ');
        quote(text, &mut wire);
        wire
    }
}

/// One word for a POSIX shell. Nothing is special inside of single quotes but the single quote (POSIX.1-2024, XCU 2.2.2).
pub(super) fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in text {
        match byte {
            b'\'' => out.extend_from_slice(br"'\''"),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
}

/// Usual names go as they are, as in parallel-ssh. Others are possible, such as `#1000`, which would begin a comment, or
/// `DOMAIN\name`.
fn quote_if_needed(name: &str, out: &mut Vec<u8>) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@+".contains(&byte);
    if name.bytes().all(is_plain) {
        out.extend_from_slice(name.as_bytes());
    } else {
        quote(name.as_bytes(), out);
    }
}
