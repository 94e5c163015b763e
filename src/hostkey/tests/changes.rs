//! Files that change after they were read.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::{
    Decision, DiskRequest, HostKey, HostKeyDecision, HostKeyPins, HostKeyPolicy, HostKeyProblem, KnownHosts,
    Verifier,
};
use super::support::ed25519;

fn line(name: &str, seed: u64) -> String {
    format!("{name} {}\n", ed25519(seed).to_openssh())
}

fn strict(files: &[&Path]) -> Verifier {
    Verifier::new(KnownHosts::load(files).unwrap(), HostKeyPolicy::strict())
}

/// `None` if the key is accepted.
fn problem(verifier: &Verifier, host: &str, seed: u64) -> Option<String> {
    let result = verifier.verify(host, 22, &ed25519(seed));
    result.err().map(|error| format!("{:?}", error.problem()))
}

#[test]
fn a_key_is_accepted_as_soon_as_a_file_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let [own, system] = ["own", "system"].map(|name| directory.path().join(name));
    fs::write(&own, line("web1", 1)).unwrap();
    let verifier = strict(&[&own, &system]);
    assert_eq!(problem(&verifier, "web2", 2).as_deref(), Some("Unknown"));
    // The second file did not exist before.
    fs::write(&system, line("web2", 2)).unwrap();
    assert_eq!(problem(&verifier, "web2", 2), None);
    // A line is added.
    fs::write(&own, line("web1", 1) + &line("web3", 3)).unwrap();
    assert_eq!(problem(&verifier, "web3", 3), None);
    // A key is replaced, with the same length and by the way of editors.
    assert_eq!(problem(&verifier, "web1", 4).as_deref(), Some("Changed"));
    let new = directory.path().join("new");
    fs::write(&new, line("web1", 4) + &line("web3", 3)).unwrap();
    fs::rename(&new, &own).unwrap();
    assert_eq!(problem(&verifier, "web1", 4), None);
    assert_eq!(problem(&verifier, "web1", 1).as_deref(), Some("Changed"));
    // A revocation is withdrawn.
    fs::write(&system, format!("@revoked {}", line("*", 5)) + &line("web5", 5)).unwrap();
    assert_eq!(problem(&verifier, "web5", 5).as_deref(), Some("Revoked"));
    fs::write(&system, line("web5", 5)).unwrap();
    assert_eq!(problem(&verifier, "web5", 5), None);
}

#[test]
fn an_accepted_key_stays_accepted_until_the_files_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    fs::write(&file, line("web1", 1)).unwrap();
    let verifier = strict(&[&file]);
    assert!(verifier.files().read_again().unwrap().is_none(), "nothing has changed");
    fs::write(&file, format!("@revoked {}", line("*", 1)) + &line("web1", 1)).unwrap();
    assert_eq!(problem(&verifier, "web1", 1), None);
    let loaded = verifier.files().read_again().unwrap().expect("the file has changed");
    assert_eq!(problem(&verifier, "web1", 1), None, "reading alone changes nothing");
    verifier.files().replace(loaded);
    assert_eq!(problem(&verifier, "web1", 1).as_deref(), Some("Revoked"));
}

#[test]
fn a_file_that_cannot_be_read_any_more_changes_nothing_if_it_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let [file, other] = ["file", "other"].map(|name| directory.path().join(name));
    fs::write(&file, line("web1", 1)).unwrap();
    let needed = strict(&[&file]);
    let optional =
        Verifier::new(KnownHosts::load_readable(&[file.clone(), other.clone()]), HostKeyPolicy::strict());
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    fs::write(&other, line("web2", 2)).unwrap();
    assert!(needed.files().read_again().is_err());
    for (verifier, of_web1) in [(&needed, None), (&optional, Some("Unknown"))] {
        // A refusal makes the verifier look at the files.
        assert!(problem(verifier, "web2", 3).is_some());
        assert_eq!(problem(verifier, "web1", 1).as_deref(), of_web1);
    }
    // A missing file counts as empty.
    fs::remove_dir(&file).unwrap();
    assert_eq!(problem(&needed, "web9", 9).as_deref(), Some("Unknown"));
    assert_eq!(problem(&needed, "web1", 1).as_deref(), Some("Unknown"));
}

