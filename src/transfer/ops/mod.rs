//! Requests about single files and directories of hosts, such as reading a file or renaming it.

mod change;
mod inspect;
mod list;
mod options;
mod read;
mod remove;
mod task;
#[cfg(test)]
mod tests;

pub use options::FileRequest;
pub(super) use task::FileTask;

use super::requests::Tag;
use super::task::TaskCx;
use crate::error::{RemotePath, TransferProblem};
use crate::output::{FileKind, FileMetadata, FileResult};
use crate::sftp::{self, Attrs, Reply};

/// A request, after it was checked, as all hosts with the same paths share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePlan {
    pub(super) path: Vec<u8>,
    action: Action,
}

/// What is done with the path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Read { max_bytes: u64 },
    List { max_entries: u64, max_bytes: u64 },
    Inspect { follows_links: bool },
    Remove(Option<Recursion>),
    CreateDirectory { with_parents: bool, mode: Option<u32> },
    Rename { to: Vec<u8> },
}

/// How far a removal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recursion {
    max_entries: u64,
    max_depth: usize,
}

/// One request on one host. It makes requests of the SFTP server until it has a result.
trait Operation: std::fmt::Debug + Send {
    /// Makes the first requests.
    fn begin(&mut self, cx: &mut TaskCx<'_>);

    /// Makes what further requests there is room for. Called after each answer.
    fn advance(&mut self, _cx: &mut TaskCx<'_>) -> Result<(), TransferProblem> {
        Ok(())
    }

    /// Handles an answer. Returns the result once there is one.
    fn reply(
        &mut self,
        tag: Tag,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<Option<FileResult>, TransferProblem>;
}

/// What attributes say, in the form for callers.
fn metadata(attrs: &Attrs) -> FileMetadata {
    let kind = attrs.kind().map(|kind| match kind {
        sftp::FileKind::File => FileKind::File,
        sftp::FileKind::Directory => FileKind::Directory,
        sftp::FileKind::Symlink => FileKind::Symlink,
        sftp::FileKind::Other => FileKind::Other,
    });
    let (user_id, group_id) = attrs.ids.unzip();
    let time = |seconds| std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(seconds));
    let mut metadata = FileMetadata::default();
    (metadata.kind, metadata.size, metadata.mode) = (kind, attrs.size, attrs.permissions());
    (metadata.user_id, metadata.group_id) = (user_id, group_id);
    metadata.modified = attrs.times.map(|times| time(times.modified));
    metadata.accessed = attrs.times.map(|times| time(times.access));
    metadata
}

/// The problem that something else has the path.
fn wrong_kind(path: &[u8], found: FileKind, wanted: FileKind) -> TransferProblem {
    let (found, wanted) = (found.with_article(), wanted.with_article());
    TransferProblem::WrongKind { path: RemotePath::new(path), found, wanted }
}
