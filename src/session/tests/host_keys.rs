//! Which host key a host is asked for, given the keys on record for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::call::Call;
use super::harness::{Bench, Config, HANDSHAKE};
use super::script::{Peer, Script, host_key, private_key};
use crate::credential::Secret;
use crate::error::{AuthProblem, HostErrorKind};
use crate::hostkey::tests::take_comparisons;
use crate::hostkey::{HostKey, HostKeyDecision, HostKeyPolicy, HostKeyProblem, KnownHosts, Verifier};
use crate::session::state::Phase;
use crate::session::{Answerer, Input, Offer};
use crate::stage::{Stage, TimeoutKind};

/// A key of a type that no recorded line has.
pub(super) fn other_key() -> Vec<u8> {
    let point = [&[4], &[7; 64][..]].concat();
    let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    [field(b"ecdsa-sha2-nistp256"), field(b"nistp256"), field(&point)].concat()
}

/// Trusts key 0 for the hosts with these names.
pub(super) fn knows(names: &str) -> Arc<Verifier> {
    let trusted = BASE64_STANDARD.encode(host_key(0));
    let mut known = KnownHosts::empty();
    known.parse(format!("{names} ssh-ed25519 {trusted}\n").as_bytes(), Path::new("known_hosts"));
    Arc::new(Verifier::new(known, HostKeyPolicy::strict()))
}

/// Accepts new hosts that present key 0, and records that key in this file. The other keys of the
/// tests are revoked.
pub(super) fn accepts_new(file: impl Into<PathBuf>) -> Arc<Verifier> {
    let mut known = KnownHosts::empty();
    for key in [host_key(1), other_key()] {
        let line = format!("@revoked * {}\n", HostKey::from_blob(key).unwrap().to_openssh());
        known.parse(line.as_bytes(), Path::new("revoked"));
    }
    Arc::new(Verifier::new(known, HostKeyPolicy::accept_new(file)))
}

/// Has another key on record for web1 than the one that it presents, and accepts that one.
pub(super) fn accepts_changed() -> Arc<Verifier> {
    let mut known = KnownHosts::empty();
    let other = HostKey::from_blob(host_key(1)).unwrap().to_openssh();
    known.parse(format!("web1 {other}\n").as_bytes(), Path::new("known_hosts"));
    Arc::new(Verifier::new(known, HostKeyPolicy::danger_accept_changed("/dev/null")))
}

/// Creates a host without a recorded key, and a command for it. Recording the host's key takes this
/// many rounds.
pub(super) fn new_host(after: Option<u32>) -> Bench {
    let config = Config { verifier: accepts_new("/dev/null"), ..Config::default() };
    let mut bench = Bench::with(config, Script::default());
    bench.disk.after = after;
    bench.command();
    bench
}

/// A host that presents these keys, one on each connection. Its trusted key is on record under
/// these names.
fn host(names: &str, keys: Vec<Vec<u8>>) -> Bench {
    let verifier = knows(names);
    let peers = keys.into_iter().map(|key| Peer { key, ..Peer::default() }).collect();
    Bench::with(Config { verifier, ..Config::default() }, Script::peers(peers))
}

pub(super) fn shows_the_recorded_key_when_asked_for_it() -> Bench {
    let mut bench = host("web*", vec![other_key(), host_key(0)]);
    bench.command();
    bench.run();
    bench
}

fn assert_other_type(bench: &Bench) {
    let HostErrorKind::HostKey(error) = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
    assert!(matches!(error.problem(), HostKeyProblem::OtherType { .. }), "{error}");
    assert_eq!(bench.error(0).attempt(), 1, "no attempt was used up");
}

#[test]
fn a_plain_name_is_found_at_once() {
    let mut bench = host("web1", vec![host_key(0)]);
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.link.offered, [["ssh-ed25519"]]);
}

#[test]
fn a_name_that_needs_a_search_is_searched_for_only_if_the_key_differs() {
    let mut bench = host("web*", vec![host_key(0)]);
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.link.offered, [[""; 0]], "the first key was right");

    let bench = shows_the_recorded_key_when_asked_for_it();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.link.offered, [vec![], vec!["ssh-ed25519"]]);
}

#[test]
fn the_found_algorithms_are_remembered() {
    let mut bench = shows_the_recorded_key_when_asked_for_it();
    bench.step(Input::Close);
    assert_eq!(bench.phase(), Phase::Closed);
    bench.command();
    bench.run();
    assert!(bench.outcome(1).is_success());
    assert_eq!(bench.link.offered[2..], [["ssh-ed25519"]]);
}

#[test]
fn a_host_without_the_recorded_key_is_asked_once_and_refused() {
    let mut bench = host("web*", vec![other_key()]);
    bench.command();
    bench.run();
    assert_eq!(bench.link.offered, [vec![], vec!["ssh-ed25519"]]);
    assert_other_type(&bench);
    // The host is on record under a plain name, so the key was asked for from the start.
    let mut bench = host("web1", vec![other_key()]);
    bench.command();
    bench.run();
    assert_eq!(bench.link.offered, [["ssh-ed25519"]]);
    assert_other_type(&bench);
}

