//! Adding the keys that a scan has found to a known_hosts file.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use nix::fcntl::{Flock, FlockArg};

use super::super::{
    AddOptions, AddedKeys, HostKey, HostKeyPolicy, KnownHosts, ScannedKeys, Verdict, Verifier, WhyLeftOut,
    add,
};
use super::SYNCS;
use super::support::{ecdsa_p256, ed25519, file_in_own_process, rsa, with_file_limit};

const PLAIN: fn() -> AddOptions = AddOptions::default;

/// A host that has shown these keys, with the verdicts of the file.
fn shown(file: &Path, host: &str, keys: &[HostKey]) -> ScannedKeys {
    scan(&Verifier::new(KnownHosts::load(&[file]).unwrap(), HostKeyPolicy::strict()), host, keys)
}

fn scan(verifier: &Verifier, host: &str, keys: &[HostKey]) -> ScannedKeys {
    let (host, port) = host.split_once(':').map_or((host, 22), |(host, port)| (host, port.parse().unwrap()));
    let mut found = ScannedKeys::new(host, port);
    for key in keys {
        let verification = verifier.begin(&Arc::from(host), port, key.blob().to_vec(), &[]).unwrap();
        let mut verification = verification.search_all();
        while !found.advance(&mut verification, 1) {}
    }
    found
}

#[track_caller]
fn added(file: &Path, hosts: &[&ScannedKeys], options: AddOptions) -> AddedKeys {
    add(file, hosts, options).unwrap()
}

fn left_out(added: &AddedKeys) -> Vec<(&str, &str, WhyLeftOut)> {
    added.left_out.iter().map(|key| (&*key.name, key.key_type.name(), key.reason)).collect()
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

fn line(name: &str, key: &HostKey) -> String {
    format!("{name} {}\n", key.to_openssh())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn all_keys_are_added_in_one_write_to_a_new_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ssh/known_hosts");
    let one = shown(&file, "web1", &[ed25519(1), rsa(1)]);
    let two = shown(&file, "web2:2222", &[ecdsa_p256(2)]);
    SYNCS.take();
    let result = added(&file, &[&one, &two, &one], PLAIN());
    assert_eq!(SYNCS.take(), 1);
    assert_eq!((result.added, result.present, result.left_out.len()), (3, 0, 0));
    let lines = [line("web1", &ed25519(1)), line("web1", &rsa(1)), line("[web2]:2222", &ecdsa_p256(2))];
    assert_eq!(text(&file), lines.concat());
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    // What was added is on record, even for the verdicts that were found before.
    let again = added(&file, &[&one, &two], PLAIN());
    assert_eq!((again.added, again.present), (0, 3));
    let later = shown(&file, "web1", &[ed25519(1), rsa(1)]);
    assert!(later.keys().iter().all(|key| matches!(key.verdict, Verdict::Known { .. })));
    assert_eq!(added(&file, &[&later], PLAIN()).present, 2);
    assert_eq!(text(&file).lines().count(), 3);
}

#[test]
fn hashed_lines_are_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let hosts = shown(&file, "web1:2222", &[ed25519(1), rsa(1)]);
    assert_eq!(added(&file, &[&hosts], PLAIN().hashed(true)).added, 2);
    assert!(text(&file).lines().all(|line| line.starts_with("|1|")) && !text(&file).contains("web1"));
    let salts: Vec<_> = text(&file).lines().map(|line| line[..31].to_owned()).collect();
    assert_ne!(salts[0], salts[1]);
    let known = KnownHosts::load(&[&file]).unwrap();
    assert!(matches!(known.verdict("web1", 2222, &rsa(1)), Verdict::Known { .. }));
}

#[test]
fn a_changed_or_revoked_key_is_not_added_nor_any_other_key_of_its_host() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let before = line("changed", &ed25519(1)) + &line("@revoked *", &rsa(2)) + &line("good", &ed25519(3));
    fs::write(&file, &before).unwrap();
    let changed = shown(&file, "changed", &[ed25519(9), ecdsa_p256(1)]);
    // Only the revoked key shows that the host's other key must not be trusted.
    let revoked = shown(&file, "revoked", &[ed25519(2), rsa(2)]);
    let good = shown(&file, "good", &[ed25519(3)]);
    let result = added(&file, &[&changed, &revoked, &good], PLAIN().other_types(true));
    assert_eq!((result.added, result.present), (0, 1));
    assert_eq!(
        left_out(&result),
        [
            ("changed", "ssh-ed25519", WhyLeftOut::Changed),
            ("changed", "ecdsa-sha2-nistp256", WhyLeftOut::Suspect),
            ("revoked", "ssh-ed25519", WhyLeftOut::Suspect),
            ("revoked", "ssh-rsa", WhyLeftOut::Revoked),
        ]
    );
    assert_eq!(text(&file), before);
}

