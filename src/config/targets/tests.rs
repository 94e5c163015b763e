mod changes;
mod keys;
mod proxies;
mod ssh_config;

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::keys::{FIFTH, IDENTITY, IDENTITY_CERT, KEY, ONE, ONE_CERT, ONE_PUBLIC, TWO, TWO_CERT};
use super::*;
use crate::Proxy;
use crate::error::AuthProblem;
use crate::host::AddressFamily;
use crate::link::{PrivateKey, engine};
use crate::session::{Answerer, Keepalive, Offer, Retry, RetryPolicy};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A user whose home directory has the identity file `id_rsa` and two other keys.
struct World {
    home: tempfile::TempDir,
    owner: Owner,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        for (name, key) in [(".ssh/id_rsa", IDENTITY), ("one", ONE), ("two", TWO)] {
            write_private(&home.path().join(name), key);
        }
        let owner = Owner { name: Some("owner".to_owned()), home: Some(home.path().to_owned()), agent: None };
        Self { home, owner }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn resolve(
        &self,
        entries: &[&str],
        client: &HostConfig,
        configs: &[HostConfig],
    ) -> Result<Vec<Target>, Error> {
        let hosts = entries.iter().map(|entry| entry.parse().unwrap()).collect();
        let (mut common, list) = Common::new(client.clone(), hosts, Some(configs.to_vec()))?;
        common.targets(&list, &self.owner)
    }

    /// The target of the only host.
    fn one(&self, entry: &str, client: &HostConfig, own: &HostConfig) -> Target {
        self.resolve(&[entry], client, std::slice::from_ref(own)).unwrap().remove(0)
    }

