//! The fleet: every host, its connection and its commands, driven by turns.
//!
//! [`Fleet`] is what callers use; [`Engine`] does the work of its turns, with parts that know nothing of one another:
//! the event loop, the registry of hosts, and the schedule.

mod admission;
mod agents;
mod backpressure;
mod commands;
mod descriptors;
mod disk;
mod drain;
mod engine;
mod event_loop;
mod events;
mod hosts;
mod library;
mod metrics;
mod output;
mod rate_limit;
mod registry;
mod run;
mod runs;
mod schedule;
mod slot;
mod sums;
#[cfg(test)]
mod tests;
mod turn;
mod turn_budget;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use commands::{CommandRef, Started};
pub use events::Event;
pub use hosts::Host;
pub use library::SshLibrary;
pub use metrics::Metrics;
pub use run::{Batch, Run, Tally};
pub use turn::FleetWaker;
pub use turn_budget::{Budget, LongestStep, Turn};

use self::engine::{Engine, Parts};
use self::event_loop::host_token;
use self::registry::Links;
use crate::clock::Clock;
use crate::config::{FleetBuilder, HostList, Setup, entry};
use crate::error::Error;
use crate::host::{HostSpec, HostSpecError};
use crate::hostkey::LineProblem;
use crate::ids::HostId;
use crate::limits;
use crate::link::Dialler;
use crate::reactor::Reactor;
pub use crate::session::HostState;

/// Every host, its connection and its commands, driven by turns: the engine for programs that have a loop of their own.
///
/// Nothing here waits for a peer or a disk, no thread works in the background unless
/// [`Resolver::System`](crate::Resolver::System), GSSAPI, an [accept-new](crate::HostKeyPolicy::accept_new) policy
/// or a forwarded ssh-agent asks for one, and no signal handler is installed. Its owner
///
/// 1. waits until its [descriptor](std::os::fd::AsFd) is readable or [`next_deadline`](Self::next_deadline) has come, together
///    with whatever else there is to wait for,
/// 2. calls [`turn`](Self::turn), which does a bounded amount of work,
/// 3. takes events from [`next_event`](Self::next_event) until there are none.
///
/// Commands may be started, hosts added and removed, and everything else here called, between any two of these. Several
/// fleets live side by side, in one thread or in many. The page [`embedding`](crate::embedding) has the whole contract.
///
/// ```no_run
/// use std::time::Instant;
/// use sshoal::{Budget, Event, Fleet};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut fleet = Fleet::builder(["web1", "web2:2222"]).user("deploy").build()?;
/// fleet.start("uname -a")?;
/// loop {
///     // Or poll(2), epoll(7), mio, tokio's `AsyncFd` with the fleet's descriptor among others.
///     fleet.wait(None)?;
///     fleet.turn(Instant::now(), Budget::default())?;
///     while let Some(event) = fleet.next_event() {
///         match event {
///             Event::Output { host, bytes, .. } => println!("{host:?}: {}", String::from_utf8_lossy(bytes)),
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
/// It tells the [`log`] facade, at no cost where nobody listens. What one host does is at `debug` (connected, failed, how far
/// the next attempt is, given up; the events tell the same) and at `trace` (each step of a connection). What is wrong in this
/// process is at `warn`: descriptors that are short, files and agents that are of no use. There is no secret in it, and
/// nothing of a host's that a terminal would act on.
pub struct Fleet {
    engine: Engine,
    /// The host list as it was given, and the hosts at its positions.
    list: HostList,
    positions: Vec<HostId>,
}

impl FleetBuilder {
    /// Checks the settings, reads keys and known_hosts files, and makes the fleet. No network.
    ///
    /// An empty host list is legal: hosts may be added later.
    ///
    /// # Errors
    /// [`Error::HostSpec`], [`Error::Config`], [`Error::KeyFile`], [`Error::CertFile`],
    /// [`Error::KnownHosts`], [`Error::Unsupported`], [`Error::System`].
    pub fn build(self) -> Result<Fleet, Error> {
        Fleet::from_setup(self.setup()?)
    }

    /// As [`build`](Self::build), but this many fleets, to be driven by as many threads: for more work than
    /// one core can encrypt. The hosts are dealt out in turn: the first to the first fleet, the second to the
    /// second.
    ///
    /// Keys and known_hosts files are read once, and all fleets share them. Nothing else is shared, except the
    /// keys that an [accept-new](crate::hostkey::HostKeyPolicy::accept_new) policy records. Limits such as
    /// [`max_connecting`](Self::max_connecting) are those of each fleet, and each has its own connections to
    /// proxies.
    ///
    /// ```
    /// use sshoal::Fleet;
    ///
    /// # let none: [&str; 0] = [];
    /// let builder = Fleet::builder(["web1", "web2", "web3"]).known_hosts(none).identity_auth(false);
    /// let fleets = builder.user("deploy").password("...").build_many(2)?;
    /// assert_eq!(fleets.iter().map(|fleet| fleet.hosts().len()).collect::<Vec<_>>(), [2, 1]);
    /// # Ok::<(), sshoal::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`build`](Self::build), and [`Error::Config`] unless there are 1 to 4,096 fleets. Positions
    /// are those of the whole list.
    pub fn build_many(self, fleets: usize) -> Result<Vec<Fleet>, Error> {
        self.setup_many(fleets)?.into_iter().map(Fleet::from_setup).collect()
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
            host_token,
            reactor.waker().clone(),
            descriptors::for_agents(),
        )));
        Self::with(setup, reactor, links, Clock::default())
    }
}

impl Fleet {
    /// A fleet of these hosts, in this order. An entry is `host`, `host:port`, `user@host`, `user@host:port`, or an IPv6
    /// address, in brackets if a port follows ([`HostSpec`](crate::HostSpec)).
    pub fn builder<H>(hosts: impl IntoIterator<Item = H>) -> FleetBuilder
    where
        H: TryInto<HostSpec, Error: Into<HostSpecError>>,
    {
        FleetBuilder::new(hosts.into_iter().map(entry).collect())
    }

    fn with(setup: Setup, reactor: Reactor, links: Box<dyn Links>, clock: Clock) -> Result<Self, Error> {
        let Setup { list, targets, verifier, resolver, limits } = setup;
        let now = clock.now();
        let parts = Parts { reactor, links, clock, limits, resolver, verifier, hosts: targets.len() };
        let mut engine = Engine::new(parts).map_err(cannot_set_up)?;
        let positions = targets.into_iter().map(|target| engine.add(target, now)).collect();
        Ok(Self { engine, list, positions })
    }

    /// The libssh that this program uses.
    pub fn library() -> SshLibrary {
        SshLibrary::linked()
    }

    /// Lines of the known_hosts files that were skipped because they cannot be understood.
    pub fn known_hosts_problems(&self) -> &[LineProblem] {
        self.engine.verifier.known_hosts().problems()
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
