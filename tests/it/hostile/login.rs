//! Logins that the server accepts, refuses or disturbs out of turn.

use std::fs;
use std::time::{Duration, Instant};

use sshoal::error::{AuthMethod, AuthProblem, TimeoutKind};
use sshoal::{HostErrorKind, Stage};

use super::{EXEC, Hostile, OPEN, SLOW, USERAUTH, address, all, guard, join, printable, run, stdout};
use crate::support::keys::ClientKey;

#[test]
fn what_comes_before_the_login_is_refused() {
    let _dog = guard("before_login");
    let kinds = ["success-unasked", "success-with-service", "channel-before-auth"];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).build().expect("a client");
    let outputs = run(&mut client, "greet");
    for (index, kind) in kinds.iter().enumerate() {
        let error = outputs[index].error().expect(kind);
        assert!(matches!(error.kind(), HostErrorKind::Protocol(_)), "{kind}: {error}");
        assert!(matches!(error.stage(), Stage::Handshaking | Stage::Authenticating), "{kind}: {error}");
        let seen = server.seen(&address(index));
        assert!(!seen.contains_key(&OPEN) && !seen.contains_key(&EXEC), "{kind}: {seen:?}");
    }
}

#[test]
fn refusals_without_end_end_the_login() {
    let _dog = guard("refusals");
    let kinds = ["denies", "denies-for-ever", "never-content"];
    let server = Hostile::start(&kinds);
    let keys = tempfile::tempdir().expect("temporary directory");
    let files =
        [ClientKey::Ed25519, ClientKey::Ecdsa].map(|key| key.pair().write(keys.path(), key.file_name()));
    let builder = server.client(all(&kinds)).identity_auth(true).identity_files(files);
    let mut client = builder.build().expect("a client");
    let outputs = run(&mut client, "greet");
    for (index, kind) in kinds.iter().enumerate() {
        let error = outputs[index].error().expect(kind);
        assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{kind}: {error}");
        // Two keys and the password, each once.
        let asked = server.count(&address(index), USERAUTH);
        assert!((1..=3).contains(&asked), "{kind}: {asked} requests");
    }
}

/// The key that was queried signs, whichever key the server names.
#[test]
fn another_key_than_the_one_asked_about_is_never_used() {
    let _dog = guard("other_key");
    let server = Hostile::start(&["other-key"]);
    let keys = tempfile::tempdir().expect("temporary directory");
    let files =
        [ClientKey::Ecdsa, ClientKey::Ed25519].map(|key| key.pair().write(keys.path(), key.file_name()));
    assert!(files.iter().all(|file| fs::metadata(file).is_ok()));
    let builder = server.client(all(&["other-key"])).identity_auth(true).identity_files(files);
    let mut client = builder.build().expect("a client");
    let outputs = run(&mut client, "greet");
    assert_eq!(stdout(&outputs[0]), ["hello"]);
    assert_eq!(server.count(&address(0), USERAUTH), 2, "one question, one signature");
}

#[test]
fn banners_and_extensions_without_sense_are_passed_over() {
    let _dog = guard("banners");
    let kinds = ["banner", "extensions", "unimplemented-too", "noise"];
    let server = Hostile::start(&kinds);
    let mut client = server.client(all(&kinds)).build().expect("a client");
    let outputs = run(&mut client, "greet");
    for output in &outputs {
        assert_eq!(stdout(output), ["hello"], "{}", output.host());
    }
    // libssh cuts a banner at its first NUL.
    assert_eq!(outputs[0].banner().as_deref(), Some("\\x1b[2J"));
    assert!(outputs[1..].iter().all(|output| output.banner().is_none()));
}

