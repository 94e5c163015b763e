//! Credentials: which ones are accepted, in which order they are offered, and what the errors say.

use std::fs;
use std::path::{Path, PathBuf};

use sshoal::error::{AuthMethod, AuthProblem, KeyProblem};
use sshoal::{Error, HostErrorKind, ParallelClient, Stage};

use super::{SLOW, build, client_for, guard, run_one, start_error};
use crate::support::keys::{ClientKey, KeyPair, KeyType, PASSPHRASE, write_private};
use crate::support::sshd::Sshd;
use crate::support::user::TestUser;

const HOST: &str = "127.0.2.1";

/// A client with known host keys and no credential.
fn bare(sshd: &Sshd, user: &str) -> sshoal::config::ClientBuilder {
    let builder =
        ParallelClient::builder([HOST]).port(sshd.port()).user(user).identity_auth(false).allow_agent(false);
    builder.known_hosts([sshd.known_hosts([HOST])]).num_retries(1).timeout(SLOW)
}

#[test]
fn every_kind_of_key_opens_the_host() {
    let _dog = guard("every_kind_of_key");
    let sshd = Sshd::start();
    for key in [ClientKey::Ed25519, ClientKey::Ecdsa, ClientKey::Rsa] {
        let file = sshd.key(key);
        let bytes = fs::read(&file).expect("a key");
        let by_file = bare(&sshd, sshd.user()).key_file(&file);
        let by_bytes = bare(&sshd, sshd.user()).key_bytes(bytes);
        for builder in [by_file, by_bytes] {
            assert_eq!(run_one(&mut build(builder), "echo in"), ["in"], "{key:?}");
        }
    }
    // A key that the caller names is used for a signature at once, without a query first.
    let outcomes: Vec<String> = sshd.auth_messages().into_iter().map(|message| message.outcome).collect();
    assert_eq!(outcomes, ["Accepted"; 6]);
}

/// With many sessions at once, libssh 0.10.6 would choose RSA's algorithm before it knows the
/// server's.
#[test]
fn an_rsa_key_opens_many_hosts_at_once() {
    let _dog = guard("rsa_many");
    let sshd = Sshd::start();
    let hosts: Vec<String> = sshd.hosts(20).collect();
    let builder = client_for(&sshd, &hosts).key_file(sshd.key(ClientKey::Rsa));
    let outputs = build(builder).run_command("echo in").expect("all start");
    for output in outputs {
        assert_eq!(super::stdout(&output), ["in"]);
    }
}

#[test]
fn passphrase_or_password_opens_an_encrypted_key() {
    let _dog = guard("encrypted_key");
    let sshd = Sshd::start();
    let with = || bare(&sshd, sshd.user()).key_file(sshd.key(ClientKey::Encrypted));
    assert_eq!(run_one(&mut build(with().passphrase(PASSPHRASE)), "echo in"), ["in"]);
    assert_eq!(run_one(&mut build(with().password(PASSPHRASE)), "echo in"), ["in"]);
    assert!(matches!(key_error(with()), KeyProblem::PassphraseMissing));
    let wrong = with().passphrase("wrong").password(PASSPHRASE);
    assert!(matches!(key_error(wrong), KeyProblem::PassphraseWrong));
}

#[test]
fn identity_files_are_offered_in_order_and_useless_ones_passed_over() {
    let _dog = guard("identity_files");
    let sshd = Sshd::start();
    let dir = sshd.dir();
    let stranger = KeyPair::generate(KeyType::Ed25519).write(dir, "stranger");
    let locked = KeyPair::generate_encrypted(KeyType::Ed25519, "other").write(dir, "locked");
    let garbage = dir.join("garbage");
    write_private(&garbage, "-----BEGIN OPENSSH PRIVATE KEY-----\nno key\n");
    let files: Vec<PathBuf> = vec![
        dir.join("missing"),
        garbage,
        locked,
        dir.to_owned(),
        stranger,
        sshd.key(ClientKey::Ecdsa),
        sshd.key(ClientKey::Ed25519),
    ];
    let builder = bare(&sshd, sshd.user()).identity_auth(true).identity_files(files);
    assert_eq!(run_one(&mut build(builder), "echo in"), ["in"]);
    let messages = sshd.auth_messages();
    let outcomes: Vec<&str> = messages.iter().map(|message| message.outcome.as_str()).collect();
    assert_eq!(outcomes, ["Failed", "Postponed", "Accepted"], "stranger, ECDSA asked, ECDSA signed");
    assert_eq!(sshd.count("ssh2: ECDSA"), 1, "the key that was signed with");
}

