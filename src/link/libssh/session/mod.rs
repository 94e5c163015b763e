//! An SSH session over a connected socket: the handshake, and what every call does before and after
//! it enters libssh.

mod auth;
mod channels;
mod host_keys;
mod pump;
mod said;

use std::collections::HashMap;
use std::ffi::c_int;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::task::Poll;

use libssh_rs::sys;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use slab::Slab;
use socket2::SockRef;

pub(crate) use auth::has_gssapi;

use self::host_keys::HostKeyLists;
use self::pump::Reading;
use self::said::Said;
use super::call_scope::CallScope;
use super::channel::{ChannelCall, OpenReply, RawChannel};
use super::library::level_of_channels;
use super::max_packet::MaxPacket;
use super::options::configure;
use super::raw_session::{RawSession, SessionCall};
use super::{OK, classify, log_lines};
use crate::limits;
use crate::link::algorithms::Algorithms;
use crate::link::libssh::backlog::Backlog;
use crate::link::{ChannelId, Cork, HandshakeOptions, KeyExchanges, LinkError, LinkErrorKind};

/// The end of libssh's error text for SSH_MSG_USERAUTH_PASSWD_CHANGEREQ, which it does not know
/// (RFC 4252 section 8). Other methods use the same number for other messages, which libssh expects
/// only as answers to those methods.
const PASSWORD_CHANGE: &str = "rejected packet (type 60)";

const UNNAMED: &str = " before it named itself an SSH server";

/// A libssh session over a connected socket.
///
/// The fields that hold channels are declared before `raw`, so that channels are dropped first.
pub(crate) struct SshSession {
    channels: Slab<RawChannel>,
    /// The channels that were freed here and that the server has not closed yet.
    leaving: Vec<RawChannel>,
    raw: RawSession,
    /// The ids of the channels that the server was asked to open and has not answered yet, by
    /// libssh's channel number.
    opening: HashMap<u32, usize>,
    /// What libssh found wrong with the confirmation of a channel. libssh drops an invalid
    /// confirmation and waits forever for another one. But it has already adopted the packet size
    /// from the invalid confirmation, even if the channel was open before. So nothing may be
    /// written any more.
    bad_confirmation: Option<String>,
    /// Whether a GSSAPI login is in progress. If so, pumps advance it.
    in_gssapi: bool,
    gssapi_problem: Option<String>,
    /// The name of the group exchange that is offered, or of both.
    group_exchange: &'static str,
    algorithms: Algorithms,
    host_keys: Option<Box<HostKeyLists>>,
    rsa_bits_min: Option<u16>,
    /// How many packets had been read when the login with an agent's key began. `Some` only during
    /// such a login.
    agent_begun: Option<u64>,
    /// The channels of tunnels and agents that have news.
    news: Vec<usize>,
    /// Whether the server has closed a channel since `leaving` was last checked.
    has_closed: bool,
    /// Whether a channel's window should be grown.
    needs_window: bool,
    /// Whether this session has tunnels. If so, it has no commands.
    is_proxy: bool,
    is_logged_in: bool,
    /// Whether the last request for a login was a password.
    sent_password: bool,
    said: Said,
    cork: Option<Cork>,
    /// Whether a key exchange is known to have begun, by either end, and is not complete yet.
    in_key_exchange: bool,
    key_exchanges: KeyExchanges,
    packets_per_visit: u64,
    reading: Reading,
    backlog: Backlog,
    /// Whether too many bytes are waiting for the socket. If so, the next pump fails. The pump that
    /// detects this does not fail itself, because the connection would then be closed in the same
    /// step, and closing it takes as long as a whole step.
    is_unread: bool,
    /// The most bytes that channels can have added to libssh's buffer since that buffer was last
    /// empty.
    unsent: u64,
}

