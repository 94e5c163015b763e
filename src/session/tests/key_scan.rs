//! Fetching the keys of a host without a login.

use std::path::Path;
use std::sync::Arc;

use super::harness::{Bench, Config};
use super::host_keys::other_key;
use super::script::{Answer, Peer, Script, host_key};
use crate::error::{CancelCause, HostErrorKind};
use crate::hostkey::{
    HostKey, HostKeyPins, HostKeyPolicy, HostKeyProblem, KeyType, KnownHosts, Verdict, Verifier,
};
use crate::limits;
use crate::link::{LinkError, LinkErrorKind};
use crate::session::Input;
use crate::session::state::Phase;

const ALL: &str =
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256";

fn rsa() -> Vec<u8> {
    let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    [field(b"ssh-rsa"), field(&[1, 0, 1]), field(&[0x7f; 256])].concat()
}

fn shows(key: Vec<u8>) -> Peer {
    Peer { key, ..Peer::default() }
}

fn fails(kind: LinkErrorKind) -> Peer {
    Peer { handshake: Answer { after: Some(1), says: Err(LinkError::new(kind, "")) }, ..Peer::default() }
}

/// A scan of a host that behaves like these peers, one on each connection.
fn scan_with(verifier: Arc<Verifier>, peers: Vec<Peer>) -> Bench {
    let mut bench = Bench::with(Config { verifier, ..Config::default() }, Script::peers(peers));
    bench.step(Input::Scan);
    bench
}

fn verifier(lines: &str, policy: HostKeyPolicy) -> Arc<Verifier> {
    let mut known = KnownHosts::empty();
    known.parse(lines.as_bytes(), Path::new("known_hosts"));
    Arc::new(Verifier::new(known, policy))
}

fn nothing_known() -> Arc<Verifier> {
    verifier("", HostKeyPolicy::strict())
}

fn line(names: &str, key: &[u8]) -> String {
    format!("{names} {}\n", HostKey::from_blob(key.to_vec()).unwrap().to_openssh())
}

/// The verdict on each key that the only result has.
fn verdicts(bench: &Bench) -> Vec<(&'static str, &Verdict)> {
    let [host] = &bench.scanned[..] else { panic!("{:?}", bench.scanned) };
    host.keys().iter().map(|shown| (shown.key.algorithm(), &shown.verdict)).collect()
}

#[track_caller]
fn assert_shown(bench: &Bench, types: &[&str]) {
    assert_eq!(verdicts(bench).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), types);
}

#[test]
fn a_host_is_asked_for_each_type_that_it_lists() {
    let mut bench = scan_with(nothing_known(), vec![shows(host_key(0)), shows(rsa()), shows(other_key())]);
    bench.link.listed = Some("rsa-sha2-512,rsa-sha2-256,ssh-ed25519,x");
    bench.run();
    assert_shown(&bench, &["ssh-ed25519", "ssh-rsa"]);
    assert!(verdicts(&bench).iter().all(|(_, verdict)| **verdict == Verdict::Unknown));
    assert!(bench.scanned[0].error().is_none());
    assert_eq!((bench.scanned[0].host(), bench.scanned[0].name()), ("web1", "web1"));
    assert_eq!(bench.link.asked, [ALL, &ALL["ssh-ed25519,".len()..]]);
    assert_eq!((bench.phase(), bench.dials(), bench.key_exchanges), (Phase::Closed, 2, 2));
}

