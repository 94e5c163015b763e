//! A file that is fetched by `scp -f`, from a host whose server has no SFTP.
//!
//! The protocol has no specification. OpenSSH's `scp.c` is what others follow: the sender waits for
//! a zero byte before each step. It sends a line with the times if they were asked for (`T`), a
//! line with the mode, the size and the name (`C`), the contents, and a zero byte. In place of any
//! of them, a byte 1 or 2 and a line of text say why there is no such thing.

mod header;
mod state;

use std::mem;
use std::sync::Arc;

use self::header::Line;
use self::state::ScpState;
use super::GetPlan;
use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::output::Outcome;
use crate::sftp::Reply;
use crate::text::counted;
use crate::transfer::errand::{ErrandResult, SCP, quoted};
use crate::transfer::local::{Begun, FileAnswer, FileJob, NewFile, Part};
use crate::transfer::requests::Tag;
use crate::transfer::task::{Task, TaskCx};

/// Where Linux has files that say that they are empty, and are not.
const WITHOUT_SIZES: [&[u8]; 2] = [b"/proc/", b"/sys/"];

/// A file on its way from a host without SFTP.
#[derive(Debug)]
pub(in crate::transfer) struct ScpGet {
    plan: Arc<GetPlan>,
    host: String,
    state: ScpState,
    /// The line that is arriving.
    line: Vec<u8>,
    /// What the host says about the file.
    file: NewFile,
    part: Option<Arc<Part>>,
    /// How many bytes of the contents have arrived.
    arrived: u64,
    /// What has arrived and was not given to a job.
    piece: Vec<u8>,
    /// The writes on their way, and how many bytes they have together.
    writes: usize,
    writing: usize,
}

fn failed(text: impl Into<String>) -> TransferProblem {
    TransferProblem::Command { what: SCP, text: text.into() }
}

impl GetPlan {
    /// The command that sends the file without SFTP. `None` if the get needs more than that.
    pub(in crate::transfer) fn scp_command(&self) -> Option<Vec<u8>> {
        let settings = &self.settings;
        if settings.recurse || settings.target.resume {
            return None;
        }
        // Options apart, as OpenSSH's client has them: some devices know no other form.
        let times: &[u8] = if self.needs_times() { b"-p " } else { b"" };
        let text = [b"scp ", times, b"-f ", &quoted(&self.remote)].concat();
        (text.len() <= limits::COMMAND_BYTES).then_some(text)
    }

    fn needs_times(&self) -> bool {
        self.settings.target.preserve || self.settings.target.skip_same
    }
}

impl ScpGet {
    pub(in crate::transfer) fn new(plan: Arc<GetPlan>, host: &str) -> Self {
        Self {
            plan,
            host: host.to_owned(),
            state: ScpState::New,
            line: Vec::new(),
            file: NewFile::default(),
            part: None,
            arrived: 0,
            piece: Vec::new(),
            writes: 0,
            writing: 0,
        }
    }

    fn enter(&mut self, next: ScpState) {
        debug_assert!(self.state.may_become(next), "{:?} -> {next:?}", self.state);
        self.state = next;
    }

    /// Asks for the file.
    fn start(&mut self, cx: &mut TaskCx<'_>) {
        if self.state == ScpState::New {
            self.enter(if self.plan.needs_times() { ScpState::Times } else { ScpState::Header });
            cx.report.is_single = true;
            cx.requests.send_raw(vec![0]);
        }
    }

