//! Peers that are not SSH servers, and ports without a listener: the right error, in the right
//! stage, in time.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use sshoal::error::{HandshakeProblem, TimeoutKind};
use sshoal::{HostError, HostErrorKind, ParallelClient, Stage};

use super::{SLOW, client_for, guard, start_error};
use crate::support::peers::{Refused, Scripted, Step, Unanswered};
use crate::support::sshd::Sshd;

const LIMIT: Duration = Duration::from_millis(700);
const SLACK: Duration = Duration::from_millis(1500);

fn client(address: SocketAddr, limit: Duration) -> sshoal::config::ClientBuilder {
    let builder =
        ParallelClient::builder([address.to_string()]).user("nobody").identity_auth(false).allow_agent(false);
    builder.no_known_hosts().num_retries(1).timeout(limit)
}

/// The error, and the time until it was returned.
#[track_caller]
fn failure(address: SocketAddr, limit: Duration) -> (HostError, Duration) {
    let begun = Instant::now();
    let error = start_error(client(address, limit));
    assert_eq!(error.port(), address.port());
    (error, begun.elapsed())
}

#[track_caller]
fn assert_handshake_timeout(peer: &Scripted) {
    let (error, took) = failure(peer.address(), LIMIT);
    let told =
        matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Handshake, after: LIMIT, .. });
    assert!(told && error.stage() == Stage::Handshaking, "{error}");
    assert!(took >= LIMIT && took < LIMIT + SLACK, "{took:?}");
    peer.wait_for("the end of the connection", |peer| peer.open() == 0);
}

#[test]
fn nobody_answers() {
    let _dog = guard("nobody_answers");
    let peer = Unanswered::new();
    let (error, took) = failure(peer.address(), LIMIT);
    assert_eq!(error.stage(), Stage::Connecting);
    let told =
        matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Connect, after: LIMIT, .. });
    assert!(told, "{error}");
    assert!(took >= LIMIT && took < LIMIT + SLACK, "{took:?}");
}

#[test]
fn the_port_is_closed() {
    let _dog = guard("port_closed");
    let peer = Refused::new();
    let (error, took) = failure(peer.address(), SLOW);
    let HostErrorKind::Connect { address, tried: 1, known: 1, error: cause, .. } = error.kind() else {
        panic!("{error}")
    };
    assert_eq!((*address, cause.kind()), (peer.address(), std::io::ErrorKind::ConnectionRefused));
    assert_eq!(error.stage(), Stage::Connecting);
    assert!(took < SLACK, "{took:?}");
}

/// Only one of a name's addresses may answer.
#[test]
fn each_address_of_a_name_is_tried() {
    let _dog = guard("each_address");
    let addresses = ("localhost", 22).to_socket_addrs().expect("localhost is in /etc/hosts");
    for ip in addresses.map(|address| address.ip()) {
        let sshd = Sshd::builder().listen([ip]).start();
        let mut client = super::build(client_for(&sshd, ["localhost"]));
        assert_eq!(super::run_one(&mut client, "echo in"), ["in"], "localhost on {ip} only");
    }
}

#[test]
fn a_peer_that_says_nothing_or_never_ends_is_cut_off() {
    let _dog = guard("silent_or_endless");
    assert_handshake_timeout(&Scripted::silent());
    let flood = Step::Repeat { bytes: b"no banner yet\r\n".repeat(100), count: u64::MAX };
    assert_handshake_timeout(&Scripted::start([flood]));
    let every = Duration::from_millis(20);
    let drip = Step::Drip { bytes: b"line\r\n".repeat(10_000), chunk: 3, every };
    assert_handshake_timeout(&Scripted::start([drip]));
    let banner = Step::Drip { bytes: b"SSH-2.0-slow_server_1.0".repeat(10), chunk: 1, every };
    assert_handshake_timeout(&Scripted::start([banner]));
    assert_handshake_timeout(&Scripted::garbage("SSH-2.0-stops_here\r\n"));
    let http = "HTTP/1.1 400 Bad Request\r\nServer: web\r\n\r\n<html>no ssh</html>\r\n";
    assert_handshake_timeout(&Scripted::garbage(http));
}

