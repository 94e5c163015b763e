//! Makes the fleet's targets from the settings.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::iter::repeat_with;
use std::mem::take;
use std::path::Path;
use std::sync::{Arc, Weak};

use super::algorithms::Choices;
use super::bind::Bound;
use super::credentials::Credentials;
use super::host_config::HostConfig;
use super::host_keys::{KnownVerifiers, Renewals, Verifiers};
use super::known::Known;
use super::known_keys::KnownKeys;
use super::layers::{Forwarding, Given, Layer, Layers, Settings};
use super::library::{check_forwarding, check_library, login_name};
use super::list::{Listed, check_number};
use super::names::Names;
use super::owner::Owner;
use super::ssh_file::{FileLayer, file_layers};
use super::way::{self, Hop, Ways};
use crate::address::canonical;
use crate::error::{ConfigProblem, Error, Origin};
use crate::host::HostSpec;
use crate::limits;
use crate::link::algorithms::Offered;
use crate::session::{Profile, ProxyId, Target, Timeouts};
use crate::ssh_config::SshConfig;

/// The settings for all hosts, and what hosts share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    client: Arc<HostConfig>,
    ssh_config: Option<Arc<SshConfig>>,
    keys: KnownKeys,
    shared: Shared,
    verifiers: KnownVerifiers,
    /// Host key files that were read again. `None` if this call uses them as they were read.
    renewals: Option<Renewals>,
}

/// What is made once for all hosts that need it, and kept while there is one.
#[derive(Debug, Clone, Default)]
struct Shared {
    profiles: Known<Weak<Profile>>,
    algorithms: Known<Weak<Offered>>,
    ways: Ways,
}

/// A part of a host list, or the whole list.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub hosts: &'a [Arc<Listed>],
    /// The position of the first of these hosts in the list.
    pub first: usize,
}

/// Makes the targets of one call.
struct Profiles<'a> {
    owner: &'a Owner,
    credentials: Credentials<'a>,
    algorithms: HashMap<Choices<'a>, Arc<Offered>>,
    verifiers: Verifiers<'a>,
    bound: Bound<'a>,
    client: &'a HostConfig,
    shared: &'a mut Shared,
    /// The profiles made so far, each with a number that identifies it.
    made: HashMap<Settings<'a>, (usize, Arc<Profile>)>,
    proxies: HashMap<ProxyKey<'a>, Arc<Target>>,
}

/// Identifies a proxy by its names, its port, the number of its profile, its command, and the proxy
/// before it.
type ProxyKey<'a> = (Arc<str>, Names<'a>, u16, usize, Option<&'a str>, Option<ProxyId>);

impl Common {
    /// Checks the settings for all hosts, without reading keys, and the number of configurations.
    /// Returns the host list.
    pub fn new(
        client: HostConfig,
        hosts: Vec<HostSpec>,
        configs: Option<Vec<HostConfig>>,
    ) -> Result<(Self, Vec<Arc<Listed>>), Error> {
        client.check(&Origin::Client)?;
        if let Some(configs) = &configs {
            check_number(configs.len(), hosts.len())?;
        }
        let configs = configs.into_iter().flatten().chain(repeat_with(HostConfig::default));
        let listed = hosts.into_iter().zip(configs).map(|(spec, config)| Listed::new(spec, config).into());
        Ok((Self { client: client.into(), ..Self::default() }, listed.collect()))
    }

    /// Adds the layer of OpenSSH's configuration.
    pub fn with_ssh_config(self, ssh_config: Option<Arc<SshConfig>>) -> Self {
        Self { ssh_config, ..self }
    }

    /// The same settings, without anything that was made before, except for host key files. Those
    /// that hosts use are read again.
    pub fn anew(&self) -> Self {
        let Self { client, ssh_config, verifiers, .. } = self.clone();
        Self { client, ssh_config, verifiers, renewals: Some(Vec::new()), ..Self::default() }
    }

