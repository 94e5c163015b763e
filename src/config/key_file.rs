//! Reads the files of private keys and certificates.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;
use zeroize::Zeroizing;

use crate::error::KeyProblem;
use crate::limits;

/// Permissions of other users than the owner.
const OTHERS: u32 = 0o077;

/// A file that was opened once, so that the permissions are those of what was read.
pub(super) struct KeyFile {
    /// At most one byte more than is allowed: enough to tell that it is too large.
    pub bytes: Zeroizing<Vec<u8>>,
    owner: u32,
    mode: u32,
}

impl KeyFile {
    /// Reads it, however much there is, up to the limit.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        // With room for all of it: growing would leave copies behind.
        let most = limits::KEY_FILE + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(most));
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(Self { bytes, owner: metadata.uid(), mode: metadata.mode() & 0o7777 })
    }

    /// As OpenSSH has it (`sshkey_perm_ok`): a private key of this user is for this user alone.
    /// What belongs to others, for instance to root, is their business.
    pub fn check_permissions(&self, path: &Path) -> Result<(), KeyProblem> {
        if self.owner == geteuid().as_raw() && self.mode & OTHERS != 0 {
            return Err(KeyProblem::Exposed { path: path.to_owned(), mode: self.mode });
        }
        Ok(())
    }
}
