//! One fleet per thread: for more work than one core can encrypt.
//!
//! A fleet is driven by one thread, and fleets share nothing that changes. So hosts are dealt out
//! among as many threads as there are cores, and each thread has a fleet of its own. The program
//! starts a simulated fleet of 1,000 SSH hosts and runs a command on all of them:
//!
//! ```text
//! cargo run --release --example thread_per_core
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use sshoal::config::FleetBuilder;
use sshoal::fleet::{HostId, Metrics};
use sshoal::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};
use sshoal::{Budget, Event, Fleet, Outcome};

const HOSTS: usize = 1_000;

fn main() -> ExitCode {
    // The simulated fleet is this program once more, as a process of its own.
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("thread_per_core: {error}");
            ExitCode::from(2)
        }
    }
}

/// Returns the number of hosts that failed.
fn run() -> Result<usize, Box<dyn Error>> {
    let sim = hostsim::Sim::builder().spawn(Command::new(std::env::current_exe()?))?;
    let hosts = sim.hosts(HOSTS);
    let threads = thread::available_parallelism().map_or(1, usize::from).min(HOSTS);
    // Keys and known_hosts files are read once, and settings checked, before the first thread
    // starts.
    let fleets = builder(&sim, hosts)?.build_many(threads)?;

    let begun = Instant::now();
    let (results, arriving) = channel();
    let mut ok = 0;
    let figures = thread::scope(|scope| {
        // A fleet may be made in one thread and driven by another.
        let start = |fleet| {
            let results = results.clone();
            scope.spawn(move || drive(fleet, &results))
        };
        let running: Vec<_> = fleets.into_iter().map(start).collect();
        drop(results);
        // Results come as the hosts finish, until the last thread has ended.
        for HostResult { name, outcome, printed } in arriving {
            match outcome {
                Outcome::Exited(0) if printed == format!("{name}\n").as_bytes() => ok += 1,
                other => eprintln!("{name}: {other}"),
            }
        }
        running.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let took = begun.elapsed();

    for (thread, figures) in figures.into_iter().enumerate() {
        let metrics = figures.map_err(|_| "a thread has panicked")??;
        println!(
            "thread {thread}: {} connections, {} turns, the longest {:.1?}",
            metrics.connections, metrics.turns, metrics.longest_turn
        );
    }
    println!("ran `hostname` with {threads} threads in {took:.2?}");
    println!("{HOSTS} hosts: {ok} ok, {} failed", HOSTS - ok);
    Ok(HOSTS - ok)
}

/// What fleets of simulated hosts need, which all have one key. Real ones are looked up in the
/// known_hosts files.
fn builder(sim: &hostsim::Sim, hosts: Vec<String>) -> Result<FleetBuilder, Box<dyn Error>> {
    let key = HostKey::from_openssh(&sim.host_key_openssh()?)?;
    let builder = Fleet::builder(hosts)
        .user("demo")
        .key_bytes(sim.user_key_openssh()?)
        .identity_auth(false)
        .host_keys(HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(key.fingerprint())))
        .timeout(Duration::from_secs(30));
    Ok(builder)
}

/// How one host fared.
pub(crate) struct HostResult {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) printed: Vec<u8>,
}

/// What one thread does: runs the command on its hosts, and sends each result on as soon as it is
/// there.
pub(crate) fn drive(mut fleet: Fleet, results: &Sender<HostResult>) -> io::Result<Metrics> {
    let name = |id: &HostId| Some((*id, fleet.host(*id)?.name().to_owned()));
    let mut names: HashMap<HostId, String> = fleet.hosts().iter().filter_map(name).collect();
    let mut printed: HashMap<HostId, Vec<u8>> = HashMap::new();
    fleet.start("hostname").map_err(io::Error::other)?;
    loop {
        // This thread waits for nothing else, so the fleet may do the waiting.
        fleet.wait(None)?;
        fleet.turn(Instant::now(), Budget::default())?;
        while let Some(event) = fleet.next_event() {
            match event {
                Event::Output { host, bytes, .. } => printed.entry(host).or_default().extend(bytes),
                Event::Finished { host, outcome, .. } => {
                    let name = names.remove(&host).unwrap_or_default();
                    let printed = printed.remove(&host).unwrap_or_default();
                    // Nobody listens any more only if the program is about to end.
                    let _ = results.send(HostResult { name, outcome: outcome.clone(), printed });
                }
                Event::RunDone { .. } => return Ok(fleet.metrics()),
                _ => {}
            }
        }
    }
}
