//! Transfers beside others: on one connection, in batches, and beside hosts that read nothing.

use std::fs::{self, File};

use sshoal::error::CancelCause;
use sshoal::fleet::{Batch, Started};
use sshoal::transfer::{Get, Put};
use sshoal::{Command, Fleet, HostErrorKind, Outcome, Run};
use tempfile::tempdir;

use super::{contents, names, sshd};
use crate::hostile::sftp::HostileSftp;
use crate::real::{SLOW, guard, with_key};
use crate::support::fleet::Driven;
use crate::support::sshd::Sshd;
use crate::support::system::{is_rerun, rerun, resident};

fn fleet(sshd: &Sshd, hosts: &[String]) -> Driven {
    let builder = Fleet::builder(hosts.iter().map(String::as_str)).port(sshd.port()).user(sshd.user());
    let builder = with_key(builder, sshd).known_hosts([sshd.known_hosts(hosts)]);
    Driven::new(builder.build().expect("a fleet"))
}

#[test]
fn transfers_and_commands_share_a_connection() {
    let _dog = guard("transfer_shared");
    let sshd = sshd().start();
    let mut driven = fleet(&sshd, &["127.0.2.1".to_owned()]);
    let host = driven.fleet.hosts()[0];
    let folder = tempdir().expect("a folder");
    let path = |name: String| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let len = |number: usize| 300_000 * (number + 1);
    let mut works = Vec::new();
    for number in 0..4 {
        fs::write(path(format!("local{number}")), contents(len(number))).expect("written");
        fs::write(path(format!("remote{number}")), contents(len(number) + 1)).expect("written");
        works.push(Put::new(path(format!("local{number}")), path(format!("there/{number}"))).into());
        works.push(Get::new(path(format!("remote{number}")), path(format!("here/{number}"))).into());
        works.push(Command::new(format!("seq {number} 20000")));
    }
    let Started { run, commands, .. } =
        driven.fleet.start(Run::each(works.into_iter().map(|work| (host, work)))).expect("it starts");
    driven.until(SLOW * 2, "all", |driven| driven.done(run).is_some());
    assert_eq!(driven.tally(run).succeeded, 12, "{:?}", driven.ends);
    assert_eq!(sshd.count("Accepted publickey"), 1);
    for number in 0..4 {
        assert!(fs::read(path(format!("there/{number}"))).expect("there") == contents(len(number)));
        assert!(fs::read(path(format!("here/{number}"))).expect("there") == contents(len(number) + 1));
        let lines: String = (number..=20_000).map(|line| format!("{line}\n")).collect();
        assert!(driven.output[&commands[3 * number + 2]] == lines.as_bytes(), "seq {number}");
    }
    // Each has a start, progress with the total, and an end; `Driven` checks their order.
    for (at, id) in commands.iter().enumerate().filter(|(at, _)| at % 3 < 2) {
        assert!(driven.started.contains(id));
        let expected = (len(at / 3) + at % 3) as u64;
        let last = driven.progress[id].last().expect("progress");
        assert!(last.total == expected && last.bytes <= expected, "{last:?} of {expected}");
        let Outcome::Transferred(done) = &driven.ends[id] else { panic!("{}", driven.ends[id]) };
        assert_eq!((done.files, done.bytes), (1, expected));
    }
}

#[test]
fn failed_puts_of_the_first_batch_save_all_other_hosts() {
    let _dog = guard("transfer_batches");
    let sshd = sshd().start();
    let hosts: Vec<String> = sshd.hosts(9).collect();
    let mut driven = fleet(&sshd, &hosts);
    let folder = tempdir().expect("a folder");
    for at in [0, 3, 4, 5, 6, 7, 8] {
        fs::create_dir(folder.path().join(at.to_string())).expect("made");
    }
    let target = folder.path().join("%s/file").to_str().expect("UTF-8").to_owned();
    let put = Command::from(Put::bytes(*b"text", target).create_parents(false));
    let put = put.host_args((0..9).map(|at: usize| at.to_string()));
    let run = Run::new(put).batches([Batch::Hosts(3), Batch::Rest]).max_failures(1);
    let Started { run, commands, .. } = driven.fleet.start(run).expect("it starts");
    driven.until(SLOW, "the run", |driven| driven.done(run).is_some());
    let tally = driven.tally(run);
    assert_eq!((tally.succeeded, tally.failed, tally.not_started), (1, 2, 6), "{tally:?}");
    for id in &commands[3..] {
        assert_eq!(driven.not_started(*id), Some(CancelCause::TooManyFailures));
    }
    assert_eq!(names(&folder.path().join("0")), ["file"]);
    assert_eq!(names(&folder.path().join("3")), [""; 0]);
    assert_eq!(sshd.count("Accepted publickey"), 3);
}

/// In a separate process, because its memory is measured.
#[test]
fn hosts_that_read_nothing_hold_neither_others_nor_memory() {
    let _dog = guard("transfer_unread");
    if !is_rerun() {
        let mut alone = rerun(module_path!(), "hosts_that_read_nothing_hold_neither_others_nor_memory");
        let output = alone.output().expect("run this test's program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let mut kinds = vec!["never-reads-after-open"; 20];
    kinds.push("healthy");
    let server = HostileSftp::start(&kinds);
    let mut driven = fleet(server.sshd(), server.hosts());
    let folder = tempdir().expect("a folder");
    let local = folder.path().join("local");
    File::create(&local).expect("created").set_len(40_000_000).expect("enough room");
    // What a fleet needs at its first use is not counted.
    let id = driven.fleet.start("true").expect("it starts").run;
    driven.until(SLOW, "the logins", |driven| driven.done(id).is_some());
    let before = resident();

    let path = folder.path().join("there/{}").to_str().expect("UTF-8").replace("{}", "%s");
    let put = Command::from(Put::new(&local, path)).host_args(server.hosts().iter().map(String::as_str));
    let Started { run, commands, .. } = driven.fleet.start(put).expect("it starts");
    let healthy = &commands[20..];
    driven
        .until(SLOW * 2, "the healthy hosts", |driven| healthy.iter().all(|id| driven.ends.contains_key(id)));
    for id in healthy {
        assert!(driven.ends[id].is_success(), "{}", driven.ends[id]);
    }
    let held = commands[..20].iter().filter(|id| !driven.ends.contains_key(id)).count();
    assert_eq!(held, 20, "they were held while the others were served");
    // The cache, which is smaller than the file, and a little for each host.
    let grown = resident().saturating_sub(before);
    assert!(grown < (20 << 20) + 20 * (256 << 10), "{grown} bytes more");

    driven.fleet.cancel_run(run);
    driven.until(SLOW * 2, "all", |driven| driven.done(run).is_some());
    for id in &commands[..20] {
        let Outcome::Failed(error) = &driven.ends[id] else { panic!("{}", driven.ends[id]) };
        assert!(matches!(error.kind(), HostErrorKind::Cancelled(CancelCause::RunCancelled)), "{error}");
        assert_eq!(error.left_over().len(), 1, "{error}");
    }
}
