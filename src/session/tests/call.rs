//! The calls of a link, as tests record them and make them fail.

use std::net::SocketAddr;

use super::script::Cred;
use crate::command::Signal;
use crate::link::LinkErrorKind;

/// One recorded call. Channels are numbered across all connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Dial(SocketAddr),
    DialBeside(SocketAddr),
    Dialled,
    Join,
    Start,
    Pump,
    HangUp,
    Keepalive,
    Handshake,
    ServerKey,
    RequestAuth,
    Authenticate(Cred),
    Interact,
    /// The call passed this many answers.
    Answer(usize),
    Open(usize),
    Opened(usize),
    Request(usize, String),
    Exec(usize, String),
    Write(usize, usize),
    SendEof(usize),
    Signal(usize, Signal),
    Close(usize),
    Free(usize),
    OpenTunnel(usize, String),
    WakeTunnel(usize),
    CloseTunnel(usize),
}

/// Makes one call fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// Which of the fallible calls fails, counted from 1.
    pub nth: usize,
    pub with: Failing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// The call is pending from then on, and so are calls like it on the same connection.
    Pending,
    Error(LinkErrorKind),
}
