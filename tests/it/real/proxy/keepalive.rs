//! A bastion that falls silent: no host behind it waits for ever.

use std::time::{Duration, Instant};

use sshoal::{HostErrorKind, JoinOptions};

use super::super::{SLOW, build, guard, join, stdout};
use super::behind;
use crate::support::process::continue_sessions;
use crate::support::sshd::Sshd;

const HOSTS: [&str; 3] = ["127.0.2.1", "127.0.2.2", "127.0.2.3"];

#[test]
fn hosts_behind_a_bastion_that_is_stopped_are_dead_and_come_back_through_a_new_connection() {
    let _dog = guard("bastion_stopped");
    let (bastion, target) = (Sshd::start(), Sshd::start());
    let mut client = build(behind(&bastion, &target, &HOSTS).keepalive(Duration::from_millis(250)));
    let running = client.run_command("exec sleep 600").expect("all start");
    let sessions = bastion.daemon().stop_sessions();
    let begun = Instant::now();
    client.join(&running, JoinOptions::default().timeout(SLOW)).expect("all end");
    assert!(begun.elapsed() >= Duration::from_millis(750), "{:?}", begun.elapsed());
    for output in &running {
        let error = output.error().expect("nothing is heard of it");
        let dead = |kind: &HostErrorKind| matches!(kind, HostErrorKind::PeerDead { .. });
        // Either is noticed first: a host is as silent as its bastion, whose end disconnects it.
        let lost = matches!(error.kind(), HostErrorKind::ConnectionLost(_));
        let of_bastion = matches!(error.kind(), HostErrorKind::Proxy(inner) if dead(inner.kind()));
        assert!(dead(error.kind()) || of_bastion || lost, "{error}");
    }
    let outputs = client.run_command("echo again").expect("all start");
    join(&client, &outputs);
    assert!(outputs.iter().all(|output| stdout(output) == ["again"]));
    assert_eq!(bastion.count("Connection from"), 2);
    continue_sessions(&sessions);
}
