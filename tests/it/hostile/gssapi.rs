//! Servers that violate the GSSAPI method, with a client that has tickets for them.

use std::time::Duration;

use sshoal::config::ClientBuilder;
use sshoal::error::TimeoutKind;
use sshoal::{HostConfig, HostErrorKind, ParallelClient, Stage};

use super::{Hostile, all, guard, printable, run, stdout};
use crate::support::kdc::in_a_realm;

/// The service name of all the servers.
const SERVICE: &str = "somewhere";

fn with_tickets(test: &str, body: impl FnOnce()) {
    let _dog = guard(test);
    if !ParallelClient::library().gssapi {
        return;
    }
    in_a_realm(module_path!(), test, |realm| {
        realm.add_host(SERVICE);
        realm.add_user("somebody");
        realm.log_in("somebody", &[]);
        body();
    });
}

/// GSSAPI, then a password, on misbehaving servers; a password on the well-behaved one. One host at
/// a time, because of valgrind (see `memcheck::gssapi`).
fn client(server: &Hostile, kinds: &[&str]) -> ClientBuilder {
    let misbehaves = kinds.iter().map(|_| HostConfig::default().gssapi_server_identity(SERVICE));
    let configs = misbehaves.chain([HostConfig::default()]);
    server.client(all(kinds)).host_config(configs).pool_size(1)
}

/// A failure of the method does not prevent the next one, and causes no memory error.
#[test]
fn what_is_no_gssapi_is_given_up_for_the_next_method() {
    with_tickets("what_is_no_gssapi_is_given_up_for_the_next_method", || {
        let kinds = [
            "gssapi-no-mechanism",
            "gssapi-empty-mechanism",
            "gssapi-half-a-mechanism",
            "gssapi-mechanism-of-wrong-length",
            "gssapi-unknown-mechanism",
            "gssapi-no-token",
            "gssapi-empty-token",
            "gssapi-garbage",
            "gssapi-own-token-back",
            "gssapi-huge-token",
            "gssapi-says-why",
            "gssapi-refuses-late",
        ];
        let server = Hostile::start(&kinds);
        let mut client = client(&server, &kinds).build().expect("a client");
        for (output, kind) in run(&mut client, "greet").iter().zip(kinds) {
            assert_eq!(stdout(output), ["hello"], "{kind}: {:?}", output.outcome());
        }
    });
}

type IsExpected = fn(&HostErrorKind) -> bool;

#[test]
fn gssapi_out_of_turn_is_an_error() {
    with_tickets("gssapi_out_of_turn_is_an_error", || {
        const LIMIT: Duration = Duration::from_secs(5);
        let rejected: IsExpected = |kind| matches!(kind, HostErrorKind::Protocol(_));
        let expired: IsExpected = |kind| matches!(kind, HostErrorKind::Auth { .. });
        let lost: IsExpected = |kind| matches!(kind, HostErrorKind::ConnectionLost(_));
        let silent: IsExpected =
            |kind| matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Gssapi, after: LIMIT, .. });
        let expected = [
            ("gssapi-token-first", rejected),
            ("gssapi-tokens-without-end", rejected),
            ("gssapi-twice", rejected),
            // Its number means that the password must be changed.
            ("gssapi-for-password", expired),
            ("gssapi-success-at-once", rejected),
            ("gssapi-leaves", lost),
            ("gssapi-silent", silent),
        ];
        let kinds = expected.map(|(kind, _)| kind);
        let server = Hostile::start(&kinds);
        let mut client = client(&server, &kinds).timeout(LIMIT).build().expect("a client");
        for (output, (kind, is_expected)) in run(&mut client, "greet").iter().zip(expected) {
            let error = output.error().expect(kind);
            assert!(is_expected(error.kind()), "{kind}: {error}");
            assert_eq!(error.stage(), Stage::Authenticating, "{kind}: {error}");
            assert!(printable(&error.to_string()), "{kind}");
        }
    });
}