#[test]
fn a_host_that_is_not_on_record_is_refused_at_once() {
    let mut bench = host("db*", vec![other_key()]);
    bench.command();
    bench.run();
    let HostErrorKind::HostKey(error) = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
    assert!(matches!(error.problem(), HostKeyProblem::Unknown), "{error}");
    assert_eq!(bench.link.offered.len(), 1);
}

/// A file of 100,000 lines for other hosts. Each line holds one hashed name with its own salt, so
/// only a comparison can rule it out.
fn crowd(lines: usize) -> KnownHosts {
    let key = HostKey::from_blob(host_key(1)).unwrap().to_openssh();
    let mut text = String::new();
    for line in 0..lines {
        let mut salt = [0; 20];
        salt[..8].copy_from_slice(&line.to_be_bytes());
        let [salt, digest] = [BASE64_STANDARD.encode(salt), BASE64_STANDARD.encode([7; 20])];
        writeln!(text, "|1|{salt}|{digest} {key}").unwrap();
    }
    let mut known = KnownHosts::empty();
    known.parse(text.as_bytes(), Path::new("known_hosts"));
    assert_eq!(known.len(), lines);
    known
}

/// How many comparisons one visit may make. At half a microsecond each, they take well below a
/// millisecond.
const SLICE_MAX: usize = 1_000;

/// Runs the bench's next round. Returns how many comparisons it made, which must be at most one
/// slice.
#[track_caller]
fn round_of_verification(bench: &mut Bench) -> usize {
    bench.round();
    let compared = take_comparisons();
    assert!(compared <= SLICE_MAX, "{compared} comparisons in one visit");
    compared
}

#[test]
fn no_visit_compares_more_than_a_slice_however_many_lines_there_are() {
    const LINES: usize = 100_000;
    type Policy = fn() -> HostKeyPolicy;
    let cases: [(&str, Policy, usize); 4] = [
        ("strict", HostKeyPolicy::strict, 0),
        ("ask", || HostKeyPolicy::ask(|_| HostKeyDecision::Refuse), 0),
        ("accept-new", || HostKeyPolicy::accept_new("/dev/full"), 0),
        // The key of all the other hosts, which are copies of one machine.
        ("shared key", HostKeyPolicy::strict, 1),
    ];
    for (what, policy, key) in cases {
        let verifier = Arc::new(Verifier::new(crowd(LINES), policy()));
        let peer = Peer { key: host_key(key), ..Peer::default() };
        let mut bench = Bench::with(Config { verifier, ..Config::default() }, Script::peer(peer));
        bench.check_idle = false;
        bench.command();
        take_comparisons();
        let (mut visits, mut all) = (0, 0);
        while bench.phase() != Phase::Failed {
            let calls = bench.link.calls.len();
            let was_verifying = bench.phase() == Phase::Verifying;
            all += round_of_verification(&mut bench);
            visits += 1;
            assert!(visits < LINES, "{what}: the search does not end");
            if was_verifying && bench.phase() == Phase::Verifying {
                assert_eq!(bench.link.calls.len(), calls, "{what}: the link was used during verification");
            }
        }
        // Each line is compared twice: as a line with this key, and as a line of this host.
        assert_eq!(all, LINES * (1 + key), "{what}: total comparisons");
        assert!(visits >= LINES / SLICE_MAX, "{what}: {visits} visits");
        let HostErrorKind::HostKey(error) = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
        let as_expected = match error.problem() {
            HostKeyProblem::Unknown => what == "strict" || what == "shared key",
            HostKeyProblem::Refused => what == "ask",
            HostKeyProblem::CannotRecord { .. } => what == "accept-new",
            _ => false,
        };
        assert!(as_expected, "{what}: {error}");
        assert!(bench.calls(|call| matches!(call, Call::RequestAuth)).is_empty());
    }
}

#[test]
fn a_search_ends_with_the_time_limit_of_the_handshake() {
    let verifier = Arc::new(Verifier::new(crowd(20_000), HostKeyPolicy::strict()));
    let config = Config { verifier, attempts: 1, ..Config::default() };
    let mut bench = Bench::with(config, Script::default());
    bench.command();
    bench.run_until_phase(Phase::Verifying);
    let deadline = bench.deadline().unwrap();
    bench.round = HANDSHAKE / 10;
    while bench.phase() == Phase::Verifying {
        assert_eq!(bench.deadline(), Some(deadline), "the search has moved the deadline");
        bench.round();
    }
    assert_handshake_timeout(&bench);
}

#[test]
fn further_inputs_do_not_speed_up_a_search() {
    let verifier = Arc::new(Verifier::new(crowd(20_000), HostKeyPolicy::strict()));
    let mut bench = Bench::with(Config { verifier, ..Config::default() }, Script::default());
    bench.check_idle = false;
    (0..100).for_each(|_| _ = bench.command());
    bench.run_until_phase(Phase::Verifying);
    take_comparisons();
    (1..100).for_each(|number| bench.cancel(number));
    assert_eq!((bench.phase(), take_comparisons()), (Phase::Verifying, 0));
}

