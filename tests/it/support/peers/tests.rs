//! Each step, seen by a plain client.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::*;

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
    stream
}

fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let result = stream.read_to_end(&mut bytes);
    (bytes, result.err().map(|error| error.kind()))
}

#[test]
fn refused_is_refused_and_unanswered_hangs() {
    let refused = Refused::new();
    let error = TcpStream::connect(refused.address()).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

    let unanswered = Unanswered::new();
    for _ in 0..3 {
        let limit = Duration::from_millis(50);
        let error = TcpStream::connect_timeout(&unanswered.address(), limit).expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}

#[test]
fn a_silent_server_records_and_says_nothing() {
    let server = Scripted::silent();
    let mut stream = connect(server.address());
    stream.write_all(b"SSH-2.0-test\r\n").expect("write");
    server.wait_for("the line", |server| server.received_bytes() == 14);
    assert_eq!((server.accepted(), server.open()), (1, 1));
    assert_eq!(server.received(0), b"SSH-2.0-test\r\n");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
    assert_eq!(read_to_end(&mut stream), (Vec::new(), Some(ErrorKind::WouldBlock)));
    drop(stream);
    server.wait_for("the end", |server| server.open() == 0);
}

#[test]
fn steps_are_taken_in_order() {
    let every = Duration::from_millis(10);
    let server = Scripted::start([
        Step::Receive(3),
        Step::Send(b"got three ".into()),
        Step::ReceiveUntil(b"end".into()),
        Step::Pause(every),
        Step::Drip { bytes: b"drip ".into(), chunk: 2, every },
        Step::Repeat { bytes: b"ab".into(), count: 3 },
        Step::HalfClose,
        Step::Receive(12),
        Step::Close,
    ]);
    let mut stream = connect(server.address());
    stream.write_all(b"123").expect("write");
    let mut bytes = [0; 10];
    stream.read_exact(&mut bytes).expect("read");
    assert_eq!(&bytes, b"got three ");
    let start = Instant::now();
    stream.write_all(b"the end").expect("write");
    assert_eq!(read_to_end(&mut stream), (b"drip ababab".to_vec(), None));
    assert!(start.elapsed() >= every * 3, "{:?}", start.elapsed());
    assert_eq!(server.open(), 1);
    stream.write_all(b"!!").expect("write");
    server.wait_for("the end", |server| server.open() == 0);
    assert_eq!(server.received(0), b"123the end!!");
}

#[test]
fn a_trigger_lets_it_reset() {
    let server = Scripted::start([Step::AwaitTrigger, Step::Reset]);
    let mut stream = connect(server.address());
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
    assert_eq!(read_to_end(&mut stream).1, Some(ErrorKind::WouldBlock));
    server.trigger();
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
    assert_eq!(read_to_end(&mut stream).1, Some(ErrorKind::ConnectionReset));
}

#[test]
fn a_server_that_stops_reading_blocks_the_sender_and_can_be_dropped() {
    let server = Scripted::start([Step::StopReading]);
    let mut stream = connect(server.address());
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("timeout");
    let error = stream.write_all(&vec![0; 64 << 20]).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(server.received_bytes(), 0);
    drop(server);
    assert_ne!(read_to_end(&mut stream).1, Some(ErrorKind::WouldBlock));
}

#[test]
fn a_server_that_floods_can_be_dropped() {
    let server = Scripted::start([Step::Repeat { bytes: vec![b'y'; 1 << 16], count: u64::MAX }]);
    let mut stream = connect(server.address());
    stream.read_exact(&mut vec![0; 1 << 20]).expect("a flood");
    drop(server);
    let _ = read_to_end(&mut stream);
}
