//! Which jobs are measured, compared with what, and their goals.

use std::process::Command;

use hostsim::Sim;

use super::floor::{self, Steps};
use super::measure::{Measured, median};
use super::report::{Goal, Row};
use super::{Client, FAULTS, Job, QUEUED, Workload, support};

/// What a row is compared with. All ratios are costs: a value below 1 is better than the rival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// The client on russh, by CPU time; in a sequence by latency.
    Russh,
    /// The cryptography alone, by CPU time outside the kernel.
    CryptoFloor,
    /// The same as done by libssh.
    LibsshCrypto,
    /// libssh alone, by CPU time.
    Libssh,
    /// The same bytes, not as lines.
    Raw,
    /// One fleet on one thread.
    OneThread,
    /// The same with 1,000 hosts.
    Thousand,
    /// The same commands, 250 at a time.
    Few,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub workload: Workload,
    pub hosts: usize,
    pub pool: usize,
    pub amount: u64,
    /// Number of measurements of each, alternating with its rivals.
    pub rounds: usize,
    pub rivals: &'static [Rival],
    pub goals: &'static [Goal],
}

const fn case(workload: Workload, hosts: usize, pool: usize, amount: u64) -> Case {
    Case { workload, hosts, pool, amount, rounds: 5, rivals: &[Rival::Russh], goals: &[] }
}

/// All rows.
pub const CASES: &[Case] = &[
    Case { rivals: FRESH, ..case(Workload::Fresh, 1, 1, 0) },
    Case { rivals: FRESH, ..case(Workload::Fresh, 100, 100, 0) },
    Case {
        rivals: FRESH,
        goals: &[Goal::Ratio(Rival::Russh, 0.9), Goal::Ratio(Rival::CryptoFloor, 1.6), Goal::Failed(0.0)],
        ..case(Workload::Fresh, 1_000, 100, 0)
    },
    Case { rivals: FRESH, ..case(Workload::Fresh, 1_000, 1_000, 0) },
    Case { rivals: FRESH, rounds: 3, ..case(Workload::Fresh, 10_000, 100, 0) },
    Case {
        rivals: &[Rival::Russh, Rival::CryptoFloor, Rival::LibsshCrypto, Rival::Thousand],
        rounds: 3,
        goals: &[
            Goal::MemoryKib(28.0),
            Goal::Failed(0.0),
            Goal::Ratio(Rival::Thousand, 1.1),
            Goal::TurnMs(2.0),
        ],
        ..case(Workload::Fresh, 10_000, 10_000, 0)
    },
    case(Workload::Later, 1, 1, 500),
    case(Workload::Later, 100, 100, 50),
    Case { goals: &[Goal::Ratio(Rival::Russh, 0.9)], ..case(Workload::Later, 1_000, 100, 10) },
    Case { rounds: 3, ..case(Workload::Later, 10_000, 100, 3) },
    case(Workload::Open, 1_000, 100, 10),
    Case { goals: &[Goal::Ratio(Rival::Russh, 1.0)], ..case(Workload::Sequence, 1, 1, 500) },
    Case {
        rivals: &[Rival::Few],
        goals: &[Goal::Ratio(Rival::Few, 1.2), Goal::TurnMs(2.0)],
        ..case(Workload::Queue, 1, 1, QUEUED)
    },
    Case {
        rivals: BULK,
        rounds: 3,
        goals: &[Goal::Ratio(Rival::Libssh, 1.0 / 0.9)],
        ..case(Workload::Bulk, 1, 1, 1_000_000_000)
    },
    Case { rivals: BULK, rounds: 3, ..case(Workload::Bulk, 50, 50, 10_000_000) },
    Case {
        rivals: &[Rival::Russh, Rival::Raw],
        goals: &[Goal::Ratio(Rival::Raw, 1.3)],
        ..case(Workload::Lines, 1_000, 100, 1_000)
    },
    Case { rivals: &[], rounds: 1, ..case(Workload::Faulty, 1_000, 100, 0) },
    Case {
        rivals: &[Rival::OneThread],
        goals: &[Goal::Ratio(Rival::OneThread, 1.05)],
        ..case(Workload::Threads, 1_000, 100, 2)
    },
    Case { rivals: &[], rounds: 1, ..case(Workload::Faulty, 10_000, 1_000, 0) },
    Case { rivals: &[Rival::OneThread], rounds: 3, ..case(Workload::Threads, 10_000, 100, 2) },
];

