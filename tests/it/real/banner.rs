//! What servers say before the login ends.

use std::fs;
use std::process::Command;
use std::time::Instant;

use sshoal::config::ClientBuilder;
use sshoal::error::{AuthMethod, AuthProblem};
use sshoal::{Budget, Event, Fleet, HostErrorKind, ParallelClient};
use tempfile::TempDir;

use super::proxy::{GATE, behind, of_proxy};
use super::{SLOW, build, client_for, guard, join, rest, start_error, with_key};
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::peers::{Scripted, Step};
use crate::support::sshd::Sshd;
use crate::support::system::public_dir;
use crate::support::user::TestUser;

const HOST: &str = "127.0.2.1";

/// A server with this banner file, which it reads at each login.
fn with_banner(text: &str) -> (Sshd, TempDir) {
    with_options(text, &[])
}

fn with_options(text: &str, options: &[&str]) -> (Sshd, TempDir) {
    let dir = public_dir();
    let file = dir.path().join("banner");
    fs::write(&file, text).expect("write the banner");
    let builder = Sshd::builder().option(&format!("Banner {}", file.display()));
    (options.iter().fold(builder, |builder, line| builder.option(line)).start(), dir)
}

/// Makes each login fail.
fn with_other_key(builder: ClientBuilder, sshd: &Sshd) -> ClientBuilder {
    let key = KeyPair::generate(KeyType::Ed25519).write(sshd.dir(), "other_key");
    builder.key_file(key)
}

#[test]
fn the_banner_of_sshd_is_an_event_and_in_the_error() {
    let _dog = guard("banner_file");
    let text = "Authorised use only.\n\n  * Everything is logged. äöü\n";
    let (sshd, _dir) = with_banner(text);
    let mut client = build(client_for(&sshd, [HOST]));
    let outputs = client.run_command("echo hello").expect("it starts");
    join(&client, &outputs);
    assert_eq!(outputs[0].banner().as_deref(), Some(text.trim_end()));

    let error = start_error(with_other_key(client_for(&sshd, [HOST]), &sshd));
    assert_eq!(error.banner(), Some(text.trim_end()));
    let end = "; the server said: \"Authorised use only.\\n\\n  * Everything is logged. äöü\"";
    assert!(error.to_string().ends_with(end), "{error}");

    let silent = Sshd::start();
    let mut client = build(client_for(&silent, [HOST]));
    let outputs = client.run_command("true").expect("it starts");
    assert_eq!(outputs[0].banner(), None);
    assert_eq!(start_error(with_other_key(client_for(&silent, [HOST]), &silent)).banner(), None);
}

#[test]
fn the_event_comes_right_before_the_connection_is_reported() {
    let _dog = guard("banner_event");
    let (sshd, _dir) = with_banner("Authorised use only.\n");
    let builder = with_key(Fleet::builder([HOST]).port(sshd.port()).user(sshd.user()), &sshd);
    let mut fleet = builder.known_hosts([sshd.known_hosts([HOST])]).build().expect("a fleet");
    fleet.connect(fleet.hosts().to_vec());
    let (begun, mut events) = (Instant::now(), Vec::new());
    while events.last().is_none_or(|last: &String| last != "connected") {
        assert!(begun.elapsed() < SLOW, "{events:?}");
        fleet.wait(Some(SLOW)).expect("the poll works");
        fleet.turn(Instant::now(), Budget::default()).expect("the poll works");
        while let Some(event) = fleet.next_event() {
            events.push(match event {
                Event::Entered { .. } => continue,
                Event::Banner { text, .. } => text.to_string(),
                Event::Connected { .. } => "connected".to_owned(),
                other => panic!("{other:?}"),
            });
        }
    }
    assert_eq!(events, ["Authorised use only.", "connected"]);
    let host = fleet.hosts()[0];
    assert_eq!(fleet.host(host).and_then(|host| host.banner()), Some("Authorised use only."));
}

/// Each hop's text is in its own error, and of a successful chain only the host's is reported.
#[test]
fn each_hop_of_a_chain_has_its_own() {
    let _dog = guard("banner_hops");
    let ((gate, _one), (target, _two)) = (with_banner("the gate\n"), with_banner("the host\n"));
    let mut client = build(behind(&gate, &target, &[HOST]));
    let outputs = client.run_command("true").expect("it starts");
    assert_eq!(outputs[0].banner().as_deref(), Some("the host"));

    let error = start_error(with_other_key(behind(&gate, &target, &[HOST]), &target));
    assert_eq!(error.banner(), Some("the host"));

    let key = KeyPair::generate(KeyType::Ed25519).write(gate.dir(), "other_key");
    let proxy = sshoal::Proxy::new(format!("{GATE}:{}", gate.port())).user(gate.user());
    let proxy = proxy.key_file(key).identity_auth(false);
    let error = start_error(behind(&gate, &target, &[HOST]).proxy(proxy));
    assert_eq!((error.banner(), of_proxy(&error).banner()), (None, Some("the gate")));
    assert_eq!(error.to_string().matches("the server said").count(), 1, "{error}");
}

