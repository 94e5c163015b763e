//! A temporary system user with a password and a home directory, for tests that the current user
//! cannot run: password authentication without PAM, and servers that read `~/.ssh` only.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::keys::ClientKey;
use super::ports;
use super::process::{Janitor, processes_of, signal};
use super::system::{is_root, public_dir};

const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Dropping it ends the user's processes and removes the account and its home.
pub struct TestUser {
    name: String,
    password: String,
    uid: u32,
    home: TempDir,
    _janitor: Janitor,
}

impl TestUser {
    /// Creates a user with a random password and `/bin/sh`. `None` unless run by root, except in
    /// CI, where nothing may be skipped.
    pub fn create() -> Option<Self> {
        // At most 32 characters, and nothing that needs quoting.
        Self::with_name(&format!("sshoal{:016x}", ports::random()))
    }

    /// Like [`create`](Self::create), with this name, which may have blanks and backslashes.
    pub fn with_name(name: &str) -> Option<Self> {
        if !is_root() {
            assert!(std::env::var_os("CI").is_none(), "CI has to run these tests as root");
            eprintln!("skipped: only root can create a user");
            return None;
        }
        let home = public_dir();
        let name = name.to_owned();
        let password = format!("{:016x} {:016x}", ports::random(), ports::random());
        let janitor = Janitor::new(ABANDONED_USER, &[&name, &home.path().to_string_lossy()]);
        account(Command::new("useradd").args(USERADD).arg(home.path()).arg(&name), "");
        let mut user = Self { name, password, uid: 0, home, _janitor: janitor };
        // chpasswd itself computes SHA512; its default uses PAM and takes several times as long.
        let entry = format!("{}:{}\n", user.name, user.password);
        account(Command::new("chpasswd").args(["--crypt-method", "SHA512"]), &entry);
        let output = run(Command::new("id").args(["-u", &user.name]), "");
        user.uid = String::from_utf8_lossy(&output.stdout).trim_end().parse().expect("a numeric user id");
        user.make_ssh_dir();
        Some(user)
    }

    fn make_ssh_dir(&self) {
        let ssh = self.home.path().join(".ssh");
        let authorized = ssh.join("authorized_keys");
        fs::create_dir(&ssh).expect("create ~/.ssh");
        fs::write(&authorized, "").expect("write authorized_keys");
        // Not writable by other users: dropbear checks all three.
        for (path, mode) in [(self.home.path(), 0o755), (&ssh, 0o700), (&authorized, 0o600)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
            chown(path, Some(self.uid), None).expect("chown");
        }
    }

    /// The file of a private key that logs this user in wherever `~/.ssh/authorized_keys` counts;
    /// readable by the user who runs the tests.
    pub fn key(&self, key: ClientKey) -> PathBuf {
        key.authorize(self.home.path(), &self.home.path().join(".ssh/authorized_keys"))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// It contains a space.
    pub fn password(&self) -> &str {
        &self.password
    }

    pub fn uid(&self) -> u32 {
        self.uid
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

impl Drop for TestUser {
    fn drop(&mut self) {
        // Zero only if creating the account failed half-way: root's processes must not be killed.
        if self.uid != 0 {
            for pid in processes_of(self.uid) {
                signal(pid, Signal::KILL);
            }
        }
        let output = retry_locked(Command::new("userdel").args(["--force", &self.name]), "");
        if !output.status.success() && !thread::panicking() {
            panic!("userdel {}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// A system account, so that it gets no subordinate ids, without a group that would have to be
/// removed.
const USERADD: [&str; 8] = [
    "--system",
    "--badname",
    "--no-create-home",
    "--no-user-group",
    "--gid=nogroup",
    "--shell=/bin/sh",
    "--no-log-init",
    "--home",
];

/// The user's processes belong to servers, whose own janitors end them.
const ABANDONED_USER: &str = r#"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        id -u "$1" >/dev/null 2>&1 || break
        userdel --force "$1"
        sleep 0.1
    done
    rm -rf -- "$2""#;

fn account(command: &mut Command, input: &str) {
    let output = retry_locked(command, input);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The tools of Debian's `passwd` fail at once while another one holds the lock of /etc/passwd.
fn retry_locked(command: &mut Command, input: &str) -> Output {
    let start = Instant::now();
    loop {
        let output = run(command, input);
        let locked = String::from_utf8_lossy(&output.stderr).contains("lock");
        if output.status.success() || !locked || start.elapsed() > LOCK_LIMIT {
            return output;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn run(command: &mut Command, input: &str) -> Output {
    command.env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error} (Debian: passwd)"));
    let mut stdin = child.stdin.take().expect("piped above");
    stdin.write_all(input.as_bytes()).expect("write to the child");
    drop(stdin);
    child.wait_with_output().expect("wait for the child")
}
