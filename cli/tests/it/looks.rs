//! How a run looks on a terminal: the progress line, and colours.

use super::support::Site;
use super::support::screen::Terminal;

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
    let command = "while ! [ -e $0 ]; do sleep 0.1; done; echo a line of output; sleep 2";
    let go = site.sshd.dir().join("go");
    let command = command.replace("$0", &go.display().to_string());
    let terminal = Terminal::start(site.sshoal(["-w", "web1,web2", &command]), 80, 24);
    let progress = "0/2 ok 0 failed 0 | running 2";
    let is_only_line = |screen: &str| {
        let lines: Vec<&str> = screen.lines().filter(|line| !line.is_empty()).collect();
        matches!(lines[..], [line] if line.starts_with(progress))
    };
    terminal.await_text("running 2 | slowest web");
    for columns in [40, 30, 100, 40] {
        terminal.resize(columns);
        terminal.await_screen("a line that fits", |screen| {
            is_only_line(screen) && screen.contains("slowest") == (columns > 60)
        });
    }
    std::fs::write(go, "").expect("write a file");
    terminal.await_text("web2: a line of output");
    terminal.await_text("web1: a line of output");
    terminal.await_text(progress);
    let text = terminal.text();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let is_whole = |line: &str| line.ends_with(": a line of output");
    assert!(is_whole(lines[0]) && is_whole(lines[1]) && lines.len() == 3, "{text}");
    terminal.await_text("2 hosts: 2 ok, 0 failed");
}

#[test]
fn the_streams_of_a_host_are_in_the_order_in_which_they_arrived() {
    let site = Site::start();
    // The second host has printed all when the first one ends.
    let command = "case $SSH_CONNECTION in *127.0.2.2*) sleep 3; esac; \
                   for word in 1 2 3; do echo out $word; sleep 0.3; echo err $word >&2; sleep 0.3; done";
    let terminal = Terminal::start(site.sshoal(["-L", "-w", "web[1-2]", command]), 80, 24);
    terminal.await_text("2 hosts: 2 ok, 0 failed");
    let text = terminal.text();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("web")).collect();
    let expected = ["web1", "web2"].map(|host| {
        ["1", "2", "3"].map(|word| [format!("{host}: out {word}"), format!("{host}: err {word}")])
    });
    assert_eq!(lines, expected.as_flattened().as_flattened(), "{text}");
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
