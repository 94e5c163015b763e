//! The algorithms of connections: those that are offered, and those that were negotiated.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// A kind of algorithm, for which the caller can choose a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AlgorithmKind {
    KeyExchange,
    HostKey,
    Cipher,
    Mac,
    /// The types of the keys that users log in with.
    UserKey,
}

impl AlgorithmKind {
    pub(crate) const ALL: [Self; 5] =
        [Self::KeyExchange, Self::HostKey, Self::Cipher, Self::Mac, Self::UserKey];

    /// The setting that chooses algorithms of this kind.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::KeyExchange => "kex_algorithms",
            Self::HostKey => "host_key_algorithms",
            Self::Cipher => "ciphers",
            Self::Mac => "macs",
            Self::UserKey => "pubkey_algorithms",
        }
    }

    /// The algorithms that are offered by default, in order of preference, as far as libssh has
    /// them.
    pub(crate) fn defaults(self) -> &'static [&'static str] {
        match self {
            Self::KeyExchange => &KEY_EXCHANGES,
            Self::HostKey => &HOST_KEYS,
            Self::Cipher => &CIPHERS,
            Self::Mac => &MACS,
            Self::UserKey => &USER_KEYS,
        }
    }
}

/// libssh has the first since 0.12, where it costs 0.1 ms more than the second.
///
/// Four are missing because one step of them blocks the thread for too long: group16 (16 ms),
/// sntrup761 (12 ms, twice per handshake), group18 (150 ms), and group exchange (at least 115 ms,
/// depending on the group that the server chooses).
const KEY_EXCHANGES: [&str; 7] = [
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp521",
    "ecdh-sha2-nistp384",
    "diffie-hellman-group14-sha256",
];

/// The key exchanges that a quantum computer cannot break, in order of preference. sntrup761 comes
/// last because of its price.
pub(crate) const POST_QUANTUM: [&str; 5] = [
    "mlkem768x25519-sha256",
    "mlkem768nistp256-sha256",
    "mlkem1024nistp384-sha384",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
];

const HOST_KEYS: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// AES-GCM is offered only if libssh [checks its tags](super::engine::supports).
const CIPHERS: [&str; 6] = [
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
];

/// Like OpenSSH, this ends with HMAC-SHA1, which is not affected by the collisions of SHA-1.
const MACS: [&str; 6] = [
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1",
];

/// The default of OpenSSH. libssh's lacks certificates for Ed25519 in a security key.
const USER_KEYS: [&str; 16] = [
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// Why an algorithm cannot be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsupported {
    /// libssh does not have the algorithm.
    Unknown,
    /// libssh accepts the name, but has no host certificates.
    HostCertificate,
    /// libssh does not notice that data encrypted with this cipher was altered (CVE-2026-59847).
    Unverified,
}

/// The algorithms to offer to a server. Each list has the names in order of preference, separated
/// by commas, and only names that libssh has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Offered {
    pub key_exchanges: CString,
    pub host_keys: String,
    pub ciphers: CString,
    pub macs: CString,
    /// `None` stands for [the default](USER_KEYS).
    pub user_keys: Option<CString>,
    /// How many bits the RSA keys of servers and users must have. `None` stands for libssh's
    /// default, which is 1,024, or 2,048 under FIPS.
    pub rsa_bits_min: Option<u16>,
}

impl Offered {
    /// The types of keys to log in with, unless libssh's default will do. Setting them costs 3 µs
    /// per connection. Only an agent has keys for which libssh's default will not do.
    pub(crate) fn user_keys(&self, has_agent: bool) -> Option<&CStr> {
        static DEFAULT: LazyLock<CString> =
            LazyLock::new(|| CString::new(USER_KEYS.join(",")).unwrap_or_default());
        self.user_keys.as_deref().or_else(|| has_agent.then_some(&*DEFAULT))
    }

