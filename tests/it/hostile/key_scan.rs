//! Servers that lie about their host keys while they are scanned.

use std::time::Instant;

use sshoal::HostErrorKind;
use sshoal::fleet::KeyReport;
use sshoal::hostkey::AddOptions;

use super::{HEALTHY, Hostile, KEXINIT, SLOW, guard};

const KINDS: [&str; 4] = ["absurd-key", "huge-key", "another-key-each-time", "key-of-another-type"];

fn address(index: usize) -> String {
    format!("127.0.1.{}", index + 1)
}

#[test]
fn no_server_keeps_a_scan_busy_or_has_a_key_recorded_that_it_does_not_own() {
    let _dog = guard("key_scan");
    let server = Hostile::start(&KINDS);
    let hosts = (0..KINDS.len()).map(address).chain([HEALTHY.to_owned()]);
    let begun = Instant::now();
    let scan = server.client(hosts).scan_host_keys().expect("a scan");
    let report: KeyReport = scan.map(|host| host.expect("no error of the event loop")).collect();
    assert!(begun.elapsed() < SLOW, "{:?}", begun.elapsed());
    let host = |address: &str| {
        report.hosts().iter().find(|host| host.host() == address).unwrap_or_else(|| panic!("{address}"))
    };
    for (index, kind) in KINDS.iter().enumerate() {
        let address = address(index);
        let host = host(&address);
        let connections = server.count(&address, KEXINIT);
        if *kind == "another-key-each-time" {
            // It was asked only once, so nobody can know.
            assert_eq!((host.keys().len(), connections), (1, 1), "{host:?}");
            continue;
        }
        assert!(host.keys().is_empty(), "{kind}: {host:?}");
        let error = host.error().unwrap_or_else(|| panic!("{kind}: {host:?}"));
        assert!(!matches!(error.kind(), HostErrorKind::Timeout { .. }), "{kind}: {error}");
        assert_eq!(connections, 1, "{kind}");
    }
    let healthy = host(HEALTHY);
    assert_eq!((healthy.keys().len(), healthy.error().is_none()), (1, true), "{healthy:?}");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("known_hosts");
    assert_eq!(report.add_to(file, AddOptions::default()).expect("it is written").added, 2);
}
