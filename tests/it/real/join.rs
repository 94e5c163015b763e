//! Waiting for commands: join, finished, exit codes, and errors of single hosts among others.

use std::io::Write as _;
use std::time::{Duration, Instant};

use sshoal::client::JoinError;
use sshoal::{Command, Error, HostErrorKind, HostOutput, JoinOptions, Outcome, ParallelClient};

use super::{SLOW, build, client_for, guard, join, positions, rest, stdout, with_key};
use crate::support::eventually;
use crate::support::peers::Scripted;
use crate::support::sshd::Sshd;

const HOSTS: [&str; 2] = ["127.0.2.1", "127.0.2.2"];

#[test]
fn joining_with_consume_output_drops_what_is_printed_and_keeps_the_exit_code() {
    let _dog = guard("consume_output");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOSTS));
    let outputs = client.run_command("echo out; echo err >&2; exit 4").expect("all start");
    let consume = JoinOptions::default().timeout(SLOW).close_stdin(true).consume_output(true);
    client.join(&outputs, consume).expect("all end");
    for output in &outputs {
        assert_eq!((rest(output), output.exit_code()), ((vec![], vec![]), Some(4)));
    }
}

#[test]
fn an_exit_code_is_there_without_a_join_and_never_before_the_end() {
    let _dog = guard("exit_code");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOSTS));
    let outputs = client.run_command("read -r word; exit 9").expect("all start");
    assert!(!client.finished(&outputs).expect("a poll"));
    assert!(outputs.iter().all(|output| output.exit_code().is_none() && output.outcome().is_none()));
    for output in &outputs {
        output.stdin().write_all(b"go\n").expect("queued");
    }
    // `finished` processes what has arrived, and does not wait.
    eventually(SLOW, "the end of both", || client.finished(&outputs).expect("a poll").then_some(()));
    assert!(outputs.iter().all(|output| output.exit_code() == Some(9)));
}

/// The shell is gone, and a process in the background still holds its output.
#[test]
fn an_exit_code_is_there_before_the_end_of_the_output_and_survives_a_cancel() {
    let _dog = guard("background");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOSTS));
    let begun = Instant::now();
    let outputs = client.run_command("echo out; sleep 60 & exit 3").expect("all start");
    eventually(SLOW, "both statuses", || {
        assert!(!client.finished(&outputs).expect("a poll"), "the output has not ended");
        outputs.iter().all(|output| output.exit_code() == Some(3)).then_some(())
    });
    assert!(outputs.iter().all(|output| !output.is_finished()));
    for output in &outputs {
        output.cancel().expect("a poll");
        assert!(output.is_finished() && output.exit_code() == Some(3), "{:?}", output.outcome());
        assert_eq!(rest(output).0, [b"out"]);
    }
    assert!(begun.elapsed() < SLOW, "the end of the process was waited for");
}

#[test]
fn nothing_to_wait_for_is_finished_and_joined_at_once() {
    let _dog = guard("nothing");
    let sshd = Sshd::start();
    let client = build(client_for(&sshd, HOSTS));
    assert!(client.finished(&[]).expect("a poll") && client.finished(client.last_output()).expect("a poll"));
    join(&client, client.last_output());
    assert_eq!(sshd.count("Connection from"), 0);
}

#[test]
fn stop_on_errors_tells_the_first_failure_and_stops_nobody() {
    let _dog = guard("stop_on_errors");
    let sshd = Sshd::builder().matching("LocalAddress 127.0.2.2", &["MaxSessions 0"]).start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2", "127.0.2.3"]));
    let Err(Error::Host(error)) = client.run_command("echo ran") else { panic!("one host refuses") };
    assert_eq!(error.host(), "127.0.2.2");
    let last = client.last_output().to_vec();
    join(&client, &last);
    for position in [0, 2] {
        assert_eq!((stdout(&last[position]), last[position].exit_code()), (vec!["ran".to_owned()], Some(0)));
    }
    assert!(matches!(last[1].error(), Some(same) if same.to_string() == error.to_string()));
    // Without it the error is in its own output; a failed host counts as finished, and can be
    // joined.
    let outputs = client
        .run_command_with(Command::new("echo ran"), sshoal::ReadOptions::default().stop_on_errors(false))
        .expect("in the outputs");
    assert_eq!(outputs.len(), 3);
    join(&client, &outputs);
    let failed: Vec<usize> =
        outputs.iter().filter(|o| o.error().is_some()).map(HostOutput::position).collect();
    assert_eq!(failed, [1]);
    assert!(
        outputs[1].is_finished() && outputs[1].exit_code().is_none() && rest(&outputs[1]) == (vec![], vec![])
    );
}

