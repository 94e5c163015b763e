//! A time limit for tests that could hang: a blocked `poll` cannot be interrupted, so it ends the
//! process.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Dropping it in time stops the watchdog.
#[must_use = "dropped at once, it watches nothing"]
pub struct Watchdog {
    finished: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Aborts the process unless the guard is dropped within `limit`. The message contains `name` and
/// what each thread waits in.
pub fn watchdog(limit: Duration, name: &str) -> Watchdog {
    let (finished, receiver) = mpsc::channel();
    let name = name.to_owned();
    let watch = move || {
        if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln!`, whose text the test harness holds back until the test ends.
            let message = format!("watchdog: {name} is not over after {limit:?}\n{}", threads());
            let _ = io::stderr().write_all(message.as_bytes());
            std::process::abort();
        }
    };
    let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(watch).expect("start a thread");
    Watchdog { finished: Some(finished), thread: Some(thread) }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.finished.take());
        // Joined, so that tests that count threads or memory find neither the thread nor its stack.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Name and current system call (number and arguments) of each thread.
fn threads() -> String {
    let mut text = String::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let _ = writeln!(text, "  thread {:?}: {}", read("comm").trim_end(), read("syscall").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    use crate::support::system::{is_rerun, rerun};

    #[test]
    fn a_test_in_time_is_left_alone() {
        let dog = watchdog(Duration::from_secs(600), "in time");
        drop(dog);
    }

    #[test]
    fn a_hanging_test_is_aborted_and_named() {
        if is_rerun() {
            let _dog = watchdog(Duration::from_millis(50), "the hanging one");
            loop {
                thread::park();
            }
        }
        let mut hanging = rerun(module_path!(), "a_hanging_test_is_aborted_and_named");
        let output = hanging.output().expect("run this test's program");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(rustix::process::Signal::ABORT.as_raw()), "{stderr}");
        assert!(stderr.contains("watchdog: the hanging one is not over after 50ms"), "{stderr}");
        assert!(stderr.contains("thread \"watchdog\""), "{stderr}");
    }
}
