//! The parent's side: starts a fleet, knows its addresses and keys, queries its counters, ends it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::builder::SimBuilder;
use crate::config::Config;
use crate::keys::{Keys, hashed_name, known_hosts_name};
use crate::setting::HostKeyKind;
use crate::sftp::{RemoteFile, from_line};
use crate::stats::Stats;
use crate::subset::host_address;

/// How long a fleet may take to listen, or to answer: enough for a machine under heavy load.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a fleet may take to exit before it is killed.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a fleet could not be started or queried.
#[derive(Debug)]
pub enum SimError {
    /// The process could not be started, or its pipes failed.
    Io(io::Error),
    /// The process reported why it cannot serve, or the configuration is invalid.
    Refused(String),
    /// The process ended.
    Ended,
    /// The process did not answer in time.
    Silent(Duration),
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "simulated fleet: {error}"),
            Self::Refused(reason) => write!(f, "simulated fleet: {reason}"),
            Self::Ended => write!(f, "simulated fleet: its process has ended"),
            Self::Silent(time) => write!(f, "simulated fleet: no answer within {time:?}"),
        }
    }
}

impl std::error::Error for SimError {}

impl From<io::Error> for SimError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The lines that the child prints, read by a thread that ends with the child.
pub(crate) fn reader(child: &mut Child) -> Receiver<String> {
    let (sender, answers) = channel();
    let Some(stdout) = child.stdout.take() else {
        return answers;
    };
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    answers
}

#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) answers: Receiver<String>,
}

impl Pipes {
    fn next(&self) -> Result<String, SimError> {
        self.answers.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => SimError::Silent(PATIENCE),
            RecvTimeoutError::Disconnected => SimError::Ended,
        })
    }

    fn ask(&mut self, question: &str) -> Result<String, SimError> {
        let Some(stdin) = &mut self.stdin else {
            return Err(SimError::Ended);
        };
        writeln!(stdin, "{question}")?;
        self.next()
    }
}

/// A running fleet. Dropping it ends the process, and kills it if it does not exit within 5 s.
#[derive(Debug)]
pub struct Sim {
    pub(crate) child: Child,
    pub(crate) pipes: Mutex<Pipes>,
    pub(crate) port: u16,
    pub(crate) keys: Keys,
    pub(crate) config: Config,
}

impl Sim {
    /// Starts the description of a fleet: healthy hosts, ed25519 host keys, login by the fleet's
    /// key or password.
    #[must_use]
    pub fn builder() -> SimBuilder {
        SimBuilder::default()
    }

    pub(crate) fn wait_for_port(&self) -> Result<u16, SimError> {
        let pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        // A program may print something else first, e.g. a test harness.
        loop {
            let line = pipes.next()?;
            match line.split_once(' ') {
                Some(("listening", port)) => {
                    return port.parse().map_err(|_| SimError::Refused(line));
                }
                Some(("error", reason)) => return Err(SimError::Refused(reason.to_owned())),
                _ => (),
            }
        }
    }

    /// The port that every host listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the fleet.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address of host number `index`: 127.1.0.1 upward, no last octet 0 or 255.
    ///
    /// # Panics
    /// When `index` is not below [`crate::HOSTS_MAX`].
    #[must_use]
    pub fn host(&self, index: usize) -> Ipv4Addr {
        host_address(index)
    }

    /// The first `count` hosts as `ADDRESS:PORT`.
    #[must_use]
    pub fn hosts(&self, count: usize) -> Vec<String> {
        (0..count).map(|index| format!("{}:{}", host_address(index), self.port)).collect()
    }

