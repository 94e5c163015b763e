//! A careful OpenSSH server that rekeys every 64 KiB.

use super::{build, client_for, guard, join, rest};
use crate::support::sshd::Sshd;

#[test]
fn a_server_that_rekeys_every_64_kilobytes_is_served() {
    let _dog = guard("rekey_limit");
    let sshd = Sshd::builder().option("RekeyLimit 64K").log_level("DEBUG1").start();
    let mut client = build(client_for(&sshd, ["127.0.0.1"]));
    // Large packets, and then the smallest that a shell can be made to send.
    let blocks = "head -c 4194304 /dev/zero | tr '\\0' x";
    let bytes = "n=0; while [ $n -lt 12000 ]; do printf x; n=$((n+1)); done";
    for (command, printed) in [(blocks, 4 << 20), (bytes, 12_000)] {
        let outputs = client.run_command(command).expect("starts");
        join(&client, &outputs);
        assert_eq!(outputs[0].exit_code(), Some(0), "{:?}", outputs[0].outcome());
        assert_eq!(rest(&outputs[0]).0.concat().len(), printed);
    }
    // One connection.
    assert_eq!(sshd.count("Accepted publickey"), 1);
    let keys = sshd.count("SSH2_MSG_NEWKEYS received");
    assert!(keys > 50, "{keys} key exchanges");
}
