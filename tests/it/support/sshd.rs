//! A real OpenSSH server (Debian: `openssh-server`) with its own configuration, keys and log.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::keys::{ClientKey, KeyPair};
use super::process::{Daemon, new_mark};
pub use super::sshd_config::Builder;
use super::system::{current_user, public_dir};
use super::{eventually, ports};

pub(super) const PROGRAM: &str = "/usr/sbin/sshd";
const START_LIMIT: Duration = Duration::from_secs(10);
const LOG_LIMIT: Duration = Duration::from_secs(5);

/// A running server. Dropping it ends it, its sessions and their commands, and removes its files.
pub struct Sshd {
    // Dropped in this order: no process is left when the directory is removed.
    daemon: Daemon,
    dir: TempDir,
    log: PathBuf,
    port: u16,
    addresses: Vec<IpAddr>,
    host_keys: Vec<KeyPair>,
}

impl Sshd {
    /// On 0.0.0.0, an Ed25519 host key, public keys and passwords, log level VERBOSE.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub fn start() -> Self {
        Self::builder().start()
    }

    /// `None` if the port is in use.
    pub(super) fn try_start(builder: &Builder, port: u16) -> Option<Self> {
        let dir = public_dir();
        let mark = new_mark();
        let host_keys = builder.write_keys(dir.path());
        let config = dir.path().join("sshd_config");
        fs::write(&config, builder.config(port, dir.path(), &mark)).expect("write sshd_config");
        let log = dir.path().join("log");
        let mut command = Command::new(PROGRAM);
        command.args(["-D", "-e", "-f"]).arg(config);
        let daemon = Daemon::spawn(&mut command, mark, &log, dir.path()).expect("start sshd");
        let mut sshd = Self { daemon, dir, log, port, addresses: builder.addresses().to_vec(), host_keys };
        sshd.await_start().then_some(sshd)
    }

    /// Reads the log, so that no probe adds a connection to those that a test counts. `false` means
    /// that the port was taken.
    fn await_start(&mut self) -> bool {
        eventually(START_LIMIT, "sshd listening", || {
            // In this order: the log of an ended server is complete.
            let ended = self.daemon.exited();
            let log = self.log();
            if log.lines().any(|line| line.contains("Bind to port") && line.contains("failed")) {
                return Some(false);
            }
            if log.matches("Server listening on").count() == self.addresses.len() {
                return Some(true);
            }
            assert!(ended.is_none(), "sshd has ended:\n{log}");
            None
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address to connect to; 127.0.0.1 or `::1` if it listens on the unspecified address.
    pub fn address(&self) -> SocketAddr {
        let ip = match self.addresses[0] {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.port)
    }

    /// `count` host names for one server on 0.0.0.0: 127.0.2.1, 127.0.2.2, …
    pub fn hosts(&self, count: u32) -> impl Iterator<Item = String> + use<> {
        Self::host_names(count)
    }

    /// The same for a process other than the one that has started the server.
    pub fn host_names(count: u32) -> impl Iterator<Item = String> + use<> {
        let first = u32::from(Ipv4Addr::new(127, 0, 2, 1));
        (0..count).map(move |index| Ipv4Addr::from(first + index).to_string())
    }

    /// The user whom the keys log in: the one who runs the tests.
    pub fn user(&self) -> &'static str {
        current_user()
    }

    /// The file of a private key that is accepted for [`Self::user`] and for every other user; its
    /// public half is beside it, in `.pub`.
    pub fn key(&self, key: ClientKey) -> PathBuf {
        key.authorize(self.dir.path(), &self.dir.path().join("authorized_keys"))
    }

    pub fn host_keys(&self) -> &[KeyPair] {
        &self.host_keys
    }

    /// One line per host key for this host name or address and this server's port.
    pub fn known_hosts_lines(&self, host: &str) -> String {
        let line = |key: &KeyPair| format!("[{host}]:{} {}\n", self.port, key.public());
        self.host_keys.iter().map(line).collect()
    }

    /// A `known_hosts` file, in this server's directory, with these hosts.
    pub fn known_hosts<H: AsRef<str>>(&self, hosts: impl IntoIterator<Item = H>) -> PathBuf {
        let path = self.dir.path().join(format!("known_hosts_{:016x}", ports::random()));
        let text: String = hosts.into_iter().map(|host| self.known_hosts_lines(host.as_ref())).collect();
        fs::write(&path, text).expect("write known_hosts");
        path
    }

    /// A directory that lives as long as the server and that every user may enter.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until `count` lines of the log contain `text`, because the server logs after it has
    /// answered.
    #[track_caller]
    pub fn await_log(&self, text: &str, count: usize) {
        let what = format!("{count} lines with {text:?} in the log of sshd");
        eventually(LOG_LIMIT, &what, || (self.count(text) >= count).then_some(()));
    }

    /// The number of log lines that contain `text`.
    pub fn count(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// The result of each authentication attempt, in order. `none`, which requests the list of
    /// methods, is not counted.
    pub fn auth_messages(&self) -> Vec<AuthMessage> {
        self.log().lines().filter_map(AuthMessage::parse).collect()
    }

    /// The number of `SSH_MSG_USERAUTH_REQUEST`s received, including `none`.
    ///
    /// # Panics
    /// If the server does not log at `DEBUG1` or above.
    pub fn userauth_requests(&self) -> usize {
        let log = self.log();
        assert!(log.lines().any(|line| line.starts_with("debug1:")), "needs log_level(\"DEBUG1\")");
        log.lines().filter(|line| line.contains("userauth-request for user")).count()
    }
}

/// A line such as `Accepted publickey for root from 127.0.0.1 port 4711 ssh2: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthMessage {
    /// `Accepted`, `Failed`, `Partial` or `Postponed` (the server replied that a signature by this
    /// key is acceptable).
    pub outcome: String,
    pub method: String,
    pub user: String,
}

impl AuthMessage {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let outcome = words.next()?;
        let method = words.next()?;
        if !["Accepted", "Failed", "Partial", "Postponed"].contains(&outcome) || method == "none" {
            return None;
        }
        let mut user = words.skip_while(|&word| word != "for").skip(1).peekable();
        if user.peek() == Some(&"invalid") {
            user.nth(1)?;
        }
        // libssh 0.12 binds its signature to the host's key (OpenSSH `PROTOCOL` section 3.1).
        let method = method.strip_suffix("-hostbound-v00@openssh.com").unwrap_or(method);
        Some(Self { outcome: outcome.into(), method: method.into(), user: user.next()?.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_authentication_are_understood() {
        let lines = [
            ("Failed none for invalid user eve from 127.0.0.1 port 4711 ssh2", None),
            ("Server listening on 0.0.0.0 port 4711.", None),
            (
                "Failed password for invalid user eve from 127.0.0.1 port 4711 ssh2",
                Some("Failed password eve"),
            ),
            (
                "Accepted publickey for root from ::1 port 4711 ssh2: RSA SHA256:…",
                Some("Accepted publickey root"),
            ),
            (
                "Postponed publickey-hostbound-v00@openssh.com for eve from ::1 port 4711 ssh2 [preauth]",
                Some("Postponed publickey eve"),
            ),
            (
                "Postponed publickey for for from ::1 port 4711 ssh2 [preauth]",
                Some("Postponed publickey for"),
            ),
        ];
        for (line, expected) in lines {
            let words =
                |message: AuthMessage| format!("{} {} {}", message.outcome, message.method, message.user);
            assert_eq!(AuthMessage::parse(line).map(words).as_deref(), expected, "{line}");
        }
    }
}