#[test]
fn what_a_server_says_is_shown_clean_and_bounded() {
    let _dog = guard("says");
    let kinds =
        ["banner-without-end", "banner-for-each-refusal", "banner-and-end", "greets-and-denies", "greets"];
    let server = Hostile::start(&kinds);
    let builder = server.client(all(&kinds)).responder(|_| None);
    let outputs = run(&mut builder.build().expect("a client"), "greet");
    let said = |index: usize| outputs[index].banner().expect(kinds[index]);

    let endless = said(0);
    assert!(endless.starts_with("\\x1b[2J\\xff\\r\\u{202e}no end no end "), "{}", &endless[..100]);
    assert!(printable(&endless) && (4090..=4096).contains(&endless.len()), "{} bytes", endless.len());
    let error = outputs[0].error().expect("a refusal");
    assert!(matches!(error.kind(), HostErrorKind::Auth { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("; the server said: \"\\x1b[2J") && text.len() < 1024, "{} bytes", text.len());
    assert!(!error.cause().contains("no end"), "{}", error.cause());

    assert_eq!(said(1), "not by password\nnot by keyboard-interactive");
    assert_eq!(said(2), "System is going down.");
    let error = outputs[2].error().expect("lost");
    assert!(matches!(error.kind(), HostErrorKind::ConnectionLost(_)), "{error}");
    assert_eq!(error.banner(), Some("System is going down."));
    for index in [3, 4] {
        assert_eq!(said(index), "Welcome to \\x1b[2J\nthis server.", "{}", kinds[index]);
    }
    assert!(outputs[3].error().is_some());
    assert_eq!(stdout(&outputs[4]), ["hello"]);
}

/// SSH_MSG_USERAUTH_PASSWD_CHANGEREQ has a number that other methods use for other messages, so any
/// message with that number is one.
#[test]
fn a_password_that_must_be_changed_is_reported_and_not_sent_again() {
    let _dog = guard("must_be_changed");
    let kinds = ["wants-new-password", "key-for-password", "asks-for-a-password"];
    let server = Hostile::start(&kinds);
    let builder = server.client(all(&kinds)).keyboard_interactive(true).num_retries(3);
    let outputs = run(&mut builder.build().expect("a client"), "greet");
    for (index, kind) in kinds.iter().enumerate() {
        let error = outputs[index].error().expect(kind);
        let HostErrorKind::Auth { tried, problems, .. } = error.kind() else { panic!("{kind}: {error}") };
        assert_eq!(*tried, [AuthMethod::Password], "{kind}");
        assert!(
            matches!(problems.as_slice(), [AuthProblem::PasswordExpired { prompt: None, .. }]),
            "{kind}: {error}"
        );
        let seen = server.seen(&address(index));
        assert_eq!((seen[&USERAUTH], seen.get(&EXEC)), (1, None), "{kind}");
    }
}

/// Only a time limit ends these: libssh silently ignores UNIMPLEMENTED and IGNORE.
#[test]
fn noise_instead_of_an_answer_ends_in_the_stages_timeout() {
    let _dog = guard("noise_for_answer");
    let kinds = ["endless-noise", "unimplemented-auth", "unimplemented-open", "unimplemented-exec"];
    let server = Hostile::start(&kinds);
    let limit = Duration::from_millis(1500);
    let mut client = server.client(all(&kinds)).timeout(limit).build().expect("a client");
    let begun = Instant::now();
    let outputs = client.start_command("greet").expect("a command");
    join(&client, &outputs);
    assert!(begun.elapsed() < SLOW, "{:?}", begun.elapsed());
    assert_eq!(stdout(&outputs[kinds.len()]), ["hello"]);
    let stages = [Stage::Authenticating, Stage::Authenticating, Stage::Opening, Stage::Requesting];
    for (index, stage) in stages.into_iter().enumerate() {
        let error = outputs[index].error().expect(kinds[index]);
        let HostErrorKind::Timeout { kind, .. } = error.kind() else { panic!("{error}") };
        let expected = if index < 2 { TimeoutKind::Auth } else { TimeoutKind::Exec };
        assert_eq!((*kind, error.stage()), (expected, stage), "{error}");
    }
}

#[test]
fn a_goodbye_of_a_hundred_kilobytes_is_clean_and_bounded() {
    let _dog = guard("goodbye");
    let server = Hostile::start(&["disconnects"]);
    let mut client = server.client(all(&["disconnects"])).build().expect("a client");
    let outputs = run(&mut client, "greet");
    let error = outputs[0].error().expect("disconnected");
    let HostErrorKind::Disconnected { reason: 11, message, .. } = error.kind() else { panic!("{error}") };
    assert!(message.len() < 2048, "{} bytes kept", message.len());
    let shown = error.to_string();
    assert!(shown.contains("go\\x1b]0;away\\x07\\r\\nroot: "), "{shown}");
    assert!(printable(&shown) && shown.len() < 1024, "{} bytes: {shown}", shown.len());
}