/// sshd beyond its `MaxStartups`, and a server that speaks another protocol.
#[test]
fn lines_of_a_server_without_a_version_are_in_the_error() {
    let _dog = guard("banner_lines");
    let full = Scripted::start([Step::Send(b"Exceeded MaxStartups\r\n".to_vec()), Step::Close]);
    let reset = Scripted::start([
        Step::ReceiveUntil(b"SSH-2.0".to_vec()),
        Step::Send(b"Not allowed at this time\r\n".to_vec()),
        Step::Reset,
    ]);
    let web = Scripted::garbage("HTTP/1.1 400 Bad Request\r\nServer: x\x1b[2J\r\n\r\n");
    let cases = [
        (&full, "Exceeded MaxStartups"),
        (&reset, "Not allowed at this time"),
        (&web, "HTTP/1.1 400 Bad Request\nServer: x\\x1b[2J"),
    ];
    for (peer, said) in cases {
        let builder = ParallelClient::builder([peer.address().to_string()]).identity_auth(false);
        let builder = builder.known_hosts(Vec::<String>::new()).max_attempts(1);
        let error = start_error(builder.timeout(std::time::Duration::from_secs(1)));
        assert_eq!(error.banner(), Some(said), "{error}");
    }
}

/// The message of PAM arrives like the text of `/run/nologin`.
#[test]
fn the_reason_why_pam_lets_nobody_in_is_in_the_error() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("banner_pam");
    let changed = Command::new("chage").args(["-E", "0", user.name()]).status().expect("chage");
    assert!(changed.success());
    let sshd = Sshd::builder().option("UsePAM yes").start();
    let builder = client_for(&sshd, [HOST]).user(user.name()).key_file(user.key(ClientKey::Ecdsa));
    let error = start_error(builder.password(user.password()));
    let said = error.banner().unwrap_or_else(|| panic!("{error}"));
    assert!(said.starts_with("Your account has expired"), "{said}");
}

#[test]
fn an_expired_password_is_never_sent_as_the_new_one() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("banner_expired");
    let changed = Command::new("chage").args(["-d", "0", user.name()]).status().expect("chage");
    assert!(changed.success());
    let options = ["UsePAM yes", "KbdInteractiveAuthentication yes", "PasswordAuthentication no"];
    let (sshd, _dir) = with_options("Authorised use only.\n", &options);
    let builder = || {
        let builder = ParallelClient::builder([HOST]).port(sshd.port()).user(user.name()).timeout(SLOW);
        let builder = builder.identity_auth(false).allow_agent(false).max_attempts(1);
        builder.known_hosts([sshd.known_hosts([HOST])]).password(user.password())
    };
    for builder in [builder(), builder().keyboard_interactive(true)] {
        let error = start_error(builder);
        let HostErrorKind::Auth { tried, problems, .. } = error.kind() else { panic!("{error}") };
        assert!(tried.contains(&AuthMethod::KeyboardInteractive), "{error}");
        let [AuthProblem::PasswordExpired { prompt: Some(prompt), .. }] = problems.as_slice() else {
            panic!("{error}")
        };
        assert!(prompt.ends_with("Current password:"), "{prompt}");
        let said = error.banner().unwrap_or_default();
        assert!(said.starts_with("Authorised use only.\nYou are required to change your password"), "{said}");
        assert_eq!(said.matches("Authorised").count(), 1, "{said}");
    }
    assert_eq!(sshd.count("Accepted"), 0, "{}", sshd.log());

    // By the password method, sshd lets the user in, and the command ends instead.
    let options = ["UsePAM yes", "PasswordAuthentication yes"];
    let other = options.iter().fold(Sshd::builder(), |builder, line| builder.option(line)).start();
    let builder = builder().port(other.port()).known_hosts([other.known_hosts([HOST])]);
    let mut client = build(builder);
    let outputs = client.run_command("echo hello").expect("it starts");
    join(&client, &outputs);
    let (stdout, stderr) = rest(&outputs[0]);
    assert_eq!((outputs[0].exit_code(), stdout.len()), (Some(1), 0));
    assert!(stderr.concat().starts_with(b"WARNING: Your password has expired."), "{stderr:?}");
}
