//! SSH key pairs made by `ssh-keygen`, once per process and kept in memory, so that no file
//! outlives its fixture.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The passphrase of [`ClientKey::Encrypted`].
pub const PASSPHRASE: &str = "correct horse battery staple";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    Ed25519,
    /// NIST P-256.
    Ecdsa,
    /// 3072 bits.
    Rsa,
}

impl KeyType {
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::Ecdsa, Self::Rsa];

    /// As spelled by `ssh-keygen -t` and in the names of key files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
        }
    }
}

/// The key pairs that servers accept once a test has requested their file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKey {
    Ed25519,
    /// Ed25519, encrypted with [`PASSPHRASE`].
    Encrypted,
    Ecdsa,
    Rsa,
}

impl ClientKey {
    pub const ALL: [Self; 4] = [Self::Ed25519, Self::Encrypted, Self::Ecdsa, Self::Rsa];

    /// The name of the private key's file; the public key's ends in `.pub`.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "id_ed25519",
            Self::Encrypted => "id_encrypted",
            Self::Ecdsa => "id_ecdsa",
            Self::Rsa => "id_rsa",
        }
    }

    pub fn pair(self) -> &'static KeyPair {
        static PAIRS: [OnceLock<KeyPair>; 4] = [const { OnceLock::new() }; 4];
        PAIRS[self as usize].get_or_init(|| match self {
            Self::Ed25519 => KeyPair::generate(KeyType::Ed25519),
            Self::Encrypted => KeyPair::generate_encrypted(KeyType::Ed25519, PASSPHRASE),
            Self::Ecdsa => KeyPair::generate(KeyType::Ecdsa),
            Self::Rsa => KeyPair::generate(KeyType::Rsa),
        })
    }

    /// The private key's file in `dir`. The first call writes it, and adds the public key to
    /// `authorized_keys`, which servers read at each attempt: so no test waits for keys that it
    /// does not use.
    pub(super) fn authorize(self, dir: &Path, authorized_keys: &Path) -> PathBuf {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let path = dir.join(self.file_name());
        if !path.exists() {
            self.pair().write(dir, self.file_name());
            let mut file =
                OpenOptions::new().append(true).open(authorized_keys).expect("open authorized_keys");
            writeln!(file, "{}", self.pair().public()).expect("write authorized_keys");
        }
        path
    }
}

/// The host key of this type that all servers of this process share.
pub fn host_key(key_type: KeyType) -> &'static KeyPair {
    static PAIRS: [OnceLock<KeyPair>; 3] = [const { OnceLock::new() }; 3];
    PAIRS[key_type as usize].get_or_init(|| KeyPair::generate(key_type))
}

#[derive(Clone, Debug)]
pub struct KeyPair {
    private: String,
    /// `type base64`, without comment.
    public: String,
}

impl KeyPair {
    /// A new pair, known to nobody else.
    pub fn generate(key_type: KeyType) -> Self {
        Self::generate_encrypted(key_type, "")
    }

    pub fn generate_encrypted(key_type: KeyType, passphrase: &str) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("key");
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-C", "", "-N", passphrase, "-t", key_type.name(), "-f"]).arg(&path);
        if key_type == KeyType::Rsa {
            command.args(["-b", "3072"]);
        }
        // 16 rounds of the key derivation would take a tenth of a second and show nothing more than
        // one.
        run(command.args(["-a", "1"]));
        Self::read(&path)
    }

    /// The public half of a key that is elsewhere.
    pub fn of_public(public: &str) -> Self {
        Self { private: String::new(), public: public.to_owned() }
    }

    fn read(path: &Path) -> Self {
        let private = fs::read_to_string(path).expect("private key");
        let public = fs::read_to_string(path.with_extension("pub")).expect("public key");
        Self { private, public: public.trim_end().to_owned() }
    }

    /// In OpenSSH's format.
    pub fn private(&self) -> &str {
        &self.private
    }

    /// As in `authorized_keys` and, after the host names, in `known_hosts`: `ssh-ed25519 AAAA…`.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Writes `name` (mode 0600) and `name.pub` into `dir`; returns the path of the private key.
    pub fn write(&self, dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        write_private(&path, &self.private);
        fs::write(dir.join(format!("{name}.pub")), format!("{}\n", self.public)).expect("public key");
        path
    }

    /// Signs `user_key` for `principal` with this pair as the certificate authority (`ssh-keygen
    /// -s`); returns the text of a `-cert.pub` file. `validity` is the argument of `-V`, such as
    /// `+1h` or `20200101:20200102`.
    pub fn certify(&self, user_key: &Self, principal: &str, validity: &str) -> String {
        self.sign(user_key, &["-n", principal, "-V", validity])
    }

    /// Like [`certify`](Self::certify), for a host key, without an end.
    pub fn certify_host(&self, host_key: &Self, name: &str) -> String {
        self.sign(host_key, &["-h", "-n", name])
    }

    fn sign(&self, key: &Self, options: &[&str]) -> String {
        let dir = tempfile::tempdir().expect("temporary directory");
        let authority = self.write(dir.path(), "ca");
        let subject = key.write(dir.path(), "subject");
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-I", "test"]).args(options).arg("-s").arg(authority);
        run(command.arg(subject.with_extension("pub")));
        fs::read_to_string(dir.path().join("subject-cert.pub")).expect("certificate")
    }
}

/// Creates a file that only its owner may read, as `ssh` and `sshd` require for private keys.
pub fn write_private(path: &Path, text: &str) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("create");
    file.write_all(text.as_bytes()).expect("write");
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("ssh-keygen (Debian: openssh-client)");
    assert!(output.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn pairs_are_made_once_and_differ() {
        for key in ClientKey::ALL {
            assert!(std::ptr::eq(key.pair(), key.pair()));
            assert!(key.pair().private().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
        }
        assert_ne!(ClientKey::Ed25519.pair().public(), ClientKey::Encrypted.pair().public());
        assert_ne!(ClientKey::Ed25519.pair().public(), host_key(KeyType::Ed25519).public());
        for (key_type, name) in KeyType::ALL.iter().zip(["ssh-ed25519 ", "ecdsa-sha2-nistp256 ", "ssh-rsa "])
        {
            assert!(host_key(*key_type).public().starts_with(name));
        }
    }

    #[test]
    fn private_files_are_private() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = ClientKey::Ed25519.pair().write(dir.path(), "id");
        let mode = fs::metadata(path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn only_the_passphrase_opens_the_encrypted_key() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = ClientKey::Encrypted.pair().write(dir.path(), "id");
        for (passphrase, opens) in [(PASSPHRASE, true), ("wrong", false), ("", false)] {
            let mut command = Command::new("ssh-keygen");
            let output =
                command.args(["-y", "-P", passphrase, "-f"]).arg(&path).output().expect("ssh-keygen");
            assert_eq!(output.status.success(), opens, "{passphrase:?}");
        }
    }
}
