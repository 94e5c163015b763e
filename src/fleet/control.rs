//! What a caller asks of connections and commands besides running them.

use super::Fleet;
use super::runs::Reach;
use super::slot::Slot;
use crate::error::NotStarted;
use crate::ids::{CommandId, HostId, RunId};
use crate::session::Input;

impl Fleet {
    /// Ends a command before its time, with an outcome of [`Cancelled`](crate::HostErrorKind::Cancelled).
    ///
    /// One that was not sent never will be. One that runs gets SIGTERM and the end of its input, a second to end by itself,
    /// and then its channel is closed; a host that does not confirm that within 10 seconds is not waited for.
    pub fn cancel(&mut self, id: CommandId) {
        let Some(exec) = self.execs.get(id).filter(|exec| !exec.is_finished()) else { return };
        let index = exec.host().index();
        self.order(index, Input::Cancel(id));
    }

    /// [Cancels](Self::cancel) all commands of a host.
    pub fn cancel_host(&mut self, id: HostId) {
        let commands: Vec<CommandId> = self.slot(id).into_iter().flat_map(Slot::commands).collect();
        commands.into_iter().for_each(|id| self.cancel(id));
    }

    /// [Cancels](Self::cancel) all commands.
    pub fn cancel_all(&mut self) {
        let all: Vec<CommandId> = self.slots.iter().flat_map(|(_, slot)| slot.commands()).collect();
        all.into_iter().for_each(|id| self.cancel(id));
    }

    /// Ends a run before its time: commands that were not sent end as [`NotStarted`](crate::HostErrorKind::NotStarted), all
    /// others are [cancelled](Self::cancel).
    pub fn cancel_run(&mut self, id: RunId) {
        self.runs.stop(id, NotStarted::RunCancelled, Reach::Everything);
        self.alarm();
    }

    /// Begins the next batch of a [gated](crate::Run::gated) run, after the [`BatchDone`](crate::Event::BatchDone) of the one
    /// before. Whether there was one that waited.
    pub fn proceed(&mut self, id: RunId) -> bool {
        let proceeds = self.runs.proceed(id);
        self.alarm();
        proceeds
    }

    /// Lets no host begin to connect, and no command begin, until [`resume`](Self::resume) is called. What has begun goes on:
    /// connections that are being made, without the commands that they are made for, and commands that have a channel. Hosts
    /// that wait for their turn have no time limit.
    pub fn pause(&mut self) {
        if !std::mem::replace(&mut self.paused, true) {
            log::debug!("admission is paused");
            let with_place = |(index, slot): (usize, &Slot)| slot.booked.place.then_some(index);
            let admitted: Vec<usize> = self.slots.iter().filter_map(with_place).collect();
            admitted.into_iter().for_each(|index| self.order(index, Input::Hold));
        }
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            log::debug!("admission is resumed");
            self.admit_soon();
        }
    }

    /// Whether it is [paused](Self::pause).
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Has these hosts connect and log in, without a command for them; none while it is [drained](Self::drain).
    pub fn connect(&mut self, hosts: impl IntoIterator<Item = HostId>) {
        if self.is_draining() {
            return;
        }
        let now = self.clock.now();
        self.admission.expect_connections();
        for id in hosts {
            if self.slot(id).is_some() {
                self.slots[id.index()].session.connect(now);
                self.settle(id.index());
            }
        }
        self.admit_soon();
    }

    /// Closes every connection, and stops making those, that no command needs.
    pub fn disconnect(&mut self) {
        let hosts: Vec<usize> =
            self.slots.iter().filter(|(_, slot)| !slot.session.is_proxy()).map(|(index, _)| index).collect();
        for index in hosts {
            self.order(index, Input::Close);
        }
        self.close_proxies = true;
    }

    pub(super) fn order(&mut self, index: usize, order: Input) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.orders.push(order);
            self.visit_soon(index);
        }
    }
}
