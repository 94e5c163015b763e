//! Servers that ask too much, too often, or out of turn (keyboard-interactive).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sshoal::error::AuthProblem;
use sshoal::{HostErrorKind, HostOutput};

use super::{Hostile, INFO_RESPONSE, address, all, guard, printable, run, stdout};

fn problem(output: &HostOutput) -> AuthProblem {
    let error = output.error().expect("a refusal");
    let text = error.to_string();
    assert!(printable(&text) && text.len() < 1024, "{} bytes: {text}", text.len());
    match error.kind() {
        HostErrorKind::Auth { problems, .. } if problems.len() == 1 => problems[0].clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn several_rounds_are_answered_in_order() {
    let _dog = guard("several_rounds");
    let server = Hostile::start(&["asks-two-factors"]);
    let builder = server.client(all(&["asks-two-factors"])).responder(|asked| {
        let answer = |text: &str| format!("{} {text}", asked.round).into();
        Some(asked.prompts.iter().map(|prompt| answer(prompt.text.trim_end())).collect())
    });
    let outputs = run(&mut builder.build().expect("a client"), "greet");
    let expected = ["[['1 Password:'], [], ['3 Code:', '3 Again:'], []]", "hello"];
    assert_eq!(stdout(&outputs[0]), expected);
}

#[test]
fn the_password_is_typed_once_and_never_for_something_else() {
    let _dog = guard("typed_once");
    let kinds = ["asks-two-factors", "asks-for-ever", "asks-256"];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).keyboard_interactive(true).build().expect("a client");
    let outputs = run(&mut client, "greet");
    let expected = [("Code: ", 2, 2), ("More: ", 1, 1), ("More: ", 256, 0)];
    for (index, (first, count, sent)) in expected.into_iter().enumerate() {
        let problem = problem(&outputs[index]);
        assert!(
            matches!(&problem, AuthProblem::Unanswered { prompt, prompts, .. } if prompt == first && *prompts == count),
            "{}: {problem:?}",
            kinds[index]
        );
        assert_eq!(server.count(&address(index), INFO_RESPONSE), sent, "{}", kinds[index]);
    }
}

#[test]
fn questions_without_end_are_given_up() {
    let _dog = guard("questions_without_end");
    let kinds = ["asks-for-ever", "asks-nothing-for-ever"];
    let server = Hostile::start(&kinds);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let builder = server.client(all(&kinds)).responder(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Some(vec!["more".into()])
    });
    let outputs = run(&mut builder.build().expect("a client"), "greet");
    for (index, kind) in kinds.iter().enumerate() {
        assert_eq!(problem(&outputs[index]), AuthProblem::TooManyRounds(16), "{kind}");
        assert_eq!(server.count(&address(index), INFO_RESPONSE), 16, "{kind}");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 16, "rounds without prompts are not passed on");
}

#[test]
fn as_many_prompts_as_libssh_takes_are_answered() {
    let _dog = guard("256_prompts");
    let server = Hostile::start(&["asks-256"]);
    let builder = server.client(all(&["asks-256"]));
    let builder = builder.responder(|asked| Some(vec!["more".into(); asked.prompts.len()]));
    let outputs = run(&mut builder.build().expect("a client"), "greet");
    assert_eq!(stdout(&outputs[0])[0].matches("'more'").count(), 256);
}

#[test]
fn questions_that_cannot_be_read_end_the_connection() {
    let _dog = guard("bad_questions");
    let kinds = ["asks-less-than-it-says", "asks-twice-at-once"];
    let server = Hostile::start(&kinds);
    let builder = server.client(all(&kinds)).responder(|_| Some(vec!["more".into()]));
    let outputs = run(&mut builder.build().expect("a client"), "greet");
    for (index, kind) in kinds.iter().enumerate() {
        let error = outputs[index].error().expect(kind);
        assert!(matches!(error.kind(), HostErrorKind::Protocol(_)), "{kind}: {error}");
        // The first of two rounds may be read, and answered, before the second.
        let sent_max = usize::from(*kind == "asks-twice-at-once");
        assert!(server.count(&address(index), INFO_RESPONSE) <= sent_max, "{kind}");
    }
}

/// More prompts than libssh reads are not the server's fault.
#[test]
fn more_prompts_than_libssh_reads_are_a_limit_of_libssh() {
    let _dog = guard("too_many_prompts");
    let kinds = ["asks-257", "asks-four-billion"];
    let server = Hostile::start(&kinds);
    let builder = server.client(all(&kinds)).responder(|_| Some(vec!["more".into()]));
    let outputs = run(&mut builder.build().expect("a client"), "greet");
    for (index, count) in ["257", "4294967295"].into_iter().enumerate() {
        let error = outputs[index].error().expect(count);
        assert!(matches!(error.kind(), HostErrorKind::Limit(_)), "{error}");
        let text = format!("the server asked {count} questions at once, more than the 256 that libssh reads");
        assert!(error.to_string().ends_with(&text), "{error}");
        assert_eq!(server.count(&address(index), INFO_RESPONSE), 0, "{count}");
    }
}

#[test]
fn an_answer_to_a_question_taken_back_is_a_refusal() {
    let _dog = guard("taken_back");
    let server = Hostile::start(&["asks-and-refuses-at-once"]);
    let builder = server.client(all(&["asks-and-refuses-at-once"])).responder(|_| Some(vec!["more".into()]));
    let outputs = run(&mut builder.build().expect("a client"), "greet");
    let error = outputs[0].error().expect("a refusal");
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");
}

#[test]
fn a_prompt_of_escapes_is_shown_clean_and_short() {
    let _dog = guard("escapes");
    let server = Hostile::start(&["asks-in-escapes"]);
    let mut client = server.client(all(&["asks-in-escapes"])).responder(|asked| {
        assert!(asked.prompts[0].text.starts_with("\x1b]0;pwned\x07\u{202e}"), "as it came");
        assert_eq!(asked.instruction, "instruction \x1b[2J");
        None
    });
    client = client.num_retries(1);
    let outputs = run(&mut client.build().expect("a client"), "greet");
    let AuthProblem::Unanswered { prompt, prompts: 1, .. } = problem(&outputs[0]) else { panic!() };
    assert!(prompt.len() <= 512, "{} bytes kept", prompt.len());
}
