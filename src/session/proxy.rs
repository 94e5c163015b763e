//! Both sides of a proxy: a host that is connected by one, and the proxy that connects others.
//!
//! The host makes a conduit and gives one end away; when the proxy says that the other side is the host, SSH begins on its
//! own end as on a socket. The proxy opens a channel to the host for the end it was given. Its channels are asked for
//! without waiting for one another: over a long way a thousand hosts would otherwise take a thousand round trips.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use super::connect::is_out_of_descriptors;
use super::failure::{Ending, Failure, host_error_kind};
use super::state::State;
use super::{Ask, Cx, Session, Step, deadline};
use crate::error::{ChannelProblem, HostError, HostErrorKind, HostErrorParts};
use crate::limits;
use crate::link::{ChannelId, Conduit, LinkError, LinkErrorKind, TunnelNews};
use crate::stage::Stage;

/// Names one connection through a proxy: the host's place in the fleet, and the generation of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TunnelId {
    pub index: usize,
    pub generation: u32,
}

/// What a host asks of its proxy.
#[derive(Debug)]
pub(crate) struct TunnelRequest {
    pub id: TunnelId,
    /// Resolved by the proxy.
    pub host: Arc<str>,
    pub port: u16,
    pub conduit: Conduit,
}

/// How far a proxy is with a host's connection.
#[derive(Debug, Clone)]
pub(crate) enum Tunnelled {
    /// It was told to connect, on this channel.
    Begun(ChannelId),
    /// It has connected.
    Opened,
    /// It cannot connect, or its own connection has ended, with this error of the proxy.
    Failed(HostError),
    /// The channel is gone, and another host may get one of the same name.
    Ended,
}

/// What hosts want of a proxy.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    /// Asked for, and not yet begun.
    waiting: VecDeque<TunnelRequest>,
    begun: HashMap<ChannelId, Begun>,
    told: Vec<(TunnelId, Tunnelled)>,
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
}

impl Session {
    /// Gives a proxy a host to connect. Like a command it begins once the proxy is admitted, with a full set of attempts.
    pub(crate) fn request_tunnel(&mut self, request: TunnelRequest, now: Instant) {
        let Some(tunnels) = &mut self.tunnels else { return };
        let is_unused = tunnels.is_empty();
        tunnels.waiting.push_back(request);
        if is_unused {
            self.begin_anew();
        }
        self.wake(now);
    }

    pub(crate) fn is_proxy(&self) -> bool {
        self.tunnels.is_some()
    }

