//! What a caller asks of connections and commands besides running them.

use std::collections::HashSet;

use super::Fleet;
use super::slot::Slot;
use crate::error::{HostError, HostErrorKind};
use crate::reactor::Reactor;
use crate::session::{ExecId, Input, Session};

impl Fleet {
    /// Ends this command of the host at this position, soon: see [`Input::Cancel`].
    pub(crate) fn cancel(&mut self, position: usize, id: ExecId) {
        let now = Reactor::now();
        if let Some(index) = self.positions.get(position) {
            self.visit(*index, Input::Cancel(id), now);
            self.admit(now);
        }
    }

    /// Ends all commands. Returns those that have not ended yet.
    pub(crate) fn cancel_all(&mut self) -> Vec<ExecId> {
        let now = Reactor::now();
        let commands = |(index, slot): (usize, &Slot)| {
            slot.session.commands().iter().map(|id| (index, *id)).collect::<Vec<_>>()
        };
        let running: Vec<(usize, ExecId)> = self.slots.iter().flat_map(commands).collect();
        for (index, id) in &running {
            self.visit(*index, Input::Cancel(*id), now);
        }
        self.admit(now);
        let ids = running.into_iter().map(|(_, id)| id);
        ids.filter(|id| self.exec(*id).is_some_and(|exec| !exec.is_finished())).collect()
    }

    /// Closes every connection, and stops making those, that no command needs.
    pub(crate) fn close_unused(&mut self) {
        let now = Reactor::now();
        let hosts = self.slots.iter().filter(|(_, slot)| !slot.session.is_proxy());
        let hosts: Vec<usize> = hosts.map(|(index, _)| index).collect();
        for index in hosts {
            self.visit(index, Input::Close, now);
        }
        // One proxy may be behind another, and each passes on the goodbyes of those behind it.
        while let Some(proxy) = self.unused_proxy() {
            self.visit(proxy, Input::Readiness, now);
            self.visit(proxy, Input::GiveUp(HostErrorKind::Cancelled), now);
        }
    }

    /// A proxy that is connected, or is to be, for nobody.
    fn unused_proxy(&self) -> Option<usize> {
        let used: HashSet<usize> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.session.is_connected())
            .filter_map(|(_, slot)| slot.proxy)
            .collect();
        let is_unused = |(index, slot): &(usize, &Slot)| {
            let session = &slot.session;
            session.is_proxy() && (session.is_connected() || session.is_waited_for()) && !used.contains(index)
        };
        self.slots.iter().find(is_unused).map(|(index, _)| index)
    }

    /// Has every host of the list connect. Returns at once; [`Fleet::is_awaited`] says which have not come to an end.
    pub(crate) fn connect(&mut self) {
        let now = Reactor::now();
        self.admission.count_descriptors(self.positions.len(), self.descriptors_for_lookups());
        for position in 0..self.positions.len() {
            let index = self.positions[position];
            self.slots[index].session.connect(now);
            self.settle(index);
        }
        self.admit(now);
    }

    /// Whether the connection of the host at this position was asked for, and is neither there nor given up.
    pub(crate) fn is_awaited(&self, position: usize) -> bool {
        self.session(position).is_some_and(Session::is_awaited)
    }

    /// Why the host at this position was given up.
    pub(crate) fn error(&self, position: usize) -> Option<&HostError> {
        self.session(position)?.error()
    }
}
