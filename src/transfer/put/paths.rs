//! Paths on a host. They are bytes, and their separator is a slash.

use crate::transfer::names::hidden;

/// The path of a name in a directory.
pub(in crate::transfer) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if name.is_empty() {
        return directory.to_vec();
    }
    let mut path = directory.to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The directory and the name of a path. The directory includes its slash, and is empty for a path
/// that has none.
pub(in crate::transfer) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let trimmed = trim(path);
    let at = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    trimmed.split_at(at)
}

/// A path without the slashes at its end, unless it is the root.
pub(in crate::transfer) fn trim(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(1, |last| last + 1);
    &path[..end.min(path.len())]
}

/// The name of the `number`th temporary file beside a target, such as `.app.conf.sshoal-1`. A name
/// that would be too long is cut.
pub(super) fn temporary(target: &[u8], number: u32) -> Vec<u8> {
    let (directory, name) = split(target);
    [directory, &hidden(name, &format!(".sshoal-{number}"))].concat()
}

/// Whether a name is one that [`temporary`] makes.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    let number = memchr::memmem::rfind(name, b".sshoal-").map(|at| &name[at + b".sshoal-".len()..]);
    let is_number = |number: &[u8]| !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    name.starts_with(b".") && number.is_some_and(is_number)
}

/// The directories above a path that may have to be created, the outermost first.
pub(in crate::transfer) fn parents(path: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = trim(split(path).0);
    while !rest.is_empty() && rest != b"/" {
        found.push(rest.to_vec());
        rest = trim(split(rest).0);
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn a_path_has_a_directory_and_a_name() {
        for (path, directory, name) in [
            ("/etc/motd", "/etc/", "motd"),
            ("motd", "", "motd"),
            ("/motd", "/", "motd"),
            ("a/b///", "a/", "b"),
            ("/", "/", ""),
        ] {
            assert_eq!(split(path.as_bytes()), (directory.as_bytes(), name.as_bytes()), "{path}");
        }
        assert_eq!(join(b"/etc/", b"motd"), b"/etc/motd");
        assert_eq!(join(b"etc", b"motd"), b"etc/motd");
        assert_eq!(join(b"etc", b""), b"etc");
    }

    #[test]
    fn parents_come_from_the_outermost() {
        assert_eq!(parents(b"/a/b/c"), [b"/a".to_vec(), b"/a/b".to_vec()]);
        assert_eq!(parents(b"a/b"), [b"a".to_vec()]);
        assert!(parents(b"a").is_empty() && parents(b"/a").is_empty());
    }

    #[test]
    fn a_temporary_name_fits_into_a_directory() {
        assert_eq!(temporary(b"/etc/motd", 1), b"/etc/.motd.sshoal-1");
        assert_eq!(temporary(&[b'a'; 255], 8).len(), limits::FILE_NAME_BYTES);
        assert!(is_temporary(b".motd.sshoal-1") && is_temporary(b"..sshoal-12"));
        for name in ["motd.sshoal-1", ".motd.sshoal-", ".motd.sshoal-x", ".sshoal", ".motd.sshoal-1~"] {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
    }
}
