//! The far side of a [`FakeLink`](super::fake_link::FakeLink)'s connection: what was requested, and
//! what arrives.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::script::{Channel, Cred, Packet, Peer, Take};
use super::sftp::Server;
use crate::error::AuthMethod;
use crate::link::{AuthReply, ChannelId, Inbox, Interaction, KeyExchanges, LinkError, Pumped};
use crate::output::Outcome;

/// A request that is made once and answered once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Handshake,
    Service,
    Auth(Cred),
    Interact,
    Open(usize),
    Request(usize, usize),
    Exec(usize),
    Eof(usize),
    Close(usize),
}

/// Something that arrives from the peer.
#[derive(Debug, Clone)]
pub(super) enum Arrival {
    Answer(Op),
    Packet(ChannelId, Packet),
    Window(usize),
    /// The answer to a keepalive.
    Alive,
}

/// One SSH connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub peer: Peer,
    pub key_shown: bool,
    pub refusals: usize,
    /// How many rounds of prompts there have been, and whether the last one waits for its answers.
    pub asked_rounds: usize,
    pub waits_for_answers: bool,
    pub channels: BTreeMap<usize, ChannelState>,
    channels_opened: usize,
    asked: Vec<Op>,
    answered: Vec<Op>,
    /// The requests to be sent by a pump. Each lists what it causes to arrive, and after how many
    /// rounds.
    pub outbox: Vec<Vec<(u32, Arrival)>>,
    transit: Vec<(u32, Arrival)>,
    /// The arrivals to be read by a pump.
    pub socket: VecDeque<Arrival>,
    /// How many bytes must have arrived before any is read.
    low_water: usize,
    /// How many bytes have been read. Each arrival is one.
    pub bytes: u64,
    pub keys: KeyExchanges,
    /// Whether a keepalive is unanswered.
    keepalive_pending: bool,
}

#[derive(Debug)]
pub(super) struct ChannelState {
    pub script: Channel,
    pub inbox: Inbox,
    /// Everything that arrived on the two streams of the channel.
    pub sent: [Vec<u8>; 2],
    /// The command that was requested on the channel.
    pub command: Option<String>,
    pub is_open: bool,
    /// Whether the session has announced that it may write.
    pub is_writable: bool,
    /// How many requests were answered.
    pub requests: usize,
    pub received: Vec<u8>,
    server: Option<Server>,
    writes: usize,
    window_closed: bool,
    /// How many rounds pass until the SFTP server has sent its last answer so far.
    busy: u32,
}

impl Wire {
    pub(super) fn new(peer: Peer) -> Self {
        let mut wire = Self {
            key_shown: false,
            refusals: 0,
            asked_rounds: 0,
            waits_for_answers: false,
            channels: BTreeMap::new(),
            channels_opened: 0,
            asked: vec![Op::Handshake],
            answered: Vec::new(),
            outbox: Vec::new(),
            transit: Vec::new(),
            socket: VecDeque::new(),
            low_water: 0,
            bytes: 0,
            keys: KeyExchanges { done: 1, ..KeyExchanges::default() },
            keepalive_pending: false,
            peer,
        };
        // Send our identification.
        wire.send(Vec::new());
        // The server does not wait for our identification. Anything that arrived with the
        // connection was reported together with it.
        match wire.peer.handshake.after {
            Some(0) => wire.socket.push_back(Arrival::Answer(Op::Handshake)),
            after => wire.transit.extend(after.map(|after| (after, Arrival::Answer(Op::Handshake)))),
        }
        wire
    }

