//! Shells and subsystems of real servers, and parallel-ssh's interface to shells.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use sshoal::client::{InteractiveShell, JoinError, ShellError};
use sshoal::error::{ChannelProblem, CommandProblem, TimeoutKind};
use sshoal::{
    Command, Error, Fleet, HostErrorKind, HostOutput, JoinOptions, Outcome, ParallelClient, ReadOptions, Run,
    Stage,
};

use super::{SLOW, build, client_for, guard, join, rest, run_one, stdout, with_key};
use crate::support::dropbear::Dropbear;
use crate::support::eventually;
use crate::support::fleet::Driven;
use crate::support::keys::ClientKey;
use crate::support::sshd::Sshd;

const HOST: [&str; 1] = ["127.0.2.1"];
const HOSTS: [&str; 3] = ["127.0.2.1", "127.0.2.2", "127.0.2.3"];

fn limit() -> JoinOptions {
    JoinOptions::default().timeout(SLOW)
}

/// Like [`stdout`], without what a login prints.
fn ends_with(output: &HostOutput, expected: &[&str]) {
    let lines = stdout(output);
    assert!(
        lines.ends_with(&expected.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()),
        "{lines:?}"
    );
}

/// SSH_FXP_INIT of version 3 (draft-ietf-secsh-filexfer-02 section 4).
const SFTP_INIT: [u8; 9] = [0, 0, 0, 5, 1, 0, 0, 0, 3];

/// Starts the SFTP of the only host, and ends it by the end of its input.
#[track_caller]
fn check_sftp(client: &mut ParallelClient) {
    let outputs = client.run_command(Command::subsystem("sftp")).expect("it starts");
    outputs[0].stdin().write_all(&SFTP_INIT).expect("queued");
    let mut version = [0; 9];
    outputs[0].stdout_reader().read_exact(&mut version).expect("SSH_FXP_VERSION");
    assert_eq!(version[4..], [2, 0, 0, 0, 3], "version 3");
    assert!(outputs[0].outcome().is_none());
    join(client, &outputs);
    assert!(matches!(outputs[0].outcome(), Some(Outcome::Exited(0))), "{:?}", outputs[0].outcome());
}

#[track_caller]
fn check_unknown_subsystem(client: &mut ParallelClient) {
    let Err(Error::Host(error)) = client.run_command(Command::subsystem("netconf")) else {
        panic!("it started")
    };
    let HostErrorKind::Channel(ChannelProblem::SubsystemRefused { name, .. }) = error.kind() else {
        panic!("{error}");
    };
    assert_eq!((&**name, error.stage()), ("netconf", Stage::Requesting));
    let text = error.to_string();
    assert!(text.contains("the server refused the subsystem \"netconf\": "), "{text}");
    assert!(text.contains("check the name, and that the server is configured for it"), "{text}");
    assert_eq!(run_one(client, "echo lives"), ["lives"]);
}

/// Runs a shell without a terminal.
#[track_caller]
fn check_shell(client: &mut ParallelClient) {
    let outputs = client.run_command(Command::login_shell()).expect("it starts");
    for line in ["cd / && name=value", "echo $name in $PWD; echo err >&2", "tty", "exit 3"] {
        writeln!(outputs[0].stdin(), "{line}").expect("queued");
    }
    client.join(&outputs, limit()).expect("it ends");
    ends_with(&outputs[0], &["value in /", "not a tty"]);
    assert!(rest(&outputs[0]).1.ends_with(&[b"err".to_vec()]));
    assert_eq!(outputs[0].exit_code(), Some(3));
    // Without `exit`, the end of the input ends it, with the status of the last command.
    let outputs = client.run_command(Command::login_shell().stdin("(exit 7)\n")).expect("it starts");
    client.join(&outputs, limit()).expect("it ends");
    assert_eq!(outputs[0].exit_code(), Some(7));
}

