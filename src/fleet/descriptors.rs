//! How many descriptors this process may still open.

use nix::sys::resource::{Resource, getrlimit};

use crate::limits;

/// Descriptors left for connections. `None` where the system does not tell.
pub(super) fn free() -> Option<usize> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let limit = usize::try_from(soft).unwrap_or(usize::MAX).min(limits::DESCRIPTOR_MAX as usize + 1);
    // The listing counts its own descriptor; that one more is spared does no harm.
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(limit.saturating_sub(open).saturating_sub(limits::DESCRIPTORS_SPARED))
}
