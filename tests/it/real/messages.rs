//! How many messages logins and commands take, in each direction. `docs/performance.md` has the
//! figures.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use sshoal::Fleet;

use super::{SLOW, guard, known_hosts_at, with_key};
use crate::support::fleet::Driven;
use crate::support::ports;
use crate::support::sshd::Sshd;

/// Computes the MAC over encrypted messages, so that their lengths are readable.
const MAC: &str = "hmac-sha2-256-etm@openssh.com";
const MAC_BYTES: usize = 32;

/// The last message before encryption begins (RFC 4253, section 7.3).
const NEWKEYS: u8 = 21;

/// The messages of one direction.
#[derive(Debug, Default)]
struct Messages {
    count: usize,
    /// What is not a whole message yet.
    rest: Vec<u8>,
    had_version: bool,
    is_encrypted: bool,
}

impl Messages {
    fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        if !self.had_version {
            let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') else { return };
            self.rest.drain(..=end);
            self.had_version = true;
        }
        while let Some(length) = self.rest.first_chunk::<4>() {
            let mac = if self.is_encrypted { MAC_BYTES } else { 0 };
            let whole = 4 + u32::from_be_bytes(*length) as usize + mac;
            if self.rest.len() < whole {
                return;
            }
            self.count += 1;
            self.is_encrypted |= self.rest[5] == NEWKEYS;
            self.rest.drain(..whole);
        }
    }
}

/// Forwards one connection to the server. Returns where, and at its end how many messages there
/// were from the client and from the server.
fn counting_line(server: SocketAddr) -> (SocketAddr, JoinHandle<[usize; 2]>) {
    let (listener, address) = ports::listen([127, 0, 0, 1].into()).expect("listen");
    let counted = thread::spawn(move || {
        let client = accept(&listener);
        let server = TcpStream::connect(server).expect("the server is there");
        let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
        let (from, to) = (copy(&server), copy(&client));
        let received = thread::spawn(move || forward(from, to));
        [forward(client, server), received.join().expect("no panic")]
    });
    (address, counted)
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().expect("a client").0
}

fn forward(mut from: TcpStream, mut to: TcpStream) -> usize {
    let mut messages = Messages::default();
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        messages.push(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    messages.count
}

/// The messages of a connection that runs this many commands, one after the other.
fn connection(sshd: &Sshd, commands: usize) -> [usize; 2] {
    let (address, counted) = counting_line(sshd.address());
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
    counted.join().expect("no panic")
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
