//! Ten thousand names, resolved by the resolver inside the reactor and by `getaddrinfo` on ten
//! threads, with the same name server in this process. The module is private to the crate, so it is
//! compiled in.
//!
//! glibc uses port 53 only, and the servers in `/etc/resolv.conf`: that part needs root, for the
//! port and for a separate mount namespace, and is skipped otherwise.

#![allow(
    dead_code,
    unused_imports,
    clippy::duplicate_mod,
    reason = "with the unit tests, for cargo sets cfg(test) on benches too"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails at once")]

#[path = "../src"]
mod src {
    pub mod address;
    pub mod dns;
    pub mod host;
    pub mod limits;
    pub mod reactor;
    pub mod text;
}
#[path = "../src/dns/tests/zone.rs"]
mod zone;

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use rustix::time::{ClockId, clock_gettime};

// With the names that the modules have for each other in the library.
use src::{address, dns, host, limits, reactor, text};

use dns::{Dns, DnsConfig, Recall, Resolver, Ties, Wanted};
use host::AddressFamily;
use reactor::{Key, Reactor};
use zone::Zone;

const NAMES: usize = 10_000;
/// Threads that call `getaddrinfo`.
const THREADS: usize = 10;
/// Set in the process that only calls `getaddrinfo`: the number of the first name.
const BLOCKING: &str = "SSHOAL_BENCH_GETADDRINFO";

fn host(number: usize) -> String {
    format!("both-{number}.example.")
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Fleet {
    reactor: Reactor,
    dns: Dns,
    /// The CPU time of each turn.
    turns: Vec<Duration>,
}

impl Fleet {
    fn new(server: SocketAddr) -> Self {
        let reactor = Reactor::new().unwrap();
        let registry = Arc::new(reactor.registry().try_clone().unwrap());
        let ties = Ties {
            registry,
            waker: reactor.waker().clone(),
            token: |index, generation| Key { kind: 0, index, generation }.token(),
        };
        let config = DnsConfig::parse_resolv_conf("").servers([server]);
        let dns = Dns::new(Resolver::Native(config), NAMES, ties, Instant::now());
        Self { reactor, dns, turns: Vec::new() }
    }

    fn look_up(&mut self, hosts: &[Arc<str>]) {
        for (owner, host) in hosts.iter().enumerate() {
            let (family, recall) = (AddressFamily::Any, Recall::All);
            self.dns.start(Wanted { host, port: 22, family, recall, owner });
        }
        let mut found = 0;
        while found < hosts.len() {
            let next = self.dns.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = if self.dns.has_work() { Some(Duration::ZERO) } else { next };
            let Self { reactor, dns, turns } = self;
            let before = cpu();
            reactor.poll(timeout, |key| dns.ready(key.index, key.generation)).unwrap();
            dns.advance(Instant::now());
            while let Some(finished) = dns.next_finished() {
                assert!(finished.result.is_ok_and(|addresses| !addresses.is_empty()));
                found += 1;
            }
            turns.push(cpu() - before);
        }
    }

    fn report(&mut self, what: &str) {
        self.turns.sort_unstable();
        let total: Duration = self.turns.iter().sum();
        let at = |share: usize| self.turns[(self.turns.len() - 1) * share / 100];
        println!(
            "{what}: {} turns, {:?} of CPU per name; CPU of a turn: median {:?}, p99 {:?}, longest {:?}",
            self.turns.len(),
            total / NAMES as u32,
            at(50),
            at(99),
            at(100)
        );
    }
}

fn benchmark(criterion: &mut Criterion) {
    let zone = Zone::start();
    let hosts: Vec<Arc<str>> = (0..NAMES).map(|number| host(number).into()).collect();
    let mut fleet = Fleet::new(zone.address());
    fleet.look_up(&hosts);
    fleet.report("cold");
    fleet.turns.clear();
    fleet.look_up(&hosts);
    fleet.report("cached");
    let mut group = criterion.benchmark_group("dns_10k");
    group.sample_size(10);
    group.bench_function("cold", |bencher| {
        bencher.iter_with_setup(|| Fleet::new(zone.address()), |mut fleet| fleet.look_up(&hosts));
    });
    group.bench_function("cached", |bencher| bencher.iter(|| fleet.look_up(&hosts)));
    let mut octet = 0;
    let privileged = std::iter::repeat_with(|| {
        octet += 1;
        Zone::start_at(([127, 53, 53, octet], 53).into())
    });
    match privileged.take(9).find_map(Result::ok) {
        Some(zone) => {
            group.bench_function("getaddrinfo, 10 threads", |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| blocking(&zone)).sum());
            });
        }
        None => println!("getaddrinfo: left out, port 53 needs root"),
    }
    group.finish();
}

/// Resolves all names in another process, where `/etc/resolv.conf` contains this server; returns
/// how long that took.
fn blocking(zone: &Zone) -> Duration {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "nameserver {}", zone.address().ip()).unwrap();
    let script = r#"mount --bind "$1" /etc/resolv.conf && exec "$2""#;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(file.path())
        .arg(std::env::current_exe().unwrap());
    let output = command.env(BLOCKING, "1").output().unwrap();
    let nanoseconds = String::from_utf8_lossy(&output.stdout).trim().parse();
    Duration::from_nanos(nanoseconds.unwrap_or_else(|e| panic!("{e}: {output:?}")))
}

fn call_getaddrinfo() {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= NAMES {
                        return;
                    }
                    assert!((host(number), 22).to_socket_addrs().unwrap().next().is_some());
                }
            });
        }
    });
    println!("{}", begun.elapsed().as_nanos());
}

criterion_group!(benches, benchmark);

fn main() {
    if std::env::var_os(BLOCKING).is_some() {
        return call_getaddrinfo();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
