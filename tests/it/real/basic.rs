//! Commands on loopback hosts of one sshd: outputs, positions, connections, exit states.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sshoal::{Command, Outcome};

use super::{build, client_for, guard, join, rest, run_one, stdout};
use crate::support::sshd::Sshd;

/// Sets `$3` to the address and `$2` to the port of the two ends as sshd sees them.
const ENDS: &str = "set -- $SSH_CONNECTION;";

#[test]
fn a_hundred_hosts_each_with_its_own_output() {
    let _dog = guard("a_hundred_hosts");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(100).collect();
    let mut client = build(client_for(&sshd, &hosts));
    assert_eq!((client.len(), client.is_empty()), (100, false));
    assert!(client.last_output().is_empty());
    let command = format!("{ENDS} echo \"out $3\"; echo \"err $3\" >&2; echo more; exit ${{3##*.}}");
    for round in 1..=2 {
        let outputs = client.run_command(command.as_str()).expect("all start");
        join(&client, &outputs);
        assert!(client.finished(&outputs).expect("poll"));
        for (position, (output, host)) in outputs.iter().zip(&hosts).enumerate() {
            assert_eq!(
                (output.position(), output.host(), output.port()),
                (position, host.as_str(), sshd.port())
            );
            let expected_out = [format!("out {host}").into_bytes(), b"more".to_vec()];
            assert_eq!(
                rest(output),
                (expected_out.to_vec(), vec![format!("err {host}").into_bytes()]),
                "{host}"
            );
            let code = u32::try_from(position + 1).expect("small");
            assert_eq!((output.exit_code(), output.exit_signal()), (Some(code), None), "{host}");
        }
        // The second round runs over the connections of the first.
        assert_eq!(sshd.count("Connection from"), 100, "round {round}");
        assert_eq!(sshd.count("Accepted publickey"), 100, "round {round}");
        assert_eq!(client.metrics().connections, 100);
    }
}

#[test]
fn duplicates_names_and_ipv6_are_hosts_of_their_own() {
    let _dog = guard("duplicates_names_and_ipv6");
    let listen = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    let sshd = Sshd::builder().listen(listen).start();
    let hosts = ["127.0.0.1", "::1", "127.0.0.1", "localhost", "127.0.0.1", "localhost"];
    let mut client = build(client_for(&sshd, hosts));
    let outputs = client.run_command(format!("{ENDS} echo $2; echo $3")).expect("all start");
    join(&client, &outputs);
    let mut ports = Vec::new();
    for (position, (output, host)) in outputs.iter().zip(hosts).enumerate() {
        assert_eq!((output.position(), output.host()), (position, host));
        let lines = stdout(output);
        let [port, address] = lines.as_slice() else { panic!("{lines:?}") };
        ports.push(port.clone());
        match host {
            "localhost" => assert!(["127.0.0.1", "::1"].contains(&address.as_str()), "{address}"),
            host => assert_eq!(address, host),
        }
    }
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), hosts.len(), "a connection each");
}

#[test]
fn two_commands_run_side_by_side_on_one_connection() {
    let _dog = guard("side_by_side");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2"]));
    let first = client.run_command("read -r word; echo first $word; exit 5").expect("starts");
    let second = client.run_command("echo second").expect("starts");
    join(&client, &second);
    assert!(!client.finished(&first).expect("poll"));
    assert_eq!(client.last_output().len(), 2);
    for output in &second {
        assert_eq!((stdout(output), output.exit_code()), (vec!["second".to_owned()], Some(0)));
    }
    for output in &first {
        assert_eq!((output.is_finished(), output.exit_code()), (false, None));
        output.stdin().write_all(b"word\n").expect("queued");
    }
    join(&client, &first);
    for output in &first {
        assert_eq!((stdout(output), output.exit_code()), (vec!["first word".to_owned()], Some(5)));
    }
    assert_eq!(sshd.count("Connection from"), 2);
}

#[test]
fn outputs_outlive_their_client() {
    let _dog = guard("outputs_outlive");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2"]));
    let outputs = client.start_command("echo one; echo two; exit 3").expect("valid");
    let last = client.last_output().to_vec();
    drop(client);
    // At most TCP is connected yet: reading through either handle drives the fleet.
    assert_eq!(sshd.count("Accepted publickey"), 0);
    assert_eq!(outputs[0].stdout().next().expect("a line").expect("no error"), "one");
    assert_eq!(stdout(&last[0]), ["two"]);
    assert_eq!(stdout(&last[1]), ["one", "two"]);
    drop(last);
    for output in &outputs {
        assert_eq!(stdout(output), [""; 0]);
        assert_eq!(output.exit_code(), Some(3));
    }
}

#[test]
fn last_output_is_that_of_the_latest_command_also_when_it_failed() {
    let _dog = guard("last_output");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1", "127.0.2.2"]).user("sshoal-nobody"));
    let error = client.run_command("echo never").expect_err("no such user");
    let last = client.last_output().to_vec();
    assert_eq!(last.len(), 2);
    assert!(last.iter().any(|output| output.error().is_some_and(|e| e.to_string() == error.to_string())));
    join(&client, &last);
    assert!(last.iter().all(|output| matches!(output.outcome(), Some(Outcome::Failed(_)))));
    let outputs = client
        .run_command_with(Command::new("true"), sshoal::ReadOptions::default().stop_on_errors(false))
        .expect("in the outputs");
    assert!(outputs.iter().all(|output| output.error().is_some()));
}

#[test]
fn exit_states_are_told_as_they_are() {
    let _dog = guard("exit_states");
    let sshd = Sshd::start();
    let mut client = build(client_for(&sshd, ["127.0.2.1"]));
    for code in [0, 1, 2, 42, 126, 127, 128, 200, 254, 255] {
        let outputs = client.run_command(format!("exit {code}")).expect("starts");
        join(&client, &outputs);
        assert_eq!((outputs[0].exit_code(), outputs[0].exit_signal()), (Some(code), None));
        assert_eq!(outputs[0].outcome().expect("finished").is_success(), code == 0);
    }
    let outputs = client.run_command("sshoal-no-such-command").expect("starts");
    join(&client, &outputs);
    assert_eq!(outputs[0].exit_code(), Some(127));
    assert!(!rest(&outputs[0]).1.is_empty(), "the shell's complaint");
    for name in ["TERM", "KILL", "HUP", "PIPE"] {
        let outputs = client.run_command(format!("echo before; kill -{name} $$; sleep 9")).expect("starts");
        join(&client, &outputs);
        let signal = outputs[0].exit_signal().expect("a signal");
        assert_eq!((signal.name.as_str(), signal.core_dumped), (name, false));
        assert_eq!((outputs[0].exit_code(), stdout(&outputs[0])), (None, vec!["before".to_owned()]));
    }
    assert_eq!(run_one(&mut client, "echo still here"), ["still here"]);
}
