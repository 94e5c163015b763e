//! Metrics of a fleet.

use std::fmt;
use std::time::Duration;

use super::HostState;
use crate::error::{HostError, HostErrorKind, Label};

/// Totals and current figures of a fleet, for monitoring. Taking them is cheap for any number of
/// hosts, because all figures are kept up to date rather than counted on request. So they may be
/// taken on every turn.
///
/// Totals grow for the life of the fleet. [`Display`](fmt::Display) shows all figures on one line,
/// as `name=value`.
///
/// ```
/// use sshoal::Fleet;
/// use sshoal::fleet::HostState;
///
/// # fn main() -> Result<(), sshoal::Error> {
/// let fleet = Fleet::builder(["web1", "web2"])
/// #   .no_known_hosts().identity_auth(false)
///     .build()?;
/// let metrics = fleet.metrics();
/// assert_eq!(metrics.hosts(HostState::Idle), 2);
/// // As Prometheus wants it:
/// for (state, hosts) in metrics.by_state() {
///     println!("sshoal_hosts{{state=\"{state}\"}} {hosts}");
/// }
/// for (label, commands) in metrics.by_label() {
///     println!("sshoal_commands_total{{end=\"{label}\"}} {commands}");
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
    /// How many turns there have been.
    pub turns: u64,
    /// How many visits to hosts there have been.
    pub visits: u64,
    /// How long the longest turn took, without the time spent waiting. Turns whose budget has no
    /// time limit are not measured.
    pub longest_turn: Duration,
    /// How many failed attempts to connect, and lost connections, were followed by another attempt
    /// without a request of the caller. Attempts to connect to proxies count too.
    pub retries: u64,
    /// How many connections were made to a host or proxy that had been connected before.
    pub reconnects: u64,
    /// How many times the host key of a host or proxy was not accepted.
    pub rejected_keys: u64,
    /// How many connections have completed their first key exchange.
    pub key_exchanges: u64,
    /// How many signatures were made in this process to log in. Signatures made by an ssh-agent do
    /// not count.
    pub signatures: u64,
    /// How many bytes of standard output and standard error were received from the hosts, whether
    /// or not they were kept.
    pub bytes_received: u64,
    /// How many bytes of standard input were sent to the hosts.
    pub bytes_sent: u64,
    /// How many connections are open or being opened, including those to proxies.
    pub connections: usize,
    /// How many processes of proxy commands there are
    /// ([`proxy_command`](crate::config::FleetBuilder::proxy_command)), those included that end
    /// after their connections.
    pub proxy_commands: usize,
    /// How many hosts wait for admission, to connect or to start a command.
    pub admission_queue: usize,
    /// How many commands are starting or running.
    /// [`max_running`](crate::config::FleetBuilder::max_running) limits this number.
    pub running: usize,
    /// How many timers are armed.
    pub timers: usize,
    /// How many hosts may connect or start a command at once:
    /// [`max_connecting`](crate::config::FleetBuilder::max_connecting), or fewer if descriptors are
    /// short.
    pub pool: usize,
    /// How many runs have not ended.
    pub runs: usize,
    /// How many commands the fleet keeps, including finished ones.
    pub commands: usize,
    /// How many commands have not ended.
    pub unfinished: usize,
    /// How many commands have ended, in whatever way, since the fleet was built.
    pub finished: u64,
    /// How many bytes of output are unread.
    pub unread: usize,
    /// How many connections are not being read from, because too much of their own output or of the
    /// whole fleet's output is unread ([`Keep::BackPressure`](crate::output::Keep::BackPressure),
    /// [`output_budget`](crate::config::FleetBuilder::output_budget)).
    pub held_back: usize,
    pub(super) hosts: [usize; HostState::ALL.len()],
    pub(super) ends: Ends,
}

/// How many commands have ended in each way, in the order of the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends([u64; Label::ALL.len()]);

impl Default for Ends {
    fn default() -> Self {
        Self([0; Label::ALL.len()])
    }
}

impl Ends {
    pub(super) fn count(&mut self, label: Label) {
        self.0[label as usize] += 1;
    }
}

impl Metrics {
    /// How many hosts are in this state, not counting proxies.
    pub fn hosts(&self, state: HostState) -> usize {
        self.hosts[state as usize]
    }

    /// How many hosts are in each state, in the order in which a host passes through the states.
    pub fn by_state(&self) -> impl Iterator<Item = (HostState, usize)> + use<> {
        HostState::ALL.into_iter().zip(self.hosts)
    }

    /// How many commands have ended in this way since the fleet was built.
    pub fn ended(&self, label: Label) -> u64 {
        self.ends.0[label as usize]
    }

    /// How many commands have ended in each way since the fleet was built, zeros included. The sum
    /// is [`finished`](Self::finished).
    pub fn by_label(&self) -> impl Iterator<Item = (Label, u64)> + use<> {
        Label::ALL.into_iter().zip(self.ends.0)
    }

    /// Counts a failed attempt to connect, or a lost connection.
    pub(super) fn count_failure(&mut self, error: &HostError, retrying: bool) {
        self.retries += u64::from(retrying);
        self.rejected_keys += u64::from(matches!(error.kind(), HostErrorKind::HostKey(_)));
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Destructured, so that a new field cannot be forgotten here.
        let Self {
            turns,
            visits,
            longest_turn,
            retries,
            reconnects,
            rejected_keys,
            key_exchanges,
            signatures,
            bytes_received,
            bytes_sent,
            connections,
            proxy_commands,
            admission_queue,
            running,
            timers,
            pool,
            runs,
            commands,
            unfinished,
            finished,
            unread,
            held_back,
            hosts: _,
            ends: _,
        } = self;
        for (state, hosts) in self.by_state() {
            write!(f, "{state}={hosts} ")?;
        }
        write!(f, "connections={connections} proxy_commands={proxy_commands} ")?;
        write!(f, "admission_queue={admission_queue} pool={pool} runs={runs} ")?;
        write!(f, "commands={commands} unfinished={unfinished} running={running} ")?;
        write!(f, "finished={finished} unread={unread} held_back={held_back} ")?;
        write!(f, "bytes_received={bytes_received} bytes_sent={bytes_sent} ")?;
        for (label, commands) in self.by_label().filter(|(_, commands)| *commands > 0) {
            write!(f, "{label}={commands} ")?;
        }
        write!(f, "retries={retries} reconnects={reconnects} rejected_keys={rejected_keys} ")?;
        write!(f, "key_exchanges={key_exchanges} signatures={signatures} ")?;
        write!(f, "timers={timers} turns={turns} visits={visits} longest_turn={longest_turn:?}")
    }
}
