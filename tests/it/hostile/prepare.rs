//! What is requested on a channel before the command: byte for byte, and with servers that do not
//! comply.

use std::process::{Command as Process, Stdio};

use sshoal::Command;
use sshoal::config::Pty;

use super::{Hostile, all, guard, join, stdout};
use crate::support::system::{is_rerun, rerun};

/// RFC 4254 section 6.2: TERM, columns, rows, no size in pixels, and an empty list of modes.
const XTERM: &str = "pty-req 00000005787465726d000000500000001800000000000000000000000100";
const VT100: &str = "pty-req 000000057674313030000000840000003200000000000000000000000100";

/// The requests that reach a server, one line each.
fn requests(command: Command) -> Vec<String> {
    let server = Hostile::start(&[]);
    let mut client = server.client(all(&[])).build().expect("a client");
    let outputs = client.run_command(command).expect("it starts");
    join(&client, &outputs);
    stdout(&outputs[0])
}

#[test]
fn a_terminal_is_asked_for_without_modes_whatever_our_own_terminal_is() {
    let _dog = guard("terminal");
    assert_eq!(requests(Command::new("requests").use_pty(true)), [XTERM]);
    let other = Pty::default().term("vt100").size(132, 50);
    assert_eq!(requests(Command::new("requests").pty(other)), [VT100]);
    if is_rerun() {
        return;
    }
    // Again with a terminal as standard input, which libssh 0.11 would describe to the server.
    let again = rerun(module_path!(), "a_terminal_is_asked_for_without_modes_whatever_our_own_terminal_is");
    let words: Vec<_> = [again.get_program()].into_iter().chain(again.get_args()).map(quoted).collect();
    let mut script = Process::new("/usr/bin/script");
    script.args([
        "--quiet",
        "--return",
        "--command",
        &format!("test -t 0 && {}", words.join(" ")),
        "/dev/null",
    ]);
    script.envs(again.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = script.stdin(Stdio::null()).output().expect("/usr/bin/script (Debian: bsdutils)");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

fn quoted(word: &std::ffi::OsStr) -> String {
    format!("'{}'", word.to_str().expect("a path in UTF-8"))
}

#[test]
fn variables_follow_the_terminal_in_their_order() {
    let _dog = guard("variables");
    let command = Command::new("requests").env("B", "1").env("A", "x y").use_pty(true);
    let expected = [XTERM, "env 00000001420000000131", "env 000000014100000003782079"];
    assert_eq!(requests(command), expected);
}

#[test]
fn whatever_answers_a_request_the_command_has_one_outcome() {
    let _dog = guard("request_answers");
    let kinds = ["requests-refused", "close-for-request", "request-answered-twice", "output-for-request"];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).build().expect("a client");
    let outcomes = |client: &mut sshoal::ParallelClient, command: Command| {
        let outputs = client.start_command(command).expect("a command");
        join(client, &outputs);
        outputs.iter().map(|output| output.outcome().expect("ended").to_string()).collect::<Vec<_>>()
    };
    let shown = outcomes(&mut client, Command::new("greet").use_pty(true));
    assert!(shown[0].contains("preparing the channel failed: the server refused a terminal"), "{}", shown[0]);
    assert!(shown[1].ends_with("a terminal: it closed the channel instead of answering"), "{}", shown[1]);
    assert!(shown[2] == "exit status 0" || shown[2].contains("refused"), "{}", shown[2]);
    assert!(shown[3].contains("output without end before the command was accepted"), "{}", shown[3]);
    assert_eq!(shown[4], "exit status 0");
    let shown = outcomes(&mut client, Command::new("greet").env("LANG", "C"));
    assert!(shown[0].contains("refused the environment variable LANG"), "{}", shown[0]);
    let shown = outcomes(&mut client, Command::new("greet").env("LANG", "C").ignore_refused_env(true));
    assert_eq!([&shown[0], &shown[4]], ["exit status 0"; 2]);
}
