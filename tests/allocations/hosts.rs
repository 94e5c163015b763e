//! Adding and removing hosts takes as much work in a large fleet as in a small one.

use allocation_counter::{AllocationInfo, measure};
use sshoal::{Fleet, HostConfig};

const SIZES: [usize; 2] = [100, 10_000];

fn host(number: usize) -> (String, HostConfig) {
    let [_, a, b, c] = (number as u32).to_be_bytes();
    let config = HostConfig::default().alias(format!("host {number}"));
    (format!("10.{a}.{b}.{c}"), config)
}

/// A fleet of this many hosts, each with settings of its own.
fn fleet(hosts: usize) -> Fleet {
    let builder = Fleet::builder([""; 0]).user("deploy").password("secret").identity_auth(false);
    let mut fleet = builder.allow_agent(false).no_known_hosts().build().unwrap();
    // More than once, so that there is room for another one.
    fleet.add_hosts((0..hosts).map(host)).unwrap();
    fleet.add_hosts([host(hosts)]).unwrap();
    fleet
}

/// Allocations and their bytes, in fleets of all sizes.
fn counted(mut work: impl FnMut(&mut Fleet)) -> [(u64, u64); SIZES.len()] {
    SIZES.map(|hosts| {
        let mut fleet = fleet(hosts);
        let AllocationInfo { count_total, bytes_total, .. } = measure(|| work(&mut fleet));
        (count_total, bytes_total)
    })
}

#[test]
fn adding_and_removing_hosts_does_not_depend_on_how_many_there_are() {
    let [few, many] = counted(|fleet| {
        fleet.add_hosts((1..6).map(|number| host(1_000_000 + number))).unwrap();
    });
    assert_eq!(few, many, "allocations and bytes to add hosts to {SIZES:?}");

    let refused = |fleet: &mut Fleet| assert!(fleet.add_hosts([("web:0", HostConfig::default())]).is_err());
    let [few, many] = counted(refused);
    assert_eq!(few, many, "allocations and bytes to refuse a host in {SIZES:?}");

    let remove = |fleet: &mut Fleet| {
        for position in [0, 20, 40, 60, 80] {
            assert!(fleet.remove_host(fleet.hosts()[position]));
        }
    };
    let [few, many] = counted(remove);
    assert_eq!(few, many, "allocations and bytes to remove hosts from {SIZES:?}");

    // A reload that is not finished holds the list as it was.
    let reloads = SIZES.map(|hosts| {
        let mut fleet = fleet(hosts);
        let reload = fleet.prepare_reload();
        let counted = measure(|| remove(&mut fleet)).count_total;
        drop(reload);
        counted
    });
    assert_eq!(reloads[0], reloads[1], "allocations to remove hosts from {SIZES:?} during a reload");
}
