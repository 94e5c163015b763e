//! What the fixtures need to know about the machine.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// A temporary directory that a user other than its owner can enter, because `sshd` reads
/// `authorized_keys` with the rights of the user who logs in.
pub fn public_dir() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("sshoal-").permissions(Permissions::from_mode(0o755));
    builder.tempdir().expect("temporary directory")
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn current_user() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let output = Command::new("id").arg("-un").output().expect("id (Debian: coreutils)");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    })
}

const RERUN: &str = "SSHOAL_RERUN";

/// Reruns this test in a separate process, if it ends the process or counts its open descriptors.
/// `module` is the test's `module_path!()`.
pub fn rerun(module: &str, test: &str) -> Command {
    let (_, module) = module.split_once("::").expect("inside a crate");
    let mut command = Command::new(std::env::current_exe().expect("this test's program"));
    command
        .args(["--exact", &format!("{module}::{test}"), "--nocapture"])
        .env(RERUN, "1")
        .stdout(Stdio::null());
    command
}

/// Whether this process was started by [`rerun`].
pub fn is_rerun() -> bool {
    std::env::var_os(RERUN).is_some()
}

/// Resident memory of this process, in bytes.
pub fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}
