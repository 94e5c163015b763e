//! How a get is described.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::GetPlan;
use super::name::{self, Template};
use crate::error::ConfigProblem;
use crate::limits;
use crate::transfer::local::{Links, TargetOptions};
use crate::transfer::plan::{Fill, PlanProblem, Shared, path};

/// Fetches a file or a directory from hosts (parallel-ssh: `copy_remote_file`, `scp_recv`).
///
/// Each host's copy has a path of its own, which the placeholders `{host}`, `{name}` and `{path}`
/// in the local path make. A copy is written under a temporary name beside its path, such as
/// `.app.log.sshoal-5e884898da280471`; its size is compared, and it is renamed. So what is there is
/// the old file or the new one, never a part of one.
///
/// From a server without SFTP, a single file is fetched by `scp -f` there, unless
/// [`recurse`](Self::recurse) or [`resume`](Self::resume) is set. That such a file grows or is
/// written to meanwhile is not noticed, only that it becomes shorter.
///
/// A host is trusted for nothing: names that lead out of the local directory, links that do, and
/// devices are refused, and no link in the local directory is followed.
///
/// ```
/// use sshoal::transfer::Get;
/// use sshoal::{Command, Run};
///
/// // logs/web1/syslog, logs/web2/syslog …
/// let log = Get::new("/var/log/syslog", "logs/{host}/{name}").growing(true);
/// // A directory, with the times and permissions of its files.
/// let site = Get::new("/srv/www", "backup/{host}/").recurse(true).preserve(true);
/// // Another file of each of two hosts.
/// let keys = Command::from(Get::new("/etc/app/%s.pem", "keys/{host}.pem"))
///     .host_args(["web1", "web2"]);
/// # let _ = (Command::from(log), Run::new(site), keys);
/// ```
///
/// # Errors
/// A get that fails on a host has the outcome [`Failed`](crate::Outcome::Failed) with a
/// [`TransferProblem`](crate::error::TransferProblem). If single files of a directory cannot be
/// fetched, all others are, and the problem is
/// [`Incomplete`](crate::error::TransferProblem::Incomplete).
#[derive(Debug, Clone)]
#[must_use = "a get does nothing until it is run"]
pub struct Get {
    remote: Vec<u8>,
    local: Vec<u8>,
    pub(super) settings: Settings,
}

/// How files are fetched, in the same way from all hosts.
#[derive(Debug, Clone, Copy)]
pub(in crate::transfer) struct Settings {
    pub target: TargetOptions,
    pub recurse: bool,
    pub links: Links,
    pub growing: bool,
    pub max_entries: u64,
    pub max_depth: usize,
    pub max_bytes: u64,
}

impl Get {
    /// Fetches the file or directory at this path on each host to this local path. A remote path
    /// that does not begin with a slash is relative to the home directory of the user.
    ///
    /// In the local path, `{host}` is the host as the host list names it, `{name}` the last
    /// component of the remote path, and `{path}` the whole remote path without a slash at its
    /// start. Braces are doubled to stand for themselves. A local path that ends with a slash is
    /// that of a directory, and the copy in it has the name of the remote path. Missing directories
    /// are created. If two hosts have the same local path, the second one fails with
    /// [`LocalProblem::Claimed`](crate::error::LocalProblem::Claimed).
    /// This happens to hosts that differ only in their ports, too: give each of them a value of its
    /// own for the path.
    ///
    /// Both paths may have the placeholders of
    /// [`Command::host_args`](crate::Command::host_args), if values are given.
    pub fn new(remote: impl Into<Vec<u8>>, local: impl Into<PathBuf>) -> Self {
        let local = OsString::from(local.into()).into_vec();
        let settings = Settings {
            target: TargetOptions { overwrite: true, ..TargetOptions::default() },
            recurse: false,
            links: Links::Follow,
            growing: false,
            max_entries: limits::GET_ENTRIES,
            max_depth: limits::TRANSFER_DEPTH,
            max_bytes: u64::MAX,
        };
        Self { remote: remote.into(), local, settings }
    }

