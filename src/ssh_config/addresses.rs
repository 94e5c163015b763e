//! Host names that are addresses (ssh.c, `is_addr` and `resolve_canonicalize`).

use crate::address::literal;
use crate::host::AddressFamily;

/// The name to connect to: lower case, or an address in its usual notation.
pub(super) fn normalised(name: String, family: AddressFamily) -> String {
    // The zone of an address stays, and the address with it.
    if let Some((address, None)) = literal(&name)
        && family.admits(address)
    {
        let usual = address.to_string();
        // OpenSSH keeps an address that differs in case only.
        return if usual.eq_ignore_ascii_case(&name) { name } else { usual };
    }
    let is_numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_numeric || name.contains(['%', ':']) { name } else { name.to_ascii_lowercase() }
}
