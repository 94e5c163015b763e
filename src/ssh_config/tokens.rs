//! `%` tokens and `${VAR}` (ssh_config(5), TOKENS and ENVIRONMENT VARIABLES).

use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};

use super::context::LocalContext;
use crate::text::sanitise;

/// The tokens of `HostName`, besides `%%`.
pub(super) const HOST_NAME: &str = "h";

/// The tokens of `ProxyCommand` and `ProxyJump`. `%k` is undocumented (sshconnect.c).
pub(super) const PROXY: &str = "hknpr";

/// The tokens of paths, of `Match exec`, and of `RemoteCommand`. `%j` is of OpenSSH 9.6.
pub(super) const COMMON: &str = "CLdhijklnpru";

/// What the tokens of a destination stand for.
pub(super) struct Tokens<'a> {
    pub context: &'a LocalContext,
    /// `%h`: the name to connect to.
    pub host: &'a str,
    /// `%n`: the alias.
    pub alias: &'a str,
    /// `%k`: the name under which host keys are recorded.
    pub key_alias: &'a str,
    /// `%p`
    pub port: u16,
    /// `%r`
    pub user: &'a str,
    /// `%j`: the last hop of a `ProxyJump`.
    pub jump: &'a str,
}

impl Tokens<'_> {
    /// Replaces the tokens that an option knows, and with `has_variables` also `${VAR}`.
    pub fn expand(&self, text: &str, known: &str, has_variables: bool) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len() + 32);
        let mut rest = text;
        while let Some(at) = rest.find(['%', '$']) {
            expanded.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("${").filter(|_| has_variables) {
                let (name, after) = after
                    .split_once('}')
                    .filter(|(name, _)| !name.is_empty())
                    .ok_or_else(|| format!("{:?} has ${{ without a name and }}", sanitise(text)))?;
                let value = self.context.variables.get(name);
                let value = value.ok_or_else(|| {
                    format!("{:?} needs the variable {}, which is not set", sanitise(text), sanitise(name))
                })?;
                expanded.push_str(value);
                rest = after;
            } else if let Some(after) = rest.strip_prefix('%') {
                let token = after.chars().next();
                let token =
                    token.filter(|token| *token == '%' || known.contains(*token)).ok_or_else(|| {
                        let wrong: String = token.into_iter().collect();
                        format!(
                            "{:?} has %{}, which is unknown here; write %% for a %",
                            sanitise(text),
                            sanitise(&wrong)
                        )
                    })?;
                self.push(token, &mut expanded);
                rest = &after[1..];
            } else {
                expanded.push('$');
                rest = &rest[1..];
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn push(&self, token: char, out: &mut String) {
        let context = self.context;
        let written = match token {
            '%' => out.write_char('%'),
            'C' => out.write_str(&self.hash()),
            'L' => out.write_str(context.machine.split('.').next().unwrap_or_default()),
            'd' => write!(out, "{}", context.home.display()),
            'h' => out.write_str(self.host),
            'i' => write!(out, "{}", context.uid),
            'j' => out.write_str(self.jump),
            'k' => out.write_str(self.key_alias),
            'l' => out.write_str(&context.machine),
            'n' => out.write_str(self.alias),
            'p' => write!(out, "{}", self.port),
            'r' => out.write_str(self.user),
            'u' => out.write_str(&context.user),
            _ => unreachable!("the token was looked up in the known ones"),
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }

    /// `%C`: SHA-1 of `%l%h%p%r`, as before OpenSSH 9.6, which adds `%j`.
    fn hash(&self) -> String {
        let text = format!("{}{}{}{}", self.context.machine, self.host, self.port, self.user);
        Sha1::digest(text).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}
