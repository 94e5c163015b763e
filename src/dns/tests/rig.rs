//! A lookup in a world of invented time and servers that do nothing by themselves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::Name;

use crate::dns::conf::{DnsConfig, Transport};
use crate::dns::lookup::{Cause, Lookup, LookupEnd, Plan, Sent, World};
use crate::dns::wire::{Answer, Extension, Kind, name};
use crate::dns::{Failure, candidates};

pub const MS: Duration = Duration::from_millis(1);

/// One question that went out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    pub name: String,
    pub kind: Kind,
    pub server: usize,
    pub transport: Transport,
    pub at: Duration,
}

#[derive(Default)]
pub struct Outside {
    pub out: Vec<Out>,
    /// Ids that somebody waits for.
    pub waiting: Vec<u16>,
    pub unreachable: Vec<usize>,
    pub without_edns: Vec<usize>,
    pub unanswered: Vec<usize>,
    pub known: HashMap<(Name, Kind), Answer>,
    passed: Duration,
    sent: u16,
}

impl World for Outside {
    fn known(&mut self, name: &Name, kind: Kind) -> Option<Answer> {
        self.known.get(&(name.clone(), kind)).cloned()
    }

    fn send(&mut self, name: &Name, kind: Kind, server: usize, transport: Transport) -> Result<u16, Failure> {
        if self.unreachable.contains(&server) {
            return Err(refused());
        }
        let at = self.passed;
        self.out.push(Out { name: name.to_ascii(), kind, server, transport, at });
        self.sent += 1;
        let id = self.sent;
        self.waiting.push(id);
        Ok(id)
    }

    fn forget(&mut self, id: u16, _: Kind) {
        let before = self.waiting.len();
        self.waiting.retain(|&other| other != id);
        assert!(self.waiting.len() < before, "{id} is forgotten twice");
    }

    fn unanswered(&mut self, server: usize) {
        self.unanswered.push(server);
    }

    fn without_edns(&mut self, server: usize) {
        self.without_edns.push(server);
    }
}

pub fn refused() -> Failure {
    Failure::Unreachable("refused".into())
}

pub struct Rig {
    pub world: Outside,
    pub lookup: Lookup,
    pub end: Option<LookupEnd>,
    begun: Instant,
}

impl Rig {
    pub fn new(host: &str, servers: usize, options: &str) -> Self {
        Self::with(host, servers, options, &[Kind::A, Kind::Aaaa])
    }

    pub fn with(host: &str, servers: usize, options: &str, kinds: &'static [Kind]) -> Self {
        let text = format!("search a.example b.example\noptions {options}");
        let config = DnsConfig::parse_resolv_conf(&text);
        let begun = Instant::now();
        let plan = Plan {
            servers: (0..servers).collect(),
            transport: config.transport,
            pause_max: config.timeout,
            patience: config.patience(),
        };
        let names = candidates::candidates(host, &config);
        Self { world: Outside::default(), lookup: Lookup::new(names, kinds, plan, begun), end: None, begun }
    }

    pub fn begin(mut self) -> Self {
        self.end = self.lookup.begin(self.begun, &mut self.world);
        self
    }

    fn now(&self) -> Instant {
        self.begun + self.world.passed
    }

    /// Lets time pass, from deadline to deadline.
    pub fn pass(&mut self, time: Duration) {
        let end = self.world.passed + time;
        while self.end.is_none() {
            let next = self.lookup.deadline().saturating_duration_since(self.begun);
            if next > end {
                break;
            }
            assert!(next > self.world.passed || next.is_zero(), "time stands still");
            self.world.passed = next;
            self.end = self.lookup.expire(self.now(), &mut self.world);
        }
        self.world.passed = end;
    }

    /// Lets time pass until the lookup ends; how much in all.
    pub fn run(&mut self) -> Duration {
        for _ in 0..1000 {
            if self.end.is_some() {
                return self.world.passed;
            }
            let next = self.lookup.deadline().saturating_duration_since(self.begun);
            self.pass(next - self.world.passed);
        }
        panic!("the lookup does not end");
    }

    pub fn answer(&mut self, kind: Kind, server: usize, answer: Answer) {
        self.answer_over(kind, server, Transport::Udp, Extension::Edns, answer);
    }

    pub fn answer_over(
        &mut self,
        kind: Kind,
        server: usize,
        transport: Transport,
        extension: Extension,
        answer: Answer,
    ) {
        assert_eq!(self.end, None, "it has ended");
        let sent = Sent { server, transport, extension };
        let now = self.now();
        self.end = self.lookup.answered(kind, sent, answer, now, &mut self.world);
    }

    pub fn lose(&mut self, kind: Kind, server: usize, transport: Transport, cause: Cause) {
        assert_eq!(self.end, None, "it has ended");
        let sent = Sent { server, transport, extension: Extension::Edns };
        let now = self.now();
        self.end = self.lookup.lost(kind, sent, cause, now, &mut self.world);
    }

    /// What went out since the last call.
    pub fn out(&mut self) -> Vec<(String, Kind, usize, Transport)> {
        let out = std::mem::take(&mut self.world.out);
        out.into_iter().map(|out| (out.name, out.kind, out.server, out.transport)).collect()
    }

    /// Servers asked for addresses of this kind, and when, in milliseconds.
    pub fn schedule(&self, kind: Kind) -> Vec<(usize, u128)> {
        let of_kind = self.world.out.iter().filter(|out| out.kind == kind);
        of_kind.map(|out| (out.server, out.at.as_millis())).collect()
    }

    /// Names asked for, each once, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.world.out.iter().map(|out| out.name.as_str()).collect();
        names.dedup();
        names
    }

    #[track_caller]
    pub fn assert_end(&self, expected: &LookupEnd) {
        assert_eq!(self.end.as_ref(), Some(expected));
        assert_eq!(
            self.world.waiting, [0u16; 0],
            "somebody waits for the answers of a lookup that has ended"
        );
    }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn addresses(list: &[&str]) -> Answer {
    Answer::Addresses { addresses: list.iter().map(|text| ip(text)).collect(), ttl: Duration::from_secs(60) }
}

pub fn found(list: &[&str]) -> LookupEnd {
    Ok(list.iter().map(|text| ip(text)).collect())
}

pub fn alias(target: &str) -> Answer {
    Answer::Alias { target: name(target).unwrap(), ttl: Duration::from_secs(60) }
}

pub const NO_DATA: Answer = Answer::NoData { ttl: None };
pub const NO_SUCH_NAME: Answer = Answer::NoSuchName { ttl: None };
