//! What goes through a proxy, and how often it is connected to.

use super::super::{build, guard, join, run_one, stdout};
use super::{GATE, SECOND_GATE, behind, gate, known};
use crate::real::client_for;
use crate::support::sshd::Sshd;

#[test]
fn hosts_behind_one_bastion_share_one_login_there() {
    let _dog = guard("share_one_login");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let hosts: Vec<String> = target.hosts(30).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let mut client = build(behind(&bastion, &target, &hosts));
    for _ in 0..2 {
        let outputs = client.run_command("set -- $SSH_CONNECTION; echo $3").expect("all start");
        join(&client, &outputs);
        for (output, host) in outputs.iter().zip(&hosts) {
            assert_eq!(stdout(output), [*host]);
            assert_eq!(output.exit_code(), Some(0));
        }
    }
    assert_eq!(bastion.count("Connection from"), 1);
    assert_eq!(bastion.count("Accepted publickey"), 1);
    assert_eq!(target.count("Accepted publickey"), 30);
    assert_eq!(client.stats().connections, 31);
}

#[test]
fn a_chain_of_two_bastions() {
    let _dog = guard("chain_of_two");
    let (outer, inner, target) = (Sshd::start(), Sshd::start(), Sshd::start());
    let known_hosts =
        known(&[(&outer, &[GATE]), (&inner, &[SECOND_GATE]), (&target, &["127.0.2.1", "127.0.2.2"])]);
    let builder = client_for(&target, ["127.0.2.1", "127.0.2.2"]).known_hosts([known_hosts]);
    let mut client = build(builder.proxies([gate(&outer, GATE), gate(&inner, SECOND_GATE)]));
    let outputs = client.run_command("echo through").expect("both start");
    join(&client, &outputs);
    for output in &outputs {
        assert_eq!(stdout(output), ["through"]);
    }
    for (server, logins) in [(&outer, 1), (&inner, 1), (&target, 2)] {
        assert_eq!(server.count("Accepted publickey"), logins);
    }
    assert_eq!(run_one(&mut client, "echo again"), ["again"]);
}
