//! Security keys in software (OpenSSH `PROTOCOL.u2f`), and an agent whose user touches them late.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use openssl::bn::{BigNumContext, BigNumRef};
use openssl::ec::{EcGroup, EcKey, PointConversionForm};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sha::sha256;
use openssl::sign::Signer;

use super::agent::{
    FAILURE, FakeAgent, IDENTITIES_ANSWER, REQUEST_IDENTITIES, Reply, SIGN_RESPONSE, message, string,
};
use super::keys::KeyPair;

/// The application for which the keys were made, as `ssh-keygen` sets it.
const APPLICATION: &[u8] = b"ssh:";

/// The flag of a signature for which the key was touched.
const USER_PRESENT: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A key that needs no touch.
    Plain,
    SkEd25519,
    SkEcdsa,
}

impl KeyKind {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "ssh-ed25519",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsa => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }
}

/// A key that signs like one in a security key.
pub struct SoftKey {
    kind: KeyKind,
    pair: PKey<Private>,
    /// The public key, or the certificate.
    blob: Vec<u8>,
    counter: AtomicUsize,
}

impl SoftKey {
    pub fn generate(kind: KeyKind) -> Self {
        let (pair, public) = match kind {
            KeyKind::Plain | KeyKind::SkEd25519 => {
                let pair = PKey::generate_ed25519().expect("a key");
                let public = string(&pair.raw_public_key().expect("its public half"));
                (pair, public)
            }
            KeyKind::SkEcdsa => {
                let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
                let key = EcKey::generate(&group).expect("a key");
                let form = PointConversionForm::UNCOMPRESSED;
                let mut context = BigNumContext::new().expect("memory");
                let point = key.public_key().to_bytes(&group, form, &mut context).expect("a point");
                let public = [string(b"nistp256"), string(&point)].concat();
                (PKey::from_ec_key(key).expect("a key"), public)
            }
        };
        let application = if kind == KeyKind::Plain { Vec::new() } else { string(APPLICATION) };
        let blob = [string(kind.name().as_bytes()), public, application].concat();
        Self { kind, pair, blob, counter: AtomicUsize::new(1) }
    }

    /// As in `authorized_keys`.
    pub fn public(&self) -> String {
        format!("{} {}", self.kind.name(), BASE64_STANDARD.encode(&self.blob))
    }

    /// The same key with a certificate for this user by this authority.
    pub fn certified(mut self, authority: &KeyPair, user: &str) -> Self {
        let text = authority.certify(&KeyPair::of_public(&self.public()), user, "-1h:+1h");
        let blob = text.split(' ').nth(1).expect("a certificate");
        self.blob = BASE64_STANDARD.decode(blob).expect("base64");
        self
    }

    fn sign(&self, data: &[u8], flags: u8) -> Vec<u8> {
        let name = string(self.kind.name().as_bytes());
        if self.kind == KeyKind::Plain {
            return [name, string(&self.ed25519(data))].concat();
        }
        let counter = u32::try_from(self.counter.fetch_add(1, Ordering::SeqCst)).expect("few signatures");
        let signed = [&sha256(APPLICATION)[..], &[flags], &counter.to_be_bytes(), &sha256(data)].concat();
        let signature = match self.kind {
            KeyKind::SkEcdsa => {
                let key = self.pair.ec_key().expect("an EC key");
                let signature = EcdsaSig::sign(&sha256(&signed), &key).expect("a signature");
                [mpint(signature.r()), mpint(signature.s())].concat()
            }
            _ => self.ed25519(&signed),
        };
        [&name[..], &string(&signature), &[flags], &counter.to_be_bytes()].concat()
    }

    fn ed25519(&self, data: &[u8]) -> Vec<u8> {
        let mut signer = Signer::new_without_digest(&self.pair).expect("a signer");
        signer.sign_oneshot_to_vec(data).expect("a signature")
    }
}

/// A positive number (RFC 4251 section 5).
fn mpint(number: &BigNumRef) -> Vec<u8> {
    let mut bytes = number.to_vec();
    if bytes.first().is_some_and(|byte| *byte >= 0x80) {
        bytes.insert(0, 0);
    }
    string(&bytes)
}

/// What the user does when asked for a touch.
#[derive(Clone, Copy, Debug)]
pub enum Touch {
    After(Duration),
    /// The key gives up after this time.
    Refused(Duration),
    /// The key signs without a touch, and says so.
    Skipped,
    /// The agent ends the connection.
    Dies,
}

