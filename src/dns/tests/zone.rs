//! A name server in this process whose zone is chosen by the first label of the name, `KIND` or
//! `KIND-ANYTHING`: see [`Server::answers`]. Also used by the unit tests and the benchmark of the
//! resolver.

#![allow(dead_code, reason = "a toolbox: each of them uses what it needs")]
#![allow(clippy::unwrap_used, reason = "a fixture that cannot do its work fails the test at once")]

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// How long the server sleeps when there is nothing to do.
const NAP: Duration = Duration::from_millis(2);
const TTL: u32 = 60;

/// A name server that serves until it is dropped.
pub struct Zone {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    seen: Mutex<Seen>,
}

/// What the server has received.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Every query in order: the name in lower case without the last dot, and its type.
    pub queries: Vec<(String, RecordType)>,
    /// Source addresses of UDP queries.
    pub ports: HashSet<SocketAddr>,
    /// How many TCP connections were accepted.
    pub connections: usize,
    /// How many queries had EDNS.
    pub with_edns: usize,
}

impl Seen {
    pub fn of(&self, name: &str) -> usize {
        self.queries.iter().filter(|(asked, _)| asked == name).count()
    }
}

/// A reply, and when it is sent.
struct Reply {
    bytes: Vec<u8>,
    after: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Udp,
    Tcp,
}

