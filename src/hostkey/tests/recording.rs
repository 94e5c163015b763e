//! Recording of many keys at once, next to other writers, through symbolic links, and on full
//! disks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, lchown, symlink};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use super::super::open::Locked;
use super::super::verification::{NewKey, Recorded};
use super::super::{HostKey, HostKeyPolicy, KnownHosts, Verdict, Verifier};
use super::SYNCS;
use super::support::{ed25519, file_in_own_process, with_file_limit};
use crate::hostkey::names::HostNames;

/// A user who is neither root nor the user that runs the tests.
const SOMEBODY_ELSE: u32 = 65_534;

fn verifier(file: &Path) -> Verifier {
    Verifier::new(KnownHosts::load(&[file]).unwrap(), HostKeyPolicy::accept_new(file))
}

fn new(host: &str, key: &HostKey) -> NewKey {
    NewKey { names: HostNames::new(host, 22), key: key.clone() }
}

/// For each key, the line at which it was recorded, if it was recorded.
fn lines(recorded: &[Recorded]) -> Vec<Option<usize>> {
    let line = |recorded: &Recorded| match recorded.as_ref().ok()?.verdict {
        Verdict::Known { ref location } => location.line(),
        _ => None,
    };
    recorded.iter().map(line).collect()
}

/// Records the key of one host.
fn record(file: &Path) -> io::Result<()> {
    let verifier = Verifier::new(KnownHosts::empty(), HostKeyPolicy::accept_new(file));
    let answers = verifier.loaded().record(&[new("web1", &ed25519(1))]);
    answers.into_iter().next().unwrap().map(|found| assert!(matches!(found.verdict, Verdict::Known { .. })))
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

fn line() -> String {
    format!("web1 {}\n", ed25519(1).to_openssh())
}

#[test]
fn many_hosts_cost_one_sync() {
    const HOSTS: u64 = 10_000;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let verifier = verifier(&file);
    let hosts = (0..HOSTS).map(|host| new(&format!("host{host}"), &ed25519(host))).collect::<Vec<_>>();
    SYNCS.take();
    let answers = verifier.loaded().record(&hosts);
    assert_eq!(SYNCS.take(), 1);
    assert!(lines(&answers).into_iter().eq((1..=hosts.len()).map(Some)));
    let known = KnownHosts::load(&[&file]).unwrap();
    assert_eq!((known.len(), known.problem_count()), (hosts.len(), 0));
    // Keys that are already on record require no sync.
    assert!(verifier.loaded().record(&hosts).iter().all(Result::is_ok));
    assert_eq!(SYNCS.take(), 0);
}

#[test]
fn a_repeated_host_is_recorded_once_and_its_second_key_counts_as_changed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let verifier = verifier(&file);
    let (one, two) = (ed25519(1), ed25519(2));
    let hosts = [new("web1", &one), new("web2", &one), new("web1", &two), new("web1", &one)];
    let answers = verifier.loaded().record(&hosts);
    assert_eq!(lines(&answers), [Some(1), Some(2), None, Some(1)]);
    assert!(matches!(answers[2].as_ref().unwrap().verdict, Verdict::Changed { .. }));
    assert_eq!(text(&file).lines().count(), 2);
}

#[test]
fn a_link_to_a_file_of_the_users_own_is_followed() {
    for (target, file) in [
        ("dotfiles/known_hosts", "dotfiles/known_hosts"),
        ("./ssh/../dotfiles/other", "dotfiles/other"),
        ("second", "dotfiles/new/known_hosts"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        fs::create_dir(home.join("dotfiles")).unwrap();
        fs::create_dir(home.join("ssh")).unwrap();
        fs::write(home.join("dotfiles/known_hosts"), "# mine\n").unwrap();
        symlink(home.join("dotfiles/new/known_hosts"), home.join("second")).unwrap();
        symlink(target, home.join("known_hosts")).unwrap();
        // The path may also lead through a link to a directory.
        symlink(home, home.join("ssh/up")).unwrap();
        record(&home.join("ssh/up/known_hosts")).unwrap();
        assert!(text(&home.join(file)).ends_with(&line()), "{target}");
        assert!(fs::symlink_metadata(home.join("known_hosts")).unwrap().is_symlink());
        assert!(text(&home.join("dotfiles/known_hosts")).starts_with("# mine\n"));
    }
}

/// Changes the owner of a file or a link to another user. Returns `None` unless the tests run as
/// root, because only root may do so.
fn give_away(path: &Path) -> Option<()> {
    let given = lchown(path, Some(SOMEBODY_ELSE), Some(SOMEBODY_ELSE));
    if given.is_err() {
        eprintln!("skipped: only root can give files away");
    }
    given.ok()
}

#[track_caller]
fn assert_refused(file: &Path, what: &str) {
    let error = record(file).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    assert_eq!(error.to_string(), format!("{what}, belongs to another user (uid 65534) and is not used"));
}

#[test]
fn a_link_of_another_user_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (shared, private) = (directory.path().join("shared"), directory.path().join("private"));
    fs::create_dir(&shared).unwrap();
    fs::create_dir(&private).unwrap();
    let victim = private.join("known_hosts");
    fs::write(&victim, "").unwrap();
    symlink(&victim, shared.join("known_hosts")).unwrap();
    symlink(&private, shared.join("folder")).unwrap();
    symlink(shared.join("known_hosts"), directory.path().join("own")).unwrap();
    for link in ["known_hosts", "folder"] {
        let Some(()) = give_away(&shared.join(link)) else { return };
    }
    assert_refused(&shared.join("known_hosts"), "the symbolic link, known_hosts");
    assert_refused(&shared.join("folder/known_hosts"), "the symbolic link, folder");
    assert_refused(&directory.path().join("own"), "the symbolic link, known_hosts");
    assert_eq!(text(&victim), "");
}

