//! The name servers: pending queries, sockets, and how reliable each server was.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::rr::Name;
use mio::{Registry, Token};
use slab::Slab;

use super::LookupError;
use super::conf::{DnsConfig, Transport};
use super::lookup::{LossReason, Sent};
use super::random::Random;
use super::sock::{Datagrams, Stream};
use super::wire::{self, Extension, Kind};
use crate::limits;
use crate::reactor::IndexQueue;

/// Makes the token of a socket from its index and generation.
pub(crate) type TokenFn = fn(usize, u32) -> Token;

pub(super) struct Net {
    registry: Arc<Registry>,
    token: TokenFn,
    servers: Vec<Server>,
    sockets: Slab<Socket>,
    /// How many sockets were ever opened.
    generations: u32,
    /// Queries that may still get a response, by id.
    pending: HashMap<u16, Pending>,
    /// Sockets that may have data.
    readable: IndexQueue,
    /// Queries that were lost with a failed socket.
    lost_queries: VecDeque<LostQuery>,
    random: Random,
    /// With the option `rotate`: the server that the next lookup queries first.
    rotation: Option<usize>,
    /// Holds one message. It has room for the longest possible message over TCP.
    buffer: Vec<u8>,
}

struct Server {
    address: SocketAddr,
    ports: [Option<usize>; limits::DNS_PORTS],
    stream: Option<usize>,
    extension: Extension,
    /// How many queries in a row got no response.
    unanswered: u32,
    /// Until this time, the server is queried after the others.
    avoided_until: Option<Instant>,
}

struct Socket {
    server: usize,
    generation: u32,
    channel: Channel,
    sent: u32,
    /// How many queries wait for a response on this socket.
    open: usize,
}

enum Channel {
    Udp(Datagrams),
    Tcp(Stream),
}

/// The query that a response belongs to: the index of its lookup, and its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueryKey {
    pub lookup: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    query: QueryKey,
    sent: Sent,
    socket: usize,
}

/// What a socket reported.
pub(super) enum Report {
    /// A message that may be the response to this query.
    Message { id: u16, query: QueryKey, sent: Sent, length: usize },
    /// A message that belongs to no query.
    Stray,
    /// A query that will get no response.
    Lost(LostQuery),
}

pub(super) struct LostQuery {
    pub query: QueryKey,
    pub sent: Sent,
    pub reason: LossReason,
}

impl Net {
    pub(super) fn new(config: &DnsConfig, registry: Arc<Registry>, token: TokenFn) -> Self {
        let server = |&address: &SocketAddr| Server {
            address,
            ports: [None; limits::DNS_PORTS],
            stream: None,
            extension: Extension::Edns,
            unanswered: 0,
            avoided_until: None,
        };
        Self {
            registry,
            token,
            servers: config.servers.iter().map(server).collect(),
            sockets: Slab::new(),
            generations: 0,
            pending: HashMap::with_capacity(4 * limits::DNS_IN_FLIGHT),
            readable: IndexQueue::default(),
            lost_queries: VecDeque::new(),
            random: Random::new(),
            rotation: config.rotate.then_some(0),
            buffer: vec![0; usize::from(u16::MAX) + 2],
        }
    }

    /// How many more descriptors may be opened.
    pub(super) fn descriptors_left(&self) -> usize {
        (self.servers.len() * (limits::DNS_PORTS + 1)).saturating_sub(self.sockets.len())
    }

