//! The command lines with which `sudo` is invoked.

use super::*;
use crate::command::{Found, SudoMark};

fn login(command: &Command) -> (String, Arc<Request>) {
    let requests = command.to_requests(1, Default::default()).unwrap();
    let request = requests[0].clone();
    (String::from_utf8(request.text.to_bytes().to_vec()).unwrap(), request)
}

/// The command line that is sent, with `{prompt}` and `{start}` in the places of the two marks.
fn form(command: &Command) -> String {
    let (text, request) = login(command);
    let login = request.options.sudo.as_ref().unwrap();
    let [prompt, start] = [SudoMark::Prompt, SudoMark::Start].map(|mark| login.text(mark));
    assert!([&prompt, &start].iter().all(|mark| text.matches(*mark).count() == 1), "{text}");
    text.replace(&prompt, "{prompt}").replace(&start, "{start}")
}

#[test]
fn a_known_password_has_a_prompt_and_a_start_of_its_own() {
    let around = r#"-S -p {prompt} sh -c 'printf %s "$0" >&2; exec "$@"' {start}"#;
    let command = || Command::new("it's").sudo_password("secret");
    for (command, expected) in [
        (command(), format!("sudo {around} $SHELL -c 'it'\\''s'")),
        (command().sudo(true), format!("sudo {around} $SHELL -c 'it'\\''s'")),
        (command().run_as("#7"), format!("sudo -u '#7' {around} $SHELL -c 'it'\\''s'")),
        (command().shell("bash -c"), format!("sudo {around} bash -c 'it'\\''s'")),
        (command().run_as("u").shell("bash -c"), format!("sudo -u u {around} bash -c 'it'\\''s'")),
    ] {
        assert_eq!(form(&command), expected);
    }
}

#[test]
fn marks_are_made_anew_for_each_run_and_shared_by_its_hosts() {
    let command = Command::new("echo %s").host_args(["a", "b"]).sudo_password("secret");
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        let requests = command.to_requests(2, Default::default()).unwrap();
        assert!(Arc::ptr_eq(&requests[0].options, &requests[1].options));
        let mark = requests[0].options.sudo.as_ref().unwrap().text(SudoMark::Prompt);
        assert!(requests.iter().all(|request| request.text.to_str().unwrap().contains(&mark)));
        assert!(mark.len() > 32 && mark.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        assert!(seen.insert(mark));
    }
}

#[test]
fn the_password_is_the_answer_and_nowhere_else() {
    let command = Command::new("id").sudo_password("open sesame");
    let (text, request) = login(&command);
    assert_eq!(request.options.sudo.as_ref().unwrap().answer(), b"open sesame\n");
    for shown in [text, format!("{command:?}"), format!("{request:?}")] {
        assert!(!shown.contains("sesame"), "{shown}");
    }
    let empty = login(&Command::new("id").sudo_password("")).1;
    assert_eq!(empty.options.sudo.as_ref().unwrap().answer(), b"\n");
}

#[test]
fn a_password_that_sudo_would_not_read_as_one_line_is_refused() {
    let refused = |password: &str| config(&Command::new("id").sudo_password(password));
    for password in ["a\nb", "a\n", "a\rb", "a\0b"] {
        let text = refused(password);
        assert_eq!(text, "sudo_password contains a line end or a NUL byte");
    }
    let longest = "x".repeat(limits::SUDO_PASSWORD_BYTES);
    assert_eq!(refused(&format!("{longest}x")), "sudo_password is too long for sudo");
    login(&Command::new("id").sudo_password(longest));
}

#[test]
fn without_questions_sudo_has_its_own_form() {
    let command = || Command::new("id").sudo_non_interactive(true);
    for (command, expected) in [
        (command(), "sudo -n $SHELL -c 'id'"),
        (command().sudo(true), "sudo -n $SHELL -c 'id'"),
        (command().run_as("u"), "sudo -u u -n $SHELL -c 'id'"),
        (command().shell("bash -c"), "sudo -n bash -c 'id'"),
        (command().run_as("u").shell("bash -c"), "sudo -u u -n bash -c 'id'"),
        (command().sudo_non_interactive(false), "id"),
        (command().sudo_non_interactive(false).sudo(true), "sudo -S $SHELL -c 'id'"),
    ] {
        let (text, request) = login(&command);
        assert_eq!(text, expected);
        assert!(request.options.sudo.is_none());
    }
    let text = config(&command().sudo_password("secret"));
    assert_eq!(text, "sudo_password cannot be combined with sudo_non_interactive: give one of them");
}

#[test]
fn marks_are_found_where_they_are() {
    let (_, request) = login(&Command::new("id").sudo_password("secret"));
    let login = request.options.sudo.as_ref().unwrap();
    for mark in [SudoMark::Prompt, SudoMark::Start] {
        let text = login.text(mark);
        for (before, behind) in [("", ""), ("sshoal-", ""), (&text[..12], &text[..20]), ("\0\n", "x")] {
            let output = format!("{before}{text}{behind}");
            let found =
                Found::Mark { mark, start: before.len(), end: before.len() + text.len(), framed: false };
            assert_eq!(login.find(output.as_bytes()), found, "{output:?}");
        }
        let framed = format!("no [sudo: {text}] Password: ");
        let is_prompt = mark == SudoMark::Prompt;
        let start = if is_prompt { 3 } else { 10 };
        let found = Found::Mark { mark, start, end: 10 + text.len(), framed: is_prompt };
        assert_eq!(login.find(framed.as_bytes()), found);
        for len in 3..10 + text.len() {
            assert_eq!(login.find(&framed.as_bytes()[..len]), Found::Perhaps(3), "{}", &framed[..len]);
        }
        for len in 0..text.len() {
            assert_eq!(login.find(&text.as_bytes()[..len]), Found::Perhaps(0));
            let output = format!("{}!{}", &text[..len], &text[..len]);
            assert_eq!(login.find(output.as_bytes()), Found::Perhaps(len + 1), "{output:?}");
        }
    }
}
