//! A real Dropbear server (Debian: `dropbear-bin`), an SSH implementation that shares no code with
//! OpenSSH.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::keys::{ClientKey, KeyType};
use super::process::{Daemon, new_mark};
use super::system::public_dir;
use super::user::TestUser;
use super::{eventually, ports};

const PROGRAM: &str = "/usr/sbin/dropbear";
/// Where the `sftp-server` is that Dropbear starts.
const SFTP_DIRECTORY: &str = "/usr/lib/openssh";
const START_ATTEMPTS: u32 = 20;
const START_LIMIT: Duration = Duration::from_secs(10);
const LOG_LIMIT: Duration = Duration::from_secs(5);

/// A running server, and the user who can log in: Dropbear reads only `~/.ssh/authorized_keys`, and
/// tests must not change the home of the user who runs them.
pub struct Dropbear {
    // Dropped in this order: no process is left when the user and the directory are removed.
    daemon: Daemon,
    user: TestUser,
    dir: TempDir,
    log: PathBuf,
    address: SocketAddr,
    host_key: String,
}

/// How the program is started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Launch {
    Plain,
    WithoutSftp,
}

impl Launch {
    /// `dir` gets what the command needs.
    fn command(self, dir: &Path) -> Command {
        if self == Self::Plain {
            return Command::new(PROGRAM);
        }
        let empty = dir.join("empty");
        fs::create_dir(&empty).expect("create");
        let script = format!(r#"mount --bind "$1" {SFTP_DIRECTORY} && shift && exec {PROGRAM} "$@""#);
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--mount", "/bin/sh", "-c", &script, "sh"]).arg(empty);
        command
    }
}

impl Dropbear {
    /// On 127.0.0.1, with an Ed25519 host key. `None` if no [`TestUser`] is available.
    pub fn start() -> Option<Self> {
        Self::start_with(Ipv4Addr::LOCALHOST.into(), KeyType::Ed25519, &[])
    }

    /// Like [`start`](Self::start), on a machine without `sftp-server`: Dropbear accepts the
    /// subsystem, and its command ends with 127.
    ///
    /// With [`start`](Self::start), it finds `/usr/lib/sftp-server`, a link of the package
    /// openssh-sftp-server. Here, an empty directory covers where that link leads, for this server
    /// alone.
    pub fn start_without_sftp() -> Option<Self> {
        let can = Command::new("unshare").args(["--mount", "true"]).output().expect("unshare");
        if !can.status.success() {
            assert!(std::env::var_os("CI").is_none(), "CI has to run these tests where mounting is allowed");
            eprintln!("skipped: {}", String::from_utf8_lossy(&can.stderr).trim());
            return None;
        }
        Self::start_by(Launch::WithoutSftp, Ipv4Addr::LOCALHOST.into(), KeyType::Ed25519, &[])
    }

    /// `options` are further arguments of the program, such as `-T 3`.
    ///
    /// # Panics
    /// If it does not start; the message contains its log.
    pub fn start_with(ip: IpAddr, key_type: KeyType, options: &[&str]) -> Option<Self> {
        Self::start_by(Launch::Plain, ip, key_type, options)
    }

    fn start_by(launch: Launch, ip: IpAddr, key_type: KeyType, options: &[&str]) -> Option<Self> {
        assert!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing (Debian: dropbear-bin)");
        let mut user = TestUser::create()?;
        for _ in 0..START_ATTEMPTS {
            let address = SocketAddr::new(ip, ports::candidate());
            match Self::try_start(launch, user, address, key_type, options) {
                Ok(dropbear) => return Some(dropbear),
                Err(unused) => user = unused,
            }
        }
        panic!("no free port for dropbear in {START_ATTEMPTS} attempts");
    }

    /// Returns the user if the port is in use.
    fn try_start(
        launch: Launch,
        user: TestUser,
        address: SocketAddr,
        key_type: KeyType,
        options: &[&str],
    ) -> Result<Self, TestUser> {
        let dir = public_dir();
        let key_file = dir.path().join("host_key");
        let host_key = generate_host_key(&key_file, key_type);
        let log = dir.path().join("log");
        let mut command = launch.command(dir.path());
        // -e passes the server's environment, and so its mark, to the commands: remove the rest of
        // it.
        command.env_clear().env("PATH", "/usr/bin:/bin").args(["-F", "-E", "-e", "-m"]).args(options);
        command.arg("-r").arg(key_file).arg("-p").arg(address.to_string());
        command.arg("-P").arg(dir.path().join("pid"));
        let daemon = Daemon::spawn(&mut command, new_mark(), &log, dir.path()).expect("start dropbear");
        let mut dropbear = Self { daemon, user, dir, log, address, host_key };
        if dropbear.await_start() { Ok(dropbear) } else { Err(dropbear.user) }
    }

    fn await_start(&mut self) -> bool {
        eventually(START_LIMIT, "dropbear listening", || {
            // In this order: the log of an ended server is complete.
            let ended = self.daemon.exited();
            let log = self.log();
            if log.contains("Failed listening") {
                return Some(false);
            }
            // Logged once all ports are open.
            if log.contains("Not backgrounding") {
                return Some(true);
            }
            assert!(ended.is_none(), "dropbear has ended:\n{log}");
            None
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn user(&self) -> &TestUser {
        &self.user
    }

    /// The file of an accepted private key.
    pub fn key(&self, key: ClientKey) -> PathBuf {
        self.user.key(key)
    }

    /// A `known_hosts` file with this server's address and port.
    pub fn known_hosts(&self) -> PathBuf {
        let path = self.dir.path().join("known_hosts");
        let line = format!("[{}]:{} {}\n", self.address.ip(), self.address.port(), self.host_key);
        fs::write(&path, line).expect("write known_hosts");
        path
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
        let what = format!("{count} lines with {text:?} in the log of dropbear");
        let found = || self.log().lines().filter(|line| line.contains(text)).count();
        eventually(LOG_LIMIT, &what, || (found() >= count).then_some(()));
    }
}

/// Writes a private key in Dropbear's own format; returns the public key as in `known_hosts`.
fn generate_host_key(path: &Path, key_type: KeyType) -> String {
    let mut command = Command::new("dropbearkey");
    let output = command.args(["-t", key_type.name(), "-f"]).arg(path).output().expect("run dropbearkey");
    assert!(output.status.success(), "dropbearkey: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let is_key = |line: &&str| line.starts_with("ssh-") || line.starts_with("ecdsa-");
    let line = text.lines().find(is_key).expect("a public key");
    // The third word is a comment.
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
