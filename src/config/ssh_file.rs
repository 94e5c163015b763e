//! The layer of settings that OpenSSH's configuration has for each host.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::host_config::HostConfig;
use super::library::LibraryFacts;
use super::list::Listed;
use super::proxy::Proxy;
use super::ssh_settings::converted;
use crate::error::{Error, Origin};
use crate::host::HostSpec;
use crate::ssh_config::{
    ConfigResolver, Ignored, JumpHop, ProxyRoute, SettingSource, SshConfig, SshConfigError, SshDestination,
};

/// How many `ProxyJump` lines may lead from one host to the next. Real networks need two or three;
/// more is a loop.
const JUMP_DEPTH: usize = 16;

/// What OpenSSH's configuration says about a host, as settings of a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ResolvedHost {
    /// The settings.
    pub config: HostConfig,
    /// What applies to the host or to its proxies and has no effect, or not everywhere, with
    /// reasons.
    pub ignored: Vec<Ignored>,
}

impl HostConfig {
    /// The settings that OpenSSH's configuration has for a destination. The proxies of a
    /// `ProxyJump` are resolved with the same configuration, each under its own name.
    ///
    /// [`Builder::ssh_config`](crate::config::ClientBuilder::ssh_config) does this for all hosts of
    /// a list. With this function, the settings can be changed before they are used.
    ///
    /// As in OpenSSH, and unlike in a `HostConfig` that is written in code, key files and
    /// certificates that cannot be used are skipped with a warning, algorithms that the libssh in
    /// use lacks are left out, and host keys are recorded under the name that is connected to,
    /// unless there is a `HostKeyAlias`.
    ///
    /// # Errors
    /// The errors of [`ConfigResolver::resolve`], for the destination or one of its proxies; a
    /// `ProxyJump` without an end; a `RefuseConnection`; or a value that cannot be used here and
    /// must not be ignored.
    ///
    /// ```
    /// use sshoal::{HostConfig, ParallelClient};
    /// use sshoal::ssh_config::{LocalContext, SshConfig, SshDestination};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let text = "Host web*\n HostName %h.example.org\n ControlMaster auto";
    /// let config = SshConfig::parse(text, "config", LocalContext::current()?)?;
    /// let web1 = SshDestination::new("web1");
    /// let web1 = HostConfig::from_ssh_config(&mut config.resolver(), &web1)?;
    /// assert_eq!(
    ///     web1.ignored[0].to_string(),
    ///     "config:3: controlmaster auto is ignored: a fleet has its own connections and shares \
    ///      none with ssh"
    /// );
    /// let client = ParallelClient::builder(["web1"])
    ///     .host_config([web1.config.compress(true)])
    /// #   .no_known_hosts().identity_auth(false)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_ssh_config(
        resolver: &mut ConfigResolver<'_>,
        destination: &SshDestination,
    ) -> Result<ResolvedHost, SshConfigError> {
        Converter::new(resolver).resolve(destination, 0)
    }
}

/// Resolves hosts, and each `ProxyJump` once.
struct Converter<'a, 'b> {
    resolver: &'a mut ConfigResolver<'b>,
    library: LibraryFacts,
    routes: HashMap<Vec<JumpHop>, Route>,
}

/// The proxies of a `ProxyJump`, and of what it leads through.
#[derive(Clone)]
struct Route {
    proxies: Arc<[Proxy]>,
    ignored: Vec<Ignored>,
}

impl<'a, 'b> Converter<'a, 'b> {
    fn new(resolver: &'a mut ConfigResolver<'b>) -> Self {
        Self { resolver, library: LibraryFacts::default(), routes: HashMap::new() }
    }

    /// `depth` is the number of `ProxyJump` lines that lead to this destination.
    fn resolve(
        &mut self,
        destination: &SshDestination,
        depth: usize,
    ) -> Result<ResolvedHost, SshConfigError> {
        let settings = self.resolver.resolve(destination)?;
        let mut host = converted(&settings, self.resolver.config(), &mut self.library)?;
        let Some(route) = &settings.proxy else { return Ok(host) };
        match &route.value {
            ProxyRoute::Direct => host.config = host.config.no_proxy(),
            // Its tokens are expanded already.
            ProxyRoute::Command(text) => {
                host.config.proxy.command = Some(text.replace('%', "%%"));
            }
            ProxyRoute::Jump(hops) => {
                let Route { proxies, ignored } = self.route(hops, &route.source, depth)?;
                host.config.proxy.hops = Some(proxies);
                host.ignored.extend(ignored);
            }
        }
        Ok(host)
    }

