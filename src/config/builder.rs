//! The builders of fleets and clients.

use std::sync::Arc;

use super::host_config::HostConfig;
use super::list::{Entry, Listed, deal, hosts};
use super::owner::Owner;
use super::settings::settings;
use super::targets::Common;
use crate::dns::Resolver;
use crate::error::{ConfigProblem, Error, Origin};
use crate::limits;
use crate::session::Target;
use crate::ssh_config::SshConfig;

/// Builds a [`Fleet`](crate::Fleet). Nothing touches the network before the first command.
///
/// Most settings that a [`HostConfig`] has for one host can be set here for all hosts. Names and
/// defaults follow parallel-ssh's `ParallelSSHClient`; where the behaviour differs, the
/// documentation of the method says so.
///
/// ```
/// use sshoal::{Error, Fleet};
///
/// // `build` reports every mistake that can be found without the network.
/// let refused = Fleet::builder(["web1", "web2:0"]).user("deploy").build();
/// assert!(matches!(refused, Err(Error::HostSpec { position: 1, .. })));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct FleetBuilder {
    hosts: Vec<Entry>,
    /// The settings for all hosts. Those in `configs` and in the host list take precedence.
    pub(super) client: HostConfig,
    configs: Option<Vec<HostConfig>>,
    limits: Limits,
    resolver: Option<Resolver>,
    ssh_config: Option<Arc<SshConfig>>,
}

/// Builds a [`ParallelClient`](crate::ParallelClient). Nothing touches the network before the first
/// command.
///
/// Most settings that a [`HostConfig`] has for one host can be set here for all hosts. Names and
/// defaults follow parallel-ssh's `ParallelSSHClient`; where the behaviour differs, the
/// documentation of the method says so.
///
/// ```
/// use sshoal::{Error, ParallelClient};
///
/// // `build` reports every mistake that can be found without the network.
/// let refused = ParallelClient::builder(["web1", "web2:0"]).user("deploy").build();
/// assert!(matches!(refused, Err(Error::HostSpec { position: 1, .. })));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientBuilder {
    pub(super) fleet: FleetBuilder,
}

/// Everything that a fleet is built from, after the settings were checked and the files were read.
#[derive(Debug)]
pub(crate) struct Setup {
    pub common: Common,
    /// The host list.
    pub list: Vec<Arc<Listed>>,
    /// The target of each host, in the same order.
    pub targets: Vec<Target>,
    /// `None` for that of this machine.
    pub resolver: Option<Resolver>,
    pub limits: Limits,
}

impl Setup {
    /// Distributes the hosts in turn over `count` setups, which share everything else.
    fn deal(self, count: usize) -> Vec<Self> {
        let Self { common, list, targets, resolver, limits } = self;
        let setup = |(list, targets)| Self {
            common: common.clone(),
            list,
            targets,
            resolver: resolver.clone(),
            limits,
        };
        deal(list, count).into_iter().zip(deal(targets, count)).map(setup).collect()
    }
}

/// The limits of a fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many hosts may connect or start a command at once.
    pub max_connecting: usize,
    /// How many commands may start or run at once. `None` means no limit.
    pub max_running: Option<usize>,
    /// How many connections may begin per second. `None` means no limit.
    pub connects_per_second: Option<u32>,
    /// The limit on the unread output of all commands, in bytes. `None` means that the caller has
    /// not set it.
    pub output_budget: Option<usize>,
    /// How many bytes of files may be transferred per second. `None` means no limit.
    pub transfer_rate: Option<u64>,
}

/// Rejects a limit of 0, because nothing would ever begin.
pub(crate) fn check_count(setting: &'static str, count: Option<usize>) -> Result<(), Error> {
    match count {
        Some(0) => Err(ConfigProblem::OutOfRange { setting, allowed: "at least 1" }.of(Origin::Client)),
        _ => Ok(()),
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_count("max_connecting", Some(self.max_connecting))?;
        check_count("max_running", self.max_running)?;
        check_count("connects_per_second", self.connects_per_second.map(|rate| rate as usize))?;
        check_count("output_budget", self.output_budget)?;
        let rate = self.transfer_rate.map(|rate| usize::try_from(rate).unwrap_or(usize::MAX));
        check_count("transfer_rate", rate)
    }
}

