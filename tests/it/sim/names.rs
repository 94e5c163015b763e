//! The three names of a host: the one that is dialled, the one that its keys are recorded under,
//! the one that is shown.

use std::fs;
use std::path::Path;

use sshoal::hostkey::HostKeyPolicy;
use sshoal::{HostConfig, HostErrorKind, Outcome, ParallelClient};

use super::{command, fleet, run, watch};

/// In the host list. No resolver knows it.
const SHOWN: &str = "web1.invalid";
const RECORDED: &str = "inventory-7";

/// The settings of a host that is dialled at the simulator's first address.
fn dialled(sim: &hostsim::Sim) -> HostConfig {
    HostConfig::default().hostname(sim.host(1).to_string()).port(sim.port())
}

fn client(sim: &hostsim::Sim, known_hosts: &Path, own: HostConfig) -> sshoal::config::ClientBuilder {
    ParallelClient::builder([SHOWN])
        .user("demo")
        .key_bytes(sim.user_key_openssh().unwrap())
        .identity_auth(false)
        .allow_agent(false)
        .max_attempts(1)
        .known_hosts([known_hosts])
        .host_config([own])
}

#[test]
fn each_name_of_a_host_is_used_in_its_place() {
    let _dog = watch();
    let sim = fleet(&[]);
    let folder = tempfile::tempdir().unwrap();
    let known_hosts = folder.path().join("known_hosts");
    fs::write(&known_hosts, format!("{RECORDED} {}\n", sim.host_key_openssh().unwrap())).unwrap();

    // Dialled at its address, verified by its alias, and shown as in the list.
    let own = dialled(&sim).host_key_alias(RECORDED);
    let outputs = run(&mut client(&sim, &known_hosts, own.clone()).build().unwrap(), "hostname");
    assert!(matches!(outputs[0].outcome(), Some(Outcome::Exited(0))), "{:?}", outputs[0].outcome());
    assert_eq!(outputs[0].host(), SHOWN);

    // Behind a proxy, the proxy is asked for the name that is dialled.
    let behind = client(&sim, &known_hosts, own).proxy(super::proxy::gate(&sim, 0));
    let gate = format!("[{}]:{} {}\n", sim.host(0), sim.port(), sim.host_key_openssh().unwrap());
    fs::write(&known_hosts, fs::read_to_string(&known_hosts).unwrap() + &gate).unwrap();
    let outputs = run(&mut behind.build().unwrap(), "hostname");
    assert!(matches!(outputs[0].outcome(), Some(Outcome::Exited(0))), "{:?}", outputs[0].outcome());

    // Without an alias, keys are those of the name in the list, with the port.
    let mut unknown = client(&sim, &known_hosts, dialled(&sim)).build().unwrap();
    let error = unknown
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap()[0]
        .error()
        .unwrap();
    assert_eq!((error.host(), error.port()), (SHOWN, sim.port()));
    let HostErrorKind::HostKey(key) = error.kind() else { panic!("{error}") };
    assert_eq!((key.host(), key.port()), (SHOWN, sim.port()));

    // A name that is dialled in vain is not the one that the error begins with.
    let own = dialled(&sim).port(1);
    let mut refused = client(&sim, &known_hosts, own).build().unwrap();
    let error = refused
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap()[0]
        .error()
        .unwrap();
    assert!(error.to_string().starts_with(&format!("{SHOWN} port 1: connecting failed: ")), "{error}");
    assert!(matches!(error.kind(), HostErrorKind::Connect { address, .. } if address.ip() == sim.host(1)));
}

#[test]
fn a_new_key_is_recorded_under_the_alias() {
    let _dog = watch();
    let sim = fleet(&[]);
    let folder = tempfile::tempdir().unwrap();
    let known_hosts = folder.path().join("known_hosts");
    let builder = client(&sim, &known_hosts, dialled(&sim).host_key_alias(RECORDED));
    let policy = HostKeyPolicy::accept_new(&known_hosts);
    run(&mut builder.host_keys(policy).build().unwrap(), "hostname");
    let recorded = fs::read_to_string(&known_hosts).unwrap();
    assert_eq!(recorded.split(' ').next(), Some(RECORDED), "without a port: {recorded}");
}
