//! Reading a source for many hosts.

use super::*;

const CHUNK: usize = limits::CHUNK;

/// A source of one file, listed.
fn source(length: usize) -> (TempDir, Arc<Source>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, contents(length)).unwrap();
    let source = Arc::new(Source::path(path, SourceOptions::default()));
    source.list().unwrap();
    (folder, source)
}

/// The runs that the jobs read.
fn runs(jobs: &[FileJob]) -> Vec<(u64, u64)> {
    let run = |job: &FileJob| match job {
        FileJob::Read { first, count, .. } => (*first, *count),
        other => panic!("{other:?}"),
    };
    jobs.iter().map(run).collect()
}

/// Who asked, where, and what was read.
type Read = (usize, u64, Result<Arc<[u8]>, LocalProblem>);

/// The chunks of all answers.
fn serve(jobs: Vec<FileJob>) -> Vec<Read> {
    let answers = jobs.into_iter().flat_map(Job::run);
    let chunk = |(asker, answer): (CommandId, FileAnswer)| match answer {
        FileAnswer::Chunk { file: 0, offset, bytes } => (asker.index(), offset, bytes),
        other => panic!("{other:?}"),
    };
    answers.map(chunk).collect()
}

/// Reads a whole file through one reader. Returns it with the number of reads.
fn read_all(reader: &Reader, length: usize) -> (Vec<u8>, usize) {
    let (mut all, mut reads) = (Vec::new(), 0);
    for offset in (0..length).step_by(CHUNK) {
        let mut jobs = Vec::new();
        let chunk = reader.chunk(0, offset as u64, &mut jobs);
        reads += jobs.len();
        let answers = serve(jobs);
        let answered = answers.into_iter().find(|(_, at, _)| *at == offset as u64);
        let chunk = chunk.or_else(|| Some(answered?.2.unwrap()));
        all.extend_from_slice(&chunk.expect("neither in memory nor answered"));
    }
    (all, reads)
}

#[test]
fn a_file_is_read_in_runs_and_comes_out_whole() {
    let length = 20 * CHUNK + 5;
    let (_folder, source) = source(length);
    let reader = source.reader(id(1));
    let (all, reads) = read_all(&reader, length);
    assert!(all == contents(length));
    assert_eq!(reads, 3);
}

#[test]
fn hosts_that_are_near_each_other_share_one_read() {
    let length = 20 * CHUNK;
    let (_folder, source) = source(length);
    let readers: Vec<_> = (0..10).map(|number| source.reader(id(number))).collect();
    let mut jobs = Vec::new();
    for reader in &readers {
        assert!(reader.chunk(0, 0, &mut jobs).is_none());
    }
    // Repeated while it waits.
    assert!(readers[0].chunk(0, 0, &mut jobs).is_none());
    assert_eq!(runs(&jobs), [(0, 8)]);
    let answers = serve(jobs);
    assert_eq!(answers.len(), 10);
    let first = answers[0].2.as_ref().unwrap();
    for (number, (asker, offset, bytes)) in answers.iter().enumerate() {
        assert_eq!((*asker, *offset), (number, 0));
        assert!(Arc::ptr_eq(bytes.as_ref().unwrap(), first));
    }
    let reads: usize = readers.iter().map(|reader| read_all(reader, length).1).sum();
    assert_eq!(reads, 2, "the second and third run, once each");
}

#[test]
fn a_lone_reader_reads_a_run_ahead() {
    let (_folder, source) = source(40 * CHUNK);
    let reader = source.reader(id(1));
    let mut jobs = Vec::new();
    reader.chunk(0, 0, &mut jobs);
    serve(jobs);
    let mut jobs = Vec::new();
    assert!(reader.chunk(0, 0, &mut jobs).is_some());
    assert_eq!(runs(&jobs), [(8, 8)]);
    // The run that is on its way is not started again.
    assert!(reader.chunk(0, CHUNK as u64, &mut jobs).is_some());
    assert_eq!(jobs.len(), 1);
}