    /// Reads the files of OpenSSH's configuration again.
    pub fn read_ssh_config(&mut self) -> Result<(), Error> {
        if let Some(config) = &mut self.ssh_config
            && let Some(read) = config.load_again()?
        {
            *config = Arc::new(read);
        }
        Ok(())
    }

    /// Makes the targets of all hosts of the list. Checks their settings, and reads each key once.
    pub fn targets(&mut self, list: &[Arc<Listed>], owner: &Owner) -> Result<Vec<Target>, Error> {
        if list.is_empty() {
            // Unusable settings are an error even without hosts.
            let alone = Layers::new(None, [], [Layer { origin: &Origin::Client, config: &self.client }]);
            alone.check_delegation()?;
            let Settings { login, gssapi, algorithms, host_keys, .. } = alone.settings();
            algorithms.resolve()?;
            Verifiers::new(owner, &mut self.verifiers, None).get(host_keys)?;
            gssapi.map_or(Ok(()), |_| check_library())?;
            Credentials::new(owner, &mut self.keys).plan(None, login)?;
        }
        let all = Part { hosts: list, first: 0 };
        Ok(self.changes(all, |_| false, [], owner)?.into_iter().flatten().collect())
    }

    /// Like [`targets`](Self::targets), for a part of the list. `others` are the hosts in the rest
    /// of it, which are not looked at unless they matter. The result has `None` for each position
    /// that `stays` as it is, and nothing is read for its host. The other hosts share the proxies
    /// of existing hosts, and profiles, keys and algorithms where they are the same.
    pub fn changes<'b>(
        &mut self,
        part: Part<'_>,
        stays: impl Fn(usize) -> bool,
        others: impl IntoIterator<Item = &'b Listed>,
        owner: &Owner,
    ) -> Result<Vec<Option<Target>>, Error> {
        let Self { client, ssh_config, keys, shared, verifiers, renewals } = self;
        let origins = part.origins();
        for (host, origin) in part.hosts.iter().zip(&origins) {
            host.config.as_ref().map_or(Ok(()), |config| config.check(origin))?;
        }
        let wanted =
            (part.first..).zip(part.hosts).map(|(position, host)| (!stays(position)).then_some(&**host));
        let files = ssh_config.as_ref().map(|config| file_layers(config, client, wanted)).transpose()?;
        // Made when they are needed: all of them at once would be the most memory that this takes.
        let layers = |index: usize| {
            let file = files.as_ref().and_then(|files| files[index].as_deref());
            let file = file.map(|FileLayer { origin, config }| Layer { origin, config });
            Layers::of_host(&part.hosts[index], &origins[index], client, file)
        };
        let is_used = LazyCell::new(|| {
            let others = others.into_iter();
            let mut others = others.map(|host| Layers::of_host(host, &Origin::Client, client, None));
            // OpenSSH's configuration is not asked about other hosts, which may use GSSAPI.
            ssh_config.is_some()
                || (0..part.hosts.len()).any(|index| layers(index).uses_gssapi())
                || others.any(|host| host.uses_gssapi())
        });
        for host in (0..part.hosts.len()).map(layers) {
            // A setting of the client is an error only if it has no effect on any host.
            if host.idle_delegation().is_some_and(|origin| *origin != Origin::Client || !*is_used) {
                host.check_delegation()?;
            }
        }
        let credentials = Credentials::new(owner, keys);
        let verifiers = Verifiers::new(owner, verifiers, renewals.as_mut());
        let mut profiles = Profiles::new(owner, credentials, verifiers, client, shared);
        let mut targets = Vec::with_capacity(part.hosts.len());
        for (index, host) in part.hosts.iter().enumerate() {
            let target = || profiles.target(host, &layers(index), &origins[index]);
            targets.push((!stays(part.first + index)).then(target).transpose()?);
        }
        Ok(targets)
    }

    /// Uses host key files as they were read again, and lets later hosts share what was read again,
    /// with the proxies that there are.
    pub fn renew(&mut self, read: &Self) {
        for (files, contents) in read.renewals.iter().flatten() {
            contents.iter().for_each(|contents| files.replace(contents.clone()));
        }
        let ways = take(&mut self.shared.ways);
        self.ssh_config.clone_from(&read.ssh_config);
        self.shared = Shared { ways, ..read.shared.clone() };
        self.keys = read.keys.clone();
    }
}

