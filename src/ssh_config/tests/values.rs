//! Values and tokens, where `ssh -G` does not show them or fails.

use std::path::Path;
use std::time::Duration;

use nix::unistd::User;

use super::*;

#[test]
fn times_and_sizes_are_read() {
    let time = |text: &str| {
        let settings = resolve(&format!("ConnectTimeout {text}"), "a");
        settings.ok().map(|settings| settings.connect_timeout.map(|time| time.as_secs()))
    };
    assert_eq!(time("1h30m"), Some(Some(5400)));
    assert_eq!(time("1W1D1H1M1S"), Some(Some(694_861)));
    assert_eq!(time("2147483647"), Some(Some(2_147_483_647)));
    assert_eq!(time("none"), Some(None));
    for wrong in ["2147483648", "3551w", "m", "5x", "-1", "1.5", "99999999999999999999"] {
        assert_eq!(time(wrong), None, "{wrong}");
    }
    let settings = resolve("RekeyLimit 4G none\nRekeyLimit 1K 2h", "a").unwrap();
    assert_eq!(settings.rekey_bytes.as_deref(), Some(&(4 << 30)));
    assert_eq!(settings.rekey_time.as_deref(), Some(&Duration::from_secs(7200)));
    assert!(
        error("RekeyLimit 99999999999G").starts_with("config:1: rekeylimit has the value \"99999999999G\"")
    );
}

