//! The reports of turns, and the metrics.

use std::time::Duration;

use super::bench::{Bench, MILLI, builder, endless, host, peer, running};
use crate::clock::{self, Clock};
use crate::config::HostConfig;
use crate::credential::{self, Prompt};
use crate::error::{AuthMethod, CancelCause, Label};
use crate::fleet::{HostState, LongestStep, Metrics};
use crate::link::{AuthReply, LinkErrorKind, Questions};
use crate::session::tests::script::{Answer, Channel, Cred, Packet, Peer, Script, host_key, lost};
use crate::stage::Stage;
use crate::{HostErrorKind, Proxy};

/// The time that the caller's own code takes within a step counts, and is attributed to the host of
/// the step.
#[test]
fn the_longest_step_names_its_host_and_stage() {
    let clock = Clock::invented(clock::now());
    let prompt = Prompt { text: "Code: ".to_owned(), echo: false };
    let questions = Questions { name: String::new(), instruction: String::new(), prompts: vec![prompt] };
    // The password is refused.
    let replies = vec![(Cred::Interactive, Ok(AuthReply::Accepted))];
    let offers = vec![vec![AuthMethod::KeyboardInteractive]];
    let asking = Peer { rounds: vec![questions], replies, offers, ..endless() };
    let slow = clock.clone();
    let builder = builder(10).responder(move |challenge| {
        let took = if challenge.host == host(6) { 7 } else { 2 };
        slow.set(slow.now() + took * MILLI);
        Some(vec![credential::Answer::from("271828")])
    });
    let builder = builder.keyboard_interactive(true);
    let mut bench = Bench::with(clock, builder, move |_| Script::peer(asking.clone()));
    bench.start(0..10);
    bench.rounds(60);
    let longest = bench.turns.iter().filter_map(|turn| turn.longest_step).max_by_key(|step| step.took);
    let expected =
        LongestStep { host: Some(bench.fleet.hosts()[6]), stage: Stage::Authenticating, took: 7 * MILLI };
    assert_eq!(longest, Some(expected));
    assert!(bench.fleet.metrics().longest_turn >= 7 * MILLI);
    // In invented time, CPU time and time are the same.
    let times = bench.fleet.reset_turn_times();
    assert_eq!(times.turns(), bench.turns.len() as u64);
    assert_eq!(times.longest(), bench.fleet.metrics().longest_turn);
    assert_eq!(times.total(), bench.turns.iter().map(|turn| turn.elapsed).sum());
    assert_eq!(bench.fleet.turn_times().turns(), 0);
    let quiet = bench.turns.iter().filter(|turn| turn.visits == 0);
    assert!(quiet.clone().count() > 0 && quiet.into_iter().all(|turn| turn.longest_step.is_none()));
}

#[test]
fn key_exchanges_are_counted_in_the_turn_that_completes_them() {
    let mut bench = Bench::alike(builder(8), peer(0));
    let commands = bench.start(0..8);
    bench.finish(&commands);
    let counted: usize = bench.turns.iter().map(|turn| turn.key_exchanges).sum();
    assert_eq!((counted, bench.fleet.metrics().key_exchanges), (8, 8));
    assert_eq!(bench.fleet.metrics().signatures, 0, "they log in by password");
}

#[test]
fn bytes_are_counted_whether_or_not_they_are_read() {
    let mut bench = Bench::alike(builder(5), peer(30));
    let commands = bench.start(0..5);
    bench.rounds(15);
    bench.fleet.write_stdin(commands[0], b"twelve bytes").unwrap();
    // This command's output is discarded.
    bench.fleet.release(commands[1]);
    bench.finish(&commands);
    bench.rounds(50);
    let metrics = bench.fleet.metrics();
    assert_eq!((metrics.bytes_received, metrics.bytes_sent), (5 * 8, 12));
    assert_eq!((metrics.unread, metrics.running, metrics.unfinished), (0, 0, 0));
}

#[test]
fn bytes_that_arrived_before_a_connection_was_lost_are_counted() {
    let mut bench = Bench::alike(builder(1), endless());
    let commands = bench.start([0]);
    bench.rounds(30);
    bench.link(0).arrive(0, Packet::Stdout(vec![b'x'; 100]));
    bench.link(0).fail_next(crate::session::tests::script::lost());
    bench.finish(&commands);
    assert_eq!(bench.fleet.metrics().bytes_received, 100);
}

