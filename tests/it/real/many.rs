//! Many rounds on many hosts: an edge-triggered loop that loses one wake-up hangs here.

use std::time::Instant;

use super::{SLOW, build, client_for, guard, join, rest, stdout};
use crate::support::sshd::Sshd;

const HOSTS: u32 = 40;

#[test]
fn ten_rounds_on_forty_hosts_lose_nothing() {
    let _dog = guard("ten_rounds");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(HOSTS).collect();
    for (pool, rounds) in [(100, 4), (40, 3), (7, 3)] {
        let mut client = build(client_for(&sshd, &hosts).pool_size(pool));
        let begun = Instant::now();
        for round in 0..rounds {
            // Several packets in either direction, so that one edge covers more than one read.
            let size = [1, 5_000, 70_000, 300_000][round % 4];
            let command = format!("head -c {size} /dev/zero | tr '\\0' y; echo; cat >&2; exit {round}");
            let outputs = client.run_command(command).expect("all start");
            join(&client, &outputs);
            for output in &outputs {
                let (stdout, stderr) = rest(output);
                assert_eq!((stdout.len(), stdout[0].len(), stderr.len()), (1, size, 0), "{}", output.host());
                assert_eq!(output.exit_code(), u32::try_from(round).ok());
            }
        }
        let stats = client.metrics();
        assert_eq!((stats.connections, stats.admission_queue, stats.timers), (40, 0, 0), "{stats:?}");
        assert!(begun.elapsed() < SLOW, "{:?}", begun.elapsed());
    }
}

#[test]
fn a_connection_per_round_loses_nothing() {
    let _dog = guard("connection_per_round");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(HOSTS).collect();
    for pool in [3, 40] {
        let mut client = build(client_for(&sshd, &hosts).pool_size(pool));
        let outputs = client.start_command("echo $SSH_CONNECTION").expect("valid");
        // In reverse: the reader of the last host drives all the others.
        for output in outputs.iter().rev() {
            let lines = stdout(output);
            assert!(lines[0].contains(&format!(" {} ", output.host())), "{lines:?}");
        }
    }
}
