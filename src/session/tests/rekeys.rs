//! Tests of servers that ask for new keys again and again.

use super::harness::Bench;
use super::script::{Channel, Packet, Script};
use crate::error::HostErrorKind;
use crate::limits;
use crate::output::Outcome;
use crate::stage::Stage;

/// Runs a command whose host asks for new keys this many times, each time after this much traffic.
/// Then the command ends.
fn run(times: usize, traffic: u64) -> Bench {
    let keys = (0..times).map(|_| (1, Packet::Keys(traffic)));
    let end = [(2, Packet::Status(0)), (2, Packet::Close)];
    let mut bench = Bench::new(Script::channel(Channel::sending(keys.chain(end).collect())));
    bench.command();
    bench.run();
    bench
}

#[test]
fn rekeying_after_data_is_allowed() {
    let bench = run(1000, limits::REKEY_TRAFFIC);
    assert!(matches!(bench.outcome(0), Outcome::Exited(0)), "{:?}", bench.outcome(0));
}

#[test]
fn rekeying_without_data_ends_the_connection() {
    let bench = run(limits::REKEYS_IN_A_ROW as usize + 1, limits::REKEY_TRAFFIC - 1);
    let Outcome::Failed(error) = bench.outcome(0) else { panic!("{:?}", bench.outcome(0)) };
    let HostErrorKind::Protocol(text) = error.kind() else { panic!("{error}") };
    assert_eq!(
        (text.as_str(), error.stage()),
        ("the host asked for new keys 11 times in a row, for no data", Stage::Running)
    );
}

#[test]
fn a_few_rekeys_without_data_are_allowed() {
    let bench = run(limits::REKEYS_IN_A_ROW as usize, 0);
    assert!(matches!(bench.outcome(0), Outcome::Exited(0)), "{:?}", bench.outcome(0));
}
