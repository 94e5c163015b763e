//! The channels of commands, tunnels and forwarded agents. Those of tunnels and agents are checked
//! only when they have news.

use std::ffi::{CStr, c_int};
use std::mem;
use std::task::Poll;

use libssh_rs::sys;

use super::{ChannelCall, OpenReply, RawChannel, SshSession};
use crate::command::{ChannelRequest, Program, Signal};
use crate::limits;
use crate::link::libssh::OK;
use crate::link::libssh::call_scope::CallScope;
use crate::link::libssh::channel::Noted;
use crate::link::libssh::library::level_of_channels;
use crate::link::libssh::log_lines::{self, data_traffic};
use crate::link::libssh::max_packet::MaxPacket;
use crate::link::libssh::options::c_string;
use crate::link::{ChannelId, Inbox, LinkError, LinkErrorKind};

impl SshSession {
    /// Makes a channel for a command. Only a `writable` one needs its maximum packet size, which
    /// takes libssh's log.
    pub(crate) fn open_channel(&mut self, writable: bool) -> Result<ChannelId, LinkError> {
        let mut channel = self.raw.new_channel(None)?;
        if !writable {
            channel.max_packet = MaxPacket::Unasked;
        }
        Ok(ChannelId(self.channels.insert(channel)))
    }

    /// Makes a call into libssh for a channel.
    fn call(&mut self, id: ChannelId, call: ChannelCall<'_>) -> Result<c_int, LinkError> {
        let channel = self.channels.get_mut(id.0).ok_or_else(no_channel)?;
        Ok(channel.call(&mut self.raw, call))
    }

    /// Makes a call that the caller must repeat until the result is `Ready`.
    fn step_channel(&mut self, id: ChannelId, call: ChannelCall<'_>) -> Result<Poll<()>, LinkError> {
        if self.is_reset() {
            return Ok(Poll::Pending);
        }
        let _scope = self.listen();
        let rc = self.call(id, call)?;
        self.progress(rc)
    }

    pub(crate) fn opened(&mut self, id: ChannelId) -> Result<Poll<()>, LinkError> {
        let is_unasked =
            self.channels.get(id.0).is_some_and(|channel| channel.max_packet == MaxPacket::Unasked);
        let _scope = if is_unasked { self.listen() } else { CallScope::at(level_of_channels()) };
        let rc = self.call(id, ChannelCall::Open)?;
        self.note_asked(id, rc);
        if let Some(channel) = self.channels.get_mut(id.0) {
            channel.is_open |= rc == OK;
        }
        self.progress(rc)
    }

    /// Records the number that libssh has given to a requested channel, and the server's answer if
    /// it has already arrived.
    fn note_asked(&mut self, id: ChannelId, rc: c_int) {
        if let Some(number) = log_lines::with(|log| log.created.take()) {
            self.opening.insert(number, id.0);
        }
        self.note_log();
        if rc != sys::SSH_AGAIN {
            self.opening.retain(|_, opening| *opening != id.0);
        }
    }

    pub(crate) fn request(&mut self, id: ChannelId, request: &ChannelRequest) -> Result<Poll<()>, LinkError> {
        self.step_channel(id, ChannelCall::Request(request))
    }

    pub(crate) fn run(
        &mut self,
        id: ChannelId,
        program: Program,
        text: &CStr,
    ) -> Result<Poll<()>, LinkError> {
        let channel = self.channels.get_mut(id.0).ok_or_else(no_channel)?;
        if program == Program::Subsystem {
            channel.state_mut(&mut self.raw).window.take_halves();
        }
        if let Some(answer) = channel.answer.take() {
            return answer.map(Poll::Ready);
        }
        if channel.unanswered.is_none() && self.is_reset() {
            return Ok(Poll::Pending);
        }
        let _scope = self.listen();
        let rc = self.call(id, ChannelCall::Run(program, text))?;
        if let Some(channel) = self.channels.get_mut(id.0) {
            channel.unanswered = (rc == sys::SSH_AGAIN).then(|| (program, text.count_bytes().max(1)));
        }
        self.progress(rc)
    }