impl Zone {
    pub fn start() -> Self {
        Self::start_on(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    pub fn start_on(ip: IpAddr) -> Self {
        Self::serve(bind(ip))
    }

    /// Starts a server on this address, if the address is free and permitted.
    pub fn start_at(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self::serve((UdpSocket::bind(address)?, TcpListener::bind(address)?)))
    }

    fn serve((udp, tcp): (UdpSocket, TcpListener)) -> Self {
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (for_udp, for_tcp) = (shared.clone(), shared.clone());
        let threads = vec![
            thread::spawn(move || Server { shared: for_udp, times: HashMap::new() }.serve_udp(&udp)),
            thread::spawn(move || accept(&for_tcp, &tcp)),
        ];
        Self { address, shared, threads }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn seen(&self) -> Seen {
        self.shared.seen().clone()
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// An address that neither answers nor refuses, for as long as the socket lives.
pub fn dead() -> (UdpSocket, SocketAddr) {
    let (udp, _) = bind(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = udp.local_addr().unwrap();
    (udp, address)
}

/// An address without a listener.
pub fn closed() -> SocketAddr {
    dead().1
}

/// The address of `v4-NUMBER` and similar names.
pub fn v4(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x7f40_0000 | number & 0xf_ffff))
}

/// A port below the ephemeral range that is free for both protocols.
fn bind(ip: IpAddr) -> (UdpSocket, TcpListener) {
    use std::hash::{BuildHasher, Hasher, RandomState};
    for _ in 0..200 {
        let port = 10_240 + (RandomState::new().build_hasher().finish() % 22_000) as u16;
        let Ok(udp) = UdpSocket::bind((ip, port)) else { continue };
        let Ok(tcp) = TcpListener::bind((ip, port)) else { continue };
        return (udp, tcp);
    }
    panic!("no free port on {ip}");
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

struct Server {
    shared: Arc<Shared>,
    /// How often each query was received.
    times: HashMap<(String, RecordType), usize>,
}

impl Server {
    fn serve_udp(&mut self, socket: &UdpSocket) {
        socket.set_read_timeout(Some(NAP)).unwrap();
        let mut buffer = [0; 4096];
        let mut late: Vec<(Instant, Vec<u8>, SocketAddr)> = Vec::new();
        while !self.shared.stops() {
            let now = Instant::now();
            late.retain(|(at, bytes, peer)| {
                let waits = *at > now;
                if !waits {
                    let _ = socket.send_to(bytes, peer);
                }
                waits
            });
            let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
            self.shared.seen().ports.insert(peer);
            for Reply { bytes, after } in self.replies(&buffer[..length], Over::Udp) {
                if after.is_zero() {
                    let _ = socket.send_to(&bytes, peer);
                } else {
                    late.push((Instant::now() + after, bytes, peer));
                }
            }
        }
    }

    fn serve_tcp(&mut self, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut message)?;
            for Reply { bytes, .. } in self.replies(&message, Over::Tcp) {
                stream.write_all(&(bytes.len() as u16).to_be_bytes())?;
                stream.write_all(&bytes)?;
            }
            // `tcbreak` closes the connection instead of answering, `tconce` after each answer.
            let name = Message::from_vec(&message).unwrap().queries[0].name().to_ascii();
            if name.starts_with("tcbreak") || name.starts_with("tconce") {
                return Ok(());
            }
        }
    }

    fn replies(&mut self, message: &[u8], over: Over) -> Vec<Reply> {
        let request = Message::from_vec(message).unwrap();
        let query = request.queries[0].clone();
        let name = query.name().to_ascii().to_lowercase();
        let name = name.trim_end_matches('.').to_owned();
        let key = (name.clone(), query.query_type());
        {
            let mut seen = self.shared.seen();
            seen.queries.push(key.clone());
            seen.with_edns += usize::from(request.edns.is_some());
        }
        let times = self.times.entry(key).or_default();
        *times += 1;
        let time = *times;
        self.answers(&request, &query, &name, time, over)
    }

    fn answers(&self, request: &Message, query: &Query, name: &str, time: usize, over: Over) -> Vec<Reply> {
        let first = name.split('.').next().unwrap();
        let (kind, rest) = first.split_once('-').unwrap_or((first, "0"));
        let number: u32 = rest.parse().unwrap_or(0);
        let is_v4 = query.query_type() == RecordType::A;
        let reply = Builder { request, query };
        let plain = || reply.addresses(number, true, true);
        let at_once = |bytes: Vec<u8>| vec![Reply { bytes, after: Duration::ZERO }];
        match kind {
            "v4" => at_once(reply.addresses(number, true, false)),
            "v6" => at_once(reply.addresses(number, false, true)),
            "both" => at_once(plain()),
            "many" => at_once(reply.many(30)),
            "chain" => at_once(reply.chain(number)),
            "hop" if number > 0 => at_once(reply.alias(&replace(name, &format!("hop-{}", number - 1)))),
            "hop" => at_once(plain()),
            "loop" => at_once(reply.alias(&replace(name, &format!("loop-{}", 1 - number.min(1))))),
            "dangling" => at_once(reply.alias(&replace(name, "nx-1"))),
            "nx" => at_once(reply.code(ResponseCode::NXDomain)),
            // Some broken servers answer like this (RFC 4074 section 4.2).
            "nx6" if !is_v4 => at_once(reply.code(ResponseCode::NXDomain)),
            "nx6" => vec![Reply { bytes: plain(), after: Duration::from_millis(5) }],
            // This name does not exist at first, and is created later.
            "later" if time == 1 => at_once(reply.code(ResponseCode::NXDomain)),
            "later" => at_once(reply.addresses(number, true, false)),
            "nodata" => at_once(reply.addresses(number, false, false)),
            "servfail" => at_once(reply.code(ResponseCode::ServFail)),
            "refused" => at_once(reply.code(ResponseCode::Refused)),
            "notimp" => at_once(reply.code(ResponseCode::NotImp)),
            "formerr" if request.edns.is_some() => at_once(reply.code(ResponseCode::FormErr)),
            "formerr" => at_once(plain()),
            "unformed" => at_once(reply.code(ResponseCode::FormErr)),
            "drop" => Vec::new(),
            "flaky" if time == 1 => Vec::new(),
            "flaky" => at_once(plain()),
            "delay" => vec![Reply { bytes: plain(), after: Duration::from_millis(number.into()) }],
            "ttl" => at_once(reply.with_ttl(number)),
            "tc" | "tcbreak" | "tconce" if over == Over::Udp => at_once(reply.truncated()),
            "tcbreak" => Vec::new(),
            "tc" | "tconce" => at_once(reply.many(200)),
            "tctc" => at_once(reply.truncated()),
            "wrongid" => vec![altered(plain(), |bytes| bytes[0] ^= 0xff), now(plain())],
            "wrongq" => vec![altered(plain(), |bytes| bytes[13] ^= 0x01), now(plain())],
            "garbage" => vec![altered(plain(), |bytes| bytes[2..].fill(0xee)), now(plain())],
            "half" => {
                let half = plain().len() / 2 + 10;
                vec![altered(plain(), |bytes| bytes.truncate(half)), now(plain())]
            }
            "adrop" if is_v4 => Vec::new(),
            "afail" if is_v4 => at_once(reply.code(ResponseCode::ServFail)),
            "aaaadrop" if !is_v4 => Vec::new(),
            "aaaafail" if !is_v4 => at_once(reply.code(ResponseCode::ServFail)),
            "adrop" | "afail" | "aaaadrop" | "aaaafail" => at_once(plain()),
            "adropno" if is_v4 => Vec::new(),
            "adropno" => at_once(reply.addresses(number, true, false)),
            _ => at_once(reply.code(ResponseCode::NXDomain)),
        }
    }
}

fn now(bytes: Vec<u8>) -> Reply {
    Reply { bytes, after: Duration::ZERO }
}

fn altered(mut bytes: Vec<u8>, alter: impl FnOnce(&mut Vec<u8>)) -> Reply {
    alter(&mut bytes);
    now(bytes)
}

fn replace(name: &str, label: &str) -> String {
    match name.split_once('.') {
        Some((_, domain)) => format!("{label}.{domain}"),
        None => label.to_owned(),
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    let mut streams: Vec<(TcpStream, JoinHandle<()>)> = Vec::new();
    while !shared.stops() {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(NAP);
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        shared.seen().connections += 1;
        let mut server = Server { shared: shared.clone(), times: HashMap::new() };
        let served = stream.try_clone().unwrap();
        let thread = thread::spawn(move || {
            let _ = server.serve_tcp(&served);
            let _ = served.shutdown(Shutdown::Both);
        });
        streams.push((stream, thread));
    }
    for (stream, thread) in streams {
        let _ = stream.shutdown(Shutdown::Both);
        let _ = thread.join();
    }
}

/// Builds replies to one query.
struct Builder<'a> {
    request: &'a Message,
    query: &'a Query,
}

impl Builder<'_> {
    fn message(&self) -> Message {
        let mut message = Message::response(self.request.id, self.request.op_code);
        message.metadata.recursion_desired = true;
        message.metadata.recursion_available = true;
        message.add_query(self.query.clone());
        message
    }

    fn record(&self, name: &Name, number: u32, ttl: u32) -> Record {
        let data = match self.query.query_type() {
            RecordType::A => match v4(number) {
                IpAddr::V4(address) => RData::A(A(address)),
                IpAddr::V6(_) => unreachable!(),
            },
            _ => RData::AAAA(AAAA(Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(number)))),
        };
        Record::from_rdata(name.clone(), ttl, data)
    }

