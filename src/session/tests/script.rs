//! The script of a peer. In each round, everything that is on its way moves one step closer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nix::errno::Errno;

use super::policy::Policy;
use crate::agent::wire::Identity;
use crate::credential::Certificate;
use crate::credential::{KeyText, Opener};
use crate::error::AuthMethod;
use crate::hostkey::{HostKey, HostKeyPins, HostKeyPolicy, KnownHosts, Verifier};
use crate::link::{AuthReply, Credential, LinkError, LinkErrorKind, PrivateKey, Questions, TunnelNews};
use crate::output::ExitSignal;

/// Everything that a link will meet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// The results of dialling an address. Each dial takes the next entry, and the last one
    /// repeats. Addresses that are not listed connect in one round.
    pub dials: HashMap<SocketAddr, Vec<Dial>>,
    /// The peers of the connections, in order; the last one repeats.
    pub peers: Vec<Peer>,
}

/// The result of one dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dial {
    Connects(u32),
    Fails(u32, Errno),
    FailsAtOnce(Errno),
    Silent,
}

/// An answer, and the number of rounds until it arrives; `None` if it never arrives.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub after: Option<u32>,
    pub says: Result<(), LinkError>,
}

/// One SSH server.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub start: Result<(), LinkError>,
    /// With an answer after 0 rounds, the server sends its identification before SSH is started.
    pub handshake: Answer,
    pub key: Vec<u8>,
    pub service: Answer,
    /// The replies to credentials. Credentials that are not listed are refused.
    pub replies: Vec<(Cred, Result<AuthReply, LinkError>)>,
    /// The rounds of keyboard-interactive. The answers are then accepted or refused like other
    /// credentials.
    pub rounds: Vec<Questions>,
    /// If this is set, it replaces `replies` and `offers`.
    pub policy: Option<Policy>,
    pub auth_after: Option<u32>,
    /// What the server says before the login ends.
    pub banner: Option<&'static str>,
    /// The methods named with each refusal; the last entry repeats.
    pub offers: Vec<Vec<AuthMethod>>,
    /// Channels in the order of opening; the last one repeats.
    pub channels: Vec<Channel>,
    /// How many packets one pump reads before it reports that there is more.
    pub packets_per_pump: usize,
    /// How many packets one of the socket reads that a pump may make returns.
    pub packets_per_read: usize,
    /// The rounds in which the socket accepts nothing.
    pub full_rounds: u32,
    /// Whether requests reach the socket without a pump.
    pub write_through: bool,
    /// How many rounds pass until a keepalive is answered.
    pub alive_after: Option<u32>,
    /// The tunnels of a proxy in the order of opening; the last one repeats. If empty, the test
    /// reports the news itself.
    pub tunnels: Vec<Tunnel>,
}

/// What happens to one tunnel, and in how many rounds; `None` if it never happens. A tunnel also
/// ends once the host behind the proxy has hung up.
#[derive(Debug, Clone)]
pub(crate) struct Tunnel {
    pub news: Option<(u32, TunnelNews)>,
    pub ends_after: Option<u32>,
}

/// One session channel.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub open: Answer,
    /// The answers to the requests before the command, in order. The last one repeats.
    pub requests: Vec<Answer>,
    pub exec: Answer,
    /// What the command sends, each with the number of rounds since the request reached the server.
    pub output: Vec<(u32, Packet)>,
    /// What the command sends after a signal, each with the number of rounds since the signal.
    pub on_signal: Vec<(u32, Packet)>,
    /// If this is set, the program is an SFTP server, whose file has this size.
    pub sftp: Option<u64>,
    /// How many rounds the SFTP server takes for an answer.
    pub pace: u32,
    /// Whether its answers are shorter than those of any server.
    pub is_terse: bool,
    /// How much each write accepts. Later writes accept everything.
    pub takes: Vec<Take>,
    /// How many rounds pass until EOF and CLOSE can be sent. They can be sent at once if this is 0.
    pub eof_after: Option<u32>,
    pub close_after: Option<u32>,
    /// How many rounds pass until the server answers our CLOSE, unless it has already sent a CLOSE.
    pub confirm_after: Option<u32>,
}

#[derive(Debug, Clone)]
pub(crate) enum Packet {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    Eof,
    Status(u32),
    Signal(ExitSignal),
    Close,
    /// A key exchange completes after this many bytes that are not output.
    Keys(u64),
    /// The connection fails, once everything before it has been read.
    Fault(LinkError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// Nothing is accepted until a window adjustment arrives two rounds later.
    Nothing,
    AtMost(usize),
    Denied,
    Unwritable,
}

/// A credential, in the form in which tests name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cred {
    None,
    Probe(usize),
    Sign(usize),
    /// An agent's key, by number, first without and then with a signature.
    AgentAsk(usize),
    AgentSign(usize),
    Password,
    Gssapi,
    Interactive,
}

