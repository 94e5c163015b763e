//! Private keys of users and public keys of servers.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::{fmt, ptr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libssh_rs::sys;

use super::OK;
use super::call_scope::CallScope;
use super::library::initialise;
use crate::credential::{Certificate, PlainKey};
use crate::error::{CertProblem, KeyProblem};
use crate::link::provider::ReadyKey;

/// A key that libssh allocated, or null. Dropping this value frees the key.
pub(super) struct RawKey(sys::ssh_key);

// SAFETY: once a key is made, libssh only reads it (signing makes its own OpenSSL context, and
// OpenSSL's reference counts are atomic), so any thread may use and drop it.
unsafe impl Send for RawKey {}
// SAFETY: as above: libssh changes nothing in a key that was made.
unsafe impl Sync for RawKey {}

impl RawKey {
    pub(super) const NULL: Self = Self(ptr::null_mut());

    /// The place where libssh stores a new key. Must only be used while the key is null, because an
    /// earlier key would leak.
    pub(super) fn out(&mut self) -> *mut sys::ssh_key {
        &raw mut self.0
    }

    /// The pointer to pass to calls that read the key.
    pub(super) fn as_ptr(&self) -> sys::ssh_key {
        self.0
    }

    /// The public half as a wire blob (RFC 4253 section 6.6). libssh exports it only in base64.
    pub(super) fn blob(&self) -> Option<Vec<u8>> {
        let mut base64 = ptr::null_mut();
        // SAFETY: null or a valid key, and libssh refuses null; the string is a copy, which is
        // freed here.
        unsafe {
            if sys::ssh_pki_export_pubkey_base64(self.0, &raw mut base64) != OK || base64.is_null() {
                return None;
            }
            let blob = BASE64_STANDARD.decode(CStr::from_ptr(base64).to_bytes().trim_ascii_end());
            sys::ssh_string_free_char(base64);
            blob.ok()
        }
    }
}

impl Drop for RawKey {
    fn drop(&mut self) {
        // SAFETY: null, which is ignored, or a key that only this value owns.
        unsafe { sys::ssh_key_free(self.0) };
    }
}

/// A private key, parsed once and shared by all hosts.
pub(crate) struct PrivateKey {
    pub(super) private: RawKey,
    pub(super) public: RawKey,
    blob: Vec<u8>,
    certificate: Option<Arc<Certificate>>,
    /// What signs for libssh with an Ed25519 key, shared with the same key with a certificate.
    signer: Option<Arc<ReadyKey>>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// Keys with the same public half are the same key.
impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.blob, &self.certificate) == (&other.blob, &other.certificate)
    }
}

impl Eq for PrivateKey {}

impl Hash for PrivateKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.blob.hash(state);
    }
}

impl PrivateKey {
    /// Imports a key into libssh.
    pub(crate) fn import(plain: &PlainKey) -> Result<Self, KeyProblem> {
        initialise().map_err(|error| KeyProblem::Refused(error.text))?;
        let _scope = CallScope::enter();
        let refused = |what: &str| KeyProblem::Refused(what.to_owned());
        let (mut private, mut public) = (RawKey::NULL, RawKey::NULL);
        let text = plain.as_c_str().as_ptr();
        // SAFETY: a NUL-terminated string. The key is not encrypted, so neither passphrase nor
        // callback is used.
        let rc = unsafe {
            sys::ssh_pki_import_privkey_base64(text, ptr::null(), None, ptr::null_mut(), private.out())
        };
        if rc != OK || private.0.is_null() {
            return Err(refused("libssh cannot import the private key"));
        }
        // SAFETY: the private key was just made.
        let rc = unsafe { sys::ssh_pki_export_privkey_to_pubkey(private.0, public.out()) };
        if rc != OK || public.0.is_null() {
            return Err(refused("libssh cannot export the public half of the key"));
        }
        let blob = public.blob().unwrap_or_default();
        if blob != plain.blob() {
            return Err(refused("libssh reads another public half"));
        }
        let signer = plain.ed25519().map(|private| Arc::new(ReadyKey::new(private)));
        Ok(Self { private, public, blob, certificate: None, signer })
    }

    /// Returns the same key with a certificate. Servers are then shown the certificate in place of
    /// the public half.
    pub(crate) fn certified(&self, certificate: Arc<Certificate>) -> Result<Self, CertProblem> {
        let _scope = CallScope::enter();
        let malformed = |_| CertProblem::Malformed;
        let type_name = CString::new(certificate.type_name()).map_err(malformed)?;
        let base64 = CString::new(BASE64_STANDARD.encode(certificate.blob())).map_err(malformed)?;
        let mut public = RawKey::NULL;
        // SAFETY: a valid key, which is copied, and two NUL-terminated strings. The certificate is
        // copied into the private key. libssh refuses the call if either is null or if the
        // certificate is for another key.
        let (private, rc) = unsafe {
            let private = RawKey(sys::ssh_key_dup(self.private.0));
            let key_type = sys::ssh_key_type_from_name(type_name.as_ptr());
            let rc = match sys::ssh_pki_import_cert_base64(base64.as_ptr(), key_type, public.out()) {
                OK => sys::ssh_pki_copy_cert_to_privkey(public.0, private.0),
                failed => failed,
            };
            (private, rc)
        };
        if rc != OK {
            return Err(CertProblem::Malformed);
        }
        let blob = certificate.blob().to_vec();
        Ok(Self { private, public, blob, certificate: Some(certificate), signer: self.signer.clone() })
    }

    /// The wire blob (RFC 4253 section 6.6) that servers are shown: the public half or its
    /// certificate.
    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_deref()
    }
}