impl SshSession {
    /// Takes over the socket and begins the handshake. After the first `ssh_connect`, libssh is
    /// responsible for closing the descriptor.
    pub(crate) fn start(socket: OwnedFd, options: &HandshakeOptions<'_>) -> Result<Self, LinkError> {
        let raw = RawSession::new(options.user)?;
        let mut session = Self {
            // Few hosts run more than one command at a time, and by default a slab would allocate
            // room for four.
            channels: Slab::with_capacity(1),
            leaving: Vec::new(),
            raw,
            opening: HashMap::new(),
            bad_confirmation: None,
            in_gssapi: false,
            gssapi_problem: None,
            group_exchange: options.algorithms.group_exchange(),
            algorithms: Algorithms::default(),
            host_keys: options.host_keys.map(|list| Box::new(HostKeyLists::new(list))),
            rsa_bits_min: options.algorithms.rsa_bits_min,
            agent_begun: None,
            news: Vec::new(),
            has_closed: false,
            needs_window: false,
            is_proxy: false,
            is_logged_in: false,
            sent_password: false,
            said: Said::default(),
            cork: None,
            in_key_exchange: false,
            key_exchanges: KeyExchanges::default(),
            packets_per_visit: if options.compress {
                limits::COMPRESSED_PACKETS_PER_VISIT
            } else {
                limits::PACKETS_PER_VISIT
            },
            reading: Reading::default(),
            backlog: Backlog::default(),
            is_unread: false,
            unsent: 0,
        };
        let _scope = session.listen();
        configure(&mut session.raw, socket.as_raw_fd(), options)?;
        session.raw.set_callbacks(options.agent.is_some())?;
        session.said.peek(socket.as_fd(), 0).map_err(dropped)?;
        let _ = socket.into_raw_fd();
        let rc = session.raw.call(SessionCall::Connect);
        session.check_fatal()?;
        let fd = session.raw.descriptor().filter(|_| rc != sys::SSH_ERROR).ok_or_else(|| session.fatal())?;
        // libssh has just made the socket blocking. With a blocking socket, a stalled peer would
        // block the thread in a send.
        let unblocked = SockRef::from(&fd).set_nonblocking(true);
        unblocked.map_err(|e| LinkError::new(LinkErrorKind::Other, e.to_string()))?;
        session.raw.watch()?;
        Ok(session)
    }

    pub(crate) fn handshake(&mut self) -> Result<Poll<()>, LinkError> {
        self.peek()?;
        self.step(SessionCall::Connect)
    }

    /// Looks at what libssh reads next, as long as it has not read the server's version.
    fn peek(&mut self) -> Result<(), LinkError> {
        match self.raw.descriptor().filter(|_| !self.raw.has_banner()) {
            Some(socket) => self.said.peek(socket, self.raw.counts().read).map_err(dropped),
            None => Ok(()),
        }
    }

    /// Makes a call that the caller must repeat until the result is `Ready`.
    fn step(&mut self, call: SessionCall<'_>) -> Result<Poll<()>, LinkError> {
        let _scope = self.listen();
        let rc = self.raw.call(call);
        self.progress(rc)
    }

    /// The key exchanges so far, including the first, and what has been carried.
    pub(crate) fn key_exchanges(&self) -> KeyExchanges {
        let counts = self.raw.counts();
        KeyExchanges { carried: counts.read + counts.sent, ..self.key_exchanges }
    }

    pub(crate) fn packets_read(&self) -> u64 {
        self.raw.counts().packets_read
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.raw.counts().read
    }

    fn packets_written(&self) -> u64 {
        self.raw.counts().packets_written
    }

    pub(crate) fn send_keepalive(&mut self) -> Result<(), LinkError> {
        if self.is_reset() {
            return Ok(());
        }
        let _scope = self.listen();
        // libssh allows one global request at a time. After a request has been answered, the next
        // call only picks up the answer, without saying so, and a second call is needed to send a
        // new request. While the earlier request is unanswered, neither call sends anything.
        let before = self.packets_written();
        for _ in 0..2 {
            self.raw.call(SessionCall::Keepalive);
            self.check_fatal()?;
            // This call has sent a request. If the answer has already arrived, a second call would
            // send another request.
            if self.packets_written() != before {
                break;
            }
        }
        Ok(())
    }

