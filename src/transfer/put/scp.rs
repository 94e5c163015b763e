//! A file that is sent by `scp -t`, to a host whose server has no SFTP.
//!
//! The protocol has no specification. OpenSSH's `scp.c` is what others follow: the receiver answers
//! each record with a zero byte, or with a byte 1 (warning) or 2 (error) and a line of text.

use std::sync::Arc;

use super::{PutPlan, paths};
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::output::Outcome;
use crate::sftp::Reply;
use crate::transfer::errand::{ErrandResult, SCP, quoted};
use crate::transfer::local::{Entry, FileAnswer, FileJob, Reader};
use crate::transfer::requests::Tag;
use crate::transfer::task::{Task, TaskCx};

/// A file on its way to a host without SFTP.
#[derive(Debug)]
pub(in crate::transfer) struct ScpPut {
    plan: Arc<PutPlan>,
    reader: Option<Reader>,
    entry: Option<Entry>,
    state: ScpState,
    next: u64,
    awaits_chunk: bool,
    /// A chunk that waits to be sent.
    chunk: Option<Arc<[u8]>>,
    /// The start of an answer.
    answer: Vec<u8>,
}

/// How far the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScpState {
    New,
    /// The receiver and the listing of the source are awaited.
    Beginning {
        is_ready: bool,
    },
    /// The record with the times was sent.
    Times,
    /// The record with the mode, the size and the name was sent.
    Header,
    Data,
    /// The contents were sent.
    Sent,
    /// The local file is checked for changes.
    Checking,
    /// The end of the input lets the shell rename the copy.
    Ending,
    Done,
    Abandoned,
}

impl PutPlan {
    /// The command that receives the file without SFTP. `None` if the put needs more than that.
    pub(in crate::transfer) fn scp_command(&self) -> Option<Vec<u8>> {
        let settings = &self.settings;
        let needs_sftp =
            settings.dry_run || settings.skip_same || settings.checksum || settings.resume || settings.sync;
        if needs_sftp || self.is_privileged || self.source.is_recursive() || !settings.is_exact() {
            return None;
        }
        let target = quoted(&self.remote);
        let times = if settings.keep_times { "p" } else { "" };
        if settings.in_place {
            return Some([b"scp -q", times.as_bytes(), b"t ", &target].concat());
        }
        let mut text = Vec::new();
        let directory = paths::trim(paths::split(&self.remote).0);
        if settings.create_parents && !directory.is_empty() {
            text.extend([b"mkdir -p -- ", &quoted(directory)[..], b" && "].concat());
        }
        // The number of the shell's process makes the name unique on the host.
        let mut temporary = quoted(&paths::temporary(&self.remote, 0));
        temporary.truncate(temporary.len() - b"0'".len());
        text.extend([b"test ! -d ", &target[..], b" && t=", &temporary, b"'$$ && { scp -q"].concat());
        text.extend([times.as_bytes(), b"t \"$t\" && mv -f -- \"$t\" ", &target].concat());
        text.extend(b" || { code=$?; rm -f -- \"$t\"; exit $code; }; }");
        (text.len() <= limits::COMMAND_BYTES).then_some(text)
    }
}

impl ScpPut {
    pub(in crate::transfer) fn new(plan: Arc<PutPlan>) -> Self {
        Self {
            plan,
            reader: None,
            entry: None,
            state: ScpState::New,
            next: 0,
            awaits_chunk: false,
            chunk: None,
            answer: Vec::new(),
        }
    }

    /// Sends the first record, once the receiver is ready and the file is known.
    fn begin(&mut self, cx: &mut TaskCx<'_>) {
        let (ScpState::Beginning { is_ready: true }, Some(entry)) = (self.state, &self.entry) else { return };
        match entry.times.filter(|_| self.plan.settings.keep_times) {
            Some(times) => {
                cx.requests.send_raw(format!("T{} 0 {} 0\n", times.modified, times.access).into_bytes());
                self.state = ScpState::Times;
            }
            None => self.send_header(cx),
        }
    }

    fn send_header(&mut self, cx: &mut TaskCx<'_>) {
        let Some(entry) = &self.entry else { return };
        let mode = self.plan.settings.mode.unwrap_or(entry.mode) & 0o7777;
        // The receiver has the name from its command.
        cx.requests.send_raw(format!("C{mode:04o} {} file\n", entry.size()).into_bytes());
        self.state = ScpState::Header;
    }

