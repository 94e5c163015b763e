//! Each fault at each stage: the host's error, its time, and that no other host is affected.

mod channel;
mod handshake;
mod login;
mod stream;

use std::time::{Duration, Instant};

use hostsim::Sim;
use sshoal::error::{ChannelProblem, HandshakeProblem};
use sshoal::{HostError, HostErrorKind, HostOutput, JoinOptions, Outcome};

use super::{assert_hostnames, client, command, fleet, watch};
use crate::support::fds::FdBaseline;

/// The time limit of each stage.
const LIMIT: Duration = Duration::from_secs(3);
/// Allowance above [`LIMIT`] for a busy machine.
const SLACK: Duration = Duration::from_secs(8);
/// Healthy hosts in each fleet.
const HEALTHY: usize = 5;

/// Runs `text` on a fleet in which host number n has the n-th fault and the last ones have none,
/// and compares how each ended, in the format of [`ending`]; ` | ` separates endings between which
/// only a race with the peer decides.
fn assert_endings(text: &str, cases: &[(&str, &str)]) {
    let _dog = watch();
    let sim = faulty_fleet(cases);
    let before = FdBaseline::now();
    let mut client = client(&sim, cases.len() + HEALTHY).timeout(LIMIT).build().unwrap();
    let begun = Instant::now();
    let outputs =
        client.run_command_with(command(text), sshoal::ReadOptions::default().stop_on_errors(false)).unwrap();
    // Hosts that fall silent while the command runs have no time limit but the caller's.
    let joined = client.join(&outputs, JoinOptions::default().timeout(LIMIT).close_stdin(true)).is_ok();
    let elapsed = begun.elapsed();
    assert!(elapsed < 2 * LIMIT + SLACK, "{elapsed:?}");

    let (faulty, healthy) = outputs.split_at(cases.len());
    let differences: Vec<String> = faulty
        .iter()
        .zip(cases)
        .map(|(output, (fault, expected))| (fault, expected, ending(output)))
        .filter(|(_, expected, found)| !expected.split(" | ").any(|one| one == found))
        .map(|(fault, expected, found)| format!("  {fault}\n    expected {expected}\n    found    {found}"))
        .collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    let is_open = |expected: &str| expected == "still running" || expected.ends_with("still open");
    assert_eq!(!joined, cases.iter().any(|(_, expected)| is_open(expected)));
    for error in faulty.iter().filter_map(HostOutput::error) {
        assert_plain_error(&error);
    }
    if text == "hostname" {
        assert_hostnames(healthy);
    } else {
        assert!(healthy.iter().all(|output| output.exit_code() == Some(0)), "{healthy:?}");
    }

    drop(outputs);
    drop(client);
    before.assert_same();
    assert_eq!(sim.stats().unwrap().panics, 0);
}

fn faulty_fleet(cases: &[(&str, &str)]) -> Sim {
    let rules =
        cases.iter().enumerate().map(|(index, (fault, _))| format!("i:{index}..{} {fault}", index + 1));
    let rules: Vec<String> = rules.collect();
    fleet(&rules.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Checks that it is one line without control characters, and in time.
#[track_caller]
fn assert_plain_error(error: &HostError) {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.len() < 1200, "{text}");
    assert!(error.elapsed() < LIMIT + SLACK, "{error:?}");
    if let HostErrorKind::Timeout { after, .. } = error.kind() {
        assert_eq!(*after, LIMIT);
        assert!(error.elapsed() >= LIMIT, "too early: {error:?}");
    }
}

/// How a command ended: `STAGE: KIND` for a failure.
fn ending(output: &HostOutput) -> String {
    match output.outcome() {
        None => "still running".to_owned(),
        Some(Outcome::Failed(error)) => format!("{:?}: {}", error.stage(), kind(error.kind())),
        Some(outcome) if !output.is_finished() => format!("{outcome}, still open"),
        Some(outcome) => outcome.to_string(),
    }
}

fn kind(kind: &HostErrorKind) -> String {
    let name = match kind {
        HostErrorKind::Connect { error, .. } => return format!("connect {:?}", error.kind()),
        HostErrorKind::Timeout { kind, .. } => return kind.to_string(),
        HostErrorKind::Disconnected { reason, message, .. } => {
            return format!("disconnected {reason} {message:?}");
        }
        HostErrorKind::Auth { tried, offered, .. } => {
            return format!("auth tried {tried:?} offered {offered:?}");
        }
        HostErrorKind::Handshake(HandshakeProblem::NotSsh(_)) => "not SSH",
        HostErrorKind::Handshake(HandshakeProblem::NoCommonAlgorithm(_)) => "no common algorithm",
        HostErrorKind::Channel(ChannelProblem::OpenRefused(_)) => "open refused",
        HostErrorKind::Channel(ChannelProblem::ExecRefused(_)) => "exec refused",
        HostErrorKind::Channel(ChannelProblem::Unwritable) => "unwritable",
        HostErrorKind::HostKey(_) => "host key",
        HostErrorKind::ConnectionLost(_) => "connection lost",
        HostErrorKind::Integrity(_) => "integrity",
        HostErrorKind::Protocol(_) => "protocol",
        other => return format!("{other:?}"),
    };
    name.to_owned()
}