fn assert_handshake_timeout(bench: &Bench) {
    let error = bench.error(0);
    let HostErrorKind::Timeout { kind, after } = error.kind() else { panic!("{error}") };
    assert_eq!((*kind, *after, error.stage()), (TimeoutKind::Handshake, HANDSHAKE, Stage::Handshaking));
}

#[test]
fn a_new_host_is_logged_in_to_once_its_key_is_recorded() {
    let mut bench = new_host(Some(20));
    bench.run_until_phase(Phase::Verifying);
    let calls = bench.link.calls.len();
    while bench.phase() == Phase::Verifying {
        // The socket may have become ready.
        bench.step(Input::Wake);
        assert_eq!(bench.link.calls.len(), calls, "the link was used during verification");
        assert!(bench.round());
    }
    bench.run();
    assert!(bench.outcome(0).is_success());
    // A key that is on record requires no recorder.
    bench.step(Input::Close);
    bench.command();
    bench.run();
    assert!(bench.outcome(1).is_success());
    assert_eq!(bench.disk.asked, 1);
    assert_eq!(bench.link.offered, [vec![], vec!["ssh-ed25519"]]);
}

#[test]
fn a_new_host_times_out_if_its_key_is_never_recorded() {
    let mut bench = new_host(None);
    bench.run();
    assert_eq!(bench.error(0).attempt(), 3);
    assert_eq!(bench.disk.asked, 3);
    assert_handshake_timeout(&bench);
    assert!(bench.calls(|call| matches!(call, Call::RequestAuth)).is_empty());
}

#[test]
fn a_host_whose_key_cannot_be_recorded_is_refused() {
    let verifier = accepts_new("/dev/full");
    let mut bench = Bench::with(Config { verifier, ..Config::default() }, Script::default());
    bench.command();
    bench.run();
    assert_eq!(bench.error(0).attempt(), 1, "a host that cannot be recorded must not be retried");
    let text = bench.error(0).to_string();
    assert!(text.contains("is new but cannot be recorded in /dev/full: No space left on device"), "{text}");
    assert!(bench.calls(|call| matches!(call, Call::RequestAuth)).is_empty());
}

/// In any other order, the callback would be asked about the wrong key.
#[test]
fn the_callback_is_asked_only_after_the_host_was_asked_for_the_recorded_key() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let policy = HostKeyPolicy::ask(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        HostKeyDecision::Refuse
    });
    let trusted = HostKey::from_blob(host_key(0)).unwrap().to_openssh();
    let mut known = KnownHosts::empty();
    known.parse(format!("web* {trusted}\n").as_bytes(), Path::new("known_hosts"));
    let verifier = Arc::new(Verifier::new(known, policy));
    let peers = [other_key(), host_key(0)].map(|key| Peer { key, ..Peer::default() });
    let mut bench = Bench::with(Config { verifier, ..Config::default() }, Script::peers(peers.into()));
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.link.offered, [vec![], vec!["ssh-ed25519"]]);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[test]
fn a_callback_that_panics_fails_its_host_alone() {
    let verifier = Arc::new(Verifier::new(KnownHosts::empty(), HostKeyPolicy::ask(|_| panic!("on purpose"))));
    let mut bench = Bench::with(Config { verifier, ..Config::default() }, Script::default());
    bench.command();
    bench.run();
    let HostErrorKind::HostKey(error) = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
    assert!(matches!(error.problem(), HostKeyProblem::Panicked), "{error}");
}

/// Neither is tried, and the key that is tried is enough.
#[test]
fn a_host_with_a_changed_key_gets_no_password_and_no_answer() {
    let password = || Offer::Password(Secret::new("hunter2".to_owned()).unwrap());
    let answers =
        || Offer::Interactive(Answerer::Password(Secret::new("hunter2".to_owned()).unwrap(), "".into()));
    let key = || Offer::Sign(private_key(0));
    let run = |plan| {
        let config = Config { verifier: accepts_changed(), plan, attempts: 2, ..Config::default() };
        let mut bench = Bench::with(config, Script::default());
        bench.command();
        bench.run();
        bench
    };
    let tried = |bench: &Bench| {
        let is_tried = |call: &Call| matches!(call, Call::Authenticate(_) | Call::Interact);
        let mut tried: Vec<_> = bench.calls(is_tried).iter().map(|call| format!("{call:?}")).collect();
        tried.dedup();
        tried
    };
    let bench = run(vec![password(), answers(), key()]);
    assert!(bench.outcome(0).is_success(), "{:?}", bench.outcome(0));
    assert_eq!(tried(&bench), ["Authenticate(Sign(0))"]);

    let bench = run(vec![password(), answers()]);
    let error = bench.error(0);
    assert_eq!((error.stage(), error.attempt()), (Stage::Authenticating, 1));
    assert_eq!(tried(&bench), [""; 0]);
    let HostErrorKind::Auth { problems, tried, .. } = error.kind() else { panic!("{error}") };
    assert_eq!((&problems[..], &tried[..]), (&[AuthProblem::HostKeyChanged][..], &[][..]));
    assert!(error.to_string().contains("passwords and keyboard-interactive are off"), "{error}");
}
