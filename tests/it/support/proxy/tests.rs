//! Every action, byte by byte, between a plain client and a scripted server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::support::eventually;
use crate::support::fds::FdBaseline;
use crate::support::peers::{Refused, Scripted, Step};
use crate::support::sshd::Sshd;
use crate::support::system::{is_rerun, rerun};

use Direction::{ToClient, ToServer};

const GREETING: &[u8] = b"0123456789";

/// A server that sends ten bytes at once and records its input.
fn greeter() -> Scripted {
    Scripted::garbage(GREETING)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).expect("connect");
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).expect("timeout");
    stream.set_write_timeout(limit).expect("timeout");
    stream
}

/// The first `count` bytes.
fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("read");
    bytes
}

#[track_caller]
fn assert_nothing_comes(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
    let error = stream.read(&mut [0; 1]).expect_err("nothing to read, and no end");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let result = stream.read_to_end(&mut bytes);
    (bytes, result.map(drop))
}

#[test]
fn it_passes_both_ways_and_counts() {
    let server = Scripted::start([Step::Send(GREETING.into()), Step::Receive(300_000), Step::Close]);
    let proxy = Proxy::builder(server.address()).start();
    let mut stream = connect(&proxy);
    let sent: Vec<u8> = (0..300_000_u32).map(|index| index.to_le_bytes()[0]).collect();
    stream.write_all(&sent).expect("write");
    let (received, end) = read_to_end(&mut stream);
    assert_eq!((&*received, end.is_ok()), (GREETING, true));
    assert!(server.received(0) == sent);
    drop(stream);
    let counts = proxy.await_counts(|counts| counts.accepted == 1 && counts.open == 0);
    assert_eq!((counts.from_client, counts.to_server), (300_000, 300_000));
    assert_eq!((counts.from_server, counts.to_client), (10, 10));
}

#[test]
fn exactly_one_byte_is_flipped() {
    for at in [0, 1, 9] {
        let server = greeter();
        let proxy = Proxy::builder(server.address())
            .fault(ToClient, at, Action::Xor(0x80))
            .fault(ToServer, 2, Action::Xor(1))
            .start();
        let mut stream = connect(&proxy);
        let mut expected = GREETING.to_vec();
        expected[at as usize] ^= 0x80;
        assert_eq!(read(&mut stream, 10), expected);
        stream.write_all(b"aaaaa").expect("write");
        server.wait_for("five bytes", |server| server.received_bytes() == 5);
        assert_eq!(server.received(0), b"aa`aa");
    }
}

#[test]
fn from_a_byte_on_all_are_altered() {
    let server = greeter();
    let proxy = Proxy::builder(server.address()).fault(ToClient, 4, Action::Scramble(7)).start();
    let received = read(&mut connect(&proxy), 10);
    assert_eq!(received[..4], GREETING[..4]);
    assert!(received[4..].iter().zip(&GREETING[4..]).all(|(left, right)| left != right), "{received:?}");
}

#[test]
fn bytes_are_inserted_in_place() {
    let server = greeter();
    let proxy = Proxy::builder(server.address()).fault(ToClient, 3, Action::Insert(b"abc".into())).start();
    assert_eq!(read(&mut connect(&proxy), 13), b"012abc3456789");
}

#[test]
fn a_cut_after_n_bytes_is_fin_or_rst() {
    let server = greeter();
    let proxy = Proxy::builder(server.address()).fault(ToClient, 4, Action::Fin).start();
    let (received, end) = read_to_end(&mut connect(&proxy));
    assert_eq!((&*received, end.is_ok()), (&b"0123"[..], true));
    server.wait_for("the server's end", |server| server.open() == 0);

    let proxy = Proxy::builder(server.address()).fault(ToClient, 4, Action::Hold).start();
    let mut stream = connect(&proxy);
    assert_eq!(read(&mut stream, 4), b"0123");
    proxy.inject(ToClient, Action::Rst);
    let error = read_to_end(&mut stream).1.expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.wait_for("the server's end", |server| server.open() == 0);
    assert_eq!(proxy.await_counts(|counts| counts.open == 0).to_client, 4);
}

#[test]
fn a_planned_reset_needs_no_word_from_the_client() {
    let server = greeter();
    let proxy = Proxy::builder(server.address()).fault(ToServer, 5, Action::Rst).start();
    let mut stream = connect(&proxy);
    read(&mut stream, 10);
    stream.write_all(b"12345678").expect("write");
    let error = read_to_end(&mut stream).1.expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.await_counts(|counts| counts.open == 0).from_client, 5);
}

#[test]
fn a_half_close_leaves_the_other_half() {
    let server = greeter();
    let proxy = Proxy::builder(server.address()).fault(ToClient, 6, Action::HalfClose).start();
    let mut stream = connect(&proxy);
    let (received, end) = read_to_end(&mut stream);
    assert_eq!((&*received, end.is_ok()), (&b"012345"[..], true));
    stream.write_all(b"still here").expect("write");
    server.wait_for("ten bytes", |server| server.received_bytes() == 10);
    assert_eq!(server.open(), 1);
}

#[test]
fn a_half_close_by_a_peer_is_passed_on() {
    let server = Scripted::start([Step::ReceiveUntil(b"!".into()), Step::Send(GREETING.into())]);
    let proxy = Proxy::builder(server.address()).start();
    let mut stream = connect(&proxy);
    stream.write_all(b"go!").expect("write");
    stream.shutdown(Shutdown::Write).expect("shutdown");
    assert_eq!(read_to_end(&mut stream).0, GREETING);
}

