//! A TCP proxy that delays everything by a fixed time, as a long line does: nothing is lost, and no
//! rate is limited except by [`BUFFER`].
//!
//! It imports only the standard library, so that benchmarks can include it by its path. Each
//! connection has four threads, so it is for few connections.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Most bytes on the way, per direction of a connection: 25 ms at 2.6 GB/s.
pub const BUFFER: usize = 64 << 20;

const CHUNK: usize = 64 << 10;

/// A running proxy; dropping it ends all connections.
pub struct Delay {
    address: SocketAddr,
    line: Arc<Line>,
    thread: Option<JoinHandle<()>>,
}

/// What the threads share.
struct Line {
    upstream: SocketAddr,
    /// One way.
    delay: Duration,
    stopped: AtomicBool,
    /// Both ends of every connection, to end them.
    streams: Mutex<Vec<TcpStream>>,
}

impl Delay {
    /// Forwards the connections that `listener` accepts to `upstream`, with this time for a round
    /// trip.
    pub fn start(listener: TcpListener, upstream: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let line = Arc::new(Line {
            upstream,
            delay: round_trip / 2,
            stopped: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let accepting = Arc::clone(&line);
        let thread = Some(thread::spawn(move || accept(&listener, &accepting)));
        Ok(Self { address, line, thread })
    }

    /// The address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.line.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        for stream in lock(&self.line.streams).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let result = self.thread.take().map(JoinHandle::join);
        assert!(matches!(result, Some(Ok(()))) || thread::panicking(), "a thread of the proxy has panicked");
    }
}

fn accept(listener: &TcpListener, line: &Arc<Line>) {
    let mut pumps = Vec::new();
    for client in listener.incoming() {
        if line.stopped.load(Ordering::SeqCst) {
            break;
        }
        // If the server refuses, the client loses its connection.
        if let Some(threads) = client.ok().and_then(|client| join(client, line).ok()) {
            pumps.extend(threads);
        }
        pumps.retain(|pump| !pump.is_finished());
    }
    // A connection that was accepted while the proxy was dropped.
    for stream in lock(&line.streams).iter() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for pump in pumps {
        assert!(pump.join().is_ok(), "a pump has panicked");
    }
}

fn join(client: TcpStream, line: &Line) -> io::Result<[JoinHandle<()>; 4]> {
    let server = TcpStream::connect(line.upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    {
        let mut streams = lock(&line.streams);
        streams.retain(|stream| stream.peer_addr().is_ok());
        streams.push(client.try_clone()?);
        streams.push(server.try_clone()?);
    }
    let [to_server, from_client] = pump(client.try_clone()?, server.try_clone()?, line.delay);
    let [to_client, from_server] = pump(server, client, line.delay);
    Ok([to_server, from_client, to_client, from_server])
}

/// Starts the threads of one direction.
fn pump(source: TcpStream, sink: TcpStream, delay: Duration) -> [JoinHandle<()>; 2] {
    let queue = Arc::new(Queue::default());
    let entrance = Arc::clone(&queue);
    [thread::spawn(move || receive(source, &entrance, delay)), thread::spawn(move || send(sink, &queue))]
}

/// Bytes on the way, with the time at which each piece arrives.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// The sink has failed.
    closed: bool,
}

impl Queue {
    /// Waits for room; `false` if nothing is delivered any more.
    fn push(&self, due: Instant, piece: Vec<u8>) -> bool {
        let mut state = lock(&self.state);
        while state.bytes > BUFFER - CHUNK && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes += piece.len();
        state.pieces.push_back((due, piece));
        self.changed.notify_all();
        !state.closed
    }

