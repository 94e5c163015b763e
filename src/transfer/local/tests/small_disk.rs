//! A disk that is soon full.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A disk of 256 KiB and 8 files, in a process that mounts it for itself.
pub(in crate::transfer) struct SmallDisk {
    process: Child,
    folder: TempDir,
}

impl SmallDisk {
    /// `None` if the system does not let this user mount one.
    pub(in crate::transfer) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=256k,nr_inodes=8 tmpfs \"$0\" && echo mounted && exec cat";
        let process = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut disk = Self { process: process.ok()?, folder };
        let mut said = String::new();
        BufReader::new(disk.process.stdout.as_mut()?).read_line(&mut said).ok()?;
        (said == "mounted\n").then_some(disk)
    }

    pub(in crate::transfer) fn path(&self) -> PathBuf {
        let path = self.folder.path().strip_prefix("/").unwrap();
        Path::new("/proc").join(self.process.id().to_string()).join("root").join(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok();
    }
}
