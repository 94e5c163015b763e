//! Random peers, random inputs and random time, from a seed. The bench and the link check what must hold
//! after each step.
//!
//! `SESSION_SEED=n` runs that seed alone; `SESSION_SEEDS=n` sets how many are run.

use std::env;
use std::time::Duration;

use nix::errno::Errno;

use super::call::{Failing, Fault};
use super::edges::take_edges;
use super::exec_edges::take_exec_edges;
use super::gssapi::gssapi;
use super::harness::{Bench, Config, address};
use super::host_keys::{knows, other_key};
use super::interactive::prompt;
use super::prepare::setup;
use super::proxy::{error_of_proxy, refusal};
use super::script::{Answer, Channel, Cred, Dial, Packet, Peer, Script, Take, host_key, lost, private_key};
use crate::command::{RunOptions, SudoLogin, SudoMark};
use crate::error::{AuthMethod, HostError, HostErrorKind, NotStarted, ResolverProblem, Stage};
use crate::interactive::Responder;
use crate::link::{AuthReply, ChannelId, LinkError, LinkErrorKind, Questions};
use crate::output::ExitSignal;
use crate::secret::Secret;
use crate::session::exec::EXEC_EDGES;
use crate::session::state::{EDGES, Phase};
use crate::session::{Answerer, Input, Offer, Tunnelled};

