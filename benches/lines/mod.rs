//! What lines cost a client, compared with the same output as bytes, from the start of a command to
//! its end. A test runs this with small numbers.

use std::fmt;
use std::io::Read;

use hostsim::Sim;
use rustix::time::ClockId;
use sshoal::{HostOutput, JoinOptions, ParallelClient};

use super::support::{clock, trusting};

/// A way to read the lines of an output. Returns their number of bytes, with their ends.
type Way = fn(&HostOutput) -> usize;

const WAYS: [(&str, Way); 3] = [("lent lines", lent), ("String lines", strings), ("raw lines, lent", raw)];

/// The CPU time of one way to read, divided by that of bytes: the quartiles of pairs.
#[derive(Debug)]
pub struct Row {
    pub way: &'static str,
    pub quartiles: [f64; 3],
}

/// Measures each way and bytes alternately.
pub fn measure(sim: &Sim, hosts: usize, lines: usize, rounds: usize) -> Vec<Row> {
    let mut client = trusting(ParallelClient::builder(sim.hosts(hosts))).build().unwrap();
    let command = format!("lines {lines}");
    let mut measure = |way: Way| {
        let begun = clock(ClockId::ThreadCPUTime);
        let outputs = client.run_command(command.as_str()).unwrap();
        let bytes: usize = outputs.iter().map(way).sum();
        client.join(&outputs, JoinOptions::default()).unwrap();
        let took = clock(ClockId::ThreadCPUTime) - begun;
        let expected: usize = (0..lines).map(|line| format!("line {line}\n").len()).sum();
        assert_eq!(bytes, hosts * expected);
        took
    };
    // Connects the hosts.
    measure(bytes);
    let mut ratios = WAYS.map(|_| Vec::new());
    for _ in 0..rounds {
        for ((_, way), ratios) in WAYS.iter().zip(&mut ratios) {
            // Twice the reference, before and after, so that a trend cannot mislead.
            let (before, took, after) = (measure(bytes), measure(*way), measure(bytes));
            ratios.push(2.0 * took.as_secs_f64() / (before + after).as_secs_f64());
        }
    }
    let quartiles = |mut ratios: Vec<f64>| {
        ratios.sort_unstable_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| ratios[ratios.len() * quarter / 4])
    };
    WAYS.into_iter().zip(ratios).map(|((way, _), ratios)| Row { way, quartiles: quartiles(ratios) }).collect()
}

fn lent(output: &HostOutput) -> usize {
    let (mut lines, mut bytes) = (output.stdout(), 0);
    while let Some(line) = lines.next_line().unwrap() {
        bytes += line.len() + 1;
    }
    bytes
}

fn raw(output: &HostOutput) -> usize {
    let (mut lines, mut bytes) = (output.stdout().raw(), 0);
    while let Some(line) = lines.next_line().unwrap() {
        bytes += line.len() + 1;
    }
    bytes
}

fn strings(output: &HostOutput) -> usize {
    output.stdout().map(|line| line.unwrap().len() + 1).sum()
}

fn bytes(output: &HostOutput) -> usize {
    let (mut chunk, mut bytes, mut reader) = ([0; 32 * 1024], 0, output.stdout_reader());
    loop {
        match reader.read(&mut chunk).unwrap() {
            0 => return bytes,
            read => bytes += read,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, median, high] = self.quartiles;
        write!(f, "{:<16} {median:.3} of the CPU time of bytes (quartiles {low:.3} to {high:.3})", self.way)
    }
}
