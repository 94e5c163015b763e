//! A fleet inside a mio loop that also serves something else: a status page on a loopback port.
//!
//! It starts a simulated fleet of SSH hosts, runs a command on 200 of them, and meanwhile answers
//! every connection to the status port with the fleet's figures. One connection it makes itself, to
//! show the answer:
//!
//! ```text
//! cargo run --release --example embed_mio
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use sshoal::fleet::{HostId, HostState};
use sshoal::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};
use sshoal::{Budget, Event, Fleet, Outcome};

const HOSTS: usize = 200;

const FLEET: Token = Token(0);
const STATUS: Token = Token(1);
const VISITOR: Token = Token(2);

fn main() -> ExitCode {
    // The simulated fleet is this program once more, as a process of its own.
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("embed_mio: {error}");
            ExitCode::from(2)
        }
    }
}

/// Returns the number of hosts that failed.
fn run() -> Result<usize, Box<dyn Error>> {
    let sim = hostsim::Sim::builder().spawn(Command::new(std::env::current_exe()?))?;
    let mut fleet = fleet(&sim)?;

    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(64);
    // To the loop the fleet is one descriptor, however many hosts it has.
    poll.registry().register(&mut SourceFd(&fleet.as_fd().as_raw_fd()), FLEET, Interest::READABLE)?;
    let mut status = StatusPage::listen(poll.registry())?;
    println!("status page: {}", status.address);

    // The commands only begin here: the loop does the rest.
    let mut job = Job::new(&fleet);
    fleet.start("sleep 0.5; hostname")?;
    let mut visitor = None;
    while !(job.is_done && status.answered > 0 && visitor.is_none()) {
        // Besides news there are deadlines: the timeouts of all hosts, of which this is the next.
        let timeout = fleet.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }

        // A turn ends after 1 ms, so nobody else waits long. One without news is one system call.
        fleet.turn(Instant::now(), Budget::default())?;
        while let Some(event) = fleet.next_event() {
            job.note(event);
        }

        if (job.started == HOSTS || job.is_done) && status.answered == 0 && visitor.is_none() {
            visitor = Some(Visitor::connect(status.address, poll.registry())?);
        }
        for event in &events {
            match event.token() {
                STATUS => status.answer(&page(&fleet))?,
                VISITOR => {
                    if let Some(answer) = visitor.as_mut().map(Visitor::read).transpose()?.flatten() {
                        print!("{answer}");
                        visitor = None;
                    }
                }
                _ => {}
            }
        }
    }
    println!("{HOSTS} hosts: {} ok, {} failed", job.ok, HOSTS - job.ok);
    Ok(HOSTS - job.ok)
}

/// A fleet of simulated hosts, which all have one key. Real ones are looked up in the known_hosts
/// files.
fn fleet(sim: &hostsim::Sim) -> Result<Fleet, Box<dyn Error>> {
    let key = HostKey::from_openssh(&sim.host_key_openssh()?)?;
    let fleet = Fleet::builder(sim.hosts(HOSTS))
        .user("demo")
        .key_bytes(sim.user_key_openssh()?)
        .identity_auth(false)
        .host_keys(HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(key.fingerprint())))
        .timeout(Duration::from_secs(30))
        .build()?;
    Ok(fleet)
}

/// What this program wants to know of the command that it runs.
struct Job {
    /// What each host is expected to print: its own address.
    expected: HashMap<HostId, String>,
    printed: HashMap<HostId, Vec<u8>>,
    started: usize,
    ok: usize,
    is_done: bool,
}

impl Job {
    fn new(fleet: &Fleet) -> Self {
        let line = |id: &HostId| Some((*id, format!("{}\n", fleet.host(*id)?.name())));
        let expected = fleet.hosts().iter().filter_map(line).collect();
        Self { expected, printed: HashMap::new(), started: 0, ok: 0, is_done: false }
    }

    fn note(&mut self, event: Event<'_>) {
        match event {
            Event::Started { .. } => self.started += 1,
            // The bytes are lent: what is wanted of them is copied here.
            Event::Output { host, bytes, .. } => self.printed.entry(host).or_default().extend(bytes),
            Event::Finished { host, outcome, .. } => {
                let as_expected = self.printed.get(&host).map(Vec::as_slice)
                    == self.expected.get(&host).map(String::as_bytes);
                match outcome {
                    Outcome::Exited(0) if as_expected => self.ok += 1,
                    other => eprintln!("{host:?}: {other}"),
                }
            }
            Event::RunDone { .. } => self.is_done = true,
            _ => {}
        }
    }
}

/// The figures that the status page shows.
fn page(fleet: &Fleet) -> String {
    let metrics = fleet.metrics();
    format!(
        "{HOSTS} hosts: {} connected, {} failed; {} commands under way, longest turn {:.1?}\n",
        metrics.hosts(HostState::Connected),
        metrics.hosts(HostState::Failed),
        metrics.unfinished,
        metrics.longest_turn,
    )
}

/// Answers every connection with one line, whatever it says.
struct StatusPage {
    listener: TcpListener,
    address: SocketAddr,
    answered: usize,
}

impl StatusPage {
    /// Listens on a free port, below those that the system gives to outgoing connections.
    fn listen(registry: &Registry) -> io::Result<Self> {
        let try_port = |port| TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).ok();
        let mut listener = (20_000..30_000).find_map(try_port).ok_or(ErrorKind::AddrInUse)?;
        registry.register(&mut listener, STATUS, Interest::READABLE)?;
        Ok(Self { address: listener.local_addr()?, listener, answered: 0 })
    }

    fn answer(&mut self, line: &str) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                // So short an answer fits into the socket's buffer. Whoever has gone again gets
                // none.
                Ok((mut stream, _)) => {
                    self.answered += usize::from(stream.write_all(line.as_bytes()).is_ok())
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Somebody who asks for the status page.
struct Visitor {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Visitor {
    fn connect(address: SocketAddr, registry: &Registry) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, VISITOR, Interest::READABLE)?;
        Ok(Self { stream, answer: Vec::new() })
    }

    /// The whole answer, once it is there.
    fn read(&mut self) -> io::Result<Option<String>> {
        match self.stream.read_to_end(&mut self.answer) {
            Ok(_) => Ok(Some(String::from_utf8_lossy(&self.answer).into_owned())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
