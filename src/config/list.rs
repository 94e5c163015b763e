//! The entries of a host list.

use std::sync::Arc;

use super::host_config::HostConfig;
use crate::error::{ConfigProblem, Error, Origin};
use crate::host::{HostSpec, HostSpecError};

/// A parsed entry of a host list, or why it is not valid.
pub(crate) type Entry = Result<HostSpec, HostSpecError>;

/// Parses an entry.
pub(crate) fn entry<H: TryInto<HostSpec, Error: Into<HostSpecError>>>(host: H) -> Entry {
    host.try_into().map_err(Into::into)
}

/// A host of the list, with its own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub spec: HostSpec,
    /// `None` if the host has no settings of its own.
    pub config: Option<Arc<HostConfig>>,
}

impl Listed {
    pub fn new(spec: HostSpec, config: HostConfig) -> Self {
        Self { spec, config: (config != HostConfig::default()).then(|| Arc::new(config)) }
    }
}

/// Returns the hosts of a list, or of the part of it that begins at position `first`. An error
/// names the position of the first invalid entry.
pub(crate) fn hosts(entries: impl IntoIterator<Item = Entry>, first: usize) -> Result<Vec<HostSpec>, Error> {
    let entries = (first..).zip(entries);
    entries.map(|(position, entry)| entry.map_err(|problem| Error::HostSpec { position, problem })).collect()
}

/// Checks that there are as many configurations as hosts.
pub(crate) fn check_number(configs: usize, hosts: usize) -> Result<(), Error> {
    if configs != hosts {
        return Err(ConfigProblem::HostConfigs { hosts, configs }.of(Origin::Client));
    }
    Ok(())
}

/// Distributes the items in turn over `count` parts.
pub(super) fn deal<T>(all: Vec<T>, count: usize) -> Vec<Vec<T>> {
    let mut parts: Vec<Vec<T>> = (0..count).map(|_| Vec::with_capacity(all.len().div_ceil(count))).collect();
    for (index, one) in all.into_iter().enumerate() {
        parts[index % count].push(one);
    }
    parts
}
