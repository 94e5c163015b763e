//! How each policy treats each verdict, and the texts of the errors.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::super::{
    Acceptance, Decision, HostKey, HostKeyDecision, HostKeyError, HostKeyPins, HostKeyPolicy, HostKeyProblem,
    KeyError, KnownHosts, Verifier,
};
use super::support::{describe, ed25519, rsa};

/// `known` has key 1; `changed` has key 2; `other` has an RSA key; key 3 is revoked.
fn known_hosts() -> KnownHosts {
    let [one, two, three] = [1, 2, 3].map(|seed| ed25519(seed).to_openssh());
    let rsa = rsa(1).to_openssh();
    let text =
        format!("known {one}\nchanged {two}\nother {rsa}\n@revoked * {three}\n@cert-authority ca* {two}\n");
    let mut known = KnownHosts::empty();
    known.parse(text.as_bytes(), Path::new("/etc/ssh/known"));
    known
}

fn outcome(verifier: &Verifier, host: &str, key: &HostKey) -> String {
    match verifier.verify(host, 22, key) {
        Ok(verified) => {
            assert_eq!(verified.fingerprint(), key.fingerprint());
            assert_eq!(verified.key_type(), key.key_type());
            match verified.acceptance() {
                Acceptance::Known(location) => format!("known {location}"),
                other => format!("{other:?}"),
            }
        }
        Err(error) => {
            assert_eq!(error.fingerprint(), Some(key.fingerprint()));
            assert_eq!(error.algorithm(), Some(key.algorithm()));
            assert_eq!((error.host(), error.port()), (host, 22));
            let at = error.location().map(|location| format!(" {location}")).unwrap_or_default();
            format!("{:?}{at}", error.problem())
        }
    }
}

fn outcomes(policy: HostKeyPolicy) -> Vec<String> {
    let verifier = Verifier::new(known_hosts(), policy);
    let shown = [("known", 1), ("new", 1), ("changed", 1), ("other", 1), ("known", 3), ("new", 3)];
    shown.iter().map(|(host, seed)| outcome(&verifier, host, &ed25519(*seed))).collect()
}

#[test]
fn strict_is_the_default_and_accepts_known_keys_only() {
    let expected = [
        "known /etc/ssh/known:1",
        "Unknown",
        "Changed /etc/ssh/known:2",
        "OtherType { recorded: [Rsa] } /etc/ssh/known:3",
        "Revoked /etc/ssh/known:4",
        "Revoked /etc/ssh/known:4",
    ];
    assert_eq!(outcomes(HostKeyPolicy::default()), expected);
    assert_eq!(outcomes(HostKeyPolicy::strict()), expected);
}

#[test]
fn the_dangerous_policy_accepts_any_key() {
    assert_eq!(outcomes(HostKeyPolicy::danger_accept_any_host_key()), ["DangerAcceptedAny"; 6]);
}

#[test]
fn pins_replace_the_files_but_not_revocations() {
    let [one, three] = [1, 3].map(|seed| ed25519(seed).fingerprint());
    let all = HostKeyPins::new().for_any_host(one).for_any_host(three);
    let revoked = "Revoked /etc/ssh/known:4";
    assert_eq!(
        outcomes(HostKeyPolicy::pinned(all)),
        ["Pinned", "Pinned", "Pinned", "Pinned", revoked, revoked]
    );
    let some = HostKeyPins::new().for_host("NEW", one);
    let not = "NotPinned";
    assert_eq!(outcomes(HostKeyPolicy::pinned(some)), [not, "Pinned", not, not, revoked, revoked]);
    assert_eq!(outcomes(HostKeyPolicy::pinned(HostKeyPins::new()))[..4], [not; 4]);
}

