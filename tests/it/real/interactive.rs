//! keyboard-interactive with sshd, whose prompts come from PAM.

use std::sync::{Arc, Mutex};

use sshoal::config::{Answer, Challenge, ClientBuilder};
use sshoal::error::{AuthMethod, AuthProblem};
use sshoal::{Command, HostConfig, HostErrorKind, ParallelClient};

use super::{SLOW, build, guard, run_one, start_error, stdout};
use crate::support::keys::ClientKey;
use crate::support::sshd::Sshd;
use crate::support::user::TestUser;

const HOST: &str = "127.0.2.1";

/// Passwords through PAM's prompts only.
fn asking(options: &[&str]) -> Sshd {
    let base = ["UsePAM yes", "KbdInteractiveAuthentication yes", "PasswordAuthentication no"];
    let builder = base.iter().chain(options).fold(Sshd::builder(), |builder, line| builder.option(line));
    builder.start()
}

fn client(sshd: &Sshd, user: &TestUser) -> ClientBuilder {
    let builder = ParallelClient::builder([HOST]).port(sshd.port()).user(user.name());
    let builder = builder.identity_auth(false).allow_agent(false);
    builder.known_hosts([sshd.known_hosts([HOST])]).num_retries(1).timeout(SLOW)
}

/// Answers PAM's one prompt, and records the prompts.
fn answering(
    answer: &str,
    asked: &Arc<Mutex<Vec<String>>>,
) -> impl Fn(&Challenge<'_>) -> Option<Vec<Answer>> + Send + Sync + 'static {
    let (answer, asked) = (answer.to_owned(), asked.clone());
    move |challenge| {
        let prompts = challenge.prompts.iter().map(|prompt| (prompt.text.trim_end(), prompt.echo));
        let prompts: Vec<_> = prompts.collect();
        let Challenge { host, user, round, .. } = challenge;
        asked.lock().expect("no panic").push(format!("{user}@{host} {round} {prompts:?}"));
        Some(vec![answer.as_str().into(); prompts.len()])
    }
}

#[test]
fn the_password_answers_pam() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("pam_password");
    let sshd = asking(&[]);
    let with = || client(&sshd, &user).password(user.password());
    assert_eq!(run_one(&mut build(with().keyboard_interactive(true)), "id -un"), [user.name()]);

    // PAM's prompt contains "Password", so no setting is needed.
    assert_eq!(run_one(&mut build(with()), "id -un"), [user.name()]);

    let error = start_error(with().keyboard_interactive(false));
    let HostErrorKind::Auth { tried, offered, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(tried.as_slice(), [AuthMethod::Password]);
    assert!(offered.contains(&AuthMethod::KeyboardInteractive), "{error}");
    assert!(error.to_string().ends_with("keyboard-interactive needs keyboard_interactive(true)"), "{error}");

    let error = start_error(with().password_prompt("passcode"));
    let HostErrorKind::Auth { problems, .. } = error.kind() else { panic!("{error}") };
    let [AuthProblem::Unanswered { needs: Some(needs), .. }] = problems.as_slice() else { panic!("{error}") };
    assert_eq!(*needs, "password_prompt or a responder");
}

/// sshd offers both methods, and both check the same password.
#[test]
fn a_password_that_one_method_refused_is_not_sent_by_the_other() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("pam_once");
    let options = ["UsePAM yes", "KbdInteractiveAuthentication yes", "PasswordAuthentication yes"];
    let sshd = options.iter().fold(Sshd::builder(), |builder, line| builder.option(line)).start();
    let error = start_error(client(&sshd, &user).password("wrong").keyboard_interactive(true));
    let HostErrorKind::Auth { tried, offered, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(tried.as_slice(), [AuthMethod::Password]);
    assert!(offered.contains(&AuthMethod::KeyboardInteractive), "{error}");
    sshd.await_log("Failed password", 1);
    assert_eq!((sshd.count("Failed password"), sshd.count("Failed keyboard-interactive/pam")), (1, 0));
}

#[test]
fn a_wrong_password_is_typed_once() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("pam_wrong");
    let sshd = asking(&[]);
    let error = start_error(client(&sshd, &user).password("wrong").keyboard_interactive(true));
    let HostErrorKind::Auth { tried, offered, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(tried.as_slice(), [AuthMethod::Password, AuthMethod::KeyboardInteractive]);
    assert!(offered.contains(&AuthMethod::KeyboardInteractive), "{error}");
    sshd.await_log("Failed keyboard-interactive/pam", 1);
    assert_eq!(sshd.count("Failed keyboard-interactive/pam"), 1);
}

#[test]
fn a_responder_answers_pam() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("pam_responder");
    let sshd = asking(&[]);
    let asked = Arc::default();
    let builder = client(&sshd, &user).responder(answering(user.password(), &asked));
    assert_eq!(run_one(&mut build(builder), "id -un"), [user.name()]);
    let expected = format!("{}@{HOST} 1 [(\"Password:\", false)]", user.name());
    assert_eq!(*asked.lock().expect("no panic"), [expected]);

    let error = start_error(client(&sshd, &user).responder(|_| None));
    let HostErrorKind::Auth { problems, .. } = error.kind() else { panic!("{error}") };
    let [AuthProblem::Unanswered { prompt, prompts: 1, .. }] = problems.as_slice() else { panic!("{error}") };
    assert!(prompt.starts_with("Password:"), "{prompt}");
}

/// parallel-ssh does not pass it on to any host.
#[test]
fn a_single_host_goes_without() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("pam_per_host");
    let sshd = asking(&[]);
    let hosts: Vec<String> = sshd.hosts(2).collect();
    let builder = ParallelClient::builder(&hosts).port(sshd.port()).user(user.name()).identity_auth(false);
    let builder = builder.allow_agent(false).known_hosts([sshd.known_hosts(&hosts)]).num_retries(1);
    let builder = builder.timeout(SLOW).password(user.password()).keyboard_interactive(true);
    let configs = [HostConfig::default(), HostConfig::default().keyboard_interactive(false)];
    let mut client = build(builder.host_config(configs));
    let outputs = client
        .run_command_with(Command::new("id -un"), sshoal::ReadOptions::default().stop_on_errors(false))
        .expect("it starts");
    assert_eq!(stdout(&outputs[0]), [user.name()]);
    let error = outputs[1].error().expect("no way in");
    let HostErrorKind::Auth { tried, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(tried.as_slice(), [AuthMethod::Password]);
}

/// Two factors: the key, and what PAM asks for.
#[test]
fn key_and_then_questions() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("pam_two_factors");
    let sshd = asking(&["AuthenticationMethods publickey,keyboard-interactive"]);
    let key = || client(&sshd, &user).key_file(sshd.key(ClientKey::Ed25519));
    let asked = Arc::default();
    let builder = key().responder(answering(user.password(), &asked));
    assert_eq!(run_one(&mut build(builder), "id -un"), [user.name()]);
    let builder = key().password(user.password()).keyboard_interactive(true);
    assert_eq!(run_one(&mut build(builder), "id -un"), [user.name()]);
    assert_eq!(sshd.count("Partial publickey"), 2);
    assert_eq!(sshd.count("Accepted keyboard-interactive/pam"), 2, "{}", sshd.log());

    let error = start_error(key());
    let HostErrorKind::Auth { tried, offered, .. } = error.kind() else { panic!("{error}") };
    let (pk, ki) = (AuthMethod::PublicKey, AuthMethod::KeyboardInteractive);
    assert_eq!((tried.as_slice(), offered.as_slice()), (&[pk][..], &[ki][..]));
}
