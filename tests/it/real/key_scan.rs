//! Fetching host keys without a login, and what the written lines are worth.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sshoal::config::{ClientBuilder, RetryPolicy};
use sshoal::fleet::{KeyReport, ScannedHost};
use sshoal::hostkey::{AddOptions, Verdict, WhyLeftOut};
use sshoal::{HostConfig, HostErrorKind, ParallelClient, Stage};

use super::{SLOW, build, client_for, guard, proxy, run_one};
use crate::support::dropbear::Dropbear;
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::openssh_client::Login;
use crate::support::peers::{Refused, Scripted, Step};
use crate::support::sshd::Sshd;

const HOST: &str = "127.0.2.1";

/// A scan of hosts on this server's port, compared with this file. It has no credential.
fn scanner<H: Into<String>>(sshd: &Sshd, hosts: impl IntoIterator<Item = H>, file: &Path) -> ClientBuilder {
    let builder = ParallelClient::builder(hosts.into_iter().map(Into::into)).port(sshd.port());
    builder.identity_auth(false).allow_agent(false).known_hosts([file]).num_retries(1).timeout(SLOW)
}

#[track_caller]
fn report(builder: ClientBuilder) -> KeyReport {
    builder.scan_host_keys().expect("a scan").report().expect("it ends")
}

/// The only host, which must have no error.
#[track_caller]
fn only(report: &KeyReport) -> &ScannedHost {
    let [host] = report.hosts() else { panic!("{report:?}") };
    assert!(host.error().is_none(), "{:?}", host.error());
    host
}

fn keys(host: &ScannedHost) -> Vec<String> {
    host.keys().iter().map(|shown| shown.key.to_openssh()).collect()
}

fn public(pairs: &[KeyPair]) -> Vec<String> {
    pairs.iter().map(|pair| pair.public().to_owned()).collect()
}

/// The number of keys that `ssh-keygen -F` finds for this name.
fn found(file: &Path, name: &str) -> usize {
    let output =
        Command::new("ssh-keygen").arg("-F").arg(name).arg("-f").arg(file).output().expect("ssh-keygen");
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("# Host ")).count()
}

fn new_file(sshd: &Sshd) -> PathBuf {
    sshd.dir().join("new/known_hosts")
}

#[test]
fn new_keys_of_all_types_are_found_written_and_then_enough_to_connect() {
    let _dog = guard("key_scan_types");
    let sshd = Sshd::builder().host_keys(KeyType::ALL).log_level("DEBUG1").start();
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let file = new_file(&sshd);
    let first = report(scanner(&sshd, hosts.clone(), &file));
    for host in first.hosts() {
        assert_eq!(keys(host), public(sshd.host_keys()), "{:?}", host.error());
        assert_eq!(host.name(), format!("[{}]:{}", host.host(), sshd.port()));
    }
    let tally = first.tally();
    assert_eq!((tally.hosts, tally.failed, tally.new, tally.recorded), (3, 0, 9, 0));
    // sshd's own list shows that there are no further types.
    assert_eq!((sshd.count("Connection from"), sshd.count("Unable to negotiate")), (9, 0));
    assert_eq!(sshd.userauth_requests(), 0, "{}", sshd.log());

    let added = first.add_to(&file, AddOptions::default().hashed(true)).expect("it is written");
    assert_eq!((added.added, added.left_out.len()), (9, 0));
    for host in &hosts {
        assert_eq!(found(&file, &format!("[{host}]:{}", sshd.port())), 3);
    }
    let again = report(scanner(&sshd, hosts.clone(), &file));
    assert_eq!((again.tally().recorded, again.tally().new), (9, 0), "{}", again.tally());
    let before = fs::read(&file).expect("a file");
    assert_eq!(again.add_to(&file, AddOptions::default()).expect("it is read").present, 9);
    assert_eq!(fs::read(&file).expect("a file"), before);

    let login = Login {
        known_hosts: &file,
        user: sshd.user(),
        key: Some(sshd.key(ClientKey::Ed25519)),
        secret: None,
    };
    let output = login.run(&hosts[0], sshd.port(), "echo in");
    assert_eq!(output.stdout, b"in\n", "{}", String::from_utf8_lossy(&output.stderr));
    let mut client = build(client_for(&sshd, [&hosts[1]]).known_hosts([&file]));
    assert_eq!(run_one(&mut client, "echo in"), ["in"]);
}

