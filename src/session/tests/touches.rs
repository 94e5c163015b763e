//! Logging in with a security key: a touch takes a person's time, and one host at a time is touched
//! for.

use std::time::Duration;

use super::agent::{FakeAgent, agent_keys};
use super::auth::{password, tried};
use super::harness::{AUTH, Bench, Config};
use super::policy::Policy;
use super::script::Cred::{self, AgentAsk, AgentSign};
use super::script::{Packet, Peer, Script, identity, lost};
use crate::agent::limits::TOUCH_TIME;
use crate::error::AuthMethod::{Password, PublicKey};
use crate::error::{AuthProblem, HostErrorKind};
use crate::session::state::Phase;
use crate::session::{AgentOffer, Input, PreferredKey, RetryPolicy, TouchNeed};
use crate::stage::TimeoutKind;

/// The numbers of identities in security keys.
const SK: usize = 7;
const SK_CERT: usize = 8;

/// A host that takes these keys, and an agent that lists these ones and is silent about signatures.
fn asked(keys: &[usize], good: &[Cred]) -> Bench {
    let policy = Some(Policy::new(&[&[PublicKey], &[Password]], good));
    let retry = RetryPolicy::default().attempts(3).time_limit(Some(2 * AUTH));
    let config = Config { plan: vec![agent_keys(), password()], retry: Some(retry), ..Config::default() };
    let mut bench = Bench::with(config, Script::peer(Peer { policy, ..Peer::default() }));
    bench.agent = FakeAgent::with(keys);
    bench.command();
    bench.run_until(|bench| bench.agent.asked.len() == 2);
    assert_eq!(bench.phase(), Phase::Authenticating);
    bench
}

fn needs_touch(bench: &Bench) -> bool {
    matches!(bench.session.touch_need(), TouchNeed::Yes)
}

pub(super) fn leaves_until_its_turn() {
    let mut bench = asked(&[SK], &[AgentSign(SK)]);
    bench.now += AUTH;
    bench.step(Input::Overtaken);
    assert_eq!((bench.phase(), bench.deadline()), (Phase::Queued, None));
    assert!(needs_touch(&bench) && bench.wants_place());
    bench.agent = FakeAgent::with(&[SK]);
    bench.now += Duration::from_secs(3600);
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!((bench.dials(), bench.session.attempt()), (2, 1), "the first one is no attempt");
}

#[test]
fn a_touch_is_asked_for_only_if_the_server_takes_the_key() {
    for (key, name) in [(SK, "sk"), (SK_CERT, "certificate")] {
        let mut bench = asked(&[2, key, 3], &[AgentSign(key)]);
        assert_eq!((tried(&bench), bench.touches.len()), (vec![AgentAsk(2), AgentAsk(key)], 1), "{name}");
        assert_eq!(&*bench.touches[0], "a comment");
        bench.run();
        assert!(bench.outcome(0).is_success());
    }
    let bench = asked(&[2, SK], &[AgentSign(2)]);
    assert!(bench.touches.is_empty() && !needs_touch(&bench));
}

/// The limits of the login and of all attempts rest, and the rest of the login has its time again.
#[test]
fn a_touch_takes_a_minute_of_no_other_limit() {
    let mut bench = asked(&[SK], &[AgentSign(SK)]);
    assert_eq!(bench.deadline(), Some(bench.now + TOUCH_TIME));
    bench.now += TOUCH_TIME - Duration::from_secs(1);
    bench.step(Input::Wake);
    bench.step(Input::Signed(Some([7].into())));
    assert_eq!(bench.deadline(), Some(bench.now + AUTH));
    bench.agent = FakeAgent::with(&[]);
    bench.run();
    assert!(bench.outcome(0).is_success());
}

#[test]
fn a_touch_that_never_comes_ends_the_login_for_good() {
    let mut bench = asked(&[SK], &[AgentSign(SK)]);
    bench.agent = FakeAgent::silent();
    bench.run();
    let kind = bench.error(0).kind();
    let HostErrorKind::Timeout { kind: TimeoutKind::Touch, after: TOUCH_TIME } = kind else {
        panic!("{kind}")
    };
    assert_eq!((bench.dials(), bench.touches.len()), (1, 1), "it was tried again");
}

/// A login that may take longer lets a touch take longer, too.
#[test]
fn a_touch_may_take_as_long_as_a_login() {
    let mut config = Config { plan: vec![agent_keys()], ..Config::default() };
    config.timeouts.auth = Some(2 * TOUCH_TIME);
    let policy = Some(Policy::new(&[&[PublicKey]], &[AgentSign(SK)]));
    let mut bench = Bench::with(config, Script::peer(Peer { policy, ..Peer::default() }));
    bench.agent = FakeAgent::with(&[SK]);
    bench.command();
    bench.run_until(|bench| !bench.touches.is_empty());
    assert_eq!(bench.deadline(), Some(bench.now + 2 * TOUCH_TIME));
}

/// The agent refuses if its user does not touch the key in time.
#[test]
fn a_key_that_is_not_touched_gives_way_to_the_next() {
    let mut bench = asked(&[SK, SK_CERT, 3], &[AgentSign(SK), AgentSign(SK_CERT), AgentSign(3)]);
    bench.agent.signs = vec![3];
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(tried(&bench), [AgentAsk(SK), AgentAsk(SK_CERT), AgentAsk(3), AgentSign(3)]);
    assert_eq!((bench.touches.len(), bench.dials()), (2, 1));

    let mut bench = asked(&[SK], &[AgentSign(SK)]);
    bench.agent.signs = vec![];
    bench.run();
    let HostErrorKind::Auth { problems, .. } = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
    let reason = "the ssh-agent did not sign with a comment".to_owned();
    assert_eq!(*problems, [AuthProblem::Unable { method: PublicKey, reason }]);
}

