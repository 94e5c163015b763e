//! Finds out whether libssh checks the tags of AES-GCM.
//!
//! libssh before 0.11.5 does not (CVE-2026-59847): it takes altered data for genuine. Its version
//! does not tell, because distributions fix libssh without changing the version. So a session of
//! libssh is connected, over a socket pair, to a small server made of OpenSSL's primitives.
//! libssh's own server would not do, because the bundled libssh lacks it.

use std::error::Error;
use std::ffi::CString;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use openssl::derive::Deriver;
use openssl::pkey::{Id, PKey};
use openssl::sign::Signer;
use openssl::symm::{Cipher, encrypt_aead};
use sha2::{Digest, Sha256};

use super::SshSession;
use crate::hostkey::BlobReader;
use crate::limits;
use crate::link::algorithms::Offered;
use crate::link::{HandshakeOptions, Pumped};

/// Why a test could not be made.
type Failure = Box<dyn Error>;

/// The types of messages (RFC 4253 section 12, RFC 5656 section 7.1).
const IGNORE: u8 = 2;
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
const KEX_ECDH_INIT: u8 = 30;
const KEX_ECDH_REPLY: u8 = 31;

const VERSION: &[u8] = b"SSH-2.0-selftest";
const KEY_EXCHANGE: &str = "curve25519-sha256";
const HOST_KEY: &str = "ssh-ed25519";
const MAC: &str = "hmac-sha2-256";

/// The ciphers, and for each whether libssh checks its tags, once that is known.
static VERDICTS: Mutex<[(&str, Option<bool>); 2]> =
    Mutex::new([("aes128-gcm@openssh.com", None), ("aes256-gcm@openssh.com", None)]);

/// Whether libssh notices that data encrypted with this cipher was altered. This is tested once per
/// process, and takes as long as a handshake.
pub(super) fn is_verified(cipher: &str) -> bool {
    let mut verdicts = VERDICTS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((_, verdict)) = verdicts.iter_mut().find(|(name, _)| *name == cipher) else { return false };
    if verdict.is_none() {
        // A failure says nothing about libssh: perhaps no descriptor was free.
        let tested = test(cipher).inspect_err(|e| log::warn!("cannot test {cipher}: {}", e));
        *verdict = tested.ok();
    }
    verdict.unwrap_or(false)
}

/// Sends two packets to a session of libssh, the second one altered. Returns whether libssh refuses
/// the second one.
fn test(cipher: &str) -> Result<bool, Failure> {
    let (near, far) = UnixStream::pair()?;
    far.set_nonblocking(true)?;
    let offered = Offered {
        key_exchanges: CString::new(KEY_EXCHANGE)?,
        host_keys: HOST_KEY.to_owned(),
        ciphers: CString::new(cipher)?,
        macs: CString::new(MAC)?,
        user_keys: None,
        rsa_bits_min: None,
    };
    let options = HandshakeOptions::new(c"test", &offered);
    let mut client = SshSession::start(near.into(), &options).map_err(|e| e.text)?;
    let mut server = Server::greet(far, cipher)?;
    pump(&mut client)?;
    let mut seal = server.exchange_keys(cipher)?;
    pump(&mut client)?;
    let mut accepts = |packet: Vec<u8>| {
        let before = client.packets_read();
        server.socket.write_all(&packet)?;
        let pumped = pump(&mut client);
        Ok::<bool, Failure>(pumped.is_ok() && client.packets_read() > before)
    };
    if !accepts(seal.packet()?)? {
        return Err("libssh refused a genuine packet".into());
    }
    let mut altered = seal.packet()?;
    // A byte of the data. Before it are the length, the padding's length, and the message's type
    // and length.
    altered[4 + 1 + 1 + 4] ^= 1;
    Ok(!accepts(altered)?)
}

/// Lets the session act on everything that was sent to it.
fn pump(client: &mut SshSession) -> Result<(), String> {
    while client.pump(limits::PUMPS_PER_VISIT).map_err(|e| e.text)? == Pumped::More {}
    Ok(())
}

/// The server's end of the connection, before the keys are in use.
struct Server {
    socket: UnixStream,
    kexinit: Vec<u8>,
}

impl Server {
    /// Sends the version line and the list of algorithms.
    fn greet(socket: UnixStream, cipher: &str) -> Result<Self, Failure> {
        let mut kexinit = vec![KEXINIT];
        kexinit.extend([0; 16]);
        for list in [KEY_EXCHANGE, HOST_KEY, cipher, cipher, MAC, MAC, "none", "none", "", ""] {
            put(&mut kexinit, list.as_bytes());
        }
        kexinit.extend([0; 5]);
        let mut server = Self { socket, kexinit };
        server.socket.write_all(&[VERSION, b"\r\n", &plain(&server.kexinit)].concat())?;
        Ok(server)
    }

