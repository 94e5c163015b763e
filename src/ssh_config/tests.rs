//! Unit tests, and the comparison with OpenSSH itself.

mod attacks;
mod blocks;
mod differential;
mod dump;
mod fixtures;
mod generator;
mod lexing;
mod values;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

/// A local side that does not depend on the machine.
fn context() -> LocalContext {
    let mut context = LocalContext::current().unwrap();
    context.user = "alice".to_owned();
    context.home = "/home/alice".into();
    context.machine = "desk.example.org".to_owned();
    context.variables = [("HOME", "/home/alice"), ("REALM", "lab")].map(|(a, b)| (a.into(), b.into())).into();
    context.addresses = vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
    context
}

fn parse(text: &str) -> Result<SshConfig, SshConfigError> {
    SshConfig::parse(text, "config", context())
}

/// What a text says about a destination, without running commands.
fn resolve_to(text: &str, destination: &SshDestination) -> Result<SshSettings, SshConfigError> {
    let config = parse(text)?;
    config.resolver_with(|command: &str| panic!("{command}")).resolve(destination)
}

fn resolve(text: &str, alias: &str) -> Result<SshSettings, SshConfigError> {
    resolve_to(text, &SshDestination::new(alias))
}

fn error(text: &str) -> String {
    resolve(text, "web1").unwrap_err().to_string()
}

/// Writes a file that only its owner can write.
fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