settings! { FleetBuilder, ClientBuilder.fleet; {
    /// Settings of single hosts, which take precedence over the settings for all hosts: one
    /// [`HostConfig`] per host, in the order of the host list. Default: none.
    ///
    /// [`build`](Self::build) returns an error if the number of configurations differs from the
    /// number of hosts.
    ///
    /// ```
    /// use sshoal::{HostConfig, ParallelClient};
    ///
    /// let builder = ParallelClient::builder(["db", "db", "web"])
    ///     .no_known_hosts()
    ///     .identity_auth(false);
    /// let user = |name: &str| HostConfig::default().user(name);
    /// let as_two_users = [user("postgres"), user("backup")];
    /// let error = builder.host_config(as_two_users).build().unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "host_config has 2 entries for 3 hosts: give one for each host"
    /// );
    /// ```
    host_config(configs: impl IntoIterator<Item = HostConfig>) =>
        |builder| builder.configs = Some(configs.into_iter().collect());

    /// How many commands may start or run at once (ClusterShell, pdsh: the fanout). The limit on
    /// hosts that connect at once is separate. Default: `None`, no limit; 0 is rejected.
    /// [`Fleet::set_max_running`](crate::Fleet::set_max_running) changes the limit of an existing
    /// fleet.
    ///
    /// A command counts from the moment when its host begins to connect for it, or to start it on
    /// an open connection, until the command has ended. It does not count while its host pauses
    /// between two attempts, nor while the command waits for a
    /// [channel](crate::Command::wait_for_channel). Hosts that only
    /// [connect](crate::Fleet::connect) do not count.
    ///
    /// [`ParallelClient::run_command`](crate::ParallelClient::run_command) returns when all hosts
    /// have accepted the command. With more hosts than this limit, that requires some commands to
    /// end first. Commands that wait for input would not end: use
    /// [`start_command`](crate::ParallelClient::start_command).
    max_running(commands: impl Into<Option<usize>>) =>
        |builder| builder.limits.max_running = commands.into();

    /// Rate limit of new connections per second, for networks, name servers and directories that
    /// cannot take many logins at once. Default: `None`, no limit; 0 is rejected.
    /// [`Fleet::set_connects_per_second`](crate::Fleet::set_connects_per_second) changes the limit
    /// of an existing fleet.
    ///
    /// New connections are evenly spread: at 100 per second, one begins every 10 ms. If the event
    /// loop is late, at most as many begin at once as are due in 10 ms. Every attempt counts,
    /// including connections to proxies and through proxies. Addresses of one host that
    /// [race](Self::attempt_delay) count as one connection. Hosts that wait for the rate limit
    /// occupy no place in the pool.
    connects_per_second(connections: impl Into<Option<u32>>) =>
        |builder| builder.limits.connects_per_second = connections.into();

    /// Limit on the unread output of all commands, in bytes. 0 is rejected. Default: 256 MiB for a
    /// [`Fleet`](crate::Fleet). For a [`ParallelClient`](crate::ParallelClient), the default is
    /// `None` (no limit): with a limit, its [`join`](crate::ParallelClient::join) might never
    /// return.
    ///
    /// The budget applies back-pressure like
    /// [`Keep::BackPressure`](crate::output::Keep::BackPressure), whatever the policy of a stream
    /// is, and shares the memory fairly. Once half of the budget is used, a stream with more than
    /// an equal share of the other half waits for its reader. Once three quarters are used, a
    /// stream waits as soon as it has 4 KiB. A stream with less than 4 KiB of unread output never
    /// waits, so with very many hosts the budget may be exceeded, by less than 40 KiB per host. For
    /// libssh's memory, 160 KiB are added for each stream with unread output.
    output_budget(bytes: impl Into<Option<usize>>) =>
        |builder| builder.limits.output_budget = Some(bytes.into().unwrap_or(usize::MAX));

    /// Rate limit of [transfers](crate::transfer), for lines that other traffic shares: how many
    /// bytes of files all hosts together may send and receive per second. Default: `None`, no
    /// limit; 0 is rejected. [`Fleet::set_transfer_rate`](crate::Fleet::set_transfer_rate) changes
    /// the limit of an existing fleet. (`rsync --bwlimit` counts in KiB, and `scp -l` in kbit, each
    /// for one host.)
    ///
    /// Only the contents of files count, before SSH compresses and encrypts them; names, listings,
    /// and the input and output of commands do not. Hosts take turns of about 32 KiB, so they
    /// advance evenly; several transfers of one host share its turns, the earliest first. At most a
    /// quarter of a second's worth and 32 KiB are requested at once. While a transfer waits for its
    /// turn, it counts as [running](Self::max_running), and its
    /// [time limit](crate::Command::time_limit) goes on. What a server without SFTP sends by `scp`
    /// is counted when it arrives, and until it is allowed, nothing is read from the host.
    transfer_rate(bytes_per_second: impl Into<Option<u64>>) =>
        |builder| builder.limits.transfer_rate = bytes_per_second.into();

    /// OpenSSH's configuration, as a further place for settings. Default: none; nothing reads such
    /// files unless this setting is made.
    ///
    /// A setting is looked up in the host's entry in the list, then in its
    /// [`HostConfig`](crate::HostConfig), then in the settings for all hosts, and then in the
    /// configuration, where each host is looked up under its name in the list. Identity files of
    /// the configuration are tried after those that code names. `docs/ssh_config.md` says which
    /// option sets what. Options without an effect are in the log, and in
    /// [`ResolvedHost::ignored`](crate::config::ResolvedHost::ignored).
    ///
    /// [`build`](Self::build) and calls that add hosts run the commands of `Match exec`, each once
    /// per call, and wait for them. [`Fleet::reload`](crate::Fleet::reload) reads the files again;
    /// as with all settings, a host's names, port and proxies stay as they are.
    ///
    /// ```no_run
    /// use sshoal::ParallelClient;
    /// use sshoal::ssh_config::{LocalContext, SshConfig};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = SshConfig::load(LocalContext::current()?)?;
    /// let client = ParallelClient::builder(["web1", "web2"]).ssh_config(config).build()?;
    /// # Ok(())
    /// # }
    /// ```
    ssh_config(config: impl Into<Arc<SshConfig>>) => |builder| builder.ssh_config = Some(config.into());

    /// How names are resolved. Default: [`Resolver::Native`] with the system's configuration
    /// ([`DnsConfig::system`](super::DnsConfig::system)), read by [`build`](Self::build) and
    /// [`Fleet::reload`](crate::Fleet::reload). parallel-ssh uses `getaddrinfo`, like
    /// [`Resolver::System`].
    ///
    /// A name is resolved again for each attempt to connect. Its addresses are tried one after the
    /// other, those without a route last, until one accepts the connection.
    resolver(resolver: Resolver) => |builder| builder.resolver = Some(resolver);
}}

