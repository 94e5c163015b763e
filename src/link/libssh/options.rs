//! The options of a session. They keep libssh from reading files, asking NSS, or choosing
//! algorithms itself.

#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::os::fd::RawFd;
use std::time::Duration;

use libssh_rs::sys::ssh_options_e::*;

use super::raw_session::OptionValue::{Bytes, Flag, Number, Seconds, Text};
use super::raw_session::RawSession;
use crate::limits;
use crate::link::algorithms::Offered;
use crate::link::{Gssapi, HandshakeOptions, LinkError, LinkErrorKind, RekeyLimit};

/// Plain `zlib` is missing because it begins before the login, so any peer could make this process
/// inflate data.
const COMPRESSION: &CStr = c"zlib@openssh.com,none";
const NO_COMPRESSION: &CStr = c"none";

/// Any absolute path at which there are no files would do. Because a path is set, libssh does not
/// ask NSS for the home directory.
const NO_SSH_DIR: &CStr = c"/nonexistent";

/// The user for everything but GSSAPI, which gets the name with each login. Because a user is set,
/// libssh does not ask NSS for one.
const ANY_USER: &CStr = c"user";

/// Whether libssh accepts this name as an option, from which GSSAPI takes it. libssh refuses names
/// with characters that have a meaning in a shell, such as `\\`.
pub(crate) fn takes_user(name: &CStr) -> bool {
    let Ok(mut raw) = RawSession::new(name) else { return false };
    // SAFETY: USER takes a C string.
    unsafe { raw.set(&[(SSH_OPTIONS_USER, Text(name))]) }.is_ok()
}

/// Sets all options except HOST. If HOST were set, libssh would scan known_hosts files in each
/// session.
pub(super) fn configure(
    raw: &mut RawSession,
    fd: RawFd,
    setup: &HandshakeOptions<'_>,
) -> Result<(), LinkError> {
    check_descriptor(fd)?;
    let Offered { key_exchanges, ciphers, macs, .. } = setup.algorithms;
    let user_keys = setup.algorithms.user_keys(setup.logs_in_by_agent);
    let all_host_keys = || setup.algorithms.host_keys_for(setup.recorded);
    let host_keys = c_string(&*setup.host_keys.map_or_else(all_host_keys, Cow::from))?;
    let compression = if setup.compress { COMPRESSION } else { NO_COMPRESSION };
    let mut options = vec![
        (SSH_OPTIONS_KEY_EXCHANGE, Text(key_exchanges)),
        (SSH_OPTIONS_CIPHERS_C_S, Text(ciphers)),
        (SSH_OPTIONS_CIPHERS_S_C, Text(ciphers)),
        (SSH_OPTIONS_HMAC_C_S, Text(macs)),
        (SSH_OPTIONS_HMAC_S_C, Text(macs)),
        (SSH_OPTIONS_PROCESS_CONFIG, Flag(false)),
        (SSH_OPTIONS_USER, Text(ANY_USER)),
        (SSH_OPTIONS_SSH_DIR, Text(NO_SSH_DIR)),
        (SSH_OPTIONS_HOSTKEYS, Text(&host_keys)),
        (SSH_OPTIONS_COMPRESSION_C_S, Text(compression)),
        (SSH_OPTIONS_COMPRESSION_S_C, Text(compression)),
        (SSH_OPTIONS_FD, Number(fd)),
    ];
    options.extend(user_keys.map(|list| (SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES, Text(list))));
    let RekeyLimit { bytes, time } = setup.rekey;
    options.extend(bytes.map(|bytes| (SSH_OPTIONS_REKEY_DATA, Bytes(bytes))));
    let seconds = |time: Duration| Seconds(u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
    options.extend(time.map(|time| (SSH_OPTIONS_REKEY_TIME, seconds(time))));
    // SAFETY: PROCESS_CONFIG takes a `bool`, FD an `int`, REKEY_DATA an `uint64_t`, REKEY_TIME an
    // `uint32_t`, and the others take C strings.
    unsafe { raw.set(&options) }
}

/// Makes libssh refuse shorter RSA keys.
pub(super) fn require_rsa_bits(raw: &mut RawSession, bits: u16) -> Result<(), LinkError> {
    // SAFETY: RSA_MIN_SIZE takes an `int`.
    unsafe { raw.set(&[(SSH_OPTIONS_RSA_MIN_SIZE, Number(bits.into()))]) }
}

pub(super) fn configure_gssapi(raw: &mut RawSession, gssapi: &Gssapi) -> Result<(), LinkError> {
    let server = c_string(&*gssapi.server)?;
    let client = gssapi.client.as_deref().map(c_string).transpose()?;
    let user = raw.user().to_owned();
    let mut options = vec![
        (SSH_OPTIONS_USER, Text(&user)),
        (SSH_OPTIONS_GSSAPI_SERVER_IDENTITY, Text(&server)),
        (SSH_OPTIONS_GSSAPI_DELEGATE_CREDENTIALS, Number(c_int::from(gssapi.delegate))),
    ];
    options.extend(client.as_deref().map(|client| (SSH_OPTIONS_GSSAPI_CLIENT_IDENTITY, Text(client))));
    // SAFETY: DELEGATE_CREDENTIALS takes an `int`, and the others take C strings.
    unsafe { raw.set(&options) }
}

/// Makes a C string for libssh. Texts with a NUL byte have already been rejected as configuration
/// errors.
pub(super) fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, LinkError> {
    CString::new(text).map_err(|e| LinkError::new(LinkErrorKind::Other, e.to_string()))
}

/// Rejects descriptors that need more than 16 bits. libssh stores only 16 bits, so it would use a
/// different descriptor.
fn check_descriptor(fd: RawFd) -> Result<(), LinkError> {
    let max = limits::DESCRIPTOR_MAX;
    if fd <= max {
        return Ok(());
    }
    let text = format!(
        "descriptor {fd} is above {max}, the highest that libssh can use: connect to fewer hosts at a time"
    );
    Err(LinkError::new(LinkErrorKind::Limit, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_above_16_bits_are_refused() {
        assert!(check_descriptor(65_535).is_ok());
        assert_eq!(check_descriptor(65_536).unwrap_err().kind, LinkErrorKind::Limit);
    }

    #[test]
    fn a_text_with_a_nul_byte_is_refused() {
        assert_eq!(c_string("a\0b").unwrap_err().kind, LinkErrorKind::Other);
    }
}
