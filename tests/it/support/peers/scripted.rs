//! A TCP server that follows a script.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

use crate::support::{eventually, ports};

const AWAIT_LIMIT: Duration = Duration::from_secs(10);
/// Limit of the recorded input of one connection.
const RECORD: usize = 1 << 20;

/// What a [`Scripted`] server does on each connection, in order. After the last step it records its
/// input until the client ends the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Send(Vec<u8>),
    /// Sends these bytes `count` times, or until the client is gone.
    Repeat {
        bytes: Vec<u8>,
        count: u64,
    },
    /// Sends at most `chunk` bytes at a time.
    Drip {
        bytes: Vec<u8>,
        chunk: usize,
        every: Duration,
    },
    /// Waits until the connection has received this many bytes in all.
    Receive(usize),
    /// Waits until these bytes have arrived, within the first mebibyte.
    ReceiveUntil(Vec<u8>),
    Pause(Duration),
    /// Waits for [`Scripted::trigger`].
    AwaitTrigger,
    /// Sends FIN, and continues with the next step.
    HalfClose,
    /// Closes the connection; with FIN if all its input was read.
    Close,
    /// Closes the connection with RST.
    Reset,
    /// Keeps the connection without reading, until the server is dropped.
    StopReading,
}

#[derive(Default)]
struct State {
    stop: bool,
    triggered: bool,
    connections: Vec<Record>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Record {
    /// Set while it is open, so that dropping the server can shut it down.
    stream: Option<Arc<TcpStream>>,
    received: Vec<u8>,
    count: u64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the server continues after that time, or after the trigger.
    fn wait(&self, limit: Option<Duration>) -> bool {
        let waiting = |state: &mut State| !state.stop && (limit.is_some() || !state.triggered);
        match limit {
            Some(limit) => {
                let result = self.changed.wait_timeout_while(self.lock(), limit, waiting);
                !result.unwrap_or_else(PoisonError::into_inner).0.stop
            }
            None => {
                !self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner).stop
            }
        }
    }
}

/// A TCP server that follows a script on each connection and records its input.
pub struct Scripted {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Scripted {
    /// Listens on 127.0.0.1.
    pub fn start(script: impl IntoIterator<Item = Step>) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), script)
    }

    pub fn start_on(ip: IpAddr, script: impl IntoIterator<Item = Step>) -> Self {
        let (listener, address) = ports::listen(ip).expect("listen");
        let listener = Arc::new(listener);
        let shared = Arc::new(Shared::default());
        let script: Arc<[Step]> = script.into_iter().collect();
        let acceptor = {
            let (listener, shared) = (Arc::clone(&listener), Arc::clone(&shared));
            thread::spawn(move || accept(&listener, &shared, &script))
        };
        Self { address, listener, shared, acceptor: Some(acceptor) }
    }

    /// Accepts connections and sends nothing.
    pub fn silent() -> Self {
        Self::start([])
    }

    /// Sends these bytes, whatever it receives, and keeps the connection.
    pub fn garbage(bytes: impl Into<Vec<u8>>) -> Self {
        Self::start([Step::Send(bytes.into())])
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Releases every [`Step::AwaitTrigger`], also those not yet reached.
    pub fn trigger(&self) {
        self.shared.lock().triggered = true;
        self.shared.changed.notify_all();
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// Number of connections that neither side has ended.
    pub fn open(&self) -> usize {
        self.shared.lock().connections.iter().filter(|record| record.stream.is_some()).count()
    }

    /// The first mebibyte received on this connection.
    pub fn received(&self, connection: usize) -> Vec<u8> {
        self.shared.lock().connections.get(connection).map_or_else(Vec::new, |record| record.received.clone())
    }

    /// Number of bytes received on all connections.
    pub fn received_bytes(&self) -> u64 {
        self.shared.lock().connections.iter().map(|record| record.count).sum()
    }

    /// Waits for a condition such as `|server| server.open() == 0`.
    #[track_caller]
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        eventually(AWAIT_LIMIT, what, || condition(self).then_some(()));
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        // On Linux this ends a blocked accept().
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        let mut fine = self.acceptor.take().is_none_or(|thread| thread.join().is_ok());
        let mut state = self.shared.lock();
        for stream in state.connections.iter().filter_map(|record| record.stream.as_ref()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        for thread in threads {
            fine &= thread.join().is_ok();
        }
        assert!(fine || thread::panicking(), "a thread of the scripted server has panicked");
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, script: &Arc<[Step]>) {
    loop {
        let accepted = listener.accept();
        let mut state = shared.lock();
        if state.stop {
            return;
        }
        let stream = Arc::new(accepted.expect("accept").0);
        let _ = stream.set_nodelay(true);
        let number = state.connections.len();
        state.connections.push(Record { stream: Some(Arc::clone(&stream)), ..Record::default() });
        let (shared, script) = (Arc::clone(shared), Arc::clone(script));
        let actor = Actor { stream, number, shared };
        state.threads.push(thread::spawn(move || actor.play(&script)));
    }
}

struct Actor {
    stream: Arc<TcpStream>,
    number: usize,
    shared: Arc<Shared>,
}

impl Actor {
    fn play(self, script: &[Step]) {
        let goes_on = script.iter().all(|step| self.step(step).unwrap_or(false));
        if goes_on {
            while self.receive().unwrap_or(false) {}
        }
        // Dropped with the last reference, and so closed.
        self.shared.lock().connections[self.number].stream = None;
    }

    /// `false` when the connection has ended.
    fn step(&self, step: &Step) -> io::Result<bool> {
        let mut stream = &*self.stream;
        match step {
            Step::Send(bytes) => stream.write_all(bytes)?,
            Step::Repeat { bytes, count } => {
                for _ in 0..*count {
                    stream.write_all(bytes)?;
                }
            }
            Step::Drip { bytes, chunk, every } => {
                for chunk in bytes.chunks((*chunk).max(1)) {
                    stream.write_all(chunk)?;
                    if !self.shared.wait(Some(*every)) {
                        return Ok(false);
                    }
                }
            }
            Step::Receive(count) => {
                while self.record(|record| record.count) < *count as u64 {
                    if !self.receive()? {
                        return Ok(false);
                    }
                }
            }
            Step::ReceiveUntil(bytes) => {
                while !self.record(|record| contains(&record.received, bytes)) {
                    if !self.receive()? {
                        return Ok(false);
                    }
                }
            }
            Step::Pause(duration) => return Ok(self.shared.wait(Some(*duration))),
            Step::AwaitTrigger => return Ok(self.shared.wait(None)),
            Step::HalfClose => stream.shutdown(Shutdown::Write)?,
            Step::Close => return Ok(false),
            Step::Reset => {
                SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
                return Ok(false);
            }
            Step::StopReading => return Ok(self.shared.wait(Some(Duration::MAX))),
        }
        Ok(true)
    }

    /// Records the next input; `false` at the end.
    fn receive(&self) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let count = (&*self.stream).read(&mut buffer)?;
        self.record(|record| {
            record.count += count as u64;
            let room = RECORD - record.received.len();
            record.received.extend_from_slice(&buffer[..count.min(room)]);
        });
        Ok(count > 0)
    }

    fn record<T>(&self, use_it: impl FnOnce(&mut Record) -> T) -> T {
        use_it(&mut self.shared.lock().connections[self.number])
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}
