//! How commands end: exit codes, limits, and what the user is told.

use std::time::{Duration, Instant};

use super::support::user::TestUser;
use super::support::{Done, Site};

fn run(site: &Site, args: &[&str]) -> Done {
    site.sshoal(args.iter().copied()).run()
}

#[test]
fn the_exit_code_is_that_of_the_worst_end() {
    let site = Site::start();
    let cases: [(&[&str], i32); 9] = [
        (&["-w", "web1,web2", "true"], 0),
        (&["-w", "web1,web2", "exit 7"], 1),
        (&["-w", "web1", "kill -KILL $$"], 3),
        (&["-u", "300ms", "-w", "web1", "sleep 60"], 3),
        (&["-w", "web1,gone1", "exit 7"], 4),
        (&["-w", "new1", "true"], 4),
        (&["-l", "nobody-there", "-o", "PasswordAuthentication=no", "-w", "web1", "true"], 4),
        (&["-w", "web1", "-Z", "true"], 2),
        (&["-w", "web1"], 2),
    ];
    for (args, code) in cases {
        let done = run(&site, args);
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
    }
}

#[test]
fn the_largest_status_is_the_exit_code_on_request() {
    let site = Site::start();
    assert_eq!(run(&site, &["-S", "-w", "web1,web2", "exit 7"]).code, Some(7));
    assert_eq!(run(&site, &["-S", "-w", "web1,gone1", "exit 7"]).code, Some(254));
    assert_eq!(run(&site, &["-S", "-w", "web1", "true"]).code, Some(0));
}

#[test]
fn equal_failures_are_one_line_with_what_to_do() {
    let site = Site::start();
    let done = run(&site, &["-w", "web1,web2,gone1,new1", "exit 3"]);
    let line = |text: &str| done.err.lines().filter(|line| line.contains(text)).count();
    assert_eq!(line("web[1-2] (2): exit 3") + line("web1,web2 (2): exit 3"), 1, "{done:?}");
    assert_eq!(line("gone1: connecting failed: Connection refused"), 1, "{done:?}");
    assert_eq!(line("new1: SSH handshake failed: the host key is not known"), 1, "{done:?}");
    assert_eq!(line("sshoal keyscan"), 1, "{done:?}");
    assert!(done.err.contains("4 hosts: 0 ok, 4 failed"), "{done:?}");
}

#[test]
fn limits_end_commands_and_say_which() {
    let Some(user) = TestUser::create() else { return };
    let site = Site::of_user(&user);
    let begun = Instant::now();
    let done = run(&site, &["-u", "0.5", "-w", "web1", "echo before; sleep 61"]);
    assert!(done.out == "web1: before\n" && done.err.contains("-u sets this limit"), "{done:?}");
    let done = run(&site, &["--idle", "500ms", "-w", "web1", "echo before; sleep 62"]);
    assert!(done.err.contains("no output for 500 ms"), "{done:?}");
    assert_eq!(done.code, Some(3));
    let done = run(&site, &["--deadline", "500ms", "-f", "1", "-w", "web1,web2", "sleep 63"]);
    assert!(done.err.contains("stopped at the limit of the run (500 ms)"), "{done:?}");
    // One host has not been started.
    assert_eq!(done.code, Some(5), "{done:?}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    for word in ["61", "62", "63"] {
        site.await_processes(word, 0);
    }
}

#[test]
fn a_command_that_prints_now_and_then_is_not_silent() {
    let site = Site::start();
    // Not even if it does not end its lines.
    let done =
        run(&site, &["--idle", "1s", "-w", "web1", "for i in 1 2 3 4 5 6; do printf .; sleep 0.3; done"]);
    assert_eq!((done.out.as_str(), done.code), ("web1: ......\n", Some(0)), "{done:?}");
}

#[test]
fn the_fan_out_bounds_what_runs_at_once() {
    let site = Site::start();
    let mark = format!("{}/running", site.sshd.dir().display());
    let command = format!("mkdir {mark} && sleep 0.2 && rmdir {mark}");
    let done = run(&site, &["-f", "1", "-w", "web1,web2,web3,web4", &command]);
    assert_eq!(done.code, Some(0), "{done:?}");
}
