//! A password that no host has accepted yet: the session asks before it sends it, and reports what
//! became of it.

use std::time::Duration;

use super::auth::{password, tried};
use super::harness::{AUTH, Bench, Config};
use super::interactive::{hidden, typed};
use super::script::{Answer, Cred, Dial, Packet, Peer, Script, lost, private_key};
use crate::error::{AuthMethod, CancelCause, HostErrorKind};
use crate::link::{AuthReply, LinkErrorKind};
use crate::session::state::Phase;
use crate::session::{AuthPlan, Input, Offer, Permission, TrialEnd, TrialOf};
use crate::stage::TimeoutKind;

const METHODS: [AuthMethod; 3] =
    [AuthMethod::PublicKey, AuthMethod::Password, AuthMethod::KeyboardInteractive];

fn guarded(plan: AuthPlan, peer: Peer) -> Bench {
    let config = Config { plan, guard_passwords: true, attempts: 1, ..Config::default() };
    let peer = Peer { offers: vec![METHODS.to_vec()], ..peer };
    let mut bench = Bench::with(config, Script::peer(peer));
    bench.command();
    bench
}

fn replies(replies: &[(Cred, AuthReply)]) -> Peer {
    Peer {
        replies: replies.iter().map(|(cred, reply)| (*cred, Ok(reply.clone()))).collect(),
        rounds: vec![hidden("Password: ")],
        ..Peer::default()
    }
}

/// The session waits for the answer to its request.
fn asked(plan: AuthPlan, peer: Peer) -> Bench {
    let mut bench = guarded(plan, peer);
    bench.grants_trials = false;
    bench.run_until(|bench| !bench.trials_asked.is_empty());
    assert_eq!((bench.phase(), &bench.trials[..]), (Phase::Authenticating, &[TrialOf::Login][..]));
    bench
}

#[test]
fn a_password_waits_for_its_permission_and_the_end_is_reported() {
    for (reply, end) in [(AuthReply::Accepted, TrialEnd::Accepted), (AuthReply::Denied, TrialEnd::Refused)] {
        for (offer, cred) in [(password(), Cred::Password), (typed(), Cred::Interactive)] {
            let mut bench = asked(vec![offer], replies(&[(cred, reply.clone())]));
            while bench.round_but_timers() {}
            assert_eq!(tried(&bench), [], "sent without permission");
            bench.permit(TrialOf::Login, Permission::Granted);
            bench.run();
            assert_eq!((tried(&bench), &bench.trial_ends[..]), (vec![cred], &[end][..]));
        }
    }
}

#[test]
fn a_key_needs_no_permission() {
    let mut bench = guarded(vec![Offer::Sign(private_key(0)), password()], Peer::default());
    bench.grants_trials = false;
    bench.run();
    assert!(bench.outcome(0).is_success() && bench.trial_ends.is_empty());
}

#[test]
fn a_password_that_is_withheld_gives_the_next_offer_a_chance() {
    let plan = || vec![password(), Offer::Sign(private_key(0))];
    let mut bench = asked(plan(), Peer::default());
    bench.withhold_a_password();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(tried(&bench), [Cred::Sign(0)]);

    let mut bench = asked(vec![password()], Peer::default());
    bench.withhold_a_password();
    assert_eq!(
        bench.error(0).to_string(),
        "web1: authentication failed: no credential accepted for user deploy: the password was not \
         sent: web8 and web9 have refused it and no host has accepted it, so that it does not lock the \
         account; check it, or turn guard_passwords off"
    );
    assert_eq!((tried(&bench), bench.dials()), (vec![], 1));
}

/// A password counts as refused only if the server has judged it.
#[test]
fn a_refused_method_is_no_refusal_of_the_password() {
    let keys = Peer { offers: vec![vec![AuthMethod::PublicKey]], ..replies(&[]) };
    let config = Config { plan: vec![password()], guard_passwords: true, ..Config::default() };
    let mut bench = Bench::with(config, Script::peer(keys));
    bench.command();
    bench.run();
    assert_eq!((tried(&bench), &bench.trial_ends[..]), (vec![Cred::Password], &[TrialEnd::Unanswered][..]));
}

