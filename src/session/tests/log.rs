//! What operators read in the log: connections and failures at `debug`, state transitions at
//! `trace`, and nothing that a terminal would interpret.

use std::cell::RefCell;
use std::sync::Once;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::harness::Bench;
use super::script::{Answer, Peer, Script};
use crate::link::{LinkError, LinkErrorKind};

thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Collects what this thread logs. Tests in other threads have their own lists.
struct Keeper;

impl Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push((record.level(), record.args().to_string())));
    }

    fn flush(&self) {}
}

/// Returns what a scenario logs.
fn logged(scenario: impl FnOnce()) -> Vec<(Level, String)> {
    static SET: Once = Once::new();
    SET.call_once(|| log::set_logger(&Keeper).unwrap());
    log::set_max_level(LevelFilter::Trace);
    LINES.take();
    scenario();
    LINES.take()
}

fn at(level: Level, lines: &[(Level, String)]) -> Vec<&str> {
    lines.iter().filter(|(of, _)| *of == level).map(|(_, line)| line.as_str()).collect()
}

#[test]
fn connections_are_logged_at_debug_and_transitions_at_trace() {
    let lines = logged(|| {
        let mut bench = Bench::new(Script::default());
        bench.command();
        bench.run();
        assert!(bench.outcome(0).is_success());
    });
    assert!(lines.iter().all(|(level, _)| *level >= Level::Debug), "{lines:?}");
    let debug = at(Level::Debug, &lines);
    assert!(debug.len() == 1 && debug[0].starts_with("web1 (port 22): connected; "), "{debug:?}");
    let trace = at(Level::Trace, &lines);
    assert_eq!(trace.first(), Some(&"web1: Queued -> Resolving"));
    assert_eq!(trace.last(), Some(&"web1: Authenticating -> Ready"));
}

#[test]
fn failures_log_what_follows_without_control_characters() {
    let says =
        Err(LinkError::new(LinkErrorKind::Disconnected(11), "bye\u{1b}]0;owned\u{7}\r\nweb2: all well"));
    let peer = Peer { handshake: Answer { after: Some(1), says }, ..Peer::default() };
    let lines = logged(|| {
        let mut bench = Bench::new(Script::peer(peer));
        bench.command();
        bench.run();
        assert!(bench.all_ended());
    });
    assert!(lines.iter().all(|(level, _)| *level >= Level::Debug), "{lines:?}");
    let debug = at(Level::Debug, &lines);
    assert_eq!(debug.len(), 3, "{debug:?}");
    assert!(debug[0].contains("(attempt 1 of 3)") && debug[0].ends_with("next attempt in 5s"));
    assert!(debug[2].contains("(attempt 3 of 3)") && debug[2].ends_with("; given up"), "{debug:?}");
    assert!(!lines.iter().any(|(_, line)| line.contains(char::is_control)), "{lines:?}");
}
