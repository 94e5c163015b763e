//! One transfer on one host: the SFTP session, and the task that uses it.

use std::mem;
use std::time::Instant;

use super::errand::{Errand, ErrandResult};
use super::local::{FileAnswer, FileJob};
use super::phase::Phase;
use super::plan::Plan;
use super::report::Report;
use super::requests::{Requests, Step, Tag};
use super::task::{Task, TaskCx};
use crate::error::{RemotePath, TransferProblem};
use crate::ids::CommandId;
use crate::limits;
use crate::output::{Bound, Outcome, Room, Transferred};
use crate::sftp::{Decoder, Limits, Reply, Request};

/// A transfer on one host. It does no IO: bytes of the SFTP channel and answers to file jobs go in,
/// bytes and file jobs come out.
#[derive(Debug)]
pub(crate) struct Transfer {
    id: CommandId,
    /// Whether the server has no SFTP, so that a program on the host receives or sends the file.
    is_plain: bool,
    phase: Phase,
    decoder: Decoder,
    requests: Requests,
    task: Box<dyn Task>,
    jobs: Vec<FileJob>,
    errands: Vec<Errand>,
    report: Report,
    /// What has made the transfer fail.
    problem: Option<TransferProblem>,
    /// The progress that was reported last, and whether that report was taken.
    told: Transferred,
    is_told: bool,
    /// How many bytes of a file it waits to be allowed to request, and when it last waited.
    lack: u32,
    throttled: Option<Instant>,
}

impl Transfer {
    /// Begins a transfer over a new SFTP channel. `host` is the name of the host for local paths.
    pub(crate) fn new(id: CommandId, plan: &Plan, host: &str) -> Self {
        let mut transfer = Self::of(id, plan.task(host), Phase::Greeting);
        transfer.requests.greet();
        transfer
    }

    /// Begins a transfer over the channel of the [command](Plan::plain_command) that does without
    /// SFTP.
    pub(crate) fn plain(id: CommandId, plan: &Plan, host: &str) -> Self {
        Self { is_plain: true, ..Self::of(id, plan.plain_task(host), Phase::Working) }
    }

    fn of(id: CommandId, task: Box<dyn Task>, phase: Phase) -> Self {
        Self {
            id,
            is_plain: false,
            phase,
            decoder: Decoder::default(),
            requests: Requests::default(),
            task,
            jobs: Vec::new(),
            errands: Vec::new(),
            report: Report::default(),
            problem: None,
            told: Transferred::default(),
            is_told: true,
            lack: 0,
            throttled: None,
        }
    }

