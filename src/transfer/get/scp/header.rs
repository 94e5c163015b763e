//! The lines that precede the contents of a file.

use crate::sftp::Times;

/// A line of the sender.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The times of the file that follows.
    Times(Times),
    /// A file follows. Its name is ignored, because the local path names the copy.
    File { mode: u32, size: u64 },
    /// A directory follows.
    Directory,
}

impl Line {
    /// Reads a line without its end. `None` if it is not such a line.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let (kind, rest) = line.split_first()?;
        let mut fields = rest.splitn(if *kind == b'T' { 4 } else { 3 }, |byte| *byte == b' ');
        let mut field = || fields.next();
        if *kind == b'T' {
            let (modified, _, access, _) =
                (seconds(field()?)?, number(field()?)?, seconds(field()?)?, number(field()?)?);
            return Some(Self::Times(Times { access, modified }));
        }
        let (mode, size, _name) = (mode(field()?)?, number(field()?)?, field()?);
        match kind {
            b'C' => Some(Self::File { mode, size }),
            b'D' => Some(Self::Directory),
            _ => None,
        }
    }
}

/// Four octal digits.
fn mode(field: &[u8]) -> Option<u32> {
    let is_mode = field.len() == 4 && field.iter().all(|byte| matches!(byte, b'0'..=b'7'));
    is_mode.then(|| field.iter().fold(0, |mode, byte| mode << 3 | u32::from(byte - b'0')))
}

fn number(field: &[u8]) -> Option<u64> {
    let is_number = field.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(field).ok().filter(|_| is_number)?.parse().ok()
}

/// Seconds as SFTP has them, which the copy gets. Later times become the latest one.
fn seconds(field: &[u8]) -> Option<u32> {
    Some(u32::try_from(number(field)?).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_sender_are_read() {
        let file = |mode, size| Some(Line::File { mode, size });
        let times = |modified, access| Some(Line::Times(Times { access, modified }));
        for (line, expected) in [
            ("C0644 5 name", file(0o644, 5)),
            ("C7777 18446744073709551615 ../../etc/passwd", file(0o7777, u64::MAX)),
            ("C0000 0  a name with blanks ", file(0, 0)),
            ("T1700000000 0 1600000000 999999", times(1_700_000_000, 1_600_000_000)),
            ("T4294967296 0 18446744073709551615 0", times(u32::MAX, u32::MAX)),
            ("D0755 0 name", Some(Line::Directory)),
        ] {
            assert_eq!(Line::parse(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn other_lines_are_not() {
        let lines = [
            "",
            "C",
            "E",
            "C0644",
            "C0644 5",
            "C644 5 name",
            "C00644 5 name",
            "C0648 5 name",
            "C+644 5 name",
            "C0644  5 name",
            "C0644 -5 name",
            "C0644 +5 name",
            "C0644 5x name",
            "C0644  name",
            "C0644 18446744073709551616 name",
            "c0644 5 name",
            " C0644 5 name",
            "\u{1}C0644 5 name",
            "T",
            "T1 0 2",
            "T1 0 2 ",
            "T-1 0 2 0",
            "T1 0 2 0 0",
            "T1  2 0",
            "T18446744073709551616 0 0 0",
            "E0644 5 name",
            "Connected to web1",
            "Too many users",
            "D0755 name",
        ];
        for line in lines {
            assert_eq!(Line::parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(Line::parse(b"C0644 \xff name"), None);
    }
}
