//! Recording of new keys.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::{
    Acceptance, HostKey, HostKeyError, HostKeyPolicy, HostKeyProblem, HostVerified, KnownHosts, Verifier,
    default_files,
};
use super::support::{describe, ed25519, rsa};

fn verifier(file: &Path) -> Verifier {
    Verifier::new(KnownHosts::load(&[file]).unwrap(), HostKeyPolicy::accept_new(file))
}

fn place(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("known_hosts")
}

fn accepted_at(verifier: &Verifier, host: &str, port: u16, key: &HostKey) -> Option<usize> {
    match verifier.verify(host, port, key).unwrap().acceptance() {
        Acceptance::Known(location) => location.line(),
        other => panic!("{other:?}"),
    }
}

fn problem(result: Result<HostVerified, HostKeyError>) -> HostKeyProblem {
    match result.unwrap_err() {
        error if matches!(error.problem(), HostKeyProblem::Changed) => HostKeyProblem::Changed,
        error if matches!(error.problem(), HostKeyProblem::Revoked) => HostKeyProblem::Revoked,
        error => panic!("{error}"),
    }
}

#[test]
fn the_first_key_is_recorded_once_and_accepted_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory);
    let verifier = verifier(&file);
    let (first, second) = (ed25519(1), ed25519(2));
    assert_eq!(accepted_at(&verifier, "Web1", 22, &first), Some(1));
    assert_eq!(accepted_at(&verifier, "web1", 22, &first), Some(1));
    assert_eq!(accepted_at(&verifier, "2001:DB8::1", 2222, &second), Some(2));
    assert!(matches!(problem(verifier.verify("web1", 22, &second)), HostKeyProblem::Changed));
    let error = verifier.verify("web1", 22, &rsa(1)).unwrap_err();
    assert!(matches!(error.problem(), HostKeyProblem::OtherType { .. }), "{error}");
    assert_eq!(verifier.recorded_algorithms("web1", 22), ["ssh-ed25519"]);
    let expected = format!("web1 {}\n[2001:db8::1]:2222 {}\n", first.to_openssh(), second.to_openssh());
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
}

#[test]
fn file_and_directory_are_private_to_the_user() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("home/.ssh/known_hosts");
    drop(verifier(&file).verify("web1", 22, &ed25519(1)).unwrap());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn keys_on_record_are_not_recorded_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory);
    let (known, other, revoked) = (ed25519(1), ed25519(2), ed25519(3));
    let text = format!("web1 {}\n@revoked * {}\n", known.to_openssh(), revoked.to_openssh());
    fs::write(&file, &text).unwrap();
    let verifier = verifier(&file);
    assert_eq!(accepted_at(&verifier, "web1", 22, &known), Some(1));
    assert!(matches!(problem(verifier.verify("web1", 22, &other)), HostKeyProblem::Changed));
    assert!(matches!(problem(verifier.verify("web1", 22, &revoked)), HostKeyProblem::Revoked));
    assert!(matches!(problem(verifier.verify("web2", 22, &revoked)), HostKeyProblem::Revoked));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn an_unfinished_last_line_is_terminated_first() {
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory);
    let (first, second) = (ed25519(1), ed25519(2));
    fs::write(&file, format!("# x\nweb1 {}", first.to_openssh())).unwrap();
    let verifier = verifier(&file);
    assert_eq!(accepted_at(&verifier, "web2", 22, &second), Some(3));
    assert_eq!(accepted_at(&verifier, "web3", 22, &second), Some(4));
    let second = second.to_openssh();
    let expected = format!("# x\nweb1 {}\nweb2 {second}\nweb3 {second}\n", first.to_openssh());
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
}

#[test]
fn hashed_lines_match_openssh() {
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory);
    let key = ed25519(1);
    let verifier = Verifier::new(KnownHosts::empty(), HostKeyPolicy::accept_new_hashed(&file));
    assert_eq!(accepted_at(&verifier, "web1", 2222, &key), Some(1));
    assert_eq!(accepted_at(&verifier, "web1", 2222, &key), Some(1));
    assert_eq!(accepted_at(&verifier, "web2", 2222, &key), Some(2));
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.lines().all(|line| line.starts_with("|1|") && !line.contains("web")), "{text}");
    let known = KnownHosts::load(&[&file]).unwrap();
    assert_eq!(describe(&known.verdict("web1", 2222, &key)), "known 1");
    if let Ok(found) = Command::new("ssh-keygen").args(["-F", "[web2]:2222", "-f"]).arg(&file).output() {
        let found = String::from_utf8(found.stdout).unwrap();
        assert!(found.contains("found: line 2"), "{found}");
    }
}

#[test]
fn two_verifiers_on_one_file_see_each_others_keys() {
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory);
    let (one, other) = (verifier(&file), verifier(&file));
    let (first, second) = (ed25519(1), ed25519(2));
    assert_eq!(accepted_at(&one, "web1", 22, &first), Some(1));
    assert_eq!(accepted_at(&other, "web1", 22, &first), Some(1));
    assert!(matches!(problem(other.verify("web1", 22, &second)), HostKeyProblem::Changed));
    assert_eq!(accepted_at(&other, "web2", 22, &second), Some(2));
    assert!(matches!(problem(one.verify("web2", 22, &first)), HostKeyProblem::Changed));
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
}

