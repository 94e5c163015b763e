//! How callers describe a run: its commands, the hosts that run them, and their order.

use std::fmt;
use std::sync::Arc;

use crate::command::{Command, Request};
use crate::error::{ConfigProblem, Error, HostErrorKind, Origin, TemplateProblem};
use crate::ids::HostId;
use crate::output::{Deliver, Outcome};

/// Commands for some hosts, which are [started](crate::Fleet::start) all at once or in
/// [batches](Self::batches). Each batch follows the previous one automatically or [on
/// request](Self::gated), unless too many commands have [failed](Self::max_failures).
///
/// ```no_run
/// use std::time::Instant;
/// use sshoal::fleet::Batch;
/// use sshoal::{Budget, Event, Fleet, Run};
///
/// # fn looks_good() -> bool { true }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut fleet = Fleet::builder((0..100).map(|host| format!("web{host}"))).build()?;
/// // First one host, then a tenth of all hosts, then the rest. Stop once three have failed.
/// let rollout = Run::new("systemctl restart app")
///     .batches([Batch::Hosts(1), Batch::Percent(10), Batch::Rest])
///     .gated()
///     .max_failures(2);
/// let run = fleet.start(rollout)?.run;
/// loop {
///     fleet.wait(None)?;
///     fleet.turn(Instant::now(), Budget::default())?;
///     let mut is_next = false;
///     while let Some(event) = fleet.next_event() {
///         match event {
///             Event::BatchDone { left, .. } => is_next = left > 0,
///             Event::RunDone { tally, .. } => {
///                 println!("{tally}");
///                 return Ok(());
///             }
///             _ => {}
///         }
///     }
///     match is_next {
///         true if looks_good() => _ = fleet.proceed(run),
///         true => fleet.cancel_run(run),
///         false => {}
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Run {
    commands: Commands,
    hosts: Option<Vec<HostId>>,
    deliver: Deliver,
    pub(super) plan: Plan,
}

#[derive(Debug, Clone)]
enum Commands {
    /// The same command on all hosts.
    Same(Box<Command>),
    Each(Vec<(HostId, Command)>),
}

/// The request for each host, in the order of the run.
pub(super) type Asked = Vec<(HostId, Arc<Request>)>;

/// The size of one batch of a [`Run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Batch {
    /// This many hosts, at least 1.
    Hosts(usize),
    /// A percentage of all hosts of the run, 1 to 100, rounded up.
    Percent(u8),
    /// All remaining hosts.
    Rest,
}

impl Run {
    /// A run of this command on all hosts of the list.
    pub fn new(command: impl Into<Command>) -> Self {
        Self::of(Commands::Same(Box::new(command.into())))
    }

