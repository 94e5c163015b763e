//! Which algorithms are offered, agreed on and reported.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sshoal::config::ClientBuilder;
use sshoal::error::{AuthProblem, ConfigProblem, HandshakeProblem};
use sshoal::{
    Budget, Error, Event, Fleet, HostConfig, HostError, HostErrorKind, ParallelClient, Proxy, ReadOptions,
};

use super::{SLOW, build, client_for, guard, run_one, start_error, with_key};
use crate::support::keys::{ClientKey, KeyType};
use crate::support::peers::{Scripted, Step};
use crate::support::sshd::Sshd;

const HOST: &str = "127.0.2.1";

/// A client without hosts, to see what `build` makes of settings.
fn settings() -> ClientBuilder {
    ParallelClient::builder([] as [&str; 0]).known_hosts([] as [&str; 0]).identity_auth(false)
}

/// Whether this libssh has the algorithm that `choose` chooses.
fn has(choose: impl FnOnce(ClientBuilder) -> ClientBuilder) -> bool {
    choose(settings()).build().is_ok()
}

fn has_mlkem() -> bool {
    has(|builder| builder.kex_algorithms("mlkem768x25519-sha256"))
}

fn has_gcm() -> bool {
    has(|builder| builder.ciphers("aes128-gcm@openssh.com,aes256-gcm@openssh.com"))
}

