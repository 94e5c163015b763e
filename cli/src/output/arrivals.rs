//! In which order the two streams of a host arrived.

use std::io::{self, BufReader, ErrorKind, Read};

use sshoal::StdStream;

use super::HostIndex;
use super::store::{Position, Store};

/// So much is kept in memory; the rest is in a file.
const MEMORY_BYTES: usize = 4 * 1024 * 1024;

/// The runs of bytes of one stream that each host has written. A host that writes to one stream
/// has one run. Equal orders of many hosts are kept once.
pub struct Arrivals {
    store: Store,
    hosts: Vec<Runs>,
}

/// The runs of a host: the first is of standard output and may be empty, and then the two
/// alternate.
#[derive(Clone, Copy)]
struct Runs {
    /// The lengths of those that have ended, as eight bytes each.
    ended: Position,
    /// The stream of the last one, and its length.
    stream: StdStream,
    len: u64,
}

impl Arrivals {
    pub fn new() -> Self {
        Self { store: Store::new(MEMORY_BYTES), hosts: Vec::new() }
    }

    /// Bytes of a stream have arrived.
    pub fn note(&mut self, host: HostIndex, stream: StdStream, len: usize) -> io::Result<()> {
        if host >= self.hosts.len() {
            let none = Runs { ended: Position::default(), stream: StdStream::Stdout, len: 0 };
            self.hosts.resize(host + 1, none);
        }
        let runs = &mut self.hosts[host];
        if runs.stream != stream && len > 0 {
            runs.ended = self.store.append(runs.ended, &runs.len.to_le_bytes())?;
            (runs.stream, runs.len) = (stream, 0);
        }
        runs.len += len as u64;
        Ok(())
    }

    /// Passes on the runs of a host, in their order.
    pub fn runs(
        &self,
        host: HostIndex,
        take: &mut dyn FnMut(StdStream, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(runs) = self.hosts.get(host) else { return Ok(()) };
        let mut ended = BufReader::new(self.store.content(runs.ended));
        let mut streams = [StdStream::Stdout, StdStream::Stderr].into_iter().cycle();
        let mut len = [0; 8];
        loop {
            match ended.read_exact(&mut len) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            if let Some(stream) = streams.next() {
                take(stream, u64::from_le_bytes(len))?;
            }
        }
        take(runs.stream, runs.len)
    }
}

#[cfg(test)]
mod tests {
    use sshoal::StdStream::{Stderr, Stdout};

    use super::*;

    fn runs(arrivals: &Arrivals, host: HostIndex) -> Vec<(StdStream, u64)> {
        let mut found = Vec::new();
        let mut take = |stream, len| {
            found.push((stream, len));
            Ok(())
        };
        arrivals.runs(host, &mut take).unwrap();
        found
    }

    #[test]
    fn runs_come_out_as_they_arrived_and_equal_ones_are_kept_once() {
        let mut arrivals = Arrivals::new();
        for host in [0, 2, 3] {
            for (stream, len) in [(Stderr, 3), (Stdout, 1), (Stdout, 4), (Stderr, 0), (Stderr, 300)] {
                arrivals.note(host, stream, len).unwrap();
            }
        }
        arrivals.note(3, Stdout, 1).unwrap();
        let expected = [(Stdout, 0), (Stderr, 3), (Stdout, 5), (Stderr, 300)];
        assert_eq!(runs(&arrivals, 0), expected);
        assert_eq!(runs(&arrivals, 2), expected);
        assert_eq!(runs(&arrivals, 3), [&expected[..], &[(Stdout, 1)]].concat());
        assert_eq!((runs(&arrivals, 1), runs(&arrivals, 9)), (vec![(Stdout, 0)], vec![]));
        assert_eq!(arrivals.store.len(), 32);
    }
}
