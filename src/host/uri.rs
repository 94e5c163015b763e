//! Addresses of the form `ssh://[user@]host[:port]` (RFC 3986; OpenSSH: `parse_ssh_uri`).

use super::{HostSpec, HostSpecPart, HostSpecProblem, parse_port, split_port};

const SCHEME: &str = "ssh://";

/// The part of an address after the scheme; `None` if the text has no scheme.
pub(super) fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, address) = text.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(address)
}

/// Parses the part after the scheme.
pub(super) fn parse(address: &str) -> Result<HostSpec, HostSpecProblem> {
    let (authority, path) = address.split_once('/').unwrap_or((address, ""));
    if !path.is_empty() {
        return Err(HostSpecProblem::Path);
    }
    let (user, address) = match authority.split_once('@') {
        Some((user, address)) => (Some(decoded(user)?), address),
        None => (None, authority),
    };
    let (host, port) = split_port(address)?;
    let port = port.map(parse_port).transpose()?;
    HostSpec::checked(user.as_deref(), &host.replacen("%25", "%", 1), port)
}

/// Replaces `%` and two hexadecimal digits by the byte that they stand for.
fn decoded(user: &str) -> Result<String, HostSpecProblem> {
    let invalid = || HostSpecProblem::Character { part: HostSpecPart::User, character: '%' };
    let mut bytes = Vec::with_capacity(user.len());
    let mut rest = user.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>().ok_or_else(invalid)?;
        let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
        let (high, low) = high.zip(low).ok_or_else(invalid)?;
        bytes.push((high << 4 | low) as u8);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| invalid())
}
