//! The one file that calls libssh. Everything above it is safe code.
//!
//! libssh is driven through its C interface because the safe crate hides what this needs: channel callbacks (data that
//! libssh has buffered is unreadable once a session is in error), `ssh_event` (the only call that says "the socket is
//! drained"), and the exit state. What holds for every block below:
//!
//! - A pointer from libssh lives in exactly one owner here, is checked for null when it is made, and is freed by that
//!   owner's `Drop`, channels before their session, the event before its session.
//! - `&mut self` on every call that can run callbacks: libssh is never entered twice for one session, and no reference to
//!   an inbox is alive while it runs.
//! - C calls back with the pointers given here, only from within a call made here, on the same thread.
//! - A call that does not return ([`park_in_loops`]) keeps its session, on a thread that does nothing else,
//!   for ever.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_uint, c_void};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libssh_rs::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use slab::Slab;
use socket2::SockRef;

use super::agent_script::AgentScript;
use super::backlog::{Backlog, Counts};
use super::{
    AuthReply, ChannelId, Credential, Gssapi, Inbox, Interaction, KeyExchanges, LinkError, LinkErrorKind,
    Pumped, Questions, Setup, classify,
};
use crate::agent::wire::Identity;
use crate::command::ChannelRequest;
use crate::command::Signal;
use crate::credential::PlainKey;
use crate::credential::Prompt;
use crate::credential::Secret;
use crate::credential::{Certificate, certificate};
use crate::error::{AuthMethod, CertProblem, KeyProblem};
use crate::limits;
use crate::output::ExitSignal;
use crate::text::prefix;

/// Per-session options that are the same for every host, besides the host keys (RFC 4253 section 7.1).
///
/// No AES-GCM: libssh before 0.11.5 does not check its tags (CVE-2026-59847). No group exchange, group16 or
/// group18: the thread is held for 115 ms and more in one step (the server chooses the group), for 16 ms, and
/// for 150 ms.
const ALGORITHMS: [(sys::ssh_options_e, &CStr); 5] = [
    (
        sys::ssh_options_e::SSH_OPTIONS_KEY_EXCHANGE,
        c"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp521,ecdh-sha2-nistp384,diffie-hellman-group14-sha256",
    ),
    (sys::ssh_options_e::SSH_OPTIONS_CIPHERS_C_S, CIPHERS),
    (sys::ssh_options_e::SSH_OPTIONS_CIPHERS_S_C, CIPHERS),
    (sys::ssh_options_e::SSH_OPTIONS_HMAC_C_S, MACS),
    (sys::ssh_options_e::SSH_OPTIONS_HMAC_S_C, MACS),
];
/// Not plain `zlib`: it begins before the login, so anybody could have us inflate.
const COMPRESSION: &CStr = c"zlib@openssh.com,none";
const NO_COMPRESSION: &CStr = c"none";
const CIPHERS: &CStr = c"chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr";
const MACS: &CStr =
    c"hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";

/// Any absolute path that holds no files: with it set, libssh never asks NSS for a home directory.
const NO_SSH_DIR: &CStr = c"/nonexistent";

/// Initialises libssh and OpenSSL once per process. What has failed is tried again with the next call.
fn initialise() -> Result<(), LinkError> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_none() {
        // The safe crate's session runs the set-up that also keeps OpenSSL from tearing itself down at exit.
        libssh_rs::Session::new().map_err(|e| LinkError::new(LinkErrorKind::Other, e.to_string()))?;
        DONE.get_or_init(|| ());
    }
    Ok(())
}

/// The descriptor of a poll, which mio lends as a number only. Here, because `unsafe` is.
pub(crate) fn descriptor_of(poll: &mio::Poll) -> BorrowedFd<'_> {
    // SAFETY: the poll owns its descriptor and closes it when it is dropped, not before; the result borrows the poll.
    unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) }
}

/// The version that libssh gives itself, for instance `0.10.6/openssl/zlib`.
pub(crate) fn version() -> String {
    // SAFETY: returns a pointer to a static string, or null if the version asked for is newer; 0 never is.
    unsafe { text_at(sys::ssh_version(0)) }
}

/// Whether libssh was built with GSSAPI; asked once per process.
///
/// Told by what it does: without, it refuses before it looks at the session; with, it waits for a connection, and this
/// session has none. Neither touches a ticket or the network.
pub(crate) fn has_gssapi() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        if initialise().is_err() {
            return false;
        }
        let _log = LogScope::enter();
        // SAFETY: the session is checked for null, used by this block alone, and freed once.
        unsafe {
            let raw = sys::ssh_new();
            if raw.is_null() {
                return false;
            }
            sys::ssh_set_blocking(raw, 0);
            let rc = sys::ssh_userauth_gssapi(raw);
            sys::ssh_free(raw);
            rc != sys::ssh_auth_e_SSH_AUTH_DENIED
        }
    })
}

/// Copies a C string; empty for null.
///
/// # Safety
/// `text` is null or points to a NUL-terminated string that nobody changes during the call.
unsafe fn text_at(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller promises the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A private key, parsed once and shared by all hosts; libssh only reads it.
pub(crate) struct PrivateKey {
    private: sys::ssh_key,
    public: sys::ssh_key,
    /// What is shown to servers, the public half or a certificate of it, as a wire blob (RFC 4253 section 6.6).
    blob: Vec<u8>,
    certificate: Option<Arc<Certificate>>,
}

// SAFETY: after construction libssh only reads a key (signing makes its own OpenSSL context, and OpenSSL's reference
// counts are atomic), so it may be used from and dropped on any thread.
unsafe impl Send for PrivateKey {}
// SAFETY: as above: no interior mutability that libssh uses after construction.
unsafe impl Sync for PrivateKey {}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

impl PrivateKey {
    /// Hands a key over to libssh.
    pub(crate) fn import(plain: &PlainKey) -> Result<Self, KeyProblem> {
        initialise().map_err(|error| KeyProblem::Refused(error.text))?;
        let _log = LogScope::enter();
        let refused = |what: &str| KeyProblem::Refused(what.to_owned());
        let mut key =
            Self { private: ptr::null_mut(), public: ptr::null_mut(), blob: Vec::new(), certificate: None };
        // SAFETY: a NUL-terminated string; the out-pointers are ours. Without a passphrase and a callback:
        // the key is not encrypted, so neither is asked for.
        let rc = unsafe {
            sys::ssh_pki_import_privkey_base64(
                plain.as_c_str().as_ptr(),
                ptr::null(),
                None,
                ptr::null_mut(),
                &raw mut key.private,
            )
        };
        if rc != OK || key.private.is_null() {
            return Err(refused("the private key cannot be imported"));
        }
        // SAFETY: the private key was just made; the out-pointer is ours.
        let rc = unsafe { sys::ssh_pki_export_privkey_to_pubkey(key.private, &raw mut key.public) };
        if rc != OK || key.public.is_null() {
            return Err(refused("its public half cannot be exported"));
        }
        // SAFETY: the public key was just made.
        key.blob = unsafe { blob_of(key.public) }.unwrap_or_default();
        if key.blob != plain.blob() {
            return Err(refused("its public half is read differently"));
        }
        Ok(key)
    }

    /// The same key, shown with a certificate.
    pub(crate) fn certified(&self, certificate: Arc<Certificate>) -> Result<Self, CertProblem> {
        let _log = LogScope::enter();
        let malformed = |_| CertProblem::Malformed;
        let type_name = CString::new(certificate.type_name()).map_err(malformed)?;
        let base64 = CString::new(BASE64_STANDARD.encode(certificate.blob())).map_err(malformed)?;
        let mut key = Self {
            // SAFETY: a valid key, which is copied; the result is null if there is no memory.
            private: unsafe { sys::ssh_key_dup(self.private) },
            public: ptr::null_mut(),
            blob: certificate.blob().to_vec(),
            certificate: Some(certificate),
        };
        // SAFETY: two NUL-terminated strings; the out-pointer is ours. The certificate is copied into the private key, a null
        // of either being refused, and so a key that it is not for.
        let rc = unsafe {
            let key_type = sys::ssh_key_type_from_name(type_name.as_ptr());
            match sys::ssh_pki_import_cert_base64(base64.as_ptr(), key_type, &raw mut key.public) {
                OK => sys::ssh_pki_copy_cert_to_privkey(key.public, key.private),
                failed => failed,
            }
        };
        if rc == OK { Ok(key) } else { Err(CertProblem::Malformed) }
    }

    /// What is shown to servers, as a wire blob (RFC 4253 section 6.6).
    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_deref()
    }
}

/// A public key's wire form (RFC 4253 section 6.6), which libssh gives in base64 only.
///
/// # Safety
/// `key` is a valid key with a public half.
unsafe fn blob_of(key: sys::ssh_key) -> Option<Vec<u8>> {
    let mut base64: *mut c_char = ptr::null_mut();
    // SAFETY: the caller vouches for the key; the out-pointer is ours; the string is a copy that is freed here, null being
    // ignored.
    unsafe {
        if sys::ssh_pki_export_pubkey_base64(key, &raw mut base64) != OK || base64.is_null() {
            return None;
        }
        let blob = BASE64_STANDARD.decode(CStr::from_ptr(base64).to_bytes().trim_ascii_end());
        sys::ssh_string_free_char(base64);
        blob.ok()
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        // SAFETY: each is null (ignored) or a key that only this value owns.
        unsafe {
            sys::ssh_key_free(self.private);
            sys::ssh_key_free(self.public);
        }
    }
}

const OK: c_int = sys::SSH_OK as c_int;

/// What a packet with data counts beside them towards the traffic between two key exchanges: lengths and padding.
/// Servers count these for their own limits; sshd reckons a packet with one byte as 24 or 32.
const DATA_PACKET: u64 = 24;

/// How libssh words that it cannot use a request of keyboard-interactive authentication. It takes at most 256 prompts.
const BAD_QUESTIONS: [&str; 3] = ["Invalid USERAUTH_INFO_REQUEST", "Too much prompts", "Short INFO_REQUEST"];

