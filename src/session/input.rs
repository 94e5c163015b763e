//! The interface of a session: the caller passes [`Input`]s to it, and gets [`Effect`]s back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::trial::{Permission, TrialEnd, TrialOf};
use super::tunnels::{TunnelId, TunnelProgress, TunnelRequest};
use super::{Execs, Profile, ScannedHost};
use crate::agent::Listed;
use crate::credential::UserPassword;
use crate::error::{CancelCause, HostError, HostErrorKind};
use crate::hostkey::{DiskAnswer, DiskRequest};
use crate::ids::{CommandId, StdStream};
use crate::limits;
use crate::link::algorithms::Algorithms;
use crate::link::{Conduit, Link};
use crate::proxy_command::CommandReport;
use crate::stage::{Stage, Timings};
use crate::transfer::local::{FileAnswer, FileJob};
use crate::transfer::{Errand, ErrandResult};

/// An event or a request that a session reacts to.
#[derive(Debug)]
pub(crate) enum Input {
    /// The link may be ready, new standard input may be queued, or a deadline may have passed.
    Wake,
    /// The session may now connect, and may begin up to `commands` of its waiting commands.
    Admitted { commands: usize },
    /// Let an [assigned](super::Session::assign) command begin once it is admitted.
    Start(CommandId),
    /// End this command for this reason.
    Cancel(CommandId, CancelCause),
    /// End this command for this reason, unless the command was sent to the host.
    Withdraw(CommandId, CancelCause),
    /// Begin no command before the next admission.
    Hold,
    /// Connect, even without a command.
    Connect,
    /// Fetch the host's keys, of each type that it has. Commands wait until that has ended.
    Scan,
    /// Close the connection, or stop connecting, unless something needs the connection.
    Close,
    /// Fail with this error, and do not retry.
    GiveUp(HostErrorKind),
    /// Use this profile, whose settings are the same, for later attempts to connect.
    Renew(Arc<Profile>),
    /// Read what has arrived, then end the commands and the connection, because the host is being
    /// removed.
    Remove,
    /// Answers [`Effect::Lookup`].
    Resolved(Result<Vec<SocketAddr>, HostErrorKind>),
    /// Answers [`Effect::ListKeys`].
    Identities(Listed),
    /// Answers [`Effect::Sign`] and [`Effect::Touch`]; `None` if the agent refused to sign.
    Signed(Option<Arc<[u8]>>),
    /// Answers [`Effect::Touch`] if it is another host's turn.
    Overtaken,
    /// Answers [`Effect::RequestTrial`].
    Trial(TrialOf, Permission),
    /// Answers [`Effect::Disk`].
    Disk(DiskAnswer),
    /// Answers [`Effect::File`], for the transfer that this command is.
    File(CommandId, FileAnswer),
    /// Run this command, which another command of this host needs, before all others.
    Help(CommandId),
    /// Answers [`Effect::Errand`], for the transfer that this command is.
    Helped(CommandId, Box<ErrandResult>),
    /// Answers [`Effect::StartCommand`] if that has failed.
    CommandNotStarted(io::Error),
    /// Answers [`Effect::OpenTunnel`]. There is one such input for each step of the tunnel's
    /// progress.
    Tunnelled(TunnelProgress),
    /// Open a tunnel to this host. Only a proxy's session gets this input.
    Tunnel(TunnelRequest),
}