#[test]
fn pins_for_a_port_apply_to_that_port_only() {
    let key = ed25519(1);
    let accepts = |pins: HostKeyPins, host: &str, port| {
        let verifier = Verifier::new(KnownHosts::empty(), HostKeyPolicy::pinned(pins));
        verifier.verify(host, port, &key).is_ok()
    };
    let port = || HostKeyPins::new().for_port("web1", 2222, key.fingerprint());
    assert!(accepts(port(), "web1", 2222));
    assert!(!accepts(port(), "web1", 22));
    let host = || HostKeyPins::new().for_host("web1", key.fingerprint());
    assert!(accepts(host(), "web1", 22) && accepts(host(), "web1", 2222));
    assert!(!accepts(host(), "web2", 22));
}

#[test]
fn the_callback_decides_about_keys_not_on_record() {
    for (answer, result) in [(HostKeyDecision::Accept, "Asked"), (HostKeyDecision::Refuse, "Refused")] {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let policy = HostKeyPolicy::ask(move |question| {
            assert_eq!(question.key, &ed25519(1));
            let verdict = describe(question.verdict);
            log.lock().unwrap().push(format!("{}:{} {verdict}", question.host, question.port));
            answer
        });
        let revoked = "Revoked /etc/ssh/known:4";
        let expected = ["known /etc/ssh/known:1", result, result, result, revoked, revoked];
        assert_eq!(outcomes(policy), expected);
        let asked = asked.lock().unwrap();
        assert_eq!(*asked, ["new:22 unknown", "changed:22 changed 2", "other:22 other 3 rsa"]);
    }
}

#[test]
fn one_verifier_serves_all_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let verifier = Verifier::new(
        known_hosts(),
        HostKeyPolicy::ask(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            HostKeyDecision::Refuse
        }),
    );
    shared(&verifier);
    assert!(verifier.verify("known", 22, &ed25519(1)).is_ok());
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

