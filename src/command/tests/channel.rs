//! Terminals and environments.

use super::super::request::ChannelRequest;
use super::*;

fn setup(command: &Command) -> Vec<String> {
    let requests = command.to_requests(1, Default::default()).unwrap();
    requests[0].options.setup.iter().map(|request| format!("{request:?}")).collect()
}

#[test]
fn a_command_asks_for_nothing_by_itself() {
    assert!(setup(&Command::new("id")).is_empty());
    assert!(setup(&Command::new("id").use_pty(true).use_pty(false)).is_empty());
}

#[test]
fn a_command_asks_for_a_terminal_or_refuses_one_or_leaves_it_to_the_host() {
    let is_left =
        |command: &Command| command.to_requests(1, Default::default()).unwrap()[0].options.pty_of_host;
    let command = || Command::new("id");
    assert!(is_left(&command()) && is_left(&command().env("A", "1")));
    assert!(!is_left(&command().use_pty(true)) && !is_left(&command().pty(Pty::default())));
    assert!(!is_left(&command().use_pty(false)) && !is_left(&command().use_pty(true).use_pty(false)));
}

#[test]
fn the_default_terminal_is_that_of_parallel_ssh_and_another_one_is_kept() {
    assert_eq!(setup(&Command::new("id").use_pty(true)), [r#"Pty("xterm", 80x24)"#]);
    let other = Pty::default().term("vt100").size(132, 50);
    assert_eq!(setup(&Command::new("id").pty(other).use_pty(true)), [r#"Pty("vt100", 132x50)"#]);
}

#[test]
fn the_terminal_comes_first_and_the_last_value_of_a_name_counts() {
    let command = Command::new("id").env("A", "1").envs([("B", "2"), ("A", "3")]).use_pty(true);
    assert_eq!(setup(&command), [r#"Pty("xterm", 80x24)"#, r#"Env("B", ..)"#, r#"Env("A", ..)"#]);
    let requests = command.to_requests(1, Default::default()).unwrap();
    let last = ChannelRequest::Env { name: c"A".into(), value: c"3".into() };
    assert_eq!(requests[0].options.setup.last(), Some(&last));
}

#[test]
fn what_no_channel_can_have_is_refused() {
    let command = || Command::new("id");
    let long = "x".repeat(limits::NAME_BYTES + 1);
    for refused in [
        command().pty(Pty::default().size(0, 24)),
        command().pty(Pty::default().size(80, 0)),
        command().pty(Pty::default().term("")),
        command().pty(Pty::default().term("a\0b")),
        command().pty(Pty::default().term(long)),
        command().env("", "x"),
        command().env("A=B", "x"),
        command().env("A\0", "x"),
        command().env("A", "x\0y"),
        command().env("A", "x".repeat(limits::COMMAND_BYTES)),
    ] {
        config(&refused);
    }
    assert_eq!(config(&command().env("A=B", "x")), "env \"A=B\": a name must not be empty nor contain '='");
    assert_eq!(
        config(&command().pty(Pty::default().size(80, 0))),
        "Pty::size must be at least 1 column and 1 row"
    );
}
