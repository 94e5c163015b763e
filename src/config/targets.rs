//! From the settings to the fleet's targets.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::CString;
use std::fmt::Display;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::credentials::{AgentSocket, Credentials, Login};
use super::host_config::{HostConfig, Settings};
use super::owner::Owner;
use super::way::Hop;
use crate::error::Error;
use crate::host::HostSpec;
use crate::hostkey::Verifier;
use crate::limits;
use crate::link::{Gssapi, engine};
use crate::session::{Connection, Profile, Target, Timeouts};

/// The hosts as they were given.
pub(super) struct Inventory<'a> {
    pub hosts: &'a [String],
    /// The client's own settings.
    pub client: &'a HostConfig,
    /// One per host, or none at all.
    pub configs: Option<&'a [HostConfig]>,
}

/// What a profile is made of; equal ones share it.
#[derive(PartialEq, Eq, Hash)]
struct ProfileKey<'a> {
    user: Cow<'a, str>,
    login: Login<'a>,
    /// Names the host, unless all have one identity: then each profile has one host.
    gssapi: Option<Gssapi>,
    connection: Connection,
    agent_socket: AgentSocket<'a>,
    forward_agent: bool,
    timeout: Option<Duration>,
    read_timeout: Option<Duration>,
}

struct Profiles<'a> {
    owner: &'a Owner,
    credentials: Credentials<'a>,
    verifier: &'a Arc<Verifier>,
    known: HashMap<ProfileKey<'a>, Arc<Profile>>,
    proxies: HashMap<ProxyKey, Arc<Target>>,
    ways: Vec<KnownWay<'a>>,
}

/// The proxies of a host that is there already, and the last of them as it is in use.
pub(super) type KnownWay<'a> = (Vec<Hop<'a>>, Arc<Target>);

/// What makes two proxies the same one: the name and port, all settings, and the way there, these by where they lie.
type ProxyKey = (Arc<str>, u16, *const Profile, *const Target);

impl<'a> Inventory<'a> {
    /// Checks the settings and reads the keys, each once.
    pub fn targets(&self, owner: &'a Owner, verifier: &'a Arc<Verifier>) -> Result<Vec<Target>, Error> {
        let targets = self.changes(owner, verifier, |_| false, Vec::new())?;
        if self.configs.is_none() && self.hosts.is_empty() {
            // A key that cannot be used is an error even if there is no host to use it on.
            Credentials::new(owner).plan(None, self.client.over(self.client).login)?;
        }
        Ok(targets.into_iter().flatten().collect())
    }

    /// As [`targets`](Self::targets), but without those of the hosts that stay as they are, for which nothing is read. Others
    /// share the proxies of hosts that were there before.
    pub fn changes(
        &self,
        owner: &'a Owner,
        verifier: &'a Arc<Verifier>,
        stays: impl Fn(usize) -> bool,
        ways: Vec<KnownWay<'a>>,
    ) -> Result<Vec<Option<Target>>, Error> {
        self.check()?;
        self.check_gssapi()?;
        let mut profiles = Profiles { ways, ..Profiles::new(owner, verifier) };
        let mut targets = Vec::with_capacity(self.hosts.len());
        for (position, text) in self.hosts.iter().enumerate() {
            if stays(position) {
                targets.push(None);
                continue;
            }
            let spec: HostSpec = text.parse().map_err(|source| Error::HostSpec { position, source })?;
            let own = self.configs.and_then(|configs| configs.get(position));
            let config = own.unwrap_or(self.client);
            let settings = config.over(self.client);
            let way = config.proxy.hops(self.client);
            let way = way.map_err(|problem| of_host(position, problem))?;
            let gssapi = settings.gssapi.map(|gssapi| gssapi.of(spec.host())).transpose();
            let gssapi = gssapi.map_err(|problem| of_host(position, problem))?;
            let profile = profiles.profile(&spec, gssapi, settings).map_err(|error| match (own, error) {
                (Some(own), Error::KeyFile { path, source, .. })
                    if own.concerns_login() || own.names_identity(&path, owner) =>
                {
                    Error::KeyFile { position: Some(position), path, source }
                }
                (Some(own), Error::CertFile { path, source, .. }) if own.concerns_login() => {
                    Error::CertFile { position: Some(position), path, source }
                }
                (Some(own), error) if own.concerns_login() => of_host(position, error),
                (_, error) => error,
            })?;
            let host: Arc<str> = spec.host().into();
            let port = spec.port().unwrap_or(settings.port);
            check_way(&host, port, &way).map_err(|problem| of_host(position, problem))?;
            targets.push(Some(Target {
                host,
                port,
                alias: own.and_then(HostConfig::alias_name).map(Into::into),
                profile,
                proxy: profiles.way(way).map_err(|error| match (own, error) {
                    (Some(own), Error::KeyFile { path, source, .. }) if own.concerns_proxy() => {
                        Error::KeyFile { position: Some(position), path, source }
                    }
                    (_, error) => error,
                })?,
            }));
        }
        Ok(targets)
    }