    /// Whether libssh has buffered bytes that wait for the socket.
    pub(crate) fn write_pending(&self) -> bool {
        self.raw.write_pending()
    }

    /// Whether a pump would have work: something to read, or room in the socket for buffered bytes.
    pub(crate) fn has_news(&self) -> bool {
        let Some(fd) = self.descriptor() else { return true };
        let mut wanted = PollFlags::POLLIN;
        wanted.set(PollFlags::POLLOUT, self.write_pending());
        poll(&mut [PollFd::new(fd, wanted)], PollTimeout::ZERO) != Ok(0)
    }

    /// Whether the socket has failed, so that nothing can be sent. If so, nothing may be written:
    /// libssh would close the socket, and what the peer sent before would be lost. Reading goes on,
    /// and meets the failure after all that has arrived.
    fn is_reset(&self) -> bool {
        let Some(fd) = self.descriptor() else { return false };
        // Failures are reported whether or not anything is asked for.
        poll(&mut [PollFd::new(fd, PollFlags::empty())], PollTimeout::ZERO).is_ok_and(|failed| failed > 0)
    }

    /// The descriptor of the socket, as long as libssh has one.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.raw.descriptor()
    }

    /// Holds back what libssh sends, so that several messages leave as one TCP segment. Closing a
    /// channel alone takes three messages.
    pub(crate) fn cork(&mut self, when: Cork) {
        self.cork = Some(when).filter(|when| *when == Cork::WithData || self.set_cork(true));
    }

    fn cork_data(&mut self) {
        if self.cork == Some(Cork::WithData) {
            self.cork(Cork::Now);
        }
    }

    /// Sends what was held back. Without this call, the kernel would send it only after 200 ms.
    pub(crate) fn uncork(&mut self) {
        if self.cork.take() == Some(Cork::Now) {
            self.set_cork(false);
        }
    }

    /// Corks or uncorks the socket. Returns whether the system supports this for the socket. It
    /// does not for a tunnel's socket pair.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn set_cork(&self, corked: bool) -> bool {
        self.descriptor().is_some_and(|fd| SockRef::from(&fd).set_tcp_cork(corked).is_ok())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn set_cork(&self, _: bool) -> bool {
        false
    }

    /// Opens a log scope for a call. Any call may read from the socket, and so may meet the
    /// server's answer about a channel or a problem with a ticket. While either is expected, every
    /// call is made at the log level at which libssh reports it.
    fn listen(&self) -> CallScope {
        CallScope::at(match self {
            Self { in_gssapi: true, .. } => sys::SSH_LOG_DEBUG,
            Self { host_keys: Some(lists), .. } if !lists.is_complete() => sys::SSH_LOG_TRACE,
            Self { opening, .. } if opening.is_empty() => sys::SSH_LOG_WARN,
            _ => level_of_channels(),
        })
    }

    /// Records in the session what libssh has logged and what its callbacks have reported. Must be
    /// called after every call that may have read from the socket.
    fn note_log(&mut self) {
        let log = log_lines::take();
        self.has_closed |= log.has_closed;
        self.needs_window |= log.needs_window;
        self.key_exchanges.traffic += log.traffic;
        self.in_key_exchange |= log.key_exchange_begun;
        if log.key_exchanges_done > 0 {
            self.key_exchanges.done += log.key_exchanges_done;
            self.in_key_exchange = false;
        }
        self.take_stock();
        self.news.extend(log.news);
        if let Some(lists) = &mut self.host_keys {
            lists.note(log.host_keys);
        }
        self.bad_confirmation = self.bad_confirmation.take().or(log.bad_confirmation);
        self.gssapi_problem = log.gssapi_problem.or(self.gssapi_problem.take());
        for (number, reply) in log.replies {
            self.note_reply(number, reply);
        }
    }

    fn note_reply(&mut self, number: u32, reply: OpenReply) {
        let Some(id) = self.opening.remove(&number) else { return };
        let Some(channel) = self.channels.get_mut(id) else { return };
        if let OpenReply::Opened { packet_max } = reply {
            channel.max_packet = MaxPacket::Announced(packet_max);
            channel.is_open = true;
        }
        if let Some(noted) = &mut channel.state_mut(&mut self.raw).noted {
            noted.reply = Some(reply);
            self.news.extend(noted.list());
        }
    }

    /// Returns an error if the session has failed. For a failed session, libssh returns SSH_AGAIN
    /// forever, so this must be called after every call into libssh.
    fn check_fatal(&mut self) -> Result<(), LinkError> {
        self.note_log();
        if let Some(text) = &self.bad_confirmation {
            return Err(bad_confirmation(text.clone()));
        }
        if self.raw.is_up() { Ok(()) } else { Err(self.fatal()) }
    }

    fn fatal(&self) -> LinkError {
        // Once our three packets (KEXINIT, our key exchange message and NEWKEYS) have been sent,
        // the next thing to verify is the host's signature.
        let first_keys = self.key_exchanges.done == 0 && self.packets_written() >= 3;
        let (text, root_cause) = (self.raw.error_text(), log_lines::with(|log| log.root_cause.clone()));
        let mut error = classify::fatal(&text, root_cause.as_deref(), self.raw.is_encrypted(), first_keys);
        if self.sent_password && error.text.ends_with(PASSWORD_CHANGE) {
            error.kind = LinkErrorKind::PasswordExpired;
        }
        if error.kind == LinkErrorKind::Lost && !self.raw.has_banner() {
            error.kind = LinkErrorKind::Dropped;
            error.text.push_str(UNNAMED);
        }
        error
    }

    /// Interprets the return code of a call that is repeated until it is done.
    fn progress(&mut self, rc: c_int) -> Result<Poll<()>, LinkError> {
        self.check_fatal()?;
        match rc {
            OK => Ok(Poll::Ready(())),
            sys::SSH_AGAIN => Ok(Poll::Pending),
            _ => Err(LinkError::new(LinkErrorKind::Denied, self.raw.error_text())),
        }
    }
}

