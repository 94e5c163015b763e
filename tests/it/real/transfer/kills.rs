//! Servers and clients that are killed at any moment.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal};
use sshoal::transfer::Put;
use sshoal::{Command, Fleet, HostError, Outcome, ParallelClient};
use tempfile::{TempDir, tempdir};

use super::{done, names, sshd};
use crate::real::{SLOW, build, client_for, with_key};
use crate::support::alarm::{Watchdog, watchdog};
use crate::support::eventually;
use crate::support::fleet::Driven;
use crate::support::ports::random;
use crate::support::process::signal;
use crate::support::sshd::Sshd;
use crate::support::system::{is_rerun, rerun};

const HOST: &str = "127.0.2.1";

/// Bytes of a file: its copy takes some milliseconds.
const SIZE: usize = 2_500_000;

/// How often a server is killed, and a client, which is a process that has to start and to log in.
const SERVERS: usize = 160;
const CLIENTS: usize = 40;

/// Ends the test's process if the test hangs on a machine that is busy otherwise.
fn guard(name: &str) -> Watchdog {
    watchdog(Duration::from_secs(300), name)
}

/// Two files to send in turns, and their target.
struct Files {
    folder: TempDir,
    contents: [Vec<u8>; 2],
}

impl Files {
    fn new() -> Self {
        let folder = tempdir().expect("a folder");
        let contents = [b'a', b'b'].map(|byte| vec![byte; SIZE]);
        let files = Self { folder, contents };
        for at in 0..2 {
            fs::write(files.local(at), &files.contents[at]).expect("written");
        }
        fs::create_dir(files.there()).expect("made");
        files
    }

    fn local(&self, at: usize) -> PathBuf {
        self.folder.path().join(["a", "b"][at])
    }

    fn there(&self) -> PathBuf {
        self.folder.path().join("there")
    }

    fn put(&self, at: usize) -> Put {
        Put::new(self.local(at), self.there().join("target").to_str().expect("UTF-8"))
    }

    /// Which of the files the target is. It must be one of them, and all other names must be those
    /// of temporary files, which are returned.
    #[track_caller]
    fn check(&self) -> (usize, BTreeSet<PathBuf>) {
        let mut left = BTreeSet::new();
        for name in names(&self.there()) {
            let number = name.strip_prefix(".target.sshoal-");
            assert!(name == "target" || number.is_some_and(|number| number.parse::<u32>().is_ok()), "{name}");
            if name != "target" {
                left.insert(self.there().join(name));
            }
        }
        let found = fs::read(self.there().join("target")).expect("a target is there at any time");
        let which = self.contents.iter().position(|content| *content == found);
        (which.unwrap_or_else(|| panic!("the target is a part: {} bytes", found.len())), left)
    }

    /// Makes temporary files look as if they had not grown for two hours.
    fn age(&self, temporaries: &BTreeSet<PathBuf>) {
        temporaries.iter().for_each(|path| age(path));
    }
}

/// Sets a time two hours ago; a file that is gone already stays so.
fn age(path: &Path) {
    if let Ok(file) = fs::File::options().write(true).open(path) {
        file.set_modified(SystemTime::now() - Duration::from_secs(7200)).expect("set");
    }
}

/// A random time up to this one.
fn up_to(limit: Duration) -> Duration {
    limit.mul_f64((random() % 1000) as f64 / 1000.0)
}

/// The process that serves the files of a transfer.
fn sftp_server(sshd: &Sshd) -> Option<Pid> {
    let is_it = |pid: &Pid| {
        let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
        name.is_ok_and(|name| name.trim() == "sftp-server")
    };
    sshd.daemon().processes().into_iter().find(is_it)
}

#[track_caller]
fn failed(outcome: &Outcome) -> &HostError {
    let Outcome::Failed(error) = outcome else { panic!("{outcome}") };
    error
}

