//! A fleet of scripted links and invented time, of which every count is compared with a scan after each turn.

use std::any::Any;
use std::time::{Duration, Instant};

use crate::clock::{self, Clock};
use crate::config::{FleetBuilder, entry};
use crate::engine::slot::Booked;
use crate::engine::{Budget, Event, Fleet, HostState, Links, Run, Turn};
use crate::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};
use crate::ids::{CommandId, HostId};
use crate::link::{AuthReply, Link};
use crate::reactor::Reactor;
use crate::session::tests::fake_link::FakeLink;
use crate::session::tests::script::{Channel, Cred, Packet, Peer, Script, host_key};
use crate::stage::Stage;

pub(super) const MILLI: Duration = Duration::from_millis(1);

/// More turns than any scenario takes.
const TURNS: usize = 50_000;

/// A host that lets everybody in, and whose commands take so many rounds.
pub(super) fn peer(rounds: u32) -> Peer {
    let mut channel = Channel::default();
    channel.output.iter_mut().for_each(|(at, _)| *at += rounds);
    running(channel)
}

/// A host whose commands never end by themselves.
pub(super) fn endless() -> Peer {
    running(Channel::sending(vec![]))
}

fn running(channel: Channel) -> Peer {
    let channel = Channel { on_signal: vec![(1, Packet::Close)], ..channel };
    let replies = [Cred::Password, Cred::Interactive].map(|credential| (credential, Ok(AuthReply::Accepted)));
    Peer { replies: replies.into(), channels: vec![channel], ..Peer::default() }
}

struct Scripts(Box<dyn Fn(usize) -> Script + Send>);

impl Links for Scripts {
    fn link(&self, index: usize) -> Box<dyn Link> {
        Box::new(FakeLink::new((self.0)(index)))
    }

    fn returned(&self) -> Vec<usize> {
        Vec::new()
    }
}

pub(super) struct Bench {
    pub fleet: Fleet,
    pub clock: Clock,
    pub now: Instant,
    /// Which host began to connect, and when since the fleet was made.
    pub begun: Vec<(HostId, Duration)>,
    /// Reports of the turns.
    pub turns: Vec<Turn>,
    origin: Instant,
    commands: usize,
}

pub(super) fn host(number: usize) -> String {
    format!("10.0.{}.{}", number / 250, number % 250 + 1)
}

/// Settings of a fleet with so many hosts.
pub(super) fn builder(hosts: usize) -> FleetBuilder {
    let trusted = HostKey::from_blob(host_key(0)).unwrap().fingerprint();
    FleetBuilder::new((0..hosts).map(|number| entry(host(number))).collect())
        .user("deploy")
        .password("a secret")
        .identity_auth(false)
        .allow_agent(false)
        .known_hosts([""; 0])
        .host_keys(HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(trusted)))
}

impl Bench {
    /// Each slot of the fleet gets a link with a script of its own.
    pub(super) fn new(builder: FleetBuilder, script: impl Fn(usize) -> Script + Send + 'static) -> Self {
        Self::with(Clock::invented(clock::now()), builder, script)
    }

    pub(super) fn with(
        clock: Clock,
        builder: FleetBuilder,
        script: impl Fn(usize) -> Script + Send + 'static,
    ) -> Self {
        let setup = builder.setup().unwrap();
        let links = Box::new(Scripts(Box::new(script)));
        let fleet = Fleet::with(setup, Reactor::new().unwrap(), links, clock.clone()).unwrap();
        let now = clock.now();
        let bench = Self { fleet, clock, now, begun: vec![], turns: vec![], origin: now, commands: 0 };
        bench.check();
        bench
    }

    /// All hosts alike.
    pub(super) fn alike(builder: FleetBuilder, peer: Peer) -> Self {
        Self::new(builder, move |_| Script::peer(peer.clone()))
    }

    /// Starts a command of its own name on hosts by their numbers.
    pub(super) fn start(&mut self, hosts: impl IntoIterator<Item = usize>) -> Vec<CommandId> {
        self.commands += 1;
        let all = self.fleet.hosts();
        let hosts: Vec<HostId> = hosts.into_iter().map(|number| all[number]).collect();
        let run = Run::new(format!("command {}", self.commands)).hosts(hosts);
        let started = self.fleet.start(run).unwrap().commands;
        self.check();
        started
    }

