//! The hosts of a fleet: who they are, how they are, and how they come and go.

use std::fmt;
use std::time::Duration;

use super::Fleet;
use super::slot::Slot;
use crate::config::{HostConfig, HostList, Owner};
use crate::error::{Error, HostError};
use crate::host::{HostSpec, HostSpecError};
use crate::ids::HostId;
use crate::session::{HostState, Input, Target};
use crate::stage::Timings;

/// A look at one host of a [`Fleet`].
#[derive(Clone, Copy)]
pub struct Host<'a> {
    slot: &'a Slot,
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl<'a> Host<'a> {
    /// The host as it was given, without user and port.
    pub fn name(&self) -> &'a str {
        &self.slot.session.target().host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.slot.session.target().port
    }

    /// What [`HostConfig::alias`] calls it.
    pub fn alias(&self) -> Option<&'a str> {
        self.slot.session.target().alias.as_deref()
    }

    /// How long its output and input may make no progress, as its [settings](HostConfig::read_timeout) say. A fleet measures
    /// nothing by it: whoever waits does.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.slot.session.target().profile.read_timeout
    }

    /// Where its connection is.
    pub fn state(&self) -> HostState {
        self.slot.view().state
    }

    /// Why it was given up, in [`HostState::Failed`].
    pub fn error(&self) -> Option<&'a HostError> {
        self.slot.session.error()
    }

    /// How long its connection was in each stage since it was last asked for.
    pub fn timings(&self) -> Timings {
        self.slot.session.timings()
    }

    /// Whether its connection was asked for by [`Fleet::connect`], and is neither there nor given up.
    pub fn is_awaited(&self) -> bool {
        self.slot.session.is_awaited()
    }
}

impl Fleet {
    /// The hosts of the list, in order.
    pub fn hosts(&self) -> &[HostId] {
        &self.positions
    }

    /// One host; `None` if it has left the list.
    pub fn host(&self, id: HostId) -> Option<Host<'_>> {
        self.engine.hosts.get(id).map(|slot| Host { slot })
    }

    /// Adds hosts at the end of the list. Keys that they need are read, once per call: add many at once.
    ///
    /// # Errors
    /// As for [`build`](crate::config::FleetBuilder::build); positions are those in the new list. Nothing has changed then.
    pub fn add_hosts<H>(
        &mut self,
        hosts: impl IntoIterator<Item = (H, HostConfig)>,
    ) -> Result<Vec<HostId>, Error>
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        let before = self.positions.len();
        self.change_list(self.list.with(hosts)?)?;
        Ok(self.positions[before..].to_vec())
    }

    /// Takes a host from the list: its connection is closed, and commands that have not ended by what has arrived end as
    /// [`Cancelled`](crate::HostErrorKind::Cancelled). What they had printed stays readable. Whether it was there.
    pub fn remove_host(&mut self, id: HostId) -> bool {
        let Some(position) = self.positions.iter().position(|known| *known == id) else { return false };
        self.positions.remove(position);
        self.list.remove(position);
        let now = self.engine.clock.now();
        self.engine.remove(id.index(), now);
        self.engine.admit_soon();
        true
    }

    /// Changes the whole list. A host that has the same entry and the same settings at the same position stays, with its name,
    /// its connection and its commands; every other one is [removed](Self::remove_host), or new.
    ///
    /// # Errors
    /// As for [`build`](crate::config::FleetBuilder::build). Nothing has changed then.
    pub fn set_hosts<H>(&mut self, hosts: impl IntoIterator<Item = (H, HostConfig)>) -> Result<(), Error>
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        let empty = HostList { hosts: Vec::new(), client: self.list.client.clone(), configs: None };
        self.change_list(empty.with(hosts)?)
    }

    fn change_list(&mut self, list: HostList) -> Result<(), Error> {
        let proxy = |position: usize| {
            self.engine.hosts.get(*self.positions.get(position)?)?.session.target().proxy.clone()
        };
        let targets = list.changes(&self.list, proxy, &Owner::of_this_process(), &self.engine.verifier)?;
        self.replace(targets);
        self.list = list;
        Ok(())
    }

    /// Changes who is at which position; `None` keeps the host that is there.
    fn replace(&mut self, targets: Vec<Option<Target>>) {
        let now = self.engine.clock.now();
        let before = std::mem::take(&mut self.positions);
        debug_assert!(targets.iter().skip(before.len()).all(Option::is_some), "nobody to keep");
        let leaves = |position: &usize| targets.get(*position).is_none_or(Option::is_some);
        let leaving: Vec<HostId> =
            (0..before.len()).filter(leaves).map(|position| before[position]).collect();
        let mut kept = before.into_iter();
        for target in targets {
            let kept = kept.next();
            let id = target.map_or(kept, |target| Some(self.engine.add(target, now)));
            self.positions.extend(id);
        }
        // After the new ones have come: a proxy goes with the last host behind it.
        for id in leaving {
            self.engine.remove(id.index(), now);
        }
        // Places may have become free, and descriptors.
        self.engine.admit_soon();
    }

    /// Has these hosts connect and log in, without a command for them; none while it is [drained](Self::drain).
    pub fn connect(&mut self, hosts: impl IntoIterator<Item = HostId>) {
        if self.engine.schedule.drain.is_requested() {
            return;
        }
        let now = self.engine.clock.now();
        self.engine.schedule.admission.expect_connections();
        for id in hosts {
            if self.engine.hosts.get(id).is_some() {
                self.engine.visit(id.index(), Input::Connect, now);
            }
        }
        self.engine.admit_soon();
    }

    /// Closes every connection, and stops making those, that no command needs.
    pub fn disconnect(&mut self) {
        for id in &self.positions {
            self.engine.order(id.index(), Input::Close);
        }
        self.engine.schedule.close_proxies = true;
        self.engine.event_loop.alarm();
    }
}
