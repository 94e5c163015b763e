//! The fleet's keys, all derived from one seed, and the known_hosts lines that fit them.

use data_encoding::BASE64;
use rand::SeedableRng;
use rand::rngs::StdRng;
use ring::hmac;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey};

use crate::setting::HostKeyKind;

/// Generating an RSA key takes seconds in a debug build, so all fleets share this one.
const RSA_TEST_KEY: &str = include_str!("rsa_test_key.pem");

/// Key material of one fleet.
#[derive(Clone, Debug)]
pub struct Keys {
    seed: [u8; 32],
}

impl Keys {
    /// The keys that belong to `seed`.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// The key that the fleet's accounts accept: ed25519, without passphrase.
    ///
    /// # Errors
    /// None in practice: ed25519 keys can be made of any random bytes.
    pub fn user(&self) -> Result<PrivateKey, String> {
        self.derive(0, Algorithm::Ed25519)
    }

    /// The user key as an OpenSSH private key file.
    ///
    /// # Errors
    /// As for [`Keys::user`].
    pub fn user_openssh(&self) -> Result<String, String> {
        let text = self.user()?.to_openssh(LineEnding::LF);
        text.map(|text| text.to_string()).map_err(|error| error.to_string())
    }

    /// The host key of this type; all hosts share it. `other` gives the key of hosts whose key has changed.
    ///
    /// # Errors
    /// None in practice; for RSA none either, as the changed key is reported as unavailable.
    pub fn host(&self, kind: HostKeyKind, other: bool) -> Result<PrivateKey, String> {
        let ecdsa = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
        match (kind, other) {
            (HostKeyKind::Ed25519, false) => self.derive(1, Algorithm::Ed25519),
            (HostKeyKind::Ed25519, true) => self.derive(2, Algorithm::Ed25519),
            (HostKeyKind::EcdsaP256, false) => self.derive(3, ecdsa),
            (HostKeyKind::EcdsaP256, true) => self.derive(4, ecdsa),
            (HostKeyKind::Rsa, false) => {
                PrivateKey::from_openssh(RSA_TEST_KEY).map_err(|error| error.to_string())
            }
            (HostKeyKind::Rsa, true) => Err("there is one RSA host key only: it cannot change".to_owned()),
        }
    }

    /// The public host key as `TYPE BASE64`, the form of known_hosts lines and `ssh-keyscan`.
    ///
    /// # Errors
    /// As for [`Keys::host`].
    pub fn host_public(&self, kind: HostKeyKind) -> Result<String, String> {
        let key = self.host(kind, false)?;
        key.public_key().to_openssh().map(|text| without_comment(&text)).map_err(|error| error.to_string())
    }

    fn derive(&self, purpose: u8, algorithm: Algorithm) -> Result<PrivateKey, String> {
        let mut seed = self.seed;
        // The generator spreads any difference of its seed over all of its output.
        seed[31] ^= purpose;
        let mut random = StdRng::from_seed(seed);
        PrivateKey::random(&mut random, algorithm).map_err(|error| error.to_string())
    }
}

fn without_comment(public: &str) -> String {
    public.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// How `host` at `port` is named in known_hosts: `[host]:port`, without brackets at port 22.
#[must_use]
pub fn known_hosts_name(host: &str, port: u16) -> String {
    match port {
        22 => host.to_owned(),
        port => format!("[{host}]:{port}"),
    }
}

/// A name hashed as by `HashKnownHosts yes`: `|1|salt|HMAC-SHA1(salt, name)`, both in base64.
#[must_use]
pub fn hashed_name(name: &str, salt: [u8; 20]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    let hash = hmac::sign(&key, name.as_bytes());
    format!("|1|{}|{}", BASE64.encode(&salt), BASE64.encode(hash.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_make_keys_reproducible_and_distinct() {
        let (one, two) = (Keys::from_seed([1; 32]), Keys::from_seed([2; 32]));
        assert_eq!(one.user_openssh().unwrap(), Keys::from_seed([1; 32]).user_openssh().unwrap());
        let mut all: Vec<String> = Vec::new();
        for keys in [&one, &two] {
            all.push(keys.user().unwrap().public_key().to_openssh().unwrap());
            for (kind, other) in [
                (HostKeyKind::Ed25519, false),
                (HostKeyKind::Ed25519, true),
                (HostKeyKind::EcdsaP256, false),
                (HostKeyKind::EcdsaP256, true),
            ] {
                all.push(keys.host(kind, other).unwrap().public_key().to_openssh().unwrap());
            }
        }
        let number = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), number);
        assert!(one.host_public(HostKeyKind::Rsa).unwrap().starts_with("ssh-rsa AAAA"));
    }

    #[test]
    fn hashed_names_are_openssh_s() {
        // `ssh-keygen -H` made this line of `[127.1.0.1]:2222`.
        let line = "|1|b/2eYroH4+Mj08/nmn1EdVyGGKQ=|pg3u1T1eWhvyYQ7z0XscSiG8O+4=";
        let salt: [u8; 20] = BASE64.decode(b"b/2eYroH4+Mj08/nmn1EdVyGGKQ=").unwrap().try_into().unwrap();
        assert_eq!(hashed_name("[127.1.0.1]:2222", salt), line);
    }
}
