//! Further attempts: how many, how far apart, and never for a command that may have started.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hostsim::Sim;
use sshoal::config::{ClientBuilder, RetryPolicy};
use sshoal::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};
use sshoal::{
    HostConfig, HostError, HostErrorKind, HostOutput, JoinOptions, ParallelClient, Proxy, ReadOptions, Stage,
};

use super::{PATIENCE, assert_hostnames, client, command, fleet, stats_of, watch};

const DELAY: Duration = Duration::from_millis(300);

/// The error of the only host, with three attempts allowed.
fn fail(sim: &Sim) -> HostError {
    let mut client = client(sim, 1).num_retries(3).retry_delay(DELAY).build().unwrap();
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    outputs[0].error().unwrap()
}

#[test]
fn a_lost_connection_is_made_again_as_often_and_as_late_as_configured() {
    let _dog = watch();
    for rule in ["* kex:rst", "* kex:fin", "* auth:rst", "* open:rst"] {
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
    let sim = fleet(&["i:0..1 kex:rst"]);
    let delay = Duration::from_secs(120);
    let mut client = client(&sim, 4).pool_size(1).num_retries(2).retry_delay(delay).build().unwrap();
    let outputs = client.start_command("hostname").unwrap();
    let begun = Instant::now();
    assert_hostnames(&outputs[1..]);
    assert!(begun.elapsed() < delay);
    assert!(outputs[0].outcome().is_none());
}

/// The next command starts with all attempts.
#[test]
fn a_failed_host_is_tried_again_by_the_next_command() {
    let _dog = watch();
    let sim = fleet(&["* kex:rst"]);
    let mut client = client(&sim, 1).num_retries(2).retry_delay(DELAY).build().unwrap();
    for round in 1..=2 {
        let outputs = client
            .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
            .unwrap();
        assert_eq!(outputs[0].error().unwrap().attempt(), 2);
        assert_eq!(stats_of(&sim, 0).connections, 2 * round);
    }
}

/// What the documentation of `num_retries` promises, row by row, as the number of connections that
/// two attempts make.
#[test]
fn each_stage_is_tried_again_or_not_as_documented() {
    let _dog = watch();
    let limit = Duration::from_millis(1_500);
    for (stage, rule, attempts) in [
        (Stage::Handshaking, "* kex:rst", 2),
        (Stage::Handshaking, "* accept:silence", 2),
        (Stage::Handshaking, "* kex:fin", 2),
        (Stage::Handshaking, "* accept:garbage", 1),
        (Stage::Handshaking, "* set:other-host-key=true", 1),
        (Stage::Authenticating, "* auth:rst", 2),
        (Stage::Authenticating, "* auth:silence", 2),
        (Stage::Authenticating, "* set:auth=refuse", 1),
        (Stage::Opening, "* open:fin", 2),
        (Stage::Opening, "* open:refuse", 1),
        (Stage::Opening, "* open:silence", 1),
        (Stage::Requesting, "* exec:rst", 1),
        (Stage::Requesting, "* exec:refuse", 1),
        (Stage::Requesting, "* exec:silence", 1),
        (Stage::Running, "* stream:rst", 1),
    ] {
        let sim = fleet(&[rule]);
        // Only a silent host reaches a limit; the others get the time that a slow machine needs.
        let timeout = if rule.ends_with("silence") { limit } else { PATIENCE };
        let builder = client(&sim, 1).num_retries(2).retry_delay(Duration::ZERO).timeout(timeout);
        let mut client = builder.build().unwrap();
        let outputs = client
            .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
            .unwrap();
        client.join(&outputs, JoinOptions::default()).unwrap();
        let error = outputs[0].error().unwrap();
        assert_eq!((error.stage(), error.attempt()), (stage, attempts), "{rule}: {error}");
        assert_eq!(stats_of(&sim, 0).connections, u64::from(attempts), "{rule}: {error}");
    }
}

/// The acceptance and the reset lie in the socket together, as on a busy machine.
#[test]
fn an_acceptance_that_came_with_the_reset_counts() {
    let _dog = watch();
    let sim = fleet(&["* stream:rst"]);
    let mut client = client(&sim, 1).build().unwrap();
    let outputs = client.start_command("hostname").unwrap();
    while !client.finished(&outputs).unwrap() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let error = outputs[0].error().unwrap();
    assert_eq!(error.stage(), Stage::Running, "{error}");
}

/// Like an overloaded server. The default policy tries it often; what a caller says of attempts and
/// pauses holds here too.
#[test]
fn a_connection_that_is_dropped_before_a_word_of_ssh_is_made_again() {
    let _dog = watch();
    let sim = fleet(&["i:0..1 accept:fin", "i:1..2 accept:rst"]);
    let mut before = 0;
    let mut fail = |builder: ClientBuilder, attempts: u32| {
        let mut client = builder.build().unwrap();
        let outputs = client
            .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
            .unwrap();
        before += u64::from(attempts);
        for (index, output) in outputs.iter().enumerate() {
            assert_eq!(output.error().unwrap().attempt(), attempts, "{output:?}");
            assert_eq!(stats_of(&sim, index).connections, before);
        }
    };
    fail(client(&sim, 2).num_retries(1), 1);
    let begun = Instant::now();
    fail(client(&sim, 2).num_retries(3).retry_delay(DELAY), 3);
    let took = begun.elapsed();
    assert!(took >= 2 * DELAY && took < Duration::from_secs(5), "{took:?}");
    let policy = RetryPolicy::default().time_limit(None);
    fail(client(&sim, 2).retry(policy.dropped(policy.dropped.backoff(DELAY))), 11);
}

/// A client without a setting that concerns time: one host of each kind of silence, one that drops
/// every connection, one without a server, and one behind each of two proxies that are silent.
#[test]
fn with_no_setting_touched_a_command_returns_within_30_s() {
    const LIMIT: Duration = Duration::from_secs(30);
    let _dog = watch();
    let sim = fleet(&[
        "i:1..2 accept:silence",
        "i:2..3 kex:silence",
        "i:3..4 auth:silence",
        "i:4..5 open:silence",
        "i:5..6 exec:silence",
        "i:6..7 accept:fin",
        "i:7..8 kex:rst",
        "i:9..10 auth:silence",
    ]);
    let mut hosts = sim.hosts(9);
    hosts.push(format!("{}:1", sim.host(8)));
    hosts.extend(sim.hosts(11).split_off(10));
    let key = HostKey::from_openssh(&sim.host_key_openssh().unwrap()).unwrap();
    let pins = HostKeyPins::new().for_any_host(key.fingerprint());
    let proxy = Proxy::new(format!("demo@{}:{}", sim.host(9), sim.port()));
    let proxy = proxy.key_bytes(sim.user_key_openssh().unwrap()).identity_auth(false).allow_agent(false);
    let mut configs = vec![HostConfig::default(); 10];
    configs.push(HostConfig::default().proxy(proxy));
    let mut client = ParallelClient::builder(hosts)
        .user("demo")
        .key_bytes(sim.user_key_openssh().unwrap())
        .identity_auth(false)
        .allow_agent(false)
        .host_keys(HostKeyPolicy::pinned(pins))
        .known_hosts(Vec::<PathBuf>::new())
        .host_config(configs)
        .build()
        .unwrap();
    let begun = Instant::now();
    let options = ReadOptions::default().stop_on_errors(false);
    let outputs = client.run_command_with(command("hostname"), options).unwrap();
    let took = begun.elapsed();
    assert!(took < LIMIT + Duration::from_secs(3), "{took:?}");
    assert_hostnames([&outputs[0], &outputs[8]]);
    let attempts = |output: &HostOutput| output.error().unwrap().attempt();
    // A silent handshake, a silent login, a refused connect, and a proxy's silent login.
    assert_eq!([1, 3, 9, 10].map(|index| attempts(&outputs[index])), [2, 2, 2, 1]);
    assert_eq!(attempts(&outputs[7]), 3, "{}", outputs[7].error().unwrap());
    for index in [3, 4, 5] {
        let text = outputs[index].error().unwrap().to_string();
        assert!(text.ends_with("time limit of all attempts after 30s"), "{text}");
    }
}

/// The pauses of hosts that fail together are spread out: with a fixed delay none would come back
/// before it.
#[test]
fn with_backoff_hosts_that_fail_together_do_not_come_back_together() {
    const HOSTS: usize = 40;
    let _dog = watch();
    let sim = fleet(&["* kex:rst"]);
    let delay = Duration::from_secs(1);
    let builder = client(&sim, HOSTS).num_retries(2).retry_delay(delay).retry_backoff(delay);
    let mut client = builder.build().unwrap();
    let begun = Instant::now();
    let outputs = client
        .start_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    let mut ends = Vec::new();
    while ends.len() < HOSTS {
        client.finished(&outputs).unwrap();
        let ended = outputs.iter().filter(|output| output.is_finished()).count();
        ends.resize(ended, begun.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(ends[HOSTS / 4] < delay, "a quarter came back before the ceiling: {ends:?}");
    assert!(ends[HOSTS - 1] >= delay / 2, "and some came back late: {ends:?}");
}
