//! A lookup in an environment with simulated time and servers that never respond by themselves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_proto::rr::Name;

use crate::dns::conf::{DnsConfig, Transport};
use crate::dns::lookup::{Io, IpResult, Lookup, LossReason, QueryOptions, Sent};
use crate::dns::wire::{Extension, Kind, Response, name};
use crate::dns::{LookupError, candidates};

pub const MS: Duration = Duration::from_millis(1);

/// One query that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    pub name: String,
    pub kind: Kind,
    pub server: usize,
    pub transport: Transport,
    pub at: Duration,
}

pub struct FakeIo {
    pub out: Vec<Out>,
    /// Ids of queries that wait for a response.
    pub waiting: Vec<u16>,
    pub unreachable: Vec<usize>,
    pub without_edns: Vec<usize>,
    pub unanswered: Vec<usize>,
    pub known: HashMap<(Name, Kind), Response>,
    passed: Duration,
    started: Instant,
    sent: u16,
}

impl Io for FakeIo {
    fn now(&self) -> Instant {
        self.started + self.passed
    }

    fn cached(&mut self, name: &Name, kind: Kind) -> Option<Response> {
        self.known.get(&(name.clone(), kind)).cloned()
    }

    fn send(
        &mut self,
        name: &Name,
        kind: Kind,
        server: usize,
        transport: Transport,
    ) -> Result<u16, LookupError> {
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

    fn timed_out(&mut self, server: usize) {
        self.unanswered.push(server);
    }

    fn disable_edns(&mut self, server: usize) {
        self.without_edns.push(server);
    }
}

pub fn refused() -> LookupError {
    LookupError::Unreachable("refused".into())
}

pub struct Rig {
    pub io: FakeIo,
    pub lookup: Lookup,
    pub end: Option<IpResult>,
}

impl Rig {
    pub fn new(host: &str, servers: usize, options: &str) -> Self {
        Self::with(host, servers, options, &[Kind::A, Kind::Aaaa])
    }

    pub fn with(host: &str, servers: usize, options: &str, kinds: &'static [Kind]) -> Self {
        let text = format!("search a.example b.example\noptions {options}");
        let config = DnsConfig::parse_resolv_conf(&text);
        let started = Instant::now();
        let options = QueryOptions {
            servers: (0..servers).collect(),
            transport: config.transport,
            pause_max: config.timeout,
            time_limit: config.time_limit(),
        };
        let names = candidates::candidates(host, &config);
        let io = FakeIo {
            out: Vec::new(),
            waiting: Vec::new(),
            unreachable: Vec::new(),
            without_edns: Vec::new(),
            unanswered: Vec::new(),
            known: HashMap::new(),
            passed: Duration::ZERO,
            started,
            sent: 0,
        };
        Self { io, lookup: Lookup::new(names, kinds, options, started), end: None }
    }

    pub fn start(mut self) -> Self {
        self.end = self.lookup.start(&mut self.io);
        self
    }

    /// Advances time from deadline to deadline.
    pub fn pass(&mut self, time: Duration) {
        let end = self.io.passed + time;
        while self.end.is_none() {
            let next = self.lookup.deadline().saturating_duration_since(self.io.started);
            if next > end {
                break;
            }
            assert!(next > self.io.passed || next.is_zero(), "time stands still");
            self.io.passed = next;
            self.end = self.lookup.expire(&mut self.io);
        }
        self.io.passed = end;
    }

    /// Advances time until the lookup ends, and returns how much.
    pub fn run(&mut self) -> Duration {
        for _ in 0..1000 {
            if self.end.is_some() {
                return self.io.passed;
            }
            let next = self.lookup.deadline().saturating_duration_since(self.io.started);
            self.pass(next - self.io.passed);
        }
        panic!("the lookup does not end");
    }

    pub fn answer(&mut self, kind: Kind, server: usize, answer: Response) {
        self.answer_over(kind, server, Transport::Udp, Extension::Edns, answer);
    }

    pub fn answer_over(
        &mut self,
        kind: Kind,
        server: usize,
        transport: Transport,
        extension: Extension,
        answer: Response,
    ) {
        assert_eq!(self.end, None, "it has ended");
        let sent = Sent { server, transport, extension };
        self.end = self.lookup.reported(kind, sent, Ok(answer), &mut self.io);
    }

    pub fn lose(&mut self, kind: Kind, server: usize, transport: Transport, reason: LossReason) {
        assert_eq!(self.end, None, "it has ended");
        let sent = Sent { server, transport, extension: Extension::Edns };
        self.end = self.lookup.reported(kind, sent, Err(reason), &mut self.io);
    }

    /// The queries sent since the last call.
    pub fn out(&mut self) -> Vec<(String, Kind, usize, Transport)> {
        let out = std::mem::take(&mut self.io.out);
        out.into_iter().map(|out| (out.name, out.kind, out.server, out.transport)).collect()
    }

    /// The servers queried for this kind, and when, in milliseconds.
    pub fn schedule(&self, kind: Kind) -> Vec<(usize, u128)> {
        let of_kind = self.io.out.iter().filter(|out| out.kind == kind);
        of_kind.map(|out| (out.server, out.at.as_millis())).collect()
    }

    /// The names queried, each once, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.io.out.iter().map(|out| out.name.as_str()).collect();
        names.dedup();
        names
    }

    #[track_caller]
    pub fn assert_end(&self, expected: &IpResult) {
        assert_eq!(self.end.as_ref(), Some(expected));
        assert_eq!(self.io.waiting, [0u16; 0], "a lookup has ended with open queries");
    }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn addresses(list: &[&str]) -> Response {
    Response::Addresses {
        addresses: list.iter().map(|text| ip(text)).collect(),
        ttl: Duration::from_secs(60),
    }
}

pub fn found(list: &[&str]) -> IpResult {
    Ok(list.iter().map(|text| ip(text)).collect())
}

pub fn alias(target: &str) -> Response {
    Response::Alias { target: name(target).unwrap(), ttl: Duration::from_secs(60) }
}

pub const NO_DATA: Response = Response::NoData { ttl: None };
pub const NO_SUCH_NAME: Response = Response::NoSuchName { ttl: None };
