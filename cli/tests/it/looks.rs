//! How a run looks on a terminal: the progress line, and colours.

use std::process::Command;
use std::time::Duration;

use super::support::screen::Terminal;
use super::support::{Site, eventually};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn progress_fits_into_40_columns() {
    let site = Site::start();
    let command = "echo begun; sleep 2.5";
    let terminal = Terminal::start(site.sshoal(["-w", "web1,web2", command]), 40, 24);
    terminal.await_text("web2: begun");
    terminal.await_text("0/2 ok 0 failed 0 | running 2");
    let text = terminal.text();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert!(matches!(lines[..], [_, _, progress] if progress.starts_with("0/2 ok 0")), "{lines:?}");
    terminal.await_text("2 hosts: 2 ok, 0 failed");
    // It is gone at the end.
    assert!(!terminal.text().contains("ok 0 failed"), "{}", terminal.text());
}

#[test]
fn progress_follows_a_resize() {
    let site = Site::start();
    let mut program = Command::new("bash");
    let line = format!(
        "(sleep 3; stty cols 40 </dev/tty) & '{}' -F '{}' -w web1,web2 'sleep 6'",
        env!("CARGO_BIN_EXE_sshoal"),
        site.config()
    );
    program.args(["-c", &line]);
    let terminal = Terminal::of(program, 80, 24);
    terminal.await_text("0/2 ok 0 failed 0 | running 2 | slowest web");
    eventually(LIMIT, "a shorter line", || (!terminal.text().contains("slowest")).then_some(()));
    assert!(terminal.text().contains("0/2 ok 0 failed 0 | running 2"), "{}", terminal.text());
    terminal.await_text("2 hosts: 2 ok, 0 failed");
}

#[test]
fn colours_are_left_out_on_request() {
    use vt100::Color::{Default, Idx};

    let site = Site::start();
    let run = |flags: &[&'static str], no_color: &str| {
        let words = flags.iter().copied().chain(["-w", "web1", "echo out; echo err >&2"]);
        let program = site.sshoal(words).env("NO_COLOR", no_color);
        let terminal = Terminal::start(program, 80, 24);
        terminal.await_text("1 host: 1 ok, 0 failed");
        [terminal.colour("web1: out"), terminal.colour("err"), terminal.colour("out")]
    };
    assert_eq!(run(&[], ""), [Idx(4), Idx(1), Default]);
    assert_eq!(run(&[], "1"), [Default; 3]);
    assert_eq!(run(&["--color", "never"], ""), [Default; 3]);
    assert_eq!(run(&["--color", "always"], "1"), [Idx(4), Idx(1), Default]);
}