impl FleetBuilder {
    pub(crate) fn new(hosts: Vec<Entry>) -> Self {
        Self {
            hosts,
            client: HostConfig::default(),
            configs: None,
            limits: Limits {
                max_connecting: limits::POOL_SIZE,
                max_running: None,
                connects_per_second: None,
                output_budget: None,
                transfer_rate: None,
            },
            resolver: None,
            ssh_config: None,
        }
    }

    /// How many hosts may connect, or start a command, at once. Default: 100;
    /// [`build`](Self::build) rejects 0 with [`Error::Config`].
    /// [`Fleet::set_max_connecting`](crate::Fleet::set_max_connecting) changes the limit of an
    /// existing fleet.
    ///
    /// A host gives up its place in the pool when the server has accepted its command; when the
    /// server has not answered the start of a command for a second; and when the answer waits
    /// behind output of the same connection. Such a command keeps its own time limit. A host that
    /// connects keeps its place until it is logged in. Proxies take no place.
    ///
    /// The pool does not limit how many commands run at once ([`max_running`](Self::max_running)
    /// does), and connections stay open. If there are fewer free descriptors than hosts, idle
    /// connections are closed to make room for new ones. If there are fewer free descriptors than
    /// places, the pool shrinks: [`Metrics::pool`](crate::fleet::Metrics::pool) has its size, and
    /// the log has a warning.
    pub fn max_connecting(mut self, hosts: usize) -> Self {
        self.limits.max_connecting = hosts;
        self
    }

    /// Checks all settings and reads all files that a fleet needs.
    pub(crate) fn setup(self) -> Result<Setup, Error> {
        let owner = Owner::of_this_process();
        self.limits.check()?;
        let (common, list) = Common::new(self.client, hosts(self.hosts, 0)?, self.configs)?;
        let mut common = common.with_ssh_config(self.ssh_config);
        let targets = common.targets(&list, &owner)?;
        Ok(Setup { common, list, targets, resolver: self.resolver, limits: self.limits })
    }

    /// Like [`setup`](Self::setup), but distributes the hosts in turn over this many fleets.
    pub(crate) fn setup_many(self, fleets: usize) -> Result<Vec<Setup>, Error> {
        if !(1..=limits::FLEETS_MAX).contains(&fleets) {
            let (setting, allowed) = ("build_many", "1 to 4096");
            return Err(ConfigProblem::OutOfRange { setting, allowed }.of(Origin::Client));
        }
        Ok(self.setup()?.deal(fleets))
    }
}

