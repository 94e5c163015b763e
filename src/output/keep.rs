//! What becomes of a command's output: what is kept, and who is told.

/// What is kept of a stream until it is read ([`Command::stdout`](crate::Command::stdout),
/// [`Command::stderr`](crate::Command::stderr)). What was read is freed, whoever read it: an event or a call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Keep {
    /// All of it: parallel-ssh's way, and the default of a [`ParallelClient`](crate::ParallelClient).
    All,
    /// The first so many bytes of the stream. Later ones are dropped as they come.
    Head(usize),
    /// The last so many unread bytes. Older ones are dropped.
    Tail(usize),
    /// All of it, so many unread bytes at a time: then the host has to wait, and with it whatever else runs on its connection.
    /// The default of a [`Fleet`](crate::Fleet), with 256 KiB.
    BackPressure(usize),
    /// Nothing.
    Nothing,
}

/// Whether there are events with a command's output ([`Command::deliver`](crate::Command::deliver)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deliver {
    /// None: it is read by calls, and the command is known until it is
    /// [released](crate::Fleet::release).
    Nothing,
    /// [`Event::Output`](crate::Event::Output), in pieces as they come. The default of a [`Fleet`](crate::Fleet).
    #[default]
    Bytes,
    /// [`Event::Line`](crate::Event::Line), one for each line.
    Lines,
}