#[test]
fn a_run_ends_before_what_is_known() {
    let (_folder, source) = source(40 * CHUNK);
    let reader = source.reader(id(1));
    let mut jobs = Vec::new();
    reader.chunk(0, 12 * CHUNK as u64, &mut jobs);
    reader.chunk(0, 8 * CHUNK as u64, &mut jobs);
    assert_eq!(runs(&jobs), [(12, 8), (8, 4)]);
    serve(jobs);
    let mut jobs = Vec::new();
    reader.chunk(0, 5 * CHUNK as u64, &mut jobs);
    assert_eq!(runs(&jobs), [(5, 3)]);
}

#[test]
fn with_many_readers_each_reads_only_what_it_needs() {
    let (_folder, source) = source(40 * CHUNK);
    let readers: Vec<_> = (0..1000).map(|number| source.reader(id(number))).collect();
    let mut jobs = Vec::new();
    readers[0].chunk(0, 0, &mut jobs);
    assert_eq!(runs(&jobs), [(0, 1)]);
    serve(jobs);
    let mut jobs = Vec::new();
    assert!(readers[0].chunk(0, 0, &mut jobs).is_some());
    assert_eq!(runs(&jobs), []);
    drop(readers);
    let reader = source.reader(id(1));
    reader.chunk(0, 8 * CHUNK as u64, &mut jobs);
    assert_eq!(runs(&jobs), [(8, 8)]);
}

#[test]
fn memory_is_bounded_and_what_was_evicted_is_read_again() {
    let length = (limits::CHUNK_CACHE / CHUNK + 64) * CHUNK;
    let (_folder, source) = source(length);
    let reader = source.reader(id(1));
    assert!(read_all(&reader, length).0 == contents(length));
    let (_, bytes, reading) = source.held();
    assert!(bytes <= limits::CHUNK_CACHE, "{bytes}");
    assert_eq!(reading, 0);
    let mut jobs = Vec::new();
    assert!(reader.chunk(0, 0, &mut jobs).is_none());
    assert_eq!(runs(&jobs), [(0, 8)]);
    // The last ones are still there.
    assert!(reader.chunk(0, (length - CHUNK) as u64, &mut Vec::new()).is_some());
}

#[test]
fn an_answer_has_its_chunk_even_if_that_was_evicted_since() {
    let length = limits::CHUNK_CACHE + 64 * CHUNK;
    let (_folder, source) = source(length);
    let (slow, fast) = (source.reader(id(1)), source.reader(id(2)));
    let mut jobs = Vec::new();
    slow.chunk(0, 0, &mut jobs);
    let answers = serve(jobs);
    read_all(&fast, length);
    assert!(slow.chunk(0, 0, &mut Vec::new()).is_none(), "not evicted");
    assert!(answers[0].2.as_ref().unwrap()[..] == contents(CHUNK)[..]);
}

#[test]
fn tiny_files_do_not_fill_memory() {
    let mut chunks = super::super::chunks::Chunks::default();
    for number in 0..100_000 {
        chunks.get_or_keep((number, 0), || [1].into());
    }
    let (count, bytes, _) = chunks.held();
    assert!(bytes <= limits::CHUNK_CACHE && count < 70_000, "{count} chunks, {bytes} bytes");
}

#[test]
fn a_file_that_became_shorter_fails_those_who_need_the_rest() {
    let (folder, source) = source(30 * CHUNK);
    let (first, second) = (source.reader(id(1)), source.reader(id(2)));
    read_all(&first, 2 * CHUNK);
    let file = fs::File::options().write(true).open(folder.path().join("file")).unwrap();
    file.set_len(29 * CHUNK as u64 + 1).unwrap();
    let mut jobs = Vec::new();
    assert!(first.chunk(0, 29 * CHUNK as u64, &mut jobs).is_none());
    assert!(second.chunk(0, 29 * CHUNK as u64, &mut jobs).is_none());
    let answers = serve(jobs);
    assert_eq!(answers.len(), 2);
    for (_, _, bytes) in answers {
        assert!(matches!(bytes, Err(LocalProblem::Changed { .. })), "{bytes:?}");
    }
    assert_eq!(source.held().2, 0, "someone would wait for ever");
}

