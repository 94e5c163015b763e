//! Tunnels: channels of a proxy's session, each joined to the connection of a host behind it.
//!
//! Bytes go from the channel into the conduit and from the conduit into the channel, both ways with back-pressure: what
//! the host behind does not take stays in the conduit, then in the inbox, then with libssh, which then leaves the channel's
//! window shut; what the proxy does not take stays in the conduit, and the host's libssh waits. Only tunnels with news are
//! looked at: something has arrived from the proxy, or the host behind was visited.
//!
//! Channels to a forwarded agent are none of these: see `agent_channels`.

use std::collections::{HashMap, VecDeque};
use std::ffi::CStr;
use std::mem;
use std::task::Poll;

use super::libssh::{LibsshSession, OpenReply};
use super::outbox::{Outbox, Sent};
use super::{ChannelId, Conduit, LinkError, LinkErrorKind, Pumped, TunnelNews};
use crate::limits;

/// The tunnels of one session.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    tunnels: HashMap<ChannelId, Tunnel>,
    /// Those to be looked at.
    line: VecDeque<ChannelId>,
    /// Those that have something for the proxy while its socket takes no more.
    congested: Vec<ChannelId>,
    /// Those that have something for the proxy while it has their window shut.
    shut: Vec<ChannelId>,
    told: VecDeque<(ChannelId, TunnelNews)>,
    /// Reused by all.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Tunnel {
    conduit: Conduit,
    stage: Stage,
    in_line: bool,
    upstream: Upstream,
    outbox: Outbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The proxy was asked.
    Opening,
    /// The proxy was asked, and the host behind is gone meanwhile.
    Unwanted,
    Open,
    /// Open, and the host behind was told that nothing more will come.
    Ended,
    /// Our CLOSE is to be sent.
    Closing,
}

/// What keeps the way to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upstream {
    Flows,
    /// It is among the congested.
    Congested,
    /// It is among the shut.
    Shut,
}

/// What a look at a tunnel came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The next news decides.
    Waits,
    /// There is more to be done at once, after the others.
    Again,
    /// Its channel is gone.
    Over,
}

impl Tunnels {
    /// Asks the proxy to connect to this host.
    pub(super) fn open(
        &mut self,
        host: &CStr,
        port: u16,
        conduit: Conduit,
        session: &mut LibsshSession,
    ) -> Result<ChannelId, LinkError> {
        let id = session.open_tunnel(host, port)?;
        self.tunnels.insert(id, Tunnel::new(conduit, Stage::Opening));
        Ok(id)
    }

    pub(super) fn news(&mut self) -> Option<(ChannelId, TunnelNews)> {
        self.told.pop_front()
    }

    /// Puts a tunnel in line, unless it is there.
    pub(super) fn wake(&mut self, id: ChannelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        if !mem::replace(&mut tunnel.in_line, true) {
            self.line.push_back(id);
        }
    }

    /// The host behind has hung up.
    pub(super) fn close(&mut self, id: ChannelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        tunnel.stage = match tunnel.stage {
            Stage::Opening | Stage::Unwanted => Stage::Unwanted,
            Stage::Open | Stage::Ended | Stage::Closing => Stage::Closing,
        };
        self.wake(id);
    }

    /// Looks at the tunnels with news, at a limited number of them. `More`: others are left.
    pub(super) fn relay(&mut self, session: &mut LibsshSession) -> Result<Pumped, LinkError> {
        if self.tunnels.is_empty() {
            return Ok(Pumped::Drained);
        }
        self.rouse(session);
        for _ in 0..limits::TUNNELS_PER_VISIT {
            self.collect(session);
            let Some(id) = self.line.pop_front() else { break };
            let Some(tunnel) = self.tunnels.get_mut(&id) else { continue };
            tunnel.in_line = false;
            let before = tunnel.upstream;
            let look = tunnel.look(id, session, &mut self.told, &mut self.buffer)?;
            match tunnel.upstream {
                Upstream::Congested if before != Upstream::Congested => self.congested.push(id),
                Upstream::Shut if before != Upstream::Shut => self.shut.push(id),
                _ => {}
            }
            match look {
                Look::Waits => {}
                Look::Again => self.wake(id),
                Look::Over => {
                    self.tunnels.remove(&id);
                    // A channel that is gone never opens its window, and its name goes to another.
                    self.congested.retain(|known| *known != id);
                    self.shut.retain(|known| *known != id);
                    self.told.push_back((id, TunnelNews::Ended));
                }
            }
        }
        self.collect(session);
        Ok(if self.line.is_empty() { Pumped::Drained } else { Pumped::More })
    }

    /// The session has failed: what had arrived before goes to the hosts behind, as far as it fits.
    pub(super) fn salvage(&mut self, session: &mut LibsshSession) {
        self.collect(session);
        for id in mem::take(&mut self.line) {
            if let (Some(tunnel), Some(inbox)) = (self.tunnels.get(&id), session.inbox(id)) {
                let _ = tunnel.conduit.send(&inbox.stdout);
            }
        }
    }

    fn collect(&mut self, session: &mut LibsshSession) {
        while let Some(id) = session.next_news() {
            self.wake(id);
        }
    }

