//! Terminals and environments that OpenSSH's server gives to a command.

use std::io::Write as _;

use sshoal::config::Pty;
use sshoal::error::ChannelProblem;
use sshoal::{Command, Error, HostErrorKind, Stage};

use super::{build, client_for, guard, join, rest, run_one, stdout};
use crate::support::sshd::Sshd;

const HOST: [&str; 1] = ["127.0.2.1"];

#[test]
fn use_pty_gives_the_terminal_of_parallel_ssh_and_merges_the_streams() {
    let _dog = guard("use_pty");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let text = "tty; stty size; echo $TERM; echo out; echo err >&2";
    let outputs = client.run_command(Command::new(text).use_pty(true)).expect("it starts");
    join(&client, &outputs);
    let lines = stdout(&outputs[0]);
    assert!(lines[0].starts_with("/dev/pts/"), "{lines:?}");
    assert_eq!(lines[1..], ["24 80", "xterm", "out", "err"]);
    assert_eq!(outputs[0].stderr().count(), 0);
    assert_eq!(outputs[0].exit_code(), Some(0));
    // The next command on this connection has none.
    assert_eq!(run_one(&mut client, "tty || echo $TERM")[0], "not a tty");
}

#[test]
fn a_terminal_of_another_kind_and_size() {
    let _dog = guard("pty");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let pty = Pty::default().term("vt220").size(132, 50);
    let outputs = client.run_command(Command::new("stty size; echo $TERM; cat").pty(pty)).expect("it starts");
    outputs[0].stdin().write_all(b"typed\n\x04").expect("queued");
    join(&client, &outputs);
    // The terminal echoes the input at once; and cat repeats it.
    let mut lines = stdout(&outputs[0]);
    let shown = lines.iter().position(|line| line == "typed").expect("shown");
    lines.remove(shown);
    assert_eq!(lines, ["50 132", "vt220", "typed"]);
}

#[test]
fn a_refused_terminal_is_that_commands_error_and_the_connection_lives() {
    let _dog = guard("pty_refused");
    let sshd = Sshd::builder().option("PermitTTY no").start();
    let mut client = build(client_for(&sshd, HOST));
    let Err(Error::Host(error)) = client.run_command(Command::new("tty").use_pty(true)) else { panic!() };
    let HostErrorKind::Channel(ChannelProblem::PtyRefused(_)) = error.kind() else { panic!("{error}") };
    assert_eq!(error.stage(), Stage::Preparing);
    assert_eq!(run_one(&mut client, "echo lives"), ["lives"]);
    assert_eq!(sshd.count("Connection from"), 1);
}

#[test]
fn variables_arrive_as_they_were_given() {
    let _dog = guard("env");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let odd = "a  'b' \"c\" $HOME\n\\ grün";
    let command = Command::new(r#"printf '<%s>\n' "$LC_A" "$LC_ODD" "$LC_EMPTY" "${LC_EMPTY-unset}""#);
    let command = command.envs([("LC_A", "old"), ("LC_ODD", odd)]).env("LC_EMPTY", "").env("LC_A", "new");
    let outputs = client.run_command(command).expect("it starts");
    join(&client, &outputs);
    let (lines, _) = rest(&outputs[0]);
    assert_eq!(String::from_utf8_lossy(&lines.join(&b'\n')), format!("<new>\n<{odd}>\n<>\n<>"));
}

#[test]
fn variables_in_the_text_need_no_permission_and_outrank_those_of_the_channel() {
    let _dog = guard("shell_env");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let odd = "a  'b' \"c\" $HOME\n\\ grün %s";
    let command = Command::new(r#"printf '<%s>\n' "$SSHOAL_ODD" "${SSHOAL_EMPTY-unset}" "$LC_A""#);
    let command = command.env("LC_A", "channel").shell_envs([
        ("SSHOAL_ODD", odd),
        ("SSHOAL_EMPTY", ""),
        ("LC_A", "text"),
    ]);
    for command in [command.clone(), command.shell("sh -c")] {
        let outputs = client.run_command(command).expect("it starts");
        join(&client, &outputs);
        let (lines, _) = rest(&outputs[0]);
        assert_eq!(String::from_utf8_lossy(&lines.join(&b'\n')), format!("<{odd}>\n<>\n<text>"));
    }
    let encoded = Command::new("printf %s $SSHOAL_X | od -An -tx1").shell_env("SSHOAL_X", "表");
    let outputs = client.run_command(encoded.encoding("shift_jis")).expect("it starts");
    join(&client, &outputs);
    assert_eq!(stdout(&outputs[0]), [" 95 5c"]);
    // bash cannot set UID, so the command does not run.
    let outputs = client.run_command(Command::new("echo ran").shell("bash -c").shell_env("UID", "0"));
    let outputs = outputs.expect("it starts");
    join(&client, &outputs);
    assert_eq!((outputs[0].exit_code(), stdout(&outputs[0]).len()), (Some(1), 0));
}

#[test]
fn each_refused_variable_is_named_and_the_command_does_not_run_unless_told_to() {
    let _dog = guard("env_refused");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    // The server's configuration accepts LANG and LC_*.
    let command = Command::new("echo ${SSHOAL_X-unset} $LC_B").envs([
        ("SSHOAL_X", "1"),
        ("LC_B", "2"),
        ("SSHOAL_Y", "3"),
    ]);
    let Err(Error::Host(error)) = client.run_command(&command) else { panic!("it was started") };
    match error.kind() {
        HostErrorKind::Channel(ChannelProblem::EnvRefused { names, .. }) => {
            assert_eq!(names, &["SSHOAL_X", "SSHOAL_Y"]);
        }
        _ => panic!("{error}"),
    }
    let text = "the server refused the environment variables SSHOAL_X, SSHOAL_Y: ";
    assert!(error.to_string().contains(text), "{error}");
    let outputs = client.run_command(command.ignore_refused_env(true)).expect("it starts");
    join(&client, &outputs);
    assert_eq!(stdout(&outputs[0]), ["unset 2"]);
    assert_eq!(sshd.count("Connection from"), 1);
}

#[test]
fn what_no_channel_can_have_is_refused_before_the_first_connect() {
    let _dog = guard("refused_locally");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let command = || Command::new("true");
    for command in [
        command().env("", "x"),
        command().env("A=B", "x"),
        command().env("A", "\0"),
        command().shell_env("A B", "x"),
        command().shell_env("A", "\0"),
        command().pty(Pty::default().size(0, 24)),
        command().pty(Pty::default().term("x\0y")),
    ] {
        assert!(matches!(client.start_command(&command), Err(Error::Config { .. })), "{command:?}");
    }
    assert_eq!(client.metrics().connections, 0);
    assert_eq!(sshd.count("Connection from"), 0);
}
