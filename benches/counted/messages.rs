//! How many messages logins and commands take, in each direction.

use std::net::SocketAddr;
use std::time::Instant;

use sshoal::config::FleetBuilder;
use sshoal::{Budget, Event, Fleet};

use super::tape::{Recorder, Tape, before_encryption};

/// Computes the MAC over encrypted messages, so that their lengths are readable.
const MAC: &str = "hmac-sha2-256-etm@openssh.com";
const MAC_BYTES: usize = 32;

/// Further commands of the connection.
const FURTHER: usize = 10;

/// Messages that are sent and received.
#[derive(Debug)]
pub struct Counted {
    /// A login, and the end of the connection.
    pub login: [usize; 2],
    /// The first command.
    pub first: [usize; 2],
    /// A further command.
    pub further: [f64; 2],
}

/// Counts the messages of a fleet of one host, which has the address that is given to `fleet` and
/// is reached through it. The counts do not depend on the algorithms.
pub fn count(server: SocketAddr, fleet: impl Fn(SocketAddr) -> FleetBuilder) -> Counted {
    let [login, one, many] = [0, 1, 1 + FURTHER].map(|commands| {
        let recorder = Recorder::start(server);
        let fleet = fleet(recorder.address()).ciphers("aes256-ctr").macs(MAC);
        run(fleet.build().unwrap(), commands);
        let Tape { to_server, to_client } = recorder.finish();
        [to_server, to_client].map(|stream| messages(&stream))
    });
    Counted {
        login,
        first: [0, 1].map(|direction| one[direction] - login[direction]),
        further: [0, 1].map(|direction| (many[direction] - one[direction]) as f64 / FURTHER as f64),
    }
}

/// Connects, and runs this many commands, one after the other.
fn run(mut fleet: Fleet, commands: usize) {
    let hosts = fleet.hosts().to_vec();
    fleet.connect(hosts);
    until(&mut fleet, |event| matches!(event, Event::Connected { .. }));
    for _ in 0..commands {
        fleet.start("echo hello").unwrap();
        until(&mut fleet, |event| match event {
            Event::RunDone { tally, .. } => {
                assert_eq!(tally.succeeded, 1);
                true
            }
            _ => false,
        });
    }
}

fn until(fleet: &mut Fleet, is_last: impl Fn(&Event<'_>) -> bool) {
    loop {
        fleet.wait(None).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        while let Some(event) = fleet.next_event() {
            if let Event::Disconnected { error: Some(error), .. } = &event {
                panic!("{error}");
            }
            if is_last(&event) {
                return;
            }
        }
    }
}

/// The messages of one direction.
fn messages(stream: &[u8]) -> usize {
    let (mut count, mut at) = before_encryption(stream);
    while let Some(length) = stream.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        at += 4 + u32::from_be_bytes(*length) as usize + MAC_BYTES;
        count += usize::from(at <= stream.len());
    }
    count
}
