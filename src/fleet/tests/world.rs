//! A simulated world: a fleet, the peers of its hosts, and the clock, all from one seed.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::links::{ADDRESSES, FakeLinks};
use super::told::{Connection, Told};
use crate::clock::Clock;
use crate::config::FleetBuilder;
use crate::fleet::Turn;
use crate::link::Link;
use crate::reactor::Reactor;
use crate::session::tests::fake_link::FakeLink;
use crate::session::tests::random::Random;
use crate::session::tests::script::trusts_scripts;
use crate::session::{Jitter, RetryPolicy};
use crate::{Budget, Fleet, HostConfig, Proxy};

const HOSTS: u64 = 100;

/// More turns than are ever needed at one point in time.
const TURNS_AT_ONCE: usize = 1_000;

/// What is broken on purpose, to check that the simulation detects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    Nothing,
    /// The poll does not report one edge.
    LosesAnEdge,
    /// A link delivers bytes twice.
    RepeatsOutput,
    /// An event does not reach the caller.
    LosesAnEnd,
    /// The caller gets an event twice.
    RepeatsAnEnd,
}

pub(super) struct World {
    pub fleet: Fleet,
    clock: Clock,
    began: Instant,
    pub now: Instant,
    /// The duration of a round.
    round: Duration,
    pub random: Random,
    pub told: Told,
    /// How many commands were started so far.
    pub given: usize,
    /// The limits as they were last set.
    pub max_connecting: usize,
    pub max_running: Option<usize>,
    /// The places in use and the running commands, as last counted.
    pub places: usize,
    pub running: usize,
    /// For how many more rounds the caller takes no events.
    pub deaf: u64,
    pub sabotage: Sabotage,
    traced: bool,
    /// Whether the caller waits by the fleet, and never asks for its descriptor.
    waits: bool,
    /// The percentage of turns after which all counts are checked.
    looks: u64,
}

impl World {
    pub(super) fn new(seed: u64, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let good = random.pick(&[100, 90, 90, 50, 0]);
        let round = Duration::from_millis(random.pick(&[1, 1, 7, 400]));
        let max_connecting = random.pick(&[1, 7, 30, 100, 100]);
        let policy = RetryPolicy::default()
            .attempts(1 + random.below(3) as u32)
            .delay(Duration::from_millis(random.pick(&[0, 3, 5_000])))
            .time_limit(random.pick(&[None, None, Some(round * 40), Some(round * 2_000)]));
        let mut builder = FleetBuilder::new(Vec::new())
            .user("deploy")
            .password("hunter2")
            .allow_agent(false)
            .identity_auth(false)
            .no_known_hosts()
            .retry(policy)
            .guard_passwords(random.chance(70))
            .spare_channel(Random::new(!seed).chance(40))
            .max_connecting(max_connecting);
        if random.chance(30) {
            builder = builder.retry_backoff(Duration::from_millis(random.pick(&[1, 20_000])));
        }
        let is_watched = random.chance(20);
        if is_watched {
            builder = builder.keepalive(Duration::from_secs(random.pick(&[1, 15])));
        }
        if is_watched || random.chance(70) {
            let rounds = random.pick(if is_watched { &[30, 100] } else { &[300, 10_000] });
            builder = builder.timeout(round * rounds);
        }
        let setup = builder.host_keys(trusts_scripts()).setup().unwrap();
        let now = Instant::now();
        let clock = Clock::invented(now);
        let told = Told::default();
        let links = Box::new(FakeLinks::new(Random::new(random.next()), good, told.sent.clone()));
        let mut fleet = Fleet::with(setup, Reactor::new().unwrap(), links, clock.clone()).unwrap();
        fleet.engine.hosts.seeds = Jitter::new(random.next());
        let (given, deaf, sabotage) = (0, 0, Sabotage::Nothing);
        let looks = 20;
        let mut world = Self {
            fleet,
            clock,
            began: now,
            now,
            round,
            random,
            told,
            given,
            max_connecting,
            max_running: None,
            places: 0,
            running: 0,
            deaf,
            sabotage,
            traced,
            waits: Random::new(seed.rotate_left(32)).chance(50),
            looks,
        };
        world.say(|| format!("{good} % good peers, rounds of {round:?}, {max_connecting} places"));
        if world.random.chance(20) {
            world.change_limits();
        }
        let hosts: Vec<_> = (0..HOSTS).map(|_| world.host()).collect();
        world.fleet.add_hosts(hosts).unwrap();
        world.meet_hosts();
        world
    }

