//! Signals as a source of the event loop.

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook_mio::v1_0::Signals as Source;

use super::interrupts;

/// The signals that this program handles. They are handled until the process ends.
pub struct Signals(Source);

impl Signals {
    /// Handles those of these signals that are not ignored.
    pub fn register(registry: &Registry, token: Token, signals: &[i32]) -> io::Result<Self> {
        let mut source = Source::new(interrupts::to_handle(signals))?;
        registry.register(&mut source, token, Interest::READABLE)?;
        Ok(Self(source))
    }

    /// The signals that have arrived since the last call.
    pub fn take(&mut self) -> Vec<i32> {
        self.0.pending().collect()
    }

    /// Stops this process as if it did not handle SIGTSTP, until the shell continues it.
    pub fn suspend() -> io::Result<()> {
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)
    }
}