/// The algorithms to request from a host before deciding on its key, according to a verifier that
/// advances line by line.
fn instead(verifier: &Verifier, host: &str, port: u16, requested: &[&'static str]) -> Vec<&'static str> {
    let key = ed25519(9).blob().to_vec();
    let mut verification = verifier.begin(&Arc::from(host), port, key, requested).unwrap();
    loop {
        match verifier.advance(&mut verification, 1) {
            Decision::Pending => {
                assert!(verification.is_searching() && verification.take_request().is_none())
            }
            Decision::Instead(algorithms) => return algorithms,
            Decision::Accepted(_) | Decision::Refused(_) => return Vec::new(),
        }
    }
}

#[test]
fn another_key_is_requested_only_if_it_could_be_on_record() {
    let more = || {
        let mut known = known_hosts();
        known.parse(format!("bare* {}\n", rsa(2).to_openssh()).as_bytes(), Path::new("/etc/ssh/more"));
        known
    };
    let rsa = ["rsa-sha2-512", "rsa-sha2-256"];
    let policies = [
        HostKeyPolicy::strict(),
        HostKeyPolicy::accept_new("/dev/null"),
        HostKeyPolicy::ask(|_| panic!("the keys on record have had no chance")),
    ];
    for policy in policies {
        let verifier = Verifier::new(more(), policy);
        assert_eq!(instead(&verifier, "other", 22, &[]), rsa);
        assert_eq!(instead(&verifier, "bare", 22, &["ssh-ed25519"]), rsa);
        assert_eq!(instead(&verifier, "bare", 2222, &[]), rsa, "the line of the host without its port");
    }
    let verifier = Verifier::new(more(), HostKeyPolicy::strict());
    for host in ["new", "changed", "known"] {
        assert!(instead(&verifier, host, 22, &[]).is_empty(), "{host}");
    }
    assert!(instead(&verifier, "new", 2222, &[]).is_empty());
    assert!(instead(&verifier, "other", 22, &rsa).is_empty(), "it was asked for them");
    let pinned = Verifier::new(known_hosts(), HostKeyPolicy::pinned(HostKeyPins::new()));
    assert!(instead(&pinned, "other", 22, &[]).is_empty());
}

#[test]
fn a_callback_that_panics_refuses_the_host() {
    let verifier = Verifier::new(known_hosts(), HostKeyPolicy::ask(|_| panic!("on purpose")));
    let error = verifier.verify("new", 22, &ed25519(1)).unwrap_err();
    assert!(matches!(error.problem(), HostKeyProblem::Panicked), "{error}");
    let text = error.to_string();
    assert!(text.ends_with(" was not accepted: the host key callback panicked"), "{text}");
    assert!(!text.contains("on purpose"));
    assert!(verifier.verify("known", 22, &ed25519(1)).is_ok(), "it is not asked");
}

#[test]
fn an_invalid_key_blob_is_refused_by_every_policy() {
    let verifier = Verifier::new(KnownHosts::empty(), HostKeyPolicy::danger_accept_any_host_key());
    let error = verifier.verify_blob("web1", 22, b"junk".to_vec()).unwrap_err();
    assert!(matches!(error.problem(), HostKeyProblem::Malformed(KeyError::Damaged)), "{error}");
    assert_eq!(error.to_string(), "host key of web1 cannot be read: malformed key");
    assert!(verifier.verify_blob("web1", 22, ed25519(1).blob().to_vec()).is_ok());
}

fn strict_error(host: &str, port: u16, seed: u64) -> HostKeyError {
    Verifier::new(known_hosts(), HostKeyPolicy::strict()).verify(host, port, &ed25519(seed)).unwrap_err()
}

#[test]
fn errors_say_what_to_do() {
    let [one, three] = [1, 3].map(|seed| ed25519(seed).fingerprint());
    assert_eq!(
        strict_error("new", 2222, 1).to_string(),
        format!(
            "host key of new:2222 (ssh-ed25519 {one}) is not known; check the fingerprint with the host's \
             administrator, then add the key to a file that known_hosts names; HostKeyPolicy::accept_new \
             would trust the first key of each new host"
        )
    );
    assert_eq!(
        strict_error("changed", 22, 1).to_string(),
        format!(
            "host key of changed (ssh-ed25519 {one}) has changed: another key is on record in \
             /etc/ssh/known:2; someone may be intercepting the connection; if the change is genuine, remove \
             the old key with `ssh-keygen -R 'changed' -f '/etc/ssh/known'`"
        )
    );
    assert_eq!(
        strict_error("other", 22, 1).to_string(),
        format!(
            "host key of other (ssh-ed25519 {one}) is not on record, but a key of another type is: ssh-rsa \
             in /etc/ssh/known:3; check the fingerprint and add the key, or let the server offer the \
             recorded type"
        )
    );
    assert_eq!(
        strict_error("known", 22, 3).to_string(),
        format!(
            "host key of known (ssh-ed25519 {three}) is revoked by /etc/ssh/known:4; the host may be using a \
             stolen key"
        )
    );
    let of_authority = strict_error("ca1", 22, 1);
    assert!(matches!(of_authority.problem(), HostKeyProblem::AuthorityOnly { .. }));
    assert_eq!(
        of_authority.to_string(),
        format!(
            "host key of ca1 (ssh-ed25519 {one}) is not on record: /etc/ssh/known:5 only names a certificate \
             authority for the host, and libssh does not support host certificates; check the fingerprint, \
             then record the host's plain key, for example with `ssh-keyscan 'ca1'`, or let \
             HostKeyPolicy::accept_new record it"
        )
    );
}

/// `StrictHostKeyChecking no`: a changed key is accepted, but the connection is restricted.
#[test]
fn a_changed_key_that_is_accepted_restricts_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new");
    let policy = HostKeyPolicy::danger_accept_changed(&file);
    assert_eq!(
        outcomes(policy.clone()),
        [
            "known /etc/ssh/known:1".to_owned(),
            format!("known {}:1", file.display()),
            "DangerAcceptedChanged".to_owned(),
            "DangerAcceptedChanged".to_owned(),
            "Revoked /etc/ssh/known:4".to_owned(),
            "Revoked /etc/ssh/known:4".to_owned(),
        ]
    );
    let restricted =
        |verifier: &Verifier, host| verifier.verify(host, 22, &ed25519(1)).unwrap().is_restricted();
    let verifier = Verifier::new(known_hosts(), policy);
    let hosts = ["known", "new", "changed", "other"];
    assert_eq!(hosts.map(|host| restricted(&verifier, host)), [false, false, true, true]);
    // A key that cannot be recorded is accepted, because it is no other key than before.
    let full = Verifier::new(known_hosts(), HostKeyPolicy::danger_accept_changed("/dev/full"));
    for host in ["new", "a*"] {
        assert_eq!(outcome(&full, host, &ed25519(1)), "DangerAcceptedUnrecorded");
        assert!(!restricted(&full, host));
    }
    assert!(restricted(&full, "changed"));
}

#[test]
fn equal_policies_are_equal() {
    let pins = |seed| HostKeyPins::new().for_host("known", ed25519(seed).fingerprint());
    let ask = || HostKeyPolicy::ask(|_| HostKeyDecision::Accept);
    let policies = || {
        [
            HostKeyPolicy::strict(),
            HostKeyPolicy::accept_new("a"),
            HostKeyPolicy::accept_new("b"),
            HostKeyPolicy::accept_new_hashed("a"),
            HostKeyPolicy::danger_accept_changed("a"),
            HostKeyPolicy::pinned(pins(1)),
            HostKeyPolicy::pinned(pins(2)),
            HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(ed25519(1).fingerprint())),
            HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(ed25519(2).fingerprint())),
            HostKeyPolicy::danger_accept_any_host_key(),
        ]
    };
    let hash = |policy: &HostKeyPolicy| {
        let mut hasher = DefaultHasher::new();
        policy.hash(&mut hasher);
        hasher.finish()
    };
    for (index, one) in policies().iter().enumerate() {
        for (other_index, other) in policies().iter().enumerate() {
            assert_eq!(one == other, index == other_index, "{one:?} and {other:?}");
            assert_eq!(hash(one) == hash(other), index == other_index, "{one:?} and {other:?}");
        }
    }
    let asked = ask();
    assert_eq!(asked, asked.clone());
    assert_ne!(asked, ask());
    assert_eq!(HostKeyPolicy::accept_new("a").hashing(), HostKeyPolicy::accept_new_hashed("a"));
}

