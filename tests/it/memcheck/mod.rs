//! The C library under valgrind: every way to end a connection, without a leaked byte or an invalid
//! access.
//!
//! Each scenario is an ordinary test. [`valgrind_finds_nothing`] runs all of them again, in one
//! process under valgrind.

#![allow(clippy::unwrap_used, reason = "a scenario that cannot be set up fails the test at once")]

mod gssapi;
mod scenarios;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::alarm::watchdog;

/// Minimum number of scenarios: fewer means that a filter no longer matches.
const SCENARIOS_MIN: usize = 20;

#[test]
fn valgrind_finds_nothing() {
    let _dog = watchdog(std::time::Duration::from_secs(900), "memcheck");
    // Build the simulators that the scenarios start before time is measured.
    drop(crate::sim::fleet(&[]));
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("valgrind.log");
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut valgrind = valgrind(&log, "definite,indirect");
    valgrind.arg(std::env::current_exe().unwrap());
    valgrind.args([&format!("{module}::scenarios::"), "--test-threads=1"]).stdin(Stdio::null());
    let output = valgrind.output().unwrap_or_else(|error| {
        panic!("cannot run valgrind (Debian package valgrind, see tests/packages.txt): {error}")
    });

    let report = fs::read_to_string(&log).unwrap_or_default();
    let harness = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{report}\n{harness}\n{stderr}", output.status);
    assert!(passed(&harness) >= SCENARIOS_MIN, "{harness}");
    assert_clean(&report);
}

/// Valgrind without its program argument. Leaks of these kinds are errors.
fn valgrind(log: &Path, leaks: &str) -> Command {
    let suppressions = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/memcheck/valgrind.supp");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--error-exitcode=99", "--leak-check=full"])
        // Memory that is still reachable is allocated once per process, by OpenSSL, glibc and the
        // test harness.
        .args([format!("--errors-for-leak-kinds={leaks}"), format!("--show-leak-kinds={leaks}")])
        .args(["--num-callers=40", "--child-silent-after-fork=yes"])
        .arg(format!("--suppressions={}", suppressions.display()))
        .arg(format!("--log-file={}", log.display()));
    valgrind
}

/// The number in "test result: ok. 21 passed; …".
fn passed(harness: &str) -> usize {
    let rest = harness.split_once("test result: ok. ").map_or("", |(_, rest)| rest);
    rest.split_once(" passed").and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
}

/// Checks more than the exit status: detects a missing log too.
#[track_caller]
fn assert_no_errors(report: &str) {
    assert!(report.contains("ERROR SUMMARY: 0 errors"), "{report}");
}

#[track_caller]
fn assert_clean(report: &str) {
    assert_no_errors(report);
    if report.contains("All heap blocks were freed") {
        return;
    }
    for kind in ["definitely lost: 0 bytes", "indirectly lost: 0 bytes"] {
        assert!(report.contains(kind), "{report}");
    }
}
