//! Reads the files of private keys and certificates.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;
use zeroize::Zeroizing;

use crate::error::KeyProblem;
use crate::limits;

/// The permission bits of all users other than the owner.
const OTHERS: u32 = 0o077;

/// The content and the permissions of a file. The file is opened once, so that the two belong
/// together.
pub(super) struct KeyFile {
    /// The content of the file, up to one byte more than [`limits::KEY_FILE`]. That extra byte
    /// shows that the file is too large.
    pub bytes: Zeroizing<Vec<u8>>,
    owner: u32,
    mode: u32,
}

impl KeyFile {
    /// Reads the file, up to one byte more than the limit.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        // Allocated at full size, because growing would leave copies of the secret in memory.
        let most = limits::KEY_FILE + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(most));
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(Self { bytes, owner: metadata.uid(), mode: metadata.mode() & 0o7777 })
    }

    /// Checks the permissions of a private key as OpenSSH does (`sshkey_perm_ok`): a file that
    /// belongs to this user must not be accessible to other users. Files that belong to other
    /// users, such as root, are not checked.
    pub fn check_permissions(&self, path: &Path) -> Result<(), KeyProblem> {
        if self.owner == geteuid().as_raw() && self.mode & OTHERS != 0 {
            return Err(KeyProblem::Exposed { path: path.to_owned(), mode: self.mode });
        }
        Ok(())
    }
}
