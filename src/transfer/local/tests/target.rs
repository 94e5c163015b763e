//! Writing what hosts send.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;

#[test]
fn a_file_appears_when_it_is_whole_and_not_before() {
    let rig = Rig::new();
    let bytes = contents(100_000);
    let part = rig.begin("new/folder/file", bytes.len());
    write(&part, 60_000, &bytes[60_000..]).unwrap();
    write(&part, 0, &bytes[..60_000]).unwrap();
    let folder = rig.root().join("new/folder");
    let [hidden] = &names(&folder)[..] else { panic!("{:?}", names(&folder)) };
    assert!(hidden.starts_with(".file.sshoal-"), "{hidden}");
    assert_eq!(fs::metadata(folder.join(hidden)).unwrap().mode() & 0o777, 0o600);
    finish(&part, sized(bytes.len())).unwrap();
    assert_eq!(names(&folder), ["file"]);
    assert!(fs::read(folder.join("file")).unwrap() == bytes);
    assert_eq!(part.path(), folder.join("file"));
}

#[test]
fn an_old_file_stays_until_the_new_one_is_whole() {
    let rig = Rig::new();
    fs::write(rig.root().join("file"), "old").unwrap();
    let part = rig.begin("file", 3);
    write(&part, 0, b"new").unwrap();
    assert_eq!(fs::read(rig.root().join("file")).unwrap(), b"old");
    finish(&part, sized(3)).unwrap();
    assert_eq!(fs::read(rig.root().join("file")).unwrap(), b"new");
}

#[test]
fn a_file_of_another_length_is_discarded() {
    let rig = Rig::new();
    let part = rig.begin("file", 10);
    write(&part, 0, b"short").unwrap();
    let text = finish(&part, sized(10)).unwrap_err().to_string();
    assert!(text.ends_with("/file has 5 instead of 10 bytes and was discarded; copy it again"), "{text}");
    assert_eq!(names(rig.root()), [""; 0]);
}

#[test]
fn an_abandoned_part_is_removed_and_its_name_is_free_again() {
    let rig = Rig::new();
    let part = rig.begin("file", 10);
    write(&part, 0, b"some").unwrap();
    abandon(&part, true);
    assert_eq!(names(rig.root()), [""; 0], "kept, although it cannot be resumed");
    put(&rig, "file", b"again");
    // A job that comes late does no harm.
    assert!(write(&part, 0, b"late").is_err());
    assert!(finish(&part, sized(4)).is_err());
    abandon(&part, false);
    drop(part);
    assert_eq!(fs::read(rig.root().join("file")).unwrap(), b"again");
}

#[test]
fn a_part_that_is_forgotten_is_removed() {
    let rig = Rig::new();
    drop(rig.begin("file", 10));
    let part = rig.begin("file", 10);
    let answer = FileAnswer::Begun { tag: 1, result: Ok(Begun::Part { part, resume_at: 0 }) };
    assert_eq!(names(rig.root()).len(), 1);
    let done = answer.cleanup(id(1)).unwrap().run();
    assert!(matches!(done[..], [(asker, FileAnswer::Abandoned)] if asker == id(1)));
    assert_eq!(names(rig.root()), [""; 0]);
    // Nothing in it is worth keeping.
    let rig = Rig::with(|options| options.resume = true);
    let file = NewFile { times: Some(Times { access: 5, modified: 6 }), ..sized(10) };
    let answer = FileAnswer::Begun { tag: 1, result: rig.try_begin("file", file) };
    answer.cleanup(id(1)).unwrap().run();
    assert_eq!(names(rig.root()), [""; 0]);
}

