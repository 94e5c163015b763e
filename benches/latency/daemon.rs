//! A daemon with 1,000 hosts, of which a third misbehaves: 200 accept commands and say nothing
//! more, 100 reset their connections, 50 print without end. It starts 250 commands a second on a
//! moving quarter of its hosts, takes their output as lines, and replaces five hosts a second. At
//! SIGTERM, which it raises itself when its time is over, it drains.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use hostsim::Sim;
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use sshoal::fleet::{CommandId, HostId};
use sshoal::output::Deliver;
use sshoal::{Command, Event, Fleet, HostConfig, HostErrorKind, Run};

use super::connect::timer_rows;
use super::foreign::Loop;
use super::idle::memory;
use super::report::Row;
use super::support::raise_descriptor_limit;
use super::{Plan, fleet, support};

/// What the hosts do, by their numbers. All of them can be logged into: a host that cannot keeps
/// its place in the pool until its time limit, so a daemon gives the pool as many places as it
/// expects of those, and more.
const RULES: [&str; 2] = ["i%5==0 exec:silence", "i%10==1 exec:rst"];

/// How many steps a second has. In each, some commands are started.
const STEPS: u32 = 10;

/// How many commands are started per second, as a share of the hosts, and on how large a part of
/// them.
const QUARTER: usize = 4;

/// How long the quarter stays where it is.
const STAY: u32 = 2;

/// How many hosts leave and come per second, as a share of the hosts: five of 1,000.
const REPLACED: usize = 200;

/// Lines that each command prints.
const LINES: usize = 10;

/// How long a healthy host may take to run a command.
const IN_TIME: Duration = Duration::from_secs(2);

/// Time limit of a command, and of each stage of a connection.
const LIMIT: Duration = Duration::from_secs(5);

/// How long commands may continue once the daemon is to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// When memory is measured first.
const WARM: Duration = Duration::from_secs(60);

/// Memory is averaged over this many steps, in which the quarter passes all hosts. It rises and
/// falls in that time, because hosts that are silent or reset are connected only while it is there.
const ROUND: usize = QUARTER * (STAY * STEPS) as usize;

/// By how many percent memory may change from then on and be called flat.
const FLAT: f64 = 2.0;

/// What a host does, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Healthy,
    Silent,
    Resets,
    Floods,
}

impl Kind {
    fn of(number: usize) -> Self {
        match number % 20 {
            0 | 5 | 10 | 15 => Self::Silent,
            1 | 11 => Self::Resets,
            2 => Self::Floods,
            _ => Self::Healthy,
        }
    }
}

/// A command that has not ended.
#[derive(Debug)]
struct Job {
    kind: Kind,
    begun: Instant,
    lines: usize,
}

#[derive(Debug, Default)]
struct Tally {
    started: usize,
    ended: usize,
    /// Ends of commands that had ended or were never started.
    again: usize,
    healthy: usize,
    in_time: usize,
    dead: usize,
    lines: usize,
    /// Whether the daemon is ending. Commands that end then are not judged.
    is_over: bool,
}

/// How many of this many hosts leave and come per second.
fn replaced(hosts: usize) -> usize {
    (hosts / REPLACED).max(1)
}

/// Memory of the process in KiB, in each of the last [`ROUND`] steps.
#[derive(Debug, Default)]
struct Memory(VecDeque<f64>);

