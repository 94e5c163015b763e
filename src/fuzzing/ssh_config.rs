//! The target that reads ssh_config files.

use std::io;

use super::assert_clean;
use crate::ssh_config::{LocalContext, SshConfig, SshDestination};

/// Any bytes as a configuration; the first line is the alias, a blank, and a user.
///
/// The oracles: nothing panics; what resolves once resolves to the same again; each source names a
/// line of the file; errors are safe for a terminal; a name with shell syntax never reaches a
/// command.
pub fn ssh_config(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (head, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let head = String::from_utf8_lossy(head);
    let (alias, user) = head.split_once(' ').unwrap_or((&head, ""));
    // Reading files would make the result depend on the machine.
    if text.to_ascii_lowercase().windows(7).any(|word| word == b"include") {
        return;
    }
    let config = match SshConfig::parse(text, "config", context()) {
        Ok(config) => config,
        Err(error) => return assert_clean(&error.to_string()),
    };
    let mut destination = SshDestination::new(alias);
    if !user.is_empty() {
        destination = destination.user(user);
    }
    let is_wild = alias.contains(['$', '`', ';', '|', '&', '\n', '\'', '"', ' ']);
    let run = |command: &str| -> io::Result<bool> {
        assert!(!is_wild, "{command:?} has the name {alias:?}");
        Ok(command.len().is_multiple_of(2))
    };
    let mut resolver = config.resolver_with(run);
    let settings = match resolver.resolve(&destination) {
        Ok(settings) => settings,
        Err(error) => return assert_clean(&error.to_string()),
    };
    assert!(!is_wild, "{alias:?} is no name");
    assert_eq!(resolver.resolve(&destination).ok(), Some(settings.clone()));
    for ignored in &settings.ignored {
        assert_clean(&ignored.to_string());
    }
}

/// A local side that does not depend on the machine.
fn context() -> LocalContext {
    let mut context = LocalContext::fixed("alice", 1000, "/home/alice", "desk.example.org");
    context.variables.insert("HOME".to_owned(), "/home/alice".to_owned());
    context
}