    /// Picks up the answers about programs that have arrived. libssh does not report them once the
    /// session has failed, and the next poll may find that it has.
    pub(super) fn pick_up_answers(&mut self) -> Result<(), LinkError> {
        // A proxy may have thousands of channels, and none for a command.
        if self.is_proxy {
            return Ok(());
        }
        let asked = |(id, channel): (usize, &RawChannel)| Some((id, channel.unanswered?.0));
        for (id, program) in self.channels.iter().filter_map(asked).collect::<Vec<_>>() {
            let Some(channel) = self.channels.get_mut(id) else { continue };
            // While a request waits for its answer, libssh ignores the text of the program.
            let rc = channel.call(&mut self.raw, ChannelCall::Run(program, c""));
            channel.state_mut(&mut self.raw).inbox.accepted |= rc == OK;
            let answer = self.progress(rc);
            if !self.raw.is_up() {
                return answer.map(drop);
            }
            if rc != sys::SSH_AGAIN
                && let Some(channel) = self.channels.get_mut(id)
            {
                (channel.unanswered, channel.answer) = (None, Some(answer.map(drop)));
            }
        }
        Ok(())
    }

    pub(crate) fn inbox(&mut self, id: ChannelId) -> Option<&mut Inbox> {
        let state = self.channels.get(id.0)?.state(&self.raw);
        if state.held > 0 && state.noted.is_none() {
            // An error is reported by the next poll too.
            let _ = self.refill(id);
        }
        Some(&mut self.channels.get_mut(id.0)?.state_mut(&mut self.raw).inbox)
    }

    /// How many bytes the peer accepts on this channel now.
    pub(crate) fn window(&self, id: ChannelId) -> usize {
        self.channels.get(id.0).map_or(0, |channel| channel.window(&self.raw))
    }

    /// Writes as much as possible now and returns how many bytes were written. Nothing is written
    /// if at least `backlog` bytes that channels have written are still waiting for the socket. If
    /// `backlog` is 0, nothing is written while any bytes are waiting.
    pub(crate) fn write(&mut self, id: ChannelId, input: &[u8], backlog: usize) -> Result<usize, LinkError> {
        let chunk = self.channels.get(id.0).ok_or_else(no_channel)?.max_packet.chunk();
        // A packet size of 0 would make libssh loop forever (CVE-2026-59843), and a packet size
        // that is not known yet could be 0.
        if chunk == 0 {
            return Err(LinkError::new(LinkErrorKind::Unwritable, ""));
        }
        self.write_chunk(id, &input[..input.len().min(chunk)], backlog)
    }

    /// Like [`write`](Self::write), but for the first bytes on a channel to the agent. The maximum
    /// packet size of such a channel is unknown. If it leaves no room for data, libssh does not
    /// return. So this must only be called on a thread that
    /// [parks](crate::link::libssh::park_in_loops).
    pub(crate) fn write_first(&mut self, id: ChannelId, input: &[u8]) -> Result<usize, LinkError> {
        self.write_chunk(id, &input[..input.len().min(limits::WRITE_PACKETS)], limits::TUNNEL_BACKLOG)
    }

    fn write_chunk(&mut self, id: ChannelId, input: &[u8], backlog: usize) -> Result<usize, LinkError> {
        let max_packet = self.channels.get(id.0).ok_or_else(no_channel)?.max_packet;
        // During a key exchange, a write makes libssh read but not write. If libssh then read a new
        // packet size from the host, that size would go unchecked.
        let is_blocked = self.in_key_exchange || self.is_congested(backlog) || self.window(id) == 0;
        if input.is_empty() || is_blocked || self.is_reset() {
            return Ok(0);
        }
        self.cork_data();
        let is_measured = matches!(max_packet, MaxPacket::Seen(_)) && max_packet.is_tiny();
        let _scope = if is_measured { CallScope::at(sys::SSH_LOG_PACKET as u32) } else { self.listen() };
        let before = self.raw.counts();
        let rc = self.call(id, ChannelCall::Write(input))?;
        let largest_packet = log_lines::with(|log| log.largest_packet);
        self.check_fatal()?;
        let written =
            usize::try_from(rc).map_err(|_| LinkError::new(LinkErrorKind::Denied, self.raw.error_text()))?;
        if written > 0 {
            self.key_exchanges.traffic += data_traffic(written);
        }
        let after = self.raw.counts();
        // After libssh has begun a key exchange itself, it queues packets until the host has
        // answered, up to a whole window, and then sends all of them at once.
        self.in_key_exchange |= written > 0 && after.packets_written == before.packets_written;
        if self.write_pending() {
            self.unsent += after.packed_since(before);
        }
        if is_measured
            && written > 0
            && let Some(channel) = self.channels.get_mut(id.0)
        {
            // Some versions of libssh may not log how much a packet carries. Since the write has
            // returned, a packet has room for at least one byte.
            channel.max_packet = MaxPacket::Seen(largest_packet.max(max_packet.payload()).max(1));
        }
        Ok(written)
    }

