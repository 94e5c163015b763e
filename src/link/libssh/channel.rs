//! A channel of libssh, its callbacks, and the state that they write.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libssh_rs::sys;

use super::OK;
use super::library::{request_pty, text_at};
use super::log_lines::{self, data_traffic};
use super::max_packet::MaxPacket;
use super::raw_session::RawSession;
use super::window::Window;
use crate::command::{ChannelRequest, Program, Signal};
use crate::limits;
use crate::link::{Inbox, LinkError};
use crate::output::{ExitSignal, Outcome};
use crate::text::prefix;

/// A channel and its state. Dropping this value frees both. It must be dropped before the channel's
/// session, and only while libssh does not run.
pub(super) struct RawChannel {
    raw: sys::ssh_channel,
    /// Comes from `Box::into_raw`. libssh holds this pointer as long as the callbacks are
    /// installed.
    state: *mut CallbackState,
    /// Whether the server has confirmed the channel. If so, the server must also close it.
    pub is_open: bool,
    /// The program that the server was asked to start, and the length of its text in bytes, at
    /// least 1. `None` if the server has answered.
    pub unanswered: Option<(Program, usize)>,
    /// The server's answer about the program, if it was picked up and not returned yet.
    pub answer: Option<Result<(), LinkError>>,
    pub max_packet: MaxPacket,
}

// SAFETY: libssh ties a channel to no thread, and every call on one takes `&mut RawSession`.
unsafe impl Send for RawChannel {}

/// The state that the callbacks of a channel write.
pub(super) struct CallbackState {
    pub inbox: Inbox,
    /// How many bytes did not fit into the inbox. libssh buffers them and keeps the window closed
    /// meanwhile.
    pub held: usize,
    pub window: Window,
    /// Whether arriving data is dropped.
    pub discards: bool,
    /// Whether the server has closed the channel.
    pub is_closed: bool,
    /// Present for channels of tunnels and agents only. A command's channel needs no such record,
    /// because it is checked at every visit to its host.
    pub noted: Option<Noted>,
    callbacks: sys::ssh_channel_callbacks_struct,
}

/// The record of a channel that is checked only when it has news.
pub(super) struct Noted {
    pub id: usize,
    /// Whether the channel is on the list of channels with news.
    pub is_listed: bool,
    pub reply: Option<OpenReply>,
}

/// The server's answer to a request for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpenReply {
    /// CHANNEL_OPEN_CONFIRMATION.
    Opened { packet_max: u32 },
    /// CHANNEL_OPEN_FAILURE (RFC 4254 section 5.1).
    Refused { reason: u32, text: String },
}

impl Noted {
    /// Marks the channel as listed. Returns its id, unless it was listed before.
    pub(super) fn list(&mut self) -> Option<usize> {
        (!mem::replace(&mut self.is_listed, true)).then_some(self.id)
    }
}

