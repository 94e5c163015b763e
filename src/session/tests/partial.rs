//! Servers that require several methods, one after the other (RFC 4252 section 5.1).

use proptest::prelude::*;

use super::auth::{login, password, tried};
use super::gssapi::gssapi;
use super::harness::Bench;
use super::policy::Policy;
use super::script::{Cred, Peer, private_key};
use crate::credential::Secret;
use crate::error::AuthMethod::{self, KeyboardInteractive, Password, PublicKey};
use crate::error::{AuthProblem, HostErrorKind};
use crate::link::{LinkError, LinkErrorKind};
use crate::session::{Answerer, AuthPlan, Offer};

fn wants(plan: AuthPlan, lists: &[&[AuthMethod]], good: &[Cred]) -> Bench {
    login(plan, Peer { policy: Some(Policy::new(lists, good)), ..Peer::default() })
}

fn sign(key: usize) -> Offer {
    Offer::Sign(private_key(key))
}

fn ask(key: usize) -> Offer {
    Offer::AskThenSign(private_key(key))
}

#[test]
fn key_then_password() {
    let bench = wants(vec![sign(0), password()], &[&[PublicKey, Password]], &[Cred::Sign(0), Cred::Password]);
    assert_eq!(tried(&bench), [Cred::Sign(0), Cred::Password]);
    assert!(bench.outcome(0).is_success());
}

/// The key comes first in the plan, while the server does not accept public keys yet.
#[test]
fn a_key_that_came_too_early_is_tried_again_after_the_password() {
    let lists: &[&[AuthMethod]] = &[&[Password, PublicKey]];
    let bench = wants(vec![sign(0), password()], lists, &[Cred::Sign(0), Cred::Password]);
    assert_eq!(tried(&bench), [Cred::Sign(0), Cred::Password, Cred::Sign(0)]);
    assert!(bench.outcome(0).is_success());

    let plan = vec![sign(0), ask(1), password()];
    let bench = wants(plan, lists, &[Cred::Sign(1), Cred::Password]);
    let expected = [Cred::Sign(0), Cred::Password, Cred::Sign(0), Cred::Probe(1), Cred::Sign(1)];
    assert_eq!(tried(&bench), expected, "a key that was skipped is tried as well");
    assert!(bench.outcome(0).is_success());
}

