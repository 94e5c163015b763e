//! Commands that are ended early, and what happens to them on a real host.

use std::fs;
use std::path::Path;
use std::slice;
use std::time::{Duration, Instant};

use sshoal::error::{CancelCause, ChannelProblem, TimeoutKind};
use sshoal::{Command, HostErrorKind, HostOutput, Outcome, ParallelClient, Signal, Stage};

use super::{SLOW, build, client_for, guard, join, rest, run_one, stdout};
use crate::support::alarm::Watchdog;
use crate::support::eventually;
use crate::support::keys::ClientKey;
use crate::support::sshd::Sshd;
use crate::support::system::public_dir;
use crate::support::user::TestUser;

const HOST: [&str; 1] = ["127.0.2.1"];

/// A server, and a user other than root: OpenSSH passes signals on only in sessions with separated
/// privileges. `None` if no user can be created.
fn fixture(name: &str) -> Option<(Watchdog, Sshd, TestUser, ParallelClient)> {
    let dog = guard(name);
    let user = TestUser::create()?;
    let sshd = Sshd::start();
    // Accepts every user.
    sshd.key(ClientKey::Ed25519);
    let client = build(client_for(&sshd, HOST).user(user.name()));
    Some((dog, sshd, user, client))
}

/// Starts the only host's command.
fn start(client: &mut ParallelClient, command: impl Into<Command>) -> HostOutput {
    client.run_command(command).expect("it starts").remove(0)
}

/// Reads up to this line.
#[track_caller]
fn await_line(output: &HostOutput, wanted: &str) {
    assert!(
        output.stdout().map_while(Result::ok).any(|line| line == wanted),
        "no {wanted:?}: {:?}",
        output.outcome()
    );
}

fn is_cancelled(output: &HostOutput) -> bool {
    matches!(output.error(), Some(error) if matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::Caller)))
}

/// Prints its process id, then sleeps; signals end it.
const SLEEPER: &str = "echo $$; exec sleep 300";

fn first_line(output: &HostOutput) -> String {
    output.stdout().next().expect("a line").expect("no error")
}

fn runs(pid: &str) -> bool {
    // A zombie counts as ended.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Path::new("/proc").join(pid).exists() && !status.contains("State:\tZ")
}

#[track_caller]
fn await_end(pid: &str) {
    eventually(SLOW, &format!("the end of process {pid}"), || (!runs(pid)).then_some(()));
}

#[test]
fn signals_arrive_and_the_command_goes_on() {
    let Some((_dog, sshd, _user, mut client)) = fixture("signals") else { return };
    let text = r#"exec perl -e '$| = 1; foreach my $s (keys %SIG) { $SIG{$s} = sub { print "got $s\n" } if $s ne "CHLD" }
        print "ready\n"; sleep 1 while 1'"#;
    let output = start(&mut client, text);
    await_line(&output, "ready");
    use Signal::{Abrt, Alrm, Fpe, Hup, Ill, Int, Pipe, Quit, Segv, Term, Usr1, Usr2};
    // OpenSSH's server knows no others, and logs it.
    let unknown = [Abrt, Alrm, Fpe, Ill, Pipe, Segv];
    for signal in unknown.into_iter().chain([Hup, Int, Quit, Term, Usr1, Usr2]) {
        output.send_signal(signal).expect("it runs");
        if !unknown.contains(&signal) {
            let line = output.stdout().next().expect("a line").expect("no error");
            assert_eq!(line, format!("got {signal}"));
        }
    }
    sshd.await_log("unsupported signal", unknown.len());
    output.send_signal(Signal::Kill).expect("it runs");
    join(&client, slice::from_ref(&output));
    assert_eq!(output.exit_signal().map(|signal| signal.name).as_deref(), Some("KILL"));
    let error = output.send_signal(Signal::Term).expect_err("it has ended");
    assert!(matches!(error.kind(), HostErrorKind::Channel(ChannelProblem::NotRunning)), "{error}");
}

#[test]
fn a_signal_before_the_start_is_an_error() {
    let _dog = guard("early_signal");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let outputs = client.start_command("true").expect("a command");
    let error = outputs[0].send_signal(Signal::Term).expect_err("it does not run yet");
    assert!(matches!(error.kind(), HostErrorKind::Channel(ChannelProblem::NotRunning)), "{error}");
    assert_eq!(error.stage(), Stage::Queued);
    join(&client, &outputs);
    assert_eq!(outputs[0].exit_code(), Some(0));
}

