//! A host list and its settings.

use super::host_config::HostConfig;
use crate::error::Error;
use crate::host::{HostSpec, HostSpecError};

/// A parsed entry of a host list, or why it is not valid.
pub(crate) type Entry = Result<HostSpec, HostSpecError>;

/// Parses an entry.
pub(crate) fn entry<H: TryInto<HostSpec, Error: Into<HostSpecError>>>(host: H) -> Entry {
    host.try_into().map_err(Into::into)
}

/// Returns the hosts of a list. An error names the position of the first invalid entry.
pub(crate) fn hosts(entries: impl IntoIterator<Item = Entry>) -> Result<Vec<HostSpec>, Error> {
    let entries = entries.into_iter().enumerate();
    entries.map(|(position, entry)| entry.map_err(|problem| Error::HostSpec { position, problem })).collect()
}

/// The host list and its settings, which are kept so that the list can be changed later.
#[derive(Debug, Clone)]
pub(crate) struct HostList {
    pub hosts: Vec<HostSpec>,
    /// The settings for all hosts.
    pub client: HostConfig,
    /// The settings of single hosts: one configuration per host, or `None`.
    pub configs: Option<Vec<HostConfig>>,
}

impl HostList {
    /// The settings of the host at this position.
    pub(super) fn config(&self, position: usize) -> Option<&HostConfig> {
        self.configs.as_ref()?.get(position)
    }

    /// Whether both lists have the same host with the same settings at this position.
    pub(super) fn agrees(&self, other: &Self, position: usize) -> bool {
        let none = HostConfig::default();
        let [one, two] =
            [self, other].map(|list| (list.hosts.get(position), list.config(position).unwrap_or(&none)));
        one == two
    }

    /// Returns this list with more hosts appended.
    pub fn with<H>(&self, more: impl IntoIterator<Item = (H, HostConfig)>) -> Result<Self, Error>
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        let (entries, configs): (Vec<_>, Vec<_>) =
            more.into_iter().map(|(host, config)| (entry(host), config)).unzip();
        let hosts = hosts(self.hosts.iter().cloned().map(Ok).chain(entries))?;
        let none = HostConfig::default();
        let is_plain = self.configs.is_none() && configs.iter().all(|config| *config == none);
        let own = || self.configs.clone().unwrap_or_else(|| vec![none.clone(); self.hosts.len()]);
        let configs = (!is_plain).then(|| own().into_iter().chain(configs).collect());
        Ok(Self { hosts, client: self.client.clone(), configs })
    }

    /// Distributes the hosts, with their settings, in turn over `count` lists.
    pub fn deal(self, count: usize) -> Vec<Self> {
        let Self { hosts, client, configs } = self;
        let mut configs = configs.map(|configs| deal(configs, count).into_iter());
        let own = |hosts| Self {
            hosts,
            client: client.clone(),
            configs: configs.as_mut().and_then(Iterator::next),
        };
        deal(hosts, count).into_iter().map(own).collect()
    }

    pub fn remove(&mut self, position: usize) {
        self.hosts.remove(position);
        if let Some(configs) = &mut self.configs {
            drop(configs.remove(position));
        }
    }
}

/// Distributes the items in turn over `count` parts.
pub(super) fn deal<T>(all: Vec<T>, count: usize) -> Vec<Vec<T>> {
    let mut parts: Vec<Vec<T>> = (0..count).map(|_| Vec::with_capacity(all.len().div_ceil(count))).collect();
    for (index, one) in all.into_iter().enumerate() {
        parts[index % count].push(one);
    }
    parts
}
