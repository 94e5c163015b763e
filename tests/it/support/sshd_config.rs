//! The configuration of an [`Sshd`]: its `sshd_config` and its key files.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::keys::{KeyPair, KeyType, host_key};
use super::ports;
use super::process::MARK;
use super::sftp::{Chroot, SFTP_SERVER};
use super::sshd::{PROGRAM, Sshd};
use super::system::{is_root, public_dir};

const START_ATTEMPTS: u32 = 20;

/// A server's configuration; the defaults suit most tests.
#[derive(Clone, Debug)]
pub struct Builder {
    addresses: Vec<IpAddr>,
    host_keys: Vec<KeyType>,
    own_host_key: Option<KeyPair>,
    log_level: String,
    environment: Vec<String>,
    options: Vec<String>,
    matches: Vec<String>,
    authorized: Vec<String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            addresses: vec![Ipv4Addr::UNSPECIFIED.into()],
            host_keys: vec![KeyType::Ed25519],
            own_host_key: None,
            log_level: "VERBOSE".to_owned(),
            environment: Vec::new(),
            options: Vec::new(),
            matches: Vec::new(),
            authorized: Vec::new(),
        }
    }
}

impl Builder {
    /// Listens on these instead of 0.0.0.0, all with one port.
    pub fn listen(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.addresses = addresses.into_iter().collect();
        self
    }

    /// Host keys of these types instead of Ed25519 alone.
    pub fn host_keys(mut self, types: impl IntoIterator<Item = KeyType>) -> Self {
        self.host_keys = types.into_iter().collect();
        self
    }

    /// This host key only, as for a host whose key has changed.
    pub fn own_host_key(mut self, key: KeyPair) -> Self {
        self.own_host_key = Some(key);
        self
    }

    /// `VERBOSE` unless changed; [`Sshd::userauth_requests`] needs `DEBUG1`.
    pub fn log_level(mut self, level: &str) -> Self {
        self.log_level = level.to_owned();
        self
    }

    /// A variable in every command's environment. (`SetEnv` as an option would be ignored: the
    /// first one wins.)
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push(format!("{name}={value}"));
        self
    }

    /// A line of `sshd_config`, such as `Ciphers aes256-ctr`; it precedes the fixture's own, so it
    /// wins.
    pub fn option(mut self, line: &str) -> Self {
        self.options.push(line.to_owned());
        self
    }

    /// A `Match` block, such as `matching("LocalAddress 127.0.2.2", &["ForceCommand exit 7"])`.
    pub fn matching(mut self, criteria: &str, lines: &[&str]) -> Self {
        self.matches.push(format!("Match {criteria}\n    {}", lines.join("\n    ")));
        self
    }

    /// OpenSSH's `sftp-server` as a program with these arguments, instead of the one inside sshd.
    pub fn sftp_server(self, arguments: &str) -> Self {
        assert!(Path::new(SFTP_SERVER).exists(), "{SFTP_SERVER} is missing (Debian: openssh-sftp-server)");
        self.option(&format!("Subsystem sftp {SFTP_SERVER} {arguments}"))
    }

    /// Whatever a client asks for, it gets SFTP by the server inside sshd, and sees `root` as the
    /// whole disk.
    pub fn chrooted(self, root: &Chroot) -> Self {
        self.option("ForceCommand internal-sftp")
            .option(&format!("ChrootDirectory {}", root.path().display()))
    }

    /// A line of `authorized_keys`; [`Sshd::key`] adds one for each key that it returns.
    pub fn authorized_key(mut self, line: &str) -> Self {
        self.authorized.push(line.to_owned());
        self
    }

    /// Starts the server and waits until its port is open.
    ///
    /// # Panics
    /// If it does not start; the message contains its log.
    pub fn start(self) -> Sshd {
        assert!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing (Debian: openssh-server)");
        ensure_privilege_separation_directory();
        for _ in 0..START_ATTEMPTS {
            if let Some(sshd) = Sshd::try_start(&self, ports::candidate()) {
                return sshd;
            }
        }
        panic!("no free port for sshd in {START_ATTEMPTS} attempts");
    }

    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Writes the key files that the configuration names; returns the host keys.
    pub(super) fn write_keys(&self, dir: &Path) -> Vec<KeyPair> {
        let host_keys: Vec<KeyPair> = match &self.own_host_key {
            Some(key) => vec![key.clone()],
            None => self.host_keys.iter().map(|&key_type| host_key(key_type).clone()).collect(),
        };
        for (index, key) in host_keys.iter().enumerate() {
            key.write(dir, &format!("host_key_{index}"));
        }
        let authorized: String = self.authorized.iter().map(|line| format!("{line}\n")).collect();
        fs::write(dir.join("authorized_keys"), authorized).expect("write authorized_keys");
        host_keys
    }

    pub(super) fn config(&self, port: u16, dir: &Path, mark: &str) -> String {
        let dir = dir.display();
        let count = self.own_host_key.as_ref().map_or(self.host_keys.len(), |_| 1);
        let mut text = String::new();
        let mut line = |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").expect("write to a string");
        for option in &self.options {
            line(format_args!("{option}"));
        }
        line(format_args!("Port {port}"));
        for address in &self.addresses {
            line(format_args!("ListenAddress {address}"));
        }
        for index in 0..count {
            line(format_args!("HostKey {dir}/host_key_{index}"));
        }
        line(format_args!("AuthorizedKeysFile {dir}/authorized_keys"));
        line(format_args!("LogLevel {}", self.log_level));
        // bash takes SHLVL < 2 under sshd for a remote login and reads ~/.bashrc; 5 prevents that.
        line(format_args!("SetEnv {MARK}={mark} SHLVL=5 {}", self.environment.join(" ")));
        // sshd uses the last `MaxStartups`.
        let is_set =
            |keyword: &str| self.options.iter().any(|option| option.split(' ').next() == Some(keyword));
        for default in DEFAULTS.lines().filter(|line| !line.split(' ').next().is_some_and(is_set)) {
            line(format_args!("{default}"));
        }
        if knows_penalties() {
            line(format_args!("PerSourcePenalties no"));
        }
        for block in &self.matches {
            line(format_args!("{block}"));
        }
        text
    }
}

/// Lifts every limit that a fleet of loopback hosts would reach, and leaves out machine-specific
/// settings.
const DEFAULTS: &str = "\
AcceptEnv LANG LC_*
KbdInteractiveAuthentication no
MaxSessions 1000
MaxStartups 100000
PermitRootLogin yes
PermitUserRC no
PidFile none
PrintLastLog no
PrintMotd no
StrictModes no
Subsystem sftp internal-sftp
UseDNS no
UsePAM no";

/// Debian's unit file creates it when the service starts, which does not happen on test machines.
fn ensure_privilege_separation_directory() {
    if is_root() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create("/run/sshd").expect("create /run/sshd");
    }
}

/// OpenSSH 9.8 blocks an address after failures, which tests cause on purpose; older versions do
/// not know the option that disables it.
fn knows_penalties() -> bool {
    static KNOWS: OnceLock<bool> = OnceLock::new();
    *KNOWS.get_or_init(|| {
        let dir = public_dir();
        let key = host_key(KeyType::Ed25519).write(dir.path(), "host_key");
        let mut command = Command::new(PROGRAM);
        command.args(["-t", "-f", "/dev/null", "-o", "PerSourcePenalties no", "-h"]).arg(key);
        command.output().expect("run sshd").status.success()
    })
}
