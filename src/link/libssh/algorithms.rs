//! Which algorithms this libssh has, and what to do if a server has none of those offered.

#![allow(unsafe_code)]

use std::ffi::CString;

use libssh_rs::sys;
use libssh_rs::sys::ssh_options_e::{self, *};

use super::raw_session::OptionValue::Text;
use super::raw_session::RawSession;
use super::{call_scope::CallScope, gcm};
use crate::link::algorithms::{AlgorithmKind, POST_QUANTUM, Unsupported};

/// How many algorithms of a server are looked at to explain why it has none in common.
const LOOKED_AT: usize = 32;

/// Whether libssh can use the algorithm safely. libssh's version does not tell, because
/// distributions change what it has and fix it without changing the version.
pub(crate) fn supports(kind: AlgorithmKind, name: &str) -> Result<(), Unsupported> {
    if !has(kind, name) {
        return Err(Unsupported::Unknown);
    }
    match kind {
        // libssh drops these names later, and sends no list at all if no other name is left.
        AlgorithmKind::HostKey if name.contains("-cert-v0") => Err(Unsupported::HostCertificate),
        AlgorithmKind::Cipher if name.contains("-gcm") && !gcm::is_verified(name) => {
            Err(Unsupported::Unverified)
        }
        _ => Ok(()),
    }
}

/// Whether libssh has an algorithm of this name. It drops unknown names from a list, and refuses a
/// list of unknown names only.
fn has(kind: AlgorithmKind, name: &str) -> bool {
    // libssh would change its default by a list that begins with one of these.
    if name.starts_with(['+', '-', '^']) || name.contains(',') {
        return false;
    }
    let (Ok(name), Ok(mut raw)) = (CString::new(name), RawSession::new(c"")) else { return false };
    let _scope = CallScope::nested(sys::SSH_LOG_WARN);
    // SAFETY: the option takes a C string.
    unsafe { raw.set(&[(option(kind), Text(&name))]) }.is_ok()
}

fn option(kind: AlgorithmKind) -> ssh_options_e {
    match kind {
        AlgorithmKind::KeyExchange => SSH_OPTIONS_KEY_EXCHANGE,
        AlgorithmKind::HostKey => SSH_OPTIONS_HOSTKEYS,
        AlgorithmKind::Cipher => SSH_OPTIONS_CIPHERS_C_S,
        AlgorithmKind::Mac => SSH_OPTIONS_HMAC_C_S,
        AlgorithmKind::UserKey => SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES,
    }
}

/// Says which setting would allow an algorithm of the server. `text` is libssh's error, such as
/// "kex error : no match for method kex algos: server [a,b], client [c]".
pub(super) fn explain_mismatch(text: &str) -> Option<String> {
    let (_, text) = text.split_once("no match for method ")?;
    let (method, lists) = text.split_once(": server [")?;
    // libssh cuts long texts.
    let (server, client) = lists.split_once("], client [").unwrap_or((lists, ""));
    let (kind, what) = match method.split(' ').next()? {
        "kex" => (AlgorithmKind::KeyExchange, "key exchange"),
        "server" => (AlgorithmKind::HostKey, "host key"),
        "encryption" => (AlgorithmKind::Cipher, "encryption"),
        "mac" => (AlgorithmKind::Mac, "MAC"),
        _ => return None,
    };
    let offered: Vec<&str> = names(server).take(LOOKED_AT).collect();
    let is_quantum_safe = names(client.trim_end_matches(']')).all(|name| POST_QUANTUM.contains(&name));
    let remedy = match offered.iter().find(|name| supports(kind, name).is_ok()) {
        Some(_) if is_quantum_safe => "require_post_quantum allows none of the server's".to_owned(),
        Some(name) => format!("{}(\"+{name}\") would allow one of the server's", kind.setting()),
        None => "libssh can use none of the server's".to_owned(),
    };
    Some(format!("{what}: {remedy}: {}", offered.join(", ")))
}

/// The names in a list. The lists of key exchanges also have the names of two extensions.
fn names(list: &str) -> impl Iterator<Item = &str> {
    let is_extension = |name: &str| name.starts_with("ext-info-") || name.starts_with("kex-strict-");
    list.split(',').filter(move |name| !is_extension(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_none_are_not_supported() {
        for name in
            ["", "+aes128-ctr", "-aes128-ctr", "^aes128-ctr", "aes128-ctr,aes256-ctr", "a\0", "AES128-CTR"]
        {
            assert_eq!(supports(AlgorithmKind::Cipher, name), Err(Unsupported::Unknown), "{name:?}");
        }
        assert_eq!(supports(AlgorithmKind::Cipher, "aes128-ctr"), Ok(()));
        let certificate = "ssh-ed25519-cert-v01@openssh.com";
        assert_eq!(supports(AlgorithmKind::HostKey, certificate), Err(Unsupported::HostCertificate));
        assert_eq!(supports(AlgorithmKind::UserKey, certificate), Ok(()));
    }

    #[test]
    fn an_error_names_the_setting_that_would_help() {
        let explained = |method: &str, server: &str, client: &str| {
            let text =
                format!("kex error : no match for method {method}: server [{server}], client [{client}]");
            explain_mismatch(&text).unwrap()
        };
        let group18 = "diffie-hellman-group18-sha512";
        assert_eq!(
            explained("kex algos", &format!("{group18},kex-strict-s-v00@openssh.com"), "curve25519-sha256"),
            format!(
                "key exchange: kex_algorithms(\"+{group18}\") would allow one of the server's: {group18}"
            )
        );
        assert_eq!(
            explained("kex algos", "curve25519-sha256", "sntrup761x25519-sha512,ext-info-c"),
            "key exchange: require_post_quantum allows none of the server's: curve25519-sha256"
        );
        assert_eq!(
            explained("mac algo client->server", "umac-64@openssh.com", "hmac-sha2-256"),
            "MAC: libssh can use none of the server's: umac-64@openssh.com"
        );
        let cut =
            format!("kex error : no match for method mac algo server->client: server [{}", "x,".repeat(500));
        assert!(explain_mismatch(&cut).unwrap().starts_with("MAC: libssh can use none"));
        assert_eq!(explain_mismatch("kex error : did not receive"), None);
    }
}
