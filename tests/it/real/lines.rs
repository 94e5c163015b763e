//! Output that is not tidy text.

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