/// Descriptors are reserved for lookups only while some host has a name to look up.
#[test]
fn hosts_with_names_are_counted_as_they_are_added_and_removed() {
    let mut bench = Bench::alike(builder(2), peer(0));
    assert_eq!((bench.fleet.engine.hosts.names, bench.fleet.engine.descriptors_for_lookups()), (0, 0));
    let hosts = |names: &[&str]| -> Vec<(String, HostConfig)> {
        names.iter().map(|name| ((*name).to_owned(), HostConfig::default())).collect()
    };
    let gate = Proxy::new("gate").user("deploy").password("a secret");
    let behind = HostConfig::default().proxies([gate]);
    let new = [hosts(&["web1", "::1"]), vec![("inner".to_owned(), behind)]].concat();
    let added = bench.fleet.add_hosts(new).unwrap();
    bench.check();
    assert_eq!(bench.fleet.engine.hosts.names, 2, "web1 and the proxy, which looks up the host behind it");
    assert!(bench.fleet.engine.descriptors_for_lookups() > 0);
    bench.fleet.remove_host(added[2]);
    bench.check();
    assert_eq!(bench.fleet.engine.hosts.names, 1);
    bench.fleet.set_hosts(hosts(&["192.0.2.1"])).unwrap();
    bench.check();
    assert_eq!(bench.fleet.engine.descriptors_for_lookups(), 0);
}

#[test]
fn metrics_are_one_line_of_names_and_values() {
    let mut bench = Bench::alike(builder(3).max_running(2), endless());
    bench.start(0..3);
    bench.rounds(30);
    let metrics = bench.fleet.metrics();
    assert_eq!((metrics.hosts(HostState::Connected), metrics.hosts(HostState::Queued)), (2, 1));
    let line = metrics.to_string();
    for figure in
        ["connected=2", "queued=1", "backing_off=0", "admission_queue=1", "running=2", "key_exchanges=2"]
    {
        assert!(line.split(' ').any(|word| word == figure), "{figure}: {line}");
    }
    let is_pair =
        |word: &str| word.split_once('=').is_some_and(|(name, value)| !name.is_empty() && !value.is_empty());
    assert!(line.split(' ').all(is_pair), "{line}");
    assert_eq!(Metrics::default().longest_turn, Duration::ZERO);
}

/// Host 0 succeeds after its first connection was dropped, host 1 exits with another status, host 2
/// has another key, host 3 is cancelled, host 4 is removed, and the command of host 5 is withdrawn.
#[test]
fn ends_are_counted_by_label_and_failed_connections_by_what_follows() {
    let mut bench = Bench::new(builder(6), |index| match index {
        0 => {
            Script::peers(vec![Peer { handshake: Answer::error(2, LinkErrorKind::Lost), ..peer(0) }, peer(0)])
        }
        1 => Script::peer(running(Channel::sending(vec![(2, Packet::Status(3)), (3, Packet::Close)]))),
        2 => Script::peer(Peer { key: host_key(1), ..peer(0) }),
        _ => Script::peer(endless()),
    });
    let commands = bench.start([3, 4, 0, 1, 2]);
    bench.finish(&commands[2..]);
    bench.fleet.pause();
    bench.start([5]);
    // The end of a command that the caller has released counts too.
    bench.fleet.release(commands[1]);
    bench.fleet.cancel(commands[0]);
    bench.fleet.remove_host(bench.fleet.hosts()[4]);
    bench.fleet.drain(None);
    bench.run_until(|bench| bench.fleet.is_drained());
    let metrics = bench.fleet.metrics();
    let counted: Vec<_> = metrics.by_label().filter(|(_, commands)| *commands > 0).collect();
    let expected = [
        (Label::Succeeded, 1),
        (Label::ExitStatus, 1),
        (Label::HostKey, 1),
        (Label::Cancelled, 2),
        (Label::NotStarted, 1),
    ];
    assert_eq!(counted, expected);
    assert_eq!(metrics.finished, 6);
    assert_eq!((metrics.retries, metrics.reconnects, metrics.rejected_keys), (1, 0, 1));
    let causes = bench.failed.iter().filter_map(|error| match error.kind() {
        HostErrorKind::Cancelled(cause) | HostErrorKind::NotStarted(cause) => Some(*cause),
        _ => None,
    });
    assert_eq!(causes.collect::<Vec<_>>(), [CancelCause::Draining, CancelCause::Caller]);
    assert!(metrics.to_string().contains(" cancelled=2 "), "{metrics}");
}

#[test]
fn a_connection_that_replaces_a_lost_one_is_counted() {
    let mut bench = Bench::alike(builder(1), endless());
    let commands = bench.start([0]);
    bench.rounds(30);
    bench.link(0).fail_next(lost());
    bench.finish(&commands);
    let again = bench.start([0]);
    bench.rounds(30);
    assert_eq!(bench.at_work(&again), 1);
    let metrics = bench.fleet.metrics();
    assert_eq!((metrics.retries, metrics.reconnects), (0, 1));
    assert_eq!(metrics.ended(Label::ConnectionLost), 1);
}

/// In release builds, the host ends with `HostErrorKind::Bug` instead.
#[test]
#[should_panic(expected = "a mistake")]
fn a_mistake_of_this_library_stops_debug_builds() {
    let mut bench = Bench::alike(builder(1), peer(0));
    bench.fleet.engine.bug(0, "a mistake", bench.now);
}
