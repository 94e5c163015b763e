//! The prompt: commands on hosts that stay connected.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use super::support::program::PROGRAM;
use super::support::screen::Terminal;
use super::support::sshd::Sshd;
use super::support::user::TestUser;
use super::support::{Site, eventually};

const LOGIN: &str = "Accepted publickey";

/// A prompt for these hosts.
fn opened(site: &Site, set: &str) -> Terminal {
    let terminal = Terminal::start(site.sshoal(["-w", set]), 80, 24);
    terminal.await_text("> ");
    terminal
}

/// Types a line, and waits until this is on the screen.
#[track_caller]
fn type_line(terminal: &mut Terminal, line: &str, answer: &str) {
    terminal.press(&format!("{line}\r"));
    terminal.await_text(answer);
}

#[test]
fn hosts_stay_connected_from_command_to_command() {
    let site = Site::start();
    let mut terminal = opened(&site, "web[1-2]");
    terminal.await_text("sshoal: web[1-2] (2, 0 connected)");
    let before = site.sshd.count(LOGIN);
    for word in ["first", "second", "third"] {
        type_line(&mut terminal, &format!("echo {word}"), &format!("web1: {word}"));
        terminal.await_text(&format!("web2: {word}"));
        terminal.await_end("\n2 hosts>");
    }
    assert_eq!(site.sshd.count(LOGIN) - before, 2, "{}", site.sshd.log());
    type_line(&mut terminal, "?", "sshoal: web[1-2] (2, 2 connected)");
    terminal.await_text("sshoal: ok: web[1-2]");
}

#[test]
fn an_interrupt_ends_the_command_and_keeps_results_and_connections() {
    let Some(user) = TestUser::create() else { return };
    let site = Site::of_user(&user);
    let mut terminal = opened(&site, "web1,web2");
    let before = site.sshd.count(LOGIN);
    type_line(&mut terminal, "echo kept; exec sleep 191", "web1: kept");
    terminal.await_text("web2: kept");
    site.await_processes("191", 2);
    terminal.press("\x03");
    terminal.await_text("stopped by ^C");
    terminal.await_end("\n2 hosts>");
    site.await_processes("191", 0);
    type_line(&mut terminal, "echo next", "web1: next");
    terminal.await_text("web2: next");
    assert_eq!(site.sshd.count(LOGIN) - before, 2, "{}", site.sshd.log());
    // At the prompt, it only gives up the line.
    terminal.await_end("\n2 hosts>");
    terminal.press("echo abandoned");
    terminal.await_text("> echo abandoned");
    terminal.press("\x03");
    terminal.await_end("\n2 hosts>");
    type_line(&mut terminal, "echo after", "web1: after");
    assert!(!terminal.text().contains("web1: abandoned"), "{}", terminal.text());
}

#[test]
fn a_second_interrupt_does_not_wait_for_what_does_not_end() {
    let site = Site::start();
    let mut terminal = opened(&site, "web1");
    type_line(&mut terminal, "trap '' TERM; echo ready; while :; do sleep 0.1921; done", "web1: ready");
    terminal.press("\x03");
    terminal.await_text("cancelling; again: do not wait");
    terminal.press("\x03");
    terminal.await_text("may still run");
    terminal.await_end("\n1 host>");
    type_line(&mut terminal, "echo next", "web1: next");
}

#[test]
fn hosts_are_chosen_by_how_the_last_command_ended() {
    let site = Site::start();
    let mut terminal = opened(&site, "web[1-3]");
    type_line(&mut terminal, "case $SSH_CONNECTION in *127.0.2.3*) exit 9;; esac", "3 hosts: 2 ok, 1 failed");
    type_line(&mut terminal, "@failed", "sshoal: web2 (1, 1 connected)");
    terminal.await_end("\n1 host>");
    type_line(&mut terminal, "echo only", "1 host: 1 ok, 0 failed");
    assert!(terminal.text().contains("web2: only"), "{}", terminal.text());
    assert!(!terminal.text().contains("web1: only"), "{}", terminal.text());
    type_line(&mut terminal, "@failed", "sshoal: no host would be left; the chosen hosts are as before");
    terminal.await_end("\n1 host>");
    type_line(&mut terminal, "@all!@ok", "sshoal: web[1,3] (2, 2 connected)");
    type_line(&mut terminal, "-web1", "sshoal: web3 (1, 1 connected)");
    // A host that the prompt was not opened with.
    type_line(&mut terminal, "+web4", "sshoal: web[3-4] (2, 1 connected)");
    type_line(&mut terminal, "echo both", "web4: both");
    terminal.await_text("web3: both");
    terminal.await_end("\n2 hosts>");
    // A slip is no set, and no command.
    type_line(&mut terminal, "@failed uptime", "sshoal: a set has no blanks here");
    terminal.await_end("\n2 hosts>");
}

