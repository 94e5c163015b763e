//! Environment variables, as requests and in the text.

use std::process::{Command as Process, Output};

use super::*;

fn command(text: &str) -> Command {
    Command::new(text).shell_env("A", "1")
}

#[test]
fn variables_precede_the_text_within_everything_that_wraps_it() {
    let two = command("id -un").shell_envs([("B", "it's"), ("_c2", "")]);
    let exports = r"export A='1' B='it'\''s' _c2='' || exit; id -un";
    assert_eq!(sent(&two), exports.as_bytes());
    let quoted = exports.replace('\'', r"'\''");
    for (command, before) in [
        (two.clone().shell("bash -c"), "bash -c"),
        (two.clone().sudo(true), "sudo -S $SHELL -c"),
        (two.clone().run_as("u").shell("sh -c"), "sudo -u u -S sh -c"),
    ] {
        assert_eq!(String::from_utf8(sent(&command)).unwrap(), format!("{before} '{quoted}'"));
    }
    assert!(two.to_requests(1, Default::default()).unwrap()[0].options.setup.is_empty());
}

#[test]
fn the_last_value_of_a_name_counts() {
    let command = command("id").shell_env("B", "2").shell_envs([("A", "3"), ("A", "4")]);
    assert_eq!(sent(&command), b"export B='2' A='4' || exit; id");
}

#[test]
fn values_are_encoded_and_never_formatted() {
    let values = Command::new("echo %s").shell_env("A", "%s%").host_args(["x", "y"]);
    let requests = values.to_requests(2, Default::default()).unwrap();
    assert_eq!(requests[1].text.to_bytes(), b"export A='%s%' || exit; echo y");
    let value = |label: &str| sent(&Command::new("x").shell_env("A", "表б'").encoding(label));
    assert_eq!(value("shift_jis"), b"export A='\x95\x5c\x84\x71'\\''' || exit; x");
    // In ISO-2022-JP, the first byte of `б` is the byte of a single quote.
    assert_eq!(value("iso-2022-jp"), b"export A='\x1b$BI='\\''R\x1b(B'\\''' || exit; x");
    assert_eq!(value("utf-16"), "export A='表б'\\''' || exit; x".as_bytes());
    assert_eq!(sent(&Command::new("x").shell_env("A", *b"\xff")), b"export A='\xff' || exit; x");
}

#[test]
fn what_a_shell_cannot_set_is_refused() {
    for name in ["", "1A", "A-B", "A B", "A=B", "Ä", "A\0", "A;id", "A\n"] {
        let text = config(&Command::new("id").shell_env(name, "x"));
        assert!(text.starts_with("shell_env \"") && text.contains("letters, digits"), "{text}");
    }
    let secret = |value: &'static [u8]| config(&Command::new("id").shell_env("A", value).encoding("latin1"));
    assert_eq!(secret(b"hunter2\0"), "shell_env \"A\": the value contains a NUL byte");
    assert_eq!(
        secret("hunter2表".as_bytes()),
        "shell_env \"A\": the value: the character at offset 7 cannot be encoded in windows-1252"
    );
    let (around, max) = (sent(&Command::new("id").shell_env("A", "")).len(), limits::COMMAND_BYTES);
    assert_eq!(sent(&Command::new("id").shell_env("A", "x".repeat(max - around))).len(), max);
    let long = Command::new("id").shell_env("A", "x".repeat(max - around + 1));
    assert_eq!(problem(long), CommandProblem::TooLong { len: max + 1, max });
    // A blank command stays blank.
    assert_eq!(problem(command(" ")), CommandProblem::Empty);
}

#[test]
fn a_value_is_never_printed() {
    let command = Command::new("id").env("TOKEN", "hunter2").shell_env("KEY", "hunter3");
    let printed = format!("{command:?} {:?}", command.to_requests(1, Default::default()).unwrap());
    assert!(printed.contains("TOKEN") && printed.contains("KEY") && !printed.contains("hunter"), "{printed}");
    assert!(!config(&command.env("B", "hunter2\0")).contains("hunter2"));
}

/// A shell of this machine runs the text of the command, as a login shell does.
fn run(shell: &str, command: &Command) -> Output {
    let text = String::from_utf8(sent(command)).unwrap();
    Process::new(shell).args(["-c", &text]).output().unwrap()
}

#[test]
fn the_text_keeps_its_meaning() {
    for text in [
        "false || echo or",
        "true && false",
        "exit 7",
        "set -e; false; echo not reached",
        "cat <<E; echo after\n$A here\nE\necho last",
        "# a comment\necho code",
        "\n\n  echo later",
        "if false; then echo yes; else echo $?; fi",
        "echo $? $LINENO $#",
        "(exit 3)",
        "sh -c 'echo $A'",
        "for i in 1 2; do echo $i; done | sort -r",
        "kill $$",
    ] {
        for shell in ["sh", "bash"] {
            let [with, without] = [command(text), Command::new(text.replace("$A", "1"))];
            let [with, without] = [with, without].map(|command| run(shell, &command));
            assert_eq!(with, without, "{shell}: {text}");
        }
    }
}

#[test]
fn a_variable_that_cannot_be_set_ends_the_command() {
    for shell in ["sh", "bash"] {
        let text = String::from_utf8(sent(&command("echo ran"))).unwrap();
        let output = run(shell, &Command::new(format!("readonly A=0; {text}")));
        assert!(!output.status.success() && output.stdout.is_empty(), "{shell}: {output:?}");
    }
}
