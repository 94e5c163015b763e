//! A fleet with scripted links and simulated time. After each turn, every count is compared with a
//! full scan.

use std::time::{Duration, Instant};

use crate::clock::{self, Clock};
use crate::config::{FleetBuilder, Input, entry};
use crate::fleet::registry::Links;
use crate::fleet::sums::Sums;
use crate::fleet::{CommandState, HostState, Turn};
use crate::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};
use crate::ids::{CommandId, HostId};
use crate::link::{AuthReply, Link};
use crate::reactor::Reactor;
use crate::session::tests::fake_link::FakeLink;
use crate::session::tests::script::{Channel, Cred, Packet, Peer, Script, host_key};
use crate::stage::Stage;
use crate::{Budget, Command, Event, Fleet, HostError, Outcome, Run};

pub(in crate::fleet) const MILLI: Duration = Duration::from_millis(1);

/// More turns than any scenario takes.
const TURNS: usize = 50_000;

/// A host that accepts every login, and whose commands take this many rounds.
pub(in crate::fleet) fn peer(rounds: u32) -> Peer {
    let mut channel = Channel::default();
    channel.output.iter_mut().for_each(|(at, _)| *at += rounds);
    running(channel)
}

/// A host whose commands run until they are cancelled.
pub(in crate::fleet) fn endless() -> Peer {
    running(Channel::sending(vec![]))
}

/// A host that accepts every login, and whose commands get this channel.
pub(in crate::fleet) fn running(channel: Channel) -> Peer {
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

pub(in crate::fleet) struct Bench {
    pub fleet: Fleet,
    pub clock: Clock,
    pub now: Instant,
    /// Which hosts began to connect, and when, counted from the creation of the fleet.
    pub begun: Vec<(HostId, Duration)>,
    /// Why connections and commands failed, in order.
    pub lost: Vec<HostError>,
    pub failed: Vec<HostError>,
    /// The reports of all turns.
    pub turns: Vec<Turn>,
    origin: Instant,
    commands: usize,
}

pub(in crate::fleet) fn host(number: usize) -> String {
    format!("10.0.{}.{}", number / 250, number % 250 + 1)
}

/// The settings of a fleet with this many hosts.
pub(in crate::fleet) fn builder(hosts: usize) -> FleetBuilder {
    let trusted = HostKey::from_blob(host_key(0)).unwrap().fingerprint();
    FleetBuilder::new((0..hosts).map(|number| entry(host(number))).collect())
        .user("deploy")
        .password("a secret")
        .identity_auth(false)
        .allow_agent(false)
        .no_known_hosts()
        .host_keys(HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(trusted)))
}

impl Bench {
    /// Gives the link of each slot the script for its index.
    pub(in crate::fleet) fn new(
        builder: FleetBuilder,
        script: impl Fn(usize) -> Script + Send + 'static,
    ) -> Self {
        Self::with(Clock::invented(clock::now()), builder, script)
    }

    pub(in crate::fleet) fn with(
        clock: Clock,
        builder: FleetBuilder,
        script: impl Fn(usize) -> Script + Send + 'static,
    ) -> Self {
        let setup = builder.setup().unwrap();
        let links = Box::new(Scripts(Box::new(script)));
        let fleet = Fleet::with(setup, Reactor::new().unwrap(), links, clock.clone()).unwrap();
        let now = clock.now();
        let bench = Self {
            fleet,
            clock,
            now,
            begun: vec![],
            lost: vec![],
            failed: vec![],
            turns: vec![],
            origin: now,
            commands: 0,
        };
        bench.check();
        bench
    }

    /// Makes all hosts behave the same.
    pub(in crate::fleet) fn alike(builder: FleetBuilder, peer: Peer) -> Self {
        Self::new(builder, move |_| Script::peer(peer.clone()))
    }

    /// Starts a new command on the hosts with these numbers.
    pub(in crate::fleet) fn start(&mut self, hosts: impl IntoIterator<Item = usize>) -> Vec<CommandId> {
        self.commands += 1;
        let all = self.fleet.hosts();
        let hosts: Vec<HostId> = hosts.into_iter().map(|number| all[number]).collect();
        let command = Command::new(format!("command {}", self.commands)).stdin(Input::Open);
        self.begin(Run::new(command).hosts(hosts))
    }

    /// Starts any run.
    pub(in crate::fleet) fn begin(&mut self, run: impl Into<Run>) -> Vec<CommandId> {
        let started = self.fleet.start(run).unwrap().commands;
        self.check();
        started
    }

    pub(in crate::fleet) fn state(&self, number: usize) -> HostState {
        self.fleet.host(self.fleet.hosts()[number]).unwrap().state()
    }

