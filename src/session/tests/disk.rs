//! A scripted key recorder, the thread that writes new host keys. It answers when a test lets it.

use crate::hostkey::{NewKey, Verifier};
use crate::session::Input;

/// A scripted key recorder, which the bench drives.
#[derive(Debug)]
pub(super) struct FakeDisk {
    /// How many rounds pass until the recorder answers; `None` if it never does.
    pub after: Option<u32>,
    owes: Option<(Option<u32>, NewKey)>,
    /// How many keys the recorder was asked to record.
    pub asked: usize,
}

impl FakeDisk {
    pub(super) fn new() -> Self {
        Self { after: Some(2), owes: None, asked: 0 }
    }

    pub(super) fn is_asked(&mut self, new: NewKey) {
        self.asked += 1;
        self.owes = Some((self.after, new));
    }

    /// Lets one round pass. Returns the answer once it is due.
    pub(super) fn tick(&mut self, verifier: &Verifier) -> Option<Input> {
        let (after, _) = self.owes.as_mut()?;
        *after = Some((*after)?.saturating_sub(1));
        if *after != Some(0) {
            return None;
        }
        let (_, new) = self.owes.take()?;
        verifier.record(&[new]).pop().map(Input::Recorded)
    }

    /// Whether an answer is pending.
    pub(super) fn owes_answer(&self) -> bool {
        matches!(self.owes, Some((Some(_), _)))
    }
}
