//! Recording of new host keys on disk: which hosts wait for it, and which do not.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sshoal::config::FleetBuilder;
use sshoal::error::TimeoutKind;
use sshoal::fleet::HostState;
use sshoal::hostkey::HostKeyPolicy;
use sshoal::{Fleet, HostErrorKind, Outcome, Stage};

use super::{SLOW, guard, with_key};
use crate::support::fleet::Driven;
use crate::support::sshd::Sshd;

/// A fleet of these hosts that records new ones in this file.
fn fleet(sshd: &Sshd, hosts: &[String], file: &Path) -> FleetBuilder {
    let builder = Fleet::builder(hosts.to_vec()).port(sshd.port()).user(sshd.user());
    with_key(builder, sshd).known_hosts([file]).host_keys(HostKeyPolicy::accept_new(file))
}

/// A file with the key of one host.
fn knows(sshd: &Sshd, host: &str) -> PathBuf {
    let file = sshd.dir().join("recorded");
    fs::write(&file, sshd.known_hosts_lines(host)).expect("write");
    file
}

/// Locked as by another process that was stopped in the middle of its work.
fn locked(file: &Path) -> File {
    let file = OpenOptions::new().append(true).open(file).expect("open");
    flock(&file, FlockOperation::LockExclusive).expect("lock");
    file
}

/// Number of threads of this process that record keys.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("a list of threads");
    let name = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).filter(|name| name.trim_end() == "sshoal-disk").count()
}

#[test]
fn a_disk_that_is_stuck_holds_up_new_hosts_only() {
    let _dog = guard("stuck_disk");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(8).collect();
    let file = knows(&sshd, &hosts[0]);
    let before = fs::read_to_string(&file).expect("read");
    let mut driven = Driven::new(fleet(&sshd, &hosts, &file).build().expect("a fleet"));
    let lock = locked(&file);
    let run = driven.fleet.start("echo in").expect("it starts");
    let ids = driven.fleet.hosts().to_vec();
    let wait = |driven: &Driven| {
        let state = |id: &&_| driven.fleet.host(**id).expect("a host").state() == HostState::Handshaking;
        ids[1..].iter().filter(state).count()
    };
    driven.until(SLOW, "new hosts wait for the disk", |driven| {
        driven.ends.contains_key(&run.commands[0]) && wait(driven) == ids.len() - 1
    });
    // The host on record runs any number of commands meanwhile.
    for _ in 0..5 {
        let again = driven.fleet.start(sshoal::Run::new("echo in").hosts([ids[0]])).expect("it starts");
        driven.until(SLOW, "a host on record is served", |driven| driven.done(again.run).is_some());
        assert_eq!(driven.tally(again.run).succeeded, 1);
    }
    assert_eq!(wait(&driven), ids.len() - 1, "they wait");
    assert_eq!(threads(), 1);
    assert_eq!(sshd.count("Accepted publickey"), 1, "no login before the host's key is recorded");
    assert_eq!(fs::read_to_string(&file).expect("read"), before);
    drop(lock);
    driven.until(SLOW, "all are served", |driven| driven.done(run.run).is_some());
    assert_eq!(driven.tally(run.run).succeeded, ids.len());
    let mut recorded: Vec<String> =
        fs::read_to_string(&file).expect("read").lines().map(str::to_owned).collect();
    let mut expected: Vec<String> =
        hosts.iter().map(|host| sshd.known_hosts_lines(host).trim_end().to_owned()).collect();
    recorded.sort_unstable();
    expected.sort_unstable();
    assert_eq!(recorded, expected);
}

#[test]
fn a_disk_that_stays_stuck_costs_new_hosts_their_time_limit() {
    let _dog = guard("stuck_for_good");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let file = knows(&sshd, &hosts[0]);
    let builder = fleet(&sshd, &hosts, &file).timeout(Duration::from_secs(2));
    let mut driven = Driven::new(builder.build().expect("a fleet"));
    let _lock = locked(&file);
    let run = driven.fleet.start("echo in").expect("it starts");
    driven.until(SLOW, "all come to their end", |driven| driven.done(run.run).is_some());
    assert!(driven.ends[&run.commands[0]].is_success());
    for command in &run.commands[1..] {
        let Outcome::Failed(error) = &driven.ends[command] else { panic!("{:?}", driven.ends[command]) };
        assert_eq!(error.stage(), Stage::Handshaking);
        let HostErrorKind::Timeout { kind: TimeoutKind::Handshake, .. } = error.kind() else {
            panic!("{error}")
        };
    }
    assert_eq!(sshd.count("Accepted publickey"), 1);
}

#[test]
fn no_thread_records_where_nobody_is_new() {
    let _dog = guard("no_disk_thread");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let file = sshd.known_hosts(&hosts);
    let mut driven = Driven::new(fleet(&sshd, &hosts, &file).build().expect("a fleet"));
    let run = driven.fleet.start("echo in").expect("it starts");
    driven.until(SLOW, "all are served", |driven| driven.done(run.run).is_some());
    assert_eq!((driven.tally(run.run).succeeded, threads()), (3, 0));
}

/// Each fleet is woken for its own hosts, although all write to one file.
#[test]
fn fleets_that_share_a_file_go_on_by_themselves() {
    let _dog = guard("fleets_share_a_file");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(24).collect();
    let file = sshd.dir().join("shared").join("known_hosts");
    let fleets = fleet(&sshd, &hosts, &file).build_many(3).expect("fleets");
    thread::scope(|scope| {
        for fleet in fleets {
            scope.spawn(|| {
                let mut driven = Driven::new(fleet);
                let run = driven.fleet.start("echo in").expect("it starts");
                driven.until(SLOW * 2, "all are served", |driven| driven.done(run.run).is_some());
                assert_eq!(driven.tally(run.run).succeeded, 8);
            });
        }
    });
    let text = fs::read_to_string(&file).expect("read");
    assert_eq!(text.lines().count(), hosts.len());
    hosts.iter().for_each(|host| assert!(text.contains(&sshd.known_hosts_lines(host)), "{host}"));
}
