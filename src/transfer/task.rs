//! What a transfer does, as a state machine without IO.

use std::fmt;

use super::errand::{Errand, ErrandResult};
use super::local::{FileAnswer, FileJob};
use super::report::Report;
use super::requests::{Requests, Tag};
use crate::error::{RemotePath, TransferProblem};
use crate::ids::CommandId;
use crate::output::{FileResult, Outcome};
use crate::sftp::Reply;

/// The work of a transfer. An error ends it; what concerns one of many files is
/// [noted](Report::note) instead.
pub(crate) trait Task: fmt::Debug + Send {
    /// Makes requests and file jobs, as far as there is room. Called after everything else.
    fn advance(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem>;

    /// Handles the answer to a request.
    fn reply(&mut self, tag: Tag, reply: Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem>;

    /// Handles what a server without SFTP sends.
    fn receive(&mut self, _bytes: &[u8], _cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        Ok(())
    }

    /// Handles the end of a server without SFTP. Called again while local work is left.
    fn closed(&mut self, _exit: Option<&Outcome>) -> Result<(), TransferProblem> {
        Ok(())
    }

    /// Whether the input of a server without SFTP ends after what waits to be sent.
    fn wants_eof(&self) -> bool {
        false
    }

    /// Whether only the end of the channel stops what runs on a server without SFTP.
    fn ends_with_channel(&self) -> bool {
        false
    }

    /// Handles the answer to a file job.
    fn answer(&mut self, answer: FileAnswer, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem>;

    /// Handles the end of a command on the host.
    fn ran(&mut self, result: ErrandResult, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem>;

    /// Gives up. Makes the requests and file jobs that remove what is half done. Answers that
    /// arrive afterwards are still handled.
    fn abandon(&mut self, cx: &mut TaskCx<'_>);

    /// Whether nothing is left to do, and no answer is awaited.
    fn is_done(&self) -> bool;

    /// The temporary files on the host that may exist now.
    fn left_over(&self) -> Vec<RemotePath>;

    /// What the host has returned, for a task that is done and was a request about a file.
    fn result(&mut self) -> Option<FileResult> {
        None
    }

    /// How many bytes from the host wait to be written to the disk of this machine.
    fn unwritten(&self) -> usize {
        0
    }
}

/// What a task works with.
pub(crate) struct TaskCx<'a> {
    /// The command that the answers to file jobs go to.
    pub id: CommandId,
    pub requests: &'a mut Requests,
    pub jobs: &'a mut Vec<FileJob>,
    pub errands: &'a mut Vec<Errand>,
    pub report: &'a mut Report,
}
