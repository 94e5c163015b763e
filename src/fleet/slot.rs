//! A slot holds one connection of the fleet, to a host of the list or to a proxy.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::children::ChildId;
use super::touch_guard::Need;
use crate::config::Listed;
use crate::dns::LookupId;
use crate::ids::HostId;
use crate::link::{ChannelId, Link};
use crate::reactor::TimerId;
use crate::session::{Awaited, Execs, HostState, Input, Session, View, Wish};

pub(super) struct Slot {
    pub id: HostId,
    /// The host's entry in the list; `None` for a proxy.
    pub entry: Option<Arc<Listed>>,
    pub session: Session,
    pub link: Box<dyn Link>,
    /// Inputs for the next visit, in order.
    pub mail: Vec<Input>,
    /// The timer of the session's deadline.
    pub timer: Option<Armed>,
    /// The lookup that the session waits for.
    pub lookup: Option<LookupId>,
    /// What this slot currently contributes to the sums.
    pub booked: Usage,
    /// The slot of the proxy in front of this connection.
    pub proxy: Option<usize>,
    /// If this is the slot of a proxy: how many slots name it in their `proxy` field.
    pub behind: usize,
    /// The channel of the proxy that carries this connection.
    pub tunnel: Option<ChannelId>,
    /// Whether there was a connection before.
    pub was_connected: bool,
    /// The process of the proxy command that leads to the host.
    pub child: Option<ChildId>,
}

/// A timer and the time at which it fires.
#[derive(Debug, Clone, Copy)]
pub(super) struct Armed {
    pub id: TimerId,
    pub at: Instant,
}

/// What a connection uses, as counted in the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub view: View,
    pub descriptors: usize,
}

impl Slot {
    pub(super) fn new(
        id: HostId,
        session: Session,
        link: Box<dyn Link>,
        proxy: Option<usize>,
        execs: &Execs,
    ) -> Self {
        let booked = Usage { view: session.view(execs), descriptors: 0 };
        Self {
            id,
            entry: None,
            session,
            link,
            mail: Vec::new(),
            timer: None,
            lookup: None,
            booked,
            proxy,
            behind: 0,
            tunnel: None,
            was_connected: false,
            child: None,
        }
    }

    /// What the connection uses now. The sums count this only once it is stored in `booked`.
    pub(super) fn usage(&self, execs: &Execs) -> Usage {
        let view = self.session.view(execs);
        // A proxy's descriptors stay reserved while hosts wait for the proxy. Those hosts already
        // hold their own descriptors, so without the reservation there might never be any left for
        // the proxy.
        let keeps = view.holds_descriptor || view.has_waiting_hosts;
        let own = if keeps { self.descriptors() } else { 0 };
        Usage { view, descriptors: own + self.link.agent_connections() }
    }

    pub(super) fn view(&self) -> &View {
        &self.booked.view
    }

    /// The need of this host, which has this index, for a security key of this agent.
    pub(super) fn need(&self, index: usize, agent: &Arc<Path>) -> Need {
        Need { slot: index, agent: agent.clone(), is_proxy: self.session.is_proxy() }
    }

    /// Whether a turn at a security key is still of use: the host waits to connect, or is
    /// connecting.
    pub(super) fn keeps_turn(&self) -> bool {
        let view = self.view();
        let is_waiting = view.wish.is_some_and(|wish| wish != Wish::Commands);
        is_waiting || view.holds_descriptor && view.state != HostState::Connected
    }

    /// Whether a time limit has passed while the login waits for its agent.
    pub(super) fn is_out_of_time(&self, now: Instant) -> bool {
        let View { awaits, deadline, .. } = self.view();
        *awaits == Some(Awaited::Agent) && deadline.is_some_and(|at| at <= now)
    }

    /// Whether the fleet resolves the host name. It does not if the name is an address, or if a
    /// proxy or a command resolves it.
    pub(super) fn has_name(&self) -> bool {
        let target = self.session.target();
        self.proxy.is_none() && target.command.is_none() && target.ip().is_none()
    }

    /// How many descriptors the connection needs: one for a socket; behind a proxy, two for the
    /// ends of a conduit; with a proxy command, three, for a socket, for the command's standard
    /// error, and for its end.
    pub(super) fn descriptors(&self) -> usize {
        match (self.proxy, &self.session.target().command) {
            (Some(_), _) => 2,
            (None, Some(_)) => 3,
            (None, None) => 1,
        }
    }
}
