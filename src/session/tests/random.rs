//! Random peers and the data that they send, generated from a seed.

use std::env;

use nix::errno::Errno;

use super::host_keys::other_key;
use super::interactive::prompt;
use super::script::{Answer, Channel, Cred, Dial, Packet, Peer, Take, host_key};
use crate::command::{SudoLogin, SudoMark};
use crate::error::AuthMethod;
use crate::link::{AuthReply, LinkError, LinkErrorKind, Questions};
use crate::output::ExitSignal;
use crate::session::Jitter;

pub(crate) struct Random(Jitter);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Jitter::new(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next()
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn rounds(&mut self) -> u32 {
        1 + self.below(4) as u32
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    pub(crate) fn error(&mut self) -> LinkError {
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

    pub(crate) fn answer(&mut self, may_deny: bool) -> Answer {
        match self.below(100) {
            0..3 => Answer::never(),
            3..6 => Answer { after: Some(self.rounds()), says: Err(self.error()) },
            6..9 if may_deny => Answer::error(self.rounds(), LinkErrorKind::Denied),
            _ => Answer::ok(self.rounds()),
        }
    }

    pub(crate) fn dial(&mut self) -> Dial {
        match self.below(12) {
            0 => Dial::Silent,
            1 => Dial::Fails(self.rounds(), Errno::ECONNREFUSED),
            2 => Dial::FailsAtOnce(Errno::ENETUNREACH),
            3 => Dial::FailsAtOnce(Errno::EMFILE),
            _ => Dial::Connects(self.rounds()),
        }
    }

    pub(crate) fn channel(&mut self) -> Channel {
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
            ..Channel::default()
        }
    }

    /// A mark of `sudo`, or a part of one, on either stream.
    fn sudo_says(&mut self) -> Packet {
        let login = SudoLogin::known();
        let mut said = login.text(self.pick(&[SudoMark::Prompt, SudoMark::Start])).into_bytes();
        if self.chance(20) {
            said.truncate(self.below(said.len() as u64) as usize);
        }
        if self.chance(50) { Packet::Stderr(said) } else { Packet::Stdout(said) }
    }

    pub(crate) fn peer(&mut self) -> Peer {
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
            banner: Some("Authorised use only."),
            auth_after: (!self.chance(3)).then(|| self.rounds()),
            channels: (0..3).map(|_| self.channel()).collect(),
            packets_per_pump: self.pick(&[1, 2, usize::MAX]),
            packets_per_read: self.pick(&[1, usize::MAX]),
            full_rounds: self.pick(&[0, 0, 1, 5]),
            write_through: self.chance(50),
            alive_after: Some(1),
            tunnels: Vec::new(),
        }
    }

    fn questions(&mut self) -> Vec<Questions> {
        let round = |random: &mut Self| {
            let prompts = (0..random.below(3)).map(|_| prompt("?", random.chance(20)));
            Questions { name: String::new(), instruction: String::new(), prompts: prompts.collect() }
        };
        (0..self.below(3)).map(|_| round(self)).collect()
    }
}

/// If the test fails, prints how to run this seed again.
pub(crate) struct Seed {
    pub variable: &'static str,
    pub seed: u64,
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { variable, seed } = self;
            eprintln!("failed with seed {seed}: run it again with {variable}={seed}");
        }
    }
}

/// The number in an environment variable.
pub(crate) fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}