    /// The name of the group exchange that is offered. If both are offered, their common part.
    pub(crate) fn group_exchange(&self) -> &'static str {
        let offers = |hash: &[u8]| {
            self.key_exchanges
                .to_bytes()
                .split(|byte| *byte == b',')
                .any(|name| name.strip_prefix(b"diffie-hellman-group-exchange-") == Some(hash))
        };
        match (offers(b"sha256"), offers(b"sha1")) {
            (true, false) => "diffie-hellman-group-exchange-sha256",
            (false, true) => "diffie-hellman-group-exchange-sha1",
            _ => "diffie-hellman-group-exchange",
        }
    }

    /// The host key algorithms. Those on record for the host come first, so that a host with
    /// several keys shows the known one (OpenSSH: `order_hostkeyalgs`).
    pub(crate) fn host_keys_for(&self, recorded: &[&'static str]) -> Cow<'_, str> {
        // The algorithms on record never include `ssh-rsa`, which signs with the same keys.
        let is_recorded =
            |name: &&str| recorded.contains(name) || *name == "ssh-rsa" && recorded.contains(&"rsa-sha2-256");
        let names = || self.host_keys.split(',');
        if !names().any(|name| is_recorded(&name)) {
            return self.host_keys.as_str().into();
        }
        let mut list = String::with_capacity(self.host_keys.len() + 1);
        let known = names().filter(is_recorded);
        for name in known.chain(names().filter(|name| !is_recorded(name))) {
            list.extend([name, ","]);
        }
        list.pop();
        list.into()
    }
}

/// The algorithms that a host and sshoal have agreed on for their connection. Names are those of
/// SSH, as in OpenSSH's configuration. `Display` shows them in one line.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Algorithms(Arc<Names<String>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Names<T> {
    pub key_exchange: T,
    pub host_key: T,
    /// The cipher and the MAC in the direction to the host, and in the other.
    pub sent: (T, T),
    pub received: (T, T),
}

impl Names<String> {
    fn is(&self, other: &Names<&str>) -> bool {
        let pair =
            |(cipher, mac): &(String, String), other: (&str, &str)| cipher == other.0 && mac == other.1;
        self.key_exchange == other.key_exchange
            && self.host_key == other.host_key
            && pair(&self.sent, other.sent)
            && pair(&self.received, other.received)
    }
}

impl Algorithms {
    /// Hosts that have agreed to the same algorithms share them. Most hosts do, so few are kept for
    /// later hosts.
    pub(crate) fn shared(names: Names<&str>) -> Self {
        const KEPT: usize = 16;
        static KNOWN: Mutex<Vec<Algorithms>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.iter().find(|known| known.0.is(&names)) {
            return same.clone();
        }
        let both = |(cipher, mac): (&str, &str)| (cipher.to_owned(), mac.to_owned());
        let new = Self(Arc::new(Names {
            key_exchange: names.key_exchange.to_owned(),
            host_key: names.host_key.to_owned(),
            sent: both(names.sent),
            received: both(names.received),
        }));
        if known.len() < KEPT {
            known.push(new.clone());
        }
        new
    }

    /// The key exchange, for instance `curve25519-sha256`. Before 0.12, libssh does not report
    /// which hash a group exchange uses: if both are offered, this is
    /// `diffie-hellman-group-exchange`.
    #[must_use]
    pub fn key_exchange(&self) -> &str {
        &self.0.key_exchange
    }

    /// Whether a quantum computer cannot break the key exchange, so that recorded traffic stays
    /// secret.
    #[must_use]
    pub fn is_post_quantum(&self) -> bool {
        POST_QUANTUM.contains(&self.key_exchange())
    }

    /// The type of the host's key, for instance `ssh-ed25519`. libssh does not report which hash an
    /// RSA key (`ssh-rsa`) signed with; SHA-1 is possible only if the caller has allowed it.
    #[must_use]
    pub fn host_key(&self) -> &str {
        &self.0.host_key
    }

    /// The cipher for data that is sent to the host.
    #[must_use]
    pub fn cipher_sent(&self) -> &str {
        &self.0.sent.0
    }

    /// The cipher for data that is received from the host.
    #[must_use]
    pub fn cipher_received(&self) -> &str {
        &self.0.received.0
    }

