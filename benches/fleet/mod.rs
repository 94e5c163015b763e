//! The cases of the benchmark, which a test runs with few hosts.

use std::thread::sleep;
use std::time::{Duration, Instant};

use hostsim::Sim;
use rustix::time::ClockId;
use sshoal::config::Input;
use sshoal::fleet::{CommandId, RunId, Started, Tally};
use sshoal::{Budget, Command, Event, Fleet, HostConfig, HostErrorKind, Run};

use super::support::{clock, raise_descriptor_limit, trusting};

/// How many hosts are connected.
pub const HOSTS: usize = 10_000;

/// The same where only the cases themselves are tested.
pub const HOSTS_QUICK: usize = 2 * READY;

/// How many hosts have an answer for a turn.
const READY: usize = 100;

/// Turns that are measured in one round.
const IDLE_TURNS: usize = 1_000;
const READY_TURNS: usize = 10;

/// How many hosts start commands at once, as by default.
const POOL: usize = 100;

/// How long all hosts of a turn usually take to answer, at most.
const ANSWERS: Duration = Duration::from_millis(3);

/// Hosts are quiet if nothing happens for this long.
const SILENCE: Duration = Duration::from_millis(100);

/// How long the simulated hosts may take to answer, or to notice that connections are closed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that runs until its input ends.
fn cat() -> Command {
    Command::new("cat").stdin(Input::Open)
}

pub struct Case {
    /// What is measured, and what the time is for.
    pub name: &'static str,
    units: Units,
    round: fn(&mut Bed) -> Duration,
}

/// How many things one round measures.
enum Units {
    Hosts,
    Of(usize),
}

const fn case(name: &'static str, units: Units, round: fn(&mut Bed) -> Duration) -> Case {
    Case { name, units, round }
}

/// All cases. The first one leaves connections for the others.
pub const CASES: &[Case] = &[
    case("connect all at once, per host", Units::Hosts, Bed::connect),
    case("command on all, per host", Units::Hosts, Bed::command),
    case("start on all, per host", Units::Hosts, |bed| bed.start_and_cancel()[0]),
    case("cancel on all before it is sent, per host", Units::Hosts, |bed| bed.start_and_cancel()[1]),
    case("cancel on all, per host", Units::Hosts, Bed::cancel),
    case("turn, no host ready", Units::Of(IDLE_TURNS), Bed::idle_turns),
    case("turn, 100 hosts ready", Units::Of(READY_TURNS), Bed::ready_turns),
    case("add a host", Units::Of(1), |bed| bed.add_and_remove()[0]),
    case("remove a host", Units::Of(1), |bed| bed.add_and_remove()[1]),
    case("drain, per host", Units::Hosts, Bed::drain),
];

impl Case {
    /// The CPU time of this many rounds, divided by what one round measures.
    pub fn measure(&self, bed: &mut Bed, rounds: u64) -> Duration {
        let all: Duration = (0..rounds).map(|_| (self.round)(bed)).sum();
        let units = match self.units {
            Units::Hosts => bed.hosts,
            Units::Of(units) => units,
        };
        all.div_f64(units as f64)
    }
}

/// The simulated hosts, and a fleet of them.
pub struct Bed {
    /// Connected, once a case has needed it.
    fleet: Option<Fleet>,
    hosts: usize,
    pub sim: Sim,
}

impl Bed {
    pub fn new(sim: Sim, hosts: usize) -> Self {
        raise_descriptor_limit();
        Self { fleet: None, hosts, sim }
    }

    pub fn hosts(&self) -> usize {
        self.hosts
    }

    /// The fleet, with all hosts connected.
    pub fn connected(&mut self) -> &mut Fleet {
        if self.fleet.is_none() {
            self.connect();
        }
        self.fleet.as_mut().unwrap()
    }

    /// From the list of hosts to the last login.
    fn connect(&mut self) -> Duration {
        self.fleet = None;
        // The simulated hosts have the same limit of descriptors.
        let stats = self.sim.wait_stats(PATIENCE, |stats| stats.connections_now == 0).unwrap();
        assert_eq!(stats.connections_now, 0, "not closed within {PATIENCE:?}");
        let (list, mut missing) = (self.sim.hosts(self.hosts), self.hosts);
        let (took, mut fleet) = timed(|| {
            let mut fleet = trusting(Fleet::builder(list)).max_connecting(missing).build().unwrap();
            let hosts = fleet.hosts().to_vec();
            fleet.connect(hosts);
            until(&mut fleet, |event| {
                missing -= usize::from(matches!(event, Event::Connected { .. }));
                missing == 0
            });
            fleet
        });
        fleet.set_max_connecting(POOL).unwrap();
        quieten(&mut fleet);
        self.fleet = Some(fleet);
        took
    }

    /// A command, from the call to its last end.
    fn command(&mut self) -> Duration {
        let hosts = self.hosts;
        let fleet = self.connected();
        let (took, tally) = timed(|| {
            let run = fleet.start("echo hello").unwrap().run;
            end(fleet, run)
        });
        assert_eq!(tally.succeeded, hosts, "{tally}");
        took
    }

    /// The call that starts a command, and the cancellation before the next turn.
    fn start_and_cancel(&mut self) -> [Duration; 2] {
        let hosts = self.hosts;
        let fleet = self.connected();
        let (start, started) = timed(|| fleet.start("echo hello").unwrap());
        let (cancel, tally) = timed(|| {
            fleet.cancel_run(started.run);
            end(fleet, started.run)
        });
        assert_eq!(tally.not_started, hosts, "{tally}");
        [start, cancel]
    }

