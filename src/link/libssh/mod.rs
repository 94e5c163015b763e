//! The only folder that calls libssh. The code above this folder and the code in [`session`] is
//! safe.
//!
//! libssh is driven through its C interface because the safe crate hides three things that are
//! needed here: channel callbacks (data that libssh has buffered is unreadable once a session is in
//! error), `ssh_event` (the only interface that reports that the socket is drained), and the exit
//! state. Every `unsafe` block below relies on these rules:
//!
//! - Each pointer from libssh has one owner, which checks it for null and frees it in its `Drop`
//!   implementation. Channels and the event are freed before their session.
//! - Every call that can run callbacks takes `&mut RawSession`. So libssh is never entered twice at
//!   once for one session. References to state that callbacks write borrow the `RawSession`, so
//!   none of them is alive while libssh runs.
//! - A channel is used and dropped only together with the session that made it, and only while
//!   libssh does not run. This holds because one [`session::SshSession`] owns both.
//! - C calls back only during a call that is made here, on the same thread, and with the pointers
//!   that were passed to it.
//! - A call that does not return ([`park_in_loops`]) keeps its session forever, on a thread that
//!   does nothing else.

mod agent_script;
mod algorithms;
mod backlog;
mod call_scope;
mod channel;
mod classify;
mod gcm;
mod key;
mod library;
mod log_lines;
mod max_packet;
mod options;
mod raw_session;
mod session;
mod session_callbacks;
mod window;

use std::ffi::c_int;

use libssh_rs::sys;

pub(crate) use algorithms::supports;
pub(super) use call_scope::park_in_loops;
#[cfg(test)]
pub(crate) use call_scope::verbose_scopes;
pub(super) use channel::OpenReply;
pub(crate) use key::PrivateKey;
pub(crate) use library::{descriptor_of, version};
pub(crate) use options::takes_user;
pub(super) use session::SshSession;
pub(crate) use session::has_gssapi;

const OK: c_int = sys::SSH_OK as c_int;
