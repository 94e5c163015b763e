//! Key files of every kind: accepted by libssh and a real server, or refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sshoal::config::ClientBuilder;
use sshoal::error::{KeyProblem, Origin};
use sshoal::{Error, HostConfig, ParallelClient};
use tempfile::TempDir;

use super::{SLOW, build, guard, run_one, start_error};
use crate::support::keys::{KeyPair, KeyType, write_private};
use crate::support::sshd::Sshd;

const HOST: &str = "127.0.2.1";

/// The ciphers of `ssh-keygen -Z` for which libssh calls a null pointer.
const DEADLY: [&str; 3] =
    ["aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"];

/// A folder for keys, and a server that accepts one of them.
struct World {
    dir: TempDir,
    pair: KeyPair,
    sshd: Sshd,
}

impl World {
    fn new(key_type: KeyType) -> Self {
        let pair = KeyPair::generate(key_type);
        let sshd = Sshd::builder().authorized_key(pair.public()).start();
        Self { dir: tempfile::tempdir().expect("temporary directory"), pair, sshd }
    }

    fn client(&self) -> ClientBuilder {
        let builder = ParallelClient::builder([HOST]).port(self.sshd.port()).user(self.sshd.user());
        let builder = builder.identity_auth(false).allow_agent(false).num_retries(1).timeout(SLOW);
        builder.known_hosts([self.sshd.known_hosts([HOST])])
    }

    /// The key in a separate file, as rewritten by `ssh-keygen -p`.
    fn rewritten(&self, name: &str, options: &[&str]) -> PathBuf {
        let path = self.dir.path().join(name);
        write_private(&path, self.pair.private());
        // PEM requires at least four characters.
        let mut program = Command::new("ssh-keygen");
        run(program
            .args(["-q", "-p", "-P", "", "-N", "secret", "-a", "1"])
            .args(options)
            .arg("-f")
            .arg(&path));
        path
    }
}

fn run(program: &mut Command) {
    let output = program.stdin(Stdio::null()).output().expect("a program");
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn keys_that_libssh_would_crash_on_open_the_host() {
    let _dog = guard("deadly_keys");
    for key_type in KeyType::ALL {
        let world = World::new(key_type);
        for cipher in DEADLY {
            let file = world.rewritten(cipher, &["-Z", cipher]);
            let named = world.client().key_file(&file).passphrase("secret");
            // A password also opens identity files; this one is not the user's login password.
            let identity = world.client().identity_auth(true).identity_files([&file]).password("secret");
            let bytes = world.client().key_bytes(fs::read(&file).expect("the key")).passphrase("secret");
            for builder in [named, identity, bytes] {
                assert_eq!(run_one(&mut build(builder), "echo in"), ["in"], "{key_type:?} {cipher}");
            }
            // With a wrong password, the file is skipped.
            let locked = world.client().identity_auth(true).identity_files([&file]).password("wrong");
            start_error(locked);
            let error = refusal(world.client().key_file(&file).passphrase("wrong"));
            assert!(matches!(error, KeyProblem::PassphraseWrong), "{error}");
        }
    }
}

#[test]
fn keys_in_every_format_open_the_host() {
    let _dog = guard("formats");
    for key_type in [KeyType::Ecdsa, KeyType::Rsa] {
        let world = World::new(key_type);
        for format in ["PEM", "PKCS8", "RFC4716"] {
            let file = world.rewritten(format, &["-m", format]);
            let builder = world.client().key_file(file).passphrase("secret");
            assert_eq!(run_one(&mut build(builder), "echo in"), ["in"], "{key_type:?} {format}");
        }
    }
}

/// `ssh-keygen` writes none, and OpenSSH 9.2 reads none; password managers and `openssl` do.
#[test]
fn ed25519_in_pkcs8_opens_the_host() {
    let _dog = guard("ed25519_pkcs8");
    let dir = tempfile::tempdir().expect("temporary directory");
    let (plain, locked) = (dir.path().join("plain"), dir.path().join("locked"));
    run(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&plain));
    let mut program = Command::new("openssl");
    run(program.args(["pkcs8", "-topk8", "-passout", "pass:x", "-in"]).arg(&plain).arg("-out").arg(&locked));
    let der =
        Command::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&plain).output();
    let der = der.expect("openssl").stdout;
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend_from_slice(&der[der.len() - 32..]);
    let sshd = Sshd::builder().authorized_key(&format!("ssh-ed25519 {}", base64(&blob))).start();
    for file in [&plain, &locked] {
        fs::set_permissions(file, Permissions::from_mode(0o600)).expect("chmod");
        let builder = ParallelClient::builder([HOST]).port(sshd.port()).user(sshd.user()).timeout(SLOW);
        let builder = builder.identity_auth(false).allow_agent(false).num_retries(1).passphrase("x");
        let builder = builder.known_hosts([sshd.known_hosts([HOST])]).key_file(file);
        assert_eq!(run_one(&mut build(builder), "echo in"), ["in"], "{}", file.display());
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0u32, |group, index| group << 8 | u32::from(*chunk.get(index).unwrap_or(&0)));
        for digit in 0..4 {
            let index = (group >> (18 - 6 * digit)) & 63;
            text.push(if digit > chunk.len() { '=' } else { DIGITS[index as usize].into() });
        }
    }
    text
}