#[test]
fn a_password_opens_the_host_and_follows_the_keys() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("password");
    let sshd = Sshd::start();
    let builder = bare(&sshd, user.name()).password(user.password());
    assert_eq!(run_one(&mut build(builder), "id -un"), [user.name()]);
    let stranger = KeyPair::generate(KeyType::Ed25519).write(sshd.dir(), "stranger");
    let builder = bare(&sshd, user.name()).password(user.password()).key_file(stranger);
    assert_eq!(run_one(&mut build(builder), "id -un"), [user.name()]);
    let told: Vec<(String, String)> =
        sshd.auth_messages().into_iter().map(|message| (message.outcome, message.method)).collect();
    let expected = [("Accepted", "password"), ("Failed", "publickey"), ("Accepted", "password")];
    assert_eq!(told, expected.map(|(outcome, method)| (outcome.to_owned(), method.to_owned())));
}

/// One account on eight hosts: the server counts every refusal.
#[test]
fn a_wrong_password_is_refused_twice_and_then_withheld() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("wrong_password");
    let sshd = Sshd::start();
    let hosts: Vec<String> = (1..=8).map(|last| format!("127.0.2.{last}")).collect();
    let client = |password: &str, is_guarded| {
        let builder = ParallelClient::builder(&hosts).port(sshd.port()).user(user.name());
        let builder = builder.identity_auth(false).allow_agent(false).known_hosts([sshd.known_hosts(&hosts)]);
        build(builder.timeout(SLOW).password(password).guard_passwords(is_guarded))
    };
    let options = sshoal::ReadOptions::default().stop_on_errors(false);
    let mut wrong = client("wrong", true);
    let outputs = wrong.run_command_with("true", options).expect("it is tried");
    let texts: Vec<String> =
        outputs.iter().map(|output| output.error().expect("no login").to_string()).collect();
    let withheld =
        texts.iter().filter(|text| text.contains("have refused it") && text.contains("guard_passwords"));
    assert_eq!((withheld.count(), sshd.count("Failed password")), (6, 2), "{texts:?}");
    // The next command sends it to no host.
    wrong.run_command_with("true", options).expect("it is tried");
    assert_eq!(sshd.count("Failed password"), 2);

    let outputs = client(user.password(), true).run_command("true").expect("all log in");
    assert_eq!((outputs.len(), sshd.count("Failed password")), (8, 2));
    client("wrong", false).run_command_with("true", options).expect("it is tried");
    assert_eq!(sshd.count("Failed password"), 2 + 8, "without the guard every host is asked");
}

#[track_caller]
fn assert_refused(builder: sshoal::config::ClientBuilder, name: &str, expected: &[AuthMethod]) {
    let error = start_error(builder);
    assert_eq!((error.stage(), error.host()), (Stage::Authenticating, HOST));
    let HostErrorKind::Auth { user, tried, offered, .. } = error.kind() else { panic!("{error}") };
    assert_eq!((user.as_str(), tried.as_slice()), (name, expected));
    assert!(offered.contains(&AuthMethod::PublicKey) && offered.contains(&AuthMethod::Password), "{error}");
    let text = error.to_string();
    assert!(text.contains(name) && text.contains(HOST) && text.contains("password"), "{text}");
}