/// Runs a shell on a terminal.
#[track_caller]
fn check_terminal(client: &mut ParallelClient) {
    let command = Command::login_shell().use_pty(true).stdin("tty; stty size; echo $TERM; exit 5\n");
    let outputs = client.run_command(command).expect("it starts");
    client.join(&outputs, limit()).expect("it ends");
    let lines = stdout(&outputs[0]);
    assert!(lines.iter().any(|line| line.contains("/dev/pts/")), "{lines:?}");
    assert!(
        lines.iter().any(|line| line == "24 80") && lines.iter().any(|line| line == "xterm"),
        "{lines:?}"
    );
    assert_eq!(outputs[0].exit_code(), Some(5), "{lines:?}");
}

#[test]
fn openssh_has_shells_and_subsystems() {
    let _dog = guard("openssh_programs");
    let sshd = Sshd::builder().option("Subsystem sftp internal-sftp").start();
    let mut client = build(client_for(&sshd, HOST));
    check_sftp(&mut client);
    check_unknown_subsystem(&mut client);
    check_shell(&mut client);
    check_terminal(&mut client);
    assert_eq!(sshd.count("Connection from"), 1);
}

#[test]
fn dropbear_has_shells_and_subsystems() {
    let _dog = guard("dropbear_programs");
    let Some(server) = Dropbear::start() else { return };
    let builder = ParallelClient::builder([server.address().to_string()]).user(server.user().name());
    let builder = with_key_of(builder, &server).known_hosts([server.known_hosts()]).spare_channel(true);
    let mut client = build(builder);
    check_sftp(&mut client);
    check_unknown_subsystem(&mut client);
    check_shell(&mut client);
    check_terminal(&mut client);
    let shells = client.open_shell_with(Command::login_shell().use_pty(true), ReadOptions::default());
    let shells = shells.expect("a shell");
    client.run_shell_commands(&shells, ["echo $((40 + 2))"]).expect("sent");
    client.join_shells(&shells, limit()).expect("`exit` ends it");
    assert!(stdout(&shells[0]).iter().any(|line| line.contains("42")));
    assert_eq!(server.log().matches("Child connection from").count(), 1, "{}", server.log());
}

fn with_key_of(builder: sshoal::config::ClientBuilder, server: &Dropbear) -> sshoal::config::ClientBuilder {
    let builder = builder.key_file(server.key(ClientKey::Ed25519)).identity_auth(false).allow_agent(false);
    builder.num_retries(1).timeout(SLOW)
}

/// Other commands of a fleet have no input by default.
#[test]
fn a_shell_of_a_fleet_has_open_input() {
    let _dog = guard("fleet_shell");
    let sshd = Sshd::start();
    let builder = Fleet::builder(HOSTS).port(sshd.port()).user(sshd.user());
    let fleet = with_key(builder, &sshd).known_hosts([sshd.known_hosts(HOSTS)]).build().expect("a fleet");
    let mut driven = Driven::new(fleet);
    let commands = driven.fleet.start(Run::new(Command::login_shell())).expect("starts").commands;
    for (number, id) in commands.iter().enumerate() {
        let line = format!("echo {number}; exit {number}\n");
        assert_eq!(driven.fleet.write_stdin(*id, line.as_bytes()).expect("open"), line.len());
    }
    let begun = Instant::now();
    while driven.ends.len() < commands.len() {
        assert!(begun.elapsed() < SLOW, "{:?}", driven.ends);
        driven.turn(Duration::from_millis(100));
    }
    for (number, id) in commands.iter().enumerate() {
        assert!(driven.output[id].ends_with(format!("{number}\n").as_bytes()), "{:?}", driven.output);
        assert!(matches!(driven.ends[id], Outcome::Exited(status) if status as usize == number));
    }
}

