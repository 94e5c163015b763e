//! One host's place in the fleet.

use std::collections::VecDeque;
use std::time::Instant;

use super::HostState;
use super::admission::Line;
use crate::dns::LookupId;
use crate::ids::{CommandId, HostId};
use crate::link::{ChannelId, Link};
use crate::output::Bound;
use crate::reactor::TimerId;
use crate::session::{Execs, Input, Session, Tunnelled};

pub(super) struct Slot {
    pub id: HostId,
    pub session: Session,
    pub link: Box<dyn Link>,
    /// The wheel's entry for the session's deadline.
    pub timer: Option<Armed>,
    /// The session's deadline has passed, and it was not visited since.
    pub due: bool,
    /// What a caller has asked for, for the next visit.
    pub orders: Vec<Input>,
    /// Commands for it whose batch has not begun.
    pub deferred: VecDeque<CommandId>,
    /// The lookup of its name that it waits for.
    pub lookup: Option<LookupId>,
    /// What was booked for it.
    pub booked: Booked,
    /// The slot of the proxy that it is behind.
    pub proxy: Option<usize>,
    /// Hosts, or proxies, that this one connects.
    pub behind: usize,
    /// The proxy's channel that carries its connection.
    pub tunnel: Option<ChannelId>,
    /// The proxy's latest news, for the next visit.
    pub tunnelled: Option<Tunnelled>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Armed {
    pub id: TimerId,
    pub at: Instant,
}

/// What a session was last seen to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Booked {
    pub place: bool,
    /// Commands.
    pub running: usize,
    pub connection: bool,
    /// Where it waits for its turn.
    pub line: Option<Line>,
    pub descriptors: usize,
    /// `None` for a proxy.
    pub state: Option<HostState>,
    /// What keeps it from being read from.
    pub held: Option<Bound>,
}

impl Booked {
    /// What this one uses now.
    pub(super) fn of(slot: &Slot, execs: &Execs) -> Self {
        let session = &slot.session;
        let connection = session.is_connected();
        // A proxy's is kept for it while hosts wait: they have theirs, and it might never get it back.
        let descriptors = if connection || session.is_waited_for() { slot.descriptors() } else { 0 };
        let descriptors = descriptors + slot.link.agent_connections();
        Self {
            place: session.uses_place(execs),
            running: session.running(execs),
            connection,
            line: session.wish().map(|wish| Line::of(session, wish)),
            descriptors,
            state: (!session.is_proxy()).then(|| session.host_state()),
            held: session.held_by(),
        }
    }
}

impl Slot {
    pub(super) fn new(id: HostId, session: Session, link: Box<dyn Link>, proxy: Option<usize>) -> Self {
        let booked = Booked::default();
        Self {
            id,
            session,
            link,
            timer: None,
            due: false,
            orders: Vec::new(),
            deferred: VecDeque::new(),
            lookup: None,
            booked,
            proxy,
            behind: 0,
            tunnel: None,
            tunnelled: None,
        }
    }

    /// Whether its host's name is looked up here: neither an address, nor left to a proxy.
    pub(super) fn has_name(&self) -> bool {
        self.proxy.is_none() && self.session.target().ip.is_none()
    }

    /// Its commands that have not ended.
    pub(super) fn commands(&self) -> impl Iterator<Item = CommandId> {
        self.session.commands().chain(self.deferred.iter().copied())
    }

    /// Forgets a command whose batch has begun, or that has ended before. Commands come in order, so that mostly it is
    /// the first one.
    pub(super) fn forget_deferred(&mut self, id: CommandId) {
        if self.deferred.front() == Some(&id) {
            self.deferred.pop_front();
        } else {
            self.deferred.retain(|deferred| *deferred != id);
        }
    }

    /// Descriptors of its connection: a socket, or the two ends of a conduit.
    pub(super) fn descriptors(&self) -> usize {
        if self.proxy.is_some() { 2 } else { 1 }
    }
}
