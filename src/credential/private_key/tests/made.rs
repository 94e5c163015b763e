//! Makes keys with the programs that users make them with.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::PASSPHRASE;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The supported types as arguments of `ssh-keygen`; each key is made once per process.
pub(super) const TYPES: [&[&str]; 6] = [
    &["-t", "ed25519"],
    &["-t", "ecdsa", "-b", "256"],
    &["-t", "ecdsa", "-b", "384"],
    &["-t", "ecdsa", "-b", "521"],
    &["-t", "rsa", "-b", "1024"],
    &["-t", "rsa", "-b", "3072"],
];

/// A new key of [`TYPES`] in OpenSSH's format, unencrypted, and its public half. In memory, as a
/// static's folder would outlive the process.
pub(super) struct Made {
    text: Vec<u8>,
    /// The public half as `ssh-keygen` wrote it.
    pub public: String,
    /// The public half as a wire blob.
    pub blob: Vec<u8>,
}

impl Made {
    pub fn of(index: usize) -> &'static Self {
        static KEYS: [OnceLock<Made>; TYPES.len()] = [const { OnceLock::new() }; TYPES.len()];
        KEYS[index].get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("key");
            let mut program = Command::new("ssh-keygen");
            run(program.args(["-q", "-C", "a comment", "-N", ""]).args(TYPES[index]).arg("-f").arg(&path));
            let public = fs::read_to_string(path.with_extension("pub")).unwrap();
            let blob = public_blob(&public);
            Self { text: fs::read(&path).unwrap(), public, blob }
        })
    }

    pub fn text(&self) -> Vec<u8> {
        self.text.clone()
    }

    /// Writes the key into a file in `dir` that only its owner may read, as `ssh-keygen` wants it.
    pub fn in_file(&self, dir: &Path) -> PathBuf {
        let path = dir.join("key");
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&path).unwrap().write_all(&self.text).unwrap();
        path
    }

    /// The key as rewritten by `ssh-keygen -p` with these options.
    pub fn rewritten(&self, passphrase: &str, options: &[&str]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = self.in_file(dir.path());
        let mut program = Command::new("ssh-keygen");
        // One round of the key derivation is enough for the test.
        run(program
            .args(["-q", "-p", "-P", "", "-N", passphrase, "-a", "1"])
            .args(options)
            .arg("-f")
            .arg(&path));
        fs::read(path).unwrap()
    }

    /// The key as PEM written by `openssl` with these arguments; its input is `-in`.
    pub fn converted(&self, arguments: &[&str]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let pem = dir.path().join("pem");
        fs::write(&pem, self.rewritten("", &["-m", "PKCS8"])).unwrap();
        let out = dir.path().join("out");
        let mut program = Command::new("openssl");
        run(program.args(arguments).arg("-in").arg(&pem).arg("-out").arg(&out));
        fs::read(out).unwrap()
    }
}

/// A key that only `openssl` makes, and its public half as OpenSSH reads it.
pub(super) fn by_openssl(arguments: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    run(Command::new("openssl").args(arguments).arg("-out").arg(&path));
    let text = fs::read(&path).unwrap();
    (text, public_half(&path))
}

/// A key of a type that OpenSSH may not support.
pub(super) fn by_openssl_alone(arguments: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    run(Command::new("openssl").args(arguments).arg("-out").arg(&path));
    fs::read(path).unwrap()
}

/// An Ed25519 key in PKCS#8, which OpenSSH 9.2 does not read, and its public half.
pub(super) fn ed25519_by_openssl() -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let [key, public] = ["key", "public"].map(|name| dir.path().join(name));
    run(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key));
    let mut program = Command::new("openssl");
    run(program.args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&key).arg("-out").arg(&public));
    let der = fs::read(public).unwrap();
    let header = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";
    (fs::read(&key).unwrap(), [&header[..], &der[der.len() - 32..]].concat())
}

/// The public half that `ssh-keygen -y` reads from a file.
pub(super) fn public_half(path: &Path) -> Vec<u8> {
    let mut program = Command::new("chmod");
    run(program.arg("600").arg(path));
    public_blob(&run(Command::new("ssh-keygen").args(["-y", "-P", PASSPHRASE, "-f"]).arg(path)))
}

pub(super) fn public_blob(line: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(line.split(' ').nth(1).unwrap().trim_end()).unwrap()
}

#[track_caller]
pub(super) fn run(program: &mut Command) -> String {
    let output = program.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap_or_default()
}
