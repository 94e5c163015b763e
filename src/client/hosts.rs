//! Changing a client's host list and pool size.

use super::ParallelClient;
use crate::config::{HostConfig, check_count, check_number};
use crate::error::Error;
use crate::host::{HostSpec, HostSpecError};

impl ParallelClient {
    /// Changes the host list. No host is connected before the next command.
    ///
    /// A host with the same entry and the same settings at the same position keeps its connection
    /// and its commands. Every other host is removed: its connection is closed, and its commands
    /// that have not ended fail with [`HostErrorKind::Cancelled`](crate::HostErrorKind::Cancelled).
    /// The outputs of removed hosts, including those in [`last_output`](Self::last_output), stay
    /// readable, with everything that has arrived.
    ///
    /// If there are host configurations, they stay at their positions, so their number must match
    /// the new list; see [`set_hosts_with`](Self::set_hosts_with). The keys that new hosts need are
    /// read as by [`build`](crate::config::ClientBuilder::build), and hosts that stay keep their
    /// keys. known_hosts files are not read again.
    ///
    /// Unlike in parallel-ssh, changing the original list afterwards has no effect.
    ///
    /// # Errors
    /// The errors of [`build`](crate::config::ClientBuilder::build). On error, nothing has changed.
    ///
    /// ```
    /// use sshoal::{Error, HostConfig, ParallelClient};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let mut client = ParallelClient::builder(["web1", "web2"])
    /// #   .no_known_hosts().identity_auth(false)
    ///     .build()?;
    /// // web1 keeps its connection, web2 is removed, db1 is added.
    /// client.set_hosts(["web1", "db1"])?;
    /// assert!(matches!(client.set_hosts(["web1:0"]), Err(Error::HostSpec { position: 0, .. })));
    /// assert_eq!(client.len(), 2);
    /// client.set_hosts_with([
    ///     ("web1", HostConfig::default()),
    ///     ("db1", HostConfig::default().user("postgres")),
    /// ])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_hosts<H>(&mut self, hosts: impl IntoIterator<Item = H>) -> Result<(), Error>
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        let hosts: Vec<H> = hosts.into_iter().collect();
        let configs = match &self.configs {
            Some(configs) => {
                check_number(configs.len(), hosts.len())?;
                configs.clone()
            }
            None => vec![HostConfig::default(); hosts.len()],
        };
        self.change_list(hosts.into_iter().zip(configs))
    }

    /// Changes the host list and the hosts' configurations; see [`set_hosts`](Self::set_hosts).
    ///
    /// # Errors
    /// The errors of [`set_hosts`](Self::set_hosts).
    pub fn set_hosts_with<H>(&mut self, hosts: impl IntoIterator<Item = (H, HostConfig)>) -> Result<(), Error>
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        let hosts: Vec<(H, HostConfig)> = hosts.into_iter().collect();
        let configs = hosts.iter().map(|(_, config)| config.clone()).collect();
        self.change_list(hosts.into_iter())?;
        self.configs = Some(configs);
        Ok(())
    }

    fn change_list<H>(&mut self, hosts: impl Iterator<Item = (H, HostConfig)>) -> Result<(), Error>
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        let mut fleet = self.fleet.lock();
        fleet.set_hosts(hosts)?;
        self.len = fleet.hosts().len();
        Ok(())
    }

    /// Reads known_hosts files, keys, certificates and the system's DNS configuration again; see
    /// [`Fleet::reload`](crate::Fleet::reload). Returns once everything has been read. Meanwhile,
    /// other threads may use the client's outputs.
    ///
    /// No connection is closed. Connections that are made later use what was read.
    ///
    /// # Errors
    /// The errors of [`build`](crate::config::ClientBuilder::build) for files that cannot be used.
    /// On error, nothing changes.
    pub fn reload(&mut self) -> Result<(), Error> {
        let reload = self.fleet.lock().prepare_reload();
        let reloaded = reload.read()?;
        self.fleet.lock().apply(reloaded);
        Ok(())
    }

    /// Changes how many hosts may connect or start a command at once; see
    /// [`ClientBuilder::pool_size`](crate::config::ClientBuilder::pool_size). If more hosts are
    /// doing so than the new size allows, they continue, and no further host begins until enough of
    /// them are done. In parallel-ssh, changing the pool size has no effect.
    ///
    /// # Errors
    /// [`Error::Config`] if the number is 0.
    pub fn set_pool_size(&mut self, places: usize) -> Result<(), Error> {
        check_count("pool_size", Some(places))?;
        self.fleet.lock().set_max_connecting(places)
    }
}
