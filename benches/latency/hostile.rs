//! 20 hosts run a command alone, and next to five that flood, do not read, or rekey constantly.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sshoal::hostkey::HostKeyPolicy;
use sshoal::{Event, Fleet, Run};

use super::foreign::Loop;
use super::report::Row;
use super::support::{confine, rank};
use super::{Plan, fleet};

/// The behaviour of each, by its name in `tests/it/hostile/flood_kinds.py`.
const KINDS: [&str; 5] =
    ["unread-before-login", "unread-globals", "flood-unknown", "rekeys-for-nothing", "kexinit-15000"];

/// Number of well-behaved hosts.
const GOOD: usize = 20;

/// Time limit of these hosts.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(plan: &Plan<'_>) -> Vec<Row> {
    let Some(hostile) = Hostile::start(plan.pin) else {
        eprintln!(
            "no row of hostile hosts: tests/it/hostile/server.py needs /usr/bin/python3 and python3-paramiko"
        );
        return Vec::new();
    };
    let case = format!("{GOOD} hosts, {} hostile", KINDS.len());
    let sim = plan.simulator();
    let good = sim.hosts(GOOD);
    let both: Vec<String> = hostile.hosts.iter().cloned().chain(good.iter().cloned()).collect();
    plan.pinned(|| {
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        // In pairs, so that other load on the machine affects both equally.
        for _ in 0..plan.sizes.pairs {
            alone.push(one(good.clone()));
            beside.push(one(both.clone()));
        }
        let mut ratios: Vec<f64> = beside
            .iter()
            .zip(&alone)
            .map(|(beside, alone)| beside.as_secs_f64() / alone.as_secs_f64())
            .collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let rows = [("connect and one command, alone", &mut alone), ("the same beside them", &mut beside)]
            .map(|(what, times)| (Row::spread(&case, what, times), rank(times, 0.5)));
        let ratio = ratios[ratios.len() / 2];
        let [(first, _), (second, _)] = rows;
        vec![first, second, Row::value(&case, "of the time alone, median of pairs", "x", ratio)]
    })
}

/// How long the last 20 of these hosts take to connect and to run a command.
fn one(hosts: Vec<String>) -> Duration {
    let mut fleet: Fleet =
        fleet(hosts).host_keys(HostKeyPolicy::danger_accept_any_host_key()).build().unwrap();
    let begun = Instant::now();
    let all = fleet.hosts().to_vec();
    let (bad, good) = all.split_at(all.len() - GOOD);
    if !bad.is_empty() {
        fleet.start(Run::new("greet").hosts(bad.iter().copied())).unwrap();
    }
    let run = fleet.start(Run::new("hostname").hosts(good.iter().copied())).unwrap().run;
    let mut succeeded = 0;
    Loop::default().run(&mut fleet, begun + PATIENCE, |event| match event {
        Event::RunDone { run: done, tally, .. } if done == run => {
            succeeded = tally.succeeded;
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(succeeded, GOOD);
    begun.elapsed()
}

/// The server of the tests, as a separate process.
struct Hostile {
    child: Child,
    hosts: Vec<String>,
}

impl Hostile {
    fn start(pin: bool) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hostile/server.py");
        let mut command = Command::new("/usr/bin/python3");
        // The output is discarded: its hosts are disconnected in the middle of everything.
        command.arg("-B").arg(script).args(KINDS).stderr(Stdio::null());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        confine(child.id(), pin);
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
        let port = line.trim_end().strip_prefix("listening ").map(str::to_owned);
        let hosts = |port| (1..=KINDS.len()).map(|number| format!("127.0.1.{number}:{port}")).collect();
        // Dropped, it ends the process.
        let mut server = Self { child, hosts: Vec::new() };
        server.hosts = hosts(port?);
        Some(server)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
