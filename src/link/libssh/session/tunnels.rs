//! Channels that are looked at only when they have news: of tunnels, and of forwarded agents.

use super::{ChannelCall, LibsshSession, MaxPacket, OpenReply};
use crate::limits;
use crate::link::libssh::channel::Noted;
use crate::link::libssh::library::level_of_channels;
use crate::link::libssh::log_scope::LogScope;
use crate::link::libssh::options::c_string;
use crate::link::{ChannelId, LinkError, LinkErrorKind};

impl LibsshSession {
    /// Asks the server to connect a new channel to this host (RFC 4254 section 7.2); see [`open_reply`](Self::open_reply).
    pub(crate) fn open_tunnel(&mut self, host: &str, port: u16) -> Result<ChannelId, LinkError> {
        let host = c_string(host)?;
        let noted = Noted::numbered(self.channels.vacant_key());
        let channel = self.raw.new_channel(Some(noted))?;
        let id = ChannelId(self.channels.insert(channel));
        self.is_proxy = true;
        let _log = LogScope::at(level_of_channels());
        let rc = self.call(id, ChannelCall::OpenForward(&host, port))?;
        self.note_asked(id, rc);
        self.check_fatal()?;
        Ok(id)
    }

    /// The server's answer to [`open_tunnel`](Self::open_tunnel), once.
    pub(crate) fn open_reply(&mut self, id: ChannelId) -> Option<OpenReply> {
        self.noted(id)?.reply.take()
    }

    fn noted(&mut self, id: ChannelId) -> Option<&mut Noted> {
        self.channels.get_mut(id.0)?.state_mut(&mut self.raw).noted.as_mut()
    }

    /// How many more channels the server may open to the agent until the next call.
    pub(crate) fn admit_agent_channels(&mut self, channels: usize) {
        if let Some(agent_channels) = self.raw.agent_channels() {
            agent_channels.admit(channels);
        }
    }

    /// The next channel that the server has opened to the agent.
    pub(crate) fn next_agent_channel(&mut self) -> Option<ChannelId> {
        let channel = self.raw.agent_channels()?.next()?;
        let id = ChannelId(self.channels.insert(channel));
        if let Some(noted) = self.noted(id) {
            *noted = Noted::numbered(id.0);
        }
        Some(id)
    }

    /// Whether a channel has news, perhaps read by another call than a pump.
    pub(crate) fn has_channel_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// The next channel with news.
    pub(crate) fn next_news(&mut self) -> Option<ChannelId> {
        let id = ChannelId(self.news.pop()?);
        if let Some(noted) = self.noted(id) {
            noted.is_listed = false;
        }
        Some(id)
    }

    /// Moves bytes that libssh holds to the inbox, as far as they fit.
    pub(crate) fn refill(&mut self, id: ChannelId) -> Result<(), LinkError> {
        let _log = self.listen();
        let Some(channel) = self.channels.get_mut(id.0) else { return Ok(()) };
        let state = channel.state(&self.raw);
        let held = state.held.min(limits::INBOX_TUNNEL.saturating_sub(state.inbox.stdout.len()));
        if held == 0 {
            return Ok(());
        }
        let mut buffer = vec![0_u8; held];
        // With bytes at hand libssh does not look at the socket.
        let rc = channel.call(&mut self.raw, ChannelCall::Read(&mut buffer));
        if let Ok(read) = usize::try_from(rc) {
            let state = channel.state_mut(&mut self.raw);
            state.held -= read.min(held);
            state.inbox.stdout.extend_from_slice(&buffer[..read.min(held)]);
        }
        self.check_fatal()?;
        if rc < 0 { Err(LinkError::new(LinkErrorKind::Protocol, self.raw.error_text())) } else { Ok(()) }
    }

    /// Bytes that libssh holds back. More than a window means a peer that ignores its window.
    pub(crate) fn held(&self, id: ChannelId) -> usize {
        self.channels.get(id.0).map_or(0, |channel| channel.state(&self.raw).held)
    }

    /// Drops what has arrived, and what will arrive.
    pub(crate) fn discard_input(&mut self, id: ChannelId) -> Result<(), LinkError> {
        let Some(channel) = self.channels.get_mut(id.0) else { return Ok(()) };
        channel.state_mut(&mut self.raw).discards = true;
        loop {
            let before = self.held(id);
            if let Some(inbox) = self.inbox(id) {
                inbox.stdout = Vec::new();
            }
            self.refill(id)?;
            if self.held(id) >= before {
                return Ok(());
            }
        }
    }

    /// Whether this channel to the agent has not been written to, which takes [`write_first`](Self::write_first).
    pub(crate) fn needs_first_write(&self, id: ChannelId) -> bool {
        self.channels.get(id.0).is_some_and(|channel| channel.max_packet == MaxPacket::Seen(0))
    }
}