/// An agent that waits for a touch may answer nothing else, whatever host the touch is for.
#[test]
fn the_time_of_another_hosts_touch_is_not_the_time_of_this_login() {
    let mut bench = asked(&[2], &[AgentSign(2)]);
    bench.agent = FakeAgent::silent();
    for _ in 0..9 {
        bench.now = bench.deadline().unwrap();
        bench.agent_busy_until = Some(bench.now);
        bench.step(Input::Wake);
        assert_eq!((bench.phase(), bench.deadline()), (Phase::Authenticating, Some(bench.now + AUTH)));
    }
    // The touch ends, and the agent answers a moment later.
    bench.agent_busy_until = Some(bench.now + Duration::from_millis(1));
    bench.now = bench.deadline().unwrap();
    bench.step(Input::Wake);
    assert_eq!((bench.phase(), bench.deadline()), (Phase::Authenticating, Some(bench.now + AUTH)));
    bench.now += AUTH - Duration::from_millis(1);
    bench.step(Input::Signed(Some([2].into())));
    assert_eq!(bench.deadline(), Some(bench.now + AUTH), "the server's part has its time again");
    bench.run();
    assert!(bench.outcome(0).is_success());

    for busy_until in [None, Some(())] {
        let mut bench = asked(&[2], &[AgentSign(2)]);
        bench.agent = FakeAgent::silent();
        bench.agent_busy_until = busy_until.map(|()| bench.deadline().unwrap() - AUTH);
        bench.now = bench.deadline().unwrap();
        bench.step(Input::Wake);
        assert_eq!(bench.phase(), Phase::BackingOff, "a time limit has passed since the last touch");
    }
}

/// A server that is silent is not the agent's fault.
#[test]
fn a_busy_agent_extends_no_other_limit() {
    let mut bench = Bench::new(Script::peer(Peer { auth_after: None, ..Peer::default() }));
    bench.agent_busy_until = Some(bench.now + TOUCH_TIME * 9);
    bench.command();
    bench.run();
    let kind = bench.error(0).kind();
    assert!(matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Auth, .. }), "{kind}");

    let mut bench = asked(&[SK], &[AgentSign(SK)]);
    bench.agent = FakeAgent::silent();
    bench.agent_busy_until = Some(bench.now + TOUCH_TIME * 9);
    bench.run();
    let kind = bench.error(0).kind();
    assert!(matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Touch, .. }), "{kind}");
}

/// Between attempts the need is remembered; new commands find out anew.
#[test]
fn a_host_that_needs_a_touch_is_known_until_its_attempts_are_over() {
    let mut bench = asked(&[2, SK], &[AgentSign(SK)]);
    assert!(needs_touch(&bench));
    bench.link.arrive(0, Packet::Fault(lost()));
    bench.step(Input::Wake);
    assert_eq!(bench.phase(), Phase::BackingOff);
    assert!(needs_touch(&bench));
    bench.cancel(0);
    assert_eq!(bench.phase(), Phase::Closed);
    bench.command();
    assert!(matches!(bench.session.touch_need(), TouchNeed::IfListed(_)));
}

#[test]
fn an_answer_that_comes_too_late_to_matter_is_ignored() {
    let mut bench = asked(&[2], &[AgentSign(2)]);
    bench.step(Input::Overtaken);
    bench.run();
    assert!(bench.outcome(0).is_success());
    bench.step(Input::Overtaken);
    assert_eq!((bench.phase(), bench.dials()), (Phase::Ready, 1));
}

#[test]
fn only_an_agent_with_nothing_but_security_keys_needs_one_for_sure() {
    let listed = |keys: &[usize]| keys.iter().map(|key| identity(*key)).collect::<Vec<_>>();
    let all = AgentOffer::default();
    assert!(all.needs_security_key(&listed(&[SK])) && all.needs_security_key(&listed(&[SK_CERT, SK])));
    for keys in [&[][..], &[2], &[SK, 2], &[2, SK]] {
        assert!(!all.needs_security_key(&listed(keys)), "{keys:?}");
    }
    let preferred = || vec![PreferredKey::new(identity(SK).blob().to_vec())];
    let some = AgentOffer { preferred: preferred(), certificates: Vec::new(), only: true };
    assert!(some.needs_security_key(&listed(&[2, SK, 3])) && !some.needs_security_key(&listed(&[2])));
    let first = AgentOffer { preferred: preferred(), certificates: Vec::new(), only: false };
    assert!(!first.needs_security_key(&listed(&[2, SK])));
}

#[test]
fn a_scan_of_host_keys_needs_no_touch() {
    let mut bench = asked(&[SK], &[AgentSign(SK)]);
    bench.cancel(0);
    bench.step(Input::Scan);
    assert!(matches!(bench.session.touch_need(), TouchNeed::No));
}

#[test]
fn a_server_that_hangs_up_meanwhile_is_tried_again() {
    let mut bench = asked(&[SK], &[AgentSign(SK)]);
    bench.link.arrive(0, Packet::Fault(lost()));
    bench.step(Input::Wake);
    assert_eq!(bench.phase(), Phase::BackingOff);
    bench.agent = FakeAgent::with(&[SK]);
    bench.run();
    assert!(bench.outcome(0).is_success(), "{}", bench.error(0));
}
