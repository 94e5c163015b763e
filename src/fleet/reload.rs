//! Reading the files of a running fleet again.

use std::sync::Arc;

use crate::config::{HostList, Owner};
use crate::dns::DnsConfig;
use crate::error::Error;
use crate::hostkey::{Loaded, Verifier};
use crate::ids::HostId;
use crate::session::Target;

/// The files that a fleet reads again. Created by
/// [`Fleet::prepare_reload`](crate::Fleet::prepare_reload).
#[derive(Debug)]
#[must_use = "nothing is read yet"]
pub struct Reload {
    pub(super) list: Arc<HostList>,
    /// The id of the host at each position of the list.
    pub(super) hosts: Vec<HostId>,
    pub(super) verifier: Arc<Verifier>,
    /// Whether names are resolved as this machine is configured.
    pub(super) has_system_dns: bool,
}

/// What [`Reload::read`] has read, for [`Fleet::apply`](crate::Fleet::apply).
#[derive(Debug)]
#[must_use = "the fleet does not use it yet"]
pub struct Reloaded {
    /// The keys on record. `None` if the files have not changed.
    pub(super) loaded: Option<Arc<Loaded>>,
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
        let loaded = self.verifier.read_again()?;
        let targets = self.list.targets(&Owner::of_this_process(), &self.verifier)?;
        let targets = self.hosts.into_iter().zip(targets).collect();
        Ok(Reloaded { loaded, targets, dns: self.has_system_dns.then(DnsConfig::system) })
    }
}
