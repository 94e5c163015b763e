//! Host name patterns as OpenSSH matches them (`match.c`).

/// The maximum length of a name in bytes. As in OpenSSH (`match_pattern_list`), a line that
/// contains a longer name is ignored as a whole.
pub(super) const NAME_BYTES_MAX: usize = 1022;

/// The comma-separated names of a list, each with a flag that says whether the name is negated. The
/// `!` of a negated name is removed.
pub(super) fn names(list: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    list.split(|byte| *byte == b',').map(|name| match name.strip_prefix(b"!") {
        Some(name) => (true, name),
        None => (false, name),
    })
}

/// Whether a name contains no wildcard.
pub(super) fn is_literal(name: &[u8]) -> bool {
    !name.iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// Whether `name` matches a list, which means that at least one pattern matches and no negated
/// pattern does.
///
/// The name and the list must both be in lower case.
pub(super) fn list_matches(list: &[u8], name: &[u8]) -> bool {
    let mut matched = false;
    for (negated, pattern) in names(list) {
        if !glob_matches(pattern, name) {
            continue;
        }
        if negated {
            return false;
        }
        matched = true;
    }
    matched
}

/// Whether `name` matches a pattern in which `*` stands for any bytes and `?` for any one byte.
///
/// Backtracks only to the last `*`, which limits the work to `pattern.len() * name.len()` steps.
pub(crate) fn glob_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut in_pattern, mut in_name) = (0, 0);
    let mut retry = None;
    while let Some(&byte) = name.get(in_name) {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                in_pattern += 1;
                retry = Some((in_pattern, in_name));
            }
            Some(&wanted) if wanted == b'?' || wanted == byte => {
                in_pattern += 1;
                in_name += 1;
            }
            _ => {
                let Some((after_star, taken)) = retry else {
                    return false;
                };
                in_pattern = after_star;
                in_name = taken + 1;
                retry = Some((after_star, in_name));
            }
        }
    }
    pattern.get(in_pattern..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}