#[test]
fn a_refusal_names_user_tried_and_offered() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("refusal");
    let sshd = Sshd::start();
    let stranger = || KeyPair::generate(KeyType::Ed25519).private().to_owned();
    let secret = "wrong-secret";
    assert_refused(bare(&sshd, user.name()).password(secret), user.name(), &[AuthMethod::Password]);
    assert_refused(bare(&sshd, user.name()).key_bytes(stranger()), user.name(), &[AuthMethod::PublicKey]);
    let both = bare(&sshd, user.name()).key_bytes(stranger()).password(secret);
    assert!(!format!("{both:?}").contains(secret), "a password in Debug");
    assert_refused(both, user.name(), &[AuthMethod::PublicKey, AuthMethod::Password]);
    assert_refused(bare(&sshd, user.name()), user.name(), &[]);
    assert_refused(bare(&sshd, "sshoal-nobody").password(secret), "sshoal-nobody", &[AuthMethod::Password]);
}

#[test]
fn a_method_that_the_server_does_not_offer_is_not_tried() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("not_offered");
    let sshd = Sshd::builder().option("PasswordAuthentication no").start();
    let stranger = KeyPair::generate(KeyType::Ed25519);
    let builder = bare(&sshd, user.name()).key_bytes(stranger.private()).password(user.password());
    let error = start_error(builder);
    let HostErrorKind::Auth { tried, offered, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(
        (tried.as_slice(), offered.as_slice()),
        (&[AuthMethod::PublicKey][..], &[AuthMethod::PublicKey][..])
    );
    sshd.await_log("Failed publickey", 1);
    assert_eq!(sshd.auth_messages().len(), 1, "the password did not leave this machine");
}

#[test]
fn key_and_password_together() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("partial");
    let sshd = Sshd::builder().option("AuthenticationMethods publickey,password").start();
    let key = sshd.key(ClientKey::Ed25519);
    let with_key = || bare(&sshd, user.name()).key_file(&key);
    assert_eq!(run_one(&mut build(with_key().password(user.password())), "id -un"), [user.name()]);
    let identity =
        bare(&sshd, user.name()).identity_auth(true).identity_files([&key]).password(user.password());
    assert_eq!(run_one(&mut build(identity), "id -un"), [user.name()]);

    let error = start_error(with_key());
    let HostErrorKind::Auth { tried, offered, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(
        (tried.as_slice(), offered.as_slice()),
        (&[AuthMethod::PublicKey][..], &[AuthMethod::Password][..])
    );
    let error = start_error(with_key().password("wrong"));
    let HostErrorKind::Auth { tried, offered, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(tried.as_slice(), [AuthMethod::PublicKey, AuthMethod::Password]);
    assert_eq!(offered.as_slice(), [AuthMethod::Password]);
}

fn messages(sshd: &Sshd) -> Vec<String> {
    sshd.auth_messages()
        .into_iter()
        .map(|message| format!("{} {}", message.outcome, message.method))
        .collect()
}

/// The key is offered first, although this server does not accept keys yet.
#[test]
fn password_and_then_key() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("password_then_key");
    let sshd = Sshd::builder().option("AuthenticationMethods password,publickey").log_level("DEBUG1").start();
    let builder = bare(&sshd, user.name()).key_file(sshd.key(ClientKey::Ed25519)).password(user.password());
    assert_eq!(run_one(&mut build(builder), "id -un"), [user.name()]);
    assert_eq!(messages(&sshd), ["Partial password", "Accepted publickey"]);
    assert_eq!(sshd.userauth_requests(), 3, "the key without effect, the password, and the key again");
}

