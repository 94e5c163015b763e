//! The work of a proxy, which is to connect other hosts through channels.
//!
//! The session of a host behind a proxy creates a conduit and gives one end to the session of the
//! proxy. The proxy's session opens a channel to the host and connects the channel to that end. SSH
//! runs over the other end as it would over a socket. Channels are requested without waiting for
//! the answers to earlier requests, because a thousand hosts would otherwise take a thousand round
//! trips.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::failure::{Failure, Peer, host_error_kind};
use super::{Cx, Effect};
use crate::error::{ChannelProblem, HostError, HostErrorKind};
use crate::limits;
use crate::link::{ChannelId, Conduit, TunnelNews};
use crate::stage::Stage;

/// Identifies one connection through a proxy, by the slot of the host and the generation of its
/// connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TunnelId {
    pub index: usize,
    pub generation: u32,
}

/// A request to the proxy to open a tunnel to a host.
#[derive(Debug)]
pub(crate) struct TunnelRequest {
    pub id: TunnelId,
    /// The name or address of the host, which the proxy resolves.
    pub host: Arc<str>,
    pub port: u16,
    pub conduit: Conduit,
}

/// The progress of a host's connection through a proxy.
#[derive(Debug, Clone)]
pub(crate) enum TunnelProgress {
    /// The channel was requested.
    Begun(ChannelId),
    /// The host is connected.
    Opened,
    /// The proxy cannot connect the host, or the proxy's own connection has ended. The error is the
    /// proxy's.
    Failed(HostError),
    /// The channel is gone, and its number may be reused for another host.
    Ended,
}

/// The hosts behind a proxy.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    /// The tunnels for which no channel was requested yet.
    waiting: VecDeque<TunnelRequest>,
    begun: HashMap<ChannelId, Begun>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    id: TunnelId,
    at: Instant,
}

impl Tunnels {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.begun.is_empty()
    }

    /// Whether hosts wait for the proxy itself to connect.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, request: TunnelRequest) {
        self.waiting.push_back(request);
    }

    /// Reports what has happened to the channels, and requests as many new channels as one visit
    /// allows. Returns whether anything changed.
    pub(super) fn step(&mut self, peer: Peer<'_>, cx: &mut Cx<'_>) -> Result<bool, Failure> {
        let mut advanced = false;
        while let Some((channel, news)) = cx.link.tunnel_news() {
            advanced = true;
            self.follow(channel, news, peer, cx);
        }
        while !cx.input_budget.is_used_up() {
            let Some(TunnelRequest { id, host, port, conduit }) = self.waiting.pop_front() else { break };
            advanced = true;
            cx.input_budget.take(limits::INPUT_PER_VISIT / limits::TUNNELS_PER_VISIT);
            if conduit.is_abandoned() {
                continue;
            }
            match cx.link.open_tunnel(&host, port, conduit) {
                Ok(channel) => {
                    self.begun.insert(channel, Begun { id, at: cx.now });
                    cx.out.push(Effect::Tunnelled(id, TunnelProgress::Begun(channel)));
                }
                Err(error) => {
                    // This host fails together with the proxy's connection, like the hosts whose
                    // channels were already requested.
                    let cause =
                        peer.error(Stage::Forwarding, peer.elapsed(cx.now), host_error_kind(error.clone()));
                    cx.out.push(Effect::Tunnelled(id, TunnelProgress::Failed(cause)));
                    return Err(error.into());
                }
            }
        }
        Ok(advanced)
    }

    fn follow(&mut self, channel: ChannelId, news: TunnelNews, peer: Peer<'_>, cx: &mut Cx<'_>) {
        let Some(Begun { id, at }) = self.begun.get(&channel).copied() else { return };
        let progress = match news {
            TunnelNews::Opened => TunnelProgress::Opened,
            TunnelNews::Ended => {
                self.begun.remove(&channel);
                TunnelProgress::Ended
            }
            TunnelNews::Refused { reason, text } => {
                let kind = HostErrorKind::Channel(ChannelProblem::TunnelRefused { reason, text });
                let elapsed = cx.now.saturating_duration_since(at);
                // The attempt is 0, because the error does not concern the connection to the proxy.
                TunnelProgress::Failed(Peer { attempt: 0, ..peer }.error(Stage::Opening, elapsed, kind))
            }
        };
        cx.out.push(Effect::Tunnelled(id, progress));
    }

    /// Fails the hosts whose channels were requested, because the proxy's connection has ended.
    pub(super) fn cut(&mut self, error: &HostError, out: &mut Vec<Effect>) {
        let ended = self.begun.drain().map(|(_, begun)| begun.id);
        out.extend(ended.map(|id| Effect::Tunnelled(id, TunnelProgress::Failed(error.clone()))));
    }

    /// Fails the hosts that wait for the proxy, because the proxy is given up.
    pub(super) fn fail(&mut self, error: &HostError, out: &mut Vec<Effect>) {
        let refused = self.waiting.drain(..).map(|request| request.id);
        out.extend(refused.map(|id| Effect::Tunnelled(id, TunnelProgress::Failed(error.clone()))));
    }
}
