//! GSSAPI logins with tickets of a real KDC or, if libssh has no GSSAPI, the error that says so.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use sshoal::client::JoinError;
use sshoal::config::ClientBuilder;
use sshoal::error::{AuthMethod, AuthProblem, TimeoutKind};
use sshoal::hostkey::HostKeyPolicy;
use sshoal::{Command, Error, HostConfig, HostErrorKind, JoinOptions, ParallelClient, Proxy, Stage};

use super::{SLOW, build, guard, known_hosts_at, run_one, start_error, stdout};
use crate::support::eventually;
use crate::support::fds::FdBaseline;
use crate::support::kdc::{REALM, Realm, in_a_realm};
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::proxy::{self, Action, Direction};
use crate::support::sshd::{AuthMessage, Sshd};

const HOST: &str = "127.0.2.1";

/// A client for these hosts, with no credential but the default tickets.
fn by_ticket<H: AsRef<str>>(sshd: &Sshd, hosts: impl IntoIterator<Item = H>) -> ClientBuilder {
    let hosts: Vec<String> = hosts.into_iter().map(|host| host.as_ref().to_owned()).collect();
    let known_hosts = sshd.known_hosts(&hosts);
    let builder = ParallelClient::builder(hosts)
        .port(sshd.port())
        .user(sshd.user())
        .identity_auth(false)
        .allow_agent(false)
        .allow_agent(false);
    builder.known_hosts([known_hosts]).num_retries(1).timeout(SLOW).gssapi_auth(true)
}

/// A realm with the host's service, and its sshd; the user has an account and no ticket.
fn with_realm(test: &str, body: impl FnOnce(&Realm, &Sshd)) {
    let _dog = guard(test);
    if !ParallelClient::library().gssapi {
        return;
    }
    in_a_realm(module_path!(), test, |realm| {
        realm.add_host(HOST);
        let sshd = realm.sshd().start();
        realm.add_user(sshd.user());
        body(realm, &sshd);
    });
}

/// Like [`with_realm`], with the user logged in.
fn with_ticket(test: &str, body: impl FnOnce(&Realm, &Sshd)) {
    with_realm(test, |realm, sshd| {
        realm.log_in(sshd.user(), &[]);
        body(realm, sshd);
    });
}

/// The result of each method, as `Accepted gssapi-with-mic`.
fn methods(sshd: &Sshd) -> Vec<String> {
    let words = |message: AuthMessage| format!("{} {}", message.outcome, message.method);
    sshd.auth_messages().into_iter().map(words).collect()
}

/// A login that must fail; returns the methods tried, and further reasons.
#[track_caller]
fn refused(builder: ClientBuilder) -> (Vec<AuthMethod>, Vec<AuthProblem>) {
    let error = start_error(builder);
    assert_eq!(error.stage(), Stage::Authenticating, "{error}");
    assert!(error.to_string().contains("tried gssapi-with-mic"), "{error}");
    match error.kind() {
        HostErrorKind::Auth { tried, problems, .. } => (tried.clone(), problems.clone()),
        _ => panic!("{error}"),
    }
}

