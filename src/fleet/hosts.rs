//! Inspecting, adding, removing and connecting the hosts of a fleet.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::api::Fleet;
use super::reload::{Reload, Reloaded};
use super::schedule::Drain;
use super::slot::Slot;
use crate::config::{HostConfig, Listed, Owner, Part, entry, hosts};
use crate::dns::Resolver;
use crate::error::{Error, HostError};
use crate::host::{HostSpec, HostSpecError};
use crate::ids::HostId;
use crate::link::PartialPacket;
use crate::session::{HostState, Input, RetryPolicy};
use crate::stage::Timings;

/// The current state of one host of a [`Fleet`].
#[derive(Clone, Copy)]
pub struct HostRef<'a>(&'a Slot);

impl fmt::Debug for HostRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostRef")
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl<'a> HostRef<'a> {
    /// The host name or address as configured, without user and port.
    pub fn name(&self) -> &'a str {
        &self.0.session.target().host
    }

    /// The port of the SSH server.
    pub fn port(&self) -> u16 {
        self.0.session.target().port
    }

    /// The name set by [`HostConfig::alias`], if any.
    pub fn alias(&self) -> Option<&'a str> {
        self.0.session.target().alias.as_deref()
    }

    /// How long reading the host's output or writing its input may go without progress
    /// ([`HostConfig::read_timeout`]). The fleet does not enforce this limit. Callers that block
    /// must enforce it themselves.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.0.session.target().profile.read_timeout
    }

    /// Which failed attempts to connect to the host are followed by another one
    /// ([`HostConfig::retry`]).
    pub fn retry_policy(&self) -> RetryPolicy {
        self.0.session.target().profile.connection.retry
    }

    /// The state of the host's connection.
    pub fn state(&self) -> HostState {
        self.0.view().state
    }

    /// Why the host was given up, if its state is [`HostState::Failed`].
    pub fn error(&self) -> Option<&'a HostError> {
        self.0.session.error()
    }

    /// What the host said before its latest login ended. [`HostError::banner`] has the details.
    pub fn banner(&self) -> Option<&'a str> {
        self.0.session.banner().or_else(|| self.error()?.banner())
    }

    /// The packet that is being received from the host. On a slow line, a packet may take many
    /// seconds, and its output is known only once it is complete. A program that waits for output
    /// can tell by this that something arrives, but not that it is output.
    pub fn partial_packet(&self) -> PartialPacket {
        self.0.link.partial_packet()
    }

    /// How long the host's connection has spent in each stage since the connection was last
    /// requested.
    pub fn timings(&self) -> Timings {
        self.0.session.timings()
    }

    /// Whether a connection that [`Fleet::connect`] has requested is still pending: it is neither
    /// established nor given up.
    pub fn is_awaited(&self) -> bool {
        self.0.session.is_awaited()
    }
}

impl Fleet {
    /// The ids of the hosts in the list, in order.
    pub fn hosts(&self) -> &[HostId] {
        &self.positions
    }

