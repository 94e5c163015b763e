//! What a person sees on a terminal, and what keys do.

use super::support::Site;
use super::support::screen::Terminal;
use super::support::user::TestUser;

fn sleeping(site: &Site, seconds: &str) -> Terminal {
    let terminal = Terminal::start(site.sshoal(["-w", "web1,web2", "exec", "sleep", seconds]), 80, 24);
    site.await_processes(seconds, 2);
    terminal
}

#[test]
fn the_first_interrupt_only_asks() {
    let site = Site::start();
    let mut terminal = Terminal::start(site.sshoal(["-w", "web1", "sleep 4; echo done"]), 80, 24);
    terminal.await_text("1");
    site.await_processes("4", 1);
    terminal.press("\x03");
    terminal.await_text("^C again within 2 s: cancel; ^Z: start nothing more");
    terminal.await_text("web1: done");
    assert_eq!(terminal.exit_code(), 0);
}

#[test]
fn enter_shows_how_far_the_run_is() {
    let site = Site::start();
    let mut terminal = Terminal::start(site.sshoal(["-w", "web[1-2]", "sleep 3; echo done"]), 80, 24);
    site.await_processes("3", 2);
    terminal.press("\r");
    terminal.await_text("not ended: web[1-2] (2)");
    terminal.await_text("web2: done");
    assert_eq!(terminal.exit_code(), 0);
}

#[test]
fn the_second_interrupt_cancels() {
    let Some(user) = TestUser::create() else { return };
    let site = Site::of_user(&user);
    let mut terminal = sleeping(&site, "181");
    terminal.press("\x03");
    terminal.await_text("^C again within 2 s");
    terminal.press("\x03");
    terminal.await_text("stopped by ^C");
    assert_eq!(terminal.exit_code(), 130);
    site.await_processes("181", 0);
}

#[test]
fn the_third_interrupt_leaves() {
    let site = Site::start();
    let command = "trap '' TERM; echo ready; while :; do sleep 0.1821; done";
    let mut terminal = Terminal::start(site.sshoal(["-w", "web1", command]), 80, 24);
    terminal.await_text("web1: ready");
    for text in ["^C again within 2 s", "again: leave at once"] {
        terminal.press("\x03");
        terminal.await_text(text);
    }
    terminal.press("\x03");
    assert_eq!(terminal.exit_code(), 130);
}

#[test]
fn a_stop_after_an_interrupt_lets_running_commands_end() {
    let site = Site::start();
    let program = site.sshoal(["-f", "1", "-w", "web1,web2,web3", "sleep 3; echo done"]);
    let mut terminal = Terminal::start(program, 80, 24);
    site.await_processes("3", 1);
    terminal.press("\x03");
    terminal.await_text("^Z: start nothing more");
    terminal.press("\x1a");
    terminal.await_text("waiting for what runs");
    assert_eq!(terminal.exit_code(), 5);
    assert!(terminal.text().contains("web1: done"), "{}", terminal.text());
    assert!(terminal.text().contains("not started: stopped by ^Z"), "{}", terminal.text());
}

#[test]
fn a_stop_suspends_the_program_and_the_shell_continues_it() {
    let site = Site::start();
    let mut program = std::process::Command::new("bash");
    let line = format!(
        "set -m; '{}' -F '{}' -w web1 'sleep 2; echo done'; echo suspended; fg >/dev/null; echo \"code $?\"",
        env!("CARGO_BIN_EXE_sshoal"),
        site.config()
    );
    program.args(["-c", &line]);
    let mut terminal = Terminal::of(program, 80, 24);
    site.await_processes("2", 1);
    terminal.press("\x1a");
    terminal.await_text("suspended");
    terminal.await_text("web1: done");
    terminal.await_text("code 0");
}
