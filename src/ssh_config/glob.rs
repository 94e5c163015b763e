//! The wildcards of `Include` (glob(3), POSIX 2.13).

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The files that a pattern stands for, in the order of their bytes. A path without wildcards
/// stands for itself if it exists. Folders that cannot be read count as empty.
pub(super) fn paths(pattern: &Path, max: usize) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        let bytes = part.as_bytes();
        if !bytes.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\')) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        found = found.iter().flat_map(|folder| matches_in(folder, bytes)).take(max + 1).collect();
    }
    found.retain(|path| fs::symlink_metadata(path).is_ok());
    found
}

fn matches_in(folder: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    let mut names: Vec<_> = names.filter(|name| matches(pattern, name.as_bytes())).collect();
    names.sort_unstable();
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// Whether a name matches a pattern with `*`, `?`, `[…]` and `\`. A dot at the start of a name
/// has to be written.
///
/// Backtracks only to the last `*`, which limits the work to `pattern.len() * name.len()` steps.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !matches!(pattern, [b'.', ..] | [b'\\', b'.', ..]) {
        return false;
    }
    let (mut rest, mut left) = (pattern, name);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', after @ ..] = rest {
            retry = Some((after, left));
            rest = after;
            continue;
        }
        let Some((&byte, left_after)) = left.split_first() else {
            return rest.is_empty();
        };
        match one(rest, byte) {
            Some(after) => (rest, left) = (after, left_after),
            None => {
                let Some((after_star, taken)) = retry else { return false };
                let Some((_, taken)) = taken.split_first() else { return false };
                retry = Some((after_star, taken));
                (rest, left) = (after_star, taken);
            }
        }
    }
}

/// The pattern after its first element, if that matches the byte.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', after @ ..] => Some(after),
        [b'[', after @ ..] => match set(after) {
            Some((negated, members, after)) => (holds(members, byte) != negated).then_some(after),
            None => (byte == b'[').then_some(after),
        },
        [b'\\', wanted, after @ ..] | [wanted, after @ ..] => (*wanted == byte).then_some(after),
        [] => None,
    }
}

/// Cuts a set after its `[` into its sign, its members, and what follows. A `]` at the start is a
/// member.
fn set(text: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (negated, text) = match text {
        [b'!' | b'^', text @ ..] => (true, text),
        _ => (false, text),
    };
    let end = text.iter().skip(1).position(|byte| *byte == b']')? + 1;
    Some((negated, &text[..end], &text[end + 1..]))
}

fn holds(mut members: &[u8], byte: u8) -> bool {
    loop {
        members = match members {
            [from, b'-', to, after @ ..] => {
                if (*from..=*to).contains(&byte) {
                    return true;
                }
                after
            }
            [member, after @ ..] => {
                if *member == byte {
                    return true;
                }
                after
            }
            [] => return false,
        };
    }
}
