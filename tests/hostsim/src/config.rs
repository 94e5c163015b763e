//! A whole fleet: its configuration and its command line.

use crate::faults::{Rule, hex, unhex};
use crate::setting::{HostConfig, Setting, number};

/// A whole fleet, as described by its process's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Port on every address; `None` (the default) picks a free one in 20000..32000.
    pub port: Option<u16>,
    /// Listen on `[::1]` too, at the same port. Default: no.
    pub ipv6: bool,
    /// The seed of all keys. Default: all zero; [`crate::Sim`] picks a random one.
    pub seed: [u8; 32],
    /// The password of every account. Default: `hostsim-password`.
    pub password: String,
    /// Settings for all hosts, in order.
    pub settings: Vec<Setting>,
    /// Rules for some hosts, in order.
    pub rules: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: None,
            ipv6: false,
            seed: [0; 32],
            password: "hostsim-password".to_owned(),
            settings: Vec::new(),
            rules: Vec::new(),
        }
    }
}

/// The output of `--help`.
pub(crate) const USAGE: &str = "\
usage: hostsim [--port N] [--ipv6 true] [--seed HEX64] [--password TEXT] [--SETTING VALUE]...
               [--rule 'HOSTS BEHAVIOUR']...

HOSTS      * | ADDRESS | FIRST-LAST | NETWORK/BITS | i%K==J | i:FROM..TO
BEHAVIOUR  set:SETTING=VALUE | STAGE[@BYTES]:ACTION[=VALUE]
STAGE      accept banner kex auth open exec stream end close wire
ACTION     silence fin rst stall drip delay=MS disconnect=TEXT garbage raw=HEX refuse http lines long-line
           flip=HEX flood opens no-close no-status
SETTING    auth auth-delay auth-tries-max host-keys other-host-key kex ciphers macs rekey-bytes window
           packet sftp sftp-extensions sftp-limits sftp-delay sftp-files sftp-keep sftp-space

Serves every address of 127.0.0.0/8, prints `listening PORT`, ends at end of input.
Commands on standard input: `stats` and `stats ADDRESS`, each answered with one line of JSON, and
`files ADDRESS`, answered with one line.
";

impl Config {
    /// Parses a command line without its program name.
    ///
    /// # Errors
    /// A message about the first argument that is not understood.
    pub fn from_args(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut config = Self::default();
        let mut args = args.into_iter();
        while let Some(option) = args.next() {
            let name = option.strip_prefix("--").ok_or_else(|| format!("not an option: {option:?}"))?;
            let value = args.next().ok_or_else(|| format!("--{name} needs a value"))?;
            match name {
                "port" => config.port = Some(number(&value)?),
                "ipv6" => config.ipv6 = number(&value)?,
                "password" => config.password = value,
                "rule" => config.rules.push(value.parse()?),
                "seed" => {
                    let seed = unhex(&value).and_then(|bytes| bytes.try_into().ok());
                    config.seed = seed.ok_or("--seed needs 64 hex digits")?;
                }
                name => config.settings.push(Setting::new(name, &value)?),
            }
        }
        Ok(config)
    }

    /// The inverse of [`Config::from_args`].
    #[must_use]
    pub fn to_args(&self) -> Vec<String> {
        let mut args =
            vec!["--seed".to_owned(), hex(&self.seed), "--password".to_owned(), self.password.clone()];
        if let Some(port) = self.port {
            args.extend(["--port".to_owned(), port.to_string()]);
        }
        if self.ipv6 {
            args.extend(["--ipv6".to_owned(), "true".to_owned()]);
        }
        for Setting { name, value } in &self.settings {
            args.extend([format!("--{name}"), value.clone()]);
        }
        for rule in &self.rules {
            args.extend(["--rule".to_owned(), rule.to_string()]);
        }
        args
    }

    /// The configuration of a host without rules.
    #[must_use]
    pub fn host(&self) -> HostConfig {
        let mut host = HostConfig::default();
        for setting in &self.settings {
            let applied = setting.apply(&mut host);
            debug_assert_eq!(applied, Ok(()), "a Setting is checked when it is created");
        }
        host
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::AuthPolicy;

    #[test]
    fn command_line_round_trip() {
        let config = Config {
            port: Some(2222),
            ipv6: true,
            seed: [0xa5; 32],
            password: "with space and = sign".to_owned(),
            settings: vec![
                Setting::new("auth", "key+password").unwrap(),
                Setting::new("packet", "0").unwrap(),
            ],
            rules: vec![
                "i%3==1 auth:delay=20".parse().unwrap(),
                "::1 set:macs=hmac-sha2-512".parse().unwrap(),
            ],
        };
        assert_eq!(Config::from_args(config.to_args()), Ok(config.clone()));
        assert_eq!(config.host().auth, AuthPolicy::KeyThenPassword);
        assert_eq!(Config::from_args([]), Ok(Config::default()));
        for bad in [&["--port"][..], &["--port", "x"], &["port", "1"], &["--seed", "00"], &["--rule", "x"]] {
            assert!(Config::from_args(bad.iter().map(ToString::to_string)).is_err(), "{bad:?}");
        }
    }
}
