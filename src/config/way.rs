//! The way to a host: the proxies that lead to it, as they are configured and as they are used.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use super::commands::CommandChoice;
use super::host_config::HostConfig;
use super::known::{InUse, Known};
use super::layers::{Given, Layer, Layers, Settings};
use super::list::{Entry, Listed};
use super::names::Names;
use super::proxy::Proxy;
use crate::error::{ConfigProblem, Error, Origin};
use crate::host::HostSpec;
use crate::proxy_command::ProxyCommand;
use crate::session::Target;

/// The proxy settings of one layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// The proxies that `proxy` or `proxies` sets. An empty list means a direct connection.
    pub hops: Option<Arc<[Proxy]>>,
    /// The `proxy_command`.
    pub command: Option<String>,
    /// The `proxy_host`.
    pub host: Option<Entry>,
    /// The `proxy_port`, `proxy_user`, `proxy_password` and `proxy_key_file`.
    pub login: Option<Box<HostConfig>>,
}

/// One proxy on the way to a host.
#[derive(Debug, Clone)]
pub(super) struct Hop<'a> {
    pub spec: &'a HostSpec,
    pub names: Names<'a>,
    pub port: u16,
    pub settings: Settings<'a>,
    /// The command that leads to the proxy, if it is the first one.
    pub command: Option<&'a str>,
    /// The layer that names the proxy.
    pub given: &'a Origin,
}

/// Two hops are equal if they are the same proxy with the same settings, whichever layer the
/// settings come from.
impl PartialEq for Hop<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.spec, self.names, self.port, self.settings, self.command)
            == (other.spec, other.names, other.port, other.settings, other.command)
    }
}

impl Hash for Hop<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.spec, self.names, self.port, self.settings, self.command).hash(state);
    }
}

impl Hop<'_> {
    /// The origin that errors about this proxy name.
    pub fn origin(&self) -> Origin {
        of_proxy(self.spec.host(), self.given)
    }
}

fn of_proxy(name: &str, given: &Origin) -> Origin {
    Origin::Proxy { name: name.to_owned(), given: Box::new(given.clone()) }
}

impl Way {
    pub(super) fn login(&mut self) -> &mut HostConfig {
        self.login.get_or_insert_default()
    }

    /// Whether this layer says how to reach a host.
    fn leads(&self) -> bool {
        self.hops.is_some() || self.host.is_some() || self.command.is_some()
    }

    /// The command of this layer, unless it is `none`.
    fn own_command(&self) -> Option<&str> {
        self.command.as_deref().filter(|text| !ProxyCommand::is_none(text))
    }

    fn check_command(&self, text: &str) -> Result<(), ConfigProblem> {
        let others = [("proxies", self.hops.is_some()), ("proxy_host", self.host.is_some())];
        let setting = "proxy_command";
        if let Some((other, _)) = others.into_iter().find(|(_, is_set)| *is_set) {
            return Err(ConfigProblem::Conflict { setting, other });
        }
        let check = self.own_command().map_or(Ok(()), ProxyCommand::check);
        check.map_err(|problem| ConfigProblem::Invalid { setting, value: text.to_owned(), problem })
    }