/// A libssh session over a connected socket.
pub(super) struct Session {
    raw: sys::ssh_session,
    event: sys::ssh_event,
    channels: Slab<Channel>,
    /// Channels that the server was asked for and has not answered yet, by the numbers that libssh gave them.
    opening: HashMap<u32, usize>,
    /// What libssh found wrong with a confirmation. It drops such a one and waits for another, for ever, and
    /// has taken over the packet size that it names, be it for a channel that has been open for long: nothing
    /// may be written any more.
    bad_confirmation: Option<String>,
    /// Whether GSSAPI is being tried: its steps are taken within pumps.
    in_gssapi: bool,
    /// What GSSAPI last complained about.
    gssapi_problem: Option<String>,
    /// While libssh is in the middle of a login by an agent's key: the packets read before.
    agent_begun: Option<u64>,
    /// Tunnels that something has arrived for.
    news: News,
    /// From `Box::into_raw`: libssh holds this pointer until the session is freed. Null where no agent is forwarded.
    door: *mut Door,
    /// Channels that were freed here, and that the server has not closed yet.
    leaving: Vec<Channel>,
    /// Whether the server has closed a channel since they were looked at.
    has_closed: bool,
    /// It has tunnels, and then no commands.
    is_proxy: bool,
    backlog: Backlog,
    /// What waits for the socket is too much: the next pump says so. To end the connection is a step's work
    /// by itself.
    is_unread: bool,
    /// Most bytes that channels have put into packets since libssh had none waiting for the socket.
    unsent: u64,
    keys: Keys,
    /// From `Box::into_raw`: libssh counts here until the session is freed.
    counters: *mut Counters,
    packets_per_visit: u64,
    is_corked: bool,
    reading: Reading,
    is_logged_in: bool,
}

/// What libssh counts.
struct Counters {
    /// Bytes that the socket has given and taken.
    socket: sys::ssh_counter_struct,
    /// Packets, and the bytes of their payloads.
    packets: sys::ssh_counter_struct,
}

impl Counters {
    fn new() -> Self {
        let zero = || sys::ssh_counter_struct { in_bytes: 0, out_bytes: 0, in_packets: 0, out_packets: 0 };
        Self { socket: zero(), packets: zero() }
    }
}

/// The packet that is being read.
#[derive(Default)]
struct Reading {
    /// Packets read before it.
    packets: u64,
    /// Bytes read when the last of those was complete, or before the server had named itself.
    begun: u64,
}

/// What is known of the key exchanges.
#[derive(Default)]
struct Keys {
    /// Whether the server has begun one that is not complete.
    under_way: bool,
    seen: KeyExchanges,
}

struct Channel {
    raw: sys::ssh_channel,
    /// From `Box::into_raw`: libssh holds this pointer as long as the callbacks are installed.
    state: *mut ChannelState,
    /// The server has confirmed it: it owes it an end.
    is_open: bool,
    /// Bytes of the command that the server was asked to run and has not answered yet.
    asked: usize,
    room: PacketRoom,
}

/// What is known of the room for data in a channel's packets to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PacketRoom {
    /// The peer has not confirmed the channel.
    Unknown,
    /// The peer has announced packets of this size.
    Announced(u32),
    /// Of a channel that the server has opened to our agent libssh tells the size to nobody. This is the most
    /// that a packet was seen to carry; 0 before the first write.
    Seen(usize),
}

impl PacketRoom {
    /// Bytes that fit into a packet for certain.
    fn bytes(self) -> usize {
        match self {
            Self::Unknown => 0,
            // See `PACKET_HEADERS`.
            Self::Announced(size) => size.saturating_sub(limits::PACKET_HEADERS) as usize,
            Self::Seen(bytes) => bytes,
        }
    }

    /// Bytes that one write may bring. A packet that is seen to carry more raises it.
    fn chunk(self) -> usize {
        limits::WRITE_CHUNK.min(self.bytes().saturating_mul(limits::WRITE_PACKETS))
    }
}

struct ChannelState {
    inbox: Inbox,
    /// Bytes that the inbox was too full for. libssh keeps them, and does not open the window again meanwhile.
    held: usize,
    /// What arrives is dropped.
    is_deaf: bool,
    /// The server has closed it.
    is_closed: bool,
    /// Of a tunnel only: a command's channel is looked at whenever its host is visited.
    noted: Option<Noted>,
    callbacks: sys::ssh_channel_callbacks_struct,
}

/// Tunnels with news, each once.
type News = Rc<RefCell<Vec<usize>>>;

/// What has happened to a tunnel, and where that is noted.
struct Noted {
    news: News,
    id: usize,
    is_listed: bool,
    reply: Option<OpenReply>,
}

impl Noted {
    fn list(&mut self) {
        if !mem::replace(&mut self.is_listed, true) {
            self.news.borrow_mut().push(self.id);
        }
    }
}

/// What the server says to a channel that it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OpenReply {
    /// CHANNEL_OPEN_CONFIRMATION.
    Opened { packet_max: u32 },
    /// CHANNEL_OPEN_FAILURE (RFC 4254 section 5.1).
    Refused { reason: u32, text: String },
}

/// Where channels arrive that the server opens to a forwarded agent.
struct Door {
    callbacks: sys::ssh_callbacks_struct,
    news: News,
    /// Let in, and not yet part of the session: what [`Channel`] is made of.
    arrived: Vec<(sys::ssh_channel, *mut ChannelState)>,
    /// Let in and not freed.
    open: usize,
    /// How many more may arrive.
    places: usize,
}

// SAFETY: libssh ties a session to no thread; it only must not be entered twice at once, and every entry takes `&mut`.
// All clones of the list of news are inside the session and its channels.
unsafe impl Send for Session {}

impl Session {
    /// Takes the socket over and begins the handshake. From the first `ssh_connect` on, libssh closes the descriptor.
    pub(super) fn start(socket: OwnedFd, setup: &Setup<'_>, host_keys: &CStr) -> Result<Self, LinkError> {
        initialise()?;
        let _log = LogScope::enter();
        // SAFETY: no arguments. The result is checked before use.
        let raw = unsafe { sys::ssh_new() };
        if raw.is_null() {
            return Err(LinkError::new(LinkErrorKind::Limit, "libssh: out of memory"));
        }
        let mut session = Self {
            raw,
            event: ptr::null_mut(),
            // Few hosts run more than one command at a time, and a slab would begin with room for four.
            channels: Slab::with_capacity(1),
            opening: HashMap::new(),
            bad_confirmation: None,
            in_gssapi: false,
            gssapi_problem: None,
            agent_begun: None,
            news: News::default(),
            door: ptr::null_mut(),
            leaving: Vec::new(),
            has_closed: false,
            is_proxy: false,
            backlog: Backlog::default(),
            is_unread: false,
            unsent: 0,
            keys: Keys::default(),
            counters: Box::into_raw(Box::new(Counters::new())),
            packets_per_visit: if setup.compress {
                limits::COMPRESSED_PACKETS_PER_VISIT
            } else {
                limits::PACKETS_PER_VISIT
            },
            is_corked: false,
            reading: Reading::default(),
            is_logged_in: false,
        };
        session.configure(socket.as_raw_fd(), setup, host_keys)?;
        match setup.agent {
            Some(_) => session.open_door()?,
            None => session.set_callbacks((&raw const CALLBACKS.0).cast_mut())?,
        }
        let fd = socket.into_raw_fd();
        // SAFETY: a valid session with a descriptor set.
        let rc = unsafe { sys::ssh_connect(session.raw) };
        session.check_fatal()?;
        if rc == sys::SSH_ERROR {
            return Err(session.fatal());
        }
        // libssh has just made the descriptor blocking; a stalled peer would then hold the thread in a send.
        // SAFETY: the session is not in error, so libssh still has the descriptor open.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        SockRef::from(&fd)
            .set_nonblocking(true)
            .map_err(|e| LinkError::new(LinkErrorKind::Other, e.to_string()))?;
        // SAFETY: the event is checked for null; the session has had its first `ssh_connect`, as adding it requires.
        let rc = unsafe {
            session.event = sys::ssh_event_new();
            if session.event.is_null() {
                sys::SSH_ERROR
            } else {
                sys::ssh_event_add_session(session.event, session.raw)
            }
        };
        if rc == OK {
            Ok(session)
        } else {
            Err(LinkError::new(LinkErrorKind::Limit, "libssh: out of memory"))
        }
    }

    /// Sets every option that keeps libssh from reading files, asking NSS or choosing algorithms itself. No HOST: with it
    /// libssh would scan the known_hosts files of each session.
    fn configure(&mut self, fd: RawFd, setup: &Setup<'_>, host_keys: &CStr) -> Result<(), LinkError> {
        use sys::ssh_options_e::*;
        let process_config = false;
        let compression = if setup.compress { COMPRESSION } else { NO_COMPRESSION };
        let own: [(sys::ssh_options_e, *const c_void); 7] = [
            (SSH_OPTIONS_PROCESS_CONFIG, (&raw const process_config).cast()),
            (SSH_OPTIONS_USER, setup.user.as_ptr().cast()),
            (SSH_OPTIONS_SSH_DIR, NO_SSH_DIR.as_ptr().cast()),
            (SSH_OPTIONS_HOSTKEYS, host_keys.as_ptr().cast()),
            (SSH_OPTIONS_COMPRESSION_C_S, compression.as_ptr().cast()),
            (SSH_OPTIONS_COMPRESSION_S_C, compression.as_ptr().cast()),
            (SSH_OPTIONS_FD, (&raw const fd).cast()),
        ];
        let algorithms = ALGORITHMS.iter().map(|(option, value)| (*option, value.as_ptr().cast()));
        let mut options = algorithms.chain(own);
        // SAFETY: a valid session; each value has the type that its option documents (bool, C string, socket) and is
        // copied by libssh; the message callback takes no user data; the counters outlive the session.
        let refused = unsafe {
            sys::ssh_set_blocking(self.raw, 0);
            sys::ssh_set_message_callback(self.raw, Some(refuse_message), ptr::null_mut());
            sys::ssh_set_counters(
                self.raw,
                &raw mut (*self.counters).socket,
                &raw mut (*self.counters).packets,
            );
            options.any(|(option, value)| sys::ssh_options_set(self.raw, option, value) != OK)
        };
        if refused { Err(LinkError::new(LinkErrorKind::Other, self.error_text())) } else { Ok(()) }
    }