/// The error of GSSAPI itself.
#[track_caller]
fn complaint(builder: ClientBuilder) -> String {
    match refused(builder) {
        (_, problems) if problems.len() == 1 => problems[0].to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_libssh_without_gssapi_is_an_error_before_anything_is_dialled() {
    if ParallelClient::library().gssapi {
        return;
    }
    let hosts = || {
        ParallelClient::builder(["web1", "web2"])
            .identity_auth(false)
            .allow_agent(false)
            .allow_agent(false)
            .no_known_hosts()
    };
    let asks = [
        hosts().gssapi_auth(true),
        hosts().gssapi_server_identity("web"),
        hosts().gssapi_client_identity("deploy"),
        hosts().host_config([HostConfig::default(), HostConfig::default().gssapi_auth(true)]),
        hosts().proxy(Proxy::new("gate").gssapi_auth(true)),
    ];
    for builder in asks {
        let error = builder.build().expect_err("not in silence");
        assert!(matches!(error, Error::Unsupported { feature: "GSSAPI", .. }), "{error:?}");
    }
    hosts().gssapi_auth(false).build().expect("GSSAPI is off");
}

#[test]
fn a_ticket_opens_the_host() {
    with_ticket("a_ticket_opens_the_host", |realm, sshd| {
        let mut client = build(by_ticket(sshd, [HOST]));
        assert_eq!(run_one(&mut client, "echo in"), ["in"]);
        assert_eq!(run_one(&mut client, "echo again"), ["again"]);
        assert!(methods(sshd).iter().all(|method| method.ends_with("gssapi-with-mic")), "{}", sshd.log());
        // The service name contains the host as it is written in the list.
        assert_eq!(realm.issued(&format!("host/{HOST}")), 1);
    });
}

#[test]
fn without_a_ticket_the_next_method_follows() {
    with_realm("without_a_ticket_the_next_method_follows", |_, sshd| {
        let with_key = by_ticket(sshd, [HOST]).key_file(sshd.key(ClientKey::Ed25519));
        assert_eq!(run_one(&mut build(with_key), "echo in"), ["in"]);
        assert_eq!(methods(sshd), ["Accepted publickey"]);

        let text = complaint(by_ticket(sshd, [HOST]));
        assert!(
            text.starts_with("gssapi-with-mic failed locally: ") && text.contains("credential"),
            "{text}"
        );
        let stranger = KeyPair::generate(KeyType::Ed25519).write(sshd.dir(), "stranger");
        let (tried, _) = refused(by_ticket(sshd, [HOST]).key_file(stranger));
        assert_eq!(tried, [AuthMethod::Gssapi, AuthMethod::PublicKey]);
    });
}

#[test]
fn an_expired_ticket_is_refused_and_the_next_method_follows() {
    with_realm("an_expired_ticket_is_refused_and_the_next_method_follows", |realm, sshd| {
        realm.log_in(sshd.user(), &["-l", "1s"]);
        eventually(SLOW, "the ticket expires", || (!realm.is_logged_in()).then_some(()));
        refused(by_ticket(sshd, [HOST]));
        let with_key = by_ticket(sshd, [HOST]).key_file(sshd.key(ClientKey::Ed25519));
        assert_eq!(run_one(&mut build(with_key), "echo in"), ["in"]);
        assert!(methods(sshd).contains(&"Accepted publickey".to_owned()), "{}", sshd.log());
    });
}

#[test]
fn a_server_unknown_to_the_kdc_is_named_and_the_next_method_follows() {
    with_ticket("a_server_unknown_to_the_kdc_is_named_and_the_next_method_follows", |_, sshd| {
        let text = complaint(by_ticket(sshd, [HOST]).gssapi_server_identity("nobody.sshoal.test"));
        assert!(text.contains("not found in Kerberos database"), "{text}");
        let with_key = by_ticket(sshd, [HOST]).gssapi_server_identity("nobody.sshoal.test");
        let with_key = with_key.key_file(sshd.key(ClientKey::Ed25519));
        assert_eq!(run_one(&mut build(with_key), "echo in"), ["in"]);
        assert_eq!(methods(sshd).last().expect("a login"), "Accepted publickey");
    });
}

#[test]
fn a_server_without_gssapi_is_opened_by_the_next_method() {
    with_ticket("a_server_without_gssapi_is_opened_by_the_next_method", |realm, _| {
        let sshd = Sshd::start();
        refused(by_ticket(&sshd, [HOST]));
        let with_key = by_ticket(&sshd, [HOST]).key_file(sshd.key(ClientKey::Ed25519));
        assert_eq!(run_one(&mut build(with_key), "echo in"), ["in"]);
        assert_eq!(realm.issued(&format!("host/{HOST}")), 0);
    });
}

/// sshd's `AuthenticationMethods`: the ticket is one of two requirements.
#[test]
fn a_ticket_and_a_key_open_a_host_that_wants_both() {
    with_ticket("a_ticket_and_a_key_open_a_host_that_wants_both", |realm, _| {
        let sshd = realm.sshd().option("AuthenticationMethods gssapi-with-mic,publickey").start();
        let both = by_ticket(&sshd, [HOST]).key_file(sshd.key(ClientKey::Ed25519));
        assert_eq!(run_one(&mut build(both), "echo in"), ["in"]);
        refused(by_ticket(&sshd, [HOST]));
    });
}

#[test]
fn credentials_are_delegated_only_if_asked() {
    with_ticket("credentials_are_delegated_only_if_asked", |realm, sshd| {
        let sees = "klist -s && echo \"$KRB5CCNAME\" || echo nothing";
        let tgt = format!("krbtgt/{REALM}");
        assert_eq!(run_one(&mut build(by_ticket(sshd, [HOST])), sees), ["nothing"]);
        assert_eq!(realm.issued(&tgt), 1);

        let mut client = build(by_ticket(sshd, [HOST]).gssapi_delegate_credentials(true));
        let seen = run_one(&mut client, sees).remove(0);
        let file = Path::new(seen.strip_prefix("FILE:").expect("a file of tickets")).to_owned();
        assert!(file.exists(), "{seen}");
        // A ticket of the server itself, made for this test.
        assert_eq!(realm.issued(&tgt), 2);
        drop(client);
        eventually(SLOW, "sshd removes the delegated ticket", || (!file.exists()).then_some(()));
    });
}

#[test]
fn a_host_can_delegate_where_the_client_does_not() {
    with_ticket("a_host_can_delegate_where_the_client_does_not", |_, sshd| {
        let configs = [HostConfig::default(), HostConfig::default().gssapi_delegate_credentials(true)];
        let mut client = build(by_ticket(sshd, [HOST, HOST]).host_config(configs));
        let outputs = client.run_command("klist -s && echo yes || echo no").expect("it starts");
        assert_eq!(outputs.iter().flat_map(stdout).collect::<Vec<_>>(), ["no", "yes"]);
    });
}

#[test]
fn the_client_identity_chooses_among_tickets() {
    with_ticket("the_client_identity_chooses_among_tickets", |realm, sshd| {
        // The newest ticket becomes the default one; this user is not accepted.
        realm.add_user("stranger");
        realm.log_in("stranger", &[]);
        refused(by_ticket(sshd, [HOST]));
        let named = by_ticket(sshd, [HOST]).gssapi_client_identity(sshd.user());
        assert_eq!(run_one(&mut build(named), "echo in"), ["in"]);
        let full = by_ticket(sshd, [HOST]).gssapi_client_identity(format!("{}@{REALM}", sshd.user()));
        assert_eq!(run_one(&mut build(full), "echo in"), ["in"]);
        refused(by_ticket(sshd, [HOST]).gssapi_client_identity("stranger"));
    });
}

#[test]
fn the_server_identity_overrides_the_hosts_name() {
    with_ticket("the_server_identity_overrides_the_hosts_name", |realm, sshd| {
        realm.add_host("node.sshoal.test");
        let other = "127.0.2.2";
        refused(by_ticket(sshd, [other]));
        // Setting the identity enables GSSAPI.
        let builder = ParallelClient::builder([other])
            .port(sshd.port())
            .user(sshd.user())
            .identity_auth(false)
            .allow_agent(false)
            .allow_agent(false);
        let builder = builder.known_hosts([sshd.known_hosts([other])]).num_retries(1).timeout(SLOW);
        let named = builder.clone().gssapi_server_identity("node.sshoal.test");
        assert_eq!(run_one(&mut build(named.clone()), "echo in"), ["in"]);
        assert_eq!(realm.issued("host/node.sshoal.test"), 1);
        // An explicit "no" overrides it.
        let error = start_error(named.gssapi_auth(false));
        assert!(!error.to_string().contains("tried gssapi"), "{error}");
    });
}

#[test]
fn gssapi_is_a_matter_of_each_host() {
    with_ticket("gssapi_is_a_matter_of_each_host", |_, sshd| {
        let key = sshd.key(ClientKey::Ed25519);
        let configs = [
            HostConfig::default(),
            HostConfig::default().gssapi_auth(false).key_file(&key),
            HostConfig::default().gssapi_auth(false),
        ];
        let mut client = build(by_ticket(sshd, [HOST, HOST, HOST]).host_config(configs));
        let command = Command::new("echo in");
        let outputs = client
            .run_command_with(command, sshoal::ReadOptions::default().stop_on_errors(false))
            .expect("in the outputs");
        assert_eq!(stdout(&outputs[0]), ["in"]);
        assert_eq!(stdout(&outputs[1]), ["in"]);
        let error = outputs[2].error().expect("no credential");
        assert!(!error.to_string().contains("tried gssapi"), "{error}");
        let methods = methods(sshd);
        assert!(methods.contains(&"Accepted gssapi-with-mic".to_owned()), "{methods:?}");
        assert!(methods.contains(&"Accepted publickey".to_owned()), "{methods:?}");
    });
}

#[test]
fn ten_hosts_log_in_at_once() {
    with_ticket("ten_hosts_log_in_at_once", |realm, sshd| {
        let hosts: Vec<String> = sshd.hosts(10).collect();
        hosts.iter().filter(|host| *host != HOST).for_each(|host| realm.add_host(host));
        let mut client = build(by_ticket(sshd, &hosts));
        let outputs = client.run_command("echo in").expect("all start");
        for output in &outputs {
            assert_eq!(stdout(output), ["in"]);
        }
        for host in hosts {
            assert_eq!(realm.issued(&format!("host/{host}")), 1, "{host}");
        }
    });
}

/// No ticket reaches a host with a wrong host key, and the KDC is not asked for one.
#[test]
fn a_host_with_a_wrong_key_gets_no_ticket() {
    with_ticket("a_host_with_a_wrong_key_gets_no_ticket", |realm, sshd| {
        let other =
            realm.sshd().own_host_key(KeyPair::generate(KeyType::Ed25519)).log_level("DEBUG1").start();
        let text = sshd.known_hosts_lines(HOST).replace(&sshd.port().to_string(), &other.port().to_string());
        let known = other.dir().join("known");
        std::fs::write(&known, text).expect("write known_hosts");
        let builder = by_ticket(&other, [HOST]).known_hosts([known]).host_keys(HostKeyPolicy::strict());
        let error = start_error(builder.gssapi_delegate_credentials(true));
        assert!(matches!(error.kind(), HostErrorKind::HostKey(_)), "{error}");
        assert_eq!(other.userauth_requests(), 0);
        assert_eq!(realm.issued(&format!("host/{HOST}")), 0);
    });
}

/// One call into GSSAPI then takes half a minute: it may delay only the hosts that need it.
#[test]
fn a_silent_kdc_fails_only_the_hosts_that_need_it() {
    with_ticket("a_silent_kdc_fails_only_the_hosts_that_need_it", |realm, sshd| {
        const LIMIT: Duration = Duration::from_secs(8);
        let hosts: Vec<String> = sshd.hosts(40).collect();
        let key = sshd.key(ClientKey::Ed25519);
        let by_gssapi = HostConfig::default().timeout(LIMIT);
        let by_key = HostConfig::default().gssapi_auth(false).key_file(key);
        let configs = (0..40).map(|position| if position < 20 { by_gssapi.clone() } else { by_key.clone() });
        realm.silence();
        let mut client = build(by_ticket(sshd, &hosts).host_config(configs));
        let outputs = client.start_command("echo in").expect("it starts");
        let (waiting, prompt) = outputs.split_at(20);
        for output in prompt {
            assert_eq!(stdout(output), ["in"]);
        }
        assert!(waiting.iter().all(|output| output.outcome().is_none()), "the key hosts waited for the KDC");
        client.join(&outputs, JoinOptions::default().timeout(SLOW)).expect("all end");
        for output in waiting {
            let error = output.error().expect("no ticket");
            let HostErrorKind::Timeout { kind, after, .. } = error.kind() else { panic!("{error}") };
            assert_eq!((*kind, *after), (TimeoutKind::Gssapi, LIMIT));
            assert!(error.to_string().contains("GSSAPI"), "{error}");
        }
        let longest = client.metrics().longest_turn;
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        realm.unsilence();
    });
}

#[test]
fn a_client_dropped_while_the_kdc_is_silent_waits_for_nobody_and_leaves_no_descriptor() {
    let name = "a_client_dropped_while_the_kdc_is_silent_waits_for_nobody_and_leaves_no_descriptor";
    with_ticket(name, |realm, sshd| {
        // What OpenSSL and Kerberos keep open. The helper thread releases the client's waker a
        // little later.
        run_one(&mut build(by_ticket(sshd, [HOST])), "true");
        let has_waker =
            || FdBaseline::now().targets().any(|(_, target)| target.ends_with("anon_inode:[eventfd]"));
        eventually(SLOW, "the helper thread ends", || (!has_waker()).then_some(()));
        let before = FdBaseline::now();
        realm.silence();
        let mut client = build(by_ticket(sshd, sshd.hosts(20).skip(1)));
        let outputs = client.start_command("true").expect("it starts");
        let soon = JoinOptions::default().timeout(Duration::from_secs(2));
        let Err(JoinError::Timeout { not_started, .. }) = client.join(&outputs, soon) else {
            panic!("they end")
        };
        assert_eq!(not_started.len(), 19);
        let begun = Instant::now();
        drop((outputs, not_started));
        drop(client);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        realm.unsilence();
        before.assert_same_within(Duration::from_secs(60));
    });
}

/// After the silence, threads that were stuck delay nobody any more.
#[test]
fn hosts_log_in_when_the_kdc_speaks_again() {
    with_ticket("hosts_log_in_when_the_kdc_speaks_again", |realm, sshd| {
        realm.silence();
        let mut client = build(by_ticket(sshd, [HOST]));
        let outputs = client.start_command("echo in").expect("it starts");
        let soon = JoinOptions::default().timeout(Duration::from_secs(2)).close_stdin(true);
        assert!(client.join(&outputs, soon).is_err(), "nobody answers");
        realm.unsilence();
        client.join(&outputs, JoinOptions::default().timeout(SLOW)).expect("it ends");
        assert_eq!(stdout(&outputs[0]), ["in"]);
    });
}

#[test]
fn a_connection_that_is_lost_while_the_kdc_is_silent_is_an_error() {
    with_ticket("a_connection_that_is_lost_while_the_kdc_is_silent_is_an_error", |realm, sshd| {
        realm.silence();
        let mut client = build(by_ticket(sshd, [HOST]));
        let outputs = client.start_command("echo in").expect("it starts");
        let soon = JoinOptions::default().timeout(Duration::from_secs(2));
        assert!(client.join(&outputs, soon).is_err(), "nobody answers");
        sshd.daemon().kill_sessions();
        realm.unsilence();
        client.join(&outputs, JoinOptions::default().timeout(SLOW)).expect("it ends");
        let error = outputs[0].error().expect("lost");
        assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{error}");
        assert_eq!(error.stage(), Stage::Authenticating);
    });
}

/// Threads wait for the KDC only. A server that falls silent in the middle of the method blocks
/// none.
#[test]
fn a_silent_server_holds_no_thread() {
    with_ticket("a_silent_server_holds_no_thread", |realm, sshd| {
        const SILENT: usize = 12;
        let proxy = |_| proxy::Proxy::builder(sshd.address()).start();
        let proxies: Vec<proxy::Proxy> = (0..SILENT).map(proxy).collect();
        let direct = (0..3).map(|_| SocketAddr::new(HOST.parse().expect("an address"), sshd.port()));
        let addresses: Vec<SocketAddr> = proxies.iter().map(proxy::Proxy::address).chain(direct).collect();
        let builder = ParallelClient::builder(addresses.iter().map(ToString::to_string)).user(sshd.user());
        let builder =
            builder.known_hosts([known_hosts_at(sshd, &addresses)]).identity_auth(false).allow_agent(false);
        let mut client = build(builder.gssapi_server_identity(HOST).num_retries(1).timeout(SLOW));
        realm.silence();
        let outputs = client.start_command("echo in").expect("it starts");
        let soon = JoinOptions::default().timeout(Duration::from_secs(2)).close_stdin(true);
        assert!(client.join(&outputs, soon).is_err(), "the KDC has answered");
        // From here on the servers do not answer.
        proxies.iter().for_each(|proxy| proxy.inject(Direction::ToClient, Action::Stall));
        realm.unsilence();
        let (stuck, prompt) = outputs.split_at(SILENT);
        for output in prompt {
            assert_eq!(stdout(output), ["in"]);
        }
        assert!(stuck.iter().all(|output| output.outcome().is_none()), "no server was silent");
    });
}

/// A bastion known as `gate`, and behind it this server as 20 hosts, each with its own service.
fn behind_a_gate(realm: &Realm, target: &Sshd, gate: &Sshd) -> ClientBuilder {
    const GATE: &str = "127.0.3.1";
    realm.add_host("gate");
    let hosts: Vec<String> = target.hosts(20).collect();
    hosts.iter().filter(|host| *host != HOST).for_each(|host| realm.add_host(host));
    let lines = hosts.iter().map(|host| target.known_hosts_lines(host));
    let known = target.dir().join("known_with_gate");
    std::fs::write(&known, lines.chain([gate.known_hosts_lines(GATE)]).collect::<String>())
        .expect("write known_hosts");
    let proxy = Proxy::new(GATE).port(gate.port()).user(gate.user()).identity_auth(false).allow_agent(false);
    by_ticket(target, &hosts).known_hosts([known]).proxy(proxy.gssapi_server_identity("gate"))
}

#[test]
fn tickets_open_a_proxy_and_the_hosts_behind_it() {
    with_ticket("tickets_open_a_proxy_and_the_hosts_behind_it", |realm, target| {
        let gate = realm.sshd().start();
        let mut client = build(behind_a_gate(realm, target, &gate));
        let outputs = client.run_command("echo in").expect("all start");
        for output in &outputs {
            assert_eq!(stdout(output), ["in"]);
            // The service belongs to the host, not to the proxy.
            assert_eq!(realm.issued(&format!("host/{}", output.host())), 1);
        }
        assert_eq!(gate.count("Accepted gssapi-with-mic"), 1);
        assert_eq!(target.count("Accepted gssapi-with-mic"), 20);
        assert_eq!(realm.issued("host/gate"), 1);
    });
}

/// Data that helper threads write for hosts behind a proxy reaches the proxy when they are done,
/// even after a long silence.
#[test]
fn a_kdc_that_pauses_delays_hosts_behind_a_proxy_and_loses_nothing() {
    with_ticket("a_kdc_that_pauses_delays_hosts_behind_a_proxy_and_loses_nothing", |realm, target| {
        let gate = realm.sshd().start();
        let mut client = build(behind_a_gate(realm, target, &gate).timeout(SLOW * 2));
        let outputs = client.start_command("echo in").expect("it starts");
        let soon = JoinOptions::default().timeout(Duration::from_secs(1)).close_stdin(true);
        for _ in 0..3 {
            realm.silence();
            // Hosts that finished before have ended.
            let _ = client.join(&outputs, soon);
            realm.unsilence();
            let _ = client.join(&outputs, JoinOptions::default().timeout(Duration::from_millis(20)));
        }
        client.join(&outputs, JoinOptions::default().timeout(SLOW * 2)).expect("all end");
        for output in &outputs {
            assert_eq!(stdout(output), ["in"]);
        }
    });
}
