//! The dialogue with the `sudo` that runs a command. The dialogue lasts from the server's
//! acceptance of the command until the command begins. The prompt and the start of the command are
//! recognised by marks, which are texts that occur nowhere else in the output.

use std::mem;

use super::step::{ExecCx, Progress, Stepped, Trouble};
use super::{CloseStep, Exec, ExecState};
use crate::command::{Found, SudoLogin, SudoMark};
use crate::error::{ChannelProblem, HostErrorKind};
use crate::ids::StdStream;
use crate::link::{ChannelId, Inbox, LinkError, LinkErrorKind};
use crate::output::Excess;
use crate::session::deadline::Deadline;
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

    /// Whether `sudo` has refused the password. The command is then given up, whatever the server
    /// reports about its end.
    pub(super) fn is_refused_by_sudo(&self) -> bool {
        self.sudo.as_ref().is_some_and(|dialogue| dialogue.state == SudoState::Refused)
    }

    /// Removes the output of `sudo` from the inbox.
    pub(super) fn listen_to_sudo(&mut self, inbox: &mut Inbox) {
        let options = &self.request.options;
        let (Some(dialogue), Some(login)) = (&mut self.sudo, &options.sudo) else { return };
        let on_terminal = options.on_terminal();
        let output = if on_terminal { &mut inbox.stdout } else { &mut inbox.stderr };
        dialogue.filter(login, on_terminal, output);
        if dialogue.state == SudoState::Over {
            self.sudo = None;
        }
    }

    /// Ends the dialogue. Output that was held back is passed on, because it was not a mark.
    pub(super) fn end_dialogue(&mut self) {
        let Some(dialogue) = self.sudo.take() else { return };
        let on_terminal = self.request.options.on_terminal();
        let stream = if on_terminal { StdStream::Stdout } else { StdStream::Stderr };
        self.receive(stream, &dialogue.into_rest(), Excess::Taken);
    }

    /// Answers `sudo` if it has asked for the password.
    pub(super) fn step_sudo(&mut self, channel: ChannelId, cx: &mut ExecCx<'_>) -> Stepped {
        let (Some(dialogue), Some(login)) = (&mut self.sudo, &self.request.options.sudo) else {
            return Ok(Progress::Pending);
        };
        let sent = match dialogue.state {
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
            Err(error) => return Err(Trouble::of(error, ChannelProblem::ExecRefused)),
        };
        Ok(Progress::Advanced)
    }

    /// Gives up the command if `sudo` has not let it begin within the time limit.
    pub(super) fn expire_dialogue(&mut self, cx: &ExecCx<'_>) {
        if let (ExecState::Running(channel), Some(dialogue)) = (&self.state, &self.sudo)
            && let Some(after) = Deadline::expired(dialogue.deadline, cx.now)
        {
            self.give_up(*channel, cx, HostErrorKind::Timeout { kind: TimeoutKind::Sudo, after });
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
