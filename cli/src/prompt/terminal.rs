//! The modes of the terminal that the prompt is on.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Keeps SIGWINCH away from this thread and those that it starts. The kernel tells any thread that
/// may be told of a new size of the terminal, but only the one that reads keys draws its line
/// again.
pub fn hold_resizes() {
    if let Err(error) = SigSet::from(Signal::SIGWINCH).thread_block() {
        log::info!("a line that is typed does not follow the size of the terminal: {error}");
    }
}

/// Lets SIGWINCH reach this thread, and processes that it starts.
pub fn take_resizes() {
    // It fails for no signal that exists.
    let _ = SigSet::from(Signal::SIGWINCH).thread_unblock();
}

/// The terminal on standard input. It gets its modes back when this is dropped: a signal may end
/// the prompt while a line is edited.
pub struct Terminal {
    found: Termios,
}

impl Terminal {
    pub fn of_stdin() -> io::Result<Self> {
        Ok(Self { found: tcgetattr(io::stdin())? })
    }

    /// Shows what is typed, or not: it would tear the progress line.
    pub fn echo(&self, shows: bool) {
        let mut modes = self.found.clone();
        modes.local_modes.set(LocalModes::ECHO, shows);
        self.set(&modes);
    }

    fn set(&self, modes: &Termios) {
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Drain, modes) {
            log::warn!("cannot set the modes of the terminal: {error}");
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.set(&self.found);
    }
}
