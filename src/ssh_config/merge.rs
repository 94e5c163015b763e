//! The lines that apply to a destination, merged.

use super::compiled::{Gate, GateId, GateStates, Item};
use super::condition::{Condition, Criterion, PatternList, Test, host_matches, is_local};
use super::config::SshConfig;
use super::destination::SshDestination;
use super::error::SshConfigError;
use super::exec::ExecResults;
use super::limits;
use super::load::option;
use super::settings::{Effect, Setting, SshSettings};
use super::source::{Ignored, SettingSource, Sourced};
use super::tokens::{self, Tokens};
use super::types::{AgentSocket, ProxyRoute};
use crate::hostkey::glob_matches;
use crate::text::sanitise;

/// OpenSSH's default port.
pub(super) const PORT: u16 = 22;

/// Values before tokens are expanded.
pub(super) struct Merged {
    pub settings: SshSettings,
    pub host_name: Option<Sourced<String>>,
    pub identity_files: Vec<Sourced<String>>,
    pub certificate_files: Vec<Sourced<String>>,
    pub send_env: Vec<Sourced<String>>,
    /// A `ProxyJump none`.
    pub no_jump: Option<Sourced<()>>,
    pub forward_agent: Option<Sourced<bool>>,
    pub forward_socket: Option<Sourced<AgentSocket>>,
}

/// Which reading of the files this is.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    /// What `Host` lines see: the alias at first, the name to connect to in the second pass.
    pub host: &'a str,
    pub is_final: bool,
}

/// A configuration, applied to one destination.
pub(super) struct Merger<'a, 'r> {
    pub config: &'a SshConfig,
    pub destination: &'r SshDestination,
    pub results: &'r mut ExecResults<'a>,
    pub states: &'r mut GateStates,
    pub merged: Merged,
}

impl Merged {
    pub fn new(alias: &str) -> Self {
        Self {
            settings: SshSettings::new(alias.to_owned()),
            host_name: None,
            identity_files: Vec::new(),
            certificate_files: Vec::new(),
            send_env: Vec::new(),
            no_jump: None,
            forward_agent: None,
            forward_socket: None,
        }
    }

    pub fn user<'a>(&'a self, config: &'a SshConfig) -> &'a str {
        self.settings.user.as_ref().map_or(&config.context.user, |user| &user.value)
    }

    pub fn port(&self) -> u16 {
        self.settings.port.as_ref().map_or(PORT, |port| port.value)
    }

    /// The last hop of a `ProxyJump`, or nothing.
    pub fn jump(&self) -> &str {
        match self.settings.proxy.as_deref() {
            Some(ProxyRoute::Jump(hops)) => hops.last().map_or("", |hop| &hop.host),
            _ => "",
        }
    }

    fn apply(&mut self, effect: &Effect, source: &SettingSource) -> Result<(), SshConfigError> {
        match effect {
            Effect::Set(Setting::Proxy(ProxyRoute::Jump(_))) if self.no_jump.is_some() => {}
            Effect::Set(setting) => self.settings.apply(setting, source),
            Effect::NoJump => first(&mut self.no_jump, &(), source),
            Effect::HostName(name) => first(&mut self.host_name, name, source),
            Effect::ForwardAgent(flag) => first(&mut self.forward_agent, flag, source),
            Effect::ForwardSocket(socket) => first(&mut self.forward_socket, socket, source),
            Effect::IdentityFile(path) => add_key(&mut self.identity_files, path, source)?,
            Effect::CertificateFile(path) => add_key(&mut self.certificate_files, path, source)?,
            Effect::SendEnv(names) => self.send_env(names, source),
        }
        Ok(())
    }

    fn send_env(&mut self, names: &[String], source: &SettingSource) {
        for name in names {
            match name.strip_prefix('-') {
                Some(pattern) => {
                    let is_removed =
                        |known: &Sourced<String>| glob_matches(pattern.as_bytes(), known.as_bytes());
                    self.send_env.retain(|known| !is_removed(known));
                }
                None => self.send_env.push(Sourced { value: name.clone(), source: source.clone() }),
            }
        }
    }
}

fn first<T: Clone>(slot: &mut Option<Sourced<T>>, value: &T, source: &SettingSource) {
    if slot.is_none() {
        *slot = Some(Sourced { value: value.clone(), source: source.clone() });
    }
}

/// Adds a file, once.
fn add_key(
    list: &mut Vec<Sourced<String>>,
    path: &str,
    source: &SettingSource,
) -> Result<(), SshConfigError> {
    if list.iter().any(|known| **known == path) {
        return Ok(());
    }
    if list.len() >= limits::KEYS {
        let max = limits::KEYS;
        return Err(SshConfigError::line(
            source,
            format!("is one of more than {max} files of keys for this host"),
        ));
    }
    list.push(Sourced { value: path.to_owned(), source: source.clone() });
    Ok(())
}

impl Merger<'_, '_> {
    /// Applies what the caller says, which precedes all files.
    pub fn caller(&mut self) -> Result<(), SshConfigError> {
        let source = &SettingSource::Caller;
        if let Some(user) = self.destination.named_user() {
            self.merged.settings.apply(&Setting::User(user.to_owned()), source);
        }
        if let Some(port) = self.destination.named_port() {
            self.merged.settings.apply(&Setting::Port(port), source);
        }
        for text in self.destination.options() {
            let items = option(text).map_err(|problem| {
                SshConfigError::line(source, format!("the option {:?}: {problem}", sanitise(text)))
            })?;
            items.iter().try_for_each(|item| self.item(item, source))?;
        }
        Ok(())
    }

