//! What a caller asks of connections and commands besides running them.

use super::Fleet;
use crate::ids::{CommandId, HostId};
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
        let commands = self.slot(id).map(|slot| slot.session.commands().to_vec());
        commands.into_iter().flatten().for_each(|id| self.cancel(id));
    }

    /// [Cancels](Self::cancel) all commands.
    pub fn cancel_all(&mut self) {
        let commands = |index: usize| self.slots[index].session.commands();
        let all: Vec<CommandId> = self.slots.iter().flat_map(|(index, _)| commands(index)).copied().collect();
        all.into_iter().for_each(|id| self.cancel(id));
    }

    /// Has these hosts connect and log in, without a command for them.
    pub fn connect(&mut self, hosts: impl IntoIterator<Item = HostId>) {
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

    fn order(&mut self, index: usize, order: Input) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.orders.push(order);
            self.visit_soon(index);
        }
    }
}
