//! The causes of errors are printed once, and are equal for hosts that failed alike.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::host::AddressFamily;
use crate::hostkey::LoadError;
use crate::hostkey::{HostKey, KnownHosts};
use crate::ids::StdStream;
use crate::stage::Stage;

/// A cause that must be in the text of each error once, however deep the cause is nested.
const CAUSE: &str = "the innermost cause";

fn io() -> io::Error {
    io::Error::other(CAUSE)
}

fn of_host(kind: HostErrorKind) -> HostError {
    HostError::new(HostErrorParts {
        host: "web1".into(),
        port: 22,
        stage: Stage::Connecting,
        attempt: 1,
        attempts: Some(3),
        elapsed: Duration::ZERO,
        kind: Arc::new(kind),
        banner: None,
        command_said: None,
        left_over: Default::default(),
    })
}

/// Walks to the end of the chain of causes, as a program does that prints all of it.
#[track_caller]
fn assert_told_once(error: &dyn std::error::Error, cause: &str) {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next {
        texts.push(source.to_string());
        next = source.source();
    }
    let told: usize = texts.iter().map(|text| text.matches(cause).count()).sum();
    assert_eq!(told, 1, "{texts:?}");
    assert_eq!(texts.len(), 1, "one rule for all errors: the text says all, and there is no source");
}

fn connect() -> HostErrorKind {
    HostErrorKind::Connect { address: "[::1]:22".parse().unwrap(), tried: 1, known: 1, error: io() }
}

#[test]
fn a_cause_is_printed_once() {
    let path = || PathBuf::from("file");
    let file = |problem| Error::KeyFile { origin: Origin::Client, path: path(), problem };
    let load = || LoadError::known_hosts(&path(), io());
    let errors = [
        Error::System { what: "poll", error: io() },
        file(KeyProblem::Unreadable(io())),
        file(KeyProblem::Refused(CAUSE.to_owned())),
        Error::CertFile { origin: Origin::Client, path: path(), problem: CertProblem::Unreadable(io()) },
        Error::KnownHosts { origin: Origin::Client, error: load() },
        Error::Host(of_host(connect())),
        Error::Host(of_host(HostErrorKind::Proxy(of_host(connect())))),
        ConfigProblem::Unusable { setting: "password", problem: CAUSE }.of(Origin::Client),
    ];
    for error in &errors {
        assert_told_once(error, CAUSE);
    }
    assert_told_once(&load(), CAUSE);
    assert_told_once(&KeyProblem::Unreadable(io()), CAUSE);
    assert_told_once(&CertProblem::Unreadable(io()), CAUSE);

    let spec = || "web1:0".parse::<crate::host::HostSpec>().unwrap_err();
    let of_spec = spec().to_string();
    assert_told_once(&Error::HostSpec { position: 1, problem: spec() }, &of_spec);
    let proxy = ConfigProblem::Host { setting: "proxy", problem: spec() };
    assert_told_once(&proxy, &of_spec);
    assert_told_once(&proxy.of(Origin::Client), &of_spec);
    let nul = CommandProblem::Nul(1);
    assert_told_once(&Error::Command(nul), &nul.to_string());
    let template = TemplateProblem::Refused(nul);
    assert_told_once(&Error::Template { position: 1, name: None, problem: template }, &nul.to_string());
}

#[test]
fn a_cause_of_a_failed_host_is_printed_once() {
    let text = || CAUSE.to_owned();
    let kinds = [
        connect(),
        HostErrorKind::UnknownHost(UnknownHostProblem::System(text())),
        HostErrorKind::Resolver(ResolverProblem::System(text())),
        HostErrorKind::Handshake(HandshakeProblem::NotSsh(text())),
        HostErrorKind::Proxy(of_host(connect())),
        HostErrorKind::Channel(ChannelProblem::OpenRefused(text())),
        HostErrorKind::Sink { stream: StdStream::Stdout, error: io() },
        HostErrorKind::Auth {
            user: "me".to_owned(),
            tried: Vec::new(),
            keys: Vec::new(),
            offered: Vec::new(),
            problems: vec![AuthProblem::Unable { method: AuthMethod::Gssapi, reason: text() }],
        },
    ];
    for kind in kinds {
        assert_told_once(&kind, CAUSE);
        assert_told_once(&of_host(kind), CAUSE);
    }
    let malformed = HostKey::from_blob(vec![1]).unwrap_err();
    let verifier =
        crate::hostkey::Verifier::new(KnownHosts::empty(), crate::hostkey::HostKeyPolicy::strict());
    let error = verifier.verify_blob("web1", 22, vec![1]).unwrap_err();
    assert_told_once(&error, &malformed.to_string());
    let known = "web1 ssh-ed25519 AAAA";
    let mut lines = KnownHosts::empty();
    lines.parse(known.as_bytes(), std::path::Path::new("known_hosts"));
    let problem = &lines.problems()[0];
    assert_told_once(&problem.fault, &problem.fault.to_string());
    assert_told_once(problem, &problem.fault.to_string());
}

/// Hosts that failed alike have equal causes, whatever their names, addresses and attempts are.
#[test]
fn a_cause_has_nothing_that_differs_from_host_to_host() {
    let errors = |number: u8| {
        let address = IpAddr::from([10, 0, 0, number]);
        let kinds = [
            HostErrorKind::UnknownHost(UnknownHostProblem::OtherFamily {
                wanted: AddressFamily::V6,
                found: vec![address],
            }),
            HostErrorKind::Connect {
                address: (address, 22).into(),
                tried: 1,
                known: number.into(),
                error: io(),
            },
            HostErrorKind::PeerDead { after: Duration::from_secs(number.into()), unanswered: number.into() },
        ];
        kinds.map(|kind| {
            HostError::new(HostErrorParts {
                host: format!("web{number}").into(),
                port: number.into(),
                stage: Stage::Connecting,
                attempt: number.into(),
                attempts: Some(3),
                elapsed: Duration::from_secs(number.into()),
                kind: Arc::new(kind),
                banner: Some(format!("This is web{number}.").into()),
                command_said: None,
                left_over: Default::default(),
            })
        })
    };
    for (one, two) in errors(1).iter().zip(&errors(2)) {
        assert_ne!(one.to_string(), two.to_string());
        assert_eq!(one.cause(), two.cause());
    }
}