    pub(super) fn pump(&mut self, budget: usize) -> Result<Pumped, LinkError> {
        if self.is_unread {
            let kib = self.backlog.at_most(self.counts()) / 1024;
            let text = format!("the host does not read the answers that it asks for: {kib} KiB of them wait");
            return Err(LinkError::new(LinkErrorKind::Protocol, text));
        }
        let _log = self.listen();
        // What has to be answered costs twice.
        let packets = |session: &Self| session.packets_read() + session.packets_written();
        let packets_end = packets(self) + self.packets_per_visit;
        let keys = self.keys.seen.done;
        for number in 0..budget {
            let was_costly = packets(self) >= packets_end || self.keys.seen.done != keys;
            if was_costly || number > 0 && self.is_in_doubt() {
                break;
            }
            let was_in_doubt = self.is_in_doubt();
            match if was_in_doubt { self.poll_in_doubt()? } else { self.poll()? } {
                OK if was_in_doubt => break,
                OK => {}
                sys::SSH_AGAIN => return Ok(Pumped::Drained),
                _ => return Err(self.fatal()),
            }
        }
        Ok(Pumped::More)
    }

    /// Reads once, acts upon what has arrived, and sends once, as far as the socket allows.
    fn poll(&mut self) -> Result<c_int, LinkError> {
        // SAFETY: event and session are valid; callbacks reach only boxed channel states (see `Channel`).
        let rc = unsafe { sys::ssh_event_dopoll(self.event, 0) };
        self.check_fatal()?;
        self.check_bounds()?;
        Ok(rc)
    }

    /// Whether more may wait for the socket than is allowed, by what was counted: libssh keeps what it answers by itself,
    /// however much that is.
    fn is_in_doubt(&self) -> bool {
        let waiting = self.backlog.at_most(self.counts());
        let max = limits::ANSWERS_UNREAD + self.unsent;
        waiting > max && waiting > max + self.asked()
    }

    /// Polls at the level at which libssh logs how much it has to send, and notes where that is too much. It
    /// logs several lines for each packet besides, which costs as much as all that a visit else may do.
    fn poll_in_doubt(&mut self) -> Result<c_int, LinkError> {
        let before = self.counts();
        // SAFETY: these only read and write libssh's thread-local level, within a scope that puts it back as
        // well; the rest is as in `poll`.
        let rc = unsafe {
            let level = sys::ssh_get_log_level();
            sys::ssh_set_log_level(sys::SSH_LOG_TRACE as c_int);
            let rc = sys::ssh_event_dopoll(self.event, 0);
            sys::ssh_set_log_level(level);
            rc
        };
        let waiting = LOG.with_borrow_mut(|log| log.waiting.take());
        self.check_fatal()?;
        self.check_bounds()?;
        if rc != OK {
            return Ok(rc);
        }
        // A libssh that words that line in another way is taken at what was counted.
        if let Some(waiting) = waiting
            && self.write_pending()
        {
            self.backlog.is(waiting, before);
        }
        self.is_unread = self.is_in_doubt();
        Ok(rc)
    }

    /// Bytes of commands that servers may not have read yet.
    fn asked(&self) -> u64 {
        self.channels.iter().map(|(_, channel)| channel.asked as u64).sum()
    }

    /// What libssh has counted so far.
    fn counts(&self) -> Counts {
        // SAFETY: live until `drop`, and libssh writes it only within calls that take `&mut self`.
        let Counters { socket, packets } = unsafe { &*self.counters };
        Counts {
            packets_read: packets.in_packets,
            packets_written: packets.out_packets,
            payload_written: packets.out_bytes,
            read: socket.in_bytes,
            sent: socket.out_bytes,
        }
    }

    /// Brings what is known of the key exchanges, and of what waits to be sent, in line with what was
    /// counted.
    fn take_stock(&mut self, began: bool, done: u64) {
        let counts = self.counts();
        self.keys.under_way |= began;
        if done > 0 {
            self.keys.seen.done += done;
            self.keys.under_way = false;
        }
        if mem::replace(&mut self.reading.packets, counts.packets_read) != counts.packets_read
            || !self.is_named()
        {
            self.reading.begun = counts.read;
        }
        if !self.write_pending() {
            self.backlog.is(0, counts);
            self.unsent = 0;
        }
    }

    /// Key exchanges so far, the first one included.
    pub(super) fn key_exchanges(&self) -> KeyExchanges {
        self.keys.seen
    }

    /// Gives what was logged to those that it is about.
    fn note_log(&mut self) {
        let log = take_log();
        self.has_closed |= log.has_closed;
        self.keys.seen.traffic += log.data;
        self.take_stock(log.keys_begun, log.keys_done);
        let Log { opened, refused, bad_confirmation, gssapi_problem, .. } = log;
        self.bad_confirmation = self.bad_confirmation.take().or(bad_confirmation);
        self.gssapi_problem = gssapi_problem.or(self.gssapi_problem.take());
        for (number, packet_max) in opened {
            self.note_reply(number, OpenReply::Opened { packet_max });
        }
        for (number, reason, text) in refused {
            self.note_reply(number, OpenReply::Refused { reason, text });
        }
    }

    fn note_reply(&mut self, number: u32, reply: OpenReply) {
        let Some(id) = self.opening.remove(&number) else { return };
        let Some(channel) = self.channels.get_mut(id) else { return };
        if let OpenReply::Opened { packet_max } = reply {
            channel.room = PacketRoom::Announced(packet_max);
            channel.is_open = true;
        }
        // SAFETY: live until `free_channel`; libssh is not running.
        let state = unsafe { &mut *channel.state };
        if let Some(noted) = &mut state.noted {
            noted.reply = Some(reply);
            noted.list();
        }
    }

    pub(super) fn packets_read(&self) -> u64 {
        self.counts().packets_read
    }

    fn packets_written(&self) -> u64 {
        self.counts().packets_written
    }

    pub(super) fn send_keepalive(&mut self) -> Result<(), LinkError> {
        let _log = self.listen();
        // libssh has one global request at a time, and a call after its answer only takes note of that: then the second
        // one sends. It does not say what it did; as long as no answer has come it sends nothing.
        let before = self.packets_written();
        for _ in 0..2 {
            // SAFETY: a valid session. Packets that arrive meanwhile reach only boxed channel states (see `Channel`).
            unsafe { sys::ssh_send_keepalive(self.raw) };
            self.check_fatal()?;
            // The answer may come so soon that a second call would ask again.
            if self.packets_written() != before {
                break;
            }
        }
        Ok(())
    }

    /// Whether bytes wait inside libssh for the socket to take them.
    pub(super) fn write_pending(&self) -> bool {
        self.status() & sys::SSH_WRITE_PENDING as c_int != 0
    }

    /// Whether a pump would find anything now: something to read, or room for what waits to be sent.
    pub(super) fn has_news(&self) -> bool {
        let Some(fd) = self.descriptor() else { return true };
        let mut wanted = PollFlags::POLLIN;
        wanted.set(PollFlags::POLLOUT, self.write_pending());
        poll(&mut [PollFd::new(fd, wanted)], PollTimeout::ZERO) != Ok(0)
    }

    /// Holds back what libssh sends, which is one segment for each message otherwise: a closing channel alone has three.
    pub(super) fn cork(&mut self) {
        self.is_corked = self.set_cork(true);
    }

    /// Sends what was held back. Whoever does not call this leaves it to the kernel, which waits for 200 ms.
    pub(super) fn uncork(&mut self) {
        if mem::take(&mut self.is_corked) {
            self.set_cork(false);
        }
    }

    /// Whether that was possible: a tunnel's socket pair has no segments.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn set_cork(&self, corked: bool) -> bool {
        self.descriptor().is_some_and(|fd| SockRef::from(&fd).set_tcp_cork(corked).is_ok())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn set_cork(&self, _: bool) -> bool {
        false
    }