    /// A run with a command for each of these hosts, in this order. A host that occurs twice runs
    /// two commands.
    ///
    /// ```no_run
    /// use sshoal::{Fleet, Run};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut fleet = Fleet::builder(["db1", "web1", "web2"]).build()?;
    /// let [db, webs @ ..] = fleet.hosts() else { unreachable!() };
    /// let webs = webs.iter().map(|web| (*web, "systemctl reload nginx"));
    /// let reload = Run::each([(*db, "systemctl reload postgresql")].into_iter().chain(webs));
    /// fleet.start(reload)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn each(commands: impl IntoIterator<Item = (HostId, impl Into<Command>)>) -> Self {
        Self::of(Commands::Each(commands.into_iter().map(|(host, command)| (host, command.into())).collect()))
    }

    fn of(commands: Commands) -> Self {
        Self { commands, hosts: None, deliver: Deliver::Bytes, plan: Plan::default() }
    }

    /// The hosts of the run, in this order. Default: all hosts of the list. A host that occurs
    /// twice runs the command twice. [`Fleet::start`](crate::Fleet::start) rejects this setting for
    /// a run made by [`each`](Self::each), because such a run already names its hosts.
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = HostId>) -> Self {
        self.hosts = Some(hosts.into_iter().collect());
        self
    }

    /// Whether events deliver the output of the run's commands, and in what form. Default:
    /// [`Deliver::Bytes`].
    pub fn deliver(mut self, deliver: Deliver) -> Self {
        self.deliver = deliver;
        self
    }

    /// Splits the run into batches of these sizes. A batch starts when all commands of the previous
    /// one have ended. The last size repeats until no host is left. By default, and if `sizes` is
    /// empty, all hosts form a single batch. (Ansible: `serial`.)
    ///
    /// Batches take hosts in the order of the run. A host whose command has already ended, because
    /// it was cancelled or the host was removed, is skipped, and the next host takes its place in
    /// the batch. No connection is made for a host before its batch starts.
    ///
    /// [`Fleet::start`](crate::Fleet::start) rejects a batch of no hosts, a batch of more than 100
    /// percent, and any batch after [`Batch::Rest`], because no hosts are left for it.
    pub fn batches(mut self, sizes: impl IntoIterator<Item = Batch>) -> Self {
        self.plan.batches = sizes.into_iter().collect();
        self
    }

    /// Makes the run wait for [`Fleet::proceed`](crate::Fleet::proceed) or
    /// [`Fleet::cancel_run`](crate::Fleet::cancel_run) after each
    /// [`BatchDone`](crate::Event::BatchDone) that leaves commands to be started. Default: the next
    /// batch starts automatically.
    pub fn gated(mut self) -> Self {
        self.plan.gate = Gate::Closed;
        self
    }

    /// How many failures the run tolerates. Default: any number. A command fails if it ends in any
    /// way other than with exit status 0.
    ///
    /// As soon as this number or [`max_failure_percent`](Self::max_failure_percent) is exceeded, no
    /// further command is sent. Commands that were not sent, including those of the current batch,
    /// end as [`NotStarted`](crate::HostErrorKind::NotStarted). Commands that were sent run to
    /// their end.
    pub fn max_failures(mut self, failures: impl Into<Option<usize>>) -> Self {
        self.plan.budget.failures = failures.into();
        self
    }

    /// Like [`max_failures`](Self::max_failures), but the limit is a percentage of all hosts of the
    /// run, from 0 to 100. It is exceeded if more than this percentage have failed. (Ansible:
    /// `max_fail_percentage`, which counts per batch.) [`Fleet::start`](crate::Fleet::start)
    /// rejects a percentage above 100.
    pub fn max_failure_percent(mut self, percent: impl Into<Option<u8>>) -> Self {
        self.plan.budget.percent = percent.into();
        self
    }

    /// Validates the run and makes the request for each host, in order. `all` contains the hosts of
    /// the list, and `name` gives their names for errors.
    pub(super) fn into_parts(
        self,
        all: &[HostId],
        name: impl Fn(HostId) -> Option<Arc<str>>,
    ) -> Result<(Asked, Plan), Error> {
        self.plan.check()?;
        let asked = match (self.commands, self.hosts) {
            (Commands::Same(command), hosts) => {
                let hosts = hosts.unwrap_or_else(|| all.to_vec());
                let requests = command.to_requests(hosts.len(), self.deliver);
                let requests = requests.map_err(|error| match error {
                    Error::Template { position, .. } => at(position, name(hosts[position]), error),
                    error => error,
                })?;
                hosts.into_iter().zip(requests).collect()
            }
            (Commands::Each(commands), None) => {
                let mut asked = Vec::with_capacity(commands.len());
                for (position, (host, command)) in commands.into_iter().enumerate() {
                    let requests = command.to_requests(1, self.deliver);
                    let requests = requests.map_err(|error| at(position, name(host), error))?;
                    asked.extend(requests.into_iter().map(|request| (host, request)));
                }
                asked
            }
            (Commands::Each(_), Some(_)) => {
                let (setting, other) = ("Run::hosts", "Run::each");
                return Err(ConfigProblem::Conflict { setting, other }.of_command());
            }
        };
        Ok((asked, self.plan))
    }
}

