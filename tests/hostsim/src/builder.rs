//! Describes a fleet and starts its process.

use std::io;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::config::Config;
use crate::faults::{Behaviour, Fault, Rule};
use crate::keys::Keys;
use crate::serve::ENVIRONMENT;
use crate::setting::{AuthPolicy, Setting};
use crate::sim::{Pipes, Sim, SimError, reader};
use crate::subset::Subset;

/// Describes a fleet; created by [`Sim::builder`].
#[derive(Clone, Debug, Default)]
pub struct SimBuilder {
    config: Config,
    seeded: bool,
    mistake: Option<String>,
}

impl SimBuilder {
    /// Listens on this port instead of a free one in 20000..32000.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.config.port = Some(port);
        self
    }

    /// Listens on `[::1]` too.
    #[must_use]
    pub fn ipv6(mut self) -> Self {
        self.config.ipv6 = true;
        self
    }

    /// Derives all keys from this seed instead of a random one.
    #[must_use]
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.config.seed = seed;
        self.seeded = true;
        self
    }

    /// The password of every account; it must not contain a line break.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.config.password = password.to_owned();
        self
    }

    /// How all hosts authenticate clients.
    #[must_use]
    pub fn auth(self, policy: AuthPolicy) -> Self {
        self.set("auth", &policy.to_string())
    }

    /// Sets any [`Setting`] of all hosts, e.g. `set("ciphers", "aes256-ctr")`.
    /// [`spawn`](Self::spawn) reports mistakes.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        match Setting::new(name, value) {
            Ok(setting) => self.config.settings.push(setting),
            Err(mistake) => self.mistake = self.mistake.or(Some(mistake)),
        }
        self
    }

    /// Adds a fault of some hosts.
    #[must_use]
    pub fn fault(mut self, hosts: Subset, fault: Fault) -> Self {
        self.config.rules.push(Rule { hosts, behaviour: Behaviour::Fault(fault) });
        self
    }

    /// Adds a [`Rule`] in its text form, e.g. `i%100==7 stream@1000:rst`. [`spawn`](Self::spawn)
    /// reports mistakes.
    #[must_use]
    pub fn rule(mut self, rule: &str) -> Self {
        match rule.parse() {
            Ok(rule) => self.config.rules.push(rule),
            Err(mistake) => self.mistake = self.mistake.or(Some(mistake)),
        }
        self
    }

    /// Starts `command`, a program that calls [`crate::serve_from_args`], and waits until it
    /// listens.
    ///
    /// Uses its standard input and output; its standard error is discarded, unless the environment
    /// variable `HOSTSIM_STDERR` is set.
    ///
    /// # Errors
    /// A mistake in the description, a process that cannot be started or cannot listen, or 30 s
    /// without a response.
    pub fn spawn(mut self, mut command: Command) -> Result<Sim, SimError> {
        if let Some(mistake) = self.mistake {
            return Err(SimError::Refused(mistake));
        }
        if !self.seeded {
            getrandom(&mut self.config.seed, GetRandomFlags::empty()).map_err(io::Error::from)?;
        }
        let args = self.config.to_args();
        if args.iter().any(|arg| arg.contains('\n')) {
            return Err(SimError::Refused("a line break in the configuration".to_owned()));
        }
        let stderr =
            if std::env::var_os("HOSTSIM_STDERR").is_some() { Stdio::inherit() } else { Stdio::null() };
        command.env(ENVIRONMENT, args.join("\n")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let answers = reader(&mut child);
        let pipes = Mutex::new(Pipes { stdin, answers });
        let mut sim =
            Sim { child, pipes, port: 0, keys: Keys::from_seed(self.config.seed), config: self.config };
        sim.port = sim.wait_for_port()?;
        Ok(sim)
    }
}