    /// The socket, while libssh has it.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: a valid session; only reads.
        let fd = unsafe { sys::ssh_get_fd(self.raw) };
        // SAFETY: the descriptor is open while libssh has it, and it changes that only within calls that take `&mut self`.
        (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    fn status(&self) -> c_int {
        // SAFETY: a valid session; only reads.
        unsafe { sys::ssh_get_status(self.raw) }
    }

    fn error_text(&self) -> String {
        // SAFETY: a valid session; the string is copied before libssh can change it.
        unsafe { text_at(sys::ssh_get_error(self.raw.cast())) }
    }

    /// Catches what libssh logs during a call. Any call may read from the socket, so all of them listen while an answer
    /// about a channel, or about a ticket, can come.
    fn listen(&self) -> LogScope {
        LogScope::at(match self {
            Self { in_gssapi: true, .. } => sys::SSH_LOG_DEBUG,
            Self { opening, .. } if opening.is_empty() => sys::SSH_LOG_WARN,
            _ => level_of_channels(),
        })
    }

    /// libssh answers AGAIN for ever to a session that has failed, so its state is asked after every entry.
    fn check_fatal(&mut self) -> Result<(), LinkError> {
        self.note_log();
        if let Some(text) = &self.bad_confirmation {
            return Err(bad_confirmation(text.clone()));
        }
        if self.status() & (sys::SSH_CLOSED_ERROR | sys::SSH_CLOSED) as c_int == 0 {
            Ok(())
        } else {
            Err(self.fatal())
        }
    }

    /// Whether the server has said that it speaks SSH.
    fn is_named(&self) -> bool {
        // SAFETY: a valid session; the pointer is only compared.
        !unsafe { sys::ssh_get_serverbanner(self.raw) }.is_null()
    }

    fn fatal(&self) -> LinkError {
        // SAFETY: a valid session; the pointer is only compared. There is no cipher until the first keys are
        // in use.
        let encrypted = !unsafe { sys::ssh_get_cipher_in(self.raw) }.is_null();
        // KEXINIT, our half of the exchange, and NEWKEYS were sent: the host's signature is what comes next.
        let first_keys = self.keys.seen.done == 0 && self.packets_written() >= 3;
        let mut error = classify::fatal(&self.error_text(), root_cause().as_deref(), encrypted, first_keys);
        if error.kind == LinkErrorKind::Lost && !self.is_named() {
            error.kind = LinkErrorKind::Dropped;
            error.text.push_str(" before it named itself an SSH server");
        }
        error
    }

    /// Turns a return code of a stepping call into its meaning.
    fn progress(&mut self, rc: c_int) -> Result<Poll<()>, LinkError> {
        self.check_fatal()?;
        match rc {
            OK => Ok(Poll::Ready(())),
            sys::SSH_AGAIN => Ok(Poll::Pending),
            _ => Err(LinkError::new(LinkErrorKind::Denied, self.error_text())),
        }
    }

    pub(super) fn handshake(&mut self) -> Result<Poll<()>, LinkError> {
        let _log = self.listen();
        // SAFETY: a valid session whose first `ssh_connect` was made; this continues it.
        let rc = unsafe { sys::ssh_connect(self.raw) };
        self.progress(rc)
    }

    /// The server's key as a wire blob.
    pub(super) fn server_key(&mut self) -> Result<Vec<u8>, LinkError> {
        let mut key: sys::ssh_key = ptr::null_mut();
        // SAFETY: the out-pointer is ours; a key that is given is a copy, which is freed here.
        let blob = unsafe {
            let rc = sys::ssh_get_server_publickey(self.raw, &raw mut key);
            let blob = if rc == OK { blob_of(key) } else { None };
            sys::ssh_key_free(key);
            blob
        };
        blob.ok_or_else(|| LinkError::new(LinkErrorKind::Protocol, "no server key after the handshake"))
    }

    /// Debian's libssh 0.10.6 picks an RSA signature algorithm before it has read the server's extensions; with the
    /// service requested first it has read them.
    pub(super) fn request_auth(&mut self) -> Result<Poll<()>, LinkError> {
        let _log = self.listen();
        // SAFETY: a valid session and a static string.
        let rc = unsafe { sys::ssh_service_request(self.raw, c"ssh-userauth".as_ptr()) };
        self.progress(rc)
    }

    pub(super) fn authenticate(&mut self, credential: &Credential) -> Result<Poll<AuthReply>, LinkError> {
        let _log = self.listen();
        // SAFETY: a valid session; keys and password are borrowed for the call, which copies what it keeps; a null user
        // name means the one set in the options.
        let rc = unsafe {
            match credential {
                Credential::None => sys::ssh_userauth_none(self.raw, ptr::null()),
                Credential::Probe(key) => sys::ssh_userauth_try_publickey(self.raw, ptr::null(), key.public),
                Credential::Key(key) => sys::ssh_userauth_publickey(self.raw, ptr::null(), key.private),
                Credential::Agent { identity, signature } => {
                    return self.authenticate_by_agent(identity, signature.as_deref());
                }
                Credential::Password(secret) => {
                    sys::ssh_userauth_password(self.raw, ptr::null(), secret.as_c_str().as_ptr())
                }
                Credential::Gssapi(gssapi) => return self.gssapi(gssapi),
            }
        };
        self.auth_reply(rc)
    }

    /// Goes on with the GSSAPI method. This call and the pumps until its reply are the only ones that can block: for as long
    /// as the KDC is silent.
    fn gssapi(&mut self, gssapi: &Gssapi) -> Result<Poll<AuthReply>, LinkError> {
        let begins = !self.in_gssapi;
        if begins {
            self.configure_gssapi(gssapi)?;
            self.gssapi_problem = None;
        }
        let _log = LogScope::at(sys::SSH_LOG_DEBUG);
        // SAFETY: a valid session whose authentication service was granted.
        let rc = unsafe { sys::ssh_userauth_gssapi(self.raw) };
        self.note_log();
        // An error is one of this end while the connection lives, and so is a refusal before anything was sent. The server
        // drops what was begun at the next request.
        let reply = match rc {
            sys::ssh_auth_e_SSH_AUTH_ERROR => {
                self.check_fatal()?;
                Poll::Ready(AuthReply::Unable(self.unable()))
            }
            sys::ssh_auth_e_SSH_AUTH_DENIED if begins => Poll::Ready(AuthReply::Unable(self.unable())),
            _ => self.auth_reply(rc)?,
        };
        self.in_gssapi = reply.is_pending();
        Ok(reply)
    }

    /// Why GSSAPI was given up, from libssh's log: its error text is of an earlier call. 0.10.6 does not log that there are no
    /// credentials at all.
    fn unable(&mut self) -> String {
        self.gssapi_problem.take().unwrap_or_else(|| "there are no usable credentials (see klist)".to_owned())
    }

    fn configure_gssapi(&mut self, gssapi: &Gssapi) -> Result<(), LinkError> {
        use sys::ssh_options_e::*;
        let delegate = c_int::from(gssapi.delegate);
        let mut options: Vec<(sys::ssh_options_e, *const c_void)> = vec![
            (SSH_OPTIONS_GSSAPI_SERVER_IDENTITY, gssapi.server.as_ptr().cast()),
            (SSH_OPTIONS_GSSAPI_DELEGATE_CREDENTIALS, (&raw const delegate).cast()),
        ];
        if let Some(client) = &gssapi.client {
            options.push((SSH_OPTIONS_GSSAPI_CLIENT_IDENTITY, client.as_ptr().cast()));
        }
        for (option, value) in options {
            // SAFETY: a valid session; each value has the type that its option documents (C string, int) and is copied.
            if unsafe { sys::ssh_options_set(self.raw, option, value) } != OK {
                return Err(LinkError::new(LinkErrorKind::Other, self.error_text()));
            }
        }
        Ok(())
    }

    fn auth_reply(&mut self, rc: c_int) -> Result<Poll<AuthReply>, LinkError> {
        self.note_log();
        // Success first: a server may close right after it, and the state would already be an error.
        match rc {
            sys::ssh_auth_e_SSH_AUTH_SUCCESS => {
                self.is_logged_in = true;
                return Ok(Poll::Ready(AuthReply::Accepted));
            }
            sys::ssh_auth_e_SSH_AUTH_PARTIAL => return Ok(Poll::Ready(AuthReply::Partial)),
            _ => self.check_fatal()?,
        }
        match rc {
            // libssh refuses some keys by itself, a short RSA key for instance; then the server has said nothing.
            sys::ssh_auth_e_SSH_AUTH_DENIED if !self.error_text().starts_with("Access denied") => {
                Ok(Poll::Ready(AuthReply::Unable(self.error_text())))
            }
            sys::ssh_auth_e_SSH_AUTH_DENIED => Ok(Poll::Ready(AuthReply::Denied)),
            sys::ssh_auth_e_SSH_AUTH_AGAIN => Ok(Poll::Pending),
            _ => Err(self.fatal()),
        }
    }

    pub(super) fn interact(&mut self) -> Result<Poll<Interaction>, LinkError> {
        let _log = LogScope::enter();
        // SAFETY: a valid session; null for the user name means the one set in the options, for the submethods none.
        let rc = unsafe { sys::ssh_userauth_kbdint(self.raw, ptr::null(), ptr::null()) };
        if rc == sys::ssh_auth_e_SSH_AUTH_INFO {
            return Ok(Poll::Ready(Interaction::Asks(self.questions())));
        }
        let reply = self.auth_reply(rc)?.map(Interaction::Replies);
        // libssh only notes a request that it cannot read, and waits for the next one, for ever.
        let text = self.error_text();
        if reply.is_pending() && BAD_QUESTIONS.iter().any(|bad| text.starts_with(bad)) {
            return Err(LinkError::new(LinkErrorKind::Protocol, text));
        }
        Ok(reply)
    }

    /// What the server asks, after libssh has said that it asks.
    fn questions(&mut self) -> Questions {
        // SAFETY: a valid session; every string is one that libssh keeps until the next request, and is copied here. The
        // index stays below the number of prompts, and `echo` is ours.
        unsafe {
            let count = sys::ssh_userauth_kbdint_getnprompts(self.raw).max(0) as c_uint;
            let prompt = |index| {
                let mut echo: c_char = 0;
                let text = text_at(sys::ssh_userauth_kbdint_getprompt(self.raw, index, &raw mut echo));
                Prompt { text, echo: echo != 0 }
            };
            Questions {
                name: text_at(sys::ssh_userauth_kbdint_getname(self.raw)),
                instruction: text_at(sys::ssh_userauth_kbdint_getinstruction(self.raw)),
                prompts: (0..count).map(prompt).collect(),
            }
        }
    }

    pub(super) fn answer(&mut self, answers: &[Secret]) -> Result<(), LinkError> {
        for (index, answer) in (0..).zip(answers) {
            // SAFETY: a valid session; the answer is copied, and the copy overwritten once it was sent. libssh checks the
            // index.
            let rc =
                unsafe { sys::ssh_userauth_kbdint_setanswer(self.raw, index, answer.as_c_str().as_ptr()) };
            if rc != OK {
                return Err(LinkError::new(LinkErrorKind::Other, self.error_text()));
            }
        }
        Ok(())
    }

    /// libssh believes that it talks to an agent; see [`AgentScript`]. Each call gets a socket of its own, so that no
    /// descriptor is held while the server or the agent is waited for.
    fn authenticate_by_agent(
        &mut self,
        identity: &Identity,
        signature: Option<&[u8]>,
    ) -> Result<Poll<AuthReply>, LinkError> {
        /// No socket: libssh neither uses nor closes it.
        const NONE: c_int = -1;
        if !certificate::is_well_formed(identity.blob()) {
            return Ok(Poll::Ready(AuthReply::Unable(
                "the agent's key is damaged, or of an unknown type".to_owned(),
            )));
        }
        let packets_begun = self.agent_begun.unwrap_or_else(|| self.packets_read());
        let script = AgentScript::new(identity, self.agent_begun.is_some(), signature)
            .map_err(|e| LinkError::new(LinkErrorKind::Limit, format!("no socket to sign over: {e}")))?;
        // SAFETY: a valid session, whose user name is the one set in the options. The script's socket is open during the
        // call, and libssh forgets it before it is closed.
        let rc = unsafe {
            sys::ssh_set_agent_socket(self.raw, script.fd());
            let rc = sys::ssh_userauth_agent(self.raw, ptr::null());
            sys::ssh_set_agent_socket(self.raw, NONE);
            rc
        };
        self.agent_begun = (rc == sys::ssh_auth_e_SSH_AUTH_AGAIN).then_some(packets_begun);
        match (rc, script.sign_request()) {
            // The refusal of the first pass, which libssh takes for an error.
            (sys::ssh_auth_e_SSH_AUTH_ERROR, Some(request)) if signature.is_none() => {
                self.check_fatal()?;
                Ok(Poll::Ready(AuthReply::ToSign(request)))
            }
            (sys::ssh_auth_e_SSH_AUTH_DENIED, _) if self.packets_read() == packets_begun => {
                Ok(Poll::Ready(AuthReply::Unable(self.error_text())))
            }
            _ => self.auth_reply(rc),
        }
    }

    pub(super) fn offered(&mut self) -> Vec<AuthMethod> {
        const NAMES: [(u32, AuthMethod); 5] = [
            (sys::SSH_AUTH_METHOD_PUBLICKEY, AuthMethod::PublicKey),
            (sys::SSH_AUTH_METHOD_PASSWORD, AuthMethod::Password),
            (sys::SSH_AUTH_METHOD_INTERACTIVE, AuthMethod::KeyboardInteractive),
            (sys::SSH_AUTH_METHOD_HOSTBASED, AuthMethod::HostBased),
            (sys::SSH_AUTH_METHOD_GSSAPI_MIC, AuthMethod::Gssapi),
        ];
        // SAFETY: a valid session; returns a bit set that the last USERAUTH_FAILURE filled.
        let bits = unsafe { sys::ssh_userauth_list(self.raw, ptr::null()) } as u32;
        NAMES.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, method)| *method).collect()
    }

    /// A channel for a command.
    pub(super) fn open_channel(&mut self) -> Result<ChannelId, LinkError> {
        self.new_channel(false)
    }

    fn new_channel(&mut self, is_tunnel: bool) -> Result<ChannelId, LinkError> {
        let id = self.channels.vacant_key();
        let noted = is_tunnel.then(|| Noted { news: self.news.clone(), id, is_listed: false, reply: None });
        // SAFETY: a valid session.
        let Some((raw, state)) = (unsafe { make_channel(self.raw, noted) }) else {
            return Err(LinkError::new(LinkErrorKind::Limit, "libssh: no channel can be made"));
        };
        let channel = Channel { raw, state, is_open: false, asked: 0, room: PacketRoom::Unknown };
        let id = ChannelId(self.channels.insert(channel));
        Ok(id)
    }

    /// Lets the server open channels to an agent. Without this libssh refuses them, by [`refuse_message`].
    fn open_door(&mut self) -> Result<(), LinkError> {
        let callbacks = sys::ssh_callbacks_struct {
            channel_open_request_auth_agent_function: Some(on_agent_channel),
            ..session_callbacks()
        };
        let door = Door { callbacks, news: self.news.clone(), arrived: Vec::new(), open: 0, places: 0 };
        self.door = Box::into_raw(Box::new(door));
        // SAFETY: a live allocation that only `drop` ends, after the session.
        let callbacks = unsafe {
            (*self.door).callbacks.userdata = self.door.cast();
            &raw mut (*self.door).callbacks
        };
        self.set_callbacks(callbacks)
    }

    /// The callbacks outlive the session, and libssh only reads them.
    fn set_callbacks(&mut self, callbacks: sys::ssh_callbacks) -> Result<(), LinkError> {
        // SAFETY: a valid session; its two callers pass what this function documents.
        let rc = unsafe { sys::ssh_set_callbacks(self.raw, callbacks) };
        if rc == OK { Ok(()) } else { Err(LinkError::new(LinkErrorKind::Other, self.error_text())) }
    }

    /// How many channels to the agent the server may open until this is said again.
    pub(super) fn admit_agent_channels(&mut self, places: usize) {
        // SAFETY: null or live until `drop`; libssh is not running.
        if let Some(door) = unsafe { self.door.as_mut() } {
            door.places = places;
        }
    }

    /// The next channel that the server has opened to the agent. It is open, and counts as a tunnel.
    pub(super) fn next_agent_channel(&mut self) -> Option<ChannelId> {
        // SAFETY: null or live until `drop`; libssh is not running.
        let (raw, state) = unsafe { self.door.as_mut() }?.arrived.pop()?;
        let channel = Channel { raw, state, is_open: true, asked: 0, room: PacketRoom::Seen(0) };
        let id = ChannelId(self.channels.insert(channel));
        if let Some(noted) = self.noted(id) {
            (noted.id, noted.is_listed) = (id.0, false);
        }
        Some(id)
    }

    pub(super) fn opened(&mut self, id: ChannelId) -> Result<Poll<()>, LinkError> {
        let _log = LogScope::at(level_of_channels());
        let Some(channel) = self.channels.get(id.0) else { return Err(no_channel()) };
        // SAFETY: a valid channel of this session.
        let rc = unsafe { sys::ssh_channel_open_session(channel.raw) };
        self.note_asked(id, rc);
        if let Some(channel) = self.channels.get_mut(id.0) {
            channel.is_open |= rc == OK;
        }
        self.progress(rc)
    }

    pub(super) fn request(&mut self, id: ChannelId, request: &ChannelRequest) -> Result<Poll<()>, LinkError> {
        let _log = self.listen();
        let Some(channel) = self.channels.get(id.0) else { return Err(no_channel()) };
        // SAFETY: a valid open channel; the strings are copied into the packet.
        let rc = unsafe {
            match request {
                ChannelRequest::Pty { term, columns, rows } => {
                    request_pty(channel.raw, term, (*columns).into(), (*rows).into())
                }
                ChannelRequest::Env { name, value } => {
                    sys::ssh_channel_request_env(channel.raw, name.as_ptr(), value.as_ptr())
                }
                ChannelRequest::ForwardAgent => sys::ssh_channel_request_auth_agent(channel.raw),
            }
        };
        self.progress(rc)
    }

    /// Asks the server to connect a new channel to this host (RFC 4254 section 7.2). Its answer is [`Session::open_reply`].
    pub(super) fn open_tunnel(&mut self, host: &CStr, port: u16) -> Result<ChannelId, LinkError> {
        let id = self.new_channel(true)?;
        self.is_proxy = true;
        let _log = LogScope::at(level_of_channels());
        let raw = self.channels[id.0].raw;
        // The originator, which servers only log: as OpenSSH's client has it for connections that came over no socket.
        let (origin, origin_port) = (c"127.0.0.1", 65_535);
        // SAFETY: a valid channel of this session; the strings are copied into the packet.
        let rc = unsafe {
            sys::ssh_channel_open_forward(raw, host.as_ptr(), port.into(), origin.as_ptr(), origin_port)
        };
        self.note_asked(id, rc);
        self.check_fatal()?;
        Ok(id)
    }

    /// Takes note of the number that libssh gave a channel when it asked for it, and of answers that came at once.
    fn note_asked(&mut self, id: ChannelId, rc: c_int) {
        if let Some(number) = LOG.with_borrow_mut(|log| log.created.take()) {
            self.opening.insert(number, id.0);
        }
        self.note_log();
        if rc != sys::SSH_AGAIN {
            self.opening.retain(|_, opening| *opening != id.0);
        }
    }

    /// What the server said to a tunnel that was asked for, once.
    pub(super) fn open_reply(&mut self, id: ChannelId) -> Option<OpenReply> {
        self.noted(id)?.reply.take()
    }

    fn noted(&mut self, id: ChannelId) -> Option<&mut Noted> {
        let state = self.channels.get(id.0)?.state;
        // SAFETY: live until `free_channel`; libssh touches it only within calls that take `&mut self`.
        unsafe { (*state).noted.as_mut() }
    }

    /// Whether something has arrived for a tunnel, be it that another call than a pump has read it.
    pub(super) fn has_tunnel_news(&self) -> bool {
        !self.news.borrow().is_empty()
    }

    /// The next tunnel with news.
    pub(super) fn next_news(&mut self) -> Option<ChannelId> {
        let id = ChannelId(self.news.borrow_mut().pop()?);
        if let Some(noted) = self.noted(id) {
            noted.is_listed = false;
        }
        Some(id)
    }

    /// Moves what libssh kept back for want of room to a tunnel's inbox, as far as there is room now.
    pub(super) fn refill(&mut self, id: ChannelId) -> Result<(), LinkError> {
        let Some(channel) = self.channels.get(id.0) else { return Ok(()) };
        let (raw, state) = (channel.raw, channel.state);
        let _log = self.listen();
        // SAFETY: live until `free_channel`. Neither reference is alive while libssh runs, which with bytes of its own at
        // hand does not look at the socket; the buffer has room for what is asked.
        let rc = unsafe {
            let held = (*state).held.min(limits::INBOX_TUNNEL.saturating_sub((*state).inbox.stdout.len()));
            if held == 0 {
                return Ok(());
            }
            let mut buffer = vec![0_u8; held];
            let rc = sys::ssh_channel_read_timeout(raw, buffer.as_mut_ptr().cast(), held as u32, 0, 0);
            if let Ok(read) = usize::try_from(rc) {
                (*state).held -= read.min(held);
                (*state).inbox.stdout.extend_from_slice(&buffer[..read.min(held)]);
            }
            rc
        };
        self.check_fatal()?;
        if rc < 0 { Err(LinkError::new(LinkErrorKind::Protocol, self.error_text())) } else { Ok(()) }
    }

    /// Bytes that libssh keeps back for a tunnel. More than a window is a peer that does not keep to it.
    pub(super) fn held(&self, id: ChannelId) -> usize {
        // SAFETY: live until `free_channel`; libssh is not running.
        self.channels.get(id.0).map_or(0, |channel| unsafe { (*channel.state).held })
    }

    /// Bytes that the peer would take on this channel now.
    pub(super) fn window(&self, id: ChannelId) -> usize {
        // SAFETY: a valid channel; only reads.
        self.channels
            .get(id.0)
            .map_or(0, |channel| unsafe { sys::ssh_channel_window_size(channel.raw) } as usize)
    }

    pub(super) fn exec(&mut self, id: ChannelId, command: &CStr) -> Result<Poll<()>, LinkError> {
        let _log = self.listen();
        let Some(channel) = self.channels.get_mut(id.0) else { return Err(no_channel()) };
        // SAFETY: a valid open channel; the command is copied into the packet.
        let rc = unsafe { sys::ssh_channel_request_exec(channel.raw, command.as_ptr()) };
        channel.asked = if rc == sys::SSH_AGAIN { command.count_bytes() } else { 0 };
        self.progress(rc)
    }

    pub(super) fn inbox(&mut self, id: ChannelId) -> Option<&mut Inbox> {
        let state = self.channels.get(id.0)?.state;
        // SAFETY: live until `free_channel`; libssh touches it only within calls that take `&mut self`.
        Some(unsafe { &mut (*state).inbox })
    }

    /// Whether so many bytes of channels wait for the socket that no more should be added.
    pub(super) fn is_congested(&mut self, backlog: usize) -> bool {
        if !self.write_pending() {
            self.unsent = 0;
            return false;
        }
        self.unsent >= backlog as u64
    }

    /// Whether this is a channel to the agent that [`write_first`](Self::write_first) has to be the first to
    /// write to.
    pub(super) fn is_untried(&self, id: ChannelId) -> bool {
        self.channels.get(id.0).is_some_and(|channel| channel.room == PacketRoom::Seen(0))
    }

    /// Writes what goes now, unless `backlog` bytes of channels wait for the socket already; with a backlog of 0 unless
    /// anything does.
    pub(super) fn write(&mut self, id: ChannelId, input: &[u8], backlog: usize) -> Result<usize, LinkError> {
        let Some(channel) = self.channels.get(id.0) else { return Err(no_channel()) };
        let chunk = channel.room.chunk();
        // A packet size of 0 would make libssh loop for ever (CVE-2026-59843); one that was not seen could be 0.
        if chunk == 0 {
            return Err(LinkError::new(LinkErrorKind::Unwritable, ""));
        }
        self.write_chunk(id, &input[..input.len().min(chunk)], backlog)
    }

    /// As [`write`](Self::write), the first bytes of a channel to the agent, be there room in its packets or
    /// not: where there is none, libssh does not come back. Only for a thread that is [prepared for
    /// that](park_in_loops).
    pub(super) fn write_first(
        &mut self,
        id: ChannelId,
        input: &[u8],
        backlog: usize,
    ) -> Result<usize, LinkError> {
        self.write_chunk(id, &input[..input.len().min(limits::WRITE_PACKETS)], backlog)
    }

    fn write_chunk(&mut self, id: ChannelId, input: &[u8], backlog: usize) -> Result<usize, LinkError> {
        let Some(channel) = self.channels.get(id.0) else { return Err(no_channel()) };
        let (raw, room) = (channel.raw, channel.room);
        // In the middle of a key exchange libssh takes nothing, but reads: a packet size that a host changed there
        // would be one that was not looked at.
        if input.is_empty() || self.keys.under_way || self.is_congested(backlog) {
            return Ok(0);
        }
        let is_measured = matches!(room, PacketRoom::Seen(_)) && room.chunk() < limits::WRITE_CHUNK;
        let _log = if is_measured { LogScope::at(sys::SSH_LOG_PACKET as u32) } else { self.listen() };
        let before = self.counts();
        // SAFETY: a valid channel; the buffer is borrowed for the call, and its length fits u32 (at most `WRITE_CHUNK`).
        let rc = unsafe {
            if sys::ssh_channel_window_size(raw) == 0 {
                0
            } else {
                sys::ssh_channel_write(raw, input.as_ptr().cast(), input.len() as u32)
            }
        };
        let carried = LOG.with_borrow(|log| log.carried);
        self.check_fatal()?;
        let written =
            usize::try_from(rc).map_err(|_| LinkError::new(LinkErrorKind::Denied, self.error_text()))?;
        if written > 0 {
            self.keys.seen.traffic += written as u64 + DATA_PACKET;
        }
        if self.write_pending() {
            self.unsent += self.counts().packed_since(before);
        }
        if is_measured
            && written > 0
            && let Some(channel) = self.channels.get_mut(id.0)
        {
            // A libssh that does not log what a packet carries has come back all the same: there is room for
            // a byte.
            channel.room = PacketRoom::Seen(carried.max(room.bytes()).max(1));
        }
        Ok(written)
    }

    /// Drops what has arrived on a tunnel, and what is still to arrive.
    pub(super) fn deafen(&mut self, id: ChannelId) -> Result<(), LinkError> {
        let Some(channel) = self.channels.get(id.0) else { return Ok(()) };
        let state = channel.state;
        // SAFETY: live until `free_channel`; libssh is not running.
        unsafe { (*state).is_deaf = true };
        loop {
            let before = self.held(id);
            if let Some(inbox) = self.inbox(id) {
                inbox.stdout = Vec::new();
            }
            self.refill(id)?;
            if self.held(id) >= before {
                return Ok(());
            }
        }
    }

    pub(super) fn send_eof(&mut self, id: ChannelId) -> Result<Poll<()>, LinkError> {
        let _log = self.listen();
        let Some(channel) = self.channels.get(id.0) else { return Err(no_channel()) };
        // SAFETY: a valid channel. AGAIN means queued but not flushed, which the next pump does.
        let rc = unsafe { sys::ssh_channel_send_eof(channel.raw) };
        self.progress(if rc == sys::SSH_AGAIN { OK } else { rc })
    }

    pub(super) fn signal(&mut self, id: ChannelId, signal: Signal) -> Result<(), LinkError> {
        let _log = LogScope::enter();
        let Some(channel) = self.channels.get(id.0) else { return Err(no_channel()) };
        // SAFETY: a valid channel without a request that waits for its answer; the name is copied into the packet.
        let rc = unsafe { sys::ssh_channel_request_send_signal(channel.raw, signal.name().as_ptr()) };
        self.progress(rc).map(drop)
    }

    pub(super) fn close_channel(&mut self, id: ChannelId) -> Result<Poll<()>, LinkError> {
        let _log = self.listen();
        let Some(channel) = self.channels.get(id.0) else { return Err(no_channel()) };
        // SAFETY: a valid channel. AGAIN means that CLOSE was not sent yet: the caller comes again.
        let rc = unsafe { sys::ssh_channel_close(channel.raw) };
        self.progress(rc)
    }

    /// Forgets a channel. One that the server has not closed stays with libssh until it does, and swallows
    /// what arrives: without callbacks libssh would keep that, 0.10 without any bound.
    pub(super) fn free_channel(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.try_remove(id.0) else { return };
        let _log = self.listen();
        self.opening.retain(|_, opening| *opening != id.0);
        // SAFETY: live until `release`; libssh is not running.
        let state = unsafe { &mut *channel.state };
        let is_up = self.status() & (sys::SSH_CLOSED_ERROR | sys::SSH_CLOSED) as c_int == 0;
        if !channel.is_open || state.is_closed || !is_up {
            self.release(channel);
            return;
        }
        state.inbox = Inbox { closed: true, ..Inbox::default() };
        state.noted = None;
        let held = mem::take(&mut state.held);
        let mut buffer = vec![0_u8; held.min(limits::INBOX_TUNNEL)];
        // SAFETY: a valid channel; the buffer has room for what is asked. No reference to the state is alive.
        unsafe {
            for _ in 0..held.div_ceil(buffer.len().max(1)) {
                let len = buffer.len() as u32;
                sys::ssh_channel_read_timeout(channel.raw, buffer.as_mut_ptr().cast(), len, 0, 0);
            }
            // One try, as libssh's own; a channel that has said so already says nothing.
            sys::ssh_channel_close(channel.raw);
        }
        self.leaving.push(channel);
        self.note_log();
    }

    fn check_bounds(&mut self) -> Result<(), LinkError> {
        let begun = self.counts().read.saturating_sub(self.reading.begun);
        // In between come banners, which are texts of any length, and no key exchange.
        let may_be_keys = self.keys.seen.done == 0 || self.is_logged_in;
        if begun > limits::PACKET_BYTES && may_be_keys {
            let text = format!("a packet of more than {} KiB", limits::PACKET_BYTES / 1024);
            return Err(LinkError::new(LinkErrorKind::Protocol, text));
        }
        self.let_go();
        self.check_unclosed()
    }

    /// Lets go of channels that the server has closed by now. It owes an end to each.
    fn let_go(&mut self) {
        if !mem::take(&mut self.has_closed) {
            return;
        }
        // SAFETY: live until `release`; libssh is not running.
        let closed = |channel: &mut Channel| unsafe { (*channel.state).is_closed };
        for channel in self.leaving.extract_if(.., closed).collect::<Vec<_>>() {
            self.release(channel);
        }
    }

    /// Fails a host that closes none of its channels.
    fn check_unclosed(&self) -> Result<(), LinkError> {
        let max = if self.is_proxy { limits::TUNNELS_UNCLOSED } else { limits::CHANNELS_UNCLOSED };
        if self.leaving.len() > max {
            let text = format!("the host does not close its channels: {} are left", self.leaving.len());
            return Err(LinkError::new(LinkErrorKind::Protocol, text));
        }
        Ok(())
    }

    /// Ends a channel and its state.
    fn release(&mut self, channel: Channel) {
        // SAFETY: libssh may keep the channel until the peer has closed it, so its pointer to our state is removed first;
        // after that nothing but this function knows the state, which is freed once.
        unsafe {
            sys::ssh_remove_channel_callbacks(channel.raw, &raw mut (*channel.state).callbacks);
            sys::ssh_channel_free(channel.raw);
            drop(Box::from_raw(channel.state));
            if matches!(channel.room, PacketRoom::Seen(_))
                && let Some(door) = self.door.as_mut()
            {
                door.open = door.open.saturating_sub(1);
            }
        }
        self.note_log();
    }
}