const SEEDS: u64 = 12_000;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn rounds(&mut self) -> u32 {
        1 + self.below(4) as u32
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    fn error(&mut self) -> LinkError {
        let kind = self.pick(&[
            LinkErrorKind::Lost,
            LinkErrorKind::Lost,
            LinkErrorKind::Dropped,
            LinkErrorKind::Disconnected(11),
            LinkErrorKind::Disconnected(2),
            LinkErrorKind::NotSsh,
            LinkErrorKind::Integrity,
            LinkErrorKind::Protocol,
            LinkErrorKind::Limit,
            LinkErrorKind::Other,
        ]);
        LinkError::new(kind, self.pick(&["", "text", "signature"]))
    }

    fn answer(&mut self, may_deny: bool) -> Answer {
        match self.below(100) {
            0..3 => Answer::never(),
            3..6 => Answer { after: Some(self.rounds()), says: Err(self.error()) },
            6..9 if may_deny => Answer::error(self.rounds(), LinkErrorKind::Denied),
            _ => Answer::ok(self.rounds()),
        }
    }

    fn dial(&mut self) -> Dial {
        match self.below(12) {
            0 => Dial::Silent,
            1 => Dial::Fails(self.rounds(), Errno::ECONNREFUSED),
            2 => Dial::FailsAtOnce(Errno::ENETUNREACH),
            3 => Dial::FailsAtOnce(Errno::EMFILE),
            _ => Dial::Connects(self.rounds()),
        }
    }

    fn channel(&mut self) -> Channel {
        let mut output = Vec::new();
        let mut at = 0;
        for _ in 0..self.below(8) {
            at += self.below(3) as u32;
            let packet = match self.below(19) {
                0..5 => Packet::Stdout(vec![b'o'; self.below(50) as usize]),
                5..8 => Packet::Stderr(vec![b'e'; self.below(50) as usize]),
                8..10 => Packet::Eof,
                10..13 => Packet::Status(self.below(256) as u32),
                13 => Packet::Signal(ExitSignal {
                    name: "KILL".to_owned(),
                    core_dumped: self.chance(50),
                    message: String::new(),
                }),
                14 => Packet::Close,
                15 => Packet::Fault(self.error()),
                _ => self.sudo_says(),
            };
            output.push((at.max(1), packet));
        }
        if self.chance(90) {
            output.push((at + 1, Packet::Close));
        }
        let takes = (0..self.below(5)).map(|_| match self.below(20) {
            0 => Take::Denied,
            1 => Take::Unwritable,
            2..8 => Take::Nothing,
            _ => Take::AtMost(1 + self.below(20) as usize),
        });
        let takes = takes.collect();
        Channel {
            open: self.answer(true),
            requests: vec![self.answer(true), self.answer(true)],
            exec: self.answer(true),
            output,
            on_signal: if self.chance(50) { vec![(self.rounds(), Packet::Close)] } else { Vec::new() },
            takes,
            eof_after: Some(self.below(3) as u32),
            close_after: (!self.chance(5)).then(|| self.below(3) as u32),
            confirm_after: (!self.chance(10)).then(|| self.rounds()),
        }
    }

    /// A mark of `sudo`, or a piece of one, on either stream.
    fn sudo_says(&mut self) -> Packet {
        let login = SudoLogin::known();
        let mut said = login.text(self.pick(&[SudoMark::Prompt, SudoMark::Start])).into_bytes();
        if self.chance(20) {
            said.truncate(self.below(said.len() as u64) as usize);
        }
        if self.chance(50) { Packet::Stderr(said) } else { Packet::Stdout(said) }
    }

    fn peer(&mut self) -> Peer {
        let methods = [
            AuthMethod::PublicKey,
            AuthMethod::Password,
            AuthMethod::KeyboardInteractive,
            AuthMethod::Gssapi,
        ];
        let keys = [Cred::Probe(0), Cred::Probe(1), Cred::Sign(0), Cred::Sign(1)];
        let others = [Cred::None, Cred::Password, Cred::Gssapi, Cred::Interactive];
        let replies = others.into_iter().chain(keys).map(|cred| {
            let reply = match self.below(20) {
                6..12 if cred == Cred::Gssapi => Ok(AuthReply::Unable(String::new())),
                0 => Err(self.error()),
                1..3 => Ok(AuthReply::Partial),
                3..6 => Ok(AuthReply::Denied),
                _ => Ok(AuthReply::Accepted),
            };
            (cred, reply)
        });
        let replies = replies.collect();
        let offers = (0..3).map(|_| (0..self.below(3)).map(|_| self.pick(&methods)).collect());
        Peer {
            offers: offers.collect(),
            start: if self.chance(2) { Err(self.error()) } else { Ok(()) },
            handshake: if self.chance(20) { Answer::ok(0) } else { self.answer(false) },
            key: if self.chance(4) { other_key() } else { host_key(usize::from(self.chance(4))) },
            service: self.answer(false),
            replies,
            rounds: self.questions(),
            policy: None,
            auth_after: (!self.chance(3)).then(|| self.rounds()),
            channels: (0..3).map(|_| self.channel()).collect(),
            packets_per_pump: self.pick(&[1, 2, usize::MAX]),
            full_rounds: self.pick(&[0, 0, 1, 5]),
            write_through: self.chance(50),
            alive_after: Some(1),
        }
    }

    fn proxy(&mut self) -> Vec<Tunnelled> {
        let begun = Tunnelled::Begun(ChannelId(0));
        match self.below(10) {
            0 => vec![begun],
            1 => vec![begun, Tunnelled::Failed(refusal(1 + self.below(4) as u32))],
            2 => vec![Tunnelled::Failed(lost_proxy())],
            _ => vec![begun, Tunnelled::Opened],
        }
    }

    fn plan(&mut self) -> Vec<Offer> {
        let password = Offer::Password(Secret::new("hunter2".to_owned()).unwrap());
        let offers = [
            Offer::None,
            Offer::Sign(private_key(0)),
            Offer::AskThenSign(private_key(0)),
            Offer::AskThenSign(private_key(1)),
            password,
            gssapi(),
        ];
        let mut plan: Vec<Offer> = (0..1 + self.below(3)).map(|_| self.pick(&offers)).collect();
        let answerers = [
            Answerer::Password(Secret::new("hunter2".to_owned()).unwrap()),
            Answerer::Responder(Responder::new(|asked| Some(vec!["answer".into(); asked.prompts.len()]))),
            Answerer::Responder(Responder::new(|asked| (asked.round < 2).then(|| vec!["one".into()]))),
        ];
        if self.chance(30) {
            plan.push(Offer::Interactive(self.pick(&answerers)));
        }
        plan
    }

    fn questions(&mut self) -> Vec<Questions> {
        let round = |random: &mut Self| {
            let prompts = (0..random.below(3)).map(|_| prompt("?", random.chance(20)));
            Questions { name: String::new(), instruction: String::new(), prompts: prompts.collect() }
        };
        (0..self.below(3)).map(|_| round(self)).collect()
    }
}

fn bench(random: &mut Random) -> Bench {
    let mut script = Script::peers((0..3).map(|_| random.peer()).collect());
    let addresses: Vec<_> = (0..1 + random.below(3) as u8).map(address).collect();
    for address in &addresses {
        let mut dials: Vec<Dial> = (0..random.below(3)).map(|_| random.dial()).collect();
        // Descriptors come back in the end.
        dials.push(random.pick(&[Dial::Connects(1), Dial::Silent, Dial::Fails(1, Errno::ECONNREFUSED)]));
        script = script.dialling(*address, &dials);
    }
    let attempts = 1 + random.below(3) as u32;
    let plan = random.plan();
    let proxied = random.chance(20);
    let attempt_delay = random.chance(40).then(|| Duration::from_millis(random.pick(&[10, 250, 5_000])));
    let base = if random.chance(30) {
        Config { verifier: knows("web*"), ..Config::default() }
    } else {
        Config::default()
    };
    let config = Config { addresses: addresses.clone(), plan, attempts, attempt_delay, proxied, ..base };
    let mut bench = Bench::with(config, script);
    bench.proxy_says = (0..2).map(|_| random.proxy()).collect();
    if proxied && random.chance(5) {
        bench.link.fault = Some(Fault { nth: 1, with: Failing::Error(LinkErrorKind::Limit) });
    }
    if random.chance(20) {
        bench.lookups.insert(0, Err(|| HostErrorKind::Resolver(ResolverProblem::BadAnswer)));
    }
    bench.round = Duration::from_millis(random.pick(&[0, 1, 400, 3_000]));
    bench
}

