//! What becomes of a command's output: what is kept, and who is told.

use super::Sink;
use crate::error::{ConfigProblem, Error};

/// What is kept of a stream until it is read ([`Command::stdout`](crate::Command::stdout),
/// [`Command::stderr`](crate::Command::stderr)). What was read is freed, whoever read it: an event
/// or a call.
///
/// Whatever is kept counts towards the fleet's
/// [`output_budget`](crate::config::ClientBuilder::output_budget): where that is used up, hosts
/// wait for their readers, as with [`BackPressure`](Self::BackPressure).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Keep {
    /// All of it: parallel-ssh's way, and the default of a
    /// [`ParallelClient`](crate::ParallelClient).
    All,
    /// The first so many bytes of the stream, counted from its start, whoever has read them. Later
    /// ones are dropped as they come. 0: [`Nothing`](Self::Nothing).
    Head(usize),
    /// The last so many unread bytes. Older ones are dropped, so the first line that is read may be
    /// the end of one. It takes up to four times as much memory. 0: [`Nothing`](Self::Nothing).
    Tail(usize),
    /// All of it, so many unread bytes at a time: then the host has to wait until some are read.
    /// The default of a [`Fleet`](crate::Fleet), with 256 KiB. 0 is refused.
    ///
    /// Nothing is read from the host's connection then: the kernel and SSH's window hold the
    /// sender. So **whatever else runs on that connection waits too**: the command's other stream,
    /// its input, other commands and their start. Whoever reads one stream to its end while nobody
    /// reads the other waits for ever, as with pipes. Time limits go on, and signs of life
    /// ([`keepalive`](crate::config::ClientBuilder::keepalive)) are not asked for meanwhile; nor
    /// are the server's own questions answered, which one with a `ClientAliveInterval` takes for a
    /// dead client (`sshd_config(5)`). A command that is being cancelled, or whose time is over,
    /// holds nothing back: what it still prints is kept up to the bound, and dropped from there on.
    ///
    /// Unread bytes may exceed the bound by what one read from the socket has brought: less than 40
    /// KiB, unless the connection is [compressed](crate::config::ClientBuilder::compress). A line
    /// that is longer than the bound comes in pieces: of a stream that is full and has no line end,
    /// all there is counts as a line.
    BackPressure(usize),
    /// Nothing.
    Nothing,
    /// Nothing here: it is handed over as it comes.
    Sink(Sink),
}

impl Keep {
    /// A host that has to wait before its first byte never gets any further.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::BackPressure(0) => {
                Err(ConfigProblem::OutOfRange { setting: "Keep::BackPressure", allowed: "at least 1 byte" }
                    .of_command())
            }
            _ => Ok(()),
        }
    }
}

/// Whether there are events with a command's output ([`Run::deliver`](crate::Run::deliver)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deliver {
    /// None: it is read by calls, and the command is known until it is
    /// [released](crate::Fleet::release).
    Nothing,
    /// [`Event::Output`](crate::Event::Output), in pieces as they come. The default of a
    /// [`Fleet`](crate::Fleet).
    #[default]
    Bytes,
    /// [`Event::Line`](crate::Event::Line), one for each line.
    Lines,
}
