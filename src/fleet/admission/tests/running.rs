//! The limit on commands that run at once.

use nix::errno::Errno;

use super::bench::{Bench, builder, endless, host, peer};
use crate::error::Error;
use crate::fleet::engine::Engine;
use crate::fleet::schedule::Schedule;
use crate::fleet::{CommandState, HostState};
use crate::session::tests::script::{Channel, Dial, Peer, Script};

#[test]
fn as_many_commands_run_as_the_limits_allow() {
    for (connecting, running) in [(10, 3), (3, 10), (1, 1), (100, 7)] {
        let mut bench = Bench::alike(builder(30).max_connecting(connecting).max_running(running), peer(20));
        let commands = bench.start(0..30);
        let mut most = 0;
        bench.run_until(|bench| {
            let now = bench.running();
            assert!(now <= running && now >= bench.at_work(&commands), "{now} of {running}");
            most = most.max(now);
            bench.unfinished(&commands) == 0
        });
        assert_eq!(most, running, "with {connecting} places");
        assert_eq!(bench.running(), 0);
    }
}

/// A command counts from the start of the connect to the end of the command.
#[test]
fn a_command_counts_while_its_host_connects() {
    let slow =
        Script::peer(peer(0)).dialling(format!("{}:22", host(0)).parse().unwrap(), &[Dial::Connects(50)]);
    let mut bench =
        Bench::new(
            builder(2).max_running(1),
            move |index| if index == 0 { slow.clone() } else { Script::peer(peer(0)) },
        );
    let commands = bench.start([0, 1]);
    bench.rounds(40);
    assert_eq!((bench.state(0), bench.running()), (HostState::Connecting, 1));
    assert_eq!((bench.state(1), bench.fleet.metrics().admission_queue), (HostState::Queued, 1));
    bench.finish(&commands);
}

#[test]
fn a_host_with_several_commands_starts_as_many_as_may_run() {
    let mut bench = Bench::alike(builder(1).max_running(2), endless());
    let commands: Vec<_> = (0..5).flat_map(|_| bench.start([0])).collect();
    bench.rounds(50);
    assert_eq!((bench.running(), bench.at_work(&commands)), (2, 2));
    for ended in 1..=5 {
        let next = commands.iter().find(|id| {
            bench.fleet.command(**id).is_some_and(|command| command.state() == CommandState::Running)
        });
        bench.fleet.cancel(*next.unwrap());
        bench.run_until(|bench| bench.unfinished(&commands) == 5 - ended);
        bench.rounds(20);
        assert_eq!(bench.at_work(&commands), (5 - ended).min(2));
    }
}

#[test]
fn the_limit_can_be_lowered_raised_and_removed() {
    let mut bench = Bench::alike(builder(20).max_running(6), endless());
    let commands = bench.start(0..20);
    bench.rounds(30);
    assert_eq!(bench.at_work(&commands), 6);
    bench.fleet.set_max_running(Some(2)).unwrap();
    bench.rounds(30);
    assert_eq!(bench.at_work(&commands), 6, "running commands continue");
    for left in [5, 4, 3, 2, 2, 2] {
        let running = commands.iter().find(|id| {
            bench.fleet.command(**id).is_some_and(|command| command.state() == CommandState::Running)
        });
        bench.fleet.cancel(*running.unwrap());
        bench.rounds(30);
        assert_eq!((bench.at_work(&commands), bench.running()), (left, left));
    }
    bench.fleet.set_max_running(Some(4)).unwrap();
    bench.rounds(30);
    assert_eq!(bench.at_work(&commands), 4);
    bench.fleet.set_max_running(None).unwrap();
    bench.rounds(30);
    assert_eq!(bench.at_work(&commands), 14, "all remaining commands");
}

#[test]
fn no_limit_can_be_zero() {
    let mut bench = Bench::alike(builder(1), peer(0));
    assert!(matches!(bench.fleet.set_max_running(Some(0)), Err(Error::Config { .. })));
    assert!(matches!(bench.fleet.set_connects_per_second(Some(0)), Err(Error::Config { .. })));
    let error = bench.fleet.set_max_connecting(0).unwrap_err();
    assert_eq!(error.to_string(), "max_connecting must be at least 1");
    let commands = bench.start([0]);
    bench.finish(&commands);
}

