//! How a request about a file is described.

use super::{Action, FilePlan, Recursion};
use crate::error::ConfigProblem;
use crate::limits;
use crate::transfer::plan::{Fill, PlanProblem, path};
use crate::transfer::put::paths;

/// Asks hosts about a file or a directory, or changes one: reading it, listing it, its metadata,
/// removing it, creating a directory, renaming.
///
/// A request turns into a [`Command`](crate::Command) and runs like one; what it returns is
/// [`Outcome::File`](crate::Outcome::File). A [`ParallelClient`](crate::ParallelClient) has a
/// method for each request, such as [`read_file`](crate::ParallelClient::read_file). To write a
/// file, there is [`Put::bytes`](crate::transfer::Put::bytes).
///
/// Paths that do not begin with a slash are relative to the home directory of the user. They may
/// have the placeholders of [`Command::host_args`](crate::Command::host_args), if values are given.
///
/// ```no_run
/// use std::time::Instant;
/// use sshoal::transfer::{FileRequest, FileResult};
/// use sshoal::{Budget, Event, Fleet, Outcome, Run};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut fleet = Fleet::builder(["web1", "web2"]).user("deploy").build()?;
/// // On one host of the list.
/// let first = fleet.hosts()[0];
/// fleet.start(Run::new(FileRequest::read("/etc/os-release").max_bytes(65536)).hosts([first]))?;
/// loop {
///     fleet.wait(None)?;
///     fleet.turn(Instant::now(), Budget::default())?;
///     while let Some(event) = fleet.next_event() {
///         match event {
///             Event::Finished { host, outcome: Outcome::File(result), .. } => match *result {
///                 FileResult::Contents(bytes) => println!("{host:?}: {} bytes", bytes.len()),
///                 other => println!("{host:?}: {other}"),
///             },
///             Event::Finished { host, outcome, .. } => println!("{host:?}: {outcome}"),
///             Event::RunDone { .. } => return Ok(()),
///             _ => {}
///         }
///     }
/// }
/// # }
/// ```
///
/// # Errors
/// A request that fails on a host has the outcome [`Failed`](crate::Outcome::Failed) with a
/// [`TransferProblem`](crate::error::TransferProblem). A setting that the request does not have is
/// an [`Error::Config`](crate::Error::Config) before anything starts, as is
/// [`sudo`](crate::Command::sudo): an SFTP server runs as the user that logs in.
#[derive(Debug, Clone)]
#[must_use = "a request does nothing until it is run"]
pub struct FileRequest {
    kind: Kind,
    path: Vec<u8>,
    max_bytes: Option<u64>,
    max_entries: Option<u64>,
    max_depth: Option<usize>,
    recurse: bool,
    create_parents: bool,
    mode: Option<u32>,
}

#[derive(Debug, Clone)]
enum Kind {
    Read,
    List,
    Metadata,
    SymlinkMetadata,
    Remove,
    CreateDirectory,
    Rename { to: Vec<u8> },
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Read => "FileRequest::read",
            Self::List => "FileRequest::list",
            Self::Metadata => "FileRequest::metadata",
            Self::SymlinkMetadata => "FileRequest::symlink_metadata",
            Self::Remove => "FileRequest::remove",
            Self::CreateDirectory => "FileRequest::create_dir",
            Self::Rename { .. } => "FileRequest::rename",
        }
    }
}

impl FileRequest {
    /// Reads a file up to its end. The result is [`FileResult::Contents`].
    ///
    /// The contents stay in memory until the outcome is dropped, so this is for small files;
    /// [`max_bytes`](Self::max_bytes) limits them. A file that becomes shorter meanwhile is an
    /// error; what is appended meanwhile may be in the result or not. Links are followed; devices
    /// and fifos are errors. Files below `/proc` and `/sys` are read in full, although their sizes
    /// are wrong.
    ///
    /// [`FileResult::Contents`]: crate::transfer::FileResult::Contents
    pub fn read(path: impl Into<Vec<u8>>) -> Self {
        Self::of(Kind::Read, path)
    }

    /// Lists a directory, without what is below its directories. The result is
    /// [`FileResult::Entries`].
    ///
    /// [`FileResult::Entries`]: crate::transfer::FileResult::Entries
    pub fn list(path: impl Into<Vec<u8>>) -> Self {
        Self::of(Kind::List, path)
    }

    /// Asks for the metadata of a file or a directory. Links are followed. The result is
    /// [`FileResult::Metadata`](crate::transfer::FileResult::Metadata).
    pub fn metadata(path: impl Into<Vec<u8>>) -> Self {
        Self::of(Kind::Metadata, path)
    }

    /// As [`metadata`](Self::metadata), but that of a symbolic link is about the link itself.
    pub fn symlink_metadata(path: impl Into<Vec<u8>>) -> Self {
        Self::of(Kind::SymlinkMetadata, path)
    }

    /// Removes a file, a symbolic link or an empty directory. A path whose last component is `.` or
    /// `..`, and the root, are errors before anything starts.
    pub fn remove(path: impl Into<Vec<u8>>) -> Self {
        Self::of(Kind::Remove, path)
    }

    /// Creates a directory. If it is there already, that is an error, unless
    /// [`create_parents`](Self::create_parents) is set.
    pub fn create_dir(path: impl Into<Vec<u8>>) -> Self {
        Self::of(Kind::CreateDirectory, path)
    }

    /// Renames a file or a directory. A file that has the new name is replaced in one step. If the
    /// server cannot do that, it is an error, and nothing has changed.
    pub fn rename(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        Self::of(Kind::Rename { to: to.into() }, from)
    }

