//! Prepares a thread for calls into libssh: its log lines are caught, and its cryptography comes
//! from the [provider](crate::link::provider). If the log lines show that libssh is in an endless
//! loop on a thread, the thread is put to sleep.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use libssh_rs::sys;

use super::log_lines::{self, CallLog};
use crate::link::provider;

/// While this value exists, libssh's log lines on this thread go to [`log_lines`], and libssh finds
/// its algorithms in the provider first. Dropping it restores what was there before.
pub(super) struct CallScope {
    level: c_int,
    callback: sys::ssh_logging_callback,
    _provider: provider::Scope,
}

impl CallScope {
    /// Opens a scope that catches warnings only.
    pub(super) fn enter() -> Self {
        Self::at(sys::SSH_LOG_WARN)
    }

    /// Opens a scope that catches lines up to this level.
    pub(super) fn at(level: u32) -> Self {
        log_lines::with(|log| *log = CallLog::default());
        Self::nested(level)
    }

    /// Like [`at`](Self::at), but for use within another scope: what that scope has caught is kept.
    pub(super) fn nested(level: u32) -> Self {
        // SAFETY: these only read and write libssh's thread-local settings.
        unsafe {
            let scope = Self {
                level: sys::ssh_get_log_level(),
                callback: sys::ssh_get_log_callback(),
                _provider: provider::Scope::enter(),
            };
            sys::ssh_set_log_callback(Some(on_log));
            sys::ssh_set_log_level(level as c_int);
            #[cfg(test)]
            VERBOSE.set(VERBOSE.get() + usize::from(level > sys::SSH_LOG_WARN));
            scope
        }
    }
}

#[cfg(test)]
thread_local! {
    static VERBOSE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many scopes this thread has opened that catch more than warnings, since it last asked.
#[cfg(test)]
pub(crate) fn verbose_scopes() -> usize {
    VERBOSE.take()
}

impl Drop for CallScope {
    fn drop(&mut self) {
        // SAFETY: as above. If the previous callback was null, libssh refuses it. Then ours stays
        // installed, but is not called at the previous level.
        unsafe {
            sys::ssh_set_log_level(self.level);
            sys::ssh_set_log_callback(self.callback);
        }
    }
}

thread_local! {
    /// The function to call once libssh loops on this thread.
    static PARKING: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Arranges that, once libssh loops on this thread, `tell` is called and the thread then sleeps for
/// as long as the process lives. A sleeping thread takes no processor time and no further memory.
///
/// The call into libssh then never returns. Whatever the call borrows stays borrowed, on a stack
/// that is never unwound. A session that was moved to this thread is never dropped, and nothing
/// else can reach the session, its channels, their states or its descriptor. So nothing that
/// libssh's frames refer to is freed, and libssh is not entered for that session again.
pub(crate) fn park_in_loops(tell: impl FnOnce() + 'static) {
    PARKING.set(Some(Box::new(tell)));
}

unsafe extern "C" fn on_log(level: c_int, function: *const c_char, line: *const c_char, _: *mut c_void) {
    // SAFETY: libssh passes a NUL-terminated name and line, and keeps both for the length of the
    // call.
    let (function, line) = unsafe { (CStr::from_ptr(function), CStr::from_ptr(line)) };
    let is_noted = function == c"ssh_socket_pollcallback" || function == c"ssh_list_kex";
    if level >= sys::SSH_LOG_TRACE as c_int && !is_noted {
        return;
    }
    let is_warning = level <= sys::SSH_LOG_WARN as c_int;
    let note = || {
        let line = line.to_string_lossy();
        let loops = log_lines::with(|log| {
            log.note(is_warning, &line);
            log.loops
        });
        if loops { PARKING.take() } else { None }
    };
    if let Ok(Some(tell)) = catch_unwind(note) {
        let _ = catch_unwind(AssertUnwindSafe(tell));
        loop {
            thread::park();
        }
    }
}
