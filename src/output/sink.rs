//! Where output goes that is not kept here.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::callback;
use crate::ids::{CommandId, HostId, StdStream};

/// Takes output as it comes, in place of a reader: [`Keep::Sink`](crate::output::Keep::Sink).
///
/// Clones are the same sink: one for many hosts gets the pieces of all of them, one after the
/// other, and tells them apart by the [`Piece`]. It is called from within a
/// [turn](crate::Fleet::turn), so it must not wait for anything: while it does, all hosts wait. Nor
/// may it use the [`ParallelClient`](crate::ParallelClient) that calls it. It gets all output, also
/// that of a command that was [released](crate::Fleet::release).
///
/// An error from it, such as that of a full disk, ends the command as
/// [`Fleet::cancel`](crate::Fleet::cancel) does, with
/// [`HostErrorKind::Sink`](crate::HostErrorKind::Sink) as its outcome; nothing more of that stream
/// is handed over. Other commands go on, those with the same sink too. A panic of it counts as an
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
    /// Whose.
    pub host: HostId,
    /// Of which command.
    pub command: CommandId,
    /// Of which of its streams.
    pub stream: StdStream,
    /// Not empty; cut anywhere, as it came.
    pub bytes: &'a [u8],
}

impl Sink {
    /// A sink that gives each piece to this function.
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
