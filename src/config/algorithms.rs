//! Which algorithms are offered: lists in OpenSSH's syntax, and what they leave of the default.

use std::ffi::CString;

use super::builder::{ClientBuilder, FleetBuilder};
use super::host_config::HostConfig;
use super::layers::Given;
use super::proxy::Proxy;
use super::settings::settings;
use crate::error::{ConfigProblem, Error, Origin};
use crate::hostkey::glob_matches;
use crate::link::algorithms::{AlgorithmKind, Offered, POST_QUANTUM, Unsupported};
use crate::link::engine;
use crate::ssh_config::{AlgorithmList, ListChange};

settings! { HostConfig, FleetBuilder.client, ClientBuilder.fleet; {
    /// The key exchanges to offer, in order of preference (OpenSSH: `KexAlgorithms`).
    ///
    /// A list has OpenSSH's syntax: names separated by commas (or it is an [`AlgorithmList`]). A
    /// list that begins with `+` is added to the end of the default, and one that begins with `^`
    /// to its front. A list that begins with `-` is removed from the default, and may contain the
    /// wildcards `*` and `?`. The default is the one below, even if the client has another list
    /// than the host.
    ///
    /// Default: `mlkem768x25519-sha256`, `curve25519-sha256` (also as
    /// `curve25519-sha256@libssh.org`), `ecdh-sha2-nistp256`, `ecdh-sha2-nistp521`,
    /// `ecdh-sha2-nistp384`, `diffie-hellman-group14-sha256`, as far as the libssh in use has them.
    ///
    /// [`build`](ClientBuilder::build) returns an [`Error::Config`](crate::Error::Config) if the
    /// libssh in use lacks an algorithm of the list, or if the list leaves no algorithm. All lists
    /// of algorithms are checked in this way.
    ///
    /// The following can be added. A slow step blocks the thread, and so all other hosts, each time
    /// that keys are exchanged. The weak ones are for devices that have nothing better.
    ///
    /// | name | CPU time of one step, and weakness |
    /// |---|---|
    /// | `mlkem768nistp256-sha256`, `mlkem1024nistp384-sha384` | needs libssh 0.12 |
    /// | `sntrup761x25519-sha512` (also with `@openssh.com`) | 12 ms, twice; needs libssh 0.12 |
    /// | `diffie-hellman-group16-sha512` | 16 ms |
    /// | `diffie-hellman-group18-sha512` | 150 ms |
    /// | `diffie-hellman-group-exchange-sha256` | 115 to 390 ms, as the server chooses the group |
    /// | `diffie-hellman-group-exchange-sha1` | 115 to 390 ms; weak, because of SHA-1 |
    /// | `diffie-hellman-group14-sha1` | weak, because of SHA-1 |
    /// | `diffie-hellman-group1-sha1` | 1024 bits, which a well-funded attacker can break |
    ///
    /// ```
    /// use sshoal::{HostConfig, ParallelClient};
    ///
    /// # fn main() -> Result<(), sshoal::Error> {
    /// # let none: [&str; 0] = [];
    /// let old_switch = HostConfig::default()
    ///     .kex_algorithms("+diffie-hellman-group14-sha1")
    ///     .host_key_algorithms("+ssh-rsa")
    ///     .ciphers("+aes128-cbc");
    /// let client = ParallelClient::builder(["web1", "switch1"])
    ///     .host_config([HostConfig::default(), old_switch])
    /// #   .known_hosts(none).identity_auth(false)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    kex_algorithms(list: impl Into<AlgorithmList>) =>
        |config| config.algorithms[AlgorithmKind::KeyExchange as usize] = Some(list.into());

    /// Whether only key exchanges are offered that a quantum computer cannot break, so that
    /// recorded traffic stays secret. Default: `false`. A server without one fails with
    /// [`HandshakeProblem::NoCommonAlgorithm`](crate::error::HandshakeProblem::NoCommonAlgorithm).
    ///
    /// Without libssh 0.12, [`build`](ClientBuilder::build) returns
    /// [`Error::Unsupported`](crate::Error::Unsupported). By default, ML-KEM is offered first, and
    /// then sntrup761, because OpenSSH 9.0 to 9.8 has nothing else; with such a server, each key
    /// exchange blocks the thread for 12 ms, twice. If [`kex_algorithms`](Self::kex_algorithms) is
    /// set, other names are removed from its list. A proxy takes this setting from its [`Proxy`] or
    /// from the client, not from the hosts behind it.
    require_post_quantum(on: bool) => |config| config.require_post_quantum = Some(on);

    /// The host key algorithms to offer, in order of preference (OpenSSH: `HostKeyAlgorithms`), as
    /// a [list](Self::kex_algorithms). Those of the keys on record for the host come first.
    ///
    /// Default: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ecdsa-sha2-nistp384`, `ecdsa-sha2-nistp521`,
    /// `rsa-sha2-512`, `rsa-sha2-256`. `ssh-rsa` can be added; it is weak, because it signs SHA-1
    /// hashes. libssh has no host certificates and no `ssh-dss`.
    host_key_algorithms(list: impl Into<AlgorithmList>) =>
        |config| config.algorithms[AlgorithmKind::HostKey as usize] = Some(list.into());

    /// The ciphers to offer, in order of preference (OpenSSH: `Ciphers`), as a
    /// [list](Self::kex_algorithms). Both directions use the same list.
    ///
    /// Default: `chacha20-poly1305@openssh.com`, `aes256-ctr`, `aes192-ctr`, `aes128-ctr`,
    /// `aes256-gcm@openssh.com`, `aes128-gcm@openssh.com`. The last two are offered only if the
    /// libssh in use notices altered data, which a self-test finds out. Unless it was patched,
    /// libssh before 0.11.5 does not (CVE-2026-59847).
    ///
    /// `aes256-cbc`, `aes192-cbc`, `aes128-cbc` and `3des-cbc` can be added. They are weak: an
    /// attacker on the network may recover parts of the data. 3DES is also slow. libssh has neither
    /// `arcfour` nor `blowfish-cbc`.
    ciphers(list: impl Into<AlgorithmList>) =>
        |config| config.algorithms[AlgorithmKind::Cipher as usize] = Some(list.into());

    /// The MACs to offer, in order of preference (OpenSSH: `MACs`), as a
    /// [list](Self::kex_algorithms). Both directions use the same list. `chacha20-poly1305` and
    /// AES-GCM need none.
    ///
    /// Default: `hmac-sha2-256-etm@openssh.com`, `hmac-sha2-512-etm@openssh.com`, `hmac-sha2-256`,
    /// `hmac-sha2-512`, `hmac-sha1-etm@openssh.com`, `hmac-sha1`. libssh has no others, neither
    /// `umac-*` nor `hmac-md5` nor `hmac-sha1-96`.
    macs(list: impl Into<AlgorithmList>) =>
        |config| config.algorithms[AlgorithmKind::Mac as usize] = Some(list.into());

    /// The types of keys and certificates to log in with (OpenSSH: `PubkeyAcceptedAlgorithms`), as
    /// a [list](Self::kex_algorithms). A key of another type is not offered;
    /// [`AuthProblem::Unable`](crate::error::AuthProblem::Unable) says so.
    ///
    /// Default: that of OpenSSH, which is `ssh-ed25519`, `ecdsa-sha2-nistp256`,
    /// `ecdsa-sha2-nistp384`, `ecdsa-sha2-nistp521`, `rsa-sha2-512`, `rsa-sha2-256`, the two types
    /// of security keys, and certificates of all of these. `ssh-rsa` can be added; it is weak,
    /// because it signs SHA-1 hashes. If a server accepts only `ssh-rsa` but does not announce
    /// that, remove the two others for RSA keys from the list. libssh has no `ssh-dss`.
    pubkey_algorithms(list: impl Into<AlgorithmList>) =>
        |config| config.algorithms[AlgorithmKind::UserKey as usize] = Some(list.into());

    /// How many bits the RSA keys of hosts and users must have (OpenSSH: `RequiredRSASize`). From
    /// 1,024 to 16,384. Default: 1,024, or 2,048 if OpenSSL is in FIPS mode.
    ///
    /// A host that shows a shorter key fails with
    /// [`HostKeyProblem::TooShort`](crate::hostkey::HostKeyProblem::TooShort). A shorter key of the
    /// user, from a file or the ssh-agent, is not offered, and
    /// [`AuthProblem::Unable`](crate::error::AuthProblem::Unable) says so.
    required_rsa_size(bits: u16) => |config| config.required_rsa_size = Some(bits);
}}

