//! The dialogue with the `sudo` that runs a command. The dialogue lasts from the server's
//! acceptance of the command until the command begins. The prompt and the start of the command are
//! recognised by marks, which are texts that occur nowhere else in the output.

use std::mem;
use std::sync::Arc;

use super::step::{ExecCx, Progress, Stepped, Trouble};
use super::{CloseStep, Exec, ExecState};
use crate::command::{Found, SudoLogin, SudoMark};
use crate::credential::UserPassword;
use crate::error::{ChannelProblem, HostErrorKind};
use crate::ids::StdStream;
use crate::link::{ChannelId, Inbox, LinkError, LinkErrorKind};
use crate::output::Excess;
use crate::session::Effect;
use crate::session::deadline::Deadline;
use crate::session::trial::{Permission, Trial, TrialEnd, TrialOf};
use crate::stage::TimeoutKind;

/// The state of the dialogue. Until the dialogue ends, the caller's input is not sent.
#[derive(Debug, Default)]
pub(super) struct SudoDialogue {
    state: SudoState,
    /// The output that may be the start of a mark and is therefore held back.
    held: Vec<u8>,
    /// Whether the output is still on the line of the prompt. The rest of that line is dropped: it
    /// may contain asterisks and, on a terminal, the line end that `sudo` prints because the
    /// terminal does not echo the line end of the answer.
    in_prompt_line: bool,
    /// Whether the whole answer was sent before the last mark.
    was_answered: bool,
    /// The hosts that have refused the password, if it must not be sent.
    withheld: Option<Arc<[Arc<str>]>>,
    pub deadline: Option<Deadline>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum SudoState {
    /// `sudo` has printed no mark yet. It may ask for a password, or need none.
    #[default]
    Silent,
    /// `sudo` has asked for the password, and `sent` bytes of the answer are sent.
    Asked { sent: usize },
    /// The whole answer is sent.
    Answered,
    /// `sudo` has asked again, because the password was wrong.
    Refused,
    /// The command has begun.
    Over,
}

impl SudoDialogue {
    /// Removes the marks from the output, and updates the state for each of them. Holds back output
    /// that may be the start of a mark until more output arrives.
    fn filter(&mut self, login: &SudoLogin, on_terminal: bool, output: &mut Vec<u8>) {
        if output.is_empty() {
            return;
        }
        let mut arrived = mem::take(&mut self.held);
        arrived.append(output);
        let mut rest = &arrived[..];
        while self.state != SudoState::Over && !rest.is_empty() {
            let found = login.find(rest);
            let (Found::Mark { start, .. } | Found::Perhaps(start)) = found;
            if !self.in_prompt_line {
                output.extend_from_slice(&rest[..start]);
            } else if let Some(line_end) = memchr::memchr(b'\n', &rest[..start]) {
                self.in_prompt_line = false;
                rest = &rest[line_end + 1..];
                continue;
            }
            match found {
                Found::Perhaps(start) => {
                    self.held = rest[start..].to_vec();
                    rest = &[];
                }
                Found::Mark { mark, end, framed, .. } => {
                    self.was_answered = self.state == SudoState::Answered;
                    self.state = self.state.after(mark);
                    self.in_prompt_line = on_terminal || framed;
                    rest = &rest[end..];
                }
            }
        }
        output.extend_from_slice(rest);
    }

    /// Returns the output that was held back. No more output follows, so it is not the start of a
    /// mark.
    fn into_rest(self) -> Vec<u8> {
        if self.in_prompt_line { Vec::new() } else { self.held }
    }
}

impl SudoState {
    fn after(self, mark: SudoMark) -> Self {
        match (mark, self) {
            (SudoMark::Start, _) => Self::Over,
            (SudoMark::Prompt, Self::Silent) => Self::Asked { sent: 0 },
            (SudoMark::Prompt, _) => Self::Refused,
        }
    }
}

impl Exec {
    /// Starts the time limit of `sudo`, because the server has accepted the command.
    pub(super) fn begin_dialogue(&mut self, cx: &ExecCx<'_>) {
        if let Some(dialogue) = &mut self.sudo {
            dialogue.deadline = Deadline::new(cx.now, cx.peer.target.profile.timeouts.auth);
        }
    }

    /// Handles the answer whether the password may be sent. `deadline` is the new limit of `sudo`.
    pub(in crate::session) fn permitted(&mut self, permission: Permission, deadline: Option<Deadline>) {
        let Some(dialogue) = self.sudo.as_mut().filter(|_| self.trial == Trial::Requested) else { return };
        dialogue.deadline = deadline;
        match permission {
            Permission::Granted => self.trial = Trial::Granted,
            Permission::Withheld(refused_by) => {
                self.trial = Trial::Idle;
                dialogue.withheld = Some(refused_by);
            }
        }
    }

    /// Reports the end of the password's trial, once it has ended.
    pub(super) fn note_trial(&mut self, out: &mut Vec<Effect>) {
        let end = match &self.sudo {
            _ if self.trial == Trial::Accepted => TrialEnd::Accepted,
            Some(dialogue) if dialogue.state == SudoState::Refused => TrialEnd::Refused,
            Some(_) if self.is_running() => return,
            _ => TrialEnd::Unanswered,
        };
        self.trial.end(TrialOf::Sudo(self.id), end, out);
    }

