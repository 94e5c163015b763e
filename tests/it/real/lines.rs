//! Output that is not tidy text.

use std::io::Write;
use std::time::Duration;

use sshoal::{HostErrorKind, StdStream};

use super::{build, client_for, guard, join, stdout};
use crate::support::sshd::Sshd;

fn raw(output: &sshoal::HostOutput) -> Vec<Vec<u8>> {
    output.stdout().raw().map(|line| line.expect("no error")).collect()
}

#[test]
fn line_ends_and_strange_bytes() {
    let _dog = guard("line_ends");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    let printf = r"printf 'a\377\376z\r\n\n\r\nlone\rreturn\nnul\000here\nno end\r'";
    let outputs = client.run_command(printf).expect("starts");
    let expected: [&[u8]; 6] = [b"a\xff\xfez", b"", b"", b"lone\rreturn", b"nul\0here", b"no end\r"];
    assert_eq!(raw(&outputs[0]), expected);

    let outputs = client.run_command(printf).expect("starts");
    let expected = ["a\u{fffd}\u{fffd}z", "", "", "lone\rreturn", "nul\0here", "no end\r"];
    assert_eq!(stdout(&outputs[0]), expected);

    let outputs = client.run_command("true").expect("starts");
    assert_eq!(raw(&outputs[0]), [b""; 0]);
    join(&client, &outputs);
}

#[test]
fn a_line_of_a_megabyte_arrives_whole() {
    let _dog = guard("megabyte_line");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2"]));
    let command = "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo after; printf unended";
    let outputs = client.run_command(command).expect("starts");
    for output in &outputs {
        let lines = stdout(output);
        assert_eq!((lines.len(), lines[1].as_str(), lines[2].as_str()), (3, "after", "unended"));
        assert_eq!(lines[0].len(), 1_000_000);
        assert!(lines[0].bytes().all(|byte| byte == b'x'));
    }
}

#[test]
fn the_two_streams_do_not_mix() {
    let _dog = guard("two_streams");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    let command = "i=0; while [ $i -lt 500 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done";
    let outputs = client.run_command(command).expect("starts");
    let numbered = |name: &str| (0..500).map(|i| format!("{name}{i}")).collect::<Vec<_>>();
    // The stream read last has waited meanwhile.
    let stderr: Vec<String> = outputs[0].stderr().map_while(Result::ok).collect();
    assert_eq!(stderr, numbered("err"));
    assert_eq!(stdout(&outputs[0]), numbered("out"));
}

/// The lines of all outputs in one loop: a slow host does not hold up the lines of others, and the
/// lines of one stream stay in order.
#[test]
fn lines_of_several_hosts_come_as_they_arrive() {
    let _dog = guard("all_lines");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let mut client = build(client_for(&sshd, &hosts));
    // The first host prints in the middle, and at the end, of what it is sent.
    let text = "set -- $SSH_CONNECTION; case $3 in *.1) read -r go; echo late; read -r go; echo last;;
        *) echo out; echo err >&2; i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i+1)); done;; esac";
    let outputs = client.run_command(text).expect("starts");
    let mut seen: Vec<(usize, StdStream, String)> = Vec::new();
    for (output, stream, line) in client.lines(&outputs) {
        seen.push((output.position(), stream, line.expect("no error")));
        // 1,002 lines of each of the other hosts must come before the first host may print.
        if seen.len() == 2004 || seen.len() == 2005 {
            outputs[0].stdin().write_all(b"go\n").expect("queued");
        }
    }
    let of = |host, stream| {
        let lines = seen.iter().filter(move |(at, of, _)| (*at, *of) == (host, stream));
        lines.map(|(_, _, line)| line.clone()).collect::<Vec<_>>()
    };
    let numbers: Vec<String> =
        std::iter::once("out".to_owned()).chain((0..1000).map(|i| i.to_string())).collect();
    for host in [1, 2] {
        assert_eq!(of(host, StdStream::Stdout), numbers);
        assert_eq!(of(host, StdStream::Stderr), ["err"]);
    }
    assert_eq!(of(0, StdStream::Stdout), ["late", "last"]);
    assert_eq!(seen.len(), 2006);
}

#[test]
fn lines_of_several_hosts_include_errors_and_read_timeouts_once_each() {
    let _dog = guard("all_lines_errors");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(3).collect();
    let mut client = build(client_for(&sshd, &hosts));
    let text = "set -- $SSH_CONNECTION; case $3 in *.1) read -r go; echo late;;
        *.2) echo a; read -r go; kill -9 $PPID;; esac";
    let options = sshoal::ReadOptions::default().read_timeout(Duration::from_millis(300));
    let outputs = client.run_command_with(text, options).expect("starts");
    let (mut lines, mut losses, mut timeouts) = (Vec::new(), 0, 0);
    for (output, _, line) in client.lines(&outputs) {
        match line {
            Ok(line) => {
                // The second host's connection ends once its line has arrived.
                if output.position() == 1 {
                    output.stdin().write_all(b"go\n").expect("queued");
                }
                lines.push((output.position(), line));
            }
            Err(error) if matches!(error.kind(), HostErrorKind::Timeout { .. }) => {
                timeouts += usize::from(output.position() == 0);
                if timeouts == 2 {
                    outputs[0].stdin().write_all(b"go\n").expect("queued");
                }
            }
            Err(error) => {
                assert_eq!(output.position(), 1, "{error}");
                losses += 1;
            }
        }
    }
    lines.sort();
    assert_eq!(lines, [(0, "late".to_owned()), (1, "a".to_owned())]);
    assert!(losses == 1 && timeouts >= 2, "{losses} {timeouts}");
    // Dropped early, the iterator loses nothing.
    let outputs = client.run_command("echo one; echo two").expect("starts");
    join(&client, &outputs);
    assert_eq!(client.lines(&outputs[..1]).count(), 2);
    assert_eq!(client.lines(&outputs[1..2]).take(1).count(), 1);
    assert_eq!(stdout(&outputs[1]), ["two"]);
}
