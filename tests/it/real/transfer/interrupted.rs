//! Transfers that are cancelled, take too long, lose their connection, or whose local file changes.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sshoal::error::{CancelCause, TransferProblem};
use sshoal::fleet::CommandId;
use sshoal::transfer::{Get, Put};
use sshoal::{Command, Fleet, HostError, HostErrorKind, Outcome};
use tempfile::{TempDir, tempdir};

use super::{names, sshd};
use crate::real::{SLOW, guard, with_key};
use crate::support::fleet::Driven;
use crate::support::sshd::Sshd;

const HOST: &str = "127.0.2.1";

/// Bytes of a file whose copy takes long enough to be interrupted. It has no blocks on the disk.
const SIZE: u64 = 400_000_000;

/// Bytes of a file that changes, which is sent to its end in some cases.
const CHANGED: u64 = 20_000_000;

const OLD: &[u8] = b"the old file";

/// A server, a fleet of one host, a large local file, and a small one in the place of its copy.
struct Fixture {
    sshd: Sshd,
    driven: Driven,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let (sshd, folder) = (sshd().start(), tempdir().expect("a folder"));
        let builder = with_key(Fleet::builder([HOST]).port(sshd.port()).user(sshd.user()), &sshd);
        let driven = Driven::new(builder.known_hosts([sshd.known_hosts([HOST])]).build().expect("a fleet"));
        fs::create_dir(folder.path().join("there")).expect("made");
        fs::write(folder.path().join("there/target"), OLD).expect("written");
        let fixture = Self { sshd, driven, folder };
        fixture.renew(SIZE);
        fixture
    }

    /// Makes a new large file.
    fn renew(&self, size: u64) {
        let _ = fs::remove_file(self.local());
        let file = File::create(self.local()).expect("created");
        file.set_len(size).expect("enough room");
    }

    fn local(&self) -> PathBuf {
        self.folder.path().join("local")
    }

    fn put(&self) -> Put {
        Put::new(self.local(), text(&self.folder.path().join("there/target")))
    }

    /// A get of the large file to where the small one is.
    fn get(&self) -> Get {
        Get::new(text(&self.local()), self.folder.path().join("there/target"))
    }

    /// Starts a transfer, and waits until a part of the file is copied.
    #[track_caller]
    fn begin(&mut self, work: impl Into<Command>) -> CommandId {
        let id = self.driven.fleet.start(work.into()).expect("it starts").commands[0];
        let moves = |driven: &Driven| {
            driven.progress.get(&id).is_some_and(|all| all.iter().any(|done| done.bytes > 0))
        };
        self.driven.until(SLOW, "progress", moves);
        id
    }

    #[track_caller]
    fn failed(&mut self, id: CommandId) -> HostError {
        self.driven.until(SLOW, "the end", |driven| driven.ends.contains_key(&id));
        let Outcome::Failed(error) = &self.driven.ends[&id] else { panic!("{}", self.driven.ends[&id]) };
        let done = self.driven.progress[&id].last().expect("progress");
        assert!(done.files == 0 && done.bytes < SIZE && done.total == SIZE, "{done:?}");
        error.clone()
    }

    /// The old file is there, and nothing else.
    #[track_caller]
    fn assert_untouched(&self, error: &HostError) {
        let there = self.folder.path().join("there");
        // A part file is removed before the outcome is reported.
        assert_eq!(names(&there), ["target"], "{error}");
        assert_eq!(fs::read(there.join("target")).expect("there"), OLD);
        assert_eq!(error.left_over(), [], "{error}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_cancelled_transfer_leaves_nothing() {
    let _dog = guard("transfer_cancel");
    let mut fixture = Fixture::new();
    let works: [Command; 2] = [fixture.put().into(), fixture.get().into()];
    for work in works {
        let id = fixture.begin(work.clone());
        let run = fixture.driven.fleet.command(id).expect("it runs").run();
        fixture.driven.fleet.cancel_run(run);
        let error = fixture.failed(id);
        assert!(matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::RunCancelled)), "{error}");
        fixture.assert_untouched(&error);

        let id = fixture.begin(work.time_limit(Duration::from_millis(700)));
        let error = fixture.failed(id);
        assert!(matches!(error.kind(), HostErrorKind::Timeout { .. }), "{error}");
        fixture.assert_untouched(&error);
    }
    // The connection was used all the time.
    let id = fixture.driven.fleet.start("echo hello").expect("it starts").commands[0];
    fixture.driven.until(SLOW, "a command", |driven| driven.ends.contains_key(&id));
    assert_eq!(fixture.driven.output[&id], b"hello\n");
    assert_eq!(fixture.sshd.count("Accepted publickey"), 1);
}

