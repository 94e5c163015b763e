//! How a put is described.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::PutPlan;
use crate::error::ConfigProblem;
use crate::transfer::local::{Links, Source, SourceOptions};
use crate::transfer::plan::{Fill, PlanProblem, Shared, local_path, path};

/// Sends a file or a directory to hosts (parallel-ssh: `copy_file`, `scp_send`).
///
/// The local file is read once for all hosts that are at about the same place in it. Each file is
/// written under a temporary name beside its target, such as `.app.conf.sshoal-1`; its size is
/// compared, and it is renamed over the target. So the target is the old file or the new one, never
/// a part of one. If the transfer fails, the temporary file is removed, or, if the connection is
/// lost, named in the [error](crate::HostError::left_over). A later put to the same target removes
/// it once it has not grown for an hour.
///
/// ```
/// use sshoal::transfer::Put;
/// use sshoal::{Command, Run};
/// use sshoal::fleet::Batch;
///
/// let config = Put::new("app.conf", "/etc/app/app.conf").mode(0o640);
/// // A directory, on a tenth of the hosts first.
/// let site = Run::new(Put::new("site", "/srv/www").recurse(true))
///     .batches([Batch::Percent(10), Batch::Rest]);
/// // A file of its own for each of two hosts.
/// let keys = Command::from(Put::new("keys/%s.pem", "/etc/app/key.pem"))
///     .host_args(["web1", "web2"]);
/// # let _ = (config, site, keys);
/// ```
///
/// # Errors
/// A put that fails on a host has the outcome [`Failed`](crate::Outcome::Failed) with a
/// [`TransferProblem`](crate::error::TransferProblem). If something in a directory cannot be
/// copied, such as a socket or a link that leads nowhere, everything else is, and the problem is
/// [`Incomplete`](crate::error::TransferProblem::Incomplete).
#[derive(Debug, Clone)]
#[must_use = "a put does nothing until it is run"]
pub struct Put {
    from: From,
    remote: Vec<u8>,
    pub(super) settings: Settings,
    source: SourceOptions,
    owner: Option<String>,
}

/// What is sent.
#[derive(Debug, Clone)]
enum From {
    Path(Vec<u8>),
    Bytes(Arc<[u8]>),
}

/// How files are sent, in the same way to all hosts.
#[derive(Debug, Clone, Copy)]
pub(in crate::transfer) struct Settings {
    /// The mode of files; `None` for that of the source.
    pub mode: Option<u32>,
    pub keep_times: bool,
    pub sync: bool,
    pub in_place: bool,
    pub skip_same: bool,
    pub checksum: bool,
    pub resume: bool,
    pub create_parents: bool,
    pub placement: Placement,
    /// Whether files that the source does not have are deleted.
    pub delete: bool,
    /// Whether nothing is changed on the hosts.
    pub dry_run: bool,
}

/// Where below the remote path a put writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// The remote path is the target itself.
    #[default]
    Exact,
    /// The remote path is a directory, and the target in it has the name of the local path. The
    /// directory is created if it is missing and
    /// [`create_parents`](Put::create_parents) allows it.
    Into,
    /// As [`Into`](Self::Into) if the remote path ends with a slash or is a directory on the host,
    /// else as [`Exact`](Self::Exact), as `cp` and `scp` do.
    Auto,
}

impl Settings {
    pub(super) fn is_exact(&self) -> bool {
        self.placement == Placement::Exact
    }
}

impl Put {
    /// Sends the file or directory at this local path to this path on each host. A remote path that
    /// does not begin with a slash is relative to the home directory of the user.
    ///
    /// Both paths may have the placeholders of
    /// [`Command::host_args`](crate::Command::host_args), if values are given.
    pub fn new(local: impl Into<PathBuf>, remote: impl Into<Vec<u8>>) -> Self {
        Self::of(From::Path(OsString::from(local.into()).into_vec()), remote.into())
    }

