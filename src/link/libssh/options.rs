//! Options of a session: they keep libssh from reading files, asking NSS, or choosing algorithms itself.

use std::ffi::{CStr, c_int};
use std::os::fd::RawFd;

use libssh_rs::sys::ssh_options_e::{self, *};

use super::raw_session::OptionValue::{Flag, Number, Text};
use super::raw_session::RawSession;
use crate::link::{Gssapi, LinkError, Setup};

/// Group exchange, group16 and group18 are missing because one step of them holds the thread for 115 ms and more (the server
/// chooses the group), 16 ms, and 150 ms.
const KEY_EXCHANGES: &CStr = c"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp521,ecdh-sha2-nistp384,diffie-hellman-group14-sha256";

/// No AES-GCM: libssh before 0.11.5 does not check its tags (CVE-2026-59847).
const CIPHERS: &CStr = c"chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr";

const MACS: &CStr =
    c"hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";

/// Not plain `zlib`: it begins before the login, so anybody could have this end inflate data.
const COMPRESSION: &CStr = c"zlib@openssh.com,none";
const NO_COMPRESSION: &CStr = c"none";

/// Any absolute path without files: with it, libssh does not ask NSS for a home directory.
const NO_SSH_DIR: &CStr = c"/nonexistent";

/// Sets all options but one: with HOST, libssh would scan known_hosts files in each session.
pub(super) fn configure(
    raw: &mut RawSession,
    fd: RawFd,
    setup: &Setup<'_>,
    host_keys: &CStr,
) -> Result<(), LinkError> {
    let compression = if setup.compress { COMPRESSION } else { NO_COMPRESSION };
    raw.set(&[
        (SSH_OPTIONS_KEY_EXCHANGE, Text(KEY_EXCHANGES)),
        (SSH_OPTIONS_CIPHERS_C_S, Text(CIPHERS)),
        (SSH_OPTIONS_CIPHERS_S_C, Text(CIPHERS)),
        (SSH_OPTIONS_HMAC_C_S, Text(MACS)),
        (SSH_OPTIONS_HMAC_S_C, Text(MACS)),
        (SSH_OPTIONS_PROCESS_CONFIG, Flag(false)),
        (SSH_OPTIONS_USER, Text(setup.user)),
        (SSH_OPTIONS_SSH_DIR, Text(NO_SSH_DIR)),
        (SSH_OPTIONS_HOSTKEYS, Text(host_keys)),
        (SSH_OPTIONS_COMPRESSION_C_S, Text(compression)),
        (SSH_OPTIONS_COMPRESSION_S_C, Text(compression)),
        (SSH_OPTIONS_FD, Number(fd)),
    ])
}

pub(super) fn configure_gssapi(raw: &mut RawSession, gssapi: &Gssapi) -> Result<(), LinkError> {
    let client: Option<(ssh_options_e, _)> =
        gssapi.client.as_deref().map(|client| (SSH_OPTIONS_GSSAPI_CLIENT_IDENTITY, Text(client)));
    raw.set(&[
        (SSH_OPTIONS_GSSAPI_SERVER_IDENTITY, Text(&gssapi.server)),
        (SSH_OPTIONS_GSSAPI_DELEGATE_CREDENTIALS, Number(c_int::from(gssapi.delegate))),
    ])?;
    raw.set(client.as_slice())
}
