//! The one folder that calls libssh. Everything above it is safe code, and so is [`session`].
//!
//! libssh is driven through its C interface because the safe crate hides what this needs: channel
//! callbacks (data that libssh has buffered is unreadable once a session is in error), `ssh_event`
//! (the only call that says "the socket is drained"), and the exit state. The contract that every
//! `unsafe` block below relies on:
//!
//! - Each pointer from libssh has one owner, which checks it for null and frees it in its `Drop`:
//!   channels before their session, the event before the session.
//! - Every call that can run callbacks takes `&mut RawSession`. So libssh is never entered twice
//!   for one session, and no reference to what callbacks write is alive while it runs: such
//!   references borrow the `RawSession`.
//! - A channel is used and dropped only with the session that made it, and while libssh does not
//!   run: one [`session::SshSession`] owns both.
//! - C calls back only from within a call made here, on the same thread, with the pointers that it
//!   was given.
//! - A call that does not return ([`park_in_loops`]) keeps its session for ever, on a thread that
//!   does nothing else.

mod agent_script;
mod backlog;
mod channel;
mod classify;
mod key;
mod library;
mod log_lines;
mod log_scope;
mod options;
mod raw_session;
mod session;
mod session_callbacks;

use std::ffi::c_int;

use libssh_rs::sys;

pub(super) use channel::OpenReply;
pub(crate) use key::PrivateKey;
pub(crate) use library::{descriptor_of, version};
pub(super) use log_scope::park_in_loops;
pub(super) use session::SshSession;
pub(crate) use session::has_gssapi;

const OK: c_int = sys::SSH_OK as c_int;