    #[track_caller]
    fn problem(&self, entries: &[&str], client: &HostConfig, configs: &[HostConfig]) -> String {
        match self.resolve(entries, client, configs) {
            Err(error @ (Error::Config { .. } | Error::KeyFile { .. } | Error::CertFile { .. })) => {
                error.to_string()
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Makes a file accessible to its owner only, as private keys have to be.
fn write_private(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn config() -> HostConfig {
    HostConfig::default()
}

/// The settings of a host with this configuration, over the client's.
fn over<'a>(own: &'a HostConfig, client: &'a HostConfig) -> Settings<'a> {
    let layer = |config| Layer { origin: &Origin::Client, config };
    Layers::new(None, [layer(own)], [layer(client)]).settings()
}

fn profiles(targets: &[Target]) -> usize {
    targets.iter().map(|target| Arc::as_ptr(&target.profile)).collect::<HashSet<_>>().len()
}

/// The plan as text, without what a password implies: that it answers prompts for a password.
fn plan(target: &Target) -> Vec<String> {
    let mut plan = full_plan(target);
    plan.retain(|offer| offer != "type(password)");
    plan
}

/// The plan as text: `sign`, `ask`, `agent`, `password(…)`, `type(…)`, `none`.
fn full_plan(target: &Target) -> Vec<String> {
    let told = |offer: &Offer| match offer {
        Offer::None => "none".to_owned(),
        Offer::Sign(key) if key.certificate().is_some() => "sign(certificate)".to_owned(),
        Offer::Sign(_) => "sign".to_owned(),
        Offer::AskThenSign(key) if key.certificate().is_some() => "ask(certificate)".to_owned(),
        Offer::AskThenSign(_) => "ask".to_owned(),
        Offer::Agent(agent) if agent.preferred.is_empty() => "agent".to_owned(),
        Offer::Agent(agent) => format!("agent({} first)", agent.preferred.len()),
        Offer::Password(secret) => format!("password({})", secret.as_c_str().to_str().unwrap()),
        Offer::Gssapi(gssapi) => {
            let client = gssapi.client.as_deref().unwrap_or("-");
            let delegate = if gssapi.delegate { ", delegate" } else { "" };
            format!("gssapi(host@{}, {client}{delegate})", gssapi.server)
        }
        Offer::Interactive(Answerer::Password(_, text)) if text.is_empty() => "type".to_owned(),
        Offer::Interactive(Answerer::Password(_, text)) => format!("type({text})"),
        Offer::Interactive(Answerer::Responder(_)) => "respond".to_owned(),
    };
    target.profile.plan.iter().map(told).collect()
}

fn keys_of(target: &Target) -> Vec<*const PrivateKey> {
    let key = |offer: &Offer| match offer {
        Offer::Sign(key) | Offer::AskThenSign(key) => Some(Arc::as_ptr(key)),
        _ => None,
    };
    target.profile.plan.iter().filter_map(key).collect()
}

/// Checks a setting that neither layer has, that only the client has, and that both have.
#[track_caller]
fn assert_layers<T: PartialEq + std::fmt::Debug, const N: usize>(
    look: impl Fn(&Target) -> T,
    client: HostConfig,
    [default, inherited]: [T; 2],
    overridden: [(HostConfig, T); N],
) {
    let world = World::new();
    assert_eq!(look(&world.one("web", &config(), &config())), default, "default");
    assert_eq!(look(&world.one("web", &client, &config())), inherited, "inherited");
    for (own, expected) in overridden {
        assert_eq!(look(&world.one("web", &config(), &own)), expected, "{own:?} over the default");
        assert_eq!(look(&world.one("web", &client, &own)), expected, "{own:?} over {client:?}");
    }
}

#[test]
fn user_and_port() {
    let user = |target: &Target| target.profile.user_name();
    let own = [(config().user("pi"), "pi".to_owned())];
    assert_layers(user, config().user("deploy"), ["owner", "deploy"].map(str::to_owned), own);
    assert_layers(
        |target| target.port,
        config().port(2022),
        [22, 2022],
        [(config().port(2200), 2200), (config().port(22), 22)],
    );

    let world = World::new();
    let (client, own) = (config().user("deploy").port(2022), config().user("pi").port(2200));
    let told = |entry| {
        let target = world.one(entry, &client, &own);
        (target.profile.user_name(), target.port, target.host.to_string())
    };
    assert_eq!(told("web"), ("pi".to_owned(), 2200, "web".to_owned()));
    assert_eq!(told("web:22"), ("pi".to_owned(), 22, "web".to_owned()));
    assert_eq!(told("root@web"), ("root".to_owned(), 2200, "web".to_owned()));
    assert_eq!(told("root@web:1"), ("root".to_owned(), 1, "web".to_owned()));
}

#[test]
fn attempts_and_their_delay() {
    let attempts = |target: &Target| {
        let RetryPolicy { refused, dropped, failed, .. } = target.profile.connection.retry;
        [refused, dropped, failed].map(|rule| rule.attempts)
    };
    let own = [
        (config().max_attempts(7), [7; 3]),
        (config().num_retries(0), [1; 3]),
        (config().num_retries(1), [1; 3]),
    ];
    assert_layers(attempts, config().num_retries(5), [[2, 11, 3], [5; 3]], own);
    let delay = |target: &Target| {
        let RetryPolicy { refused, dropped, failed, .. } = target.profile.connection.retry;
        [refused, dropped, failed].map(|rule| (rule.delay, rule.backoff))
    };
    let fixed = |delay| [(delay, None); 3];
    let own = [
        (config().retry_delay(MINUTE), fixed(MINUTE)),
        (config().retry_delay(Duration::ZERO), fixed(Duration::ZERO)),
    ];
    let usual = [(SECOND, None), (SECOND / 8, Some(4 * SECOND)), (5 * SECOND, None)];
    assert_layers(delay, config().retry_delay(SECOND), [usual, fixed(SECOND)], own);
}

/// A policy replaces less specific settings of its values. Settings in the same place or a more
/// specific one change it.
#[test]
fn the_policy_for_attempts_and_the_settings_of_its_values() {
    let world = World::new();
    let retry =
        |client: HostConfig, own: HostConfig| world.one("web", &client, &own).profile.connection.retry;
    let policy = RetryPolicy::default().failed(Retry::new(9, MINUTE)).refused(Retry::NEVER);
    assert_eq!(retry(config().retry(policy), config()), policy);
    assert_eq!(retry(config().max_attempts(2).retry_delay(SECOND), config().retry(policy)), policy);
    assert_eq!(retry(config().retry(policy).max_attempts(2), config()), policy.attempts(2));
    assert_eq!(retry(config().max_attempts(2).retry(policy), config()), policy, "the last call counts");
    assert_eq!(retry(config().retry(policy), config().retry_delay(SECOND)), policy.delay(SECOND));
    assert_eq!(retry(config().retry(policy), config().timeout(MINUTE)), policy);

    // The time limit of the default policy must not cut short what a caller has asked for.
    let unlimited = RetryPolicy::default().time_limit(None);
    assert_eq!(retry(config(), config()), RetryPolicy::default());
    assert_eq!(retry(config().timeout(None), config()), RetryPolicy::default());
    assert_eq!(retry(config().timeout(MINUTE), config()), unlimited);
    assert_eq!(retry(config().max_attempts(3), config()), unlimited.attempts(3));
    assert_eq!(retry(config(), config().retry_delay(MINUTE)), unlimited.delay(MINUTE));
    assert_eq!(retry(config(), config().retry_backoff(MINUTE)), unlimited.backoff(MINUTE));
}

#[test]
fn policies_that_cannot_work_are_refused() {
    let usual = RetryPolicy::default();
    let zero = "retry must be longer than zero, or None";
    for (policy, problem) in [
        (usual.refused(Retry::new(0, SECOND)), "retry must be at least 1 attempt in each rule"),
        (usual.attempts(0), "retry must be at least 1 attempt in each rule"),
        (usual.time_limit(Duration::ZERO), zero),
        (usual.failed(Retry::new(2, SECOND).backoff(Duration::ZERO)), zero),
    ] {
        assert_eq!(World::new().problem(&[], &config().retry(policy), &[]), problem);
    }
}

#[test]
fn backoff_and_its_longest_pause() {
    let longest = |target: &Target| target.profile.connection.retry.failed.backoff;
    let own = [(config().retry_backoff(MINUTE), Some(MINUTE)), (config().retry_backoff(None), None)];
    assert_layers(longest, config().retry_backoff(SECOND), [None, Some(SECOND)], own);
}

#[test]
fn families_of_addresses() {
    let family = |target: &Target| target.profile.connection.family;
    let own = [
        (config().address_family(AddressFamily::PreferV6), AddressFamily::PreferV6),
        (config().ipv6_only(true), AddressFamily::V6),
        (config().ipv6_only(false), AddressFamily::Any),
    ];
    assert_layers(
        family,
        config().address_family(AddressFamily::V4),
        [AddressFamily::Any, AddressFamily::V4],
        own,
    );
}

#[test]
fn compression_is_on_request() {
    let compress = |target: &Target| target.profile.connection.compress;
    let own = [(config().compress(true), true), (config().compress(false), false)];
    assert_layers(compress, config().compress(true), [false, true], own);
}

#[test]
fn addresses_race_on_request() {
    let delay = |target: &Target| target.profile.connection.attempt_delay;
    let own = [
        (config().attempt_delay(MINUTE), Some(MINUTE)),
        (config().attempt_delay(limits::ATTEMPT_DELAY_MIN), Some(limits::ATTEMPT_DELAY_MIN)),
        (config().attempt_delay(None), None),
    ];
    assert_layers(delay, config().attempt_delay(SECOND), [None, Some(SECOND)], own);
    let hasty = config().attempt_delay(Duration::from_millis(9));
    let problem = "attempt_delay must be at least 10 ms, or None";
    assert_eq!(World::new().problem(&[], &hasty, &[]), problem);
    let of_host = World::new().problem(&["web"], &config(), std::slice::from_ref(&hasty));
    assert_eq!(of_host, format!("host 1 of the list (web): {problem}"));
}

#[test]
fn keepalives_and_how_many_may_be_missed() {
    let keepalive = |target: &Target| target.profile.connection.keepalive;
    let every = |interval, missed_max| Some(Keepalive { interval, missed_max });
    let own = [
        (config().keepalive(MINUTE), every(MINUTE, 3)),
        (config().keepalive(None), None),
        (config().keepalive(MINUTE).keepalive_max_missed(1), every(MINUTE, 1)),
    ];
    assert_layers(keepalive, config().keepalive(SECOND), [None, every(SECOND, 3)], own);
    let world = World::new();
    let own = config().keepalive_max_missed(0);
    assert_eq!(
        world.problem(&["web"], &config(), std::slice::from_ref(&own)),
        "host 1 of the list (web): keepalive_max_missed must be at least 1"
    );
    assert_eq!(world.problem(&[], &own, &[]), "keepalive_max_missed must be at least 1");
}

#[test]
fn time_limits() {
    let stages = |target: &Target| {
        let Timeouts { connect, handshake, auth, exec, .. } = target.profile.timeouts;
        [connect, handshake, auth, exec, target.profile.read_timeout].map(Option::unwrap_or_default)
    };
    let all = |limit| [limit; 5];
    let none = [10 * SECOND, 10 * SECOND, 20 * SECOND, 30 * SECOND, Duration::ZERO];
    let own = [(config().timeout(MINUTE), all(MINUTE)), (config().timeout(None), none)];
    assert_layers(stages, config().timeout(SECOND), [none, all(SECOND)], own);

    let ends = |target: &Target| (target.profile.timeouts.stop, target.profile.timeouts.close);
    let own = [
        (config().stop_grace(MINUTE).close_timeout(SECOND), (MINUTE, SECOND)),
        (config().stop_grace(Duration::ZERO).close_timeout(MINUTE), (Duration::ZERO, MINUTE)),
    ];
    let client = config().stop_grace(SECOND).close_timeout(Duration::ZERO);
    assert_layers(ends, client, [(SECOND, 10 * SECOND), (SECOND, Duration::ZERO)], own);

    let read = |target: &Target| target.profile.read_timeout;
    let own = [
        (config().read_timeout(MINUTE), Some(MINUTE)),
        (config().read_timeout(None), None),
        // This applies only if no read timeout is set, which the next test checks.
        (config().read_timeout(MINUTE).timeout(SECOND), Some(MINUTE)),
    ];
    assert_layers(read, config().read_timeout(SECOND).timeout(MINUTE), [None, Some(SECOND)], own);
    let world = World::new();
    let read_of = |client: HostConfig, own: HostConfig| read(&world.one("web", &client, &own));
    assert_eq!(read_of(config().timeout(MINUTE), config().timeout(SECOND)), Some(SECOND));
    assert_eq!(read_of(config().read_timeout(MINUTE), config().timeout(SECOND)), Some(MINUTE));
    assert_eq!(read_of(config().timeout(MINUTE), config().read_timeout(None)), None);
    assert_eq!(read_of(config().timeout(MINUTE), config().timeout(None)), None);
}

#[test]
fn passwords() {
    let none = || vec!["none".to_owned()];
    let with = |password: &str| vec![format!("password({password})")];
    let own = [(config().identity_auth(false).password("own"), with("own"))];
    let look = |target: &Target| plan(target).into_iter().filter(|told| told != "sign").collect::<Vec<_>>();
    assert_layers(look, config().password("all"), [vec![], with("all")], own);
    let world = World::new();
    let off = config().identity_auth(false);
    assert_eq!(plan(&world.one("web", &off, &config())), none());
    // An empty password counts as a password.
    assert_eq!(plan(&world.one("web", &off.password("all"), &config().password(""))), with(""));
}

/// parallel-ssh: `BaseSSHClient.IDENTITIES`.
#[test]
fn the_usual_identity_files_are_tried_in_the_usual_order() {
    let world = World::new();
    let files =
        [("id_ed25519", FIFTH), ("id_ecdsa", TWO), ("identity", ONE), ("id_dsa", KEY), ("id_rsa", IDENTITY)];
    for (name, text) in files {
        write_private(&world.path(".ssh").join(name), text);
    }
    let blobs = |target: Target| {
        let keys = target.profile.plan.iter().filter_map(|offer| offer.key().map(PrivateKey::blob));
        keys.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let named = ["id_rsa", "id_dsa", "identity", "id_ecdsa", "id_ed25519"].map(|name| {
        let target = world.one("web", &config(), &config().identity_files([world.path(".ssh").join(name)]));
        blobs(target).remove(0)
    });
    assert_eq!(blobs(world.one("web", &config(), &config())), named);
    assert!(keys_of(&world.one("web", &config(), &config().identity_auth(false))).is_empty());
}

/// A default identity file that other users can read is skipped, and the next one is used.
#[test]
fn a_usual_identity_file_that_others_can_read_is_passed_over() {
    let world = World::new();
    write_private(&world.path(".ssh/id_ed25519"), FIFTH);
    let plan_of = |world: &World| keys_of(&world.one("web", &config(), &config())).len();
    assert_eq!(plan_of(&world), 2);
    let exposed = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(world.path(".ssh/id_rsa"), exposed).unwrap();
    assert_eq!(plan_of(&world), 1);
    let skipped = &world.one("web", &config(), &config()).profile.skipped;
    let [AuthProblem::KeySkipped { path, reason, .. }] = &skipped[..] else { panic!("{skipped:?}") };
    assert!(*path == world.path(".ssh/id_rsa") && reason.starts_with("is accessible to other users"));
    let named = config().identity_files(["~/.ssh/id_rsa"]);
    let path = world.path(".ssh/id_rsa").display().to_string();
    let chmod = format!("{path}: is accessible to other users (mode 0640); run: chmod 600 '{path}'");
    for (client, own, who) in [(&named, &config(), ""), (&config(), &named, "host 1 of the list (web): ")] {
        let problem = world.problem(&["web"], client, std::slice::from_ref(own));
        assert_eq!(problem, format!("{who}private key {chmod}"));
    }
}

/// A key that only the agent can sign with: a public key, or an encrypted one without a passphrase.
#[test]
fn public_halves_select_keys_of_the_agent() {
    let mut world = World::new();
    let line = format!("{} me", ONE_PUBLIC);
    std::fs::write(world.path("one.pub"), &line).unwrap();
    let told = |world: &World, client: HostConfig| plan(&world.one("web", &client, &config())).join(" ");
    let off = || config().identity_auth(false);
    let without = world.problem(&["web"], &off().key_file("~/one.pub"), &[config()]);
    assert!(without.contains("holds a public key"), "{without}");
    world.owner.agent = Some("/agent".into());
    for key in [off().key_file("~/one.pub"), off().key_bytes(line.clone())] {
        assert_eq!(told(&world, key.clone()), "agent(1 first) none");
        assert_eq!(told(&world, key.clone().identities_only(true)), "agent(1 first) none");
        assert_eq!(told(&world, key.allow_agent(false).key_file("~/one")), "sign");
    }
    // The certificate is offered if the agent holds it.
    assert_eq!(told(&world, off().key_file("~/one.pub").cert_bytes(ONE_CERT)), "agent(2 first) none");
    let other = world.problem(&["web"], &off().key_file("~/one.pub").cert_bytes(TWO_CERT), &[config()]);
    assert!(other.contains("belongs to neither"), "{other}");
    // The default identity file `id_rsa`, and one of which only the public half exists.
    assert_eq!(told(&world, config()), "agent(1 first) ask");
    std::fs::copy(world.path("one.pub"), world.path(".ssh/id_ed25519.pub")).unwrap();
    assert_eq!(told(&world, config()), "agent(2 first) ask");
    assert_eq!(told(&world, config().key_file("~/two")), "sign agent(2 first) ask");
    // With nothing to prefer, there is nothing that the agent may offer.
    assert_eq!(told(&world, off().identities_only(true)), "none");
    assert_eq!(told(&world, off().identities_only(true).key_file("~/two")), "sign");
    assert_eq!(told(&world, off()), "agent none");
}

#[test]
fn certificates() {
    let world = World::new();
    let one = || config().identity_auth(false).key_file(world.path("one"));
    let told = |client: &HostConfig, own: &HostConfig| plan(&world.one("web", client, own)).join(" ");
    let two = || config().key_file(world.path("two"));
    assert_eq!(told(&one(), &config().cert_bytes(ONE_CERT)), "sign(certificate) sign");
    let client = || one().cert_bytes(ONE_CERT);
    assert_eq!(told(&client(), &config()), "sign(certificate) sign", "inherited with the key");
    assert_eq!(told(&client(), &two()), "sign", "not inherited by another key");
    assert_eq!(told(&client(), &two().cert_bytes(TWO_CERT)), "sign(certificate) sign");
    assert_eq!(told(&client(), &config().identity_auth(true)), "sign(certificate) sign ask");
    assert_eq!(told(&config(), &one().cert_bytes(ONE_CERT)), "sign(certificate) sign");

    let identities = || config().cert_bytes(IDENTITY_CERT);
    assert_eq!(told(&identities(), &config()), "ask(certificate) ask", "of an identity file");
    assert_eq!(told(&identities(), &two()), "sign ask");
    assert_eq!(told(&identities(), &config().identity_auth(false)), "none");
    assert_eq!(told(&identities(), &config().identity_files([world.path("one")])), "sign");

    let none = "certificate <bytes>: belongs to neither the private key nor any identity file";
    let wrong = [
        (client(), config().cert_bytes(TWO_CERT), 0),
        (config().identity_auth(false), config().cert_bytes(TWO_CERT), 0),
        (config(), two().cert_bytes(IDENTITY_CERT), 0),
    ];
    for (client, own, position) in wrong {
        let expected = format!("host {} of the list (web): {none}", position + 1);
        assert_eq!(world.problem(&["web"], &client, &[own]), expected);
    }
    assert_eq!(world.problem(&["web"], &one().cert_bytes(TWO_CERT), &[config()]), none, "the client's own");
    let off = config().identity_auth(false).cert_bytes(IDENTITY_CERT);
    assert_eq!(world.problem(&["web"], &off, &[config()]), none, "it is not ignored silently");
}

#[test]
fn a_certificate_beside_a_key_goes_with_it() {
    let world = World::new();
    let one = || config().key_file("~/one");
    let told = |own: &HostConfig| plan(&world.one("web", &config(), own)).join(" ");
    std::fs::write(world.path(".ssh/id_rsa-cert.pub"), IDENTITY_CERT).unwrap();
    assert_eq!(told(&config()), "ask(certificate) ask");
    std::fs::write(world.path("one-cert.pub"), ONE_CERT).unwrap();
    assert_eq!(told(&one()), "sign(certificate) sign ask(certificate) ask");
    assert_eq!(told(&one().identity_files([world.path("one")])), "sign(certificate) sign", "offered once");
    std::fs::write(world.path("one-cert.pub"), TWO_CERT).unwrap();
    assert_eq!(told(&one().identity_auth(false)), "sign", "another key's");
    assert_eq!(told(&one().identity_auth(false).cert_bytes(ONE_CERT)), "sign(certificate) sign");
    std::fs::remove_file(world.path("one-cert.pub")).unwrap();
    assert_eq!(told(&one().identity_auth(false)), "sign");
}

/// Each pair of key and certificate is one object in memory, however many profiles have it.
#[test]
fn certificates_are_shared() {
    let world = World::new();
    let client = config().identity_auth(false).key_file("~/one").cert_bytes(ONE_CERT);
    let users: Vec<_> = (0..1_000).map(|i| config().user(format!("user{i}"))).collect();
    let targets = world.resolve(&vec!["web"; 1_000], &client, &users).unwrap();
    assert_eq!(profiles(&targets), 1_000);
    assert_eq!(targets.iter().flat_map(keys_of).collect::<HashSet<_>>().len(), 2);
}

#[test]
fn keyboard_interactive() {
    let world = World::new();
    let base = || config().identity_auth(false).password("secret");
    let told = |client: &HostConfig, own: &HostConfig| full_plan(&world.one("web", client, own)).join(" ");
    let (on, off) =
        (|config: HostConfig| config.keyboard_interactive(true), config().keyboard_interactive(false));
    let asking = |config: HostConfig| config.responder(|_| None);
    assert_eq!(told(&base(), &config()), "password(secret) type(password)");
    assert_eq!(told(&base(), &off), "password(secret)");
    assert_eq!(told(&base().password_prompt("code"), &config()), "password(secret) type(code)");
    assert_eq!(told(&on(base()), &config().password_prompt("code")), "password(secret) type(code)");
    assert_eq!(told(&on(base()), &config()), "password(secret) type");
    assert_eq!(told(&base(), &on(config())), "password(secret) type");
    assert_eq!(told(&on(base()), &off), "password(secret)", "false overrides");
    assert_eq!(told(&asking(base()), &config()), "password(secret) respond");
    assert_eq!(
        told(&asking(on(base())), &config()),
        "password(secret) respond",
        "it takes the password's place"
    );
    assert_eq!(told(&asking(base()), &off), "password(secret)");
    assert_eq!(told(&off.clone().password("all"), &asking(base())), "password(secret) respond");
    assert_eq!(told(&asking(base()).keyboard_interactive(false), &config()), "password(secret)");
    assert_eq!(told(&asking(config().identity_auth(false)), &config()), "respond", "no password needed");

    let nobody = on(config().identity_auth(false));
    let problem = "keyboard_interactive needs a password or a responder";
    assert_eq!(world.problem(&["web"], &nobody, &[config()]), problem);
    let of_host = format!("host 2 of the list (db): {problem}");
    assert_eq!(world.problem(&["web", "db"], &config(), &[config(), nobody]), of_host);

    let one = asking(base());
    let targets = world.resolve(&["a", "b", "c"], &config(), &[one.clone(), one, asking(base())]).unwrap();
    assert_eq!(profiles(&targets), 2, "the same function is the same, another one is not");
}

#[test]
fn keys_and_identities() {
    let world = World::new();
    let one = || config().key_file(world.path("one"));
    let two = || config().key_bytes(KEY).identity_files([world.path("one"), world.path("two")]);
    let told = |client: &HostConfig, own: &HostConfig| plan(&world.one("web", client, own)).join(" ");
    assert_eq!(told(&config(), &config()), "sign", "the only identity");
    assert_eq!(told(&config(), &config().identity_auth(false)), "none");
    assert_eq!(told(&config().identity_auth(false), &config().identity_auth(true)), "sign");
    assert_eq!(told(&one(), &config()), "sign ask");
    assert_eq!(told(&config(), &one()), "sign ask");
    assert_eq!(told(&one(), &config().identity_auth(false)), "sign");
    assert_eq!(told(&one(), &two()), "sign ask ask");
    assert_eq!(told(&two(), &one()), "sign ask", "a key is offered once");
    assert_eq!(told(&two(), &config().identity_files([""; 0])), "sign");
    assert_eq!(told(&two(), &one().identity_auth(false).password("own")), "sign password(own)");

    let key = |client: &HostConfig, own: &HostConfig| {
        world.resolve(&["a", "b"], client, &[one(), own.clone()]).unwrap()
    };
    let same = |targets: &[Target]| keys_of(&targets[0])[0] == keys_of(&targets[1])[0];
    assert!(same(&key(&one(), &config())), "inherited");
    assert!(!same(&key(&one(), &config().key_file(world.path("two")))), "overridden by a file");
    assert!(!same(&key(&one(), &config().key_bytes(KEY))), "overridden by text");
    assert!(!same(&key(&config().key_bytes(KEY), &config())), "text inherited");
}

#[test]
fn an_alias_is_the_hosts_own() {
    let world = World::new();
    let configs = [config().alias("cellar"), config(), config().alias("")];
    let targets = world.resolve(&["a", "a", "a"], &config(), &configs).unwrap();
    let aliases: Vec<_> = targets.iter().map(|target| target.alias.as_deref()).collect();
    assert_eq!(aliases, [Some("cellar"), None, Some("")]);
    assert_eq!(profiles(&targets), 1, "it makes no difference to the session");
}

#[test]
fn a_wrong_number_of_configurations_names_both() {
    let world = World::new();
    let problem = world.problem(&["a", "b", "c"], &config(), &[config(), config()]);
    assert_eq!(problem, "host_config has 2 entries for 3 hosts: give one for each host");
    assert_eq!(
        world.problem(&["a"], &config(), &[config(), config()]),
        "host_config has 2 entries for 1 hosts: give one for each host"
    );
    assert_eq!(
        world.problem(&["a"], &config(), &[]),
        "host_config has 0 entries for 1 hosts: give one for each host"
    );
    assert!(world.resolve(&[], &config(), &[]).unwrap().is_empty());
}

#[test]
fn what_cannot_work_names_the_host() {
    let world = World::new();
    let missing = world.path("missing");
    let path = missing.display();
    let wrong = [
        (config().port(0), "port must be 1 to 65535".to_owned()),
        (config().user("a;b"), "user \"a;b\": the user contains the character ';'".to_owned()),
        (config().user(""), "user \"\": the user is empty".to_owned()),
        (config().password("a\0b"), "password contains a NUL byte".to_owned()),
        (config().passphrase("a\0b"), "passphrase contains a NUL byte".to_owned()),
        (config().key_bytes("no key"), "private key <bytes>: holds no private key".to_owned()),
        (config().key_bytes([0xff]), "private key <bytes>: holds no private key".to_owned()),
        (config().key_file(&missing), format!("private key {path}: cannot be read: No such file")),
    ];
    for (own, expected) in wrong {
        let problem = world.problem(&["a", "b", "root@c:22"], &config(), &[config(), config(), own]);
        let expected = format!("host 3 of the list (c): {expected}");
        assert!(problem.starts_with(&expected), "{problem}\ninstead of {expected}");
    }
}

/// An error in a setting of the client does not name the host that inherits the setting.
#[test]
fn an_inherited_mistake_is_the_clients() {
    let world = World::new();
    let missing = config().key_file(world.path("missing"));
    for own in [config(), config().identity_files(["~/one"]).password("own").user("pi")] {
        let error = world.resolve(&["a"], &missing, &[own]).unwrap_err();
        assert!(matches!(error, Error::KeyFile { origin: Origin::Client, .. }), "{error:?}");
    }
    let own = config().key_file(world.path("one"));
    world.resolve(&["a"], &missing, std::slice::from_ref(&own)).unwrap();
    assert_eq!(world.problem(&["a"], &config().port(0), &[own.port(1)]), "port must be 1 to 65535");

    let error = world.resolve(&[], &missing, &[]).unwrap_err();
    assert!(matches!(error, Error::KeyFile { origin: Origin::Client, .. }), "{error:?}");
}

#[test]
fn equal_settings_are_shared() {
    let world = World::new();
    let one = world.path("one");
    let kinds = [
        config(),
        config().key_file(&one).password("secret").alias("one of many"),
        config().key_file("~/one").user("deploy").timeout(SECOND),
    ];
    let configs: Vec<_> = kinds.iter().cycle().take(9_999).cloned().collect();
    let targets = world.resolve(&vec!["web"; 9_999], &config(), &configs).unwrap();
    assert_eq!(profiles(&targets), 3);
    assert_ne!(keys_of(&targets[1])[0], keys_of(&targets[2])[0], "with and without a password to open it");

    let users: Vec<_> = (0..1_000).map(|i| config().user(format!("user{i}")).key_file(&one)).collect();
    let targets = world.resolve(&vec!["web"; 1_000], &config(), &users).unwrap();
    assert_eq!(profiles(&targets), 1_000);
    let keys: HashSet<_> = targets.iter().flat_map(keys_of).collect();
    assert_eq!(keys.len(), 2, "the file and the identity, parsed once");
}

/// Otherwise an encrypted identity file would be decrypted, slowly, once per host.
#[test]
fn hosts_passwords_do_not_open_the_clients_keys() {
    let world = World::new();
    let client = config().key_file(world.path("one"));
    let passwords: Vec<_> = (0..1_000).map(|i| config().password(format!("password{i}"))).collect();
    let targets = world.resolve(&vec!["web"; 1_000], &client, &passwords).unwrap();
    assert_eq!(profiles(&targets), 1_000);
    assert_eq!(targets.iter().flat_map(keys_of).collect::<HashSet<_>>().len(), 2);
}

/// A file that is missing or cannot be decrypted is not read once per host either.
#[test]
fn identity_files_are_read_once() {
    let world = World::new();
    let files = [world.path("later"), world.path("one")];
    let client = config().identity_files(&files);
    let (first, second) = (config().password("first"), config().password("second"));
    let mut keys = KnownKeys::default();
    let mut credentials = Credentials::new(&world.owner, &mut keys);
    let (before, _) = credentials.plan(None, over(&first, &client).login).unwrap();
    write_private(&files[0], KEY);
    std::fs::remove_file(&files[1]).unwrap();
    let (after, _) = credentials.plan(None, over(&second, &client).login).unwrap();
    let [Offer::Sign(a), Offer::Password(_), ..] = before.as_slice() else { panic!("{before:?}") };
    let [Offer::Sign(b), Offer::Password(_), ..] = after.as_slice() else { panic!("{after:?}") };
    assert!(Arc::ptr_eq(a, b));
}

/// Hosts share a profile if they share a Kerberos server identity, but not if the identity is the
/// host's name.
#[test]
fn gssapi_goes_first_and_names_the_host() {
    if !engine::has_gssapi() {
        return;
    }
    let told = |target: &Target| plan(target).join(" ");
    let off = || config().identity_auth(false);
    let on = || off().gssapi_auth(true);
    let own = [
        (on(), "gssapi(host@web, -)".to_owned()),
        (off().gssapi_auth(false), "none".to_owned()),
        // An identity switches GSSAPI on, unless a layer has switched it off.
        (off().gssapi_client_identity("pi"), "gssapi(host@web, pi)".to_owned()),
        (off().gssapi_server_identity("node").gssapi_auth(false), "none".to_owned()),
        (
            on().password("own").gssapi_delegate_credentials(true),
            "gssapi(host@web, -, delegate) password(own)".to_owned(),
        ),
    ];
    let look = |target: &Target| told(target).replace("sign", "none");
    assert_layers(look, on(), ["none", "gssapi(host@web, -)"].map(str::to_owned), own);

    let world = World::new();
    let all = on()
        .gssapi_server_identity("cluster")
        .gssapi_client_identity("ops")
        .gssapi_delegate_credentials(true);
    let of = |client: &HostConfig, own: HostConfig| told(&world.one("web", client, &own));
    assert_eq!(of(&all, config()), "gssapi(host@cluster, ops, delegate)");
    assert_eq!(of(&all, config().gssapi_server_identity("web")), "gssapi(host@web, ops, delegate)");
    assert_eq!(of(&all, config().gssapi_client_identity("pi")), "gssapi(host@cluster, pi, delegate)");
    assert_eq!(of(&all, config().gssapi_delegate_credentials(false)), "gssapi(host@cluster, ops)");

    let hosts = ["one", "two", "one"];
    let none = [config(), config(), config()];
    assert_eq!(profiles(&world.resolve(&hosts, &on(), &none).unwrap()), 2);
    assert_eq!(profiles(&world.resolve(&hosts, &all, &none).unwrap()), 1);
}

/// libssh takes the name from an option for GSSAPI only, and refuses some names there.
#[test]
fn a_name_that_libssh_refuses_is_refused_for_gssapi_only() {
    let world = World::new();
    let named = |config: HostConfig| config.user(r"CORP\deploy");
    assert_eq!(world.one("web", &named(config()), &config()).profile.user_name(), r"CORP\deploy");
    if !engine::has_gssapi() || engine::takes_user(cr"CORP\deploy") {
        return;
    }
    let problem = world.problem(&["web"], &config().gssapi_auth(true), &[named(config())]);
    let text = "host 1 of the list (web): user \"CORP\\deploy\": libssh cannot use this name with GSSAPI: \
                set gssapi_auth(false)";
    assert_eq!(problem, text);
    let off = named(config()).gssapi_auth(false);
    assert_eq!(world.one("web", &config().gssapi_auth(true), &off).profile.user_name(), r"CORP\deploy");
}

#[test]
fn names_and_addresses_in_known_hosts_files() {
    let world = World::new();
    let of = |entry: &str, own: HostConfig| world.one(entry, &config(), &own).recorded;
    assert_eq!(of("127.1", config()), ("127.0.0.1".into(), 22));
    assert_eq!(of("[0:0::1]:7", config()), ("::1".into(), 7));
    assert_eq!(of("fe80::0:1%eth0", config()), ("fe80::1%eth0".into(), 22));
    // These are mere names.
    assert_eq!(of("1234", config().hostname("127.0.0.1")), ("1234".into(), 22));
    assert_eq!(of("web", config().host_key_alias("1234")), ("1234".into(), 22));
}

#[test]
fn what_gssapi_cannot_use_is_refused() {
    let world = World::new();
    let problem = |client: HostConfig, own: HostConfig| world.problem(&["web"], &client, &[own]);
    let long = "x".repeat(limits::GSSAPI_NAME + 1);
    for (name, what) in [("", "is empty"), ("a\0b", "contains a NUL byte"), (long.as_str(), "is too long")] {
        let server = format!("gssapi_server_identity {what}");
        assert_eq!(problem(config().gssapi_server_identity(name), config()), server);
        let client = format!("host 1 of the list (web): gssapi_client_identity {what}");
        assert_eq!(problem(config(), config().gssapi_client_identity(name)), client);
    }
    let idle = "gssapi_delegate_credentials needs gssapi_auth, which is off";
    assert_eq!(problem(config().gssapi_delegate_credentials(true), config()), idle);
    let own = config().gssapi_delegate_credentials(true);
    assert_eq!(problem(config(), own), format!("host 1 of the list (web): {idle}"));
    let proxy = Proxy::new("gate").gssapi_delegate_credentials(true);
    assert_eq!(problem(config().proxy(proxy), config()), format!("proxy gate: {idle}"));
    if engine::has_gssapi() {
        let name = "x".repeat(limits::GSSAPI_NAME + 1);
        let too_long = world.problem(&[&name], &config().gssapi_auth(true), &[config()]);
        assert!(too_long.ends_with(": gssapi_server_identity is too long"), "{too_long}");
    } else {
        let refused = world.resolve(&["web"], &config().gssapi_auth(true), &[config()]);
        assert!(matches!(refused, Err(Error::Unsupported { feature: "GSSAPI", .. })));
    }
}

/// Hosts share a profile exactly if their settings have the same effect.
#[test]
fn each_setting_tells_profiles_apart() {
    let world = World::new();
    let base = || config().user("deploy").num_retries(2).identity_auth(false).password("secret");
    let different = [
        base().user("root"),
        base().num_retries(3),
        base().retry_delay(MINUTE),
        base().retry_backoff(MINUTE),
        base().address_family(AddressFamily::PreferV4),
        base().attempt_delay(MINUTE),
        base().compress(true),
        base().keepalive(MINUTE),
        base().keepalive(MINUTE).keepalive_max_missed(1),
        base().timeout(MINUTE),
        base().read_timeout(MINUTE),
        base().password("other"),
        base().key_file(world.path("one")),
        base().identity_auth(true),
        base().identity_auth(true).identity_files([world.path("two")]),
    ];
    let configs: Vec<_> = std::iter::once(base()).chain(different).collect();
    let targets = world.resolve(&vec!["web"; configs.len()], &config(), &configs).unwrap();
    assert_eq!(profiles(&targets), configs.len());
    let same = [
        base(),
        base().port(2200),
        base().alias("a"),
        base().timeout(None),
        base().passphrase("none"),
        base().retry_backoff(None).ipv6_only(false).compress(false).keepalive(None),
        base().keepalive_max_missed(1),
        base().attempt_delay(None),
    ];
    let targets = world.resolve(&vec!["web"; same.len()], &config(), &same).unwrap();
    assert_eq!(profiles(&targets), 1);
    let one = base().key_file(world.path("one"));
    let same =
        [one.clone(), one.passphrase("needless"), base().identity_auth(true).identity_files(["~/one"])];
    assert_eq!(profiles(&world.resolve(&["web"; 3], &config(), &same).unwrap()), 1);
}

#[test]
fn debug_shows_no_secret() {
    let own = config().password("hunter2").passphrase("hunter3").key_bytes(KEY).key_bytes("hunter4");
    let mut text = format!("{own:?}");
    text += &format!(
        "{:?}",
        crate::ParallelClient::builder(["web"]).password("hunter5").host_config([own.clone()])
    );
    text += &format!("{:?}", over(&own, &config()));
    assert!(!text.contains("hunter") && !text.contains("104, 117"), "{text}");
    assert!(!format!("{:?}", config().key_file(Path::new("id"))).contains("Hidden"));
}

#[test]
fn the_agent_and_its_socket() {
    let agent = |target: &Target| {
        let offered = plan(target).iter().any(|offer| offer.starts_with("agent"));
        (offered, target.profile.agent.as_deref().map(Path::to_owned))
    };
    let at = |path: &str| config().agent_socket(path);
    let socket = |path: &str| Some(PathBuf::from(path));
    let off = config().allow_agent(false);
    assert_layers(
        agent,
        at("/one"),
        [(false, None), (true, socket("/one"))],
        [(at("/two"), (true, socket("/two"))), (at("/two").allow_agent(false), (false, socket("/two")))],
    );
    let world = World::new();
    assert_eq!(agent(&world.one("web", &at("/one"), &off)), (false, socket("/one")));
    assert!(agent(&world.one("web", &at("/one").allow_agent(false), &config().allow_agent(true))).0);
    assert_eq!(agent(&world.one("web", &at("~/agent"), &config())).1, Some(world.home.path().join("agent")));
    let alone = plan(&world.one("web", &at("/one").identity_auth(false), &config()));
    assert_eq!(alone, ["agent", "none"]);
}

#[test]
fn the_agent_is_forwarded_where_there_is_one() {
    let forward = |target: &Target| target.profile.forward_agent.is_some();
    let base = config().agent_socket("/one");
    let with = |on| base.clone().forward_ssh_agent(on);
    let world = World::new();
    let one = |client: &HostConfig, own: &HostConfig| forward(&world.one("web", client, own));
    assert!(!one(&base, &config()));
    assert!(one(&with(true), &config()) && !one(&with(true), &config().forward_ssh_agent(false)));
    assert!(one(&base, &config().forward_ssh_agent(true)));
    assert!(one(&with(true).allow_agent(false), &config()), "not only for the login");

    let on = config().forward_ssh_agent(true);
    let problem = world.problem(&["web"], &on, &[config()]);
    assert_eq!(problem, "forward_ssh_agent needs an ssh-agent: set SSH_AUTH_SOCK or agent_socket");
    let problem = world.problem(&["web"], &config(), &[on]);
    assert!(problem.starts_with("host 1 of the list (web): forward_ssh_agent needs"), "{problem}");
}
