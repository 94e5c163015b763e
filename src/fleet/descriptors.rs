//! How many file descriptors this process may still open.

use nix::sys::resource::{Resource, getrlimit};

use crate::limits;

/// How many descriptors are left for connections; `None` if the system does not report it.
pub(super) fn free() -> Option<usize> {
    Some(limit()?.saturating_sub(open()?).saturating_sub(limits::DESCRIPTORS_SPARED))
}

/// How many connections to forwarded agents may be open at once, over all hosts together.
pub(super) fn for_agents() -> usize {
    let share = limit().map_or(usize::MAX, |limit| limit / limits::AGENT_SHARE);
    share.min(limits::AGENT_CONNECTIONS)
}

/// The process's limit on open descriptors.
fn limit() -> Option<usize> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(usize::try_from(soft).unwrap_or(usize::MAX).min(limits::DESCRIPTOR_MAX as usize + 1))
}

/// How many descriptors are open. Reading `/proc` does not wait for a disk.
fn open() -> Option<usize> {
    const LIST: &str = "/proc/self/fd";
    // Since Linux 6.2, the size of this directory is the number of open descriptors. Before that,
    // the size is 0.
    match std::fs::metadata(LIST).ok()?.len() {
        // The listing includes the descriptor that it is read from.
        0 => Some(std::fs::read_dir(LIST).ok()?.count().saturating_sub(1)),
        open => usize::try_from(open).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    /// Other tests in this process open and close descriptors at the same time, but fewer than a
    /// hundred.
    #[test]
    fn open_descriptors_are_counted() {
        let before = super::open().unwrap();
        let taken: Vec<File> = (0..300).map(|_| File::open("/dev/null").unwrap()).collect();
        let with = super::open().unwrap();
        let listed = fs::read_dir("/proc/self/fd").unwrap().count() - 1;
        assert!(with.abs_diff(before + taken.len()) < 100, "{before} before, {with} with 300 more");
        assert!(with.abs_diff(listed) < 100, "counted {with}, listed {listed}");
    }
}
