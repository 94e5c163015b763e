//! Keys, random numbers and descriptions for the tests.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};

use super::super::{HostKey, KeyType, Verdict};

/// SplitMix64: small, seedable, good enough for test data.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    pub(super) fn one_in(&mut self, limit: usize) -> bool {
        self.below(limit) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}

/// A blob of length-prefixed fields (RFC 4251 §5).
pub(super) fn blob(fields: &[&[u8]]) -> Vec<u8> {
    let mut blob = Vec::new();
    for field in fields {
        blob.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
        blob.extend_from_slice(field);
    }
    blob
}

pub(super) fn ed25519(seed: u64) -> HostKey {
    HostKey::from_blob(blob(&[b"ssh-ed25519", &Random(seed).bytes(32)])).unwrap()
}

/// An RSA modulus of 1024 bits in its shortest `mpint` form.
pub(super) fn modulus(seed: u64) -> Vec<u8> {
    let mut modulus = Random(seed).bytes(128);
    modulus[0] |= 0x80;
    modulus[127] |= 1;
    modulus.insert(0, 0);
    modulus
}

pub(super) fn rsa(seed: u64) -> HostKey {
    HostKey::from_blob(blob(&[b"ssh-rsa", &[1, 0, 1], &modulus(seed)])).unwrap()
}

pub(super) fn dsa(seed: u64) -> HostKey {
    let number = [&[1], &Random(seed).bytes(127)[..]].concat();
    HostKey::from_blob(blob(&[b"ssh-dss", &number, &number, &number, &number])).unwrap()
}

pub(super) fn ecdsa_p256(seed: u64) -> HostKey {
    let point = [&[4], &Random(seed).bytes(64)[..]].concat();
    HostKey::from_blob(blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &point])).unwrap()
}

fn short(key_type: KeyType) -> &'static str {
    match key_type {
        KeyType::Ed25519 => "ed25519",
        KeyType::Rsa => "rsa",
        KeyType::Dsa => "dsa",
        _ => "ecdsa",
    }
}

/// A verdict as a short text: its kind and its line numbers.
pub(super) fn describe(verdict: &Verdict) -> String {
    let line = |location: &super::super::Location| location.line().unwrap().to_string();
    match verdict {
        Verdict::Known { location } => format!("known {}", line(location)),
        Verdict::Unknown => "unknown".to_owned(),
        Verdict::Changed { locations } => {
            format!("changed {}", locations.iter().map(line).collect::<Vec<_>>().join(" "))
        }
        Verdict::OtherType { recorded } => {
            let recorded = recorded.iter().map(|(key_type, at)| format!("{} {}", line(at), short(*key_type)));
            format!("other {}", recorded.collect::<Vec<_>>().join(" "))
        }
        Verdict::Revoked { location } => format!("revoked {}", line(location)),
    }
}

/// Runs this test again in a process of its own, with these variables, where it must pass. Returns
/// whether this is that process.
pub(crate) fn is_in_own_process<V: AsRef<OsStr>>(variables: &[(&str, V)]) -> bool {
    const CHILD: &str = "SSHOAL_TEST_PROCESS";
    if env::var_os(CHILD).is_some() {
        return true;
    }
    let name = thread::current().name().unwrap().to_owned();
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", &name, "--nocapture"]).env(CHILD, "1");
    child.envs(variables.iter().map(|(name, value)| (name, value)));
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    false
}

/// Runs this test again in a process of its own, in which the size of files may be limited. Returns
/// the path of a file in that process, and `None` in this one.
pub(super) fn file_in_own_process() -> Option<PathBuf> {
    const FILE: &str = "SSHOAL_TEST_FILE";
    let directory = tempfile::tempdir().unwrap();
    is_in_own_process(&[(FILE, directory.path().join("known_hosts"))])
        .then(|| env::var_os(FILE).unwrap().into())
}

/// Calls `write` while no file of this process can be longer than this many bytes.
pub(super) fn with_file_limit<T>(bytes: u64, write: impl FnOnce() -> T) -> T {
    let mut too_large = SigSet::empty();
    too_large.add(Signal::SIGXFSZ);
    too_large.thread_block().unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, bytes, hard).unwrap();
    let result = write();
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    result
}
