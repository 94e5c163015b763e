//! `--dry-run`: what would be done.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use sshoal::hostkey::KnownHosts;
use sshoal::output::sanitise;
use sshoal::ssh_config::{LocalContext, ProxyRoute, SshConfig, SshSettings};

use super::Texts;
use crate::args::ConnectionArgs;
use crate::targets::Target;

/// Prints a line for each host: the login, the way, whether its key is on record, and the command.
pub fn print(
    targets: &[Target],
    texts: &Texts,
    connection: &ConnectionArgs,
    config: &SshConfig,
) -> Result<(), Box<dyn Error>> {
    let context = LocalContext::current()?;
    let mut resolver = config.resolver();
    let mut files = Files::default();
    let width = targets.iter().map(|target| target.name.len()).max().unwrap_or_default();
    let mut out = io::stdout().lock();
    for (position, target) in targets.iter().enumerate() {
        let settings = resolver.resolve(&connection.destination(target))?;
        let user = settings.user.as_deref().unwrap_or(&context.user);
        let port = settings.port.as_deref().copied().unwrap_or(22);
        let way = match settings.proxy.as_deref() {
            None | Some(ProxyRoute::Direct) => String::new(),
            Some(ProxyRoute::Jump(hops)) => {
                let names: Vec<&str> = hops.iter().map(|hop| hop.host.as_str()).collect();
                format!(" through {}", names.join(", "))
            }
            Some(ProxyRoute::Command(command)) => format!(" by `{command}`"),
        };
        let key = if files.have(&settings, port, &context)? { "key on record" } else { "key not on record" };
        let text = match texts {
            Texts::Same(text) => text,
            Texts::Each(texts) => &texts[position],
        };
        let line = format!(
            "{:width$}  {user}@{}:{port}{way}  {key}  {}",
            target.name,
            *settings.host_name,
            String::from_utf8_lossy(text)
        );
        writeln!(out, "{}", sanitise(&line))?;
    }
    Ok(())
}

/// known_hosts files, each list read once.
#[derive(Default)]
struct Files(HashMap<Vec<PathBuf>, KnownHosts>);

impl Files {
    /// Whether a key of the host is on record.
    fn have(
        &mut self,
        settings: &SshSettings,
        port: u16,
        context: &LocalContext,
    ) -> Result<bool, Box<dyn Error>> {
        let (mut paths, system) = settings.known_hosts_files(&context.home);
        paths.extend(system);
        let known = match self.0.entry(paths) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let known = KnownHosts::load(place.key())?;
                place.insert(known)
            }
        };
        let (name, port) = match &settings.host_key_alias {
            Some(alias) => (alias.as_str(), 22),
            None => (settings.host_name.as_str(), port),
        };
        Ok(!known.recorded_algorithms(name, port).is_empty())
    }
}