    /// The proxies that a `ProxyJump` leads through. As in OpenSSH, the first one is reached as its
    /// own configuration says, and the others through the one before them.
    fn route(
        &mut self,
        hops: &[JumpHop],
        source: &SettingSource,
        depth: usize,
    ) -> Result<Route, SshConfigError> {
        if let Some(known) = self.routes.get(hops) {
            return Ok(known.clone());
        }
        if depth == JUMP_DEPTH {
            let problem = "proxyjump leads through more than 16 hosts that have a proxyjump themselves";
            return Err(SshConfigError::line(source, problem));
        }
        let (mut proxies, mut ignored) = (Vec::new(), Vec::new());
        for hop in hops {
            let ResolvedHost { mut config, ignored: of_hop } =
                self.resolve(&destination_of(hop), depth + 1)?;
            let before = std::mem::take(&mut config.proxy);
            if proxies.is_empty() {
                proxies.extend(before.hops.iter().flat_map(|hops| &**hops).cloned());
                config.proxy.command = before.command;
            }
            let spec = HostSpec::from_parts(hop.user.as_deref(), &hop.host, hop.port);
            let spec =
                spec.map_err(|problem| SshConfigError::line(source, format!("proxyjump {problem}")))?;
            proxies.push(Proxy { host: Ok(spec), config });
            ignored.extend(of_hop);
        }
        let route = Route { proxies: proxies.into(), ignored };
        self.routes.insert(hops.to_vec(), route.clone());
        Ok(route)
    }
}

fn destination_of(hop: &JumpHop) -> SshDestination {
    named(&hop.host, hop.user.as_deref(), hop.port)
}

/// A destination, with the user and the port that precede the configuration.
fn named(host: &str, user: Option<&str>, port: Option<u16>) -> SshDestination {
    let mut destination = SshDestination::new(host);
    if let Some(user) = user {
        destination = destination.user(user);
    }
    if let Some(port) = port {
        destination = destination.port(port);
    }
    destination
}

/// The layer of one host.
pub(super) struct FileLayer {
    pub origin: Origin,
    pub config: HostConfig,
}

/// The layers of hosts of a list. Options without an effect are logged once.
pub(super) fn file_layers<'a>(
    config: &SshConfig,
    client: &HostConfig,
    hosts: impl IntoIterator<Item = Option<&'a Listed>>,
) -> Result<Vec<Option<Box<FileLayer>>>, Error> {
    let mut resolver = config.resolver();
    let mut converter = Converter::new(&mut resolver);
    let mut logged = HashSet::new();
    let mut layer = |host: &Listed| {
        let ResolvedHost { config, ignored } = converter.resolve(&destination(host, client), 0)?;
        for ignored in ignored {
            let text = ignored.to_string();
            if !logged.contains(&text) {
                log::info!("{text}");
                logged.insert(text);
            }
        }
        let origin = Origin::SshConfig { name: host.spec.shared_host() };
        config.check(&origin)?;
        Ok(Box::new(FileLayer { origin, config }))
    };
    hosts.into_iter().map(|host| host.map(&mut layer).transpose()).collect()
}

/// What the list and code say about a host, which comes before the configuration.
fn destination(host: &Listed, client: &HostConfig) -> SshDestination {
    let own = host.config.as_deref();
    let user = host.spec.user().or(own.and_then(|own| own.user.as_deref())).or(client.user.as_deref());
    let port = host.spec.port().or(own.and_then(|own| own.port)).or(client.port);
    let destination = named(host.spec.host(), user, port);
    if let Some(name) = own.and_then(|own| own.hostname.as_deref()) {
        return destination.option(format!("HostName={}", name.replace('%', "%%")));
    }
    destination
}
