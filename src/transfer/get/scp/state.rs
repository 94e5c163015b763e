//! How far a file is that `scp` sends, and the edges between that.

/// How far the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScpState {
    New,
    /// The line with the times is awaited, or the one with the mode and the size.
    Times,
    /// The line with the mode and the size is awaited.
    Header,
    /// The part file is created.
    Beginning,
    /// The contents are awaited.
    Data,
    /// Whether the contents are right is awaited.
    Verdict,
    /// The end of `scp` is awaited.
    Ending,
    /// The last bytes are written.
    Writing,
    /// The copy gets its name.
    Finishing,
    Done,
    Abandoned,
}

/// Every legal transition and its cause, without those of a file that has failed or was cancelled.
const EDGES: &[(ScpState, ScpState, &str)] = &[
    (ScpState::New, ScpState::Times, "asked for the file, and its times"),
    (ScpState::New, ScpState::Header, "asked for the file"),
    (ScpState::Times, ScpState::Header, "times known"),
    (ScpState::Times, ScpState::Beginning, "size known, the host has no times"),
    (ScpState::Header, ScpState::Beginning, "size known"),
    (ScpState::Beginning, ScpState::Data, "part file created"),
    (ScpState::Beginning, ScpState::Verdict, "part file created, for an empty file"),
    (ScpState::Beginning, ScpState::Done, "the same is there"),
    (ScpState::Data, ScpState::Verdict, "everything arrived"),
    (ScpState::Verdict, ScpState::Ending, "contents right"),
    (ScpState::Ending, ScpState::Writing, "scp has succeeded"),
    (ScpState::Writing, ScpState::Finishing, "everything written"),
    (ScpState::Finishing, ScpState::Done, "renamed"),
];

impl ScpState {
    /// Whether a file may go from this state to that one.
    pub(super) fn may_become(self, next: Self) -> bool {
        let has_ended = matches!(self, Self::Done | Self::Abandoned);
        !has_ended && next == Self::Abandoned
            || EDGES.iter().any(|(from, to, _)| (*from, *to) == (self, next))
    }
}
