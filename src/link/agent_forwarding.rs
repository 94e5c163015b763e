//! Agent forwarding: channels that a host opens to the ssh-agent, each joined to a separate
//! connection to the agent.
//!
//! Requests pass through a [`Filter`], so the agent gets one whole request at a time, and only
//! requests that a host may make. There is back-pressure in both directions. While an answer waits
//! for the host to read it, no further request is sent to the agent. Later requests wait in the
//! inbox and, once it is full, inside libssh. If too many bytes of one host are waiting, the
//! channel with the most waiting bytes is closed.
//!
//! A host has few of these channels, so each pump relays all of them.

use std::io;
use std::sync::Arc;
use std::task::Poll;

use super::libssh::SshSession;
use super::{ChannelId, Conduit, LinkError, LinkErrorKind, Pumped};
use crate::agent::wire::{AgentError, Filter, Permission, failure};
use crate::limits;

/// How many connections to forwarded agents a fleet may have, and how many it has.
#[derive(Debug)]
pub(super) struct ConnectionQuota {
    max: usize,
    /// Each connection holds a clone.
    used: Arc<()>,
}

impl ConnectionQuota {
    pub(super) fn new(max: usize) -> Self {
        Self { max, used: Arc::default() }
    }

    pub(super) fn left(&self) -> usize {
        let used = Arc::strong_count(&self.used) - 1;
        self.max.saturating_sub(used)
    }

    /// Counts this connection towards the quota until the returned value is dropped.
    pub(super) fn take(&self, conduit: Conduit) -> AgentStream {
        AgentStream { conduit, _place: self.used.clone() }
    }
}

/// A connection to an agent, which counts towards the quota until it is dropped.
#[derive(Debug)]
pub(super) struct AgentStream {
    conduit: Conduit,
    _place: Arc<()>,
}

/// One session's channels to its forwarded agent.
#[derive(Debug, Default)]
pub(super) struct AgentForwarding {
    channels: Vec<ForwardedChannel>,
    /// The read buffer, which all channels share.
    buffer: Vec<u8>,
    /// Whether a warning about this host has been logged. Further warnings are logged at debug
    /// level.
    has_warned: bool,
}

