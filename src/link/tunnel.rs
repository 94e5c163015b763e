//! Tunnels: channels of a proxy's session, each joined to the connection to a host behind the
//! proxy.
//!
//! Bytes go from the channel into the conduit and from the conduit into the channel, with
//! back-pressure in both directions. If the host behind the proxy does not read, bytes stay first
//! in the conduit, then in the inbox, and then inside libssh, which keeps the channel's window
//! closed. If the proxy does not read, bytes stay in the conduit, and the session of the host
//! behind it has to wait. A tunnel is relayed only when it has news: either something has arrived
//! from the proxy, or the host behind the proxy has been visited.
//!
//! The channels of a forwarded agent are handled in `agent_forwarding`.

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
    /// The tunnels to relay.
    queue: VecDeque<ChannelId>,
    /// The tunnels that wait until the proxy's socket accepts more.
    congested: Vec<ChannelId>,
    /// The tunnels that wait until the proxy reopens their window.
    shut: Vec<ChannelId>,
    news: VecDeque<(ChannelId, TunnelNews)>,
    /// The read buffer, which all tunnels share.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Tunnel {
    id: ChannelId,
    conduit: Conduit,
    stage: TunnelStage,
    is_queued: bool,
    upstream: Upstream,
    writer: TunnelWriter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TunnelStage {
    /// The proxy has been asked to open the channel.
    Opening,
    /// The proxy has been asked to open the channel, but the host behind the proxy has since hung
    /// up.
    Unwanted,
    Open,
    /// The tunnel is open, and the host behind the proxy has been sent an end of stream.
    Ended,
    /// SSH_MSG_CHANNEL_CLOSE remains to be sent.
    Closing,
}

/// The state of the direction towards the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upstream {
    Open,
    /// The socket accepts no more. The tunnel is in [`TunnelRelay::congested`].
    Congested,
    /// The window is closed. The tunnel is in [`TunnelRelay::shut`].
    Shut,
}

/// What remains to be done for a tunnel after it was relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// There is nothing to do until the tunnel has news.
    Nothing,
    /// There is more to relay, after the other tunnels have had their turn.
    More,
    /// The tunnel must be removed, because its channel no longer exists.
    Removal,
}

impl TunnelRelay {
    /// Adds a tunnel that the proxy has been asked to open.
    pub(super) fn add(&mut self, id: ChannelId, conduit: Conduit) {
        let (stage, upstream, writer) = (TunnelStage::Opening, Upstream::Open, TunnelWriter::default());
        self.tunnels.insert(id, Tunnel { id, conduit, stage, is_queued: false, upstream, writer });
    }

    pub(super) fn next_news(&mut self) -> Option<(ChannelId, TunnelNews)> {
        self.news.pop_front()
    }

    /// Queues a tunnel unless it is already queued.
    pub(super) fn wake(&mut self, id: ChannelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        if !mem::replace(&mut tunnel.is_queued, true) {
            self.queue.push_back(id);
        }
    }

    /// Closes a tunnel, because the host behind the proxy has hung up.
    pub(super) fn close(&mut self, id: ChannelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        tunnel.stage = match tunnel.stage {
            TunnelStage::Opening | TunnelStage::Unwanted => TunnelStage::Unwanted,
            TunnelStage::Open | TunnelStage::Ended | TunnelStage::Closing => TunnelStage::Closing,
        };
        self.wake(id);
    }

    /// Relays the tunnels that have news, at most [`limits::TUNNELS_PER_VISIT`] of them. Returns
    /// `More` if others are left.
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
            let rest = tunnel.relay(session, &mut self.news, &mut self.buffer)?;
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
                    // Another tunnel may reuse the channel's id, so these lists must not keep it.
                    self.congested.retain(|known| *known != id);
                    self.shut.retain(|known| *known != id);
                    self.news.push_back((id, TunnelNews::Ended));
                }
            }
        }
        self.collect(session);
        Ok(if self.queue.is_empty() { Pumped::Drained } else { Pumped::More })
    }

    /// Delivers what arrived before the session failed, as far as it fits into the conduits.
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

    /// Queues the tunnels that can send again. libssh before 0.11 does not report that a window was
    /// reopened, so this checks all windows. The check takes no system call.
    fn resume(&mut self, session: &mut SshSession) {
        let mut open = Vec::new();
        if !session.is_congested(limits::TUNNEL_BACKLOG) {
            open.append(&mut self.congested);
        }
        open.extend(self.shut.extract_if(.., |id| session.window(*id) > 0));
        for id in open {
            if let Some(tunnel) = self.tunnels.get_mut(&id) {
                tunnel.upstream = Upstream::Open;
            }
            self.wake(id);
        }
    }
}

impl Tunnel {
    fn relay(
        &mut self,
        session: &mut SshSession,
        news: &mut VecDeque<(ChannelId, TunnelNews)>,
        buffer: &mut Vec<u8>,
    ) -> Result<Rest, LinkError> {
        let id = self.id;
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
            self.deliver(session)?;
        }
        // Even if the host has hung up, its last bytes are sent on.
        let rest = self.send_on(session, buffer)?;
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

    /// Moves bytes from the proxy to the host behind it.
    fn deliver(&mut self, session: &mut SshSession) -> Result<(), LinkError> {
        let id = self.id;
        loop {
            if session.held(id) > limits::TUNNEL_HELD {
                let text = "the proxy ignores the window of a tunnel";
                return Err(LinkError::new(LinkErrorKind::Protocol, text));
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
                // The conduit is full. The next visit that reads from its other end queues this
                // tunnel.
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

    /// Moves bytes from the host behind the proxy to the proxy: only one chunk, so that the other
    /// tunnels get a turn.
    fn send_on(&mut self, session: &mut SshSession, buffer: &mut Vec<u8>) -> Result<Rest, LinkError> {
        if self.upstream != Upstream::Open {
            return Ok(Rest::Nothing);
        }
        let window = session.window(self.id);
        self.upstream = match window {
            0 => Upstream::Shut,
            _ if session.is_congested(limits::TUNNEL_BACKLOG) => Upstream::Congested,
            _ => Upstream::Open,
        };
        if self.upstream != Upstream::Open {
            return Ok(Rest::Nothing);
        }
        let write = |chunk: &[u8]| session.write(self.id, chunk, limits::TUNNEL_BACKLOG);
        match self.writer.send(&self.conduit, window, buffer, write) {
            Ok(Written::All) => return Ok(Rest::Nothing),
            Ok(Written::Some) => return Ok(Rest::More),
            Ok(Written::Nothing) => self.upstream = Upstream::Congested,
            Ok(Written::Ended) => self.stage = TunnelStage::Closing,
            // The proxy has closed the channel. What arrived before that is still delivered to the
            // host, followed by the end of stream.
            Err(LinkError { kind: LinkErrorKind::Denied, .. }) => self.writer.clear(),
            Err(error) => return Err(error),
        }
        Ok(Rest::Nothing)
    }
}