#[test]
fn a_link_to_a_file_of_another_user_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("theirs");
    fs::write(&file, "").unwrap();
    let Some(()) = give_away(&file) else { return };
    let link = directory.path().join("known_hosts");
    symlink(&file, &link).unwrap();
    assert_refused(&link, "the file that a symbolic link leads to, theirs");
    assert_eq!(text(&file), "");
    // If the user names the file directly, that is what the user asked for.
    record(&file).unwrap();
    assert_eq!(text(&file), line());
}

#[test]
fn special_files_are_refused_without_blocking() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("file"), "").unwrap();
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("loop", at("loop")).unwrap();
    let cases = [
        ("folder", "Is a directory (os error 21)"),
        ("folder/", "Is a directory (os error 21)"),
        ("file/known_hosts", "Not a directory (os error 20)"),
        ("fifo", "it is not a regular file"),
        ("loop", "Too many levels of symbolic links (os error 40)"),
        ("..", "Is a directory (os error 21)"),
    ];
    for (name, expected) in cases {
        assert_eq!(record(&at(name)).unwrap_err().to_string(), expected, "{name}");
    }
    assert_eq!(record(Path::new("/")).unwrap_err().to_string(), "Is a directory (os error 21)");
}

fn locked(file: &Path) -> Flock<File> {
    let file = OpenOptions::new().append(true).create(true).open(file).unwrap();
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap()
}

#[test]
fn a_locked_file_is_read_again_once_it_is_unlocked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let mut other = locked(&file);
    let (tell, told) = channel();
    let writer = {
        let file = file.clone();
        thread::spawn(move || {
            let verifier = verifier(&file);
            tell.send(()).unwrap();
            let answers = verifier.loaded().record(&[new("web1", &ed25519(2)), new("web2", &ed25519(2))]);
            (lines(&answers), matches!(answers[0].as_ref().unwrap().verdict, Verdict::Changed { .. }))
        })
    };
    told.recv().unwrap();
    thread::sleep(Duration::from_millis(50));
    assert!(!writer.is_finished(), "the lock does not hold");
    other.write_all(line().as_bytes()).unwrap();
    drop(other);
    assert_eq!(writer.join().unwrap(), (vec![None, Some(2)], true));
    assert_eq!(text(&file).lines().count(), 2);
}

#[test]
fn a_lock_that_is_never_released_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let other = locked(&file);
    let error = Locked::open(&file, Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().starts_with("another process has held its lock for "), "{error}");
    drop(other);
    let held = Locked::open(&file, Duration::ZERO).unwrap();
    assert!(Locked::open(&file, Duration::ZERO).is_err(), "it is held");
    drop(held);
    assert!(Locked::open(&file, Duration::ZERO).is_ok(), "it was given back");
}

/// The test replaces the file in the same way as `ssh-keygen -R`.
#[test]
fn a_file_replaced_while_waiting_for_its_lock_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let other = locked(&at("known_hosts"));
    let (tell, told) = channel();
    let file = at("known_hosts");
    let writer = thread::spawn(move || {
        tell.send(()).unwrap();
        record(&file)
    });
    told.recv().unwrap();
    thread::sleep(Duration::from_millis(50));
    fs::hard_link(at("known_hosts"), at("known_hosts.old")).unwrap();
    fs::write(at("new"), "# new\n").unwrap();
    fs::rename(at("new"), at("known_hosts")).unwrap();
    drop(other);
    writer.join().unwrap().unwrap();
    assert_eq!(text(&at("known_hosts")), format!("# new\n{}", line()));
    assert_eq!(text(&at("known_hosts.old")), "");
}

/// The test runs in a separate process in which the size of files is limited.
#[test]
fn a_partial_write_records_whole_lines_only() {
    let Some(file) = file_in_own_process() else { return };
    let verifier = verifier(&file);
    let hosts = [1, 2, 3].map(|host| new(&format!("web{host}"), &ed25519(host)));
    let answers = with_file_limit(line().len() as u64 + 20, || verifier.loaded().record(&hosts));
    assert_eq!(answers.len(), 3);
    assert!(matches!(&answers[0], Ok(found) if matches!(found.verdict, Verdict::Known { .. })));
    for answer in &answers[1..] {
        assert_eq!(answer.as_ref().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
    assert_eq!(fs::metadata(&file).unwrap().size(), line().len() as u64 + 20);
    // The next writer starts a new line.
    assert!(verifier.loaded().record(&hosts[2..])[0].is_ok());
    let known = KnownHosts::load(&[&file]).unwrap();
    assert_eq!((known.len(), known.problem_count()), (2, 1), "{}", text(&file));
    let mut first = vec![0; line().len()];
    File::open(&file).unwrap().read_exact_at(&mut first, 0).unwrap();
    assert_eq!(first, line().as_bytes());
}