    /// Handles bytes from the SFTP server.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        if self.phase == Phase::Ended || bytes.is_empty() {
            return;
        }
        if self.is_plain {
            let (task, mut cx) = self.split();
            let handled = task.receive(bytes, &mut cx);
            return self.handled(handled);
        }
        let mut decoder = mem::take(&mut self.decoder);
        let before = if self.is_unanswered() { decoder.partial().to_vec() } else { Vec::new() };
        let fed = decoder.feed(bytes, |reply| self.reply(reply));
        self.decoder = decoder;
        match fed {
            Ok(()) => self.go_on(),
            Err(problem) => match printed(&before, bytes).filter(|_| self.is_unanswered()) {
                Some(text) => self.fail(TransferProblem::NotSftp { text }),
                None => self.fail(problem),
            },
        }
    }

    fn reply(&mut self, reply: Reply<'_>) -> Result<(), TransferProblem> {
        let strange = |what: &str| Err(TransferProblem::Protocol(what.to_owned()));
        if let Reply::Version { version, extensions } = reply {
            if self.phase != Phase::Greeting {
                return strange("a second version");
            }
            if version < 3 {
                return strange(&format!("version {version} is too old"));
            }
            self.requests.extensions = extensions;
            if extensions.limits {
                self.requests.send(Tag { slot: 0, step: Step::Limits }, &Request::Limits);
                self.enter(Phase::Limits);
            } else {
                self.enter(Phase::Working);
            }
            return Ok(());
        }
        let tag = reply.id().and_then(|id| self.requests.answered(id));
        let Some(tag) = tag else { return strange("an answer to a request that was not made") };
        if let Step::Read { len, .. } = tag.step {
            // A read that brings less than was asked for uses up no more than that.
            let found = if let Reply::Data { bytes, .. } = &reply { bytes.len() as u64 } else { 0 };
            self.requests.allow(u64::from(len).saturating_sub(found));
        }
        if tag.step == Step::Limits {
            if let Reply::Extended { bytes, .. } = reply
                && let Ok(limits) = Limits::parse(bytes)
            {
                self.requests.limit(limits);
            }
            if self.phase == Phase::Limits {
                self.enter(Phase::Working);
            }
            return Ok(());
        }
        let (task, mut cx) = self.split();
        let handled = task.reply(tag, reply, &mut cx);
        // While it cleans up, a task has nothing left that could fail.
        if self.phase == Phase::CleaningUp { Ok(()) } else { handled }
    }

    /// Handles the answer to a file job.
    pub(crate) fn answer(&mut self, answer: FileAnswer) {
        let (task, mut cx) = self.split();
        let handled = task.answer(answer, &mut cx);
        self.handled(handled);
    }

    /// Handles the end of a command on the host.
    pub(crate) fn ran(&mut self, result: ErrandResult) {
        let (task, mut cx) = self.split();
        let handled = task.ran(result, &mut cx);
        self.handled(handled);
    }

    /// Goes on after the task has handled something. While it cleans up, it has nothing left that
    /// could fail.
    fn handled(&mut self, handled: Result<(), TransferProblem>) {
        match handled {
            Err(problem) if self.phase == Phase::Working => self.fail(problem),
            _ => self.go_on(),
        }
    }

    /// Goes on, and may request this many bytes of files. What is not used up is left.
    pub(crate) fn go_on_with(&mut self, allowance: &mut u64, now: Instant) {
        self.throttled = self.throttled_until(now);
        self.requests.allow(mem::take(allowance));
        self.go_on();
        *allowance = self.requests.take_unused();
        self.lack = self.requests.lack();
    }

    /// How many bytes of a file the transfer would request at once if they were allowed; 0 if it
    /// does not wait for that.
    pub(crate) fn lack(&self) -> u32 {
        if self.phase == Phase::Working { self.lack } else { 0 }
    }

    /// The latest time up to `now` at which the transfer waited for such bytes.
    pub(crate) fn throttled_until(&self, now: Instant) -> Option<Instant> {
        if self.lack() > 0 { Some(now) } else { self.throttled }
    }

    /// Makes what requests and file jobs there is room for.
    pub(crate) fn go_on(&mut self) {
        if self.phase == Phase::Working {
            let (task, mut cx) = self.split();
            if let Err(problem) = task.advance(&mut cx) {
                return self.fail(problem);
            }
        }
        if matches!(self.phase, Phase::Working | Phase::CleaningUp) && self.task.is_done() {
            self.enter(Phase::Ended);
        }
    }

    fn split(&mut self) -> (&mut dyn Task, TaskCx<'_>) {
        let Self { id, requests, task, jobs, errands, report, .. } = self;
        (&mut **task, TaskCx { id: *id, requests, jobs, errands, report })
    }

    fn fail(&mut self, problem: TransferProblem) {
        // A server that violates the protocol is not asked for anything more.
        let is_of_use = !matches!(problem, TransferProblem::Protocol(_) | TransferProblem::NotSftp { .. });
        self.problem.get_or_insert(problem);
        if is_of_use {
            self.stop();
        } else {
            self.lose();
        }
    }

    /// Gives up, and removes what is half done. The transfer has ended once that is done.
    pub(crate) fn stop(&mut self) {
        match self.phase {
            Phase::Working => {
                self.enter(Phase::CleaningUp);
                let (task, mut cx) = self.split();
                task.abandon(&mut cx);
                self.go_on();
            }
            Phase::Greeting | Phase::Limits => self.lose(),
            Phase::CleaningUp | Phase::Ended => {}
        }
    }

    /// Gives up without the server, because it is gone. Removes what is half done on this machine.
    pub(crate) fn lose(&mut self) {
        if matches!(self.phase, Phase::Working) {
            let (task, mut cx) = self.split();
            task.abandon(&mut cx);
        }
        if self.phase != Phase::Ended {
            self.enter(Phase::Ended);
        }
    }

    /// Ends the transfer because the channel has ended, and how if that is known.
    pub(crate) fn server_ended(&mut self, exit: Option<&Outcome>) {
        if self.phase == Phase::Ended {
            return;
        }
        let ended = match self.is_plain {
            true => self.task.closed(exit),
            false => {
                let text = exit.map_or_else(String::new, Outcome::to_string);
                Err(TransferProblem::ServerEnded(text))
            }
        };
        if let Err(problem) = ended {
            self.problem.get_or_insert(problem);
            self.lose();
        } else {
            self.requests.drop_unsent();
            self.go_on();
        }
    }

    /// Handles the end of the channel. If the server has said nothing, it may have no SFTP, and the
    /// caller decides what to do about that.
    pub(crate) fn channel_ended(&mut self, exit: Option<&Outcome>) {
        if !self.is_unanswered() {
            self.server_ended(exit);
        }
    }

    /// Whether the server has said nothing at all.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.phase == Phase::Greeting
    }

    /// Whether the input of the server ends after what waits to be sent.
    pub(crate) fn wants_eof(&self) -> bool {
        self.is_plain && self.task.wants_eof() && self.requests.unsent() == 0
    }

    /// Whether only the end of the channel stops what runs on the host.
    pub(crate) fn ends_with_channel(&self) -> bool {
        self.is_plain && self.task.ends_with_channel()
    }

    fn enter(&mut self, next: Phase) {
        debug_assert!(self.phase.may_become(next), "{:?} -> {next:?}", self.phase);
        self.phase = next;
    }

    /// How the transfer has ended. `None` while it goes on.
    pub(crate) fn end(&mut self) -> Option<Result<Transferred, TransferProblem>> {
        if self.phase != Phase::Ended {
            return None;
        }
        Some(self.problem.take().map_or_else(|| self.report.end(), Err))
    }

    /// The outcome of a transfer that has ended well, and that has done this.
    pub(crate) fn outcome(&mut self, done: Transferred) -> Outcome {
        match self.task.result() {
            Some(result) => Outcome::File(Box::new(result)),
            None => Outcome::Transferred(Box::new(done)),
        }
    }

    /// Whether the next answer of the server may end the transfer.
    pub(crate) fn may_end(&self) -> bool {
        self.requests.in_flight() <= 1
    }

    /// At least how many answers the server owes; 0 unless the transfer goes on whatever they are.
    pub(crate) fn owed_answers(&self) -> usize {
        if self.phase == Phase::Working { self.requests.at_server() } else { 0 }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// What the transfer has done so far.
    pub(crate) fn progress(&self) -> Transferred {
        self.report.done
    }

    /// Whether there is progress to report, and no earlier report waits to be taken. Returns `true`
    /// once.
    pub(crate) fn has_news(&mut self) -> bool {
        let has_news = self.is_told && self.told != self.report.done;
        self.is_told &= !has_news;
        has_news
    }

    /// Takes the report of the progress.
    pub(crate) fn take_news(&mut self) -> Transferred {
        self.is_told = true;
        self.told = self.report.done;
        self.told
    }

    /// The temporary files on the host that may be left there.
    pub(crate) fn left_over(&self) -> Vec<RemotePath> {
        self.task.left_over()
    }

    /// The file jobs that were made since the last call.
    pub(crate) fn take_jobs(&mut self) -> Vec<FileJob> {
        mem::take(&mut self.jobs)
    }

    /// The commands on the host that were asked for since the last call.
    pub(crate) fn take_errands(&mut self) -> Vec<Errand> {
        mem::take(&mut self.errands)
    }

    /// How many bytes from the host wait to be written to the disk of this machine.
    pub(crate) fn unwritten(&self) -> usize {
        self.task.unwritten()
    }

    /// How much more may be read from the server. `share` is how much may wait to be written
    /// because of the fleet's output budget.
    pub(crate) fn room(&self, share: usize) -> Room {
        if self.phase == Phase::Working && self.requests.is_owing() {
            return Room { bytes: 0, bound: Bound::Stream };
        }
        let left = |limit: usize| limit.saturating_sub(self.unwritten());
        let own = Room { bytes: left(limits::FILE_UNWRITTEN), bound: Bound::Stream };
        own.min(Room { bytes: left(share), bound: Bound::Budget })
    }

    /// Whether something waits to be sent to the server.
    pub(crate) fn has_unsent(&self) -> bool {
        self.phase != Phase::Ended && self.requests.unsent() > 0
    }

    /// What is to be sent next, at most `max` bytes. The buffer may be used for it.
    pub(crate) fn next_bytes<'a>(&'a self, buffer: &'a mut Vec<u8>, max: usize) -> &'a [u8] {
        self.requests.next_bytes(buffer, max)
    }

    /// Notes that the first `count` bytes of what waits are sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.requests.consume(count);
    }
}

/// The text that a server begins with if it does not speak SFTP. No packet begins like a text: it
/// would be longer than 100 MB.
fn printed(before: &[u8], bytes: &[u8]) -> Option<String> {
    let stream = [before, &bytes[..bytes.len().min(limits::PEER_TEXT)]].concat();
    let is_text = matches!(stream.first()?, b'\t' | b'\n' | b'\r' | b'\x1b' | b' '..=b'~');
    // The answer of an SFTP server may follow, which begins with the length of a short packet.
    let text = stream.split(|byte| *byte == 0).next().unwrap_or_default();
    is_text.then(|| String::from_utf8_lossy(text.trim_ascii()).into_owned())
}
