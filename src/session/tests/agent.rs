//! Tests of logging in with an agent's keys. The agent answers when a test lets it.

use std::sync::Arc;

use super::auth::{password, tried};
use super::call::Call;
use super::harness::{AUTH, Bench, Config};
use super::policy::Policy;
use super::script::{Cred, Peer, Script, identity, private_key};
use crate::agent::wire::Identity;
use crate::error::AuthMethod::{Password, PublicKey};
use crate::error::{AuthProblem, HostErrorKind};
use crate::link::{AuthReply, LinkError, LinkErrorKind};
use crate::session::state::Phase;
use crate::session::{AgentOffer, AuthPlan, Input, Offer, PreferredKey, UnusableKey};
use crate::stage::TimeoutKind;

/// A request to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Keys,
    Signature(Vec<u8>),
}

/// A scripted agent, which the bench drives.
#[derive(Debug, Clone)]
pub(super) struct FakeAgent {
    /// The identities that the agent lists, by number.
    pub keys: Vec<usize>,
    /// The identities that the agent signs with.
    pub signs: Vec<usize>,
    /// How many rounds pass until the agent answers; `None` if it never does.
    pub after: Option<u32>,
    owes: Option<(Option<u32>, Asked)>,
    /// The requests that the agent has received.
    pub asked: Vec<Asked>,
}

impl FakeAgent {
    pub(super) fn with(keys: &[usize]) -> Self {
        Self { keys: keys.to_vec(), signs: keys.to_vec(), after: Some(2), owes: None, asked: Vec::new() }
    }

    /// Never answers.
    pub(super) fn silent() -> Self {
        Self { after: None, ..Self::with(&[]) }
    }

    pub(super) fn is_asked(&mut self, question: Asked) {
        self.asked.push(question.clone());
        self.owes = Some((self.after, question));
    }

    /// Lets one round pass. Returns the answer once it is due.
    pub(super) fn tick(&mut self) -> Option<Input> {
        let (after, _) = self.owes.as_mut()?;
        *after = Some((*after)?.saturating_sub(1));
        if *after != Some(0) {
            return None;
        }
        Some(match self.owes.take()?.1 {
            Asked::Keys => Input::Identities(Ok(self.keys.iter().map(|key| identity(*key)).collect())),
            Asked::Signature(request) => {
                let key = usize::from(request[0]);
                Input::Signed(self.signs.contains(&key).then(|| request.into()))
            }
        })
    }

    /// Forgets a request for a touch, if there is one.
    pub(super) fn withdraw_touch(&mut self) -> bool {
        self.owes.take_if(|(_, asked)| matches!(asked, Asked::Signature(key) if key[0] >= 7)).is_some()
    }

    /// Whether an answer is pending.
    pub(super) fn owes_answer(&self) -> bool {
        matches!(self.owes, Some((Some(_), _)))
    }

    fn signatures(&self) -> usize {
        self.asked.iter().filter(|ask| matches!(ask, Asked::Signature(_))).count()
    }
}

/// All keys of the agent, in its order.
pub(super) fn agent_keys() -> Offer {
    Offer::Agent(Arc::default())
}

/// Like [`agent_keys`], but prefers these identities, the first of them to all others.
fn preferring(preferred: &[usize], only: bool) -> Offer {
    let key = |(position, key): (usize, &usize)| PreferredKey {
        blob: identity(*key).blob().to_vec(),
        is_first: position == 0,
        missing: (*key > 4)
            .then(|| UnusableKey { path: format!("key{key}").into(), reason: "is locked".to_owned() }),
    };
    let preferred = preferred.iter().enumerate().map(key).collect();
    Offer::Agent(Arc::new(AgentOffer { preferred, certificates: Vec::new(), only }))
}

fn bench(plan: AuthPlan, agent: FakeAgent, peer: Peer) -> Bench {
    let mut bench = Bench::with(Config { plan, ..Config::default() }, Script::peer(peer));
    bench.agent = agent;
    bench.command();
    bench
}

/// A server that accepts only these keys.
fn wants_key(good: &[Cred]) -> Peer {
    Peer { policy: Some(Policy::new(&[&[PublicKey], &[Password]], good)), ..Peer::default() }
}

fn login(plan: AuthPlan, agent: FakeAgent, peer: Peer) -> Bench {
    let mut bench = bench(plan, agent, peer);
    bench.run();
    assert!(bench.all_ended());
    bench
}

use Cred::{AgentAsk, AgentSign};

#[test]
fn each_key_is_asked_about_and_only_a_wanted_one_signs() {
    let bench = login(vec![agent_keys()], FakeAgent::with(&[2, 3, 4]), wants_key(&[AgentSign(3)]));
    assert_eq!(tried(&bench), [AgentAsk(2), AgentAsk(3), AgentSign(3)]);
    assert_eq!(bench.signatures, 0, "the agent signs, not this process");
    assert_eq!(bench.agent.asked, [Asked::Keys, Asked::Signature(vec![3])]);
    assert!(bench.outcome(0).is_success());
}

