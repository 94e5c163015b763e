//! Makes the fleet's targets from the settings.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;

use super::algorithms::Choices;
use super::credentials::Credentials;
use super::host_config::HostConfig;
use super::layers::{Layer, Layers, Settings};
use super::list::HostList;
use super::owner::Owner;
use super::way::{self, Hop};
use crate::address::canonical;
use crate::error::{ConfigProblem, Error, Origin};
use crate::host::HostSpec;
use crate::hostkey::Verifier;
use crate::limits;
use crate::link::algorithms::Offered;
use crate::link::engine;
use crate::session::{Profile, ProxyId, Target, Timeouts};

struct Profiles<'a> {
    owner: &'a Owner,
    credentials: Credentials<'a>,
    algorithms: HashMap<Choices<'a>, Arc<Offered>>,
    verifier: &'a Arc<Verifier>,
    /// The profiles made so far, each with a number that identifies it.
    known: HashMap<Settings<'a>, (usize, Arc<Profile>)>,
    proxies: HashMap<ProxyKey, Arc<Target>>,
    ways: Vec<KnownWay<'a>>,
}

/// The proxies on the way to an existing host, and the target of the last of them.
pub(super) type KnownWay<'a> = (Vec<Hop<'a>>, Arc<Target>);

/// Identifies a proxy by its name, its port, the number of its profile, and the proxy before it.
type ProxyKey = (Arc<str>, u16, usize, Option<ProxyId>);

impl HostList {
    /// Makes the targets of all hosts. Checks the settings, and reads each key once.
    pub fn targets(&self, owner: &Owner, verifier: &Arc<Verifier>) -> Result<Vec<Target>, Error> {
        let targets = self.resolve(owner, verifier, |_| false, Vec::new())?;
        if self.configs.is_none() && self.hosts.is_empty() {
            // Unusable settings are an error even without hosts.
            let alone = Layers::new(None, [], [self.client_layer()]);
            alone.check_delegation()?;
            let Settings { login, gssapi, algorithms, .. } = alone.settings();
            algorithms.resolve()?;
            gssapi.map_or(Ok(()), |_| check_library())?;
            Credentials::new(owner).plan(None, login)?;
        }
        Ok(targets.into_iter().flatten().collect())
    }

    /// Like [`targets`](Self::targets), but the result has `None` for each host that has not
    /// changed since the list `before`, and nothing is read for such a host. New hosts share the
    /// proxies of existing hosts. To find these, `proxy` takes the position of a host in `before`
    /// and returns the last proxy on the way to that host.
    pub fn changes(
        &self,
        before: &Self,
        proxy: impl Fn(usize) -> Option<Arc<Target>>,
        owner: &Owner,
        verifier: &Arc<Verifier>,
    ) -> Result<Vec<Option<Target>>, Error> {
        let origins = before.origins();
        let stays = |position| before.agrees(self, position);
        self.resolve(owner, verifier, stays, before.ways(&origins, proxy))
    }

    /// Makes the targets, with `None` for hosts that stay as they are. `ways` holds the proxies
    /// that existing hosts use.
    fn resolve(
        &self,
        owner: &Owner,
        verifier: &Arc<Verifier>,
        stays: impl Fn(usize) -> bool,
        ways: Vec<KnownWay<'_>>,
    ) -> Result<Vec<Option<Target>>, Error> {
        let origins = self.origins();
        self.check(&origins)?;
        let hosts: Vec<Layers<'_>> = (0..origins.len()).map(|it| self.layers(it, &origins)).collect();
        let is_used = hosts.iter().any(|layers| layers.gssapi().is_some());
        for layers in &hosts {
            // A setting of the client is an error only if it has no effect on any host.
            if layers.idle_delegation().is_some_and(|origin| *origin != Origin::Client || !is_used) {
                layers.check_delegation()?;
            }
        }
        let mut profiles = Profiles::new(owner, verifier, ways);
        let target = |(position, layers): (usize, &_)| match stays(position) {
            true => Ok(None),
            false => self.target(position, layers, &origins[position], &mut profiles).map(Some),
        };
        hosts.iter().enumerate().map(target).collect()
    }