/// `pty-req` with any modes, which libssh has since 0.11.
type RequestPtyWithModes =
    unsafe extern "C" fn(sys::ssh_channel, *const c_char, c_int, c_int, *const c_uchar, usize) -> c_int;

/// The system's libssh is found at run time to be 0.10 or later: a program may run with another than it was built with.
#[cfg(not(bundled_libssh))]
fn request_pty_with_modes() -> Option<RequestPtyWithModes> {
    static FOUND: OnceLock<Option<RequestPtyWithModes>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let name = c"ssh_channel_request_pty_size_modes";
        // SAFETY: looks a name up among the libraries that this process has loaded.
        let address = unsafe { nix::libc::dlsym(nix::libc::RTLD_DEFAULT, name.as_ptr()) };
        // SAFETY: null becomes `None`, which `Option` of a function pointer is made of; else it is libssh's function, of the
        // type that its header declares.
        unsafe { std::mem::transmute::<*mut c_void, Option<RequestPtyWithModes>>(address) }
    })
}

#[cfg(bundled_libssh)]
fn request_pty_with_modes() -> Option<RequestPtyWithModes> {
    Some(sys::ssh_channel_request_pty_size_modes)
}

/// Asks for a terminal without modes. The call without them sends none in libssh 0.10, but those of this process's own
/// terminal since 0.11, so there they are said to be none.
///
/// # Safety
/// `channel` is a valid open channel.
unsafe fn request_pty(channel: sys::ssh_channel, term: &CStr, columns: c_int, rows: c_int) -> c_int {
    /// TTY_OP_END (RFC 4254 section 8).
    const NO_MODES: [c_uchar; 1] = [0];
    // SAFETY: the caller's channel; the name and the modes are copied into the packet.
    unsafe {
        match request_pty_with_modes() {
            Some(request) => {
                request(channel, term.as_ptr(), columns, rows, NO_MODES.as_ptr(), NO_MODES.len())
            }
            None => sys::ssh_channel_request_pty_size(channel, term.as_ptr(), columns, rows),
        }
    }
}

