//! The thread that moves all connections of a proxy.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use super::pump::{End, Pump};
use super::{Action, Builder, Counts, Direction, Shared};

/// Maximum number of open connections; more wait in the backlog.
const CAPACITY: usize = 1_000;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What the test has requested.
struct Orders {
    /// Whether anything was requested since the last turn.
    woken: bool,
    triggered: bool,
    injected: Vec<(Direction, Action)>,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    to_server: Pump,
    to_client: Pump,
}

impl Connection {
    /// `false` when the connection is over and must be dropped.
    fn obey(&mut self, orders: &Orders) -> bool {
        if orders.triggered {
            self.to_server.release();
            self.to_client.release();
        }
        orders.injected.iter().all(|(direction, action)| {
            let pump = match direction {
                Direction::ToServer => &mut self.to_server,
                Direction::ToClient => &mut self.to_client,
            };
            match action {
                // Not after pending data, which the peer may never read.
                Action::Fin => return self.end(End::Fin),
                Action::Rst => return self.end(End::Rst),
                action => pump.inject(action.clone()),
            }
            true
        })
    }

    /// `false` when the connection is over and must be dropped.
    fn turn(&mut self, now: Instant) -> bool {
        let mut ends = [None; 2];
        for (direction, end) in [Direction::ToServer, Direction::ToClient].into_iter().zip(&mut ends) {
            let (pump, source, sink) = match direction {
                Direction::ToServer => (&mut self.to_server, &self.client, &self.server),
                Direction::ToClient => (&mut self.to_client, &self.server, &self.client),
            };
            // If one peer breaks the connection, the other one must see that too.
            *end = pump.turn(source, sink, now).unwrap_or(Some(End::Rst));
        }
        match ends.into_iter().flatten().max_by_key(|&end| end == End::Rst) {
            Some(end) => self.end(end),
            None => !(self.to_server.has_ended() && self.to_client.has_ended()),
        }
    }

    fn end(&mut self, end: End) -> bool {
        for stream in [&self.client, &self.server] {
            let _ = match end {
                // Closing a socket with unread input would send RST: keep it and read it empty
                // instead.
                End::Fin => stream.shutdown(Shutdown::Write),
                End::Rst => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            };
        }
        self.to_server.swallow();
        self.to_client.swallow();
        end == End::Fin
    }

    fn deadline(&self) -> Option<Instant> {
        self.to_server.deadline().into_iter().chain(self.to_client.deadline()).min()
    }
}

fn interest(source: &Pump, sink: &Pump, now: Instant) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, source.wants_input());
    flags.set(PollFlags::OUT, sink.wants_output(now));
    flags
}

pub struct Worker {
    listener: TcpListener,
    plan: Builder,
    shared: Arc<Shared>,
    connections: Vec<Connection>,
    accepted: usize,
    /// Bytes received and forwarded by closed connections: to the server, to the client.
    gone: [(u64, u64); 2],
}

impl Worker {
    pub fn new(listener: TcpListener, plan: Builder, shared: Arc<Shared>) -> Self {
        Self { listener, plan, shared, connections: Vec::new(), accepted: 0, gone: [(0, 0); 2] }
    }

    /// Runs until the proxy is dropped.
    pub fn run(mut self) {
        loop {
            let ready = self.poll();
            let Some(orders) = self.obey() else { return };
            self.accept();
            let now = Instant::now();
            let connections = std::mem::take(&mut self.connections);
            for (index, mut connection) in connections.into_iter().enumerate() {
                // A connection accepted just now was not polled yet.
                let is_ready = orders.woken || ready.get(index).is_none_or(|&ready| ready);
                let is_due = connection.deadline().is_some_and(|deadline| deadline <= now);
                let lives = connection.obey(&orders) && (!(is_ready || is_due) || connection.turn(now));
                if lives {
                    self.connections.push(connection);
                } else {
                    self.gone[0].0 += connection.to_server.seen;
                    self.gone[0].1 += connection.to_server.forwarded;
                    self.gone[1].0 += connection.to_client.seen;
                    self.gone[1].1 += connection.to_client.forwarded;
                }
            }
            self.publish();
        }
    }

    /// Waits; returns whether a socket of each connection is ready.
    fn poll(&self) -> Vec<bool> {
        let now = Instant::now();
        let mut fds = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        let mut owners = vec![None];
        if self.connections.len() < CAPACITY {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
            owners.push(None);
        }
        for (index, connection) in self.connections.iter().enumerate() {
            let Connection { client, server, to_server, to_client } = connection;
            for (stream, flags) in
                [(client, interest(to_server, to_client, now)), (server, interest(to_client, to_server, now))]
            {
                // Without interest it is not polled at all, because a hang-up would be reported
                // constantly.
                if !flags.is_empty() {
                    fds.push(PollFd::from_borrowed_fd(stream.as_fd(), flags));
                    owners.push(Some(index));
                }
            }
        }
        let deadline = self.connections.iter().filter_map(Connection::deadline).min();
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(now));
        let timeout = timeout.map(|timeout| Timespec::try_from(timeout).expect("a short time"));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
        let mut ready = vec![false; self.connections.len()];
        for (fd, owner) in fds.iter().zip(owners) {
            if let (Some(index), false) = (owner, fd.revents().is_empty()) {
                ready[index] = true;
            }
        }
        ready
    }

    /// `None` to stop.
    fn obey(&mut self) -> Option<Orders> {
        let woken = rustix::io::read(&self.shared.wake, &mut [0; 8]).is_ok();
        let mut state = self.shared.lock();
        let injected = std::mem::take(&mut state.injected);
        (!state.stop).then_some(Orders { woken, triggered: state.triggered, injected })
    }

    fn accept(&mut self) {
        while self.connections.len() < CAPACITY {
            let client = match self.listener.accept() {
                Ok((client, _)) => client,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => panic!("accept: {error}"),
            };
            let number = self.accepted;
            self.accepted += 1;
            // If the server refuses, the client loses its connection.
            let Ok(server) = TcpStream::connect_timeout(&self.plan.upstream, CONNECT_LIMIT) else {
                continue;
            };
            for stream in [&client, &server] {
                stream.set_nonblocking(true).expect("non-blocking");
                // Already closed, or no delay: the first read detects a reset peer.
                let _ = stream.set_nodelay(true);
            }
            let to_server = self.new_pump(Direction::ToServer, number);
            let to_client = self.new_pump(Direction::ToClient, number);
            self.connections.push(Connection { client, server, to_server, to_client });
        }
    }

    fn new_pump(&self, direction: Direction, number: usize) -> Pump {
        let harmed = self.plan.only.is_none_or(|only| only == number);
        let faults = self.plan.faults.iter().filter(|(towards, _, _)| harmed && *towards == direction);
        let steps = faults.map(|(_, at, action)| (*at, action.clone())).collect();
        Pump::new(steps, self.shared.lock().triggered)
    }

    fn publish(&self) {
        let mut sums = self.gone;
        for connection in &self.connections {
            for (sum, pump) in sums.iter_mut().zip([&connection.to_server, &connection.to_client]) {
                sum.0 += pump.seen;
                sum.1 += pump.forwarded;
            }
        }
        let [(from_client, to_server), (from_server, to_client)] = sums;
        let (accepted, open) = (self.accepted, self.connections.len());
        self.shared.lock().counts = Counts { accepted, open, from_client, to_server, from_server, to_client };
        self.shared.changed.notify_all();
    }
}
