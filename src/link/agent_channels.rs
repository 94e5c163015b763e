//! Channels that a host has opened to a forwarded ssh-agent, each joined to a connection of its own to that
//! agent.
//!
//! What the host asks goes through a [`Filter`]: the agent hears one whole request at a time, and only such
//! as a host may make. There is back-pressure both ways: while an answer waits for the host, nothing more is
//! asked; what is not asked stays in the inbox, then with libssh, and if all that waits of one host is too
//! much, the channel with the most is closed.
//!
//! A host has few of these channels, so each pump looks at all of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use super::libssh::LibsshSession;
use super::{ChannelId, Conduit, LinkError, LinkErrorKind, Pumped};
use crate::agent::wire::{AgentError, Filter, Verdict, failure};
use crate::limits;

/// Connections to agents that a fleet has open, and how many it may have.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    taken: AtomicUsize,
}

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: AtomicUsize::new(0) })
    }

    pub(super) fn free(&self) -> usize {
        self.max.saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// Takes a place for this connection.
    pub(super) fn take(self: &Arc<Self>, conduit: Conduit) -> Connection {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Connection { conduit, places: self.clone() }
    }
}

/// A connection to an agent, and its place.
#[derive(Debug)]
pub(super) struct Connection {
    conduit: Conduit,
    places: Arc<Places>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The channels of one session.
#[derive(Debug, Default)]
pub(super) struct AgentChannels {
    channels: Vec<Channel>,
    /// Reused by all.
    buffer: Vec<u8>,
    /// Something was said about this host in the log. What it does for the second time is of no interest to
    /// most.
    has_complained: bool,
}

#[derive(Debug)]
struct Channel {
    id: ChannelId,
    /// `None` once the channel is being closed.
    agent: Option<Connection>,
    filter: Filter,
    /// What the host is to be told.
    outbox: Vec<u8>,
    stage: Stage,
    /// When the first write was last tried in vain: the packets read by then.
    tried_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Open, and the agent was told that nothing more will come.
    Ended,
    /// Our CLOSE is to be sent.
    Closing,
    /// The host's CLOSE is awaited. Until then libssh keeps the channel, and so it counts.
    Closed,
    /// To be forgotten.
    Gone,
}

/// Why no more goes through a channel.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error("the host asks for more than an ssh-agent answers: {0}")]
    Message(#[from] AgentError),
    #[error("{0}")]
    Agent(#[from] io::Error),
    #[error("the connection has failed: {0:?}")]
    Link(LinkError),
}

impl From<LinkError> for Halt {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl AgentChannels {
    /// Joins the channels that the server has opened to connections of their own. One that the agent does not
    /// take is closed again.
    pub(super) fn let_in(
        &mut self,
        session: &mut LibsshSession,
        mut connect: impl FnMut() -> io::Result<Connection>,
    ) {
        while let Some(id) = session.next_agent_channel() {
            let agent = connect();
            if let Err(e) = &agent {
                self.complain(format_args!("cannot be reached: {e}"));
            }
            let stage = if agent.is_ok() { Stage::Open } else { Stage::Closing };
            let (filter, outbox) = Default::default();
            self.channels.push(Channel { id, agent: agent.ok(), filter, outbox, stage, tried_at: None });
        }
    }

    /// Connections to the agent, each of which is a descriptor.
    pub(super) fn connections(&self) -> usize {
        self.channels.iter().filter(|channel| channel.agent.is_some()).count()
    }

    /// Looks at all channels, a limited number of times. `More`: there is more to be done at once.
    pub(super) fn relay(&mut self, session: &mut LibsshSession) -> Result<Pumped, LinkError> {
        while session.next_news().is_some() {}
        let mut moved = false;
        for _ in 0..limits::AGENT_ROUNDS_PER_VISIT {
            moved = false;
            for index in 0..self.channels.len() {
                moved |= self.look(index, session)?;
            }
            self.channels.retain(|channel| channel.stage != Stage::Gone);
            self.shed(session)?;
            if !moved {
                break;
            }
        }
        let is_to_be_tried = self.channels.iter().any(|channel| channel.wants_first_write(session));
        Ok(if moved || is_to_be_tried { Pumped::More } else { Pumped::Drained })
    }

    /// Looks at one channel. Whether anything has moved.
    fn look(&mut self, index: usize, session: &mut LibsshSession) -> Result<bool, LinkError> {
        let channel = &mut self.channels[index];
        let halt = match channel.talk(session, &mut self.buffer) {
            Ok(moved) if matches!(channel.stage, Stage::Open | Stage::Ended) => return Ok(moved),
            Ok(_) => None,
            Err(Halt::Link(error)) => return Err(error),
            Err(halt) => Some(halt),
        };
        if let Some(halt) = halt {
            channel.stage = Stage::Closing;
            self.complain(format_args!("is not asked any more: {halt}"));
        }
        self.channels[index].end(session)?;
        Ok(false)
    }

    /// Closes the channel for which the most waits if all is too much. A client of an agent asks once, and
    /// then waits for the answer: no other has to suffer.
    fn shed(&mut self, session: &mut LibsshSession) -> Result<(), LinkError> {
        let mut waits = |channel: &Channel| {
            let arrived = session.inbox(channel.id).map_or(0, |inbox| inbox.stdout.len());
            session.held(channel.id) + arrived + channel.filter.held()
        };
        let waiting: Vec<usize> = self.channels.iter().map(&mut waits).collect();
        if waiting.iter().sum::<usize>() <= limits::AGENT_WAITING {
            return Ok(());
        }
        if let Some((index, _)) = waiting.iter().enumerate().max_by_key(|(_, bytes)| **bytes) {
            self.channels[index].stage = Stage::Closing;
            self.complain(format_args!("is not asked any more: requests follow without an end to be read"));
            self.channels[index].end(session)?;
        }
        Ok(())
    }

    fn complain(&mut self, what: std::fmt::Arguments<'_>) {
        let level = if self.has_complained { log::Level::Debug } else { log::Level::Warn };
        self.has_complained = true;
        log::log!(level, "the ssh-agent that is forwarded {what}");
    }

    /// A channel that was never written to, and what is to be written.
    pub(super) fn first_write(&self, session: &mut LibsshSession) -> Option<(ChannelId, Vec<u8>)> {
        let channel = self.channels.iter().find(|channel| channel.wants_first_write(session))?;
        let length = channel.outbox.len().min(limits::WRITE_PACKETS);
        Some((channel.id, channel.outbox[..length].to_vec()))
    }

    /// What has become of such a write.
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
            Err(error) if error.kind == LinkErrorKind::Denied => channel.stage = Stage::Closing,
            Err(error) if error.kind == LinkErrorKind::Limit => {
                channel.stage = Stage::Closing;
                self.complain(format_args!("cannot answer: {}", error.text));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Channel {
    fn wants_first_write(&self, session: &mut LibsshSession) -> bool {
        let is_open = matches!(self.stage, Stage::Open | Stage::Ended) && !self.outbox.is_empty();
        // One that came to nothing, in the middle of a key exchange, is tried again after news from the host.
        is_open
            && session.is_untried(self.id)
            && session.window(self.id) > 0
            && !session.is_congested(limits::TUNNEL_BACKLOG)
            && self.tried_at != Some(session.packets_read())
    }

    /// Moves what goes, in both directions. Whether anything has moved.
    fn talk(&mut self, session: &mut LibsshSession, buffer: &mut Vec<u8>) -> Result<bool, Halt> {
        let mut moved = false;
        while self.ask(session)? {
            moved = true;
        }
        moved |= self.hear(session, buffer)?;
        moved |= self.answer(session)?;
        let is_held = session.held(self.id) > 0;
        let Some(inbox) = session.inbox(self.id) else { return Ok(false) };
        if inbox.closed {
            self.stage = if self.stage == Stage::Closed { Stage::Gone } else { Stage::Closing };
            return Ok(false);
        }
        let has_asked_all = inbox.eof && !is_held && inbox.stdout.is_empty();
        if has_asked_all && self.stage == Stage::Open && self.filter.is_hosts_turn() && self.outbox.is_empty()
        {
            self.stage = Stage::Ended;
            if let Some(agent) = &self.agent {
                agent.conduit.finish();
            }
        }
        Ok(moved)
    }

    /// From the host to the agent: the next piece of a request.
    fn ask(&mut self, session: &mut LibsshSession) -> Result<bool, Halt> {
        let Some(agent) = &self.agent else { return Ok(false) };
        let request = self.filter.to_agent();
        if !request.is_empty() {
            let sent = agent.conduit.send(request)?;
            self.filter.told(sent);
            return Ok(sent > 0);
        }
        session.refill(self.id)?;
        let Some(inbox) = session.inbox(self.id) else { return Ok(false) };
        if self.outbox.len() >= limits::WRITE_CHUNK {
            return Ok(false);
        }
        let mut rest = &inbox.stdout[..];
        if self.filter.hear(&mut rest)? == Some(Verdict::Refused) {
            self.outbox.extend(failure());
        }
        let taken = inbox.stdout.len() - rest.len();
        inbox.stdout.drain(..taken);
        inbox.stdout.shrink_to(limits::INBOX_RETAINED);
        Ok(taken > 0)
    }

    /// From the agent: a chunk of its answer, once the host has all that was there before.
    fn hear(&mut self, session: &LibsshSession, buffer: &mut Vec<u8>) -> Result<bool, Halt> {
        let Some(agent) = &self.agent else { return Ok(false) };
        if !self.outbox.is_empty() {
            return Ok(false);
        }
        let room = self.filter.answer_room().min(limits::WRITE_CHUNK).min(session.window(self.id));
        if room == 0 {
            if self.filter.is_hosts_turn() && agent.conduit.is_abandoned() {
                self.stage = Stage::Closing;
            }
            return Ok(false);
        }
        buffer.resize(limits::WRITE_CHUNK, 0);
        match agent.conduit.receive(&mut buffer[..room])? {
            None => Ok(false),
            Some(0) => {
                self.stage = Stage::Closing;
                Ok(false)
            }
            Some(said) => {
                self.filter.answer(&buffer[..said])?;
                self.outbox.extend_from_slice(&buffer[..said]);
                Ok(true)
            }
        }
    }

    /// To the host.
    fn answer(&mut self, session: &mut LibsshSession) -> Result<bool, Halt> {
        if self.outbox.is_empty() || self.agent.is_none() || session.is_untried(self.id) {
            return Ok(false);
        }
        match session.write(self.id, &self.outbox, limits::TUNNEL_BACKLOG) {
            Ok(written) => {
                self.outbox.drain(..written);
                Ok(written > 0)
            }
            // The host has ended the channel.
            Err(LinkError { kind: LinkErrorKind::Denied, .. }) => {
                self.stage = Stage::Closing;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the channel, and forgets it once the host has closed it too.
    fn end(&mut self, session: &mut LibsshSession) -> Result<(), LinkError> {
        if self.stage == Stage::Closing {
            (self.agent, self.filter, self.outbox) = Default::default();
            session.deafen(self.id)?;
            match session.close_channel(self.id) {
                // It was not sent; the next look tries again.
                Ok(Poll::Pending) => return Ok(()),
                Ok(Poll::Ready(())) | Err(LinkError { kind: LinkErrorKind::Denied, .. }) => {}
                Err(error) => return Err(error),
            }
            self.stage = Stage::Closed;
        }
        let is_closed = session.inbox(self.id).is_none_or(|inbox| inbox.closed);
        if is_closed {
            session.free_channel(self.id);
            self.stage = Stage::Gone;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let places = Places::new(2);
        let [(one, _far), (other, _end)] = [Conduit::pair().unwrap(), Conduit::pair().unwrap()];
        let (first, second) = (places.take(one), places.take(other));
        assert_eq!(places.free(), 0);
        drop(first);
        assert_eq!(places.free(), 1);
        drop(second);
        assert_eq!(places.free(), 2);
    }
}
