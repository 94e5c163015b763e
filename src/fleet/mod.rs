//! The engine: drives every host from one thread, for whoever calls it.
//!
//! One turn: note who is ready, fire the timers that are due, visit ready hosts one after the other until the turn's budget
//! is used up, admit those who wait. What is left over stays on the ready-list and is first in line next time. Nothing in
//! a turn grows with the number of hosts, only with the number of ready ones.

mod admission;
mod agents;
mod commands;
mod control;
mod descriptors;
mod disk;
mod drain;
mod events;
mod held;
mod hosts;
mod library;
mod meter;
mod metrics;
mod output;
mod pace;
mod proxies;
mod run;
mod runs;
mod slot;
#[cfg(test)]
mod tests;
mod turn;
mod visit;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use slab::Slab;

pub use commands::{CommandRef, Started};
pub use events::Event;
pub use hosts::HostRef;
pub use library::SshLibrary;
pub use meter::{Budget, LongestStep, Turn};
pub use metrics::Metrics;
pub use run::{Batch, Run, Tally};
pub use turn::FleetWaker;

use self::admission::Admission;
use self::agents::Agents;
use self::disk::Disk;
use self::drain::Drain;
use self::events::EventQueue;
use self::held::HeldBack;
use self::meter::Meter;
use self::metrics::Totals;
use self::runs::Runs;
use self::slot::{Armed, Slot};
use crate::clock::Clock;
use crate::config::{FleetBuilder, HostList, Setup, entry};
use crate::dns::{Dns, Ties};
use crate::error::Error;
use crate::host::{HostSpec, HostSpecError};
use crate::hostkey::{LineProblem, Verifier};
use crate::ids::HostId;
use crate::limits;
use crate::link::{Dialler, LibsshLink, Link};
use crate::reactor::{IndexQueue, Reactor, Wheel, dns_token, token};
pub use crate::session::HostState;
use crate::session::{Execs, Jitter, ProxyId, Session};

/// Every host, its connection and its commands, driven by turns: the engine for programs that have a loop of their own.
///
/// Nothing here waits for a peer or a disk, no thread works in the background unless
/// [`Resolver::System`](crate::config::Resolver::System), GSSAPI, an [accept-new](crate::hostkey::HostKeyPolicy::accept_new) policy
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
    reactor: Reactor,
    clock: Clock,
    wheel: Wheel<Timer>,
    slots: Slab<Slot>,
    /// Counts the slots that there were, for their names.
    slots_given: u32,
    /// The host list as it was given, and who is at which position.
    list: HostList,
    positions: Vec<HostId>,
    verifier: Arc<Verifier>,
    /// The slots of the proxies.
    proxies: HashMap<ProxyId, usize>,
    links: Box<dyn Links>,
    execs: Execs,
    runs: Runs,
    drain: Drain,
    /// Nobody is admitted.
    paused: bool,
    events: EventQueue,
    /// Hosts to be visited.
    ready: IndexQueue,
    admission: Admission,
    held: HeldBack,
    /// The last admission ended for lack of time, not of hosts or places.
    admit_again: bool,
    /// The wheel's entry for the next connection that may begin.
    pace_timer: Option<Armed>,
    dns: Dns,
    /// Slots whose hosts are given by a name that is looked up here.
    names: usize,
    agents: Agents,
    disk: Disk,
    /// Where the sessions' randomness comes from.
    seeds: Jitter,
    meter: Meter,
    totals: Totals,
    /// Readiness was taken since the last turn.
    polled: bool,
    /// There may be more of it than was taken.
    poll_again: bool,
    /// Proxies that nobody is behind are to be closed.
    close_proxies: bool,
    /// The descriptor was made readable, for work that is left.
    alarmed: bool,
    /// Reused from turn to turn.
    expired: Vec<Timer>,
}

/// Where links come from.
trait Links: Send {
    /// The link of the host in this slot.
    fn link(&self, index: usize) -> Box<dyn Link>;
    /// Slots whose links may have news for another reason than readiness.
    fn returned(&self) -> Vec<usize>;
}

impl Links for Arc<Dialler> {
    fn link(&self, index: usize) -> Box<dyn Link> {
        Box::new(LibsshLink::new(self.clone(), index))
    }

    fn returned(&self) -> Vec<usize> {
        Dialler::returned(self)
    }
}

/// What a timer stands for.
#[derive(Debug, Clone, Copy)]
enum Timer {
    Slot(usize),
    /// The next connection may begin.
    Pace,
    Drain,
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
            token,
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
        let registry = reactor.registry().try_clone().map_err(cannot_set_up)?;
        let ties = Ties { registry, waker: reactor.waker().clone(), token: dns_token };
        let now = clock.now();
        let mut fleet = Self {
            wheel: Wheel::new(now),
            slots: Slab::with_capacity(targets.len()),
            slots_given: 0,
            list,
            positions: Vec::new(),
            verifier,
            proxies: HashMap::new(),
            links,
            execs: Execs::new(limits.output_budget.unwrap_or(usize::MAX)),
            runs: Runs::default(),
            drain: Drain::default(),
            paused: false,
            events: EventQueue::default(),
            ready: IndexQueue::default(),
            admission: Admission::new(limits),
            held: HeldBack::default(),
            admit_again: false,
            pace_timer: None,
            names: 0,
            dns: Dns::new(resolver, targets.len(), ties, now),
            agents: Agents::new(&reactor).map_err(cannot_set_up)?,
            disk: Disk::new(reactor.waker().clone()),
            seeds: Jitter::new(getrandom::u64().map_err(|e| cannot_set_up(e.into()))?),
            meter: Meter::default(),
            totals: Totals::default(),
            polled: false,
            poll_again: false,
            close_proxies: false,
            alarmed: false,
            expired: Vec::new(),
            reactor,
            clock,
        };
        fleet.positions = targets.into_iter().map(|target| fleet.add(target, now)).collect();
        Ok(fleet)
    }

    fn next_jitter(&mut self) -> Jitter {
        Jitter::new(self.seeds.next())
    }

    fn insert(&mut self, session: Session, proxy: Option<usize>) -> HostId {
        if let Some(slot) = proxy.and_then(|proxy| self.slots.get_mut(proxy)) {
            slot.behind += 1;
        }
        self.slots_given = self.slots_given.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let id = HostId::new(entry.key(), self.slots_given);
        let link = self.links.link(id.index());
        let slot = entry.insert(Slot::new(id, session, link, proxy));
        self.names += usize::from(slot.has_name());
        self.settle(id.index());
        id
    }

    fn slot(&self, id: HostId) -> Option<&Slot> {
        self.slots.get(id.index()).filter(|slot| slot.id == id)
    }

    /// Lines of the known_hosts files that were skipped because they cannot be understood.
    pub fn known_hosts_problems(&self) -> &[LineProblem] {
        self.verifier.known_hosts().problems()
    }

    /// What the resolver may open, if there is anything to look up.
    fn descriptors_for_lookups(&self) -> usize {
        if self.names > 0 { self.dns.descriptors_left() } else { 0 }
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