#[test]
fn the_end_of_input_leaves_with_nothing_left_running() {
    let site = Site::start();
    let mut terminal = opened(&site, "web[1-2]");
    type_line(&mut terminal, "exit 3", "2 hosts: 0 ok, 2 failed");
    terminal.await_end("\n2 hosts>");
    assert!(site.sshd.daemon().processes().len() > 1);
    terminal.press("\x04");
    assert_eq!(terminal.exit_code(), 1, "the last command's");
    eventually(Duration::from_secs(10), "the end of all connections", || {
        (site.sshd.daemon().processes().len() == 1).then_some(())
    });
    let mut terminal = opened(&site, "web1");
    terminal.press("quit\r");
    assert_eq!(terminal.exit_code(), 0);
}

#[test]
fn enter_shows_how_far_a_command_is() {
    let site = Site::start();
    let mut terminal = opened(&site, "web1");
    terminal.press("echo begun; sleep 4; echo done\r");
    terminal.await_text("web1: begun");
    terminal.press("\r");
    terminal.await_text("not ended: web1");
    terminal.await_text("^C: cancel, and keep the results");
    type_line(&mut terminal, "echo meanwhile", "not run, because a command is running: echo meanwhile");
    terminal.await_text("web1: done");
    terminal.await_end("\n1 host>");
    assert!(!terminal.text().contains("web1: meanwhile"), "{}", terminal.text());
}

#[test]
fn hosts_are_attended_while_a_line_is_typed() {
    // This server gives up clients that do not answer for 2 s.
    let builder = Sshd::builder().option("ClientAliveInterval 1").option("ClientAliveCountMax 1");
    let site = Site::with(builder, 2);
    let mut terminal = opened(&site, "web[1-2]");
    type_line(&mut terminal, "echo before", "2 hosts: 2 ok, 0 failed");
    terminal.await_end("\n2 hosts>");
    std::thread::sleep(Duration::from_secs(5));
    type_line(&mut terminal, "echo after", "web1: after");
    terminal.await_text("web2: after");
    assert_eq!(site.sshd.count(LOGIN), 2, "{}", site.sshd.log());
}

#[test]
fn a_lost_host_is_connected_by_the_next_command() {
    let site = Site::start();
    let mut terminal = opened(&site, "web[1-2]");
    type_line(&mut terminal, "echo before", "web1: before");
    terminal.await_end("\n2 hosts>");
    site.sshd.daemon().kill_sessions();
    eventually(Duration::from_secs(10), "the end of all connections", || {
        (site.sshd.daemon().processes().len() == 1).then_some(())
    });
    type_line(&mut terminal, "echo again", "web1: again");
    terminal.await_text("web2: again");
}

#[test]
fn output_is_folded_and_commands_run_here() {
    let site = Site::start();
    let mut terminal = opened(&site, "web[1-2]");
    type_line(&mut terminal, "=", "sshoal: output is folded");
    type_line(&mut terminal, "echo equal", "web[1-2] (2)");
    type_line(&mut terminal, "=", "sshoal: output is not folded");
    type_line(&mut terminal, "= -N", "> = -N");
    terminal.await_end("\n2 hosts>");
    type_line(&mut terminal, "echo plain", "\nplain\nplain");
    terminal.await_end("\n2 hosts>");
    type_line(&mut terminal, "!echo $((40 + 2)) here", "42 here");
    type_line(&mut terminal, "!exit 7", "sshoal: here: exit status: 7");
    type_line(&mut terminal, "= --json -b", "cannot be used with");
    type_line(&mut terminal, "??", "quit, ^D    leave");
}

#[test]
fn a_narrow_terminal_is_enough() {
    let site = Site::start();
    let mut terminal = Terminal::start(site.sshoal(["-w", "web[1-2]"]), 40, 24);
    terminal.await_end("\n2 hosts>");
    let long = "0123456789".repeat(5);
    terminal.press(&format!("echo {long} | tr -d 0-8\r"));
    terminal.await_text("web1: 99999\n");
    terminal.await_text("web2: 99999\n");
    terminal.await_end("\n2 hosts>");
}

#[test]
fn a_line_that_is_typed_follows_a_resize() {
    let site = Site::start();
    let mut terminal = opened(&site, "web[1-2]");
    terminal.await_end("\n2 hosts>");
    let mut line = format!("echo {}", "0123456789".repeat(6));
    terminal.press(&line);
    terminal.await_end(&format!("\n2 hosts> {line}"));
    // All that is typed is behind the only prompt.
    let shows = |terminal: &Terminal, line: &str| {
        terminal.await_screen("the line", |screen| {
            screen.replace('\n', "").split_once("2 hosts> ").is_some_and(|(_, typed)| typed == line)
        });
    };
    terminal.resize(40);
    shows(&terminal, &line);
    for (columns, more) in [(40, " | tr"), (60, " -d"), (100, " 0-8")] {
        terminal.resize(columns);
        terminal.press(more);
        line.push_str(more);
        shows(&terminal, &line);
    }
    terminal.press("\r");
    terminal.await_text("web1: 999999\n");
    terminal.await_text("web2: 999999\n");
    terminal.await_end("\n2 hosts>");
}

