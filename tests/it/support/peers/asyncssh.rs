//! asyncssh's server, which shares no code with OpenSSH and has SFTP and SCP of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::super::keys::{ClientKey, KeyType, host_key};
use super::super::system::public_dir;

/// A running server, which has SFTP and SCP and no commands. Any user name and
/// [`ClientKey::Ed25519`] log in.
pub struct Asyncssh {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

impl Asyncssh {
    /// `None` if PyPI, where it is from, cannot be reached.
    pub fn start() -> Option<Self> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let output = Command::new(tests.join("asyncssh")).output().expect("tests/asyncssh");
        let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.code() == Some(75) {
            eprintln!("skipped: {}", text(&output.stderr));
            return None;
        }
        assert!(output.status.success(), "tests/asyncssh: {}", text(&output.stderr));

        let dir = public_dir();
        fs::create_dir(dir.path().join("root")).expect("create");
        let own_key = host_key(KeyType::Ed25519).write(dir.path(), "host_key");
        let user_key = ClientKey::Ed25519.pair().write(dir.path(), "id").with_extension("pub");
        let mut command = Command::new("python3");
        // Write no bytecode into the source folder.
        command.arg("-B").arg(tests.join("it/support/peers/asyncssh_server.py"));
        command.arg(own_key).arg(user_key).arg(dir.path().join("root"));
        command.env("PYTHONPATH", text(&output.stdout)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server's first line");
        let port = line.trim_end().strip_prefix("listening ").and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("asyncssh_server.py did not start: {line:?}"));
        Some(Self { child, dir, address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients see as `/`.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The file of the private key that is accepted.
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("id")
    }

    /// A `known_hosts` file with this server's address and port.
    pub fn known_hosts(&self) -> PathBuf {
        let path = self.dir.path().join("known_hosts");
        let key = host_key(KeyType::Ed25519).public();
        let line = format!("[{}]:{} {key}\n", self.address.ip(), self.address.port());
        fs::write(&path, line).expect("write known_hosts");
        path
    }
}

impl Drop for Asyncssh {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