settings! { @pass Proxy.config {
    /// The key exchanges to offer to the proxy
    /// ([`Builder::kex_algorithms`](crate::config::ClientBuilder::kex_algorithms)). Default: the
    /// client's setting.
    kex_algorithms(list: impl Into<AlgorithmList>);

    /// Whether only key exchanges are offered that a quantum computer cannot break. Default: the
    /// client's setting.
    require_post_quantum(on: bool);

    /// The host key algorithms to offer. Default: the client's setting.
    host_key_algorithms(list: impl Into<AlgorithmList>);

    /// The ciphers to offer. Default: the client's setting.
    ciphers(list: impl Into<AlgorithmList>);

    /// The MACs to offer. Default: the client's setting.
    macs(list: impl Into<AlgorithmList>);

    /// The types of keys and certificates to log in with. Default: the client's setting.
    pubkey_algorithms(list: impl Into<AlgorithmList>);

    /// How many bits the RSA keys of the proxy and its user must have. Default: the client's
    /// setting.
    required_rsa_size(bits: u16);
}}

/// The lists that apply to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Choices<'a> {
    /// One for each kind of algorithm. `None` means the default.
    pub lists: [Option<Given<'a, &'a AlgorithmList>>; AlgorithmKind::ALL.len()],
    /// `None` unless post-quantum key exchanges are required.
    pub post_quantum: Option<Given<'a, bool>>,
    pub rsa_bits_min: Option<u16>,
}

