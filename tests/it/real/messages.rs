//! How many messages logins and commands take, in each direction. `docs/performance.md` has the
//! figures.

use sshoal::Fleet;

use super::{guard, known_hosts_at, with_key};
use crate::sim::counted::messages::{Counted, count};
use crate::support::sshd::Sshd;

/// libssh 0.10 adjusts a window for output.
#[test]
fn logins_and_commands_need_few_messages() {
    let _dog = guard("messages");
    let sshd = Sshd::start();
    let Counted { login, first, further } = count(sshd.address(), |address| {
        let builder = with_key(Fleet::builder([address.to_string()]).user(sshd.user()), &sshd);
        builder.known_hosts([known_hosts_at(&sshd, &[address])])
    });
    // With the message at the connection's end, and OpenSSH's two about its extensions and keys.
    assert!(login[0] <= 6 && login[1] <= 8, "sent and received for a login: {login:?}");
    assert!(first[0] <= 5 && first[1] <= 7, "for the first command: {first:?}");
    assert!(further[0] <= 5.0 && further[1] <= 7.0, "for each further command: {further:?}");
}
