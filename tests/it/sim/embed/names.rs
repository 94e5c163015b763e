//! Ids of removed hosts and commands: they resolve to nothing, in particular not to another object.

use std::io::ErrorKind;

use sshoal::fleet::{CommandState, HostId};
use sshoal::output::{Deliver, LineEnds};
use sshoal::{Budget, Error, Event, Fleet, HostConfig, Run, Signal, StdStream};

use super::{Told, drive, engine, open, run, settle, simulate, started, watch};

/// Checks that no call resolves this id.
#[track_caller]
fn assert_forgotten(fleet: &mut Fleet, id: sshoal::fleet::CommandId) {
    let metrics = fleet.metrics();
    assert!(fleet.command(id).is_none());
    assert_eq!(fleet.read(id, StdStream::Stdout, &mut [0; 8]), 0);
    assert_eq!(fleet.take_line(id, StdStream::Stdout, LineEnds::Bytes), None);
    assert_eq!(fleet.peek(id, StdStream::Stdout), b"");
    fleet.consume(id, StdStream::Stdout, 1);
    fleet.discard(id, StdStream::Stdout);
    assert_eq!(fleet.write_stdin(id, b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    fleet.close_stdin(id);
    assert!(!fleet.signal(id, Signal::Term));
    fleet.cancel(id);
    fleet.release(id);
    assert_eq!(fleet.metrics(), metrics, "the metrics are unchanged");
}

#[test]
fn a_command_is_forgotten_with_its_last_event() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 1).build().unwrap();
    let id = fleet.start("hostname").unwrap().commands[0];
    let mut told = Told::default();
    let mut seen_finished = false;
    while !seen_finished {
        super::wait(&fleet);
        fleet.turn(std::time::Instant::now(), Budget::default()).unwrap();
        while let Some(event) = fleet.next_event() {
            seen_finished |= matches!(event, Event::Finished { .. });
            told.note(event);
            if seen_finished {
                break;
            }
            assert!(fleet.command(id).is_some());
        }
    }
    assert_forgotten(&mut fleet, id);
    assert_eq!(fleet.metrics().commands, 0);
}

/// Another object gets its index soon: the old id must not reach it.
#[test]
fn a_forgotten_name_does_not_name_the_next_command() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 2).build().unwrap();
    let before = fleet.start("hostname").unwrap().commands;
    let mut told = Told::default();
    drive(&mut fleet, Budget::default(), &mut told, |told| !told.done.is_empty());
    assert!(fleet.next_event().is_none());
    let after = started(&mut fleet, Run::new(open("cat")).deliver(Deliver::Nothing));
    assert!(before.iter().all(|id| !after.contains(id)));
    for id in before {
        assert_forgotten(&mut fleet, id);
    }
    settle(&mut fleet);
    assert!(
        after
            .iter()
            .all(|id| fleet.command(*id).is_some_and(|command| command.state() == CommandState::Running))
    );
}

#[test]
fn a_released_command_is_silent_and_runs_on() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 2).build().unwrap();
    let commands = started(&mut fleet, open("cat"));
    fleet.write_stdin(commands[0], b"never read").unwrap();
    fleet.close_stdin(commands[0]);
    fleet.release(commands[0]);
    fleet.close_stdin(commands[1]);
    let mut told = Told::default();
    drive(&mut fleet, Budget::default(), &mut told, |told| !told.done.is_empty());
    assert_eq!(told.done[0].succeeded, 2, "the run counts it");
    assert_eq!(told.finished.iter().map(|(_, id, _)| *id).collect::<Vec<_>>(), [commands[1]]);
    assert!(told.output.is_empty());
    assert_forgotten(&mut fleet, commands[0]);
}

#[test]
fn a_host_that_has_left_is_not_the_one_that_came() {
    let _dog = watch();
    let sim = simulate(&[]);
    let mut fleet = engine(&sim, 2).build().unwrap();
    let gone: HostId = fleet.hosts()[0];
    assert!(fleet.remove_host(gone));
    let came = fleet.add_hosts([(sim.hosts(1)[0].clone(), HostConfig::default())]).unwrap()[0];
    assert_ne!(gone, came);
    assert!(fleet.host(gone).is_none() && !fleet.remove_host(gone));
    match fleet.start(Run::new("hostname").hosts([came, gone])) {
        Err(Error::Config { problem: sshoal::error::ConfigProblem::UnknownHost(host), .. }) => {
            assert_eq!(host, gone)
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fleet.metrics().commands, 0, "nothing was started");
    fleet.connect([gone]);
    fleet.cancel_host(gone);
    settle(&mut fleet);
    assert_eq!(fleet.metrics().connections, 0);
    let told = run(&mut fleet, Run::new("hostname").hosts([came]));
    assert_eq!(told.finished[0].0, came);
}