impl Part<'_> {
    /// Where the settings of each host come from.
    fn origins(&self) -> Vec<Origin> {
        let origin = |(position, host): (usize, &Arc<Listed>)| Origin::Host {
            position,
            name: host.spec.host().into(),
        };
        (self.first..).zip(self.hosts).map(origin).collect()
    }
}

/// Checks that no proxy appears twice on the way to a host, and that the host itself is not among
/// the proxies. Otherwise, a connection would wait for itself.
fn check_way(host: &str, port: u16, way: &[Hop<'_>]) -> Result<(), ConfigProblem> {
    if way.is_empty() {
        return Ok(());
    }
    let mut seen = vec![(canonical(host), port)];
    for &Hop { names, port, .. } in way {
        let name = canonical(names.dialled);
        if seen.iter().any(|(known, of)| known.eq_ignore_ascii_case(&name) && *of == port) {
            return Err(ConfigProblem::ProxyLoop { host: names.dialled.to_owned(), port });
        }
        seen.push((name, port));
    }
    Ok(())
}

impl<'a> Profiles<'a> {
    fn new(
        owner: &'a Owner,
        credentials: Credentials<'a>,
        verifiers: Verifiers<'a>,
        client: &'a HostConfig,
        shared: &'a mut Shared,
    ) -> Self {
        Self {
            owner,
            credentials,
            algorithms: HashMap::new(),
            verifiers,
            bound: Bound::default(),
            client,
            shared,
            made: HashMap::new(),
            proxies: HashMap::new(),
        }
    }

    fn target(&mut self, host: &'a Listed, layers: &Layers<'a>, origin: &'a Origin) -> Result<Target, Error> {
        let spec = &host.spec;
        let port = layers.port();
        let hops = way::hops(layers)?;
        let names = Names::of(layers, spec);
        check_way(names.dialled, port, &hops).map_err(|problem| problem.of(origin.clone()))?;
        let (_, profile) = self.profile(names.dialled, layers.settings(), origin)?;
        let mut target = Target::new(spec.shared_host(), port, profile);
        names.apply(&mut target);
        target.alias = host.config.as_ref().and_then(|config| config.alias.as_deref()).map(Into::into);
        target.proxy = self.way(&hops, spec, layers)?;
        if let Some(Given { value: text, .. }) = way::command(layers) {
            self.shared.ways.lead(&mut target, text, origin)?;
        }
        Ok(target)
    }

    /// Returns the target of the last of these proxies on the way to this host. Each proxy is
    /// connected to through the one before it.
    fn way(
        &mut self,
        hops: &[Hop<'a>],
        host: &HostSpec,
        layers: &Layers<'a>,
    ) -> Result<Option<Arc<Target>>, Error> {
        let known = |end: usize| Some((end, self.shared.ways.find(&hops[..end], self.client)?));
        let (begun, mut way) = (1..=hops.len()).rev().find_map(known).unzip();
        for index in begun.unwrap_or(0)..hops.len() {
            let hop = &hops[index];
            let (number, profile) = self.profile(hop.names.dialled, hop.settings, &hop.origin())?;
            let before = way.as_ref().and_then(|before| before.proxy_id);
            let key = (hop.spec.shared_host(), hop.names, hop.port, number, hop.command, before);
            let proxy = match self.proxies.get(&key) {
                Some(proxy) => proxy.clone(),
                None => {
                    let mut target = Target::new(Arc::clone(&key.0), hop.port, profile);
                    hop.names.apply(&mut target);
                    target.proxy_id = Some(ProxyId::next());
                    target.proxy = way;
                    if let Some(text) = hop.command {
                        self.shared.ways.lead(&mut target, text, &hop.origin())?;
                    }
                    self.proxies.entry(key).or_insert(Arc::new(target)).clone()
                }
            };
            self.shared.ways.insert(&hops[..=index], host, layers, &proxy);
            way = Some(proxy);
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
        if let Some(made) = self.made.get(&settings) {
            return Ok(made.clone());
        }
        let profile = self.make(dialled, settings, origin)?;
        let numbered = (self.made.len(), self.shared.profiles.share(Arc::new(profile)));
        self.made.insert(settings, numbered.clone());
        Ok(numbered)
    }

    fn make(&mut self, dialled: &str, settings: Settings<'a>, origin: &Origin) -> Result<Profile, Error> {
        let of_host = |problem: ConfigProblem| problem.of(origin.clone());
        let gssapi = settings.gssapi.map(|gssapi| gssapi.of(dialled)).transpose().map_err(of_host)?;
        let user = login_name(settings.user, gssapi.is_some(), origin)?;
        let agent = self.credentials.agent(settings.agent_socket)?;
        let forward_agent =
            settings.forward_agent.map(|forward| self.forwarded(forward, &agent)).transpose()?;
        let forward_agent = forward_agent.flatten();
        let (plan, skipped) = self.credentials.plan(gssapi, settings.login)?;
        let timeout = settings.timeout;
        Ok(Profile {
            user,
            algorithms: self.offered(settings.algorithms)?,
            plan,
            skipped,
            guard_passwords: settings.guard_passwords,
            agent,
            setup: settings.commands.setup(forward_agent.is_some()).map_err(of_host)?,
            login_program: settings.commands.login_program().map_err(of_host)?,
            forward_agent,
            timeouts: Timeouts {
                connect: settings.connect_timeout.or(Some(limits::CONNECT_TIMEOUT)),
                handshake: settings.connect_timeout.or(Some(limits::HANDSHAKE_TIMEOUT)),
                auth: timeout.or(Some(limits::AUTH_TIMEOUT)),
                exec: timeout.or(Some(limits::EXEC_TIMEOUT)),
                exec_is_set: timeout.is_some(),
                stop: settings.stop_grace,
                close: settings.close_timeout,
            },
            read_timeout: settings.read_timeout,
            connection: self.bound.connection(settings.connection, settings.bind)?,
            verifier: self.verifiers.get(settings.host_keys)?,
        })
    }

    /// The socket of the agent to forward. `agent` is that of logins.
    fn forwarded(
        &self,
        forward: Forwarding<'a>,
        agent: &Option<Arc<Path>>,
    ) -> Result<Option<Arc<Path>>, Error> {
        let agent = match forward.socket {
            Some(_) => self.credentials.agent(forward.socket)?,
            None => agent.clone(),
        };
        match agent {
            Some(_) => check_forwarding()?,
            None if forward.is_strict.value => {
                let (setting, needs) =
                    ("forward_ssh_agent", "an ssh-agent: set SSH_AUTH_SOCK or agent_socket");
                return Err(ConfigProblem::Missing { setting, needs }.of(forward.is_strict.origin()));
            }
            // As in OpenSSH, forwarding is off then.
            None => {}
        }
        Ok(agent)
    }

    fn offered(&mut self, choices: Choices<'a>) -> Result<Arc<Offered>, Error> {
        if let Some(known) = self.algorithms.get(&choices) {
            return Ok(known.clone());
        }
        let offered = self.shared.algorithms.share(Arc::new(choices.resolve()?));
        self.algorithms.insert(choices, offered.clone());
        Ok(offered)
    }
}

#[cfg(test)]
mod tests;
