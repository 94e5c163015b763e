//! GSSAPI as a session sees it: a method whose reply may take any time, and that may fail on our
//! side.

use std::sync::Arc;

use super::auth::{login, password, tried};
use super::harness::{AUTH, Bench, Config};
use super::script::{Cred, Peer, Script, private_key};
use crate::error::{AuthMethod, AuthProblem, HostErrorKind};
use crate::link::{AuthReply, Gssapi};
use crate::session::state::Phase;
use crate::session::{AuthPlan, Offer};
use crate::stage::{Stage, TimeoutKind};

pub(super) fn gssapi() -> Offer {
    Offer::Gssapi(Arc::new(Gssapi { server: "web".to_owned(), client: None, delegate: false }))
}

fn plan() -> AuthPlan {
    vec![gssapi(), Offer::Sign(private_key(0)), password()]
}

fn unable() -> AuthReply {
    AuthReply::Unable("the ticket has expired".to_owned())
}

fn peer(replies: &[(Cred, AuthReply)], offers: &[&[AuthMethod]]) -> Peer {
    let replies = replies.iter().map(|(cred, reply)| (*cred, Ok(reply.clone()))).collect();
    Peer { replies, offers: offers.iter().map(|list| list.to_vec()).collect(), ..Peer::default() }
}

const ALL: &[AuthMethod] = &[AuthMethod::Gssapi, AuthMethod::PublicKey, AuthMethod::Password];

#[test]
fn a_ticket_that_is_accepted_is_all_that_is_sent() {
    let bench = login(plan(), peer(&[(Cred::Gssapi, AuthReply::Accepted)], &[ALL]));
    assert_eq!(tried(&bench), [Cred::Gssapi]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn a_refused_ticket_is_followed_by_what_the_server_offers() {
    let bench = login(plan(), peer(&[(Cred::Password, AuthReply::Accepted)], &[&[AuthMethod::Password]]));
    assert_eq!(tried(&bench), [Cred::Gssapi, Cred::Password]);
    assert!(bench.outcome(0).is_success());
}

/// The server has named no methods yet, so all of them are worth trying.
#[test]
fn a_ticket_that_cannot_be_used_is_followed_by_the_next_method() {
    let replies = [(Cred::Gssapi, unable()), (Cred::Sign(0), AuthReply::Accepted)];
    let bench = login(plan(), peer(&replies, &[ALL]));
    assert_eq!(tried(&bench), [Cred::Gssapi, Cred::Sign(0)]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn the_error_says_what_was_wrong_with_the_ticket() {
    let bench = login(plan(), peer(&[(Cred::Gssapi, unable())], &[&[AuthMethod::PublicKey]]));
    assert_eq!(tried(&bench), [Cred::Gssapi, Cred::Sign(0)]);
    let HostErrorKind::Auth { tried, offered, problems, .. } = bench.error(0).kind() else {
        panic!("{}", bench.error(0))
    };
    assert_eq!(*tried, [AuthMethod::Gssapi, AuthMethod::PublicKey]);
    assert_eq!(*offered, [AuthMethod::PublicKey]);
    let reason = "the ticket has expired".to_owned();
    assert_eq!(*problems, [AuthProblem::Unable { method: AuthMethod::Gssapi, reason }]);
    assert!(bench.error(0).to_string().ends_with("; gssapi-with-mic failed locally: the ticket has expired"));
}

/// The methods that the server named after the partial success still apply.
#[test]
fn an_unusable_ticket_keeps_the_methods_that_the_server_named() {
    let plan = vec![Offer::Sign(private_key(0)), gssapi(), password()];
    let replies = [(Cred::Sign(0), AuthReply::Partial), (Cred::Gssapi, unable())];
    let bench = login(plan, peer(&replies, &[&[AuthMethod::Gssapi]]));
    assert_eq!(tried(&bench), [Cred::Sign(0), Cred::Gssapi]);
    let HostErrorKind::Auth { offered, .. } = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
    assert_eq!(*offered, [AuthMethod::Gssapi]);
}

#[test]
fn a_login_that_waits_for_the_kdc_ends_at_its_own_limit() {
    let peer = Peer { auth_after: None, ..peer(&[], &[ALL]) };
    let config = Config { plan: plan(), attempts: 1, ..Config::default() };
    let mut bench = Bench::with(config, Script::peer(peer));
    bench.command();
    bench.run_until_phase(Phase::Authenticating);
    let begun = bench.now;
    bench.run();
    let error = bench.error(0);
    assert_eq!(error.stage(), Stage::Authenticating);
    let HostErrorKind::Timeout { kind, after } = error.kind() else { panic!("{error}") };
    assert_eq!((*kind, *after), (TimeoutKind::Gssapi, AUTH));
    assert!(bench.now - begun >= AUTH - bench.round);
    assert_eq!(tried(&bench), [Cred::Gssapi]);
}