fn bad_confirmation(text: String) -> LinkError {
    let unwritable = text.contains("maximum packet size 0");
    LinkError::new(if unwritable { LinkErrorKind::Unwritable } else { LinkErrorKind::Protocol }, text)
}

fn no_channel() -> LinkError {
    LinkError::new(LinkErrorKind::Other, "no such channel")
}

impl Drop for Session {
    fn drop(&mut self) {
        let _log = LogScope::enter();
        // SAFETY: null or live until the end of this function; libssh is not running.
        if let Some(door) = unsafe { self.door.as_mut() } {
            // Shut for what may still arrive meanwhile.
            door.open = usize::MAX;
        }
        while self.next_agent_channel().is_some() {}
        let open: Vec<usize> = self.channels.iter().map(|(id, _)| id).collect();
        for id in open {
            self.free_channel(ChannelId(id));
        }
        // They have said their goodbye, as far as there was somebody to say it to.
        for channel in mem::take(&mut self.leaving) {
            self.release(channel);
        }
        // A packet goes out once the socket has said that it takes one. The first poll sends what waits, the second lets the
        // goodbye follow. In the middle of GSSAPI it goes or not: what has arrived would make libssh ask the
        // KDC. A host that does not read gets none.
        for _ in 0..2 {
            let is_idle = self.event.is_null() || self.in_gssapi || self.is_in_doubt();
            if is_idle || self.check_fatal().is_err() {
                break;
            }
            // SAFETY: event and session are valid; no channel of ours has callbacks any more.
            unsafe { sys::ssh_event_dopoll(self.event, 0) };
        }
        // SAFETY: in libssh's order: the event gives the socket back, the descriptor option is cleared so that libssh
        // owns it, the disconnect closes it (unless an error already did), and the session goes last, then what it counted
        // into. Null is ignored.
        unsafe {
            sys::ssh_event_free(self.event);
            sys::ssh_options_set(self.raw, sys::ssh_options_e::SSH_OPTIONS_FD, ptr::null());
            sys::ssh_disconnect(self.raw);
            sys::ssh_free(self.raw);
            drop(Box::from_raw(self.counters));
            if !self.door.is_null() {
                drop(Box::from_raw(self.door));
            }
        }
    }
}

