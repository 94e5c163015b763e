//! A session of libssh, and everything that libssh refers to for as long as the session lives.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::os::fd::{BorrowedFd, RawFd};
use std::{mem, ptr};

use libssh_rs::sys;

use super::OK;
use super::call_scope::CallScope;
use super::channel::{Noted, RawChannel};
use super::key::{PrivateKey, RawKey};
use super::library::{initialise, str_at, text_at};
use super::session_callbacks::{AgentChannels, CALLBACKS};
use crate::credential::{Prompt, Secret};
use crate::limits;
use crate::link::algorithms::{Algorithms, Names};
use crate::link::libssh::agent_script::AgentScript;
use crate::link::libssh::backlog::Counts;
use crate::link::{LinkError, LinkErrorKind, Questions, provider};

/// A session, its event, its counters, and the callbacks for a forwarded agent.
///
/// Every call into libssh takes `&mut RawSession`. So libssh is never entered twice at once for one
/// session, and it does not run while a reference borrows the session ([`RawChannel::state`]).
pub(super) struct RawSession {
    session: sys::ssh_session,
    /// The login name. It is passed with each login, because libssh does not accept every name as
    /// an option.
    user: CString,
    /// The event. Null until [`watch`](Self::watch) is called.
    event: sys::ssh_event,
    /// Comes from `Box::into_raw`. libssh updates the counters until the session is freed.
    counters: *mut Counters,
    /// Comes from `Box::into_raw`. libssh holds this pointer until the session is freed. Null if no
    /// agent is forwarded.
    agent_channels: *mut AgentChannels,
}

// SAFETY: libssh ties a session to no thread. It must not be entered twice at once, and every entry
// takes `&mut`.
unsafe impl Send for RawSession {}

/// The counters that libssh updates.
struct Counters {
    /// The bytes read from and written to the socket.
    socket: sys::ssh_counter_struct,
    /// The packets, and the bytes of their payloads.
    packets: sys::ssh_counter_struct,
}

