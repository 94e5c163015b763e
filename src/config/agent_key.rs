//! Keys whose private half only an ssh-agent may have: that of a `.pub` file, an encrypted key
//! without a passphrase, or a security key.

use std::io;
use std::path::{Path, PathBuf};

use super::credentials::{BYTES, KeySource};
use super::key_file::KeyFile;
use crate::credential::public_half;
use crate::error::KeyProblem;
use crate::session::UnusableKey;

/// The public half of such a key.
#[derive(Debug, Clone)]
pub(super) struct AgentKey {
    /// The public key as a wire blob.
    pub blob: Vec<u8>,
    pub path: Option<PathBuf>,
    /// The problem to report if the agent does not hold the key.
    pub missing: Option<UnusableKey>,
}

impl AgentKey {
    /// Finds the public half where OpenSSH does (`sshkey_load_public`): in the file itself, or in
    /// `<file>.pub`. `problem` says why the private half cannot be used.
    pub fn find(source: &KeySource, problem: &KeyProblem) -> Option<Self> {
        let (blob, path) = match source {
            KeySource::Bytes(text) => (public_half(text.as_bytes())?, None),
            KeySource::File(path) => {
                (half_in(path).or_else(|| half_in(&with_suffix(path, ".pub")))?, Some(path.clone()))
            }
        };
        let reason = match problem {
            KeyProblem::Unreadable(e) if e.kind() == io::ErrorKind::NotFound => None,
            KeyProblem::PublicKey => Some("holds a public key".to_owned()),
            problem => Some(problem.to_string()),
        };
        let name = path.as_deref().unwrap_or(Path::new(BYTES));
        let missing = reason.map(|reason| UnusableKey { path: name.to_owned(), reason });
        Some(Self { blob, path, missing })
    }
}

fn half_in(path: &Path) -> Option<Vec<u8>> {
    public_half(&KeyFile::read(path).ok()?.bytes)
}

/// This path with a suffix, such as `.pub`.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}
