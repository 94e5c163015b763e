//! Fleets behind one proxy, which is a simulated host as well.

use std::io::Write as _;
use std::time::Duration;

use hostsim::Sim;
use sshoal::config::ClientBuilder;
use sshoal::error::ChannelProblem;
use sshoal::{HostErrorKind, JoinOptions, Outcome, Proxy};

use super::{assert_hostnames, client, command, fleet, run, settled, stats_of, stdout, trusting, watch};

/// The simulated host number `index` as a proxy.
pub fn gate(sim: &Sim, index: usize) -> Proxy {
    let proxy = Proxy::new(format!("demo@{}:{}", sim.host(index), sim.port()));
    proxy.key_bytes(sim.user_key_openssh().unwrap()).identity_auth(false).allow_agent(false)
}

/// A client of `count` hosts behind host number 0, which is not one of them.
pub fn behind(sim: &Sim, count: usize) -> ClientBuilder {
    let hosts = sim.hosts(count + 1).split_off(1);
    trusting(sim, hosts).key_bytes(sim.user_key_openssh().unwrap()).proxy(gate(sim, 0))
}

#[test]
fn a_thousand_hosts_behind_one_connection() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = behind(&sim, 1000).build().unwrap();
    for text in ["hostname", "hostname; stderr more"] {
        assert_hostnames(&run(&mut client, text));
    }
    let gate = stats_of(&sim, 0);
    assert_eq!((gate.connections, gate.auth_successes, gate.tunnels, gate.execs), (1, 1, 1000, 0));
    let stats = settled(&sim, |stats| stats.execs == 2000);
    assert_eq!((stats.connections, stats.auth_successes), (1001, 1001));
    drop(client);
    settled(&sim, |stats| stats.connections_now == 0);
}

#[test]
fn a_thousand_hosts_all_at_once_behind_two_proxies() {
    let _dog = watch();
    let sim = fleet(&[]);
    let hosts = sim.hosts(1002).split_off(2);
    let builder = trusting(&sim, hosts).key_bytes(sim.user_key_openssh().unwrap()).pool_size(1000);
    let mut client = builder.proxies([gate(&sim, 0), gate(&sim, 1)]).build().unwrap();
    assert_hostnames(&run(&mut client, "hostname"));
    assert_eq!((stats_of(&sim, 0).connections, stats_of(&sim, 0).tunnels), (1, 1));
    assert_eq!((stats_of(&sim, 1).connections, stats_of(&sim, 1).tunnels), (1, 1000));
}

#[test]
fn names_that_only_the_proxy_knows() {
    let _dog = watch();
    let sim = fleet(&[]);
    let name = |index: usize| format!("{}.sim:{}", sim.host(index).to_string().replace('.', "-"), sim.port());
    let hosts = vec![name(1), "nowhere.sim".to_owned(), name(2)];
    let builder = trusting(&sim, hosts).key_bytes(sim.user_key_openssh().unwrap()).proxy(gate(&sim, 0));
    let mut client = builder.build().unwrap();
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    for (output, index) in [(&outputs[0], 1), (&outputs[2], 2)] {
        assert_eq!(stdout(output), format!("{}\n", sim.host(index)));
    }
    let error = outputs[1].error().unwrap();
    let HostErrorKind::Proxy(inner) = error.kind() else { panic!("{error}") };
    let refused =
        matches!(inner.kind(), HostErrorKind::Channel(ChannelProblem::TunnelRefused { reason: 2, .. }));
    assert!(refused, "{error}");
}

/// Each refusal names its own host and affects no other.
#[test]
fn of_many_asked_for_at_once_each_gets_its_own_answer() {
    let _dog = watch();
    let sim = fleet(&[]);
    let hosts = (1..=300).map(|index| match index % 3 {
        0 => format!("no-{index}.sim"),
        1 => format!("127.0.0.1:{}", 1 + index),
        _ => sim.hosts(index + 1)[index].clone(),
    });
    let builder = trusting(&sim, hosts.collect()).key_bytes(sim.user_key_openssh().unwrap());
    let mut client = builder.pool_size(300).proxy(gate(&sim, 0)).build().unwrap();
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    for (output, index) in outputs.iter().zip(1..) {
        match index % 3 {
            2 => assert_hostnames([output]),
            _ => assert!(matches!(output.error().unwrap().kind(), HostErrorKind::Proxy(_)), "{output:?}"),
        }
    }
    assert_eq!(stats_of(&sim, 0).connections, 1);
}

#[test]
fn a_proxy_that_falls_silent_or_dies_takes_its_hosts_along() {
    let _dog = watch();
    for (rule, attempts) in [("i:0..1 auth:silence", 2), ("i:0..1 kex:fin", 2), ("i:0..1 set:auth=refuse", 1)]
    {
        let sim = fleet(&[rule]);
        // All hosts have asked for the proxy before its second attempt fails: one that asks later
        // would start the proxy once more.
        let proxy = gate(&sim, 0).max_attempts(2).retry_delay(Duration::from_millis(500));
        let limit = Duration::from_millis(500);
        let mut client = behind(&sim, 20).num_retries(3).proxy(proxy.timeout(limit)).build().unwrap();
        let outputs = client
            .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
            .unwrap();
        for output in &outputs {
            let error = output.error().unwrap();
            let HostErrorKind::Proxy(inner) = error.kind() else { panic!("{rule}: {error}") };
            assert_eq!((inner.attempt(), error.attempt()), (attempts, 1), "{rule}: {error}");
        }
        assert_eq!(stats_of(&sim, 0).connections, u64::from(attempts), "{rule}");
    }
}

#[test]
fn streams_of_all_sizes_both_ways_through_one_proxy() {
    let _dog = watch();
    // The key exchanges of the proxy and of the hosts behind it should coincide.
    let rekeys = ["* set:rekey-bytes=300000", "i:0..1 set:rekey-bytes=100000"];
    let sim = fleet(&[rekeys[0], rekeys[1], "i:3..4 set:packet=13"]);
    let mut client = behind(&sim, 8).build().unwrap();
    let outputs = client
        .run_command_with(
            command("count; bytes 3000000"),
            sshoal::ReadOptions::default().stop_on_errors(false),
        )
        .unwrap();
    let lengths = [0, 1, 2_000, 40_000, 100_000, 3_000_000, 65_536, 32_768];
    for (output, length) in outputs.iter().zip(lengths) {
        output.stdin().write_all(&vec![b'x'; length]).unwrap();
        output.stdin().close();
    }
    for (output, length) in outputs.iter().zip(lengths) {
        let lines: Vec<Vec<u8>> = output.stdout().raw().map(Result::unwrap).collect();
        assert_eq!(lines[0], length.to_string().into_bytes());
        assert_eq!(lines[1..].join(&b'\n').len(), 3_000_000);
        assert_eq!(output.outcome().map(|outcome| matches!(outcome, Outcome::Exited(0))), Some(true));
    }
}

#[test]
fn descriptors_that_are_short_are_passed_on_behind_a_proxy() {
    let _dog = watch();
    let sim = fleet(&[]);
    // The proxy, and as many hosts directly as behind it.
    let mut direct = client(&sim, 5).build().unwrap();
    assert_hostnames(&run(&mut direct, "hostname"));
    let mut client = behind(&sim, 50).pool_size(3).build().unwrap();
    assert_hostnames(&run(&mut client, "hostname"));
    assert_eq!(client.metrics().connections, 51);
}
