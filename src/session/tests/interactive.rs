//! Tests of keyboard-interactive: which prompts get which answers, and which prompts never get an
//! answer.

use std::sync::{Arc, Mutex};

use super::auth::{login, password, tried};
use super::call::Call;
use super::harness::{Bench, Config};
use super::policy::Policy;
use super::script::{Cred, Peer, Script, private_key};
use crate::credential::Secret;
use crate::credential::{Answer, Challenge, Prompt, Responder};
use crate::error::AuthMethod::{KeyboardInteractive, Password, PublicKey};
use crate::error::{AuthProblem, HostErrorKind};
use crate::limits;
use crate::link::{AuthReply, LinkError, LinkErrorKind, Questions};
use crate::session::{Answerer, Offer};

pub(super) fn prompt(text: &str, echo: bool) -> Prompt {
    Prompt { text: text.to_owned(), echo }
}

fn round(prompts: &[Prompt]) -> Questions {
    Questions { name: "name".to_owned(), instruction: "instruction".to_owned(), prompts: prompts.to_vec() }
}

pub(super) fn hidden(text: &str) -> Questions {
    round(&[prompt(text, false)])
}

pub(super) fn typed() -> Offer {
    typed_at("")
}

/// The password, for prompts with this text.
fn typed_at(text: &str) -> Offer {
    Offer::Interactive(Answerer::Password(Secret::new("hunter2".to_owned()).unwrap(), text.into()))
}

fn responder(respond: impl Fn(&Challenge<'_>) -> Option<Vec<Answer>> + Send + Sync + 'static) -> Offer {
    Offer::Interactive(Answerer::Responder(Responder::new(respond)))
}

/// A server that accepts only keyboard-interactive, with any answers.
fn asked(offer: Offer, rounds: Vec<Questions>) -> Bench {
    let replies = vec![(Cred::Interactive, Ok(AuthReply::Accepted))];
    login(vec![offer], Peer { replies, rounds, offers: vec![vec![KeyboardInteractive]], ..Peer::default() })
}

fn problems(bench: &Bench) -> Vec<AuthProblem> {
    let HostErrorKind::Auth { tried, problems, .. } = bench.error(0).kind() else {
        panic!("{}", bench.error(0))
    };
    assert_eq!(*tried, [KeyboardInteractive]);
    problems.clone()
}

fn unanswered(prompt: &str, prompts: usize, needs: Option<&'static str>) -> Vec<AuthProblem> {
    vec![AuthProblem::Unanswered { prompt: prompt.to_owned(), prompts, needs }]
}

const RESPONDER: Option<&str> = Some("a responder");

#[test]
fn the_password_answers_a_single_hidden_prompt() {
    let bench = asked(typed(), vec![hidden("Password: ")]);
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.link.answers, ["hunter2"]);
}

#[test]
fn rounds_without_prompts_are_answered_without_anything() {
    for offer in [typed(), responder(|asked| Some(vec!["hunter2".into(); asked.prompts.len()]))] {
        let bench = asked(offer, vec![round(&[]), hidden("Password: "), round(&[])]);
        assert!(bench.outcome(0).is_success());
        assert_eq!(bench.link.answers, ["hunter2"]);
        let answered = bench.calls(|call| matches!(call, Call::Answer(_)));
        assert_eq!(answered, [&Call::Answer(0), &Call::Answer(1), &Call::Answer(0)]);
    }
}

/// The other prompts are those that echo the answer, or that ask for something else.
#[test]
fn the_password_answers_no_other_prompt() {
    let two = [prompt("Password: ", false), prompt("Code: ", false)];
    let cases = [
        (vec![round(&[prompt("Login: ", true)])], unanswered("Login: ", 1, RESPONDER)),
        (vec![round(&two)], unanswered("Password: ", 2, RESPONDER)),
    ];
    for (rounds, expected) in cases {
        let bench = asked(typed(), rounds);
        assert_eq!(problems(&bench), expected);
        assert!(bench.link.answers.is_empty());
    }
}

#[test]
fn the_password_is_given_once() {
    let bench = asked(typed(), vec![hidden("Password: "), hidden("Verification code: ")]);
    assert_eq!(problems(&bench), unanswered("Verification code: ", 1, RESPONDER));
    assert_eq!(bench.link.answers, ["hunter2"]);
    let text = bench.error(0).to_string();
    assert!(
        text.ends_with("; no answer to \"Verification code: \" (set a responder to answer it)"),
        "{text}"
    );
}

#[test]
fn the_password_answers_only_prompts_with_the_text() {
    for (text, asks) in [
        ("password", "Password: "),
        ("password", "(me@web1) PASSWORD:"),
        ("CODE", "Passcode: "),
        ("", "PIN: "),
    ] {
        let bench = asked(typed_at(text), vec![hidden(asks)]);
        assert!(bench.outcome(0).is_success(), "{asks}");
        assert_eq!(bench.link.answers, ["hunter2"]);
    }
    let bench = asked(typed_at("password"), vec![hidden("Verification code: ")]);
    assert_eq!(
        problems(&bench),
        unanswered("Verification code: ", 1, Some("password_prompt or a responder"))
    );
    assert!(bench.link.answers.is_empty());
}

