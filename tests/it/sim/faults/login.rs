//! During user authentication.

use super::super::{client, command, fleet, trusting, watch};
use super::{assert_endings, ending};

#[test]
fn faults_of_authentication() {
    assert_endings(
        "hostname",
        &[
            // Encrypted, and nothing after it.
            ("wire:silence", "Authenticating: authentication timeout"),
            ("auth:silence", "Authenticating: authentication timeout"),
            ("auth:stall", "Authenticating: authentication timeout"),
            ("auth:drip", "Authenticating: authentication timeout"),
            ("auth:fin", "Authenticating: connection lost"),
            ("auth:rst", "Authenticating: connection lost"),
            ("auth:garbage", "Authenticating: integrity"),
            ("auth:raw=00000000000000000000000000000000", "Authenticating: integrity"),
            ("set:auth-delay=20000", "Authenticating: authentication timeout"),
            ("set:auth-delay=500", "exit status 0"),
            (
                "auth:refuse",
                "Authenticating: auth tried [PublicKey] offered [PublicKey, Password, KeyboardInteractive]",
            ),
            ("set:auth=refuse", "Authenticating: auth tried [PublicKey] offered [PublicKey, Password]"),
            ("set:auth=password", "Authenticating: auth tried [PublicKey] offered [Password]"),
            ("set:auth=key+password", "Authenticating: auth tried [PublicKey] offered [Password]"),
        ],
    );
}

/// A credential that a host has refused is not offered to it again.
#[test]
fn each_credential_is_tried_once() {
    let _dog = watch();
    let sim = fleet(&["* set:auth=refuse"]);
    let builder = client(&sim, 3).password("wrong").guard_passwords(false).num_retries(5);
    let mut client = builder.build().unwrap();
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    for output in &outputs {
        assert_eq!(
            ending(output),
            "Authenticating: auth tried [PublicKey, Password] offered [PublicKey, Password]"
        );
    }
    let stats = sim.stats().unwrap();
    assert_eq!((stats.connections, stats.auth_password), (3, 3));
    assert_eq!(stats.auth_publickey_query + stats.auth_publickey_signed, 3);
}

#[test]
fn without_a_credential_the_error_says_so() {
    let _dog = watch();
    let sim = fleet(&["i:0..1 set:auth=none"]);
    let mut client = trusting(&sim, sim.hosts(2)).build().unwrap();
    let outputs = client
        .run_command_with(command("hostname"), sshoal::ReadOptions::default().stop_on_errors(false))
        .unwrap();
    super::assert_hostnames(&outputs[..1]);
    let text = outputs[1].error().unwrap().to_string();
    assert!(text.contains("tried nothing (no credential is configured or found)"), "{text}");
    assert!(text.contains("publickey, password, keyboard-interactive"), "{text}");
}
