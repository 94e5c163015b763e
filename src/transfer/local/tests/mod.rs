//! Real files in temporary directories.

mod chunks;
mod full;
mod hostile;
mod listing;
pub(in crate::transfer) mod small_disk;
mod target;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use nix::unistd::{Uid, geteuid, setfsuid};
use tempfile::TempDir;

use super::*;
use crate::limits;

fn id(number: usize) -> CommandId {
    CommandId::new(number, 0)
}

/// Runs a job that has one answer.
#[track_caller]
fn answer(job: FileJob) -> FileAnswer {
    let mut answers = job.run();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0).1
}

fn host_path(path: &str) -> HostPath {
    path.split('/').map(|name| name.as_bytes().to_vec()).collect()
}

/// Contents that differ at each place.
fn contents(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// Does this without root's rights to read what nobody may read. They belong to a thread.
pub(in crate::transfer) fn without_rights<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let work = || {
        if geteuid().is_root() {
            setfsuid(Uid::from_raw(65_534));
        }
        work()
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// The names in a directory, hidden ones too.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The hosts' side of a target in a directory of its own.
struct Rig {
    folder: TempDir,
    /// Another directory in its place.
    root: Option<PathBuf>,
    options: TargetOptions,
    claims: Arc<Claims>,
}

impl Rig {
    fn new() -> Self {
        let options = TargetOptions { overwrite: true, ..TargetOptions::default() };
        Self { folder: tempfile::tempdir().unwrap(), root: None, options, claims: Arc::default() }
    }

    fn with(change: impl FnOnce(&mut TargetOptions)) -> Self {
        let mut rig = Self::new();
        change(&mut rig.options);
        rig
    }

    fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or(self.folder.path())
    }

    /// The next run.
    fn run(&mut self) {
        self.claims = Arc::default();
    }

    fn target(&self) -> Arc<Target> {
        Arc::new(Target::new(self.root().to_owned(), self.options, self.claims.clone()))
    }

    fn try_begin(&self, path: &str, file: NewFile) -> Result<Begun, LocalProblem> {
        self.begin_at(host_path(path), file)
    }

    fn begin_at(&self, path: HostPath, file: NewFile) -> Result<Begun, LocalProblem> {
        match answer(FileJob::Begin { target: self.target(), tag: 7, path, file, asker: id(1) }) {
            FileAnswer::Begun { tag: 7, result } => result,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn begin(&self, path: &str, size: usize) -> Arc<Part> {
        match self.try_begin(path, NewFile { size: size as u64, ..NewFile::default() }) {
            Ok(Begun::Part { part, resume_at: 0 }) => part,
            other => panic!("{other:?}"),
        }
    }

    fn make(&self, path: HostPath) -> Result<bool, LocalProblem> {
        made(FileJob::MakeDirectory { target: self.target(), tag: 8, path, asker: id(1) })
    }

    fn link(&self, path: &str, leads_to: &str) -> Result<bool, LocalProblem> {
        let (path, leads_to) = (host_path(path), leads_to.as_bytes().to_vec());
        made(FileJob::MakeLink { target: self.target(), tag: 8, path, leads_to, asker: id(1) })
    }
}

fn made(job: FileJob) -> Result<bool, LocalProblem> {
    match answer(job) {
        FileAnswer::Made { tag: 8, result } => result,
        other => panic!("{other:?}"),
    }
}

fn write(part: &Arc<Part>, offset: u64, bytes: &[u8]) -> Result<(), LocalProblem> {
    let pieces = vec![(offset, bytes.to_vec())];
    match answer(FileJob::Write { part: part.clone(), tag: 9, pieces, asker: id(1) }) {
        FileAnswer::Written { tag: 9, bytes: count, result } if count == bytes.len() => result,
        other => panic!("{other:?}"),
    }
}

fn finish(part: &Arc<Part>, file: NewFile) -> Result<(), LocalProblem> {
    match answer(FileJob::Finish { part: part.clone(), tag: 9, file, asker: id(1) }) {
        FileAnswer::Finished { tag: 9, result } => result,
        other => panic!("{other:?}"),
    }
}

fn sized(size: usize) -> NewFile {
    NewFile { size: size as u64, ..NewFile::default() }
}

fn abandon(part: &Arc<Part>, keep: bool) {
    let answers = FileJob::Abandon { part: part.clone(), keep, asker: id(1) }.run();
    assert!(matches!(answers[..], [(_, FileAnswer::Abandoned)]));
}

/// Writes a whole file.
#[track_caller]
fn put(rig: &Rig, path: &str, bytes: &[u8]) {
    let part = rig.begin(path, bytes.len());
    write(&part, 0, bytes).unwrap();
    finish(&part, sized(bytes.len())).unwrap();
}