    /// Sends these bytes, as a file with mode 0644 unless [`mode`](Self::mode) sets another one.
    /// All hosts share the bytes.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>, remote: impl Into<Vec<u8>>) -> Self {
        Self::of(From::Bytes(bytes.into()), remote.into())
    }

    fn of(from: From, remote: Vec<u8>) -> Self {
        let settings = Settings {
            mode: None,
            keep_times: false,
            sync: false,
            in_place: false,
            skip_same: false,
            checksum: false,
            resume: false,
            create_parents: true,
            placement: Placement::Exact,
            delete: false,
            dry_run: false,
        };
        let source = SourceOptions { recurse: false, links: Links::Follow };
        Self { from, remote, settings, source, owner: None }
    }

    /// Whether a directory is sent with everything below it (parallel-ssh: `recurse`). Default:
    /// `false`, so that a directory is an error.
    pub fn recurse(mut self, recurse: bool) -> Self {
        self.source.recurse = recurse;
        self
    }

    /// What is done with symbolic links. Default: [`Links::Follow`].
    pub fn links(mut self, links: Links) -> Self {
        self.source.links = links;
        self
    }

    /// The permissions of the files, such as `0o644`. Default: those of each local file.
    /// Directories always get those of the local directories.
    pub fn mode(mut self, mode: u32) -> Self {
        self.settings.mode = Some(mode);
        self
    }

    /// Whether copies get the times of access and modification of the local files. Default:
    /// `false`.
    pub fn keep_times(mut self, keep: bool) -> Self {
        self.settings.keep_times = keep;
        self
    }

    /// Whether each file is on the host's disk (`fsync@openssh.com`) before it is renamed to its
    /// target. Default: `false`. A server without that request is an error.
    pub fn sync(mut self, sync: bool) -> Self {
        self.settings.sync = sync;
        self
    }

    /// Whether the target itself is written, without a temporary file: for devices, for directories
    /// that the user may not write to, and to keep a file's owner and its hard links. A transfer
    /// that fails leaves a part of a file. Default: `false`.
    pub fn in_place(mut self, in_place: bool) -> Self {
        self.settings.in_place = in_place;
        self
    }

    /// Whether files are left alone that have the same size and time of modification on the host.
    /// This also sets [`keep_times`](Self::keep_times), without which no copy would ever be the
    /// same again. Default: `false`.
    pub fn skip_same(mut self, skip: bool) -> Self {
        self.settings.skip_same = skip;
        self.settings.keep_times |= skip;
        self
    }

    /// Whether copies are compared with the local files by SHA-256 before they are renamed. With
    /// [`skip_same`](Self::skip_same), files of the same size are compared in this way too, instead
    /// of by their times. The host computes the sums with `sha256sum` or `shasum`, in a command of
    /// its own on the same connection. Default: `false`.
    pub fn checksum(mut self, checksum: bool) -> Self {
        self.settings.checksum = checksum;
        self
    }

    /// Whether a copy that was interrupted goes on where it stopped, if its temporary file is still
    /// there. A cancelled copy then leaves its temporary file. This also sets
    /// [`checksum`](Self::checksum), because only the sum shows that the first part was of the same
    /// file. Default: `false`.
    pub fn resume(mut self, resume: bool) -> Self {
        self.settings.resume = resume;
        self.settings.checksum |= resume;
        self
    }

    /// The owner of the files on the host: a user, or a user and a group, such as `root:adm`. This
    /// needs a put that [`sudo`](crate::Command::sudo) installs. Default: the user that installs.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Whether the directories above the target are created if they are missing. Default: `true`.
    pub fn create_parents(mut self, create: bool) -> Self {
        self.settings.create_parents = create;
        self
    }

    /// Whether the remote path is the target itself, or a directory for it. Default:
    /// [`Placement::Exact`].
    pub fn placement(mut self, placement: Placement) -> Self {
        self.settings.placement = placement;
        self
    }

    /// Whether files, links and directories on the host that the local directory does not have are
    /// deleted after the copy, if all files were copied. Links are deleted and never followed;
    /// temporary files of other puts are left alone.
    /// [`Transferred::deleted`](super::super::Transferred::deleted) counts them. This needs
    /// [`recurse`](Self::recurse). Default: `false`.
    pub fn delete(mut self, delete: bool) -> Self {
        self.settings.delete = delete;
        self
    }

    /// Whether hosts are only looked at: the [outcome](crate::Outcome::Transferred) counts what
    /// would be copied, skipped and deleted, and nothing is changed. Default: `false`.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.settings.dry_run = dry_run;
        self
    }

    pub(in crate::transfer) fn plan(
        &self,
        shared: &mut Shared,
        fill: &mut Fill<'_>,
        is_privileged: bool,
    ) -> Result<PutPlan, PlanProblem> {
        let conflict = |setting, other| Err(PlanProblem::Config(ConfigProblem::Conflict { setting, other }));
        if self.owner.is_some() && !is_privileged {
            return conflict("Put::owner", "a put without sudo");
        }
        if is_privileged && (self.source.recurse || self.settings.in_place) {
            let setting = if self.source.recurse { "Put::recurse" } else { "Put::in_place" };
            return conflict(setting, "sudo");
        }
        if self.settings.delete && !self.source.recurse {
            return conflict("Put::delete", "a put without recurse");
        }
        if self.settings.mode.is_some_and(|mode| mode > 0o7777) {
            let allowed = "at most 0o7777";
            return Err(PlanProblem::Config(ConfigProblem::OutOfRange { setting: "Put::mode", allowed }));
        }
        let remote = path("the remote path of a put", &self.remote, fill)?;
        let (source, local) = match &self.from {
            From::Path(bytes) => {
                let local = local_path(&path("the local path of a put", bytes, fill)?);
                (shared.source(&local, self.source), Some(local))
            }
            From::Bytes(bytes) => (Arc::new(Source::bytes(bytes.clone(), 0o644)), None),
        };
        let name = local.as_deref().and_then(|path| path.file_name());
        let name = name.map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
        if name.is_empty() && self.settings.placement != Placement::Exact {
            return conflict("Put::placement", "a local path without a name");
        }
        let (settings, owner) = (self.settings, self.owner.clone());
        Ok(PutPlan { source, remote, name, settings, is_privileged, owner })
    }
}