/// Refuses whatever a server asks of a client: channels to us and unknown requests. libssh would queue them for ever.
unsafe extern "C" fn refuse_message(_: sys::ssh_session, _: sys::ssh_message, _: *mut c_void) -> c_int {
    1
}

/// What every session has libssh call. The user data is for the channels of agents alone.
const fn session_callbacks() -> sys::ssh_callbacks_struct {
    sys::ssh_callbacks_struct {
        size: size_of::<sys::ssh_callbacks_struct>(),
        userdata: ptr::null_mut(),
        auth_function: None,
        log_function: None,
        connect_status_function: Some(on_status),
        global_request_function: None,
        channel_open_request_x11_function: None,
        channel_open_request_auth_agent_function: None,
        channel_open_request_forwarded_tcpip_function: None,
    }
}

/// The callbacks of sessions without a forwarded agent.
struct Callbacks(sys::ssh_callbacks_struct);

static CALLBACKS: Callbacks = Callbacks(session_callbacks());

// SAFETY: it has no user data, and libssh only reads it.
unsafe impl Sync for Callbacks {}

/// Tells how far a key exchange is, the first one and any other: libssh says so nowhere else but in its log.
unsafe extern "C" fn on_status(_: *mut c_void, progress: f32) {
    let _ = catch_unwind(|| LOG.with_borrow_mut(|log| log.note_progress(progress)));
}

/// Makes the channel that a server opens to our agent, unless there are too many: null refuses it.
unsafe extern "C" fn on_agent_channel(session: sys::ssh_session, door: *mut c_void) -> sys::ssh_channel {
    // SAFETY: our user data, live as long as the session; nobody else refers to it during a call into libssh.
    let door = unsafe { &mut *door.cast::<Door>() };
    let make = || {
        if door.open >= limits::AGENT_CHANNELS || door.places == 0 {
            return ptr::null_mut();
        }
        // Not listed: it gets its number, and is looked at, once libssh is done.
        let noted = Noted { news: door.news.clone(), id: usize::MAX, is_listed: true, reply: None };
        // SAFETY: the session that calls.
        let Some((raw, state)) = (unsafe { make_channel(session, Some(noted)) }) else {
            return ptr::null_mut();
        };
        door.open += 1;
        door.places -= 1;
        door.arrived.push((raw, state));
        raw
    };
    catch_unwind(AssertUnwindSafe(make)).unwrap_or(ptr::null_mut())
}

/// A channel with its callbacks installed, both for [`Session::free_channel`] to end. `None` where libssh does not make it.
///
/// # Safety
/// `session` is a valid session.
unsafe fn make_channel(
    session: sys::ssh_session,
    noted: Option<Noted>,
) -> Option<(sys::ssh_channel, *mut ChannelState)> {
    let (inbox, callbacks) = (Inbox::default(), channel_callbacks());
    let state = Box::new(ChannelState { inbox, held: 0, is_deaf: false, is_closed: false, noted, callbacks });
    // SAFETY: the caller's session; the channel is checked for null. The state is a live allocation that ends with the
    // channel: here if libssh does not take it, else in `free_channel`, which removes the callbacks first.
    unsafe {
        let raw = sys::ssh_channel_new(session);
        if raw.is_null() {
            return None;
        }
        let state = Box::into_raw(state);
        (*state).callbacks.userdata = state.cast();
        if sys::ssh_set_channel_callbacks(raw, &raw mut (*state).callbacks) != OK {
            sys::ssh_channel_free(raw);
            drop(Box::from_raw(state));
            return None;
        }
        Some((raw, state))
    }
}

fn channel_callbacks() -> sys::ssh_channel_callbacks_struct {
    sys::ssh_channel_callbacks_struct {
        size: size_of::<sys::ssh_channel_callbacks_struct>(),
        userdata: ptr::null_mut(),
        channel_data_function: Some(on_data),
        channel_eof_function: Some(on_eof),
        channel_close_function: Some(on_close),
        channel_signal_function: None,
        channel_exit_status_function: Some(on_exit_status),
        channel_exit_signal_function: Some(on_exit_signal),
        channel_pty_request_function: None,
        channel_shell_request_function: None,
        channel_auth_agent_req_function: None,
        channel_x11_req_function: None,
        channel_pty_window_change_function: None,
        channel_exec_request_function: None,
        channel_env_request_function: None,
        channel_subsystem_request_function: None,
        channel_write_wontblock_function: None,
        channel_open_response_function: Some(on_open_response),
        channel_request_response_function: None,
    }
}

/// Runs a callback's body on its channel unless the server has closed that. No panic crosses into C.
///
/// # Safety
/// `state` is the user data that [`make_channel`] installed.
unsafe fn deliver(state: *mut c_void, body: impl FnOnce(&mut ChannelState)) {
    // SAFETY: alive while the callbacks are installed, and nobody else refers to it during a call into libssh.
    let state = unsafe { &mut *state.cast::<ChannelState>() };
    if !state.inbox.closed {
        // The bodies only copy bytes and note news; should one panic all the same, the state stays valid.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            body(state);
            if let Some(noted) = &mut state.noted {
                noted.list();
            }
        }));
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
    let _ = catch_unwind(|| LOG.with_borrow_mut(|log| log.data += u64::from(len) + DATA_PACKET));
    if len > 0 {
        // SAFETY: libssh passes `len` readable bytes and our user data. Data after CLOSE is swallowed (CVE-2026-59850).
        unsafe {
            let bytes = std::slice::from_raw_parts(data.cast::<u8>(), len as usize);
            deliver(state, |state| taken = state.take_in(bytes, is_stderr != 0));
        }
    }
    taken as c_int
}

impl ChannelState {
    /// Takes data into the inbox: all of it for a command, for a tunnel no more than it has room for. How much.
    fn take_in(&mut self, bytes: &[u8], is_stderr: bool) -> usize {
        let Self { inbox, held, is_deaf, noted, .. } = self;
        if noted.is_none() {
            let stream = if is_stderr { &mut inbox.stderr } else { &mut inbox.stdout };
            stream.extend_from_slice(bytes);
            return bytes.len();
        }
        if *is_deaf {
            *held = 0;
            return bytes.len();
        }
        if is_stderr {
            // A connection has one stream: whatever a server means by a second one, it is not for the host behind.
            return bytes.len();
        }
        let room = limits::INBOX_TUNNEL.saturating_sub(inbox.stdout.len());
        let taken = bytes.len().min(room);
        inbox.stdout.extend_from_slice(&bytes[..taken]);
        *held = bytes.len() - taken;
        taken
    }
}

unsafe extern "C" fn on_eof(_: sys::ssh_session, _: sys::ssh_channel, state: *mut c_void) {
    // SAFETY: our user data.
    unsafe { deliver(state, |state| state.inbox.eof = true) }
}

unsafe extern "C" fn on_close(_: sys::ssh_session, _: sys::ssh_channel, state: *mut c_void) {
    // SAFETY: our user data, which nobody else refers to during a call into libssh.
    unsafe {
        (*state.cast::<ChannelState>()).is_closed = true;
        let _ = catch_unwind(|| LOG.with_borrow_mut(|log| log.has_closed = true));
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
    unsafe { deliver(state, |state| state.inbox.status = Some(status as u32)) }
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
        deliver(state, |state| state.inbox.signal = Some(signal));
    }
}

/// libssh 0.11 tells of a refused channel here, and logs nothing; 0.10 does it the other way round.
unsafe extern "C" fn on_open_response(
    session: sys::ssh_session,
    _: sys::ssh_channel,
    is_success: bool,
    _: *mut c_void,
) {
    if !is_success {
        // SAFETY: the session that calls; the string is copied before libssh can change it.
        let text = unsafe { text_at(sys::ssh_get_error(session.cast())) };
        let _ = catch_unwind(|| LOG.with_borrow_mut(|log| log.note_refusal(&text)));
    }
}

