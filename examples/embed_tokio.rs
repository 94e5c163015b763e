//! A fleet inside a tokio program, next to tasks of its own, on one thread.
//!
//! The library knows nothing of tokio: `AsyncFd` waits for the fleet's descriptor. The program
//! starts a simulated fleet of 200 SSH hosts, runs a command on all of them and another one on half
//! of them, and counts the lines that they print, while another task has a heart that beats:
//!
//! ```text
//! cargo run --release --example embed_tokio
//! ```

use std::error::Error;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sshoal::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};
use sshoal::output::Deliver;
use sshoal::{Budget, Event, Fleet, Run, StdStream};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout_at;

const HOSTS: usize = 200;
const LINES: usize = 10;

fn main() -> ExitCode {
    // The simulated fleet is this program once more, as a process of its own.
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run()));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("embed_tokio: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every command has succeeded and all its lines have come.
async fn run() -> Result<bool, Box<dyn Error>> {
    let sim = hostsim::Sim::builder().spawn(std::process::Command::new(std::env::current_exe()?))?;
    let mut driver = Driver::new(fleet(&sim)?)?;
    let heart = tokio::spawn(beat());

    // Two runs at once, one of them on some of the hosts.
    driver.fleet.start(Run::new(format!("lines {LINES}")).deliver(Deliver::Lines))?;
    let half = driver.fleet.hosts()[..HOSTS / 2].to_vec();
    driver.fleet.start(Run::new("sleep 0.3; stderr oops").hosts(half).deliver(Deliver::Lines))?;

    let (mut printed, mut complained, mut ok, mut failed) = (0, 0, 0, 0);
    let mut runs = 2;
    while runs > 0 {
        driver.turn().await?;
        while let Some(event) = driver.fleet.next_event() {
            match event {
                Event::Line { stream: StdStream::Stdout, .. } => printed += 1,
                Event::Line { stream: StdStream::Stderr, bytes, .. } => {
                    complained += usize::from(bytes == b"oops");
                }
                Event::Disconnected { error: Some(error), .. } => eprintln!("{error}"),
                Event::RunDone { tally, .. } => {
                    runs -= 1;
                    ok += tally.succeeded;
                    failed += tally.failed;
                }
                _ => {}
            }
        }
    }
    heart.abort();
    println!("{printed} lines of output, {complained} of errors");
    println!("{} commands: {ok} ok, {failed} failed", HOSTS + HOSTS / 2);
    Ok(failed == 0 && printed == HOSTS * LINES && complained == HOSTS / 2)
}

/// Something else that this thread does.
async fn beat() {
    let mut interval = tokio::time::interval(Duration::from_millis(100));
    loop {
        let due = interval.tick().await;
        println!("heartbeat, {:.1?} late", due.elapsed());
    }
}

/// A fleet that a task drives.
struct Driver {
    fleet: Fleet,
    descriptor: AsyncFd<OwnedFd>,
}

impl Driver {
    /// To be called within a runtime.
    fn new(fleet: Fleet) -> io::Result<Self> {
        // A second name of the same poll, so that the fleet itself stays free to be used.
        let descriptor = fleet.as_fd().try_clone_to_owned()?;
        #[allow(
            deprecated,
            reason = "what tokio 1.54 has instead is `unsafe`, for types that may close it early"
        )]
        let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
        Ok(Self { fleet, descriptor })
    }

    /// Waits until there is something to do, and does a turn of it. Other tasks run while it waits.
    /// May be dropped while it does: nothing is lost.
    async fn turn(&mut self) -> io::Result<()> {
        let ready = match self.fleet.next_deadline() {
            Some(at) => timeout_at(at.into(), self.descriptor.readable()).await.ok().transpose()?,
            None => Some(self.descriptor.readable().await?),
        };
        if let Some(mut ready) = ready {
            // Before the turn: what is left after it makes the descriptor readable once more.
            ready.clear_ready();
        }
        self.fleet.turn(Instant::now(), Budget::default())?;
        Ok(())
    }
}

/// A fleet of simulated hosts, which all have one key. Real ones are looked up in the known_hosts
/// files.
fn fleet(sim: &hostsim::Sim) -> Result<Fleet, Box<dyn Error>> {
    let key = HostKey::from_openssh(&sim.host_key_openssh()?)?;
    let fleet = Fleet::builder(sim.hosts(HOSTS))
        .user("demo")
        .key_bytes(sim.user_key_openssh()?)
        .identity_auth(false)
        .host_keys(HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(key.fingerprint())))
        .timeout(Duration::from_secs(30))
        .build()?;
    Ok(fleet)
}
