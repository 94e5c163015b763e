//! Channels that are opened before a command needs them, on servers that limit or close channels.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use sshoal::config::{ClientBuilder, Pty};
use sshoal::error::ChannelProblem;
use sshoal::{Command, Error, HostErrorKind, HostOutput, ParallelClient};

use super::{build, client_for, guard, join, run_one, stdout};
use crate::support::sshd::Sshd;

fn client(sshd: &Sshd) -> ClientBuilder {
    client_for(sshd, ["127.0.2.1"]).spare_channel(true)
}

fn cat(client: &mut ParallelClient) -> HostOutput {
    client.run_command("cat").expect("it starts").remove(0)
}

fn end(client: &ParallelClient, output: &HostOutput) {
    output.stdin().write_all(b"input\n").expect("queued");
    output.stdin().close();
    join(client, std::slice::from_ref(output));
    assert_eq!(stdout(output), ["input"]);
}

fn assert_refused(client: &mut ParallelClient) {
    let Err(Error::Host(error)) = client.run_command("true") else { panic!("it was started") };
    assert!(matches!(error.kind(), HostErrorKind::Channel(ChannelProblem::OpenRefused(_))), "{error}");
}

/// The spare channel is refused while a command has the only place, and takes no place that a
/// command needs.
#[test]
fn with_room_for_one_channel_commands_run_one_after_the_other() {
    let _dog = guard("spare_max_sessions_1");
    let sshd = Sshd::builder().option("MaxSessions 1").start();
    let mut client = build(client(&sshd));
    for number in 0..5 {
        assert_eq!(run_one(&mut client, &format!("echo {number}")), [number.to_string()]);
    }
    let output = cat(&mut client);
    for _ in 0..3 {
        client.finished(std::slice::from_ref(&output)).expect("a poll");
        thread::sleep(Duration::from_millis(50));
    }
    let refusals = sshd.count("no more sessions");
    assert_refused(&mut client);
    assert!(sshd.count("no more sessions") <= refusals + 2, "{}", sshd.log());
    let waiting = client.start_command(Command::new("echo waited").wait_for_channel(true)).expect("queued");
    end(&client, &output);
    join(&client, &waiting);
    assert_eq!(stdout(&waiting[0]), ["waited"]);
    assert_eq!(sshd.count("Connection from"), 1);
}

#[test]
fn with_room_for_two_channels_two_commands_run_at_once() {
    let _dog = guard("spare_max_sessions_2");
    let sshd = Sshd::builder().option("MaxSessions 2").start();
    let mut client = build(client(&sshd));
    client.connect().expect("it connects");
    for _ in 0..3 {
        let two = [cat(&mut client), cat(&mut client)];
        assert_refused(&mut client);
        two.iter().for_each(|output| end(&client, output));
    }
    let mut outputs = Vec::new();
    for number in 0..6 {
        let command = Command::new(format!("echo {number}; sleep 0.2")).wait_for_channel(true);
        outputs.extend(client.start_command(command).expect("a command"));
    }
    join(&client, &outputs);
    for (number, output) in outputs.iter().enumerate() {
        assert_eq!((output.exit_code(), stdout(output)), (Some(0), vec![number.to_string()]));
    }
    assert_eq!(sshd.count("Connection from"), 1);
}

#[test]
fn terminals_and_variables_work_on_it() {
    let _dog = guard("spare_prepared");
    let sshd = Sshd::start();
    let mut client = build(client(&sshd));
    client.connect().expect("it connects");
    let command = Command::new("stty size; echo $LC_A").pty(Pty::default().size(132, 50)).env("LC_A", "a");
    for _ in 0..3 {
        let outputs = client.run_command(&command).expect("it starts");
        join(&client, &outputs);
        assert_eq!(stdout(&outputs[0]), ["50 132", "a"]);
        let output = cat(&mut client);
        end(&client, &output);
    }
    client.disconnect().expect("a poll");
    assert_eq!(client.metrics().connections, 0);
}

/// For OpenSSH, a channel without a command does not keep a connection in use.
#[test]
fn an_unused_connection_is_closed_by_the_server_all_the_same() {
    let _dog = guard("spare_unused");
    let sshd = Sshd::builder().option("UnusedConnectionTimeout 1").start();
    let mut client = build(client(&sshd));
    assert_eq!(run_one(&mut client, "echo a"), ["a"]);
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(run_one(&mut client, "echo b"), ["b"]);
    assert_eq!(sshd.count("Connection from"), 2, "{}", sshd.log());
}
