//! A compiled configuration, and resolving destinations with it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::addresses::normalised;
use super::compiled::{Gate, GateIndex, GateStates, Section};
use super::context::LocalContext;
use super::destination::SshDestination;
use super::error::SshConfigError;
use super::exec::{ExecResults, MatchExec, ShellExec};
use super::expand::expanded;
use super::load::{Loader, SYSTEM_FOLDER, Scope};
use super::merge::{Merged, Merger, PORT, Pass};
use super::settings::{self, SshSettings};
use super::source::{SettingSource, Sourced};
use super::tokens::{self, Tokens};
use super::types::ProxyRoute;
use crate::host::AddressFamily;

/// OpenSSH's client configuration, read and compiled.
///
/// Files are read once, by the call that makes this. Later changes of files have no effect.
#[derive(Debug)]
pub struct SshConfig {
    pub(crate) context: LocalContext,
    pub(super) sections: Vec<Section>,
    pub(super) gates: Vec<Gate>,
    pub(super) index: GateIndex,
    /// Whether a `Match final` asks for a second pass.
    has_final: bool,
    origin: ConfigOrigin,
    /// Whether `StrictHostKeyChecking no` takes effect.
    pub(crate) allows_no_checking: bool,
}

/// What a configuration was read from.
#[derive(Debug, Clone)]
enum ConfigOrigin {
    /// `~/.ssh/config` and `/etc/ssh/ssh_config`.
    Usual,
    File(PathBuf),
    Text,
}

impl SshConfig {
    /// Reads `~/.ssh/config` and `/etc/ssh/ssh_config`, as ssh does. A file that is missing counts
    /// as empty.
    ///
    /// # Errors
    /// A file cannot be read, others can write to it, it is too large, or it has a line that is
    /// wrong. [`SshConfigError`] names the file and the line.
    pub fn load(context: LocalContext) -> Result<Self, SshConfigError> {
        let user = context.home.join(".ssh/config");
        let system = Path::new(SYSTEM_FOLDER).join("ssh_config");
        Self::compile(context, ConfigOrigin::Usual, |loader| {
            loader.file(&user, Scope::User, None)?;
            loader.file(&system, Scope::System, None)?;
            Ok(())
        })
    }

    /// Reads one file instead, as `ssh -F` does.
    ///
    /// # Errors
    /// As [`load`](Self::load); the file must exist.
    pub fn load_file(path: impl Into<PathBuf>, context: LocalContext) -> Result<Self, SshConfigError> {
        let path = path.into();
        let origin = ConfigOrigin::File(path.clone());
        Self::compile(context, origin, |loader| match loader.file(&path, Scope::User, None)? {
            true => Ok(()),
            false => {
                Err(SshConfigError::Read { path: path.clone(), error: std::io::ErrorKind::NotFound.into() })
            }
        })
    }

    /// Reads a text as if it were the user's file. `name` is what errors call it. `Include` lines
    /// read files.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(
        text: impl AsRef<[u8]>,
        name: impl AsRef<Path>,
        context: LocalContext,
    ) -> Result<Self, SshConfigError> {
        let text = text.as_ref();
        Self::compile(context, ConfigOrigin::Text, |loader| loader.user_text(text, name.as_ref()))
    }

    /// Reads the files again. `None` if there are none, because a text was parsed.
    pub(crate) fn load_again(&self) -> Result<Option<Self>, SshConfigError> {
        let context = self.context.clone();
        let config = match &self.origin {
            ConfigOrigin::Usual => Self::load(context)?,
            ConfigOrigin::File(path) => Self::load_file(path, context)?,
            ConfigOrigin::Text => return Ok(None),
        };
        Ok(Some(config.danger_allow_no_checking(self.allows_no_checking)))
    }

    /// Whether `StrictHostKeyChecking no` (or `off`) takes effect, as the policy
    /// [`danger_accept_changed`]. Default: `false`: the strict policy applies, and the line is
    /// listed as ignored. An attacker on the network can read and change what is sent to a host
    /// that is not verified.
    ///
    /// [`danger_accept_changed`]: crate::hostkey::HostKeyPolicy::danger_accept_changed
    #[must_use]
    pub fn danger_allow_no_checking(mut self, on: bool) -> Self {
        self.allows_no_checking = on;
        self
    }

    fn compile(
        context: LocalContext,
        origin: ConfigOrigin,
        read: impl FnOnce(&mut Loader<'_>) -> Result<(), SshConfigError>,
    ) -> Result<Self, SshConfigError> {
        let mut loader = Loader::new(&context);
        read(&mut loader)?;
        let Loader { mut sections, gates, .. } = loader;
        sections.retain(|section| !section.items.is_empty());
        let has_final = gates.iter().any(|gate| gate.condition.is_final());
        Ok(Self {
            context,
            sections,
            index: GateIndex::new(&gates),
            gates,
            has_final,
            origin,
            allows_no_checking: false,
        })
    }

    /// The names on `Host` lines, each once and in the order of the lines. Patterns with wildcards
    /// and negated ones are left out, and so are names that are not UTF-8.
    ///
    /// ```
    /// # use sshoal::ssh_config::{LocalContext, SshConfig};
    /// let text = "Host web1 web2\nHost db* !db9\nHost bastion web1\n";
    /// let config = SshConfig::parse(text, "config", LocalContext::current()?)?;
    /// assert_eq!(config.host_names(), ["web1", "web2", "bastion"]);
    /// # Ok::<(), sshoal::ssh_config::SshConfigError>(())
    /// ```
    pub fn host_names(&self) -> Vec<String> {
        let names = self.gates.iter().flat_map(|gate| gate.condition.literal_names());
        let mut seen = HashSet::new();
        let distinct = names.filter(|name| seen.insert(*name));
        distinct.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect()
    }

    /// The keywords that have an effect on the hosts of a [`ConfigResolver`], as OpenSSH writes
    /// them and in no order: for programs that complete or check options. In files, and as
    /// [`SshDestination::option`], any case will do. Other names that OpenSSH has for some of them
    /// are left out.
    ///
    /// ```
    /// # use sshoal::ssh_config::SshConfig;
    /// assert!(SshConfig::keywords().any(|keyword| keyword == "StrictHostKeyChecking"));
    /// // It has no effect here.
    /// assert!(SshConfig::keywords().all(|keyword| keyword != "ControlMaster"));
    /// ```
    pub fn keywords() -> impl Iterator<Item = &'static str> {
        // What is read as a whole is known when an option comes.
        settings::keywords().filter(|keyword| *keyword != "IgnoreUnknown")
    }

    /// Starts to resolve destinations. Commands of `Match exec` are run by [`ShellExec`].
    pub fn resolver(&self) -> ConfigResolver<'_> {
        self.resolver_with(ShellExec::default())
    }

    /// Starts to resolve destinations, with commands of `Match exec` run by `exec`.
    pub fn resolver_with<'a>(&'a self, exec: impl MatchExec + 'a) -> ConfigResolver<'a> {
        ConfigResolver { config: self, results: ExecResults::new(Box::new(exec)), states: Vec::new() }
    }
}

