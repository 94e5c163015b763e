//! Enter, which asks how far a run is.

use std::io::{self, IsTerminal, Read, Stdin};
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

/// The keyboard, if standard input is one.
pub struct Keys(Stdin);

impl Keys {
    pub fn register(registry: &Registry, token: Token) -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        registry.register(&mut SourceFd(&stdin.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Some(Self(stdin)))
    }

    /// The line that was typed, if there is one.
    ///
    /// In the background, keys are for others, and reading would stop this process.
    pub fn line(&self) -> Option<String> {
        let is_ours = tcgetpgrp(&self.0).is_ok_and(|group| group == getpgrp());
        let mut readable = [PollFd::new(&self.0, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !is_ours || !poll(&mut readable, Some(&now)).is_ok_and(|ready| ready > 0) {
            return None;
        }
        // A terminal gives a line at a time.
        let mut line = [0; 4096];
        let read = self.0.lock().read(&mut line).unwrap_or(0);
        line[..read].contains(&b'\n').then(|| String::from_utf8_lossy(&line[..read]).into_owned())
    }
}
