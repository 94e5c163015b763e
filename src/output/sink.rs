//! Sinks, which receive output that is not kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use crate::callback;
use crate::ids::{CommandId, HostId, StdStream};

/// A function that receives output as it arrives ([`Keep::Sink`](crate::output::Keep::Sink)).
///
/// Clones share one function, which receives the output of many hosts, one [`Piece`] at a time. The
/// function is called during a [turn](crate::Fleet::turn), so it must not block, because all hosts
/// would wait for it. It must not use the [`ParallelClient`](crate::ParallelClient) that calls it.
/// It receives all output, even that of commands that were [released](crate::Fleet::release).
///
/// An error, for example because the disk is full, ends the command as
/// [`Fleet::cancel`](crate::Fleet::cancel) does, with
/// [`HostErrorKind::Sink`](crate::HostErrorKind::Sink) as its outcome. The sink receives nothing
/// more of the stream for which it returned the error. Other commands continue, even those with the
/// same sink. A panic counts as an error.
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
/// let command = Command::new("apt-get -y upgrade")
///     .stdout(Keep::Sink(sink.clone()))
///     .stderr(Keep::Sink(sink));
/// let outputs = client.run_command(command)?;
/// client.join(&outputs, JoinOptions::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sink(Arc<Mutex<Take>>);

type Take = dyn FnMut(Piece<'_>) -> io::Result<()> + Send;

/// A piece of output that is passed to a [`Sink`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Piece<'a> {
    /// The host that sent the output.
    pub host: HostId,
    /// The command that wrote the output.
    pub command: CommandId,
    /// The stream to which the output was written.
    pub stream: StdStream,
    /// The bytes as they arrived. They are never empty, and may begin and end anywhere in a line.
    pub bytes: &'a [u8],
}

impl Sink {
    /// Makes a sink that calls this function with each piece.
    pub fn new(take: impl FnMut(Piece<'_>) -> io::Result<()> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(take)))
    }

    /// Calls the function with a piece. A panic counts as an error.
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