    /// The servers in the order in which a new lookup queries them. Those that failed recently come
    /// last.
    pub(super) fn order(&mut self, now: Instant) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.servers.len()).collect();
        if let Some(next) = &mut self.rotation {
            order.rotate_left(*next);
            *next = (*next + 1) % self.servers.len().max(1);
        }
        order.sort_by_key(|&server| self.servers[server].avoided_until.is_some_and(|until| until > now));
        order
    }

    /// Notes that the poll reported a socket.
    pub(super) fn ready(&mut self, index: usize, generation: u32) {
        if self.sockets.get(index).is_some_and(|socket| socket.generation == generation) {
            self.readable.push(index);
        }
    }

    pub(super) fn has_reports(&self) -> bool {
        !self.readable.is_empty() || !self.lost_queries.is_empty()
    }

    /// The next report from the sockets.
    pub(super) fn next_report(&mut self, now: Instant) -> Option<Report> {
        loop {
            if let Some(lost) = self.lost_queries.pop_front() {
                return Some(Report::Lost(lost));
            }
            let index = self.readable.pop()?;
            let Some(socket) = self.sockets.get_mut(index) else { continue };
            let received = match &mut socket.channel {
                Channel::Udp(datagrams) => datagrams.receive(&mut self.buffer),
                Channel::Tcp(stream) => {
                    stream.flush();
                    stream.receive(&mut self.buffer)
                }
            };
            match received {
                Ok(Some(length)) => {
                    self.readable.push(index);
                    return Some(self.classify(index, length));
                }
                Ok(None) => {}
                Err(e) => self.socket_failed(index, &e, now),
            }
        }
    }

    /// The message that [`Net::next_report`] reported last.
    pub(super) fn message(&self, length: usize) -> &[u8] {
        &self.buffer[..length]
    }

    fn classify(&self, index: usize, length: usize) -> Report {
        let id = wire::id(self.message(length));
        let pending =
            id.and_then(|id| Some((id, self.pending.get(&id).filter(|sent| sent.socket == index)?)));
        match pending {
            Some((id, &Pending { query, sent, .. })) => Report::Message { id, query, sent, length },
            None => Report::Stray,
        }
    }

    /// Notes a response to the query with this id.
    pub(super) fn answered(&mut self, id: u16, server: usize) {
        self.remove(id);
        self.servers[server].unanswered = 0;
        self.servers[server].avoided_until = None;
    }

    pub(super) fn forget(&mut self, id: u16, query: QueryKey) {
        if self.pending.get(&id).is_some_and(|pending| pending.query == query) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u16) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        if let Some(socket) = self.sockets.get_mut(pending.socket) {
            socket.open -= 1;
        }
        Some(pending)
    }

    pub(super) fn timed_out(&mut self, server: usize, now: Instant) {
        let server = &mut self.servers[server];
        server.unanswered += 1;
        if server.unanswered >= limits::DNS_UNANSWERED {
            server.avoid(now, limits::DNS_DEAD_PAUSE);
        }
    }

    pub(super) fn disable_edns(&mut self, server: usize) {
        self.servers[server].extension = Extension::None;
    }

    /// Sends a query and returns the id that its response will carry.
    pub(super) fn send(
        &mut self,
        name: &Name,
        query: QueryKey,
        server: usize,
        transport: Transport,
        now: Instant,
    ) -> Result<u16, LookupError> {
        let id = self.free_id();
        let extension = self.servers[server].extension;
        let Some(message) = wire::encode(id, name, query.kind, extension) else {
            return Err(LookupError::BadName("not a valid DNS name"));
        };
        let index = self.send_message(&message, server, transport, now);
        let index = index.map_err(|e| self.unreachable(server, &e))?;
        let socket = &mut self.sockets[index];
        socket.sent += 1;
        socket.open += 1;
        let sent = Sent { server, transport, extension };
        self.pending.insert(id, Pending { query, sent, socket: index });
        Ok(id)
    }

    /// Sends a message. Returns the index of the socket that accepted it.
    fn send_message(
        &mut self,
        message: &[u8],
        server: usize,
        transport: Transport,
        now: Instant,
    ) -> io::Result<usize> {
        let index = match transport {
            Transport::Udp => self.port(server)?,
            Transport::Tcp => self.stream(server)?,
        };
        let sent = match &mut self.sockets[index].channel {
            Channel::Udp(datagrams) => datagrams.send(message),
            Channel::Tcp(stream) => {
                let queued = stream.send(message);
                // A pending error causes no further readiness event.
                if stream.has_failed() {
                    self.readable.push(index);
                }
                queued
            }
        };
        sent.inspect_err(|e| self.socket_failed(index, e, now))?;
        Ok(index)
    }

    /// Picks one of the server's UDP sockets at random, so that a forger has to guess its port too.
    fn port(&mut self, server: usize) -> io::Result<usize> {
        let position = usize::from(self.random.next()) % limits::DNS_PORTS;
        let known = self.servers[server].ports[position];
        if let Some(index) = known {
            let Socket { sent, open, .. } = self.sockets[index];
            if open > 0 || sent < limits::DNS_PORT_QUERIES {
                return Ok(index);
            }
            self.close(index);
        }
        let others = self.servers[server].ports;
        match self.open(server, Transport::Udp) {
            Ok(index) => {
                self.servers[server].ports[position] = Some(index);
                Ok(index)
            }
            // If no descriptor is free, another of the server's sockets is used.
            Err(e) => others.into_iter().flatten().find(|&other| known != Some(other)).ok_or(e),
        }
    }

    fn stream(&mut self, server: usize) -> io::Result<usize> {
        if let Some(index) = self.servers[server].stream {
            return Ok(index);
        }
        let index = self.open(server, Transport::Tcp)?;
        self.servers[server].stream = Some(index);
        Ok(index)
    }

    fn open(&mut self, server: usize, transport: Transport) -> io::Result<usize> {
        self.generations = self.generations.wrapping_add(1);
        let generation = self.generations;
        let entry = self.sockets.vacant_entry();
        let index = entry.key();
        let (address, token) = (self.servers[server].address, (self.token)(index, generation));
        let channel = match transport {
            Transport::Udp => Channel::Udp(Datagrams::open(address, &self.registry, token)?),
            Transport::Tcp => Channel::Tcp(Stream::open(address, &self.registry, token)?),
        };
        entry.insert(Socket { server, generation, channel, sent: 0, open: 0 });
        Ok(index)
    }

    fn close(&mut self, index: usize) {
        let Some(socket) = self.sockets.try_remove(index) else { return };
        let server = &mut self.servers[socket.server];
        for held in server.ports.iter_mut().chain([&mut server.stream]) {
            if *held == Some(index) {
                *held = None;
            }
        }
    }

    /// Closes all sockets when no lookup is pending, so that the next lookup gets new ports.
    pub(super) fn close_all(&mut self) {
        debug_assert!(self.pending.is_empty(), "closing sockets in use");
        for server in &mut self.servers {
            server.ports = [None; limits::DNS_PORTS];
            server.stream = None;
        }
        self.sockets.clear();
    }

    /// Handles a failed socket. Its queries are lost, but a UDP socket stays usable.
    fn socket_failed(&mut self, index: usize, error: &io::Error, now: Instant) {
        let Some(socket) = self.sockets.get_mut(index) else { return };
        let server = socket.server;
        let was_in_use = matches!(&socket.channel, Channel::Tcp(stream) if stream.has_answered());
        match socket.channel {
            Channel::Udp(_) => {
                self.servers[server].avoid(now, limits::DNS_REFUSED_PAUSE);
                // Responses may be queued after the error.
                self.readable.push(index);
            }
            Channel::Tcp(_) => self.close(index),
        }
        let lost: Vec<u16> =
            self.pending.iter().filter(|(_, pending)| pending.socket == index).map(|(&id, _)| id).collect();
        for id in lost {
            let Some(Pending { query, sent, .. }) = self.remove(id) else { continue };
            let reason = if was_in_use {
                LossReason::Interrupted
            } else {
                LossReason::Unreachable(self.unreachable(server, error))
            };
            self.lost_queries.push_back(LostQuery { query, sent, reason });
        }
    }

    fn unreachable(&self, server: usize, error: &io::Error) -> LookupError {
        LookupError::Unreachable(format!("{}: {error}", self.servers[server].address).into())
    }

    fn free_id(&mut self) -> u16 {
        loop {
            let id = self.random.next();
            if !self.pending.contains_key(&id) {
                return id;
            }
        }
    }
}

impl Server {
    fn avoid(&mut self, now: Instant, pause: Duration) {
        self.avoided_until = now.checked_add(pause);
    }
}