    /// Handles a success of the receiver.
    fn succeeded(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        match self.state {
            ScpState::New | ScpState::Beginning { is_ready: false } => {
                self.state = ScpState::Beginning { is_ready: true };
                self.begin(cx);
            }
            ScpState::Times => self.send_header(cx),
            ScpState::Header => self.state = ScpState::Data,
            ScpState::Sent => {
                self.state = ScpState::Checking;
                cx.report.done.bytes = self.next;
                cx.jobs.push(FileJob::Check { source: self.plan.source.clone(), file: 0, asker: cx.id });
            }
            _ => return Err(TransferProblem::Protocol("an answer of scp to nothing".to_owned())),
        }
        Ok(())
    }

    fn send_data(&mut self, cx: &mut TaskCx<'_>) {
        let (Some(reader), Some(entry)) = (&self.reader, &self.entry) else { return };
        while self.next < entry.size() {
            let left = usize::try_from(entry.size() - self.next).unwrap_or(usize::MAX);
            if self.awaits_chunk || cx.requests.room_for(left.min(limits::CHUNK)) == 0 {
                return;
            }
            match self.chunk.take().or_else(|| reader.chunk(0, self.next, cx.jobs)) {
                Some(chunk) => {
                    self.next += chunk.len() as u64;
                    cx.requests.send_chunk(chunk);
                }
                None => self.awaits_chunk = true,
            }
        }
        cx.requests.send_raw(vec![0]);
        self.state = ScpState::Sent;
    }
}

impl Task for ScpPut {
    fn advance(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        if self.reader.is_none() {
            self.reader = Some(self.plan.source.reader(cx.id));
            cx.report.is_single = true;
            cx.jobs.push(FileJob::List { source: self.plan.source.clone(), asker: cx.id });
        }
        if self.state == ScpState::Data {
            self.send_data(cx);
        }
        Ok(())
    }

    fn reply(&mut self, _: Tag, _: Reply<'_>, _: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        Ok(())
    }

    fn receive(&mut self, bytes: &[u8], cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        for &byte in bytes {
            match (byte, self.answer.is_empty()) {
                (0, true) => self.succeeded(cx)?,
                (b'\n', false) => {
                    let text = String::from_utf8_lossy(&self.answer[1..]).into_owned();
                    return Err(TransferProblem::Command { what: SCP, text });
                }
                (1 | 2, true) | (_, false) if self.answer.len() < limits::PEER_TEXT => self.answer.push(byte),
                (_, false) => {}
                // What a login prints, for instance.
                (_, true) => {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    return Err(TransferProblem::Command { what: SCP, text });
                }
            }
        }
        Ok(())
    }

    fn closed(&mut self, exit: Option<&Outcome>) -> Result<(), TransferProblem> {
        match (self.state, exit) {
            (ScpState::Ending, Some(exit)) if exit.is_success() => {
                self.state = ScpState::Done;
                Ok(())
            }
            (_, exit) => {
                let text = exit.map_or_else(|| "it ended without a status".to_owned(), Outcome::to_string);
                Err(TransferProblem::Command { what: SCP, text })
            }
        }
    }

    fn wants_eof(&self) -> bool {
        matches!(self.state, ScpState::Ending | ScpState::Abandoned)
    }

    fn answer(&mut self, answer: FileAnswer, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        match answer {
            FileAnswer::Listed(listed) => {
                self.entry = listed?.entries.first().cloned();
                cx.report.done.total = self.entry.as_ref().map_or(0, Entry::size);
                self.begin(cx);
            }
            FileAnswer::Chunk { offset, bytes, .. } if self.awaits_chunk && offset == self.next => {
                self.awaits_chunk = false;
                self.chunk = Some(bytes?);
            }
            FileAnswer::Checked { result, .. } if self.state == ScpState::Checking => {
                result?;
                cx.report.done.files = 1;
                self.state = ScpState::Ending;
            }
            _ => {}
        }
        Ok(())
    }

    fn ran(&mut self, _: ErrandResult, _: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        Ok(())
    }

    /// Lets the receiver fail, so that the shell removes the temporary file.
    fn abandon(&mut self, cx: &mut TaskCx<'_>) {
        if self.state != ScpState::Done {
            cx.report.done.files = 0;
            // In the middle of the contents this is a part of them, and the end of the input makes
            // them too short.
            cx.requests.send_raw(b"\x02cancelled\n".to_vec());
            self.state = ScpState::Abandoned;
        }
    }

    fn is_done(&self) -> bool {
        self.state == ScpState::Done
    }

    fn left_over(&self) -> Vec<RemotePath> {
        // Its name has the number of a process in it.
        Vec::new()
    }
}