/// The error of a socket that failed before the server has sent its version.
fn dropped(error: Errno) -> LinkError {
    LinkError::new(LinkErrorKind::Dropped, error.desc().to_owned() + UNNAMED)
}

fn bad_confirmation(text: String) -> LinkError {
    let unwritable = text.contains("maximum packet size 0");
    LinkError::new(if unwritable { LinkErrorKind::Unwritable } else { LinkErrorKind::Protocol }, text)
}

impl Drop for SshSession {
    fn drop(&mut self) {
        let _scope = CallScope::enter();
        if let Some(agent_channels) = self.raw.agent_channels() {
            // At this count, the callback accepts no more channels.
            agent_channels.open = usize::MAX;
        }
        while self.next_agent_channel().is_some() {}
        let open: Vec<usize> = self.channels.iter().map(|(id, _)| id).collect();
        for id in open {
            self.free_channel(ChannelId(id));
        }
        // If the connection still exists, the CLOSE messages of these channels have been queued
        // above.
        for channel in mem::take(&mut self.leaving) {
            self.release(channel);
        }
        // libssh sends only when the socket has reported that it is writable. The first poll sends
        // the bytes that are already waiting, and the second sends the rest. Both are skipped for a
        // host that does not read, and during a GSSAPI login, because data that has arrived could
        // make libssh ask the KDC.
        for _ in 0..2 {
            if self.in_gssapi || self.is_in_doubt() || self.check_fatal().is_err() {
                break;
            }
            self.raw.call(SessionCall::Poll);
        }
    }
}
