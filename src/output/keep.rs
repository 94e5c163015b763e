//! How a command's output is kept and delivered.

use super::Sink;
use crate::error::{ConfigProblem, Error};

/// How much unread output of a stream is kept ([`Command::stdout`](crate::Command::stdout),
/// [`Command::stderr`](crate::Command::stderr)). Output is freed once it is read, by an event or by
/// a call.
///
/// What is kept counts towards the fleet's
/// [`output_budget`](crate::config::ClientBuilder::output_budget): once it is used up, hosts wait
/// for their readers, as with [`BackPressure`](Self::BackPressure).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Keep {
    /// All of it, as in parallel-ssh: the default of a [`ParallelClient`](crate::ParallelClient).
    All,
    /// The first bytes of the stream, this many, read or not. Later ones are dropped. 0:
    /// [`Nothing`](Self::Nothing).
    Head(usize),
    /// The last unread bytes, this many. Older ones are dropped, so the first line may be
    /// incomplete. Takes up to four times as much memory. 0: [`Nothing`](Self::Nothing).
    Tail(usize),
    /// All of it, but the host has to wait while this many bytes are unread.
    /// The default of a [`Fleet`](crate::Fleet), with 256 KiB. 0 is refused.
    ///
    /// Meanwhile nothing is read from the host's connection: the kernel and SSH's window stop the
    /// sender. So **everything on that connection waits**: the command's other stream, its input,
    /// other commands and their start. Reading one stream to its end while the other is not read
    /// waits for ever, as with pipes. Time limits continue;
    /// [keepalives](crate::config::ClientBuilder::keepalive) are not sent, and those of the server
    /// are not answered, so that a server with a `ClientAliveInterval` may close the connection
    /// (`sshd_config(5)`). A command that is being cancelled, or has exceeded its time limit, does
    /// not hold the host back: its output is kept up to the bound and then dropped.
    ///
    /// One read from the socket may exceed the bound: by less than 40 KiB, unless the connection is
    /// [compressed](crate::config::ClientBuilder::compress). A line that is longer than the bound
    /// comes in pieces: when a stream is full without a line end, its content counts as a line.
    BackPressure(usize),
    /// Nothing.
    Nothing,
    /// Nothing: output goes to this sink as it arrives.
    Sink(Sink),
}

impl Keep {
    /// A bound of 0 would stop the host for ever.
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

/// Whether events bring a command's output ([`Run::deliver`](crate::Run::deliver)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deliver {
    /// No events: output is read by calls, and the command is kept until it is
    /// [released](crate::Fleet::release).
    Nothing,
    /// [`Event::Output`](crate::Event::Output), in chunks as they arrive. The default of a
    /// [`Fleet`](crate::Fleet).
    #[default]
    Bytes,
    /// [`Event::Line`](crate::Event::Line), one for each line.
    Lines,
}
