//! A real ssh-agent (Debian: `openssh-client`), and a fake one that a test controls.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Pid;
use tempfile::TempDir;

use super::eventually;
use super::keys::{KeyPair, write_private};
use super::ports;
use super::process::{Daemon, new_mark};

const START_LIMIT: Duration = Duration::from_secs(10);

/// Types of messages (draft-ietf-sshm-ssh-agent).
pub const FAILURE: u8 = 5;
pub const REQUEST_IDENTITIES: u8 = 11;
pub const IDENTITIES_ANSWER: u8 = 12;
pub const SIGN_REQUEST: u8 = 13;
pub const SIGN_RESPONSE: u8 = 14;
pub const EXTENSION: u8 = 27;
const LOCK: u8 = 22;
const UNLOCK: u8 = 23;

/// A running agent without keys.
pub struct Agent {
    daemon: Daemon,
    dir: TempDir,
}

impl Agent {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(dir.path().join("agent")).env_remove("SSH_AUTH_SOCK");
        let log = dir.path().join("log");
        let daemon = Daemon::spawn(&mut command, new_mark(), &log, dir.path()).expect("start ssh-agent");
        let agent = Self { daemon, dir };
        let connected = || UnixStream::connect(agent.socket()).ok();
        eventually(START_LIMIT, "ssh-agent listening", connected);
        agent
    }

    /// An agent with these keys, in this order.
    pub fn with_keys<'a>(keys: impl IntoIterator<Item = &'a KeyPair>) -> Self {
        let agent = Self::start();
        keys.into_iter().for_each(|key| agent.add(key));
        agent
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    pub fn pid(&self) -> Pid {
        self.daemon.pid()
    }

    pub fn add(&self, key: &KeyPair) {
        let name = format!("key_{:016x}", ports::random());
        let path = key.write(self.dir.path(), &name);
        self.ssh_add(&[&path.to_string_lossy()]);
    }

    /// Adds a private key given as text.
    pub fn add_text(&self, private: &str) {
        let path = self.dir.path().join(format!("key_{:016x}", ports::random()));
        write_private(&path, private);
        self.ssh_add(&[&path.to_string_lossy()]);
    }

    /// Adds the certificate without its plain key.
    pub fn add_certificate(&self, key: &KeyPair, certificate: &str) {
        let name = format!("key_{:016x}", ports::random());
        let path = key.write(self.dir.path(), &name);
        fs::write(self.dir.path().join(format!("{name}-cert.pub")), certificate).expect("certificate");
        let path = path.to_string_lossy();
        self.ssh_add(&[&path]);
        // Both were added; `-d` with `-k` removes the plain key.
        self.ssh_add(&["-k", "-d", &path]);
    }

    pub fn clear(&self) {
        self.ssh_add(&["-D"]);
    }

    /// A locked agent lists no keys and does not sign.
    pub fn lock(&self) {
        self.say(LOCK);
    }

    pub fn unlock(&self) {
        self.say(UNLOCK);
    }

    fn say(&self, kind: u8) {
        let mut stream = UnixStream::connect(self.socket()).expect("connect to ssh-agent");
        stream.write_all(&message(kind, &string(b"passphrase"))).expect("write");
        assert_eq!(read_message(&mut stream), Some(vec![6]), "SSH_AGENT_SUCCESS");
    }

    fn ssh_add(&self, arguments: &[&str]) {
        let mut command = Command::new("ssh-add");
        command.arg("-q").args(arguments).env("SSH_AUTH_SOCK", self.socket()).stdin(Stdio::null());
        let output = command.output().expect("ssh-add (Debian: openssh-client)");
        assert!(output.status.success(), "ssh-add: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What a [`FakeAgent`] does with a request.
pub enum Reply {
    /// Passes it to the real agent, and returns its reply.
    Upstream,
    /// These bytes, unchanged.
    Bytes(Vec<u8>),
    Close,
}

/// An agent whose replies a test decides, and that records its requests. Each connection has a
/// thread.
pub struct FakeAgent {
    shared: Arc<Shared>,
    dir: TempDir,
    thread: Option<JoinHandle<()>>,
}

type Replies = Box<dyn Fn(&[u8]) -> Reply + Send + Sync>;

struct Shared {
    reply: Replies,
    upstream: Option<PathBuf>,
    ended: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: HashMap<u8, usize>,
    heard: Vec<Vec<u8>>,
    /// To be shut down at the end.
    streams: Vec<UnixStream>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeAgent {
    /// Counts the messages between a client and this agent.
    pub fn counting(agent: &Agent) -> Self {
        Self::over(agent, |_| Reply::Upstream)
    }

    pub fn over(agent: &Agent, reply: impl Fn(u8) -> Reply + Send + Sync + 'static) -> Self {
        Self::new(Some(agent.socket()), Box::new(move |request| reply(kind_of(request))))
    }

    /// Has no real agent behind it. `reply` receives the type of each request.
    pub fn start(reply: impl Fn(u8) -> Reply + Send + Sync + 'static) -> Self {
        Self::answering(move |request| reply(kind_of(request)))
    }

    /// Has no real agent behind it. `reply` receives each request, without its length.
    pub fn answering(reply: impl Fn(&[u8]) -> Reply + Send + Sync + 'static) -> Self {
        Self::new(None, Box::new(reply))
    }

    fn new(upstream: Option<PathBuf>, reply: Replies) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let listener = UnixListener::bind(dir.path().join("agent")).expect("bind");
        let (ended, seen) = Default::default();
        let shared = Arc::new(Shared { reply, upstream, ended, seen });
        let own = shared.clone();
        let thread = thread::spawn(move || listen(&listener, &own));
        Self { shared, dir, thread: Some(thread) }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    /// Connections that were made.
    pub fn connections(&self) -> usize {
        self.shared.seen().connections
    }

    /// All requests so far, without their lengths.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.shared.seen().heard.clone()
    }

    /// Number of requests of this type.
    pub fn requests(&self, kind: u8) -> usize {
        self.shared.seen().requests.get(&kind).copied().unwrap_or(0)
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = UnixStream::connect(self.socket());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(listener: &UnixListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            break;
        }
        let stream = stream.expect("accept");
        let mut seen = shared.seen();
        seen.connections += 1;
        seen.streams.push(stream.try_clone().expect("clone"));
        drop(seen);
        let shared = shared.clone();
        threads.push(thread::spawn(move || serve(stream, &shared)));
    }
    for stream in &shared.seen().streams {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

fn serve(mut stream: UnixStream, shared: &Shared) {
    let mut upstream =
        shared.upstream.as_ref().map(|path| UnixStream::connect(path).expect("connect upstream"));
    while let Some(request) = read_message(&mut stream) {
        let kind = kind_of(&request);
        let mut seen = shared.seen();
        *seen.requests.entry(kind).or_default() += 1;
        seen.heard.push(request.clone());
        drop(seen);
        let answer = match ((shared.reply)(&request), &mut upstream) {
            (Reply::Upstream, Some(upstream)) => {
                if upstream.write_all(&framed(&request)).is_err() {
                    break;
                }
                let Some(answer) = read_message(upstream) else { break };
                framed(&answer)
            }
            (Reply::Bytes(bytes), _) => bytes,
            (Reply::Upstream | Reply::Close, _) => break,
        };
        if stream.write_all(&answer).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

fn kind_of(request: &[u8]) -> u8 {
    request.first().copied().unwrap_or_default()
}

/// The next message without its length; `None` at the end.
fn read_message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

fn framed(body: &[u8]) -> Vec<u8> {
    string(body)
}

/// With its length before it.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("a short string").to_be_bytes()[..], bytes].concat()
}

/// A whole message of this type.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    framed(&[&[kind], body].concat())
}

/// A list of this many keys, which nobody has.
pub fn list_of(count: u32) -> Vec<u8> {
    let mut body = count.to_be_bytes().to_vec();
    for index in 0..count {
        let key = [string(b"ssh-ed25519"), string(&[&[7; 28][..], &index.to_be_bytes()].concat())].concat();
        body.extend([string(&key), string(b"nobody's")].concat());
    }
    message(IDENTITIES_ANSWER, &body)
}

/// What [`ssh_add_list`] and commands on hosts print about the keys of an agent: one line per key.
pub fn ssh_add_list(socket: &Path) -> Vec<String> {
    let mut command = Command::new("ssh-add");
    let output = command.arg("-l").env("SSH_AUTH_SOCK", socket).output().expect("ssh-add");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