    pub(crate) fn send_eof(&mut self, id: ChannelId) -> Result<Poll<()>, LinkError> {
        if self.is_reset() {
            return Ok(Poll::Pending);
        }
        let _scope = self.listen();
        let rc = self.call(id, ChannelCall::Eof)?;
        // SSH_AGAIN means that EOF is queued but not flushed. The next pump flushes it.
        self.progress(if rc == sys::SSH_AGAIN { OK } else { rc })
    }

    /// Sends a signal. The channel must not have a request that waits for its answer.
    pub(crate) fn signal(&mut self, id: ChannelId, signal: Signal) -> Result<(), LinkError> {
        self.step_channel(id, ChannelCall::Signal(signal)).map(drop)
    }

    /// Closes a channel. Returns `Pending` if CLOSE was not sent yet.
    pub(crate) fn close_channel(&mut self, id: ChannelId) -> Result<Poll<()>, LinkError> {
        self.step_channel(id, ChannelCall::Close)
    }

    /// Forgets a channel. If the server has not closed the channel yet, libssh keeps it until the
    /// server does, and the channel's callbacks drop what arrives. Without callbacks, libssh would
    /// buffer that data, and libssh 0.10 would do so without any limit.
    pub(crate) fn free_channel(&mut self, id: ChannelId) {
        let Some(mut channel) = self.channels.try_remove(id.0) else { return };
        let _scope = self.listen();
        // The confirmation may have arrived since the last call of `opened`.
        channel.is_open |= channel.is_open_now(&self.raw);
        self.opening.retain(|_, opening| *opening != id.0);
        let state = channel.state_mut(&mut self.raw);
        let is_closed = state.is_closed;
        state.inbox = Inbox { closed: true, ..Inbox::default() };
        state.noted = None;
        let held = mem::take(&mut state.held);
        if !channel.is_open || is_closed || !self.raw.is_up() {
            self.release(channel);
            return;
        }
        let mut buffer = vec![0_u8; held.min(limits::INBOX_TUNNEL)];
        for _ in 0..held.div_ceil(buffer.len().max(1)) {
            channel.call(&mut self.raw, ChannelCall::Read(&mut buffer));
        }
        // CLOSE is tried only once, as when libssh itself frees a channel. If CLOSE has already
        // been sent on this channel, the call sends nothing.
        channel.call(&mut self.raw, ChannelCall::Close);
        self.leaving.push(channel);
        self.note_log();
    }

    /// Frees a channel and its state.
    pub(super) fn release(&mut self, channel: RawChannel) {
        let is_agents = matches!(channel.max_packet, MaxPacket::Seen(_));
        drop(channel);
        if is_agents && let Some(agent_channels) = self.raw.agent_channels() {
            agent_channels.open = agent_channels.open.saturating_sub(1);
        }
        self.note_log();
    }

    /// Frees the channels in `leaving` that the server has closed by now.
    pub(super) fn let_go(&mut self) {
        if !mem::take(&mut self.has_closed) {
            return;
        }
        let Self { leaving, raw, .. } = self;
        let closed: Vec<_> = leaving.extract_if(.., |channel| channel.state(raw).is_closed).collect();
        for channel in closed {
            self.release(channel);
        }
    }

    /// Fails if the host leaves too many channels unclosed.
    pub(super) fn check_unclosed(&self) -> Result<(), LinkError> {
        let max = if self.is_proxy { limits::TUNNELS_UNCLOSED } else { limits::CHANNELS_UNCLOSED };
        if self.leaving.len() > max {
            let text = format!("the host does not close its channels: {} are left", self.leaving.len());
            return Err(LinkError::new(LinkErrorKind::Protocol, text));
        }
        Ok(())
    }

    // The following methods are for tunnels and forwarded agents.

