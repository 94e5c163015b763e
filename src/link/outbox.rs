//! The way from a host behind a proxy to the proxy: out of the conduit, chunk by chunk, into the tunnel's channel.

use super::{Conduit, LinkError};
use crate::limits;

/// A chunk that has left the conduit and that the channel has not taken yet: in the middle of a key exchange libssh takes
/// nothing.
#[derive(Debug, Default)]
pub(super) struct Outbox(Vec<u8>);

/// What sending one chunk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The conduit was found empty, and the channel has all that came out of it. What comes next is told by a visit to the
    /// host behind.
    All,
    /// There may be more to send at once, and nothing else will tell of it.
    Some,
    /// The channel takes nothing now.
    Nothing,
    /// The host behind is gone.
    Ended,
}

impl Outbox {
    /// Gives the channel one chunk by `write`, which says how much of it was taken: what is left of the last one, or else what
    /// the conduit has, up to the channel's window, which is not shut.
    pub(super) fn send(
        &mut self,
        conduit: &Conduit,
        window: usize,
        buffer: &mut Vec<u8>,
        write: impl FnOnce(&[u8]) -> Result<usize, LinkError>,
    ) -> Result<Sent, LinkError> {
        let Self(chunk) = self;
        // Of a chunk that was kept nobody knows what has come into the conduit behind it: the visits that told of that found
        // the way barred.
        let mut is_last = false;
        if chunk.is_empty() {
            let window = window.min(limits::WRITE_CHUNK);
            buffer.resize(limits::WRITE_CHUNK, 0);
            match conduit.receive(&mut buffer[..window]) {
                Ok(None) => return Ok(Sent::All),
                Ok(Some(0)) | Err(_) => return Ok(Sent::Ended),
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
            0 => Sent::Nothing,
            _ if is_last && chunk.is_empty() => Sent::All,
            _ => Sent::Some,
        })
    }

    /// The channel takes nothing any more.
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

    /// A tunnel's way to the proxy, with what the proxy has got.
    struct Way {
        outbox: Outbox,
        conduit: Conduit,
        host: Conduit,
        arrived: Vec<u8>,
    }

    impl Way {
        fn new() -> Self {
            let (host, conduit) = Conduit::pair().unwrap();
            Self { outbox: Outbox::default(), conduit, host, arrived: Vec::new() }
        }

        /// Sends a chunk into this window, of which the channel takes so many bytes at most.
        fn send(&mut self, window: usize, taken_max: usize) -> Sent {
            let Self { outbox, conduit, arrived, .. } = self;
            let write = |chunk: &[u8]| {
                let taken = &chunk[..chunk.len().min(taken_max)];
                arrived.extend_from_slice(taken);
                Ok(taken.len())
            };
            outbox.send(conduit, window, &mut Vec::new(), write).unwrap()
        }
    }

    #[test]
    fn what_came_behind_a_chunk_that_was_kept_needs_no_further_visit() {
        let mut way = Way::new();
        way.host.send(b"one").unwrap();
        assert_eq!(way.send(100, 0), Sent::Nothing);
        // The host behind is visited, and the way is barred.
        way.host.send(b"two").unwrap();
        assert_eq!(way.send(100, 100), Sent::Some);
        assert_eq!(way.send(100, 100), Sent::All);
        assert_eq!(way.arrived, b"onetwo");
    }

    #[test]
    fn the_end_of_the_host_behind_comes_after_its_last_bytes() {
        let mut way = Way::new();
        way.host.send(b"goodbye").unwrap();
        drop(mem::replace(&mut way.host, Conduit::pair().unwrap().0));
        assert_eq!(way.send(4, 3), Sent::Some);
        assert_eq!(way.send(4, 0), Sent::Nothing);
        assert_eq!(way.send(4, 4), Sent::Some);
        assert_eq!(way.send(4, 4), Sent::All);
        assert_eq!(way.arrived, b"goodbye");
        assert_eq!(way.send(4, 4), Sent::Ended);
    }

    #[test]
    fn a_channel_that_is_over_takes_what_was_kept_along() {
        let mut way = Way::new();
        way.host.send(b"one").unwrap();
        let denied = |_: &[u8]| Err(LinkError::new(LinkErrorKind::Denied, ""));
        assert!(way.outbox.send(&way.conduit, 100, &mut Vec::new(), denied).is_err());
        way.outbox.clear();
        assert_eq!(way.send(100, 100), Sent::All);
        assert!(way.arrived.is_empty());
    }

    proptest! {
        /// Whatever the host behind sends meanwhile, and however little goes at a time.
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
                prop_assert!(said != Sent::All || way.arrived == sent);
                prop_assert!(said != Sent::Nothing || taken_max == 0);
            }
        }
    }
}