/// The texts of pam_unix, old and new, and of other modules.
#[test]
fn the_old_password_never_answers_a_prompt_for_the_new_one() {
    let first = ["New password: ", "Enter new UNIX password:", "Retype new password: ", "Retype password:"];
    let after = ["Current password: ", "(current) UNIX password: ", "Changing password.\nOld Password: "];
    let given = |text: &str| vec![hidden("Password: "), hidden(text)];
    let rounds =
        first.map(|text| vec![hidden(text)]).into_iter().chain(first.map(given)).chain(after.map(given));
    for rounds in rounds {
        let sent = rounds.len() - 1;
        let asked_for = rounds[sent].prompts[0].text.trim_end().replace('\n', "\\n");
        for offer in [
            typed(),
            typed_at("password"),
            responder(|asked| (asked.prompts[0].text == "Password: ").then(|| vec!["hunter2".into()])),
        ] {
            let bench = asked(offer, rounds.clone());
            assert_eq!(problems(&bench), [AuthProblem::PasswordExpired { prompt: Some(asked_for.clone()) }]);
            assert_eq!(bench.link.answers, vec!["hunter2"; sent], "{asked_for}");
        }
    }
    // A message of PAM in front of the prompt, and words that only look similar.
    for text in ["Choose a new password soon.\nPassword: ", "Newcastle password: ", "Current password: "] {
        let bench = asked(typed_at("password"), vec![hidden(text)]);
        assert!(bench.outcome(0).is_success(), "{text}");
    }
}

/// By either method, and also after a connection that was lost in between.
#[test]
fn a_refused_password_is_not_sent_again() {
    let both = || Peer {
        offers: vec![vec![KeyboardInteractive, Password, PublicKey]],
        rounds: vec![hidden("Password: ")],
        ..Peer::default()
    };
    for (plan, cred) in
        [(vec![password(), typed()], Cred::Password), (vec![typed(), password()], Cred::Interactive)]
    {
        let bench = login(plan, both());
        assert_eq!(tried(&bench), [cred]);
        assert!(matches!(bench.error(0).kind(), HostErrorKind::Auth { .. }));
    }
    let lost = LinkError::new(LinkErrorKind::Lost, "reset");
    let first = Peer { replies: vec![(Cred::Sign(0), Err(lost))], ..both() };
    let second = Peer { replies: vec![(Cred::Sign(0), Ok(AuthReply::Accepted))], ..both() };
    let config = Config { plan: vec![password(), Offer::Sign(private_key(0)), typed()], ..Config::default() };
    let mut bench = Bench::with(config, Script::peers(vec![first, second]));
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(tried(&bench), [Cred::Password, Cred::Sign(0)], "in both attempts together");
    assert_eq!(bench.dials(), 2);
}

#[test]
fn a_server_that_only_asks_names_the_missing_setting() {
    let cred_of = |offer: &Offer| if offer.password().is_some() { Cred::Password } else { Cred::Sign(0) };
    for (plan, needs) in [
        (vec![password()], "keyboard_interactive(true)"),
        (vec![Offer::Sign(private_key(0))], "a password or a responder"),
    ] {
        let offers = vec![vec![KeyboardInteractive]];
        let replies = plan.iter().map(|offer| (cred_of(offer), Ok(AuthReply::Denied))).collect();
        let bench = login(plan, Peer { replies, offers, ..Peer::default() });
        let text = bench.error(0).to_string();
        assert!(text.ends_with(&format!("; keyboard-interactive needs {needs}")), "{text}");
    }
}

/// A panic fails only this host. Its message may contain a secret, so it is not reported.
#[test]
fn a_responder_that_panics_fails_its_host() {
    let bench = asked(responder(|_| panic!("hunter2 is no number")), vec![hidden("Pin: ")]);
    assert_eq!(problems(&bench), [AuthProblem::ResponderPanicked]);
    assert!(bench.link.answers.is_empty());
    let text = bench.error(0).to_string();
    assert!(text.ends_with("; the responder panicked"), "{text}");
}

#[test]
fn a_responder_sees_each_round_and_answers_it() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let offer = responder(move |asked| {
        log.lock().unwrap().push(format!("{asked:?}"));
        Some(asked.prompts.iter().map(|prompt| prompt.text.to_uppercase().into()).collect())
    });
    let two = [prompt("login", true), prompt("pin", false)];
    let bench = asked(offer, vec![hidden("password"), round(&[]), round(&two)]);
    assert!(bench.outcome(0).is_success());
    assert_eq!(bench.link.answers, ["PASSWORD", "LOGIN", "PIN"]);
    let seen = seen.lock().unwrap();
    let frame = |round: u32, prompts: &[Prompt]| {
        format!(
            "Challenge {{ host: \"web1\", port: 22, user: \"deploy\", round: {round}, name: \"name\", \
             instruction: \"instruction\", prompts: {prompts:?} }}"
        )
    };
    assert_eq!(*seen, [frame(1, &[prompt("password", false)]), frame(3, &two)]);
}

