//! Invalid calls are refused before any network access.

use sshoal::error::CommandProblem;
use sshoal::{Error, JoinOptions, ParallelClient};

use super::{assert_hostnames, client, fleet, run, watch};

#[test]
fn settings_that_cannot_work_are_refused() {
    let _dog = watch();
    let hosts = || ParallelClient::builder(["127.0.0.1"]);
    for (builder, expected) in
        [(hosts().pool_size(0), "pool_size must be at least 1"), (hosts().port(0), "port must be 1 to 65535")]
    {
        match builder.build() {
            Err(error @ Error::Config { .. }) => assert_eq!(error.to_string(), expected),
            other => panic!("{other:?}"),
        }
    }
    for user in ["a\0b", "a\tb"] {
        let refused = hosts().user(user).build();
        assert!(matches!(refused, Err(Error::Config { .. })), "{user:?}: {refused:?}");
    }
}

#[test]
fn a_bad_host_is_named_by_its_position() {
    let _dog = watch();
    for bad in ["", "-oProxyCommand=x", "web1:0", "web1:65536", "[::1", "a b", "web;reboot", "x\0y"] {
        match ParallelClient::builder(["web1", "web2", bad]).build() {
            Err(error @ Error::HostSpec { position: 2, .. }) => {
                let text = error.to_string();
                let start = format!("host 3 of the list, \"{}\": ", bad.replace('\0', "\\x00"));
                assert!(text.starts_with(&start), "{text}");
                assert!(!text.chars().any(char::is_control), "{text:?}");
            }
            other => panic!("{bad:?}: {other:?}"),
        }
    }
}

#[test]
fn a_command_that_cannot_be_sent_starts_nothing() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 2).build().unwrap();
    let long = "x".repeat(1024 * 1024);
    for (text, problem) in [
        ("", CommandProblem::Empty),
        (" \t\n", CommandProblem::Empty),
        ("echo a\0b", CommandProblem::Nul(6)),
        (long.as_str(), CommandProblem::TooLong { len: 1024 * 1024, max: 192 * 1024 }),
    ] {
        for result in [client.run_command(text), client.start_command(text)] {
            match result {
                Err(Error::Command(found)) => assert_eq!(found, problem),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(sim.stats().unwrap().connections, 0);
    assert!(client.last_output().is_empty());
    assert_hostnames(&run(&mut client, "hostname"));
}

#[test]
fn the_longest_command_reaches_its_host() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let text = "x".repeat(192 * 1024 - "echo ".len());
    let outputs = run(&mut client, &format!("echo {text}"));
    assert_eq!(super::stdout(&outputs[0]), text + "\n");
}

#[test]
fn a_fleet_without_hosts_has_no_outputs() {
    let _dog = watch();
    let mut client = ParallelClient::builder(Vec::<String>::new()).build().unwrap();
    assert!(client.is_empty());
    let outputs = client.run_command("hostname").unwrap();
    assert!(outputs.is_empty());
    client.join(&outputs, JoinOptions::default()).unwrap();
    assert!(client.finished(&outputs).unwrap());
}
