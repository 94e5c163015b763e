//! Connecting, cancelling and disconnecting.

use super::{HostOutput, ParallelClient};
use crate::config::RetryPolicy;
use crate::error::{Error, HostError};
use crate::fleet::HostId;

impl ParallelClient {
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

    /// Cancels these commands, all at once, and waits until they have ended; see
    /// [`HostOutput::cancel`].
    ///
    /// # Errors
    /// [`Error::System`] if the poll fails.
    pub fn cancel(&self, outputs: &[HostOutput]) -> Result<(), Error> {
        outputs.iter().for_each(HostOutput::begin_cancel);
        outputs.iter().try_for_each(HostOutput::cancel)
    }

    /// Cancels all commands, including those whose outputs were dropped, and waits until they have
    /// ended; see [`HostOutput::cancel`].
    ///
    /// # Errors
    /// [`Error::System`] if the poll fails.
    pub fn cancel_all(&self) -> Result<(), Error> {
        self.fleet.lock().cancel_all();
        self.fleet.drive_until(|fleet| fleet.metrics().unfinished == 0)
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