    fn target<'b>(
        &'b self,
        position: usize,
        layers: &Layers<'b>,
        origin: &'b Origin,
        profiles: &mut Profiles<'b>,
    ) -> Result<Target, Error> {
        let spec = &self.hosts[position];
        let port = layers.port();
        let hops = way::hops(layers)?;
        let dialled = layers.value(|config| config.hostname.as_deref()).unwrap_or(spec.host());
        check_way(dialled, port, &hops).map_err(|problem| problem.of(origin.clone()))?;
        let (_, profile) = profiles.profile(dialled, layers.settings(), origin)?;
        let mut target = Target::new(spec.host(), port, profile);
        if dialled != spec.host() {
            target.dial(dialled);
        }
        if let Some(alias) = layers.value(|config| config.host_key_alias.as_deref()) {
            target.recorded = (alias.into(), 22);
        }
        target.alias = self.config(position).and_then(|config| config.alias.as_deref()).map(Into::into);
        target.proxy = profiles.way(hops)?;
        Ok(target)
    }

    /// All distinct ways to these hosts and to their proxies. `proxy` takes the position of a host
    /// and returns the last proxy on the way to that host.
    fn ways<'b>(
        &'b self,
        origins: &'b [Origin],
        proxy: impl Fn(usize) -> Option<Arc<Target>>,
    ) -> Vec<KnownWay<'b>> {
        let is_known = |ways: &[KnownWay<'b>], last: &Arc<Target>| {
            ways.iter().any(|(_, known)| known.proxy_id == last.proxy_id)
        };
        let mut ways = Vec::new();
        for position in 0..self.hosts.len() {
            let Some(mut last) = proxy(position) else { continue };
            if is_known(&ways, &last) {
                continue;
            }
            let Ok(mut hops) = way::hops(&self.layers(position, origins)) else { continue };
            while !is_known(&ways, &last) {
                ways.push((hops.clone(), last.clone()));
                hops.pop();
                let Some(before) = last.proxy.clone() else { break };
                last = before;
            }
        }
        ways
    }

    /// Where the settings of each host come from.
    fn origins(&self) -> Vec<Origin> {
        let host = |(position, host): (usize, &HostSpec)| Origin::Host { position, name: host.host().into() };
        self.hosts.iter().enumerate().map(host).collect()
    }

    /// The layers of the host at this position.
    fn layers<'b>(&'b self, position: usize, origins: &'b [Origin]) -> Layers<'b> {
        let own = self.config(position).map(|config| Layer { origin: &origins[position], config });
        Layers::new(Some(&self.hosts[position]), own, [self.client_layer()])
    }

    fn client_layer(&self) -> Layer<'_> {
        Layer { origin: &Origin::Client, config: &self.client }
    }

    /// Checks every configuration, without reading keys.
    fn check(&self, origins: &[Origin]) -> Result<(), Error> {
        self.client.check(&Origin::Client)?;
        let Some(configs) = &self.configs else { return Ok(()) };
        check_number(configs, &self.hosts)?;
        configs.iter().zip(origins).try_for_each(|(config, origin)| config.check(origin))
    }
}

/// Checks that there are as many configurations as hosts.
pub(crate) fn check_number<H>(configs: &[HostConfig], hosts: &[H]) -> Result<(), Error> {
    let (configs, hosts) = (configs.len(), hosts.len());
    if configs != hosts {
        return Err(ConfigProblem::HostConfigs { hosts, configs }.of(Origin::Client));
    }
    Ok(())
}

/// The name to log in with, checked against what libssh accepts.
fn login_name(user: Option<&str>, has_gssapi: bool, origin: &Origin) -> Result<CString, Error> {
    let Some(user) = user else {
        let (setting, needs) = ("user", "a value, because the owner of this process has no name");
        return Err(ConfigProblem::Missing { setting, needs }.of(Origin::Default));
    };
    let Ok(name) = CString::new(user) else {
        let problem = "contains a NUL byte";
        return Err(ConfigProblem::Unusable { setting: "user", problem }.of(origin.clone()));
    };
    if has_gssapi && !engine::takes_user(&name) {
        let problem = "libssh cannot use this name with GSSAPI: set gssapi_auth(false)".to_owned();
        let value = user.to_owned();
        return Err(ConfigProblem::Invalid { setting: "user", value, problem }.of(origin.clone()));
    }
    Ok(name)
}

fn check_library() -> Result<(), Error> {
    if engine::has_gssapi() {
        return Ok(());
    }
    Err(Error::Unsupported {
        feature: "GSSAPI",
        library: engine::version(),
        reason: "it was built without GSSAPI",
    })
}

/// Returns an error if agent forwarding is disabled because too many hosts have made libssh loop.
fn check_forwarding() -> Result<(), Error> {
    if engine::can_forward_agent() {
        return Ok(());
    }
    let reason = "too many hosts have made it loop for ever in this process; restart the program";
    Err(Error::Unsupported { feature: "agent forwarding", library: engine::version(), reason })
}

