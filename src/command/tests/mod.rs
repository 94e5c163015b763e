//! The bytes that are sent for a command, and the commands that are rejected.

mod channel;
mod env;
mod program;
mod quoting;
mod sudo;
mod template;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::error::CommandProblem;
use crate::limits;
use crate::text::sanitise;

/// The bytes that are sent to the only host.
fn sent(command: &Command) -> Vec<u8> {
    let requests = command.to_requests(1, Default::default()).unwrap();
    assert_eq!(requests.len(), 1);
    requests[0].text.to_bytes().to_vec()
}

fn problem(command: impl Into<Command>) -> CommandProblem {
    match command.into().to_requests(1, Default::default()) {
        Err(Error::Command(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

fn config(command: &Command) -> String {
    match command.to_requests(1, Default::default()) {
        Err(error @ Error::Config { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_sent_is_refused() {
    assert_eq!(problem(""), CommandProblem::Empty);
    assert_eq!(problem(" \t\n"), CommandProblem::Empty);
    assert_eq!(problem("a\0b"), CommandProblem::Nul(1));
    let len = limits::COMMAND_BYTES + 1;
    assert_eq!(problem("x".repeat(len)), CommandProblem::TooLong { len, max: limits::COMMAND_BYTES });
}

#[test]
fn the_forms_are_those_of_parallel_ssh_byte_for_byte() {
    let command = || Command::new("command");
    for (command, expected) in [
        (command(), "command"),
        (command().sudo(false), "command"),
        (command().sudo(true), "sudo -S $SHELL -c 'command'"),
        (command().run_as("u"), "sudo -u u -S $SHELL -c 'command'"),
        (command().run_as("u").sudo(true), "sudo -u u -S $SHELL -c 'command'"),
        (command().shell("bash -c"), "bash -c 'command'"),
        (command().shell("bash -c").sudo(true), "sudo -S bash -c 'command'"),
        (command().shell("bash -c").run_as("u"), "sudo -u u -S bash -c 'command'"),
        (command().shell("bash -c").run_as("u").sudo(true), "sudo -u u -S bash -c 'command'"),
    ] {
        assert_eq!(String::from_utf8(sent(&command)).unwrap(), expected);
    }
}

#[test]
fn only_a_wrapped_command_is_quoted() {
    let text = "echo 'a  b' \"$HOME\" \\ ;'";
    assert_eq!(sent(&Command::new(text)), text.as_bytes());
    let wrapped = br#"sh -c 'echo '\''a  b'\'' "$HOME" \ ;'\'''"#;
    assert_eq!(sent(&Command::new(text).shell("sh -c")), wrapped);
    assert_eq!(sent(&Command::new(*b"\xff\xfe'").shell("sh -c")), b"sh -c '\xff\xfe'\\'''");
}

#[test]
fn users_are_checked_and_quoted_where_a_shell_would_read_them() {
    for (user, expected) in [
        ("a-b_c.d@example.org", "a-b_c.d@example.org"),
        ("#1000", "'#1000'"),
        ("DOMAIN\\user", "'DOMAIN\\user'"),
        ("$HOME", "'$HOME'"),
        ("~root", "'~root'"),
        ("*", "'*'"),
        ("jürgen", "'jürgen'"),
    ] {
        let wire = sent(&Command::new("id").run_as(user));
        assert_eq!(String::from_utf8(wire).unwrap(), format!("sudo -u {expected} -S $SHELL -c 'id'"));
    }
    for user in ["", "-s", "a b", "a;b", "a'b", "`a`", "$(a)", "a\0b", "a\nb", "a|b", "a>b", &"x".repeat(256)]
    {
        let text = config(&Command::new("id").run_as(user));
        assert!(text.starts_with("run_as \""), "{text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

#[test]
fn a_blank_shell_is_refused() {
    for shell in ["", " ", "\t\n"] {
        assert_eq!(config(&Command::new("id").shell(shell)), "shell is empty");
    }
}

#[test]
fn what_is_checked_is_what_is_sent() {
    let around = "sh -c ''".len();
    let room = limits::COMMAND_BYTES - around;
    let fits = Command::new("x".repeat(room)).shell("sh -c");
    assert_eq!(sent(&fits).len(), limits::COMMAND_BYTES);
    let max = limits::COMMAND_BYTES;
    assert_eq!(
        problem(Command::new("x".repeat(room + 1)).shell("sh -c")),
        CommandProblem::TooLong { len: max + 1, max }
    );
    // Each quote takes four bytes.
    let quotes = "'".repeat(room / 4 + 1);
    assert!(matches!(problem(Command::new(quotes).shell("sh -c")), CommandProblem::TooLong { .. }));
    assert_eq!(problem(Command::new("a\0b").shell("sh -c")), CommandProblem::Nul("sh -c 'a".len()));
    assert_eq!(problem(Command::new("a").shell("sh\0-c")), CommandProblem::Nul(2));
    // A blank command stays blank, whatever words wrap it.
    assert_eq!(problem(Command::new(" ").sudo(true).shell("sh -c")), CommandProblem::Empty);
}

#[test]
fn values_are_put_in_before_the_words_around() {
    let command = Command::new("echo '%s'").shell("%s -c").host_args(["it's"]);
    assert_eq!(sent(&command), br"%s -c 'echo '\''it'\''s'\'''");
}

#[test]
fn the_text_is_sent_in_its_encoding() {
    let text = "echo 表 '%s'";
    let command = |label: &str| Command::new(text).host_args(["ア"]).encoding(label);
    assert_eq!(sent(&command("shift_jis")), b"echo \x95\x5c '\x83\x41'");
    assert_eq!(sent(&command("euc-jp")), b"echo \xc9\xbd '\xa5\xa2'");
    // A command cannot contain NUL bytes.
    for label in ["utf-8", "utf-16", "utf-16be"] {
        assert_eq!(sent(&command(label)), "echo 表 'ア'".as_bytes(), "{label}");
    }
    assert_eq!(sent(&Command::new(*b"\xff\xfe").encoding("utf-8")), b"\xff\xfe");
    // The words that wrap the text are encoded as well.
    let wrapped = Command::new("é's").run_as("jürgen").shell("/opt/é/sh -c").encoding("latin1");
    assert_eq!(sent(&wrapped), b"sudo -u 'j\xfcrgen' -S /opt/\xe9/sh -c '\xe9'\\''s'");
}

/// In ISO-2022-JP, the first byte of `б` is the byte of a single quote.
#[test]
fn the_quotes_are_for_a_shell_that_reads_bytes() {
    let wire = sent(&Command::new("echo б").shell("sh -c").encoding("iso-2022-jp"));
    let shifted = b"\x1b$B'\\''R\x1b(B";
    assert_eq!(wire, [b"sh -c 'echo ".as_slice(), shifted, b"'"].concat());
}

#[test]
fn what_the_encoding_has_not_is_refused_before_anything_is_started() {
    let latin1 = |text: &str| Command::new(text).encoding("latin1");
    let encoding = "windows-1252";
    assert_eq!(problem(latin1("aé表")), CommandProblem::Unencodable { offset: 3, encoding });
    assert_eq!(
        problem(Command::new(*b"a\xe9").encoding("latin1")),
        CommandProblem::NotUtf8 { offset: 1, encoding }
    );
    match latin1("echo %s").host_args(["é", "表"]).to_requests(2, Default::default()) {
        Err(Error::Template { position: 1, problem, .. }) => {
            assert_eq!(
                problem,
                TemplateProblem::Refused(CommandProblem::Unencodable { offset: 5, encoding })
            );
            assert!(!problem.to_string().contains('表'), "a value may be a password: {problem}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        config(&latin1("id").run_as("ж")),
        "run_as \"ж\": the character at offset 0 cannot be encoded in windows-1252"
    );
    assert!(config(&latin1("id").shell("/opt/ж -c")).starts_with("shell \"/opt/ж -c\":"));
    for label in ["", "klingon", "utf-32", "utf_16"] {
        assert_eq!(
            config(&Command::new("id").encoding(label)),
            format!("encoding \"{}\": no label of the WHATWG's Encoding standard", sanitise(label))
        );
    }
}

#[test]
fn there_is_one_text_per_host_and_equal_ones_are_shared() {
    let texts = |requests: &[Arc<Request>]| -> Vec<String> {
        requests.iter().map(|request| request.text.to_str().unwrap().to_owned()).collect()
    };
    let requests = Command::new("id").to_requests(3, Default::default()).unwrap();
    assert_eq!(texts(&requests), ["id"; 3]);
    assert!(requests.iter().all(|request| Arc::ptr_eq(request, &requests[0])));
    let requests = Command::new("echo %s")
        .host_args(["a", "b", "a"])
        .sudo(true)
        .to_requests(3, Default::default())
        .unwrap();
    let [a, b] = ["a", "b"].map(|value| format!("sudo -S $SHELL -c 'echo {value}'"));
    assert_eq!(texts(&requests), [a.clone(), b, a]);
    assert!(Arc::ptr_eq(&requests[0], &requests[2]));
    assert!(Arc::ptr_eq(&requests[0].options, &requests[1].options));
    assert!(Command::new("id").to_requests(0, Default::default()).unwrap().is_empty());
    assert!(matches!(
        Command::new("").to_requests(0, Default::default()),
        Err(Error::Command(CommandProblem::Empty))
    ));
}