    /// Whether `sudo` has refused the password. The command is then given up, whatever the server
    /// reports about its end.
    pub(super) fn is_refused_by_sudo(&self) -> bool {
        self.sudo.as_ref().is_some_and(|dialogue| dialogue.state == SudoState::Refused)
    }

    /// Removes the output of `sudo` from the inbox.
    pub(super) fn listen_to_sudo(&mut self, inbox: &mut Inbox) {
        let (Some(dialogue), Some(login)) = (&mut self.sudo, &self.request.options.sudo) else { return };
        let output = if self.on_terminal { &mut inbox.stdout } else { &mut inbox.stderr };
        dialogue.filter(login, self.on_terminal, output);
        let was_answered = dialogue.was_answered;
        if dialogue.state == SudoState::Over {
            self.sudo = None;
            if was_answered && self.trial == Trial::Granted {
                self.trial = Trial::Accepted;
            }
        }
    }

    /// Ends the dialogue. Output that was held back is passed on, because it was not a mark.
    pub(super) fn end_dialogue(&mut self) {
        let Some(dialogue) = self.sudo.take() else { return };
        let stream = if self.on_terminal { StdStream::Stdout } else { StdStream::Stderr };
        self.receive(stream, &dialogue.into_rest(), Excess::Taken);
    }

    /// Answers `sudo` if it has asked for the password.
    pub(super) fn step_sudo(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        let is_guarded = cx.peer.target.profile.guard_passwords && self.trial != Trial::Granted;
        let (Some(dialogue), Some(login)) = (&mut self.sudo, &self.request.options.sudo) else {
            return Ok(Progress::Pending);
        };
        let sent = match dialogue.state {
            SudoState::Asked { .. } if cx.link.is_restricted() => {
                self.give_up(channel, cx, HostErrorKind::Channel(ChannelProblem::SudoPasswordUnsafe));
                return Ok(Progress::Advanced);
            }
            SudoState::Asked { sent: 0 } if is_guarded => return Ok(self.request_trial(channel, cx)),
            SudoState::Asked { sent } => sent,
            SudoState::Refused => {
                self.give_up(channel, cx, HostErrorKind::Channel(ChannelProblem::SudoPasswordRefused));
                return Ok(Progress::Advanced);
            }
            SudoState::Silent | SudoState::Answered | SudoState::Over => return Ok(Progress::Pending),
        };
        let line = &login.answer()[sent..];
        dialogue.state = match cx.link.write(channel, line) {
            Ok(0) => return Ok(Progress::Pending),
            Ok(written) if written < line.len() => SudoState::Asked { sent: sent + written },
            // If the write is denied, `sudo` no longer reads its input, so it will end by itself.
            Ok(_) | Err(LinkError { kind: LinkErrorKind::Denied, .. }) => SudoState::Answered,
            Err(error) => return Err(Trouble::of(error, |text| self.request.refused(text))),
        };
        Ok(Progress::Advanced)
    }

    /// Asks whether the password may be sent, and gives the command up if it may not.
    fn request_trial(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Progress {
        let (Some(dialogue), Some(login)) = (&mut self.sudo, &self.request.options.sudo) else {
            return Progress::Pending;
        };
        if let Some(refused_by) = dialogue.withheld.take() {
            let problem = ChannelProblem::SudoPasswordWithheld { refused_by };
            self.give_up(channel, cx, HostErrorKind::Channel(problem));
            return Progress::Advanced;
        }
        if self.trial == Trial::Requested {
            return Progress::Pending;
        }
        // Another host's trial may take as long as a login may.
        let profile = &cx.peer.target.profile;
        dialogue.deadline = Deadline::new(cx.now, profile.timeouts.auth.map(|limit| 2 * limit));
        let password = UserPassword::new(&profile.user, login.password());
        self.trial = Trial::Requested;
        cx.out.push(Effect::RequestTrial(TrialOf::Sudo(self.id), password));
        Progress::Advanced
    }

    /// Gives up the command if `sudo` has not let it begin within the time limit.
    pub(super) fn expire_dialogue(&mut self, cx: &ExecCx<'_>) {
        if let (ExecState::Running(channel), Some(dialogue)) = (&self.state, &self.sudo)
            && let Some(after) = Deadline::expired(dialogue.deadline, cx.now)
        {
            let is_waiting = self.trial == Trial::Requested;
            let kind = if is_waiting { TimeoutKind::Trial } else { TimeoutKind::Sudo };
            self.give_up(*channel, cx, HostErrorKind::Timeout { kind, after });
        }
    }

    /// Closes the channel of a command that is given up.
    fn give_up(&mut self, channel: ChannelId, cx: &ExecCx<'_>, kind: HostErrorKind) {
        let outcome = self.failed(cx, kind);
        self.close(channel, outcome, CloseStep::Send, cx.now);
    }
}

#[cfg(test)]
mod tests;