#[derive(Debug)]
struct ForwardedChannel {
    id: ChannelId,
    /// The connection to the agent. `None` once the channel is being closed.
    agent: Option<AgentStream>,
    filter: Filter,
    /// The bytes that wait to be sent to the host.
    outbox: Vec<u8>,
    stage: ForwardStage,
    /// How many packets the session had read when the first write to this channel was last tried.
    tried_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ForwardStage {
    Open,
    /// The channel is open, and the agent has been sent an end of stream.
    Ended,
    /// SSH_MSG_CHANNEL_CLOSE remains to be sent.
    Closing,
    /// CLOSE was sent, and the host's CLOSE has not arrived. Until it arrives, libssh keeps the
    /// channel, so the channel counts towards the limit.
    Closed,
    /// The channel can be forgotten.
    Gone,
}

/// Why a channel is closed.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error("the host or the agent breaks the ssh-agent protocol: {0}")]
    Message(#[from] AgentError),
    #[error("{0}")]
    Agent(#[from] io::Error),
    #[error("the connection to the host has failed: {0:?}")]
    Link(LinkError),
}

impl From<LinkError> for Halt {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl AgentForwarding {
    /// Joins each channel that the server has opened to a new connection to the agent. If
    /// connecting fails, closes the channel.
    pub(super) fn accept(
        &mut self,
        session: &mut SshSession,
        mut connect: impl FnMut() -> io::Result<AgentStream>,
    ) {
        while let Some(id) = session.next_agent_channel() {
            let agent = connect().inspect_err(|e| self.warn(format_args!("cannot be reached: {e}"))).ok();
            let stage = if agent.is_some() { ForwardStage::Open } else { ForwardStage::Closing };
            let (filter, outbox) = Default::default();
            self.channels.push(ForwardedChannel { id, agent, filter, outbox, stage, tried_at: None });
        }
    }

    /// How many connections to the agent are open. Each takes a descriptor.
    pub(super) fn connections(&self) -> usize {
        self.channels.iter().filter(|channel| channel.agent.is_some()).count()
    }

    /// Relays all channels, at most [`limits::AGENT_ROUNDS_PER_VISIT`] times. Returns `More` if
    /// there is more to do.
    pub(super) fn relay(&mut self, session: &mut SshSession) -> Result<Pumped, LinkError> {
        while session.next_news().is_some() {}
        let mut moved = false;
        for _ in 0..limits::AGENT_ROUNDS_PER_VISIT {
            moved = false;
            for index in 0..self.channels.len() {
                moved |= self.relay_channel(index, session)?;
            }
            self.channels.retain(|channel| channel.stage != ForwardStage::Gone);
            self.shed(session)?;
            if !moved {
                break;
            }
        }
        let wants_first_write = self.channels.iter().any(|channel| channel.wants_first_write(session));
        Ok(if moved || wants_first_write { Pumped::More } else { Pumped::Drained })
    }

    /// Relays one channel. Returns whether any bytes have moved.
    fn relay_channel(&mut self, index: usize, session: &mut SshSession) -> Result<bool, LinkError> {
        let channel = &mut self.channels[index];
        match channel.relay(session, &mut self.buffer) {
            Ok(moved) if channel.is_open() => return Ok(moved),
            Ok(_) => {}
            Err(Halt::Link(error)) => return Err(error),
            Err(halt) => {
                channel.stage = ForwardStage::Closing;
                self.warn(format_args!("gets no more requests: {halt}"));
            }
        }
        self.channels[index].close(session)?;
        Ok(false)
    }

    /// If too many bytes are waiting, closes the channel with the most waiting bytes. Only
    /// misbehaving clients are affected, because others read the answer to one request before they
    /// send the next.
    fn shed(&mut self, session: &mut SshSession) -> Result<(), LinkError> {
        let mut waits = |channel: &ForwardedChannel| {
            let arrived = session.inbox(channel.id).map_or(0, |inbox| inbox.stdout.len());
            session.held(channel.id) + arrived + channel.filter.held()
        };
        let waiting: Vec<usize> = self.channels.iter().map(&mut waits).collect();
        if waiting.iter().sum::<usize>() <= limits::AGENT_WAITING {
            return Ok(());
        }
        if let Some((index, _)) = waiting.iter().enumerate().max_by_key(|(_, bytes)| **bytes) {
            self.channels[index].stage = ForwardStage::Closing;
            self.warn(format_args!("gets no more requests: the host does not read the answers"));
            self.channels[index].close(session)?;
        }
        Ok(())
    }

    fn warn(&mut self, what: std::fmt::Arguments<'_>) {
        let level = if self.has_warned { log::Level::Debug } else { log::Level::Warn };
        self.has_warned = true;
        log::log!(level, "the forwarded ssh-agent {what}");
    }

    /// Finds a channel that was never written to, and returns its id and the bytes to write.
    pub(super) fn first_write(&self, session: &mut SshSession) -> Option<(ChannelId, Vec<u8>)> {
        let channel = self.channels.iter().find(|channel| channel.wants_first_write(session))?;
        let length = channel.outbox.len().min(limits::WRITE_PACKETS);
        Some((channel.id, channel.outbox[..length].to_vec()))
    }

    /// Records the result of a write that [`first_write`](Self::first_write) asked for.
    pub(super) fn first_written(
        &mut self,
        id: ChannelId,
        written: Result<usize, LinkError>,
        packets_read: u64,
    ) -> Result<(), LinkError> {
        let Some(channel) = self.channels.iter_mut().find(|channel| channel.id == id) else { return Ok(()) };
        channel.tried_at = Some(packets_read);
        match written {
            Ok(written) => drop(channel.outbox.drain(..written)),
            Err(error) if error.kind == LinkErrorKind::Denied => channel.stage = ForwardStage::Closing,
            Err(error) if error.kind == LinkErrorKind::Limit => {
                channel.stage = ForwardStage::Closing;
                self.warn(format_args!("cannot answer: {}", error.text));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl ForwardedChannel {
    fn is_open(&self) -> bool {
        matches!(self.stage, ForwardStage::Open | ForwardStage::Ended)
    }

    fn wants_first_write(&self, session: &mut SshSession) -> bool {
        // If nothing was written because of a key exchange, the next try waits until the host has
        // sent something.
        self.is_open()
            && !self.outbox.is_empty()
            && session.needs_first_write(self.id)
            && session.window(self.id) > 0
            && !session.is_congested(limits::TUNNEL_BACKLOG)
            && self.tried_at != Some(session.packets_read())
    }

    /// Moves bytes in both directions. Returns whether any have moved.
    fn relay(&mut self, session: &mut SshSession, buffer: &mut Vec<u8>) -> Result<bool, Halt> {
        let mut moved = false;
        while self.send_request(session)? {
            moved = true;
        }
        moved |= self.receive_answer(session, buffer)?;
        moved |= self.send_answer(session)?;
        let is_held = session.held(self.id) > 0;
        let Some(inbox) = session.inbox(self.id) else { return Ok(false) };
        if inbox.closed {
            self.stage =
                if self.stage == ForwardStage::Closed { ForwardStage::Gone } else { ForwardStage::Closing };
            return Ok(false);
        }
        let has_asked_all = inbox.eof && !is_held && inbox.stdout.is_empty();
        if has_asked_all
            && self.stage == ForwardStage::Open
            && self.filter.is_idle()
            && self.outbox.is_empty()
        {
            self.stage = ForwardStage::Ended;
            if let Some(agent) = &self.agent {
                agent.conduit.finish();
            }
        }
        Ok(moved)
    }

    /// Moves the next piece of a request from the host to the agent.
    fn send_request(&mut self, session: &mut SshSession) -> Result<bool, Halt> {
        let Some(agent) = &self.agent else { return Ok(false) };
        let request = self.filter.to_agent();
        if !request.is_empty() {
            let sent = agent.conduit.send(request)?;
            self.filter.sent(sent);
            return Ok(sent > 0);
        }
        session.refill(self.id)?;
        let Some(inbox) = session.inbox(self.id) else { return Ok(false) };
        if self.outbox.len() >= limits::WRITE_CHUNK {
            return Ok(false);
        }
        let mut rest = &inbox.stdout[..];
        if self.filter.receive(&mut rest)? == Some(Permission::Refused) {
            self.outbox.extend(failure());
        }
        let taken = inbox.stdout.len() - rest.len();
        inbox.stdout.drain(..taken);
        inbox.stdout.shrink_to(limits::INBOX_RETAINED);
        Ok(taken > 0)
    }

    /// Reads a chunk of the agent's answer, once the host has accepted the previous chunk.
    fn receive_answer(&mut self, session: &SshSession, buffer: &mut Vec<u8>) -> Result<bool, Halt> {
        let Some(agent) = &self.agent else { return Ok(false) };
        if !self.outbox.is_empty() {
            return Ok(false);
        }
        let wanted = self.filter.answer_missing().min(limits::WRITE_CHUNK).min(session.window(self.id));
        if wanted == 0 {
            if self.filter.is_idle() && agent.conduit.is_abandoned() {
                self.stage = ForwardStage::Closing;
            }
            return Ok(false);
        }
        buffer.resize(limits::WRITE_CHUNK, 0);
        match agent.conduit.receive(&mut buffer[..wanted])? {
            None => Ok(false),
            Some(0) => {
                self.stage = ForwardStage::Closing;
                Ok(false)
            }
            Some(read) => {
                self.filter.answered(&buffer[..read])?;
                self.outbox.extend_from_slice(&buffer[..read]);
                Ok(true)
            }
        }
    }

    /// Sends a chunk of the agent's answer to the host.
    fn send_answer(&mut self, session: &mut SshSession) -> Result<bool, Halt> {
        if self.outbox.is_empty() || self.agent.is_none() || session.needs_first_write(self.id) {
            return Ok(false);
        }
        match session.write(self.id, &self.outbox, limits::TUNNEL_BACKLOG) {
            Ok(written) => {
                self.outbox.drain(..written);
                Ok(written > 0)
            }
            // The host has closed the channel.
            Err(LinkError { kind: LinkErrorKind::Denied, .. }) => {
                self.stage = ForwardStage::Closing;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the channel. Once the host has closed it too, forgets it.
    fn close(&mut self, session: &mut SshSession) -> Result<(), LinkError> {
        if self.stage == ForwardStage::Closing {
            (self.agent, self.filter, self.outbox) = Default::default();
            session.discard_input(self.id)?;
            match session.close_channel(self.id) {
                // CLOSE was not sent, so the next pump tries again.
                Ok(Poll::Pending) => return Ok(()),
                Ok(Poll::Ready(())) | Err(LinkError { kind: LinkErrorKind::Denied, .. }) => {}
                Err(error) => return Err(error),
            }
            self.stage = ForwardStage::Closed;
        }
        let is_closed = session.inbox(self.id).is_none_or(|inbox| inbox.closed);
        if is_closed {
            session.free_channel(self.id);
            self.stage = ForwardStage::Gone;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let quota = ConnectionQuota::new(2);
        let [(one, _far), (other, _end)] = [Conduit::pair().unwrap(), Conduit::pair().unwrap()];
        let (first, second) = (quota.take(one), quota.take(other));
        assert_eq!(quota.left(), 0);
        drop(first);
        assert_eq!(quota.left(), 1);
        drop(second);
        assert_eq!(quota.left(), 2);
    }
}
