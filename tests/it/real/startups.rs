//! A server with room for few logins at once: OpenSSH's `MaxStartups`, above which it closes
//! connections before it has identified itself.

use std::time::Duration;

use sshoal::config::RetryPolicy;
use sshoal::{HostErrorKind, JoinOptions, Stage};

use super::{build, client_for, guard, start_error, stdout};
use crate::support::sshd::Sshd;

const HOST: &str = "127.0.2.1";
const ENTRIES: usize = 30;

/// All start at once, and with the default policy each succeeds in the end.
#[test]
fn a_server_with_room_for_two_or_three_logins_serves_thirty() {
    let _dog = guard("max_startups");
    for room in ["2:100:2", "3"] {
        let sshd = Sshd::builder().option(&format!("MaxStartups {room}")).start();
        // A busy machine may need longer than the policy's time limit.
        let policy = RetryPolicy::default().time_limit(None);
        let mut client = build(client_for(&sshd, [HOST; ENTRIES]).pool_size(ENTRIES).retry(policy));
        let outputs = client.run_command("echo in").expect("each gets in");
        client.join(&outputs, JoinOptions::default().timeout(Duration::from_secs(60))).expect("all end");
        for output in &outputs {
            assert_eq!((stdout(output), output.exit_code()), (vec!["in".to_owned()], Some(0)));
        }
        assert!(sshd.count("MaxStartups") > 0, "{room} dropped no connection:\n{}", sshd.log());
    }
}

/// Without a second attempt there is no pause either.
#[test]
fn with_a_single_attempt_a_dropped_connection_is_final() {
    let _dog = guard("max_startups_once");
    let sshd = Sshd::builder().option("MaxStartups 1:100:1").start();
    let error = start_error(client_for(&sshd, [HOST; ENTRIES]).pool_size(ENTRIES));
    assert_eq!((error.stage(), error.attempt()), (Stage::Handshaking, 1), "{error}");
    assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{error}");
    assert!(error.to_string().contains("before it named itself"), "{error}");
}
