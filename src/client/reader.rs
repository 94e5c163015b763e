//! Reading one stream as bytes.

use std::io;

use super::output::HostOutput;
use super::wait::{WaitError, wait};
use crate::Fleet;
use crate::ids::StdStream;

/// Reads one stream as bytes, for output that is not text.
///
/// A read waits for at least one byte, and drives all hosts in the meantime. Reading lines and
/// reading bytes can be mixed. Errors are [`io::Error`]s that wrap a
/// [`HostError`](crate::HostError): `TimedOut` if the read timeout has passed, in which case
/// reading can continue, and `ConnectionAborted` if the output was cut short.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut client = sshoal::ParallelClient::builder(["web1"]).build()?;
/// let outputs = client.run_command("tar -c /etc")?;
/// let mut file = std::fs::File::create("etc.tar")?;
/// std::io::copy(&mut outputs[0].stdout_reader(), &mut file)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    pub(super) output: &'a HostOutput,
    pub(super) stream: StdStream,
}

impl io::Read for Reader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let stream = self.stream;
        let read = |fleet: &mut Fleet, id| Some(fleet.read(id, stream, bytes)).filter(|count| *count > 0);
        match wait(self.output, read, |command| command.unread(stream)) {
            Ok(count) => Ok(count),
            Err(WaitError::Ended) => Ok(0),
            Err(WaitError::Timeout(error)) => Err(io::Error::new(io::ErrorKind::TimedOut, error)),
            Err(WaitError::Failed(error)) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)),
        }
    }
}