#[test]
fn a_changed_key_is_reported_and_not_written() {
    let _dog = guard("key_scan_changed");
    let old = Sshd::builder().own_host_key(KeyPair::generate(KeyType::Ed25519)).start();
    let sshd = Sshd::builder().host_keys(KeyType::ALL).start();
    let line = format!("[{HOST}]:{} {}\n", sshd.port(), old.host_keys()[0].public());
    let file = sshd.dir().join("known_hosts");
    fs::write(&file, &line).expect("write");
    let report = report(scanner(&sshd, [HOST, "127.0.2.2"], &file));
    let tally = report.tally();
    assert_eq!((tally.changed, tally.other_type, tally.new), (1, 2, 3), "{tally}");
    let host = report.hosts().iter().find(|host| host.host() == HOST).expect("it was scanned");
    let Verdict::Changed { locations } = &host.keys()[0].verdict else { panic!("{host:?}") };
    assert_eq!((locations[0].path(), locations[0].line()), (&*file, Some(1)));
    let added = report.add_to(&file, AddOptions::default().other_types(true)).expect("it is written");
    let reasons: Vec<_> = added.left_out.iter().map(|key| key.reason).collect();
    assert_eq!(reasons, [WhyLeftOut::Changed, WhyLeftOut::Suspect, WhyLeftOut::Suspect]);
    assert_eq!(added.added, 3);
    let text = fs::read_to_string(&file).expect("a file");
    assert!(text.starts_with(&line) && text.matches(HOST).count() == 1, "{text}");
}

/// The names and ports of the list lead to the same server.
#[test]
fn names_ports_and_aliases_are_those_of_the_settings() {
    let _dog = guard("key_scan_names");
    let sshd = Sshd::start();
    let file = new_file(&sshd);
    let configs = [
        HostConfig::default(),
        HostConfig::default().hostname("127.0.2.2"),
        HostConfig::default().host_key_alias("db.example"),
    ];
    let hosts = ["127.0.2.1", "web-1", "127.0.2.3"];
    let report = report(scanner(&sshd, hosts, &file).host_config(configs));
    assert_eq!(report.tally().new, 3, "{report:?}");
    report.add_to(&file, AddOptions::default()).expect("it is written");
    let port = sshd.port();
    for name in [format!("[127.0.2.1]:{port}"), format!("[web-1]:{port}"), "db.example".to_owned()] {
        assert_eq!(found(&file, &name), 1, "{name}");
    }
}

#[test]
fn hosts_behind_a_proxy_are_scanned_through_it() {
    let _dog = guard("key_scan_proxy");
    let (gate, target) = (Sshd::start(), Sshd::builder().host_keys(KeyType::ALL).start());
    let hosts = ["127.0.2.1", "127.0.2.2"];
    let file = gate.dir().join("known_hosts");
    fs::write(&file, gate.known_hosts_lines(proxy::GATE)).expect("write");
    let builder = || scanner(&target, hosts, &file).proxy(proxy::gate(&gate, proxy::GATE));
    let first = report(builder());
    assert_eq!(first.tally().new, 6, "{first:?}");
    assert_eq!(gate.count("Accepted publickey"), 1, "one connection to the proxy serves all");
    assert_eq!(target.count("Connection from 127.0.0.1"), 6);
    assert_eq!(first.add_to(&file, AddOptions::default()).expect("it is written").added, 6);
    assert_eq!(report(builder()).tally().recorded, 6);

    // A proxy that is not on record is not logged in to.
    fs::write(&file, "").expect("write");
    let unknown = report(builder());
    assert_eq!((unknown.tally().failed, unknown.tally().new), (2, 0));
    let error = unknown.hosts()[0].error().expect("an error");
    assert!(matches!(proxy::of_proxy(error).kind(), HostErrorKind::HostKey(_)), "{error}");
}

