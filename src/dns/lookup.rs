//! The lookup of one host. It tries the names of the host in order, and sends the queries for one
//! name in parallel.
//!
//! The lookup does no IO itself: it has the time from [`Io`], and sends its queries through it.

use std::net::IpAddr;
use std::time::{Duration, Instant};
use std::vec;

use hickory_proto::rr::Name;

use super::LookupError;
use super::conf::Transport;
use super::query::Query;
use super::wire::{Extension, Kind, Response};
use crate::limits;

/// What a lookup needs from its environment.
pub(super) trait Io {
    /// The time of this turn.
    fn now(&self) -> Instant;
    /// The cached response to a query.
    fn cached(&mut self, name: &Name, kind: Kind) -> Option<Response>;
    /// Sends a query and returns the id that its response will carry.
    fn send(&mut self, name: &Name, kind: Kind, server: usize, via: Transport) -> Result<u16, LookupError>;
    /// Ignores the response with this id from now on.
    fn forget(&mut self, id: u16, kind: Kind);
    /// Notes that a server did not respond in time.
    fn timed_out(&mut self, server: usize);
    /// Sends all further queries to this server without EDNS, because the server rejects EDNS.
    fn disable_edns(&mut self, server: usize);
}

/// How a query was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub server: usize,
    pub transport: Transport,
    pub extension: Extension,
}

/// Why a query that was sent will get no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LossReason {
    /// The server cannot be reached.
    Unreachable(LookupError),
    /// The server closed a connection on which it had answered, so the query may be repeated at
    /// once.
    Interrupted,
}

/// The parameters of all queries of a lookup.
#[derive(Debug, Clone)]
pub(super) struct QueryOptions {
    /// The servers, in the order in which they are queried.
    pub servers: Vec<usize>,
    pub transport: Transport,
    /// The longest pause between two tries.
    pub pause_max: Duration,
    /// The longest time that the lookup may take.
    pub time_limit: Duration,
}

#[derive(Debug)]
pub(super) struct Lookup {
    names: vec::IntoIter<Name>,
    kinds: &'static [Kind],
    options: QueryOptions,
    /// The queries for the current name, one per kind.
    queries: Vec<Query>,
    deadline: Instant,
    /// When the lookup stops waiting for the other query. Set once the result of one query is
    /// decisive.
    grace_end: Option<Instant>,
    /// Of the failures of all names tried so far, the one with the highest rank.
    failure: Option<LookupError>,
}

/// The result of a lookup.
pub(super) type IpResult = Result<Vec<IpAddr>, LookupError>;

impl Lookup {
    pub(super) fn new(
        names: vec::IntoIter<Name>,
        kinds: &'static [Kind],
        options: QueryOptions,
        now: Instant,
    ) -> Self {
        let deadline = now.checked_add(options.time_limit).unwrap_or(now);
        Self { names, kinds, options, queries: Vec::new(), deadline, grace_end: None, failure: None }
    }

    /// Queries the first name. Like the methods below, returns the result if the lookup has ended.
    pub(super) fn start(&mut self, io: &mut dyn Io) -> Option<IpResult> {
        let Some(name) = self.names.next() else {
            return Some(Err(LookupError::BadName("not a valid DNS name")));
        };
        self.query_name(&name, io);
        self.evaluate(io)
    }

    /// The name of the open query of this kind.
    pub(super) fn open_name(&self, kind: Kind) -> Option<&Name> {
        let query = self.queries.iter().find(|query| query.kind == kind)?;
        query.is_open().then_some(&query.name)
    }

    /// The ids of all queries, with their kinds.
    pub(super) fn ids(&self) -> impl Iterator<Item = (u16, Kind)> {
        self.queries.iter().flat_map(|query| query.ids.iter().map(|&id| (id, query.kind)))
    }

    /// Handles a response to the query of this kind, or the reason why it will get none.
    pub(super) fn reported(
        &mut self,
        kind: Kind,
        sent: Sent,
        outcome: Result<Response, LossReason>,
        io: &mut dyn Io,
    ) -> Option<IpResult> {
        if let Some(query) = self.queries.iter_mut().find(|query| query.kind == kind && query.is_open()) {
            match outcome {
                Ok(response) => query.answered(sent, response, io),
                Err(LossReason::Unreachable(failure)) => query.server_failed(sent.server, failure, io),
                Err(LossReason::Interrupted) => query.query_server(sent.server, sent.transport, io),
            }
        }
        self.evaluate(io)
    }

