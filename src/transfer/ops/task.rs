//! A request on one host, as a task.

use std::mem;
use std::sync::Arc;

use super::change::{CreateDirectory, Rename};
use super::inspect::Inspect;
use super::list::List;
use super::read::Read;
use super::remove::Remove;
use super::{Action, FilePlan, Operation};
use crate::error::{RemotePath, TransferProblem};
use crate::output::FileResult;
use crate::sftp::Reply;
use crate::transfer::errand::ErrandResult;
use crate::transfer::local::FileAnswer;
use crate::transfer::requests::Tag;
use crate::transfer::task::{Task, TaskCx};

/// A request on one host.
#[derive(Debug)]
pub(in crate::transfer) struct FileTask {
    operation: Box<dyn Operation>,
    has_begun: bool,
    result: Option<FileResult>,
    /// There is a result, or the request was given up.
    is_done: bool,
}

impl FileTask {
    pub(in crate::transfer) fn new(plan: &Arc<FilePlan>) -> Self {
        let path = plan.path.clone();
        let operation: Box<dyn Operation> = match &plan.action {
            Action::Read { max_bytes } => Box::new(Read::new(path, *max_bytes)),
            Action::List { max_entries, max_bytes } => Box::new(List::new(path, *max_entries, *max_bytes)),
            Action::Inspect { follows_links } => Box::new(Inspect::new(path, *follows_links)),
            Action::Remove(recursion) => Box::new(Remove::new(path, *recursion)),
            Action::CreateDirectory { with_parents, mode } => {
                Box::new(CreateDirectory::new(path, *with_parents, *mode))
            }
            Action::Rename { to } => Box::new(Rename::new(path, to.clone())),
        };
        Self { operation, has_begun: false, result: None, is_done: false }
    }
}

impl Task for FileTask {
    fn advance(&mut self, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        if self.is_done {
            return Ok(());
        }
        if !mem::replace(&mut self.has_begun, true) {
            self.operation.begin(cx);
        }
        self.operation.advance(cx)
    }

    fn reply(&mut self, tag: Tag, reply: Reply<'_>, cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        if self.is_done {
            return Ok(());
        }
        self.result = self.operation.reply(tag, &reply, cx)?;
        self.is_done = self.result.is_some();
        Ok(())
    }

    /// A request has no local files.
    fn answer(&mut self, _answer: FileAnswer, _cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        Ok(())
    }

    /// A request runs no commands.
    fn ran(&mut self, _result: ErrandResult, _cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        Ok(())
    }

    /// Nothing is half done. Handles that are open end with the channel.
    fn abandon(&mut self, _cx: &mut TaskCx<'_>) {
        self.is_done = true;
        self.result = None;
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn left_over(&self) -> Vec<RemotePath> {
        Vec::new()
    }

    fn result(&mut self) -> Option<FileResult> {
        self.result.take()
    }
}
