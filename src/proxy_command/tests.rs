use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{CommandReport as _, Names, Process, ProxyCommand, Tail, limits};

fn names(user: &str) -> Names<'_> {
    Names { host: "10.0.0.7", name: "web1", port: 2222, user }
}

#[test]
fn tokens_are_expanded() {
    for (text, line) in [
        ("nc %h %p", "nc 10.0.0.7 2222"),
        ("ssh -W %h:%p %r@gate", "ssh -W 10.0.0.7:2222 deploy@gate"),
        ("%n%n", "web1web1"),
        ("printf 100%%%%h", "printf 100%%h"),
        ("é%hé", "é10.0.0.7é"),
        ("nc", "nc"),
    ] {
        assert_eq!(ProxyCommand::check(text), Ok(()), "{text}");
        assert_eq!(ProxyCommand::new(text).line(&names("deploy")), line);
    }
}

#[test]
fn other_tokens_and_empty_texts_are_refused() {
    for (text, problem) in [
        ("", "is empty"),
        (" \t", "is empty"),
        ("nc\0", "contains a NUL byte"),
        ("nc %d", "\"%d\" is none of %h, %n, %p, %r and %%"),
        ("nc %h%", "\"%\" is none of %h, %n, %p, %r and %%"),
        ("nc %%%é", "\"%é\" is none of %h, %n, %p, %r and %%"),
    ] {
        assert_eq!(ProxyCommand::check(text), Err(problem.to_owned()), "{text:?}");
    }
    assert!(ProxyCommand::check(&"x".repeat(1 << 20)).is_err());
}

#[test]
fn a_login_name_that_a_shell_would_interpret_is_refused_where_it_becomes_a_part() {
    let hostile = [
        "x;touch y",
        "`x`",
        "$(x)",
        "a$IFS-oProxyCommand=x",
        "-l",
        "a b",
        "a\tb",
        "x\n",
        "*",
        "a?",
        "[x]",
        "~x",
        "#x",
        "!!",
        "x>y",
        "x|y",
        "x&",
        "'",
        "\"",
        "{a,b}",
        "a\\",
        "",
        "\u{202e}x",
    ];
    for user in hostile {
        let command = ProxyCommand::new("ssh -W %h:%p %r@gate");
        assert!(command.check_names(&names(user)).is_err(), "{user:?}");
        assert!(ProxyCommand::new("nc %h %p %%r").check_names(&names(user)).is_ok(), "{user:?}");
    }
    for user in ["deploy", "CORP\\deploy", "a.b-c_d@example.org", "müller"] {
        assert_eq!(ProxyCommand::new("%r").check_names(&names(user)), Ok(()), "{user}");
    }
}

#[test]
fn the_last_lines_are_kept_whole_and_printable() {
    let mut tail = Tail::default();
    assert_eq!(tail.text(), None);
    tail.push(b" \n");
    assert_eq!(tail.text(), None);
    for number in 0..2_000 {
        tail.push(format!("line {number}\r\n").as_bytes());
    }
    tail.push(b"the \x1b[31mend\x9b\n");
    let text = tail.text().unwrap();
    assert!(text.starts_with("line 1") && text.len() <= limits::SAID, "{text}");
    assert!(text.ends_with("line 1999\nthe \\x1b[31mend\\x9b"), "{text}");
    tail.push(&[b'x'; 2 * limits::SAID]);
    assert_eq!(tail.text().unwrap().len(), limits::SAID);
}

fn start(line: &str) -> (Process, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    (Process::start(Path::new("/bin/sh"), line, far.into()).unwrap(), near)
}

fn await_true(mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_process_has_the_socket_and_its_end_is_reported() {
    let (mut process, mut near) = start("sh -c 'read line; echo \"<$line>\"; echo oops >&2; exit 7'");
    assert!(process.end().is_pending());
    std::io::Write::write_all(&mut near, b"hello\n").unwrap();
    let mut text = String::new();
    near.read_to_string(&mut text).unwrap();
    assert_eq!(text, "<hello>\n");
    await_true(|| process.end().is_ready());
    let Poll::Ready(Some(status)) = process.end() else { panic!("no status") };
    assert_eq!(status.code(), Some(7));
    assert_eq!(process.said().as_deref(), Some("oops"));
    await_true(|| process.is_gone());
}

#[test]
fn a_signal_reaches_the_whole_group() {
    let (mut process, mut near) = start("sh -c 'sleep 1000 & sleep 1000'");
    process.terminate();
    await_true(|| process.is_gone());
    // No process has the other end any more.
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 0);
}

/// As a process is that has tried to read a password from the terminal.
#[test]
fn a_stopped_process_ends_without_force() {
    let (mut process, _near) = start("sh -c 'kill -STOP $$; sleep 1000'");
    let stat = format!("/proc/{}/stat", process.id());
    await_true(|| std::fs::read_to_string(&stat).unwrap().contains(") T "));
    process.terminate();
    await_true(|| process.is_gone());
}

#[test]
fn the_other_members_of_the_group_outlive_the_first() {
    let (mut process, _near) = start("sh -c 'sleep 1000 & exit 0'");
    await_true(|| process.end().is_ready());
    assert!(!process.is_gone());
    process.kill();
    await_true(|| process.is_gone());
}

#[test]
fn a_shell_that_does_not_exist_is_an_error() {
    let (_near, far) = UnixStream::pair().unwrap();
    let error = Process::start(Path::new("/nonexistent/sh"), "true", far.into()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}
