//! A command's standard input: the setting, and the queue of what waits to be sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::{fmt, io};

use crate::error::ChannelProblem;
use crate::limits;

/// A command's standard input ([`Command::stdin`](crate::Command::stdin)).
///
/// On a [terminal](crate::Command::use_pty), the end of the input has no effect, because servers
/// pass on only bytes, not the end: a command that reads its terminal goes on waiting, as under
/// `ssh -tt host cat < /dev/null`. What ends the input of such a command is the byte `\x04` (^D) at
/// the start of a line.
///
/// ```
/// use std::sync::Arc;
/// use sshoal::Command;
/// use sshoal::config::Input;
///
/// let given = Command::new("tee /etc/motd").stdin("Welcome.\n");
/// // All hosts read the same bytes, which are in memory once.
/// let image: Arc<[u8]> = vec![0; 1 << 20].into();
/// let shared = Command::new("cat > image").stdin(image);
/// let open = Command::new("sh").stdin(Input::Open);
/// # let _ = (given, shared, open);
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The input stays open for the caller to write to:
    /// [`Fleet::write_stdin`](crate::Fleet::write_stdin),
    /// [`HostOutput::stdin`](crate::HostOutput::stdin).
    Open,
    /// The input ends as soon as the host has accepted the command, as with `ssh -n`.
    Empty,
    /// The input is these bytes, of any number, and then ends. They are not copied: all hosts share
    /// them.
    Bytes(Arc<[u8]>),
}

/// The bytes are not shown, because they may be a secret.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

impl Input {
    /// Whether there is no input at all, so that nothing is ever written.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Open => false,
            Self::Empty => true,
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

impl From<Arc<[u8]>> for Input {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Input {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&[u8]> for Input {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

/// Input that waits to be sent to a command.
pub(crate) struct StdinQueue {
    waiting: Waiting,
    end: InputEnd,
    /// Whether input was refused for lack of room.
    was_full: bool,
}

/// The bytes that wait.
enum Waiting {
    /// Bytes that the caller has written.
    Written(VecDeque<u8>),
    /// The command's whole input, and how many bytes of it were sent. The caller cannot write.
    Given(Arc<[u8]>, usize),
}

/// The state of the end of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputEnd {
    /// More input may be queued.
    Open,
    /// The input ends after what is queued.
    Wanted,
    /// EOF was sent, or the command accepts no more input.
    Reached,
}

/// The bytes are not shown, because they may be a secret.
impl fmt::Debug for StdinQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinQueue").field("len", &self.len()).field("end", &self.end).finish()
    }
}

impl StdinQueue {
    pub(crate) fn new(input: &Input) -> Self {
        let (waiting, end) = match input {
            Input::Open => (Waiting::Written(VecDeque::new()), InputEnd::Open),
            Input::Empty => (Waiting::Given(Arc::default(), 0), InputEnd::Wanted),
            Input::Bytes(bytes) => (Waiting::Given(bytes.clone(), 0), InputEnd::Wanted),
        };
        Self { waiting, end, was_full: false }
    }

    /// Queues as much input as there is room for. Returns the number of bytes queued.
    ///
    /// # Errors
    /// Returns `WouldBlock` if there is no room, and `BrokenPipe` with a [`ChannelProblem`] if the
    /// command takes no input or no more input.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let closed = |problem| Err(io::Error::new(io::ErrorKind::BrokenPipe, problem));
        let Waiting::Written(queue) = &mut self.waiting else {
            return closed(ChannelProblem::InputNotOpen);
        };
        if self.end != InputEnd::Open {
            return closed(ChannelProblem::InputClosed);
        }
        let room = limits::STDIN_QUEUE.saturating_sub(queue.len());
        let piece = &bytes[..bytes.len().min(room)];
        queue.extend(piece);
        self.was_full |= piece.len() < bytes.len();
        if piece.is_empty() && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(piece.len())
    }

    /// Whether the queue has room again after it had none. Returns `true` once.
    pub(crate) fn has_room_again(&mut self) -> bool {
        let has_room = self.was_full && self.len() <= limits::STDIN_QUEUE / 2;
        self.was_full &= !has_room;
        has_room
    }