    /// The different ways to these hosts, each once, and those to the proxies on them. `proxy` says which is the last proxy
    /// of the host at a position.
    pub fn ways(&self, proxy: impl Fn(usize) -> Option<Arc<Target>>) -> Vec<KnownWay<'a>> {
        let is_known = |ways: &[KnownWay<'a>], last: &Arc<Target>| {
            ways.iter().any(|(_, known)| Arc::ptr_eq(known, last))
        };
        let mut ways = Vec::new();
        for position in 0..self.hosts.len() {
            let Some(mut last) = proxy(position) else { continue };
            if is_known(&ways, &last) {
                continue;
            }
            let own = self.configs.and_then(|configs| configs.get(position)).unwrap_or(self.client);
            let Ok(mut hops) = own.proxy.hops(self.client) else { continue };
            while !is_known(&ways, &last) {
                ways.push((hops.clone(), last.clone()));
                hops.pop();
                let Some(before) = last.proxy.clone() else { break };
                last = before;
            }
        }
        ways
    }

    /// What shows without reading keys, in every configuration, whether it counts or not.
    fn check(&self) -> Result<(), Error> {
        if let Some(problem) = self.client.problem() {
            return Err(Error::Config(problem));
        }
        let Some(configs) = self.configs else { return Ok(()) };
        check_number(configs, self.hosts)?;
        let wrong = |(position, config): (usize, &HostConfig)| Some((position, config.problem()?));
        match configs.iter().enumerate().find_map(wrong) {
            Some((position, problem)) => Err(of_host(position, problem)),
            None => Ok(()),
        }
    }

    /// Neither GSSAPI without a libssh that has it nor delegation without GSSAPI is passed over in silence.
    fn check_gssapi(&self) -> Result<(), Error> {
        let configs = self.configs.unwrap_or_default();
        let uses = |config: &HostConfig| config.gssapi_over(self.client).is_some();
        let is_used = configs.iter().any(uses);
        if is_used || self.configs.is_none() && uses(self.client) {
            check_library()?;
        }
        let idle = |(position, config): (usize, &HostConfig)| {
            Some(of_host(position, config.delegation_problem(self.client)?))
        };
        if let Some(error) = configs.iter().enumerate().find_map(idle) {
            return Err(error);
        }
        match self.client.delegation_problem(self.client) {
            Some(problem) if !is_used => Err(Error::Config(problem.to_owned())),
            _ => Ok(()),
        }
    }
}

/// Each host has a configuration, and each configuration a host.
pub(crate) fn check_number<H>(configs: &[HostConfig], hosts: &[H]) -> Result<(), Error> {
    let (given, hosts) = (configs.len(), hosts.len());
    if given != hosts {
        return Err(Error::Config(format!("{given} host configurations for {hosts} hosts")));
    }
    Ok(())
}

fn check_library() -> Result<(), Error> {
    if engine::has_gssapi() {
        return Ok(());
    }
    Err(Error::Unsupported {
        feature: "GSSAPI",
        library: engine::version(),
        reason: "it was built without it",
    })
}

/// Once hosts have had libssh loop too often, no agent is forwarded any more.
fn check_forwarding() -> Result<(), Error> {
    if engine::can_forward_agent() {
        return Ok(());
    }
    let reason =
        "hosts have made it loop for ever in this process, and as many threads as may are stuck in it";
    Err(Error::Unsupported { feature: "agent forwarding", library: engine::version(), reason })
}

