//! The workloads, run by sshoal.

use std::io::Read;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use sshoal::config::Input;
use sshoal::{Budget, Command, Event, Fleet, HostOutput, JoinOptions, Outcome, ParallelClient, Run};

use super::measure::{Measured, Meter, thread_cpu};
use super::support::trusting;
use super::thread_per_core::drive;
use super::{Job, QUEUED, Workload};

pub fn run(job: Job) -> Measured {
    match job.workload {
        Workload::Fresh => fresh(job, Duration::from_secs(120)),
        // The time after which silent hosts are given up.
        Workload::Faulty => fresh(job, Duration::from_secs(2)),
        Workload::Later | Workload::Open | Workload::Bulk => later(job),
        Workload::Sequence | Workload::Spare => sequence(job),
        Workload::Queue => queue(job),
        Workload::Lines | Workload::Lent | Workload::Raw => read(job),
        Workload::Threads => threads(job),
    }
}

/// A fleet's loop, and its results.
struct Driver {
    fleet: Fleet,
    /// CPU time of each turn. `None` where turns are so short that reading that clock would
    /// dominate.
    turns: Option<Vec<Duration>>,
    ok: usize,
    failed: usize,
    bytes: u64,
}

impl Driver {
    fn new(fleet: Fleet) -> Self {
        Self { fleet, turns: Some(Vec::new()), ok: 0, failed: 0, bytes: 0 }
    }

    /// Runs a command on all hosts, to its end.
    fn run(&mut self, run: impl Into<Run>) {
        self.fleet.start(run).unwrap();
        loop {
            self.fleet.wait(None).unwrap();
            let cpu = self.turns.is_some().then(thread_cpu);
            self.fleet.turn(Instant::now(), Budget::default()).unwrap();
            if let (Some(turns), Some(cpu)) = (&mut self.turns, cpu) {
                turns.push(thread_cpu() - cpu);
            }
            while let Some(event) = self.fleet.next_event() {
                match event {
                    Event::Output { bytes, .. } => self.bytes += bytes.len() as u64,
                    Event::Finished { outcome: Outcome::Exited(0), .. } => self.ok += 1,
                    Event::Finished { .. } => self.failed += 1,
                    Event::RunDone { .. } => return,
                    _ => {}
                }
            }
        }
    }
}

fn fresh(job: Job, timeout: Duration) -> Measured {
    let meter = Meter::start();
    let fleet = trusting(Fleet::builder(job.hosts())).max_connecting(job.pool).timeout(timeout);
    let mut driver = Driver::new(fleet.build().unwrap());
    driver.run(job.command());
    let Driver { fleet, turns, ok, failed, bytes } = driver;
    drop(fleet);
    let measured = meter.end(ok, failed).turns(turns.unwrap_or_default());
    assert!(job.workload == Workload::Faulty || failed > 0 || bytes == job.expected(), "{bytes}");
    measured
}

fn later(job: Job) -> Measured {
    let mut meter = Meter::start();
    let fleet = trusting(Fleet::builder(job.hosts())).max_connecting(job.pool);
    let mut driver = Driver::new(fleet.build().unwrap());
    driver.run("true");
    driver = Driver::new(driver.fleet);
    meter.restart_clocks();
    let rounds = if job.workload == Workload::Bulk { 1 } else { job.amount };
    let input = if job.workload == Workload::Open { Input::Open } else { Input::Empty };
    let command = Command::new(job.command()).stdin(input);
    for _ in 0..rounds {
        driver.run(&command);
    }
    let measured = meter.end(driver.ok, driver.failed).turns(driver.turns.unwrap_or_default());
    assert!(driver.failed > 0 || driver.bytes == job.expected(), "{}", driver.bytes);
    measured
}

fn sequence(job: Job) -> Measured {
    let mut meter = Meter::start();
    let fleet = trusting(Fleet::builder(job.hosts())).spare_channel(job.workload == Workload::Spare);
    let mut driver = Driver::new(fleet.build().unwrap());
    driver.run("true");
    driver = Driver { turns: None, ok: 0, ..driver };
    meter.restart_clocks();
    let latency = |_| {
        let begun = Instant::now();
        driver.run(job.command());
        begun.elapsed()
    };
    let took = (0..job.amount).map(latency).collect();
    meter.end(driver.ok, driver.failed).latencies(took)
}

fn queue(job: Job) -> Measured {
    let mut meter = Meter::start();
    let mut driver = Driver::new(trusting(Fleet::builder(job.hosts())).max_running(4).build().unwrap());
    driver.run("true");
    driver = Driver::new(driver.fleet);
    meter.restart_clocks();
    let host = driver.fleet.hosts()[0];
    let at_a_time = usize::try_from(job.amount).unwrap();
    for _ in 0..QUEUED / job.amount {
        driver.run(Run::each(std::iter::repeat_n((host, job.command()), at_a_time)));
    }
    let measured = meter.end(driver.ok, driver.failed).turns(driver.turns.unwrap_or_default());
    assert_eq!(driver.bytes, job.expected());
    measured
}

fn read(job: Job) -> Measured {
    let mut meter = Meter::start();
    let client = trusting(ParallelClient::builder(job.hosts())).pool_size(job.pool);
    let mut client = client.build().unwrap();
    let outputs = client.run_command("true").unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    meter.restart_clocks();
    let outputs = client.run_command(job.command().as_str()).unwrap();
    let read = match job.workload {
        Workload::Lines => read_lines,
        Workload::Lent => read_lent_lines,
        _ => read_bytes,
    };
    let bytes: u64 = outputs.iter().map(read).sum();
    client.join(&outputs, JoinOptions::default()).unwrap();
    let ok = outputs.iter().filter(|output| output.exit_code() == Some(0)).count();
    let measured = meter.end(ok, outputs.len() - ok);
    assert_eq!(bytes, job.expected());
    measured
}

fn read_lines(output: &HostOutput) -> u64 {
    // Each line's end is counted as well.
    output.stdout().map(|line| line.unwrap().len() as u64 + 1).sum()
}

fn read_lent_lines(output: &HostOutput) -> u64 {
    let (mut lines, mut bytes) = (output.stdout(), 0);
    while let Some(line) = lines.next_line().unwrap() {
        bytes += line.len() as u64 + 1;
    }
    bytes
}

fn read_bytes(output: &HostOutput) -> u64 {
    let (mut chunk, mut bytes) = (vec![0; 32 * 1024], 0);
    let mut reader = output.stdout_reader();
    loop {
        match reader.read(&mut chunk).unwrap() {
            0 => return bytes,
            read => bytes += read as u64,
        }
    }
}

fn threads(job: Job) -> Measured {
    let meter = Meter::start();
    let threads = usize::try_from(job.amount).unwrap();
    let builder = trusting(Fleet::builder(job.hosts())).max_connecting(job.pool / threads);
    let fleets = builder.build_many(threads).unwrap();
    let (results, arriving) = channel();
    let ok = thread::scope(|scope| {
        for fleet in fleets {
            let results = results.clone();
            scope.spawn(move || drive(fleet, &results).unwrap());
        }
        drop(results);
        arriving.iter().filter(|result| matches!(result.outcome, Outcome::Exited(0))).count()
    });
    meter.end(ok, job.hosts - ok)
}
