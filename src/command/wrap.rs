//! The words around a command: `sudo`, a user, a shell.

use std::borrow::Cow;

use crate::encoding::Encoding;
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
    /// The bytes for the login shell that precede the text, which is then quoted; `None` if nothing is around it.
    pub(super) fn prefix(&self, encoding: Encoding) -> Result<Option<Vec<u8>>, Error> {
        let mut wire = Vec::new();
        match &self.user {
            Some(user) => {
                check_user(user)
                    .map_err(|problem| Error::Config(format!("user {user:?} of the command: {problem}")))?;
                wire.extend_from_slice(b"sudo -u ");
                quote_if_needed(&encoded("user", user, encoding)?, &mut wire);
                wire.extend_from_slice(b" -S ");
            }
            None if self.sudo => wire.extend_from_slice(b"sudo -S "),
            None if self.shell.is_none() => return Ok(None),
            None => {}
        }
        let shell = self.shell.as_deref().unwrap_or(REMOTE_SHELL);
        if shell.trim().is_empty() {
            return Err(Error::Config("the shell of the command is empty".to_owned()));
        }
        wire.extend_from_slice(&encoded("shell", shell, encoding)?);
        wire.push(b' ');
        Ok(Some(wire))
    }
}

fn encoded<'a>(what: &str, text: &'a str, encoding: Encoding) -> Result<Cow<'a, [u8]>, Error> {
    let refused = |problem| Error::Config(format!("{what} {text:?} of the command: {problem}"));
    encoding.encode(text.as_bytes()).map_err(refused)
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
fn quote_if_needed(name: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.@+".contains(byte);
    if name.iter().all(is_plain) {
        out.extend_from_slice(name);
    } else {
        quote(name, out);
    }
}
