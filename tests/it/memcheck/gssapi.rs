//! A GSSAPI login under valgrind: the session moves between threads there.

use std::fs;
use std::time::Duration;

use sshoal::ParallelClient;

use super::{assert_no_errors, valgrind};
use crate::support::alarm::watchdog;
use crate::support::kdc::run_in_a_realm;
use crate::support::system::rerun;

/// One host at a time: Kerberos locks its tickets by `F_OFD_SETLKW`, of which valgrind 3.19 does not know that it blocks,
/// so that two threads wait for each other for ever.
const TESTS: [&str; 3] = [
    "a_ticket_opens_the_host",
    "credentials_are_delegated_only_if_asked",
    "without_a_ticket_the_next_method_follows",
];

#[test]
fn valgrind_finds_no_error_in_a_gssapi_login() {
    let _dog = watchdog(Duration::from_secs(300), "memcheck_gssapi");
    if !ParallelClient::library().gssapi {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for test in TESTS {
        let log = directory.path().join(test);
        let program = rerun("it::real::gssapi", test);
        // What hangs from a block that is lost is not counted again: the one of libssh 0.10 is among the suppressions.
        let mut valgrind = valgrind(&log, "definite");
        valgrind.arg(program.get_program()).args(program.get_args());
        valgrind.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        run_in_a_realm(&mut valgrind);
        assert_no_errors(&fs::read_to_string(&log).unwrap());
    }
}
