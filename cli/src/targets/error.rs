//! What is wrong with a set of hosts.

use std::fmt;

use sshoal::output::sanitise;

/// Why targets cannot be found. The text is safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// So many characters of a text are shown on each side of a fault.
const SHOWN_AROUND: usize = 30;

/// So many characters of a text are shown elsewhere.
const SHOWN: usize = 120;

impl Error {
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }

    /// Names the place in a text: the line, if there are several, and the column, both from 1.
    ///
    /// `at` is in bytes.
    pub fn at(text: &str, at: usize, what: impl fmt::Display) -> Self {
        let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
        let lines = before.matches('\n').count() + 1;
        let line = if text.contains('\n') { format!("line {lines}, ") } else { String::new() };
        let before = before.rsplit('\n').next().unwrap_or_default();
        let after = after.split('\n').next().unwrap_or_default();
        let column = before.chars().count() + 1;
        let skipped = (column - 1).saturating_sub(SHOWN_AROUND);
        let before: String = before.chars().skip(skipped).collect();
        let mut rest = after.chars();
        let after: String = rest.by_ref().take(SHOWN_AROUND).collect();
        let [start, end] = [skipped > 0, rest.next().is_some()].map(|cut| if cut { "…" } else { "" });
        let (before, after) = (sanitise(&before), sanitise(&after));
        Self(format!("{what}, at {line}column {column} of \"{start}{before}{after}{end}\""))
    }

    /// Says where the text is from: `--hostfile: hosts.txt: …`.
    #[must_use]
    pub fn within(self, place: impl fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

/// The beginning of a text, safe for a terminal.
pub fn shown(text: &str) -> String {
    let end = text.char_indices().nth(SHOWN).map_or(text.len(), |(at, _)| at);
    let cut = if end < text.len() { "…" } else { "" };
    format!("{}{cut}", sanitise(&text[..end]))
}