    /// Handles deadlines that have passed.
    pub(super) fn expire(&mut self, io: &mut dyn Io) -> Option<IpResult> {
        let is_over = self.deadline <= io.now();
        for query in self.queries.iter_mut().filter(|query| query.is_open()) {
            if is_over {
                query.result = Some(Err(LookupError::Timeout(self.options.time_limit)));
            } else {
                query.expire(io);
            }
        }
        self.evaluate(io)
    }

    /// When [`Lookup::expire`] must be called.
    pub(super) fn deadline(&self) -> Instant {
        let tries = self.queries.iter().filter_map(Query::next_try);
        tries.chain(self.grace_end).fold(self.deadline, Instant::min)
    }

    fn release(&mut self, io: &mut dyn Io) {
        for query in &mut self.queries {
            query.release(io);
        }
    }

    fn query_name(&mut self, name: &Name, io: &mut dyn Io) {
        self.release(io);
        self.grace_end = None;
        let start = |&kind| Query::start(name.clone(), kind, &self.options, io);
        self.queries = self.kinds.iter().map(start).collect();
    }

    /// Evaluates the queries, then continues with the next name or ends the lookup, if it can.
    fn evaluate(&mut self, io: &mut dyn Io) -> Option<IpResult> {
        loop {
            let failure = match self.progress(io.now())? {
                Ok(addresses) => {
                    self.release(io);
                    return Some(Ok(addresses));
                }
                Err(failure) => failure,
            };
            // If the servers do not respond, the other names would time out too.
            let next = if failure.got_no_response() { None } else { self.names.next() };
            let worst = match self.failure.take() {
                Some(before) if before.uncertainty() > failure.uncertainty() => before,
                _ => failure,
            };
            let Some(name) = next else {
                self.release(io);
                return Some(Err(worst));
            };
            self.failure = Some(worst);
            self.query_name(&name, io);
        }
    }

    /// The result of the queries for the current name. `None` while the lookup waits for a query.
    fn progress(&mut self, now: Instant) -> Option<IpResult> {
        let results = || self.queries.iter().filter_map(|query| query.result.as_ref());
        if self.queries.iter().any(Query::is_open) {
            // After such a result, the query of the other kind is unlikely to change the outcome.
            let is_decided = results().any(|result| matches!(result, Ok(_) | Err(LookupError::NoSuchName)));
            if !is_decided || now < *self.grace_end.get_or_insert_with(|| now + limits::DNS_GRACE) {
                return None;
            }
        }
        let found: Vec<IpAddr> = results().flatten().flatten().copied().collect();
        let worst = results().filter_map(|result| result.as_ref().err()).max_by_key(|it| it.precedence());
        Some(match worst {
            Some(failure) if found.is_empty() => Err(failure.clone()),
            _ => Ok(found),
        })
    }
}

impl LookupError {
    /// The rank of this failure when the queries for one name have found no address: the failure
    /// with the highest rank is reported. NXDOMAIN ranks highest, because it is true of every kind
    /// of address. A missing address ranks lowest, because the other query might have found one.
    fn precedence(&self) -> u8 {
        match self {
            Self::NoAddress | Self::SystemUnknown(_) => 0,
            Self::Rcode(_) | Self::BadAnswer => 1,
            Self::Timeout(_) | Self::Unreachable(_) | Self::SystemResolver(_) => 2,
            Self::NoSuchName | Self::BadName(_) => 3,
        }
    }

    /// The rank of this failure when the lookups of several names have failed: the failure with the
    /// highest rank is reported. The less a failure proves, the higher its rank: NXDOMAIN for one
    /// name proves nothing about the host if another name could not be looked up.
    fn uncertainty(&self) -> u8 {
        match self {
            Self::BadName(_) | Self::NoSuchName => 0,
            Self::NoAddress | Self::SystemUnknown(_) => 1,
            Self::Rcode(_) | Self::BadAnswer => 2,
            Self::Timeout(_) | Self::Unreachable(_) | Self::SystemResolver(_) => 3,
        }
    }

    fn got_no_response(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Unreachable(_))
    }
}