impl Memory {
    fn measure(&mut self) {
        if self.0.len() == ROUND {
            self.0.pop_front();
        }
        self.0.push_back(memory());
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

struct Daemon<'a> {
    fleet: Fleet,
    sim: &'a Sim,
    /// The hosts, in the order in which they came.
    hosts: VecDeque<(HostId, Kind)>,
    /// The number of the next host.
    next: usize,
    jobs: HashMap<CommandId, Job>,
    removed: HashSet<HostId>,
    tally: Tally,
    drained: bool,
}

impl<'a> Daemon<'a> {
    fn new(sim: &'a Sim, size: usize) -> Self {
        let fleet = fleet(Vec::new())
            .timeout(LIMIT)
            .keepalive(Duration::from_secs(2))
            .keepalive_max_missed(2)
            .build()
            .unwrap();
        let mut daemon = Self {
            fleet,
            sim,
            hosts: VecDeque::new(),
            next: 0,
            jobs: HashMap::new(),
            removed: HashSet::new(),
            tally: Tally::default(),
            drained: false,
        };
        // In small numbers, as later. Hosts that are added together share their settings, and
        // commands that are started together are one run, so memory would grow until each of the
        // first hosts has been replaced.
        while daemon.hosts.len() < size {
            daemon.take_in(replaced(size).min(size - daemon.hosts.len()));
        }
        daemon
    }

    /// Adds this many hosts. Those that flood begin at once.
    fn take_in(&mut self, count: usize) {
        let numbers: Vec<usize> = (self.next..self.next + count).collect();
        self.next += count;
        let address = |number: &usize| format!("{}:{}", self.sim.host(*number), self.sim.port());
        let names = numbers.iter().map(|number| (address(number), HostConfig::default()));
        let ids = self.fleet.add_hosts(names).unwrap();
        let added: Vec<_> = ids.into_iter().zip(numbers.into_iter().map(Kind::of)).collect();
        let floods = added.iter().filter(|(_, kind)| *kind == Kind::Floods).copied().collect();
        self.hosts.extend(added);
        self.start("yes".into(), floods);
    }

    /// Removes the hosts that came first.
    fn let_go(&mut self, count: usize) {
        for (host, _) in self.hosts.drain(..count) {
            self.removed.insert(host);
            assert!(self.fleet.remove_host(host));
        }
    }

    fn start(&mut self, command: Command, hosts: Vec<(HostId, Kind)>) {
        let run = Run::new(command).hosts(hosts.iter().map(|(host, _)| *host)).deliver(Deliver::Lines);
        let started = self.fleet.start(run).unwrap();
        let begun = Instant::now();
        for (command, (_, kind)) in started.commands.into_iter().zip(hosts) {
            self.tally.started += 1;
            self.jobs.insert(command, Job { kind, begun, lines: 0 });
        }
    }

    /// Starts the commands of this step.
    fn step(&mut self, step: u32) {
        let quarter = self.hosts.len() / QUARTER;
        let count = (quarter / STEPS as usize).max(1);
        let from = (step / (STAY * STEPS)) as usize * quarter + (step % STEPS) as usize * count;
        let hosts = (from..from + count).map(|index| self.hosts[index % self.hosts.len()]).collect();
        let command = Command::new(format!("lines {LINES}")).time_limit(LIMIT);
        self.start(command, hosts);
        if step % STEPS == STEPS - 1 {
            let count = replaced(self.hosts.len());
            self.let_go(count);
            self.take_in(count);
        }
    }

