//! OpenSSH's own client, without the machine's and the user's configuration: verifies the fixtures,
//! and shows how the reference implementation behaves.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::keys::write_private;

/// The credential for `ssh`; a password or passphrase comes from an askpass program.
pub struct Login<'a> {
    pub known_hosts: &'a Path,
    pub user: &'a str,
    pub key: Option<PathBuf>,
    pub secret: Option<&'a str>,
}

impl Login<'_> {
    /// Runs one command to its end.
    pub fn run(&self, host: &str, port: u16, command: &str) -> Output {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut ssh = self.command(host, port, dir.path());
        ssh.arg(command).stdin(Stdio::null()).output().expect("ssh (Debian: openssh-client)")
    }

    /// Runs `sftp` with these lines of commands, of which the first that fails is the last. Local
    /// paths begin in `folder`.
    pub fn sftp(&self, host: &str, port: u16, folder: &Path, commands: &str) -> Output {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut sftp = self.program("sftp", port, dir.path());
        sftp.args(["-b", "-", host]).current_dir(folder);
        sftp.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = sftp.spawn().expect("sftp (Debian: openssh-client)");
        // One that cannot log in does not read.
        let _ = child.stdin.take().expect("piped above").write_all(commands.as_bytes());
        child.wait_with_output().expect("wait for sftp")
    }

    /// `ssh` with everything but the command; `dir` holds the secret while it runs.
    pub fn command(&self, host: &str, port: u16, dir: &Path) -> Command {
        let mut ssh = self.program("ssh", port, dir);
        ssh.arg(host);
        ssh
    }

    /// `ssh`, `sftp` or `scp` with everything but the host.
    pub fn program(&self, name: &str, port: u16, dir: &Path) -> Command {
        let mut ssh = Command::new(name);
        ssh.args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]);
        ssh.args(["-o", "GlobalKnownHostsFile=/dev/null", "-o", "NumberOfPasswordPrompts=1"]);
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", self.known_hosts.display()));
        ssh.arg("-o").arg(format!("Port={port}")).arg("-o").arg(format!("User={}", self.user));
        match &self.key {
            Some(key) => ssh.arg("-i").arg(key),
            None => ssh.args(["-o", "PubkeyAuthentication=no"]),
        };
        ssh.env_remove("SSH_AUTH_SOCK");
        if let Some(secret) = self.secret {
            write_private(&dir.join("secret"), secret);
            let askpass = dir.join("askpass");
            fs::write(&askpass, "#!/bin/sh\ncat \"$(dirname \"$0\")/secret\"\n").expect("write askpass");
            fs::set_permissions(&askpass, fs::Permissions::from_mode(0o700)).expect("chmod");
            ssh.env("SSH_ASKPASS", askpass).env("SSH_ASKPASS_REQUIRE", "force");
        } else {
            ssh.args(["-o", "BatchMode=yes"]);
        }
        ssh
    }
}