#[test]
fn two_keys() {
    let lists: &[&[AuthMethod]] = &[&[PublicKey, PublicKey]];
    let plan = vec![ask(0), ask(1), ask(2), password()];
    let bench = wants(plan, lists, &[Cred::Sign(0), Cred::Sign(2), Cred::Password]);
    let expected = [Cred::Probe(0), Cred::Sign(0), Cred::Probe(1), Cred::Probe(2), Cred::Sign(2)];
    assert_eq!(tried(&bench), expected);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn one_of_several_method_lists_is_enough() {
    let lists: &[&[AuthMethod]] = &[&[KeyboardInteractive], &[PublicKey, Password], &[Password, PublicKey]];
    let bench = wants(vec![ask(0), password()], lists, &[Cred::Sign(0), Cred::Password]);
    assert_eq!(tried(&bench), [Cred::Probe(0), Cred::Sign(0), Cred::Password]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn the_error_names_what_is_missing_after_a_partial_success() {
    let bench = wants(vec![sign(0)], &[&[PublicKey, KeyboardInteractive]], &[Cred::Sign(0)]);
    let HostErrorKind::Auth { tried, offered, problems, .. } = bench.error(0).kind() else { panic!() };
    assert_eq!((tried.as_slice(), offered.as_slice()), (&[PublicKey][..], &[KeyboardInteractive][..]));
    assert_eq!(problems.as_slice(), [AuthProblem::InteractiveOff("a password or a responder")]);
}

#[test]
fn a_server_that_offers_nothing_is_offered_nothing() {
    let bench = wants(vec![sign(0), password()], &[], &[Cred::Sign(0), Cred::Password]);
    assert_eq!(tried(&bench), [Cred::Sign(0)]);
    let text = bench.error(0).to_string();
    let key = crate::credential::fingerprint(private_key(0).blob());
    let expected = format!("tried publickey ({key}); the server offers nothing more");
    assert!(text.ends_with(&expected), "{text}");
}

#[test]
fn a_disconnect_after_a_refusal_is_a_failed_authentication() {
    let goodbye = LinkError::new(LinkErrorKind::Disconnected(2), "Too many authentication failures");
    let replies = vec![(Cred::Password, Err(goodbye.clone()))];
    let bench = login(vec![sign(1), password()], Peer { replies, ..Peer::default() });
    let HostErrorKind::Auth { tried, offered, problems, .. } = bench.error(0).kind() else { panic!() };
    assert_eq!(
        (tried.as_slice(), offered.as_slice()),
        (&[PublicKey, Password][..], &[PublicKey, Password][..])
    );
    let expected = AuthProblem::Disconnected { reason: 2, message: goodbye.text };
    assert_eq!(*problems, [expected]);
    let text = bench.error(0).to_string();
    assert!(
        text.ends_with("; the server then disconnected (reason 2): Too many authentication failures"),
        "{text}"
    );
    assert_eq!((bench.error(0).attempt(), bench.dials()), (1, 1));
}

#[test]
fn a_disconnect_for_another_reason_stays_a_disconnect() {
    for (reason, refused_first) in [(2, false), (11, true)] {
        let goodbye = LinkError::new(LinkErrorKind::Disconnected(reason), "bye");
        let cred = if refused_first { Cred::Password } else { Cred::Sign(1) };
        let bench =
            login(vec![sign(1), password()], Peer { replies: vec![(cred, Err(goodbye))], ..Peer::default() });
        let kind = bench.error(0).kind();
        assert!(
            matches!(kind, HostErrorKind::Disconnected { reason: told, .. } if *told == reason),
            "{kind:?}"
        );
    }
}

fn offers() -> impl Strategy<Value = Vec<Cred>> {
    let all =
        vec![Cred::Sign(0), Cred::Probe(1), Cred::Sign(2), Cred::Probe(3), Cred::Password, Cred::Interactive];
    proptest::sample::subsequence(all, 1..=6).prop_shuffle()
}

fn good() -> impl Strategy<Value = Vec<Cred>> {
    let all: Vec<Cred> = (0..4).map(Cred::Sign).chain([Cred::Password, Cred::Interactive]).collect();
    proptest::sample::subsequence(all, 0..=6)
}

fn list() -> impl Strategy<Value = Vec<AuthMethod>> {
    let method = prop_oneof![3 => Just(PublicKey), 2 => Just(Password), 1 => Just(KeyboardInteractive)];
    proptest::collection::vec(method, 1..4)
}

fn plan(offers: &[Cred]) -> AuthPlan {
    let offer = |cred: &Cred| match *cred {
        Cred::Probe(key) => ask(key),
        Cred::Sign(key) => sign(key),
        Cred::None => Offer::None,
        Cred::AgentAsk(_) | Cred::AgentSign(_) => super::agent::agent_keys(),
        Cred::Password => password(),
        Cred::Gssapi => gssapi(),
        Cred::Interactive => {
            // Not the refused password of `Cred::Password`.
            Offer::Interactive(Answerer::Password(Secret::new("hunter3".to_owned()).unwrap(), "".into()))
        }
    };
    offers.iter().map(offer).collect()
}

fn signed(cred: Cred) -> Cred {
    match cred {
        Cred::Probe(key) => Cred::Sign(key),
        cred => cred,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// [`Policy`] panics if a refused credential is offered again, and the bench if the login never
    /// ends.
    #[test]
    fn a_login_succeeds_exactly_if_the_plan_has_what_the_server_wants(
        offers in offers(),
        list in list(),
        good in good(),
    ) {
        let bench = wants(plan(&offers), &[&list], &good);
        let count = |method| offers.iter().filter(|cred| cred.method() == method && good.contains(&signed(**cred))).count();
        let wanted = |method| list.iter().filter(|wanted| **wanted == method).count();
        let enough = [PublicKey, Password, KeyboardInteractive].into_iter().all(|method| count(method) >= wanted(method));
        prop_assert_eq!(bench.outcome(0).is_success(), enough, "{:?}", tried(&bench));
    }

    #[test]
    fn a_login_ends_whatever_ways_the_server_has(
        offers in offers(),
        lists in proptest::collection::vec(list(), 0..4),
        good in good(),
    ) {
        let lists: Vec<&[AuthMethod]> = lists.iter().map(Vec::as_slice).collect();
        let bench = wants(plan(&offers), &lists, &good);
        if !bench.outcome(0).is_success() {
            let refused = matches!(bench.error(0).kind(), HostErrorKind::Auth { .. });
            prop_assert!(refused, "{}", bench.error(0));
        }
        prop_assert!(tried(&bench).len() <= 2 * offers.len() * (offers.len() + 1));
    }
}
