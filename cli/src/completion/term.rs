//! The last term of a set that is being written.

/// What a set ends with. `before` is all that stays as it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Term<'a> {
    Host {
        before: &'a str,
        typed: &'a str,
    },
    /// A group of a source, or of the default one.
    Group {
        before: &'a str,
        source: Option<&'a str>,
        typed: &'a str,
    },
    /// The name of a file with sets.
    File {
        before: &'a str,
        typed: &'a str,
    },
    /// A range, a regular expression, a port.
    Other,
}

/// The last term of an argument of `-w`.
pub fn of_set(set: &str) -> Term<'_> {
    let start = start(set);
    let Some(start) = start else { return Term::Other };
    // `-` excludes; it, files and expressions are at the beginning, or behind a comma or a blank.
    let is_apart = set[..start].chars().next_back().is_none_or(|c| c == ',' || c.is_whitespace());
    let start = start + usize::from(is_apart && set[start..].starts_with('-'));
    let term = &set[start..];
    if let Some(path) = term.strip_prefix('^') {
        return Term::File { before: &set[..=start], typed: path };
    }
    if is_apart && term.starts_with('/') {
        return Term::Other;
    }
    // `@group`, `user@@group`, `user@host`.
    let user = match term.find('@') {
        Some(0) | None => 0,
        Some(at) => at + 1,
    };
    let (before, typed) = set.split_at(start + user);
    match typed.strip_prefix('@') {
        Some(_) => group(set, before.len() + 1),
        None => Term::Host { before, typed },
    }
}

/// The last term of an argument of `-g`: a group, with or without `@`.
pub fn of_groups(set: &str) -> Term<'_> {
    match start(set) {
        Some(start) => group(set, start + usize::from(set[start..].starts_with('@'))),
        None => Term::Other,
    }
}

/// A group that is written from here on.
fn group(set: &str, at: usize) -> Term<'_> {
    match set[at..].split_once(':') {
        Some((source, typed)) => {
            Term::Group { before: &set[..set.len() - typed.len()], source: Some(source), typed }
        }
        None => Term::Group { before: &set[..at], source: None, typed: &set[at..] },
    }
}

/// Where the last term begins: behind the last operator outside of brackets. `None` inside of them.
fn start(set: &str) -> Option<usize> {
    let mut start = 0;
    let mut is_open = false;
    let mut is_file = false;
    for (at, c) in set.char_indices() {
        match c {
            // The name of a file ends at a comma or a blank.
            ',' | ' ' if !is_open => (start, is_file) = (at + 1, false),
            _ if is_file => {}
            '[' => is_open = true,
            ']' => is_open = false,
            '^' if at == start || set[start..at] == *"-" => is_file = true,
            '!' | '&' | '^' | '(' if !is_open => start = at + 1,
            _ => {}
        }
    }
    (!is_open).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_term_is_found() {
        let host = |before, typed| Term::Host { before, typed };
        let group = |before, source, typed| Term::Group { before, source, typed };
        let file = |before, typed| Term::File { before, typed };
        for (set, expected) in [
            ("", host("", "")),
            ("we", host("", "we")),
            ("web1,we", host("web1,", "we")),
            ("web[1-3,5],d", host("web[1-3,5],", "d")),
            ("web1!(db1,we", host("web1!(db1,", "we")),
            ("a1&b^c", host("a1&b^", "c")),
            ("-we", host("-", "we")),
            ("a,-we", host("a,-", "we")),
            ("my-we", host("", "my-we")),
            ("root@we", host("root@", "we")),
            ("web[1-", Term::Other),
            ("/we", Term::Other),
            ("@", group("@", None, "")),
            ("a @ra", group("a @", None, "ra")),
            ("-@ra", group("-@", None, "ra")),
            ("@racks:r", group("@racks:", Some("racks"), "r")),
            ("root@@racks:r", group("root@@racks:", Some("racks"), "r")),
            ("^/etc/ho", file("^", "/etc/ho")),
            ("a,-^my!dir/(x", file("a,-^", "my!dir/(x")),
            ("a!^f", file("a!^", "f")),
            ("^f,we", host("^f,", "we")),
        ] {
            assert_eq!(of_set(set), expected, "{set}");
        }
        for (set, expected) in [
            ("", group("", None, "")),
            ("@ra", group("@", None, "ra")),
            ("a,racks:r", group("a,racks:", Some("racks"), "r")),
            ("r[1-", Term::Other),
        ] {
            assert_eq!(of_groups(set), expected, "{set}");
        }
    }
}
