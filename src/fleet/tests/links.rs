//! The peers of a simulated fleet: links that follow random scripts.

use std::net::SocketAddr;
use std::sync::Mutex;

use nix::errno::Errno;

use crate::fleet::registry::Links;
use crate::link::{AuthReply, Link, TunnelNews};
use crate::session::tests::fake_link::{FakeLink, Sent};
use crate::session::tests::random::Random;
use crate::session::tests::script::{Answer, Channel, Cred, Dial, Packet, Peer, Script, Tunnel};

/// The addresses of hosts; the last one is for proxies.
pub(super) const ADDRESSES: [&str; 5] = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.9"];

/// Makes links with random scripts.
pub(super) struct FakeLinks {
    state: Mutex<State>,
    sent: Sent,
    /// The percentage of good peers.
    good: u64,
}

struct State {
    random: Random,
    made: u16,
}

impl FakeLinks {
    pub(super) fn new(random: Random, good: u64, sent: Sent) -> Self {
        Self { state: Mutex::new(State { random, made: 0 }), sent, good }
    }
}

impl Links for FakeLinks {
    fn link(&self, _index: usize) -> Box<dyn Link> {
        let mut state = self.state.lock().unwrap();
        state.made += 1;
        let made = state.made;
        let mut link = FakeLink::new(script(&mut state.random, self.good)).numbered(made);
        link.sent = Some(self.sent.clone());
        Box::new(link)
    }

    fn returned(&self) -> Vec<usize> {
        Vec::new()
    }
}

fn script(random: &mut Random, good: u64) -> Script {
    let mut script = Script::peers((0..1 + random.below(2)).map(|_| peer(random, good)).collect());
    if !random.chance(good) {
        for address in ADDRESSES {
            let mut dials: Vec<Dial> = (0..random.below(3)).map(|_| random.dial()).collect();
            // The last dial never runs out of descriptors, so that they come back in the end.
            dials.push(random.pick(&[Dial::Connects(1), Dial::Silent, Dial::Fails(1, Errno::ECONNREFUSED)]));
            script = script.dialling(SocketAddr::new(address.parse().unwrap(), 22), &dials);
        }
    }
    script
}

fn peer(random: &mut Random, good: u64) -> Peer {
    let is_good = random.chance(good);
    let tunnels = (0..2).map(|_| tunnel(random, is_good)).collect();
    if !is_good {
        let mut peer = Peer { tunnels, ..random.peer() };
        peer.channels.iter_mut().for_each(|channel| mark(channel, random));
        return peer;
    }
    Peer {
        handshake: Answer::ok(random.below(3) as u32),
        replies: vec![(Cred::Password, Ok(AuthReply::Accepted))],
        channels: (0..2).map(|_| good_channel(random)).collect(),
        packets_per_pump: random.pick(&[1, 2, usize::MAX]),
        full_rounds: random.pick(&[0, 0, 0, 3]),
        write_through: random.chance(50),
        tunnels,
        ..Peer::default()
    }
}

/// A command that prints something and ends.
fn good_channel(random: &mut Random) -> Channel {
    let mut output = Vec::new();
    let mut at = 1;
    for _ in 0..random.below(5) {
        at += random.below(4) as u32;
        let length = if random.chance(5) { 3_000 } else { random.below(60) };
        let bytes = vec![0; length as usize];
        output.push((at, if random.chance(70) { Packet::Stdout(bytes) } else { Packet::Stderr(bytes) }));
    }
    // Some commands run for long.
    at += if random.chance(10) { 200 } else { random.below(4) as u32 };
    let status = u32::from(random.chance(20));
    output.extend([(at, Packet::Status(status)), (at, Packet::Eof), (at, Packet::Close)]);
    let mut channel = Channel { output, on_signal: vec![(1, Packet::Close)], ..Channel::default() };
    mark(&mut channel, random);
    channel
}

fn tunnel(random: &mut Random, is_good: bool) -> Tunnel {
    let after = random.rounds();
    match random.below(6) {
        0 if !is_good => Tunnel { news: None, ends_after: None },
        1 if !is_good => {
            let refused = TunnelNews::Refused { reason: 1 + random.below(4) as u32, text: String::new() };
            Tunnel { news: Some((after, refused)), ends_after: Some(after + 1) }
        }
        2 if !is_good => {
            let lived = random.below(40) as u32;
            Tunnel { news: Some((after, TunnelNews::Opened)), ends_after: Some(after + lived) }
        }
        _ => Tunnel { news: Some((after, TunnelNews::Opened)), ends_after: None },
    }
}

/// Fills all output with bytes that depend on their position in the stream, and with lines of many
/// lengths.
fn mark(channel: &mut Channel, random: &mut Random) {
    let salt = random.below(90) as usize;
    let mut places = [salt, salt + 40];
    for (_, packet) in &mut channel.output {
        let (bytes, place) = match packet {
            Packet::Stdout(bytes) => (bytes, &mut places[0]),
            Packet::Stderr(bytes) => (bytes, &mut places[1]),
            _ => continue,
        };
        for byte in bytes {
            *byte = match *place % 23 {
                17 if *place % 3 == 0 => b'\r',
                0 | 18 => b'\n',
                _ => b'!' + ((*place * 7 + *place / 90) % 90) as u8,
            };
            *place += 1;
        }
    }
}
