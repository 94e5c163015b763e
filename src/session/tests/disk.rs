//! The thread that records new host keys, as far as a session can tell: its answer comes when a test lets it.

use crate::hostkey::{NewKey, Verifier};
use crate::session::Input;

/// A disk beside a bench.
#[derive(Debug)]
pub(super) struct FakeDisk {
    /// Rounds until it answers; `None`: never.
    pub after: Option<u32>,
    owes: Option<(Option<u32>, NewKey)>,
    /// Keys that were to be recorded.
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

    /// A round passes: the answer, once its time has come.
    pub(super) fn tick(&mut self, verifier: &Verifier) -> Option<Input> {
        let (after, _) = self.owes.as_mut()?;
        *after = Some((*after)?.saturating_sub(1));
        if *after != Some(0) {
            return None;
        }
        let (_, new) = self.owes.take()?;
        verifier.record(&[new]).pop().map(Input::Recorded)
    }

    /// Whether an answer is on its way.
    pub(super) fn owes_answer(&self) -> bool {
        matches!(self.owes, Some((Some(_), _)))
    }
}
