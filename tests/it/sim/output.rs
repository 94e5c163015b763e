//! How much output a fleet keeps, and how hosts whose output nobody reads are held back.

use sshoal::error::CancelCause;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hostsim::pattern_byte;
use sshoal::config::Input;
use sshoal::fleet::{CommandId, HostState};
use sshoal::output::{Deliver, Keep, LineEnds, Sink};
use sshoal::{Budget, Command, Error, Event, Fleet, HostErrorKind, JoinOptions, Outcome, Run, StdStream};

use super::{client, engine, fleet, resident, watch};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const LARGE: usize = 20_000_000;
/// How far a limit may be exceeded: a socket read, and the packet that it completes.
const OVERSHOOT: usize = 40 * KIB;

/// A command whose output waits for calls that read it.
fn unread(text: impl Into<Vec<u8>>, keep: Keep) -> Run {
    Run::new(Command::new(text).stdout(keep)).deliver(Deliver::Nothing)
}

/// Waits for work, runs a turn, and takes its events.
fn turn(fleet: &mut Fleet, mut take: impl FnMut(Event<'_>)) {
    fleet.wait(Some(Duration::from_secs(1))).unwrap();
    fleet.turn(Instant::now(), Budget::default()).unwrap();
    while let Some(event) = fleet.next_event() {
        take(event);
    }
}

fn drive(fleet: &mut Fleet, mut done: impl FnMut(&mut Fleet) -> bool) {
    while !done(fleet) {
        turn(fleet, |_| {});
    }
}

/// Runs turns until no host has had work for a while.
fn await_quiet(fleet: &mut Fleet) {
    loop {
        let visits = fleet.metrics().visits;
        fleet.wait(Some(Duration::from_millis(300))).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        while fleet.next_event().is_some() {}
        if fleet.metrics().visits == visits {
            return;
        }
    }
}

fn is_over(fleet: &Fleet, id: CommandId) -> bool {
    fleet.command(id).unwrap().is_finished()
}

fn held_back(fleet: &Fleet) -> usize {
    fleet.metrics().held_back
}

/// Takes all unread standard output.
fn take(fleet: &mut Fleet, id: CommandId, into: &mut Vec<u8>, at_most: usize) {
    let mut buffer = vec![0; at_most];
    let count = fleet.read(id, StdStream::Stdout, &mut buffer);
    into.extend_from_slice(&buffer[..count]);
}

#[track_caller]
fn assert_pattern(bytes: &[u8], from: usize) {
    let wrong = bytes.iter().zip(from..).position(|(byte, at)| *byte != pattern_byte(at as u64));
    assert_eq!(wrong, None, "of {} bytes", bytes.len());
}

/// A connected fleet whose hosts run commands at once.
fn connected(sim: &hostsim::Sim, hosts: usize, budget: usize) -> Fleet {
    let mut fleet = engine(sim, hosts).max_connecting(hosts.min(200)).output_budget(budget).build().unwrap();
    fleet.connect(fleet.hosts().to_vec());
    drive(&mut fleet, |fleet| fleet.metrics().hosts(HostState::Connected) == hosts);
    fleet
}

#[test]
fn each_policy_keeps_what_it_says_and_counts_the_rest() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut fleet = connected(&sim, 1, 256 * MIB);
    for (keep, from, kept) in [
        (Keep::All, 0, 1_000_000),
        (Keep::Head(1000), 0, 1000),
        (Keep::Tail(1000), 999_000, 1000),
        (Keep::Head(2_000_000), 0, 1_000_000),
        (Keep::Tail(2_000_000), 0, 1_000_000),
        (Keep::Nothing, 0, 0),
    ] {
        let id = fleet.start(unread("bytes 1000000", keep.clone())).unwrap().commands[0];
        drive(&mut fleet, |fleet| is_over(fleet, id));
        let command = fleet.command(id).unwrap();
        assert!(command.outcome().unwrap().is_success(), "{keep:?}: {:?}", command.outcome());
        assert_eq!(command.dropped(StdStream::Stdout), 1_000_000 - kept as u64, "{keep:?}");
        assert_eq!((command.unread(StdStream::Stdout), fleet.metrics().unread), (kept, kept), "{keep:?}");
        let mut bytes = Vec::new();
        take(&mut fleet, id, &mut bytes, 2_000_000);
        assert_eq!(bytes.len(), kept);
        assert_pattern(&bytes, from);
        fleet.release(id);
    }
    assert_eq!((fleet.metrics().commands, fleet.metrics().unread), (0, 0));
}

