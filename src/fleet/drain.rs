//! The graceful end: nothing begins any more, what runs may come to its end, and connections close behind it.

use std::time::Instant;

use super::events::Entry;
use super::runs::Reach;
use super::slot::Booked;
use super::{Fleet, Timer};
use crate::error::NotStarted;
use crate::reactor::TimerId;
use crate::session::Input;

/// How far the end of a fleet is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Drain {
    /// It was not asked for.
    #[default]
    Not,
    /// Under way, with its deadline.
    Begun(Option<TimerId>),
    /// Nothing is left.
    Over,
}

impl Fleet {
    /// Comes to an end. From now on nothing is started ([`Error::Draining`](crate::Error::Draining)), and commands that were
    /// not sent end as [`NotStarted`](crate::HostErrorKind::NotStarted). Those that were go on until the deadline, if there
    /// is one, and are [cancelled](Self::cancel) then, which takes 11 seconds at the longest. Each connection closes when
    /// nothing needs it any more. When nothing is left at all, [`Event::Drained`](crate::Event::Drained) says so.
    ///
    /// It does not wait: turns have to follow. Called again, it changes the deadline; one that has passed cancels at once.
    /// There is no way back, and none is needed: to drop the fleet closes all connections at any time.
    ///
    /// ```no_run
    /// use std::time::{Duration, Instant};
    /// use sshoal::{Budget, Fleet};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut fleet = Fleet::builder(["web1", "web2"]).build()?;
    /// fleet.start("make all")?;
    /// fleet.drain(Instant::now() + Duration::from_secs(30));
    /// while !fleet.is_drained() {
    ///     fleet.wait(None)?;
    ///     fleet.turn(Instant::now(), Budget::default())?;
    ///     while let Some(event) = fleet.next_event() {
    ///         println!("{event:?}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain(&mut self, deadline: impl Into<Option<Instant>>) {
        let deadline = deadline.into();
        match self.drain {
            Drain::Over => return,
            Drain::Begun(timer) => _ = timer.and_then(|timer| self.wheel.disarm(timer)),
            Drain::Not => {
                log::debug!("the fleet is drained: {} commands are not over", self.runs.unfinished());
                self.runs.stop_all(NotStarted::Draining, Reach::Unsent);
            }
        }
        self.drain = Drain::Begun(deadline.map(|at| self.wheel.arm(at, Timer::Drain)));
        self.disconnect();
        self.alarm();
    }

    /// Whether nothing is left after [`drain`](Self::drain).
    pub fn is_drained(&self) -> bool {
        matches!(self.drain, Drain::Over)
    }

    pub(super) fn is_draining(&self) -> bool {
        !matches!(self.drain, Drain::Not)
    }

    /// What still runs has had its time.
    pub(super) fn drain_is_due(&mut self) {
        self.drain = Drain::Begun(None);
        self.runs.stop_all(NotStarted::Draining, Reach::Everything);
    }

    /// While it is drained, after a host has changed: a connection that nothing needs is closed, and its proxies behind it.
    pub(super) fn close_if_unused(&mut self, index: usize, before: Booked) {
        let Some(slot) = self.slots.get(index).filter(|slot| !slot.session.is_proxy()) else { return };
        self.close_proxies |= before.connection && !slot.booked.connection && slot.proxy.is_some();
        if slot.session.is_idle() {
            self.order(index, Input::Close);
        }
    }

    /// Notes that nothing is left.
    pub(super) fn end_drain(&mut self) {
        let Drain::Begun(timer) = self.drain else { return };
        if self.runs.unfinished() > 0 || self.admission.connections() > 0 {
            return;
        }
        if let Some(timer) = timer {
            self.wheel.disarm(timer);
        }
        log::debug!("the fleet is drained: nothing is left");
        self.drain = Drain::Over;
        self.events.push(Entry::Drained);
    }
}
