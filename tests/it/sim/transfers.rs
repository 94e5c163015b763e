//! Files to and from a thousand hosts, some of which lack what the others have.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use hostsim::{FileKind, RemoteFile, Sim};
use sshoal::fleet::CommandId;
use sshoal::transfer::{Get, Put};
use sshoal::{Command, Outcome, Run};
use tempfile::tempdir;

use super::{PATIENCE, engine, settled, spawn, watch};
use crate::support::fleet::Driven;

const HOSTS: usize = 1000;
const SIZE: usize = 200_000;

/// The kinds of hosts, by position.
const RULES: [&str; 5] = [
    "i%50==1 set:sftp=false",
    "i%50==2 set:sftp-limits=34000,5000,1000,4",
    "i%50==3 set:sftp-extensions=",
    "i%50==4 set:sftp-space=100000",
    "i%50==5 set:sftp-delay=3",
];

fn simulator() -> Sim {
    let builder = Sim::builder().set("sftp-keep", "20000").set("sftp-files", "data/log=50000");
    spawn(RULES.iter().fold(builder, |builder, rule| builder.rule(rule)))
}

/// Bytes that differ from place to place.
fn contents(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Bytes that this process has read from files so far; what comes by `recv` is not counted.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// Runs a transfer to its end on these hosts.
#[track_caller]
fn run(driven: &mut Driven, hosts: std::ops::Range<usize>, work: impl Into<Command>) -> Vec<Outcome> {
    let hosts = driven.fleet.hosts()[hosts].to_vec();
    let started = driven.fleet.start(Run::new(work).hosts(hosts)).unwrap();
    driven.until(PATIENCE * 2, "the transfer", |driven| driven.done(started.run).is_some());
    started.commands.iter().map(|id: &CommandId| driven.ends[id].clone()).collect()
}

fn find<'a>(files: &'a [RemoteFile], path: &str) -> Option<&'a RemoteFile> {
    files.iter().find(|file| file.path == path.as_bytes())
}

/// The outcome of a host that lacks something, if a transfer fails for that.
#[track_caller]
fn is_as_expected(at: usize, outcome: &Outcome, is_too_big: bool) {
    let wanted = match at % 50 {
        1 => Some("scp failed on the host"),
        4 if is_too_big => Some("cannot write to /home/.new.sshoal-1: failure"),
        _ => None,
    };
    match (wanted, outcome) {
        (None, Outcome::Transferred(_)) => {}
        (Some(wanted), Outcome::Failed(error)) => {
            assert!(error.to_string().contains(wanted), "host {at}: {error}");
            assert!(error.left_over().is_empty(), "host {at}: {error}");
        }
        _ => panic!("host {at}: {outcome}"),
    }
}

#[test]
fn a_thousand_hosts_get_a_file_that_is_read_once() {
    let _dog = watch();
    let sim = simulator();
    let folder = tempdir().unwrap();
    let local = folder.path().join("new");
    let whole = contents(SIZE);
    fs::write(&local, &whole).unwrap();
    let mut driven = Driven::new(engine(&sim, HOSTS).build().unwrap());
    let everywhere = run(&mut driven, 0..HOSTS, Command::new("true"));
    assert!(everywhere.iter().all(Outcome::is_success));

    let before = bytes_read();
    let ends = run(&mut driven, 0..HOSTS, Put::new(&local, "/home/new").mode(0o640));
    let read = bytes_read() - before;
    assert!((SIZE as u64..2 * SIZE as u64).contains(&read), "{read} bytes were read for {HOSTS} hosts");
    let digest = hostsim::digest(&whole);
    for (at, outcome) in ends.iter().enumerate() {
        is_as_expected(at, outcome, true);
        let files = sim.files_of(sim.host(at)).unwrap();
        assert!(!files.iter().any(|file| file.path.windows(7).any(|part| part == b".sshoal")), "host {at}");
        let new = find(&files, "/home/new");
        assert_eq!(new.is_some(), outcome.is_success(), "host {at}");
        if let Some(file) = new {
            let is_whole =
                file.kind == FileKind::File { size: SIZE as u64, digest: Some(digest) } && file.mode == 0o640;
            assert!(is_whole, "host {at}: {file:?}");
        }
    }
    // A later put replaces the file, also where that takes two steps.
    fs::File::options().write(true).open(&local).unwrap().write_all_at(b"other", 100_000).unwrap();
    let digest = hostsim::digest(&fs::read(&local).unwrap());
    for (at, outcome) in run(&mut driven, 0..50, Put::new(&local, "/home/new")).iter().enumerate() {
        is_as_expected(at, outcome, true);
        let Outcome::Transferred(done) = outcome else { continue };
        assert_eq!(done.replaced_in_two_steps, u64::from(at % 50 == 3), "host {at}");
        let files = sim.files_of(sim.host(at)).unwrap();
        let new = find(&files, "/home/new").map(|file| &file.kind);
        assert_eq!(new, Some(&FileKind::File { size: SIZE as u64, digest: Some(digest) }), "host {at}");
    }
    settled(&sim, |stats| stats.sftp_handles_now == 0 && stats.sftp_violations == 0);
}

#[test]
fn two_hundred_hosts_get_a_directory_and_a_thousand_give_a_file_each() {
    let _dog = watch();
    let sim = simulator();
    let folder = tempdir().unwrap();
    let local = folder.path().join("tree");
    fs::create_dir_all(local.join("a/empty")).unwrap();
    for number in 0..20 {
        let place = if number % 2 == 0 { "a" } else { "" };
        fs::write(local.join(place).join(format!("file{number}")), contents(number * 100)).unwrap();
    }
    let mut driven = Driven::new(engine(&sim, HOSTS).build().unwrap());
    let put = Put::new(&local, "/srv/tree").recurse(true);
    for (at, outcome) in run(&mut driven, 0..200, put).iter().enumerate() {
        if at % 50 == 1 {
            let said = outcome.to_string();
            assert!(said.contains("SFTP") || said.contains("sftp"), "host {at}: {said}");
            continue;
        }
        let Outcome::Transferred(done) = outcome else { panic!("host {at}: {outcome}") };
        assert_eq!((done.files, done.directories), (20, 3), "host {at}: {done}");
        let files = sim.files_of(sim.host(at)).unwrap();
        for number in 0..20 {
            let place = if number % 2 == 0 { "a/" } else { "" };
            let file = find(&files, &format!("/srv/tree/{place}file{number}")).map(|file| &file.kind);
            let content = contents(number * 100);
            let (size, digest) = (content.len() as u64, Some(hostsim::digest(&content)));
            assert_eq!(file, Some(&FileKind::File { size, digest }), "host {at}, file{number}");
        }
        assert_eq!(files.iter().filter(|file| file.path.starts_with(b"/srv/tree")).count(), 23, "host {at}");
    }

    let copies = folder.path().join("copies");
    let ends = run(&mut driven, 0..HOSTS, Get::new("data/log", copies.join("{host}.log")));
    let wanted: Vec<u8> = (0..50_000).map(hostsim::pattern_byte).collect();
    let copy = |at: usize| copies.join(format!("{}.log", sim.host(at)));
    for (at, outcome) in ends.iter().enumerate() {
        assert_eq!(outcome.is_success(), at % 50 != 1, "host {at}: {outcome}");
        match fs::read(copy(at)) {
            Ok(bytes) => assert!(bytes == wanted, "host {at}: {} bytes", bytes.len()),
            Err(error) => assert!(at % 50 == 1, "host {at}: {error}"),
        }
    }
    assert_eq!(entries(&copies), HOSTS - HOSTS / 50, "no part file is left");
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}