    pub(in crate::fleet) fn running(&self) -> usize {
        self.fleet.metrics().running
    }

    /// How many of these commands were sent to their hosts and have not ended.
    pub(in crate::fleet) fn at_work(&self, commands: &[CommandId]) -> usize {
        let is_at_work = |id: &&CommandId| {
            self.fleet
                .command(**id)
                .is_some_and(|command| command.state() >= CommandState::Sent && !command.is_finished())
        };
        commands.iter().filter(is_at_work).count()
    }

    /// How many of these commands have not ended.
    pub(in crate::fleet) fn unfinished(&self, commands: &[CommandId]) -> usize {
        let has_ended = |id: &CommandId| self.fleet.command(*id).is_none_or(|command| command.is_finished());
        commands.iter().filter(|id| !has_ended(id)).count()
    }

    pub(in crate::fleet) fn link(&mut self, index: usize) -> &mut FakeLink {
        self.fleet.engine.hosts.slots[index].link.as_any().downcast_mut().unwrap()
    }

    /// Takes one turn at the current time.
    pub(in crate::fleet) fn turn(&mut self) {
        let indices: Vec<usize> = self.fleet.engine.hosts.slots.iter().map(|(index, _)| index).collect();
        for index in indices {
            let link = self.link(index);
            link.begin_step();
            if link.take_edge() {
                self.fleet.engine.event_loop.ready.push(index);
            }
        }
        self.clock.set(self.now);
        let turn = self.fleet.turn(self.now, Budget::default()).unwrap();
        self.now = self.clock.now();
        self.turns.push(turn);
        while let Some(event) = self.fleet.next_event() {
            match event {
                Event::Entered { host, stage: Stage::Resolving } => {
                    self.begun.push((host, self.now - self.origin));
                }
                Event::Disconnected { error: Some(error), .. } => self.lost.push(error),
                Event::Finished { outcome: Outcome::Failed(error), .. } => self.failed.push(error),
                _ => {}
            }
        }
        self.check();
    }

    /// Advances time by a millisecond, delivers what is in flight, and takes a turn.
    pub(in crate::fleet) fn round(&mut self) {
        self.now += MILLI;
        let indices: Vec<usize> = self.fleet.engine.hosts.slots.iter().map(|(index, _)| index).collect();
        indices.into_iter().for_each(|index| self.link(index).tick());
        self.turn();
    }

    pub(in crate::fleet) fn rounds(&mut self, rounds: usize) {
        (0..rounds).for_each(|_| self.round());
    }

    /// Advances time until `done`. If nothing is in flight, time advances to the next deadline.
    #[track_caller]
    pub(in crate::fleet) fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..TURNS {
            if done(self) {
                return;
            }
            let indices: Vec<usize> = self.fleet.engine.hosts.slots.iter().map(|(index, _)| index).collect();
            let is_quiet = indices.into_iter().all(|index| !self.link(index).expects_news());
            // The threads for files take no invented time.
            let has_answers = self.fleet.engine.transfers.await_answers();
            if is_quiet && !has_answers && !self.fleet.engine.is_due() {
                let at = self.fleet.next_deadline().expect("the fleet has nothing to wait for");
                self.now = self.now.max(at);
                self.turn();
            } else {
                self.round();
            }
        }
        panic!("not done after {TURNS} turns: {}", self.fleet.metrics());
    }

    #[track_caller]
    pub(in crate::fleet) fn finish(&mut self, commands: &[CommandId]) {
        self.run_until(|bench| bench.unfinished(commands) == 0);
    }

    /// Compares the incremental counts with a full scan.
    pub(in crate::fleet) fn check(&self) {
        let Self { fleet, .. } = self;
        let (metrics, engine) = (fleet.metrics(), &fleet.engine);
        let (mut sums, mut running, mut names, mut timers) = (Sums::default(), 0, 0, 0);
        for (index, slot) in &engine.hosts.slots {
            assert_eq!(slot.booked, slot.usage(&engine.execs), "slot {index}");
            sums.add(slot);
            running += slot.view().running;
            names += usize::from(slot.has_name());
            timers += usize::from(slot.timer.is_some());
        }
        timers += usize::from(engine.schedule.rate_timer.is_some());
        timers += usize::from(engine.schedule.trial_timer.is_some());
        timers += usize::from(engine.transfers.rate.timer.is_some());
        assert_eq!(engine.hosts.sums, sums);
        assert_eq!((metrics.timers, metrics.running, engine.hosts.names), (timers, running, names));
        for (state, hosts) in metrics.by_state() {
            let found = fleet.hosts().iter().filter(|id| fleet.host(**id).unwrap().state() == state).count();
            assert_eq!(hosts, found, "{state}");
        }
    }
}