/// No name may come twice on the way to a host, its own included: nobody would wait for such a connection to end.
fn check_way(host: &str, port: u16, way: &[Hop<'_>]) -> Result<(), String> {
    if way.is_empty() {
        return Ok(());
    }
    let mut seen = vec![(host, port)];
    for Hop { spec, settings } in way {
        let (name, port) = (spec.host(), spec.port().unwrap_or(settings.port));
        if seen.iter().any(|(known, of)| known.eq_ignore_ascii_case(name) && *of == port) {
            return Err(format!("the way to it goes in a circle: {name} port {port} comes twice"));
        }
        seen.push((name, port));
    }
    Ok(())
}

impl<'a> Profiles<'a> {
    fn new(owner: &'a Owner, verifier: &'a Arc<Verifier>) -> Self {
        let (known, proxies, ways) = Default::default();
        Self { owner, credentials: Credentials::new(owner), verifier, known, proxies, ways }
    }

    /// The last of these proxies, which has those before it as its own.
    fn way(&mut self, hops: Vec<Hop<'a>>) -> Result<Option<Arc<Target>>, Error> {
        let known = |end: usize| {
            let way = self.ways.iter().find(|(known, _)| known.as_slice() == &hops[..end]);
            way.map(|(_, last)| (end, last.clone()))
        };
        let (begun, mut way) = (1..=hops.len()).rev().find_map(known).unzip();
        for Hop { spec, settings } in hops.into_iter().skip(begun.unwrap_or(0)) {
            let (host, port): (Arc<str>, u16) = (spec.host().into(), spec.port().unwrap_or(settings.port));
            let gssapi = settings.gssapi.map(|gssapi| gssapi.of(spec.host())).transpose();
            let gssapi = gssapi.map_err(|problem| Error::Config(format!("proxy {host}: {problem}")))?;
            if gssapi.is_some() {
                check_library()?;
            }
            // No command runs on a proxy.
            let settings = Settings { forward_agent: false, ..settings };
            let profile = self.profile(&spec, gssapi, settings)?;
            let before = way.as_ref().map_or(ptr::null(), Arc::as_ptr);
            let key = (host.clone(), port, Arc::as_ptr(&profile), before);
            let proxy = self.proxies.entry(key);
            let proxy =
                proxy.or_insert_with(|| Arc::new(Target { host, port, alias: None, profile, proxy: way }));
            way = Some(proxy.clone());
        }
        Ok(way)
    }

    fn profile(
        &mut self,
        spec: &HostSpec,
        gssapi: Option<Gssapi>,
        settings: Settings<'a>,
    ) -> Result<Arc<Profile>, Error> {
        let own = spec.user().map(|user| Cow::Owned(user.to_owned()));
        let shared = || settings.user.or(self.owner.name.as_deref()).map(Cow::Borrowed);
        let Some(user) = own.or_else(shared) else {
            return Err(Error::Config("the owner of this process has no name: set the user".to_owned()));
        };
        let Settings { login, connection, agent_socket, forward_agent, timeout, read_timeout, .. } = settings;
        let key = ProfileKey {
            user,
            login,
            gssapi,
            connection,
            agent_socket,
            forward_agent,
            timeout,
            read_timeout,
        };
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let user = CString::new(&*key.user)
            .map_err(|_| Error::Config("the user name contains a NUL byte".to_owned()))?;
        let agent = self.credentials.agent(agent_socket)?;
        if forward_agent && agent.is_none() {
            let why =
                "forward_ssh_agent is on, but there is no agent: SSH_AUTH_SOCK is not set, nor agent_socket";
            return Err(Error::Config(why.to_owned()));
        }
        if forward_agent {
            check_forwarding()?;
        }
        let profile = Arc::new(Profile {
            user,
            plan: self.credentials.plan(key.gssapi.clone(), login)?,
            agent,
            forward_agent,
            timeouts: Timeouts {
                connect: timeout.or(Some(limits::CONNECT_TIMEOUT)),
                handshake: timeout.or(Some(limits::HANDSHAKE_TIMEOUT)),
                auth: timeout.or(Some(limits::AUTH_TIMEOUT)),
                exec: timeout,
            },
            read_timeout,
            connection,
            verifier: self.verifier.clone(),
        });
        self.known.insert(key, profile.clone());
        Ok(profile)
    }
}

/// Positions count from 0, as in [`Error::HostSpec`].
fn of_host(position: usize, problem: impl Display) -> Error {
    Error::Config(format!("host {position} of the list: {problem}"))
}

#[cfg(test)]
mod tests;
