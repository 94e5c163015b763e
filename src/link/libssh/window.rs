//! How the window of a channel is kept open, so that a distant server can always send.

use super::library::reads_grow_windows;
use crate::limits;

/// Half of libssh's window since 0.11, by which it grows.
const HALF: usize = limits::WINDOW / 2;

/// What is counted to keep a window open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    /// libssh 0.10 grows a window when less than half of it is left. From a distant server, half of
    /// a window has always arrived by then, and the other half is used up until the server hears of
    /// it, so half of a window arrives per round trip. But a read of more bytes than the window has
    /// grows it too. `arrived` counts the bytes since the last one.
    Grown { arrived: usize },
    /// Since 0.11, libssh grows a window when half of it or more was taken, and nobody else can.
    Left,
    /// The same for the server of a transfer, whose bytes may be lost with its connection. Each
    /// time, exactly half of a window is taken, and the rest of the packet a moment later. If more
    /// was taken, less than half would be left for the next growth when the server has sent what it
    /// may, and it would wait for a round trip. `taken` counts the bytes of this half.
    InHalves { taken: usize },
}

impl Window {
    pub(super) fn new() -> Self {
        if reads_grow_windows() { Self::Grown { arrived: 0 } } else { Self::Left }
    }

    /// Takes data in halves of a window from now on, if that helps.
    pub(super) fn take_halves(&mut self) {
        if *self == Self::Left {
            *self = Self::InHalves { taken: 0 };
        }
    }

    /// Returns how many bytes of standard output to take now. libssh has `bytes`, of which `held`
    /// were held back before.
    pub(super) fn take(&mut self, bytes: usize, held: usize) -> usize {
        match self {
            Self::Left => bytes,
            Self::Grown { arrived } => {
                *arrived = arrived.saturating_add(bytes.saturating_sub(held));
                bytes
            }
            Self::InHalves { taken } => {
                let now = bytes.min(HALF - *taken);
                *taken = (*taken + now) % HALF;
                now
            }
        }
    }

    /// Counts bytes that are all taken.
    pub(super) fn pass(&mut self, bytes: usize) {
        match self {
            Self::InHalves { taken } => {
                let total = taken.saturating_add(bytes);
                *taken = if total < HALF { total } else { 0 };
            }
            _ => _ = self.take(bytes, 0),
        }
    }

    /// Whether a read should grow the window.
    pub(super) fn needs_read(&self) -> bool {
        matches!(self, Self::Grown { arrived } if *arrived >= limits::WINDOW_STEP)
    }

    /// Notes that a read has grown the window.
    pub(super) fn was_read(&mut self) {
        if let Self::Grown { arrived } = self {
            *arrived = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_taken_to_the_byte() {
        let mut window = Window::Left;
        window.take_halves();
        assert_eq!(window.take(HALF - 10, 0), HALF - 10);
        // A packet across the border: its rest is taken next.
        assert_eq!(window.take(30, 0), 10);
        assert_eq!(window.take(20 + 100, 20), 120);
        assert_eq!(window, Window::InHalves { taken: 120 });
        // Standard error is taken whole, and what follows counts from there.
        window.pass(HALF);
        assert_eq!(window, Window::InHalves { taken: 0 });
    }

    #[test]
    fn a_window_is_grown_after_a_step() {
        let mut window = Window::Grown { arrived: 0 };
        window.take_halves();
        assert_eq!(window.take(limits::WINDOW_STEP - 1, 0), limits::WINDOW_STEP - 1);
        assert!(!window.needs_read());
        assert_eq!(window.take(11, 10), 11);
        assert!(window.needs_read());
        window.was_read();
        assert!(!window.needs_read());
    }
}
