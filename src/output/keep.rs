//! The settings for how a command's output is kept and delivered.

use super::Sink;
use crate::error::{ConfigProblem, Error};

/// How much unread output of a stream is kept. It is set with
/// [`Command::stdout`](crate::Command::stdout) and [`Command::stderr`](crate::Command::stderr).
/// Output is freed once it has been read, by an event or by a call.
///
/// Kept output counts towards the fleet's
/// [`output_budget`](crate::config::ClientBuilder::output_budget). Once the budget is used up,
/// hosts wait for their readers, as with [`BackPressure`](Self::BackPressure).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Keep {
    /// Keeps all output, as parallel-ssh does. The default of a
    /// [`ParallelClient`](crate::ParallelClient).
    All,
    /// Keeps the first bytes of the stream, up to this many in all, whether they were read or not.
    /// Later bytes are dropped. 0 is the same as [`Nothing`](Self::Nothing).
    Head(usize),
    /// Keeps the last unread bytes, up to this many. Older ones are dropped, so the first line may
    /// be incomplete. Uses up to four times as much memory. 0 is the same as
    /// [`Nothing`](Self::Nothing).
    Tail(usize),
    /// Keeps all output, but makes the host wait while this many bytes are unread. The default of a
    /// [`Fleet`](crate::Fleet), with 256 KiB. 0 is rejected.
    ///
    /// While the host waits, nothing is read from its connection, and so the kernel and SSH's
    /// window stop the sender. **Everything on that connection waits**: the command's other stream,
    /// its input, other commands, and the start of further commands. As with pipes, a program that
    /// reads one stream to its end without reading the other may wait forever. Time limits continue
    /// to run. [Keepalives](crate::config::ClientBuilder::keepalive) are not sent, and those of the
    /// server are not answered, so a server with a `ClientAliveInterval` may close the connection
    /// (`sshd_config(5)`). A command that is being cancelled, or has exceeded its time limit, does
    /// not make the host wait. Its output is kept up to the bound, and the rest is dropped.
    ///
    /// One read from the socket may exceed the bound by less than 40 KiB, or by more if the
    /// connection is [compressed](crate::config::ClientBuilder::compress). A line that is longer
    /// than the bound is delivered in pieces: when a stream is full without a line end, its content
    /// counts as a line.
    BackPressure(usize),
    /// Keeps nothing.
    Nothing,
    /// Keeps nothing. Output goes to this sink as it arrives.
    Sink(Sink),
}

impl Keep {
    /// Rejects a bound of 0, which would make the host wait forever.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Self::BackPressure(0) = self {
            let (setting, allowed) = ("Keep::BackPressure", "at least 1 byte");
            return Err(ConfigProblem::OutOfRange { setting, allowed }.of_command());
        }
        Ok(())
    }
}

/// Whether, and in which form, events deliver a command's output
/// ([`Run::deliver`](crate::Run::deliver)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deliver {
    /// No events deliver output. It is read by calls, and the command is kept until it is
    /// [released](crate::Fleet::release).
    Nothing,
    /// [`Event::Output`](crate::Event::Output) delivers chunks of output as they arrive. The
    /// default of a [`Fleet`](crate::Fleet).
    #[default]
    Bytes,
    /// [`Event::Line`](crate::Event::Line) delivers each line.
    Lines,
}
