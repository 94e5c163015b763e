//! Figures of a fleet.

use std::fmt;
use std::time::Duration;

use super::meter::Turn;
use super::{Fleet, HostState};
use crate::session::{Costs, Traffic};

/// What a fleet has done so far, and how it is now: for the monitoring of the program that it is
/// part of. Cheap to take (nothing is counted for it, however many hosts there are), so it may be
/// taken at each turn.
///
/// Totals grow for as long as the fleet lives. [`Display`](fmt::Display) shows all figures on one
/// line, as `name=value`.
///
/// ```
/// use sshoal::Fleet;
/// use sshoal::fleet::HostState;
///
/// # fn main() -> Result<(), sshoal::Error> {
/// # let none: [&str; 0] = [];
/// let fleet = Fleet::builder(["web1", "web2"])
/// #   .known_hosts(none).identity_auth(false)
///     .build()?;
/// let metrics = fleet.metrics();
/// assert_eq!(metrics.hosts(HostState::Idle), 2);
/// // As Prometheus wants it:
/// for (state, hosts) in metrics.by_state() {
///     println!("sshoal_hosts{{state=\"{state}\"}} {hosts}");
/// }
/// println!("sshoal_bytes_received_total {}", metrics.bytes_received);
/// // As a line of a log:
/// assert!(metrics.to_string().starts_with("idle=2 queued=0 resolving=0 "));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns of the event loop: how often the thread woke up.
    pub turns: u64,
    /// Visits to ready hosts.
    pub visits: u64,
    /// The longest turn, without waiting. Turns without a time budget are not measured.
    pub longest_turn: Duration,
    /// Key exchanges completed.
    pub key_exchanges: u64,
    /// Signatures made to log in, without those of an ssh-agent.
    pub signatures: u64,
    /// Bytes of standard output and standard error received, kept or dropped.
    pub bytes_received: u64,
    /// Bytes of standard input sent.
    pub bytes_sent: u64,
    /// Open connections and those being opened, including proxies.
    pub connections: usize,
    /// Hosts that wait for admission: to connect or to start a command.
    pub admission_queue: usize,
    /// Commands that start or run: what [`max_running`](crate::config::FleetBuilder::max_running)
    /// bounds.
    pub running: usize,
    /// Armed timers.
    pub timers: usize,
    /// Hosts that can connect or start a command at once:
    /// [`max_connecting`](crate::config::FleetBuilder::max_connecting), or fewer if descriptors are
    /// short.
    pub pool: usize,
    /// Runs that have not ended.
    pub runs: usize,
    /// Commands that were not released, including finished ones.
    pub commands: usize,
    /// Commands that have not ended.
    pub unfinished: usize,
    /// Unread bytes of output.
    pub unread: usize,
    /// Hosts under back-pressure: not read from, because too much output is unread
    /// ([`Keep::BackPressure`](crate::output::Keep::BackPressure),
    /// [`output_budget`](crate::config::FleetBuilder::output_budget)).
    pub held_back: usize,
    hosts: [usize; HostState::ALL.len()],
}

impl Metrics {
    /// Hosts in this state, without proxies.
    pub fn hosts(&self, state: HostState) -> usize {
        self.hosts[state as usize]
    }

    /// Hosts in each state, in the order in which a host passes through them.
    pub fn by_state(&self) -> impl Iterator<Item = (HostState, usize)> + use<> {
        HostState::ALL.into_iter().zip(self.hosts)
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Named, so that a figure that is added is not forgotten here.
        let Self {
            turns,
            visits,
            longest_turn,
            key_exchanges,
            signatures,
            bytes_received,
            bytes_sent,
            connections,
            admission_queue,
            running,
            timers,
            pool,
            runs,
            commands,
            unfinished,
            unread,
            held_back,
            hosts: _,
        } = self;
        for (state, hosts) in self.by_state() {
            write!(f, "{state}={hosts} ")?;
        }
        write!(f, "connections={connections} admission_queue={admission_queue} pool={pool} runs={runs} ")?;
        write!(f, "commands={commands} unfinished={unfinished} running={running} ")?;
        write!(f, "unread={unread} held_back={held_back} ")?;
        write!(f, "bytes_received={bytes_received} bytes_sent={bytes_sent} ")?;
        write!(f, "key_exchanges={key_exchanges} signatures={signatures} ")?;
        write!(f, "timers={timers} turns={turns} visits={visits} longest_turn={longest_turn:?}")
    }
}

/// What is counted as it happens.
#[derive(Debug, Default)]
pub(super) struct Totals {
    turns: u64,
    visits: u64,
    longest_turn: Duration,
    key_exchanges: u64,
    signatures: u64,
    hosts: [usize; HostState::ALL.len()],
}

impl Totals {
    pub(super) fn count(&mut self, turn: &Turn) {
        self.turns += 1;
        self.visits += turn.visits as u64;
        self.longest_turn = self.longest_turn.max(turn.elapsed);
    }

    /// Costs may be met outside of a turn as well.
    pub(super) fn spend(&mut self, costs: Costs) {
        self.key_exchanges += costs.key_exchanges as u64;
        self.signatures += costs.signatures as u64;
    }

    /// A host has come from one state to another.
    pub(super) fn pass(&mut self, from: Option<HostState>, to: Option<HostState>) {
        self.leave(from);
        if let Some(state) = to {
            self.hosts[state as usize] += 1;
        }
    }

    pub(super) fn leave(&mut self, state: Option<HostState>) {
        if let Some(state) = state {
            self.hosts[state as usize] -= 1;
        }
    }
}

impl Fleet {
    /// Current figures.
    pub fn metrics(&self) -> Metrics {
        let Totals { turns, visits, longest_turn, key_exchanges, signatures, hosts } = self.totals;
        let Traffic { received, sent } = self.execs.traffic();
        Metrics {
            turns,
            visits,
            longest_turn,
            key_exchanges,
            signatures,
            bytes_received: received,
            bytes_sent: sent,
            connections: self.admission.connections(),
            admission_queue: self.admission.queued(),
            running: self.admission.running(),
            timers: self.wheel.len(),
            pool: self.admission.pool(),
            runs: self.runs.len(),
            commands: self.execs.len(),
            unfinished: self.runs.unfinished(),
            unread: self.execs.unread(),
            held_back: self.held.count(),
            hosts,
        }
    }
}