#[test]
fn a_bound_that_lets_nothing_through_is_refused() {
    let sim = fleet(&[]);
    let mut fleet = engine(&sim, 1).build().unwrap();
    for command in
        [unread("true", Keep::BackPressure(0)), Run::new(Command::new("true").stderr(Keep::BackPressure(0)))]
    {
        assert!(matches!(fleet.start(command), Err(Error::Config { .. })));
    }
    assert!(matches!(engine(&sim, 1).output_budget(0).build(), Err(Error::Config { .. })));
}

/// The host is held back most of the time, and no event of its own lets it continue: its reader
/// does.
#[test]
fn a_slow_reader_gets_every_byte_and_never_more_than_the_bound_is_kept() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut fleet = connected(&sim, 1, 256 * MIB);
    let bound = 64 * KIB;
    let id = fleet.start(unread(format!("bytes {LARGE}"), Keep::BackPressure(bound))).unwrap().commands[0];
    let (mut bytes, mut most, mut waits) = (Vec::with_capacity(LARGE), 0, 0);
    drive(&mut fleet, |fleet| {
        most = most.max(fleet.command(id).unwrap().unread(StdStream::Stdout));
        while held_back(fleet) == 1 && fleet.command(id).unwrap().unread(StdStream::Stdout) >= bound {
            waits += held_back(fleet);
            take(fleet, id, &mut bytes, 30_000);
        }
        if is_over(fleet, id) {
            take(fleet, id, &mut bytes, LARGE);
        }
        is_over(fleet, id) && fleet.command(id).unwrap().unread(StdStream::Stdout) == 0
    });
    assert_eq!(bytes.len(), LARGE);
    assert_pattern(&bytes, 0);
    assert!(most >= bound && most < bound + OVERSHOOT, "{most}");
    assert!(waits > 100 && held_back(&fleet) == 0, "{waits}");
    assert_eq!(fleet.command(id).unwrap().dropped(StdStream::Stdout), 0);
}

/// Two line ends of the pattern are 250 bytes apart, and the limit is shorter.
#[test]
fn lines_that_are_longer_than_the_bound_come_in_pieces() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut fleet = connected(&sim, 1, 256 * MIB);
    let total = 300_000;
    let command = Command::new(format!("bytes {total}")).stdout(Keep::BackPressure(100));
    fleet.start(Run::new(&command).deliver(Deliver::Lines)).unwrap();
    let (mut end, mut over) = (0_u64, false);
    let mut check = |bytes: &[u8], offset: u64| {
        // A gap between two is a line end.
        assert!(offset == end || offset == end + 1 && pattern_byte(end) == b'\n', "{end}, then {offset}");
        assert_pattern(bytes, usize::try_from(offset).unwrap());
        end = offset + bytes.len() as u64;
    };
    while !over {
        turn(&mut fleet, |event| match event {
            Event::Line { bytes, offset, .. } => check(bytes, offset),
            Event::Finished { outcome, .. } => over = outcome.is_success(),
            _ => {}
        });
    }
    assert_eq!(end, total);
    end = 0;
    let id = fleet.start(Run::new(command).deliver(Deliver::Nothing)).unwrap().commands[0];
    drive(&mut fleet, |fleet| {
        while let Some(line) = fleet.take_line(id, StdStream::Stdout, LineEnds::Bytes) {
            assert_pattern(&line.bytes, usize::try_from(line.offset).unwrap());
            end = line.offset + line.bytes.len() as u64;
        }
        is_over(fleet, id)
    });
    assert_eq!(end, total);
}

#[test]
fn a_sink_gets_every_byte_of_every_host() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 3).build().unwrap();
    let received = Arc::new(Mutex::new(std::collections::HashMap::<_, Vec<u8>>::new()));
    let into = received.clone();
    let sink = Sink::new(move |piece| {
        assert_eq!(piece.stream, StdStream::Stdout);
        into.lock().unwrap().entry((piece.host, piece.command)).or_default().extend(piece.bytes);
        Ok(())
    });
    let command = Command::new(format!("bytes {LARGE}; stderr end")).stdout(Keep::Sink(sink));
    let outputs = client.run_command(command).unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    let received = received.lock().unwrap();
    assert_eq!(received.len(), 3);
    for bytes in received.values() {
        assert_eq!(bytes.len(), LARGE);
        assert_pattern(bytes, 0);
    }
    for output in &outputs {
        assert_eq!((output.exit_code(), output.stdout().count()), (Some(0), 0));
        assert_eq!(output.stderr().map(Result::unwrap).collect::<Vec<String>>(), ["end"]);
    }
}