/// A call on a session, with its arguments.
pub(super) enum SessionCall<'a> {
    /// Begins or continues the handshake.
    Connect,
    /// Reads once, acts on what has arrived, and sends once, as far as the socket allows.
    Poll,
    Keepalive,
    RequestAuth,
    AuthNone,
    AuthProbe(&'a PrivateKey),
    AuthKey(&'a PrivateKey),
    AuthPassword(&'a Secret),
    AuthAgent(&'a AgentScript),
    AuthGssapi,
    AuthInteractive,
    /// Answers the question with this index.
    Answer(c_uint, &'a Secret),
    /// Returns the methods that the server's last refusal offered, as a bit mask.
    OfferedMethods,
}

/// The value of an option: a C string, a `bool`, an `int`, an `uint32_t`, or an `uint64_t`.
pub(super) enum OptionValue<'a> {
    Text(&'a CStr),
    Flag(bool),
    Number(c_int),
    Seconds(u32),
    Bytes(u64),
}

impl RawSession {
    /// Creates a session for logins as this user.
    pub(super) fn new(user: &CStr) -> Result<Self, LinkError> {
        initialise()?;
        // A program may turn on FIPS at any time.
        provider::status();
        // SAFETY: no arguments. The result is checked before use.
        let session = unsafe { sys::ssh_new() };
        if session.is_null() {
            return Err(LinkError::new(LinkErrorKind::Limit, "libssh: out of memory"));
        }
        // SAFETY: a valid session; the message callback takes no user data; the counters, which are
        // numbers and may be zero, outlive the session.
        let counters = unsafe {
            let counters: *mut Counters = Box::into_raw(Box::new(mem::zeroed()));
            sys::ssh_set_blocking(session, 0);
            sys::ssh_set_message_callback(session, Some(refuse_message), ptr::null_mut());
            sys::ssh_set_counters(session, &raw mut (*counters).socket, &raw mut (*counters).packets);
            counters
        };
        let (user, event, agent_channels) = (user.to_owned(), ptr::null_mut(), ptr::null_mut());
        Ok(Self { session, user, event, counters, agent_channels })
    }

    pub(super) fn user(&self) -> &CStr {
        &self.user
    }

    /// Sets options. libssh copies their values.
    ///
    /// # Safety
    /// Each value is of the type that libssh's header names for its option.
    pub(super) unsafe fn set(
        &mut self,
        options: &[(sys::ssh_options_e, OptionValue<'_>)],
    ) -> Result<(), LinkError> {
        for (option, value) in options {
            let value: *const c_void = match value {
                OptionValue::Text(text) => text.as_ptr().cast(),
                OptionValue::Flag(flag) => ptr::from_ref(flag).cast(),
                OptionValue::Number(number) => ptr::from_ref(number).cast(),
                OptionValue::Seconds(seconds) => ptr::from_ref(seconds).cast(),
                OptionValue::Bytes(bytes) => ptr::from_ref(bytes).cast(),
            };
            // SAFETY: a valid session, and the caller vouches for the types.
            if unsafe { sys::ssh_options_set(self.session, *option, value) } != OK {
                return Err(self.other_error());
            }
        }
        Ok(())
    }

    /// Sets the callbacks of the session. Must be called only once. If an agent is forwarded, the
    /// callbacks include the one that accepts channels to the agent.
    pub(super) fn set_callbacks(&mut self, forwards_agent: bool) -> Result<(), LinkError> {
        // SAFETY: a valid session. The callbacks are static, or in an allocation that `drop` frees
        // after the session. libssh only reads them.
        let rc = unsafe {
            let callbacks = if forwards_agent {
                self.agent_channels = Box::into_raw(Box::new(AgentChannels::new()));
                (*self.agent_channels).callbacks.userdata = self.agent_channels.cast();
                &raw mut (*self.agent_channels).callbacks
            } else {
                (&raw const CALLBACKS.0).cast_mut()
            };
            sys::ssh_set_callbacks(self.session, callbacks)
        };
        if rc == OK { Ok(()) } else { Err(self.other_error()) }
    }

    /// Makes [`SessionCall::Poll`] watch the socket. Must be called after the first
    /// [`SessionCall::Connect`].
    pub(super) fn watch(&mut self) -> Result<(), LinkError> {
        // SAFETY: the event is checked for null; the session has had its first `ssh_connect`, as
        // adding it requires.
        let rc = unsafe {
            self.event = sys::ssh_event_new();
            if self.event.is_null() {
                sys::SSH_ERROR
            } else {
                sys::ssh_event_add_session(self.event, self.session)
            }
        };
        if rc == OK { Ok(()) } else { Err(LinkError::new(LinkErrorKind::Limit, "libssh: out of memory")) }
    }

    /// Makes a call into libssh, which may read, send, and run callbacks.
    pub(super) fn call(&mut self, call: SessionCall<'_>) -> c_int {
        /// The value for no socket. libssh neither uses nor closes it.
        const NO_SOCKET: c_int = -1;
        let (raw, user) = (self.session, self.user.as_ptr());
        // SAFETY: a valid session; libssh refuses a null event. Keys and texts, among them the
        // user, are borrowed for the call, which copies what it keeps. The script's socket stays
        // open during the call, and libssh forgets the socket before it is closed.
        unsafe {
            match call {
                SessionCall::Connect => sys::ssh_connect(raw),
                SessionCall::Poll => sys::ssh_event_dopoll(self.event, 0),
                SessionCall::Keepalive => sys::ssh_send_keepalive(raw),
                SessionCall::RequestAuth => sys::ssh_service_request(raw, c"ssh-userauth".as_ptr()),
                SessionCall::AuthNone => sys::ssh_userauth_none(raw, user),
                SessionCall::AuthProbe(key) => {
                    sys::ssh_userauth_try_publickey(raw, user, key.public.as_ptr())
                }
                SessionCall::AuthKey(key) => sys::ssh_userauth_publickey(raw, user, key.private.as_ptr()),
                SessionCall::AuthPassword(secret) => {
                    sys::ssh_userauth_password(raw, user, secret.as_c_str().as_ptr())
                }
                SessionCall::AuthAgent(script) => {
                    sys::ssh_set_agent_socket(raw, script.fd());
                    let rc = sys::ssh_userauth_agent(raw, user);
                    sys::ssh_set_agent_socket(raw, NO_SOCKET);
                    rc
                }
                SessionCall::AuthGssapi => sys::ssh_userauth_gssapi(raw),
                SessionCall::AuthInteractive => sys::ssh_userauth_kbdint(raw, user, ptr::null()),
                SessionCall::Answer(index, answer) => {
                    sys::ssh_userauth_kbdint_setanswer(raw, index, answer.as_c_str().as_ptr())
                }
                SessionCall::OfferedMethods => sys::ssh_userauth_list(raw, user),
            }
        }
    }

    /// The questions of the server. Valid after [`SessionCall::AuthInteractive`] has reported that
    /// there are some.
    pub(super) fn questions(&mut self) -> Questions {
        // SAFETY: a valid session; libssh keeps the strings until the next request, and they are
        // copied here. The index stays below the number of prompts.
        unsafe {
            let count = sys::ssh_userauth_kbdint_getnprompts(self.session).max(0) as c_uint;
            let prompt = |index| {
                let mut echo: c_char = 0;
                let text = text_at(sys::ssh_userauth_kbdint_getprompt(self.session, index, &raw mut echo));
                Prompt { text, echo: echo != 0 }
            };
            Questions {
                name: text_at(sys::ssh_userauth_kbdint_getname(self.session)),
                instruction: text_at(sys::ssh_userauth_kbdint_getinstruction(self.session)),
                prompts: (0..count).map(prompt).collect(),
            }
        }
    }

    /// The server's public key as a wire blob, once the handshake is complete.
    pub(super) fn server_key(&mut self) -> Option<Vec<u8>> {
        let mut key = RawKey::NULL;
        // SAFETY: a valid session. The key is a copy, which is ours.
        let rc = unsafe { sys::ssh_get_server_publickey(self.session, key.out()) };
        if rc == OK { key.blob() } else { None }
    }

    pub(super) fn new_channel(&mut self, noted: Option<Noted>) -> Result<RawChannel, LinkError> {
        // SAFETY: a valid session.
        unsafe { RawChannel::new(self.session, noted) }
            .ok_or_else(|| LinkError::new(LinkErrorKind::Limit, "libssh: out of memory for a channel"))
    }

    /// The channels that the server opens to the forwarded agent. `None` if no agent is forwarded.
    pub(super) fn agent_channels(&mut self) -> Option<&mut AgentChannels> {
        // SAFETY: null or live until `drop`. Callbacks use it only while libssh runs, which takes
        // `&mut self`.
        unsafe { self.agent_channels.as_mut() }
    }

    pub(super) fn counts(&self) -> Counts {
        // SAFETY: live until `drop`; libssh writes it only while it runs, which takes `&mut self`.
        let Counters { socket, packets } = unsafe { &*self.counters };
        Counts {
            packets_read: packets.in_packets,
            packets_written: packets.out_packets,
            payload_written: packets.out_bytes,
            read: socket.in_bytes,
            sent: socket.out_bytes,
        }
    }

    /// The descriptor of the socket, as long as libssh has one.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: a valid session; only reads.
        let fd: RawFd = unsafe { sys::ssh_get_fd(self.session) };
        // SAFETY: libssh keeps the descriptor that it names open, and closes it only while it runs,
        // which takes `&mut self`.
        (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Sets how many bytes must have arrived before the socket counts as readable.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn set_low_water(&self, bytes: usize) {
        use std::os::fd::AsRawFd;

        use nix::libc::{SO_RCVLOWAT, SOL_SOCKET, setsockopt, socklen_t};
        let (Some(socket), Ok(bytes)) = (self.descriptor(), c_int::try_from(bytes)) else { return };
        let (value, len) = ((&raw const bytes).cast(), size_of_val(&bytes) as socklen_t);
        // SAFETY: an open socket, and an integer that the call copies.
        unsafe { setsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_RCVLOWAT, value, len) };
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn set_low_water(&self, _: usize) {}

    fn status(&self) -> c_int {
        // SAFETY: a valid session; only reads.
        unsafe { sys::ssh_get_status(self.session) }
    }

    /// Whether the connection is neither closed nor in error.
    pub(super) fn is_up(&self) -> bool {
        self.status() & (sys::SSH_CLOSED_ERROR | sys::SSH_CLOSED) as c_int == 0
    }

    /// Whether libssh has buffered bytes that wait for the socket.
    pub(super) fn write_pending(&self) -> bool {
        self.status() & sys::SSH_WRITE_PENDING as c_int != 0
    }

    pub(super) fn error_text(&self) -> String {
        // SAFETY: a valid session; the string is copied before libssh can change it.
        unsafe { text_at(sys::ssh_get_error(self.session.cast())) }
    }

    pub(super) fn other_error(&self) -> LinkError {
        LinkError::new(LinkErrorKind::Other, self.error_text())
    }

    /// Whether the server has sent its version line.
    pub(super) fn has_banner(&self) -> bool {
        // SAFETY: a valid session; the pointer is only compared.
        !unsafe { sys::ssh_get_serverbanner(self.session) }.is_null()
    }

    /// The last banner that the server has sent before the end of the login (RFC 4252 section 5.4),
    /// up to its first NUL. libssh keeps only the last one, also after the session has failed.
    pub(super) fn issue_banner(&self) -> Option<Vec<u8>> {
        // SAFETY: a valid session; only reads. The result is null, or a NUL-terminated copy that is
        // ours. It is freed by libssh's function for it.
        unsafe {
            let text = sys::ssh_get_issue_banner(self.session);
            if text.is_null() {
                return None;
            }
            let bytes = CStr::from_ptr(text).to_bytes();
            let kept = bytes[..bytes.len().min(limits::BANNER)].to_vec();
            sys::ssh_string_free_char(text);
            Some(kept)
        }
    }

    /// The algorithms in use, once the handshake is complete. `group_exchange` is the name of a
    /// group exchange, which libssh does not report before 0.12.
    pub(super) fn algorithms(&self, group_exchange: &str, host_key: &str) -> Algorithms {
        // SAFETY: a valid session. The strings, which may be null, live until the session's next
        // call.
        let (key_exchange, sent, received) = unsafe {
            let sent = (sys::ssh_get_cipher_out(self.session), sys::ssh_get_hmac_out(self.session));
            let received = (sys::ssh_get_cipher_in(self.session), sys::ssh_get_hmac_in(self.session));
            let both = |(cipher, mac)| [str_at(cipher), str_at(mac)];
            (str_at(sys::ssh_get_kex_algo(self.session)), both(sent), both(received))
        };
        let key_exchange = if key_exchange.is_empty() { group_exchange } else { &*key_exchange };
        let ([sent, sent_mac], [received, received_mac]) = (&sent, &received);
        Algorithms::shared(Names {
            key_exchange,
            host_key,
            sent: (sent, sent_mac),
            received: (received, received_mac),
        })
    }

    /// Whether the packets from the server are encrypted. They are once the first keys are in use.
    pub(super) fn is_encrypted(&self) -> bool {
        // SAFETY: a valid session; the pointer is only compared.
        !unsafe { sys::ssh_get_cipher_in(self.session) }.is_null()
    }
}

impl Drop for RawSession {
    fn drop(&mut self) {
        let _scope = CallScope::enter();
        // Channels must be dropped before their session.
        if let Some(agent_channels) = self.agent_channels() {
            agent_channels.arrived.clear();
        }
        // Freeing the event gives the socket back. Clearing the descriptor option makes libssh the
        // owner of the socket. The disconnect closes the socket, unless an error has already closed
        // it.
        // SAFETY: this is the order that libssh requires, and libssh ignores null. The session is
        // freed before the counters that it wrote to and the callbacks that it called.
        unsafe {
            sys::ssh_event_free(self.event);
            sys::ssh_options_set(self.session, sys::ssh_options_e::SSH_OPTIONS_FD, ptr::null());
            sys::ssh_disconnect(self.session);
            sys::ssh_free(self.session);
            drop(Box::from_raw(self.counters));
            if !self.agent_channels.is_null() {
                drop(Box::from_raw(self.agent_channels));
            }
        }
    }
}

/// Refuses the requests that a server makes to a client, such as requests for channels and unknown
/// requests. Without this callback, libssh would queue them without limit.
unsafe extern "C" fn refuse_message(_: sys::ssh_session, _: sys::ssh_message, _: *mut c_void) -> c_int {
    1
}