/// A client that connects nowhere.
fn idle() -> ClientBuilder {
    ParallelClient::builder([HOST]).no_known_hosts().user("nobody").allow_agent(false).identity_auth(false)
}

#[track_caller]
fn refusal(builder: ClientBuilder) -> KeyProblem {
    match builder.build() {
        Err(Error::KeyFile { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

fn with_mode(path: &Path, mode: u32) -> &Path {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
    path
}

/// As in `ssh`; only a named file is an error. The file's owner decides, so this needs no other
/// user.
#[test]
fn a_key_that_others_can_read_is_refused() {
    let _dog = guard("exposed_key");
    let dir = tempfile::tempdir().expect("temporary directory");
    let key = KeyPair::generate(KeyType::Ed25519).write(dir.path(), "id's");
    let other = KeyPair::generate(KeyType::Ed25519).write(dir.path(), "other");
    let shown = format!("{}/id'\\''s", dir.path().display());
    for mode in [0o644, 0o640, 0o604, 0o660, 0o610, 0o601, 0o602, 0o777] {
        with_mode(&key, mode);
        let text = format!("is accessible to other users (mode 0{mode:o}); run: chmod 600 '{shown}'");
        assert_eq!(refusal(idle().key_file(&key)).to_string(), text);
        let identities = || idle().identity_auth(true).identity_files([&other, &key]);
        assert_eq!(refusal(identities()).to_string(), text);
        let error = idle().key_file(&key).build().expect_err("exposed").to_string();
        assert_eq!(error, format!("private key {}: {text}", key.display()));
        // The host's own setting names it.
        let own = HostConfig::default().identity_auth(true).identity_files([&key]);
        let error = idle().host_config([own]).build().expect_err("exposed");
        assert!(
            matches!(error, Error::KeyFile { origin: Origin::Host { position: 0, .. }, .. }),
            "{error:?}"
        );
    }
    for mode in [0o600, 0o400, 0o700] {
        build(idle().key_file(with_mode(&key, mode)));
    }
    // A file that is not a private key is reported as such, whatever its mode.
    let public = with_mode(&key, 0o644).with_file_name("other.pub");
    assert!(matches!(refusal(idle().key_file(public)), KeyProblem::PublicKey));
}

/// Until the key is found, the file is read only up to the maximum length of a key.
#[test]
fn endless_and_odd_files_are_refused() {
    let _dog = guard("odd_files");
    let dir = tempfile::tempdir().expect("temporary directory");
    assert!(matches!(refusal(idle().key_file("/dev/zero")), KeyProblem::TooLarge { max: 65_536 }));
    assert!(matches!(refusal(idle().key_file("/dev/null")), KeyProblem::Malformed));
    assert!(matches!(refusal(idle().key_file(dir.path())), KeyProblem::Unreadable(_)));
}

#[test]
fn the_work_of_opening_a_key_is_bounded_and_settable() {
    let _dog = guard("kdf_rounds");
    let dir = tempfile::tempdir().expect("temporary directory");
    let key = KeyPair::generate(KeyType::Ed25519).write(dir.path(), "id");
    run(Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "x", "-a", "3", "-f"]).arg(&key));
    let with = || idle().key_file(&key).passphrase("x");
    build(with());
    build(with().kdf_rounds_max(3));
    let text = "needs 3 rounds of bcrypt to decrypt, but kdf_rounds_max allows only 2";
    assert_eq!(refusal(with().kdf_rounds_max(2)).to_string(), text);
    let own = HostConfig::default().kdf_rounds_max(2);
    let error = with().host_config([own.clone()]).build().expect_err("a bound").to_string();
    assert!(
        error.starts_with("host 1 of the list (")
            && error.ends_with(&format!("): private key {}: {text}", key.display()))
    );
    build(with().kdf_rounds_max(2).host_config([own.kdf_rounds_max(3)]));
    // A proxy has the client's limit, or its own.
    let proxy = sshoal::Proxy::new("gate").key_file(&key).passphrase("x").identity_auth(false);
    let through = |proxy| idle().password("x").kdf_rounds_max(2).proxy(proxy);
    assert_eq!(refusal(through(proxy.clone())).to_string(), text);
    build(through(proxy.kdf_rounds_max(3)));
    let error = idle().kdf_rounds_max(0).build().expect_err("no rounds").to_string();
    assert_eq!(error, "kdf_rounds_max must be at least 1");
}