impl Answer {
    pub(crate) fn ok(after: u32) -> Self {
        Self { after: Some(after), says: Ok(()) }
    }

    pub(crate) fn never() -> Self {
        Self { after: None, says: Ok(()) }
    }

    pub(crate) fn error(after: u32, kind: LinkErrorKind) -> Self {
        Self { after: Some(after), says: Err(LinkError::new(kind, format!("{kind:?}"))) }
    }
}

impl Default for Peer {
    /// A well-behaved host: every answer takes one round, key 0 logs in, and every command exits
    /// with status 0.
    fn default() -> Self {
        Self {
            start: Ok(()),
            handshake: Answer::ok(1),
            key: host_key(0),
            service: Answer::ok(1),
            replies: vec![(Cred::Sign(0), Ok(AuthReply::Accepted))],
            rounds: Vec::new(),
            policy: None,
            auth_after: Some(1),
            banner: None,
            offers: vec![vec![AuthMethod::PublicKey, AuthMethod::Password]],
            channels: vec![Channel::default()],
            packets_per_pump: usize::MAX,
            packets_per_read: usize::MAX,
            full_rounds: 0,
            write_through: false,
            alive_after: Some(1),
            tunnels: Vec::new(),
        }
    }
}

impl Default for Channel {
    fn default() -> Self {
        let output = vec![
            (2, Packet::Stdout(b"out\n".to_vec())),
            (2, Packet::Stderr(b"err\n".to_vec())),
            (3, Packet::Status(0)),
            (3, Packet::Eof),
            (3, Packet::Close),
        ];
        Self {
            open: Answer::ok(1),
            requests: vec![Answer::ok(1)],
            exec: Answer::ok(1),
            output,
            on_signal: Vec::new(),
            sftp: None,
            pace: 0,
            is_terse: false,
            takes: Vec::new(),
            eof_after: Some(0),
            close_after: Some(0),
            confirm_after: Some(1),
        }
    }
}

impl Channel {
    pub(crate) fn sending(output: Vec<(u32, Packet)>) -> Self {
        Self { output, ..Self::default() }
    }
}

impl Script {
    pub(crate) fn peer(peer: Peer) -> Self {
        Self { peers: vec![peer], ..Self::default() }
    }

    pub(crate) fn peers(peers: Vec<Peer>) -> Self {
        Self { peers, ..Self::default() }
    }

    pub(crate) fn channel(channel: Channel) -> Self {
        Self::peer(Peer { channels: vec![channel], ..Peer::default() })
    }

    pub(crate) fn dialling(mut self, address: SocketAddr, dials: &[Dial]) -> Self {
        self.dials.insert(address, dials.to_vec());
        self
    }
}

pub(crate) fn lost() -> LinkError {
    LinkError::new(LinkErrorKind::Lost, "reset by peer")
}

/// Keys 0 and 1, made for these tests and used nowhere else.
pub(crate) const PRIVATE_KEYS: [&str; 2] = [
    "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACA/IUrF2neaKVGeNyFGwFmoGrwzL07Pm+nDgOJCOXm3LAAAAIitKmHArSph
wAAAAAtzc2gtZWQyNTUxOQAAACA/IUrF2neaKVGeNyFGwFmoGrwzL07Pm+nDgOJCOXm3LA
AAAEDnBoyenQx9rriGv88WJ8iqr+4MqkiD45/ZP0XTi8Sjoz8hSsXad5opUZ43IUbAWaga
vDMvTs+b6cOA4kI5ebcsAAAAAAECAwQF
-----END OPENSSH PRIVATE KEY-----
",
    "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACAXZbxLwL9hNknMIupPAqre4kifAZrK5fAghTQmZPvH1gAAAIguI9pmLiPa
ZgAAAAtzc2gtZWQyNTUxOQAAACAXZbxLwL9hNknMIupPAqre4kifAZrK5fAghTQmZPvH1g
AAAEAkZrXEEdTcYahndLWpUEysjrrirHdgQqIicfxwvhEBaRdlvEvAv2E2Scwi6k8Cqt7i
SJ8Bmsrl8CCFNCZk+8fWAAAAAAECAwQF
-----END OPENSSH PRIVATE KEY-----
",
];

/// Host key 0, which the tests' policy pins, and host key 1, which it refuses.
const HOST_KEYS: [&str; 2] = [
    "AAAAC3NzaC1lZDI1NTE5AAAAID8hSsXad5opUZ43IUbAWagavDMvTs+b6cOA4kI5ebcs",
    "AAAAC3NzaC1lZDI1NTE5AAAAIBdlvEvAv2E2Scwi6k8Cqt7iSJ8Bmsrl8CCFNCZk+8fW",
];

