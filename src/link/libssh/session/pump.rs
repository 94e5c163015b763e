//! Reading and sending, with the limits on both.

use std::ffi::c_int;
use std::mem;
use std::sync::Mutex;

use libssh_rs::sys;

use super::{ChannelCall, SshSession};
use crate::limits;
use crate::link::libssh::call_scope::CallScope;
use crate::link::libssh::raw_session::SessionCall;
use crate::link::libssh::{OK, log_lines};
use crate::link::{LinkError, LinkErrorKind, PartialPacket, Pumped};

/// Progress with the packet that is being read.
#[derive(Default)]
pub(super) struct Reading {
    /// How many packets were read before this packet.
    packets: u64,
    /// How many bytes had been read before this packet. Until the server has sent its version line,
    /// this is the number of bytes read so far.
    begun: u64,
    /// How many bytes must have arrived before anything is read; 0 for any number.
    low_water: usize,
}

impl SshSession {
    pub(crate) fn pump(&mut self, budget: usize) -> Result<Pumped, LinkError> {
        if self.is_unread {
            let kib = self.backlog.at_most(self.raw.counts()) / 1024;
            let text = format!("the host does not read the answers that it asks for: {kib} KiB of them wait");
            return Err(LinkError::new(LinkErrorKind::Protocol, text));
        }
        let _scope = self.listen();
        // Packets are counted in both directions, so a packet that must be answered counts twice.
        let packets = |session: &Self| session.packets_read() + session.packets_written();
        let packets_end = packets(self) + self.packets_per_visit;
        let keys = self.key_exchanges.done;
        for number in 0..budget {
            let was_costly = packets(self) >= packets_end || self.key_exchanges.done != keys;
            if was_costly || number > 0 && self.is_in_doubt() {
                break;
            }
            let was_in_doubt = self.is_in_doubt();
            match if was_in_doubt { self.poll_in_doubt()? } else { self.poll()? } {
                OK if was_in_doubt => {
                    self.pick_up_answers()?;
                    break;
                }
                OK => self.pick_up_answers()?,
                sys::SSH_AGAIN => return Ok(Pumped::Drained),
                _ => return Err(self.fatal()),
            }
        }
        Ok(Pumped::More)
    }

    /// Reads once, acts on what has arrived, and sends once, as far as the socket allows.
    fn poll(&mut self) -> Result<c_int, LinkError> {
        self.peek()?;
        self.grow_windows();
        let rc = self.raw.call(SessionCall::Poll);
        self.check_fatal()?;
        self.check_bounds()?;
        Ok(rc)
    }

    /// Grows the [windows](crate::link::libssh::window::Window) of channels on which much has
    /// arrived.
    fn grow_windows(&mut self) {
        static BUFFER: Mutex<[u8; limits::WINDOW]> = Mutex::new([0; limits::WINDOW]);
        if !mem::take(&mut self.needs_window) {
            return;
        }
        // The buffer is empty memory, because what has arrived was taken by the callbacks.
        let Ok(mut buffer) = BUFFER.try_lock() else { return };
        let Self { channels, raw, .. } = self;
        for (_, channel) in channels {
            if !channel.state_mut(raw).wants_window() {
                continue;
            }
            // This reads from the socket once, and a tunnel may not take all of that.
            let read = channel.call(raw, ChannelCall::Read(&mut *buffer));
            if let Ok(read @ 1..) = usize::try_from(read) {
                let state = channel.state_mut(raw);
                state.held = state.held.saturating_sub(read);
                state.inbox.stdout.extend_from_slice(&buffer[..read]);
            }
        }
    }

    /// Whether more bytes may be waiting for the socket than is allowed, judging by libssh's
    /// counters. libssh itself has no limit: it buffers all the answers that it makes.
    pub(super) fn is_in_doubt(&self) -> bool {
        let waiting = self.backlog.at_most(self.raw.counts());
        let max = limits::ANSWERS_UNREAD + self.unsent;
        waiting > max && waiting > max + self.unanswered()
    }