    /// A random host to add.
    pub(super) fn host(&mut self) -> (&'static str, HostConfig) {
        let random = &mut self.random;
        let name = ADDRESSES[random.below(4) as usize];
        let mut config = HostConfig::default();
        if random.chance(10) {
            let proxy =
                |name| Proxy::new(name).user("gate").password("x").allow_agent(false).identity_auth(false);
            config = match random.below(3) {
                0 => config.proxies([proxy("192.0.2.9:2222"), proxy("192.0.2.9")]),
                _ => config.proxy(proxy("192.0.2.9")),
            };
        }
        (name, config)
    }

    /// Registers new hosts.
    pub(super) fn meet_hosts(&mut self) {
        for id in self.fleet.hosts() {
            self.told.hosts.entry(*id).or_insert(Connection::Down);
        }
    }

    /// Prints what happens, if this simulation is traced.
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.traced {
            eprintln!("{:?} {}", self.now.saturating_duration_since(self.began), what());
        }
    }

    /// Advances time to the next round if anything is in flight, or else to the next deadline.
    /// Returns `false` if nothing more can happen by itself.
    pub(super) fn advance(&mut self) -> bool {
        let deadline = self.fleet.next_deadline().filter(|at| *at > self.now);
        let is_coming = self.links().any(|link| link.expects_news());
        let next = is_coming.then_some(self.now + self.round);
        let Some(now) = deadline.into_iter().chain(next).min() else { return false };
        self.now = now;
        self.clock.set(now);
        if next == Some(now) {
            self.links().for_each(FakeLink::tick);
        }
        true
    }

    /// Takes turns until the fleet asks for no more.
    pub(super) fn settle(&mut self) {
        for _ in 0..TURNS_AT_ONCE {
            if !self.is_called() {
                self.check();
                return;
            }
            self.turn(Budget::default().any_time().events(usize::MAX));
            self.take_events(usize::MAX);
        }
        panic!("the fleet asks for turns without end: {:?}", self.fleet);
    }

    /// Whether a caller that waits for the fleet would take a turn now.
    pub(super) fn is_called(&mut self) -> bool {
        self.links().any(|link| link.has_edge())
            || self.fleet.next_deadline().is_some_and(|at| at <= self.now)
            || self.is_due()
    }

    pub(super) fn turn(&mut self, budget: Budget) -> Turn {
        // This is what the poll would report.
        for (index, slot) in &mut self.fleet.engine.hosts.slots {
            let link = fake(&mut *slot.link);
            link.begin_turn();
            if self.sabotage == Sabotage::RepeatsOutput && self.random.chance(10) {
                link.repeat_output();
            }
            let is_lost = self.sabotage == Sabotage::LosesAnEdge && self.random.chance(10);
            if link.take_edge() && !is_lost {
                self.fleet.engine.event_loop.ready.push(index);
            }
        }
        let turn = self.fleet.turn(self.now, budget).unwrap();
        self.say(|| format!("turn with {budget:?}: {turn:?}"));
        let is_left = turn.more || !self.fleet.engine.events.is_empty();
        assert!(!is_left || self.is_due(), "work is left, but no turn is asked for");
        if self.random.chance(self.looks) {
            self.check_books();
        }
        turn
    }

    /// Takes up to this many events. Returns whether no events are left.
    pub(super) fn take_events(&mut self, at_most: usize) -> bool {
        for _ in 0..at_most {
            let Self { fleet, told, sabotage, traced, random, .. } = self;
            let Some(event) = fleet.next_event() else {
                if !fleet.engine.events.is_empty() {
                    // More than one turn's budget of output, which the next turn allows to take.
                    assert!(self.is_due(), "events wait, but no turn is asked for");
                    return false;
                }
                self.forget_hosts();
                return true;
            };
            if *traced {
                eprintln!("    {event:?}");
            }
            let is_end = matches!(event, crate::Event::Finished { .. });
            match sabotage {
                Sabotage::LosesAnEnd if is_end && random.chance(5) => continue,
                Sabotage::RepeatsAnEnd if is_end && random.chance(5) => told.hear(&event),
                _ => {}
            }
            told.hear(&event);
        }
        false
    }

    /// Marks removed hosts, which must have no further events.
    fn forget_hosts(&mut self) {
        for (id, connection) in &mut self.told.hosts {
            if self.fleet.engine.hosts.get(*id).is_none() {
                *connection = Connection::Gone;
            }
        }
    }

    /// Whether the fleet asks for a turn: by its descriptor, or when it would be waited for.
    fn is_due(&self) -> bool {
        if self.waits {
            return self.fleet.engine.is_due();
        }
        let mut polled = [PollFd::new(self.fleet.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).unwrap() > 0
    }

    pub(super) fn links(&mut self) -> impl Iterator<Item = &mut FakeLink> {
        self.fleet.engine.hosts.slots.iter_mut().map(|(_, slot)| fake(&mut *slot.link))
    }
}

pub(super) fn fake(link: &mut dyn Link) -> &mut FakeLink {
    link.as_any().downcast_mut().unwrap()
}
