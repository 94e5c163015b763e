//! Tunnels: channels of a proxy's session, each joined to the connection of a host behind it.
//!
//! Bytes go from the channel into the conduit and from the conduit into the channel, with
//! back-pressure in both directions. What the host behind does not take stays in the conduit, then
//! in the inbox, then inside libssh, which keeps the channel's window shut. What the proxy does not
//! take stays in the conduit, and the host's libssh waits. Only tunnels with news are looked at:
//! something has arrived from the proxy, or the host behind was visited.
//!
//! Channels of a forwarded agent are in `agent_forwarding`.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::task::Poll;

use super::libssh::{OpenReply, SshSession};
use super::tunnel_writer::{TunnelWriter, Written};
use super::{ChannelId, Conduit, LinkError, LinkErrorKind, Pumped, TunnelNews};
use crate::limits;

/// The tunnels of one session.
#[derive(Debug, Default)]
pub(super) struct TunnelRelay {
    tunnels: HashMap<ChannelId, Tunnel>,
    /// Tunnels to look at.
    queue: VecDeque<ChannelId>,
    /// Tunnels that wait for the proxy's socket.
    congested: Vec<ChannelId>,
    /// Tunnels that wait for the proxy to open their window.
    shut: Vec<ChannelId>,
    news: VecDeque<(ChannelId, TunnelNews)>,
    /// Shared by all.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Tunnel {
    conduit: Conduit,
    stage: TunnelStage,
    is_queued: bool,
    upstream: Upstream,
    writer: TunnelWriter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TunnelStage {
    /// The proxy was asked.
    Opening,
    /// The proxy was asked, and the host behind has gone since.
    Unwanted,
    Open,
    /// Open, and the host behind has got an end of stream.
    Ended,
    /// CLOSE must be sent.
    Closing,
}

/// The way to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upstream {
    Open,
    /// The socket takes no more: see [`TunnelRelay::congested`].
    Congested,
    /// The window is shut: see [`TunnelRelay::shut`].
    Shut,
}

/// What remains to be done for a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing before its next news.
    Nothing,
    /// More, after the other tunnels.
    More,
    /// Its removal: the channel is gone.
    Removal,
}

impl TunnelRelay {
    /// Asks the proxy to connect to this host.
    pub(super) fn open(
        &mut self,
        host: &str,
        port: u16,
        conduit: Conduit,
        session: &mut SshSession,
    ) -> Result<ChannelId, LinkError> {
        let id = session.open_tunnel(host, port)?;
        self.tunnels.insert(id, Tunnel::new(conduit, TunnelStage::Opening));
        Ok(id)
    }

    pub(super) fn next_news(&mut self) -> Option<(ChannelId, TunnelNews)> {
        self.news.pop_front()
    }

    /// Queues a tunnel, unless it is queued.
    pub(super) fn wake(&mut self, id: ChannelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        if !mem::replace(&mut tunnel.is_queued, true) {
            self.queue.push_back(id);
        }
    }

    /// The host behind has hung up.
    pub(super) fn close(&mut self, id: ChannelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        tunnel.stage = match tunnel.stage {
            TunnelStage::Opening | TunnelStage::Unwanted => TunnelStage::Unwanted,
            TunnelStage::Open | TunnelStage::Ended | TunnelStage::Closing => TunnelStage::Closing,
        };
        self.wake(id);
    }

    /// Relays the tunnels with news, at most [`limits::TUNNELS_PER_VISIT`]. `More`: others are
    /// left.
    pub(super) fn relay(&mut self, session: &mut SshSession) -> Result<Pumped, LinkError> {
        if self.tunnels.is_empty() {
            return Ok(Pumped::Drained);
        }
        self.resume(session);
        for _ in 0..limits::TUNNELS_PER_VISIT {
            self.collect(session);
            let Some(id) = self.queue.pop_front() else { break };
            let Some(tunnel) = self.tunnels.get_mut(&id) else { continue };
            tunnel.is_queued = false;
            let before = tunnel.upstream;
            let rest = tunnel.relay(id, session, &mut self.news, &mut self.buffer)?;
            match tunnel.upstream {
                Upstream::Congested if before != Upstream::Congested => self.congested.push(id),
                Upstream::Shut if before != Upstream::Shut => self.shut.push(id),
                _ => {}
            }
            match rest {
                Rest::Nothing => {}
                Rest::More => self.wake(id),
                Rest::Removal => {
                    self.tunnels.remove(&id);
                    // Its id may be reused.
                    self.congested.retain(|known| *known != id);
                    self.shut.retain(|known| *known != id);
                    self.news.push_back((id, TunnelNews::Ended));
                }
            }
        }
        self.collect(session);
        Ok(if self.queue.is_empty() { Pumped::Drained } else { Pumped::More })
    }

    /// After a failure of the session: passes on what had arrived before, as far as it fits.
    pub(super) fn salvage(&mut self, session: &mut SshSession) {
        self.collect(session);
        for id in mem::take(&mut self.queue) {
            if let (Some(tunnel), Some(inbox)) = (self.tunnels.get(&id), session.inbox(id)) {
                let _ = tunnel.conduit.send(&inbox.stdout);
            }
        }
    }

    fn collect(&mut self, session: &mut SshSession) {
        while let Some(id) = session.next_news() {
            self.wake(id);
        }
    }