#[test]
fn a_cancelled_command_is_gone_and_what_it_printed_is_kept() {
    let Some((_dog, sshd, _user, mut client)) = fixture("cancel") else { return };
    for pty in [false, true] {
        let output = start(&mut client, Command::new(SLEEPER).use_pty(pty));
        let pid = first_line(&output);
        assert!(runs(&pid));
        let begun = Instant::now();
        output.cancel().expect("a poll");
        assert!(begun.elapsed() < SLOW);
        assert!(output.is_finished() && is_cancelled(&output), "{:?}", output.outcome());
        await_end(&pid);
        output.cancel().expect("twice is no error");
        assert!(is_cancelled(&output));
    }
    // Unread output stays readable; the connection serves the next command.
    let output = start(&mut client, r"printf 'one\ntwo\n'; exec sleep 300");
    await_line(&output, "one");
    output.cancel().expect("a poll");
    assert_eq!(stdout(&output), ["two"]);
    assert_eq!(run_one(&mut client, "echo lives"), ["lives"]);
    assert_eq!(sshd.count("Connection from"), 1);
}

/// Ignores SIGTERM. OpenSSH sends none to commands of root.
const STUBBORN: &str = "trap '' TERM; echo $$; while :; do sleep 0.05; done";

#[test]
fn close_channel_kills_what_runs_on_a_terminal() {
    let _dog = guard("cancel_stubborn_pty");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let output = start(&mut client, Command::new(STUBBORN).shell("bash -c").use_pty(true));
    let pid = first_line(&output);
    output.cancel().expect("a poll");
    assert!(is_cancelled(&output));
    await_end(&pid);
}

#[test]
fn without_a_terminal_what_ignores_the_signal_goes_on_until_it_writes() {
    let Some((_dog, _sshd, _user, mut client)) = fixture("cancel_stubborn") else { return };
    let dir = public_dir();
    let stop = dir.path().join("stop");
    let until_stop =
        format!("trap '' TERM; echo $$; until [ -e {} ]; do sleep 0.05; done; echo x", stop.display());
    let output = start(&mut client, Command::new(until_stop).shell("bash -c"));
    let pid = first_line(&output);
    let begun = Instant::now();
    output.cancel().expect("a poll");
    // The grace period passed, then the channel was closed; nobody waited for the process.
    assert!(begun.elapsed() >= Duration::from_secs(1) && begun.elapsed() < SLOW, "{:?}", begun.elapsed());
    assert!(is_cancelled(&output));
    assert!(runs(&pid), "it was ended by something else");
    assert_eq!(run_one(&mut client, "echo lives"), ["lives"]);
    fs::write(stop, "").expect("tell it to write");
    await_end(&pid);
}

#[test]
fn a_cancelled_command_can_say_good_bye() {
    let Some((_dog, _sshd, _user, mut client)) = fixture("cancel_polite") else { return };
    let text = "trap 'echo tidied; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let output = start(&mut client, Command::new(text).shell("bash -c"));
    await_line(&output, "ready");
    output.cancel().expect("a poll");
    assert!(is_cancelled(&output), "{:?}", output.outcome());
    assert_eq!(stdout(&output), ["tidied"]);
}

#[test]
fn a_command_that_reads_ends_with_its_input() {
    let _dog = guard("cancel_reader");
    let sshd = Sshd::start();
    // It runs as root, so no signal arrives.
    let mut client = build(client_for(&sshd, HOST));
    let output = start(&mut client, "echo $$; exec cat");
    let pid = first_line(&output);
    let begun = Instant::now();
    output.cancel().expect("a poll");
    assert!(is_cancelled(&output));
    await_end(&pid);
    assert!(begun.elapsed() < SLOW);
}

#[test]
fn an_end_that_came_first_stands() {
    let _dog = guard("cancel_ended");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2"]));
    let outputs = client.run_command("exit 7").expect("all start");
    join(&client, &outputs);
    client.cancel(&outputs).expect("a poll");
    client.cancel_all().expect("a poll");
    assert!(outputs.iter().all(|output| output.exit_code() == Some(7)));
}