#[test]
fn two_different_keys() {
    let _dog = guard("two_keys");
    let sshd = Sshd::builder().option("AuthenticationMethods publickey,publickey").start();
    let keys = [ClientKey::Ed25519, ClientKey::Ecdsa].map(|key| sshd.key(key));
    let named = bare(&sshd, sshd.user()).key_file(&keys[0]).identity_auth(true);
    assert_eq!(run_one(&mut build(named.clone().identity_files(&keys)), "echo in"), ["in"]);
    // The same key twice is one key.
    let error = start_error(named.identity_files([&keys[0]]));
    let HostErrorKind::Auth { tried, offered, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(
        (tried.as_slice(), offered.as_slice()),
        (&[AuthMethod::PublicKey][..], &[AuthMethod::PublicKey][..])
    );
    let signed = sshd.count("Partial publickey") + sshd.count("Accepted publickey");
    assert_eq!((signed, sshd.count("Failed publickey")), (3, 0), "{}", sshd.log());
}

/// `ssh-keygen` no longer makes such a key; `openssl genrsa -traditional 768` does.
const RSA_768: &str = "-----BEGIN RSA PRIVATE KEY-----
MIIByQIBAAJhAL+ukSl1USB9zq5zs8vlJk4KDvdHGzQsqOdJPZkxceGQgBH6tTqB
6APhNW1ELpkEwRynyGmlAZkE3OuJCIdN9YHL9yuQZwGfHtyRcnGbBkRKsY+8c9Iy
4N6FxCwi5njBZQIDAQABAmAgo0G2VHJ+3M0PaUYJBriR+yZ3NlVMefo8f30Mk523
cZpM9WpcTvhJiNRHCaABkAxiO7qMxhkcFVpddKKx250kKhZGVS6Bj1NUG37l++Bk
LrC8qDZiux3RGXUELk+6EnUCMQDd8ECyLSAMge85s/uDhm4eljIVSlXNXDmDmCdp
W/0KSNhJuTg+r4VLCypKvUhcFpMCMQDdGZAChEt8oCUrsgoLRin0E/evfKu38n1k
Mi/b4h2qcJZeg9EVtyVuGf5NU9FDCycCMCKpEcGB0J6DcFPnquD4jpwSQtIWYN4I
iCboDUekCRmhFL42wfTwPnXg0YMImpNfJwIwWQqHZYwTvm/cKFm+E8ZA9QvpjuG9
YgolF2nivkG0wsQuuoeJd55XU5ziPhAIUWC3AjBUNcdt9F2u9tQimh/9vbmmy9PY
sOUnA859kHgmnC6hj5kUWs7qxFaJFunkOAY3awE=
-----END RSA PRIVATE KEY-----
";

/// libssh does not sign with a short RSA key. It is not the server's fault, and the methods it
/// accepts are still unknown.
#[test]
fn a_key_too_short_for_libssh_gives_way_to_the_next() {
    let _dog = guard("short_key");
    let sshd = Sshd::start();
    let named = || bare(&sshd, sshd.user()).key_bytes(RSA_768);
    let error = start_error(named());
    let HostErrorKind::Auth { problems, offered, .. } = error.kind() else { panic!("{error}") };
    let [AuthProblem::Unable { method: AuthMethod::PublicKey, reason, .. }] = &problems[..] else {
        panic!("{error}")
    };
    assert!(reason.contains("size 768") && offered.is_empty(), "{error}");
    let files = [sshd.key(ClientKey::Ed25519)];
    assert_eq!(run_one(&mut build(named().identity_auth(true).identity_files(files)), "echo in"), ["in"]);
    assert_eq!(messages(&sshd), ["Postponed publickey", "Accepted publickey"]);
}

#[test]
fn too_many_tries_are_a_goodbye_of_the_server() {
    let _dog = guard("max_auth_tries");
    let sshd = Sshd::builder().option("MaxAuthTries 2").start();
    let strangers: Vec<PathBuf> = (0..4)
        .map(|i| KeyPair::generate(KeyType::Ed25519).write(sshd.dir(), &format!("stranger{i}")))
        .collect();
    let builder = bare(&sshd, sshd.user()).identity_auth(true).identity_files(strangers).num_retries(3);
    let error = start_error(builder);
    assert_eq!((error.stage(), error.attempt()), (Stage::Authenticating, 1), "{error}");
    let HostErrorKind::Auth { tried, offered, problems, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(tried.as_slice(), [AuthMethod::PublicKey]);
    assert!(offered.contains(&AuthMethod::PublicKey), "{error}");
    let [AuthProblem::Disconnected { reason: 2, message, .. }] = problems.as_slice() else {
        panic!("{error}")
    };
    assert!(message.contains("Too many authentication failures"), "{message}");
    assert_eq!(sshd.count("Connection from"), 1);
}

#[track_caller]
fn key_error(builder: sshoal::config::ClientBuilder) -> KeyProblem {
    match builder.build() {
        Err(Error::KeyFile { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_names_path(builder: sshoal::config::ClientBuilder, path: &Path) {
    let error = builder.build().expect_err("an unusable key");
    assert!(matches!(&error, Error::KeyFile { path: named, .. } if named == path), "{error:?}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

/// A key that the caller names must be usable; this is checked before any network access.
#[test]
fn an_unusable_key_file_is_an_error_of_build() {
    let _dog = guard("unusable_key_file");
    let dir = tempfile::tempdir().expect("temporary directory");
    let none = dir.path().join("known_hosts");
    let with = |path: &Path| ParallelClient::builder([HOST]).known_hosts([&none]).key_file(path);
    let missing = dir.path().join("missing");
    let public = KeyPair::generate(KeyType::Ed25519).write(dir.path(), "key").with_extension("pub");
    let (empty, binary, cut) = (dir.path().join("empty"), dir.path().join("binary"), dir.path().join("cut"));
    fs::write(&empty, "").expect("write");
    fs::write(&binary, [0, 159, 146, 150]).expect("write");
    let private = ClientKey::Rsa.pair().private();
    write_private(&cut, &private[..private.len() / 2]);
    let encrypted = ClientKey::Encrypted.pair().write(dir.path(), "encrypted");

    for path in [&missing, &dir.path().to_owned()] {
        assert!(matches!(key_error(with(path)), KeyProblem::Unreadable(_)), "{}", path.display());
        assert_names_path(with(path), path);
    }
    for path in [&empty, &binary] {
        assert!(matches!(key_error(with(path)), KeyProblem::Malformed), "{}", path.display());
        assert_names_path(with(path), path);
    }
    assert!(matches!(key_error(with(&public)), KeyProblem::PublicKey));
    assert!(matches!(key_error(with(&cut)), KeyProblem::Damaged(_)));
    assert_names_path(with(&public), &public);
    assert_names_path(with(&cut), &cut);
    assert_names_path(with(&encrypted), &encrypted);
    assert!(matches!(key_error(with(&missing).key_bytes("no key")), KeyProblem::Malformed));
}

/// The user of a Windows domain, and a name with a blank: libssh accepts neither as an option.
#[test]
fn names_with_blanks_and_backslashes_log_in_by_every_method() {
    let _dog = guard("odd_names");
    let random = crate::support::ports::random();
    let Some(user) = TestUser::with_name(&format!(r"S{random:016x}\dep loy")) else { return };
    let sshd = Sshd::builder().option("KbdInteractiveAuthentication no").start();
    let agent = crate::support::agent::Agent::with_keys([ClientKey::Ecdsa.pair()]);
    sshd.key(ClientKey::Ecdsa);
    for builder in [
        bare(&sshd, user.name()).key_file(sshd.key(ClientKey::Ed25519)),
        bare(&sshd, user.name()).identity_auth(true).identity_files([
            KeyPair::generate(KeyType::Rsa).write(sshd.dir(), "other"),
            sshd.key(ClientKey::Ed25519),
        ]),
        bare(&sshd, user.name()).allow_agent(true).agent_socket(agent.socket()),
        bare(&sshd, user.name()).password(user.password()),
    ] {
        assert_eq!(run_one(&mut build(builder), "id -un"), [user.name()]);
    }
    // In the list of hosts, too.
    let entry =
        format!("ssh://{}@{HOST}:{}/", user.name().replace('\\', "%5C").replace(' ', "%20"), sshd.port());
    let builder = ParallelClient::builder([entry]).known_hosts([sshd.known_hosts([HOST])]).timeout(SLOW);
    let builder = builder.identity_auth(false).allow_agent(false).key_file(sshd.key(ClientKey::Ed25519));
    assert_eq!(run_one(&mut build(builder), "id -un"), [user.name()]);
}