impl Choices<'_> {
    /// Returns the names that the lists leave. The default loses those that libssh does not
    /// support.
    pub fn resolve(&self) -> Result<Offered, Error> {
        let list = |kind| self.names(kind).map(|names| names.join(","));
        let c_list = |kind| {
            let list = list(kind)?;
            // libssh knows no name with a NUL byte.
            Ok::<_, Error>(CString::new(list).unwrap_or_default())
        };
        let has_user_keys = self.lists[AlgorithmKind::UserKey as usize].is_some();
        Ok(Offered {
            key_exchanges: c_list(AlgorithmKind::KeyExchange)?,
            host_keys: list(AlgorithmKind::HostKey)?,
            ciphers: c_list(AlgorithmKind::Cipher)?,
            macs: c_list(AlgorithmKind::Mac)?,
            user_keys: has_user_keys.then(|| c_list(AlgorithmKind::UserKey)).transpose()?,
            rsa_bits_min: self.rsa_bits_min,
        })
    }

    fn names(&self, kind: AlgorithmKind) -> Result<Vec<&str>, Error> {
        let post_quantum = self.post_quantum.filter(|_| kind == AlgorithmKind::KeyExchange);
        let defaults = if post_quantum.is_some() { &POST_QUANTUM } else { kind.defaults() };
        let is_supported = |name: &&&str| engine::supports(kind, name).is_ok();
        let defaults: Vec<&str> = defaults.iter().filter(is_supported).copied().collect();
        if post_quantum.is_some() && defaults.is_empty() {
            return Err(Error::Unsupported {
                feature: "require_post_quantum",
                library: engine::version(),
                reason: "it has no post-quantum key exchange; 0.12 has",
            });
        }
        let given = self.lists[kind as usize];
        let origin = given.map_or(&Origin::Default, |given| given.origin);
        let of = |problem: ConfigProblem| problem.of(origin.clone());
        let mut names = match given {
            Some(given) => apply(kind, given.value, defaults).map_err(of)?,
            None => defaults,
        };
        if let Some(required) = post_quantum {
            names.retain(|name| POST_QUANTUM.contains(name));
            if names.is_empty() {
                let (setting, other) = ("require_post_quantum", kind.setting());
                return Err(ConfigProblem::Conflict { setting, other }.of(required.origin()));
            }
        }
        if names.is_empty() {
            let list = given.map(|given| given.value.to_string()).unwrap_or_default();
            return Err(of(invalid(kind, &list, "leaves no algorithm".to_owned())));
        }
        Ok(names)
    }
}

/// Returns the names that a list leaves (OpenSSH: `kex_assemble_names`).
fn apply<'a>(
    kind: AlgorithmKind,
    list: &'a AlgorithmList,
    mut defaults: Vec<&'a str>,
) -> Result<Vec<&'a str>, ConfigProblem> {
    if list.change == ListChange::Remove {
        let is_removed =
            |name: &&str| list.names.iter().any(|it| glob_matches(it.as_bytes(), name.as_bytes()));
        defaults.retain(|name| !is_removed(name));
        return Ok(defaults);
    }
    let names = checked(kind, list.names.iter().map(String::as_str).collect())?;
    let all = match list.change {
        ListChange::Append => [defaults, names].concat(),
        ListChange::Prepend => [names, defaults].concat(),
        ListChange::Replace | ListChange::Remove => names,
    };
    let mut distinct = Vec::with_capacity(all.len());
    for name in all {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    Ok(distinct)
}