/// OpenSSH: `pubkey_prepare`.
#[test]
fn preferred_keys_come_first_in_the_order_of_the_agent() {
    let tried_of = |offer| {
        tried(&login(vec![offer, password()], FakeAgent::with(&[2, 3, 4, 1]), wants_key(&[Cred::Password])))
    };
    let all = [AgentAsk(1), AgentAsk(3), AgentAsk(4), AgentAsk(2), Cred::Password];
    assert_eq!(tried_of(preferring(&[1, 4, 3], false)), all);
    let only = [AgentAsk(1), AgentAsk(3), AgentAsk(4), Cred::Password];
    assert_eq!(tried_of(preferring(&[1, 4, 3], true)), only);
    assert_eq!(tried_of(preferring(&[], true)), [Cred::Password]);
}

/// OpenSSH offers certificates that the settings name before all keys, and signs with the plain
/// key. `IdentitiesOnly` keeps back those of keys that are kept back.
#[test]
fn certificates_for_keys_of_the_agent_come_first() {
    let listed: Vec<Identity> = [1, 2, 3, 4].map(identity).into();
    let certificate = |key: usize| (vec![b'c', key as u8], identity(key).blob().to_vec());
    let selected = |preferred: &[usize], only: bool, certificates: Vec<(Vec<u8>, Vec<u8>)>| {
        let Offer::Agent(offer) = preferring(preferred, only) else { panic!() };
        let offer = AgentOffer { certificates, ..Arc::into_inner(offer).unwrap() };
        let selected = offer.select(&listed);
        let name = |identity: &Identity| match identity.blob() {
            [b'c', key] => format!("c{key}"),
            blob => format!("k{}", (1..5).find(|key| self::identity(*key).blob() == blob).unwrap()),
        };
        selected.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    let both = || vec![certificate(2), certificate(4), certificate(7)];
    assert_eq!(selected(&[], false, both()), "c2 c4 k1 k2 k3 k4");
    assert_eq!(selected(&[3, 4], false, both()), "k3 c2 c4 k4 k1 k2");
    assert_eq!(selected(&[4, 3], false, both()), "c4 k4 c2 k3 k1 k2", "the key that the caller names");
    assert_eq!(selected(&[3, 4], true, both()), "k3 c4 k4");
    // A certificate that the agent holds is offered once.
    let held = vec![(identity(3).blob().to_vec(), identity(2).blob().to_vec())];
    assert_eq!(selected(&[], false, held), "k1 k2 k3 k4");
}

#[test]
fn keys_that_only_the_agent_could_have_are_named_by_the_error() {
    let bench = login(vec![preferring(&[1, 5, 2, 6], true)], FakeAgent::with(&[1, 2, 3]), wants_key(&[]));
    let HostErrorKind::Auth { problems, .. } = bench.error(0).kind() else { panic!("{}", bench.error(0)) };
    let missing = |path: &str| AuthProblem::KeySkipped {
        path: path.into(),
        reason: "is locked, and the ssh-agent does not hold its key".to_owned(),
    };
    assert_eq!(*problems, [missing("key5"), missing("key6")]);
}

#[test]
fn without_keys_the_next_offer_is_made() {
    let good = [Cred::Password];
    let bench = login(vec![agent_keys(), password()], FakeAgent::with(&[]), wants_key(&good));
    assert_eq!(tried(&bench), [Cred::Password]);
    assert!(bench.outcome(0).is_success());
}

/// If the agent is the only credential, `none` finds out whether the host needs any, and which
/// methods it accepts.
#[test]
fn the_none_method_is_tried_only_if_the_agent_has_nothing() {
    let plan = vec![agent_keys(), Offer::None];
    let bench = login(plan.clone(), FakeAgent::with(&[]), wants_key(&[]));
    assert_eq!(tried(&bench), [Cred::None]);
    let HostErrorKind::Auth { tried: methods, offered, .. } = bench.error(0).kind() else { panic!() };
    assert_eq!((methods.as_slice(), offered.as_slice()), (&[][..], &[PublicKey, Password][..]));

    let bench = login(plan, FakeAgent::with(&[2]), wants_key(&[]));
    assert_eq!(tried(&bench), [AgentAsk(2)]);
    let HostErrorKind::Auth { tried: methods, .. } = bench.error(0).kind() else { panic!() };
    assert_eq!(methods.as_slice(), [PublicKey]);
}

#[test]
fn a_key_that_the_agent_does_not_sign_with_gives_way_to_the_next() {
    let agent = FakeAgent { signs: vec![3], ..FakeAgent::with(&[2, 3]) };
    let bench = login(vec![agent_keys()], agent, wants_key(&[AgentSign(2), AgentSign(3)]));
    assert_eq!(tried(&bench), [AgentAsk(2), AgentAsk(3), AgentSign(3)]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn a_key_that_libssh_cannot_use_is_passed_over() {
    let replies = vec![
        (AgentAsk(2), Ok(AuthReply::Unable("no such type".to_owned()))),
        (AgentAsk(3), Ok(AuthReply::ToSign(vec![3]))),
        (AgentSign(3), Ok(AuthReply::Accepted)),
    ];
    let bench = login(vec![agent_keys()], FakeAgent::with(&[2, 3]), Peer { replies, ..Peer::default() });
    assert_eq!(tried(&bench), [AgentAsk(2), AgentAsk(3), AgentSign(3)]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn no_key_is_offered_twice_by_agent_and_file() {
    // Identities 0 and 1 are the public halves of the private keys 0 and 1.
    let plan =
        vec![Offer::Sign(private_key(0)), agent_keys(), Offer::AskThenSign(private_key(1)), password()];
    let bench = login(plan, FakeAgent::with(&[0, 1, 2]), wants_key(&[Cred::Password]));
    assert_eq!(tried(&bench), [Cred::Sign(0), AgentAsk(1), AgentAsk(2), Cred::Password]);
}

#[test]
fn a_key_that_the_agent_does_not_sign_with_can_sign_as_a_file() {
    let agent = FakeAgent { signs: vec![], ..FakeAgent::with(&[1]) };
    let plan = vec![agent_keys(), Offer::AskThenSign(private_key(1))];
    let bench = login(plan, agent, wants_key(&[AgentSign(1), Cred::Sign(1)]));
    assert_eq!(tried(&bench), [AgentAsk(1), Cred::Probe(1), Cred::Sign(1)]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn two_keys_of_the_agent_for_a_server_that_wants_two() {
    let good = [AgentSign(2), AgentSign(4)];
    let peer = Peer { policy: Some(Policy::new(&[&[PublicKey, PublicKey]], &good)), ..Peer::default() };
    let bench = login(vec![agent_keys()], FakeAgent::with(&[2, 3, 4]), peer);
    let expected = [AgentAsk(2), AgentSign(2), AgentAsk(3), AgentAsk(4), AgentSign(4)];
    assert_eq!(tried(&bench), expected);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn keys_that_came_too_early_are_offered_after_the_password() {
    let good = [AgentSign(3), Cred::Password];
    let peer = Peer { policy: Some(Policy::new(&[&[Password, PublicKey]], &good)), ..Peer::default() };
    let bench = login(vec![agent_keys(), password()], FakeAgent::with(&[2, 3]), peer);
    let expected = [AgentAsk(2), Cred::Password, AgentAsk(2), AgentAsk(3), AgentSign(3)];
    assert_eq!(tried(&bench), expected);
    assert_eq!(bench.agent.signatures(), 1);
}

#[test]
fn a_server_that_hangs_up_after_too_many_keys_has_refused_the_login() {
    let goodbye = LinkError::new(LinkErrorKind::Disconnected(2), "Too many authentication failures");
    let replies = vec![(AgentAsk(4), Err(goodbye.clone()))];
    let peer = Peer { replies, ..Peer::default() };
    let bench = login(vec![agent_keys(), password()], FakeAgent::with(&[2, 3, 4, 5]), peer);
    let HostErrorKind::Auth { tried: methods, problems, .. } = bench.error(0).kind() else {
        panic!("{}", bench.error(0))
    };
    assert_eq!(methods.as_slice(), [PublicKey]);
    assert_eq!(*problems, [AuthProblem::Disconnected { reason: 2, message: goodbye.text }]);
    assert_eq!((bench.error(0).attempt(), bench.dials()), (1, 1));
}

#[test]
fn a_silent_agent_ends_the_login_at_its_time_limit() {
    let agent = FakeAgent { after: None, ..FakeAgent::with(&[2]) };
    let mut bench = bench(vec![agent_keys(), password()], agent, wants_key(&[Cred::Password]));
    bench.run();
    let error = bench.error(0);
    let HostErrorKind::Timeout { kind: TimeoutKind::Agent, after } = error.kind() else { panic!("{error}") };
    assert_eq!((*after, error.attempt()), (AUTH, 3));
    assert_eq!(bench.agent.asked, [const { Asked::Keys }; 3], "each attempt asks the agent again");
}

/// An answer for a connection that has ended changes nothing.
#[test]
fn a_late_answer_of_the_agent_is_ignored() {
    let mut bench = bench(vec![agent_keys()], FakeAgent::with(&[2]), wants_key(&[AgentSign(2)]));
    bench.run();
    let calls = bench.link.calls.len();
    assert_eq!(bench.phase(), Phase::Ready);
    bench.step(Input::Identities(Ok([identity(3)].into())));
    bench.step(Input::Signed(None));
    let after = bench.link.calls[calls..].iter().filter(|call| !matches!(call, Call::Pump)).count();
    assert_eq!(after, 0, "{:?}", &bench.link.calls[calls..]);
}

#[test]
fn answers_out_of_place_are_ignored() {
    let mut bench = bench(vec![agent_keys()], FakeAgent::with(&[2]), wants_key(&[AgentSign(2)]));
    while bench.agent.asked.is_empty() {
        bench.round();
    }
    bench.step(Input::Signed(Some([1].into())));
    bench.run();
    assert_eq!(tried(&bench), [AgentAsk(2), AgentSign(2)]);
    assert!(bench.outcome(0).is_success());
}
