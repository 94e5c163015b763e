//! A `sudo` whose behaviour a test controls, and that records what it receives.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sshoal::config::Input;
use sshoal::error::ChannelProblem;
use sshoal::{Command, HostErrorKind, HostOutput, JoinOptions, ParallelClient};
use tempfile::TempDir;

use super::{SLOW, build, client_for, guard, join, rest, run_one};
use crate::support::eventually;
use crate::support::sshd::Sshd;
use crate::support::system::{is_rerun, public_dir, rerun};

/// Writes its arguments, and the answers that it reads, to files beside it, then behaves according
/// to `mode`.
const PROGRAM: &str = r#"#!/bin/sh
here=${0%/*}
for argument do printf '%s\n' "$argument"; done >"$here/arguments"
while :; do
    case $1 in
    -u | -p) [ "$1" = -p ] && prompt=$2; shift 2 ;;
    -S) shift ;;
    *) break ;;
    esac
done
ask() {
    printf "$1" "$prompt" >&2
    IFS= read -r answer || { echo 'no answer' >>"$here/answers"; exit 1; }
    printf '%s\n' "$answer" >>"$here/answers"
}
case $(cat "$here/mode") in
needs-none) ;;
asks) ask '%s' ;;
asks-late) sleep 0.3; ask 'lecture\n%s'; sleep 0.3 ;;
asks-in-pieces)
    left=$prompt
    while [ "$left" ]; do
        tail=${left#?????????}
        printf %s "${left%"$tail"}" >&2
        left=$tail
        [ "$left" = "${left#?????????}" ] && { printf %s "$left" >&2; left=; }
        sleep 0.02
    done
    ask ''
    ;;
refuses) while :; do ask '%s'; echo Sorry. >&2; done ;;
looks-alike) printf '[sudo] password for web: sshoal-%032d-password' 0 >&2 ;;
is-silent) cat >>"$here/answers"; exit 1 ;;
esac
exec "$@"
"#;

struct Stub {
    dir: TempDir,
    sshd: Sshd,
}

impl Stub {
    fn new(mode: &str) -> Self {
        let dir = public_dir();
        let program = dir.path().join("sudo");
        fs::write(&program, PROGRAM).expect("write the program");
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("make it one");
        fs::write(dir.path().join("mode"), mode).expect("write the mode");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", dir.path().display());
        Self { sshd: Sshd::builder().env("PATH", &path).start(), dir }
    }

    fn client(&self) -> ParallelClient {
        build(client_for(&self.sshd, ["127.0.2.1"]))
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let path: PathBuf = self.dir.path().join(file);
        fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

fn command(text: &str) -> Command {
    Command::new(text).sudo_password("open  sesame'$HOME")
}

const ANSWER: &str = "open  sesame'$HOME";

/// More than one packet, and lines that `sudo` could take for a password.
fn input() -> Vec<u8> {
    (0..20_000).flat_map(|line| format!("not a password {line}\n").into_bytes()).collect()
}

/// Runs it with all its input written at once.
fn run(client: &mut ParallelClient, command: Command) -> HostOutput {
    let output = client.run_command(command).expect("it starts").remove(0);
    output.stdin().write_all(&input()).expect("queued");
    join(client, std::slice::from_ref(&output));
    output
}

fn as_bytes(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

#[test]
fn the_answer_reaches_sudo_and_the_input_the_command() {
    let _dog = guard("the_answer_reaches_sudo");
    for (mode, stderr) in
        [("asks", vec!["end"]), ("asks-late", vec!["lecture", "end"]), ("asks-in-pieces", vec!["end"])]
    {
        let stub = Stub::new(mode);
        let mut client = stub.client();
        let output = run(&mut client, command("echo 'a  b'; cat; echo end >&2"));
        let (stdout, printed) = rest(&output);
        assert_eq!(printed, as_bytes(&stderr), "{mode}");
        assert_eq!(stdout[0], b"a  b");
        let mut echoed = stdout[1..].join(&b'\n');
        echoed.push(b'\n');
        assert!(echoed == input(), "{mode}: {} bytes, or other ones", echoed.len());
        assert_eq!(stub.lines("answers"), [ANSWER], "{mode}");
        assert_eq!(output.exit_code(), Some(0));
    }
}

#[test]
fn sudo_gets_the_words_that_it_understands() {
    let _dog = guard("words_with_a_password");
    let stub = Stub::new("asks");
    let mut client = stub.client();
    let login_shell = &run_one(&mut client, "echo $SHELL")[0];
    let text = "echo 'a  b' \"$((1 + 1))\"; exit 3";
    for (command, before, behind) in [
        (command(text), vec![], vec![login_shell, "-c", text]),
        (command(text).run_as("web"), vec!["-u", "web"], vec![login_shell, "-c", text]),
        (command(text).run_as("AD\\web").shell("bash -c"), vec!["-u", "AD\\web"], vec!["bash", "-c", text]),
        (command(text).sudo(true).shell("sh -e -c"), vec![], vec!["sh", "-e", "-c", text]),
    ] {
        let output = run(&mut client, command);
        assert_eq!(rest(&output), (as_bytes(&["a  b 2"]), vec![]));
        assert_eq!(output.exit_code(), Some(3));
        let words = stub.lines("arguments");
        let mark = words[before.len() + 2].strip_suffix("password").expect("the prompt").to_owned();
        let prompt = format!("{mark}password");
        let start = format!("{mark}started");
        let announce = r#"printf %s "$0" >&2; exec "$@""#;
        let own = ["-S", "-p", &prompt, "sh", "-c", announce, &start];
        let expected: Vec<&str> =
            before.into_iter().chain(own).chain(behind.into_iter().map(|w| w as &str)).collect();
        assert_eq!(words, expected);
    }
    assert!(stub.lines("answers").iter().all(|answer| answer == ANSWER));
}

#[test]
fn a_sudo_that_does_not_ask_is_told_nothing() {
    let _dog = guard("does_not_ask");
    for (mode, stderr) in [
        ("needs-none", String::new()),
        ("looks-alike", { format!("[sudo] password for web: sshoal-{}-password", "0".repeat(32)) }),
    ] {
        let stub = Stub::new(mode);
        let mut client = stub.client();
        // The command asks instead of sudo: it gets the caller's first line.
        let text = "IFS= read -r line; printf 'got %s' \"$line\" >&2; cat | cksum";
        let output = run(&mut client, command(text));
        let (stdout, printed) = rest(&output);
        assert_eq!(printed, as_bytes(&[&format!("{stderr}got not a password 0")]), "{mode}");
        assert_eq!(stdout.len(), 1);
        assert!(stub.lines("answers").is_empty());
        // The parent of `sudo` knows the prompt, and so may the command.
        let prompt = stub.lines("arguments")[2].clone();
        let text = "prompt=$(sed -n 3p \"$(dirname \"$(command -v sudo)\")/arguments\"); \
             printf '%s\\n' \"$prompt\" >&2; read -r line; echo \"$line\"";
        let output = run(&mut client, command(text));
        let (stdout, printed) = rest(&output);
        assert_eq!(stdout, as_bytes(&["not a password 0"]));
        let shown = String::from_utf8_lossy(&printed[0]).into_owned();
        assert!(shown.ends_with("-password") && !shown.ends_with(&prompt), "{shown}");
    }
}

#[test]
fn a_sudo_that_goes_on_asking_is_answered_once() {
    let _dog = guard("goes_on_asking");
    let stub = Stub::new("refuses");
    let mut client = stub.client();
    let output = run(&mut client, command("touch never"));
    let error = output.error().expect("the password is refused");
    assert!(matches!(error.kind(), HostErrorKind::Channel(ChannelProblem::SudoPasswordRefused)), "{error}");
    assert_eq!(rest(&output), (vec![], as_bytes(&["Sorry."])));
    // It reads the end of its input, and gives up.
    let answers = eventually(SLOW, "sudo gives up", || {
        Some(stub.lines("answers")).filter(|answers| answers.last().is_some_and(|last| last == "no answer"))
    });
    assert_eq!(answers, [ANSWER, "no answer"]);
    assert_eq!(run_one(&mut client, "echo next"), ["next"]);
    assert_eq!(stub.sshd.count("Connection from"), 1);
}

/// The end of the input, or all of it, comes after the password.
#[test]
fn no_input_and_given_input_wait_for_the_command() {
    let _dog = guard("sudo_given_input");
    for (mode, answers) in [("asks", vec![ANSWER]), ("asks-late", vec![ANSWER]), ("needs-none", vec![])] {
        let stub = Stub::new(mode);
        let mut client = stub.client();
        for (stdin, bytes) in [(Input::Empty, "0"), (input().into(), "408890")] {
            let _ = fs::remove_file(stub.dir.path().join("answers"));
            let output =
                client.run_command(command("wc -c | tr -d ' '").stdin(stdin)).expect("it starts").remove(0);
            client
                .join(std::slice::from_ref(&output), JoinOptions::default().timeout(SLOW))
                .expect("it ends by itself");
            assert_eq!(rest(&output).0, as_bytes(&[bytes]), "{mode}");
            assert_eq!(stub.lines("answers"), answers, "{mode}");
            assert_eq!(output.exit_code(), Some(0), "{mode}");
        }
    }
}

/// A `sudo` that nobody answers fails instead of waiting, and a password may be given as input.
#[test]
fn a_sudo_without_a_password_reads_the_input() {
    let _dog = guard("sudo_reads_input");
    let stub = Stub::new("asks");
    let mut client = stub.client();
    for (input, status, answers) in [(Input::Empty, 1, "no answer"), ("secret\nrest".into(), 0, "secret")] {
        let _ = fs::remove_file(stub.dir.path().join("answers"));
        let output =
            client.run_command(Command::new("cat").sudo(true).stdin(input)).expect("it starts").remove(0);
        client
            .join(std::slice::from_ref(&output), JoinOptions::default().timeout(SLOW))
            .expect("it ends by itself");
        assert_eq!((output.exit_code(), stub.lines("answers")), (Some(status), vec![answers.to_owned()]));
        let rest_of_input = if status == 0 { vec!["rest"] } else { vec![] };
        assert_eq!(rest(&output).0, as_bytes(&rest_of_input));
    }
}

#[test]
fn a_silent_sudo_gets_neither_password_nor_input() {
    let _dog = guard("silent_sudo");
    let stub = Stub::new("is-silent");
    let mut client = stub.client();
    let output = client.run_command(command("cat")).expect("it starts").remove(0);
    output.stdin().write_all(b"for the command\n").expect("queued");
    let outputs = [output];
    // The end of the input waits too: once it was sent, sudo could not be answered any more.
    let options = JoinOptions::default().timeout(Duration::from_millis(300)).close_stdin(true);
    client.join(&outputs, options).expect_err("sudo waits for input");
    assert!(stub.lines("answers").is_empty());
    assert!(!outputs[0].is_finished());
    drop((outputs, client));
    assert!(stub.lines("answers").is_empty());
}

/// Everything that is logged in this process.
struct Recorder(Mutex<String>);

impl log::Log for Recorder {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *text += &format!("{} {}\n", record.target(), record.args());
    }

    fn flush(&self) {}
}

static RECORDER: Recorder = Recorder(Mutex::new(String::new()));

/// In a separate process, because each process has one logger.
#[test]
fn no_log_and_no_text_shows_the_password() {
    let _dog = guard("no_log");
    if !is_rerun() {
        let status =
            rerun(module_path!(), "no_log_and_no_text_shows_the_password").status().expect("a process");
        assert!(status.success());
        return;
    }
    log::set_logger(&RECORDER).expect("the only logger");
    log::set_max_level(log::LevelFilter::Trace);
    for mode in ["asks", "refuses"] {
        let stub = Stub::new(mode);
        let mut client = stub.client();
        let command = command("id");
        let output = run(&mut client, command.clone());
        assert_eq!(stub.lines("answers")[0], ANSWER);
        let shown = format!("{command:?} {output:?} {client:?} {:?} {:?}", output.outcome(), output.error());
        assert!(!shown.contains("sesame"), "{shown}");
    }
    let log = RECORDER.0.lock().expect("nobody panicked");
    assert!(log.contains("127.0.2.1"), "nothing was logged");
    assert!(!log.contains("sesame"), "{log}");
}