#[test]
fn a_callback_is_asked_only_about_the_current_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let asked = Arc::new(AtomicUsize::new(0));
    let policy = {
        let asked = asked.clone();
        HostKeyPolicy::ask(move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            HostKeyDecision::Refuse
        })
    };
    let verifier = Verifier::new(KnownHosts::load(&[&file]).unwrap(), policy);
    fs::write(&file, line("web1", 1)).unwrap();
    assert_eq!(problem(&verifier, "web1", 1), None);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(problem(&verifier, "web1", 2).as_deref(), Some("Refused"));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// A verification asks for the files once, and goes on with the answer.
#[test]
fn the_files_are_looked_at_once_and_only_if_that_can_matter() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    fs::write(&file, line("web1", 1) + &format!("@revoked {}", line("*", 9))).unwrap();
    let pin = HostKeyPins::new().for_host("web2", ed25519(2).fingerprint());
    let policies = [
        (HostKeyPolicy::strict(), [false, true, true]),
        (HostKeyPolicy::pinned(pin), [false, false, true]),
        (HostKeyPolicy::danger_accept_any_host_key(), [false, false, false]),
        (HostKeyPolicy::accept_new(&file), [false, true, true]),
    ];
    for (policy, expected) in policies {
        let text = format!("{policy:?}");
        let verifier = Verifier::new(KnownHosts::load(&[&file]).unwrap(), policy);
        // A known key, a changed key, and a revoked key.
        for (seed, expected) in [1, 2, 9].into_iter().zip(expected) {
            let key: HostKey = ed25519(seed);
            let host = if text.contains("Pinned") && seed == 2 { "web2" } else { "web1" };
            let mut verification = verifier.begin(&host.into(), 22, key.into_blob().into_vec(), &[]).unwrap();
            let mut requests = 0;
            let decision = loop {
                match verifier.advance(&mut verification, usize::MAX) {
                    Decision::Pending => {
                        let request = verification.take_request().expect("a request");
                        assert!(matches!(request, DiskRequest::Reread), "{request:?}");
                        assert!(verification.take_request().is_none() && verification.awaits_disk());
                        requests += 1;
                        verifier
                            .serve(vec![request])
                            .into_iter()
                            .for_each(|answer| verification.answer(answer));
                    }
                    decision => break decision,
                }
            };
            assert_eq!(requests, usize::from(expected), "{text}: key {seed}");
            assert!(!matches!(decision, Decision::Instead(_)), "{decision:?}");
        }
    }
    let unknown = strict(&[]).verify("web1", 22, &ed25519(1)).unwrap_err();
    assert!(matches!(unknown.problem(), HostKeyProblem::Unknown));
}

/// Two hosts are searched for, and the file changes. The request of the second is served after the
/// first has made the verifier read the file.
#[test]
fn all_hosts_that_were_searched_for_before_a_change_profit_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let verifier = strict(&[&file]);
    let mut waiting = [("web1", 1), ("web2", 2)].map(|(host, seed)| {
        let key = ed25519(seed).into_blob().into_vec();
        let mut verification = verifier.begin(&host.into(), 22, key, &[]).unwrap();
        assert!(matches!(verifier.advance(&mut verification, usize::MAX), Decision::Pending));
        verification
    });
    fs::write(&file, line("web1", 1) + &line("web2", 2)).unwrap();
    for verification in &mut waiting {
        let request = verification.take_request().unwrap();
        verifier.serve(vec![request]).into_iter().for_each(|answer| verification.answer(answer));
        let decision = verifier.advance(verification, usize::MAX);
        assert!(matches!(decision, Decision::Accepted(_)), "{decision:?}");
    }
}
