//! Random peers, random inputs and random timing, generated from a seed. The bench and the link
//! check the invariants after each step.
//!
//! `SESSION_SEED=n` runs only that seed; `SESSION_SEEDS=n` sets how many are run.

use std::time::Duration;

use nix::errno::Errno;

use super::agent::{FakeAgent, agent_keys};
use super::call::{Failing, Fault};
use super::command::dropped;
use super::edges::take_edges;
use super::exec_edges::take_exec_edges;
use super::gssapi::gssapi;
use super::harness::{Bench, Config, RETRY_DELAY, address};
use super::host_keys::{accepts_new, knows};
use super::prepare::setup;
use super::proxy::{error_of_proxy, refusal};
use super::random::{Random, Seed, number};
use super::script::{Cred, Dial, Packet, Peer, Script, lost, private_key};
use crate::command::{RunOptions, SudoLogin};
use crate::credential::Responder;
use crate::credential::Secret;
use crate::error::{CancelCause, HostError, HostErrorKind, ResolverProblem};
use crate::link::{AuthReply, ChannelId, LinkErrorKind};
use crate::output::stdin::Input as Stdin;
use crate::session::exec::EXEC_EDGES;
use crate::session::state::{EDGES, Phase};
use crate::session::{Answerer, Input, Offer, RetryPolicy, TunnelProgress};
use crate::stage::Stage;

const SEEDS: u64 = 12_000;

/// A plain key, and two in security keys.
const AGENT_KEYS: [usize; 3] = [2, 7, 8];

impl Random {
    fn proxy(&mut self) -> Vec<TunnelProgress> {
        let begun = TunnelProgress::Begun(ChannelId(0));
        match self.below(10) {
            0 => vec![begun],
            1 => vec![begun, TunnelProgress::Failed(refusal(1 + self.below(4) as u32))],
            2 => vec![TunnelProgress::Failed(lost_proxy())],
            _ => vec![begun, TunnelProgress::Opened],
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
            Answerer::Password(Secret::new("hunter2".to_owned()).unwrap(), "".into()),
            Answerer::Responder(Responder::new(|asked| Some(vec!["answer".into(); asked.prompts.len()]))),
            Answerer::Responder(Responder::new(|asked| (asked.round < 2).then(|| vec!["one".into()]))),
        ];
        if self.chance(30) {
            plan.push(Offer::Interactive(self.pick(&answerers)));
        }
        plan
    }
}

/// Lets peers take keys of an agent, or refuse them after they were asked about.
fn take_agent_keys(peers: &mut [Peer], of_agent: &mut Random) {
    for peer in peers {
        for key in AGENT_KEYS {
            if of_agent.chance(30) {
                continue;
            }
            let replies = [AuthReply::Accepted, AuthReply::Partial, AuthReply::Denied];
            let to_sign = AuthReply::ToSign(vec![u8::try_from(key).unwrap()]);
            peer.replies.push((Cred::AgentAsk(key), Ok(to_sign)));
            peer.replies.push((Cred::AgentSign(key), Ok(of_agent.pick(&replies))));
        }
    }
}

fn bench(random: &mut Random, of_command: &mut Random, of_agent: &mut Random) -> Bench {
    let mut peers: Vec<Peer> = (0..3).map(|_| random.peer()).collect();
    take_agent_keys(&mut peers, of_agent);
    let mut script = Script::peers(peers);
    let addresses: Vec<_> = (0..1 + random.below(3) as u8).map(address).collect();
    for address in &addresses {
        let mut dials: Vec<Dial> = (0..random.below(3)).map(|_| random.dial()).collect();
        // Some descriptors become free in the end.
        dials.push(random.pick(&[Dial::Connects(1), Dial::Silent, Dial::Fails(1, Errno::ECONNREFUSED)]));
        script = script.dialling(*address, &dials);
    }
    let attempts = 1 + random.below(3) as u32;
    let policy = RetryPolicy::default().attempts(attempts).delay(RETRY_DELAY);
    let mut plan = random.plan();
    if of_agent.chance(20) {
        plan.insert(0, agent_keys());
    }
    let proxied = random.chance(20);
    let attempt_delay = random.chance(40).then(|| Duration::from_millis(random.pick(&[10, 250, 5_000])));
    let base = if random.chance(30) {
        Config { verifier: knows("web*"), ..Config::default() }
    } else if random.chance(30) {
        Config {
            verifier: random.pick(&[accepts_new("/dev/null"), accepts_new("/dev/full")]),
            ..Config::default()
        }
    } else {
        Config::default()
    };
    let config = Config {
        addresses: addresses.clone(),
        plan,
        attempts,
        attempt_delay,
        proxied,
        commanded: !proxied && of_command.chance(20),
        guard_passwords: random.chance(50),
        spare_channel: random.chance(40),
        retry: random.chance(30).then(|| policy.time_limit(Duration::from_secs(random.pick(&[1, 9, 40])))),
        ..base
    };
    let mut bench = Bench::with(config, script);
    bench.grants_trials = random.chance(80);
    bench.agent = FakeAgent::with(of_agent.pick(&[&AGENT_KEYS[..], &AGENT_KEYS[1..], &[]]));
    bench.agent.after = of_agent.pick(&[Some(1), Some(9), Some(9), None]);
    bench.disk.after = random.pick(&[Some(1), Some(2), Some(50), None]);
    bench.next_child.status = of_command.pick(&[None, Some(0), Some(1)]);
    if of_command.chance(20) {
        let errno = of_command.pick(&[Errno::EAGAIN, Errno::EMFILE, Errno::ENOENT]);
        bench.starts.push_back(errno.into());
    }
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
    error_of_proxy(Stage::Forwarding, HostErrorKind::ConnectionLost("reset".to_owned()))
}