    pub(super) fn state(&self, number: usize) -> HostState {
        self.fleet.host(self.fleet.hosts()[number]).unwrap().state()
    }

    pub(super) fn running(&self) -> usize {
        self.fleet.metrics().running
    }

    /// Commands that the hosts were asked to run, and that have not ended.
    pub(super) fn at_work(&self, commands: &[CommandId]) -> usize {
        let is_at_work = |id: &&CommandId| {
            self.fleet.command(**id).is_some_and(|command| command.is_started() && !command.is_finished())
        };
        commands.iter().filter(is_at_work).count()
    }

    /// How many of these have not ended.
    pub(super) fn unfinished(&self, commands: &[CommandId]) -> usize {
        let has_ended = |id: &CommandId| self.fleet.command(*id).is_none_or(|command| command.is_finished());
        commands.iter().filter(|id| !has_ended(id)).count()
    }

    pub(super) fn link(&mut self, index: usize) -> &mut FakeLink {
        let link: &mut dyn Any = &mut *self.fleet.slots[index].link;
        link.downcast_mut().unwrap()
    }

    /// One turn at the present time.
    pub(super) fn turn(&mut self) {
        let indices: Vec<usize> = self.fleet.slots.iter().map(|(index, _)| index).collect();
        for index in indices {
            let link = self.link(index);
            link.begin_step();
            if link.take_edge() {
                self.fleet.ready.push(index);
            }
        }
        self.clock.set(self.now);
        let turn = self.fleet.turn(self.now, Budget::default()).unwrap();
        self.now = self.clock.now();
        self.turns.push(turn);
        while let Some(event) = self.fleet.next_event() {
            if let Event::Entered { host, stage: Stage::Resolving } = event {
                self.begun.push((host, self.now - self.origin));
            }
        }
        self.check();
    }

    /// A millisecond passes, with what is on its way.
    pub(super) fn round(&mut self) {
        self.now += MILLI;
        let indices: Vec<usize> = self.fleet.slots.iter().map(|(index, _)| index).collect();
        indices.into_iter().for_each(|index| self.link(index).tick());
        self.turn();
    }

    pub(super) fn rounds(&mut self, rounds: usize) {
        (0..rounds).for_each(|_| self.round());
    }

    /// Time passes until `done`; where nothing is on its way, to the next deadline.
    #[track_caller]
    pub(super) fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..TURNS {
            if done(self) {
                return;
            }
            let indices: Vec<usize> = self.fleet.slots.iter().map(|(index, _)| index).collect();
            let is_quiet = indices.into_iter().all(|index| !self.link(index).expects_news());
            if is_quiet && !self.fleet.alarmed {
                let at = self.fleet.next_deadline().expect("something is left to wait for");
                self.now = self.now.max(at);
                self.turn();
            } else {
                self.round();
            }
        }
        panic!("no end: {}", self.fleet.metrics());
    }

    #[track_caller]
    pub(super) fn finish(&mut self, commands: &[CommandId]) {
        self.run_until(|bench| bench.unfinished(commands) == 0);
    }

    /// Compares what is counted as it happens with a scan of all there is.
    pub(super) fn check(&self) {
        let Self { fleet, .. } = self;
        let metrics = fleet.metrics();
        let mut sum = Booked::default();
        let (mut places, mut connections, mut queued, mut names, mut timers) = (0, 0, 0, 0, 0);
        for (index, slot) in &fleet.slots {
            let now = Booked::of(slot, &fleet.execs);
            assert_eq!(slot.booked, now, "slot {index}");
            sum.running += now.running;
            sum.descriptors += now.descriptors;
            places += usize::from(now.place);
            connections += usize::from(now.connection);
            queued += usize::from(now.line.is_some() && !slot.session.is_proxy());
            names += usize::from(slot.has_name());
            timers += usize::from(slot.timer.is_some());
        }
        timers += usize::from(fleet.pace_timer.is_some());
        let admission = &fleet.admission;
        assert_eq!((admission.places_used, admission.descriptors), (places, sum.descriptors));
        assert_eq!(
            (metrics.connections, metrics.admission_queue, metrics.running),
            (connections, queued, sum.running)
        );
        assert_eq!((metrics.timers, fleet.names), (timers, names));
        for (state, hosts) in metrics.by_state() {
            let found = fleet.hosts().iter().filter(|id| fleet.host(**id).unwrap().state() == state).count();
            assert_eq!(hosts, found, "{state}");
        }
    }
}
