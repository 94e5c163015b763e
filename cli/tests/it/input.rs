//! Standard input, sent to all hosts.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::support::user::TestUser;
use super::support::{Done, Site};

#[test]
fn a_pipe_is_sent_to_all_hosts() {
    let site = Site::start();
    let done = site.sshoal(["-w", "web1,web2,web3", "cat"]).run_with(b"one\ntwo\n");
    let lines = ["web1: one", "web1: two", "web2: one", "web2: two", "web3: one", "web3: two"];
    assert_eq!(done.sorted(), lines, "{done:?}");
    // Hosts that start later get it from the beginning, too.
    let done = site.sshoal(["-f", "1", "-w", "web1,web2,web3", "cat"]).run_with(b"one\ntwo\n");
    assert_eq!(done.sorted(), lines, "{done:?}");
    // And no host gets it if it is not wanted.
    let done = site.sshoal(["-n", "-w", "web1,web2", "cat"]).run_with(b"one\n");
    assert_eq!((done.out.as_str(), done.code), ("", Some(0)), "{done:?}");
}

#[test]
fn a_list_of_hosts_is_not_sent_to_hosts() {
    let site = Site::start();
    let done = site.sshoal(["-w", "-", "cat; echo end"]).run_with(b"web1 # first\nweb[2-3]!web3\n");
    assert_eq!(done.sorted(), ["web1: end", "web2: end"], "{done:?}");
}

#[test]
fn input_arrives_while_commands_run() {
    use std::io::{BufRead, BufReader, Write};

    let site = Site::start();
    let mut command = site.sshoal(["-w", "web1", "while read line; do echo got $line; done"]).command();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let (mut keys, out) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let mut lines = BufReader::new(out).lines();
    for word in ["one", "two"] {
        writeln!(keys, "{word}").expect("it reads");
        assert_eq!(lines.next().expect("a line").expect("text"), format!("web1: got {word}"));
    }
    drop(keys);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_file_is_sent_from_where_it_is_read() {
    let site = Site::start();
    let path = site.file("input", "skipped\nrest\n");
    let mut file = File::open(path).expect("open");
    file.seek(SeekFrom::Start(8)).expect("seek");
    let mut command = site.sshoal(["-w", "web1,web2", "cat"]).command();
    let child = command.stdin(file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let done = Done::of(child);
    assert_eq!(done.sorted(), ["web1: rest", "web2: rest"], "{done:?}");
}

#[test]
fn much_input_reaches_all_hosts_whole_in_bounded_memory() {
    let site = Site::start();
    let input = vec![b'x'; 48 * 1024 * 1024];
    let command = site.sshoal(["-w", "web1,web2,web3", "wc -c"]);
    let done = command.run_with(&input);
    let expected: Vec<String> = (1..=3).map(|host| format!("web{host}: {}", input.len())).collect();
    assert_eq!(done.sorted(), expected, "{done:?}");
}

#[test]
fn a_host_that_does_not_read_holds_the_others_only_for_the_limit() {
    let Some(user) = TestUser::create() else { return };
    let site = Site::of_user(&user);
    let input = vec![b'x'; 48 * 1024 * 1024];
    let begun = Instant::now();
    // One host does not read, and is not silent.
    let command =
        "case $SSH_CONNECTION in *127.0.2.2*) while :; do echo busy; sleep 0.77; done;; *) wc -c;; esac";
    let done = site.sshoal(["--idle", "2s", "-w", "web1,web2,web3", command]).run_with(&input);
    let mut lines = done.sorted();
    lines.retain(|line| !line.ends_with("busy"));
    let expected: Vec<String> = (2..=3).map(|host| format!("web{host}: {}", input.len())).collect();
    assert_eq!(lines, expected, "{done:?}");
    assert!(done.err.contains("web1: read nothing of its input for 2 s"), "{done:?}");
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    site.await_processes("0.77", 0);
}
