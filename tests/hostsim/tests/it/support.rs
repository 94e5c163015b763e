//! A client that records everything it receives.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hostsim::{Sim, SimBuilder, Stats};
use russh::client::{self, AuthResult, DisconnectReason, Handle};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Error, Sig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Far more than any test needs; exceeded only by a bug.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn spawn(builder: SimBuilder) -> Sim {
    builder.spawn(Command::new(env!("CARGO_BIN_EXE_hostsim"))).unwrap()
}

pub fn healthy() -> Sim {
    spawn(Sim::builder())
}

pub fn faulty(rule: &str) -> Sim {
    spawn(Sim::builder().rule(rule))
}

pub fn run<T>(future: impl Future<Output = T>) -> T {
    run_within(PATIENCE, future)
}

pub fn run_within<T>(patience: Duration, future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(patience, future).await.expect("no end in sight") })
}

/// Asserts that `future` takes at least `least`, and returns its value.
pub async fn takes<T>(least: Duration, future: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let value = future.await;
    let took = start.elapsed();
    assert!(took >= least, "took {took:?}, expected {least:?}");
    value
}

/// Asserts that `future` stays pending for a while.
pub async fn silent<T: Debug>(future: impl Future<Output = T>) {
    let heard = tokio::time::timeout(Duration::from_millis(300), future).await;
    assert!(heard.is_err(), "expected silence, got {heard:?}");
}