/// parallel-ssh: `test_open_shell`, `test_run_shell_commands`. There, commands of one shell may be
/// sent in any order.
#[test]
fn open_shells_run_commands_in_order_on_all_hosts() {
    let _dog = guard("open_shell");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOSTS));
    let shells = client.open_shell().expect("shells");
    assert_eq!(shells.iter().map(|shell| shell.host()).collect::<Vec<_>>(), HOSTS);
    client.run_shell_commands(&shells, ["cd /usr", "n=0"]).expect("sent");
    client.run_shell_commands(&shells, ["n=$((n + 1)); echo $n in $PWD"; 200]).expect("sent");
    client.run_shell_commands(&shells, ["if true\nthen echo several\nfi", "sh -c 'exit 9'"]).expect("sent");
    client.join_shells(&shells, limit()).expect("they end");
    for shell in &shells {
        let lines = stdout(shell);
        let expected = (1..=200).map(|n| format!("{n} in /usr")).chain(["several".to_owned()]);
        assert!(expected.eq(lines[lines.len() - 201..].iter().cloned()), "{lines:?}");
        assert_eq!(shell.exit_code(), Some(9));
    }
    // `ShellError` there as well.
    let error = client.run_shell_commands(&shells, ["echo late"]).expect_err("they are closed");
    assert_eq!(
        error.to_string(),
        "3 of 3 shells did not take all commands: running the command failed: standard input is closed (127.0.2.1, 127.0.2.2, 127.0.2.3)"
    );
    assert!(shells[0].run("echo late").is_err() && shells[0].close().is_ok());
    // Shells are no output of `run_command`.
    assert!(client.last_output().is_empty());
    assert_eq!(run_one(&mut build(client_for(&sshd, HOST)), "echo next"), ["next"]);
}

/// A shell that has ended by itself takes nothing more, and its status is its own.
#[test]
fn a_shell_ends_with_its_own_status() {
    let _dog = guard("shell_status");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let shells = client.open_shell().expect("a shell");
    shells[0].run("exit 6").expect("sent");
    client.join(&[shells[0].output().clone()], limit().close_stdin(false)).expect("it ends by itself");
    assert_eq!(shells[0].exit_code(), Some(6));
    let Err(ShellError::Failed(failures)) = shells[0].run("echo late") else { panic!("it has ended") };
    let (_, error) = &failures.errors()[0];
    assert!(matches!(error.kind(), HostErrorKind::Channel(ChannelProblem::InputClosed)), "{error}");
    client.join_shells(&shells, limit()).expect("it has ended");

    let shells = client.open_shell().expect("a shell");
    shells[0].run("kill -KILL $$").expect("sent");
    shells[0].close().expect("the poll works");
    assert_eq!(shells[0].exit_signal().expect("killed").name, "KILL");
    assert_eq!(shells[0].exit_code(), None);
}

/// The channel is closed at the limit, and the connection serves the next command.
#[test]
fn a_time_limit_ends_a_shell_that_waits_for_commands() {
    let _dog = guard("shell_time_limit");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    for command in [Command::login_shell(), Command::login_shell().use_pty(true)] {
        let command = command.time_limit(Duration::from_millis(300));
        let shells = client.open_shell_with(command, ReadOptions::default()).expect("a shell");
        let begun = Instant::now();
        join_only(&client, shells[0].output());
        let error = shells[0].error().expect("an error");
        let is_limit = matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Command, .. });
        assert!(is_limit && begun.elapsed() < SLOW / 2, "{error}");
        assert_eq!(run_one(&mut client, "echo next"), ["next"]);
    }
    assert_eq!(sshd.count("Connection from"), 1);
}