/// What libssh logged on this thread since the scope began.
#[derive(Default)]
struct Log {
    root_cause: Option<String>,
    /// The number of the channel that was asked for last.
    created: Option<u32>,
    /// The number of the channel that the next line about an opened one is about.
    confirmed: Option<u32>,
    /// Confirmed channels by number, with their maximum packet size.
    opened: Vec<(u32, u32)>,
    /// Refused channels by number, with reason and text.
    refused: Vec<(u32, u32, String)>,
    bad_confirmation: Option<String>,
    gssapi_problem: Option<String>,
    /// Bytes in the fullest packet of a write.
    carried: usize,
    /// A packet of a write was empty. libssh writes such ones for ever.
    loops: bool,
    /// Whether the server has begun a key exchange, and how many were completed.
    keys_begun: bool,
    keys_done: u64,
    /// Whether the server has closed a channel.
    has_closed: bool,
    /// Bytes of channels that have arrived, and [`DATA_PACKET`] for each packet of them.
    data: u64,
    /// Bytes that waited to be sent.
    waiting: Option<u64>,
}

impl Log {
    /// As libssh puts it: 0.6 once the server's KEXINIT was read, 1 once the new keys are in use.
    fn note_progress(&mut self, progress: f32) {
        self.keys_begun |= (0.55..0.65).contains(&progress);
        self.keys_done += u64::from(progress >= 1.0);
    }

    /// At lower levels than a warning the state machine only says what it is about to do.
    fn note(&mut self, is_warning: bool, line: &str) {
        // Each line begins with the function that it is from.
        let Some((function, line)) = line.split_once(':') else { return };
        let line = line.trim_start();
        match function {
            "ssh_client_connection_callback" if is_warning => {
                self.root_cause.get_or_insert_with(|| line.to_owned());
            }
            "ssh_packet_channel_open_conf" => self.note_confirmation(line),
            "ssh_packet_channel_open_fail" => self.note_refusal(line),
            // "Poll callback on socket 7 (POLLIN ), out buffer 1234".
            "ssh_socket_pollcallback" => {
                let bytes = line.rsplit_once("out buffer ").and_then(|(_, bytes)| bytes.trim().parse().ok());
                self.waiting = self.waiting.or(bytes);
            }
            _ => {
                if let Some(bytes) = line.strip_prefix("ssh_channel_write wrote ").and_then(leading_number) {
                    self.carried = self.carried.max(bytes as usize);
                    self.loops |= bytes == 0;
                } else if let Some(number) = line.strip_prefix("Creating a channel ") {
                    self.created = leading_number(number);
                } else if let Some(line) = line.strip_prefix("GSSAPI(") {
                    // "GSSAPI(acquiring credential): …": libssh's own word for where it was.
                    self.gssapi_problem = line
                        .split_once("): ")
                        .map(|(_, problem)| problem.to_owned())
                        .or(self.gssapi_problem.take());
                }
            }
        }
    }

    fn note_confirmation(&mut self, line: &str) {
        if line.starts_with("Invalid") || line.contains("in incorrect channel state") {
            // The first such line says what is wrong, a second one only "Invalid packet".
            self.bad_confirmation.get_or_insert_with(|| line.to_owned());
        } else if let Some(channel) = line.strip_prefix("Received a CHANNEL_OPEN_CONFIRMATION for channel ") {
            self.confirmed = leading_number(channel);
        } else if let Some(rest) = line.strip_prefix("Remote window : ") {
            let packet_max = rest.rsplit("maxpacket : ").next().and_then(leading_number);
            self.opened.extend(self.confirmed.take().zip(packet_max));
        }
    }

    /// "Channel opening failure: channel 43 error (2) Connection refused".
    fn note_refusal(&mut self, line: &str) {
        let parsed = line.strip_prefix("Channel opening failure: channel ").and_then(|rest| {
            let (number, rest) = rest.split_once(" error (")?;
            let (reason, text) = rest.split_once(") ")?;
            Some((number.parse().ok()?, reason.parse().ok()?, text.to_owned()))
        });
        self.refused.extend(parsed);
    }
}

fn leading_number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

thread_local! {
    static LOG: RefCell<Log> = RefCell::default();
}

/// What was logged, once; the root cause stays for as long as the scope.
fn take_log() -> Log {
    LOG.with_borrow_mut(|log| {
        let root_cause = log.root_cause.clone();
        mem::replace(log, Log { root_cause, ..Log::default() })
    })
}

fn root_cause() -> Option<String> {
    LOG.with_borrow(|log| log.root_cause.clone())
}

/// The level at which libssh says what becomes of channels: debug since 0.11. Before, that level had lines for each packet
/// besides, and to format them took a tenth of a short command's time.
#[cfg(not(bundled_libssh))]
fn level_of_channels() -> u32 {
    /// As libssh numbers its versions.
    const V0_11: c_int = 11 << 8;
    static LEVEL: OnceLock<u32> = OnceLock::new();
    // SAFETY: returns a pointer to a static string, or null if the version asked for is newer.
    let is_since_0_11 = || unsafe { !sys::ssh_version(V0_11).is_null() };
    *LEVEL.get_or_init(|| if is_since_0_11() { sys::SSH_LOG_DEBUG } else { sys::SSH_LOG_INFO })
}

#[cfg(bundled_libssh)]
fn level_of_channels() -> u32 {
    sys::SSH_LOG_DEBUG
}

/// While alive, libssh's log of this thread goes to [`LOG`]: the only place that names the root cause of a failed
/// handshake and a channel's maximum packet size. Puts level and callback back as it found them.
struct LogScope {
    level: c_int,
    callback: sys::ssh_logging_callback,
}

impl LogScope {
    /// Warnings only.
    fn enter() -> Self {
        Self::at(sys::SSH_LOG_WARN)
    }

    /// At lower levels also the lines about channels that are being opened, and about what is wrong with a ticket.
    fn at(level: u32) -> Self {
        LOG.with_borrow_mut(|log| *log = Log::default());
        // SAFETY: these only read and write libssh's thread-local settings.
        unsafe {
            let scope = Self { level: sys::ssh_get_log_level(), callback: sys::ssh_get_log_callback() };
            sys::ssh_set_log_callback(Some(on_log));
            sys::ssh_set_log_level(level as c_int);
            scope
        }
    }
}

impl Drop for LogScope {
    fn drop(&mut self) {
        // SAFETY: as above; a null callback is refused by libssh, and ours then stays, unused at the level put back.
        unsafe {
            sys::ssh_set_log_level(self.level);
            sys::ssh_set_log_callback(self.callback);
        }
    }
}

thread_local! {
    /// What is to be done once libssh loops on this thread.
    static PARKING: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// From here on this thread, once libssh loops on it for ever, calls `tell` and sleeps for as long as the
/// process lives: it takes no time and no further memory.
///
/// The call into libssh then never returns. What it was given stays borrowed, on a stack that is never
/// unwound: a session that was moved to this thread is neither dropped nor reachable from anywhere else, and
/// neither are its channels, their states and its descriptor. So nothing that libssh's frames refer to is
/// ever freed, and libssh is not entered for it again.
pub(super) fn park_in_loops(tell: impl FnOnce() + 'static) {
    PARKING.set(Some(Box::new(tell)));
}

unsafe extern "C" fn on_log(level: c_int, function: *const c_char, line: *const c_char, _: *mut c_void) {
    // SAFETY: libssh passes a NUL-terminated name and line for the length of the call.
    let function = unsafe { CStr::from_ptr(function) };
    if level >= sys::SSH_LOG_TRACE as c_int && function != c"ssh_socket_pollcallback" {
        return;
    }
    // SAFETY: as above.
    let line = unsafe { CStr::from_ptr(line) }.to_string_lossy();
    let is_warning = level <= sys::SSH_LOG_WARN as c_int;
    let note = || {
        LOG.with_borrow_mut(|log| log.note(is_warning, &line));
        if LOG.with_borrow(|log| log.loops) { PARKING.take() } else { None }
    };
    if let Ok(Some(tell)) = catch_unwind(note) {
        let _ = catch_unwind(AssertUnwindSafe(tell));
        loop {
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> Log {
        let mut log = Log::default();
        lines.iter().for_each(|line| log.note(true, line));
        log
    }

    #[test]
    fn confirmations_belong_to_the_channels_that_they_name() {
        let log = log(&[
            "channel_open: Creating a channel 43 with 2097152 window and 32768 max packet",
            "ssh_packet_channel_open_conf: Received a CHANNEL_OPEN_CONFIRMATION for channel 44:1",
            "ssh_packet_channel_open_conf: Remote window : 0, maxpacket : 7",
            "ssh_packet_channel_open_conf: Received a CHANNEL_OPEN_CONFIRMATION for channel 43:0",
            "ssh_packet_channel_open_conf: Remote window : 2097152, maxpacket : 32768",
        ]);
        assert_eq!(log.created, Some(43));
        assert_eq!(log.opened, [(44, 7), (43, 32_768)]);
    }

    #[test]
    fn refusals_carry_number_reason_and_text() {
        let log = log(&[
            "ssh_packet_channel_open_fail: Channel opening failure: channel 43 error (2) a) b: c",
            "ssh_packet_channel_open_fail: Channel opening failure: channel x error (2) d",
            "ssh_packet_channel_open_fail: Channel opening failure: channel 44 error (1) ",
        ]);
        assert_eq!(log.refused, [(43, 2, "a) b: c".to_owned()), (44, 1, String::new())]);
    }

    #[test]
    fn what_packets_carry_is_seen_and_so_is_an_empty_one() {
        let wrote = |bytes| format!("channel_write_common: ssh_channel_write wrote {bytes} bytes");
        let (four, two, none) = (wrote(4), wrote(2), wrote(0));
        let seen = |log: Log| (log.carried, log.loops);
        assert_eq!(seen(log(&[&four, &two])), (4, false));
        assert_eq!(seen(log(&[&none])), (0, true));
    }

    #[test]
    fn a_confirmation_for_an_open_channel_is_a_bad_one() {
        let line = "SSH2_MSG_CHANNEL_OPEN_CONFIRMATION received in incorrect channel state 3";
        let log = log(&[&format!("ssh_packet_channel_open_conf: {line}")]);
        assert_eq!(log.bad_confirmation.as_deref(), Some(line));
    }

    #[test]
    fn only_the_first_line_about_a_bad_confirmation_says_what_is_wrong() {
        let log = log(&[
            "ssh_packet_channel_open_conf: Invalid maximum packet size 0 in SSH2_MSG_CHANNEL_OPEN_CONFIRMATION",
            "ssh_packet_channel_open_conf: Invalid packet",
        ]);
        assert!(log.bad_confirmation.unwrap().contains("size 0"));
        assert!(log.opened.is_empty());
    }
}
