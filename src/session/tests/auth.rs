//! Logging in: what is offered, in which order, and what must never be offered.

use super::call::Call;
use super::harness::{Bench, Config};
use super::script::{Answer, Cred, Peer, Script, host_key, private_key};
use crate::credential::Secret;
use crate::error::{AuthMethod, AuthProblem, HostErrorKind};
use crate::link::{AuthReply, LinkError, LinkErrorKind};
use crate::session::state::Phase;
use crate::session::{AuthPlan, Input, Offer};

pub(super) fn password() -> Offer {
    Offer::Password(Secret::new("hunter2".to_owned()).unwrap())
}

pub(super) fn login(plan: AuthPlan, peer: Peer) -> Bench {
    let mut bench = Bench::with(Config { plan, ..Config::default() }, Script::peer(peer));
    bench.command();
    bench.run();
    assert!(bench.all_ended());
    bench
}

/// The credentials that were tried. Repeated calls for the reply to one credential count once.
pub(super) fn tried(bench: &Bench) -> Vec<Cred> {
    let creds = bench.link.calls.iter().filter_map(|call| match call {
        Call::Authenticate(cred) => Some(*cred),
        Call::Interact => Some(Cred::Interactive),
        _ => None,
    });
    let mut creds: Vec<Cred> = creds.collect();
    creds.dedup();
    creds
}

fn peer(replies: &[(Cred, AuthReply)], offers: Vec<Vec<AuthMethod>>) -> Peer {
    let replies = replies.iter().map(|(cred, reply)| (*cred, Ok(reply.clone()))).collect();
    Peer { replies, offers, ..Peer::default() }
}

fn both() -> Vec<Vec<AuthMethod>> {
    vec![vec![AuthMethod::PublicKey, AuthMethod::Password]]
}

