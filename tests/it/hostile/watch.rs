//! Drives a fleet step by step, and measures what its hosts cost: CPU time of the thread, and
//! memory of the process.

use std::fs;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sshoal::config::FleetBuilder;
use sshoal::fleet::CommandId;
use sshoal::hostkey::HostKeyPolicy;
use sshoal::{Budget, Event, Fleet, HostErrorKind, Outcome};

use super::{HEALTHY, Hostile, SLOW};

/// Memory limit per host before the login, and after it.
pub const BEFORE_LOGIN: usize = 3 << 20;
pub const AFTER_LOGIN: usize = 4 << 20;

/// CPU limit of one step of one host, with the default algorithms: 5 ms, and twice that in
/// unoptimised builds.
pub const STEP: Duration = Duration::from_millis(if cfg!(debug_assertions) { 10 } else { 5 });

/// What the hosts of a fleet cost.
#[derive(Debug)]
pub struct Watched {
    pub fleet: Fleet,
    /// The outcome of each command, in the order of the hosts.
    pub ends: Vec<Option<Outcome>>,
    /// The output of each command.
    pub output: Vec<Vec<u8>>,
    /// Growth of the resident memory up to its peak, in bytes.
    pub grown: usize,
    /// Longest CPU time of this thread in one step of one host.
    pub longest: Duration,
}

impl Watched {
    /// Runs one command on each of these addresses, until all have ended.
    ///
    /// # Panics
    /// If that takes too long.
    #[track_caller]
    pub fn run(server: &Hostile, addresses: &[String], command: &str) -> Self {
        let count = addresses.len();
        let mut watched = Self {
            fleet: server.fleet(addresses).build().expect("a fleet"),
            ends: vec![None; count],
            output: vec![Vec::new(); count],
            grown: 0,
            longest: Duration::ZERO,
        };
        let commands = watched.fleet.start(command).expect("a command").commands;
        let before = forget_peak();
        let begun = Instant::now();
        while watched.ends.iter().any(Option::is_none) {
            assert!(begun.elapsed() < 3 * SLOW, "not yet at its end: {:?}", watched.ends);
            watched.step();
            watched.take(&commands);
            let grown = status("VmRSS:").saturating_sub(before);
            assert!(grown < 64 << 20, "{grown} bytes more, and no end: {:?}", watched.ends);
        }
        watched.grown = status("VmHWM:").saturating_sub(before);
        watched
    }

    /// The same up to five times, until no step takes more than [`STEP`]: on a busy machine, even
    /// CPU time includes work for other processes.
    #[track_caller]
    pub fn run_undisturbed(server: &Hostile, addresses: &[String], command: &str) -> Self {
        let runs = (0..5).map(|_| Self::run(server, addresses, command));
        let mut grown = 0;
        let mut best: Option<Self> = None;
        for run in runs {
            grown = run.grown.max(grown);
            if best.as_ref().is_none_or(|best| run.longest < best.longest) {
                best = Some(run);
            }
            if best.as_ref().is_some_and(|best| best.longest <= STEP) {
                break;
            }
        }
        let best = best.expect("five runs");
        assert!(best.longest <= STEP, "{:?} of processor time in one step: {best:?}", best.longest);
        Self { grown, ..best }
    }

    /// Waits for work, and does that of one host.
    fn step(&mut self) {
        self.fleet.wait(Some(SLOW)).expect("the poll works");
        let budget = Budget::default().time(Duration::ZERO);
        let cpu = thread_cpu();
        let turn = self.fleet.turn(Instant::now(), budget).expect("the poll works");
        let cpu = thread_cpu().saturating_sub(cpu);
        if turn.visits > 0 {
            self.longest = self.longest.max(cpu);
        }
    }

    fn take(&mut self, commands: &[CommandId]) {
        let Self { fleet, ends, output, .. } = self;
        let number = |id| commands.iter().position(|other| *other == id).expect("one of ours");
        while let Some(event) = fleet.next_event() {
            match event {
                Event::Output { command, bytes, .. } | Event::Line { command, bytes, .. } => {
                    output[number(command)].extend_from_slice(bytes);
                }
                Event::Finished { command, outcome, .. } => {
                    ends[number(command)] = Some(outcome.clone());
                }
                _ => {}
            }
        }
    }

    /// The protocol violation that this host's command reports as its outcome.
    #[track_caller]
    pub fn breach(&self, host: usize) -> &str {
        let end = &self.ends[host];
        let Some(Outcome::Failed(error)) = end else { panic!("{end:?}") };
        let HostErrorKind::Protocol(text) = error.kind() else { panic!("{error}") };
        text
    }

    pub fn exited(&self, host: usize) -> bool {
        matches!(self.ends[host], Some(Outcome::Exited(0)))
    }
}

/// Runs a command on the well-behaved host, so that one-time allocations of the process are not
/// counted.
pub fn warm_up(server: &Hostile) {
    let watched = Watched::run(server, &[HEALTHY.to_owned()], "greet");
    assert!(watched.exited(0));
}

impl Hostile {
    /// As [`Hostile::client`].
    pub fn fleet<A: Into<String> + Clone>(&self, addresses: &[A]) -> FleetBuilder {
        let builder =
            Fleet::builder(addresses.iter().cloned().map(Into::into)).port(self.port).user("somebody");
        let builder = builder.password("any").identity_auth(false).allow_agent(false);
        let builder = builder.known_hosts(Vec::<String>::new());
        let builder = builder.host_keys(HostKeyPolicy::danger_accept_any_host_key());
        builder.guard_passwords(false).num_retries(1).timeout(SLOW)
    }
}

/// The CPU time of this thread.
pub fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock").into()
}

/// A value of the kernel about this process's memory, in bytes.
pub fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let figure = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    figure.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// Resets the kernel's peak of this process's memory. Returns the resident size.
pub fn forget_peak() -> usize {
    fs::write("/proc/self/clear_refs", "5").expect("/proc/self/clear_refs");
    status("VmRSS:")
}
