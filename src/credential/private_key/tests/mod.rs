//! Keys as `ssh-keygen` and `openssl` write them, and everything that can be wrong with them.

mod damage;
mod formats;
mod made;
mod refusals;

use super::*;

/// The passphrase of the encrypted keys.
const PASSPHRASE: &str = "x";

/// Opens a key with this passphrase and the default limits.
fn open(bytes: &[u8], passphrase: Option<&str>) -> Result<PlainKey, KeyProblem> {
    let rounds_max = crate::limits::KDF_ROUNDS;
    KeyText::find(bytes)?.open(Opener { passphrase: passphrase.map(str::as_bytes), rounds_max })
}

/// Returns the text of the error.
#[track_caller]
fn told(bytes: &[u8], passphrase: Option<&str>) -> String {
    open(bytes, passphrase).expect_err("no usable key").to_string()
}
