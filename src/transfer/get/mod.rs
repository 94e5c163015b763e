//! Fetching files from hosts.
//!
//! A [`GetTask`](task::GetTask) walks the tree on the host, with one directory open on each level.
//! Up to [`FILES_AT_ONCE`](crate::limits::FILES_AT_ONCE) of its entries are on their way at a time,
//! each in a slot: a [`FileGet`](file::FileGet) fetches a file, a [`LinkGet`](link::LinkGet) finds
//! out what an entry is or leads to.
//!
//! From a host without SFTP, an [`ScpGet`](scp::ScpGet) fetches a single file.

mod file;
mod folders;
mod link;
mod name;
mod options;
mod scp;
mod task;
#[cfg(test)]
mod tests;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;

pub use options::Get;
pub(super) use scp::ScpGet;
pub(super) use task::GetTask;

use self::name::Template;
use self::options::Settings;
use super::local::{Claims, HostPath, Target};
use crate::error::LocalProblem;

/// A get, checked, as all hosts with the same paths share it.
#[derive(Debug)]
pub(crate) struct GetPlan {
    /// The file or directory on the host.
    remote: Vec<u8>,
    /// Where it goes on this machine.
    local: Template,
    settings: Settings,
    claims: Arc<Claims>,
}

impl GetPlan {
    /// The local path of a host's copy.
    fn local_path(&self, host: &str) -> PathBuf {
        super::plan::local_path(&self.local.fill(&self.remote, host))
    }

    /// Where a single file goes: the directory, and the name in it.
    fn file_target(&self, host: &str) -> Result<(Arc<Target>, HostPath), LocalProblem> {
        let path = self.local_path(host);
        // A path such as `..`.
        let Some(name) = path.file_name() else { return Err(LocalProblem::IsADirectory { path }) };
        let name = name.as_encoded_bytes().to_vec();
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok((self.target(directory), vec![name]))
    }

    fn target(&self, root: PathBuf) -> Arc<Target> {
        Arc::new(Target::new(root, self.settings.target, self.claims.clone()))
    }
}
