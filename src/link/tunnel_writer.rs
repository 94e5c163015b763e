//! Moves bytes of a host behind a proxy to the proxy: from the conduit, chunk by chunk, into the
//! tunnel's channel.

use super::{Conduit, LinkError};
use crate::limits;

/// The bytes that were read from the conduit but not yet accepted by the channel. During a key
/// exchange, for instance, libssh accepts nothing.
#[derive(Debug, Default)]
pub(super) struct TunnelWriter(Vec<u8>);

/// The result of sending a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// The conduit is empty, and the channel has accepted everything. If the host behind the proxy
    /// sends more, the visit to that host queues the tunnel.
    All,
    /// There may be more to send now. No event announces that, so the caller must call again.
    Some,
    /// The channel accepts nothing now.
    Nothing,
    /// The host behind the proxy has closed its end.
    Ended,
}

impl TunnelWriter {
    /// Passes one chunk to `write`, which returns how many bytes of it the channel has accepted.
    /// The chunk is what remains of the last chunk or, if nothing remains, up to `window` bytes
    /// from the conduit. `window` is the channel's window and must not be 0.
    pub(super) fn send(
        &mut self,
        conduit: &Conduit,
        window: usize,
        buffer: &mut Vec<u8>,
        write: impl FnOnce(&[u8]) -> Result<usize, LinkError>,
    ) -> Result<Written, LinkError> {
        let Self(chunk) = self;
        // Whether the conduit is known to be empty after this chunk. This is not known if the chunk
        // was kept from an earlier call, because more may have arrived while the channel was
        // blocked.
        let mut is_last = false;
        if chunk.is_empty() {
            let window = window.min(limits::WRITE_CHUNK);
            buffer.resize(limits::WRITE_CHUNK, 0);
            match conduit.receive(&mut buffer[..window]) {
                Ok(None) => return Ok(Written::All),
                Ok(Some(0)) | Err(_) => return Ok(Written::Ended),
                Ok(Some(read)) => {
                    chunk.extend_from_slice(&buffer[..read]);
                    is_last = read < window;
                }
            }
        }
        let written = write(chunk)?;
        chunk.drain(..written);
        chunk.shrink_to(limits::INBOX_RETAINED);
        Ok(match written {
            0 => Written::Nothing,
            _ if is_last && chunk.is_empty() => Written::All,
            _ => Written::Some,
        })
    }

    /// Drops the kept bytes, because the channel will accept nothing more.
    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::link::LinkErrorKind;

    /// A tunnel, and the bytes that the proxy has received.
    struct Way {
        writer: TunnelWriter,
        conduit: Conduit,
        host: Conduit,
        arrived: Vec<u8>,
    }

    impl Way {
        fn new() -> Self {
            let (host, conduit) = Conduit::pair().unwrap();
            Self { writer: TunnelWriter::default(), conduit, host, arrived: Vec::new() }
        }

        /// Sends a chunk into this window. The channel accepts at most `taken_max` bytes of it.
        fn send(&mut self, window: usize, taken_max: usize) -> Written {
            let Self { writer, conduit, arrived, .. } = self;
            let write = |chunk: &[u8]| {
                let taken = &chunk[..chunk.len().min(taken_max)];
                arrived.extend_from_slice(taken);
                Ok(taken.len())
            };
            writer.send(conduit, window, &mut Vec::new(), write).unwrap()
        }
    }

    #[test]
    fn what_came_behind_a_chunk_that_was_kept_needs_no_further_visit() {
        let mut way = Way::new();
        way.host.send(b"one").unwrap();
        assert_eq!(way.send(100, 0), Written::Nothing);
        // The host behind the proxy is visited while the channel is blocked.
        way.host.send(b"two").unwrap();
        assert_eq!(way.send(100, 100), Written::Some);
        assert_eq!(way.send(100, 100), Written::All);
        assert_eq!(way.arrived, b"onetwo");
    }

    #[test]
    fn the_end_of_the_host_behind_comes_after_its_last_bytes() {
        let mut way = Way::new();
        way.host.send(b"goodbye").unwrap();
        drop(mem::replace(&mut way.host, Conduit::pair().unwrap().0));
        assert_eq!(way.send(4, 3), Written::Some);
        assert_eq!(way.send(4, 0), Written::Nothing);
        assert_eq!(way.send(4, 4), Written::Some);
        assert_eq!(way.send(4, 4), Written::All);
        assert_eq!(way.arrived, b"goodbye");
        assert_eq!(way.send(4, 4), Written::Ended);
    }

    #[test]
    fn a_channel_that_is_over_takes_what_was_kept_along() {
        let mut way = Way::new();
        way.host.send(b"one").unwrap();
        let denied = |_: &[u8]| Err(LinkError::new(LinkErrorKind::Denied, ""));
        assert!(way.writer.send(&way.conduit, 100, &mut Vec::new(), denied).is_err());
        way.writer.clear();
        assert_eq!(way.send(100, 100), Written::All);
        assert!(way.arrived.is_empty());
    }

    proptest! {
        /// Holds whatever the host behind the proxy sends meanwhile, and however few bytes the
        /// channel accepts at a time.
        #[test]
        fn all_is_said_only_when_nothing_is_left(
            steps in vec((vec(any::<u8>(), 0..4), 1..6_usize, 0..6_usize), 0..60)
        ) {
            let (mut way, mut sent) = (Way::new(), Vec::new());
            for (bytes, window, taken_max) in steps {
                way.host.send(&bytes).unwrap();
                sent.extend(bytes);
                let said = way.send(window, taken_max);
                prop_assert!(sent.starts_with(&way.arrived));
                prop_assert!(said != Written::All || way.arrived == sent);
                prop_assert!(said != Written::Nothing || taken_max == 0);
            }
        }
    }
}
