//! Which host key a host is asked for, by the keys that are on record for it.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::harness::{Bench, Config};
use super::script::{Peer, Script, host_key};
use crate::error::HostErrorKind;
use crate::hostkey::{HostKeyPolicy, HostKeyProblem, KnownHosts, Verifier};
use crate::session::state::Phase;

/// A key of a type that no line here has.
pub(super) fn other_key() -> Vec<u8> {
    let point = [&[4], &[7; 64][..]].concat();
    let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    [field(b"ecdsa-sha2-nistp256"), field(b"nistp256"), field(&point)].concat()
}

/// Trusts the key 0 of the hosts with these names.
pub(super) fn knows(names: &str) -> Arc<Verifier> {
    let trusted = BASE64_STANDARD.encode(host_key(0));
    let mut known = KnownHosts::empty();
    known.parse(format!("{names} ssh-ed25519 {trusted}\n").as_bytes(), Path::new("known_hosts"));
    Arc::new(Verifier::new(known, HostKeyPolicy::strict()))
}

/// A host that shows these keys, one on each connection, and whose trusted one is on record under these names.
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
fn a_name_that_is_in_plain_sight_is_found_at_once() {
    let mut bench = host("web1", vec![host_key(0)]);
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.link.offered, [["ssh-ed25519"]]);
}

#[test]
fn a_name_that_takes_a_search_is_searched_for_only_when_the_key_is_another() {
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
fn what_was_found_is_remembered() {
    let mut bench = shows_the_recorded_key_when_asked_for_it();
    bench.step(crate::session::Input::Close);
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
    // In plain sight it was asked for from the start.
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