    /// Lets one round pass. Returns whether a poll would report readiness.
    pub(super) fn tick(&mut self) -> bool {
        let before = self.socket.len();
        for (left, arrival) in &mut self.transit {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.socket.push_back(arrival.clone());
            }
        }
        self.transit.retain(|(left, _)| *left > 0);
        self.channels.values_mut().for_each(|channel| channel.busy = channel.busy.saturating_sub(1));
        let writable = self.peer.full_rounds == 1;
        self.peer.full_rounds = self.peer.full_rounds.saturating_sub(1);
        self.socket.len() > before && self.is_readable() || writable
    }

    /// See `Transport::set_low_water`. If fewer bytes count than before, all that is on its way
    /// arrives at that moment, which no event reports.
    pub(super) fn set_low_water(&mut self, bytes: usize) -> bool {
        let is_lower = bytes < mem::replace(&mut self.low_water, bytes);
        if is_lower {
            self.transit.sort_by_key(|(left, _)| *left);
            self.socket.extend(self.transit.drain(..).map(|(_, arrival)| arrival));
            self.channels.values_mut().for_each(|channel| channel.busy = 0);
        }
        is_lower
    }

    /// Whether enough has arrived for a poll to report it.
    pub(super) fn is_readable(&self) -> bool {
        let bytes = self.socket.iter().map(|arrival| match arrival {
            // The end of the connection is always reported.
            Arrival::Packet(_, Packet::Fault(_)) => usize::MAX,
            Arrival::Packet(id, _) if self.channels.get(&id.0).is_some_and(|on| on.script.is_terse) => 1,
            // A header, padding and a checksum, as for chacha20-poly1305.
            Arrival::Packet(_, Packet::Stdout(bytes)) => 39 + bytes.len(),
            _ => 52,
        });
        !self.socket.is_empty() && bytes.fold(0, usize::saturating_add) >= self.low_water
    }

    pub(super) fn queues(&self) -> [usize; 4] {
        [self.outbox.len(), self.transit.len(), self.socket.len(), self.channels.len()]
    }

    pub(super) fn expects_news(&self) -> bool {
        !self.transit.is_empty() || self.peer.full_rounds > 0
    }

    pub(super) fn open(&mut self, id: usize, is_writable: bool) {
        let scripts = &self.peer.channels;
        let script = scripts[self.channels_opened.min(scripts.len() - 1)].clone();
        self.channels_opened += 1;
        let state = ChannelState {
            server: script.sftp.map(Server::new),
            script,
            inbox: Inbox::default(),
            sent: [Vec::new(), Vec::new()],
            command: None,
            is_open: false,
            is_writable,
            requests: 0,
            received: Vec::new(),
            writes: 0,
            window_closed: false,
            busy: 0,
        };
        self.channels.insert(id, state);
    }

    pub(super) fn channel(&mut self, id: ChannelId) -> &mut ChannelState {
        self.channels.get_mut(&id.0).unwrap_or_else(|| panic!("channel {} is gone", id.0))
    }

    /// Sends a request the first time. Returns whether its answer has been read.
    pub(super) fn ask(&mut self, op: Op, after: Option<u32>) -> bool {
        if let Some(at) = self.answered.iter().position(|answered| *answered == op) {
            self.answered.remove(at);
            self.asked.retain(|asked| *asked != op);
            return true;
        }
        if self.asked.contains(&op) {
            return false;
        }
        if let Op::Request(channel, _) | Op::Exec(channel) = op {
            let pending = |asked: &Op| matches!(asked, Op::Request(on, _) | Op::Exec(on) if *on == channel);
            assert!(!self.asked.iter().any(pending), "{op:?} while another request waits for its answer");
        }
        let mut news: Vec<_> = after.map(|after| (after, Arrival::Answer(op))).into_iter().collect();
        match op {
            Op::Exec(id) => {
                let accepted = self.channels[&id].script.exec.says.is_ok();
                let output = self.channels[&id].script.output.iter().filter(|_| accepted);
                news.extend(
                    output.map(|(after, packet)| (*after, Arrival::Packet(ChannelId(id), packet.clone()))),
                );
            }
            Op::Close(id) => {
                let confirm = self.channels[&id].script.confirm_after;
                news.extend(confirm.map(|after| (after, Arrival::Packet(ChannelId(id), Packet::Close))));
            }
            _ => {}
        }
        let at_once = matches!(op, Op::Eof(_) | Op::Close(_)) && after == Some(0);
        if at_once {
            news.remove(0);
        } else {
            self.asked.push(op);
        }
        self.send(news);
        at_once
    }

    /// The reply to a credential.
    pub(super) fn reply(&mut self, cred: Cred) -> Result<AuthReply, LinkError> {
        let reply = if let Some(policy) = &mut self.peer.policy {
            Ok(policy.reply(cred))
        } else {
            let known = self.peer.replies.iter().find(|(of, _)| *of == cred);
            known.map_or(Ok(AuthReply::Denied), |(_, reply)| reply.clone())
        };
        self.refusals += usize::from(matches!(reply, Ok(AuthReply::Denied | AuthReply::Partial)));
        reply
    }

    /// The next turn of keyboard-interactive. A server that does not accept the method asks
    /// nothing.
    pub(super) fn interact(&mut self) -> Result<Interaction, LinkError> {
        assert!(!self.waits_for_answers, "the questions were not answered");
        let wanted =
            self.peer.policy.as_ref().is_none_or(|policy| policy.wants(AuthMethod::KeyboardInteractive));
        match self.peer.rounds.get(self.asked_rounds) {
            Some(questions) if wanted => {
                self.asked_rounds += 1;
                self.waits_for_answers = true;
                Ok(Interaction::Asks(questions.clone()))
            }
            _ => self.reply(Cred::Interactive).map(Interaction::Replies),
        }
    }

    pub(super) fn answer(&mut self, answers: usize) {
        assert!(mem::take(&mut self.waits_for_answers), "answers without questions");
        let prompts = self.peer.rounds[self.asked_rounds - 1].prompts.len();
        assert_eq!(answers, prompts, "one answer per prompt");
    }

    /// Sends a keepalive, unless one is unanswered.
    pub(super) fn keepalive(&mut self) {
        if self.keepalive_pending {
            return;
        }
        self.keepalive_pending = true;
        let after = self.peer.alive_after;
        self.send(after.map(|after| (after, Arrival::Alive)).into_iter().collect());
    }

    fn send(&mut self, news: Vec<(u32, Arrival)>) {
        if self.peer.write_through && self.outbox.is_empty() {
            self.transit.extend(news);
        } else {
            self.outbox.push(news);
        }
    }

    pub(super) fn write(&mut self, id: ChannelId, input: &[u8]) -> Result<usize, Take> {
        let channel = self.channel(id);
        if channel.window_closed {
            return Ok(0);
        }
        let take = channel.script.takes.get(channel.writes).copied().unwrap_or(Take::AtMost(usize::MAX));
        if take != Take::Unwritable {
            channel.writes += 1;
        }
        let taken = match take {
            Take::Denied | Take::Unwritable => return Err(take),
            Take::Nothing => {
                channel.window_closed = true;
                self.transit.push((2, Arrival::Window(id.0)));
                return Ok(0);
            }
            Take::AtMost(most) => input.len().min(most),
        };
        let answer = match &mut channel.server {
            Some(server) => server.serve(&input[..taken]),
            None => {
                channel.received.extend(&input[..taken]);
                Vec::new()
            }
        };
        let news = (!answer.is_empty()).then(|| {
            channel.busy = channel.busy.max(1) + channel.script.pace;
            (channel.busy, Arrival::Packet(id, Packet::Stdout(answer)))
        });
        self.send(news.into_iter().collect());
        Ok(taken)
    }

    pub(super) fn signal(&mut self, id: ChannelId) {
        let pending = |asked: &Op| matches!(asked, Op::Request(on, _) | Op::Exec(on) if *on == id.0);
        assert!(!self.asked.iter().any(pending), "a signal while a request waits for its answer");
        let news = self.channel(id).script.on_signal.clone();
        self.send(news.into_iter().map(|(after, packet)| (after, Arrival::Packet(id, packet))).collect());
    }

    pub(super) fn pump(&mut self, budget: usize) -> Result<Pumped, LinkError> {
        if self.peer.full_rounds == 0 {
            self.transit.extend(self.outbox.drain(..).flatten());
        }
        if !self.is_readable() {
            return Ok(Pumped::Drained);
        }
        let packets = self.peer.packets_per_read.saturating_mul(budget);
        for _ in 0..packets.min(self.peer.packets_per_pump) {
            let arrival = self.socket.pop_front();
            self.bytes += u64::from(arrival.is_some());
            match arrival {
                None => return Ok(Pumped::Drained),
                Some(Arrival::Alive) => self.keepalive_pending = false,
                Some(Arrival::Answer(op)) => {
                    if let Op::Exec(id) = op
                        && let Some(channel) = self.channels.get_mut(&id)
                    {
                        channel.inbox.accepted = channel.script.exec.says.is_ok();
                    }
                    self.answered.push(op);
                }
                Some(Arrival::Window(id)) => {
                    if let Some(channel) = self.channels.get_mut(&id) {
                        channel.window_closed = false;
                    }
                }
                Some(Arrival::Packet(_, Packet::Fault(error))) => return Err(error),
                Some(Arrival::Packet(_, Packet::Keys(traffic))) => {
                    self.keys.done += 1;
                    self.keys.traffic += traffic;
                    return Ok(Pumped::More);
                }
                Some(Arrival::Packet(id, packet)) => {
                    // Data for a channel that was freed is dropped.
                    if let Some(channel) = self.channels.get_mut(&id.0) {
                        channel.receive(packet);
                    }
                }
            }
        }
        Ok(Pumped::More)
    }
}

impl ChannelState {
    fn receive(&mut self, packet: Packet) {
        let Self { inbox, sent: [stdout, stderr], .. } = self;
        // RFC 4254 section 5.3: nothing follows a CLOSE.
        if inbox.closed {
            return;
        }
        match packet {
            Packet::Stdout(bytes) => {
                stdout.extend(&bytes);
                inbox.stdout.extend(bytes);
            }
            Packet::Stderr(bytes) => {
                stderr.extend(&bytes);
                inbox.stderr.extend(bytes);
            }
            Packet::Eof => inbox.eof = true,
            Packet::Status(status) => inbox.set_exit(Outcome::Exited(status)),
            Packet::Signal(signal) => inbox.set_exit(Outcome::Signaled(signal)),
            Packet::Close => inbox.closed = true,
            Packet::Keys(_) | Packet::Fault(_) => {}
        }
    }
}