/// Adds the position in the run and the host's name to an error about the command of one host.
fn at(position: usize, name: Option<Arc<str>>, error: Error) -> Error {
    match error {
        Error::Command(problem) => {
            Error::Template { position, name, problem: TemplateProblem::Refused(problem) }
        }
        Error::Template { problem, .. } => Error::Template { position, name, problem },
        Error::Config { problem, .. } => problem.of(Origin::HostCommand { position, name }),
        error => error,
    }
}

impl<C: Into<Command>> From<C> for Run {
    fn from(command: C) -> Self {
        Self::new(command)
    }
}

/// The batches, the gate and the failure budget of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// The sizes of the batches, of which the last one repeats. If there are none, all hosts form
    /// one batch.
    pub batches: Vec<Batch>,
    pub gate: Gate,
    pub budget: FailureBudget,
}

/// Whether the next batch waits for [`Fleet::proceed`](crate::Fleet::proceed).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Gate {
    #[default]
    Open,
    Closed,
}

/// How many failures a run tolerates; `None` for any number.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FailureBudget {
    pub failures: Option<usize>,
    pub percent: Option<u8>,
}

impl FailureBudget {
    pub(super) fn is_exceeded(self, failed: usize, hosts: usize) -> bool {
        let too_many = self.failures.is_some_and(|max| failed > max);
        let share = |percent: u8| failed as u128 * 100 > hosts as u128 * u128::from(percent);
        too_many || self.percent.is_some_and(share)
    }
}

impl Plan {
    fn check(&self) -> Result<(), Error> {
        let refused = |setting, allowed| Err(ConfigProblem::OutOfRange { setting, allowed }.of_command());
        for (number, batch) in self.batches.iter().enumerate() {
            match batch {
                Batch::Hosts(0) => return refused("Batch::Hosts", "at least 1"),
                Batch::Percent(0) | Batch::Percent(101..) => {
                    return refused("Batch::Percent", "1 to 100");
                }
                Batch::Rest if number + 1 < self.batches.len() => {
                    return refused("Batch::Rest", "the last batch");
                }
                Batch::Hosts(_) | Batch::Percent(_) | Batch::Rest => {}
            }
        }
        match self.budget.percent {
            Some(101..) => refused("max_failure_percent", "at most 100"),
            _ => Ok(()),
        }
    }

    /// The size of batch `number`, counted from 0, in a run of `hosts` hosts.
    pub(super) fn size(&self, number: usize, hosts: usize) -> usize {
        match self.batches.get(number).or(self.batches.last()) {
            Some(Batch::Hosts(size)) => *size,
            // The size is rounded up, so that a batch has at least one host.
            Some(Batch::Percent(percent)) => {
                usize::try_from((hosts as u128 * u128::from(*percent)).div_ceil(100)).unwrap_or(hosts)
            }
            Some(Batch::Rest) | None => hosts,
        }
    }
}

/// How many commands of a run have ended, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// How many commands ended with exit status 0, or are complete transfers.
    pub succeeded: usize,
    /// How many commands ended in any other way, except those in `not_started`.
    pub failed: usize,
    /// How many commands were never sent, because [the run was
    /// stopped](crate::HostErrorKind::NotStarted) first.
    pub not_started: usize,
}

impl Tally {
    /// Counts a command that ended with this outcome.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        match outcome {
            outcome if outcome.is_success() => self.succeeded += 1,
            Outcome::Failed(error) if matches!(error.kind(), HostErrorKind::NotStarted(_)) => {
                self.not_started += 1;
            }
            _ => self.failed += 1,
        }
    }

    /// How many commands have ended.
    pub fn finished(&self) -> usize {
        self.succeeded + self.failed + self.not_started
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { succeeded, failed, not_started } = self;
        write!(f, "{succeeded} succeeded, {failed} failed, {not_started} not started")
    }
}