fn checked(kind: AlgorithmKind, names: Vec<&str>) -> Result<Vec<&str>, ConfigProblem> {
    for name in &names {
        let problem = match engine::supports(kind, name) {
            Ok(()) => continue,
            Err(Unsupported::Unknown) => "does not have it",
            Err(Unsupported::HostCertificate) => "does not support host certificates",
            Err(Unsupported::Unverified) => "does not notice if data is altered (CVE-2026-59847)",
        };
        return Err(invalid(kind, name, format!("libssh {} {problem}", engine::version())));
    }
    Ok(names)
}

fn invalid(kind: AlgorithmKind, value: &str, problem: String) -> ConfigProblem {
    ConfigProblem::Invalid { setting: kind.setting(), value: value.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIPHER: AlgorithmKind = AlgorithmKind::Cipher;

    fn apply_to(list: &str) -> Result<String, ConfigProblem> {
        let defaults = vec!["chacha20-poly1305@openssh.com", "aes256-ctr", "aes128-ctr"];
        apply(CIPHER, &list.into(), defaults).map(|names| names.join(","))
    }

    #[test]
    fn lists_have_the_syntax_of_openssh() {
        for (list, expected) in [
            ("aes128-ctr", "aes128-ctr"),
            ("aes128-ctr,aes256-ctr,aes128-ctr", "aes128-ctr,aes256-ctr"),
            ("+3des-cbc,aes256-ctr", "chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr,3des-cbc"),
            ("^aes128-ctr", "aes128-ctr,chacha20-poly1305@openssh.com,aes256-ctr"),
            ("^3des-cbc", "3des-cbc,chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr"),
            ("-aes128-ctr", "chacha20-poly1305@openssh.com,aes256-ctr"),
            ("-aes*,3des-cbc", "chacha20-poly1305@openssh.com"),
            // This is valid with each version of libssh.
            ("-arcfour,umac-?", "chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr"),
            ("-*", ""),
        ] {
            assert_eq!(apply_to(list).as_deref(), Ok(expected), "{list}");
        }
    }

    #[test]
    fn names_that_libssh_lacks_are_refused_where_they_are_given() {
        for (list, name) in [
            ("arcfour", "arcfour"),
            ("+aes128-ctr,blowfish-cbc", "blowfish-cbc"),
            ("^aes*", "aes*"),
            ("", ""),
            ("+", ""),
            ("aes128-ctr,", ""),
            ("+-aes128-ctr", "-aes128-ctr"),
        ] {
            let Err(ConfigProblem::Invalid { setting, value, problem }) = apply_to(list) else {
                panic!("{list:?}")
            };
            assert_eq!((setting, value.as_str()), ("ciphers", name), "{list:?}");
            assert_eq!(problem, format!("libssh {} does not have it", engine::version()));
        }
    }

    fn offered(config: &HostConfig) -> Result<Offered, String> {
        let host = Origin::Host { position: 0, name: "web1".into() };
        let layer = crate::config::layers::Layer { origin: &host, config };
        let layers = crate::config::layers::Layers::new(None, [layer], []);
        layers.settings().algorithms.resolve().map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_that_leaves_nothing_is_refused() {
        let error = offered(&HostConfig::default().macs("-*")).unwrap_err();
        assert_eq!(error, "host 1 of the list (web1): macs \"-*\": leaves no algorithm");
    }

    #[test]
    fn the_default_has_only_what_libssh_supports() {
        let default = offered(&HostConfig::default()).unwrap();
        let lists =
            [&default.key_exchanges, &default.ciphers, &default.macs].map(|list| list.to_str().unwrap());
        let kinds = [AlgorithmKind::KeyExchange, CIPHER, AlgorithmKind::Mac];
        for (kind, list) in kinds.into_iter().zip(lists) {
            let supported = kind.defaults().iter().filter(|name| engine::supports(kind, name).is_ok());
            assert!(list.split(',').eq(supported.copied()), "{list}");
        }
        assert_eq!(default.user_keys, None);
        let added = offered(&HostConfig::default().pubkey_algorithms("+ssh-rsa")).unwrap();
        let user_keys = added.user_keys.unwrap();
        assert!(user_keys.to_str().unwrap().starts_with("ssh-ed25519-cert-v01@openssh.com,"));
        assert!(user_keys.to_str().unwrap().ends_with(",rsa-sha2-256,ssh-rsa"));
    }
}
