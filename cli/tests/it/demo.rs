//! The first command of the README.

use super::support::Program;

fn demo(args: &[&str]) -> super::support::Done {
    let state = tempfile::tempdir().expect("a folder");
    Program::new(state.path()).args(["demo"]).args(args.iter().copied()).run()
}

#[test]
fn a_thousand_simulated_hosts_answer() {
    let done = demo(&[]);
    assert_eq!(done.err.lines().last(), Some("1000 hosts: 1000 ok, 0 failed"), "{done:?}");
    assert_eq!((done.out.lines().count(), done.code), (1000, Some(0)));
    assert!(done.out.contains("node0001: release 42\n"));
}

#[test]
fn faults_are_counted_and_named() {
    let done = demo(&["--faults", "-b", "-t", "5"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.err.ends_with("1000 hosts: 900 ok, 100 failed\n"), "{}", done.err);
    for cause in [
        "50 hosts: connecting failed: Connection refused",
        "50 hosts: SSH handshake failed: time limit of all attempts",
    ] {
        assert_eq!(done.err.matches(cause).count(), 1, "{cause}: {}", done.err);
    }
    assert!(done.out.contains("(800)\n") && done.out.contains("(100)\n"), "{}", done.out);
    assert!(done.out.contains("release 41\n"), "{}", done.out);
}

#[test]
fn the_demo_takes_commands() {
    let done = demo(&["--hosts", "3", "exit 3"]);
    assert_eq!(done.code, Some(1));
    assert!(done.err.contains("node[0001-0003] (3): exit 3"), "{done:?}");
}
