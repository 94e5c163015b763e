//! First contact: hosts whose keys are not on record.

use super::support::Site;

#[test]
fn a_scan_records_keys_once() {
    let site = Site::start();
    let file = format!("{}/new_known_hosts", site.sshd.dir().display());
    let known = format!("UserKnownHostsFile={file}");
    let refused = site.sshoal(["-o", &known, "-w", "web[1-3]", "true"]).run();
    assert_eq!(refused.code, Some(4));
    let told: Vec<&str> =
        refused.err.lines().filter(|line| line.contains("the host key is not known")).collect();
    assert_eq!(told.len(), 1, "{refused:?}");

    let shown =
        site.bare().args(["keyscan", "-F", site.config(), "-o", &known, "--print", "-w", "web[1-3]"]).run();
    assert_eq!(shown.out.lines().filter(|line| line.ends_with(": new")).count(), 3, "{shown:?}");
    assert!(!std::path::Path::new(&file).exists());

    let scan = || site.bare().args(["keyscan", "-F", site.config(), "-o", &known, "-w", "web[1-3]"]).run();
    let first = scan();
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(
        first.err.contains(&format!("3 hosts: 3 new keys are now in {file}, 0 were on record")),
        "{first:?}"
    );
    assert!(first.err.contains("compare their fingerprints"), "{first:?}");
    let second = scan();
    assert!(
        second.err.contains("3 hosts: 0 new keys") && second.err.contains("3 were on record"),
        "{second:?}"
    );
    assert_eq!(site.sshoal(["-o", &known, "-w", "web[1-3]", "true"]).run().code, Some(0));
}

#[test]
fn failures_of_a_scan_are_folded() {
    let site = Site::start();
    let file = format!("{}/new_known_hosts", site.sshd.dir().display());
    let args = ["keyscan", "-F", site.config(), "--file", &file, "-w", "web1,gone1"];
    let done = site.bare().args(args).run();
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.err.contains("gone1 (1): connecting failed: Connection refused"), "{done:?}");
}

#[test]
fn new_hosts_are_accepted_on_request_and_only_once() {
    let site = Site::start();
    let file = format!("{}/new_known_hosts", site.sshd.dir().display());
    let known = format!("UserKnownHostsFile={file}");
    let done = site.sshoal(["--accept-new", "-o", &known, "-w", "web[1-3]", "echo hello"]).run();
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines = || std::fs::read_to_string(&file).expect("keys are recorded").lines().count();
    let before = lines();
    assert_eq!(site.sshoal(["--accept-new", "-o", &known, "-w", "web[1-3]", "true"]).run().code, Some(0));
    assert_eq!((before, lines()), (3, 3));
}
