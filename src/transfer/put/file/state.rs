//! The states of a file that is sent, and the edges between them.

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileState {
    New,
    /// The target is compared with the local file by size and time.
    Comparing,
    /// The target is compared with the local file by checksum.
    Summing,
    /// An interrupted copy is looked for.
    Resuming,
    /// The temporary file, or the target, is created.
    Opening,
    /// The temporary name seems to be taken.
    Looking,
    /// The directories above the target are created.
    MakingParents,
    /// The contents are sent.
    Writing,
    /// The local file is checked for changes, and the size of the copy is asked for.
    Checking,
    /// The copy gets its mode and times.
    Setting,
    /// The copy is written to the host's disk.
    Syncing,
    Closing,
    /// The copy is compared with the local file by checksum.
    Verifying,
    /// The copy is renamed to its target.
    Renaming,
    /// The old target is removed, because the server cannot replace it.
    Replacing,
    /// The copy is installed at its target by another user.
    Installing,
    /// Temporary files are removed.
    Tidying,
    /// The file has failed, and its temporary file is removed.
    Discarding,
    Done,
}

/// Every legal transition and its cause. A file that is not done can also be discarded at any time.
pub(super) const EDGES: &[(FileState, FileState, &str)] = &[
    (FileState::New, FileState::Comparing, "files that are the same are skipped"),
    (FileState::New, FileState::Resuming, "interrupted copies are resumed"),
    (FileState::New, FileState::Opening, "every file is sent"),
    (FileState::Comparing, FileState::Summing, "same size, compared by checksum"),
    (FileState::Comparing, FileState::Resuming, "not the same, resumed"),
    (FileState::Comparing, FileState::Opening, "not the same"),
    (FileState::Comparing, FileState::Done, "the same"),
    (FileState::Summing, FileState::Resuming, "not the same, resumed"),
    (FileState::Summing, FileState::Opening, "not the same"),
    (FileState::Summing, FileState::Done, "the same"),
    (FileState::Resuming, FileState::Opening, "looked for"),
    (FileState::Opening, FileState::Writing, "opened"),
    (FileState::Opening, FileState::Looking, "temporary file not created"),
    (FileState::Opening, FileState::MakingParents, "no such directory"),
    (FileState::MakingParents, FileState::Opening, "directories made"),
    (FileState::Looking, FileState::Opening, "name taken, next name"),
    (FileState::Writing, FileState::Checking, "everything written"),
    (FileState::Checking, FileState::Setting, "local file unchanged, size as sent"),
    (FileState::Setting, FileState::Syncing, "attributes set, to be synced"),
    (FileState::Setting, FileState::Closing, "attributes set"),
    (FileState::Syncing, FileState::Closing, "synced"),
    (FileState::Closing, FileState::Verifying, "closed, to be verified"),
    (FileState::Closing, FileState::Renaming, "closed"),
    (FileState::Closing, FileState::Installing, "closed, for another user"),
    (FileState::Closing, FileState::Done, "closed, written in place"),
    (FileState::Verifying, FileState::Renaming, "same checksum"),
    (FileState::Verifying, FileState::Installing, "same checksum, for another user"),
    (FileState::Verifying, FileState::Done, "same checksum, written in place"),
    (FileState::Renaming, FileState::Replacing, "target in the way of a plain rename"),
    (FileState::Replacing, FileState::Renaming, "old target removed"),
    (FileState::Renaming, FileState::Tidying, "renamed, other temporary files found"),
    (FileState::Renaming, FileState::Done, "renamed"),
    (FileState::Installing, FileState::Tidying, "installed"),
    (FileState::Tidying, FileState::Done, "removed"),
    (FileState::Discarding, FileState::Done, "removed, or kept to be resumed"),
];

pub(super) fn is_legal(from: FileState, to: FileState) -> bool {
    let is_discarded = to == FileState::Discarding && !matches!(from, FileState::New | FileState::Done);
    is_discarded || EDGES.iter().any(|(a, b, _)| (*a, *b) == (from, to))
}

#[cfg(test)]
thread_local! {
    /// The transitions that the tests of this thread have seen.
    static SEEN: std::cell::RefCell<Vec<(FileState, FileState)>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[cfg(test)]
pub(super) fn record(from: FileState, to: FileState) {
    SEEN.with_borrow_mut(|seen| {
        if !seen.contains(&(from, to)) {
            seen.push((from, to));
        }
    });
}

/// The edges that no test of this thread has taken.
#[cfg(test)]
pub(in crate::transfer::put) fn edges_not_taken() -> Vec<String> {
    let is_seen = |a: FileState, b: FileState| SEEN.with_borrow(|seen| seen.contains(&(a, b)));
    let missing = EDGES.iter().filter(|(a, b, _)| !is_seen(*a, *b));
    missing.map(|(a, b, cause)| format!("{a:?} -> {b:?}: {cause}")).collect()
}