    /// Whether hosts wait for it to connect itself.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.tunnels.as_ref().is_some_and(|tunnels| !tunnels.waiting.is_empty())
    }

    /// What is to be told to the hosts behind.
    pub(crate) fn take_tunnelled(&mut self) -> Vec<(TunnelId, Tunnelled)> {
        self.tunnels.as_mut().map(|tunnels| mem::take(&mut tunnels.told)).unwrap_or_default()
    }

    /// The end that the proxy is to have, once after [`Ask::Tunnel`].
    pub(crate) fn take_conduit(&mut self) -> Option<Conduit> {
        match &mut self.state {
            State::Tunnelling(conduit) => conduit.take(),
            _ => None,
        }
    }

    /// Waits for the proxy from now on.
    pub(super) fn join(&mut self, cx: &mut Cx<'_>) -> Result<Step, Failure> {
        self.enter(State::Tunnelling(None), cx.now);
        let conduit = cx.link.join().map_err(|e| {
            if is_out_of_descriptors(&e) {
                return Failure::NoDescriptor;
            }
            HostErrorKind::Limit(format!("no conduit to the proxy: {e}")).into()
        })?;
        self.state = State::Tunnelling(Some(conduit));
        Ok(Step { ask: Some(Ask::Tunnel), ..Step::default() })
    }

    pub(super) fn tunnelled(&mut self, tunnelled: Tunnelled, cx: &mut Cx<'_>) -> Result<Step, Failure> {
        let is_tunnelling = matches!(self.state, State::Tunnelling(_));
        match tunnelled {
            Tunnelled::Begun(_) if is_tunnelling => {
                self.deadline = deadline(cx.now, self.target.profile.timeouts.connect);
                Ok(Step::default())
            }
            Tunnelled::Opened if is_tunnelling => {
                self.begin_ssh(cx)?;
                self.drive(cx)
            }
            Tunnelled::Failed(error) if is_tunnelling => Err(HostErrorKind::Proxy(error).into()),
            // What the host had sent before is still on its way to here: the end of the stream comes behind it.
            Tunnelled::Failed(error) if self.is_connected() => {
                self.proxy_lost = Some(error);
                self.drive(cx)
            }
            _ => Ok(Step::default()),
        }
    }

    /// What a link's failure is to the caller: the end of a connection that the proxy carried is the proxy's.
    pub(super) fn explain(&mut self, error: LinkError) -> (HostErrorKind, Ending) {
        let dropped = error.kind == LinkErrorKind::Dropped;
        match (host_error_kind(error), self.proxy_lost.take()) {
            (HostErrorKind::ConnectionLost(_), Some(error)) => (HostErrorKind::Proxy(error), Ending::Failed),
            (kind, _) if dropped => (kind, Ending::Dropped),
            (kind, _) => (kind, Ending::Failed),
        }
    }

    /// Takes what has become of the tunnels, and begins those that wait, as many as a visit may.
    pub(super) fn step_tunnels(&mut self, budget: &mut usize, cx: &mut Cx<'_>) -> Result<bool, Failure> {
        let mut advanced = false;
        while let Some((channel, news)) = cx.link.tunnel_news() {
            advanced = true;
            self.note_tunnel(channel, news, cx.now);
        }
        while *budget > 0 {
            let Some(tunnels) = &mut self.tunnels else { break };
            let Some(TunnelRequest { id, host, port, conduit }) = tunnels.waiting.pop_front() else { break };
            advanced = true;
            *budget = budget.saturating_sub(limits::INPUT_PER_VISIT / limits::TUNNELS_PER_VISIT);
            if conduit.is_abandoned() {
                continue;
            }
            match cx.link.open_tunnel(&host, port, conduit) {
                Ok(channel) => {
                    tunnels.begun.insert(channel, Begun { id, at: cx.now });
                    tunnels.told.push((id, Tunnelled::Begun(channel)));
                }
                Err(error) => {
                    // It ends with the connection, as those that were begun.
                    let cause = self.host_error(host_error_kind(error.clone()), cx.now);
                    self.tell(id, Tunnelled::Failed(cause));
                    return Err(error.into());
                }
            }
        }
        Ok(advanced)
    }

    fn tell(&mut self, id: TunnelId, tunnelled: Tunnelled) {
        if let Some(tunnels) = &mut self.tunnels {
            tunnels.told.push((id, tunnelled));
        }
    }

    fn note_tunnel(&mut self, channel: ChannelId, news: TunnelNews, now: Instant) {
        let Some(tunnels) = &mut self.tunnels else { return };
        let Some(Begun { id, at }) = tunnels.begun.get(&channel).copied() else { return };
        match news {
            TunnelNews::Opened => tunnels.told.push((id, Tunnelled::Opened)),
            TunnelNews::Ended => {
                tunnels.begun.remove(&channel);
                tunnels.told.push((id, Tunnelled::Ended));
            }
            TunnelNews::Refused { reason, text } => {
                let kind = HostErrorKind::Channel(ChannelProblem::TunnelRefused { reason, text });
                // Of no attempt: the proxy's own connection is as good as before.
                let error = HostError::new(HostErrorParts {
                    host: self.target.host.clone(),
                    port: self.target.port,
                    stage: Stage::Opening,
                    attempt: 0,
                    attempts: self.target.profile.connection.attempts,
                    elapsed: now.saturating_duration_since(at),
                    kind: Arc::new(kind),
                });
                tunnels.told.push((id, Tunnelled::Failed(error)));
            }
        }
    }

    /// The proxy's connection has ended, and with it all that went through it.
    pub(super) fn cut_tunnels(&mut self, error: &HostError) {
        let Some(tunnels) = &mut self.tunnels else { return };
        let ended = tunnels.begun.drain().map(|(_, begun)| (begun.id, Tunnelled::Failed(error.clone())));
        tunnels.told.extend(ended);
    }

    /// The proxy is given up.
    pub(super) fn refuse_tunnels(&mut self, error: &HostError) {
        let Some(tunnels) = &mut self.tunnels else { return };
        let refused = tunnels.waiting.drain(..).map(|request| (request.id, Tunnelled::Failed(error.clone())));
        tunnels.told.extend(refused);
    }
}