/// The lists of a client's KEXINIT (RFC 4253 section 7.1), from the stream that it has sent.
fn kexinit(stream: &[u8]) -> Vec<String> {
    let end = stream.windows(2).position(|pair| pair == b"\r\n").expect("an identification");
    // The lengths of packet and padding, the type and the cookie.
    let mut rest = &stream[end + 2 + 4 + 1 + 1 + 16..];
    let list = |_| {
        let (length, after) = rest.split_first_chunk().expect("a list");
        let (list, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        rest = after;
        String::from_utf8(list.to_vec()).expect("names")
    };
    (0..8).map(list).collect()
}

/// A server that records what a client offers.
fn listener() -> Scripted {
    let greeting = Step::Send(b"SSH-2.0-OpenSSH_9.9\r\n".into());
    Scripted::start([greeting, Step::ReceiveUntil(b"none".into()), Step::Close])
}

/// What each of these servers is offered.
fn offers<const N: usize>(servers: [&Scripted; N], client: ClientBuilder) -> [Vec<String>; N] {
    let mut client = build(client.num_retries(1).timeout(SLOW).password("secret").user("demo"));
    let unheard = ReadOptions::default().stop_on_errors(false);
    let outputs = client.run_command_with("true", unheard).expect("valid");
    assert!(outputs.iter().all(|output| output.error().is_some() && output.algorithms().is_none()));
    servers.map(|server| kexinit(&server.received(0)))
}

fn at(server: &Scripted) -> String {
    server.address().to_string()
}

fn quiet(hosts: Vec<String>) -> ClientBuilder {
    ParallelClient::builder(hosts).known_hosts([] as [&str; 0]).identity_auth(false).allow_agent(false)
}

#[test]
fn the_default_on_the_wire_is_safe_and_holds_no_thread() {
    let _dog = guard("default_on_the_wire");
    let server = listener();
    let [lists] = offers([&server], quiet(vec![at(&server)]));
    let [kex, host_keys, to_host, from_host, mac_to, mac_from, zip_to, zip_from] = &lists[..] else {
        panic!("{lists:?}")
    };
    let curve = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp521,\
                 ecdh-sha2-nistp384,diffie-hellman-group14-sha256";
    let quantum = if has_mlkem() { "mlkem768x25519-sha256," } else { "" };
    assert_eq!(*kex, format!("{quantum}{curve},ext-info-c,kex-strict-c-v00@openssh.com"));
    let types = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,\
                 rsa-sha2-512,rsa-sha2-256";
    assert_eq!(host_keys, types);
    let gcm = if has_gcm() { ",aes256-gcm@openssh.com,aes128-gcm@openssh.com" } else { "" };
    assert_eq!(*to_host, format!("chacha20-poly1305@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr{gcm}"));
    let macs = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512,\
                hmac-sha1-etm@openssh.com,hmac-sha1";
    assert_eq!(mac_to, macs);
    assert_eq!([from_host, mac_from, zip_to, zip_from], [to_host, mac_to, "none", "none"]);
}

#[test]
fn each_host_and_each_proxy_is_offered_its_own_lists() {
    let _dog = guard("own_lists");
    let [plain, own, gate, far_gate] = [listener(), listener(), listener(), listener()];
    let last = "+diffie-hellman-group18-sha512,curve25519-sha256";
    let hosts = vec![at(&plain), at(&own), "behind".to_owned(), "far".to_owned()];
    let proxied = |proxy: Proxy| HostConfig::default().proxy(proxy.password("secret").identity_auth(false));
    let client = quiet(hosts)
        .kex_algorithms(last)
        .macs("-hmac-sha1*,*-512")
        .pubkey_algorithms("ssh-ed25519")
        .host_config([
            HostConfig::default(),
            HostConfig::default().kex_algorithms("^ecdh-sha2-nistp384").macs("hmac-sha2-512,hmac-sha1"),
            proxied(Proxy::new(at(&gate)).ciphers("aes128-cbc").host_key_algorithms("+ssh-rsa")),
            proxied(Proxy::new(at(&far_gate))).kex_algorithms("ecdh-sha2-nistp256"),
        ]);
    let [plain, own, gate, far_gate] = offers([&plain, &own, &gate, &far_gate], client);
    let kex = |lists: &[String]| {
        let names = lists[0].split(',').filter(|name| !name.contains("-c")).map(str::to_owned);
        names.filter(|name| !name.starts_with("mlkem")).collect::<Vec<_>>()
    };
    // Added once, at the end; a name that is in the default already keeps its place.
    let names = kex(&plain);
    assert_eq!((names[0].as_str(), names.len()), ("curve25519-sha256", 7), "{names:?}");
    assert_eq!(names[6], "diffie-hellman-group18-sha512");
    assert_eq!(plain[4], "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256");
    // The host's own lists start from the default, not from the client's.
    let names = kex(&own);
    assert_eq!((names[0].as_str(), names.len()), ("ecdh-sha2-nistp384", 6), "{names:?}");
    assert_eq!(own[4], "hmac-sha2-512,hmac-sha1");
    // A proxy has its own lists and the client's, but not those of the hosts behind it.
    assert_eq!(kex(&gate)[6], "diffie-hellman-group18-sha512");
    assert_eq!((gate[2].as_str(), gate[3].as_str()), ("aes128-cbc", "aes128-cbc"));
    assert!(gate[1].ends_with(",rsa-sha2-256,ssh-rsa"), "{}", gate[1]);
    assert_eq!((kex(&far_gate), &far_gate[4]), (kex(&plain), &plain[4]));
}

/// How a server with a single algorithm is reached.
enum Reached {
    ByDefault,
    /// With this list.
    By(&'static str),
    Never,
}

use Reached::{By, ByDefault, Never};

/// Servers with a single algorithm: keyword of `sshd_config`, name, and how the server is reached.
/// All but three (`ssh-rsa`, twice, and `3des-cbc`) are in the default of OpenSSH 9.2.
const ALONE: [(&str, &str, Reached); 36] = [
    ("KexAlgorithms", "sntrup761x25519-sha512@openssh.com", By("+sntrup761x25519-sha512@openssh.com")),
    ("KexAlgorithms", "curve25519-sha256", ByDefault),
    ("KexAlgorithms", "curve25519-sha256@libssh.org", ByDefault),
    ("KexAlgorithms", "ecdh-sha2-nistp256", ByDefault),
    ("KexAlgorithms", "ecdh-sha2-nistp384", ByDefault),
    ("KexAlgorithms", "ecdh-sha2-nistp521", ByDefault),
    ("KexAlgorithms", "diffie-hellman-group-exchange-sha256", By("+diffie-hellman-group-exchange-sha256")),
    ("KexAlgorithms", "diffie-hellman-group16-sha512", By("+diffie-hellman-group16-sha512")),
    ("KexAlgorithms", "diffie-hellman-group18-sha512", By("+diffie-hellman-group18-sha512")),
    ("KexAlgorithms", "diffie-hellman-group14-sha256", ByDefault),
    ("HostKeyAlgorithms", "ssh-ed25519", ByDefault),
    ("HostKeyAlgorithms", "ecdsa-sha2-nistp256", ByDefault),
    ("HostKeyAlgorithms", "rsa-sha2-512", ByDefault),
    ("HostKeyAlgorithms", "rsa-sha2-256", ByDefault),
    ("HostKeyAlgorithms", "ssh-rsa", By("+ssh-rsa")),
    ("Ciphers", "chacha20-poly1305@openssh.com", ByDefault),
    ("Ciphers", "aes128-ctr", ByDefault),
    ("Ciphers", "aes192-ctr", ByDefault),
    ("Ciphers", "aes256-ctr", ByDefault),
    ("Ciphers", "aes128-gcm@openssh.com", ByDefault),
    ("Ciphers", "aes256-gcm@openssh.com", ByDefault),
    ("Ciphers", "3des-cbc", By("+3des-cbc")),
    ("MACs", "umac-64-etm@openssh.com", Never),
    ("MACs", "umac-128-etm@openssh.com", Never),
    ("MACs", "hmac-sha2-256-etm@openssh.com", ByDefault),
    ("MACs", "hmac-sha2-512-etm@openssh.com", ByDefault),
    ("MACs", "hmac-sha1-etm@openssh.com", ByDefault),
    ("MACs", "umac-64@openssh.com", Never),
    ("MACs", "umac-128@openssh.com", Never),
    ("MACs", "hmac-sha2-256", ByDefault),
    ("MACs", "hmac-sha2-512", ByDefault),
    ("MACs", "hmac-sha1", ByDefault),
    ("PubkeyAcceptedAlgorithms", "ssh-ed25519", ByDefault),
    ("PubkeyAcceptedAlgorithms", "ecdsa-sha2-nistp256", ByDefault),
    ("PubkeyAcceptedAlgorithms", "rsa-sha2-512", ByDefault),
    ("PubkeyAcceptedAlgorithms", "ssh-rsa", By("ssh-rsa")),
];

fn alone(keyword: &str, name: &str) -> Sshd {
    let host_key = |name: &str| match name.split('-').next() {
        Some("ecdsa") => KeyType::Ecdsa,
        Some("rsa") => KeyType::Rsa,
        _ if name == "ssh-rsa" => KeyType::Rsa,
        _ => KeyType::Ed25519,
    };
    let mut server = Sshd::builder().option(&format!("{keyword} {name}"));
    match keyword {
        // Other ciphers would need no MAC.
        "MACs" => server = server.option("Ciphers aes128-ctr"),
        "HostKeyAlgorithms" => server = server.host_keys([host_key(name)]),
        _ => {}
    }
    server.start()
}

fn choose(client: ClientBuilder, keyword: &str, list: &str) -> ClientBuilder {
    match keyword {
        "KexAlgorithms" => client.kex_algorithms(list),
        "HostKeyAlgorithms" => client.host_key_algorithms(list),
        "Ciphers" => client.ciphers(list),
        "MACs" => client.macs(list),
        _ => client.pubkey_algorithms(list),
    }
}

fn client_of(sshd: &Sshd, keyword: &str, name: &str) -> ClientBuilder {
    let client = client_for(sshd, [HOST]);
    match name {
        _ if keyword != "PubkeyAcceptedAlgorithms" => client,
        "ecdsa-sha2-nistp256" => client.key_file(sshd.key(ClientKey::Ecdsa)),
        "rsa-sha2-512" | "ssh-rsa" => client.key_file(sshd.key(ClientKey::Rsa)),
        _ => client,
    }
}

/// The server must accept the client, and the client must report the algorithm.
#[track_caller]
fn assert_reached(client: ClientBuilder, keyword: &str, name: &str) {
    let mut client = build(client);
    let outputs = client.run_command("echo in").unwrap_or_else(|error| panic!("{keyword} {name}: {error}"));
    assert_eq!(super::stdout(&outputs[0]), ["in"], "{keyword} {name}");
    let agreed = outputs[0].algorithms().expect("a connection");
    match keyword {
        "KexAlgorithms" => assert_eq!(agreed.key_exchange(), name),
        "HostKeyAlgorithms" if name.contains("rsa") => assert_eq!(agreed.host_key(), "ssh-rsa"),
        "HostKeyAlgorithms" => assert_eq!(agreed.host_key(), name),
        "Ciphers" => assert_eq!([agreed.cipher_sent(), agreed.cipher_received()], [name; 2]),
        "MACs" => assert_eq!([agreed.mac_sent(), agreed.mac_received()], [Some(name); 2]),
        _ => {}
    }
    let needs_mac = !agreed.cipher_sent().contains("poly1305") && !agreed.cipher_sent().contains("gcm");
    assert_eq!(agreed.mac_sent().is_some(), needs_mac, "{agreed}");
    assert_eq!(agreed.is_post_quantum(), name.starts_with("sntrup"), "{agreed}");
}

/// The error must be about algorithms, and say how the server can be reached.
#[track_caller]
fn assert_advised(client: ClientBuilder, keyword: &str, name: &str, advice: &str) {
    // The server may hang up before libssh has read its list.
    let is_answer = |error: &HostError| !matches!(error.kind(), HostErrorKind::ConnectionLost(_));
    let error = (0..5).map(|_| start_error(client.clone())).find(is_answer).expect("an answer");
    match error.kind() {
        HostErrorKind::Handshake(HandshakeProblem::NoCommonAlgorithm(text)) => {
            assert!(text.contains(advice) && text.ends_with(name), "{keyword} {name}: {text}");
        }
        HostErrorKind::Auth { .. } => assert_eq!(keyword, "PubkeyAcceptedAlgorithms", "{error}"),
        _ => panic!("{keyword} {name}: {error}"),
    }
}

#[test]
fn servers_with_a_single_algorithm_are_reached_by_default_or_by_choice() {
    let _dog = crate::support::alarm::watchdog(Duration::from_secs(300), "single_algorithms");
    let setting = HashMap::from([
        ("KexAlgorithms", "kex_algorithms"),
        ("HostKeyAlgorithms", "host_key_algorithms"),
        ("Ciphers", "ciphers"),
        ("MACs", "macs"),
        ("PubkeyAcceptedAlgorithms", "pubkey_algorithms"),
    ]);
    for (keyword, name, reached) in ALONE {
        let setting = setting[keyword];
        let is_there = choose(settings(), keyword, name).build();
        let sshd = alone(keyword, name);
        let client = client_of(&sshd, keyword, name);
        match reached {
            ByDefault if is_there.is_ok() => assert_reached(client, keyword, name),
            By(list) if is_there.is_ok() => {
                assert_advised(client.clone(), keyword, name, &format!("{setting}(\"+{name}\")"));
                assert_reached(choose(client, keyword, list), keyword, name);
            }
            _ => {
                let Err(Error::Config { problem, .. }) = is_there else { panic!("{keyword} {name}") };
                assert!(matches!(problem, ConfigProblem::Invalid { .. }), "{problem:?}");
                assert_eq!(problem.setting(), Some(setting));
                assert_advised(client, keyword, name, "libssh can use none of the server's");
            }
        }
        let expected = match reached {
            ByDefault => !name.contains("-gcm@") || has_gcm(),
            By(_) => !name.starts_with("sntrup") || has_mlkem(),
            Never => false,
        };
        assert_eq!(choose(settings(), keyword, name).build().is_ok(), expected, "{keyword} {name}");
    }
    // libssh before 0.11.5 does not notice altered data. The bundled one is 0.11.4.
    assert_eq!(has_gcm(), !ParallelClient::library().bundled);
}

#[test]
fn a_key_whose_type_is_not_accepted_is_not_offered() {
    let _dog = guard("user_key_types");
    let sshd = Sshd::start();
    let error = start_error(client_for(&sshd, [HOST]).pubkey_algorithms("-ssh-ed25519*"));
    let HostErrorKind::Auth { problems, .. } = error.kind() else { panic!("{error}") };
    let [AuthProblem::Unable { reason, .. }] = &problems[..] else { panic!("{error}") };
    assert!(reason.contains("ssh-ed25519"), "{error}");
    assert_eq!(sshd.auth_messages(), []);
}

#[test]
fn a_fleet_reports_what_each_host_has_agreed_to() {
    let _dog = guard("event_connected");
    let sshd = Sshd::builder().option("Ciphers aes256-ctr").option("MACs hmac-sha2-512").start();
    let builder = with_key(Fleet::builder([HOST]).port(sshd.port()).user(sshd.user()), &sshd);
    let mut fleet = builder.known_hosts([sshd.known_hosts([HOST])]).build().expect("a fleet");
    fleet.start("true").expect("a command");
    let begun = Instant::now();
    let agreed = loop {
        assert!(begun.elapsed() < SLOW, "no connection");
        fleet.wait(Some(SLOW)).expect("the poll works");
        fleet.turn(Instant::now(), Budget::default()).expect("the poll works");
        let mut found = None;
        while let Some(event) = fleet.next_event() {
            match event {
                Event::Connected { algorithms, .. } => found = Some(algorithms),
                Event::Disconnected { error, .. } => panic!("{error:?}"),
                _ => {}
            }
        }
        if let Some(found) = found {
            break found;
        }
    };
    let line = "curve25519-sha256, ssh-ed25519, aes256-ctr with hmac-sha2-512";
    assert!(agreed.to_string().ends_with(line), "{agreed}");
}

/// With libssh 0.12, only a post-quantum exchange is made; earlier ones have none.
#[test]
fn post_quantum_exchanges_can_be_required() {
    let _dog = guard("post_quantum");
    let required = |builder: ClientBuilder| builder.require_post_quantum(true);
    if !has_mlkem() {
        let error = required(settings()).build().expect_err("no such exchange");
        assert!(matches!(error, Error::Unsupported { feature: "require_post_quantum", .. }), "{error}");
        let proxied = settings().proxy(Proxy::new("gate").require_post_quantum(true));
        assert!(proxied.build().is_ok(), "no host, and so no proxy");
        return;
    }
    let error =
        required(settings().kex_algorithms("curve25519-sha256")).build().expect_err("a contradiction");
    assert!(matches!(error, Error::Config { problem: ConfigProblem::Conflict { .. }, .. }), "{error}");

    let server = listener();
    let [lists] = offers([&server], required(quiet(vec![at(&server)])));
    let names: Vec<&str> = lists[0].split(',').collect();
    assert_eq!(names[0], "mlkem768x25519-sha256");
    assert!(names.iter().all(|name| !name.starts_with("curve") && !name.starts_with("diffie")), "{names:?}");
    let last = ["sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com"];
    assert!(
        names.ends_with(&[&last[..], &["ext-info-c", "kex-strict-c-v00@openssh.com"]].concat()),
        "{names:?}"
    );

    let sshd = alone("KexAlgorithms", "curve25519-sha256");
    assert_advised(
        required(client_for(&sshd, [HOST])),
        "KexAlgorithms",
        "curve25519-sha256",
        "require_post_quantum allows none",
    );
    // OpenSSH 9.0 to 9.8 have only sntrup761 of these.
    let sshd = Sshd::start();
    let mut client = build(required(client_for(&sshd, [HOST])));
    assert_eq!(run_one(&mut client, "echo in"), ["in"]);
    assert!(client.last_output()[0].algorithms().expect("connected").is_post_quantum());
}
