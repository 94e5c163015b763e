//! How many messages logins and commands take, in each direction. `docs/performance.md` has the
//! figures.

use sshoal::Fleet;

use super::tape::{Recorder, Tape, before_encryption};
use super::{SLOW, guard, known_hosts_at, with_key};
use crate::support::fleet::Driven;
use crate::support::sshd::Sshd;

/// Computes the MAC over encrypted messages, so that their lengths are readable.
const MAC: &str = "hmac-sha2-256-etm@openssh.com";
const MAC_BYTES: usize = 32;

/// The messages of one direction.
fn count(stream: &[u8]) -> usize {
    let (mut count, mut at) = before_encryption(stream);
    while let Some(length) = stream.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        at += 4 + u32::from_be_bytes(*length) as usize + MAC_BYTES;
        count += usize::from(at <= stream.len());
    }
    count
}

/// The messages of a connection that runs this many commands, one after the other.
fn connection(sshd: &Sshd, commands: usize) -> [usize; 2] {
    let recorder = Recorder::start(sshd.address());
    let address = recorder.address();
    let builder = with_key(Fleet::builder([address.to_string()]).user(sshd.user()), sshd);
    let builder = builder.known_hosts([known_hosts_at(sshd, &[address])]).ciphers("aes256-ctr").macs(MAC);
    let mut driven = Driven::new(builder.build().expect("a fleet"));
    let hosts = driven.fleet.hosts().to_vec();
    driven.fleet.connect(hosts);
    driven.until(SLOW, "the login", |driven| driven.connected.len() == 1);
    for number in 1..=commands {
        let run = driven.fleet.start("echo hello").expect("it starts").run;
        driven.until(SLOW, "a command", |driven| driven.runs.len() == number);
        assert_eq!(driven.tally(run).succeeded, 1);
    }
    drop(driven);
    let Tape { to_server, to_client } = recorder.finish();
    [to_server, to_client].map(|stream| count(&stream))
}

/// The counts do not depend on the algorithms. libssh 0.10 adjusts a window for output.
#[test]
fn logins_and_commands_need_few_messages() {
    const FURTHER: usize = 10;
    let _dog = guard("messages");
    let sshd = Sshd::start();
    let [login, one, many] = [0, 1, 1 + FURTHER].map(|commands| connection(&sshd, commands));
    let first = [0, 1].map(|direction| one[direction] - login[direction]);
    let further = [0, 1].map(|direction| (many[direction] - one[direction]) as f64 / FURTHER as f64);
    // With the message at the connection's end, and OpenSSH's two about its extensions and keys.
    assert!(login[0] <= 6 && login[1] <= 8, "sent and received for a login: {login:?}");
    assert!(first[0] <= 5 && first[1] <= 7, "for the first command: {first:?}");
    assert!(further[0] <= 5.0 && further[1] <= 7.0, "for each further command: {further:?}");
}
