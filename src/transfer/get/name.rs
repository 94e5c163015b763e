//! Local paths made from the names of hosts and of their files.

use crate::transfer::put::paths::{split, trim};

/// A local path with placeholders, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Host,
    Name,
    Path,
}

impl Template {
    /// Parses a local path. A path that ends with a slash is that of a directory, in which the copy
    /// has the name of the remote path. The error says what is wrong.
    pub(super) fn parse(path: &[u8]) -> Result<Self, &'static str> {
        let mut pieces = vec![Piece::Text(Vec::new())];
        let mut rest = path;
        while let Some((&byte, after)) = rest.split_first() {
            let (piece, after) = match byte {
                b'{' | b'}' if after.first() == Some(&byte) => (Piece::Text(vec![byte]), &after[1..]),
                b'{' => placeholder(after)?,
                b'}' => return Err("write a closing brace as }}"),
                _ => (Piece::Text(vec![byte]), after),
            };
            match (pieces.last_mut(), piece) {
                (Some(Piece::Text(text)), Piece::Text(more)) => text.extend(more),
                (_, piece) => pieces.push(piece),
            }
            rest = after;
        }
        if path.ends_with(b"/") {
            pieces.push(Piece::Name);
        }
        Ok(Self(pieces))
    }

    /// Whether the path depends on the remote path.
    pub(super) fn needs_name(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Name | Piece::Path))
    }

    pub(super) fn fill(&self, remote: &[u8], host: &str) -> Vec<u8> {
        let mut path = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => path.extend_from_slice(text),
                Piece::Host => path.extend(component(host)),
                Piece::Name => path.extend_from_slice(name_of(remote).unwrap_or_default()),
                Piece::Path => path.extend(names(remote).collect::<Vec<_>>().join(&b'/')),
            }
        }
        path
    }
}

fn placeholder(rest: &[u8]) -> Result<(Piece, &[u8]), &'static str> {
    for (name, piece) in [("host}", Piece::Host), ("name}", Piece::Name), ("path}", Piece::Path)] {
        if let Some(after) = rest.strip_prefix(name.as_bytes()) {
            return Ok((piece, after));
        }
    }
    Err("the placeholders are {host}, {name} and {path}; write an opening brace as {{")
}

/// The name of a host as the name of one directory.
fn component(host: &str) -> Vec<u8> {
    match host {
        "" | "." | ".." => b"_".to_vec(),
        host => host.bytes().map(|byte| if matches!(byte, b'/' | 0) { b'_' } else { byte }).collect(),
    }
}

/// The last name of a remote path, if it has one.
pub(super) fn name_of(remote: &[u8]) -> Option<&[u8]> {
    Some(split(trim(remote)).1).filter(|name| !matches!(*name, b"" | b"." | b".."))
}

/// The names of a remote path that lead down.
fn names(remote: &[u8]) -> impl Iterator<Item = &[u8]> {
    remote.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"." | b".."))
}

/// A local path without placeholders, as a template.
pub(super) fn escape(path: &[u8]) -> Vec<u8> {
    let doubled = |byte: &u8| if matches!(byte, b'{' | b'}') { vec![*byte; 2] } else { vec![*byte] };
    path.iter().flat_map(doubled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, remote: &str, host: &str) -> String {
        let path = Template::parse(template.as_bytes()).unwrap().fill(remote.as_bytes(), host);
        String::from_utf8(path).unwrap()
    }

    #[test]
    fn placeholders_are_replaced() {
        for (template, expected) in [
            ("copy", "copy"),
            ("logs/{host}/{name}", "logs/web1/syslog"),
            ("logs/{host}/", "logs/web1/syslog"),
            ("{host}/{path}", "web1/var/log/syslog"),
            ("{name}_{host}", "syslog_web1"),
            ("{{host}}-{host}", "{host}-web1"),
        ] {
            assert_eq!(fill(template, "/var//log/./syslog", "web1"), expected, "{template}");
        }
    }

    #[test]
    fn no_host_leads_out_of_its_place() {
        for (host, expected) in
            [("..", "x/_"), ("../../etc", "x/.._.._etc"), ("fe80::1%eth0", "x/fe80::1%eth0")]
        {
            assert_eq!(fill("x/{host}", "a", host), expected);
        }
        assert_eq!(fill("x/{path}", "../../etc/../passwd", "h"), "x/etc/passwd");
        assert_eq!(name_of(b"/"), None);
        for (host, expected) in [("", "x/_"), (".", "x/_"), ("a\0b", "x/a_b")] {
            assert_eq!(fill("x/{host}", "a", host), expected);
        }
        assert_eq!(name_of(b"a/.."), None);
        assert_eq!(name_of(b"a/."), None);
    }

    #[test]
    fn a_template_may_need_the_remote_path() {
        for (template, needs) in
            [("copy", false), ("{host}", false), ("{name}", true), ("{path}", true), ("directory/", true)]
        {
            assert_eq!(Template::parse(template.as_bytes()).unwrap().needs_name(), needs, "{template}");
        }
    }

    #[test]
    fn other_braces_are_errors() {
        for template in ["{user}", "{", "a}", "{host"] {
            assert!(Template::parse(template.as_bytes()).is_err(), "{template}");
        }
        assert_eq!(Template::parse(&escape(b"a{host}")).unwrap().fill(b"r", "h"), b"a{host}");
    }
}
