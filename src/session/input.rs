//! What a session is told, and what it asks for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::Execs;
use super::proxy::Tunnelled;
use crate::agent::wire::Identity;
use crate::error::{HostErrorKind, NotStarted};
use crate::hostkey::{NewKey, Recorded};
use crate::ids::CommandId;
use crate::link::Link;

/// What a session is told.
#[derive(Debug)]
pub(crate) enum Input {
    /// It may connect, unless it is connected, and so many of its commands may begin.
    Admitted { commands: usize },
    /// The name's addresses, or why there are none.
    Resolved(Result<Vec<SocketAddr>, HostErrorKind>),
    /// The keys that the agent holds.
    Identities(Arc<[Identity]>),
    /// The agent's signature, or that there is none.
    Signed(Option<Arc<[u8]>>),
    /// What came of its host's new key.
    Recorded(Recorded),
    /// Its proxy has come to this with it.
    Tunnelled(Tunnelled),
    /// The link may have news, or there is new input to send.
    Readiness,
    /// A deadline may have passed.
    Timer,
    /// End this command.
    Cancel(CommandId),
    /// End this command if it was not sent, for this reason.
    Withdraw(CommandId, NotStarted),
    /// Begin no command before the next admission.
    Hold,
    /// Close the connection, or stop making it, unless something needs it.
    Close,
    /// It cannot be served, for this reason: one that no further attempt can change.
    GiveUp(HostErrorKind),
}

/// What a step needs besides its input.
pub(crate) struct Cx<'a> {
    pub now: Instant,
    /// Reads the calendar, which only explanations need.
    pub calendar: fn() -> SystemTime,
    pub link: &'a mut dyn Link,
    pub execs: &'a mut Execs,
}

/// What a step leaves to its caller.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// More can be done at once: visit again, after the others.
    pub again: bool,
    /// What it waits for and its caller must get.
    pub ask: Option<Ask>,
    /// No descriptor was free; the session is queued again.
    pub no_descriptor: bool,
}

/// What a session cannot get itself. Each is answered by an [`Input`] of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The addresses of its host's name: [`Input::Resolved`].
    Lookup,
    /// What its agent holds: [`Input::Identities`].
    Identities,
    /// A signature, with this request to its agent: [`Input::Signed`].
    Signature(Vec<u8>),
    /// This key on the disk, as its host's: [`Input::Recorded`].
    Record(NewKey),
    /// A connection by its proxy, for the conduit of [`Session::take_conduit`]: [`Input::Tunnelled`].
    Tunnel,
}
