//! The hosts of a fleet: who they are, how they are, and how they come and go.

use std::time::{Duration, Instant};

use super::Fleet;
use crate::config::{HostConfig, HostList, Owner};
use crate::error::{Error, HostError, HostErrorKind};
use crate::host::{HostSpec, HostSpecError};
use crate::ids::HostId;
use crate::session::{Cx, HostState, Input, Session, Target};
use crate::stage::Timings;

/// A look at one host of a [`Fleet`].
#[derive(Debug, Clone, Copy)]
pub struct HostRef<'a> {
    session: &'a Session,
}

impl<'a> HostRef<'a> {
    /// The host as the list names it, without user and port.
    pub fn name(&self) -> &'a str {
        &self.session.target().host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.session.target().port
    }

    /// Its [`HostConfig::alias`].
    pub fn alias(&self) -> Option<&'a str> {
        self.session.target().alias.as_deref()
    }

    /// Its [`HostConfig::read_timeout`]. Not enforced by the fleet; blocking callers apply it.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.session.target().profile.read_timeout
    }

    /// The state of its connection.
    pub fn state(&self) -> HostState {
        self.session.host_state()
    }

    /// Its error, in [`HostState::Failed`].
    pub fn error(&self) -> Option<&'a HostError> {
        self.session.error()
    }

    /// How long its connection took in each stage, since it was last requested.
    pub fn timings(&self) -> Timings {
        self.session.timings()
    }

    /// Whether [`Fleet::connect`] has requested a connection that is neither established nor given
    /// up.
    pub fn is_awaited(&self) -> bool {
        self.session.is_awaited()
    }
}

impl Fleet {
    /// The hosts of the list, in order.
    pub fn hosts(&self) -> &[HostId] {
        &self.positions
    }

    /// One host; `None` if it has left the list.
    pub fn host(&self, id: HostId) -> Option<HostRef<'_>> {
        self.slot(id).map(|slot| HostRef { session: &slot.session })
    }

    /// Adds hosts at the end of the list. Keys are read once per call: add many hosts at once.
    ///
    /// # Errors
    /// As for [`build`](crate::config::FleetBuilder::build); positions are those in the new list.
    /// Nothing has changed then.
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

    /// Removes a host from the list: its connection is closed, and commands that have not ended
    /// fail with [`Cancelled`](HostErrorKind::Cancelled). Their output stays readable. Returns
    /// whether the host was there.
    pub fn remove_host(&mut self, id: HostId) -> bool {
        let Some(position) = self.positions.iter().position(|known| *known == id) else { return false };
        self.positions.remove(position);
        self.list.remove(position);
        let now = self.clock.now();
        self.retire(id.index(), now);
        self.admit_soon();
        true
    }

    /// Changes the whole list. A host with the same entry and the same settings at the same
    /// position stays, with its id, its connection and its commands. Other hosts are
    /// [removed](Self::remove_host) or added.
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
        let proxy =
            |position: usize| self.slot(*self.positions.get(position)?)?.session.target().proxy.clone();
        let targets = list.changes(&self.list, proxy, &Owner::of_this_process(), &self.verifier)?;
        self.replace(targets);
        self.list = list;
        Ok(())
    }

    /// Changes who is at which position; `None` keeps the host that is there.
    fn replace(&mut self, targets: Vec<Option<Target>>) {
        let now = self.clock.now();
        let before = std::mem::take(&mut self.positions);
        debug_assert!(targets.iter().skip(before.len()).all(Option::is_some), "nobody to keep");
        let leaves = |position: &usize| targets.get(*position).is_none_or(Option::is_some);
        let leaving: Vec<HostId> =
            (0..before.len()).filter(leaves).map(|position| before[position]).collect();
        let mut kept = before.into_iter();
        for target in targets {
            let kept = kept.next();
            let id = target.map_or(kept, |target| Some(self.add(target, now)));
            self.positions.extend(id);
        }
        // After the new ones have come: a proxy goes with the last host behind it.
        for id in leaving {
            self.retire(id.index(), now);
        }
        // Places may have become free, and descriptors.
        self.admit_soon();
    }

    /// Makes a place for a host.
    pub(super) fn add(&mut self, target: Target, now: Instant) -> HostId {
        let proxy = target.proxy.as_ref().map(|proxy| self.slot_of_proxy(proxy, now));
        let jitter = self.next_jitter();
        self.insert(Session::new(target, jitter, now), proxy)
    }

    /// Ends a host's connection and commands, and frees its slot. Queues may still hold its index,
    /// which does no harm to whoever has it next; what is on its way to it from elsewhere would,
    /// and is called off here.
    pub(super) fn retire(&mut self, index: usize, now: Instant) {
        self.take_back();
        let Some(slot) = self.slots.get_mut(index) else { return };
        let mut cx =
            Cx { now, calendar: crate::clock::calendar, link: &mut *slot.link, execs: &mut self.execs };
        for id in std::mem::take(&mut slot.deferred) {
            slot.session.step(Input::Cancel(id), &mut cx);
        }
        // Nobody may have listened for a while. Last, as it leaves a link that fails to what
        // follows.
        slot.session.take_in(&mut cx);
        slot.session.step(Input::GiveUp(HostErrorKind::Cancelled), &mut cx);
        self.tell(index);
        self.pass_on(index);
        self.follow_tunnel(index);
        self.settle(index);
        let gone = self.slots.remove(index);
        self.totals.leave(gone.booked.state);
        self.names -= usize::from(gone.has_name());
        if let Some(lookup) = gone.lookup {
            self.dns.cancel(lookup, now);
        }
        if let Some(proxy) = gone.proxy {
            self.leave_proxy(proxy, now);
        }
    }
}
