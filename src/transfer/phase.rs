//! The phases of a transfer, and the edges between them.

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server's version is awaited.
    Greeting,
    /// The server's limits are awaited.
    Limits,
    /// Files are copied.
    Working,
    /// The transfer has failed or was cancelled, and removes what is half done.
    CleaningUp,
    Ended,
}

/// Every legal transition and its cause.
const EDGES: &[(Phase, Phase, &str)] = &[
    (Phase::Greeting, Phase::Limits, "server has limits"),
    (Phase::Greeting, Phase::Working, "server has no limits"),
    (Phase::Greeting, Phase::Ended, "protocol violated, or cancelled"),
    (Phase::Limits, Phase::Working, "limits known"),
    (Phase::Limits, Phase::Ended, "protocol violated, or cancelled"),
    (Phase::Working, Phase::CleaningUp, "failed, or cancelled"),
    (Phase::Working, Phase::Ended, "all done, or protocol violated"),
    (Phase::CleaningUp, Phase::Ended, "all removed, or protocol violated"),
];

impl Phase {
    /// Whether a transfer may go from this phase to that one.
    pub(super) fn may_become(self, next: Self) -> bool {
        EDGES.iter().any(|(from, to, _)| (*from, *to) == (self, next))
    }
}
