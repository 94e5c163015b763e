//! What is copied to hosts: one file, one directory, or bytes.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::iter;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};

use super::chunks::{Chunks, Run};
use super::listing::{Entry, EntryKind, Identity, Links, Listing};
use super::{FileAnswer, FileJob, walk};
use crate::error::LocalProblem;
use crate::ids::CommandId;
use crate::limits;

/// What is copied, shared by the hosts that it is copied to. A source is listed once and read in
/// that state, so each run needs a source of its own.
#[derive(Debug)]
pub(crate) struct Source {
    origin: Origin,
    listing: OnceLock<Result<Arc<Listing>, LocalProblem>>,
    /// Held while the source is listed, which may take long. The fleet's thread never takes it.
    listed: Mutex<()>,
    chunks: Mutex<Chunks>,
    /// How many hosts read.
    readers: AtomicUsize,
    /// The checksums that were computed, by the positions of their files in the listing.
    sums: Mutex<HashMap<usize, [u8; 32]>>,
    /// The files that were opened last, by their positions in the listing.
    files: Mutex<VecDeque<(usize, Arc<File>)>>,
}

#[derive(Debug)]
enum Origin {
    Path(PathBuf, SourceOptions),
    Bytes(Arc<[u8]>, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct SourceOptions {
    /// Whether a directory is copied, with everything in it. Otherwise it is refused.
    pub recurse: bool,
    pub links: Links,
}

impl Source {
    pub(crate) fn path(path: PathBuf, options: SourceOptions) -> Self {
        Self::new(Origin::Path(path, options))
    }

    /// A file with these contents and permission bits.
    pub(crate) fn bytes(bytes: Arc<[u8]>, mode: u32) -> Self {
        Self::new(Origin::Bytes(bytes, mode))
    }

    fn new(origin: Origin) -> Self {
        Self {
            origin,
            listing: OnceLock::new(),
            listed: Mutex::default(),
            chunks: Mutex::default(),
            readers: AtomicUsize::new(0),
            sums: Mutex::default(),
            files: Mutex::default(),
        }
    }

    /// Whether directories are copied.
    pub(crate) fn is_recursive(&self) -> bool {
        matches!(&self.origin, Origin::Path(_, options) if options.recurse)
    }

    /// Where the source is; empty for bytes.
    pub(crate) fn root(&self) -> &Path {
        match &self.origin {
            Origin::Path(path, _) => path,
            Origin::Bytes(..) => Path::new(""),
        }
    }

    /// Begins to read on behalf of a host. The number of readers decides how far each reads ahead.
    pub(crate) fn reader(self: &Arc<Self>, asker: CommandId) -> Reader {
        self.readers.fetch_add(1, Ordering::Relaxed);
        Reader { source: self.clone(), asker }
    }

    fn entry(&self, file: usize) -> Option<Entry> {
        self.listing.get()?.as_ref().ok()?.entries.get(file).cloned()
    }

    fn size(&self, file: usize) -> u64 {
        let listing = self.listing.get().and_then(|listing| listing.as_ref().ok());
        listing.and_then(|listing| listing.entries.get(file)).map_or(0, Entry::size)
    }
}

/// One host's access to a source.
#[derive(Debug)]
pub(crate) struct Reader {
    source: Arc<Source>,
    asker: CommandId,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.source.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reader {
    /// Returns the chunk of a file at `offset`, a multiple of [`limits::CHUNK`] below the file's
    /// size. `file` is a position in the listing. If the chunk is not in memory, returns `None`,
    /// and [`FileAnswer::Chunk`] has it later. Adds the reads that have to be done to `jobs`. Never
    /// waits.
    ///
    /// To ask for one chunk at a time is best: what is near is read ahead, and what was asked for
    /// stays in memory until the answer is taken.
    pub(crate) fn chunk(&self, file: usize, offset: u64, jobs: &mut Vec<FileJob>) -> Option<Arc<[u8]>> {
        let size = self.source.size(file);
        debug_assert!(offset.is_multiple_of(limits::CHUNK as u64) && offset < size);
        let number = offset / limits::CHUNK as u64;
        if let Origin::Bytes(bytes, _) = &self.source.origin {
            return Some(self.source.chunk_of_bytes(bytes, number));
        }
        let end = size.div_ceil(limits::CHUNK as u64);
        let mut chunks = lock(&self.source.chunks);
        let (chunk, run) = chunks.take((file, number), end, self.longest_run(), self.asker);
        drop(chunks);
        if let Some(Run { first, count }) = run {
            jobs.push(FileJob::Read { source: self.source.clone(), file, first, count });
        }
        chunk
    }

    /// A reader has two runs in memory: one that it takes from, and one ahead.
    fn longest_run(&self) -> u64 {
        let chunks = limits::CHUNK_CACHE / (limits::CHUNK + limits::CHUNK_OVERHEAD);
        let readers = self.source.readers.load(Ordering::Relaxed).max(1);
        ((chunks / (2 * readers)) as u64).clamp(1, limits::CHUNK_RUN)
    }
}

/// What a thread does with a source.
impl Source {
    pub(super) fn list(&self) -> Result<Arc<Listing>, LocalProblem> {
        let _listed = lock(&self.listed);
        let listing = self.listing.get_or_init(|| match &self.origin {
            Origin::Path(path, options) => walk::list(path, *options).map(Arc::new),
            Origin::Bytes(bytes, mode) => Ok(Arc::new(listing_of_bytes(bytes, *mode))),
        });
        listing.clone()
    }

    pub(super) fn check(&self, file: usize) -> Result<(), LocalProblem> {
        let Some(Entry { identity: Some(identity), .. }) = self.entry(file) else { return Ok(()) };
        let path = self.path_of(file);
        let looked = if self.follows(file) { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
        match looked {
            Ok(metadata) if Identity::of(&metadata) == identity => Ok(()),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(LocalProblem::io("look again at", path, e)),
            _ => Err(LocalProblem::Changed { path }),
        }
    }

    /// Computes the SHA-256 of a file once. Another thread that wants a checksum waits meanwhile.
    pub(super) fn hash(&self, file: usize) -> Result<[u8; 32], LocalProblem> {
        let mut sums = lock(&self.sums);
        if let Some(sum) = sums.get(&file) {
            return Ok(*sum);
        }
        let sum = match &self.origin {
            Origin::Bytes(bytes, _) => Sha256::digest(bytes),
            Origin::Path(..) => {
                let opened = self.open(file)?;
                let mut hash = Sha256::new();
                let mut buffer = vec![0; 8 * limits::CHUNK];
                let mut offset = 0;
                loop {
                    match opened.read_at(&mut buffer, offset) {
                        Ok(0) => break hash.finalize(),
                        Ok(read) => {
                            hash.update(&buffer[..read]);
                            offset += read as u64;
                        }
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(LocalProblem::io("read", self.path_of(file), e)),
                    }
                }
            }
        };
        sums.insert(file, sum.into());
        Ok(sum.into())
    }

    pub(super) fn read(&self, file: usize, first: u64, count: u64) -> Vec<(CommandId, FileAnswer)> {
        let opened = match self.open(file) {
            Ok(opened) => opened,
            Err(problem) => return self.read_failed(file, first, count, problem),
        };
        let size = self.size(file);
        let mut answers = Vec::new();
        for number in first..first + count {
            let offset = number * limits::CHUNK as u64;
            match self.read_chunk(file, &opened, offset, size) {
                Ok(bytes) => {
                    let askers = lock(&self.chunks).finish((file, number), Some(&bytes));
                    let answer =
                        |asker| (asker, FileAnswer::Chunk { file, offset, bytes: Ok(bytes.clone()) });
                    answers.extend(askers.into_iter().map(answer));
                }
                Err(problem) => {
                    answers.extend(self.read_failed(file, number, first + count - number, problem));
                    break;
                }
            }
        }
        answers
    }

    pub(super) fn read_failed(
        &self,
        file: usize,
        first: u64,
        count: u64,
        problem: LocalProblem,
    ) -> Vec<(CommandId, FileAnswer)> {
        let mut answers = Vec::new();
        for number in first..first + count {
            let offset = number * limits::CHUNK as u64;
            let askers = lock(&self.chunks).finish((file, number), None);
            let answer = |asker| (asker, FileAnswer::Chunk { file, offset, bytes: Err(problem.clone()) });
            answers.extend(askers.into_iter().map(answer));
        }
        answers
    }

    fn read_chunk(
        &self,
        file: usize,
        opened: &File,
        offset: u64,
        size: u64,
    ) -> Result<Arc<[u8]>, LocalProblem> {
        let length = size.saturating_sub(offset).min(limits::CHUNK as u64) as usize;
        let mut bytes: Arc<[u8]> = iter::repeat_n(0, length).collect();
        let Some(buffer) = Arc::get_mut(&mut bytes) else { return Ok(bytes) };
        match opened.read_exact_at(buffer, offset) {
            Ok(()) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(LocalProblem::Changed { path: self.path_of(file) })
            }
            Err(e) => Err(LocalProblem::io("read", self.path_of(file), e)),
        }
    }

    fn open(&self, file: usize) -> Result<Arc<File>, LocalProblem> {
        let mut files = lock(&self.files);
        if let Some(at) = files.iter().position(|(known, _)| *known == file)
            && let Some(found) = files.remove(at)
        {
            let opened = found.1.clone();
            files.push_back(found);
            return Ok(opened);
        }
        let path = self.path_of(file);
        // A pipe in the place of the file must not block the thread.
        let link = if self.follows(file) { OFlag::empty() } else { OFlag::O_NOFOLLOW };
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | link;
        let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(&path);
        let opened = opened.map_err(|e| LocalProblem::io("open", &path, e))?;
        let metadata = opened.metadata().map_err(|e| LocalProblem::io("look at", &path, e))?;
        if self.entry(file).and_then(|entry| entry.identity) != Some(Identity::of(&metadata)) {
            return Err(LocalProblem::Changed { path });
        }
        let opened = Arc::new(opened);
        files.push_back((file, opened.clone()));
        if files.len() > limits::SOURCE_FILES {
            files.pop_front();
        }
        Ok(opened)
    }

    fn path_of(&self, file: usize) -> PathBuf {
        match self.entry(file) {
            Some(entry) if !entry.path.is_empty() => self.root().join(OsStr::from_bytes(&entry.path)),
            _ => self.root().to_owned(),
        }
    }

    fn follows(&self, file: usize) -> bool {
        match self.origin {
            Origin::Path(_, options) => options.links == Links::Follow || file == 0,
            Origin::Bytes(..) => false,
        }
    }

    fn chunk_of_bytes(&self, bytes: &Arc<[u8]>, number: u64) -> Arc<[u8]> {
        let Some(chunk) = bytes.chunks(limits::CHUNK).nth(number as usize) else { return Arc::default() };
        if chunk.len() == bytes.len() {
            return bytes.clone();
        }
        let mut chunks = lock(&self.chunks);
        chunks.get_or_keep((0, number), || chunk.into())
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize, usize) {
        lock(&self.chunks).held()
    }

    #[cfg(test)]
    pub(super) fn open_files(&self) -> usize {
        lock(&self.files).len()
    }
}

fn listing_of_bytes(bytes: &[u8], mode: u32) -> Listing {
    let size = bytes.len() as u64;
    let kind = EntryKind::File { size };
    Listing {
        entries: vec![Entry { path: Vec::new(), kind, mode, times: None, identity: None }],
        bytes: size,
        missing: None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
