//! The scripted tunnels of a proxy, and the connection through a tunnel.

use std::mem;

use super::{Connection, FakeLink};
use crate::link::{ChannelId, LinkError, LinkErrorKind, TunnelNews};
use crate::session::tests::script::{Packet, Tunnel};
use crate::session::tests::wire::ChannelState;

impl FakeLink {
    pub(super) fn begin_tunnel(&mut self, channel: ChannelId) {
        let nth = self.tunnels_opened;
        let scripts = &self.wire().peer.tunnels;
        let Some(Tunnel { news, ends_after }) = scripts.get(nth).or(scripts.last()).cloned() else { return };
        self.tunnels_opened += 1;
        if let Some((after, news)) = news {
            self.tunnels_due.push((after, channel, news));
        }
        if let Some(after) = ends_after {
            self.tunnels_due.push((after, channel, TunnelNews::Ended));
        }
    }

    /// Ends a tunnel, because the host behind the proxy has hung up.
    pub(super) fn end_tunnel(&mut self, channel: ChannelId) {
        if matches!(&self.connection, Connection::Up(wire) if !wire.peer.tunnels.is_empty()) {
            self.tunnels_due.retain(|(_, of, _)| *of != channel);
            self.tunnels_due.push((1, channel, TunnelNews::Ended));
        }
    }

    /// Lets one round pass.
    pub(super) fn tick_tunnels(&mut self) {
        for (left, channel, news) in mem::take(&mut self.tunnels_due) {
            match left {
                0 | 1 => self.tell(channel, news),
                _ => self.tunnels_due.push((left - 1, channel, news)),
            }
        }
        // The end of the stream follows everything that the peer has sent.
        if let Connection::Up(_) = self.connection
            && self.near.as_ref().is_some_and(|near| near.is_abandoned())
        {
            self.near = None;
            self.arrive(0, Packet::Fault(LinkError::new(LinkErrorKind::Lost, "the tunnel has ended")));
        }
    }

    /// Records the output of a channel that is gone.
    pub(super) fn write_down(&self, channel: ChannelState) {
        if let (Some(sent), Some(command)) = (&self.sent, channel.command) {
            sent.lock().unwrap().insert(command, channel.sent);
        }
    }
}
