//! Hosts, groups and their sources, as far as they are known without a network.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use sshoal::HostSpec;
use sshoal::ssh_config::{LocalContext, SshConfig};

use super::place::Line;
use super::term::{Term, of_groups, of_set};
use crate::args::ConnectionArgs;
use crate::targets::{Places, Sources, Target, TargetArgs};

/// How long commands that know groups, and `ansible-inventory`, may take in all: a user waits.
const TIME_MAX: Duration = Duration::from_secs(2);

/// So much of a known_hosts file is read.
const KNOWN_HOSTS_BYTES_MAX: u64 = 16 << 20;

/// What a line that is being written refers to. What cannot be read is as if it were not there.
pub struct Names {
    connection: ConnectionArgs,
    config: Option<SshConfig>,
    places: Places,
    sources: Option<Sources>,
}

impl Names {
    /// With the files, the source and the inventory that the line names.
    pub fn of(line: &Line) -> Self {
        // A shell has not replaced `~/` yet.
        let places = Places::current();
        let connection = ConnectionArgs {
            config: line.value("config").map(|path| places.expanded(path).into()),
            options: line.values("options").to_vec(),
            ..ConnectionArgs::default()
        };
        let args = TargetArgs {
            source: line.value("source").map(str::to_owned),
            inventory: line.value("inventory").map(|path| places.expanded(path)),
            ..TargetArgs::default()
        };
        Self::new(connection, &args, places)
    }

    /// With the files that these flags name.
    pub fn new(connection: ConnectionArgs, args: &TargetArgs, places: Places) -> Self {
        let config = connection.ssh_config().ok();
        let sources = Sources::load_within(args, places.clone(), config.as_ref(), TIME_MAX).ok();
        Self { connection, config, places, sources }
    }

    /// What an argument of `-w` can become.
    pub fn in_set(&self, set: &str) -> Vec<String> {
        match of_set(set) {
            Term::Host { before, typed } => joined(before, self.hosts(), typed),
            Term::Group { before, source, typed } => self.groups(before, source, typed),
            Term::File { before, typed } => joined(before, self.files(typed), typed),
            Term::Other => Vec::new(),
        }
    }

    /// What an argument of `-g` can become.
    pub fn in_groups(&self, set: &str) -> Vec<String> {
        match of_groups(set) {
            Term::Group { before, source, typed } => self.groups(before, source, typed),
            _ => Vec::new(),
        }
    }

    pub fn sources(&self, typed: &str) -> Vec<String> {
        let names = self.sources.iter().flat_map(Sources::names);
        joined("", names.map(str::to_owned), typed)
    }

    pub fn aliases(&self, typed: &str) -> Vec<String> {
        joined("", self.config.iter().flat_map(SshConfig::host_names), typed)
    }

    /// What an argument of `-J` can become: hosts with commas.
    pub fn jumps(&self, typed: &str) -> Vec<String> {
        let at = typed.rfind([',', '@']).map_or(0, |at| at + 1);
        joined(&typed[..at], self.hosts(), &typed[at..])
    }

    /// Groups, and the sources that they may be of if none is named.
    fn groups(&self, before: &str, source: Option<&str>, typed: &str) -> Vec<String> {
        let Some(sources) = &self.sources else { return Vec::new() };
        let mut found = joined(before, sources.group_names(source), typed);
        if source.is_none() {
            found.extend(joined(before, sources.names().map(|name| format!("{name}:")), typed));
        }
        found
    }

    /// All hosts of the groups, and those that ssh knows.
    fn hosts(&self) -> BTreeSet<String> {
        let mut hosts: BTreeSet<String> = self.sources.iter().flat_map(Sources::all_hosts).collect();
        let config = self.config.as_ref();
        let names = config.into_iter().flat_map(SshConfig::host_names);
        hosts.extend(names.filter(|name| name.parse::<HostSpec>().is_ok()));
        hosts.extend(config.into_iter().flat_map(|config| self.known_hosts(config)).flatten());
        hosts
    }

    /// The hosts whose keys are on record, of names that are not hashed.
    fn known_hosts(&self, config: &SshConfig) -> Option<Vec<String>> {
        let name = "any".to_owned();
        let any = Target { name: name.clone(), host: name, user: None, port: None };
        // Commands of `Match exec` are not run.
        let mut resolver = config.resolver_with(|_: &str| Ok(false));
        let settings = resolver.resolve(&self.connection.destination(&any)).ok()?;
        let (own, system) = settings.known_hosts_files(&LocalContext::current().ok()?.home);
        let mut found = Vec::new();
        for path in own.iter().chain(&system) {
            let mut bytes = Vec::new();
            let read = File::open(path).map(|file| file.take(KNOWN_HOSTS_BYTES_MAX).read_to_end(&mut bytes));
            if matches!(read, Ok(Ok(_))) {
                found.extend(String::from_utf8_lossy(&bytes).lines().flat_map(names_of));
            }
        }
        Some(found)
    }

    /// Files in a folder, as they are typed.
    fn files(&self, typed: &str) -> Vec<String> {
        let (folder, name) = typed.split_at(typed.rfind('/').map_or(0, |at| at + 1));
        let path = if folder.is_empty() { Path::new(".").to_owned() } else { self.places.expanded(folder) };
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let shown = entries.filter_map(|entry| {
            let end = if entry.path().is_dir() { "/" } else { "" };
            Some(format!("{folder}{}{end}", entry.file_name().to_str()?))
        });
        let is_hidden = |path: &String| path[folder.len()..].starts_with('.');
        shown.filter(|path| name.starts_with('.') || !is_hidden(path)).collect()
    }
}

/// Those names that begin with what was typed, behind what was before it.
pub fn joined(before: &str, names: impl IntoIterator<Item = String>, typed: &str) -> Vec<String> {
    names.into_iter().filter(|name| name.starts_with(typed)).map(|name| format!("{before}{name}")).collect()
}

/// The names on a line of known_hosts, as hosts of a set.
fn names_of(line: &str) -> Vec<String> {
    let first = line.split_ascii_whitespace().next().unwrap_or_default();
    // Comments, markers, and hashed names.
    if first.starts_with(['#', '@', '|']) {
        return Vec::new();
    }
    let names = first.split(',').filter(|name| !name.contains(['*', '?', '!']));
    let as_host = |name: &str| match name.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((host, port)) => HostSpec::from_parts(None, host, port.parse().ok()),
        None => name.parse(),
    };
    names.filter_map(|name| Some(as_host(name).ok()?.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_known_hosts_are_hosts() {
        for (line, expected) in [
            ("web1,192.0.2.1 ssh-ed25519 AAAA", &["web1", "192.0.2.1"][..]),
            ("[web2]:2222 ssh-ed25519 AAAA", &["web2:2222"]),
            ("2001:db8::1 ssh-ed25519 AAAA", &["2001:db8::1"]),
            ("|1|x=|y= ssh-ed25519 AAAA", &[]),
            ("@cert-authority *.lan ssh-ed25519 AAAA", &[]),
            ("*.lan,!a.lan,b.lan ssh-ed25519 AAAA", &["b.lan"]),
            ("# web3", &[]),
            ("", &[]),
        ] {
            assert_eq!(names_of(line), expected, "{line}");
        }
    }
}