    /// Polls at the log level at which libssh reports how many bytes wait to be sent. At that
    /// level, libssh logs several lines for each packet, and this logging takes as long as the rest
    /// of a visit. So this is done only if [`is_in_doubt`](Self::is_in_doubt) returns `true`.
    fn poll_in_doubt(&mut self) -> Result<c_int, LinkError> {
        let before = self.raw.counts();
        let rc = {
            let _scope = CallScope::nested(sys::SSH_LOG_TRACE);
            self.raw.call(SessionCall::Poll)
        };
        let waiting = log_lines::with(|log| log.waiting.take());
        self.check_fatal()?;
        self.check_bounds()?;
        if rc != OK {
            return Ok(rc);
        }
        // The number of waiting bytes comes from a line of libssh's log. If this version of libssh
        // words that line differently, the number is missing, and the estimate from the counters
        // decides.
        if let Some(waiting) = waiting
            && self.write_pending()
        {
            self.backlog.is(waiting, before);
        }
        self.is_unread = self.is_in_doubt();
        Ok(rc)
    }

    /// The total length in bytes of the command lines that the server may not have read yet.
    fn unanswered(&self) -> u64 {
        self.channels.iter().filter_map(|(_, channel)| Some(channel.unanswered?.1 as u64)).sum()
    }

    /// Updates what is known about the packet being read and about the bytes that wait for the
    /// socket.
    pub(super) fn take_stock(&mut self) {
        let counts = self.raw.counts();
        if mem::replace(&mut self.reading.packets, counts.packets_read) != counts.packets_read
            || !self.raw.has_banner()
        {
            self.reading.begun = counts.read;
        }
        if !self.write_pending() {
            self.backlog.is(0, counts);
            self.unsent = 0;
        }
    }

    /// The packet that is being read. Until the server has sent its version line, it has no bytes.
    pub(crate) fn partial_packet(&self) -> PartialPacket {
        let Reading { packets, begun, .. } = self.reading;
        PartialPacket { number: packets, bytes: self.bytes_read().saturating_sub(begun) }
    }

    fn check_bounds(&mut self) -> Result<(), LinkError> {
        let begun = self.partial_packet().bytes;
        // The limit applies whenever a packet may belong to a key exchange. Between the first key
        // exchange and the login none takes place, and the server may send long banners.
        let may_be_keys = self.key_exchanges.done == 0 || self.is_logged_in;
        if begun > limits::PACKET_BYTES && may_be_keys {
            let text = format!("a packet of more than {} KiB", limits::PACKET_BYTES / 1024);
            return Err(LinkError::new(LinkErrorKind::Protocol, text));
        }
        self.let_go();
        self.check_unclosed()
    }

    /// See [`Transport::set_low_water`](crate::link::Transport). The messages of a key exchange may
    /// be few and short, so any byte counts while one is known to take place.
    pub(crate) fn set_low_water(&mut self, bytes: usize) -> bool {
        let bytes = if self.in_key_exchange { 0 } else { bytes };
        let before = mem::replace(&mut self.reading.low_water, bytes);
        if bytes != before {
            self.raw.set_low_water(bytes);
        }
        bytes < before
    }

    /// Whether at least `backlog` bytes that channels have written are waiting for the socket. If
    /// so, no more should be written. If `backlog` is 0, any waiting bytes count.
    pub(crate) fn is_congested(&mut self, backlog: usize) -> bool {
        if !self.write_pending() {
            self.unsent = 0;
            return false;
        }
        self.unsent >= backlog as u64
    }
}

#[cfg(test)]
#[cfg(any(target_os = "linux", target_os = "android"))]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;
    use crate::link::HandshakeOptions;
    use crate::link::algorithms::Offered;

    fn is_readable(session: &SshSession, millis: u16) -> bool {
        let mut fds = [PollFd::new(session.descriptor().unwrap(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(millis)).unwrap() > 0
    }

    #[test]
    fn what_is_below_the_low_water_mark_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let algorithms = Offered::for_tests();
        let options = HandshakeOptions::new(c"deploy", &algorithms);
        let mut session = SshSession::start(client.into(), &options).unwrap();
        assert!(!session.set_low_water(61));
        server.write_all(&[0; 60]).unwrap();
        assert!(!is_readable(&session, 50));
        assert!(session.set_low_water(60), "fewer bytes count");
        assert!(is_readable(&session, 10_000));
        assert!(!session.set_low_water(61));
        assert!(!is_readable(&session, 0));
        // A message of a key exchange may be shorter.
        session.in_key_exchange = true;
        assert!(session.set_low_water(61));
        assert!(is_readable(&session, 10_000));
        session.in_key_exchange = false;
        assert!(!session.set_low_water(61));
        assert!(!is_readable(&session, 0));
        drop(server);
        assert!(is_readable(&session, 10_000), "the end of the connection is reported");
    }
}