#[test]
fn errors_name_the_line_and_what_is_possible() {
    for (text, expected) in [
        (
            "\n\nPort ssh",
            "config:3: port has the value \"ssh\", not a number from 1 to 65535 (names are not looked up)",
        ),
        ("Compression true", "config:1: compression has the value \"true\"; OpenSSH knows yes, no"),
        ("User a b", "config:1: user has more values than it takes"),
        ("User \"\"", "config:1: user needs a value"),
        ("Port =", "config:1: Port has no value"),
        ("User 'a", "config:1: user has a quote that is not closed"),
        (
            "Match bogus x",
            "config:1: match has the unknown criterion \"bogus\"; known are all, host, originalhost, user, \
          localuser, exec, final, canonical, tagged, and localnetwork",
        ),
        ("ConnectionAttempts 0", "config:1: connectionattempts has to be at least 1"),
        ("HostName %p", "config:1: hostname \"%p\" has %p, which is unknown here; write %% for a %"),
        ("IdentityFile ${NONE}", "config:1: \"${NONE}\" needs the variable NONE, which is not set"),
        ("ProxyJump web1", "config:1: proxyjump leads through the host itself"),
        ("IdentityFile ~no-such-user-here/x", "config:1: the user of \"~no-such-user-here/x\" is unknown"),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn texts_that_are_not_utf8_are_refused_where_they_matter() {
    let read = |text: &[u8]| {
        SshConfig::parse(text, "config", context()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(read(b"# caf\xe9\nUser a # caf\xe9\nControlPath \xe9\n"), Ok(()));
    assert_eq!(read(b"User \xe9\n").unwrap_err(), "config:1: user has a value that is not UTF-8");
    assert_eq!(
        read(b"ProxyCommand a # \xe9\n").unwrap_err(),
        "config:1: proxycommand has a value that is not UTF-8"
    );
    assert!(read(b"User a\0b\n").unwrap_err().starts_with("config:1: the line has a NUL byte"));
}

#[test]
fn tokens_are_expanded_where_they_are_used() {
    let text = "
Host web1
    HostName %h.example.org
    User carol
    Port 2022
    HostKeyAlias Shared
    ProxyCommand connect %h %p %r %n %k %%
    RemoteCommand echo %u %d %j
    IdentityFile ~/%h/%k/%L/%l
    CertificateFile ~root/%i.pub
    UserKnownHostsFile ~/k-%n ${REALM}
    GlobalKnownHostsFile ~/%h
    RevokedHostKeys ~/revoked
    IdentityAgent %d/a
    ForwardAgent ~/b
";
    let settings = resolve(text, "web1").unwrap();
    let uid = context().uid;
    let root = User::from_name("root").unwrap().unwrap().dir;
    let route = settings.proxy.unwrap().value;
    assert_eq!(route, ProxyRoute::Command("connect web1.example.org 2022 carol web1 shared %".to_owned()));
    assert_eq!(settings.remote_command.unwrap().value, "echo alice /home/alice ");
    let key = &settings.identity_files.unwrap()[0].value;
    assert_eq!(key, Path::new("/home/alice/web1.example.org/shared/desk/desk.example.org"));
    assert_eq!(settings.certificate_files[0].value, root.join(format!("{uid}.pub")));
    assert_eq!(settings.user_known_hosts.unwrap().value, [Path::new("/home/alice/k-web1"), Path::new("lab")]);
    assert_eq!(settings.global_known_hosts.unwrap().value, [Path::new("/home/alice/%h")]);
    assert_eq!(settings.revoked_host_keys.unwrap().value, Path::new("/home/alice/revoked"));
    assert_eq!(settings.identity_agent.unwrap().value, AgentSocket::Path("/home/alice/a".into()));
    let socket = ForwardedAgent::Socket(AgentSocket::Path("/home/alice/b".into()));
    assert_eq!(settings.forward_agent.unwrap().value, socket);
}

#[test]
fn a_no_shuts_out_a_later_agent() {
    let forwarded = |text: &str| resolve(text, "a").unwrap().forward_agent.unwrap().value;
    assert_eq!(forwarded("ForwardAgent no\nForwardAgent ~/x"), ForwardedAgent::No);
    assert_eq!(
        forwarded("ForwardAgent yes\nForwardAgent $X"),
        ForwardedAgent::Socket(AgentSocket::Variable("X".into()))
    );
    assert_eq!(forwarded("ForwardAgent yes"), ForwardedAgent::Yes);
}

#[test]
fn none_is_an_empty_list_of_keys() {
    let settings =
        resolve("IdentityFile none\nUserKnownHostsFile none\nRemoteCommand none\nRevokedHostKeys none", "a");
    let settings = settings.unwrap();
    assert_eq!(settings.identity_files, Some(Vec::new()));
    assert!(settings.user_known_hosts.unwrap().is_empty());
    assert_eq!((settings.remote_command, settings.revoked_host_keys), (None, None));
}

#[test]
fn hops_are_in_the_order_of_visits() {
    let settings = resolve("ProxyJump a@b:3,%n-gate,ssh://c%40d;x=1@[::1]:9/", "web1").unwrap();
    let hop = |user: Option<&str>, host: &str, port| JumpHop {
        user: user.map(Into::into),
        host: host.into(),
        port,
    };
    let hops =
        vec![hop(Some("a"), "b", Some(3)), hop(None, "web1-gate", None), hop(Some("c@d"), "::1", Some(9))];
    assert_eq!(settings.proxy.unwrap().value, ProxyRoute::Jump(hops));
    for wrong in ["@b", "b:0", "b:x", "[::1", "ssh://", "a/b", "ssh://b/path", ",b"] {
        assert!(resolve(&format!("ProxyJump {wrong}"), "web1").is_err(), "{wrong}");
    }
}

#[test]
fn the_keywords_are_those_that_have_an_effect() {
    let keywords: Vec<&str> = SshConfig::keywords().collect();
    assert!(keywords.len() > 45, "{keywords:?}");
    for keyword in &keywords {
        assert_eq!(keywords.iter().filter(|other| *other == keyword).count(), 1, "{keyword}");
        assert!(!keyword.contains('*') && keyword.starts_with(|c: char| c.is_ascii_uppercase()), "{keyword}");
        // A value that suits none of them, except names and paths.
        for written in [(*keyword).to_owned(), keyword.to_lowercase(), keyword.to_uppercase()] {
            let destination = SshDestination::new("web1").option(format!("{written}=no"));
            match resolve_to("", &destination) {
                Ok(settings) => assert!(settings.ignored.is_empty(), "{written}: {:?}", settings.ignored),
                Err(error) => assert!(!error.to_string().contains("unknown"), "{error}"),
            }
        }
    }
}
