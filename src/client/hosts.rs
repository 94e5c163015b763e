//! A client's hosts: their list, their connections, and the pool size.

use super::ParallelClient;
use crate::config::{HostConfig, RetryPolicy, check_count, check_number};
use crate::error::{Error, HostError};
use crate::fleet::HostId;
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

    /// Connects to all hosts and logs in, without running anything (parallel-ssh: `connect_auth`).
    /// Later commands use these connections.
    ///
    /// Returns the result for each host, in the order of the hosts, once all have connected or
    /// failed. If file descriptors are short, connections are closed again to make room for other
    /// hosts.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut client = sshoal::ParallelClient::builder(["web1", "web2"]).build()?;
    /// for error in client.connect()?.into_iter().filter_map(Result::err) {
    ///     eprintln!("{error}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::System`] if the poll fails.
    pub fn connect(&mut self) -> Result<Vec<Result<(), HostError>>, Error> {
        let mut fleet = self.fleet.lock();
        let hosts = fleet.hosts().to_vec();
        fleet.connect(hosts.iter().copied());
        drop(fleet);
        for id in &hosts {
            self.fleet.drive_until(|fleet| fleet.host(*id).is_none_or(|host| !host.is_awaited()))?;
        }
        let fleet = self.fleet.lock();
        let error = |id: &HostId| fleet.host(*id).and_then(|host| host.error().cloned());
        Ok(hosts.iter().map(|id| error(id).map_or(Ok(()), Err)).collect())
    }

    /// Which failed attempts to connect are followed by another one, for each host in the order of
    /// the hosts ([`retry`](crate::config::ClientBuilder::retry)).
    ///
    /// ```
    /// use sshoal::ParallelClient;
    ///
    /// # fn main() -> Result<(), sshoal::Error> {
    /// let client = ParallelClient::builder(["web1", "web2"])
    /// #   .no_known_hosts().identity_auth(false)
    ///     .num_retries(5)
    ///     .build()?;
    /// assert_eq!(client.retry_policies().len(), 2);
    /// println!("{:?}", client.retry_policies()[0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_policies(&self) -> Vec<RetryPolicy> {
        let fleet = self.fleet.lock();
        let policy = |id: &HostId| fleet.host(*id).map(|host| host.retry_policy());
        fleet.hosts().iter().filter_map(policy).collect()
    }

    /// [Cancels](Self::cancel_all) all commands and closes all connections. The next command
    /// connects again. Dropping the client and all outputs closes the connections as well. (In
    /// parallel-ssh `disconnect` does nothing.)
    ///
    /// # Errors
    /// [`Error::System`] if the poll fails.
    pub fn disconnect(&mut self) -> Result<(), Error> {
        self.fleet.lock().disconnect();
        self.cancel_all()?;
        self.fleet.lock().disconnect();
        self.fleet.drive_until(|fleet| fleet.metrics().connections == 0)
    }
}