    /// Queues the tunnels that can go on sending. Only libssh 0.11 reports that a window has
    /// opened, so all windows are asked, which takes no system call.
    fn resume(&mut self, session: &mut SshSession) {
        let Self { tunnels, queue, congested, shut, .. } = self;
        let mut resume = |id: ChannelId| {
            if let Some(tunnel) = tunnels.get_mut(&id) {
                tunnel.upstream = Upstream::Open;
                if !mem::replace(&mut tunnel.is_queued, true) {
                    queue.push_back(id);
                }
            }
        };
        if !session.is_congested(limits::TUNNEL_BACKLOG) {
            congested.drain(..).for_each(&mut resume);
        }
        shut.retain(|id| {
            let is_shut = session.window(*id) == 0;
            if !is_shut {
                resume(*id);
            }
            is_shut
        });
    }
}

impl Tunnel {
    fn new(conduit: Conduit, stage: TunnelStage) -> Self {
        Self { conduit, stage, is_queued: false, upstream: Upstream::Open, writer: TunnelWriter::default() }
    }

    fn relay(
        &mut self,
        id: ChannelId,
        session: &mut SshSession,
        news: &mut VecDeque<(ChannelId, TunnelNews)>,
        buffer: &mut Vec<u8>,
    ) -> Result<Rest, LinkError> {
        if matches!(self.stage, TunnelStage::Opening | TunnelStage::Unwanted) {
            match session.open_reply(id) {
                None => return Ok(Rest::Nothing),
                Some(OpenReply::Refused { reason, text }) => {
                    session.free_channel(id);
                    if self.stage == TunnelStage::Opening {
                        news.push_back((id, TunnelNews::Refused { reason, text }));
                    }
                    return Ok(Rest::Removal);
                }
                Some(OpenReply::Opened { .. }) if self.stage == TunnelStage::Unwanted => {
                    self.stage = TunnelStage::Closing
                }
                Some(OpenReply::Opened { .. }) => {
                    self.stage = TunnelStage::Open;
                    news.push_back((id, TunnelNews::Opened));
                }
            }
        }
        if self.stage != TunnelStage::Closing {
            self.deliver(id, session)?;
        }
        // The last bytes of a host that has hung up still go.
        let rest = self.send_on(id, session, buffer)?;
        if self.stage != TunnelStage::Closing {
            return Ok(rest);
        }
        match session.close_channel(id) {
            Ok(Poll::Pending) => {
                self.upstream = Upstream::Congested;
                Ok(Rest::Nothing)
            }
            Ok(Poll::Ready(())) | Err(LinkError { kind: LinkErrorKind::Denied, .. }) => {
                session.free_channel(id);
                Ok(Rest::Removal)
            }
            Err(error) => Err(error),
        }
    }

    /// From the proxy to the host behind.
    fn deliver(&mut self, id: ChannelId, session: &mut SshSession) -> Result<(), LinkError> {
        loop {
            if session.held(id) > limits::TUNNEL_HELD {
                return Err(LinkError::new(
                    LinkErrorKind::Protocol,
                    "the proxy ignores the window of a tunnel",
                ));
            }
            session.refill(id)?;
            let is_held = session.held(id) > 0;
            let Some(inbox) = session.inbox(id) else { return Ok(()) };
            if inbox.stdout.is_empty() {
                if is_held || !(inbox.eof || inbox.closed) {
                    return Ok(());
                }
                if self.stage == TunnelStage::Open {
                    self.conduit.finish();
                }
                self.stage = if inbox.closed { TunnelStage::Closing } else { TunnelStage::Ended };
                return Ok(());
            }
            match self.conduit.send(&inbox.stdout) {
                // A visit to the host behind announces that it has taken some.
                Ok(0) => return Ok(()),
                Ok(sent) => {
                    inbox.stdout.drain(..sent);
                    inbox.stdout.shrink_to(limits::INBOX_RETAINED);
                }
                Err(_) => {
                    self.stage = TunnelStage::Closing;
                    return Ok(());
                }
            }
        }
    }

    /// From the host behind to the proxy: one chunk, then it is the others' turn.
    fn send_on(
        &mut self,
        id: ChannelId,
        session: &mut SshSession,
        buffer: &mut Vec<u8>,
    ) -> Result<Rest, LinkError> {
        if self.upstream != Upstream::Open {
            return Ok(Rest::Nothing);
        }
        let window = session.window(id);
        self.upstream = match window {
            0 => Upstream::Shut,
            _ if session.is_congested(limits::TUNNEL_BACKLOG) => Upstream::Congested,
            _ => Upstream::Open,
        };
        if self.upstream != Upstream::Open {
            return Ok(Rest::Nothing);
        }
        let write = |chunk: &[u8]| session.write(id, chunk, limits::TUNNEL_BACKLOG);
        match self.writer.send(&self.conduit, window, buffer, write) {
            Ok(Written::All) => return Ok(Rest::Nothing),
            Ok(Written::Some) => return Ok(Rest::More),
            Ok(Written::Nothing) => self.upstream = Upstream::Congested,
            Ok(Written::Ended) => self.stage = TunnelStage::Closing,
            // The proxy has closed the channel. What arrived before is still delivered, and then
            // the end.
            Err(LinkError { kind: LinkErrorKind::Denied, .. }) => self.writer.clear(),
            Err(error) => return Err(error),
        }
        Ok(Rest::Nothing)
    }
}
