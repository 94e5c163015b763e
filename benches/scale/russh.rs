//! The obvious alternative: a small client on russh, with a tokio runtime of one thread.
//!
//! It accepts every host key, has no deadlines, and keeps a host's output in memory. It offers the
//! algorithms that sshoal and the simulated hosts agree on, so that both clients do the same
//! cryptography, or those of russh's default, whose key exchange is post-quantum.

use std::borrow::Cow;
use std::io::BufRead;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::client::{Config, Handle, Handler, connect};
use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect, Error, Preferred, cipher, kex, mac};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::measure::{Measured, Meter};
use super::support::{USER, keys};
use super::{Job, Workload};

pub fn run(job: Job) -> Measured {
    let mut meter = Meter::start();
    let client = Client::new(job);
    let hosts = (0..job.hosts).map(hostsim::host_address).collect();
    if job.workload == Workload::Fresh {
        let connections = client.fresh(hosts, "echo hello");
        let ok = connections.len();
        client.close(connections);
        return meter.end(ok, job.hosts - ok);
    }
    let connections = Arc::new(client.fresh(hosts, "true"));
    meter.restart_clocks();
    if matches!(job.workload, Workload::Sequence | Workload::Spare) {
        let took = client.sequence(&connections[0], &job.command(), job.amount);
        return meter.end(took.len(), 0).latencies(took);
    }
    let (mut ok, mut lines) = (0, 0);
    let rounds = if matches!(job.workload, Workload::Later | Workload::Open) { job.amount } else { 1 };
    for _ in 0..rounds {
        client.later(&connections, &job.command(), |printed| {
            ok += 1;
            if job.workload == Workload::Lines {
                lines += printed.lines().filter(|line| line.is_ok()).count();
            }
        });
    }
    assert!(job.workload != Workload::Lines || lines as u64 == ok as u64 * job.amount);
    meter.end(ok, job.hosts * rounds as usize - ok)
}

struct Client {
    runtime: Runtime,
    setup: Arc<Setup>,
}

struct Setup {
    config: Arc<Config>,
    key: Arc<PrivateKey>,
    port: u16,
    places: Semaphore,
}

/// A connection that is logged in.
struct Connection(Handle<AnyKey>);

/// Trusts every host.
struct AnyKey;

impl Handler for AnyKey {
    type Error = Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Error> {
        Ok(true)
    }
}

impl Client {
    fn new(job: Job) -> Self {
        let preferred = match job.client {
            super::Client::RusshDefault => Preferred::DEFAULT,
            _ => Preferred {
                kex: Cow::Borrowed(&[kex::CURVE25519, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT]),
                key: Cow::Borrowed(&[Algorithm::Ed25519]),
                cipher: Cow::Borrowed(&[cipher::CHACHA20_POLY1305]),
                mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM]),
                ..Preferred::DEFAULT
            },
        };
        let config = Config { preferred, nodelay: true, ..Config::default() };
        let setup = Setup {
            config: Arc::new(config),
            key: Arc::new(keys().user().unwrap()),
            port: job.port,
            places: Semaphore::new(job.pool),
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, setup: Arc::new(setup) }
    }

    /// Connects to these hosts, and runs a command on each as soon as it is connected.
    fn fresh(&self, hosts: Vec<Ipv4Addr>, command: &'static str) -> Vec<Connection> {
        self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for host in hosts {
                let setup = self.setup.clone();
                tasks.spawn(async move {
                    let _place = setup.places.acquire().await;
                    let connection = Connection::open(&setup, host).await?;
                    connection.run(command).await?;
                    Ok::<_, Error>(connection)
                });
            }
            tasks.join_all().await.into_iter().filter_map(Result::ok).collect()
        })
    }

    /// Runs a command over each of these connections, and passes the output of each to `see`.
    fn later(&self, connections: &Arc<Vec<Connection>>, command: &str, mut see: impl FnMut(Vec<u8>)) {
        self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for index in 0..connections.len() {
                let (connections, command) = (connections.clone(), command.to_owned());
                tasks.spawn(async move { connections[index].run(&command).await });
            }
            while let Some(output) = tasks.join_next().await {
                if let Ok(Ok(output)) = output {
                    see(output);
                }
            }
        });
    }

    /// Runs a command `times` times in sequence. Returns how long each took.
    fn sequence(&self, connection: &Connection, command: &str, times: u64) -> Vec<Duration> {
        self.runtime.block_on(async {
            let mut took = Vec::new();
            for _ in 0..times {
                let begun = Instant::now();
                if connection.run(command).await.is_ok() {
                    took.push(begun.elapsed());
                }
            }
            took
        })
    }

    /// Disconnects all of them.
    fn close(self, connections: impl IntoIterator<Item = Connection>) {
        self.runtime.block_on(async {
            for Connection(handle) in connections {
                let _ = handle.disconnect(Disconnect::ByApplication, "", "").await;
                let _ = handle.await;
            }
        });
    }
}

impl Connection {
    async fn open(setup: &Setup, host: Ipv4Addr) -> Result<Self, Error> {
        let mut handle = connect(setup.config.clone(), (host, setup.port), AnyKey).await?;
        let key = PrivateKeyWithHashAlg::new(setup.key.clone(), None);
        if handle.authenticate_publickey(USER, key).await?.success() {
            Ok(Self(handle))
        } else {
            Err(Error::NotAuthenticated)
        }
    }

    /// The output of the command. An error, unless it ended with status 0.
    async fn run(&self, command: &str) -> Result<Vec<u8>, Error> {
        let mut channel = self.0.channel_open_session().await?;
        channel.exec(true, command).await?;
        let (mut printed, mut status) = (Vec::new(), None);
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => printed.extend_from_slice(&data),
                ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
                _ => {}
            }
        }
        if status == Some(0) { Ok(printed) } else { Err(Error::Disconnect) }
    }
}
