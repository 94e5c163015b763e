//! One command on many hosts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sshoal::client::JoinError;
use sshoal::error::TimeoutKind;
use sshoal::{Error, HostErrorKind, HostOutput, JoinOptions, Outcome, Stage};

use super::{
    assert_hostnames, client, command, fleet, run, settled, spawn, stats_of, stdout, trusting, watch,
};

#[test]
fn a_thousand_hosts_answer_each_for_itself() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1000).build().unwrap();
    let outputs = run(&mut client, "hostname; stderr 'and more'; exit 3");
    assert_eq!(outputs.len(), 1000);
    for (position, output) in outputs.iter().enumerate() {
        assert_eq!(output.position(), position);
        assert_eq!(output.host(), sim.host(position).to_string());
        assert_eq!(output.port(), sim.port());
        assert_eq!(output.exit_code(), Some(3), "{:?}", output.outcome());
        assert_eq!(stdout(output), format!("{}\n", sim.host(position)));
        let stderr: Vec<String> = output.stderr().map(Result::unwrap).collect();
        assert_eq!(stderr, ["and more"]);
    }
    let stats = settled(&sim, |stats| stats.execs == 1000);
    assert_eq!((stats.connections, stats.auth_publickey_signed), (1000, 1000));
}

/// Readiness is reported once per change: a host whose last packet was not read would wait for
/// ever.
#[test]
fn two_hundred_hosts_run_twenty_commands_and_none_is_forgotten() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 200).build().unwrap();
    for round in 0..20 {
        let outputs = run(&mut client, &format!("echo round {round}"));
        for output in &outputs {
            assert_eq!(stdout(output), format!("round {round}\n"));
            assert_eq!(output.exit_code(), Some(0), "{:?}", output.outcome());
        }
    }
    let stats = settled(&sim, |stats| stats.execs == 4000 && stats.channels_now == 0);
    assert_eq!(stats.connections, 200, "connections are used again");
    assert_eq!(client.metrics().connections, 200);
}

/// Data that a visit holds back is sent at its end. The kernel would delay it for 200 ms, so these
/// would take ten seconds.
#[test]
fn fifty_commands_in_a_row_wait_for_nothing() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    run(&mut client, "true");
    let begun = Instant::now();
    for _ in 0..50 {
        run(&mut client, "true");
    }
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
}

#[test]
fn faults_of_some_hosts_do_not_touch_the_others() {
    let _dog = watch();
    let sim = fleet(&["i%10==3 kex:silence", "i%10==5 set:auth=refuse", "i%10==7 stream:fin"]);
    let limit = Duration::from_secs(20);
    let mut client = client(&sim, 100).timeout(limit).build().unwrap();
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();

    let mut seen = BTreeMap::new();
    for output in &outputs {
        let error = output.error();
        *seen.entry((output.position() % 10, error.is_some())).or_insert(0) += 1;
        let Some(error) = error else {
            assert_hostnames([output]);
            continue;
        };
        assert_eq!(error.host(), output.host());
        let as_expected = match (output.position() % 10, error.kind()) {
            (3, HostErrorKind::Timeout { kind: TimeoutKind::Handshake, after, .. }) => {
                *after == limit && error.stage() == Stage::Handshaking && error.elapsed() >= limit
            }
            (5, HostErrorKind::Auth { user, .. }) => user == "demo" && error.stage() == Stage::Authenticating,
            // The end may have arrived together with the acceptance, which libssh then does not
            // report.
            (7, HostErrorKind::ConnectionLost(_)) => error.stage() >= Stage::Requesting,
            _ => false,
        };
        assert!(as_expected, "{error:?}");
    }
    let expected = (0..10).map(|digit| ((digit, matches!(digit, 3 | 5 | 7)), 10));
    assert_eq!(seen, expected.collect());
}

