//! Bytes of a host as a terminal may show them.

use std::borrow::Cow;

use sshoal::output::sanitise;

/// Escapes a line, except for its tabs, as [`sanitise`] does.
pub fn line(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return Cow::Borrowed(bytes);
    }
    let cells: Vec<Cow<'_, str>> = bytes.split(|byte| *byte == b'\t').map(sanitise).collect();
    Cow::Owned(cells.join("\t").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::line;

    #[track_caller]
    fn shown(bytes: &[u8], expected: &str) {
        assert_eq!(String::from_utf8_lossy(&line(bytes)), expected);
    }

    #[test]
    fn text_stays() {
        shown(b"plain, with\ttabs", "plain, with\ttabs");
        shown("Grüße, 世界\tΩ".as_bytes(), "Grüße, 世界\tΩ");
    }

    #[test]
    fn what_could_control_a_terminal_is_escaped() {
        shown(b"\x1b]52;c;AAAA\x07", r"\x1b]52;c;AAAA\x07");
        shown(b"\x1b[31mred", r"\x1b[31mred");
        shown(b"safe\rroot@web1", r"safe\rroot@web1");
        shown(b"\x9b2J\tx", "\\x9b2J\tx");
        shown("\u{202e}exe.txt".as_bytes(), r"\u{202e}exe.txt");
        shown(b"\x00\xff\xfe", r"\x00\xff\xfe");
    }
}
