//! What a person or another program reads of a run.
//!
//! A run tells a [`Report`] what happens; each form of output is one.

use std::io;

use sshoal::StdStream;

use crate::end::End;

/// A host of the run, by its position in the list of targets.
pub type HostIndex = usize;

/// One form of output. The methods are called in the order in which things happen; for each host,
/// [`end`](Self::end) is the last.
///
/// An error is that of the writer: the run is cancelled, as after a closed pipe.
pub trait Report {
    /// A host has accepted the command.
    fn started(&mut self, host: HostIndex) -> io::Result<()>;

    /// A line of output, without its line end. May be a piece of a line that is longer than
    /// 64 KiB: `whole` says whether the line ends here.
    fn line(&mut self, host: HostIndex, stream: StdStream, bytes: &[u8], whole: bool) -> io::Result<()>;

    /// The command has ended on this host.
    fn end(&mut self, host: HostIndex, end: &End) -> io::Result<()>;

    /// All hosts have ended, or the run was stopped.
    fn finish(&mut self) -> io::Result<()>;
}