impl ClientBuilder {
    pub(crate) fn new(hosts: Vec<Entry>) -> Self {
        Self { fleet: FleetBuilder::new(hosts) }
    }

    /// How many hosts may connect, or start a command, at once (parallel-ssh: `pool_size`).
    /// Default: 100; 0 is rejected. [`set_pool_size`](crate::ParallelClient::set_pool_size) changes
    /// the limit of an existing client.
    ///
    /// A host gives up its place in the pool when the server has accepted its command; when the
    /// server has not answered the start of a command for a second; and when the answer waits
    /// behind output of the same connection. Such a command keeps its own time limit. A host that
    /// connects keeps its place until it is logged in. Proxies take no place.
    ///
    /// The pool does not limit how many commands run at once ([`max_running`](Self::max_running)
    /// does), and connections stay open. If there are fewer free descriptors than hosts, idle
    /// connections are closed to make room for new ones. If there are fewer free descriptors than
    /// places, the pool shrinks: [`Metrics::pool`](crate::fleet::Metrics::pool) has its size, and
    /// the log has a warning.
    pub fn pool_size(mut self, places: usize) -> Self {
        self.fleet.limits.max_connecting = places;
        self
    }

    /// Returns the builder of the fleet that the client drives, and the configurations of single
    /// hosts.
    pub(crate) fn into_fleet(mut self) -> Result<(FleetBuilder, Option<Vec<HostConfig>>), Error> {
        check_count("pool_size", Some(self.fleet.limits.max_connecting))?;
        // No limit unless the caller has set one. With a limit, `join` may wait for output to be
        // read, but the caller, who would have to read it, is blocked in `join`.
        self.fleet.limits.output_budget.get_or_insert(usize::MAX);
        let configs = self.fleet.configs.clone();
        Ok((self.fleet, configs))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::list::entry;
    use super::*;

    pub(in crate::config) fn builder(hosts: &[&str]) -> FleetBuilder {
        FleetBuilder::new(hosts.iter().copied().map(entry).collect())
            .user("deploy")
            .password("hunter2")
            .allow_agent(false)
            .identity_auth(false)
            .no_known_hosts()
    }

    #[test]
    fn hosts_are_dealt_in_turn_with_their_configurations() {
        let own = ["a", "b", "c"].map(|alias| HostConfig::default().alias(alias));
        let setups = builder(&["one", "two", "three"]).host_config(own).setup_many(2).unwrap();
        let hosts = |setup: &Setup| setup.targets.iter().map(|target| target.host.to_string()).collect();
        let aliases =
            |setup: &Setup| setup.targets.iter().filter_map(|target| target.alias.clone()).collect();
        assert_eq!(setups.iter().map(hosts).collect::<Vec<Vec<_>>>(), [vec!["one", "three"], vec!["two"]]);
        assert_eq!(
            setups.iter().map(aliases).collect::<Vec<Vec<Arc<str>>>>(),
            [vec!["a".into(), "c".into()], vec!["b".into()]]
        );
        for (listed, target) in setups.iter().flat_map(|setup| setup.list.iter().zip(&setup.targets)) {
            assert_eq!(listed.spec.host(), &*target.host);
            assert_eq!(listed.config.as_ref().unwrap().alias.as_deref(), target.alias.as_deref());
        }
    }

    #[test]
    fn what_was_read_is_shared() {
        let setups = builder(&["one", "two"]).setup_many(2).unwrap();
        assert!(Arc::ptr_eq(&setups[0].targets[0].profile, &setups[1].targets[0].profile));
    }

    #[test]
    fn more_fleets_than_hosts_leave_some_without() {
        let setups = builder(&["one"]).setup_many(3).unwrap();
        assert_eq!(setups.iter().map(|setup| setup.targets.len()).collect::<Vec<_>>(), [1, 0, 0]);
    }

    #[test]
    fn absurd_numbers_of_fleets_are_refused() {
        for fleets in [0, limits::FLEETS_MAX + 1, usize::MAX] {
            assert!(matches!(builder(&["one"]).setup_many(fleets), Err(Error::Config { .. })), "{fleets}");
        }
    }

    #[test]
    fn positions_are_those_of_the_whole_list() {
        let refused = builder(&["one", "two", "three:0"]).setup_many(2);
        assert!(matches!(refused, Err(Error::HostSpec { position: 2, .. })), "{refused:?}");
    }
}