#[test]
fn a_sink_that_fails_ends_its_own_command_alone() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut fleet = connected(&sim, 3, 256 * MIB);
    let hosts = fleet.hosts().to_vec();
    let full = hosts[1];
    let sink = Sink::new(move |piece| match piece.host == full {
        true => Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full")),
        false => Ok(()),
    });
    fleet.start(unread("bytes 1000000; sleep 1", Keep::Sink(sink))).unwrap();
    let mut outcomes = Vec::new();
    while outcomes.len() < 3 {
        turn(&mut fleet, |event| {
            if let Event::Finished { host, outcome, .. } = event {
                outcomes.push((host, outcome.clone()));
            }
        });
    }
    for (host, outcome) in outcomes {
        match outcome {
            Outcome::Failed(error) if host == full => {
                assert!(matches!(error.kind(), HostErrorKind::Sink { stream: StdStream::Stdout, error, .. }
                    if error.kind() == io::ErrorKind::StorageFull));
                assert!(error.to_string().contains("running the command failed"), "{error}");
                assert!(error.to_string().ends_with("standard output failed: the disk is full"), "{error}");
                assert_eq!(error.host(), sim.host(1).to_string());
            }
            outcome => assert!(host != full && outcome.is_success(), "{host:?}: {outcome}"),
        }
    }
    let id = fleet.start(unread("hostname", Keep::All).hosts([full])).unwrap().commands[0];
    drive(&mut fleet, |fleet| is_over(fleet, id));
    assert!(
        fleet.command(id).unwrap().outcome().unwrap().is_success(),
        "its connection is as good as before"
    );
    assert_eq!(fleet.metrics().connections, 3);
}

/// Hosts that nobody reads wait, and one that is read continues as if alone.
#[test]
fn the_budget_holds_back_the_unread_and_nobody_else() {
    let _dog = watch();
    let sim = fleet(&[]);
    let budget = 8 * MIB;
    let mut fleet = connected(&sim, 21, budget);
    let hosts = fleet.hosts().to_vec();
    let yes = unread("yes", Keep::All).hosts(hosts[..20].iter().copied());
    let unread_ones = fleet.start(yes).unwrap().commands;
    drive(&mut fleet, |fleet| held_back(fleet) == 20);
    let read = unread(format!("bytes {LARGE}"), Keep::All).hosts([hosts[20]]);
    let id = fleet.start(read).unwrap().commands[0];
    let (mut bytes, mut most) = (Vec::with_capacity(LARGE), 0);
    drive(&mut fleet, |fleet| {
        most = most.max(fleet.metrics().unread);
        take(fleet, id, &mut bytes, LARGE);
        is_over(fleet, id) && fleet.command(id).unwrap().unread(StdStream::Stdout) == 0
    });
    assert_eq!(bytes.len(), LARGE);
    assert_pattern(&bytes, 0);
    assert!(most > MIB && most < budget, "{most}");
    assert_eq!(held_back(&fleet), 20, "their output was not read");
    // They are read one after the other, and all continue in turn.
    let mut received = vec![0; unread_ones.len()];
    while received.iter().any(|count| *count < MIB) {
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        while fleet.next_event().is_some() {}
        for (id, count) in unread_ones.iter().zip(&mut received) {
            let mut bytes = Vec::new();
            take(&mut fleet, *id, &mut bytes, 50_000);
            *count += bytes.len();
        }
    }
    fleet.cancel_all();
    drive(&mut fleet, |fleet| fleet.metrics().unfinished == 0);
}