    /// Takes a line from the bytes, as far as it has arrived. Returns what follows.
    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> Result<(Option<Line>, &'a [u8]), TransferProblem> {
        let end = memchr::memchr(b'\n', bytes);
        let (line, rest) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 1..]));
        let room = limits::SCP_LINE - self.line.len();
        self.line.extend_from_slice(&line[..line.len().min(room)]);
        if line.len() > room {
            return Err(self.no_record());
        }
        if end.is_none() {
            return Ok((None, rest));
        }
        let line = Line::parse(&self.line).ok_or_else(|| self.no_record())?;
        self.line = Vec::new();
        Ok((Some(line), rest))
    }

    /// What is wrong if the line is no record of a file.
    fn no_record(&self) -> TransferProblem {
        let ([1 | 2, text @ ..] | text) = &self.line[..];
        let is_error = text.len() < self.line.len();
        // The error shows little more, and the text of an error stays in memory.
        let text = String::from_utf8_lossy(&text[..text.len().min(limits::PEER_TEXT / 2)]);
        let text = text.trim();
        match is_error {
            true => failed(text.strip_prefix("scp: ").unwrap_or(text)),
            false => failed(format!(
                "it sent the text \"{text}\" in place of a file; a shell must print nothing when it is not \
                 interactive"
            )),
        }
    }

    /// Handles a line before the contents.
    fn handle(&mut self, line: &Line, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        match *line {
            Line::Times(times) if self.state == ScpState::Times => {
                self.file.times = Some(times);
                self.enter(ScpState::Header);
                cx.requests.send_raw(vec![0]);
                Ok(())
            }
            Line::Times(_) => Err(failed("it sent times that were not asked for")),
            Line::Directory => Err(failed("it sent a directory in place of a file")),
            Line::File { mode, size } => {
                (self.file.mode, self.file.size) = (Some(mode), size);
                self.begin(cx)
            }
        }
    }

    /// Creates the part file.
    fn begin(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        let (size, max) = (self.file.size, self.plan.settings.max_bytes);
        let remote = &self.plan.remote;
        let limit = |what| Err(TransferProblem::Limit { path: RemotePath::new(remote), what });
        if size > max {
            return limit(format!("more than {max} bytes would be fetched; raise Get::max_bytes"));
        }
        if size == 0 && WITHOUT_SIZES.iter().any(|place| remote.starts_with(place)) {
            return limit("the host gives no size for it, which scp needs; print it by a command".to_owned());
        }
        let (target, path) = self.plan.file_target(&self.host)?;
        cx.report.done.total = size;
        self.enter(ScpState::Beginning);
        cx.jobs.push(FileJob::Begin { target, tag: 0, path, file: self.file, asker: cx.id });
        Ok(())
    }

    fn begun(&mut self, begun: Begun, cx: &mut TaskCx<'_>) {
        match begun {
            Begun::Part { part, .. } => {
                self.part = Some(part);
                self.enter(if self.file.size > 0 { ScpState::Data } else { ScpState::Verdict });
                cx.requests.send_raw(vec![0]);
            }
            // `scp` waits for an answer, and gets the end of the channel.
            Begun::Same => {
                cx.report.done.skipped += 1;
                cx.report.done.total = 0;
                self.enter(ScpState::Done);
            }
        }
    }

    /// Takes contents of the file. Returns what follows.
    fn take_data<'a>(&mut self, bytes: &'a [u8], cx: &mut TaskCx<'_>) -> &'a [u8] {
        let left = usize::try_from(self.file.size - self.arrived).unwrap_or(usize::MAX);
        let (data, rest) = bytes.split_at(bytes.len().min(left));
        self.piece.extend_from_slice(data);
        self.arrived += data.len() as u64;
        cx.requests.owe(data.len());
        if self.arrived == self.file.size {
            self.enter(ScpState::Verdict);
        }
        rest
    }

    /// Takes what follows the contents: a zero byte, or what is wrong with them.
    fn take_verdict<'a>(
        &mut self,
        bytes: &'a [u8],
        cx: &mut TaskCx<'_>,
    ) -> Result<&'a [u8], TransferProblem> {
        match (bytes, self.line.is_empty()) {
            ([0, rest @ ..], true) => {
                self.enter(ScpState::Ending);
                cx.requests.send_raw(vec![0]);
                Ok(rest)
            }
            ([1 | 2, ..], true) | (_, false) => self.take_line(bytes).map(|(_, rest)| rest),
            _ => Err(self.excess()),
        }
    }

    fn excess(&self) -> TransferProblem {
        failed(format!("it sent more than the {} that it had announced", counted(self.file.size, "byte")))
    }

    /// Writes what has arrived. Few writes are on their way at a time, so a host that sends a byte
    /// at a time causes few, too.
    fn flush(&mut self, cx: &mut TaskCx<'_>) {
        let Some(part) = self.part.clone().filter(|_| self.writes < limits::SCP_WRITES) else { return };
        let piece = mem::take(&mut self.piece);
        if !piece.is_empty() {
            self.writes += 1;
            self.writing += piece.len();
            let offset = self.arrived - piece.len() as u64;
            cx.jobs.push(FileJob::Write { part, tag: 0, pieces: vec![(offset, piece)], asker: cx.id });
        }
    }

    fn finish(&mut self, cx: &mut TaskCx<'_>) {
        if let (ScpState::Writing, 0, Some(part)) = (self.state, self.unwritten(), self.part.clone()) {
            self.enter(ScpState::Finishing);
            cx.jobs.push(FileJob::Finish { part, tag: 0, file: self.file, asker: cx.id });
        }
    }
}