    /// Answers what the client has sent so far, which is its part of the key exchange (RFC 8731).
    fn exchange_keys(&mut self, cipher: &str) -> Result<Seal, Failure> {
        let mut received = [0; 8 * 1024];
        let length = self.socket.read(&mut received)?;
        let early = || "the key exchange ends early";
        let text = &received[..length];
        let end = text.windows(2).position(|pair| pair == b"\r\n").ok_or_else(early)?;
        let (version, packets) = (&text[..end], &mut BlobReader::new(&text[end + 2..]));
        let mut message = || {
            let packet = packets.string().ok()?;
            let (padding, rest) = packet.split_first()?;
            rest.get(..rest.len().checked_sub(usize::from(*padding))?)
        };
        let kexinit = message().ok_or_else(early)?;
        let init = message().and_then(|init| init.strip_prefix(&[KEX_ECDH_INIT])).ok_or_else(early)?;
        let theirs = BlobReader::new(init).string()?;

        let own = PKey::generate_x25519()?;
        let point = own.raw_public_key()?;
        let peer = PKey::public_key_from_raw_bytes(theirs, Id::X25519)?;
        let mut deriver = Deriver::new(&own)?;
        deriver.set_peer(&peer)?;
        let mut secret = Vec::new();
        put_number(&mut secret, &deriver.derive_to_vec()?);
        let host_key = PKey::generate_ed25519()?;
        let public = named(&host_key.raw_public_key()?);

        let mut hashed = Vec::new();
        for part in [version, VERSION, kexinit, &self.kexinit, &public, theirs, &point] {
            put(&mut hashed, part);
        }
        let hash = Sha256::digest([hashed, secret.clone()].concat());
        let mut signer = Signer::new_without_digest(&host_key)?;
        let signature = named(&signer.sign_oneshot_to_vec(&hash)?);
        let mut reply = vec![KEX_ECDH_REPLY];
        for part in [&public, &point, &signature] {
            put(&mut reply, part);
        }
        self.socket.write_all(&[plain(&reply), plain(&[NEWKEYS])].concat())?;

        // RFC 4253 section 7.2. The session's id is the hash of the first key exchange.
        let derive = |letter: u8| Sha256::digest([&secret[..], &hash, &[letter], &hash].concat()).to_vec();
        let cipher = if cipher.starts_with("aes128") { Cipher::aes_128_gcm() } else { Cipher::aes_256_gcm() };
        Ok(Seal { cipher, key: derive(b'D'), iv: derive(b'B') })
    }
}

/// Encrypts packets to the client (RFC 5647).
struct Seal {
    cipher: Cipher,
    key: Vec<u8>,
    iv: Vec<u8>,
}

impl Seal {
    /// Encrypts a message that the client ignores.
    fn packet(&mut self) -> Result<Vec<u8>, Failure> {
        let mut message = vec![IGNORE];
        put(&mut message, b"data");
        let padding = padding(1 + message.len(), 16);
        let content = [&[padding as u8][..], &message, &vec![0; padding]].concat();
        let length = (content.len() as u32).to_be_bytes();
        let (key, iv) = (&self.key[..self.cipher.key_len()], &self.iv[..12]);
        let mut tag = [0; 16];
        let sealed = encrypt_aead(self.cipher, key, Some(iv), &length, &content, &mut tag)?;
        let counter = u64::from_be_bytes(self.iv[4..12].try_into()?).wrapping_add(1);
        self.iv[4..12].copy_from_slice(&counter.to_be_bytes());
        Ok([&length[..], &sealed, &tag].concat())
    }
}

/// A packet before the keys are in use (RFC 4253 section 6).
fn plain(message: &[u8]) -> Vec<u8> {
    let padding = padding(4 + 1 + message.len(), 8);
    let length = (1 + message.len() + padding) as u32;
    [&length.to_be_bytes()[..], &[padding as u8], message, &vec![0; padding]].concat()
}

/// How many bytes fill up a packet to whole blocks.
fn padding(length: usize, block: usize) -> usize {
    2 * block - length % block
}

/// Appends a string (RFC 4251 section 5).
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// Appends a positive number (`mpint`).
fn put_number(out: &mut Vec<u8>, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[zeros..];
    let sign: &[u8] = if digits.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    put(out, &[sign, digits].concat());
}

/// A key or a signature, with its type.
fn named(bytes: &[u8]) -> Vec<u8> {
    let mut named = Vec::new();
    put(&mut named, HOST_KEY.as_bytes());
    put(&mut named, bytes);
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server of the self-test is a program that uses OpenSSL itself, on the same thread.
    /// Another one does so on a second thread.
    #[cfg(openssl_provider)]
    #[test]
    fn handshakes_change_nothing_for_other_users_of_openssl() {
        use crate::link::provider::default_context;

        let before = default_context();
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| {
                for _ in 0..2_000 {
                    PKey::generate_x25519().unwrap();
                    assert_eq!(default_context(), before);
                }
            });
            while !beside.is_finished() {
                test("aes256-gcm@openssh.com").unwrap();
                assert_eq!(default_context(), before);
            }
        });
    }

    /// Debian's libssh has the fix, and the bundled one lacks it.
    #[test]
    fn a_flipped_byte_tells_a_libssh_that_checks_tags_from_one_that_does_not() {
        for cipher in ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"] {
            assert_eq!(test(cipher).unwrap(), !cfg!(bundled_libssh), "{cipher}");
        }
    }
}
