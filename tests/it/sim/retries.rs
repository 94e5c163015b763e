//! Further attempts: how many, how far apart, and never for a command that may have started.

use std::time::{Duration, Instant};

use hostsim::Sim;
use sshoal::{HostError, HostErrorKind, JoinOptions, Stage};

use super::{assert_hostnames, client, command, fleet, stats_of, watch};

const DELAY: Duration = Duration::from_millis(300);

/// The error of the only host, with three attempts allowed.
fn fail(sim: &Sim) -> HostError {
    let mut client = client(sim, 1).num_retries(3).retry_delay(DELAY).build().unwrap();
    let outputs = client.run_command(command("hostname")).unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    outputs[0].error().unwrap()
}

#[test]
fn a_lost_connection_is_made_again_as_often_and_as_late_as_configured() {
    let _dog = watch();
    for rule in ["* accept:rst", "* kex:fin", "* auth:rst", "* open:rst"] {
        let sim = fleet(&[rule]);
        let begun = Instant::now();
        let error = fail(&sim);
        let elapsed = begun.elapsed();
        assert!(elapsed >= 2 * DELAY, "{rule}: {elapsed:?}: {error:?}");
        assert_eq!(error.attempt(), 3, "{rule}: {error}");
        assert!(error.to_string().contains("(attempt 3 of 3)"), "{error}");
        let stats = stats_of(&sim, 0);
        assert_eq!((stats.connections, stats.execs), (3, 0), "{rule}");
    }
}

#[test]
fn what_cannot_end_differently_is_tried_once() {
    let _dog = watch();
    for rule in [
        "* set:auth=refuse",
        "* set:other-host-key=true",
        "* accept:garbage",
        "* open:refuse",
        "* exec:refuse",
    ] {
        let sim = fleet(&[rule]);
        let error = fail(&sim);
        assert_eq!(error.attempt(), 1, "{rule}: {error}");
        assert_eq!(stats_of(&sim, 0).connections, 1, "{rule}: {error}");
    }
}

#[test]
fn a_command_that_may_have_started_is_never_sent_twice() {
    let _dog = watch();
    for rule in ["* exec:rst", "* exec:fin", "* stream:rst", "* stream@5:fin", "* end:rst"] {
        let sim = fleet(&[rule]);
        let error = fail(&sim);
        assert!(error.stage() >= Stage::Requesting, "{rule}: {error:?}");
        assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{rule}: {error:?}");
        let stats = stats_of(&sim, 0);
        assert_eq!((stats.connections, stats.execs), (1, 1), "{rule}");
    }
}

#[test]
fn a_host_that_waits_for_its_next_attempt_holds_no_place() {
    let _dog = watch();
    let sim = fleet(&["i:0..1 accept:rst"]);
    let delay = Duration::from_secs(120);
    let mut client = client(&sim, 4).pool_size(1).num_retries(2).retry_delay(delay).build().unwrap();
    let outputs = client.start_command("hostname").unwrap();
    let begun = Instant::now();
    assert_hostnames(&outputs[1..]);
    assert!(begun.elapsed() < delay);
    assert!(outputs[0].outcome().is_none());
}

/// The next command begins with a full set of attempts.
#[test]
fn a_failed_host_is_tried_again_by_the_next_command() {
    let _dog = watch();
    let sim = fleet(&["* accept:rst"]);
    let mut client = client(&sim, 1).num_retries(2).retry_delay(DELAY).build().unwrap();
    for round in 1..=2 {
        let outputs = client.run_command(command("hostname")).unwrap();
        assert_eq!(outputs[0].error().unwrap().attempt(), 2);
        assert_eq!(stats_of(&sim, 0).connections, 2 * round);
    }
}
