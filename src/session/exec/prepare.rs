//! The steps from an open channel to a running command: first the set-up requests of the channel,
//! then the request to run the command.

use std::mem;
use std::sync::Arc;
use std::task::Poll;

use super::state::RefusedEnv;
use super::step::{ExecCx, Progress, Stepped, Trouble};
use super::{Exec, ExecState};
use crate::command::{ChannelRequest, Program, Request, TransferRequest};
use crate::error::ChannelProblem;
use crate::ids::CommandId;
use crate::limits;
use crate::link::{ChannelId, Inbox, LinkError, LinkErrorKind};
use crate::session::deadline::Deadline;
use crate::transfer::Transfer;

impl Exec {
    /// Lets a transfer ask for a new channel, on which it does without SFTP. Returns `false` if the
    /// transfer needs SFTP, or has done without it already.
    pub(super) fn does_without_sftp(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> bool {
        let transfer = self.request.transfer.as_ref().filter(|_| self.plain.is_none());
        self.plain = transfer.and_then(|transfer| transfer.plan.plain_command());
        if self.plain.is_none() {
            return false;
        }
        cx.link.free_channel(channel);
        cx.channels.note_closed();
        self.transfer = None;
        self.deadline = None;
        self.enter(ExecState::Waiting);
        true
    }

    /// The transfer that needs the command, and the part of it that does.
    pub(crate) fn helps(&self) -> Option<(CommandId, u32)> {
        self.helps
    }

    pub(crate) fn request(&self) -> &Arc<Request> {
        &self.request
    }

    pub(super) fn step_preparing(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        let ExecState::Preparing { next, refused, .. } = &mut self.state else {
            return Ok(Progress::Pending);
        };
        let profile = &cx.peer.target.profile;
        let options = &self.request.options;
        let is_of_host = *next < profile.setup.len();
        let Some(request) = profile.setup.iter().chain(&options.setup).nth(*next) else {
            if !refused.names.is_empty() {
                return Err(Trouble::refused(mem::take(refused).into_problem()));
            }
            self.enter(ExecState::Requesting(channel));
            return Ok(Progress::Advanced);
        };
        let is_skipped = match request {
            ChannelRequest::ForwardAgent => cx.link.is_restricted(),
            ChannelRequest::Pty { .. } => is_of_host && !options.pty_of_host,
            ChannelRequest::Env { .. } => false,
        };
        if is_skipped {
            *next += 1;
            return Ok(Progress::Advanced);
        }
        let (text, is_closed) = match cx.link.request(channel, request) {
            Ok(Poll::Ready(())) => (None, false),
            Ok(Poll::Pending) => match unanswered(cx.link.inbox(channel))? {
                None => return Ok(Progress::Pending),
                text => (text, true),
            },
            Err(LinkError { kind: LinkErrorKind::Denied, text }) => (Some(text), false),
            Err(error) => return Err(Trouble::of(error, |text| self.request.refused(text))),
        };
        if let Some(text) = text {
            match request {
                ChannelRequest::Pty { .. } => return Err(Trouble::refused(ChannelProblem::PtyRefused(text))),
                // This request asks for no reply, so the error means that the channel was closed.
                ChannelRequest::ForwardAgent => {
                    return Err(Trouble::refused(self.request.refused(text)));
                }
                ChannelRequest::Env { name, .. } if is_of_host && !is_closed => {
                    log::debug!("{}: the server refuses to set {name:?}", cx.peer.target.shown());
                }
                ChannelRequest::Env { .. } if options.ignore_refused_env && !is_closed => {}
                // The other variables are requested as well, so that the error names all that are
                // refused.
                ChannelRequest::Env { name, .. } => {
                    refused.names.push(name.to_string_lossy().into_owned());
                    refused.text = text;
                }
            }
            if is_closed {
                return Err(Trouble::refused(mem::take(refused).into_problem()));
            }
        }
        *next += 1;
        match request {
            // Any number of variables may be set, so the limit applies to each answer.
            ChannelRequest::Env { .. } => {
                self.deadline = Deadline::new(cx.now, profile.timeouts.exec).or(self.deadline);
            }
            ChannelRequest::Pty { .. } => self.on_terminal = true,
            ChannelRequest::ForwardAgent => {}
        }
        Ok(Progress::Advanced)
    }

    pub(super) fn step_requesting(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        let (plain, request) = (self.plain.clone(), self.request.clone());
        let (program, text) = match &plain {
            Some(text) => (Program::Command, text.as_c_str()),
            None => request.on_host(cx.peer.target.profile.login_program.as_ref()),
        };
        let refused = |reason| program.refused(text, reason);
        let reply = match cx.link.run(channel, program, text) {
            Err(LinkError { kind: LinkErrorKind::Denied, .. }) if self.does_without_sftp(channel, cx) => {
                return Ok(Progress::Advanced);
            }
            reply => reply.map_err(|error| Trouble::of(error, refused))?,
        };
        if reply.is_pending() {
            let inbox = cx.link.inbox(channel);
            // An exit status or output before the CLOSE shows that the command ran, even if the
            // request got no reply.
            if !(inbox.closed && inbox.shows_execution()) {
                return match unanswered(inbox)? {
                    None => Ok(Progress::Pending),
                    Some(_) if self.does_without_sftp(channel, cx) => Ok(Progress::Advanced),
                    Some(reason) => Err(Trouble::refused(refused(reason))),
                };
            }
        }
        self.enter(ExecState::Running(channel));
        self.deadline = Deadline::new(cx.now, self.request.options.time_limit);
        self.begin_dialogue(cx);
        if let Some(TransferRequest { plan, .. }) = &self.request.transfer {
            let host = &cx.peer.target.host;
            let transfer = match self.plain {
                Some(_) => Transfer::plain(self.id, plan, host),
                None => Transfer::new(self.id, plan, host),
            };
            self.transfer = Some(Box::new(transfer));
        }
        Ok(Progress::Advanced)
    }
}

impl RefusedEnv {
    fn into_problem(self) -> ChannelProblem {
        ChannelProblem::EnvRefused { names: self.names, text: self.text }
    }
}

/// Checks the channel while a request waits for its reply. Returns the reason if no reply will
/// come.
fn unanswered(inbox: &Inbox) -> Result<Option<String>, LinkError> {
    if inbox.closed {
        return Ok(Some("it closed the channel instead of answering".to_owned()));
    }
    if inbox.stdout.len() + inbox.stderr.len() > limits::EARLY_OUTPUT {
        let text = "output without end before the command was accepted";
        return Err(LinkError::new(LinkErrorKind::Protocol, text));
    }
    Ok(None)
}
