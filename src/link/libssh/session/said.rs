//! What a server says to the user before the login ends.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use memchr::memmem;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use crate::{limits, text};

/// The beginning of a server's version line (RFC 4253 section 4.2).
const VERSION: &[u8] = b"SSH-";

/// The texts of a server, in order, up to [`limits::BANNER`] bytes. Most servers say nothing, and
/// then nothing is allocated.
#[derive(Default)]
pub(super) struct Said {
    text: Vec<u8>,
    /// How many bytes of the connection were looked at.
    peeked: u64,
    /// Whether the version line was found, or was not found soon enough.
    has_version: bool,
}

impl Said {
    /// Keeps the lines before the server's version, which libssh reads next and does not keep.
    /// `read` is the number of bytes that were read before. An error of the socket is reported only
    /// once, so libssh will not see it.
    pub(super) fn peek(&mut self, socket: BorrowedFd<'_>, read: u64) -> Result<(), Errno> {
        if self.has_version {
            return Ok(());
        }
        let mut bytes = [0; limits::SOCKET_READ];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let len = match recv(socket.as_raw_fd(), &mut bytes, flags) {
            Ok(len) => len,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error),
        };
        // Bytes that libssh has not read since the last look come again.
        let known = usize::try_from(self.peeked.saturating_sub(read)).unwrap_or(len).min(len);
        self.peeked = read + len as u64;
        self.greeted(&bytes[known..len]);
        Ok(())
    }

    fn greeted(&mut self, bytes: &[u8]) {
        if self.text.is_empty() && bytes.starts_with(VERSION) {
            self.has_version = true;
            return;
        }
        self.append(bytes);
        let lines = self.text.split_inclusive(|byte| *byte == b'\n');
        let before = lines.take_while(|line| !line.starts_with(VERSION)).map(<[u8]>::len).sum();
        self.has_version = before < self.text.len() || self.text.len() == limits::BANNER;
        self.text.truncate(before);
    }

    /// Adds a text, unless it is there already: libssh returns the same banner again and again.
    pub(super) fn add(&mut self, text: &[u8]) {
        let text = text.trim_ascii_end();
        if text.is_empty() || memmem::find(&self.text, text).is_some() {
            return;
        }
        if !self.text.is_empty() && !self.text.ends_with(b"\n") {
            self.append(b"\n");
        }
        self.append(text);
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = limits::BANNER - self.text.len();
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Takes all texts, with nothing left in them that could control a terminal.
    pub(super) fn take(&mut self) -> Option<Arc<str>> {
        let said = std::mem::take(&mut self.text);
        let shown = text::sanitise_lines(&said, limits::BANNER);
        (!shown.is_empty()).then(|| shown.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(said: &mut Said) -> String {
        said.take().unwrap_or_default().to_string()
    }

    #[test]
    fn nothing_is_kept_of_a_server_that_begins_with_its_version() {
        let mut said = Said::default();
        said.greeted(b"SSH-2.0-OpenSSH_9.2\r\n\0\0\x04binary");
        assert!(said.has_version && said.text.capacity() == 0);
        assert_eq!(said.take(), None);
    }

    #[test]
    fn lines_before_the_version_are_kept_however_they_arrive() {
        let whole = b"Welcome.\r\nSSH is here: SSH-2.0\r\nSSH-2.0-x\r\nbinary SSH-";
        for size in 1..whole.len() {
            let mut said = Said::default();
            let mut pieces = whole.chunks(size);
            while !said.has_version {
                said.greeted(pieces.next().unwrap());
            }
            assert_eq!(take(&mut said), "Welcome.\nSSH is here: SSH-2.0", "in pieces of {size}");
        }
    }

    #[test]
    fn a_server_without_a_version_is_kept_up_to_the_limit() {
        let mut said = Said::default();
        while !said.has_version {
            said.greeted(&b"0123456789".repeat(100));
        }
        said.add(b"more");
        assert_eq!(said.text.len(), limits::BANNER);
        assert!(said.text.capacity() <= 2 * limits::BANNER);
    }

    #[test]
    fn a_text_that_is_seen_twice_is_kept_once() {
        let mut said = Said::default();
        said.add(b"");
        assert_eq!(said.text.capacity(), 0);
        for text in ["one\n", "one\n", "two\r\nlines", "one\n", "\x1b[2J"] {
            said.add(text.as_bytes());
        }
        assert_eq!(take(&mut said), "one\ntwo\nlines\n\\x1b[2J");
        assert_eq!(said.take(), None);
    }
}