/// parallel-ssh: `test_join_shells_timeout`.
#[test]
fn join_shells_has_one_limit_for_all() {
    let _dog = guard("join_shells");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOSTS).pool_size(1));
    let shells = client.open_shell().expect("shells");
    client.run_shell_commands(&shells[..2], ["echo before; exec sleep 300"]).expect("sent");
    client.run_shell_commands(&shells[2..], ["echo done"]).expect("sent");
    shells[2].close().expect("it ends");
    let begun = Instant::now();
    let after = Duration::from_secs(1);
    let result = client.join_shells(&shells, JoinOptions::default().timeout(after));
    let took = begun.elapsed();
    assert!(took >= after && took < after * 2, "{took:?}");
    let Err(JoinError::Timeout { finished, unfinished, not_started, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(finished.iter().map(HostOutput::host).collect::<Vec<_>>(), ["127.0.2.3"]);
    assert_eq!(unfinished.iter().map(HostOutput::host).collect::<Vec<_>>(), HOSTS[..2]);
    assert!(not_started.is_empty());
    client.cancel(&unfinished).expect("cancelled");
    client.join_shells(&shells, limit()).expect("it may be called again");
    for shell in &shells[..2] {
        ends_with(shell, &["before"]);
        assert!(matches!(shell.error().expect("an error").kind(), HostErrorKind::Cancelled(_)));
    }
}

#[test]
fn a_limit_may_leave_shells_open() {
    let _dog = guard("shells_left_open");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let shells = client.open_shell().expect("a shell");
    let wait = JoinOptions::default().timeout(Duration::from_millis(100)).close_stdin(false);
    assert!(matches!(client.join_shells(&shells, wait), Err(JoinError::Timeout { .. })));
    client.run_shell_commands(&shells, ["echo still open"]).expect("sent");
    client.join_shells(&shells, limit()).expect("it ends");
    ends_with(&shells[0], &["still open"]);
}

/// parallel-ssh hangs, or takes a lost connection for the end of the commands.
#[test]
fn hosts_that_die_between_the_calls_have_errors() {
    let _dog = guard("shells_die");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOSTS));
    let shells = client.open_shell().expect("shells");
    client.run_shell_commands(&shells, ["echo one"]).expect("sent");
    for shell in &shells {
        assert!(shell.stdout().map_while(Result::ok).any(|line| line == "one"));
    }
    sshd.daemon().kill_sessions();
    // Whether the loss is found while sending depends on the order in which things happen.
    let _ = client.run_shell_commands(&shells, ["echo two"]);
    let begun = Instant::now();
    client.join_shells(&shells, limit()).expect("no time is lost");
    assert!(begun.elapsed() < SLOW / 2);
    for shell in &shells {
        let error = shell.error().expect("an error");
        assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{error}");
        assert_eq!(stdout(shell), [""; 0]);
    }
    let Err(ShellError::Failed(failures)) = client.run_shell_commands(&shells, ["echo three"]) else {
        panic!("all are dead")
    };
    assert_eq!(failures.errors().len(), HOSTS.len());
    let (output, error) = &failures.errors()[2];
    assert_eq!((output.host(), error.host()), (HOSTS[2], HOSTS[2]));
}

/// The window has 2 MiB; the shell prints as much as it reads.
#[test]
fn more_than_a_window_may_be_written_before_anything_is_read() {
    let _dog = guard("shell_volume");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, &HOSTS[..2]));
    let shells = client.open_shell_with("cat", ReadOptions::default()).expect("shells");
    let commands: Vec<String> = (0..4_000).map(|number| format!("{number:01000}")).collect();
    client.run_shell_commands(&shells, &commands).expect("they read");
    client.join_shells(&shells, limit()).expect("they end");
    for shell in &shells {
        assert!(stdout(shell) == commands, "complete and in order");
    }
}

/// Three threads fill the queue of one shell, which holds two of their commands.
#[test]
fn commands_of_several_threads_are_not_mixed() {
    const LETTERS: usize = 500_000;
    let _dog = guard("shell_threads");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let shells = client.open_shell_with("cat", ReadOptions::default()).expect("a shell");
    let shell = &shells[0];
    thread::scope(|scope| {
        for letter in ["a", "b", "c"] {
            scope.spawn(move || {
                let line = letter.repeat(LETTERS);
                (0..10).for_each(|_| shell.run(&line).expect("it reads"));
            });
        }
    });
    client.join_shells(&shells, limit()).expect("it ends");
    let lines = stdout(shell);
    assert_eq!(lines.len(), 30);
    let is_whole =
        |line: &String| line.len() == LETTERS && line.bytes().all(|byte| byte == line.as_bytes()[0]);
    assert!(lines.iter().all(is_whole), "each line has the letters of one thread");
}