    /// Asks the server to open a tunnel to this host (RFC 4254 section 7.2).
    /// [`open_reply`](Self::open_reply) returns the answer.
    pub(crate) fn open_tunnel(&mut self, host: &str, port: u16) -> Result<ChannelId, LinkError> {
        let host = c_string(host)?;
        let noted = Noted { id: self.channels.vacant_key(), is_listed: false, reply: None };
        let channel = self.raw.new_channel(Some(noted))?;
        let id = ChannelId(self.channels.insert(channel));
        self.is_proxy = true;
        let _scope = CallScope::at(level_of_channels());
        let rc = self.call(id, ChannelCall::OpenForward(&host, port))?;
        self.note_asked(id, rc);
        self.check_fatal()?;
        Ok(id)
    }

    /// The server's answer to [`open_tunnel`](Self::open_tunnel). It is returned once.
    pub(crate) fn open_reply(&mut self, id: ChannelId) -> Option<OpenReply> {
        self.noted(id)?.reply.take()
    }

    fn noted(&mut self, id: ChannelId) -> Option<&mut Noted> {
        self.channels.get_mut(id.0)?.state_mut(&mut self.raw).noted.as_mut()
    }

    /// Sets how many more channels the server may open to the agent until the next call of this
    /// method.
    pub(crate) fn admit_agent_channels(&mut self, channels: usize) {
        if let Some(agent_channels) = self.raw.agent_channels() {
            agent_channels.admitted = channels;
        }
    }

    /// Takes over the next channel that the server has opened to the agent.
    pub(crate) fn next_agent_channel(&mut self) -> Option<ChannelId> {
        let channel = self.raw.agent_channels()?.arrived.pop()?;
        let id = ChannelId(self.channels.insert(channel));
        if let Some(noted) = self.noted(id) {
            (noted.id, noted.is_listed) = (id.0, false);
        }
        Some(id)
    }

    /// Whether a channel has news. Any call that reads may bring news, not only a pump.
    pub(crate) fn has_channel_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Takes the next channel from the list of channels with news.
    pub(crate) fn next_news(&mut self) -> Option<ChannelId> {
        let id = ChannelId(self.news.pop()?);
        if let Some(noted) = self.noted(id) {
            noted.is_listed = false;
        }
        Some(id)
    }

    /// Moves bytes that libssh has buffered to the inbox, as far as they fit.
    pub(crate) fn refill(&mut self, id: ChannelId) -> Result<(), LinkError> {
        let _scope = self.listen();
        let Some(channel) = self.channels.get_mut(id.0) else { return Ok(()) };
        let state = channel.state(&self.raw);
        let room = match state.noted {
            Some(_) => limits::INBOX_TUNNEL.saturating_sub(state.inbox.stdout.len()),
            // Less than a packet was held back, because the next half of the window begins there.
            None => usize::MAX,
        };
        let held = state.held.min(room);
        if held == 0 {
            return Ok(());
        }
        let mut buffer = vec![0_u8; held];
        // libssh does not read from the socket if it has buffered bytes for this channel.
        let rc = channel.call(&mut self.raw, ChannelCall::Read(&mut buffer));
        if let Ok(read) = usize::try_from(rc) {
            let state = channel.state_mut(&mut self.raw);
            state.held -= read.min(held);
            if state.noted.is_none() {
                state.window.pass(read.min(held));
            }
            state.inbox.stdout.extend_from_slice(&buffer[..read.min(held)]);
        }
        self.check_fatal()?;
        if rc < 0 { Err(LinkError::new(LinkErrorKind::Protocol, self.raw.error_text())) } else { Ok(()) }
    }

    /// How many bytes libssh has buffered for this channel. If this is more than a window, the peer
    /// ignores the window.
    pub(crate) fn held(&self, id: ChannelId) -> usize {
        self.channels.get(id.0).map_or(0, |channel| channel.state(&self.raw).held)
    }

    /// Drops the data that has arrived on this channel, and all that will arrive.
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

    /// Whether this is a channel to the agent that was never written to. If so, the first write
    /// must be made by [`write_first`](Self::write_first).
    pub(crate) fn needs_first_write(&self, id: ChannelId) -> bool {
        self.channels.get(id.0).is_some_and(|channel| channel.max_packet == MaxPacket::Seen(0))
    }
}

fn no_channel() -> LinkError {
    LinkError::new(LinkErrorKind::Other, "no such channel")
}