/// Nobody reads the waiting host, and it gets no event itself: another one's output was dropped.
#[test]
fn what_others_give_back_of_the_budget_lets_the_unread_go_on() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut fleet = connected(&sim, 2, 4 * MIB);
    let hosts = fleet.hosts().to_vec();
    let on = |host: usize, text: &str| unread(text, Keep::All).hosts([hosts[host]]);
    let over = fleet.start(on(0, "bytes 1500000")).unwrap().commands[0];
    drive(&mut fleet, |fleet| is_over(fleet, over));
    let waits = fleet.start(on(1, "yes")).unwrap().commands[0];
    drive(&mut fleet, |fleet| held_back(fleet) == 1);
    // Until its window and the kernel's buffers are full.
    await_quiet(&mut fleet);
    let unread = |fleet: &Fleet| fleet.command(waits).unwrap().unread(StdStream::Stdout);
    let before = unread(&fleet);
    assert!(before < MIB, "{before}");
    fleet.discard(over, StdStream::Stdout);
    drive(&mut fleet, |fleet| held_back(fleet) == 1 && unread(fleet) > before);
    assert!(unread(&fleet) > 3 * MIB / 2, "{}", unread(&fleet));
    fleet.cancel_all();
    drive(&mut fleet, |fleet| fleet.metrics().unfinished == 0);
}

/// The reader is slow, the connection is reset, and then something is to be sent.
#[test]
fn what_arrived_before_a_reset_is_read_even_if_input_is_sent_after_it() {
    const SENT: usize = 90_000;
    let _dog = watch();
    let sim = fleet(&["* stream@90000:rst"]);
    let mut fleet = engine(&sim, 1).build().unwrap();
    let command = Command::new("bytes 1000000").stdin(Input::Open).stdout(Keep::BackPressure(16 * KIB));
    let id = fleet.start(Run::new(command).deliver(Deliver::Nothing)).unwrap().commands[0];
    drive(&mut fleet, |fleet| held_back(fleet) == 1);
    await_quiet(&mut fleet);
    fleet.write_stdin(id, b"too late").unwrap();
    await_quiet(&mut fleet);
    let mut read = 0;
    drive(&mut fleet, |fleet| {
        read += fleet.command(id).unwrap().unread(StdStream::Stdout);
        fleet.discard(id, StdStream::Stdout);
        is_over(fleet, id)
    });
    let Some(Outcome::Failed(error)) = fleet.command(id).unwrap().outcome() else { panic!("no error") };
    assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{error}");
    assert_eq!(read, SENT, "{error}");
}

/// With the policy that has no limit of its own. Memory counts from when all were connected.
#[test]
fn a_thousand_hosts_that_nobody_reads_stay_within_the_budget_and_end_when_told() {
    let _dog = watch();
    let (hosts, budget) = (1000, 256 * MIB);
    let sim = fleet(&[]);
    let mut fleet = connected(&sim, hosts, budget);
    let before = resident();
    let commands = fleet.start(unread("yes", Keep::All)).unwrap().commands;
    let (mut most, mut most_unread) = (0, 0);
    drive(&mut fleet, |fleet| {
        most = most.max(resident());
        most_unread = most_unread.max(fleet.metrics().unread);
        held_back(fleet) == hosts
    });
    // Nothing more arrives, however long nobody reads.
    let kept = fleet.metrics().unread;
    turn(&mut fleet, |_| {});
    assert_eq!((fleet.metrics().unread, held_back(&fleet)), (kept, hosts));
    assert!(most_unread < budget, "{} KiB", most_unread / KIB);
    let begun = Instant::now();
    fleet.cancel_all();
    drive(&mut fleet, |fleet| {
        most = most.max(resident());
        fleet.metrics().unfinished == 0
    });
    let took = begun.elapsed();
    println!(
        "grown by {} KiB, {} KiB unread; all cancelled in {took:?}",
        most.saturating_sub(before) / KIB,
        most_unread / KIB
    );
    // Beside the output, libssh keeps the buffers of 1,000 connections that are not read from.
    assert!(most - before < budget + 96 * MIB, "grown by {} KiB", (most - before) / KIB);
    assert!(took < Duration::from_secs(20), "{took:?}");
    for id in commands {
        let command = fleet.command(id).unwrap();
        let Some(Outcome::Failed(error)) = command.outcome() else { panic!("{:?}", command.outcome()) };
        assert!(matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::Caller)), "{error}");
        fleet.release(id);
    }
    assert_eq!((fleet.metrics().unread, held_back(&fleet)), (0, 0));
    let run = fleet.start(unread("true", Keep::All)).unwrap();
    drive(&mut fleet, |fleet| fleet.metrics().unfinished == 0);
    let succeeded = |id: &CommandId| fleet.command(*id).unwrap().outcome().unwrap().is_success();
    assert!(run.commands.iter().all(succeeded), "the connections are as good as before");
    assert_eq!(sim.stats().unwrap().connections, hosts as u64);
}
