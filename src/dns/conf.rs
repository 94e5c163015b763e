//! The resolver's configuration, and `resolv.conf` as glibc reads it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::hosts::Hosts;
use super::literal;
use crate::limits;
use crate::text::sanitise;

/// The port of name servers.
const PORT: u16 = 53;

/// Configuration of sshoal's own resolver ([`Resolver::Native`](super::Resolver::Native)).
///
/// [`system`](Self::system) reads this machine's configuration, which is the default of a client.
/// Every setting can be changed:
///
/// ```
/// use std::time::Duration;
/// use sshoal::ParallelClient;
/// use sshoal::config::{DnsConfig, Resolver};
///
/// # fn main() -> Result<(), sshoal::Error> {
/// let servers = ["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap()];
/// let dns = DnsConfig::system()
///     .servers(servers)
///     .search(["prod.example.com"])
///     .timeout(Duration::from_secs(2));
/// let client = ParallelClient::builder(["web1", "web2"]).resolver(Resolver::Native(dns))
/// #   .no_known_hosts().identity_auth(false)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct DnsConfig {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
    pub(super) ndots: usize,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) rotate: bool,
    pub(super) transport: Transport,
    pub(super) ipv6: bool,
    pub(super) bare_names: bool,
    pub(super) cache_entries: usize,
    pub(super) hosts: Hosts,
}

/// The transport of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// The configuration outside of `resolv.conf` (see the end of `resolv.conf(5)`).
#[derive(Debug, Default)]
pub(super) struct Environment<'a> {
    /// The name of this machine. The domain in this name is the search list if the file has no
    /// search list.
    pub hostname: &'a str,
    /// `LOCALDOMAIN`: a search list that replaces the file's.
    pub local_domain: Option<&'a str>,
    /// `RES_OPTIONS`: options appended to those of the file.
    pub options: Option<&'a str>,
}

impl DnsConfig {
    /// The configuration of this machine: `/etc/resolv.conf`, `/etc/hosts`, and the variables
    /// `LOCALDOMAIN` and `RES_OPTIONS`, as glibc reads them. The files are read now; later changes
    /// have no effect.
    ///
    /// A file that cannot be read counts as empty. If no name server is configured, 127.0.0.1 is
    /// used. `/etc/nsswitch.conf` is not read: names are looked up in the hosts file, then in DNS.
    pub fn system() -> Self {
        let local_domain = std::env::var("LOCALDOMAIN").ok();
        let options = std::env::var("RES_OPTIONS").ok();
        let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let environment = Environment {
            hostname: hostname.as_deref().unwrap_or_default(),
            local_domain: local_domain.as_deref(),
            options: options.as_deref(),
        };
        let resolv_conf = read(Path::new("/etc/resolv.conf"));
        let config = Self::from_parts(&resolv_conf, &environment);
        config.hosts(&read(Path::new("/etc/hosts")))
    }

    /// Parses the text of a `resolv.conf` file by glibc's rules, with an empty hosts file:
    ///
    /// - Keywords start in the first column; the last of `domain` and `search` counts; the first
    ///   three name servers are used.
    /// - `ndots`, `timeout` and `attempts` are capped at 15, 30 and 5. A timeout of 0 counts as 1
    ///   s.
    /// - `rotate`, `use-vc`, `no-aaaa` and `no-tld-query` are supported; other options are ignored.
    ///
    /// ```
    /// use sshoal::config::DnsConfig;
    ///
    /// let text = "nameserver 192.0.2.53\nsearch example.com\noptions ndots:2\n";
    /// let other_order = "options ndots:2\ndomain example.com\nnameserver 192.0.2.53";
    /// assert_eq!(
    ///     DnsConfig::parse_resolv_conf(text),
    ///     DnsConfig::parse_resolv_conf(other_order)
    /// );
    /// ```
    pub fn parse_resolv_conf(text: &str) -> Self {
        Self::from_parts(text.as_bytes(), &Environment::default())
    }