#[test]
fn keys_of_other_types_are_added_on_request_only() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    fs::write(&file, line("web1", &ed25519(1))).unwrap();
    let host = shown(&file, "web1", &[ed25519(1), rsa(1)]);
    let result = added(&file, &[&host], PLAIN());
    assert_eq!((result.added, result.present), (0, 1));
    assert_eq!(left_out(&result), [("web1", "ssh-rsa", WhyLeftOut::OtherType)]);
    assert_eq!(added(&file, &[&host], PLAIN().other_types(true)).added, 1);
    assert_eq!(text(&file), line("web1", &ed25519(1)) + &line("web1", &rsa(1)));
}

#[test]
fn different_keys_of_one_name_are_not_added() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let [one, two] = [1, 2].map(|seed| shown(&file, "cluster", &[ed25519(seed), rsa(1)]));
    let result = added(&file, &[&one, &two], PLAIN());
    let ambiguous = ("cluster", "ssh-ed25519", WhyLeftOut::Ambiguous);
    assert_eq!(left_out(&result), [ambiguous, ambiguous]);
    assert_eq!(text(&file), line("cluster", &rsa(1)));
}

#[test]
fn a_name_that_would_mean_other_hosts_is_not_added() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let hosts = ["*", "a,b", "!web1", "@revoked", "a b"].map(|name| shown(&file, name, &[ed25519(1)]));
    let result = added(&file, &hosts.each_ref(), PLAIN());
    assert_eq!(result.left_out.len(), hosts.len());
    assert!(result.left_out.iter().all(|key| key.reason == WhyLeftOut::Name));
    assert!(!file.exists(), "there was nothing to write");
}

/// Another process adds lines between the scan and the write, and holds the lock meanwhile.
#[test]
fn what_others_have_added_since_counts() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    fs::write(&file, "# unfinished").unwrap();
    let known = Verifier::new(KnownHosts::load(&[&file]).unwrap(), HostKeyPolicy::strict());
    let hosts = ["same", "other", "type", "new"].map(|host| scan(&known, host, &[ed25519(1)]));
    let other = OpenOptions::new().append(true).open(&file).unwrap();
    let mut other = Flock::lock(other, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    let writer = {
        let file = file.clone();
        thread::spawn(move || added(&file, &hosts.each_ref(), PLAIN()))
    };
    thread::sleep(std::time::Duration::from_millis(50));
    assert!(!writer.is_finished(), "the lock does not hold");
    let lines = [line("\nsame", &ed25519(1)), line("other", &ed25519(2)), line("type", &rsa(3))].concat();
    other.write_all(lines.as_bytes()).unwrap();
    drop(other);
    let result = writer.join().unwrap();
    assert_eq!((result.added, result.present), (1, 1));
    let expected =
        [("other", "ssh-ed25519", WhyLeftOut::Changed), ("type", "ssh-ed25519", WhyLeftOut::OtherType)];
    assert_eq!(left_out(&result), expected);
    assert_eq!(text(&file), format!("# unfinished{lines}") + &line("new", &ed25519(1)));
}

#[test]
fn a_file_that_was_not_loaded_counts_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let [loaded, file] = ["loaded", "file"].map(|name| directory.path().join(name));
    fs::write(&file, line("web1", &ed25519(1)) + &line("web2", &ed25519(1))).unwrap();
    let hosts = [shown(&loaded, "web1", &[ed25519(1)]), shown(&loaded, "web2", &[ed25519(2)])];
    let result = added(&file, &hosts.each_ref(), PLAIN());
    assert_eq!((result.added, result.present), (0, 1));
    assert_eq!(left_out(&result), [("web2", "ssh-ed25519", WhyLeftOut::Changed)]);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let host = shown(Path::new("/dev/null"), "web1", &[ed25519(1)]);
    let error = add(Path::new("/dev/full"), &[&host], PLAIN()).unwrap_err();
    assert_eq!(error.to_string(), "cannot add host keys to /dev/full: No space left on device (os error 28)");
    let error = add(directory.path(), &[&host], PLAIN()).unwrap_err();
    assert!(error.to_string().ends_with(": Is a directory (os error 21)"), "{error}");
    let file = directory.path().join("known_hosts");
    fs::write(&file, "# mine\n").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
    match add(&file, &[&host], PLAIN()) {
        // Root may write to any file.
        Ok(result) => assert_eq!(result.added, 1),
        Err(error) => {
            assert_eq!(error.error.kind(), std::io::ErrorKind::PermissionDenied);
            assert_eq!(text(&file), "# mine\n");
        }
    }
}

/// The test runs in a separate process in which the size of files is limited.
#[test]
fn a_partial_write_is_taken_back() {
    let Some(file) = file_in_own_process() else { return };
    let before = "# mine, without a line feed";
    fs::write(&file, before).unwrap();
    let hosts: Vec<_> = (1..4).map(|host| shown(&file, &format!("web{host}"), &[ed25519(host)])).collect();
    let hosts: Vec<_> = hosts.iter().collect();
    let error = with_file_limit(150, || add(&file, &hosts, PLAIN())).unwrap_err();
    assert_eq!(error.error.kind(), std::io::ErrorKind::FileTooLarge, "{error}");
    assert_eq!(text(&file), before);
    assert_eq!(added(&file, &hosts, PLAIN()).added, 3);
    assert!(File::open(&file).is_ok() && KnownHosts::load(&[&file]).unwrap().problem_count() == 0);
}