    fn of(kind: Kind, path: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            path: path.into(),
            max_bytes: None,
            max_entries: None,
            max_depth: None,
            recurse: false,
            create_parents: false,
            mode: None,
        }
    }

    /// The most bytes that [`read`](Self::read) returns, or that the names have that
    /// [`list`](Self::list) returns. A file or a directory with more is an error. Default: 64 MiB.
    pub fn max_bytes(mut self, max: u64) -> Self {
        self.max_bytes = Some(max);
        self
    }

    /// The most entries that [`list`](Self::list) returns, or that a [`remove`](Self::remove) with
    /// [`recurse`](Self::recurse) finds. Default: 1,000,000.
    pub fn max_entries(mut self, max: u64) -> Self {
        self.max_entries = Some(max);
        self
    }

    /// How many levels of directories a [`remove`](Self::remove) with [`recurse`](Self::recurse)
    /// goes down, at most 64. Default: 64.
    pub fn max_depth(mut self, max: usize) -> Self {
        self.max_depth = Some(max);
        self
    }

    /// Whether [`remove`](Self::remove) removes a directory with everything below it. The first
    /// problem ends it; what was removed so far is gone. Default: `false`.
    ///
    /// Links are removed, not followed. Version 3 of SFTP cannot open a directory without following
    /// a link, so do not remove a directory in which other users may put a link into the place of a
    /// directory at the same time.
    pub fn recurse(mut self, recurse: bool) -> Self {
        self.recurse = recurse;
        self
    }

    /// Whether [`create_dir`](Self::create_dir) also creates the directories above, and accepts a
    /// directory that is there, as `mkdir -p` does. Default: `false`.
    pub fn create_parents(mut self, create: bool) -> Self {
        self.create_parents = create;
        self
    }

    /// The exact permissions of a directory that [`create_dir`](Self::create_dir) creates. Those of
    /// a directory that is there, and of the directories above, are left to the host. Default: as
    /// the host's umask makes them.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// The first setting that was made and that the request does not have.
    fn unused(&self) -> Option<&'static str> {
        let (is_read, is_list) = (matches!(self.kind, Kind::Read), matches!(self.kind, Kind::List));
        let is_create = matches!(self.kind, Kind::CreateDirectory);
        let is_remove = matches!(self.kind, Kind::Remove);
        let is_recursive = is_remove && self.recurse;
        let settings = [
            (self.max_bytes.is_some(), is_read || is_list, "FileRequest::max_bytes"),
            (self.max_entries.is_some(), is_list || is_recursive, "FileRequest::max_entries"),
            (self.max_depth.is_some(), is_recursive, "FileRequest::max_depth"),
            (self.recurse, is_remove, "FileRequest::recurse"),
            (self.create_parents, is_create, "FileRequest::create_parents"),
            (self.mode.is_some(), is_create, "FileRequest::mode"),
        ];
        settings.into_iter().find(|(is_set, is_used, _)| *is_set && !*is_used).map(|(_, _, name)| name)
    }

    pub(in crate::transfer) fn plan(
        &self,
        fill: &mut Fill<'_>,
        is_privileged: bool,
    ) -> Result<FilePlan, PlanProblem> {
        let conflict = |setting, other| Err(PlanProblem::Config(ConfigProblem::Conflict { setting, other }));
        let out_of_range =
            |setting, allowed| Err(PlanProblem::Config(ConfigProblem::OutOfRange { setting, allowed }));
        if is_privileged {
            return conflict(self.kind.name(), "sudo or run_as");
        }
        if let Some(setting) = self.unused() {
            return conflict(setting, self.kind.name());
        }
        if self.max_depth.is_some_and(|depth| depth > limits::TRANSFER_DEPTH) {
            return out_of_range("FileRequest::max_depth", "at most 64");
        }
        if self.mode.is_some_and(|mode| mode > 0o7777) {
            return out_of_range("FileRequest::mode", "at most 0o7777");
        }
        let old = path("the remote path of a request", &self.path, fill)?;
        let max_entries = self.max_entries.unwrap_or(limits::LISTED_ENTRIES);
        let action = match &self.kind {
            Kind::Read => Action::Read { max_bytes: self.max_bytes.unwrap_or(limits::READ_FILE_BYTES) },
            Kind::List => {
                Action::List { max_entries, max_bytes: self.max_bytes.unwrap_or(limits::LISTED_BYTES) }
            }
            Kind::Metadata => Action::Inspect { follows_links: true },
            Kind::SymlinkMetadata => Action::Inspect { follows_links: false },
            Kind::Remove => {
                removable(&old)?;
                let max_depth = self.max_depth.unwrap_or(limits::TRANSFER_DEPTH);
                Action::Remove(self.recurse.then_some(Recursion { max_entries, max_depth }))
            }
            Kind::CreateDirectory => {
                Action::CreateDirectory { with_parents: self.create_parents, mode: self.mode }
            }
            Kind::Rename { to } => Action::Rename { to: path("the new path of a rename", to, fill)? },
        };
        Ok(FilePlan { path: old, action })
    }
}

/// Refuses paths whose removal is an accident, as `rm` does.
fn removable(path: &[u8]) -> Result<(), PlanProblem> {
    match paths::split(path).1 {
        b"" | b"." | b".." => Err(PlanProblem::Config(ConfigProblem::Invalid {
            setting: "the remote path of a removal",
            value: String::from_utf8_lossy(path).into_owned(),
            problem: "its last component must be the name of what is removed".to_owned(),
        })),
        _ => Ok(()),
    }
}