#[test]
fn connecting_without_a_command_does_not_count_as_a_command() {
    let mut bench = Bench::alike(builder(4).max_running(1), endless());
    let commands = bench.start([0]);
    bench.rounds(30);
    let others: Vec<_> = bench.fleet.hosts()[1..].to_vec();
    bench.fleet.connect(others);
    // A host that also has a command connects, and its command waits.
    let waiting = bench.start([3]);
    bench.rounds(30);
    assert!((1..4).all(|number| bench.state(number) == HostState::Connected));
    assert_eq!((bench.running(), bench.at_work(&waiting), bench.fleet.metrics().admission_queue), (1, 0, 1));
    bench.fleet.cancel(commands[0]);
    bench.rounds(30);
    assert_eq!(bench.at_work(&waiting), 1);
}

#[test]
fn a_host_that_backs_off_returns_its_command_s_place() {
    let refused = Dial::Fails(1, Errno::ECONNREFUSED);
    let dead = Script::peer(peer(0)).dialling(format!("{}:22", host(0)).parse().unwrap(), &[refused]);
    let mut bench =
        Bench::new(
            builder(2).max_running(1),
            move |index| {
                if index == 0 { dead.clone() } else { Script::peer(peer(0)) }
            },
        );
    let commands = bench.start([0, 1]);
    bench.run_until(|bench| bench.unfinished(&commands[1..]) == 0);
    assert_eq!(bench.state(0), HostState::BackingOff);
    bench.finish(&commands);
    assert_eq!(bench.state(0), HostState::Failed);
}

/// Otherwise the command would keep other hosts' commands from running while it waits for another
/// command on the same host to end.
#[test]
fn a_command_that_waits_for_a_channel_returns_its_place() {
    use crate::Run;
    use crate::command::Command;
    use crate::link::LinkErrorKind;
    use crate::session::tests::script::Answer;

    let first = endless().channels.remove(0);
    let refused = Channel { open: Answer::error(1, LinkErrorKind::Denied), ..Channel::default() };
    let full = Peer { channels: vec![first, refused], ..peer(0) };
    let mut bench = Bench::new(builder(2).max_running(2), move |index| {
        Script::peer(if index == 0 { full.clone() } else { endless() })
    });
    let hosts = bench.fleet.hosts().to_vec();
    let run = |command: &str, host| Run::new(Command::new(command).wait_for_channel(true)).hosts([host]);
    for command in ["first", "second"] {
        bench.fleet.start(run(command, hosts[0])).unwrap();
        bench.rounds(30);
    }
    assert_eq!(bench.running(), 1, "the second command has no channel");
    let other = bench.fleet.start(run("other", hosts[1])).unwrap().commands;
    bench.rounds(30);
    assert_eq!((bench.running(), bench.at_work(&other)), (2, 1));
}

/// A host that was refused a descriptor is queued again, and so is its command.
#[test]
fn a_host_without_a_descriptor_returns_its_command_s_place() {
    let emfile = Dial::FailsAtOnce(Errno::EMFILE);
    let mut bench = Bench::new(builder(2).max_running(2), move |index| {
        let dials = if index == 1 { vec![emfile, Dial::Connects(1)] } else { vec![Dial::Connects(1)] };
        Script::peer(endless()).dialling(format!("{}:22", host(index)).parse().unwrap(), &dials)
    });
    let commands = bench.start(0..2);
    bench.rounds(30);
    assert_eq!((bench.state(1), bench.running()), (HostState::Queued, 1));
    bench.fleet.cancel(commands[0]);
    bench.rounds(30);
    assert_eq!((bench.at_work(&commands), bench.state(1)), (1, HostState::Connected));
}

/// The link reports these connections, and the fleet reads their number after each visit.
#[test]
fn connections_to_a_forwarded_agent_count_as_descriptors() {
    let mut bench = Bench::alike(builder(2), endless());
    bench.start([0]);
    bench.rounds(30);
    for (connections, may_take) in [(0, true), (5, false), (4, true)] {
        bench.link(0).agent_connections = connections;
        bench.fleet.engine.event_loop.ready.push(0);
        bench.turn();
        let Engine { schedule: Schedule { admission, .. }, hosts, .. } = &mut bench.fleet.engine;
        admission.descriptors_max = 6;
        assert_eq!(hosts.sums.descriptors, 1 + connections);
        assert_eq!(admission.may_take(1, &hosts.sums), may_take, "with {connections}");
    }
}
