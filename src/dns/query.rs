//! One query, for one name and one kind of address: which server it is sent to, and when, and its
//! result.

use std::time::{Duration, Instant};

use hickory_proto::rr::Name;

use super::LookupError;
use super::conf::Transport;
use super::lookup::{Io, IpResult, QueryOptions, Sent};
use super::wire::{Extension, Kind, Response};
use crate::limits;

#[derive(Debug)]
pub(super) struct Query {
    /// The original name, or the last alias followed.
    pub name: Name,
    pub kind: Kind,
    aliases: usize,
    /// The servers that have not failed, in order.
    servers: Vec<usize>,
    /// The index of the next server in `servers`.
    next: usize,
    /// How many complete rounds over the servers were made.
    rounds: u32,
    /// The server that was queried last.
    current: Option<usize>,
    next_try: Option<Instant>,
    transport: Transport,
    pause_max: Duration,
    /// The ids of all tries. A late response to an earlier try is accepted too.
    pub ids: Vec<u16>,
    /// The failure of the last server that failed.
    failure: LookupError,
    /// `None` while the query is open.
    pub result: Option<IpResult>,
}

impl Query {
    /// Creates a query and sends it, unless the response is cached.
    pub(super) fn start(name: Name, kind: Kind, options: &QueryOptions, io: &mut dyn Io) -> Self {
        let mut query = Self {
            name,
            kind,
            aliases: 0,
            servers: options.servers.clone(),
            next: 0,
            rounds: 0,
            current: None,
            next_try: None,
            transport: options.transport,
            pause_max: options.pause_max,
            ids: Vec::new(),
            failure: LookupError::Unreachable("no name server is configured".into()),
            result: None,
        };
        query.resolve(io);
        query
    }

    pub(super) fn is_open(&self) -> bool {
        self.result.is_none()
    }

    /// When the next server is queried.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.next_try.filter(|_| self.is_open())
    }

    /// Ignores further responses to this query.
    pub(super) fn release(&mut self, io: &mut dyn Io) {
        for id in self.ids.drain(..) {
            io.forget(id, self.kind);
        }
    }

    pub(super) fn expire(&mut self, io: &mut dyn Io) {
        if self.next_try.is_none_or(|at| at > io.now()) {
            return;
        }
        if let Some(server) = self.current {
            io.timed_out(server);
        }
        self.query_next(io);
    }

    pub(super) fn answered(&mut self, sent: Sent, response: Response, io: &mut dyn Io) {
        let Sent { server, transport, extension } = sent;
        match (response, transport, extension) {
            (Response::FormatError, _, Extension::Edns) => {
                io.disable_edns(server);
                self.query_server(server, transport, io);
            }
            (Response::FormatError, _, Extension::None) => {
                self.server_failed(server, LookupError::Rcode(1), io);
            }
            (Response::Failure(code), ..) => self.server_failed(server, LookupError::Rcode(code), io),
            (Response::Truncated, Transport::Udp, _) => self.query_server(server, Transport::Tcp, io),
            (Response::Truncated, Transport::Tcp, _) => {
                self.server_failed(server, LookupError::BadAnswer, io);
            }
            (response, ..) => {
                if self.apply(response) {
                    self.release(io);
                    self.resolve(io);
                }
            }
        }
    }

    /// Removes a server that failed. If the query was waiting for that server, it is sent to the
    /// next one at once.
    pub(super) fn server_failed(&mut self, server: usize, failure: LookupError, io: &mut dyn Io) {
        self.failure = failure;
        if let Some(position) = self.servers.iter().position(|&other| other == server) {
            self.servers.remove(position);
            if position < self.next {
                self.next -= 1;
            }
            if self.next == self.servers.len() {
                self.next = 0;
            }
        }
        if self.current == Some(server) || self.servers.is_empty() {
            self.query_next(io);
        }
    }

    /// Takes the response from the cache, or queries a server.
    fn resolve(&mut self, io: &mut dyn Io) {
        while let Some(response) = io.cached(&self.name, self.kind) {
            if !self.apply(response) {
                return;
            }
        }
        if self.is_open() {
            self.query_next(io);
        }
    }

    /// Applies a response. Returns `true` if it is an alias, so that the query continues with
    /// another name.
    fn apply(&mut self, response: Response) -> bool {
        self.result = Some(match response {
            Response::Addresses { addresses, .. } => Ok(addresses),
            Response::Alias { target, .. } if self.aliases < limits::DNS_ALIASES => {
                self.aliases += 1;
                self.name = target;
                return true;
            }
            Response::NoSuchName { .. } => Err(LookupError::NoSuchName),
            _ => Err(LookupError::NoAddress),
        });
        false
    }

    /// Queries the next server, skipping those that cannot be reached.
    fn query_next(&mut self, io: &mut dyn Io) {
        let Some(&server) = self.servers.get(self.next) else {
            self.result = Some(Err(self.failure.clone()));
            return;
        };
        self.next += 1;
        if self.next == self.servers.len() {
            self.next = 0;
            self.rounds += 1;
        }
        self.query_server(server, self.transport, io);
    }

    /// Queries this server, even if it is not the next one in order.
    pub(super) fn query_server(&mut self, server: usize, transport: Transport, io: &mut dyn Io) {
        self.current = Some(server);
        match io.send(&self.name, self.kind, server, transport) {
            Ok(id) => {
                self.ids.push(id);
                self.next_try = io.now().checked_add(self.pause(transport));
            }
            Err(failure) => self.server_failed(server, failure, io),
        }
    }

    /// How long to wait for a response before the next server is queried: 400 ms in the first round
    /// over the servers, twice as long in each further round, at most `pause_max`. Over TCP, always
    /// `pause_max`, because TCP retransmits by itself.
    fn pause(&self, transport: Transport) -> Duration {
        match transport {
            Transport::Tcp => self.pause_max,
            Transport::Udp => {
                let rounds_before = if self.next == 0 { self.rounds.saturating_sub(1) } else { self.rounds };
                let doubled = 1u32.checked_shl(rounds_before).unwrap_or(u32::MAX);
                limits::DNS_FIRST_PAUSE.saturating_mul(doubled).min(self.pause_max)
            }
        }
    }
}
