//! The programs that embed a fleet in another event loop, run like a new user would.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails at once")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::support::alarm::watchdog;
use super::support::examples::example;

/// Runs an example to its end, and returns its lines once all its processes are gone.
fn lines_of(name: &str) -> Vec<String> {
    let program = example(name);
    let _dog = watchdog(Duration::from_secs(120), name);
    let output = Command::new(&program).output().expect("the example runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}{stderr}", output.status);
    assert_eq!(stderr, "");

    // Its simulated fleet is the same program, and ends with it.
    let begun = Instant::now();
    while is_running(&program) {
        assert!(begun.elapsed() < Duration::from_secs(20), "a process of {name} is left");
        thread::sleep(Duration::from_millis(5));
    }
    stdout.lines().map(str::to_owned).collect()
}

fn is_running(program: &Path) -> bool {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes.filter_map(|process| fs::read_link(process.path().join("exe")).ok()).any(|exe| exe == program)
}

#[test]
fn a_mio_loop_serves_its_status_page_while_the_commands_run() {
    let lines = lines_of("embed_mio");
    let [address, page, last] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(address.starts_with("status page: 127.0.0.1:2"), "{lines:?}");
    // On a busy machine some of the commands may have ended by then.
    assert!(page.starts_with("200 hosts: 200 connected, 0 failed; "), "{lines:?}");
    assert_eq!(last, "200 hosts: 200 ok, 0 failed");
}

#[test]
fn an_epoll_loop_keeps_its_own_timer() {
    let lines = lines_of("embed_epoll");
    let (ticks, rest) = lines.last().and_then(|last| last.split_once(' ')).expect("a last line");
    assert_eq!(rest, "ticks meanwhile; 200 hosts: 200 ok, 0 failed", "{lines:?}");
    // The commands sleep for half a second.
    assert!(ticks.parse::<u32>().is_ok_and(|ticks| ticks >= 50), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.ends_with("0 hosts wait, 0 connect, 200 are connected")),
        "{lines:?}"
    );
}

#[test]
fn a_tokio_task_drives_a_fleet_beside_others() {
    let lines = lines_of("embed_tokio");
    let [beats @ .., counts, last] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(beats.len() >= 3 && beats.iter().all(|line| line.starts_with("heartbeat, ")), "{lines:?}");
    assert_eq!(counts, "2000 lines of output, 100 of errors");
    assert_eq!(last, "300 commands: 300 ok, 0 failed");
}

#[test]
fn each_thread_has_a_fleet_of_its_own() {
    let lines = lines_of("thread_per_core");
    assert_eq!(lines.last().map(String::as_str), Some("1000 hosts: 1000 ok, 0 failed"), "{lines:?}");
    let words = |line: &String| line.split([' ', ',']).map(str::to_owned).collect::<Vec<_>>();
    let shares: Vec<usize> = lines
        .iter()
        .map(words)
        .filter_map(|words| match words.as_slice() {
            [thread, _, connections, what, ..] if (&**thread, &**what) == ("thread", "connections") => {
                connections.parse().ok()
            }
            _ => None,
        })
        .collect();
    let threads = thread::available_parallelism().expect("a number of cores").get();
    assert_eq!(shares.len(), threads, "{lines:?}");
    assert_eq!(shares.iter().sum::<usize>(), 1000, "every host in one fleet: {lines:?}");
}
