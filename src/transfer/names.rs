//! Names of files: those that hosts send, and those of temporary files.

use crate::error::TransferProblem;
use crate::limits;
use crate::text::sanitise_bounded;

/// Why this is not a name of at most `max` bytes in one directory.
pub(super) fn fault(name: &[u8], max: usize) -> Option<&'static str> {
    match name {
        b"" => Some("is empty"),
        b"." | b".." => Some("leads to another directory"),
        name if name.contains(&b'/') => Some("contains a slash"),
        name if name.contains(&0) => Some("contains a NUL byte"),
        name if name.len() > max => Some("is too long"),
        _ => None,
    }
}

/// The name of an entry in a directory of a host. `None` for the directory itself, and for the one
/// above it.
pub(super) fn entry(name: &[u8]) -> Result<Option<&[u8]>, TransferProblem> {
    match name {
        b"." | b".." => Ok(None),
        name => match fault(name, limits::REMOTE_NAME_BYTES) {
            None => Ok(Some(name)),
            Some(reason) => {
                let name = sanitise_bounded(name, limits::PEER_TEXT);
                let text = format!("the name of an entry of a directory {reason}: \"{name}\"");
                Err(TransferProblem::Protocol(text))
            }
        },
    }
}

/// The name `.NAME` with this end. A name that would be too long is cut.
pub(super) fn hidden(name: &[u8], end: &str) -> Vec<u8> {
    let room = limits::FILE_NAME_BYTES - 1 - end.len();
    [b".", &name[..name.len().min(room)], end.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_in_one_directory() {
        let (longest, longer) = ([b'n'; 255], [b'n'; 256]);
        for (name, expected) in [
            (&b""[..], Some("is empty")),
            (b".", Some("leads to another directory")),
            (b"..", Some("leads to another directory")),
            (b"a/b", Some("contains a slash")),
            (b"a\0b", Some("contains a NUL byte")),
            (&longer, Some("is too long")),
            (&longest, None),
            (b"...", None),
            (b"a\nb", None),
        ] {
            assert_eq!(fault(name, limits::FILE_NAME_BYTES), expected);
        }
        assert!(matches!((entry(b"."), entry(b"..")), (Ok(None), Ok(None))));
        assert!(matches!(entry(&longer), Ok(Some(name)) if name == longer));
        let error = entry(&[b'n'; limits::REMOTE_NAME_BYTES + 1]).unwrap_err().to_string();
        assert!(error.contains("the name of an entry of a directory is too long: \"nnn"), "{error}");
    }

    #[test]
    fn a_hidden_name_fits_into_a_directory() {
        assert_eq!(hidden(b"motd", ".sshoal-1"), b".motd.sshoal-1");
        for length in [244, 245, 246, 300] {
            let name = hidden(&vec![b'n'; length], ".sshoal-1");
            assert_eq!(name.len(), (length + 10).min(255));
            assert!(name.ends_with(b"n.sshoal-1"));
        }
    }
}
