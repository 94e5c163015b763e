//! Servers of SFTP: what they need beside an SSH server.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::ports;
use super::process::Janitor;
use super::system::is_root;

/// OpenSSH's server as a program, which reads requests from its standard input.
pub const SFTP_SERVER: &str = "/usr/lib/openssh/sftp-server";

/// A directory that sshd accepts as `ChrootDirectory`: root alone may write to it and to every
/// directory above it. That excludes temporary directories.
pub struct Chroot {
    path: PathBuf,
    _janitor: Janitor,
}

impl Chroot {
    /// An empty directory. `None` unless run by root, except in CI, where nothing may be skipped.
    pub fn create() -> Option<Self> {
        if !is_root() {
            assert!(std::env::var_os("CI").is_none(), "CI has to run these tests as root");
            eprintln!("skipped: only root can make a directory for chroot");
            return None;
        }
        let path = PathBuf::from(format!("/run/sshoal-{:016x}", ports::random()));
        let janitor = Janitor::new(r#"rm -rf -- "$1""#, &[&path.to_string_lossy()]);
        fs::DirBuilder::new().mode(0o755).create(&path).expect("create a directory in /run");
        Some(Self { path, _janitor: janitor })
    }

    /// As seen from outside.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Chroot {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
