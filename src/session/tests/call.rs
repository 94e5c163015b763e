//! The calls of a link, as a test sees them and makes them fail.

use std::net::SocketAddr;

use super::script::Cred;
use crate::command::Signal;
use crate::link::LinkErrorKind;

/// One call, as it was made. Channels are numbered through all connections.
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
    /// With so many answers.
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

/// Lets one call fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// Which of the calls that can fail, from 1.
    pub nth: usize,
    pub with: Failing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It, and its like on the same connection, are pending from then on.
    Pending,
    Error(LinkErrorKind),
}