/// Resolves destinations. Each distinct command of `Match exec` is run once for all of them.
#[derive(Debug)]
pub struct ConfigResolver<'a> {
    config: &'a SshConfig,
    results: ExecResults<'a>,
    states: GateStates,
}

impl ConfigResolver<'_> {
    pub(crate) fn config(&self) -> &SshConfig {
        self.config
    }

    /// What the configuration says about a destination.
    ///
    /// # Errors
    /// The names of the destination could be read as shell syntax; a token or a variable is
    /// unknown; a `Match exec` cannot be run; or a line is wrong for this destination.
    pub fn resolve(&mut self, destination: &SshDestination) -> Result<SshSettings, SshConfigError> {
        let (merged, host) = self.merge(destination)?;
        expanded(merged, host, self.config)
    }

    /// The lines that apply, merged, and the name to connect to.
    pub(super) fn merge(
        &mut self,
        destination: &SshDestination,
    ) -> Result<(Merged, Sourced<String>), SshConfigError> {
        destination.check()?;
        let merged = Merged::new(destination.alias());
        let (config, results, states) = (self.config, &mut self.results, &mut self.states);
        let mut merger = Merger { config, destination, results, states, merged };
        merger.caller()?;
        merger.files(Pass { host: destination.alias(), is_final: false })?;
        let host = host_name(&merger.merged, config)?;
        if config.has_final {
            // A HostName that applies in the second pass only comes too late, as in OpenSSH.
            merger.merged.host_name = Some(host.clone());
            merger.files(Pass { host: &host, is_final: true })?;
        }
        let merged = merger.merged;
        check(&merged, &host, config)?;
        Ok((merged, host))
    }
}

fn host_name(merged: &Merged, config: &SshConfig) -> Result<Sourced<String>, SshConfigError> {
    let family = merged.settings.address_family.as_deref().copied().unwrap_or(AddressFamily::Any);
    let alias = &merged.settings.alias;
    let Some(name) = &merged.host_name else {
        return Ok(Sourced { value: normalised(alias.clone(), family), source: SettingSource::Caller });
    };
    // The other tokens are not allowed in a HostName.
    let context = &config.context;
    let tokens = Tokens { context, host: alias, alias, key_alias: alias, port: PORT, user: "", jump: "" };
    let value = tokens.expand(name, tokens::HOST_NAME, false);
    let value = value.map_err(|problem| SshConfigError::line(&name.source, format!("hostname {problem}")))?;
    Ok(Sourced { value: normalised(value, family), source: name.source.clone() })
}

/// What ssh checks once it knows all options.
fn check(merged: &Merged, host: &str, config: &SshConfig) -> Result<(), SshConfigError> {
    if let Some(attempts) = merged.settings.connection_attempts.as_ref().filter(|attempts| ***attempts == 0) {
        return Err(SshConfigError::line(&attempts.source, "connectionattempts has to be at least 1"));
    }
    if let Some(Sourced { value: ProxyRoute::Jump(hops), source }) = &merged.settings.proxy
        && let Some(last) = hops.last()
        && last.host == host
        && last.port.unwrap_or(PORT) == merged.port()
        && last.user.as_deref().is_none_or(|user| user == merged.user(config))
    {
        return Err(SshConfigError::line(source, "proxyjump leads through the host itself"));
    }
    Ok(())
}
