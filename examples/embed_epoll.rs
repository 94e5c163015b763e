//! A fleet inside an epoll loop, next to a timer of the program's own.
//!
//! It starts a simulated fleet of SSH hosts and runs a command on 200 of them. Meanwhile a timer
//! ticks every 10 ms on the same thread, and every tenth tick prints how far the hosts are:
//!
//! ```text
//! cargo run --release --example embed_epoll
//! ```

use std::error::Error;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use sshoal::fleet::HostState;
use sshoal::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};
use sshoal::{Budget, Event, Fleet};

const HOSTS: usize = 200;
const TICK: Duration = Duration::from_millis(10);

const FLEET: u64 = 0;
const TIMER: u64 = 1;

fn main() -> ExitCode {
    // The simulated fleet is this program once more, as a process of its own.
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("embed_epoll: {error}");
            ExitCode::from(2)
        }
    }
}

/// Returns the number of hosts that failed.
fn run() -> Result<usize, Box<dyn Error>> {
    let sim = hostsim::Sim::builder().spawn(Command::new(std::env::current_exe()?))?;
    let mut fleet = fleet(&sim)?;
    let timer = ticking()?;

    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    // Level-triggered, as here, or edge-triggered: the fleet serves both.
    epoll::add(&epoll, &fleet, EventData::new_u64(FLEET), EventFlags::IN)?;
    epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;

    fleet.start("sleep 0.5; hostname")?;
    let mut events = Vec::with_capacity(16);
    let mut ticks = 0;
    let tally = 'run: loop {
        // Besides news there are deadlines: the timeouts of all hosts, of which this is the next.
        let timeout = fleet.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = timeout.map(Timespec::try_from).transpose()?;
        match epoll::wait(&epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }

        // What is this program's own comes first: it never waits for more than one turn.
        for event in events.drain(..) {
            if event.data.u64() == TIMER {
                let before = ticks;
                ticks += expired(&timer)?;
                if before / 10 != ticks / 10 {
                    println!("{} ms: {}", u128::from(ticks) * TICK.as_millis(), progress(&fleet));
                }
            }
        }

        fleet.turn(Instant::now(), Budget::default())?;
        while let Some(event) = fleet.next_event() {
            match event {
                Event::Disconnected { error: Some(error), .. } => eprintln!("{error}"),
                Event::RunDone { tally, .. } => break 'run tally,
                // Output is dropped here. `embed_tokio` prints lines of it.
                _ => {}
            }
        }
    };
    println!("{ticks} ticks meanwhile; {HOSTS} hosts: {} ok, {} failed", tally.succeeded, tally.failed);
    Ok(tally.failed)
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

fn progress(fleet: &Fleet) -> String {
    let metrics = fleet.metrics();
    let waiting = metrics.hosts(HostState::Queued);
    let connected = metrics.hosts(HostState::Connected);
    format!("{waiting} hosts wait, {} connect, {connected} are connected", HOSTS - waiting - connected)
}

/// A timer that expires every [`TICK`].
fn ticking() -> Result<OwnedFd, Box<dyn Error>> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let tick = Timespec::try_from(TICK)?;
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: tick, it_value: tick })?;
    Ok(timer)
}

/// How often it has expired since the last call.
fn expired(timer: &OwnedFd) -> Result<u64, Errno> {
    let mut count = [0; 8];
    match rustix::io::read(timer, &mut count) {
        Ok(_) => Ok(u64::from_ne_bytes(count)),
        Err(Errno::AGAIN) => Ok(0),
        Err(error) => Err(error),
    }
}