#[test]
fn a_partial_success_is_an_acceptance() {
    let both = replies(&[(Cred::Password, AuthReply::Partial), (Cred::Sign(0), AuthReply::Accepted)]);
    let mut bench = guarded(vec![password(), Offer::Sign(private_key(0))], both);
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.trial_ends, [TrialEnd::Accepted]);
}

/// sshd disconnects instead of answering the last attempt of its `MaxAuthTries`.
#[test]
fn a_disconnect_about_the_credentials_is_a_refusal() {
    for (kind, end) in [
        (LinkErrorKind::Disconnected(2), TrialEnd::Refused),
        (LinkErrorKind::Disconnected(11), TrialEnd::Unanswered),
        (LinkErrorKind::Lost, TrialEnd::Unanswered),
    ] {
        let mut bench = asked(vec![password()], Peer { auth_after: None, ..replies(&[]) });
        bench.permit(TrialOf::Login, Permission::Granted);
        bench.link.arrive(0, Packet::Fault(crate::link::LinkError::new(kind, "gone")));
        bench.run();
        assert_eq!(bench.trial_ends, [end], "{kind:?}");
    }
}

/// Whatever ends the login also ends the trial or leaves the line.
#[test]
fn a_login_that_ends_in_another_way_passes_the_trial_on() {
    let ends: [fn(&mut Bench); 4] = [
        |bench| bench.cancel(0),
        |bench| _ = bench.step(Input::Remove),
        |bench| _ = bench.step(Input::GiveUp(HostErrorKind::Cancelled(CancelCause::Caller))),
        |bench| {
            bench.link.arrive(0, Packet::Fault(lost()));
            bench.step(Input::Wake);
        },
    ];
    for (number, end) in ends.into_iter().enumerate() {
        for is_granted in [false, true] {
            let mut bench = asked(vec![password()], Peer { auth_after: None, ..replies(&[]) });
            if is_granted {
                bench.permit(TrialOf::Login, Permission::Granted);
            }
            end(&mut bench);
            assert_eq!(
                (&bench.trials[..], &bench.trial_ends[..]),
                (&[][..], &[TrialEnd::Unanswered][..]),
                "{number}"
            );
        }
    }
}

/// The time of another host's trial is not the time of this login.
#[test]
fn the_wait_has_a_limit_of_its_own_and_the_login_starts_afresh() {
    let mut bench = asked(vec![password()], Peer { auth_after: None, ..replies(&[]) });
    assert_eq!(bench.deadline(), Some(bench.now + 2 * AUTH));
    bench.now += AUTH + Duration::from_secs(1);
    bench.step(Input::Wake);
    bench.permit(TrialOf::Login, Permission::Granted);
    assert_eq!(bench.deadline(), Some(bench.now + AUTH));
    bench.run();
    let kind = bench.error(0).kind();
    assert!(matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Auth, after: AUTH }), "{kind}");

    // A prompt that never comes is bounded in the same way.
    let silent = Peer { auth_after: None, ..replies(&[]) };
    let mut bench = guarded(vec![typed()], silent);
    bench.run();
    assert_eq!(bench.trial_ends, [TrialEnd::Unanswered]);

    let config = Config { plan: vec![password()], guard_passwords: true, attempts: 3, ..Config::default() };
    let mut bench = Bench::with(config, Script::default());
    bench.grants_trials = false;
    bench.command();
    bench.run();
    let kind = bench.error(0).kind();
    assert!(matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Trial, .. }), "{kind}");
    assert_eq!(
        (bench.dials(), &bench.trial_ends[..]),
        (1, &[TrialEnd::Unanswered][..]),
        "it was tried again"
    );
}

#[test]
fn a_host_that_fails_before_its_login_asks_for_nothing() {
    let dead = Script::default().dialling(super::harness::address(1), &[Dial::Silent]);
    let lost = Script::peer(Peer { handshake: Answer::error(1, LinkErrorKind::Lost), ..Peer::default() });
    for script in [dead, lost] {
        let config = Config { plan: vec![password()], guard_passwords: true, ..Config::default() };
        let mut bench = Bench::with(config, script);
        bench.command();
        bench.run();
        assert!(bench.trials.is_empty() && bench.trial_ends.is_empty());
    }
}
