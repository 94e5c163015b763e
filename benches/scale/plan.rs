//! Which jobs are measured, compared with what, and their goals.

use std::process::Command;

use hostsim::Sim;

use super::measure::{Measured, Spread};
use super::report::Row;
use super::{Client, FAULTS, Job, QUEUED, Workload, support};

/// What a row is compared with. All ratios are costs: a value below 1 is better than the rival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// The same work by another client, by CPU time; in a sequence by latency.
    Other(Client),
    /// The same bytes, not as lines.
    Raw,
    /// One fleet on one thread.
    OneThread,
    /// The same with 1,000 hosts, per host.
    Thousand,
    /// The same commands, 250 at a time.
    Few,
}

/// The goal of a row.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// At most this ratio.
    Ratio(Rival, f64),
    /// At most this much resident memory per host, at the peak.
    MemoryKib(f64),
    /// No failures.
    NoneFailed,
    /// The 99.9th percentile of the turns' CPU time.
    TurnMs(f64),
}

/// A row of the table of costs, and its rows of the table of ratios.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub client: Client,
    pub workload: Workload,
    pub hosts: usize,
    pub pool: usize,
    pub amount: u64,
    /// How often it is compared with each rival.
    pub rounds: usize,
    pub rivals: &'static [Rival],
    pub goals: &'static [Goal],
}

const RUSSH: Rival = Rival::Other(Client::Russh);
const RUSSH_DEFAULT: Rival = Rival::Other(Client::RusshDefault);
const WITHOUT: Rival = Rival::Other(Client::WithoutProvider);
const LIBSSH: Rival = Rival::Other(Client::Libssh);

const fn case(workload: Workload, hosts: usize, pool: usize, amount: u64) -> Case {
    let rounds = if hosts < 10_000 { 11 } else { 5 };
    Case { client: Client::Sshoal, workload, hosts, pool, amount, rounds, rivals: &[RUSSH], goals: &[] }
}

/// The same without the provider.
const fn without_provider(case: Case) -> Case {
    Case { client: Client::WithoutProvider, goals: &[], ..case }
}

const FRESH: Case = Case {
    rivals: &[RUSSH, RUSSH_DEFAULT, WITHOUT],
    goals: &[Goal::Ratio(RUSSH, 0.9), Goal::NoneFailed],
    ..case(Workload::Fresh, 1_000, 100, 0)
};
const FRESH_AT_ONCE: Case = Case {
    rivals: &[RUSSH, RUSSH_DEFAULT, WITHOUT, Rival::Thousand],
    goals: &[
        Goal::Ratio(RUSSH, 0.9),
        Goal::Ratio(Rival::Thousand, 1.1),
        Goal::MemoryKib(22.0),
        Goal::NoneFailed,
        Goal::TurnMs(2.0),
    ],
    ..case(Workload::Fresh, 10_000, 10_000, 0)
};
const BULK: Case = Case { rivals: &[RUSSH, LIBSSH], rounds: 5, ..case(Workload::Bulk, 1, 1, 1_000_000_000) };
const BOTH_RUSSH: &[Rival] = &[RUSSH, RUSSH_DEFAULT];