    fn drain(&mut self) {
        self.tally.is_over = true;
        self.fleet.drain(Instant::now() + FAREWELL);
    }
}

impl Tally {
    fn note(&mut self, event: Event<'_>, jobs: &mut HashMap<CommandId, Job>, removed: &HashSet<HostId>) {
        match event {
            Event::Line { command, .. } => {
                self.lines += 1;
                if let Some(job) = jobs.get_mut(&command) {
                    job.lines += 1;
                }
            }
            Event::Disconnected { error: Some(error), .. } => {
                self.dead += usize::from(matches!(error.kind(), HostErrorKind::PeerDead { .. }));
            }
            Event::Finished { host, command, outcome, .. } => {
                let Some(job) = jobs.remove(&command) else {
                    self.again += 1;
                    return;
                };
                self.ended += 1;
                // A command of a host that was removed had no time.
                if job.kind == Kind::Healthy && !self.is_over && !removed.contains(&host) {
                    let is_answered = outcome.is_success() && job.lines == LINES;
                    self.healthy += 1;
                    self.in_time += usize::from(is_answered && job.begun.elapsed() <= IN_TIME);
                }
            }
            _ => {}
        }
    }
}

pub fn run(plan: &Plan<'_>) -> Vec<Row> {
    raise_descriptor_limit();
    let sim = support::simulator((plan.simulator)(), plan.pin, |sim| {
        RULES.into_iter().fold(sim, hostsim::SimBuilder::rule)
    });
    // In this thread only, which is the only one that the benchmark has.
    let term = SigSet::from(Signal::SIGTERM);
    term.thread_block().unwrap();
    let asked = SignalFd::with_flags(&term, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).unwrap();
    let rows = plan.pinned(|| measure(plan, &sim, &asked));
    term.thread_unblock().unwrap();
    rows
}

fn measure(plan: &Plan<'_>, sim: &Sim, asked: &SignalFd) -> Vec<Row> {
    let mut alone = Loop::with_timer(plan.sizes.without);
    alone.run_alone(plan.sizes.without);
    let mut daemon = Daemon::new(sim, plan.sizes.hosts);
    let mut foreign = Loop::with_timer(plan.sizes.daemon);
    let begun = Instant::now();
    let (mut recent, mut warm, mut step) = (Memory::default(), None, 0);
    loop {
        daemon.step(step);
        step += 1;
        turns(&mut daemon, &mut foreign, begun + Duration::from_secs(1) * step / STEPS);
        // Figures of each turn would be most of the memory.
        foreign.turns.clear();
        recent.measure();
        if warm.is_none() && begun.elapsed() >= WARM.min(plan.sizes.daemon / 2) {
            warm = Some(recent.mean());
        }
        if begun.elapsed() >= plan.sizes.daemon {
            raise(Signal::SIGTERM).unwrap();
        }
        if asked.read_signal().unwrap().is_some() {
            break;
        }
    }
    let (warm, last, took) = (warm.unwrap_or_default(), recent.mean(), begun.elapsed());
    let delays = foreign.delays();
    daemon.drain();
    let draining = Instant::now();
    turns(&mut daemon, &mut Loop::default(), draining + 2 * FAREWELL);
    assert!(daemon.drained, "no end of the drain: {:?}", daemon.fleet.metrics());
    let case = format!("daemon, {} hosts", plan.sizes.hosts);
    let Tally { started, ended, again, healthy, in_time, dead, lines, .. } = daemon.tally;
    let mut rows = timer_rows("loop without a fleet", alone.delays()).to_vec();
    rows.extend(timer_rows(&case, delays));
    let share = in_time as f64 / healthy.max(1) as f64 * 100.0;
    let change = (last / warm - 1.0) * 100.0;
    let verdict = if change.abs() <= FLAT { "memory is flat: change" } else { "memory is not flat: change" };
    for (what, unit, value) in [
        ("time", "s", took.as_secs_f64()),
        ("commands that were started", "", started as f64),
        ("commands that ended once", "", ended as f64),
        ("commands that ended twice", "", again as f64),
        ("commands that did not end", "", daemon.jobs.len() as f64),
        ("healthy commands", "", healthy as f64),
        ("of them, answered in time", "%", share),
        ("connections to dead peers closed", "", dead as f64),
        ("lines", "1/s", lines as f64 / took.as_secs_f64()),
        ("memory after the first minute", "MiB", warm / 1024.0),
        ("memory at the end", "MiB", last / 1024.0),
        (verdict, "%", change),
        ("drain", "s", draining.elapsed().as_secs_f64()),
    ] {
        rows.push(Row::value(&case, what, unit, value));
    }
    rows
}

/// Runs turns until this time, or until the fleet is drained.
fn turns(daemon: &mut Daemon<'_>, foreign: &mut Loop, until: Instant) {
    let Daemon { fleet, jobs, removed, tally, .. } = daemon;
    daemon.drained = foreign.run(fleet, until, |event| match event {
        Event::Drained => ControlFlow::Break(()),
        event => {
            tally.note(event, jobs, removed);
            ControlFlow::Continue(())
        }
    });
}
