//! User certificates: an authority that sshd trusts, and everything that can be wrong with a signed
//! certificate.

use std::fs;
use std::path::{Path, PathBuf};

use sshoal::config::ClientBuilder;
use sshoal::error::{AuthMethod, AuthProblem, CertProblem, Origin};
use sshoal::{Error, HostConfig, HostErrorKind, ParallelClient};
use tempfile::TempDir;

use super::{SLOW, build, guard, run_one, start_error, stdout};
use crate::support::keys::{KeyPair, KeyType};
use crate::support::sshd::Sshd;

const HOST: &str = "127.0.2.1";
const VALID: &str = "-1h:+1h";
const EXPIRED: &str = "20200101:20200102";

/// A server that trusts an authority, and no key directly.
struct World {
    dir: TempDir,
    authority: KeyPair,
    sshd: Sshd,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let authority = KeyPair::generate(KeyType::Ed25519);
        let trusted = dir.path().join("trusted");
        fs::write(&trusted, format!("{}\n", authority.public())).expect("write");
        let sshd = Sshd::builder().option(&format!("TrustedUserCAKeys {}", trusted.display())).start();
        Self { dir, authority, sshd }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("write");
        path
    }

    /// A certificate for the server's user.
    fn certify(&self, key: &KeyPair, validity: &str) -> String {
        self.authority.certify(key, self.sshd.user(), validity)
    }

    fn client(&self) -> ClientBuilder {
        let builder = ParallelClient::builder([HOST]).port(self.sshd.port()).user(self.sshd.user());
        let builder = builder.identity_auth(false).allow_agent(false).num_retries(1).timeout(SLOW);
        builder.known_hosts([self.sshd.known_hosts([HOST])])
    }
}

#[test]
fn a_certificate_of_each_kind_opens_the_host() {
    let _dog = guard("certificates");
    let world = World::new();
    for (key_type, logged) in
        [(KeyType::Ed25519, "ED25519-CERT"), (KeyType::Ecdsa, "ECDSA-CERT"), (KeyType::Rsa, "RSA-CERT")]
    {
        let key = KeyPair::generate(key_type);
        let text = world.certify(&key, VALID);
        let cert = world.write(&format!("{}-certificate", key_type.name()), &text);
        let by_file = world.client().key_bytes(key.private()).cert_file(cert);
        let by_text = world.client().key_bytes(key.private()).cert_bytes(text);
        // As one of two identities, so that it is queried first.
        let other = KeyPair::generate(KeyType::Ed25519).write(world.dir.path(), &format!("other-{logged}"));
        let files = [key.write(world.dir.path(), key_type.name()), other];
        let identity =
            world.client().identity_auth(true).identity_files(files).cert_bytes(world.certify(&key, VALID));
        for builder in [by_file, by_text, identity] {
            assert_eq!(run_one(&mut build(builder), "echo in"), ["in"], "{key_type:?}");
        }
        world.sshd.await_log(&format!("ssh2: {logged}"), 3);
    }
    assert_eq!(world.sshd.count("Failed publickey"), 0, "{}", world.sshd.log());
}

