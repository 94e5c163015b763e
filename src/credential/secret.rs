//! Secrets: passwords and passphrases.

use std::ffi::{CStr, CString};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use zeroize::{Zeroize, Zeroizing};

/// A password or passphrase. It is shared by reference, never printed, and overwritten when the
/// last owner drops it.
///
/// libssh keeps its own copies while an authentication is in progress.
#[derive(Clone)]
pub struct Secret(Arc<Buffer>);

struct Buffer(Option<CString>);

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(text) = self.0.take() {
            let mut bytes = text.into_bytes();
            bytes.zeroize();
        }
    }
}

impl Secret {
    /// Takes ownership of the text. `None` if it contains a NUL byte, which libssh's C strings do
    /// not allow.
    pub(crate) fn new(text: String) -> Option<Self> {
        match CString::new(text) {
            Ok(text) => Some(Self(Arc::new(Buffer(Some(text))))),
            Err(rejected) => {
                rejected.into_vec().zeroize();
                None
            }
        }
    }

    /// Like [`new`](Self::new), but copies the text.
    pub(crate) fn copy(given: &str) -> Option<Self> {
        // Reserves room for the terminating NUL byte, because growing would leave a copy behind.
        let mut text = String::with_capacity(given.len() + 1);
        text.push_str(given);
        Self::new(text)
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        self.0.0.as_deref().unwrap_or_default()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.as_c_str() == other.as_c_str()
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_c_str().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A password together with the user who logs in with it. Equal passwords of equal users are the
/// same secret, wherever they were set.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UserPassword {
    user: CString,
    password: Arc<Zeroizing<Vec<u8>>>,
}

impl UserPassword {
    pub(crate) fn new(user: &CStr, password: &[u8]) -> Self {
        Self { user: user.to_owned(), password: Arc::new(Zeroizing::new(password.to_owned())) }
    }
}

impl Hash for UserPassword {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.user.hash(state);
        self.password.as_slice().hash(state);
    }
}

impl fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserPassword({:?}, ..)", self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_text() {
        let secret = Secret::new("hunter2".to_owned()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret.as_c_str().to_bytes(), b"hunter2");
    }

    #[test]
    fn nul_is_refused() {
        assert!(Secret::new("a\0b".to_owned()).is_none());
    }
}