#[test]
fn the_hosts_mode_and_times_are_kept_on_request() {
    let times = Times { access: 1_000_000_000, modified: 1_100_000_000 };
    let file = NewFile { size: 1, mode: Some(0o6777), times: Some(times) };
    let rig = Rig::with(|options| options.preserve = true);
    let part = rig.begin("file", 1);
    write(&part, 0, b"x").unwrap();
    finish(&part, file).unwrap();
    let metadata = fs::metadata(rig.root().join("file")).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o777, "never set-user-ID");
    assert_eq!((metadata.atime(), metadata.mtime()), (1_000_000_000, 1_100_000_000));

    let rig = Rig::new();
    let part = rig.begin("file", 1);
    write(&part, 0, b"x").unwrap();
    finish(&part, file).unwrap();
    let metadata = fs::metadata(rig.root().join("file")).unwrap();
    let umask = umask();
    assert_eq!(metadata.mode() & 0o7777, 0o777 & !umask);
    assert!(metadata.mtime() > 1_500_000_000);
    put(&rig, "plain", b"x");
    assert_eq!(fs::metadata(rig.root().join("plain")).unwrap().mode() & 0o777, 0o666 & !umask);
    assert_eq!(names(rig.root()), ["file", "plain"]);
}

fn umask() -> u32 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory");
    fs::create_dir(&path).unwrap();
    !fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_directory_is_private_until_it_is_complete() {
    let rig = Rig::with(|options| options.preserve = true);
    assert!(rig.make(host_path("folder")).unwrap());
    assert!(!rig.make(host_path("folder")).unwrap());
    let mode = || fs::metadata(rig.root().join("folder")).unwrap().mode() & 0o7777;
    assert_eq!(mode(), 0o700);
    put(&rig, "folder/file", b"x");
    let times = Some(Times { access: 5, modified: 6 });
    let (target, path) = (rig.target(), host_path("folder"));
    made(FileJob::SetDirectory { target, tag: 8, path, mode: Some(0o1555), times, asker: id(1) }).unwrap();
    assert_eq!(mode(), 0o555);
    assert_eq!(fs::metadata(rig.root().join("folder")).unwrap().mtime(), 6);
}

#[test]
fn files_are_not_overwritten_unless_that_is_allowed() {
    let rig = Rig::with(|options| options.overwrite = false);
    fs::write(rig.root().join("file"), "old").unwrap();
    let problem = rig.try_begin("file", sized(3)).unwrap_err();
    assert!(matches!(problem, LocalProblem::Exists { .. }), "{problem}");
    // One that appears meanwhile is safe too.
    let part = rig.begin("later", 3);
    write(&part, 0, b"new").unwrap();
    fs::write(rig.root().join("later"), "old").unwrap();
    let problem = finish(&part, sized(3)).unwrap_err();
    assert!(matches!(problem, LocalProblem::Exists { .. }), "{problem}");
    assert_eq!(fs::read(rig.root().join("later")).unwrap(), b"old");
    assert_eq!(names(rig.root()), ["file", "later"]);
}

#[test]
fn what_is_the_same_is_skipped_on_request() {
    let mut rig = Rig::with(|options| (options.skip_same, options.overwrite) = (true, false));
    let times = Some(Times { access: 5, modified: 1_000_000_000 });
    let file = NewFile { size: 3, mode: None, times };
    let Ok(Begun::Part { part, .. }) = rig.try_begin("file", file) else { panic!() };
    write(&part, 0, b"abc").unwrap();
    finish(&part, file).unwrap();
    rig.run();
    assert!(matches!(rig.try_begin("file", file), Ok(Begun::Same)));
    rig.run();
    let other = NewFile { size: 4, ..file };
    assert!(matches!(rig.try_begin("file", other), Err(LocalProblem::Exists { .. })));
    rig.options.overwrite = true;
    rig.run();
    let other = NewFile { times: Some(Times { access: 5, modified: 1_000_000_001 }), ..file };
    assert!(matches!(rig.try_begin("file", other), Ok(Begun::Part { .. })));
}

