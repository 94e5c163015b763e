//! The channels of a connection, apart from those of its commands: the spare channel, which is
//! opened before a command needs it, and those whose commands ended before the server answered.

use std::mem;
use std::task::Poll;

use crate::limits;
use crate::link::{ChannelId, Link, LinkError, LinkErrorKind};

/// What a connection knows about its channels.
#[derive(Debug, Default)]
pub(super) struct Channels {
    spare: Spare,
    unanswered: Option<Box<Unanswered>>,
    /// Whether the channel that a command took last can be written to.
    is_writable: bool,
    /// Whether a channel of this connection was closed since the last refusal. A server may refuse
    /// a new channel because it still counts the closed one. sshd does so if the CLOSE and the new
    /// request reach it together. By the time the refusal arrives here, the server no longer counts
    /// the closed channel, so the request can be repeated.
    room_expected: bool,
    /// Whether the server has refused a channel or closed the spare one, and no other channel was
    /// closed since.
    gave_up: bool,
}

/// A channel for the next command. It can be written to.
#[derive(Debug, Default, Clone, Copy)]
enum Spare {
    #[default]
    None,
    /// The server was asked for it. A command takes it over even now, so none waits for this
    /// answer in addition to its own.
    Opening(ChannelId),
    Open(ChannelId),
}

/// The channels of commands that ended before the server answered, in the order in which they were
/// given up, and whether they can be written to.
///
/// A channel cannot be closed earlier, because CLOSE needs the number in the answer. If it were
/// forgotten, the server would open it later and count it until the end of the connection.
#[derive(Debug, Default)]
struct Unanswered(Vec<(ChannelId, bool)>);

impl Channels {
    /// A channel that is being opened, or already is: the spare one, or else a new one. It can be
    /// written to if `writable` is set.
    pub(super) fn take(&mut self, link: &mut dyn Link, writable: bool) -> Result<ChannelId, LinkError> {
        let taken = match mem::take(&mut self.spare) {
            Spare::Opening(channel) | Spare::Open(channel) => Some((channel, true)),
            Spare::None => self.unanswered.as_mut().and_then(|unanswered| unanswered.take(writable)),
        };
        let (channel, is_writable) = match taken {
            Some(taken) => taken,
            None => (link.open_channel(writable)?, writable),
        };
        self.is_writable = is_writable;
        Ok(channel)
    }

    /// Keeps the channel of the command that took one last, and that has ended before the server
    /// answered.
    pub(super) fn keep(&mut self, channel: ChannelId) {
        self.unanswered.get_or_insert_default().0.push((channel, self.is_writable));
    }

    /// Notes that a channel was closed.
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
        if self.gave_up || !matches!(self.spare, Spare::None) || self.unanswered.is_some() {
            return Ok(false);
        }
        // The next command may have input.
        self.spare = Spare::Opening(link.open_channel(true)?);
        Ok(true)
    }

    /// Takes the channels one step further, unless that may read from a connection that has no room
    /// for output. Returns whether anything changed.
    pub(super) fn step(&mut self, link: &mut dyn Link, has_room: bool) -> Result<bool, LinkError> {
        let advanced = has_room && self.step_unanswered(link)?;
        match self.spare {
            Spare::Opening(channel) if has_room => match answer(channel, link)? {
                None => return Ok(advanced),
                Some(true) => self.spare = Spare::Open(channel),
                Some(false) => {
                    self.note_refused();
                    self.free(channel, link);
                }
            },
            // A server sends nothing on the channel before the command, unless it closes it.
            Spare::Open(channel) if !link.inbox(channel).is_empty() => {
                self.gave_up = true;
                self.free(channel, link);
            }
            _ => return Ok(advanced),
        }
        Ok(true)
    }

    /// Closes the channels of ended commands that the server has opened, and forgets those that it
    /// has refused. Returns whether there were any.
    fn step_unanswered(&mut self, link: &mut dyn Link) -> Result<bool, LinkError> {
        let Some(mut unanswered) = self.unanswered.take() else { return Ok(false) };
        let before = unanswered.0.len();
        let mut index = 0;
        while let Some((channel, _)) = unanswered.0.get(index).copied() {
            let Some(is_open) = answer(channel, link)? else {
                index += 1;
                continue;
            };
            unanswered.0.remove(index);
            link.free_channel(channel);
            if is_open {
                self.note_closed();
            }
        }
        self.unanswered = (index > 0).then_some(unanswered);
        Ok(index < before)
    }

    fn free(&mut self, channel: ChannelId, link: &mut dyn Link) {
        self.spare = Spare::None;
        link.free_channel(channel);
    }
}

impl Unanswered {
    /// The oldest channel, or the oldest that can be written to, once there are so many that no
    /// further one should be requested.
    fn take(&mut self, writable: bool) -> Option<(ChannelId, bool)> {
        if self.0.len() < limits::UNANSWERED_CHANNELS {
            return None;
        }
        let index = self.0.iter().position(|(_, is_writable)| *is_writable || !writable)?;
        Some(self.0.remove(index))
    }
}

/// Whether the server has opened the channel; `None` before it has answered.
fn answer(channel: ChannelId, link: &mut dyn Link) -> Result<Option<bool>, LinkError> {
    match link.opened(channel) {
        Ok(Poll::Pending) if link.inbox(channel).is_empty() => Ok(None),
        // Nothing limits what would be stored, because no command collects it.
        Ok(Poll::Pending) => {
            Err(LinkError::new(LinkErrorKind::Protocol, "data on a channel that it has not opened"))
        }
        Ok(Poll::Ready(())) => Ok(Some(true)),
        Err(LinkError { kind: LinkErrorKind::Denied | LinkErrorKind::Unwritable, .. }) => Ok(Some(false)),
        Err(error) => Err(error),
    }
}