/// A request to the caller, or news for the caller.
#[derive(Debug)]
pub(crate) enum Effect {
    /// More work can be done at once, so step the session again after the other hosts.
    Again,
    /// No descriptor was free, so the session is back in the queue.
    NoDescriptor,
    /// Resolve the host's name. Answered by [`Input::Resolved`].
    Lookup,
    /// Ask the agent for its keys. Answered by [`Input::Identities`].
    ListKeys,
    /// Send this signature request to the agent. Answered by [`Input::Signed`].
    Sign(Vec<u8>),
    /// Send this signature request to the agent, which may ask its user for a touch. Answered by
    /// [`Input::Signed`], or by [`Input::Overtaken`].
    Touch(TouchRequest),
    /// Ask whether this password may be sent. Answered by [`Input::Trial`].
    RequestTrial(TrialOf, UserPassword),
    /// A trial has ended, or its request is withdrawn.
    TrialEnded(TrialOf, TrialEnd),
    /// Do this on another thread for the verification of the host's key. Answered by
    /// [`Input::Disk`].
    Disk(DiskRequest),
    /// Do this on another thread for a transfer. Answered by [`Input::File`], unless the job has no
    /// answer.
    File(FileJob),
    /// Run this command on the host for this transfer. Answered by [`Input::Helped`].
    Errand(CommandId, Errand),
    /// Start the proxy command, with this end of a conduit as its standard input and output.
    /// Answered by [`Input::CommandNotStarted`] if that fails.
    StartCommand(Conduit),
    /// Ask the proxy to open a tunnel to the host and to attach it to this end of a conduit.
    /// Answered by [`Input::Tunnelled`].
    OpenTunnel(Conduit),
    /// The progress of this host's tunnel, reported by the proxy's session.
    Tunnelled(TunnelId, TunnelProgress),
    /// An attempt to connect has reached this stage.
    Entered(Stage),
    /// What the server has said before the user was logged in.
    Banner(Arc<str>),
    /// The user is logged in.
    Connected(Timings, Algorithms),
    /// The connection or an attempt to connect has ended. `error` says why; it is `None` if the
    /// connection was closed on purpose. `retrying` says whether the session will connect again.
    Disconnected { error: Option<HostError>, retrying: bool },
    /// A key exchange has completed.
    KeyExchange,
    /// A signature was made in this process.
    Signature,
    /// The host's keys were fetched, or could not be.
    Scanned(Box<ScannedHost>),
    /// Something happened to this command.
    Command(CommandId, CommandNews),
}

/// A request for a signature by a security key.
#[derive(Debug)]
pub(crate) struct TouchRequest {
    pub message: Vec<u8>,
    /// The comment of the key, safe for a terminal.
    pub key: Arc<str>,
}

/// Something that happened to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandNews {
    /// The host has accepted the command.
    Started,
    /// This stream has unread output.
    Output(StdStream),
    /// The input queue of the command has room again.
    Writable,
    /// The transfer that the command is has made progress.
    Progress,
    /// The command has its outcome.
    Finished,
}

/// How much input may still be sent in a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputBudget {
    left: usize,
    at_once: usize,
}

impl InputBudget {
    /// The budget of a step in a fleet of so many hosts.
    pub(crate) fn of(hosts: usize) -> Self {
        let at_once =
            if hosts < limits::MANY_HOSTS { limits::WRITE_CHUNK } else { limits::WRITE_CHUNK_OF_MANY };
        Self { left: limits::INPUT_PER_VISIT, at_once }
    }

    pub(super) fn is_used_up(self) -> bool {
        self.left == 0
    }

    /// How many bytes one write may send.
    pub(super) fn next_write(self) -> usize {
        self.left.min(self.at_once)
    }

    /// Counts a write, as at least the usual number of bytes: even a tiny packet takes time.
    pub(super) fn count_write(&mut self, bytes: usize) {
        self.take(bytes.max(self.at_once));
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}

/// The context of a step.
pub(crate) struct Cx<'a> {
    pub now: Instant,
    /// Reads the calendar time. Used only to explain errors.
    pub calendar: fn() -> SystemTime,
    pub link: &'a mut dyn Link,
    /// When the agent last waited for a touch for another host: `now` if it still does. It may
    /// answer nothing else meanwhile.
    pub agent_busy_until: Option<Instant>,
    /// The proxy command, if one leads to the host.
    pub command: Option<&'a mut dyn CommandReport>,
    pub execs: &'a mut Execs,
    pub input_budget: InputBudget,
    /// How many bytes of files the transfers may request in this visit. What they do not use up is
    /// left.
    pub allowance: &'a mut u64,
    /// A buffer whose contents nobody needs after the step.
    pub scratch: &'a mut Vec<u8>,
    /// The step's effects, in order.
    pub out: &'a mut Vec<Effect>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_used_up_by_whole_writes() {
        for (hosts, at_once, writes) in
            [(1, 32_512, 8), (limits::MANY_HOSTS - 1, 32_512, 8), (limits::MANY_HOSTS, 16_256, 16)]
        {
            let mut budget = InputBudget::of(hosts);
            for number in 0..writes {
                assert!(!budget.is_used_up());
                assert_eq!(budget.next_write(), at_once, "{hosts} hosts");
                // A write of one byte counts as a whole one.
                budget.count_write(if number % 2 == 0 { at_once } else { 1 });
            }
            assert!(budget.is_used_up());
        }
    }
}