#[test]
fn the_file_to_add_a_key_to_is_one_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let [absent, present] = ["it's absent", "present"].map(|name| folder.path().join(name));
    std::fs::write(&present, "").unwrap();
    let null = Path::new("/dev/null");
    let advice = |files: &[&Path]| {
        let known = KnownHosts::load(files).unwrap();
        let error = Verifier::new(known, HostKeyPolicy::strict()).verify("new", 22, &ed25519(1)).unwrap_err();
        let text = error.to_string();
        let command = text.split('`').nth(1).map(str::to_owned);
        command.ok_or(text)
    };
    let to = |file: &Path| {
        let quoted = file.display().to_string().replace('\'', r"'\''");
        Ok(format!("ssh-keyscan 'new' >> '{quoted}'"))
    };
    assert_eq!(advice(&[&present, &absent]), to(&present));
    assert_eq!(advice(&[&absent, &present]), to(&absent));
    assert_eq!(advice(&[null, &present]), to(&present));
    for files in [&[][..], &[null]] {
        let text = advice(files).unwrap_err();
        assert!(text.contains("add the key to a file that known_hosts names"), "{text}");
    }
}

#[test]
fn errors_cannot_write_to_the_terminal() {
    for host in ["\u{1b}]52;c;eA==\u{7}", "a\rb", "a\u{9b}2J", "a\u{202e}b", "a\u{200b}b", "a'; rm -rf ~; '"]
    {
        let text = strict_error(host, 22, 1).to_string();
        let visible = |character: char| character.is_ascii_graphic() || character == ' ';
        assert!(text.chars().all(visible), "{text:?}");
        assert!(!text.contains("ssh-keyscan"), "no command with such a name: {text}");
    }
}
