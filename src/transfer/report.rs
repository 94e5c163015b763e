//! How far a transfer is, and the problems of its single files.

use super::local::Missing;
use crate::error::TransferProblem;
use crate::output::Transferred;

/// The report of a transfer, with the problems of single files.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub done: Transferred,
    failed: u64,
    first: Option<Box<TransferProblem>>,
    /// Whether the transfer is of one file, so that its problem is that of the transfer.
    pub is_single: bool,
    /// Whether nothing is changed on the host.
    pub is_dry_run: bool,
    /// Whether nothing is deleted, though it was to be, because some file is not copied.
    pub deletes_nothing: bool,
}

impl Report {
    /// Notes that a file was not copied. The transfer goes on with the others.
    pub(crate) fn note(&mut self, problem: TransferProblem) {
        self.note_some(1, problem);
    }

    /// Notes what a listing of this machine is without.
    pub(crate) fn note_missing(&mut self, missing: &Missing) {
        self.note_some(missing.count, missing.first.clone().into());
    }

    fn note_some(&mut self, count: u64, first: TransferProblem) {
        self.failed += count;
        self.first.get_or_insert_with(|| Box::new(first));
    }

    /// Whether some file was not copied.
    pub(crate) fn has_failed(&self) -> bool {
        self.first.is_some()
    }

    /// The end of a transfer that has done all that it could.
    pub(super) fn end(&mut self) -> Result<Transferred, TransferProblem> {
        match self.first.take() {
            None => Ok(self.done),
            Some(problem) if self.is_single => Err(*problem),
            Some(first) => Err(TransferProblem::Incomplete {
                failed: self.failed,
                first,
                is_dry_run: self.is_dry_run,
                deletes_nothing: self.deletes_nothing,
            }),
        }
    }
}
