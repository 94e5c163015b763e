//! Changing a client that is there: its host list, and its pool.

use super::ParallelClient;
use super::host_config::HostConfig;
use super::owner::Owner;
use super::targets::Inventory;
use crate::error::Error;

/// The host list as it was given, and what holds for its hosts: kept for the hosts that come later.
#[derive(Debug)]
pub(super) struct HostList {
    pub hosts: Vec<String>,
    /// The client's own settings.
    pub client: HostConfig,
    /// One per host, or none at all.
    pub configs: Option<Vec<HostConfig>>,
}

impl HostList {
    pub(super) fn inventory(&self) -> Inventory<'_> {
        Inventory { hosts: &self.hosts, client: &self.client, configs: self.configs.as_deref() }
    }

    /// Whether both have the same host with the same settings at this position.
    fn agrees(&self, other: &Self, position: usize) -> bool {
        let none = HostConfig::default();
        let [one, two] = [self, other].map(|list| {
            let own = list.configs.as_ref().and_then(|configs| configs.get(position));
            (list.hosts.get(position), own.unwrap_or(&none))
        });
        one == two
    }
}

impl ParallelClient {
    /// Changes the host list. Nothing touches the network before the next command.
    ///
    /// A host that has the same entry and the same settings at the same position stays: its connection is used again, and
    /// its commands run on. Every other one goes: its connection is closed, and commands that have not ended by what has
    /// arrived end as [`HostErrorKind::Cancelled`](crate::HostErrorKind::Cancelled). Outputs of hosts that went stay
    /// readable, with all that had arrived, and so does [`last_output`](Self::last_output).
    ///
    /// Host configurations stay with their positions, so their number must fit the new list; see
    /// [`set_hosts_with`](Self::set_hosts_with). Keys that new hosts need are read, as by
    /// [`build`](super::ClientBuilder::build); hosts that stay keep those they have. known_hosts files are not read again.
    ///
    /// Unlike in parallel-ssh, a list that was given is not changed from outside.
    ///
    /// # Errors
    /// As for [`build`](super::ClientBuilder::build). Nothing has changed then.
    ///
    /// ```
    /// use sshoal::{Error, HostConfig, ParallelClient};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let none: [&str; 0] = [];
    /// let mut client = ParallelClient::builder(["web1", "web2"])
    /// #   .known_hosts(none).identity_auth(false)
    ///     .build()?;
    /// // web1 keeps its connection, if it has one; web2 is left, db1 is new.
    /// client.set_hosts(["web1", "db1"])?;
    /// assert!(matches!(client.set_hosts(["web1:0"]), Err(Error::HostSpec { position: 0, .. })));
    /// assert_eq!(client.len(), 2);
    /// client.set_hosts_with([("web1", HostConfig::default()), ("db1", HostConfig::default().user("postgres"))])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_hosts<H: Into<String>>(&mut self, hosts: impl IntoIterator<Item = H>) -> Result<(), Error> {
        let hosts = hosts.into_iter().map(Into::into).collect();
        self.change_list(hosts, self.list.configs.clone())
    }

    /// Changes the host list and the hosts' configurations; see [`set_hosts`](Self::set_hosts).
    ///
    /// # Errors
    /// As for [`set_hosts`](Self::set_hosts).
    pub fn set_hosts_with<H: Into<String>>(
        &mut self,
        hosts: impl IntoIterator<Item = (H, HostConfig)>,
    ) -> Result<(), Error> {
        let (hosts, configs) = hosts.into_iter().map(|(host, config)| (host.into(), config)).unzip();
        self.change_list(hosts, Some(configs))
    }

    fn change_list(&mut self, hosts: Vec<String>, configs: Option<Vec<HostConfig>>) -> Result<(), Error> {
        let list = HostList { hosts, client: self.list.client.clone(), configs };
        let owner = Owner::of_this_process();
        let stays = |position| self.list.agrees(&list, position);
        let mut fleet = self.fleet.lock();
        let ways = self.list.inventory().ways(|position| fleet.target(position)?.proxy.clone());
        let targets = list.inventory().changes(&owner, &self.verifier, stays, ways)?;
        fleet.set_hosts(targets);
        drop(fleet);
        self.list = list;
        Ok(())
    }

    /// Changes how many hosts connect, or start a command, at once; see
    /// [`ClientBuilder::pool_size`](super::ClientBuilder::pool_size). With fewer places than are taken, none is given until
    /// enough are free again. In parallel-ssh a change does nothing.
    ///
    /// # Errors
    /// [`Error::Config`] for 0.
    pub fn set_pool_size(&mut self, places: usize) -> Result<(), Error> {
        check_pool_size(places)?;
        self.fleet.lock().set_pool_size(places);
        Ok(())
    }
}

/// A pool without places would never begin.
pub(super) fn check_pool_size(places: usize) -> Result<(), Error> {
    match places {
        0 => Err(Error::Config("pool_size must be at least 1".to_owned())),
        _ => Ok(()),
    }
}