    /// Checks the settings, as far as that is possible without reading keys.
    pub(super) fn check(&self, origin: &Origin) -> Result<(), Error> {
        if self.hops.is_some() && (self.host.is_some() || self.login.is_some()) {
            let (setting, other) = ("proxies", "proxy_host");
            return Err(ConfigProblem::Conflict { setting, other }.of(origin.clone()));
        }
        if let Some(text) = &self.command {
            self.check_command(text).map_err(|problem| problem.of(origin.clone()))?;
        }
        for entry in self.host.iter().chain(self.hops.iter().flat_map(|hops| &**hops).map(|hop| &hop.host)) {
            if let Err(problem) = entry {
                let problem = ConfigProblem::Host { setting: "proxy", problem: problem.clone() };
                return Err(problem.of(origin.clone()));
            }
        }
        if let Some(login) = &self.login {
            let name = self.host.iter().flatten().next().map_or("proxy_host", HostSpec::host);
            login.check(&of_proxy(name, origin))?;
        }
        for (index, Proxy { host, config }) in self.hops.iter().flat_map(|hops| &**hops).enumerate() {
            let Ok(spec) = host else { continue };
            let origin = of_proxy(spec.host(), origin);
            if index > 0 && config.proxy.own_command().is_some() {
                let (setting, other) = ("proxy_command", "a proxy before it");
                return Err(ConfigProblem::Conflict { setting, other }.of(origin));
            }
            config.check(&origin)?;
            Layers::new(Some(spec), [], [Layer { origin: &origin, config }]).check_delegation()?;
        }
        Ok(())
    }
}

/// Returns the proxies on the way to a host with these layers. The first one is connected to
/// directly.
pub(super) fn hops<'a>(layers: &Layers<'a>) -> Result<Vec<Hop<'a>>, Error> {
    let login = |layer: &Layer<'a>| Some(Layer { config: layer.config.proxy.login.as_deref()?, ..*layer });
    let logins = |layers: &[Layer<'a>]| layers.iter().filter_map(login).collect::<Vec<_>>();
    for (depth, layer) in layers.all.iter().enumerate() {
        let Way { hops, host, command, .. } = &layer.config.proxy;
        if command.is_some() {
            check_idle(&logins(&layers.all[..=depth]))?;
            return Ok(Vec::new());
        }
        if let Some(hops) = hops {
            // A proxy login in a more specific layer is an error, because it has no `proxy_host` to
            // apply to.
            check_idle(&logins(&layers.all[..depth]))?;
            let config = |hop: &'a Proxy| Layer { config: &hop.config, ..*layer };
            let hop = |hop: &'a Proxy| {
                // Invalid names have already been rejected.
                let spec = hop.host.as_ref().ok()?;
                let command = hop.config.proxy.own_command();
                // The client's settings precede OpenSSH's configuration, for proxies as for hosts.
                let is_file = layers.file().is_some() && depth + 1 == layers.all.len();
                let (before, after) =
                    layers.shared().split_at(if is_file { layers.shared().len() } else { 0 });
                let all = [before, &[config(hop)], after].concat();
                Some(Hop { command, ..Hop::new(spec, layer.origin, Vec::new(), vec![config(hop)], all) })
            };
            return Ok(hops.iter().filter_map(hop).collect());
        }
        if let Some(Ok(spec)) = host {
            let (own, inherited) = (logins(layers.own()), logins(layers.shared()));
            let all = [&*own, &inherited, layers.shared()].concat();
            return Ok(vec![Hop::new(spec, layer.origin, own, inherited, all)]);
        }
    }
    check_idle(&logins(&layers.all))?;
    Ok(Vec::new())
}

/// The command that leads to a host with these layers.
pub(super) fn command<'a>(layers: &Layers<'a>) -> Option<Given<'a, &'a str>> {
    let way = layers.first(|config| config.proxy.leads().then_some(&config.proxy))?;
    way.value.own_command().map(|text| way.map(|_| text))
}

/// The proxy settings of a layer alone.
fn way_of(layer: &Layer<'_>) -> HostConfig {
    HostConfig { proxy: layer.config.proxy.clone(), ..HostConfig::default() }
}

