//! The steps from an open channel to a running command: first the set-up requests of the channel,
//! then the request to run the command.

use std::task::Poll;

use super::step::{ExecCx, Progress, Stepped, Trouble};
use super::{Exec, ExecState};
use crate::command::ChannelRequest;
use crate::error::ChannelProblem;
use crate::limits;
use crate::link::{ChannelId, Inbox, LinkError, LinkErrorKind};
use crate::session::deadline::Deadline;

impl Exec {
    pub(super) fn step_preparing(&mut self, channel: ChannelId, next: usize, cx: &mut ExecCx<'_>) -> Stepped {
        let forward = cx.peer.target.profile.forward_agent.then_some(&ChannelRequest::ForwardAgent);
        let Some(request) = forward.into_iter().chain(&self.request.options.setup).nth(next) else {
            self.enter(ExecState::Requesting(channel));
            return Ok(Progress::Advanced);
        };
        match cx.link.request(channel, request) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => {
                return match unanswered(cx.link.inbox(channel))? {
                    None => Ok(Progress::Pending),
                    Some(text) => Err(Trouble::refused(refusal(request, text))),
                };
            }
            Err(LinkError { kind: LinkErrorKind::Denied, .. }) if self.may_go_without(request) => {}
            Err(error) => return Err(Trouble::of(error, |text| refusal(request, text))),
        }
        if let ExecState::Preparing { next, .. } = &mut self.state {
            *next += 1;
        }
        Ok(Progress::Advanced)
    }

    fn may_go_without(&self, request: &ChannelRequest) -> bool {
        match request {
            ChannelRequest::Env { .. } => self.request.options.ignore_refused_env,
            ChannelRequest::Pty { .. } | ChannelRequest::ForwardAgent => false,
        }
    }

    pub(super) fn step_requesting(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        let reply = cx.link.exec(channel, &self.request.text);
        if reply.map_err(|error| Trouble::of(error, ChannelProblem::ExecRefused))?.is_pending() {
            let inbox = cx.link.inbox(channel);
            // An exit status or output before the CLOSE shows that the command ran, even if the
            // request got no reply.
            if !(inbox.closed && inbox.shows_execution()) {
                return match unanswered(inbox)? {
                    None => Ok(Progress::Pending),
                    Some(text) => Err(Trouble::refused(ChannelProblem::ExecRefused(text))),
                };
            }
        }
        self.enter(ExecState::Running(channel));
        self.deadline = Deadline::new(cx.now, self.request.options.time_limit);
        self.begin_dialogue(cx);
        Ok(Progress::Advanced)
    }
}

fn refusal(request: &ChannelRequest, text: String) -> ChannelProblem {
    match request {
        ChannelRequest::Pty { .. } => ChannelProblem::PtyRefused(text),
        // This request asks for no reply, so the error means that the channel was closed.
        ChannelRequest::ForwardAgent => ChannelProblem::ExecRefused(text),
        ChannelRequest::Env { name, .. } => {
            ChannelProblem::EnvRefused { name: name.to_string_lossy().into_owned(), text }
        }
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