#[test]
fn a_peer_that_is_no_ssh_server_is_told_as_such() {
    let _dog = guard("not_ssh");
    let long = [vec![b'x'; 400], b"\r\n".to_vec()].concat();
    for said in [b"SSH-1.5-OpenSSH_2.9\r\n".to_vec(), long, b"SSH-9.0-x\r\n".to_vec()] {
        let peer = Scripted::garbage(said.clone());
        let (error, took) = failure(peer.address(), SLOW);
        assert_eq!(error.stage(), Stage::Handshaking);
        let not_ssh = matches!(error.kind(), HostErrorKind::Handshake(HandshakeProblem::NotSsh(_)));
        assert!(not_ssh, "{:?}: {error}", String::from_utf8_lossy(&said));
        let names_limit = error.to_string().contains("more than the 255 bytes that libssh reads");
        assert_eq!(names_limit, said.len() > 255, "{error}");
        assert!(took < SLACK, "{took:?}");
        peer.wait_for("the end of the connection", |peer| peer.open() == 0);
    }
}

#[test]
fn what_follows_the_banner_has_to_be_ssh() {
    let _dog = guard("garbage_after_banner");
    let garbage: [&[u8]; 3] =
        [&[0xff; 64], b"GET / HTTP/1.0\r\n\r\n", &[0, 0, 0, 12, 10, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]];
    for bytes in garbage {
        let peer = Scripted::start([Step::Send(b"SSH-2.0-strange\r\n".into()), Step::Send(bytes.into())]);
        let (error, took) = failure(peer.address(), SLOW);
        assert_eq!(error.stage(), Stage::Handshaking);
        assert!(matches!(error.kind(), HostErrorKind::Protocol(_)), "{bytes:?}: {error}");
        assert!(took < SLACK, "{took:?}");
    }
}

#[test]
fn a_peer_that_hangs_up_has_lost_the_connection() {
    let _dog = guard("hangs_up");
    let banner = Step::Send(b"SSH-2.0-short\r\n".into());
    let scripts: [(&str, Vec<Step>); 4] = [
        ("FIN at once", vec![Step::Close]),
        ("RST at once", vec![Step::Reset]),
        ("FIN after the banner", vec![banner.clone(), Step::ReceiveUntil(b"\n".into()), Step::HalfClose]),
        ("RST after the banner", vec![banner, Step::ReceiveUntil(b"\n".into()), Step::Reset]),
    ];
    for (what, script) in scripts {
        let peer = Scripted::start(script);
        let (error, took) = failure(peer.address(), SLOW);
        let lost =
            matches!(error.kind(), HostErrorKind::ConnectionLost(_)) && error.stage() == Stage::Handshaking;
        // The reset may arrive before the connect was checked.
        let reset = matches!(error.kind(), HostErrorKind::Connect { .. }) && what == "RST at once";
        assert!(lost || reset, "{what}: {error}");
        assert!(took < SLACK, "{what}: {took:?}");
    }
}

#[test]
fn a_server_with_other_algorithms_only_has_no_common_one() {
    let _dog = guard("no_common_algorithm");
    let refused =
        ["Ciphers 3des-cbc", "MACs umac-64@openssh.com", "KexAlgorithms diffie-hellman-group18-sha512"];
    for option in refused {
        let mut server = Sshd::builder().option(option);
        if option.starts_with("MACs") {
            // A cipher with its own tag would need no MAC.
            server = server.option("Ciphers aes128-ctr");
        }
        let sshd = server.start();
        let error = start_error(client_for(&sshd, ["127.0.2.1"]).num_retries(3));
        assert_eq!((error.stage(), error.attempt()), (Stage::Handshaking, 1));
        let told = matches!(error.kind(), HostErrorKind::Handshake(HandshakeProblem::NoCommonAlgorithm(_)));
        assert!(told, "{option}: {error}");
        assert_eq!(sshd.auth_messages(), []);
    }
}