#[test]
fn the_error_returned_is_the_first_in_time_and_the_others_go_on() {
    let _dog = watch();
    // The first in the list fails last.
    let sim = fleet(&["i:0..1 kex:silence", "i:2..3 set:auth=refuse"]);
    let mut client = client(&sim, 4).timeout(Duration::from_secs(5)).build().unwrap();
    let error = match client.run_command("hostname") {
        Err(Error::Host(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error.host(), sim.host(2).to_string());
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error:?}");

    let outputs = client.last_output().to_vec();
    assert_eq!(outputs.len(), 4);
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert_hostnames([&outputs[1], &outputs[3]]);
    assert!(outputs[0].error().is_some());
}

#[test]
fn one_host_can_be_read_while_others_still_connect() {
    let _dog = watch();
    let sim = fleet(&["i:1..2 auth:silence"]);
    let mut client = client(&sim, 3).build().unwrap();
    let outputs = client.start_command("hostname").unwrap();
    assert_eq!(sim.stats().unwrap().handshakes, 0, "nothing happens before a call that waits");
    assert_hostnames([&outputs[2]]);
    assert!(outputs[1].outcome().is_none());
    assert_hostnames([&outputs[0]]);
}

#[test]
fn outputs_can_be_read_when_the_client_is_gone() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 3).build().unwrap();
    let outputs = client.start_command("hostname").unwrap();
    drop(client);
    assert_hostnames(&outputs);
    drop(outputs);
    settled(&sim, |stats| stats.connections_now == 0);
}

#[test]
fn a_host_that_is_named_twice_is_two_hosts() {
    let _dog = watch();
    let sim = fleet(&[]);
    let hosts = vec![sim.hosts(1)[0].clone(); 2];
    let key = sim.user_key_openssh().unwrap();
    let mut client = trusting(&sim, hosts).key_bytes(key).build().unwrap();
    assert_hostnames(&run(&mut client, "hostname"));
    assert_eq!(stats_of(&sim, 0).connections, 2);
}

#[test]
fn commands_run_side_by_side_on_one_connection() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 3).build().unwrap();
    let endless = client.run_command("hang").unwrap();
    assert_hostnames(&run(&mut client, "hostname"));
    assert!(endless.iter().all(|output| output.outcome().is_none()));
    let stats = settled(&sim, |stats| stats.channels_now == 3);
    assert_eq!((stats.connections, stats.execs), (3, 6));
}

#[test]
fn a_password_alone_lets_in() {
    let _dog = watch();
    let sim = spawn(hostsim::Sim::builder().auth(hostsim::AuthPolicy::Password).password("it's a p@ss"));
    let mut client = trusting(&sim, sim.hosts(10)).password("it's a p@ss").build().unwrap();
    assert_hostnames(&run(&mut client, "hostname"));
    assert_eq!(sim.stats().unwrap().auth_password, 10);
}

#[test]
fn a_connection_that_died_while_idle_is_made_again() {
    let _dog = watch();
    let hosts = || hostsim::Sim::builder().seed([7; 32]);
    let first = spawn(hosts());
    let port = first.port();
    let mut client = client(&first, 5).build().unwrap();
    assert_hostnames(&run(&mut client, "hostname"));
    drop(first);

    let second = spawn(hosts().port(port));
    assert_hostnames(&run(&mut client, "hostname"));
    assert_hostnames(&run(&mut client, "hostname"));
    assert_eq!(second.stats().unwrap().connections, 5);
}

#[test]
fn join_counts_one_time_limit_for_all_and_says_who_is_late() {
    let _dog = watch();
    let sim = fleet(&["i:2..3 open:silence"]);
    let mut client = client(&sim, 3).build().unwrap();
    let outputs = client.start_command("hang").unwrap();
    let limit = Duration::from_secs(4);
    let begun = Instant::now();
    let result = client.join(&outputs, JoinOptions::default().timeout(limit));
    assert!(begun.elapsed() >= limit && begun.elapsed() < 3 * limit, "{:?}", begun.elapsed());
    match result {
        Err(JoinError::Timeout { after, finished, unfinished, not_started, .. }) => {
            let at = |outputs: &[HostOutput]| outputs.iter().map(HostOutput::position).collect::<Vec<_>>();
            assert_eq!((after, at(&finished)), (limit, vec![]));
            assert_eq!((at(&unfinished), at(&not_started)), (vec![0, 1], vec![2]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn endings_are_what_the_host_said() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 2).build().unwrap();
    for (text, expected) in [
        ("exit 0", "exit status 0"),
        ("exit 255", "exit status 255"),
        ("exit 4294967295", "exit status 4294967295"),
        ("signal TERM", "killed by signal TERM"),
        ("noexit", "ended without an exit status"),
        ("no such command", "exit status 127"),
    ] {
        for output in run(&mut client, text) {
            let outcome = output.outcome().unwrap();
            assert_eq!(outcome.to_string(), expected);
            assert_eq!(outcome.is_success(), matches!(outcome, Outcome::Exited(0)));
            assert_eq!(output.exit_signal().is_some(), text.starts_with("signal"));
        }
    }
}