    /// Applies the files.
    pub fn files(&mut self, pass: Pass<'_>) -> Result<(), SshConfigError> {
        let config = self.config;
        config.index.start(pass.host.as_bytes(), self.states);
        for section in &config.sections {
            let applies = match section.gate {
                Some(gate) => self.gate(gate, pass)?,
                None => true,
            };
            if applies {
                section.items.iter().try_for_each(|(item, source)| self.item(item, source))?;
            } else if section.has_unknown {
                let unknown = section.items.iter().filter(|(item, _)| matches!(item, Item::Unknown(_)));
                unknown.clone().try_for_each(|(item, source)| self.item(item, source))?;
            }
        }
        Ok(())
    }

    fn item(&mut self, item: &Item, source: &SettingSource) -> Result<(), SshConfigError> {
        match item {
            Item::Effect(effect) => self.merged.apply(effect, source)?,
            Item::Ignored { keyword, arguments, reason } => self.ignore(Ignored {
                keyword: keyword.clone(),
                arguments: arguments.clone(),
                source: source.clone(),
                reason,
            }),
            Item::Unknown(keyword) => {
                let list = self.merged.settings.ignore_unknown.as_deref();
                let list = list.map(|list| PatternList::lowercase(list.as_bytes()));
                if !list.is_some_and(|list| list.matches(keyword.as_bytes())) {
                    let keyword = sanitise(&**keyword);
                    return Err(SshConfigError::line(
                        source,
                        format!(
                            "the keyword {keyword:?} is unknown, and the IgnoreUnknown in effect does not cover it"
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Notes it once, also if it applies in both passes.
    fn ignore(&mut self, ignored: Ignored) {
        let list = &mut self.merged.settings.ignored;
        let is_known = ignored.source != SettingSource::Caller
            && list.iter().any(|known| known.source == ignored.source);
        if !is_known {
            list.push(ignored);
        }
    }

    /// Whether a gate is open. Its condition is tested when its first section is reached, because
    /// it may depend on earlier settings.
    fn gate(&mut self, id: GateId, pass: Pass<'_>) -> Result<bool, SshConfigError> {
        if let Some(known) = self.states[id.0] {
            return Ok(known);
        }
        let gate = &self.config.gates[id.0];
        let is_reached = match gate.outer {
            Some(outer) => self.gate(outer, pass)?,
            None => true,
        };
        let is_open = is_reached
            && match &gate.condition {
                Condition::Host(patterns) => host_matches(patterns, pass.host.as_bytes()),
                Condition::Match(criteria) => self.criteria(criteria, gate, pass)?,
            };
        self.states[id.0] = Some(is_open);
        Ok(is_open)
    }

    fn criteria(
        &mut self,
        criteria: &[Criterion],
        gate: &Gate,
        pass: Pass<'_>,
    ) -> Result<bool, SshConfigError> {
        if gate.condition.is_canonical() {
            self.ignore(Ignored {
                keyword: "match".into(),
                arguments: "canonical".into(),
                source: gate.source.clone(),
                reason: "no name is rewritten, so canonical never matches",
            });
        }
        let host = self.host(pass, gate)?;
        for criterion in criteria {
            if self.test(&criterion.test, &host, gate, pass)? == criterion.negated {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The name that `Match host` sees.
    fn host(&self, pass: Pass<'_>, gate: &Gate) -> Result<String, SshConfigError> {
        match &self.merged.host_name {
            Some(name) if !pass.is_final => {
                let tokens = self.tokens(pass.host, pass.host);
                let name = tokens.expand(name, tokens::HOST_NAME, false);
                name.map_err(|problem| SshConfigError::line(&gate.source, problem))
            }
            _ => Ok(pass.host.to_owned()),
        }
    }

    fn test(&mut self, test: &Test, host: &str, gate: &Gate, pass: Pass<'_>) -> Result<bool, SshConfigError> {
        let lowercase = |name: &str| name.to_ascii_lowercase();
        let context = &self.config.context;
        Ok(match test {
            Test::All => true,
            Test::Canonical => false,
            Test::Final => pass.is_final,
            Test::Host(list) => list.matches(lowercase(host).as_bytes()),
            Test::OriginalHost(list) => list.matches(lowercase(self.destination.alias()).as_bytes()),
            Test::User(list) => list.matches(self.merged.user(self.config).as_bytes()),
            Test::LocalUser(list) => list.matches(context.user.as_bytes()),
            Test::LocalNetwork(networks) => is_local(networks, &context.addresses),
            Test::Tagged(list) => list.matches_tag(self.merged.settings.tag.as_deref().map_or("", |tag| tag)),
            Test::Exec(command) => {
                let key_alias = self.merged.settings.host_key_alias.as_deref().map_or(host, |alias| alias);
                let command = self.tokens(host, key_alias).expand(command, tokens::COMMON, false);
                let command = command.map_err(|problem| SshConfigError::line(&gate.source, problem))?;
                self.results.succeeds(command, &gate.source)?
            }
        })
    }

    fn tokens<'t>(&'t self, host: &'t str, key_alias: &'t str) -> Tokens<'t> {
        Tokens {
            context: &self.config.context,
            host,
            alias: self.destination.alias(),
            key_alias,
            port: self.merged.port(),
            user: self.merged.user(self.config),
            jump: self.merged.jump(),
        }
    }
}
