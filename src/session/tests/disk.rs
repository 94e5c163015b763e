//! A scripted disk: the thread that reads known_hosts files again and writes new host keys. It
//! answers when a test lets it.

use crate::hostkey::{DiskRequest, Verifier};
use crate::session::Input;

/// A scripted disk, which the bench drives.
#[derive(Debug)]
pub(super) struct FakeDisk {
    /// How many rounds pass until the disk answers; `None` if it never does.
    pub after: Option<u32>,
    owes: Option<(Option<u32>, DiskRequest)>,
    /// How many keys were to be recorded.
    pub asked: usize,
}

impl FakeDisk {
    pub(super) fn new() -> Self {
        Self { after: Some(2), owes: None, asked: 0 }
    }

    pub(super) fn is_asked(&mut self, request: DiskRequest) {
        self.asked += usize::from(matches!(request, DiskRequest::Record(..)));
        self.owes = Some((self.after, request));
    }

    /// Lets one round pass. Returns the answer once it is due.
    pub(super) fn tick(&mut self, verifier: &Verifier) -> Option<Input> {
        let (after, _) = self.owes.as_mut()?;
        *after = Some((*after)?.saturating_sub(1));
        if *after != Some(0) {
            return None;
        }
        let (_, request) = self.owes.take()?;
        verifier.serve(vec![request]).pop().map(Input::Disk)
    }

    /// Whether an answer is pending.
    pub(super) fn owes_answer(&self) -> bool {
        matches!(self.owes, Some((Some(_), _)))
    }
}