/// Checks that no proxy appears twice on the way to a host, and that the host itself is not among
/// the proxies. Otherwise, a connection would wait for itself.
fn check_way(host: &str, port: u16, way: &[Hop<'_>]) -> Result<(), ConfigProblem> {
    if way.is_empty() {
        return Ok(());
    }
    let mut seen = vec![(canonical(host), port)];
    for &Hop { spec, port, .. } in way {
        let name = canonical(spec.host());
        if seen.iter().any(|(known, of)| known.eq_ignore_ascii_case(&name) && *of == port) {
            return Err(ConfigProblem::ProxyLoop { host: spec.host().to_owned(), port });
        }
        seen.push((name, port));
    }
    Ok(())
}

impl<'a> Profiles<'a> {
    fn new(owner: &'a Owner, verifier: &'a Arc<Verifier>, ways: Vec<KnownWay<'a>>) -> Self {
        Self {
            owner,
            credentials: Credentials::new(owner),
            algorithms: HashMap::new(),
            verifier,
            known: HashMap::new(),
            proxies: HashMap::new(),
            ways,
        }
    }

    /// Returns the target of the last of these proxies. Each proxy is connected to through the one
    /// before it.
    fn way(&mut self, hops: Vec<Hop<'a>>) -> Result<Option<Arc<Target>>, Error> {
        let known = |end: usize| {
            let way = self.ways.iter().find(|(known, _)| known.as_slice() == &hops[..end]);
            way.map(|(_, last)| (end, last.clone()))
        };
        let (begun, mut way) = (1..=hops.len()).rev().find_map(known).unzip();
        for hop in hops.into_iter().skip(begun.unwrap_or(0)) {
            let (number, profile) = self.profile(hop.spec.host(), hop.settings, &hop.origin())?;
            let key =
                (hop.spec.host().into(), hop.port, number, way.as_ref().and_then(|before| before.proxy_id));
            let target = |(host, ..): &ProxyKey| {
                let mut target = Target::new(host, hop.port, profile);
                target.proxy_id = Some(ProxyId::next());
                target.proxy = way;
                Arc::new(target)
            };
            way = Some(self.proxies.entry(key).or_insert_with_key(target).clone());
        }
        Ok(way)
    }

    /// Returns the profile with these settings, and its number. `dialled` is the name to connect
    /// to, and `origin` is the host or proxy that needs the profile.
    fn profile(
        &mut self,
        dialled: &'a str,
        mut settings: Settings<'a>,
        origin: &Origin,
    ) -> Result<(usize, Arc<Profile>), Error> {
        settings.user = settings.user.or(self.owner.name.as_deref());
        if let Some(gssapi) = &mut settings.gssapi {
            check_library()?;
            // By default, each host with GSSAPI has a separate profile, because the server's name
            // is the host's.
            gssapi.server.get_or_insert(dialled);
        }
        if let Some(known) = self.known.get(&settings) {
            return Ok(known.clone());
        }
        let profile = Arc::new(self.make(dialled, settings, origin)?);
        let numbered = (self.known.len(), profile);
        self.known.insert(settings, numbered.clone());
        Ok(numbered)
    }

    fn make(&mut self, dialled: &str, settings: Settings<'a>, origin: &Origin) -> Result<Profile, Error> {
        let of_host = |problem: ConfigProblem| problem.of(origin.clone());
        let gssapi = settings.gssapi.map(|gssapi| gssapi.of(dialled)).transpose().map_err(of_host)?;
        let user = login_name(settings.user, gssapi.is_some(), origin)?;
        let agent = self.credentials.agent(settings.agent_socket)?;
        if let Some(forward) = settings.forward_agent {
            if agent.is_none() {
                let (setting, needs) =
                    ("forward_ssh_agent", "an ssh-agent: set SSH_AUTH_SOCK or agent_socket");
                return Err(ConfigProblem::Missing { setting, needs }.of(forward.origin()));
            }
            check_forwarding()?;
        }
        let (plan, skipped) = self.credentials.plan(gssapi, settings.login)?;
        let timeout = settings.timeout;
        Ok(Profile {
            user,
            algorithms: self.offered(settings.algorithms)?,
            plan,
            skipped,
            guard_passwords: settings.guard_passwords,
            agent,
            forward_agent: settings.forward_agent.is_some(),
            timeouts: Timeouts {
                connect: timeout.or(Some(limits::CONNECT_TIMEOUT)),
                handshake: timeout.or(Some(limits::HANDSHAKE_TIMEOUT)),
                auth: timeout.or(Some(limits::AUTH_TIMEOUT)),
                exec: timeout.or(Some(limits::EXEC_TIMEOUT)),
                exec_is_set: timeout.is_some(),
                stop: settings.stop_grace,
                close: settings.close_timeout,
            },
            read_timeout: settings.read_timeout,
            connection: settings.connection,
            verifier: self.verifier.clone(),
        })
    }

    fn offered(&mut self, choices: Choices<'a>) -> Result<Arc<Offered>, Error> {
        if let Some(known) = self.algorithms.get(&choices) {
            return Ok(known.clone());
        }
        let offered = Arc::new(choices.resolve()?);
        self.algorithms.insert(choices, offered.clone());
        Ok(offered)
    }
}

#[cfg(test)]
mod tests;