/// The process id of a shell.
fn pid(shell: &InteractiveShell) -> i32 {
    shell.run("echo pid=$$").expect("sent");
    let line =
        shell.stdout().map_while(Result::ok).find_map(|line| line.strip_prefix("pid=").map(str::to_owned));
    line.expect("its process id").parse().expect("a number")
}

fn runs(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// The guard in place of Python's `with`: a shell that is dropped does not stay on its host.
#[test]
fn a_dropped_shell_is_closed() {
    let _dog = guard("dropped_shell");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let shells = client.open_shell().expect("a shell");
    let process = pid(&shells[0]);
    let output = shells[0].output().clone();
    drop(shells);
    join_only(&client, &output);
    assert_eq!(output.exit_code(), Some(0));
    let shells = client.open_shell().expect("a shell");
    let second = pid(&shells[0]);
    assert!(!runs(process) && runs(second));
    drop(shells);
    // The next calls drive all hosts.
    eventually(SLOW, "the shell has ended", || {
        assert_eq!(run_one(&mut client, "true"), [""; 0]);
        (!runs(second)).then_some(())
    });
}

fn join_only(client: &ParallelClient, output: &HostOutput) {
    client.join(std::slice::from_ref(output), limit().close_stdin(false)).expect("it ends");
}

#[test]
fn if_a_host_fails_the_shells_of_the_others_are_closed() {
    let _dog = guard("failed_open");
    let sshd = Sshd::builder().matching("LocalAddress 127.0.2.2", &["MaxSessions 0"]).start();
    let mut client = build(client_for(&sshd, &HOSTS[..2]));
    let Err(Error::Host(error)) = client.open_shell() else { panic!("a host has no sessions") };
    assert_eq!(error.host(), "127.0.2.2");
    eventually(SLOW, "the other shell has ended", || {
        client.finished(&[]).expect("the poll works");
        (client.metrics().unfinished == 0).then_some(())
    });
}

#[test]
fn a_shell_on_a_terminal_is_closed_by_exit() {
    let _dog = guard("terminal_shell");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let command = Command::login_shell().use_pty(true);
    let shells = client.open_shell_with(command, ReadOptions::default()).expect("a shell");
    client.run_shell_commands(&shells, ["tty", "sh -c 'exit 4'"]).expect("sent");
    client.join_shells(&shells, limit()).expect("it ends");
    let lines = stdout(&shells[0]);
    assert!(lines.iter().any(|line| line.contains("/dev/pts/")), "{lines:?}");
    assert_eq!(shells[0].exit_code(), Some(4), "{lines:?}");
    assert!(shells[0].run("late").is_err());
}

#[test]
fn a_command_that_cannot_be_sent_is_sent_to_no_shell() {
    let _dog = guard("shell_command_refused");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let command = Command::login_shell().encoding("latin1");
    let shells = client.open_shell_with(command, ReadOptions::default()).expect("a shell");
    let long = "x".repeat(1 << 20);
    for (bad, expected) in [("echo 表", false), (&*long, true)] {
        let Err(ShellError::Command { position: 1, problem, .. }) =
            client.run_shell_commands(&shells, ["echo sent", bad])
        else {
            panic!("it cannot be sent")
        };
        assert_eq!(matches!(problem, CommandProblem::TooLong { .. }), expected, "{problem}");
    }
    client.run_shell_commands(&shells, ["printf '\\351\\n'; echo ü | wc -c"]).expect("sent");
    client.join_shells(&shells, limit()).expect("it ends");
    let lines = stdout(&shells[0]);
    assert!(lines.ends_with(&["é".to_owned(), "2".to_owned()]), "{lines:?}");
    assert!(!lines.contains(&"sent".to_owned()));
}