#[test]
fn a_stalled_direction_swallows_and_stays() {
    let server = greeter();
    let proxy = Proxy::builder(server.address()).fault(ToServer, 3, Action::Stall).start();
    let mut stream = connect(&proxy);
    read(&mut stream, 10);
    stream.write_all(&vec![b'x'; 8 << 20]).expect("more than all buffers hold");
    let counts = proxy.await_counts(|counts| counts.from_client == 8 << 20);
    assert_eq!((counts.to_server, counts.open), (3, 1));
    assert_nothing_comes(&mut stream);
    assert_eq!(server.received(0), b"xxx");
}

#[test]
fn a_proxy_that_stops_reading_blocks_the_sender() {
    let server = greeter();
    let proxy = Proxy::builder(server.address()).fault(ToServer, 3, Action::StopReading).start();
    let mut stream = connect(&proxy);
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("timeout");
    let error = stream.write_all(&vec![b'x'; 64 << 20]).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(proxy.counts().from_client, 3);
    // The other direction is not affected.
    assert_eq!(read(&mut stream, 10), GREETING);
}

#[test]
fn what_is_held_comes_after_the_trigger() {
    let server = greeter();
    let plan =
        Proxy::builder(server.address()).fault(ToClient, 5, Action::Hold).fault(ToClient, 5, Action::Xor(1));
    let proxy = plan.start();
    let mut stream = connect(&proxy);
    assert_eq!(read(&mut stream, 5), b"01234");
    assert_nothing_comes(&mut stream);
    proxy.trigger();
    assert_eq!(read(&mut stream, 5), b"46789");
    assert_eq!(read(&mut connect(&proxy), 10), b"0123446789", "latched");

    let proxy = Proxy::builder(server.address()).fault(ToServer, 2, Action::Hold).start();
    let mut stream = connect(&proxy);
    stream.write_all(b"abc").expect("write");
    let counts = proxy.await_counts(|counts| counts.to_server == 2 && counts.to_client == 10);
    assert_eq!(counts.from_client, 2);
    proxy.trigger();
    proxy.await_counts(|counts| counts.to_server == 3);
}

#[test]
fn a_delay_and_a_drip_take_their_time() {
    let server = greeter();
    let every = Duration::from_millis(20);
    let plan = Proxy::builder(server.address());
    let drip = plan.clone().fault(ToClient, 4, Action::Drip { bytes: 2, every }).start();
    let delay = plan.fault(ToClient, 0, Action::Delay(Duration::from_millis(100))).start();

    let start = Instant::now();
    assert_eq!(read(&mut connect(&drip), 10), GREETING);
    // Three pairs, the first of them at once.
    assert!(start.elapsed() >= every * 2, "{:?}", start.elapsed());

    let start = Instant::now();
    assert_eq!(read(&mut connect(&delay), 10), GREETING);
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());
}

#[test]
fn one_connection_alone_can_be_harmed() {
    let server = greeter();
    let proxy = Proxy::builder(server.address()).fault(ToClient, 0, Action::Fin).only(1).start();
    let outcomes = [(); 3].map(|()| {
        let mut stream = connect(&proxy);
        let mut bytes = [0; 10];
        stream.read(&mut bytes).expect("read") == 10
    });
    assert_eq!(outcomes, [true, false, true]);
}

#[test]
fn an_upstream_that_refuses_loses_the_client() {
    let refused = Refused::new();
    let proxy = Proxy::builder(refused.address()).start();
    let (received, end) = read_to_end(&mut connect(&proxy));
    assert_eq!((received.len(), end.is_ok()), (0, true));
}

#[test]
fn an_ssh_session_survives_the_proxy_and_not_the_flip() {
    let sshd = Sshd::start();
    for (at, mask, begins) in [(0, 0, "SSH-2.0-OpenSSH"), (4, 3, "SSH-1.0-OpenSSH")] {
        let proxy = Proxy::builder(sshd.address()).fault(ToClient, at, Action::Xor(mask)).start();
        let received = read(&mut connect(&proxy), begins.len());
        assert_eq!(String::from_utf8_lossy(&received), begins);
    }
}

#[test]
fn dropping_it_closes_everything() {
    if !is_rerun() {
        let status = rerun(module_path!(), "dropping_it_closes_everything").status();
        assert!(status.expect("run this test's program").success());
        return;
    }
    let baseline = FdBaseline::now();
    let threads = || std::fs::read_dir("/proc/self/task").expect("/proc").count();
    let before = threads();
    let server = greeter();
    let proxy = Proxy::builder(server.address()).fault(ToServer, 0, Action::StopReading).start();
    let streams: Vec<TcpStream> = (0..20).map(|_| connect(&proxy)).collect();
    proxy.await_counts(|counts| counts.open == 20);
    let limit = Duration::from_secs(5);
    // The proxy, the acceptor, and one per connection.
    eventually(limit, "22 threads", || (threads() == before + 22).then_some(()));
    drop(proxy);
    for mut stream in streams {
        let _ = read_to_end(&mut stream);
    }
    server.wait_for("the end of all", |server| server.open() == 0);
    drop(server);
    // A joined thread leaves the list of tasks a moment later.
    eventually(limit, "all threads gone", || (threads() == before).then_some(()));
    baseline.assert_same();
}
