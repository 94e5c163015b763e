//! Sinks for output that is not kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use crate::callback;
use crate::ids::{CommandId, HostId, StdStream};

/// Receives output as it arrives, in place of a reader: [`Keep::Sink`](crate::output::Keep::Sink).
///
/// Clones share one sink: it receives the output of many hosts one [`Piece`] after the other. It is
/// called during a [turn](crate::Fleet::turn), so it must not block: all hosts would wait. It must
/// not use the [`ParallelClient`](crate::ParallelClient) that calls it. It receives all output,
/// even of commands that were [released](crate::Fleet::release).
///
/// An error, such as that of a full disk, ends the command as
/// [`Fleet::cancel`](crate::Fleet::cancel) does, with
/// [`HostErrorKind::Sink`](crate::HostErrorKind::Sink) as its outcome; the sink receives nothing
/// more of that stream. Other commands continue, even with the same sink. A panic counts as an
/// error.
///
/// ```no_run
/// use std::fs::File;
/// use std::io::Write;
/// use sshoal::{Command, JoinOptions, ParallelClient};
/// use sshoal::output::{Keep, Sink};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut client = ParallelClient::builder(["web1", "web2"]).build()?;
/// let mut log = File::create("updates.log")?;
/// let sink = Sink::new(move |piece| log.write_all(piece.bytes));
/// let command = Command::new("apt-get -y upgrade").stdout(Keep::Sink(sink.clone())).stderr(Keep::Sink(sink));
/// let outputs = client.run_command(command)?;
/// client.join(&outputs, JoinOptions::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sink(Arc<Mutex<Take>>);

type Take = dyn FnMut(Piece<'_>) -> io::Result<()> + Send;

/// Output on its way to a [`Sink`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Piece<'a> {
    /// The host.
    pub host: HostId,
    /// The command.
    pub command: CommandId,
    /// The stream.
    pub stream: StdStream,
    /// The bytes as they arrived. Not empty, and cut anywhere.
    pub bytes: &'a [u8],
}

impl Sink {
    /// A sink that calls this function with each piece.
    pub fn new(take: impl FnMut(Piece<'_>) -> io::Result<()> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(take)))
    }

    /// Hands a piece over. A panic counts as an error.
    pub(super) fn take(&self, piece: Piece<'_>) -> io::Result<()> {
        let mut take = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        callback::call(|| take(piece)).unwrap_or_else(|_| Err(io::Error::other("it panicked")))
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink(..)")
    }
}
