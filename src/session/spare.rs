//! The channels of a connection, apart from those of its commands: the spare channel, which is
//! opened before a command needs it, and those whose commands ended before the server answered.

use std::collections::VecDeque;
use std::mem;
use std::task::Poll;

use crate::limits;
use crate::link::{ChannelId, Link, LinkError, LinkErrorKind};

/// What a connection knows about its channels.
#[derive(Debug, Default)]
pub(super) struct Channels {
    spare: Spare,
    /// The channels of commands that ended before the server answered, in the order in which they
    /// were given up. A channel cannot be closed earlier, because CLOSE needs the number in the
    /// answer. If it were forgotten, the server would open it later and count it until the end of
    /// the connection.
    unanswered: VecDeque<Asked>,
    /// The channel that a command took last.
    taken: Option<Asked>,
    /// Whether a channel of this connection was closed since the last refusal. A server may refuse
    /// a new channel because it still counts the closed one. sshd does so if the CLOSE and the new
    /// request reach it together. By the time the refusal arrives here, the server no longer counts
    /// the closed channel, so the request can be repeated.
    room_expected: bool,
    /// Whether the server has refused a channel or closed the spare one, and no other channel was
    /// closed since.
    gave_up: bool,
}

/// A channel that the server was asked for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    channel: ChannelId,
    /// Whether a command may write to it.
    writable: bool,
}

/// A channel for the next command.
#[derive(Debug, Default, Clone, Copy)]
enum Spare {
    #[default]
    None,
    /// The server was asked for it. A command takes it over even now, so none waits for this
    /// answer in addition to its own.
    Opening(Asked),
    Open(Asked),
}

impl Asked {
    fn new(link: &mut dyn Link, writable: bool) -> Result<Self, LinkError> {
        Ok(Self { channel: link.open_channel(writable)?, writable })
    }
}

impl Channels {
    /// A channel that is being opened, or already is: the spare one, or else a new one. It can be
    /// written to if `writable` is set.
    pub(super) fn take(&mut self, link: &mut dyn Link, writable: bool) -> Result<ChannelId, LinkError> {
        let taken = match mem::take(&mut self.spare) {
            Spare::Opening(asked) | Spare::Open(asked) => asked,
            Spare::None => match self.take_unanswered(writable) {
                Some(asked) => asked,
                None => Asked::new(link, writable)?,
            },
        };
        self.taken = Some(taken);
        Ok(taken.channel)
    }

    fn take_unanswered(&mut self, writable: bool) -> Option<Asked> {
        if self.unanswered.len() < limits::UNANSWERED_CHANNELS {
            return None;
        }
        let index = self.unanswered.iter().position(|asked| asked.writable || !writable)?;
        self.unanswered.remove(index)
    }

    /// Keeps the channel of a command that has ended before the server answered.
    pub(super) fn keep(&mut self, channel: ChannelId) {
        let taken = self.taken.filter(|taken| taken.channel == channel);
        self.unanswered.push_back(taken.unwrap_or(Asked { channel, writable: false }));
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
        if self.gave_up || !matches!(self.spare, Spare::None) || !self.unanswered.is_empty() {
            return Ok(false);
        }
        // The next command may have input.
        self.spare = Spare::Opening(Asked::new(link, true)?);
        Ok(true)
    }

    /// Takes the channels one step further, unless that may read from a connection that has no room
    /// for output. Returns whether anything changed.
    pub(super) fn step(&mut self, link: &mut dyn Link, has_room: bool) -> Result<bool, LinkError> {
        let before = self.unanswered.len();
        if has_room && before > 0 {
            for asked in mem::take(&mut self.unanswered) {
                match answer(asked.channel, link)? {
                    None => self.unanswered.push_back(asked),
                    Some(is_open) => {
                        link.free_channel(asked.channel);
                        if is_open {
                            self.note_closed();
                        }
                    }
                }
            }
        }
        let advanced = self.unanswered.len() < before;
        match self.spare {
            Spare::Opening(asked) if has_room => match answer(asked.channel, link)? {
                None => return Ok(advanced),
                Some(true) => self.spare = Spare::Open(asked),
                Some(false) => {
                    self.note_refused();
                    self.free(asked.channel, link);
                }
            },
            // A server sends nothing on the channel before the command, unless it closes it.
            Spare::Open(asked) if !link.inbox(asked.channel).is_empty() => {
                self.gave_up = true;
                self.free(asked.channel, link);
            }
            _ => return Ok(advanced),
        }
        Ok(true)
    }

    fn free(&mut self, channel: ChannelId, link: &mut dyn Link) {
        self.spare = Spare::None;
        link.free_channel(channel);
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
