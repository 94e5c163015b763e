//! Sending files to hosts.

mod file;
mod options;
pub(super) mod paths;
mod prune;
mod scp;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use options::{Placement, Put};
pub(super) use scp::ScpPut;
pub(super) use task::PutTask;

use self::options::Settings;
use super::local::Source;

/// A put, after it was checked, as all hosts with the same paths share it.
#[derive(Debug)]
pub(crate) struct PutPlan {
    pub(super) source: Arc<Source>,
    /// The target on the host.
    pub(super) remote: Vec<u8>,
    /// The last component of the local path, for a target that is a directory.
    pub(super) name: Vec<u8>,
    pub(super) settings: Settings,
    /// Whether another user installs the files at their targets.
    pub(super) is_privileged: bool,
    /// The owner of installed files: a user, or a user and a group with a colon between them.
    pub(super) owner: Option<String>,
}
