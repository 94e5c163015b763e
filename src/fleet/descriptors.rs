//! How many descriptors this process may still open.

use nix::sys::resource::{Resource, getrlimit};

use crate::limits;

/// Descriptors left for connections. `None` where the system does not tell.
pub(super) fn free() -> Option<usize> {
    Some(limit()?.saturating_sub(open()?).saturating_sub(limits::DESCRIPTORS_SPARED))
}

/// Connections that hosts may have open to forwarded agents, all together.
pub(super) fn for_agents() -> usize {
    let share = limit().map_or(usize::MAX, |limit| limit / limits::AGENT_SHARE);
    share.min(limits::AGENT_CONNECTIONS)
}

/// How many this process may have open.
fn limit() -> Option<usize> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(usize::try_from(soft).unwrap_or(usize::MAX).min(limits::DESCRIPTOR_MAX as usize + 1))
}

/// How many are open. The kernel answers from memory: `/proc` is no disk.
fn open() -> Option<usize> {
    const LIST: &str = "/proc/self/fd";
    // Since Linux 6.2 the size of this directory tells, at no cost; before, it is 0.
    match std::fs::metadata(LIST).ok()?.len() {
        // The listing counts its own.
        0 => Some(std::fs::read_dir(LIST).ok()?.count().saturating_sub(1)),
        open => usize::try_from(open).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    /// Other tests of this process open and close theirs meanwhile: a hundred more are not theirs.
    #[test]
    fn what_is_open_is_counted() {
        let before = super::open().unwrap();
        let taken: Vec<File> = (0..300).map(|_| File::open("/dev/null").unwrap()).collect();
        let with = super::open().unwrap();
        let listed = fs::read_dir("/proc/self/fd").unwrap().count() - 1;
        assert!(with.abs_diff(before + taken.len()) < 100, "{before} before, {with} with 300 more");
        assert!(with.abs_diff(listed) < 100, "{with}, and {listed} in the list");
    }
}