/// A call on a channel, with its arguments.
pub(super) enum ChannelCall<'a> {
    /// Asks the server to open a session channel, or picks up the answer.
    Open,
    /// Asks the server to open a tunnel to this host and port.
    OpenForward(&'a CStr, u16),
    Request(&'a ChannelRequest),
    /// Asks the server to start a program with this text.
    Run(Program, &'a CStr),
    Write(&'a [u8]),
    /// Reads bytes that libssh has buffered into this buffer.
    Read(&'a mut [u8]),
    Eof,
    Signal(Signal),
    Close,
}

impl RawChannel {
    /// Makes a channel and installs its callbacks. Returns `None` if libssh cannot make the
    /// channel.
    ///
    /// # Safety
    /// `session` is a valid session that outlives the channel.
    pub(super) unsafe fn new(session: sys::ssh_session, noted: Option<Noted>) -> Option<Self> {
        // SAFETY: the caller's session; the result is checked for null.
        let raw = unsafe { sys::ssh_channel_new(session) };
        if raw.is_null() {
            return None;
        }
        let (inbox, callbacks) = (Inbox::default(), channel_callbacks());
        let (held, discards, is_closed) = (0, false, false);
        let window = Window::new();
        let state = CallbackState { inbox, held, window, discards, is_closed, noted, callbacks };
        let state = Box::into_raw(Box::new(state));
        let (unanswered, answer, max_packet) = (None, None, MaxPacket::Announced(0));
        let channel = Self { raw, state, is_open: false, unanswered, answer, max_packet };
        // SAFETY: a valid channel; the callbacks are in a live allocation that `drop` frees, after
        // it has removed them.
        let rc = unsafe {
            (*state).callbacks.userdata = state.cast();
            sys::ssh_set_channel_callbacks(raw, &raw mut (*state).callbacks)
        };
        (rc == OK).then_some(channel)
    }

    pub(super) fn as_ptr(&self) -> sys::ssh_channel {
        self.raw
    }

    /// The state that the callbacks write. The result borrows the session, so libssh cannot run
    /// while it exists.
    pub(super) fn state<'a>(&'a self, _: &'a RawSession) -> &'a CallbackState {
        // SAFETY: live until `drop`; callbacks use it only while libssh runs, which takes `&mut
        // RawSession`.
        unsafe { &*self.state }
    }

    pub(super) fn state_mut<'a>(&'a mut self, _: &'a mut RawSession) -> &'a mut CallbackState {
        // SAFETY: as above, and the channel is borrowed mutably too.
        unsafe { &mut *self.state }
    }

    /// Makes a call into libssh for this channel of the session. libssh may read, send, and run
    /// callbacks.
    pub(super) fn call(&mut self, _: &mut RawSession, call: ChannelCall<'_>) -> c_int {
        let raw = self.raw;
        // The address of the originator, which servers only log. OpenSSH's client sends this
        // address and port for connections that did not come over a socket.
        let (origin, origin_port) = (c"127.0.0.1", 65_535);
        // SAFETY: a valid channel. Texts and bytes are copied into packets. A buffer is borrowed
        // for its call. A length that does not fit u32 is truncated, so it can only become shorter.
        unsafe {
            match call {
                ChannelCall::Open => sys::ssh_channel_open_session(raw),
                ChannelCall::OpenForward(host, port) => {
                    let (host, port) = (host.as_ptr(), port.into());
                    sys::ssh_channel_open_forward(raw, host, port, origin.as_ptr(), origin_port)
                }
                ChannelCall::Request(ChannelRequest::Pty { term, columns, rows }) => {
                    request_pty(raw, term, (*columns).into(), (*rows).into())
                }
                ChannelCall::Request(ChannelRequest::Env { name, value }) => {
                    sys::ssh_channel_request_env(raw, name.as_ptr(), value.as_ptr())
                }
                ChannelCall::Request(ChannelRequest::ForwardAgent) => {
                    sys::ssh_channel_request_auth_agent(raw)
                }
                ChannelCall::Run(Program::Command, line) => sys::ssh_channel_request_exec(raw, line.as_ptr()),
                ChannelCall::Run(Program::Shell, _) => sys::ssh_channel_request_shell(raw),
                ChannelCall::Run(Program::Subsystem, name) => {
                    sys::ssh_channel_request_subsystem(raw, name.as_ptr())
                }
                ChannelCall::Write(bytes) => {
                    sys::ssh_channel_write(raw, bytes.as_ptr().cast(), bytes.len() as u32)
                }
                ChannelCall::Read(buffer) => {
                    let len = buffer.len() as u32;
                    sys::ssh_channel_read_timeout(raw, buffer.as_mut_ptr().cast(), len, 0, 0)
                }
                ChannelCall::Eof => sys::ssh_channel_send_eof(raw),
                ChannelCall::Signal(signal) => {
                    sys::ssh_channel_request_send_signal(raw, signal.name().as_ptr())
                }
                ChannelCall::Close => sys::ssh_channel_close(raw),
            }
        }
    }

    /// Whether the server has confirmed the channel, and neither side has closed it.
    pub(super) fn is_open_now(&self, _: &RawSession) -> bool {
        // SAFETY: a valid channel; only reads.
        (unsafe { sys::ssh_channel_is_open(self.raw) }) != 0
    }

    /// How many bytes the peer accepts now.
    pub(super) fn window(&self, _: &RawSession) -> usize {
        // SAFETY: a valid channel; only reads.
        (unsafe { sys::ssh_channel_window_size(self.raw) }) as usize
    }
}

impl Drop for RawChannel {
    fn drop(&mut self) {
        // SAFETY: libssh may keep the channel until the peer has closed it, so its pointer to the
        // state is removed first. After that nothing else refers to the state, which is freed once.
        unsafe {
            sys::ssh_remove_channel_callbacks(self.raw, &raw mut (*self.state).callbacks);
            sys::ssh_channel_free(self.raw);
            drop(Box::from_raw(self.state));
        }
    }
}

fn channel_callbacks() -> sys::ssh_channel_callbacks_struct {
    sys::ssh_channel_callbacks_struct {
        size: size_of::<sys::ssh_channel_callbacks_struct>(),
        channel_data_function: Some(on_data),
        channel_eof_function: Some(on_eof),
        channel_close_function: Some(on_close),
        channel_exit_status_function: Some(on_exit_status),
        channel_exit_signal_function: Some(on_exit_signal),
        channel_open_response_function: Some(on_open_response),
        // SAFETY: a size, a pointer, and optional functions, all of which may be zero.
        ..unsafe { mem::zeroed() }
    }
}

/// Runs the body of a callback on the state of its channel, unless the server has closed the
/// channel. Catches panics, so that none crosses into C.
///
/// # Safety
/// `state` is the user data that [`RawChannel::new`] installed, and libssh runs.
unsafe fn deliver(state: *mut c_void, body: impl FnOnce(&mut CallbackState)) {
    // SAFETY: live while the callbacks are installed; no other reference exists while libssh runs.
    let state = unsafe { &mut *state.cast::<CallbackState>() };
    if !state.inbox.closed {
        // The bodies only copy bytes and set flags, so the state is valid even after a panic.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            body(state);
            if let Some(id) = state.noted.as_mut().and_then(Noted::list) {
                log_lines::report(|log| log.news.push(id));
            }
        }));
    }
}

impl CallbackState {
    /// Whether a read should grow the window now, because enough has arrived, and all of it was
    /// taken.
    pub(super) fn wants_window(&mut self) -> bool {
        let wants = self.window.needs_read() && self.held == 0 && !self.inbox.eof && !self.is_closed;
        if wants {
            self.window.was_read();
        }
        wants
    }

    /// Takes data into the inbox: all of it for a command, up to the next half of the window for a
    /// subsystem, and as much as fits for a tunnel or an agent. Returns how many bytes it has
    /// taken.
    fn take_in(&mut self, bytes: &[u8], is_stderr: bool) -> usize {
        let Self { inbox, held, window, discards, noted, .. } = self;
        if noted.is_none() && is_stderr {
            window.pass(bytes.len());
            inbox.stderr.extend_from_slice(bytes);
            return bytes.len();
        }
        if noted.is_none() {
            let taken = window.take(bytes.len(), *held);
            inbox.stdout.extend_from_slice(&bytes[..taken]);
            *held = bytes.len() - taken;
            return taken;
        }
        window.pass(bytes.len().saturating_sub(*held));
        if *discards {
            *held = 0;
            return bytes.len();
        }
        if is_stderr {
            // A tunnel has only one stream, so data of a second stream is dropped.
            return bytes.len();
        }
        let taken = bytes.len().min(limits::INBOX_TUNNEL.saturating_sub(inbox.stdout.len()));
        inbox.stdout.extend_from_slice(&bytes[..taken]);
        *held = bytes.len() - taken;
        taken
    }
}

unsafe extern "C" fn on_data(
    _: sys::ssh_session,
    _: sys::ssh_channel,
    data: *mut c_void,
    len: u32,
    is_stderr: c_int,
    state: *mut c_void,
) -> c_int {
    let len = len.min(c_int::MAX as u32);
    let mut taken = len as usize;
    log_lines::report(|log| log.traffic += data_traffic(len as usize));
    if len > 0 {
        // SAFETY: libssh passes `len` readable bytes and our user data. `deliver` drops data after
        // CLOSE (CVE-2026-59850).
        unsafe {
            let bytes = std::slice::from_raw_parts(data.cast::<u8>(), len as usize);
            deliver(state, |state| {
                taken = state.take_in(bytes, is_stderr != 0);
                if state.window.needs_read() {
                    log_lines::report(|log| log.needs_window = true);
                }
            });
        }
    }
    taken as c_int
}

unsafe extern "C" fn on_eof(_: sys::ssh_session, _: sys::ssh_channel, state: *mut c_void) {
    // SAFETY: our user data.
    unsafe { deliver(state, |state| state.inbox.eof = true) }
}

unsafe extern "C" fn on_close(_: sys::ssh_session, _: sys::ssh_channel, state: *mut c_void) {
    log_lines::report(|log| log.has_closed = true);
    // SAFETY: our user data, and no other reference to it exists while libssh runs.
    unsafe {
        (*state.cast::<CallbackState>()).is_closed = true;
        deliver(state, |state| state.inbox.closed = true);
    }
}

unsafe extern "C" fn on_exit_status(
    _: sys::ssh_session,
    _: sys::ssh_channel,
    status: c_int,
    state: *mut c_void,
) {
    // SAFETY: our user data. C narrows the wire's u32 to int; the cast undoes that.
    unsafe { deliver(state, |state| state.inbox.set_exit(Outcome::Exited(status as u32))) }
}

unsafe extern "C" fn on_exit_signal(
    _: sys::ssh_session,
    _: sys::ssh_channel,
    signal: *const c_char,
    core: c_int,
    message: *const c_char,
    _: *const c_char,
    state: *mut c_void,
) {
    // SAFETY: our user data, and strings that libssh keeps for the length of the call.
    unsafe {
        let [name, message] =
            [signal, message].map(|text| prefix(&text_at(text), limits::EXIT_SIGNAL_TEXT).to_owned());
        let signal = ExitSignal { name, core_dumped: core != 0, message };
        deliver(state, |state| state.inbox.set_exit(Outcome::Signaled(signal)));
    }
}

/// Records a refused channel. libssh 0.11 calls this and logs nothing; libssh 0.10 logs the refusal
/// and does not call this.
unsafe extern "C" fn on_open_response(
    session: sys::ssh_session,
    _: sys::ssh_channel,
    is_success: bool,
    _: *mut c_void,
) {
    if !is_success {
        // SAFETY: the session that calls; the string is copied before libssh can change it.
        let text = unsafe { text_at(sys::ssh_get_error(session.cast())) };
        log_lines::report(|log| log.note_refusal(&text));
    }
}