#[test]
fn a_revocation_appended_later_applies_to_new_hosts() {
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory);
    let verifier = verifier(&file);
    let key = ed25519(1);
    fs::write(&file, format!("@revoked * {}\n", key.to_openssh())).unwrap();
    assert!(matches!(problem(verifier.verify("web1", 22, &key)), HostKeyProblem::Revoked));
}

#[test]
fn a_replaced_file_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory);
    let key = ed25519(1);
    fs::write(&file, "# a comment to be removed\n".repeat(50)).unwrap();
    let verifier = verifier(&file);
    let replacement = directory.path().join("new");
    fs::write(&replacement, format!("web1 {}\n", key.to_openssh())).unwrap();
    fs::rename(&replacement, &file).unwrap();
    assert_eq!(accepted_at(&verifier, "web1", 22, &key), Some(1));
    assert_eq!(accepted_at(&verifier, "web2", 22, &key), Some(2));
}

#[test]
fn many_threads_and_verifiers_write_whole_lines_once() {
    const HOSTS: u64 = 1_000;
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory);
    let verifiers = [(); 4].map(|()| verifier(&file));
    std::thread::scope(|scope| {
        for verifier in verifiers.iter().chain(&verifiers[..1]) {
            scope.spawn(move || {
                for host in 0..HOSTS {
                    let line = accepted_at(verifier, &format!("host{host}"), 22, &ed25519(host));
                    assert_eq!(line, Some(usize::try_from(host).unwrap() + 1));
                }
            });
        }
    });
    let known = KnownHosts::load(&[&file]).unwrap();
    assert!(known.problems().is_empty(), "{:?}", known.problems());
    assert_eq!(known.len() as u64, HOSTS);
}

#[test]
fn other_processes_may_append_at_the_same_time() {
    const HOSTS: u64 = 100;
    const COMMENTS: usize = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory);
    let verifier = verifier(&file);
    let lines = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = OpenOptions::new().append(true).create(true).open(&file).unwrap();
            for _ in 0..COMMENTS {
                other.write_all(b"# another process\n").unwrap();
            }
        });
        (0..HOSTS)
            .map(|host| accepted_at(&verifier, &format!("host{host}"), 22, &ed25519(host)))
            .collect::<Vec<_>>()
    });
    let known = KnownHosts::load(&[&file]).unwrap();
    assert!(known.problems().is_empty(), "{:?}", known.problems());
    assert_eq!(known.len() as u64, HOSTS);
    for (host, line) in (0..HOSTS).zip(lines) {
        let verdict = describe(&known.verdict(&format!("host{host}"), 22, &ed25519(host)));
        match line {
            Some(line) => assert_eq!(verdict, format!("known {line}")),
            None => assert!(verdict.starts_with("known"), "host{host}: {verdict}"),
        }
    }
}

#[test]
fn a_key_that_cannot_be_written_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("file");
    fs::write(&blocked, "").unwrap();
    for file in [Path::new("/dev/full"), &blocked.join("known_hosts"), directory.path()] {
        let verifier = Verifier::new(KnownHosts::empty(), HostKeyPolicy::accept_new(file));
        for attempt in 0..2 {
            let error = verifier.verify("web1", 22, &ed25519(1)).unwrap_err();
            assert!(matches!(error.problem(), HostKeyProblem::CannotRecord { .. }), "{attempt}: {error}");
            assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        }
    }
}

#[test]
fn a_read_only_directory_refuses_new_hosts() {
    let directory = tempfile::tempdir().unwrap();
    let ssh = directory.path().join("ssh");
    fs::create_dir(&ssh).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o500)).unwrap();
    let file = ssh.join("known_hosts");
    if fs::write(ssh.join("probe"), "").is_ok() {
        eprintln!("skipped: permissions do not bind this user");
        return;
    }
    let error = verifier(&file).verify("web1", 22, &ed25519(1)).unwrap_err();
    assert!(matches!(error.problem(), HostKeyProblem::CannotRecord { .. }), "{error}");
}

#[test]
fn names_that_would_change_the_meaning_of_a_line_are_not_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let file = place(&directory);
    let verifier = verifier(&file);
    for host in ["*", "web?", "!web1", "a,b", "a b", "a\nb", "#a", "@revoked", "|1|x|y", "[a]", "", "é"] {
        let error = verifier.verify(host, 22, &ed25519(1)).unwrap_err();
        assert!(matches!(error.problem(), HostKeyProblem::CannotRecord { .. }), "{host}: {error}");
    }
    assert!(!file.exists());
}

#[test]
fn a_device_as_file_still_remembers_keys_in_this_process() {
    let verifier = Verifier::new(KnownHosts::empty(), HostKeyPolicy::accept_new("/dev/null"));
    drop(verifier.verify("web1", 22, &ed25519(1)).unwrap());
    drop(verifier.verify("web1", 22, &ed25519(1)).unwrap());
    assert!(matches!(problem(verifier.verify("web1", 22, &ed25519(2))), HostKeyProblem::Changed));
}

#[test]
fn default_files_match_ssh() {
    let files = default_files(Some(Path::new("/home/me")));
    let files = files.iter().map(|file| file.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        files,
        [
            "/home/me/.ssh/known_hosts",
            "/home/me/.ssh/known_hosts2",
            "/etc/ssh/ssh_known_hosts",
            "/etc/ssh/ssh_known_hosts2",
        ]
    );
}