#[test]
fn a_certificate_beside_its_key_is_found() {
    let _dog = guard("beside");
    let world = World::new();
    let key = KeyPair::generate(KeyType::Ed25519);
    let file = key.write(world.dir.path(), "id");
    world.write("id-cert.pub", &world.certify(&key, VALID));
    assert_eq!(run_one(&mut build(world.client().key_file(&file)), "echo in"), ["in"]);
    let identity = || world.client().identity_auth(true).identity_files([&file]);
    assert_eq!(run_one(&mut build(identity()), "echo in"), ["in"]);

    // Unusable certificates are skipped: another key's, a host's, and garbage.
    let stranger = world.certify(&KeyPair::generate(KeyType::Ed25519), VALID);
    for text in [stranger.as_str(), key.public(), "garbage"] {
        world.write("id-cert.pub", text);
        let error = start_error(identity());
        let HostErrorKind::Auth { tried, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(*tried, [AuthMethod::PublicKey]);
    }
}

#[test]
fn the_error_says_what_is_wrong_with_a_certificate() {
    let _dog = guard("refused_certificates");
    let world = World::new();
    let key = KeyPair::generate(KeyType::Ed25519);
    let cert = world.path("id-certificate");
    let refused = |text: &str| {
        fs::write(&cert, text).expect("write");
        let error = start_error(world.client().key_bytes(key.private()).cert_file(&cert));
        let text = error.to_string();
        let HostErrorKind::Auth { problems, .. } = error.kind() else { panic!("{error}") };
        (problems.clone(), text)
    };
    let (problems, text) = refused(&world.certify(&key, EXPIRED));
    assert!(matches!(&problems[..], [AuthProblem::CertificateExpired { path, .. }] if *path == cert));
    assert!(text.contains("id-certificate expired on 2020-01-0"), "{text}");
    let (problems, text) = refused(&world.certify(&key, "20400101:20400102"));
    assert!(matches!(&problems[..], [AuthProblem::CertificateNotYetValid { path, .. }] if *path == cert));
    assert!(text.contains("is not valid before 20"), "{text}");
    let (problems, text) = refused(&world.authority.certify(&key, "eve", VALID));
    assert!(matches!(&problems[..], [AuthProblem::CertificateOfOthers { path, principals, .. }]
        if *path == cert && principals[..] == ["eve"]));
    assert!(text.ends_with("id-certificate is for \"eve\" only"), "{text}");
    // An authority that the server does not trust, which the certificate does not show.
    let stranger = KeyPair::generate(KeyType::Ed25519).certify(&key, world.sshd.user(), VALID);
    assert_eq!(refused(&stranger).0, []);
}

/// As with OpenSSH: the key of an expired certificate is still accepted for itself.
#[test]
fn the_key_itself_is_offered_after_its_certificate() {
    let _dog = guard("plain_key");
    let world = World::new();
    let key = KeyPair::generate(KeyType::Ed25519);
    let authorized = Sshd::builder().authorized_key(key.public()).start();
    let builder = world.client().port(authorized.port()).known_hosts([authorized.known_hosts([HOST])]);
    let builder = builder.key_bytes(key.private()).cert_bytes(world.certify(&key, EXPIRED));
    assert_eq!(run_one(&mut build(builder), "echo in"), ["in"]);
    let outcomes: Vec<_> = authorized.auth_messages().into_iter().map(|message| message.outcome).collect();
    assert_eq!(outcomes, ["Failed", "Accepted"]);
}

#[track_caller]
fn problem(builder: ClientBuilder, named: &Path) -> CertProblem {
    let error = builder.build().expect_err("an unusable certificate");
    let text = error.to_string();
    match error {
        Error::CertFile { origin: Origin::Client, path, problem, .. } => {
            assert_eq!(path, named);
            assert!(text.contains(&named.display().to_string()), "{text}");
            problem
        }
        other => panic!("{other:?}"),
    }
}

/// This is checked before any network access.
#[test]
fn an_unusable_certificate_is_an_error_of_build() {
    let _dog = guard("unusable_certificates");
    let dir = tempfile::tempdir().expect("temporary directory");
    let none = dir.path().join("known_hosts");
    let [key, stranger, authority] = [(); 3].map(|()| KeyPair::generate(KeyType::Ed25519));
    let client = || ParallelClient::builder([HOST]).known_hosts([&none]).allow_agent(false);
    let with = |path: &Path| client().identity_auth(false).key_bytes(key.private()).cert_file(path);
    let cert = dir.path().join("cert");
    let write = |text: &str| fs::write(&cert, text).expect("write");
    assert!(matches!(problem(with(&cert), &cert), CertProblem::Unreadable(_)), "missing");
    assert!(matches!(problem(with(dir.path()), dir.path()), CertProblem::Unreadable(_)), "a directory");
    write("garbage");
    assert!(matches!(problem(with(&cert), &cert), CertProblem::Malformed));
    write(key.private());
    assert!(matches!(problem(with(&cert), &cert), CertProblem::Malformed));
    write(key.public());
    assert!(matches!(problem(with(&cert), &cert), CertProblem::PlainKey));
    write(&authority.certify_host(&key, HOST));
    assert!(matches!(problem(with(&cert), &cert), CertProblem::ForHosts));
    write(&authority.certify(&stranger, "root", VALID));
    assert!(matches!(problem(with(&cert), &cert), CertProblem::OtherKey));
    let text = client().identity_auth(false).key_bytes(key.private()).cert_bytes("garbage");
    assert!(matches!(problem(text, Path::new("<bytes>")), CertProblem::Malformed));

    // Without a named key it must belong to an identity file.
    let identity = key.write(dir.path(), "id");
    assert!(matches!(problem(client().identity_auth(false).cert_file(&cert), &cert), CertProblem::OtherKey));
    let identities = || client().identity_files([&identity]).cert_file(&cert);
    assert!(matches!(problem(identities(), &cert), CertProblem::OtherKey));
    write(&authority.certify(&key, "root", EXPIRED));
    build(identities());
    // Only the server decides on validity.
    build(with(&cert));
}

#[test]
fn hosts_have_certificates_of_their_own() {
    let _dog = guard("certificates_per_host");
    let world = World::new();
    let [key, own_key] = [(); 2].map(|()| KeyPair::generate(KeyType::Ed25519));
    let write = |name: &str, text: &str| world.write(name, text);
    let valid = write("valid", &world.certify(&key, VALID));
    let expired = write("expired", &world.certify(&key, EXPIRED));
    let own = write("own", &world.certify(&own_key, VALID));
    let hosts: Vec<String> = world.sshd.hosts(5).collect();
    let config = HostConfig::default;
    let configs = [
        config(),
        config().cert_file(&expired),
        config().key_bytes(own_key.private()).cert_file(&own),
        // A host's own key, without the client's certificate, which belongs to another key.
        config().key_bytes(own_key.private()),
        config().alias("inherits, too"),
    ];
    let builder = ParallelClient::builder(&hosts).port(world.sshd.port()).user(world.sshd.user());
    let builder = builder.identity_auth(false).allow_agent(false).num_retries(1).timeout(SLOW);
    let builder = builder.known_hosts([world.sshd.known_hosts(&hosts)]);
    let builder = builder.key_bytes(key.private()).cert_file(&valid);
    let mut client = build(builder.clone().host_config(configs.clone()));
    let outputs = client
        .run_command_with(
            sshoal::Command::new("echo in"),
            sshoal::ReadOptions::default().stop_on_errors(false),
        )
        .expect("it starts");
    let told = outputs.iter().map(|output| match output.error() {
        None => stdout(output).join(""),
        Some(error) => match error.kind() {
            HostErrorKind::Auth { problems, .. } => format!("{} problems", problems.len()),
            _ => panic!("{error}"),
        },
    });
    assert_eq!(told.collect::<Vec<_>>(), ["in", "1 problems", "in", "0 problems", "in"]);

    let wrong = [config(), config().key_bytes(own_key.private()).cert_file(&valid)];
    let two = ParallelClient::builder(&hosts[..2]).known_hosts([&valid]).identity_auth(false);
    let error = two.host_config(wrong).build().expect_err("another key's certificate");
    assert!(
        matches!(
            error,
            Error::CertFile { origin: Origin::Host { position: 1, .. }, problem: CertProblem::OtherKey, .. }
        ),
        "{error}"
    );
}