#[test]
fn a_file_that_was_replaced_or_changed_before_it_is_opened_is_not_sent() {
    for change in [replace as fn(&Path), touch] {
        let (folder, source) = source(10);
        change(&folder.path().join("file"));
        let mut jobs = Vec::new();
        source.reader(id(1)).chunk(0, 0, &mut jobs);
        let answers = serve(jobs);
        let bytes = &answers[0].2;
        assert!(matches!(bytes, Err(LocalProblem::Changed { .. })), "{bytes:?}");
    }
}

fn replace(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    let other = path.with_extension("new");
    fs::write(&other, contents(10)).unwrap();
    let file = fs::File::options().write(true).open(&other).unwrap();
    file.set_modified(metadata.modified().unwrap()).unwrap();
    fs::rename(other, path).unwrap();
}

fn touch(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn grow(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(11).unwrap();
    file.set_modified(modified).unwrap();
}

#[test]
fn a_check_finds_each_change() {
    let check =
        |source: &Arc<Source>| match answer(FileJob::Check { source: source.clone(), file: 0, asker: id(1) })
        {
            FileAnswer::Checked { file: 0, result } => result,
            other => panic!("{other:?}"),
        };
    for change in [replace as fn(&Path), touch, remove, grow] {
        let (folder, source) = source(10);
        read_all(&source.reader(id(1)), 10);
        check(&source).unwrap();
        change(&folder.path().join("file"));
        let text = check(&source).unwrap_err().to_string();
        assert!(
            text.ends_with("/file has changed while it was copied; copy it again when nothing writes to it"),
            "{text}"
        );
    }
}

#[test]
fn few_descriptors_stay_open_for_many_files() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..30 {
        fs::write(folder.path().join(format!("{number:02}")), [number]).unwrap();
    }
    let options = SourceOptions { recurse: true, links: Links::Copy };
    let source = Arc::new(Source::path(folder.path().to_owned(), options));
    source.list().unwrap();
    let reader = source.reader(id(1));
    for file in 1..=30 {
        let mut jobs = Vec::new();
        assert!(reader.chunk(file, 0, &mut jobs).is_none());
        let answers: Vec<_> = jobs.into_iter().flat_map(Job::run).collect();
        let [(_, FileAnswer::Chunk { bytes: Ok(bytes), .. })] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(bytes[..], [file as u8 - 1]);
        assert!(source.open_files() <= limits::SOURCE_FILES);
    }
}

#[test]
fn bytes_are_a_source_without_a_file() {
    let small: Arc<[u8]> = contents(100).into();
    let chunk = Arc::new(Source::bytes(small.clone(), 0o600));
    chunk.list().unwrap();
    let chunk = chunk.reader(id(1)).chunk(0, 0, &mut Vec::new()).unwrap();
    assert!(Arc::ptr_eq(&chunk, &small), "copied");
    let length = 5 * CHUNK + 7;
    let source = Arc::new(Source::bytes(contents(length).into(), 0o600));
    let listing = source.list().unwrap();
    assert_eq!(listing.entries[0].kind, EntryKind::File { size: length as u64 });
    assert_eq!(listing.entries[0].mode, 0o600);
    let (all, reads) = read_all(&source.reader(id(1)), length);
    assert!(all == contents(length));
    assert_eq!(reads, 0);
    assert!(source.check(0).is_ok());
}

#[test]
fn without_a_thread_those_who_wait_fail() {
    let (_folder, source) = source(20 * CHUNK);
    let mut jobs = Vec::new();
    source.reader(id(1)).chunk(0, 0, &mut jobs);
    let answers = jobs.remove(0).refuse(&io::Error::other("no thread"));
    let [(_, FileAnswer::Chunk { bytes: Err(problem), .. })] = &answers[..] else { panic!("{answers:?}") };
    assert!(problem.to_string().ends_with("/file: no thread"), "{problem}");
    assert_eq!(source.held().2, 0);
}
