//! Standard input.

use std::io::{self, Read, Write};

use hostsim::pattern_byte;
use sshoal::JoinOptions;
use sshoal::config::Input;

use super::{client, command, fleet, settled, stdout, watch};

#[test]
fn ten_megabytes_come_back_as_they_went() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 2).build().unwrap();
    let outputs = client.run_command("cat").unwrap();
    let input: Vec<u8> = (0..10_000_000).map(pattern_byte).collect();
    for output in &outputs {
        output.stdin().write_all(&input).unwrap();
        output.stdin().close();
    }
    for output in &outputs {
        let mut echo = Vec::new();
        output.stdout_reader().read_to_end(&mut echo).unwrap();
        assert!(echo == input, "{} bytes of {}", echo.len(), input.len());
        assert_eq!(output.exit_code(), Some(0));
    }
}

#[test]
fn every_host_gets_its_own_input() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 20).build().unwrap();
    let outputs = client.run_command("count").unwrap();
    for output in &outputs {
        output.stdin().write_all(&vec![b'x'; 100_000 * output.position()]).unwrap();
        output.stdin().close();
    }
    for output in &outputs {
        assert_eq!(stdout(output), format!("{}\n", 100_000 * output.position()));
    }
}

#[test]
fn flush_waits_until_nothing_is_queued() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let outputs = client.run_command("count").unwrap();
    outputs[0].stdin().write_all(&vec![b'x'; 1_000_000]).unwrap();
    outputs[0].stdin().flush().unwrap();
    // libssh and the socket may hold some of it, the fleet does not.
    settled(&sim, |stats| stats.stdin_bytes >= 900_000);
}

#[test]
fn closed_input_takes_no_more() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 1).build().unwrap();
    let outputs = client.run_command("count").unwrap();
    outputs[0].stdin().write_all(b"abc").unwrap();
    outputs[0].stdin().close();
    let error = outputs[0].stdin().write_all(b"late").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert!(error.to_string().contains("standard input is closed"), "{error}");
    assert_eq!(stdout(&outputs[0]), "3\n");
}

#[test]
fn join_without_a_limit_ends_the_input_and_with_one_does_not() {
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, 3).build().unwrap();
    let outputs = client.run_command("count").unwrap();
    let limit = std::time::Duration::from_millis(300);
    assert!(client.join(&outputs, JoinOptions::default().timeout(limit)).is_err());
    outputs[1].stdin().write_all(b"after the timeout").unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    let counts: Vec<String> = outputs.iter().map(stdout).collect();
    assert_eq!(counts, ["0\n", "17\n", "0\n"]);
}

#[test]
fn input_for_a_command_that_has_ended_is_a_broken_pipe() {
    let _dog = watch();
    let sim = fleet(&["i:1..2 set:auth=refuse"]);
    let mut client = client(&sim, 2).build().unwrap();
    let outputs = client
        .run_command_with(super::command("true"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    client.join(&outputs, JoinOptions::default()).unwrap();
    for output in &outputs {
        let error = output.stdin().write_all(b"late").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(error.to_string().contains(output.host()), "{error}");
    }
}

/// Every command gets exactly one end of its input, and those without input get nothing else.
#[test]
fn no_input_and_given_input_end_by_themselves() {
    const HOSTS: usize = 50;
    let _dog = watch();
    let sim = fleet(&[]);
    let mut client = client(&sim, HOSTS).build().unwrap();
    let bytes: std::sync::Arc<[u8]> = (0..1 << 20).map(pattern_byte).collect();
    for (round, (input, count)) in
        [(Input::Empty, "0\n"), (bytes.into(), "1048576\n")].into_iter().enumerate()
    {
        let outputs = client.run_command(command("count").stdin(input)).unwrap();
        let limit = std::time::Duration::from_secs(60);
        client.join(&outputs, JoinOptions::default().timeout(limit)).unwrap();
        assert!(outputs.iter().all(|output| stdout(output) == count));
        let ends = ((round + 1) * HOSTS) as u64;
        let stats = settled(&sim, |stats| stats.eofs >= ends);
        assert_eq!((stats.eofs, stats.stdin_bytes), (ends, ((round * HOSTS) << 20) as u64));
    }
}