#[test]
fn answers_that_do_not_fit_are_not_sent() {
    let two = || vec![round(&[prompt("a\x1b[2J", false), prompt("b", false)])];
    let prompt = || "a\x1b[2J".to_owned();
    let given = |answers: &'static [&'static str]| {
        asked(responder(|_| Some(answers.iter().map(|answer| Answer::from(*answer)).collect())), two())
    };
    for answers in [&[][..], &["one"], &["one", "two", "three"]] {
        let bench = given(answers);
        let expected = AuthProblem::WrongAnswers { prompt: prompt(), prompts: 2, answers: answers.len() };
        assert_eq!(problems(&bench), [expected]);
        assert!(bench.link.answers.is_empty());
        let text = bench.error(0).to_string();
        let end = format!("gave {} answers to 2 prompts, the first of which is \"a\\x1b[2J\"", answers.len());
        assert!(text.ends_with(&end), "{text}");
    }
    let bench = given(&["one", "t\0wo"]);
    assert_eq!(problems(&bench), [AuthProblem::NulInAnswer { index: 1 }]);
    assert!(bench.link.answers.is_empty());
    let bench = asked(responder(|_| None), two());
    assert_eq!(problems(&bench), unanswered("a\x1b[2J", 2, None));
}

#[test]
fn endless_rounds_are_given_up() {
    for rounds in [vec![round(&[]); 100], vec![hidden("again"); 100]] {
        let bench = asked(responder(|_| Some(vec!["answer".into()])), rounds);
        assert_eq!(problems(&bench), [AuthProblem::TooManyRounds(limits::INTERACTIVE_ROUNDS)]);
        let answered = bench.calls(|call| matches!(call, Call::Answer(_))).len();
        assert_eq!(answered, limits::INTERACTIVE_ROUNDS as usize);
    }
}

#[test]
fn a_prompt_of_any_length_is_kept_short() {
    let long = "\u{e9}".repeat(100_000);
    let bench = asked(responder(|_| None), vec![hidden(&long)]);
    let [AuthProblem::Unanswered { prompt, .. }] = &problems(&bench)[..] else { panic!() };
    assert_eq!(prompt.len(), limits::PEER_TEXT);
    assert!(long.starts_with(prompt));
}

#[test]
fn a_method_that_is_given_up_gives_way_to_the_next() {
    let replies = vec![(Cred::Password, Ok(AuthReply::Accepted))];
    let offers = vec![vec![KeyboardInteractive, Password]];
    let plan = vec![responder(|_| None), password()];
    let bench = login(plan, Peer { replies, offers, rounds: vec![hidden("?")], ..Peer::default() });
    assert_eq!(tried(&bench), [Cred::Interactive, Cred::Password]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn key_then_keyboard_interactive() {
    let policy = Policy::new(&[&[PublicKey, KeyboardInteractive]], &[Cred::Sign(0), Cred::Interactive]);
    let rounds = vec![hidden("Password: "), hidden("Code: ")];
    let peer = Peer { policy: Some(policy), rounds, ..Peer::default() };
    let offer = responder(|asked| Some(vec![asked.prompts[0].text.as_str().into()]));
    let bench = login(vec![Offer::Sign(private_key(0)), password(), offer], peer);
    assert_eq!(tried(&bench), [Cred::Sign(0), Cred::Interactive]);
    assert_eq!(bench.link.answers, ["Password: ", "Code: "]);
    assert!(bench.outcome(0).is_success());
}

#[test]
fn wrong_answers_are_not_given_twice() {
    let offers = vec![vec![KeyboardInteractive]];
    let peer = Peer { offers, rounds: vec![hidden("Code: ")], ..Peer::default() };
    let bench = login(vec![responder(|_| Some(vec!["wrong".into()]))], peer);
    assert_eq!(problems(&bench), []);
    assert_eq!(bench.link.answers, ["wrong"]);
    assert_eq!((bench.error(0).attempt(), bench.dials()), (1, 1));
}

#[test]
fn questions_that_cannot_be_read_end_the_connection() {
    let bad = LinkError::new(LinkErrorKind::Protocol, "Invalid USERAUTH_INFO_REQUEST msg");
    let replies = vec![(Cred::Interactive, Err(bad))];
    let bench = login(vec![typed(), password()], Peer { replies, ..Peer::default() });
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Protocol(_)));
    assert_eq!(tried(&bench), [Cred::Interactive]);
}
