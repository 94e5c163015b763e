//! Text for users, without characters that could control a terminal or mislead the reader.

use std::fmt::{self, Write as _};
use std::path::Path;

/// Text that is displayed with control characters, bidirectional controls and other invisible
/// characters escaped.
pub(super) struct Printable<'a>(pub(super) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\'' | '"' | '\\' => f.write_char(character)?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        Ok(())
    }
}

/// A path, escaped in the same way.
pub(super) struct PrintablePath<'a>(pub(super) &'a Path);

impl fmt::Display for PrintablePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.0.to_string_lossy()).fmt(f)
    }
}
