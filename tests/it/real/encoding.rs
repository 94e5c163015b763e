//! Commands and output in encodings other than UTF-8.

use sshoal::{Command, Error, HostErrorKind, HostOutput};

use super::{build, client_for, guard, join, run_one, stdout};
use crate::support::sshd::Sshd;

const HOST: [&str; 1] = ["127.0.2.1"];

/// Sent as input and returned as output.
fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

/// A `printf` of these bytes.
fn printf(bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("printf '{escaped}'")
}

fn lines(output: &HostOutput) -> Vec<String> {
    output.stdout().map(|line| line.expect("no error")).collect()
}

#[test]
fn a_command_reaches_the_host_in_its_encoding() {
    let _dog = guard("a_command_reaches_the_host");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    for (label, hex) in [
        ("shift_jis", "95 5c"),
        ("euc-jp", "c9 bd"),
        ("gb18030", "b1 ed"),
        ("iso-2022-jp", "1b 24 42 49 3d 1b 28 42"),
        ("utf-16le", "e8 a1 a8"),
    ] {
        // The second form passes through two shells.
        let text = "printf %s '表' | od -An -tx1 | sed 's/^ //' | iconv -f ascii -t";
        for command in
            [Command::new(format!("{text} {label}")), Command::new(format!("{text} {label}")).shell("sh -c")]
        {
            let outputs = client.run_command(command.encoding(label)).expect("it starts");
            join(&client, &outputs);
            assert_eq!(lines(&outputs[0]), [hex], "{label}");
        }
    }
    let outputs = client.run_command(Command::new("printf '表\\n'").encoding("big5")).expect("it starts");
    assert_eq!((outputs[0].encoding(), lines(&outputs[0])), ("Big5", vec!["表".to_owned()]));
}

#[test]
fn output_is_text_in_its_encoding() {
    let _dog = guard("output_is_text");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let text = "\u{feff}é\r\n\r\n表\rĊ\n\u{1f980} no end";
    let expected = ["é", "", "表\rĊ", "\u{1f980} no end"];
    for (label, sent) in [
        ("utf-8", text.as_bytes().to_vec()),
        ("utf-16le", utf_16(text, u16::to_le_bytes)),
        ("utf-16", utf_16(text, u16::to_le_bytes)),
        ("utf-16be", utf_16(text, u16::to_be_bytes)),
    ] {
        let command = Command::new(printf(&sent)).encoding(label);
        let outputs = client
            .run_command_with(&command, sshoal::ReadOptions::default().strict_encoding(true))
            .expect("it starts");
        assert_eq!(lines(&outputs[0]), expected, "{label}");
        // Bytes are not converted.
        let outputs = client
            .run_command_with(command, sshoal::ReadOptions::default().strict_encoding(true))
            .expect("it starts");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut outputs[0].stdout_reader(), &mut bytes).expect("no error");
        assert_eq!(bytes, sent, "{label}");
    }
    for (label, sent, expected) in [
        ("latin1", &b"\xe9\r\n\x80\n"[..], ["é", "€"]),
        ("shift_jis", b"\x95\x5c\r\n\xb1\n", ["表", "ｱ"]),
        ("gb18030", b"\xb1\xed\r\n\x95\x30\xd8\x32\n", ["表", "\u{1f980}"]),
    ] {
        let outputs = client.run_command(Command::new(printf(sent)).encoding(label)).expect("it starts");
        assert_eq!(lines(&outputs[0]), expected, "{label}");
    }
}

#[test]
fn the_encoding_can_be_changed_between_two_lines() {
    let _dog = guard("the_encoding_can_be_changed");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let sent = [&b"caf\xe9\n\xc3\xa9\n"[..], &utf_16("a\nĊ\n", u16::to_le_bytes)].concat();
    let mut output = client.run_command(printf(&sent).as_str()).expect("it starts").remove(0);
    assert_eq!(output.encoding(), "UTF-8");
    output.set_encoding("iso-8859-1").expect("it exists");
    assert_eq!(output.encoding(), "windows-1252");
    let next = |output: &HostOutput| output.stdout().next().expect("a line").expect("no error");
    assert_eq!(next(&output), "café");
    let error = output.set_encoding("iso-8859-99").expect_err("there is none");
    assert!(error.to_string().starts_with("encoding \"iso-8859-99\": "), "{error}");
    assert_eq!(output.encoding(), "windows-1252");
    output.set_encoding("utf-8").expect("it exists");
    assert_eq!(next(&output), "é");
    output.set_encoding("utf-16").expect("it exists");
    // Code units are counted from the start of the stream; from here on they are not aligned.
    assert_eq!(sent.len() % 2, 0);
    assert_eq!(lines(&output), ["a", "Ċ"]);
}

#[test]
fn a_strict_reader_loses_nothing() {
    let _dog = guard("a_strict_reader");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    let command = "printf 'before\\nb\\303d \\377\\r\\nbehind\\n\\303'";
    let strict = Command::new(command);
    for output in [
        client
            .run_command_with(&strict, sshoal::ReadOptions::default().strict_encoding(true))
            .expect("it starts"),
        {
            let mut outputs = client.run_command(command).expect("it starts");
            outputs[0].set_strict_encoding(true);
            outputs
        },
    ] {
        let shown: Vec<String> = output[0]
            .stdout()
            .map(|line| match line {
                Ok(line) => line,
                Err(error) => {
                    assert_eq!(error.host(), "127.0.2.1");
                    let HostErrorKind::Undecodable { encoding: "UTF-8", offset, line, .. } = error.kind()
                    else {
                        panic!("{error}");
                    };
                    assert!(
                        error
                            .to_string()
                            .ends_with(&format!("a line of output is not UTF-8 at byte {offset}"))
                    );
                    format!("{offset}: {}", line.escape_ascii())
                }
            })
            .collect();
        assert_eq!(shown, ["before", "1: b\\xc3d \\xff", "behind", "0: \\xc3"]);
        join(&client, &output);
        assert_eq!(output[0].exit_code(), Some(0));
    }
    let outputs = client.run_command(command).expect("it starts");
    assert_eq!(stdout(&outputs[0]), ["before", "b\u{fffd}d \u{fffd}", "behind", "\u{fffd}"]);
}

#[test]
fn a_wrong_label_and_a_text_without_a_code_start_nothing() {
    let _dog = guard("a_wrong_label");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, HOST));
    for (text, label) in [("true", "klingon"), ("true", ""), ("true", "utf-32"), ("echo 表", "latin1")] {
        match client.run_command(Command::new(text).encoding(label)) {
            Err(error @ Error::Config { .. }) => {
                assert!(error.to_string().starts_with("encoding "), "{error}")
            }
            Err(Error::Command(problem)) => {
                assert_eq!(
                    problem.to_string(),
                    "the character at offset 5 cannot be encoded in windows-1252"
                );
            }
            other => panic!("{label}: {other:?}"),
        }
        assert_eq!(client.metrics().connections, 0);
    }
    assert_eq!(run_one(&mut client, "echo still"), ["still"]);
    assert_eq!(sshd.count("Connection from"), 1);
}