fn simulate(seed: u64) -> Vec<Phase> {
    let random = &mut Random::new(seed);
    // On its own, so that the seeds keep what else they do.
    let inputs = &mut Random::new(!seed);
    let of_command = &mut Random::new(seed.rotate_left(32));
    let of_agent = &mut Random::new(seed.rotate_left(16));
    let of_transfer = &mut Random::new(seed.rotate_left(8));
    let mut bench = bench(random, of_command, of_agent);
    bench.check_idle = seed.is_multiple_of(8);
    let mut phases = Vec::new();
    for _ in 0..1 + random.below(4) {
        let input: &[u8] = random.pick(&[&b""[..], b"some input for the command"]);
        let setup = if random.chance(50) { setup() } else { Vec::new() };
        let sudo = random.chance(50).then(SudoLogin::known);
        let stdin = inputs.pick(&[Stdin::Open, Stdin::Open, Stdin::Empty, "input given in advance".into()]);
        let is_open = stdin == Stdin::Open;
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
            input: stdin,
            ..RunOptions::default()
        };
        let ends = random.chance(70);
        if of_transfer.chance(10) {
            bench.transfer();
        } else {
            bench.command_with(options, if is_open { input } else { b"" }, ends);
        }
        for _ in 0..random.below(60) {
            match random.below(40) {
                0 => _ = bench.step(Input::Wake),
                1 => _ = bench.step(Input::Close),
                2 => _ = bench.step(Input::Admitted { commands: usize::MAX }),
                3 => _ = bench.step(Input::Wake),
                8 => {
                    let id = bench.commands[random.below(bench.commands.len() as u64) as usize];
                    bench.step(Input::Cancel(id, CancelCause::Caller));
                }
                9 => bench.connect(),
                10 => {
                    let id = bench.commands[random.below(bench.commands.len() as u64) as usize];
                    bench.step(Input::Withdraw(id, CancelCause::RunCancelled));
                }
                11 => _ = bench.step(Input::Hold),
                12 => bench.withhold_a_password(),
                7 => bench.signal(random.below(bench.commands.len() as u64) as usize),
                4 if random.chance(10) => {
                    _ = bench.step(Input::GiveUp(HostErrorKind::Cancelled(CancelCause::Caller)))
                }
                5 if random.chance(10) => bench.link.fail_next(random.error()),
                6 if random.chance(10) => {
                    bench.link.fail_next(lost());
                    bench.step(Input::Tunnelled(TunnelProgress::Failed(lost_proxy())));
                }
                _ => _ = bench.round(),
            }
            match bench.phase() {
                Phase::Launching if of_command.chance(5) => bench.link.fail_next(dropped()),
                // A packet for no channel stands for a part of the identification.
                Phase::Launching if of_command.chance(20) => bench.link.arrive(0, Packet::Eof),
                Phase::Handshaking if of_command.chance(10) => bench.link.fail_next(dropped()),
                Phase::Reaping if of_command.chance(50) => bench.exit(1),
                Phase::Authenticating if of_agent.chance(10) && bench.agent.withdraw_touch() => {
                    bench.step(Input::Overtaken);
                }
                _ => {}
            }
            phases.push(bench.phase());
        }
    }
    bench.run();
    if !bench.all_ended() {
        // A running command waits for as long as its peer is silent.
        assert_eq!(bench.phase(), Phase::Ready, "a command was forgotten");
        bench.link.fail_next(lost());
        bench.run();
    }
    assert!(bench.all_ended(), "a command has no outcome");
    if bench.phase() == Phase::Ready {
        bench.step(Input::Close);
    }
    assert!(matches!(bench.phase(), Phase::Closed | Phase::Failed), "{:?}", bench.phase());
    assert_eq!(bench.trials, [], "a trial was left behind");
    phases.push(bench.phase());
    phases
}

#[test]
fn whatever_happens_every_command_ends_once() {
    if let Some(seed) = number("SESSION_SEED") {
        let _seed = Seed { variable: "SESSION_SEED", seed };
        simulate(seed);
        return;
    }
    let (mut taken, mut exec_taken) = (Vec::new(), Vec::new());
    for seed in 0..number("SESSION_SEEDS").unwrap_or(SEEDS) {
        let _seed = Seed { variable: "SESSION_SEED", seed };
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