#[test]
fn a_host_whose_list_is_unknown_is_asked_until_it_has_none_of_the_rest() {
    let keys = [host_key(0), other_key(), rsa()].map(shows);
    let peers = keys.into_iter().chain([fails(LinkErrorKind::NoCommonAlgorithm)]).collect();
    let mut bench = scan_with(nothing_known(), peers);
    bench.run();
    assert_shown(&bench, &["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]);
    assert!(bench.scanned[0].error().is_none());
    assert_eq!(bench.link.asked[3], "ecdsa-sha2-nistp384,ecdsa-sha2-nistp521");
    assert_eq!((bench.phase(), bench.dials()), (Phase::Closed, 4));
}

#[test]
fn a_host_without_any_of_the_types_is_an_error() {
    let mut bench = scan_with(nothing_known(), vec![fails(LinkErrorKind::NoCommonAlgorithm)]);
    bench.run();
    assert_shown(&bench, &[]);
    assert!(matches!(bench.scanned[0].error().unwrap().kind(), HostErrorKind::Handshake(_)));
    assert_eq!((bench.phase(), bench.dials()), (Phase::Failed, 1));
}

#[test]
fn verdicts_are_those_of_the_files_whatever_the_policy() {
    let lines = line("web1", &host_key(0)) + &line("web1", &rsa()) + &line("@revoked *", &rsa());
    for policy in [
        HostKeyPolicy::strict(),
        HostKeyPolicy::pinned(HostKeyPins::new()),
        HostKeyPolicy::danger_accept_any_host_key(),
        HostKeyPolicy::accept_new("/dev/full"),
    ] {
        let keys = vec![shows(host_key(0)), shows(other_key()), shows(rsa())];
        let mut bench = scan_with(verifier(&lines, policy), keys);
        bench.link.listed = Some("ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512");
        bench.run();
        let [(_, ed25519), (_, ecdsa), (_, rsa)] = verdicts(&bench)[..] else {
            panic!("{:?}", bench.scanned)
        };
        assert!(matches!(ed25519, Verdict::Known { .. }), "{ed25519:?}");
        assert!(
            matches!(ecdsa, Verdict::OtherType { recorded } if recorded[0].1.line() == Some(1)),
            "{ecdsa:?}"
        );
        assert!(matches!(rsa, Verdict::Revoked { .. }), "{rsa:?}");
    }
    let mut bench = scan_with(verifier(&lines, HostKeyPolicy::strict()), vec![shows(host_key(1))]);
    bench.link.listed = Some("ssh-ed25519");
    bench.run();
    assert!(matches!(verdicts(&bench)[..], [(_, Verdict::Changed { .. })]), "{:?}", bench.scanned);
}

#[test]
fn an_authority_is_named_if_it_is_all_that_covers_the_host() {
    let known = verifier(&line("@cert-authority web*", &host_key(1)), HostKeyPolicy::strict());
    let mut bench = scan_with(known, vec![shows(host_key(0))]);
    bench.link.listed = Some("ssh-ed25519");
    bench.run();
    assert_eq!(bench.scanned[0].authority().unwrap().line(), Some(1));
}

/// The second key is an RSA key again, so that a host cannot keep a scan busy for ever.
#[test]
fn a_key_of_a_type_that_was_not_asked_for_ends_the_scan() {
    for first in [host_key(0), rsa()] {
        let mut bench = scan_with(nothing_known(), vec![shows(first.clone()), shows(first)]);
        bench.run();
        assert_eq!(verdicts(&bench).len(), 1);
        let error = bench.scanned[0].error().unwrap();
        assert!(matches!(error.kind(), HostErrorKind::Protocol(_)), "{error}");
        assert_eq!((bench.phase(), bench.dials()), (Phase::Failed, 2));
    }
}

#[test]
fn bytes_that_are_no_key_are_an_error() {
    let mut bench = scan_with(nothing_known(), vec![shows(b"no key".to_vec())]);
    bench.run();
    let error = bench.scanned[0].error().unwrap();
    let HostErrorKind::HostKey(cause) = error.kind() else { panic!("{error}") };
    assert!(matches!(cause.problem(), HostKeyProblem::Malformed(_)));
    assert_eq!(bench.dials(), 1);
}

#[test]
fn a_host_that_is_lost_after_a_key_is_tried_again_and_reported_once() {
    let lost = || fails(LinkErrorKind::Lost);
    let mut bench = scan_with(nothing_known(), vec![lost(), lost(), shows(host_key(0)), lost()]);
    bench.run();
    assert_shown(&bench, &["ssh-ed25519"]);
    let error = bench.scanned[0].error().unwrap();
    assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{error}");
    // Each key may take three attempts.
    assert_eq!((error.attempt(), bench.dials(), bench.phase()), (3, 6, Phase::Failed));
}

/// Dropbear lists the types of keys whose files it lacks.
#[test]
fn a_host_that_closes_the_connection_instead_of_showing_a_key_withholds_it() {
    for kind in [LinkErrorKind::Lost, LinkErrorKind::Disconnected(3)] {
        let peers = vec![shows(host_key(0)), fails(kind), shows(rsa())];
        let mut bench = scan_with(nothing_known(), peers);
        bench.link.listed = Some("rsa-sha2-256,ecdsa-sha2-nistp256,ssh-ed25519");
        bench.run();
        assert_shown(&bench, &["ssh-ed25519", "ssh-rsa"]);
        assert_eq!((bench.scanned[0].withheld(), bench.dials()), (&[KeyType::EcdsaP256][..], 3));
        assert!(bench.scanned[0].error().is_none());
    }
    // A server that has no room for the connection is tried again.
    let peers = vec![shows(host_key(0)), fails(LinkErrorKind::Dropped), shows(rsa())];
    let mut bench = scan_with(nothing_known(), peers);
    bench.link.listed = Some("rsa-sha2-256,ssh-ed25519");
    bench.run();
    assert_shown(&bench, &["ssh-ed25519", "ssh-rsa"]);
    assert_eq!((bench.scanned[0].withheld().len(), bench.dials()), (0, 3));
}

#[test]
fn a_host_that_never_shows_its_key_fails_after_the_time_limits() {
    let silent = Peer { handshake: Answer { after: None, says: Ok(()) }, ..Peer::default() };
    let mut bench = scan_with(nothing_known(), vec![silent]);
    bench.run();
    let error = bench.scanned[0].error().unwrap();
    assert!(matches!(error.kind(), HostErrorKind::Timeout { .. }), "{error}");
    assert_eq!((bench.dials(), bench.phase()), (3, Phase::Failed));
}

#[test]
fn commands_wait_for_the_scan_and_then_verify_the_host_anew() {
    let known = super::host_keys::knows("web1");
    let mut bench = scan_with(known.clone(), vec![shows(host_key(0))]);
    bench.link.listed = Some("ssh-ed25519");
    bench.command();
    bench.run();
    assert_shown(&bench, &["ssh-ed25519"]);
    assert!(bench.outcome(0).is_success());
    assert_eq!((bench.phase(), bench.dials(), bench.link.asked.len()), (Phase::Ready, 2, 1));
    assert_eq!(bench.link.offered[1], ["ssh-ed25519"]);

    // What was shown in the scan is not trusted.
    let mut bench = scan_with(known, vec![shows(host_key(0)), shows(host_key(1))]);
    bench.link.listed = Some("ssh-ed25519");
    bench.command();
    bench.run();
    assert!(matches!(bench.error(0).kind(), HostErrorKind::HostKey(_)), "{}", bench.error(0));
}

#[test]
fn a_scan_waits_for_running_commands() {
    let mut bench = Bench::new(Script::default());
    bench.command();
    bench.run_until(|bench| bench.exec(0).is_started());
    bench.step(Input::Scan);
    assert_eq!((bench.phase(), bench.scanned.len()), (Phase::Ready, 0));
    bench.link.listed = Some("ssh-ed25519");
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_shown(&bench, &["ssh-ed25519"]);
    assert_eq!((bench.phase(), bench.dials()), (Phase::Closed, 2));
}

#[test]
fn a_scan_closes_an_idle_connection() {
    let mut bench = Bench::new(Script::default());
    bench.link.listed = Some("ssh-ed25519");
    bench.connect();
    bench.run_until_phase(Phase::Ready);
    bench.step(Input::Scan);
    assert_eq!(bench.phase(), Phase::Queued);
    bench.run();
    assert_shown(&bench, &["ssh-ed25519"]);
    assert_eq!((bench.phase(), bench.dials()), (Phase::Closed, 2));
}

/// With pins, only the revocations are searched, but in a scan all lines are.
#[test]
fn a_scan_that_is_requested_while_a_login_verifies_the_host_looks_at_all_lines() {
    let revoked =
        (0..3 * limits::HOST_KEY_LINES).map(|name| line(&format!("@revoked other{name}*"), &host_key(0)));
    let lines = revoked.collect::<String>() + &line("web1", &host_key(1));
    let known = verifier(&lines, HostKeyPolicy::pinned(HostKeyPins::new()));
    let config = Config { verifier: known, ..Config::default() };
    let mut bench = Bench::with(config, Script::peers(vec![shows(host_key(0))]));
    bench.link.listed = Some("ssh-ed25519");
    bench.command();
    bench.run_until_phase(Phase::Verifying);
    bench.step(Input::Scan);
    bench.run();
    assert!(matches!(verdicts(&bench)[..], [(_, Verdict::Changed { .. })]), "{:?}", bench.scanned);
}

#[test]
fn a_scan_can_be_cancelled_in_each_state() {
    let phases = [Phase::Queued, Phase::Resolving, Phase::Connecting, Phase::Handshaking, Phase::BackingOff];
    for phase in phases {
        let is_lost = phase == Phase::BackingOff;
        let peer = if is_lost { fails(LinkErrorKind::Lost) } else { shows(host_key(0)) };
        let mut bench = scan_with(nothing_known(), vec![peer]);
        bench.run_until_phase(phase);
        bench.step(Input::Close);
        let error = bench.scanned[0].error().unwrap();
        assert!(matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::Caller)), "{error}");
        assert_eq!(bench.phase(), Phase::Closed, "{phase:?}");
        bench.run();
        assert_eq!(bench.scanned.len(), 1);
    }
}

/// The search of a scan looks at lines that do not count for pins.
#[test]
fn a_connection_of_a_scan_is_never_used_to_log_in() {
    let lines = line("web1", &host_key(0)) + &"other* ssh-ed25519 AAAA\n".repeat(3);
    let known = verifier(&lines, HostKeyPolicy::pinned(HostKeyPins::new()));
    let mut bench = scan_with(known, vec![shows(host_key(0))]);
    bench.command();
    bench.run_until_phase(Phase::Handshaking);
    bench.step(Input::Close);
    assert_eq!(bench.phase(), Phase::Queued, "the command connects anew");
    bench.run();
    let HostErrorKind::HostKey(error) = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
    assert!(matches!(error.problem(), HostKeyProblem::NotPinned), "{error}");
}
