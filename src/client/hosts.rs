//! Changing a client that is there: its host list, and its pool.

use super::ParallelClient;
use crate::config::{HostConfig, check_count, check_number};
use crate::error::Error;
use crate::host::{HostSpec, HostSpecError};

impl ParallelClient {
    /// Changes the host list. Nothing touches the network before the next command.
    ///
    /// A host that has the same entry and the same settings at the same position stays: its
    /// connection is used again, and its commands run on. Every other one goes: its connection is
    /// closed, and commands that have not ended by what has arrived end as
    /// [`HostErrorKind::Cancelled`](crate::HostErrorKind::Cancelled). Outputs of hosts that went
    /// stay readable, with all that had arrived, and so does [`last_output`](Self::last_output).
    ///
    /// Host configurations stay with their positions, so their number must fit the new list; see
    /// [`set_hosts_with`](Self::set_hosts_with). Keys that new hosts need are read, as by
    /// [`build`](crate::config::ClientBuilder::build); hosts that stay keep those they have.
    /// known_hosts files are not read again.
    ///
    /// Unlike in parallel-ssh, a list that was given is not changed from outside.
    ///
    /// # Errors
    /// As for [`build`](crate::config::ClientBuilder::build). Nothing has changed then.
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
    pub fn set_hosts<H>(&mut self, hosts: impl IntoIterator<Item = H>) -> Result<(), Error>
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        let hosts: Vec<H> = hosts.into_iter().collect();
        let configs = match &self.configs {
            Some(configs) => {
                check_number(configs, &hosts)?;
                configs.clone()
            }
            None => vec![HostConfig::default(); hosts.len()],
        };
        self.change_list(hosts.into_iter().zip(configs))
    }

    /// Changes the host list and the hosts' configurations; see [`set_hosts`](Self::set_hosts).
    ///
    /// # Errors
    /// As for [`set_hosts`](Self::set_hosts).
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

    /// Changes how many hosts connect, or start a command, at once; see
    /// [`ClientBuilder::pool_size`](super::ClientBuilder::pool_size). With fewer places than are
    /// taken, none is given until enough are free again. In parallel-ssh a change does nothing.
    ///
    /// # Errors
    /// [`Error::Config`] for 0.
    pub fn set_pool_size(&mut self, places: usize) -> Result<(), Error> {
        check_count("pool_size", Some(places))?;
        self.fleet.lock().set_max_connecting(places)
    }
}