#[test]
fn a_join_timeout_lists_what_was_never_started() {
    let _dog = guard("never_started");
    // The first of two hosts is silent and holds the only place.
    let (sshd, silent) = (Sshd::start(), Scripted::silent());
    let hosts = [silent.address().to_string(), format!("{}:{}", HOSTS[0], sshd.port())];
    let known_hosts = sshd.known_hosts([HOSTS[0]]);
    let builder = with_key(ParallelClient::builder(hosts).user(sshd.user()), &sshd);
    let mut client = build(builder.known_hosts([known_hosts]).pool_size(1).timeout(Duration::from_secs(2)));
    let outputs = client.start_command("echo in the end").expect("a command");
    let limit = Duration::from_millis(300);
    let begun = Instant::now();
    match client.join(&outputs, JoinOptions::default().timeout(limit)) {
        Err(JoinError::Timeout { after, finished, unfinished, not_started, .. }) => {
            assert_eq!((after, finished.len(), unfinished.len()), (limit, 0, 0));
            assert_eq!(positions(&not_started), [0, 1]);
        }
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() >= limit && begun.elapsed() < limit * 4, "{:?}", begun.elapsed());
    // Every output can be joined again.
    join(&client, &outputs);
    assert!(matches!(outputs[0].error(), Some(e) if matches!(e.kind(), HostErrorKind::Timeout { .. })));
    assert_eq!(stdout(&outputs[1]), ["in the end"]);
}

#[test]
fn a_new_iterator_goes_on_where_the_last_one_stopped() {
    let _dog = guard("new_iterator");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, [HOSTS[0]]));
    let command = Command::new("echo one; read -r word; echo $word; echo three");
    let outputs = client
        .run_command_with(command, sshoal::ReadOptions::default().read_timeout(Duration::from_millis(200)))
        .expect("it starts");
    let mut lines = outputs[0].stdout();
    assert_eq!(lines.next().expect("a line").expect("no error"), "one");
    let error = lines.next().expect("a timeout").expect_err("nothing more yet");
    assert!(matches!(error.kind(), HostErrorKind::Timeout { .. }), "{error}");
    outputs[0].stdin().write_all(b"two\n").expect("queued");
    eventually(SLOW, "the rest", || outputs[0].stdout().next()?.ok().filter(|line| line == "two"));
    assert_eq!(stdout(&outputs[0]), ["three"]);
    assert!(matches!(outputs[0].outcome(), Some(Outcome::Exited(0))));
}

/// A strict join reports lost connections, and leaves exit statuses to the caller.
#[test]
fn a_strict_join_reports_hosts_that_failed() {
    let _dog = guard("strict_join");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(4).collect();
    let mut client = build(client_for(&sshd, &hosts));
    // The first host's connection ends under its command, and the second host's command fails.
    let text = "set -- $SSH_CONNECTION; case $3 in *.1) kill -9 $PPID;; *.2) exit 3;; esac; echo ran";
    let outputs = client.start_command(text).expect("a command");
    client.join(&outputs, JoinOptions::default()).expect("without `strict` only the time limit counts");
    let result = client.join(&outputs, JoinOptions::default().strict(true));
    let Err(JoinError::Failed(failures)) = result else { panic!("{result:?}") };
    assert_eq!(positions(failures.outputs()), [0]);
    let result = client.join(&outputs, JoinOptions::default().expect_success(true));
    let Err(JoinError::Failed(failures)) = result else { panic!("{result:?}") };
    assert_eq!(positions(failures.outputs()), [0, 1]);
    let text = failures.to_string();
    assert!(text.starts_with("2 of 4 commands failed: "), "{text}");
    assert!(text.contains("exit status 3 (127.0.2.2)") && text.contains("lost"), "{text}");

    let outputs = client.run_command("true").expect("all start");
    client.join(&outputs, JoinOptions::default().expect_success(true)).expect("all succeed");
}

#[test]
fn equal_causes_of_many_hosts_are_one_group() {
    let _dog = guard("causes");
    let (sshd, closed) = (Sshd::start(), crate::support::peers::Refused::new());
    let port = closed.address().port();
    let mut hosts: Vec<String> = (1..=5).map(|last| format!("127.0.3.{last}:{port}")).collect();
    hosts.push(format!("{}:{}", HOSTS[0], sshd.port()));
    let known_hosts = sshd.known_hosts([HOSTS[0]]);
    let builder = with_key(ParallelClient::builder(hosts).user(sshd.user()), &sshd);
    let mut client = build(builder.known_hosts([known_hosts]).num_retries(1));
    let outputs = client.start_command("exit 7").expect("a command");
    let result = client.join(&outputs, JoinOptions::default().expect_success(true));
    let Err(JoinError::Failed(failures)) = result else { panic!("{result:?}") };
    let groups: Vec<(String, usize)> =
        failures.by_cause().into_iter().map(|(cause, outputs)| (cause, outputs.len())).collect();
    let refused = "connecting failed: Connection refused (os error 111)".to_owned();
    assert_eq!(groups, [(refused, 5), ("exit status 7".to_owned(), 1)]);
    assert!(failures.to_string().contains("and 2 more)"), "{failures}");
}
