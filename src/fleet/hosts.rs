//! Changing the host list of a fleet.

use std::time::Instant;

use super::Fleet;
use crate::error::HostErrorKind;
use crate::limits;
use crate::link::Pumped;
use crate::reactor::Reactor;
use crate::session::{Cx, Input, Target};

impl Fleet {
    /// Changes the host list; `None` keeps the host of the same position, with its connection and its commands.
    pub(crate) fn set_hosts(&mut self, targets: Vec<Option<Target>>) {
        let now = Reactor::now();
        let before = std::mem::take(&mut self.positions);
        debug_assert!(targets.iter().skip(before.len()).all(Option::is_some), "nobody to keep");
        let leaves = |position: &usize| targets.get(*position).is_none_or(Option::is_some);
        let leaving: Vec<usize> = (0..before.len()).filter(leaves).map(|position| before[position]).collect();
        let mut kept = before.into_iter();
        for target in targets {
            let kept = kept.next();
            let index = target.map_or(kept, |target| Some(self.add(target)));
            self.positions.extend(index);
        }
        // After the new ones have come: a proxy goes with the last host behind it.
        for index in leaving {
            self.retire(index, now);
        }
        // Places may have become free, and descriptors.
        self.admit(now);
    }

    pub(crate) fn set_pool_size(&mut self, places: usize) {
        self.admission.resize(places);
        self.admit(Reactor::now());
    }

    /// Ends a host's connection and commands, and frees its slot. Queues may still hold its index, which does no harm to
    /// whoever has it next; what is on its way to it from elsewhere would, and is called off here.
    pub(super) fn retire(&mut self, index: usize, now: Instant) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        // Nobody may have listened for a while. A link that has failed is collected from as well.
        for _ in 0..limits::LAST_PUMPS {
            if slot.link.pump(limits::PUMPS_PER_VISIT) != Ok(Pumped::More) {
                break;
            }
        }
        let mut cx = Cx { now, calendar: Reactor::calendar, link: &mut *slot.link, execs: &mut self.execs };
        slot.session.step(Input::GiveUp(HostErrorKind::Cancelled), &mut cx);
        self.pass_on(index);
        self.follow_tunnel(index);
        self.settle(index);
        let gone = self.slots.remove(index);
        if let Some(lookup) = gone.lookup {
            self.dns.cancel(lookup, now);
        }
        if let Some(proxy) = gone.proxy {
            self.leave_proxy(proxy, now);
        }
    }
}