#[test]
fn a_server_that_is_killed_leaves_the_old_file_or_the_new_one() {
    let _dog = guard("kill_servers");
    let (sshd, files) = (sshd().start(), Files::new());
    let builder = with_key(Fleet::builder([HOST]).port(sshd.port()).user(sshd.user()), &sshd);
    let fleet = builder.known_hosts([sshd.known_hosts([HOST])]).build().expect("a fleet");
    let mut driven = Driven::new(fleet);
    let put = |driven: &mut Driven, at: usize| {
        driven.fleet.start(Command::from(files.put(at))).expect("it starts").commands[0]
    };
    let ended = |id| move |driven: &Driven| driven.ends.contains_key(&id);
    let first = put(&mut driven, 0);
    driven.until(SLOW, "the first put", ended(first));
    let begun = Instant::now();
    let second = put(&mut driven, 1);
    driven.until(SLOW, "the second put", ended(second));
    let usual = begun.elapsed();

    let mut interrupted = 0;
    for number in 0..SERVERS {
        let id = put(&mut driven, number % 2);
        // In most rounds the program, else its whole session.
        let whole_session = number % 10 == 0;
        let mut server = None;
        while server.is_none() && !driven.ends.contains_key(&id) {
            driven.turn(Duration::from_millis(5));
            server = sftp_server(&sshd);
        }
        let (begun, wait) = (Instant::now(), up_to(usual));
        while begun.elapsed() < wait && !driven.ends.contains_key(&id) {
            driven.turn(Duration::from_millis(1));
        }
        match server {
            Some(_) if whole_session => sshd.daemon().kill_sessions(),
            Some(pid) => signal(pid, Signal::KILL),
            None => {}
        }
        driven.until(SLOW, "the end of a put", ended(id));
        let (which, left) = files.check();
        match &driven.ends[&id] {
            Outcome::Transferred(_) => assert_eq!(which, number % 2),
            outcome => {
                interrupted += 1;
                let named: BTreeSet<PathBuf> =
                    failed(outcome).left_over().iter().map(|path| path.to_string().into()).collect();
                // What earlier rounds have left is an hour old.
                let is_fresh = |path: &&PathBuf| {
                    let modified = fs::metadata(path).expect("there").modified().expect("a time");
                    modified.elapsed().is_ok_and(|age| age < Duration::from_secs(3600))
                };
                let unnamed: Vec<&PathBuf> = left.difference(&named).filter(is_fresh).collect();
                assert_eq!(unnamed, Vec::<&PathBuf>::new(), "{outcome}");
            }
        }
        files.age(&left);
        if number % 4 < 3 {
            continue;
        }
        let id = put(&mut driven, number % 2);
        driven.until(SLOW, "a later put", ended(id));
        assert!(driven.ends[&id].is_success(), "{}", driven.ends[&id]);
        assert_eq!(files.check().0, number % 2);
    }
    assert!(interrupted > SERVERS / 4, "only {interrupted} of {SERVERS} were interrupted");
}

/// What the other process needs to know.
const ARGS: &str = "SSHOAL_KILLED_CLIENT";

/// Sends the files in turns, until this process is killed.
fn send_for_ever() {
    let args = env::var(ARGS).expect("arguments");
    let [port, user, key, known_hosts, folder] = args.split('\n').collect::<Vec<_>>()[..] else {
        panic!("{args:?}")
    };
    let builder = ParallelClient::builder([HOST]).port(port.parse().expect("a port")).user(user);
    let builder = builder.key_file(key).known_hosts([known_hosts]).identity_auth(false).allow_agent(false);
    let mut client = build(builder.timeout(SLOW));
    let target = format!("{folder}/there/target");
    for at in ["b", "a"].iter().cycle() {
        done(&mut client, Put::new(format!("{folder}/{at}"), &*target));
    }
}

/// Ends the client when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_client_that_is_killed_leaves_the_old_file_or_the_new_one() {
    if is_rerun() {
        return send_for_ever();
    }
    let _dog = guard("kill_clients");
    let (sshd, files) = (sshd().start(), Files::new());
    let mut client = build(client_for(&sshd, [HOST]));
    done(&mut client, files.put(0));
    let begun = Instant::now();
    done(&mut client, files.put(0));
    let usual = begun.elapsed();

    let key = sshd.key(crate::support::keys::ClientKey::Ed25519);
    let known_hosts = sshd.known_hosts([HOST]);
    let [key, known_hosts, folder] =
        [&*key, &*known_hosts, files.folder.path()].map(|path| path.to_str().expect("UTF-8").to_owned());
    let args = [&sshd.port().to_string(), sshd.user(), &key, &known_hosts, &folder].join("\n");
    let mut interrupted = 0;
    for number in 0..CLIENTS {
        let before = files.check().1;
        let mut again = rerun(module_path!(), "a_client_that_is_killed_leaves_the_old_file_or_the_new_one");
        let killed = Running(again.env(ARGS, &args).spawn().expect("this test's program"));
        eventually(SLOW, "a temporary file", || (files.check().1.len() > before.len()).then_some(()));
        std::thread::sleep(up_to(usual * 2));
        drop(killed);
        let (_, left) = files.check();
        interrupted += usize::from(left.len() > before.len());
        // A server may go on with what it has received.
        eventually(SLOW, "the end of its server", || sftp_server(&sshd).is_none().then_some(()));
        files.age(&files.check().1);
        if number % 5 == 4 {
            done(&mut client, files.put(number % 2));
            let (which, left) = files.check();
            assert_eq!((which, left), (number % 2, BTreeSet::new()));
        }
    }
    assert!(interrupted > CLIENTS / 4, "only {interrupted} of {CLIENTS} were interrupted");
}

#[test]
fn only_old_temporary_files_of_puts_are_removed() {
    let _dog = guard("old_temporaries");
    let (sshd, files) = (sshd().start(), Files::new());
    let there = files.there();
    let others = [".target.sshoal-x", ".target.swp", ".other.sshoal-1", "target.sshoal-1"];
    for name in others.into_iter().chain([".target.sshoal-1", ".target.sshoal-2", ".target.sshoal-3"]) {
        fs::write(there.join(name), "x").expect("written");
        if name != ".target.sshoal-2" {
            age(&there.join(name));
        }
    }
    let mut client = build(client_for(&sshd, [HOST]));
    done(&mut client, files.put(0));
    let mut wanted = [&others[..], &[".target.sshoal-2", "target"]].concat();
    wanted.sort_unstable();
    assert_eq!(names(&there), wanted);
}
