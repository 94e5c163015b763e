//! The counts stay correct, whatever callers request and whatever hosts do.

use nix::errno::Errno;

use super::bench::{Bench, builder, endless, host, peer};
use crate::Proxy;
use crate::config::HostConfig;
use crate::ids::HostId;
use crate::link::LinkErrorKind;
use crate::session::Jitter;
use crate::session::tests::script::{Answer, Dial, Peer, Script, lost};

const SEEDS: u64 = 150;
const HOSTS: usize = 12;

struct Random(Jitter);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next() % bound as u64) as usize
    }
}

fn script(index: usize, seed: u64) -> Script {
    let mut random = Random(Jitter::new(seed << 32 | index as u64));
    let error = |kind| Answer::error(1, kind);
    let peers = (0..3).map(|_| match random.below(9) {
        0 => Peer { handshake: error(LinkErrorKind::Lost), ..peer(0) },
        1 => Peer { handshake: error(LinkErrorKind::Dropped), ..peer(0) },
        2 => Peer { service: error(LinkErrorKind::Lost), ..peer(0) },
        3 => Peer { replies: vec![], ..peer(0) },
        4 => endless(),
        _ => peer(10),
    });
    let peers = peers.collect();
    let dials = (0..3).map(|_| match random.below(8) {
        0 => Dial::Fails(1, Errno::ECONNREFUSED),
        1 => Dial::FailsAtOnce(Errno::EMFILE),
        2 => Dial::FailsAtOnce(Errno::ENETUNREACH),
        _ => Dial::Connects(1),
    });
    let mut dials: Vec<Dial> = dials.collect();
    dials.push(Dial::Connects(2));
    let mut script = Script::peers(peers);
    for number in 0..HOSTS + 8 {
        script = script.dialling(format!("{}:22", host(number)).parse().unwrap(), &dials);
    }
    script
}

fn simulate(seed: u64) {
    let mut random = Random(Jitter::new(seed));
    let mut builder = builder(HOSTS).max_connecting(1 + random.below(5)).num_retries(2);
    if random.below(2) == 0 {
        builder = builder.max_running(1 + random.below(6));
    }
    if random.below(2) == 0 {
        builder = builder.connects_per_second(1 + random.below(500) as u32);
    }
    if random.below(4) == 0 {
        builder = builder.proxy(Proxy::new("10.9.9.9").user("deploy").password("a secret"));
    }
    let mut bench = Bench::new(builder, move |index| script(index, seed));
    let mut commands = Vec::new();
    for _ in 0..150 {
        let hosts = bench.fleet.hosts().len();
        match random.below(30) {
            0..4 if hosts > 0 => {
                let (first, step) = (random.below(hosts), 1 + random.below(4));
                commands.extend(bench.start((first..hosts).step_by(step)));
            }
            4 if !commands.is_empty() => bench.fleet.cancel(commands[random.below(commands.len())]),
            5 if !commands.is_empty() => bench.fleet.release(commands[random.below(commands.len())]),
            6 if hosts > 0 => {
                let some: Vec<HostId> = bench.fleet.hosts().iter().step_by(3).copied().collect();
                bench.fleet.connect(some);
            }
            7 => bench.fleet.disconnect(),
            8 if hosts > 4 => _ = bench.fleet.remove_host(bench.fleet.hosts()[random.below(hosts)]),
            9 if hosts < HOSTS + 8 => {
                let new = (host(hosts), HostConfig::default());
                bench.fleet.add_hosts([new]).unwrap();
            }
            10 => {
                let list = (0..HOSTS - random.below(4)).map(|number| (host(number), HostConfig::default()));
                bench.fleet.set_hosts(list.collect::<Vec<_>>()).unwrap();
            }
            11 => bench.fleet.set_max_running(Some(1 + random.below(6))).unwrap(),
            12 => bench.fleet.set_max_running(None).unwrap(),
            13 => bench.fleet.set_connects_per_second(Some(1 + random.below(900) as u32)).unwrap(),
            14 => bench.fleet.set_connects_per_second(None).unwrap(),
            15 => bench.fleet.set_max_connecting(1 + random.below(5)).unwrap(),
            16 if hosts > 0 => {
                let index = bench.fleet.hosts()[random.below(hosts)].index();
                bench.link(index).fail_next(lost());
            }
            17 => bench.fleet.cancel_all(),
            _ => {}
        }
        bench.check();
        bench.round();
    }
    bench.fleet.cancel_all();
    bench.run_until(|bench| bench.unfinished(&commands) == 0);
    bench.fleet.disconnect();
    bench.rounds(5);
    let rest: Vec<HostId> = bench.fleet.hosts().to_vec();
    rest.into_iter().for_each(|id| assert!(bench.fleet.remove_host(id)));
    bench.check();
    let metrics = bench.fleet.metrics();
    assert_eq!((metrics.connections, metrics.running, metrics.admission_queue), (0, 0, 0), "seed {seed}");
    bench.turn();
    assert_eq!(bench.fleet.metrics().timers, 0, "seed {seed}");
}

#[test]
fn counts_equal_a_full_scan_at_every_step() {
    for seed in 0..SEEDS {
        let told = std::panic::catch_unwind(|| simulate(seed));
        assert!(told.is_ok(), "failed with seed {seed}");
    }
}