    pub(super) fn from_parts(resolv_conf: &[u8], environment: &Environment<'_>) -> Self {
        let mut config = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: limits::DNS_TIMEOUT,
            attempts: limits::DNS_ATTEMPTS,
            rotate: false,
            transport: Transport::Udp,
            ipv6: true,
            bare_names: true,
            cache_entries: limits::DNS_CACHE_ENTRIES,
            hosts: Hosts::default(),
        };
        let mut search: Option<Vec<String>> = None;
        for line in resolv_conf.split(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            // A keyword starts in the first column and ends at a blank. glibc ignores other lines
            // too.
            let Some((keyword, rest)) = line.split_once([' ', '\t']) else { continue };
            let mut words = words(rest);
            match keyword {
                "nameserver" => config.servers.extend(words.next().and_then(server)),
                "domain" => search = words.next().map(|domain| vec![domain.to_owned()]).or(search),
                "search" => {
                    search = Some(words.map(str::to_owned).collect())
                        .filter(|list: &Vec<_>| !list.is_empty())
                        .or(search)
                }
                "options" => config.apply(rest),
                _ => {}
            }
        }
        let of_environment = environment.local_domain.map(|list| words(list).map(str::to_owned).collect());
        let of_hostname = || environment.hostname.split_once('.').map(|(_, domain)| vec![domain.to_owned()]);
        config.search = of_environment.or(search).or_else(of_hostname).unwrap_or_default();
        config.apply(environment.options.unwrap_or_default());
        if config.servers.is_empty() {
            config.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        config.servers.truncate(limits::DNS_SERVERS);
        config
    }

    /// Applies a line of options, or the variable `RES_OPTIONS`.
    fn apply(&mut self, options: &str) {
        for option in words(options) {
            match option.split_once(':') {
                Some(("ndots", value)) => self.ndots = number(value).min(15),
                Some(("timeout", value)) => {
                    self.timeout = Duration::from_secs(number(value).clamp(1, 30) as u64);
                }
                Some(("attempts", value)) => self.attempts = number(value).clamp(1, 5) as u32,
                Some(_) => {}
                None => match option {
                    "rotate" => self.rotate = true,
                    "use-vc" => self.transport = Transport::Tcp,
                    "no-aaaa" => self.ipv6 = false,
                    "no-tld-query" | "no_tld_query" => self.bare_names = false,
                    _ => {}
                },
            }
        }
    }

    /// Sets the name servers, in the order in which they are queried. Only the first three are
    /// used. Without a server, names are looked up only in the hosts file.
    pub fn servers(mut self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.servers = servers.into_iter().take(limits::DNS_SERVERS).collect();
        self
    }

    /// Sets the domains that are appended to a name with fewer than [`ndots`](Self::ndots) dots.
    pub fn search(mut self, domains: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.search = domains.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how many dots a name must have to be tried unchanged before the search list. A name
    /// with fewer dots is tried unchanged after the search list. Default: 1.
    pub fn ndots(mut self, dots: usize) -> Self {
        self.ndots = dots;
        self
    }

    /// Sets the longest pause before a query is repeated. Default: 5 s. The first pause is 400 ms,
    /// and the pause doubles with each round over the servers.
    ///
    /// A lookup takes at most this time multiplied by [`attempts`](Self::attempts), whatever the
    /// number of servers and search domains, and never longer than the host may take to connect
    /// ([`timeout`](crate::config::ClientBuilder::timeout)).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets the longest time that a lookup may take, as a multiple of the
    /// [`timeout`](Self::timeout). Default: 2; 0 counts as 1.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets how many responses are kept in the cache, for as long as their TTLs allow. Default:
    /// 32,768; 0 disables the cache. A client with few hosts uses a smaller cache.
    pub fn cache_entries(mut self, entries: usize) -> Self {
        self.cache_entries = entries;
        self
    }

    /// Sets the text of the hosts file (`hosts(5)`), which has precedence over DNS. Default of
    /// [`system`](Self::system): `/etc/hosts`.
    pub fn hosts(mut self, text: &[u8]) -> Self {
        self.hosts = Hosts::parse(text);
        self
    }

    /// The longest time that a lookup may take.
    pub(super) fn time_limit(&self) -> Duration {
        self.timeout.saturating_mul(self.attempts)
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| {
        log::warn!("{}: {e}", path.display());
        Vec::new()
    })
}

/// Splits a text at blanks. A carriage return counts as a blank.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', '\r']).filter(|word| !word.is_empty())
}

/// Parses a number like C's `atoi`: the leading digits count, and a text without any is 0.
fn number(text: &str) -> usize {
    let digits = text.bytes().take_while(u8::is_ascii_digit).map(|digit| usize::from(digit - b'0'));
    digits.fold(0, |number: usize, digit| number.saturating_mul(10).saturating_add(digit))
}

/// Parses a name server: an IPv4 address in any form, or an IPv6 address with or without a zone.
fn server(text: &str) -> Option<SocketAddr> {
    let address = literal::parse(text, PORT)?.ok();
    if address.is_none() {
        log::warn!("resolv.conf: no network interface for name server {}", sanitise(text));
    }
    address
}

impl Default for DnsConfig {
    /// The same as [`system`](Self::system).
    fn default() -> Self {
        Self::system()
    }
}
