//! Checks of this process's open descriptors. They require a process that runs one test at a time,
//! as under nextest or with `--test-threads=1`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::fstat;

/// The open descriptors, with the targets that `/proc/self/fd` shows: a path, or `socket:[inode]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FdBaseline(BTreeMap<RawFd, PathBuf>);

impl FdBaseline {
    pub fn now() -> Self {
        let own = PathBuf::from(format!("/proc/{}/fd", std::process::id()));
        let mut open = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/fd").expect("/proc/self/fd").flatten() {
            let fd = entry.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number");
            // The listing's own descriptor is open; one without a target is closed again.
            match fs::read_link(entry.path()) {
                Ok(target) if target != own => open.insert(fd, target),
                _ => None,
            };
        }
        Self(open)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn targets(&self) -> impl Iterator<Item = (RawFd, &Path)> {
        self.0.iter().map(|(&fd, target)| (fd, target.as_path()))
    }

    /// # Panics
    /// If any descriptor was opened, closed or replaced since; the message lists them.
    #[track_caller]
    pub fn assert_same(&self) {
        self.assert_same_within(Duration::ZERO);
    }

    /// Like [`Self::assert_same`], while another thread closes some of them.
    #[track_caller]
    pub fn assert_same_within(&self, limit: Duration) {
        let start = Instant::now();
        loop {
            let diff = self.diff(&Self::now());
            if diff.is_empty() {
                return;
            }
            assert!(start.elapsed() < limit, "descriptors differ from the baseline:\n{diff}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn diff(&self, now: &Self) -> String {
        let mut text = String::new();
        for (fd, target) in &self.0 {
            let _ = match now.0.get(fd) {
                Some(same) if same == target => Ok(()),
                Some(other) => writeln!(text, "  {fd}: {} became {}", target.display(), other.display()),
                None => writeln!(text, "  {fd}: {} is closed", target.display()),
            };
        }
        for (fd, target) in now.0.iter().filter(|(fd, _)| !self.0.contains_key(fd)) {
            let _ = writeln!(text, "  {fd}: {} is new", target.display());
        }
        text
    }
}

/// An open file that takes the lowest free descriptor, opened where a second `close` of the same
/// number is suspected: such a close would close the canary.
#[derive(Debug)]
pub struct Canary {
    file: Option<File>,
    /// Device and inode.
    identity: (u64, u64),
}

impl Canary {
    pub fn open() -> Self {
        let file = tempfile::tempfile().expect("temporary file");
        let identity = identity(&file).expect("fstat");
        Self { file: Some(file), identity }
    }

    pub fn fd(&self) -> RawFd {
        self.file.as_ref().map_or(-1, File::as_raw_fd)
    }

    /// # Panics
    /// If the descriptor was closed since, even if its number is in use again.
    #[track_caller]
    pub fn assert_intact(&mut self) {
        let file = self.file.take().expect("not found closed before");
        let now = identity(&file);
        let fd = file.as_raw_fd();
        if now == Some(self.identity) {
            self.file = Some(file);
            return;
        }
        // Closing it would close another owner's descriptor.
        std::mem::forget(file);
        panic!("the canary, descriptor {fd}, was closed: it was {:?}, it is {now:?}", self.identity);
    }
}

/// `None` for a descriptor that is not open.
fn identity(file: &File) -> Option<(u64, u64)> {
    fstat(file).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Constructed, so that threads of other tests do not matter.
    fn baseline(open: &[(RawFd, &str)]) -> FdBaseline {
        FdBaseline(open.iter().map(|&(fd, target)| (fd, target.into())).collect())
    }

    #[test]
    fn the_difference_is_readable() {
        let before = baseline(&[(0, "/dev/null"), (3, "socket:[7]"), (4, "/etc/passwd")]);
        let after = baseline(&[(0, "/dev/null"), (3, "socket:[8]"), (5, "/etc/group")]);
        let expected =
            "  3: socket:[7] became socket:[8]\n  4: /etc/passwd is closed\n  5: /etc/group is new\n";
        assert_eq!(before.diff(&after), expected);
        assert_eq!(before.diff(&before), "");
    }

    #[test]
    fn open_descriptors_are_listed_and_the_listing_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let now = FdBaseline::now();
        let target = now.0.get(&listener.as_raw_fd()).expect("listed");
        assert!(target.to_str().is_some_and(|target| target.starts_with("socket:[")), "{target:?}");
        assert!(now.targets().all(|(_, target)| !target.ends_with("fd")));
        assert_eq!(now.count(), now.0.len());
    }

    #[test]
    fn a_leak_is_found() {
        let mut before = FdBaseline::now();
        before.0.remove(&0);
        let panic = catch_unwind(|| before.assert_same()).expect_err("descriptor 0 is open");
        let message = panic.downcast_ref::<String>().expect("a formatted message");
        assert!(message.contains("  0: ") && message.contains(" is new"), "{message}");
    }

    #[test]
    fn the_canary_notices_that_its_number_was_reused() {
        let mut canary = Canary::open();
        canary.assert_intact();
        // The effect of close(fd) followed by another owner's open().
        let mut number = OwnedFd::from(canary.file.take().expect("open"));
        rustix::io::dup2(File::open("/dev/null").expect("open"), &mut number).expect("dup2");
        canary.file = Some(File::from(number));
        let fd = canary.fd();
        let panic = catch_unwind(AssertUnwindSafe(|| canary.assert_intact())).expect_err("replaced");
        let message = panic.downcast_ref::<String>().expect("a formatted message");
        assert!(message.contains(&format!("descriptor {fd}, was closed")), "{message}");
    }
}
