//! A host list that changes constantly while everything is in progress.

use sshoal::error::CancelCause;
use std::collections::BTreeSet;
use std::time::Duration;

use sshoal::{HostErrorKind, HostOutput, JoinOptions};

use super::{client, command, fleet, run, settled, stdout, watch};
use crate::support::fds::FdBaseline;

/// A small random number generator: each run is the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Each output belongs to its own host, whatever happened to that host and to those that had its
/// slot and descriptor before.
#[track_caller]
fn assert_of_its_host(output: &HostOutput) {
    let lines = stdout_so_far(output);
    let own = format!("{}\n", output.host());
    match output.error() {
        None => assert_eq!((lines, output.exit_code()), (own, Some(0)), "{}", output.host()),
        Some(error) => {
            assert!(matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::HostRemoved)), "{error}");
            assert!(lines.is_empty() || lines == own, "{}: {lines}", output.host());
        }
    }
}

fn stdout_so_far(output: &HostOutput) -> String {
    output.stdout().map_while(Result::ok).map(|line| line + "\n").collect()
}

#[test]
fn a_list_that_changes_under_running_commands_mixes_nobody_up() {
    let _dog = watch();
    let sim = fleet(&[]);
    let fds = FdBaseline::now();
    let names = sim.hosts(120);
    let mut numbers = Numbers(7);
    let mut hosts = sim.hosts(40);
    let mut client = client(&sim, 40).pool_size(16).build().unwrap();
    let mut outputs = Vec::new();
    for round in 0..60 {
        let started = client
            .start_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
            .unwrap();
        // At random stages: some connect, some run, some are done.
        let limit = Duration::from_millis(1 + numbers.below(40) as u64);
        let _ = client.join(&started, JoinOptions::default().timeout(limit));
        outputs.extend(started);
        hosts.resize(numbers.below(60), names[0].clone());
        for host in &mut hosts {
            if numbers.below(4) == 0 {
                host.clone_from(&names[numbers.below(names.len())]);
            }
        }
        client.set_hosts(hosts.iter().cloned()).unwrap();
        assert_eq!(client.len(), hosts.len());
        assert!(client.metrics().connections <= hosts.len(), "round {round}: {:?}", client.metrics());
    }
    client.join(&outputs, JoinOptions::default()).unwrap();
    outputs.iter().for_each(assert_of_its_host);
    let cancelled = outputs.iter().filter(|output| output.error().is_some()).count();
    // The number depends on the machine.
    assert!(cancelled > 0 && cancelled < outputs.len(), "{cancelled} of {}", outputs.len());
    client.set_hosts(names.iter().take(30).cloned()).unwrap();
    let outputs_of_last = run(&mut client, "hostname");
    let hosts: BTreeSet<String> = outputs_of_last.iter().map(stdout).collect();
    assert_eq!((hosts.len(), client.metrics().connections), (30, 30));
    settled(&sim, |stats| stats.connections_now == 30);
    client.set_hosts(Vec::<String>::new()).unwrap();
    assert_eq!((client.metrics().connections, client.metrics().timers), (0, 0));
    settled(&sim, |stats| stats.connections_now == 0);
    drop((client, outputs, outputs_of_last));
    fds.assert_same_within(Duration::from_secs(10));
}
