//! Waiting for one stream of one host, while all hosts are driven.

use std::time::Duration;

use super::deadline;
use super::output::{HostOutput, Stream};
use crate::error::{HostError, HostErrorKind, TimeoutKind};
use crate::lines::LineBuffer;
use crate::output::Outcome;

/// Why there was nothing to take.
pub(super) enum Unread {
    /// Not yet: the reader may wait again.
    Timeout(HostError),
    /// Not any more: the stream was cut short, and everything that had arrived was taken.
    Cut(HostError),
}

/// Takes from a stream as soon as there is something to take. `None` at its end.
pub(super) fn wait<T>(
    output: &HostOutput,
    stream: Stream,
    mut take: impl FnMut(&mut LineBuffer) -> Option<T>,
) -> Result<Option<T>, Unread> {
    loop {
        let timeout = output.read_timeout();
        let deadline = deadline(timeout);
        let mut found = None;
        let mut len_before = None;
        let news = output.drive(deadline, |exec| {
            let buffer = stream.of(exec);
            found = take(buffer);
            let len = buffer.len();
            // Any byte starts the read timeout again.
            let grown = *len_before.get_or_insert(len) != len;
            found.is_some() || grown || exec.is_finished()
        });
        if found.is_some() {
            return Ok(found);
        }
        match (news, output.outcome()) {
            (_, Some(Outcome::Failed(error))) => return Err(Unread::Cut(error)),
            (_, Some(_)) => return Ok(None),
            (Ok(true), None) => {}
            (Ok(false), None) => {
                let after = timeout.unwrap_or(Duration::ZERO);
                let kind = HostErrorKind::Timeout { kind: TimeoutKind::Read, after };
                return Err(Unread::Timeout(output.own_error(kind)));
            }
            (Err(e), None) => return Err(Unread::Cut(output.cannot_poll(&e))),
        }
    }
}