fn check_idle(logins: &[Layer<'_>]) -> Result<(), Error> {
    let Some(login) = logins.first() else { return Ok(()) };
    let (setting, needs) = ("proxy_user, proxy_port, proxy_password or proxy_key_file", "a proxy_host");
    Err(ConfigProblem::Missing { setting, needs }.of(login.origin.clone()))
}

impl<'a> Hop<'a> {
    /// The login comes from the layers `own` and `inherited` only. All other settings come from
    /// `all`, which include these and the layers of all hosts.
    fn new(
        spec: &'a HostSpec,
        given: &'a Origin,
        own: Vec<Layer<'a>>,
        inherited: Vec<Layer<'a>>,
        all: Vec<Layer<'a>>,
    ) -> Self {
        let all = Layers::new(Some(spec), [], all);
        let of_login = Layers::new(Some(spec), own, inherited);
        let Settings { user, mut login, gssapi, .. } = of_login.settings();
        // The agent's socket may come from any layer, because it does not depend on who logs in.
        login.agent = login.agent.map(|_| all.agent_socket());
        let login = login.with_rounds_max(all.rounds_max());
        // No command runs on a proxy.
        let (forward_agent, commands) = (None, CommandChoice::default());
        let mut settings = Settings { user, login, gssapi, forward_agent, commands, ..all.settings() };
        // Traffic through a proxy is already encrypted, so compressing it gains nothing.
        settings.connection.compress = false;
        // A spare channel is for commands, too.
        settings.connection.spare_channel = false;
        let names = Names::of(&of_login, spec);
        Self { spec, names, port: of_login.port(), settings, command: None, given }
    }
}

/// What leads to hosts.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways {
    /// The proxies that hosts use, by the ways that lead to them.
    proxies: Known<KnownWay>,
    commands: Known<Weak<ProxyCommand>>,
}

#[derive(Debug, Clone)]
struct KnownWay {
    /// A host with these proxies, which are looked up in its settings and the client's.
    host: Arc<Listed>,
    /// The layer of OpenSSH's configuration, if that names the proxies.
    file: Option<Arc<HostConfig>>,
    /// The proxy is this many hops away.
    hops: usize,
    proxy: Weak<Target>,
}

impl InUse for KnownWay {
    fn is_in_use(&self) -> bool {
        self.proxy.is_in_use()
    }
}

impl Ways {
    /// The last of these proxies, if hosts use it.
    pub fn find(&self, hops: &[Hop<'_>], client: &HostConfig) -> Option<Arc<Target>> {
        let leads = |known: &KnownWay| {
            let proxy = known.proxy.upgrade()?;
            let file = known.file.as_deref().map(|config| Layer { origin: &Origin::Client, config });
            let layers = Layers::of_host(&known.host, &Origin::Client, client, file);
            (self::hops(&layers).ok()?.get(..known.hops)? == hops).then_some(proxy)
        };
        self.proxies.find(&hops, leads)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.proxies.len()
    }

    /// Adds the last of these proxies, which are on the way to the host with these layers.
    pub fn insert(&mut self, hops: &[Hop<'_>], spec: &HostSpec, layers: &Layers<'_>, proxy: &Arc<Target>) {
        // The host may be removed long before the proxy, and its other settings with it.
        let own = layers.own().first().map(way_of).unwrap_or_default();
        let host = Arc::new(Listed::new(spec.clone(), own));
        // Proxies that code names need nothing of OpenSSH's configuration.
        let is_in_code = layers.own().iter().chain(layers.shared()).any(|layer| layer.config.proxy.leads());
        let file = layers.file().filter(|_| !is_in_code).map(|layer| Arc::new(way_of(layer)));
        self.proxies.insert(&hops, KnownWay { host, file, hops: hops.len(), proxy: Arc::downgrade(proxy) });
    }

    /// Makes this command lead to the target, whose names become parts of it.
    pub fn lead(&mut self, target: &mut Target, text: &str, origin: &Origin) -> Result<(), Error> {
        let command = ProxyCommand::new(text);
        let user = target.profile.user_name();
        command.check_names(&target.names(&user)).map_err(|problem| {
            let problem = format!("cannot be a part of proxy_command: {problem}");
            ConfigProblem::Invalid { setting: "user", value: user.clone(), problem }.of(origin.clone())
        })?;
        target.command = Some(self.commands.share(Arc::new(command)));
        Ok(())
    }
}
