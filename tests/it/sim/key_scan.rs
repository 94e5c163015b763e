//! Scanning the host keys of a thousand hosts.

use std::fs;
use std::path::Path;
use std::time::Instant;

use sshoal::config::ClientBuilder;
use sshoal::fleet::KeyReport;
use sshoal::hostkey::AddOptions;
use sshoal::{Event, Fleet, HostErrorKind, ParallelClient};

use super::{PATIENCE, assert_hostnames, fleet, resident, run, settled, spawn, stats_of, watch};

const HOSTS: usize = 1_000;

/// A scan of the fleet's first `count` hosts, compared with this file.
fn scanner(sim: &hostsim::Sim, count: usize, file: &Path) -> ClientBuilder {
    let builder = ParallelClient::builder(sim.hosts(count)).known_hosts([file]).timeout(PATIENCE);
    builder.identity_auth(false).allow_agent(false).max_attempts(1)
}

#[test]
fn a_thousand_new_hosts_are_scanned_recorded_and_then_connected() {
    let _dog = watch();
    // In a debug build, signing with RSA would take the fleet a minute.
    let sim = spawn(hostsim::Sim::builder().set("host-keys", "ed25519,ecdsa"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    // The scan must search the hashed lines for each new host.
    let recorded = sim.known_hosts_of(HOSTS / 10, true).unwrap();
    fs::write(&file, &recorded).unwrap();

    let mut report = KeyReport::default();
    let (begun, before) = (Instant::now(), resident());
    let mut scan = scanner(&sim, HOSTS, &file).scan_host_keys().unwrap();
    report.extend(scan.next().map(Result::unwrap));
    // Hosts are finished before further ones begin.
    let connections = sim.stats().unwrap().connections;
    assert!(connections < HOSTS as u64, "{connections} connections before the first result");
    report.extend(scan.map(Result::unwrap));
    let (grown, took) = (resident().saturating_sub(before), begun.elapsed());
    eprintln!("{} in {took:?}, {} KiB", report.tally(), grown / 1024);
    assert!(grown < 24 << 20, "{grown} bytes");
    let tally = report.tally();
    assert_eq!((tally.hosts, tally.failed, tally.new, tally.recorded), (HOSTS, 0, 1_800, 200), "{tally}");
    let stats = settled(&sim, |stats| stats.connections_now == 0);
    assert_eq!((stats.connections, stats.handshakes), (2_000, 0), "one connection for each key");

    let added = report.add_to(&file, AddOptions::default()).unwrap();
    assert_eq!((added.added, added.present, added.left_out.len()), (1_800, 200, 0));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&recorded) && text.lines().count() == 2_000);
    // The strict policy, which is the default.
    let client = scanner(&sim, HOSTS, &file).user("demo").key_bytes(sim.user_key_openssh().unwrap());
    assert_hostnames(&run(&mut client.build().unwrap(), "hostname"));
    let again = scanner(&sim, HOSTS, &file).scan_host_keys().unwrap().report().unwrap();
    assert_eq!((again.tally().recorded, again.tally().new), (2_000, 0));
}

/// Each host fails once, whatever it does, and the others are scanned.
#[test]
fn a_fleet_with_faults_is_scanned_as_far_as_it_goes() {
    let _dog = watch();
    let sim = fleet(&["i%5==0 accept:fin", "i%5==1 kex:rst", "i%5==2 banner:garbage"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let report = scanner(&sim, 20, &file).scan_host_keys().unwrap().report().unwrap();
    assert_eq!((report.tally().hosts, report.tally().new + report.tally().failed), (20, 20));
    for host in report.hosts() {
        assert_eq!(host.keys().len(), usize::from(host.error().is_none()), "{host:?}");
    }
    assert_eq!(report.tally().failed, 12, "{}", report.tally());
}

/// The same from an event loop of the caller's, which also runs commands.
#[test]
fn a_fleet_scans_hosts_between_its_commands() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut fleet = super::engine(&sim, 3).build().unwrap();
    let hosts = fleet.hosts().to_vec();
    fleet.start("hostname").unwrap();
    fleet.scan_host_keys(hosts.iter().copied());
    let (mut scanned, mut done) = (Vec::new(), false);
    drive(&mut fleet, |event| {
        match event {
            Event::Scanned { host, found, .. } => {
                assert_eq!((found.keys().len(), found.error().is_none()), (1, true));
                scanned.push(host);
            }
            Event::RunDone { tally, .. } => {
                assert_eq!(tally.succeeded, 3);
                done = true;
            }
            _ => {}
        }
        done && scanned.len() == 3
    });
    scanned.sort_unstable();
    assert_eq!(scanned, hosts);
    // The commands waited for the scan, and then connected with a login.
    assert_eq!((stats_of(&sim, 0).connections, stats_of(&sim, 0).auth_successes), (2, 1));

    // A scan that is cancelled has its event as well.
    fleet.pause();
    fleet.scan_host_keys([hosts[0]]);
    fleet.disconnect();
    drive(&mut fleet, |event| {
        let Event::Scanned { host, found, .. } = event else { return false };
        assert_eq!(host, hosts[0]);
        matches!(found.error().unwrap().kind(), HostErrorKind::Cancelled(_))
    });
}

fn drive(fleet: &mut Fleet, mut until: impl FnMut(Event<'_>) -> bool) {
    loop {
        fleet.wait(None).unwrap();
        fleet.turn(Instant::now(), sshoal::Budget::default()).unwrap();
        while let Some(event) = fleet.next_event() {
            if until(event) {
                return;
            }
        }
    }
}