    /// Puts in line whoever can go on sending. Of an open window only libssh 0.11 tells by itself, so all those that wait
    /// for theirs are asked, which takes no system call.
    fn rouse(&mut self, session: &mut LibsshSession) {
        let Self { tunnels, line, congested, shut, .. } = self;
        let mut flows = |id: ChannelId| {
            if let Some(tunnel) = tunnels.get_mut(&id) {
                tunnel.upstream = Upstream::Flows;
                if !mem::replace(&mut tunnel.in_line, true) {
                    line.push_back(id);
                }
            }
        };
        if !session.is_congested(limits::TUNNEL_BACKLOG) {
            congested.drain(..).for_each(&mut flows);
        }
        shut.retain(|id| {
            let is_shut = session.window(*id) == 0;
            if !is_shut {
                flows(*id);
            }
            is_shut
        });
    }
}

impl Tunnel {
    fn new(conduit: Conduit, stage: Stage) -> Self {
        Self { conduit, stage, in_line: false, upstream: Upstream::Flows, outbox: Outbox::default() }
    }

    fn look(
        &mut self,
        id: ChannelId,
        session: &mut LibsshSession,
        told: &mut VecDeque<(ChannelId, TunnelNews)>,
        buffer: &mut Vec<u8>,
    ) -> Result<Look, LinkError> {
        if matches!(self.stage, Stage::Opening | Stage::Unwanted) {
            match session.open_reply(id) {
                None => return Ok(Look::Waits),
                Some(OpenReply::Refused { reason, text }) => {
                    session.free_channel(id);
                    if self.stage == Stage::Opening {
                        told.push_back((id, TunnelNews::Refused { reason, text }));
                    }
                    return Ok(Look::Over);
                }
                Some(OpenReply::Opened { .. }) if self.stage == Stage::Unwanted => {
                    self.stage = Stage::Closing
                }
                Some(OpenReply::Opened { .. }) => {
                    self.stage = Stage::Open;
                    told.push_back((id, TunnelNews::Opened));
                }
            }
        }
        if self.stage != Stage::Closing {
            self.deliver(id, session)?;
        }
        // The goodbye of a host that has hung up still goes.
        let look = self.send_on(id, session, buffer)?;
        if self.stage != Stage::Closing {
            return Ok(look);
        }
        match session.close_channel(id) {
            Ok(Poll::Pending) => {
                self.upstream = Upstream::Congested;
                Ok(Look::Waits)
            }
            Ok(Poll::Ready(())) | Err(LinkError { kind: LinkErrorKind::Denied, .. }) => {
                session.free_channel(id);
                Ok(Look::Over)
            }
            Err(error) => Err(error),
        }
    }

    /// From the proxy to the host behind.
    fn deliver(&mut self, id: ChannelId, session: &mut LibsshSession) -> Result<(), LinkError> {
        loop {
            if session.held(id) > limits::TUNNEL_HELD {
                return Err(LinkError::new(LinkErrorKind::Protocol, "more data than its window allows"));
            }
            session.refill(id)?;
            let is_held = session.held(id) > 0;
            let Some(inbox) = session.inbox(id) else { return Ok(()) };
            if inbox.stdout.is_empty() {
                if is_held || !(inbox.eof || inbox.closed) {
                    return Ok(());
                }
                if self.stage == Stage::Open {
                    self.conduit.finish();
                }
                self.stage = if inbox.closed { Stage::Closing } else { Stage::Ended };
                return Ok(());
            }
            match self.conduit.send(&inbox.stdout) {
                // It goes on when the host behind has taken some, which a visit to it tells.
                Ok(0) => return Ok(()),
                Ok(sent) => {
                    inbox.stdout.drain(..sent);
                    inbox.stdout.shrink_to(limits::INBOX_RETAINED);
                }
                Err(_) => {
                    self.stage = Stage::Closing;
                    return Ok(());
                }
            }
        }
    }

    /// From the host behind to the proxy: one chunk, so that the others have theirs.
    fn send_on(
        &mut self,
        id: ChannelId,
        session: &mut LibsshSession,
        buffer: &mut Vec<u8>,
    ) -> Result<Look, LinkError> {
        if self.upstream != Upstream::Flows {
            return Ok(Look::Waits);
        }
        let window = session.window(id);
        self.upstream = match window {
            0 => Upstream::Shut,
            _ if session.is_congested(limits::TUNNEL_BACKLOG) => Upstream::Congested,
            _ => Upstream::Flows,
        };
        if self.upstream != Upstream::Flows {
            return Ok(Look::Waits);
        }
        let write = |chunk: &[u8]| session.write(id, chunk, limits::TUNNEL_BACKLOG);
        match self.outbox.send(&self.conduit, window, buffer, write) {
            Ok(Sent::All) => return Ok(Look::Waits),
            Ok(Sent::Some) => return Ok(Look::Again),
            Ok(Sent::Nothing) => self.upstream = Upstream::Congested,
            Ok(Sent::Ended) => self.stage = Stage::Closing,
            // The proxy has ended the channel: what arrived before is still to be delivered, then that is told.
            Err(LinkError { kind: LinkErrorKind::Denied, .. }) => self.outbox.clear(),
            Err(error) => return Err(error),
        }
        Ok(Look::Waits)
    }
}