#[test]
fn no_two_hosts_write_the_same_file() {
    let rig = Rig::new();
    let first = rig.begin("folder/file", 1);
    let problem = rig.try_begin("folder/file", sized(1)).unwrap_err();
    assert!(matches!(problem, LocalProblem::Claimed { .. }), "{problem}");
    write(&first, 0, b"x").unwrap();
    finish(&first, sized(1)).unwrap();
    drop(first);
    let problem = rig.try_begin("folder/file", sized(1)).unwrap_err();
    assert!(matches!(problem, LocalProblem::Claimed { .. }), "{problem}");
    // By another way to the same directory.
    let other = tempfile::tempdir().unwrap();
    symlink(rig.root(), other.path().join("link")).unwrap();
    let target = Arc::new(Target::new(other.path().join("link"), rig.options, rig.claims.clone()));
    let problem = target.begin(&host_path("folder/file"), sized(1)).unwrap_err();
    assert!(matches!(problem, LocalProblem::Claimed { .. }), "{problem}");
}

#[test]
fn no_two_hosts_write_their_trees_to_the_same_directory() {
    let mut rig = Rig::new();
    rig.root = Some(rig.folder.path().join("copy"));
    assert!(rig.make(HostPath::new()).unwrap());
    let problem = rig.make(HostPath::new()).unwrap_err();
    assert!(matches!(problem, LocalProblem::Claimed { .. }), "{problem}");
    rig.run();
    assert!(!rig.make(HostPath::new()).unwrap(), "it is not new");
}

/// A hard link stands for a disk that ignores case: the other name leads to the same file.
#[test]
fn two_names_of_one_file_are_refused() {
    let rig = Rig::new();
    let late = rig.begin("file", 1);
    write(&late, 0, b"2").unwrap();
    put(&rig, "FILE", b"1");
    fs::hard_link(rig.root().join("FILE"), rig.root().join("file")).unwrap();
    let problem = finish(&late, sized(1)).unwrap_err();
    assert!(matches!(problem, LocalProblem::Claimed { .. }), "{problem}");
    let problem = rig.try_begin("file", sized(1)).unwrap_err();
    assert!(matches!(problem, LocalProblem::Claimed { .. }), "{problem}");
    assert_eq!(fs::read(rig.root().join("file")).unwrap(), b"1");
    assert_eq!(names(rig.root()), ["FILE", "file"]);
    rig.link("LINK", "x").unwrap();
    fs::hard_link(rig.root().join("LINK"), rig.root().join("link")).unwrap();
    let problem = rig.link("link", "y").unwrap_err();
    assert!(matches!(problem, LocalProblem::Claimed { .. }), "{problem}");
    assert_eq!(names(rig.root()), ["FILE", "LINK", "file", "link"]);
}

#[test]
fn two_names_of_one_file_are_refused_even_if_it_is_the_same() {
    let rig = Rig::with(|options| options.skip_same = true);
    let times = Some(Times { access: 5, modified: 1_000_000_000 });
    let file = NewFile { size: 1, mode: None, times };
    let part = rig.begin("FILE", 1);
    write(&part, 0, b"1").unwrap();
    finish(&part, file).unwrap();
    fs::hard_link(rig.root().join("FILE"), rig.root().join("file")).unwrap();
    let problem = rig.try_begin("file", file).unwrap_err();
    assert!(matches!(problem, LocalProblem::Claimed { .. }), "{problem}");
}

#[test]
fn a_copy_is_resumed_before_the_end_of_its_part() {
    let mut rig = Rig::with(|options| options.resume = true);
    let gap = limits::RESUME_GAP as usize;
    let bytes = contents(gap + 1_000_000);
    let times = Some(Times { access: 5, modified: 1_000_000_000 });
    let file = NewFile { size: bytes.len() as u64, mode: None, times };
    let Ok(Begun::Part { part, resume_at: 0 }) = rig.try_begin("file", file) else { panic!() };
    write(&part, 0, &bytes[..gap + 500_000]).unwrap();
    // Another process with the same aim.
    let mut other = Rig::with(|options| options.resume = true);
    std::mem::swap(&mut other.folder, &mut rig.folder);
    let problem = other.try_begin("file", file).unwrap_err();
    assert!(matches!(problem, LocalProblem::Busy { .. }), "{problem}");
    std::mem::swap(&mut other.folder, &mut rig.folder);
    abandon(&part, true);
    assert_eq!(names(rig.root()).len(), 1);

    rig.run();
    let changed = NewFile { times: Some(Times { access: 5, modified: 1_000_000_001 }), ..file };
    assert!(matches!(rig.try_begin("file", changed), Ok(Begun::Part { resume_at: 0, .. })));
    rig.run();
    let Ok(Begun::Part { part, resume_at }) = rig.try_begin("file", file) else { panic!() };
    assert_eq!(resume_at, 500_000);
    write(&part, 500_000, &bytes[500_000..]).unwrap();
    finish(&part, file).unwrap();
    assert!(fs::read(rig.root().join("file")).unwrap() == bytes);
}