    pub(crate) fn len(&self) -> usize {
        match &self.waiting {
            Waiting::Written(queue) => queue.len(),
            Waiting::Given(bytes, sent) => bytes.len() - sent,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
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
        self.end == InputEnd::Wanted && self.is_empty()
    }

    /// Whether EOF was sent or the input was abandoned.
    pub(crate) fn has_ended(&self) -> bool {
        self.end == InputEnd::Reached
    }

    /// Drops what is queued, because EOF was sent or the command accepts no more input.
    pub(crate) fn abandon(&mut self) {
        self.free();
        self.end = InputEnd::Reached;
    }

    /// The longest contiguous piece at the front of the queue.
    pub(crate) fn front(&self) -> &[u8] {
        match &self.waiting {
            Waiting::Written(queue) => queue.as_slices().0,
            Waiting::Given(bytes, sent) => &bytes[*sent..],
        }
    }

    pub(crate) fn consume(&mut self, written: usize) {
        let written = written.min(self.len());
        match &mut self.waiting {
            Waiting::Written(queue) => _ = queue.drain(..written),
            Waiting::Given(_, sent) => *sent += written,
        }
        if self.is_empty() {
            self.free();
        }
    }

    /// Drops what is queued, and frees its memory.
    fn free(&mut self) {
        self.waiting = match self.waiting {
            Waiting::Written(_) => Waiting::Written(VecDeque::new()),
            Waiting::Given(..) => Waiting::Given(Arc::default(), 0),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problem of a write that is refused for good.
    fn refusal(stdin: &mut StdinQueue) -> String {
        let error = stdin.write(b"late").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        error.downcast::<ChannelProblem>().unwrap().to_string()
    }

    #[test]
    fn the_end_waits_for_what_is_queued() {
        let mut stdin = StdinQueue::new(&Input::Open);
        assert_eq!(stdin.write(b"abc").unwrap(), 3);
        stdin.close();
        assert_eq!(refusal(&mut stdin), "standard input is closed");
        assert!(!stdin.wants_eof());
        stdin.consume(3);
        assert!(stdin.wants_eof());
        stdin.abandon();
        assert!(!stdin.wants_eof());
    }

    #[test]
    fn abandoned_input_never_sends_an_end() {
        for mut stdin in [StdinQueue::new(&Input::Open), StdinQueue::new(&"abc".into())] {
            let _ = stdin.write(b"abc");
            stdin.close();
            stdin.abandon();
            assert!(stdin.is_empty() && !stdin.wants_eof() && stdin.has_ended());
        }
    }

    #[test]
    fn no_input_ends_at_once_and_takes_none() {
        for input in [Input::Empty, "".into()] {
            let mut stdin = StdinQueue::new(&input);
            assert!(input.is_empty() && stdin.wants_eof());
            assert!(refusal(&mut stdin).contains("Command::stdin(Input::Open)"));
            assert!(!stdin.close() && stdin.is_empty() && !stdin.has_room_again());
        }
    }

    #[test]
    fn given_input_is_shared_until_it_is_sent() {
        let bytes: Arc<[u8]> = vec![7; 2 * limits::STDIN_QUEUE].into();
        let input = Input::from(bytes.clone());
        let mut queues = [0; 3].map(|_| StdinQueue::new(&input));
        assert_eq!(Arc::strong_count(&bytes), 2 + queues.len());
        let stdin = &mut queues[0];
        assert!(refusal(stdin).contains("Command::stdin(Input::Open)"));
        assert_eq!((stdin.len(), stdin.front().as_ptr()), (bytes.len(), bytes.as_ptr()));
        stdin.consume(bytes.len() - 1);
        assert!(stdin.front() == [7] && !stdin.wants_eof());
        stdin.consume(1);
        assert!(stdin.wants_eof() && !stdin.has_room_again());
        queues[1].abandon();
        assert_eq!(Arc::strong_count(&bytes), 2 + 1, "what is sent or dropped is freed");
    }

    #[test]
    fn room_is_reported_once() {
        let mut stdin = StdinQueue::new(&Input::Open);
        assert_eq!(stdin.write(&vec![0; limits::STDIN_QUEUE + 1]).unwrap(), limits::STDIN_QUEUE);
        assert_eq!(stdin.write(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        stdin.consume(limits::STDIN_QUEUE / 2 - 1);
        assert!(!stdin.has_room_again());
        stdin.consume(1);
        assert!(stdin.has_room_again() && !stdin.has_room_again());
    }

    #[test]
    fn input_is_never_shown() {
        let input = Input::from("secret");
        let stdin = StdinQueue::new(&input);
        assert_eq!(format!("{input:?} {stdin:?}"), "Bytes(6 bytes) StdinQueue { len: 6, end: Wanted }");
    }
}
