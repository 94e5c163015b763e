//! The way to a host: the proxies that it is behind, as they were configured and as they are used.

use std::sync::OnceLock;

use super::host_config::{HostConfig, Settings};
use super::proxy::Proxy;
use crate::host::HostSpec;

/// The way to a host, as far as it was configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// All of them. None at all is an answer too.
    pub hops: Option<Vec<Proxy>>,
    /// The `proxy_host`, and what belongs to it.
    pub host: Option<String>,
    pub login: Option<Box<HostConfig>>,
}

/// One proxy on the way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop<'a> {
    pub spec: HostSpec,
    pub settings: Settings<'a>,
}

impl Way {
    pub(super) fn login(&mut self) -> &mut HostConfig {
        self.login.get_or_insert_default()
    }

    /// What is wrong with it, as far as it shows without reading keys.
    pub(super) fn problem(&self) -> Option<String> {
        if self.hops.is_some() && (self.host.is_some() || self.login.is_some()) {
            return Some("proxies are given both by themselves and as proxy_host".to_owned());
        }
        if let Some(problem) = self.login.as_ref().and_then(|login| login.problem()) {
            return Some(format!("proxy: {problem}"));
        }
        let hops = self.hops.iter().flatten();
        let problem = |hop: &Proxy| {
            let idle = || hop.config.delegation_problem(&hop.config).map(str::to_owned);
            Some(format!("proxy {:?}: {}", hop.host, hop.config.problem().or_else(idle)?))
        };
        hops.into_iter().find_map(problem)
    }

    /// The proxies to a host with this own way, the first connected directly. What is wrong with them if they cannot be.
    pub(super) fn hops<'a>(&'a self, client: &'a HostConfig) -> Result<Vec<Hop<'a>>, String> {
        let Self { hops, host, login } = self;
        if let Some(hops) = hops {
            return hops.iter().map(|hop| Hop::new(&hop.host, &hop.config, &hop.config, client)).collect();
        }
        let of_client = &client.proxy;
        match (host, &of_client.hops, &of_client.host) {
            (None, Some(_), _) if login.is_some() => {
                Err("a login for proxy_host, where the client's proxies are given by themselves".to_owned())
            }
            (None, Some(_), _) => of_client.hops(client),
            (Some(host), ..) | (None, None, Some(host)) => {
                static NONE: OnceLock<HostConfig> = OnceLock::new();
                let none = NONE.get_or_init(HostConfig::default);
                let own = login.as_deref().unwrap_or(none);
                let inherited = of_client.login.as_deref().unwrap_or(none);
                Ok(vec![Hop::new(host, own, inherited, client)?])
            }
            (None, None, None) if login.is_some() || of_client.login.is_some() => {
                Err("a login for a proxy, but no proxy_host".to_owned())
            }
            (None, None, None) => Ok(Vec::new()),
        }
    }
}

impl<'a> Hop<'a> {
    /// The login is its own, or what it inherits as such; all else is its own, or the client's.
    fn new(
        host: &str,
        own: &'a HostConfig,
        inherited: &'a HostConfig,
        client: &'a HostConfig,
    ) -> Result<Self, String> {
        let spec: HostSpec = host.parse().map_err(|e| format!("proxy: {e}"))?;
        let Settings { user, port, mut login, gssapi, .. } = own.over(inherited);
        let all = own.over(client);
        // Where the agent is does not depend on who logs in.
        login.agent = login.agent.map(|_| all.agent_socket);
        let login = login.with_rounds_max(own.rounds_max_over(client));
        let mut settings = Settings { user, port, login, gssapi, ..all };
        // What goes through it is encrypted, which does not compress.
        settings.connection.compress = false;
        Ok(Self { spec, settings })
    }
}
