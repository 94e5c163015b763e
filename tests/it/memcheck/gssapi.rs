//! GSSAPI logins under valgrind: the session moves between threads there, and libssh parses what a
//! server sends about tickets.

use std::fs;
use std::time::Duration;

use sshoal::ParallelClient;

use super::{assert_no_errors, valgrind};
use crate::support::alarm::watchdog;
use crate::support::kdc::run_in_a_realm;
use crate::support::system::rerun;

/// Module, test, and the kinds of leaks that count as errors in it.
///
/// Blocks that are reachable from a lost block do not count: libssh 0.10's lost block is among the
/// suppressions. If a method ends halfway, libssh frees that block, and loses the blocks reachable
/// from it.
///
/// One host at a time: Kerberos locks its tickets with `F_OFD_SETLKW`. valgrind 3.19 does not know
/// that this call blocks, so two threads would wait for each other for ever.
const TESTS: [(&str, &str, &str); 4] = [
    ("real", "credentials_are_delegated_only_if_asked", "definite"),
    ("real", "without_a_ticket_the_next_method_follows", "definite"),
    ("hostile", "what_is_no_gssapi_is_given_up_for_the_next_method", "none"),
    ("hostile", "gssapi_out_of_turn_is_an_error", "none"),
];

#[test]
fn valgrind_finds_no_error_in_gssapi_logins() {
    let _dog = watchdog(Duration::from_secs(300), "memcheck_gssapi");
    if !ParallelClient::library().gssapi {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (module, test, leaks) in TESTS {
        let log = directory.path().join(test);
        let program = rerun(&format!("it::{module}::gssapi"), test);
        let mut valgrind = valgrind(&log, leaks);
        valgrind.arg(program.get_program()).args(program.get_args());
        valgrind.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = run_in_a_realm(&mut valgrind);
        let report = fs::read_to_string(&log).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{test}, {}\n{report}\n{stderr}", output.status);
        assert_no_errors(&report);
    }
}
