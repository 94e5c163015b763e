//! The queue of input that waits to be sent to a command.

use std::collections::VecDeque;

/// Input that waits to be sent to a command.
#[derive(Debug, Default)]
pub(crate) struct StdinQueue {
    bytes: VecDeque<u8>,
    end: InputEnd,
}

/// The state of the end of input.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum InputEnd {
    /// More input may be queued.
    #[default]
    Open,
    /// The input ends after what is queued.
    Wanted,
    /// EOF was sent, or the command accepts no more input.
    Reached,
}

impl StdinQueue {
    /// Queues bytes. Returns `false`, and queues nothing, if the input has ended.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let open = self.end == InputEnd::Open;
        if open {
            self.bytes.extend(bytes);
        }
        open
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Ends the input after what is queued. Returns `false` if the input had already ended.
    pub(crate) fn close(&mut self) -> bool {
        let open = self.end == InputEnd::Open;
        if open {
            self.end = InputEnd::Wanted;
        }
        open
    }

    pub(crate) fn wants_eof(&self) -> bool {
        self.end == InputEnd::Wanted && self.bytes.is_empty()
    }

    /// Whether EOF was sent or the input was abandoned.
    pub(crate) fn has_ended(&self) -> bool {
        self.end == InputEnd::Reached
    }

    /// Drops what is queued, because EOF was sent or the command accepts no more input.
    pub(crate) fn abandon(&mut self) {
        self.bytes = VecDeque::new();
        self.end = InputEnd::Reached;
    }

    /// The longest contiguous piece at the front of the queue.
    pub(crate) fn front(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    pub(crate) fn consume(&mut self, written: usize) {
        self.bytes.drain(..written.min(self.bytes.len()));
        if self.bytes.is_empty() {
            self.bytes = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_waits_for_what_is_queued() {
        let mut stdin = StdinQueue::default();
        assert!(stdin.push(b"abc"));
        stdin.close();
        assert!(!stdin.push(b"late"));
        assert!(!stdin.wants_eof());
        stdin.consume(3);
        assert!(stdin.wants_eof());
        stdin.abandon();
        assert!(!stdin.wants_eof());
    }

    #[test]
    fn abandoned_input_never_sends_an_end() {
        let mut stdin = StdinQueue::default();
        stdin.push(b"abc");
        stdin.close();
        stdin.abandon();
        assert!(stdin.is_empty() && !stdin.wants_eof());
    }
}