    fn code(&self, code: ResponseCode) -> Vec<u8> {
        let mut message = self.message();
        message.metadata.response_code = code;
        if code == ResponseCode::NXDomain {
            message.add_authority(soa());
        }
        message.to_vec().unwrap()
    }

    fn addresses(&self, number: u32, v4: bool, v6: bool) -> Vec<u8> {
        let mut message = self.message();
        let has = if self.query.query_type() == RecordType::A { v4 } else { v6 };
        if has {
            message.add_answer(self.record(self.query.name(), number, TTL));
        } else {
            message.add_authority(soa());
        }
        message.to_vec().unwrap()
    }

    fn with_ttl(&self, ttl: u32) -> Vec<u8> {
        let mut message = self.message();
        message.add_answer(self.record(self.query.name(), 1, ttl));
        message.to_vec().unwrap()
    }

    fn many(&self, count: u32) -> Vec<u8> {
        let mut message = self.message();
        message.add_answers((0..count).map(|number| self.record(self.query.name(), number, TTL)));
        message.to_vec().unwrap()
    }

    /// Answers with this number of aliases and the address, in one message.
    fn chain(&self, aliases: u32) -> Vec<u8> {
        let mut message = self.message();
        let mut name = self.query.name().clone();
        for link in 0..aliases {
            let target = Name::from_ascii(format!("link{link}.example.")).unwrap();
            message.add_answer(Record::from_rdata(name, TTL, RData::CNAME(CNAME(target.clone()))));
            name = target;
        }
        message.add_answer(self.record(&name, 7, TTL));
        message.to_vec().unwrap()
    }

    fn alias(&self, target: &str) -> Vec<u8> {
        let target = Name::from_ascii(format!("{target}.")).unwrap();
        let mut message = self.message();
        let data = RData::CNAME(CNAME(target));
        message.add_answer(Record::from_rdata(self.query.name().clone(), TTL, data));
        message.to_vec().unwrap()
    }

    fn truncated(&self) -> Vec<u8> {
        let mut message = self.message();
        message.metadata.truncation = true;
        message.to_vec().unwrap()
    }
}

fn soa() -> Record {
    let name = Name::from_ascii("example.").unwrap();
    let data = SOA::new(name.clone(), name.clone(), 1, 3600, 600, 86_400, 30);
    Record::from_rdata(name, 30, RData::SOA(data))
}