/// All rows.
pub const CASES: &[Case] = &[
    Case { rivals: &[], ..case(Workload::Fresh, 1, 1, 0) },
    case(Workload::Fresh, 100, 100, 0),
    FRESH,
    Case { rivals: BOTH_RUSSH, ..without_provider(FRESH) },
    case(Workload::Fresh, 1_000, 1_000, 0),
    case(Workload::Fresh, 10_000, 100, 0),
    FRESH_AT_ONCE,
    Case { rivals: BOTH_RUSSH, ..without_provider(FRESH_AT_ONCE) },
    case(Workload::Later, 100, 100, 50),
    Case {
        rivals: &[RUSSH, WITHOUT],
        goals: &[Goal::Ratio(RUSSH, 0.88)],
        ..case(Workload::Later, 1_000, 100, 10)
    },
    without_provider(case(Workload::Later, 1_000, 100, 10)),
    Case { goals: &[Goal::Ratio(RUSSH, 0.88)], ..case(Workload::Later, 10_000, 100, 3) },
    case(Workload::Open, 1_000, 100, 10),
    case(Workload::Open, 10_000, 100, 3),
    Case { goals: &[Goal::Ratio(RUSSH, 1.0)], ..case(Workload::Sequence, 1, 1, 500) },
    case(Workload::Spare, 1, 1, 500),
    Case {
        rivals: &[Rival::Few],
        rounds: 5,
        goals: &[Goal::Ratio(Rival::Few, 1.2), Goal::TurnMs(2.0)],
        ..case(Workload::Queue, 1, 1, QUEUED)
    },
    Case { goals: &[Goal::Ratio(LIBSSH, 1.0 / 0.98)], ..BULK },
    Case { hosts: 50, pool: 50, amount: 10_000_000, ..BULK },
    Case {
        rivals: &[RUSSH, Rival::Raw],
        goals: &[Goal::Ratio(Rival::Raw, 1.3)],
        ..case(Workload::Lines, 1_000, 100, 1_000)
    },
    Case {
        rivals: &[Rival::Raw],
        goals: &[Goal::Ratio(Rival::Raw, 1.1)],
        ..case(Workload::Lent, 1_000, 100, 1_000)
    },
    Case { rivals: &[], rounds: 1, ..case(Workload::Faulty, 1_000, 100, 0) },
    Case { rivals: &[], rounds: 1, ..case(Workload::Faulty, 10_000, 1_000, 0) },
    Case {
        rivals: &[Rival::OneThread],
        goals: &[Goal::Ratio(Rival::OneThread, 1.05)],
        ..case(Workload::Threads, 1_000, 100, 2)
    },
    Case { rivals: &[Rival::OneThread], ..case(Workload::Threads, 10_000, 100, 2) },
];

impl Case {
    /// How many hosts or commands the figures are divided by.
    pub fn units(self) -> f64 {
        let each = match self.workload {
            Workload::Later | Workload::Open | Workload::Sequence | Workload::Spare => self.amount,
            Workload::Queue => QUEUED,
            _ => 1,
        };
        self.hosts as f64 * each as f64
    }

    /// Measures it and its rivals. `work` runs a job in a separate process.
    pub fn measure(self, simulator: &dyn Fn(&Case) -> Sim, work: &mut dyn FnMut(Job) -> Measured) -> Row {
        let sim = simulator(&self);
        let Self { client, workload, hosts, pool, amount, rounds, rivals, .. } = self;
        let own = Job { client, workload, hosts, pool, amount, port: sim.port() };
        let mut runs = Vec::new();
        if rivals.is_empty() {
            runs.extend((0..rounds).map(|_| work(own)));
        }
        let ratios = rivals.iter().map(|rival| {
            let other = rival.job(own);
            // In pairs, so that what else this machine does hits both alike.
            let pairs = (0..rounds).map(|round| {
                let (measured, others) = match round % 2 {
                    0 => (work(own), work(other)),
                    _ => {
                        let others = work(other);
                        (work(own), others)
                    }
                };
                runs.push(measured);
                own.cost(&measured) / other.cost(&others)
            });
            (*rival, Spread::of(pairs))
        });
        let ratios = ratios.collect();
        // A host that fails in one run of many has failed.
        let failed = runs.iter().map(|run| run.failed).fold(0.0, f64::max);
        let measured = Measured { failed, ..Measured::median(&runs) };
        Row { case: self, measured, ratios }
    }
}

impl Rival {
    /// The job to compare this one with.
    fn job(self, own: Job) -> Job {
        match self {
            Self::Other(client) => Job { client, ..own },
            Self::Raw => Job { workload: Workload::Raw, ..own },
            Self::OneThread => Job { amount: 1, ..own },
            Self::Few => Job { amount: 250, ..own },
            Self::Thousand => Job { hosts: 1_000, pool: own.pool.min(1_000), ..own },
        }
    }
}

impl Job {
    fn cost(self, measured: &Measured) -> f64 {
        match self.workload {
            Workload::Sequence | Workload::Spare => measured.median_us,
            _ => measured.cpu_ms / self.hosts as f64,
        }
    }
}

/// The simulated hosts that a row needs.
pub fn simulator(program: Command, pin: bool, case: &Case) -> Sim {
    let rules: &[&str] = if case.workload == Workload::Faulty { &FAULTS } else { &[] };
    support::simulator(program, pin, |sim| rules.iter().fold(sim, |sim, rule| sim.rule(rule)))
}
