//! libssh as a whole: its initialisation, its version, and what depends on the version.

#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_int, c_uchar};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use libssh_rs::sys;

use crate::link::{LinkError, LinkErrorKind};

/// Initialises libssh and OpenSSL once per process. A failure is not remembered, so the next call
/// tries again.
pub(super) fn initialise() -> Result<(), LinkError> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_none() {
        // The safe crate's set-up also prevents OpenSSL from cleaning up at exit.
        libssh_rs::Session::new().map_err(|e| LinkError::new(LinkErrorKind::Other, e.to_string()))?;
        DONE.get_or_init(|| ());
    }
    Ok(())
}

/// The descriptor of a poll, which mio returns only as a number.
pub(crate) fn descriptor_of(poll: &mio::Poll) -> BorrowedFd<'_> {
    // SAFETY: the poll keeps its descriptor open until it is dropped, and the result borrows the
    // poll.
    unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) }
}

/// The version of libssh in its own format, for instance `0.10.6/openssl/zlib`.
pub(crate) fn version() -> String {
    version_if_at_least(0)
}

/// The version of libssh, or an empty string if the version is older than `required`.
fn version_if_at_least(required: c_int) -> String {
    // SAFETY: returns a static string, or null.
    unsafe { text_at(sys::ssh_version(required)) }
}

/// The level at which libssh logs the server's answers about channels: debug since 0.11, and info
/// before.
///
/// Before 0.11, libssh also logs lines for each packet at the debug level. Formatting those lines
/// took a tenth of the time of a short command, so the debug level is not used there.
pub(super) fn level_of_channels() -> u32 {
    if is_since_0_11() { sys::SSH_LOG_DEBUG } else { sys::SSH_LOG_INFO }
}

/// Whether a read of more bytes than a channel's window has grows the window, as before 0.11.
pub(super) fn reads_grow_windows() -> bool {
    !is_since_0_11()
}

fn is_since_0_11() -> bool {
    /// Version 0.11 in libssh's numbering.
    const V0_11: c_int = 11 << 8;
    static IS: OnceLock<bool> = OnceLock::new();
    *IS.get_or_init(|| cfg!(bundled_libssh) || !version_if_at_least(V0_11).is_empty())
}

/// Copies a C string. Returns an empty string for null.
///
/// # Safety
/// `text` is null, or points to a NUL-terminated string that does not change during the call.
pub(super) unsafe fn text_at(text: *const c_char) -> String {
    // SAFETY: the caller promises this, and the result is copied at once.
    unsafe { str_at(text) }.into_owned()
}

/// Borrows a C string, unless it is not UTF-8. Returns an empty string for null.
///
/// # Safety
/// `text` is null, or points to a NUL-terminated string that does not change while the result is
/// in use.
pub(super) unsafe fn str_at<'a>(text: *const c_char) -> Cow<'a, str> {
    if text.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: not null, and the caller promises the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// Requests a terminal without any terminal modes.
///
/// `ssh_channel_request_pty_size` sends no modes in libssh 0.10. Since 0.11 it sends the modes of
/// the terminal that this process runs in, so an empty list is passed explicitly.
///
/// # Safety
/// `channel` is a valid open channel.
pub(super) unsafe fn request_pty(
    channel: sys::ssh_channel,
    term: &CStr,
    columns: c_int,
    rows: c_int,
) -> c_int {
    /// The opcode TTY_OP_END (RFC 4254 section 8), which ends the empty list.
    const NO_MODES: [c_uchar; 1] = [0];
    // SAFETY: the caller's channel; name and modes are copied into the packet.
    unsafe {
        match request_pty_with_modes() {
            Some(request) => {
                request(channel, term.as_ptr(), columns, rows, NO_MODES.as_ptr(), NO_MODES.len())
            }
            None => sys::ssh_channel_request_pty_size(channel, term.as_ptr(), columns, rows),
        }
    }
}

/// The function that sends `pty-req` with given modes. libssh has had it since 0.11.
type RequestPtyWithModes =
    unsafe extern "C" fn(sys::ssh_channel, *const c_char, c_int, c_int, *const c_uchar, usize) -> c_int;

/// The function is looked up at run time, because a program may run with another version of libssh
/// than it was built with.
#[cfg(not(bundled_libssh))]
fn request_pty_with_modes() -> Option<RequestPtyWithModes> {
    static FOUND: OnceLock<Option<RequestPtyWithModes>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let name = c"ssh_channel_request_pty_size_modes";
        // SAFETY: looks a name up among the libraries that this process has loaded.
        let address = unsafe { nix::libc::dlsym(nix::libc::RTLD_DEFAULT, name.as_ptr()) };
        // SAFETY: `Option` of a function pointer represents null as `None`; any other address is
        // libssh's function, of the type that its header declares.
        unsafe { std::mem::transmute::<*mut std::ffi::c_void, Option<RequestPtyWithModes>>(address) }
    })
}

#[cfg(bundled_libssh)]
fn request_pty_with_modes() -> Option<RequestPtyWithModes> {
    Some(sys::ssh_channel_request_pty_size_modes)
}
