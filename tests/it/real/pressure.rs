//! Commands whose output nobody reads, and hosts that do not read, on a real server.

use sshoal::error::CancelCause;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use sshoal::config::Input;
use sshoal::fleet::CommandId;
use sshoal::output::{Deliver, Keep, LineEnds};
use sshoal::{Budget, Command, Event, Fleet, HostErrorKind, Outcome, Run, StdStream};

use super::{guard, with_key};
use crate::support::eventually;
use crate::support::process::is_alive;
use crate::support::sshd::Sshd;

fn fleet(sshd: &Sshd) -> Fleet {
    let hosts = ["127.0.2.1".to_owned()];
    let known_hosts = sshd.known_hosts(&hosts);
    let builder = Fleet::builder(hosts).port(sshd.port()).user(sshd.user());
    with_key(builder, sshd).known_hosts([known_hosts]).build().expect("a fleet")
}

fn turn(fleet: &mut Fleet, mut take: impl FnMut(Event<'_>)) {
    fleet.wait(Some(Duration::from_secs(1))).expect("a poll");
    fleet.turn(Instant::now(), Budget::default()).expect("a poll");
    while let Some(event) = fleet.next_event() {
        take(event);
    }
}

fn drive(fleet: &mut Fleet, mut done: impl FnMut(&mut Fleet) -> bool) {
    while !done(fleet) {
        turn(fleet, |_| {});
    }
}

/// Starts it on the only host.
fn start(fleet: &mut Fleet, command: Command) -> CommandId {
    fleet.start(Run::new(command).deliver(Deliver::Nothing)).expect("it starts").commands[0]
}

#[test]
fn of_a_cancelled_command_that_was_held_back_nothing_is_left_on_a_terminal() {
    let _dog = guard("held_back");
    let sshd = Sshd::start();
    let mut fleet = fleet(&sshd);
    let command = Command::new("echo $$; exec yes").use_pty(true).stdout(Keep::BackPressure(100_000));
    let id = start(&mut fleet, command);
    drive(&mut fleet, |fleet| fleet.metrics().held_back == 1);
    let line = fleet.take_line(id, StdStream::Stdout, LineEnds::Bytes).expect("a line");
    let pid = String::from_utf8(line.bytes).expect("digits").parse().expect("a number");
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    assert!(is_alive(pid));
    drive(&mut fleet, |fleet| fleet.metrics().held_back == 1);
    fleet.cancel(id);
    drive(&mut fleet, |fleet| fleet.metrics().unfinished == 0);
    let command = fleet.command(id).expect("it is known");
    let Some(Outcome::Failed(error)) = command.outcome() else { panic!("{:?}", command.outcome()) };
    assert!(matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::Caller)), "{error}");
    assert!(command.unread(StdStream::Stdout) < 140_000);
    eventually(super::SLOW, "the end of yes", || (!is_alive(pid)).then_some(()));
    let id = start(&mut fleet, Command::new("true"));
    drive(&mut fleet, |fleet| fleet.metrics().unfinished == 0);
    assert!(fleet.command(id).and_then(|command| command.outcome()).is_some_and(Outcome::is_success));
}

/// The server's window accepts 2 MiB, and the command reads a line of that from time to time.
#[test]
fn input_for_a_host_that_reads_slowly_waits_for_room_and_arrives_whole() {
    const TOTAL: usize = 12 << 20;
    let _dog = guard("slow_input");
    let sshd = Sshd::start();
    let mut fleet = fleet(&sshd);
    let slow = "(for i in 1 2 3 4 5; do dd bs=65536 count=8 iflag=fullblock 2>/dev/null; sleep 0.1; done; cat) | cksum";
    let id = start(&mut fleet, Command::new(slow).stdin(Input::Open));
    let input: Vec<u8> = (0..TOTAL).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
    let (mut sent, mut refused, mut writable) = (0, 0, 0);
    let mut may_write = true;
    while sent < TOTAL {
        if may_write {
            match fleet.write_stdin(id, &input[sent..]) {
                Ok(count) => sent += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                    refused += 1;
                    may_write = false;
                }
            }
            assert!(fleet.command(id).is_some_and(|command| command.unsent() <= 1 << 20));
        } else {
            turn(&mut fleet, |event| {
                if let Event::Writable { command, .. } = event {
                    assert_eq!(command, id);
                    (writable, may_write) = (writable + 1, true);
                }
            });
        }
    }
    fleet.close_stdin(id);
    drive(&mut fleet, |fleet| fleet.metrics().unfinished == 0);
    assert!(refused >= 5 && writable == refused, "{refused} and {writable}");
    let line = fleet.take_line(id, StdStream::Stdout, LineEnds::Bytes).expect("a line");
    let mut expected = std::process::Command::new("cksum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("cksum");
    let mut stdin = expected.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, &input).expect("cksum reads");
    drop(stdin);
    let expected = expected.wait_with_output().expect("cksum ends").stdout;
    assert_eq!([line.bytes, b"\n".to_vec()].concat(), expected);
}