#[test]
fn one_of_several_commands_can_be_cancelled_and_one_of_several_hosts() {
    let _dog = guard("cancel_one");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2"]));
    let first = client.run_command("cat").expect("all start");
    let second = client.run_command("cat").expect("all start");
    first[0].cancel().expect("a poll");
    let finished = |outputs: &[HostOutput]| [outputs[0].is_finished(), outputs[1].is_finished()];
    assert_eq!((finished(&first), finished(&second)), ([true, false], [false, false]));
    client.cancel(&second).expect("a poll");
    assert_eq!((finished(&first), finished(&second)), ([true, false], [true, true]));
    assert!(second.iter().all(is_cancelled));
    join(&client, &first);
    assert_eq!(first[1].exit_code(), Some(0));
}

#[test]
fn a_command_that_was_not_sent_is_never_sent() {
    let _dog = guard("cancel_unsent");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(20).collect();
    let mut client = build(client_for(&sshd, &hosts).pool_size(2));
    let dir = public_dir();
    let outputs = client.start_command(format!("touch {}/$$", dir.path().display())).expect("a command");
    client.cancel_all().expect("a poll");
    assert!(outputs.iter().all(is_cancelled));
    assert_eq!(client.metrics().admission_queue, 0);
    let outputs = client.run_command("true").expect("all start");
    join(&client, &outputs);
    assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 0, "a cancelled command has run");
}

#[test]
fn commands_whose_outputs_were_dropped_are_cancelled_with_everything() {
    let Some((_dog, _sshd, _user, mut client)) = fixture("cancel_dropped") else { return };
    let output = start(&mut client, SLEEPER);
    let pid = first_line(&output);
    drop(output);
    let outputs = client.run_command("true").expect("it starts");
    join(&client, &outputs);
    assert!(runs(&pid));
    client.cancel_all().expect("a poll");
    await_end(&pid);
}

#[test]
fn a_time_limit_ends_the_command_and_the_connection_lives() {
    let Some((_dog, sshd, _user, mut client)) = fixture("time_limit") else { return };
    let limit = Duration::from_millis(1500);
    let begun = Instant::now();
    let output = start(&mut client, Command::new(SLEEPER).time_limit(limit));
    let pid = first_line(&output);
    join(&client, slice::from_ref(&output));
    let took = begun.elapsed();
    assert!(took >= limit && took < SLOW, "{took:?}");
    let error = output.error().expect("it was ended");
    match error.kind() {
        HostErrorKind::Timeout { kind: TimeoutKind::Command, after, .. } => assert_eq!(*after, limit),
        _ => panic!("{error}"),
    }
    assert_eq!(error.stage(), Stage::Running);
    assert!(error.to_string().contains("time limit of the command after 1.5s"), "{error}");
    await_end(&pid);
    let in_time = start(&mut client, Command::new("echo in time").time_limit(SLOW));
    join(&client, slice::from_ref(&in_time));
    assert_eq!((rest(&in_time).0, in_time.exit_code()), (vec![b"in time".to_vec()], Some(0)));
    assert_eq!(sshd.count("Connection from"), 1);
}

#[test]
fn disconnect_closes_every_connection_and_the_next_command_connects_again() {
    let Some((_dog, sshd, _user, mut client)) = fixture("disconnect") else { return };
    let output = start(&mut client, SLEEPER);
    let pid = first_line(&output);
    client.disconnect().expect("a poll");
    assert_eq!(client.metrics().connections, 0);
    assert!(is_cancelled(&output));
    await_end(&pid);
    // The server got a disconnect message.
    sshd.await_log("Received disconnect from", 1);
    assert_eq!(run_one(&mut client, "echo again"), ["again"]);
    assert_eq!(sshd.count("Connection from"), 2);
    // With nothing to do, it completes at once.
    let begun = Instant::now();
    client.disconnect().expect("a poll");
    client.disconnect().expect("twice is no error");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(client.metrics().connections, 0);
}

#[test]
fn dropping_does_not_wait_for_what_runs() {
    let _dog = guard("drop_running");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let output = start(&mut client, Command::new(STUBBORN).shell("bash -c").use_pty(true));
    let pid = first_line(&output);
    let begun = Instant::now();
    drop((client, output));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    await_end(&pid);
}

#[test]
fn what_a_cancel_means_to_an_outcome() {
    let _dog = guard("cancel_outcome");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let output = start(&mut client, "cat");
    output.cancel().expect("a poll");
    let Some(Outcome::Failed(error)) = output.outcome() else { panic!("{:?}", output.outcome()) };
    assert_eq!(error.stage(), Stage::Running);
    assert!(error.to_string().ends_with("running the command failed: cancelled (by the caller)"), "{error}");
    assert_eq!((output.exit_code(), output.exit_signal()), (None, None));
}