    /// As [`new`](Self::new), but the name of the host is appended to the local path after this
    /// separator (parallel-ssh: `suffix_separator`), and braces in the path stand for themselves.
    pub fn with_suffix(remote: impl Into<Vec<u8>>, local: impl Into<PathBuf>, separator: &str) -> Self {
        let mut get = Self::new(remote, local);
        get.local = [&name::escape(&get.local)[..], &name::escape(separator.as_bytes()), b"{host}"].concat();
        get
    }

    /// Whether a directory is fetched with everything below it (parallel-ssh: `recurse`). Default:
    /// `false`, so that a directory is an error.
    pub fn recurse(mut self, recurse: bool) -> Self {
        self.settings.recurse = recurse;
        self
    }

    /// What is done with symbolic links in a directory. The remote path itself is always followed.
    /// Links that are copied must lead to places in the directory, and only names may follow after
    /// `..`. Default: [`Links::Follow`].
    pub fn links(mut self, links: Links) -> Self {
        self.settings.links = links;
        self
    }

    /// Whether copies get exactly the permissions of the files on the host, and their times.
    /// Otherwise they get the permissions that the umask allows, and the current time. Default:
    /// `false`.
    pub fn preserve(mut self, preserve: bool) -> Self {
        self.settings.target.preserve = preserve;
        self
    }

    /// Whether files that exist are replaced. Otherwise, they are an error. Default: `true`.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.settings.target.overwrite = overwrite;
        self
    }

    /// Whether files are left alone that exist with the same size and time of modification. Copies
    /// get the times of the files on the host, without which no copy would ever be the same again.
    /// Default: `false`.
    pub fn skip_same(mut self, skip: bool) -> Self {
        self.settings.target.skip_same = skip;
        self
    }

    /// Whether a copy that was interrupted is continued, if the file on the host has the same size
    /// and time of modification. What an interrupted copy leaves behind is kept for that, under a
    /// name such as `.app.log.sshoal-2f00-67a1b2c3`. Default: `false`.
    pub fn resume(mut self, resume: bool) -> Self {
        self.settings.target.resume = resume;
        self
    }

    /// Whether each copy is on the disk of this machine before it counts as fetched. Default:
    /// `false`.
    pub fn sync(mut self, sync: bool) -> Self {
        self.settings.target.fsync = sync;
        self
    }

    /// Whether files may grow while they are fetched, as logs do. The copy has what was there at
    /// the start. Default: `false`, so that a file that grows is an error.
    pub fn growing(mut self, growing: bool) -> Self {
        self.settings.growing = growing;
        self
    }

    /// The largest number of files, directories and links that are fetched from a host. Default:
    /// 100,000.
    pub fn max_entries(mut self, max: u64) -> Self {
        self.settings.max_entries = max;
        self
    }

    /// How many levels of directories are fetched, at most 64. Default: 64.
    pub fn max_depth(mut self, max: usize) -> Self {
        self.settings.max_depth = max;
        self
    }

    /// The largest number of bytes that are fetched from a host. Default: no limit.
    pub fn max_bytes(mut self, max: u64) -> Self {
        self.settings.max_bytes = max;
        self
    }

    pub(in crate::transfer) fn plan(
        &self,
        shared: &mut Shared,
        fill: &mut Fill<'_>,
        is_privileged: bool,
    ) -> Result<GetPlan, PlanProblem> {
        if is_privileged {
            let (setting, other) = ("a get", "sudo or run_as");
            return Err(PlanProblem::Config(ConfigProblem::Conflict { setting, other }));
        }
        if self.settings.max_depth > limits::TRANSFER_DEPTH {
            let allowed = "at most 64";
            return Err(PlanProblem::Config(ConfigProblem::OutOfRange {
                setting: "Get::max_depth",
                allowed,
            }));
        }
        let remote = path("the remote path of a get", &self.remote, fill)?;
        let setting = "the local path of a get";
        let local = path(setting, &self.local, fill)?;
        let template = Template::parse(&local).map_err(|problem| {
            let value = String::from_utf8_lossy(&local).into_owned();
            PlanProblem::Config(ConfigProblem::Invalid { setting, value, problem: problem.to_owned() })
        })?;
        if template.needs_name() && name::name_of(&remote).is_none() {
            let needs = "a remote path whose last component is a name";
            return Err(PlanProblem::Config(ConfigProblem::Missing { setting, needs }));
        }
        Ok(GetPlan { remote, local: template, settings: self.settings, claims: shared.claims.clone() })
    }
}