/// Waits, while the client continues, for what a host sees a moment later.
pub async fn settled(sim: &Sim, wanted: impl Fn(&Stats) -> bool) -> Stats {
    let start = Instant::now();
    loop {
        let stats = sim.stats().unwrap();
        assert_eq!(stats.panics, 0);
        if wanted(&stats) {
            return stats;
        }
        assert!(start.elapsed() < PATIENCE / 2, "{stats:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for the fleet to notice that the client has gone.
pub fn left_alone(sim: &Sim) -> Stats {
    run(settled(sim, |stats| stats.connections_now == 0 && stats.channels_now == 0))
}

/// How the TCP stream ended, from the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpEnd {
    Open,
    Fin,
    Rst,
}

#[derive(Debug, Default)]
struct Seen {
    tcp: Option<TcpEnd>,
    received: u64,
    disconnect: Option<String>,
    host_key: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Seen>>);

impl Log {
    pub fn tcp(&self) -> TcpEnd {
        self.0.lock().unwrap().tcp.unwrap_or(TcpEnd::Open)
    }

    /// Bytes received on the wire.
    pub fn received(&self) -> u64 {
        self.0.lock().unwrap().received
    }

    /// Waits for SSH_MSG_DISCONNECT and returns its description.
    pub async fn disconnect(&self) -> String {
        loop {
            if let Some(text) = self.0.lock().unwrap().disconnect.take() {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn host_key(&self) -> Option<String> {
        self.0.lock().unwrap().host_key.clone()
    }

    /// Waits for the end of the TCP stream.
    pub async fn ended(&self) -> TcpEnd {
        while self.tcp() == TcpEnd::Open {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.tcp()
    }
}

/// The client's end of the connection.
struct Observed {
    tcp: TcpStream,
    log: Log,
}

impl AsyncRead for Observed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.tcp).poll_read(cx, buf));
        let length = buf.filled().len() - before;
        let mut seen = self.log.0.lock().unwrap();
        match &result {
            Ok(()) if length == 0 => seen.tcp = Some(TcpEnd::Fin),
            Ok(()) => seen.received += length as u64,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => seen.tcp = Some(TcpEnd::Rst),
            Err(error) => panic!("{error}"),
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Observed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

pub struct Observer(Log);

impl client::Handler for Observer {
    type Error = Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        self.0.0.lock().unwrap().host_key = Some(key.to_openssh().unwrap());
        Ok(true)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.0.0.lock().unwrap().disconnect = Some(info.message);
                Ok(())
            }
            DisconnectReason::Error(error) => Err(error),
        }
    }
}

pub type Session = Handle<Observer>;

pub async fn tcp(sim: &Sim, address: impl Into<IpAddr>) -> TcpStream {
    TcpStream::connect(SocketAddr::new(address.into(), sim.port())).await.unwrap()
}

pub async fn connect_with(
    sim: &Sim,
    address: impl Into<IpAddr>,
    config: client::Config,
) -> (Result<Session, Error>, Log) {
    let log = Log::default();
    let stream = Observed { tcp: tcp(sim, address).await, log: log.clone() };
    (client::connect_stream(Arc::new(config), stream, Observer(log.clone())).await, log)
}

/// Connects to host number `index`, up to the end of key exchange.
pub async fn connect(sim: &Sim, index: usize) -> (Session, Log) {
    let (session, log) = connect_with(sim, sim.host(index), client::Config::default()).await;
    (session.unwrap(), log)
}

pub fn key(sim: &Sim) -> PrivateKeyWithHashAlg {
    let key = PrivateKey::from_openssh(sim.user_key_openssh().unwrap()).unwrap();
    PrivateKeyWithHashAlg::new(Arc::new(key), None)
}

pub async fn login(sim: &Sim, index: usize) -> (Session, Log) {
    let (mut session, log) = connect(sim, index).await;
    let result = session.authenticate_publickey("user", key(sim)).await.unwrap();
    assert!(matches!(result, AuthResult::Success), "{result:?}");
    (session, log)
}

/// Everything received on one channel.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// The response to the exec request.
    pub accepted: Option<bool>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub status: Option<u32>,
    pub signal: Option<String>,
    pub eof: bool,
    pub close: bool,
}

impl Outcome {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The expected outcome of a successful command.
    pub fn good(stdout: &[u8], stderr: &[u8], status: u32) -> Self {
        Self {
            accepted: Some(true),
            stdout: stdout.to_vec(),
            stderr: stderr.to_vec(),
            status: Some(status),
            signal: None,
            eof: true,
            close: true,
        }
    }
}

pub type Channel = russh::Channel<client::Msg>;

pub async fn start(session: &Session, command: &str) -> Channel {
    let channel = session.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    channel
}

/// Records one message; returns whether there was one.
pub async fn note(channel: &mut Channel, outcome: &mut Outcome) -> bool {
    let Some(message) = channel.wait().await else {
        return false;
    };
    match message {
        ChannelMsg::Success => outcome.accepted = Some(true),
        ChannelMsg::Failure => outcome.accepted = Some(false),
        ChannelMsg::Data { data } => outcome.stdout.extend_from_slice(&data),
        ChannelMsg::ExtendedData { data, ext: 1 } => outcome.stderr.extend_from_slice(&data),
        ChannelMsg::ExitStatus { exit_status } => outcome.status = Some(exit_status),
        ChannelMsg::ExitSignal { signal_name, .. } => {
            outcome.signal = Some(match signal_name {
                Sig::Custom(name) => name,
                known => format!("{known:?}"),
            });
        }
        ChannelMsg::Eof => outcome.eof = true,
        ChannelMsg::Close => outcome.close = true,
        other => panic!("{other:?}"),
    }
    true
}

/// Receives until the channel or the connection ends.
pub async fn finish(mut channel: Channel) -> Outcome {
    let mut outcome = Outcome::default();
    while note(&mut channel, &mut outcome).await {}
    outcome
}

/// Receives until nothing has arrived for 300 ms.
pub async fn until_quiet(channel: &mut Channel) -> Outcome {
    let mut outcome = Outcome::default();
    let quiet = Duration::from_millis(300);
    while let Ok(true) = tokio::time::timeout(quiet, note(channel, &mut outcome)).await {}
    outcome
}

pub async fn exec(session: &Session, command: &str) -> Outcome {
    finish(start(session, command).await).await
}

pub fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(hostsim::pattern_byte).collect()
}