fn lost_proxy() -> HostError {
    error_of_proxy(Stage::Opening, HostErrorKind::ConnectionLost("reset".to_owned()))
}

fn simulate(seed: u64) -> Vec<Phase> {
    let random = &mut Random(seed);
    let mut bench = bench(random);
    bench.check_idle = seed.is_multiple_of(8);
    let mut phases = Vec::new();
    for _ in 0..1 + random.below(4) {
        let input: &[u8] = random.pick(&[&b""[..], b"some input for the command"]);
        let setup = if random.chance(50) { setup() } else { Vec::new() };
        let sudo = random.chance(50).then(SudoLogin::known);
        let options = RunOptions {
            setup,
            ignore_refused_env: random.chance(50),
            time_limit: random.pick(&[
                None,
                None,
                Some(Duration::from_millis(3)),
                Some(Duration::from_secs(30)),
            ]),
            wait_for_channel: random.chance(50),
            sudo,
            ..RunOptions::default()
        };
        bench.command_with(options, input, random.chance(70));
        for _ in 0..random.below(60) {
            match random.below(40) {
                0 => _ = bench.step(Input::Timer),
                1 => _ = bench.step(Input::Close),
                2 => _ = bench.step(Input::Admitted { commands: usize::MAX }),
                3 => _ = bench.step(Input::Readiness),
                8 => {
                    let id = bench.commands[random.below(bench.commands.len() as u64) as usize];
                    bench.step(Input::Cancel(id));
                }
                9 => bench.session.connect(bench.now),
                10 => {
                    let id = bench.commands[random.below(bench.commands.len() as u64) as usize];
                    bench.step(Input::Withdraw(id, NotStarted::RunCancelled));
                }
                11 => _ = bench.step(Input::Hold),
                7 => bench.signal(random.below(bench.commands.len() as u64) as usize),
                4 if random.chance(10) => _ = bench.step(Input::GiveUp(HostErrorKind::Cancelled)),
                5 if random.chance(10) => bench.link.fail_next(random.error()),
                6 if random.chance(10) => {
                    bench.link.fail_next(lost());
                    bench.step(Input::Tunnelled(Tunnelled::Failed(lost_proxy())));
                }
                _ => _ = bench.round(),
            }
            phases.push(bench.phase());
        }
    }
    bench.run();
    if !bench.all_ended() {
        // A command that runs waits for as long as its peer is silent.
        assert_eq!(bench.phase(), Phase::Ready, "a command was forgotten");
        bench.link.fail_next(lost());
        bench.run();
    }
    assert!(bench.all_ended(), "a command has no outcome");
    if bench.phase() == Phase::Ready {
        bench.step(Input::Close);
    }
    assert!(matches!(bench.phase(), Phase::Closed | Phase::Failed), "{:?}", bench.phase());
    phases.push(bench.phase());
    phases
}

/// Says how to run a seed again when it fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {0}: run it again with SESSION_SEED={0}", self.0);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn whatever_happens_every_command_ends_once() {
    if let Some(seed) = number("SESSION_SEED") {
        let _seed = Seed(seed);
        simulate(seed);
        return;
    }
    let (mut taken, mut exec_taken) = (Vec::new(), Vec::new());
    for seed in 0..number("SESSION_SEEDS").unwrap_or(SEEDS) {
        let _seed = Seed(seed);
        let mut edges = Vec::new();
        let exec_edges = take_exec_edges(|| edges = take_edges(|| _ = simulate(seed)));
        note_new(&mut taken, edges);
        note_new(&mut exec_taken, exec_edges);
    }
    for (from, to, cause) in EDGES {
        assert!(taken.contains(&(*from, *to)), "no seed takes {from:?} -> {to:?} ({cause})");
    }
    for (from, to, cause) in EXEC_EDGES {
        assert!(exec_taken.contains(&(*from, *to)), "no seed takes {from:?} -> {to:?} ({cause})");
    }
}

fn note_new<E: PartialEq>(known: &mut Vec<E>, edges: Vec<E>) {
    for edge in edges {
        if !known.contains(&edge) {
            known.push(edge);
        }
    }
}

#[test]
fn a_seed_is_a_whole_run() {
    for seed in 0..50 {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
}
