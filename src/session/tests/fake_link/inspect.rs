//! How tests and the bench inspect a link from outside, and act on it.

use std::mem;

use super::{Connection, FakeLink};
use crate::link::{ChannelId, LinkError, TunnelNews};
use crate::session::tests::script::{Dial, Packet};
use crate::session::tests::wire::{Arrival, ChannelState};

impl FakeLink {
    pub(crate) fn begin_step(&mut self) {
        self.calls_before_step = self.calls.len();
    }

    /// Like [`begin_step`](Self::begin_step), for the steps of a whole turn. Forgets the calls
    /// recorded before.
    pub(crate) fn begin_turn(&mut self) {
        self.calls.clear();
        self.begin_step();
    }

    /// Lets one round pass.
    pub(crate) fn tick(&mut self) {
        self.tick_tunnels();
        self.edge |= match &mut self.connection {
            Connection::Dialling(dials) => dials.iter_mut().fold(false, |edge, (_, dial)| match dial {
                Dial::Connects(left) | Dial::Fails(left, _) => {
                    let was_left = *left;
                    *left = left.saturating_sub(1);
                    edge || was_left == 1
                }
                _ => edge,
            }),
            Connection::Up(wire) => wire.tick(),
            _ => false,
        };
    }

    pub(crate) fn take_edge(&mut self) -> bool {
        mem::take(&mut self.edge)
    }

    pub(crate) fn has_edge(&self) -> bool {
        self.edge
    }

    /// How many requests wait to be flushed, how much news is on its way, how much waits to be
    /// read, and how many channels there are.
    pub(crate) fn queues(&self) -> Option<[usize; 4]> {
        match &self.connection {
            Connection::Up(wire) => Some(wire.queues()),
            _ => None,
        }
    }

    /// Whether any news is on its way.
    pub(crate) fn expects_news(&self) -> bool {
        match &self.connection {
            Connection::Dialling(dials) => {
                let is_coming =
                    |dial: &Dial| matches!(dial, Dial::Connects(left) | Dial::Fails(left, _) if *left > 0);
                self.edge || dials.iter().any(|(_, dial)| is_coming(dial))
            }
            Connection::Up(wire) => wire.expects_news() || self.edge || !self.tunnels_due.is_empty(),
            _ => self.edge,
        }
    }

    /// Lets the peer send a packet that was not asked for.
    pub(crate) fn arrive(&mut self, channel: usize, packet: Packet) {
        if let Connection::Up(wire) = &mut self.connection {
            wire.socket.push_back(Arrival::Packet(ChannelId(channel), packet));
            self.edge = true;
        }
    }

    /// Reports news of a tunnel.
    pub(crate) fn tell(&mut self, channel: ChannelId, news: TunnelNews) {
        self.tunnel_news.push_back((channel, news));
        self.edge = true;
    }

    /// Fails the connection now, whatever its stage, even if it had gone silent.
    pub(crate) fn fail_next(&mut self, error: LinkError) {
        self.stuck = None;
        self.arrive(0, Packet::Fault(error));
    }

    /// The channels of the current connection that were opened and not freed.
    pub(crate) fn open_channels(&self) -> usize {
        self.channels().count()
    }

    fn channels(&self) -> impl Iterator<Item = &ChannelState> {
        let wire = match &self.connection {
            Connection::Up(wire) | Connection::Broken(wire) => Some(wire),
            _ => None,
        };
        wire.into_iter().flat_map(|wire| wire.channels.values())
    }

    /// How many of the [open channels](Self::open_channels) the peer has not opened yet.
    pub(crate) fn unanswered_channels(&self) -> usize {
        self.channels().filter(|channel| !channel.is_open).count()
    }

    /// The input that a channel has received.
    pub(crate) fn received(&self, channel: usize) -> &[u8] {
        match &self.connection {
            Connection::Up(wire) | Connection::Broken(wire) => {
                wire.channels.get(&channel).map_or(&[], |channel| &channel.received)
            }
            _ => &[],
        }
    }

    /// Whether a channel of the current connection was opened to be written to.
    pub(crate) fn is_writable(&self, channel: usize) -> bool {
        match &self.connection {
            Connection::Up(wire) | Connection::Broken(wire) => wire.channels[&channel].is_writable,
            other => panic!("channel {channel} of {other:?}"),
        }
    }

    /// Delivers all stdout so far once more, without recording it.
    pub(crate) fn repeat_output(&mut self) {
        if let Connection::Up(wire) = &mut self.connection {
            for channel in wire.channels.values_mut() {
                channel.inbox.stdout.extend(&channel.sent[0]);
            }
        }
    }

    /// Whether nothing is left of a connection.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.connection, Connection::None)
    }

    /// Whether anything has arrived that was not read.
    pub(crate) fn has_unread(&self) -> bool {
        matches!(&self.connection, Connection::Up(wire) if !wire.socket.is_empty())
    }

    /// Whether there is something to read, or something to send that the socket would accept.
    pub(crate) fn is_unattended(&self) -> bool {
        match &self.connection {
            Connection::Dialling(dials) => {
                dials.iter().any(|(_, dial)| matches!(dial, Dial::Connects(0) | Dial::Fails(0, _)))
            }
            Connection::Up(wire) => {
                wire.is_readable() || !wire.outbox.is_empty() && wire.peer.full_rounds == 0
            }
            _ => false,
        }
    }
}