/// An agent that holds these keys, and waits for a touch before it signs with a security key.
pub struct TouchAgent {
    agent: FakeAgent,
    shared: Arc<Shared>,
}

struct Shared {
    keys: Vec<SoftKey>,
    touch: Box<dyn Fn(usize) -> Touch + Send + Sync>,
    /// Held by a request that is being answered, if the agent serves one request at a time.
    serial: Option<Mutex<()>>,
    asked: AtomicUsize,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
}

impl TouchAgent {
    /// Serves one request at a time, over all connections, as OpenSSH's agent does. `touch`
    /// receives the number of the touch, from 0.
    pub fn serial(
        keys: impl IntoIterator<Item = SoftKey>,
        touch: impl Fn(usize) -> Touch + Send + Sync + 'static,
    ) -> Self {
        Self::new(keys, Box::new(touch), Some(Mutex::new(())))
    }

    /// Serves its connections independently of each other.
    pub fn concurrent(
        keys: impl IntoIterator<Item = SoftKey>,
        touch: impl Fn(usize) -> Touch + Send + Sync + 'static,
    ) -> Self {
        Self::new(keys, Box::new(touch), None)
    }

    fn new(
        keys: impl IntoIterator<Item = SoftKey>,
        touch: Box<dyn Fn(usize) -> Touch + Send + Sync>,
        serial: Option<Mutex<()>>,
    ) -> Self {
        let (asked, waiting, most_waiting) = Default::default();
        let keys = keys.into_iter().collect();
        let shared = Arc::new(Shared { keys, touch, serial, asked, waiting, most_waiting });
        let own = shared.clone();
        Self { agent: FakeAgent::answering(move |request| own.reply(request)), shared }
    }

    pub fn socket(&self) -> PathBuf {
        self.agent.socket()
    }

    pub fn connections(&self) -> usize {
        self.agent.connections()
    }

    /// How many touches were asked for.
    pub fn touches(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// How many touches were awaited at a time, at most.
    pub fn most_waiting(&self) -> usize {
        self.shared.most_waiting.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn reply(&self, request: &[u8]) -> Reply {
        // A touch counts from its request on, even if the agent is busy with another one.
        let (kind, mut body) = request.split_first().expect("a request");
        if *kind == REQUEST_IDENTITIES {
            let _turn = self.turn();
            return Reply::Bytes(self.list());
        }
        let (blob, data) = (take(&mut body), take(&mut body));
        let Some(key) = self.keys.iter().find(|key| key.blob == blob) else {
            return Reply::Bytes(message(FAILURE, b""));
        };
        if key.kind == KeyKind::Plain {
            let _turn = self.turn();
            return Reply::Bytes(message(SIGN_RESPONSE, &string(&key.sign(data, 0))));
        }
        let touch = (self.touch)(self.asked.fetch_add(1, Ordering::SeqCst));
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_waiting.fetch_max(waiting, Ordering::SeqCst);
        let turn = self.turn();
        let reply = match touch {
            Touch::After(time) => {
                thread::sleep(time);
                Reply::Bytes(message(SIGN_RESPONSE, &string(&key.sign(data, USER_PRESENT))))
            }
            Touch::Refused(time) => {
                thread::sleep(time);
                Reply::Bytes(message(FAILURE, b""))
            }
            Touch::Skipped => Reply::Bytes(message(SIGN_RESPONSE, &string(&key.sign(data, 0)))),
            Touch::Dies => Reply::Close,
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        drop(turn);
        reply
    }

    fn turn(&self) -> Option<std::sync::MutexGuard<'_, ()>> {
        self.serial.as_ref().map(|serial| serial.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn list(&self) -> Vec<u8> {
        let count = u32::try_from(self.keys.len()).expect("few keys").to_be_bytes().to_vec();
        let keys = self.keys.iter().map(|key| [string(&key.blob), string(b"alice's key")].concat());
        message(IDENTITIES_ANSWER, &[count].into_iter().chain(keys).collect::<Vec<_>>().concat())
    }
}

fn take<'a>(body: &mut &'a [u8]) -> &'a [u8] {
    let (length, rest) = body.split_first_chunk().expect("a length");
    let (taken, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*length)).expect("a length"));
    *body = rest;
    taken
}