    fn pop(&self) -> (Instant, Vec<u8>) {
        let mut state = lock(&self.state);
        loop {
            if let Some((due, piece)) = state.pieces.pop_front() {
                state.bytes -= piece.len();
                self.changed.notify_all();
                return (due, piece);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

/// An empty piece is the end; after an error too.
fn receive(mut source: TcpStream, queue: &Queue, delay: Duration) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = source.read(&mut buffer).unwrap_or(0);
        let wanted = queue.push(Instant::now() + delay, buffer[..count].to_vec());
        if count == 0 || !wanted {
            return;
        }
    }
}

fn send(mut sink: TcpStream, queue: &Queue) {
    loop {
        let (due, piece) = queue.pop();
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if piece.is_empty() || sink.write_all(&piece).is_err() {
            break;
        }
    }
    queue.close();
    let _ = sink.shutdown(Shutdown::Write);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    use super::super::eventually;
    use super::super::ports;

    const ROUND_TRIP: Duration = Duration::from_millis(50);

    /// A proxy, with a connection through it: the client's end, and the server's.
    fn pair() -> (Delay, TcpStream, TcpStream) {
        let ip = Ipv4Addr::LOCALHOST.into();
        let (upstream, address) = ports::listen(ip).expect("listen");
        let (listener, _) = ports::listen(ip).expect("listen");
        let delay = Delay::start(listener, address, ROUND_TRIP).expect("a proxy");
        let client = TcpStream::connect(delay.address()).expect("connect");
        let (server, _) = upstream.accept().expect("accept");
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("nodelay");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        }
        (delay, client, server)
    }

    #[test]
    fn a_round_trip_takes_its_time_and_no_more() {
        let (_delay, mut client, mut server) = pair();
        let echo = thread::spawn(move || {
            let mut byte = [0];
            while server.read(&mut byte).expect("read") == 1 {
                server.write_all(&byte).expect("write");
            }
        });
        let mut times = Vec::new();
        for number in 0..10 {
            let start = Instant::now();
            client.write_all(&[number]).expect("write");
            let mut byte = [0];
            client.read_exact(&mut byte).expect("read");
            assert_eq!(byte, [number]);
            times.push(start.elapsed());
        }
        assert!(times.iter().all(|time| *time >= ROUND_TRIP), "{times:?}");
        // The best of ten, because the machine may be busy.
        assert!(times.iter().any(|time| *time < ROUND_TRIP * 3 / 2), "{times:?}");
        drop(client);
        echo.join().expect("the server sees the end");
    }

    #[test]
    fn many_bytes_are_on_the_way_at_once_and_arrive_in_order() {
        const SIZE: usize = 32 << 20;
        let byte = |at: usize| u8::try_from(at % 251).expect("small");
        let (_delay, client, mut server) = pair();
        let block: Vec<u8> = (0..251 * 4096).map(byte).collect();
        let start = Instant::now();
        let writer = thread::spawn(move || {
            let mut client = client;
            let mut left = SIZE;
            while left > 0 {
                let length = left.min(block.len());
                client.write_all(&block[..length]).expect("write");
                left -= length;
            }
            client.shutdown(Shutdown::Write).expect("shutdown");
            client
        });
        let mut all = Vec::new();
        server.read_to_end(&mut all).expect("read");
        let took = start.elapsed();
        assert_eq!(all.len(), SIZE);
        assert!(all.iter().enumerate().all(|(at, found)| *found == byte(at)));
        // 64 KiB per 25 ms would take 13 s.
        assert!(took < Duration::from_secs(6), "{took:?}");
        // The other direction goes on after the end of this one.
        let mut client = writer.join().expect("written");
        server.write_all(b"answer").expect("write");
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("read");
        assert_eq!(answer, b"answer");
    }

    #[test]
    fn a_reader_that_stops_stops_the_writer() {
        let (delay, mut client, server) = pair();
        client.set_write_timeout(Some(Duration::from_secs(2))).expect("timeout");
        let block = vec![7; 1 << 20];
        let mut sent = 0;
        while let Ok(count) = client.write(&block) {
            sent += count;
            assert!(sent < BUFFER + (64 << 20), "no end of memory");
        }
        assert!(sent > BUFFER, "{sent}");
        drop(delay);
        drop(server);
        eventually(Duration::from_secs(10), "the end", || client.write(&[0]).is_err().then_some(()));
    }

    #[test]
    fn a_server_that_refuses_costs_the_client_its_connection() {
        let ip = Ipv4Addr::LOCALHOST.into();
        let (_bound, address) = ports::bound(ip).expect("bind");
        let (listener, _) = ports::listen(ip).expect("listen");
        let delay = Delay::start(listener, address, ROUND_TRIP).expect("a proxy");
        let mut client = TcpStream::connect(delay.address()).expect("connect");
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        assert_eq!(client.read(&mut [0]).ok(), Some(0));
    }
}
