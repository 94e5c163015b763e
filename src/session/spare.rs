//! The channels of a connection, apart from those of its commands: above all the spare channel,
//! which is opened before a command needs it.

use std::mem;
use std::task::Poll;

use crate::link::{ChannelId, Link, LinkError, LinkErrorKind};

/// What a connection knows about its channels.
#[derive(Debug, Default)]
pub(super) struct Channels {
    spare: Spare,
    /// Whether a channel of this connection was closed since the last refusal. A server may refuse
    /// a new channel because it still counts the closed one. sshd does so if the CLOSE and the new
    /// request reach it together. By the time the refusal arrives here, the server no longer counts
    /// the closed channel, so the request can be repeated.
    room_expected: bool,
    /// Whether the server has refused a channel or closed the spare one, and no channel of a
    /// command was closed since.
    gave_up: bool,
}

/// A channel for the next command.
#[derive(Debug, Default, Clone, Copy)]
enum Spare {
    #[default]
    None,
    /// The server was asked for it. A command takes it over even now, so none waits for this
    /// answer in addition to its own.
    Opening(ChannelId),
    Open(ChannelId),
}

impl Channels {
    /// A channel that is being opened, or already is: the spare one, or else a new one. It can be
    /// written to if `writable` is set.
    pub(super) fn take(&mut self, link: &mut dyn Link, writable: bool) -> Result<ChannelId, LinkError> {
        match mem::take(&mut self.spare) {
            Spare::None => link.open_channel(writable),
            Spare::Opening(channel) | Spare::Open(channel) => Ok(channel),
        }
    }

    /// Notes that a channel of a command was closed.
    pub(super) fn note_closed(&mut self) {
        (self.room_expected, self.gave_up) = (true, false);
    }

    /// Notes that a channel was refused. Returns whether it can be requested once more.
    pub(super) fn note_refused(&mut self) -> bool {
        self.gave_up = !mem::take(&mut self.room_expected);
        !self.gave_up
    }

    /// Begins to open a spare channel if there is none. Returns whether it did.
    pub(super) fn open_spare(&mut self, link: &mut dyn Link) -> Result<bool, LinkError> {
        if self.gave_up || !matches!(self.spare, Spare::None) {
            return Ok(false);
        }
        // The next command may have input.
        self.spare = Spare::Opening(link.open_channel(true)?);
        Ok(true)
    }

    /// Takes the spare channel one step further, unless that may read from a connection that has no
    /// room for output. Returns whether anything changed.
    pub(super) fn step(&mut self, link: &mut dyn Link, has_room: bool) -> Result<bool, LinkError> {
        match self.spare {
            Spare::None => return Ok(false),
            Spare::Opening(_) if !has_room => return Ok(false),
            Spare::Opening(channel) => match link.opened(channel) {
                Ok(Poll::Pending) if link.inbox(channel).is_empty() => return Ok(false),
                // Nothing limits what would be stored, because no command collects it.
                Ok(Poll::Pending) => {
                    let text = "data on a channel that it has not opened";
                    return Err(LinkError::new(LinkErrorKind::Protocol, text));
                }
                Ok(Poll::Ready(())) => self.spare = Spare::Open(channel),
                Err(LinkError { kind: LinkErrorKind::Denied | LinkErrorKind::Unwritable, .. }) => {
                    self.note_refused();
                    self.free(channel, link);
                }
                Err(error) => return Err(error),
            },
            // A server sends nothing on the channel before the command, unless it closes it.
            Spare::Open(channel) if !link.inbox(channel).is_empty() => {
                self.gave_up = true;
                self.free(channel, link);
            }
            Spare::Open(_) => return Ok(false),
        }
        Ok(true)
    }

    fn free(&mut self, channel: ChannelId, link: &mut dyn Link) {
        self.spare = Spare::None;
        link.free_channel(channel);
    }
}
