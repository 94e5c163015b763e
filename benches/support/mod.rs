//! Shared code of the benchmarks that run whole fleets: simulated hosts on separate CPUs, and
//! clocks.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use hostsim::{HostKeyKind, Keys, Sim, SimBuilder};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use sshoal::config::{ClientBuilder, FleetBuilder};
use sshoal::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};

/// The login user.
pub const USER: &str = "demo";

/// The seed of the keys of all simulated hosts.
const SEED: [u8; 32] = [42; 32];

/// Starts a process of simulated hosts, not on the CPU of [`pinned`] if `pin` is set. All have the
/// same keys.
pub fn simulator(program: Command, pin: bool, describe: impl FnOnce(SimBuilder) -> SimBuilder) -> Sim {
    let sim = describe(Sim::builder().seed(SEED)).spawn(program).unwrap();
    confine(sim.pid(), pin);
    sim
}

/// Keeps a process off the CPU of [`pinned`], if `pin` is set.
pub fn confine(pid: u32, pin: bool) {
    let mut others = sched_getaffinity(None).unwrap();
    if let Some(own) = own_cpu().filter(|_| pin && others.count() > 1) {
        others.unset(own);
        sched_setaffinity(Pid::from_raw(i32::try_from(pid).unwrap()), &others).unwrap();
    }
}

pub fn keys() -> Keys {
    Keys::from_seed(SEED)
}

/// Runs `measure` on a CPU that the simulators do not use.
pub fn pinned<T>(pin: bool, measure: impl FnOnce() -> T) -> T {
    let all = sched_getaffinity(None).unwrap();
    if let Some(own) = own_cpu().filter(|_| pin) {
        let mut only = CpuSet::new();
        only.set(own);
        sched_setaffinity(None, &only).unwrap();
    }
    let measured = measure();
    sched_setaffinity(None, &all).unwrap();
    measured
}

fn own_cpu() -> Option<usize> {
    let all = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu))
}

/// A fleet or a client of simulated hosts that trusts their one host key.
pub fn trusting<B: Trusting>(builder: B) -> B {
    builder.trusting()
}

pub trait Trusting {
    fn trusting(self) -> Self;
}

macro_rules! trusting {
    ($($builder:ty)+) => {$(
        impl Trusting for $builder {
            fn trusting(self) -> Self {
                let key = keys().host_public(HostKeyKind::Ed25519).unwrap();
                let key = HostKey::from_openssh(&key).unwrap();
                self.user(USER)
                    .key_bytes(keys().user_openssh().unwrap())
                    .identity_auth(false)
                    .allow_agent(false)
                    .host_keys(HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(key.fingerprint())))
                    .known_hosts(Vec::<PathBuf>::new())
                    .max_attempts(1)
                    .timeout(Duration::from_secs(120))
            }
        }
    )+};
}

trusting!(ClientBuilder FleetBuilder);

/// Each host takes a descriptor, and distributions allow 1,024 per process.
pub fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// The time by this clock.
pub fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The smallest of these sorted times that is at least as large as this share of them (the nearest
/// rank). Zero if there are none.
pub fn rank(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// A figure of this process's memory in KiB, by its name in `proc(5)`.
pub fn status_kib(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A number with commas between thousands.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}