#[test]
fn hosts_that_differ_are_chosen_after_a_folded_command() {
    let site = Site::start();
    let mut terminal = opened(&site, "web[1-3]");
    let command = "case $SSH_CONNECTION in *127.0.2.3*) echo other;; *) echo same;; esac";
    type_line(&mut terminal, command, "3 hosts: 3 ok, 0 failed");
    type_line(&mut terminal, "@diff", "sshoal: the last command's output was not compared: = folds");
    terminal.await_end("\n3 hosts>");
    type_line(&mut terminal, "=", "sshoal: output is folded");
    terminal.press(&format!("{command}\r"));
    terminal.await_text("web[1,3] (2)");
    terminal.await_end("\n3 hosts>");
    type_line(&mut terminal, "@diff", "sshoal: web2 (1, 1 connected)");
}

#[test]
fn what_is_typed_is_remembered_for_the_user_alone() {
    let site = Site::start();
    let mut terminal = opened(&site, "web1");
    type_line(&mut terminal, "echo $((40 + 2))", "web1: 42");
    terminal.await_end("\n1 host>");
    type_line(&mut terminal, " echo $((50 + 1))", "web1: 51");
    terminal.await_end("\n1 host>");
    terminal.press("\x04");
    terminal.exit_code();
    let path = site.sshd.dir().join("state/sshoal/prompt_history");
    let mode = fs::metadata(&path).expect("a history").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let kept = fs::read_to_string(&path).expect("a history");
    assert!(kept.contains("echo $((40 + 2))") && !kept.contains("50 + 1"), "{kept}");

    let mut terminal = opened(&site, "web1");
    terminal.press("\x1b[A\r");
    terminal.await_text("web1: 42");
    let last = site.bare().args(["last"]).run();
    assert!(last.out.contains(" ago on 1 host: echo $((40 + 2))"), "{last:?}");
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let site = Site::start();
    let mut program = Command::new("bash");
    let line = format!(
        "bash -c 'own=$$; (sleep 3; kill -TERM $own) & exec \"$0\" \"$@\"' '{PROGRAM}' -F '{}' -w web1; \
         echo \"code $?\"; stty -a | tr -d ';' | tr ' ' '\\n' | grep -x -e '-*icanon' -e '-*echo' | sort",
        site.config()
    );
    program.args(["-c", &line]);
    let terminal = Terminal::of(program, 80, 24);
    terminal.await_text("1 host> ");
    terminal.await_text("code 143");
    terminal.await_text("\necho\nicanon");
}

#[test]
fn without_a_terminal_a_command_is_needed() {
    let site = Site::start();
    let done = site.sshoal(["-w", "web1"]).run_with(b"hostname\n");
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{done:?}");
    assert!(done.err.contains("no command: write one behind the flags"), "{done:?}");
}

#[test]
fn tab_completes_hosts_groups_and_ends_and_nothing_else() {
    let site = Site::start();
    let noise = "echo noise >&2; echo front back";
    let groups = format!(
        "[Main]\ndefault: local\n[local]\nmap: echo web1,web2\nlist: {noise}\n[slow]\nmap: echo web1\nlist: sleep 60\n"
    );
    site.file("groups.conf", groups);
    let folder = site.sshd.dir().display().to_string();
    let program = site.sshoal(["-w", "web[1-3]"]).env("CLUSTERSHELL_CFGDIR", &folder);
    let mut terminal = Terminal::start(program, 80, 24);
    terminal.await_end("\n3 hosts>");
    for (typed, shown) in [
        ("@gon", "@gone1X"),
        // Several are possible.
        ("+we", "+webX"),
        // web4 is not here, so it is not to be removed.
        ("-web4", "-web4X"),
        ("@web1!n", "@web1!nX"),
        ("@web1!ne", "@web1!new1X"),
        ("@@fr", "@@frontX"),
        ("+@sl", "+@slow:X"),
        ("-fa", "-failedX"),
        ("@all!@o", "@all!@okX"),
        ("= -b --nol", "= -b --nolabelX"),
        // For the hosts.
        ("ne", "neX"),
        (" @gon", " @gonX"),
    ] {
        terminal.press(&format!("{typed}\tX"));
        terminal.await_end(&format!("\n3 hosts> {shown}"));
        terminal.press("\x15");
        terminal.await_end("\n3 hosts>");
    }
    // What a command that does not end would know is not waited for.
    let begun = std::time::Instant::now();
    terminal.press("@@slow:a\tX");
    terminal.await_end("\n3 hosts> @@slow:aX");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    terminal.press("\x15");
    // A second TAB shows what there is, and the line goes on.
    terminal.press("@@\t\t");
    terminal.await_text("\nback         failed       local:       ok");
    assert!(!terminal.text().contains("noise"), "{}", terminal.text());
    terminal.press("f\t\t");
    terminal.await_text("\nfailed  front\n");
    terminal.press("ron\t\r");
    terminal.await_text("sshoal: web[1-2] (2, 0 connected)");
    terminal.await_end("\n2 hosts>");
    terminal.press("ec\tho done\r");
    terminal.await_text("web1: done");
}