/// A certificate of key 0 for the user "deploy", valid until 2020-01-02 03:04:05 UTC.
const CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAINazYdcqvF+kRckcxQlwmRarYXnA2fETLYEEHGJ3mL00AAAAID8hSsXad5opUZ43IUbAWagavDMvTs+b6cOA4kI5ebcsAAAAAAAAAAAAAAABAAAABHRlc3QAAAAKAAAABmRlcGxveQAAAABeC+EAAAAAAF4NXaUAAAAAAAAAggAAABVwZXJtaXQtWDExLWZvcndhcmRpbmcAAAAAAAAAF3Blcm1pdC1hZ2VudC1mb3J3YXJkaW5nAAAAAAAAABZwZXJtaXQtcG9ydC1mb3J3YXJkaW5nAAAAAAAAAApwZXJtaXQtcHR5AAAAAAAAAA5wZXJtaXQtdXNlci1yYwAAAAAAAAAAAAAAMwAAAAtzc2gtZWQyNTUxOQAAACAR49/DJYE/8r4rtRr+tTYTltlEuTJXQs3ap+Bpe0C50AAAAFMAAAALc3NoLWVkMjU1MTkAAABArjalD0nWCJSLQG5DBxuulBV4Ge+qhGcpuw5Nzi/Lr5n/8d3v5I74w+neVtc5xfZ9fwxY++Lr9G+FMgl/B1EMAw==";

/// Keys 2 and 3 are further objects of keys 0 and 1. Key 4 is key 0 with the certificate.
static KEYS: LazyLock<[Arc<PrivateKey>; 5]> = LazyLock::new(|| {
    let parse = |text: &str| {
        let opener = Opener { passphrase: None, rounds_max: 1 };
        PrivateKey::import(&KeyText::find(text.as_bytes()).unwrap().open(opener).unwrap()).unwrap()
    };
    let [a, b] = PRIVATE_KEYS;
    let certificate = Certificate::parse("id-cert.pub".into(), CERTIFICATE.as_bytes()).unwrap();
    let certified = parse(a).certified(Arc::new(certificate)).unwrap();
    [parse(a), parse(b), parse(a), parse(b), certified].map(Arc::new)
});

static VERIFIER: LazyLock<Arc<Verifier>> =
    LazyLock::new(|| Arc::new(Verifier::new(KnownHosts::empty(), trusts_scripts())));

pub(crate) fn private_key(index: usize) -> Arc<PrivateKey> {
    KEYS[index].clone()
}

pub(crate) fn host_key(index: usize) -> Vec<u8> {
    BASE64_STANDARD.decode(HOST_KEYS[index]).unwrap()
}

/// An agent's key. The first two are the public halves of the [`private_key`]s. The last two are in
/// security keys.
pub(crate) fn identity(index: usize) -> Identity {
    let blob = match index {
        0 | 1 => host_key(index),
        7 => b"\0\0\0\x1ask-ssh-ed25519@openssh.com".to_vec(),
        8 => b"\0\0\0\x2bsk-ecdsa-sha2-nistp256-cert-v01@openssh.com".to_vec(),
        _ => vec![u8::try_from(index).unwrap()],
    };
    Identity::new(&blob, b"a comment")
}

/// Accepts the key that scripted peers send by default.
pub(crate) fn trusts_scripts() -> HostKeyPolicy {
    let trusted = HostKey::from_blob(host_key(0)).unwrap();
    HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(trusted.fingerprint()))
}

pub(crate) fn verifier() -> Arc<Verifier> {
    VERIFIER.clone()
}

impl Cred {
    pub(crate) fn method(self) -> AuthMethod {
        match self {
            Self::None => AuthMethod::None,
            Self::Probe(_) | Self::Sign(_) | Self::AgentAsk(_) | Self::AgentSign(_) => AuthMethod::PublicKey,
            Self::Password => AuthMethod::Password,
            Self::Gssapi => AuthMethod::Gssapi,
            Self::Interactive => AuthMethod::KeyboardInteractive,
        }
    }
}

impl From<&Credential> for Cred {
    fn from(credential: &Credential) -> Self {
        let index = |key| KEYS.iter().position(|known| Arc::ptr_eq(known, key)).unwrap();
        match credential {
            Credential::None => Self::None,
            Credential::Probe(key) => Self::Probe(index(key)),
            Credential::Key(key) => Self::Sign(index(key)),
            Credential::Agent { identity: key, signature } => {
                let index = (0..9).find(|index| identity(*index) == *key).unwrap();
                if signature.is_some() { Self::AgentSign(index) } else { Self::AgentAsk(index) }
            }
            Credential::Password(_) => Self::Password,
            Credential::Gssapi(_) => Self::Gssapi,
        }
    }
}
