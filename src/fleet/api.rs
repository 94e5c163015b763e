//! The [`Fleet`] type, and how a fleet is built.

use std::collections::HashSet;
use std::iter::successors;
use std::sync::Arc;
use std::{fmt, io};

use super::descriptors;
use super::engine::{Engine, Parts};
use super::event_loop::{HOST, token};
use super::library::{self, SshLibrary};
use super::password_guard::SharedTrials;
use super::registry::Links;
use super::touch_guard::SharedTurns;
use crate::clock::Clock;
use crate::config::{Common, FleetBuilder, Setup, entry};
use crate::dns::{DnsConfig, Resolver};
use crate::error::Error;
use crate::host::{HostSpec, HostSpecError};
use crate::hostkey::LineProblem;
use crate::ids::HostId;
use crate::limits;
use crate::link::Dialler;
use crate::reactor::Reactor;

/// Runs commands on many hosts from an event loop that the caller owns.
///
/// A turn never waits for a peer or a disk, and no signal handler is installed. No thread runs in
/// the background unless [`Resolver::System`](crate::config::Resolver::System), GSSAPI, a forwarded
/// ssh-agent, a host key that is not on record in a known_hosts file, or a
/// [transfer](crate::transfer) of files needs one. The caller repeats three steps:
///
/// 1. wait until the fleet's [descriptor](std::os::fd::AsFd) is readable or
///    [`next_deadline`](Self::next_deadline) has passed, along with everything else that the
///    program waits for;
/// 2. call [`turn`](Self::turn), which does a bounded amount of work;
/// 3. take events from [`next_event`](Self::next_event) until it returns `None`.
///
/// Every other method may be called between any two of these steps. Several fleets may exist side
/// by side, in one thread or in many. [`embedding`](crate::embedding) has the whole contract.
///
/// ```no_run
/// use std::time::Instant;
/// use sshoal::{Budget, Event, Fleet};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut fleet = Fleet::builder(["web1", "web2:2222"]).user("deploy").build()?;
/// fleet.start("uname -a")?;
/// loop {
///     // Programs that wait for other things too use poll(2), epoll(7), mio or tokio's `AsyncFd`.
///     fleet.wait(None)?;
///     fleet.turn(Instant::now(), Budget::default())?;
///     while let Some(event) = fleet.next_event() {
///         match event {
///             Event::Output { host, bytes, .. } => println!("{host:?}: {}", bytes.escape_ascii()),
///             Event::Finished { host, outcome, .. } => println!("{host:?}: {outcome}"),
///             Event::RunDone { .. } => return Ok(()),
///             _ => {}
///         }
///     }
/// }
/// # }
/// ```
///
/// # Log
/// The fleet logs through the [`log`] facade; if no logger is installed, a log line costs one
/// comparison. For each host, level `debug` reports every connection that is made, fails or is
/// given up, and the delay before the next attempt. Events report the same. Level `trace` reports
/// each step of a connection. Level `warn` reports problems of this process, such as too few file
/// descriptors, or a file or an agent that cannot be used. Log lines contain no secrets, and text
/// that comes from a host is made safe for a terminal.
pub struct Fleet {
    pub(super) engine: Engine,
    /// The settings for all hosts, and what hosts share.
    pub(super) common: Common,
    /// The id of the host at each position of the list. The slots of hosts have their entries.
    pub(super) positions: Vec<HostId>,
    /// Whether names are resolved as this machine is configured, because the caller has not set a
    /// resolver.
    pub(super) has_system_dns: bool,
}

impl FleetBuilder {
    /// Checks the settings, reads keys and known_hosts files, and creates the fleet. Does not use
    /// the network.
    ///
    /// The host list may be empty: hosts can be added later.
    ///
    /// # Errors
    /// [`Error::HostSpec`] and [`Error::Config`] for an invalid host or setting;
    /// [`Error::KeyFile`], [`Error::CertFile`] and [`Error::KnownHosts`] for a file that cannot be
    /// used; [`Error::Unsupported`] if the libssh in use lacks a feature that a setting needs;
    /// [`Error::System`] if the operating system refuses a resource that the event loop needs.
    pub fn build(self) -> Result<Fleet, Error> {
        Fleet::from_setup(self.setup()?)
    }