    /// The MAC for data that is sent to the host; `None` if the cipher authenticates data itself.
    #[must_use]
    pub fn mac_sent(&self) -> Option<&str> {
        mac(&self.0.sent)
    }

    /// The MAC for data that is received from the host; `None` if the cipher authenticates data
    /// itself.
    #[must_use]
    pub fn mac_received(&self) -> Option<&str> {
        mac(&self.0.received)
    }
}

/// libssh's names for the absent MAC of a cipher that authenticates data itself begin with `aead-`.
fn mac((_, mac): &(String, String)) -> Option<&str> {
    Some(mac.as_str()).filter(|mac| !mac.starts_with("aead-"))
}

impl fmt::Display for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.key_exchange(), self.host_key())?;
        let Names { sent, received, .. } = &*self.0;
        let ways = [("", sent), (" to the host", sent), (" from the host", received)];
        for (direction, way) in if sent == received { &ways[..1] } else { &ways[1..] } {
            write!(f, ", {}", way.0)?;
            mac(way).map_or(Ok(()), |mac| write!(f, " with {mac}"))?;
            f.write_str(direction)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Algorithms({self})")
    }
}

#[cfg(test)]
impl Offered {
    /// The default, except for what only some versions of libssh can do.
    pub(crate) fn for_tests() -> Self {
        let list = |kind: AlgorithmKind| {
            let is_common = |name: &&&str| !name.starts_with("mlkem") && !name.contains("-gcm@");
            kind.defaults().iter().filter(is_common).copied().collect::<Vec<_>>().join(",")
        };
        let c_list = |kind| CString::new(list(kind)).unwrap();
        Self {
            key_exchanges: c_list(AlgorithmKind::KeyExchange),
            host_keys: list(AlgorithmKind::HostKey),
            ciphers: c_list(AlgorithmKind::Cipher),
            macs: c_list(AlgorithmKind::Mac),
            user_keys: None,
            rsa_bits_min: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_types_are_offered_first() {
        let offered = Offered::for_tests();
        let order = offered.host_keys_for(&["rsa-sha2-512", "rsa-sha2-256"]);
        assert!(order.starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519,"));
        assert_eq!(order.split(',').count(), HOST_KEYS.len());
    }

    #[test]
    fn a_recorded_type_that_libssh_cannot_verify_is_not_offered() {
        assert!(Offered::for_tests().host_keys_for(&["ssh-dss"]).starts_with("ssh-ed25519,"));
    }

    #[test]
    fn recorded_types_keep_the_order_of_the_caller() {
        let host_keys = "ssh-ed25519,ssh-rsa,ecdsa-sha2-nistp256,rsa-sha2-256".to_owned();
        let offered = Offered { host_keys, ..Offered::for_tests() };
        let order = offered.host_keys_for(&["rsa-sha2-512", "rsa-sha2-256"]);
        assert_eq!(order, "ssh-rsa,rsa-sha2-256,ssh-ed25519,ecdsa-sha2-nistp256");
    }

    #[test]
    fn equal_algorithms_are_shared() {
        let of = |cipher| {
            let names =
                Names { key_exchange: "kex", host_key: "key", sent: (cipher, ""), received: ("b", "") };
            Algorithms::shared(names)
        };
        assert!(Arc::ptr_eq(&of("a").0, &of("a").0));
        assert_ne!(of("a"), of("b"));
    }

    #[test]
    fn algorithms_fit_into_a_line() {
        let line = |sent: &str, received: &str| {
            let (key_exchange, host_key) = ("curve25519-sha256", "ssh-ed25519");
            let (sent, received) = (("aes256-ctr", sent), ("aes256-ctr", received));
            Algorithms::shared(Names { key_exchange, host_key, sent, received }).to_string()
        };
        assert_eq!(line("aead-gcm", "aead-gcm"), "curve25519-sha256, ssh-ed25519, aes256-ctr");
        assert_eq!(
            line("hmac-sha1", "aead-gcm"),
            "curve25519-sha256, ssh-ed25519, aes256-ctr with hmac-sha1 to the host, aes256-ctr from the host"
        );
    }
}