    /// The cancellation of a command that runs, from the call to its last end.
    fn cancel(&mut self) -> Duration {
        let hosts = self.hosts;
        let fleet = self.connected();
        let run = fleet.start(cat()).unwrap().run;
        all_started(fleet, hosts);
        let (took, tally) = timed(|| {
            fleet.cancel_run(run);
            end(fleet, run)
        });
        assert_eq!(tally.failed, hosts, "{tally}");
        took
    }

    fn idle_turns(&mut self) -> Duration {
        let fleet = self.connected();
        quieten(fleet);
        let turn = |_| fleet.turn(Instant::now(), Budget::default()).unwrap().visits;
        let (took, visits) = timed(|| (0..IDLE_TURNS).map(turn).sum::<usize>());
        assert_eq!(visits, 0, "a host has said something by itself");
        took
    }

    /// Each of 100 hosts sends a byte of output.
    fn ready_turns(&mut self) -> Duration {
        let apart = self.hosts / READY;
        let fleet = self.connected();
        let hosts: Vec<_> = fleet.hosts().iter().step_by(apart).take(READY).copied().collect();
        let Started { run, commands, .. } = fleet.start(Run::new(cat()).hosts(hosts)).unwrap();
        all_started(fleet, READY);
        quieten(fleet);
        let (mut all, mut pause) = (Duration::ZERO, ANSWERS);
        for _ in 0..READY_TURNS {
            all += loop {
                match ready_turn(fleet, &commands, pause) {
                    Some(took) => break took,
                    None => pause *= 2,
                }
                assert!(pause < PATIENCE, "not {READY} hosts are ready");
            };
        }
        fleet.cancel_run(run);
        end(fleet, run);
        all
    }

    /// One host at the end of the list: the calls, each with the turn that follows. The host is
    /// connected when it is removed.
    fn add_and_remove(&mut self) -> [Duration; 2] {
        let one = format!("{}:{}", self.sim.host(self.hosts), self.sim.port());
        let fleet = self.connected();
        let (add, id) = timed(|| {
            let ids = fleet.add_hosts([(one, HostConfig::default())]).unwrap();
            fleet.turn(Instant::now(), Budget::default()).unwrap();
            ids[0]
        });
        fleet.connect([id]);
        until(fleet, |event| matches!(event, Event::Connected { .. }));
        let (remove, known) = timed(|| {
            let known = fleet.remove_host(id);
            fleet.turn(Instant::now(), Budget::default()).unwrap();
            known
        });
        assert!(known && fleet.host(id).is_none());
        until(fleet, |event| matches!(event, Event::Disconnected { .. }));
        [add, remove]
    }

    /// All connections are closed, from the call to the last one.
    fn drain(&mut self) -> Duration {
        self.connected();
        let mut fleet = self.fleet.take().unwrap();
        let drained = || {
            fleet.drain(None);
            until(&mut fleet, |event| matches!(event, Event::Drained));
        };
        timed(drained).0
    }
}

/// The turn that finds an answer of each of these commands, if all have answered within this time.
fn ready_turn(fleet: &mut Fleet, commands: &[CommandId], pause: Duration) -> Option<Duration> {
    let budget = Budget::default().any_time();
    for command in commands {
        assert_eq!(fleet.write_stdin(*command, b"x").unwrap(), 1);
    }
    fleet.turn(Instant::now(), budget).unwrap();
    sleep(pause);
    let (took, turn) = timed(|| fleet.turn(Instant::now(), budget).unwrap());
    let mut answers = output(fleet);
    let is_whole = turn.visits == commands.len() && answers == commands.len();
    // Late answers are not left for the next turn.
    while answers < commands.len() {
        fleet.wait(None).unwrap();
        fleet.turn(Instant::now(), budget).unwrap();
        answers += output(fleet);
    }
    is_whole.then_some(took)
}

/// The CPU time of this thread that the work takes, and its result.
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = clock(ClockId::ThreadCPUTime);
    let result = work();
    (clock(ClockId::ThreadCPUTime) - begun, result)
}

/// Drives the fleet until this event.
fn until(fleet: &mut Fleet, mut is_last: impl FnMut(Event<'_>) -> bool) {
    loop {
        fleet.wait(None).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        while let Some(event) = fleet.next_event() {
            if let Event::Disconnected { error: Some(error), .. } = &event {
                assert!(matches!(error.kind(), HostErrorKind::Cancelled(_)), "{error}");
            }
            if is_last(event) {
                return;
            }
        }
    }
}

/// Drives the fleet until this run has ended.
fn end(fleet: &mut Fleet, run: RunId) -> Tally {
    let mut ended = None;
    until(fleet, |event| {
        if let Event::RunDone { run: done, tally, .. } = event {
            ended = (done == run).then_some(tally);
        }
        ended.is_some()
    });
    ended.unwrap()
}

fn all_started(fleet: &mut Fleet, commands: usize) {
    let mut missing = commands;
    until(fleet, |event| {
        missing -= usize::from(matches!(event, Event::Started { .. }));
        missing == 0
    });
}

/// Takes the events of a turn. Returns how many bytes of output there were.
fn output(fleet: &mut Fleet) -> usize {
    let mut found = 0;
    while let Some(event) = fleet.next_event() {
        if let Event::Output { bytes, .. } = event {
            found += bytes.len();
        }
    }
    found
}

/// Drives the fleet until the hosts are quiet.
fn quieten(fleet: &mut Fleet) {
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < SILENCE {
        fleet.wait(SILENCE).unwrap();
        let turn = fleet.turn(Instant::now(), Budget::default()).unwrap();
        if turn.visits > 0 || output(fleet) > 0 {
            quiet_since = Instant::now();
        }
    }
}