#[test]
fn a_lost_connection_names_what_is_left() {
    let _dog = guard("transfer_lost");
    let mut fixture = Fixture::new();
    let id = fixture.begin(fixture.put());
    fixture.sshd.daemon().kill_sessions();
    let error = fixture.failed(id);
    let there = fixture.folder.path().join("there");
    let left = there.join(".target.sshoal-1");
    assert_eq!(error.left_over().iter().map(ToString::to_string).collect::<Vec<_>>(), [text(&left)]);
    assert!(error.to_string().contains(text(&left)), "{error}");
    assert_eq!(names(&there), [".target.sshoal-1", "target"]);
    fs::remove_file(left).expect("removed");

    for _ in 0..5 {
        let id = fixture.begin(fixture.get());
        fixture.sshd.daemon().kill_sessions();
        let error = fixture.failed(id);
        fixture.assert_untouched(&error);
    }
}

#[test]
fn a_get_of_a_host_that_is_removed_ends_and_leaves_nothing() {
    let _dog = guard("transfer_removed");
    let mut fixture = Fixture::new();
    let id = fixture.begin(fixture.get());
    let host = fixture.driven.fleet.command(id).expect("it runs").host();
    assert!(fixture.driven.fleet.remove_host(host));
    let command = fixture.driven.fleet.command(id).expect("its part file is left");
    assert!(!command.is_finished() && command.outcome().is_none());
    let error = fixture.failed(id);
    fixture.assert_untouched(&error);
}

#[test]
fn a_fleet_that_is_dropped_leaves_no_part_file() {
    let _dog = guard("transfer_dropped");
    for _ in 0..5 {
        let mut fixture = Fixture::new();
        fixture.begin(fixture.get());
        let Fixture { driven, folder, .. } = fixture;
        drop(driven);
        assert_eq!(names(&folder.path().join("there")), ["target"]);
    }
}

type Change = (&'static str, fn(&Path));

/// What happens to a local file while it is sent.
const CHANGES: [Change; 4] = [
    ("appended", |path| {
        File::options().append(true).open(path).expect("opened").write_all(b"x").expect("written");
    }),
    ("cut", |path| {
        File::options().write(true).open(path).expect("opened").set_len(CHANGED / 2).expect("cut")
    }),
    ("overwritten", |path| {
        File::options().write(true).open(path).expect("opened").write_all_at(b"x", 5).expect("written");
    }),
    ("replaced", |path| {
        let new = path.with_extension("new");
        File::create(&new).expect("created").set_len(CHANGED).expect("enough room");
        fs::rename(new, path).expect("renamed");
    }),
];

#[test]
fn a_local_file_that_changes_replaces_nothing() {
    let _dog = guard("transfer_changes");
    let mut fixture = Fixture::new();
    for (name, change) in CHANGES {
        fixture.renew(CHANGED);
        let id = fixture.begin(fixture.put());
        change(&fixture.local());
        let error = fixture.failed_late(id);
        let HostErrorKind::Transfer(TransferProblem::LocalFileChanged { path, .. }) = error.kind() else {
            panic!("{name}: {error}")
        };
        assert_eq!(*path, fixture.local(), "{name}");
        fixture.assert_untouched(&error);
    }
}

impl Fixture {
    /// As [`failed`](Self::failed), after the whole file was sent or not.
    #[track_caller]
    fn failed_late(&mut self, id: CommandId) -> HostError {
        self.driven.until(SLOW * 3, "the end", |driven| driven.ends.contains_key(&id));
        match &self.driven.ends[&id] {
            Outcome::Failed(error) => error.clone(),
            other => panic!("{other}"),
        }
    }
}
