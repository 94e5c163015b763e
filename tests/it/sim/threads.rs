//! One client in several threads: while one of them waits, the others are served.

use sshoal::error::CancelCause;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use sshoal::client::JoinError;
use sshoal::{HostErrorKind, HostOutput, JoinOptions, Outcome, ParallelClient, Signal};

use super::{client, command, fleet, stdout, watch};

/// For threads that are about to wait. A thread that does not wait yet makes a test easier, not
/// wrong.
const A_MOMENT: Duration = Duration::from_millis(200);

fn is_cancelled(output: &HostOutput) -> bool {
    output.error().is_some_and(|error| matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::Caller)))
}

#[test]
fn a_command_is_cancelled_while_another_thread_joins_it() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 3).build().unwrap();
    let outputs = client.run_command("hang").unwrap();
    thread::scope(|scope| {
        let joins = scope.spawn(|| client.join(&outputs, JoinOptions::default()));
        thread::sleep(A_MOMENT);
        outputs[1].cancel().unwrap();
        assert!(is_cancelled(&outputs[1]));
        assert!(!joins.is_finished(), "two commands still run");
        client.cancel_all().unwrap();
        joins.join().unwrap().unwrap();
    });
    assert!(outputs.iter().all(is_cancelled));
}

#[test]
fn signals_input_and_questions_take_effect_within_a_turn() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 2).build().unwrap();
    let outputs = client.run_command("cat").unwrap();
    thread::scope(|scope| {
        // No line arrives before the input has ended.
        let reads = scope.spawn(|| stdout(&outputs[0]));
        thread::sleep(A_MOMENT);
        let before = client.metrics().turns;
        for _ in 0..10 {
            outputs[1].send_signal(Signal::Hup).unwrap();
            outputs[1].stdin().write_all(b"x").unwrap();
            assert_eq!(outputs[0].outcome().map(|_| ()), None);
        }
        // Each call may end the poll once, and so may each response of a host.
        let turns = client.metrics().turns - before;
        assert!(turns <= 120, "{turns} turns");
        outputs[0].stdin().write_all(b"hello\n").unwrap();
        outputs[0].stdin().close();
        assert_eq!(reads.join().unwrap(), "hello\n");
    });
    outputs[1].stdin().close();
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert_eq!(stdout(&outputs[1]), "x".repeat(10) + "\n");
}

/// They would keep each other busy if each of them woke the other one to wait in its place.
#[test]
fn threads_that_wait_side_by_side_cost_no_turns() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 2).build().unwrap();
    let outputs = client.run_command("hang").unwrap();
    thread::scope(|scope| {
        let without_limit = scope.spawn(|| client.join(&outputs, JoinOptions::default()));
        thread::sleep(A_MOMENT);
        let limits = [600, 900, 900].map(Duration::from_millis);
        let joins = |limit| client.join(&outputs, JoinOptions::default().timeout(limit));
        let begun = Instant::now();
        let threads = limits.map(|limit| scope.spawn(move || joins(limit)));
        thread::sleep(A_MOMENT);
        let before = client.metrics().turns;
        for (thread, limit) in threads.into_iter().zip(limits) {
            assert!(matches!(thread.join().unwrap(), Err(JoinError::Timeout { .. })));
            assert!(begun.elapsed() >= limit);
        }
        let turns = client.metrics().turns - before;
        assert!(turns <= 50, "{turns} turns");
        assert!(!without_limit.is_finished());
        client.cancel_all().unwrap();
        without_limit.join().unwrap().unwrap();
    });
}

#[test]
fn another_thread_drives_on_when_the_one_that_drove_is_done() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 4).build().unwrap();
    let outputs: Vec<HostOutput> = ["0.3", "0.6", "0.9", "1.2"]
        .iter()
        .enumerate()
        .map(|(host, seconds)| client.run_command(format!("sleep {seconds}")).unwrap().swap_remove(host))
        .collect();
    thread::scope(|scope| {
        for output in &outputs {
            scope.spawn(|| client.join(std::slice::from_ref(output), JoinOptions::default()).unwrap());
        }
    });
    assert!(outputs.iter().all(|output| matches!(output.outcome(), Some(Outcome::Exited(0)))));
}

#[test]
fn every_thread_reads_all_of_its_own_hosts_output() {
    const LINES: usize = 20_000;
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 8).build().unwrap();
    let outputs = client.run_command(format!("lines {LINES}")).unwrap();
    let wanted = |number: usize| format!("line {number}");
    thread::scope(|scope| {
        for (position, output) in outputs.iter().enumerate() {
            scope.spawn(move || {
                if position % 2 == 0 {
                    let lines: Vec<String> = output.stdout().map(Result::unwrap).collect();
                    assert!(lines.iter().enumerate().all(|(number, line)| *line == wanted(number)));
                    assert_eq!(lines.len(), LINES);
                    return;
                }
                let mut text = String::new();
                output.stdout_reader().read_to_string(&mut text).unwrap();
                let lines: Vec<&str> = text.lines().collect();
                assert_eq!(lines.len(), LINES);
                assert!(lines.iter().enumerate().all(|(number, line)| *line == wanted(number)));
            });
        }
    });
    assert!(outputs.iter().all(|output| output.exit_code() == Some(0)));
}

#[test]
fn outputs_are_dropped_while_another_thread_waits() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client: ParallelClient = client(&sim, 3).build().unwrap();
    let waited = client.run_command("hang").unwrap();
    let dropped = client
        .run_command_with(command("lines 100000"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    thread::scope(|scope| {
        let joins = scope.spawn(|| client.join(&waited, JoinOptions::default()));
        thread::sleep(A_MOMENT);
        drop(dropped);
        waited.iter().for_each(|output| output.cancel().unwrap());
        joins.join().unwrap().unwrap();
    });
}
