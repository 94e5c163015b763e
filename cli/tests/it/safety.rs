//! Batches, gates, failure budgets, confirmation, dry runs.

use super::support::Site;
use super::support::screen::Terminal;

#[test]
fn batches_follow_one_another() {
    let site = Site::start();
    let log = format!("{}/order", site.sshd.dir().display());
    let command = format!("echo begin >> {log}; sleep 0.3; echo end >> {log}");
    let done = site.sshoal(["--batch", "1,rest", "-w", "web[1-3]", &command]).run();
    assert_eq!(done.code, Some(0), "{done:?}");
    let order = std::fs::read_to_string(log).expect("the log");
    assert!(order.starts_with("begin\nend\nbegin\nbegin\n"), "{order}");
}

#[test]
fn a_gate_is_a_command_that_sees_the_counts() {
    let site = Site::start();
    let seen = format!("{}/seen", site.sshd.dir().display());
    let gate = format!(
        "echo $SSHOAL_BATCH $SSHOAL_OK $SSHOAL_FAILED $SSHOAL_LEFT >> {seen}; test $SSHOAL_FAILED = 0"
    );
    let command = "case $SSH_CONNECTION in *127.0.2.3*) exit 1;; esac; echo here";
    let args = ["--batch", "1", "--gate", &gate, "-w", "web[1-4]", command];
    let done = site.sshoal(args).run();
    assert_eq!(std::fs::read_to_string(seen).expect("the gate has run"), "1 1 0 3\n2 1 1 2\n");
    assert_eq!((done.out.as_str(), done.code), ("web1: here\n", Some(5)), "{done:?}");
    assert!(done.err.contains("web[3-4] (2): not started: stopped between two batches"), "{done:?}");
    // sshd has seen only two of them.
    assert_eq!(site.sshd.count("Accepted publickey"), 2);
}

#[test]
fn a_gate_can_ask() {
    let site = Site::start();
    let args = ["--batch", "1", "--gate", "ask", "-w", "web[1-3]", "echo here"];
    let mut terminal = Terminal::start(site.sshoal(args), 100, 24);
    terminal.await_text("batch 1 is done: 1 ok, 0 failed; 2 hosts are left. Go on? [y/N]");
    terminal.press("y\r");
    terminal.await_text("batch 2 is done");
    terminal.press("\r");
    assert_eq!(terminal.exit_code(), 5);
    assert!(terminal.text().contains("web2: here") && !terminal.text().contains("web3: here"));
}

#[test]
fn the_run_stops_after_too_many_failures() {
    let site = Site::start();
    for args in [&["-k"][..], &["--max-fail", "0"], &["--max-fail", "20%"]] {
        let command = ["-f", "1", "-w", "web[1-4]", "exit 1"];
        let done = site.sshoal(args.iter().chain(&command).copied()).run();
        assert_eq!(done.code, Some(5), "{done:?}");
        assert!(done.err.contains("(3): not started: too many other commands have failed"), "{done:?}");
    }
    let done = site.sshoal(["-f", "1", "--max-fail", "1", "-w", "web[1-4]", "exit 1"]).run();
    assert!(done.err.contains("(2): not started: too many"), "{done:?}");
}

#[test]
fn a_dry_run_shows_the_way_and_uses_no_network() {
    let site = Site::start();
    let done = site.sshoal(["--dry-run", "-w", "web1,new1,gone1", "-J", "web2", "uptime"]).run();
    assert_eq!(done.code, Some(0), "{done:?}");
    let (user, port) = (site.sshd.user(), site.sshd.port());
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(
        lines,
        [
            format!("web1   {user}@127.0.2.2:{port} through web2  key on record  uptime"),
            format!("new1   {user}@127.0.2.1:{port} through web2  key not on record  uptime"),
            format!("gone1  {user}@127.0.3.1:1 through web2  key not on record  uptime"),
        ]
    );
    assert_eq!(site.sshd.count("Connection from"), 0);
}

#[test]
fn the_number_of_hosts_is_typed_on_a_terminal() {
    let site = Site::start();
    let args = ["--confirm", "always", "-w", "web[1-3]", "echo here"];
    let mut terminal = Terminal::start(site.sshoal(args), 80, 24);
    terminal.await_text("on web[1-3]");
    terminal.await_text("Type the number of hosts (3) to go on:");
    terminal.press("3\r");
    terminal.await_text("web3: here");
    assert_eq!(terminal.exit_code(), 0);

    let mut terminal = Terminal::start(site.sshoal(args), 80, 24);
    terminal.await_text("to go on:");
    terminal.press("y\r");
    terminal.await_text("nothing was started");
    assert_eq!(terminal.exit_code(), 5);
    assert_eq!(site.sshd.count("Accepted publickey"), 3);
    // Many hosts are asked about by default, few are not, and -y does not ask.
    let many = Terminal::start(site.sshoal(["-w", "gone[1-21]", "true"]), 80, 24);
    many.await_text("Type the number of hosts (21)");
    let yes = Terminal::start(site.sshoal(["-y", "-w", "gone[1-21]", "-t", "1", "true"]), 80, 24);
    assert_eq!(yes.exit_code(), 4);
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let site = Site::start();
    let done = site.sshoal(["--confirm", "never", "-w", "web1", "true"]).run();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn hosts_that_refuse_are_tried_again_on_request() {
    let site = Site::start();
    let begun = std::time::Instant::now();
    let done = site.sshoal(["-w", "gone1", "true"]).run();
    assert!(done.code == Some(4) && begun.elapsed().as_secs() < 5, "{done:?}");
    let done = site.sshoal(["--retry", "2", "-w", "gone1", "true", "-v"]).run();
    assert!(done.err.contains("connecting failed: Connection refused"), "{done:?}");
}