impl Task for ScpGet {
    fn advance(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        self.start(cx);
        self.flush(cx);
        self.finish(cx);
        Ok(())
    }

    fn reply(&mut self, _: Tag, _: Reply<'_>, _: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        Ok(())
    }

    fn receive(&mut self, bytes: &[u8], cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        self.start(cx);
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.state {
                ScpState::New | ScpState::Times | ScpState::Header => {
                    let (line, after) = self.take_line(rest)?;
                    line.map_or(Ok(()), |line| self.handle(&line, cx))?;
                    rest = after;
                }
                ScpState::Beginning => return Err(failed("it sent contents before they were asked for")),
                ScpState::Data => rest = self.take_data(rest, cx),
                ScpState::Verdict => rest = self.take_verdict(rest, cx)?,
                ScpState::Ending | ScpState::Writing | ScpState::Finishing => return Err(self.excess()),
                ScpState::Done | ScpState::Abandoned => return Ok(()),
            }
        }
        Ok(())
    }

    fn closed(&mut self, exit: Option<&Outcome>) -> Result<(), TransferProblem> {
        let text = exit.map_or_else(|| "it ended without a status".to_owned(), Outcome::to_string);
        match self.state {
            ScpState::Ending if exit.is_some_and(Outcome::is_success) => self.enter(ScpState::Writing),
            // The channel stays closed.
            ScpState::Writing | ScpState::Finishing | ScpState::Done | ScpState::Abandoned => {}
            _ if !self.line.is_empty() => return Err(self.no_record()),
            ScpState::Ending => return Err(failed(text)),
            ScpState::New | ScpState::Times | ScpState::Header => {
                return Err(failed(format!("{text} before it sent the file")));
            }
            _ if self.arrived == self.file.size => {
                return Err(failed(format!("{text} before it confirmed the contents")));
            }
            _ => {
                let Self { arrived, file, .. } = self;
                return Err(failed(format!("{text} after {arrived} of {}", counted(file.size, "byte"))));
            }
        }
        Ok(())
    }

    fn wants_eof(&self) -> bool {
        self.state == ScpState::Ending
    }

    fn ends_with_channel(&self) -> bool {
        true
    }

    fn answer(&mut self, answer: FileAnswer, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        match answer {
            answer if self.state == ScpState::Abandoned => cx.jobs.extend(answer.cleanup(cx.id)),
            FileAnswer::Begun { result, .. } => self.begun(result?, cx),
            FileAnswer::Written { bytes, result, .. } => {
                self.writes = self.writes.saturating_sub(1);
                self.writing = self.writing.saturating_sub(bytes);
                result?;
                cx.report.done.bytes += bytes as u64;
            }
            FileAnswer::Finished { result, .. } => {
                self.part = None;
                result?;
                cx.report.done.files = 1;
                self.enter(ScpState::Done);
            }
            _ => {}
        }
        Ok(())
    }

    fn ran(&mut self, _: ErrandResult, _: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        Ok(())
    }

    /// Removes the part file. The end of the channel ends `scp`.
    fn abandon(&mut self, cx: &mut TaskCx<'_>) {
        if !self.is_done() {
            self.enter(ScpState::Abandoned);
        }
        self.piece = Vec::new();
        if let Some(part) = self.part.take() {
            cx.jobs.push(FileJob::Abandon { part, keep: false, asker: cx.id });
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.state, ScpState::Done | ScpState::Abandoned)
    }

    fn left_over(&self) -> Vec<RemotePath> {
        Vec::new()
    }

    fn unwritten(&self) -> usize {
        // What a file that was given up has on its way must not hold up the end of the channel.
        if self.is_done() { 0 } else { self.piece.len() + self.writing }
    }
}
