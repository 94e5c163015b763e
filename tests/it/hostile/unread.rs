//! Servers that request replies and do not read them, and floods that request none.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use sshoal::{Budget, Event};

use super::watch::{AFTER_LOGIN, BEFORE_LOGIN, Watched, warm_up};
use super::{HEALTHY, Hostile, SLOW, address, all, alone, guard};

/// libssh may buffer for the host what `ANSWERS_UNREAD` allows: not much more, and, as the counters
/// are upper bounds, not less than half.
#[track_caller]
fn assert_ended(kinds: &[&str], grown_max: usize) {
    let server = Hostile::start(kinds);
    warm_up(&server);
    for (at, kind) in kinds.iter().enumerate() {
        let hosts = [address(at), HEALTHY.to_owned()];
        let watched = Watched::run_undisturbed(&server, &hosts, "greet");
        let text = watched.breach(0);
        assert!(
            text.starts_with("the host does not read the answers that it asks for: 10"),
            "{kind}: {text}"
        );
        assert!(watched.exited(1), "{kind}");
        let grown = watched.grown;
        assert!((640 << 10..grown_max).contains(&grown), "{kind}: {grown} bytes more");
    }
}

#[test]
fn a_host_that_reads_no_answers_is_ended_before_the_login() {
    let _dog = guard("unread_before_login");
    if alone(module_path!(), "a_host_that_reads_no_answers_is_ended_before_the_login") {
        assert_ended(&["unread-before-keys", "unread-before-login"], BEFORE_LOGIN);
    }
}

#[test]
fn a_host_that_reads_no_answers_is_ended_after_the_login() {
    let _dog = guard("unread_after_login");
    if alone(module_path!(), "a_host_that_reads_no_answers_is_ended_after_the_login") {
        assert_ended(&["unread-unknown", "unread-globals", "unread-requests", "unread-opens"], AFTER_LOGIN);
    }
}

/// Replies that are read have no limit in total.
#[test]
fn a_host_that_reads_late_gets_all_its_answers() {
    let _dog = guard("read_slowly");
    let server = Hostile::start(&["read-slowly"]);
    let watched = Watched::run(&server, &all(&["read-slowly"]), "greet");
    assert!(watched.exited(0) && watched.exited(1), "{:?}", watched.ends);
    assert_eq!(watched.output[0], b"hello\n");
}

/// 50,000 messages of each kind that want no reply take neither memory nor much time at once.
#[test]
fn floods_cost_neither_memory_nor_a_long_step() {
    let _dog = guard("floods");
    if !alone(module_path!(), "floods_cost_neither_memory_nor_a_long_step") {
        return;
    }
    let kinds = [
        "flood-unknown",
        "flood-empty-data",
        "flood-empty-stderr",
        "flood-adjust",
        "flood-eof",
        "flood-success",
        "flood-open-failure",
        "flood-exit-status",
        "flood-exit-signal",
        "flood-ext-info",
        "flood-request-success",
        "flood-banner",
    ];
    let server = Hostile::start(&kinds);
    warm_up(&server);
    for (at, kind) in kinds.iter().enumerate() {
        let watched = Watched::run_undisturbed(&server, &[address(at), HEALTHY.to_owned()], "greet");
        assert!(watched.exited(1), "{kind}");
        assert!(watched.grown < AFTER_LOGIN, "{kind}: {} bytes more", watched.grown);
    }
}

/// The sockets of all hosts always have data. Each turn visits one host.
#[test]
fn between_two_visits_to_a_flood_everybody_else_has_one() {
    let _dog = guard("visits");
    let kinds = ["flood-unknown", "prints", "prints", "prints"];
    let server = Hostile::start(&kinds);
    let hosts: Vec<String> = (0..kinds.len()).map(address).collect();
    let mut fleet = server.fleet(&hosts).build().expect("a fleet");
    fleet.start("greet").expect("a command");
    let mut started = 0;
    while started < kinds.len() {
        fleet.wait(Some(SLOW)).expect("the poll works");
        fleet.turn(Instant::now(), Budget::default()).expect("the poll works");
        while let Some(event) = fleet.next_event() {
            started += usize::from(matches!(event, Event::Started { .. }));
        }
    }
    thread::sleep(Duration::from_millis(500));
    let mut visited = Vec::new();
    while visited.len() < 50 {
        let turn = fleet.turn(Instant::now(), Budget::default().time(Duration::ZERO)).expect("a turn");
        assert!(turn.visits <= 1, "{turn:?}");
        visited.extend(turn.longest_step.and_then(|step| step.host));
        while fleet.next_event().is_some() {}
    }
    // Once the poll has reported all of them.
    for round in visited[10..].windows(kinds.len()) {
        let others: HashSet<_> = round.iter().collect();
        assert_eq!(others.len(), kinds.len(), "{visited:?}");
    }
}
