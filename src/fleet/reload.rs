//! Reading the files of a running fleet again.

use std::sync::Arc;

use crate::config::{Common, Listed, Owner};
use crate::dns::DnsConfig;
use crate::error::Error;
use crate::ids::HostId;
use crate::session::Target;

/// The files that a fleet reads again. Created by
/// [`Fleet::prepare_reload`](crate::Fleet::prepare_reload).
#[derive(Debug)]
#[must_use = "nothing is read yet"]
pub struct Reload {
    pub(super) common: Common,
    /// The host list.
    pub(super) hosts: Vec<(HostId, Arc<Listed>)>,
    /// Whether names are resolved as this machine is configured.
    pub(super) has_system_dns: bool,
}

/// What [`Reload::read`] has read, for [`Fleet::apply`](crate::Fleet::apply).
#[derive(Debug)]
#[must_use = "the fleet does not use it yet"]
pub struct Reloaded {
    /// What the targets share, and the host key files that were read again.
    pub(super) common: Common,
    /// The new targets of hosts. Only their profiles and those of their proxies are used.
    pub(super) targets: Vec<(HostId, Target)>,
    pub(super) dns: Option<DnsConfig>,
}

impl Reload {
    /// Reads the files. This may take a while, so a program with an event loop calls it on another
    /// thread: an encrypted key takes a tenth of a second or more, and 10,000 lines of known_hosts
    /// files a few milliseconds. The fleet does not change.
    ///
    /// # Errors
    /// The errors of [`build`](crate::config::FleetBuilder::build) for files that cannot be used.
    pub fn read(self) -> Result<Reloaded, Error> {
        let Self { mut common, hosts, has_system_dns } = self;
        common.read_ssh_config()?;
        let (ids, list): (Vec<_>, Vec<_>) = hosts.into_iter().unzip();
        let targets = common.targets(&list, &Owner::of_this_process())?;
        let targets = ids.into_iter().zip(targets).collect();
        Ok(Reloaded { common, targets, dns: has_system_dns.then(DnsConfig::system) })
    }
}