    /// The password of every account.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.config.password
    }

    /// All keys of the fleet.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The key that all accounts accept, as an OpenSSH private key file: ed25519, without
    /// passphrase.
    ///
    /// # Errors
    /// None in practice, see [`Keys::user`].
    pub fn user_key_openssh(&self) -> Result<String, SimError> {
        self.keys.user_openssh().map_err(SimError::Refused)
    }

    /// The hosts' first key as `TYPE BASE64`.
    ///
    /// # Errors
    /// None in practice, see [`Keys::host`].
    pub fn host_key_openssh(&self) -> Result<String, SimError> {
        let kind = self.config.host().host_keys.first().copied().unwrap_or(HostKeyKind::Ed25519);
        self.keys.host_public(kind).map_err(SimError::Refused)
    }

    /// A known_hosts file with which clients trust every host: one line per type of host key, with
    /// the patterns `[127.*]:PORT` and `[::1]:PORT`.
    ///
    /// # Errors
    /// None in practice, see [`Keys::host`].
    pub fn known_hosts(&self) -> Result<String, SimError> {
        let names = ["127.*", "::1"].map(|host| known_hosts_name(host, self.port)).join(",");
        self.known_hosts_lines([names])
    }

    /// Like [`Sim::known_hosts`], but with separate lines for each of the first `count` hosts, as
    /// written by a client that accepts new hosts; with `hashed` names as by `HashKnownHosts yes`.
    ///
    /// # Errors
    /// None in practice, see [`Keys::host`].
    pub fn known_hosts_of(&self, count: usize, hashed: bool) -> Result<String, SimError> {
        let name = |index: usize| {
            let name = known_hosts_name(&host_address(index).to_string(), self.port);
            if !hashed {
                return name;
            }
            let mut salt = [0; 20];
            salt[..8].copy_from_slice(&index.to_be_bytes());
            hashed_name(&name, salt)
        };
        self.known_hosts_lines((0..count).map(name))
    }

    fn known_hosts_lines(&self, names: impl IntoIterator<Item = String>) -> Result<String, SimError> {
        let kinds = self.config.host().host_keys;
        let keys = kinds.into_iter().map(|kind| self.keys.host_public(kind));
        let keys = keys.collect::<Result<Vec<String>, String>>().map_err(SimError::Refused)?;
        let mut lines = String::new();
        for name in names {
            for key in &keys {
                lines.push_str(&format!("{name} {key}\n"));
            }
        }
        Ok(lines)
    }

    /// The counters of all hosts together.
    ///
    /// # Errors
    /// The process has ended, or does not answer within 30 s.
    pub fn stats(&self) -> Result<Stats, SimError> {
        self.ask("stats")
    }

    /// The counters of the host at `address`.
    ///
    /// # Errors
    /// As for [`Sim::stats`].
    pub fn stats_of(&self, address: impl Into<IpAddr>) -> Result<Stats, SimError> {
        self.ask(&format!("stats {}", address.into()))
    }

    /// What is on the disk of the host at `address`, without the directories `/` and `/home`, which
    /// every host has.
    ///
    /// # Errors
    /// As for [`Sim::stats`].
    pub fn files_of(&self, address: impl Into<IpAddr>) -> Result<Vec<RemoteFile>, SimError> {
        let question = format!("files {}", address.into());
        let answer = self.pipes.lock().unwrap_or_else(PoisonError::into_inner).ask(&question)?;
        from_line(&answer).ok_or(SimError::Refused(answer))
    }

    /// Reads [`Sim::stats`] every 5 ms until `wanted` accepts them or `patience` is over; returns
    /// the last ones. For events shortly after the client is done, such as closed connections.
    ///
    /// # Errors
    /// As for [`Sim::stats`].
    pub fn wait_stats(&self, patience: Duration, wanted: impl Fn(&Stats) -> bool) -> Result<Stats, SimError> {
        let start = Instant::now();
        loop {
            let stats = self.stats()?;
            if wanted(&stats) || start.elapsed() > patience {
                return Ok(stats);
            }
            sleep(Duration::from_millis(5));
        }
    }

    fn ask(&self, question: &str) -> Result<Stats, SimError> {
        let answer = self.pipes.lock().unwrap_or_else(PoisonError::into_inner).ask(question)?;
        Stats::from_json(&answer).ok_or(SimError::Refused(answer))
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.pipes.get_mut().unwrap_or_else(PoisonError::into_inner).stdin = None;
        let start = Instant::now();
        while start.elapsed() < FAREWELL {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(2));
        }
        // Our own child, so its id cannot have been reused.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