#[test]
fn a_planted_part_file_is_not_resumed() {
    let rig = Rig::with(|options| options.resume = true);
    let times = Some(Times { access: 5, modified: 10 });
    let file = NewFile { size: 100, mode: None, times };
    let planted = rig.root().join(".file.sshoal-64-a");
    fs::write(&planted, "evil").unwrap();
    fs::set_permissions(&planted, fs::Permissions::from_mode(0o666)).unwrap();
    let Ok(Begun::Part { part, resume_at: 0 }) = rig.try_begin("file", file) else { panic!() };
    assert_eq!(fs::metadata(&planted).unwrap().len(), 0);
    abandon(&part, false);
    // A second name of a file of this user.
    let victim = rig.root().join("victim");
    fs::write(&victim, "mine").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&victim, &planted).unwrap();
    let Ok(Begun::Part { part, resume_at: 0 }) = rig.try_begin("file", file) else { panic!() };
    write(&part, 0, b"evil").unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    abandon(&part, false);
    symlink("/etc/passwd", &planted).unwrap();
    assert!(matches!(rig.try_begin("file", file), Err(LocalProblem::Io { .. })));
}

#[test]
fn more_part_files_than_descriptors() {
    let rig = Rig::new();
    let parts: Vec<_> =
        (0..limits::OPEN_PARTS + 50).map(|number| rig.begin(&format!("{number}"), 2)).collect();
    assert!(rig.claims.open_parts() <= limits::OPEN_PARTS);
    for (offset, byte) in [(1, b"b"), (0, b"a")] {
        for part in &parts {
            write(part, offset, byte).unwrap();
        }
        assert!(rig.claims.open_parts() <= limits::OPEN_PARTS);
    }
    for part in &parts {
        finish(part, sized(2)).unwrap();
    }
    let files = names(rig.root());
    assert_eq!(files.len(), parts.len());
    assert!(files.iter().all(|name| fs::read(rig.root().join(name)).unwrap() == b"ab"));
}

#[test]
fn a_part_file_that_was_exchanged_is_not_written_to() {
    let rig = Rig::new();
    let part = rig.begin("file", 3);
    assert!(part.close());
    let path = rig.root().join(&names(rig.root())[0]);
    let other = rig.root().join("other");
    fs::write(&other, "other").unwrap();
    fs::rename(other, &path).unwrap();
    let problem = write(&part, 0, b"new").unwrap_err();
    assert!(matches!(problem, LocalProblem::Changed { .. }), "{problem}");
    assert!(finish(&part, sized(3)).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"other");
    fs::remove_file(&path).unwrap();

    // While it is open.
    let part = rig.begin("file", 3);
    let path = rig.root().join(&names(rig.root())[0]);
    let other = rig.root().join("other");
    fs::write(&other, "other").unwrap();
    fs::rename(other, &path).unwrap();
    write(&part, 0, b"new").unwrap();
    let problem = finish(&part, sized(3)).unwrap_err();
    assert!(matches!(problem, LocalProblem::Changed { .. }), "{problem}");
    assert_eq!(fs::read(&path).unwrap(), b"other");
    assert_eq!(names(rig.root()).len(), 1);
}

#[test]
fn with_fsync_a_file_is_written_all_the_same() {
    let rig = Rig::with(|options| options.fsync = true);
    put(&rig, "file", b"x");
    assert_eq!(fs::read(rig.root().join("file")).unwrap(), b"x");
}