#[test]
fn dropbear_shows_its_only_key() {
    let _dog = guard("key_scan_dropbear");
    for key_type in KeyType::ALL {
        let Some(server) = Dropbear::start_with([127, 0, 0, 1].into(), key_type, &[]) else { return };
        let file = server.known_hosts();
        let builder = ParallelClient::builder([server.address().to_string()]).known_hosts([&file]);
        let report = report(builder.identity_auth(false).allow_agent(false).timeout(SLOW));
        let [shown] = only(&report).keys() else { panic!("{report:?}") };
        assert!(matches!(shown.verdict, Verdict::Known { .. }), "{shown}");
        // Dropbear lists RSA even without such a key, and closes the connection when asked for it.
        let withheld: &[_] = if key_type == KeyType::Rsa { &[] } else { &[sshoal::hostkey::KeyType::Rsa] };
        assert_eq!(only(&report).withheld(), withheld);
        let connections = server.log().matches("Child connection from").count();
        assert_eq!(connections, 1 + withheld.len(), "{}", server.log());
    }
}

/// There is one connection at a time to each host, and a server without room is tried again.
#[test]
fn a_server_with_room_for_few_logins_is_asked_politely() {
    let _dog = guard("key_scan_startups");
    let sshd = Sshd::builder().host_keys(KeyType::ALL).option("MaxStartups 1:100:1").start();
    let one = scanner(&sshd, [HOST], &new_file(&sshd)).retry(RetryPolicy::default());
    assert_eq!(only(&report(one)).keys().len(), 3, "{}", sshd.log());

    let sshd = Sshd::builder().host_keys(KeyType::ALL).option("MaxStartups 3").start();
    let policy = RetryPolicy::default().time_limit(None);
    let many = scanner(&sshd, sshd.hosts(30), &new_file(&sshd)).retry(policy);
    let report = report(many);
    assert_eq!((report.tally().new, report.tally().failed), (90, 0), "{}", report.tally());
}

#[test]
fn a_host_that_fails_is_reported_once_and_delays_no_other() {
    let _dog = guard("key_scan_failing");
    let sshd = Sshd::start();
    let limit = Duration::from_millis(700);
    let flood = Step::Repeat { bytes: b"no version yet\r\n".repeat(100), count: u64::MAX };
    let peers = [Scripted::silent(), Scripted::start([flood]), Scripted::garbage("SSH-2.0-stops_here\r\n")];
    let refused = Refused::new();
    let mut hosts: Vec<String> = peers.iter().map(|peer| peer.address().to_string()).collect();
    hosts.push(refused.address().to_string());
    hosts.push(format!("{HOST}:{}", sshd.port()));
    let begun = Instant::now();
    let builder = scanner(&sshd, hosts, &new_file(&sshd)).timeout(limit);
    let scan = builder.scan_host_keys().expect("a scan");
    let results: Vec<ScannedHost> = scan.map(|host| host.expect("no error of the event loop")).collect();
    assert!(begun.elapsed() >= limit && begun.elapsed() < limit + Duration::from_secs(5));
    assert_eq!(results.len(), 5);
    let (good, bad): (Vec<_>, Vec<_>) = results.iter().partition(|host| host.error().is_none());
    assert_eq!((good.len(), good[0].host()), (1, HOST));
    for host in &bad[..bad.len() - 1] {
        assert!(host.keys().is_empty());
    }
    let timeouts = bad.iter().filter_map(|host| host.error()).filter(|error| {
        matches!(error.kind(), HostErrorKind::Timeout { .. }) && error.stage() == Stage::Handshaking
    });
    assert_eq!(timeouts.count(), 3);
    for peer in &peers {
        assert_eq!(peer.accepted(), 1, "a host that is down is not asked for each type");
    }
}

#[test]
fn only_the_types_of_the_settings_are_fetched() {
    let _dog = guard("key_scan_algorithms");
    let sshd = Sshd::builder().host_keys(KeyType::ALL).start();
    let report =
        report(scanner(&sshd, [HOST], &new_file(&sshd)).host_key_algorithms("rsa-sha2-256,ssh-ed25519"));
    let types: Vec<_> = only(&report).keys().iter().map(|shown| shown.key.algorithm()).collect();
    assert_eq!(types, ["ssh-rsa", "ssh-ed25519"]);
    assert_eq!(sshd.count("Connection from"), 2);
}