#[test]
fn a_named_key_signs_without_a_question() {
    let bench = login(
        vec![Offer::Sign(private_key(0)), password()],
        peer(&[(Cred::Sign(0), AuthReply::Accepted)], both()),
    );
    assert_eq!(tried(&bench), [Cred::Sign(0)]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn an_identity_is_signed_with_only_after_the_server_wants_it() {
    let replies = [(Cred::Probe(1), AuthReply::Accepted), (Cred::Sign(1), AuthReply::Accepted)];
    let plan = vec![Offer::AskThenSign(private_key(0)), Offer::AskThenSign(private_key(1)), password()];
    let bench = login(plan, peer(&replies, both()));
    assert_eq!(tried(&bench), [Cred::Probe(0), Cred::Probe(1), Cred::Sign(1)]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn a_key_that_is_wanted_and_then_refused_gives_way_to_the_next() {
    let replies = [(Cred::Probe(0), AuthReply::Accepted), (Cred::Password, AuthReply::Accepted)];
    let bench = login(vec![Offer::AskThenSign(private_key(0)), password()], peer(&replies, both()));
    assert_eq!(tried(&bench), [Cred::Probe(0), Cred::Sign(0), Cred::Password]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn offers_go_in_the_order_of_the_plan() {
    let plan = vec![Offer::Sign(private_key(1)), Offer::AskThenSign(private_key(0)), password()];
    let bench = login(plan, peer(&[(Cred::Password, AuthReply::Accepted)], both()));
    assert_eq!(tried(&bench), [Cred::Sign(1), Cred::Probe(0), Cred::Password]);
}

/// The counters show the signatures and key exchanges that a login costs. Asking about a key and
/// waiting for a reply do not count.
#[test]
fn signatures_of_this_process_are_counted() {
    let sign = |index| vec![Offer::Sign(private_key(index))];
    let ask = |index| vec![Offer::AskThenSign(private_key(index))];
    let replies = [Cred::Sign(0), Cred::Probe(0)].map(|cred| (cred, AuthReply::Accepted));
    for (plan, signatures) in
        [(sign(0), 1), (ask(0), 1), (ask(1), 0), ([sign(1), ask(0)].concat(), 2), (vec![password()], 0)]
    {
        let bench = login(plan.clone(), Peer { auth_after: Some(3), ..peer(&replies, both()) });
        assert_eq!((bench.key_exchanges, bench.signatures), (1, signatures), "{plan:?}");
    }
}

#[test]
fn a_signature_is_counted_even_if_it_is_never_answered() {
    let cut = Peer { auth_after: None, ..Peer::default() };
    let mut bench = Bench::new(Script::peers(vec![cut, Peer::default()]));
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!((bench.key_exchanges, bench.signatures), (2, 2));
}

#[test]
fn a_key_exchange_with_a_host_that_is_not_trusted_is_counted() {
    let bench = login(vec![password()], Peer { key: host_key(1), ..Peer::default() });
    assert_eq!((bench.key_exchanges, bench.signatures), (1, 0));
}

#[test]
fn the_none_method_logs_in_where_nothing_is_needed() {
    let bench = login(vec![Offer::None], peer(&[(Cred::None, AuthReply::Accepted)], both()));
    assert_eq!(tried(&bench), [Cred::None]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn methods_that_the_server_does_not_offer_are_skipped() {
    let plan = vec![Offer::Sign(private_key(0)), Offer::Sign(private_key(1)), password()];
    let accepted = [(Cred::Password, AuthReply::Accepted)];
    let bench = login(plan, peer(&accepted, vec![vec![AuthMethod::Password]]));
    assert_eq!(tried(&bench), [Cred::Sign(0), Cred::Password]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn partial_success_goes_on_with_what_the_server_wants_next() {
    let replies = [(Cred::Sign(0), AuthReply::Partial), (Cred::Password, AuthReply::Accepted)];
    let plan = vec![Offer::Sign(private_key(0)), Offer::Sign(private_key(1)), password()];
    let bench = login(plan, peer(&replies, vec![vec![AuthMethod::Password]]));
    assert_eq!(tried(&bench), [Cred::Sign(0), Cred::Password]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn the_error_lists_what_was_tried_and_what_is_offered() {
    let offers = vec![both().remove(0), vec![AuthMethod::KeyboardInteractive]];
    let plan = vec![Offer::Sign(private_key(0)), Offer::Sign(private_key(1)), password()];
    let bench = login(plan, peer(&[], offers));
    let HostErrorKind::Auth { user, tried: methods, offered, .. } = bench.error(0).kind() else {
        panic!("{}", bench.error(0))
    };
    assert_eq!(user, "deploy");
    assert_eq!(*methods, [AuthMethod::PublicKey]);
    assert_eq!(*offered, [AuthMethod::KeyboardInteractive]);
    assert_eq!(tried(&bench), [Cred::Sign(0), Cred::Sign(1)]);
    assert_eq!(bench.error(0).attempt(), 1, "a refusal was tried again");
}

#[test]
fn the_none_method_is_not_listed_as_tried() {
    let bench = login(vec![Offer::None], peer(&[], both()));
    let HostErrorKind::Auth { tried, offered, .. } = bench.error(0).kind() else { panic!() };
    assert!(tried.is_empty());
    assert_eq!(*offered, both()[0]);
}

#[test]
fn no_authentication_before_the_host_key_is_verified() {
    let bench = login(vec![Offer::Sign(private_key(0))], Peer::default());
    let at = |wanted: Call| bench.link.calls.iter().position(|call| *call == wanted).unwrap();
    assert!(at(Call::ServerKey) < at(Call::RequestAuth));
    assert!(at(Call::RequestAuth) < at(Call::Authenticate(Cred::Sign(0))));
}

#[test]
fn a_refused_host_key_means_no_authentication_at_all() {
    for key in [host_key(1), b"not a key".to_vec()] {
        let bench = login(vec![Offer::None, password()], Peer { key, ..Peer::default() });
        assert!(matches!(bench.error(0).kind(), HostErrorKind::HostKey(_)), "{}", bench.error(0));
        let auth = |call: &Call| matches!(call, Call::RequestAuth | Call::Authenticate(_));
        assert!(bench.calls(auth).is_empty());
        assert_eq!(bench.dials(), 1, "a mistrusted host was asked again");
        assert_eq!(bench.link.calls.last(), Some(&Call::HangUp));
    }
}

#[test]
fn the_auth_service_is_requested_until_it_is_granted() {
    let peer = Peer { service: Answer::ok(5), ..Peer::default() };
    let bench = login(vec![Offer::Sign(private_key(0))], peer);
    let last = bench.link.calls.iter().rposition(|call| *call == Call::RequestAuth).unwrap();
    let first = bench.link.calls.iter().position(|call| matches!(call, Call::Authenticate(_))).unwrap();
    assert!(last < first);
}

#[test]
fn an_error_in_the_login_names_its_stage() {
    let replies = vec![(Cred::Sign(0), Err(crate::link::LinkError::new(LinkErrorKind::Integrity, "mac")))];
    let bench = login(vec![Offer::Sign(private_key(0))], Peer { replies, ..Peer::default() });
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Integrity(_)));
    assert_eq!(bench.error(0).stage(), crate::stage::Stage::Authenticating);
}

/// The bench's calendar shows 2026.
#[test]
fn a_refused_certificate_that_has_expired_is_named() {
    let plan = || vec![Offer::Sign(private_key(4)), Offer::Sign(private_key(0))];
    let bench = login(plan(), peer(&[], both()));
    assert_eq!(tried(&bench), [Cred::Sign(4), Cred::Sign(0)]);
    let HostErrorKind::Auth { problems, .. } = bench.error(0).kind() else { panic!() };
    assert!(matches!(problems[..], [AuthProblem::CertificateExpired { .. }]), "{problems:?}");
    let text = bench.error(0).to_string();
    assert!(text.ends_with("the certificate id-cert.pub expired on 2020-01-02 03:04:05 UTC"), "{text}");

    let bench = login(plan(), peer(&[(Cred::Sign(0), AuthReply::Accepted)], both()));
    assert!(bench.outcome(0).is_success());
}

/// The certificate was offered while the server did not accept public keys yet.
#[test]
fn a_certificate_that_was_not_considered_is_not_blamed() {
    let bench = login(vec![Offer::Sign(private_key(4))], peer(&[], vec![vec![AuthMethod::Password]]));
    let HostErrorKind::Auth { problems, .. } = bench.error(0).kind() else { panic!() };
    assert_eq!(*problems, []);
}

/// libssh itself rejects the key, for example a short RSA key, so the server's methods are still
/// unknown.
#[test]
fn a_key_that_libssh_rejects_does_not_end_the_login() {
    let short = AuthReply::Unable("too short".to_owned());
    let replies = [(Cred::Sign(1), short), (Cred::Password, AuthReply::Accepted)];
    let bench = login(vec![Offer::Sign(private_key(1)), password()], peer(&replies, vec![vec![]]));
    assert_eq!(tried(&bench), [Cred::Sign(1), Cred::Password]);
    assert!(bench.outcome(0).is_success());
}

/// A login holds positions in its plan, so the plan must not change under it.
#[test]
fn a_login_in_progress_keeps_its_profile_and_the_next_one_uses_the_new() {
    let renewed = {
        let config = Config { plan: vec![Offer::Sign(private_key(1))], ..Config::default() };
        Bench::with(config, Script::default()).session.target().profile.clone()
    };
    let plan = vec![Offer::Sign(private_key(0)), password()];
    let server = peer(&[(Cred::Sign(1), AuthReply::Accepted)], both());
    let mut bench = Bench::with(Config { plan, ..Config::default() }, Script::peer(server));
    bench.command();
    bench.run_until_phase(Phase::Authenticating);
    bench.step(Input::Renew(renewed));
    bench.run();
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Auth { .. }), "{}", bench.error(0));
    assert_eq!(tried(&bench), [Cred::Sign(0), Cred::Password]);
    bench.command();
    bench.run();
    assert!(bench.outcome(1).is_success());
    assert_eq!(tried(&bench).last(), Some(&Cred::Sign(1)));
}

/// The text is in the error of a login that fails in any way, and an effect of one that succeeds.
#[test]
fn what_the_server_says_is_reported_once() {
    let says = |replies| Peer { replies, banner: Some("no\nentry"), ..Peer::default() };
    let lost = LinkError::new(LinkErrorKind::Lost, "reset");
    for reply in [Ok(AuthReply::Denied), Err(lost)] {
        let bench = login(vec![password()], says(vec![(Cred::Password, reply)]));
        assert_eq!(bench.error(0).banner(), Some("no\nentry"));
        let text = bench.error(0).to_string();
        assert!(text.ends_with("; the server said: \"no\\nentry\""), "{text}");
        assert!(bench.banners.is_empty());
        assert_eq!(bench.session.banner(), None);
    }
    let bench = login(vec![password()], says(vec![(Cred::Password, Ok(AuthReply::Accepted))]));
    assert!(bench.outcome(0).is_success());
    assert_eq!(*bench.banners, ["no\nentry".into()]);
    assert_eq!(bench.session.banner(), Some("no\nentry"));
}

/// No other credential is sent afterwards, because libssh gives the connection up.
#[test]
fn a_password_that_must_be_changed_is_a_problem_of_its_own() {
    let expired = LinkError::new(LinkErrorKind::PasswordExpired, "rejected packet (type 60)");
    let peer = Peer { replies: vec![(Cred::Password, Err(expired))], ..Peer::default() };
    let bench = login(vec![password(), Offer::Sign(private_key(0))], peer);
    assert_eq!(tried(&bench), [Cred::Password]);
    let HostErrorKind::Auth { tried, problems, .. } = bench.error(0).kind() else { panic!() };
    assert_eq!(*tried, [AuthMethod::Password]);
    assert_eq!(*problems, [AuthProblem::PasswordExpired { prompt: None }]);
    assert_eq!(bench.dials(), 1, "another attempt would find the same");
    let text = bench.error(0).to_string();
    assert!(text.ends_with("the password has expired, and the server wants a new one"), "{text}");
}