const FRESH: &[Rival] = &[Rival::Russh, Rival::CryptoFloor, Rival::LibsshCrypto];
const BULK: &[Rival] = &[Rival::Russh, Rival::Libssh];

/// Logins whose cryptography is measured at a time: a tenth of a second.
const FLOOR_LOGINS: u32 = 500;

impl Case {
    pub fn job(self, client: Client, port: u16) -> Job {
        let Self { workload, hosts, pool, amount, .. } = self;
        Job { client, workload, hosts, pool, amount, port }
    }

    /// The unit of the figures: a host, or a command.
    pub fn units(self) -> f64 {
        let each = match self.workload {
            Workload::Later | Workload::Open | Workload::Sequence => self.amount,
            Workload::Queue => QUEUED,
            _ => 1,
        };
        self.hosts as f64 * each as f64
    }

    /// Measures it and its rivals. `work` runs a job in a separate process.
    pub fn measure(self, simulator: &dyn Fn(&Case) -> Sim, work: &mut dyn FnMut(Job) -> Measured) -> Row {
        let sim = simulator(&self);
        let own = self.job(Client::Sshoal, sim.port());
        let (mut runs, mut ratios) = (Vec::new(), vec![Vec::new(); self.rivals.len()]);
        for _ in 0..self.rounds {
            let measured = work(own);
            for (rival, ratios) in self.rivals.iter().zip(&mut ratios) {
                ratios.push(self.ratio(*rival, own, &measured, work));
            }
            runs.push(measured);
        }
        let ratios = self.rivals.iter().copied().zip(ratios.into_iter().map(median)).collect();
        // A host that fails in one run of many has failed.
        let failed = runs.iter().map(|run| run.failed).fold(0.0, f64::max);
        let measured = Measured { failed, ..Measured::median(&runs) };
        Row { case: self, measured, ratios, system_calls: None }
    }

    fn ratio(
        self,
        rival: Rival,
        own: Job,
        measured: &Measured,
        work: &mut dyn FnMut(Job) -> Measured,
    ) -> f64 {
        let cpu = measured.cpu_ms();
        match rival {
            Rival::Russh if self.workload == Workload::Sequence => {
                measured.median_us / work(Job { client: Client::Russh, ..own }).median_us
            }
            Rival::Russh => cpu / work(Job { client: Client::Russh, ..own }).cpu_ms(),
            Rival::Libssh => cpu / work(Job { client: Client::Libssh, ..own }).cpu_ms(),
            Rival::Raw => cpu / work(Job { workload: Workload::Raw, ..own }).cpu_ms(),
            Rival::OneThread => cpu / work(Job { amount: 1, ..own }).cpu_ms(),
            Rival::Few => cpu / work(Job { amount: 250, ..own }).cpu_ms(),
            Rival::Thousand => {
                let (hosts, pool) = (1_000, own.pool.min(1_000));
                let thousand = work(Job { hosts, pool, ..own });
                (cpu / own.hosts as f64) / (thousand.cpu_ms() / 1_000.0)
            }
            Rival::CryptoFloor => self.cryptography(Steps::Needed, measured),
            Rival::LibsshCrypto => self.cryptography(Steps::Libssh, measured),
        }
    }

    fn cryptography(self, steps: Steps, measured: &Measured) -> f64 {
        let login = floor::measure(steps, FLOOR_LOGINS);
        measured.user_ms / (login.as_secs_f64() * 1e3 * self.hosts as f64)
    }
}

/// The simulated hosts that a row needs.
pub fn simulator(program: Command, pin: bool, case: &Case) -> Sim {
    let rules: &[&str] = if case.workload == Workload::Faulty { &FAULTS } else { &[] };
    support::simulator(program, pin, |sim| rules.iter().fold(sim, |sim, rule| sim.rule(rule)))
}