    /// The state of a host; `None` if it was removed from the list.
    pub fn host(&self, id: HostId) -> Option<HostRef<'_>> {
        self.engine.hosts.get(id).map(HostRef)
    }

    /// Adds hosts to the end of the list. What a call takes depends on how many hosts it adds, not
    /// on how many there are. A call reads each key file once, no matter how many of the new hosts
    /// use it. So one call for many hosts is faster than a call for each host. A key that a host
    /// uses already is read, but not decrypted again.
    ///
    /// # Errors
    /// The errors of [`build`](crate::config::FleetBuilder::build), with positions in the new list.
    /// On error, the list is unchanged.
    pub fn add_hosts<H>(
        &mut self,
        hosts: impl IntoIterator<Item = (H, HostConfig)>,
    ) -> Result<Vec<HostId>, Error>
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        let first = self.positions.len();
        let list = listed(hosts, first)?;
        let new = Part { hosts: &list, first };
        let others = self.positions.iter().filter_map(|id| self.engine.hosts.get(*id)?.entry.as_deref());
        let targets = self.common.changes(new, |_| false, others, &Owner::of_this_process())?;
        let now = self.engine.clock.now();
        for (entry, target) in list.into_iter().zip(targets.into_iter().flatten()) {
            self.positions.push(self.engine.add(entry, target, now));
        }
        self.engine.admit_soon();
        Ok(self.positions[first..].to_vec())
    }

    /// Removes a host from the list and closes its connection. Data that has already arrived is
    /// processed first. Commands that have not ended by then end as
    /// [`Cancelled`](crate::HostErrorKind::Cancelled), and the output that they have printed stays
    /// readable. Returns whether the host was in the list.
    pub fn remove_host(&mut self, id: HostId) -> bool {
        let Some(position) = self.positions.iter().position(|known| *known == id) else { return false };
        self.positions.remove(position);
        let now = self.engine.clock.now();
        self.engine.remove(id.index(), now);
        self.engine.admit_soon();
        true
    }

    /// Replaces the whole list. A host with the same entry and the same settings at the same
    /// position keeps its id, its connection and its commands. All other old hosts are
    /// [removed](Self::remove_host), and all other entries become new hosts.
    ///
    /// # Errors
    /// The errors of [`build`](crate::config::FleetBuilder::build). On error, the list is
    /// unchanged.
    pub fn set_hosts<H>(&mut self, hosts: impl IntoIterator<Item = (H, HostConfig)>) -> Result<(), Error>
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        let list = listed(hosts, 0)?;
        let slots = &self.engine.hosts;
        let stays = |position: usize| {
            let slot = self.positions.get(position).and_then(|id| slots.get(*id));
            slot.and_then(|slot| slot.entry.as_ref()) == Some(&list[position])
        };
        let new = Part { hosts: &list, first: 0 };
        let owner = Owner::of_this_process();
        let targets = self.common.changes(new, stays, [], &owner)?;
        let now = self.engine.clock.now();
        let before = std::mem::take(&mut self.positions);
        let mut leaving = Vec::new();
        let mut old = before.into_iter();
        for (entry, target) in list.into_iter().zip(targets) {
            let kept = old.next();
            let id = match target {
                None => kept,
                Some(target) => {
                    leaving.extend(kept);
                    Some(self.engine.add(entry, target, now))
                }
            };
            self.positions.extend(id);
        }
        // Only after the new hosts have been added: a proxy is removed along with the last host
        // behind it, and a new host may need the same proxy.
        for id in leaving.into_iter().chain(old) {
            self.engine.remove(id.index(), now);
        }
        // Pool places and file descriptors may have become free.
        self.engine.admit_soon();
        Ok(())
    }

    /// Reads the fleet's files again: known_hosts files, files of revoked host keys, the keys and
    /// certificates of hosts and proxies, and the DNS configuration of this machine
    /// (`/etc/resolv.conf`, `/etc/hosts`), the latter unless the caller has set a
    /// [`resolver`](crate::config::FleetBuilder::resolver). A daemon may call this at SIGHUP.
    ///
    /// No connection is closed. Attempts to connect that are in progress go on with what was read
    /// before, and later ones use what is read now. Lookups in progress start over, and cached DNS
    /// responses are forgotten. The keys of an ssh-agent need no reload: they are listed anew for
    /// each batch of commands.
    ///
    /// This blocks until the files are read. A program that must not wait uses
    /// [`prepare_reload`](Self::prepare_reload).
    ///
    /// Before a host key is refused because of the known_hosts files, the fleet checks by itself
    /// whether they have changed, on a thread of its own, and if so reads them again. To notice
    /// that an accepted key has been removed or revoked takes a reload.
    ///
    /// # Errors
    /// The errors of [`build`](crate::config::FleetBuilder::build) for files that cannot be used.
    /// On error, nothing changes.
    pub fn reload(&mut self) -> Result<(), Error> {
        let reloaded = self.prepare_reload().read()?;
        self.apply(reloaded);
        Ok(())
    }

    /// The first step of a [`reload`](Self::reload), for programs that read the files on another
    /// thread. [`apply`](Self::apply) is the last one. Hosts that are added between the two keep
    /// what was read for them when they were added.
    ///
    /// ```no_run
    /// use std::sync::mpsc;
    /// use std::thread;
    /// use sshoal::Fleet;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut fleet = Fleet::builder(["web1", "web2"]).build()?;
    /// let (sender, receiver) = mpsc::channel();
    /// let (reload, waker) = (fleet.prepare_reload(), fleet.waker());
    /// thread::spawn(move || {
    ///     sender.send(reload.read()).expect("the fleet's thread is there");
    ///     waker.wake()
    /// });
    /// // The event loop continues, and after a while:
    /// if let Ok(result) = receiver.try_recv() {
    ///     fleet.apply(result?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn prepare_reload(&self) -> Reload {
        let host = |id: &HostId| Some((*id, self.engine.hosts.get(*id)?.entry.clone()?));
        Reload {
            common: self.common.anew(),
            hosts: self.positions.iter().filter_map(host).collect(),
            has_system_dns: self.has_system_dns,
        }
    }

    /// The last step of a [`reload`](Self::reload): uses what was read from now on.
    ///
    /// Fleets that were [built together](crate::config::FleetBuilder::build_many) share the
    /// known_hosts files, so the new content applies to all of them. Keys and the DNS configuration
    /// are those of this fleet.
    pub fn apply(&mut self, reloaded: Reloaded) {
        let now = self.engine.clock.now();
        self.common.renew(&reloaded.common);
        self.engine.renew(reloaded, now);
    }

    /// Changes how names are resolved. Lookups in progress start over. Later
    /// [reloads](Self::reload) do not change the resolver.
    pub fn set_resolver(&mut self, resolver: Resolver) {
        self.has_system_dns = false;
        let now = self.engine.clock.now();
        self.engine.dns.replace(resolver, now);
        self.engine.event_loop.alarm();
    }

    /// Connects and logs in to these hosts without running a command. Does nothing while the fleet
    /// is [draining](Self::drain). Hosts that are not in the list are ignored.
    pub fn connect(&mut self, hosts: impl IntoIterator<Item = HostId>) {
        self.request(hosts, || Input::Connect);
    }

    /// Fetches the keys of these hosts, without logging in. [`Event::Scanned`](crate::Event) has
    /// the result for each host, and a [`KeyReport`](super::KeyReport) collects the results and
    /// adds the new keys to a file. Does nothing while the fleet is [draining](Self::drain). Hosts
    /// that are not in the list are ignored.
    ///
    /// All settings of a host apply, and so do the limits of the fleet. The types of keys to fetch
    /// are those in [`host_key_algorithms`](crate::HostConfig::host_key_algorithms). A host shows
    /// one key on each connection, so there is one connection for each of its keys, one at a time.
    /// Each may take as long, and as many attempts, as the settings allow. A host that fails after
    /// some keys has them in its result, together with the error. Proxies are logged in to, and
    /// verified by the [policy](crate::config::FleetBuilder::host_keys); for the hosts themselves
    /// the policy does not matter.
    ///
    /// Servers may count connections that end without a login (OpenSSH: `PerSourcePenalties`), so
    /// do not scan hosts again and again.
    ///
    /// Commands that are started meanwhile wait for the end of the scan. If commands run on a host,
    /// the scan waits for their end, and then closes the connection.
    /// [`disconnect`](Self::disconnect) cancels a scan.
    pub fn scan_host_keys(&mut self, hosts: impl IntoIterator<Item = HostId>) {
        self.request(hosts, || Input::Scan);
    }

    fn request(&mut self, hosts: impl IntoIterator<Item = HostId>, input: impl Fn() -> Input) {
        if self.engine.schedule.drain != Drain::Not {
            return;
        }
        let now = self.engine.clock.now();
        self.engine.schedule.admission.is_count_due = true;
        for id in hosts {
            if self.engine.hosts.get(id).is_some() {
                self.engine.visit(id.index(), input(), now);
            }
        }
        self.engine.admit_soon();
    }

    /// Closes every connection that no command needs, and cancels connection attempts that no
    /// command needs.
    pub fn disconnect(&mut self) {
        for id in &self.positions {
            self.engine.order(id.index(), Input::Close);
        }
        self.engine.schedule.close_proxies = true;
        self.engine.event_loop.alarm();
    }
}

/// The hosts of a list, or of the part of it that begins at this position.
fn listed<H>(
    entries: impl IntoIterator<Item = (H, HostConfig)>,
    first: usize,
) -> Result<Vec<Arc<Listed>>, Error>
where
    H: TryInto<HostSpec, Error: Into<HostSpecError>>,
{
    let (entries, configs): (Vec<_>, Vec<_>) =
        entries.into_iter().map(|(host, config)| (entry(host), config)).unzip();
    let specs = hosts(entries, first)?.into_iter().zip(configs);
    Ok(specs.map(|(spec, config)| Arc::new(Listed::new(spec, config))).collect())
}