    /// Like [`build`](Self::build), but creates several fleets, each of which is driven by its own
    /// thread. Use this if there is more data than one core can encrypt. Hosts are distributed
    /// round-robin: the first host goes to the first fleet, the second host to the second fleet,
    /// and so on.
    ///
    /// Keys and known_hosts files are read once, and all fleets share them. Nothing else is shared,
    /// except the keys that an [accept-new](crate::hostkey::HostKeyPolicy::accept_new) policy
    /// records, what is known about passwords ([`guard_passwords`](Self::guard_passwords)), the
    /// order of touches of security keys, and known_hosts files that are read again. Limits such as
    /// [`max_connecting`](Self::max_connecting) apply to each fleet separately, and each fleet has
    /// its own connections to proxies.
    ///
    /// ```
    /// use sshoal::Fleet;
    ///
    /// let builder = Fleet::builder(["web1", "web2", "web3"]).user("deploy").password("...");
    /// let fleets = builder.no_known_hosts().identity_auth(false).build_many(2)?;
    /// assert_eq!(fleets.iter().map(|fleet| fleet.hosts().len()).collect::<Vec<_>>(), [2, 1]);
    /// # Ok::<(), sshoal::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`build`](Self::build), and [`Error::Config`] unless `fleets` is between 1 and
    /// 4,096. Positions in errors refer to the whole list.
    pub fn build_many(self, fleets: usize) -> Result<Vec<Fleet>, Error> {
        let (trials, touches) = (SharedTrials::default(), SharedTurns::default());
        let build = |setup| {
            let mut fleet = Fleet::from_setup(setup)?;
            let waker = fleet.engine.event_loop.reactor.waker().clone();
            fleet.engine.schedule.passwords = trials.join(Some(waker.clone()));
            fleet.engine.schedule.touches = touches.join(Some(waker));
            Ok(fleet)
        };
        self.setup_many(fleets)?.into_iter().map(build).collect()
    }
}

impl Fleet {
    fn from_setup(mut setup: Setup) -> Result<Self, Error> {
        library::warn_if_bundled();
        setup.limits.output_budget.get_or_insert(limits::OUTPUT_BUDGET);
        let reactor = Reactor::new().map_err(cannot_set_up)?;
        let registry = reactor.registry().try_clone().map_err(cannot_set_up)?;
        let links = Box::new(Arc::new(Dialler::new(
            registry,
            token::<HOST>,
            reactor.waker().clone(),
            descriptors::for_agents(),
        )));
        Self::with(setup, reactor, links, Clock::default())
    }
}

impl Fleet {
    /// Configures a fleet of these hosts, in this order. An entry is `host`, `host:port`,
    /// `user@host`, `user@host:port`, or an IPv6 address, which must be in brackets if a port
    /// follows ([`HostSpec`](crate::HostSpec)).
    pub fn builder<H>(hosts: impl IntoIterator<Item = H>) -> FleetBuilder
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        FleetBuilder::new(hosts.into_iter().map(entry).collect())
    }

    pub(super) fn with(
        setup: Setup,
        reactor: Reactor,
        links: Box<dyn Links>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let Setup { common, list, targets, resolver, limits } = setup;
        let now = clock.now();
        let has_system_dns = resolver.is_none();
        let resolver = resolver.unwrap_or_else(|| Resolver::Native(DnsConfig::system()));
        let parts = Parts { reactor, links, clock, limits, resolver, hosts: targets.len() };
        let mut engine = Engine::new(parts).map_err(cannot_set_up)?;
        let hosts = list.into_iter().zip(targets);
        let positions = hosts.map(|(entry, target)| engine.add(entry, target, now)).collect();
        Ok(Self { engine, common, positions, has_system_dns })
    }

    /// The libssh that this program uses.
    pub fn library() -> SshLibrary {
        SshLibrary::linked()
    }

    /// The lines that were skipped because they cannot be parsed, in the known_hosts files of all
    /// hosts and their proxies.
    pub fn known_hosts_problems(&self) -> Vec<LineProblem> {
        let (mut seen, mut problems) = (HashSet::new(), Vec::new());
        let hosts = self.positions.iter().filter_map(|id| self.engine.hosts.get(*id));
        for host in hosts {
            for target in successors(Some(host.session.target()), |target| target.proxy.as_deref()) {
                let files = target.profile.verifier.files();
                if seen.insert(Arc::as_ptr(files)) {
                    problems.extend(files.problems());
                }
            }
        }
        // Two lists of files may have a file in common.
        let mut seen = HashSet::new();
        problems.retain(|problem: &LineProblem| seen.insert(problem.location.clone()));
        problems
    }
}

fn cannot_set_up(error: io::Error) -> Error {
    Error::System { what: "set up the event loop", error }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("hosts", &self.positions.len())
            .field("metrics", &self.metrics())
            .finish()
    }
}
