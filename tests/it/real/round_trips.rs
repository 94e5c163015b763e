//! How many round trips logins and commands take, on a line with 0.2 s each. `docs/performance.md`
//! has the figures.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sshoal::{Command, ParallelClient};

use super::{build, client_at, guard, join};
use crate::support::ports;
use crate::support::sshd::Sshd;

const ROUND_TRIP: Duration = Duration::from_millis(200);

/// What the server and a busy machine may add to a measurement.
const SLACK: f64 = 0.7;

/// Forwards one connection to the server. Every byte arrives half a round trip after it was sent,
/// whatever else is on its way.
fn slow_line(server: SocketAddr) -> SocketAddr {
    let (listener, address) = ports::listen([127, 0, 0, 1].into()).expect("listen");
    thread::spawn(move || {
        let client = accept(&listener);
        let server = TcpStream::connect(server).expect("the server is there");
        server.set_nodelay(true).expect("no delay");
        let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
        forward(copy(&client), copy(&server));
        forward(server, client);
    });
    address
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (client, _) = listener.accept().expect("a client");
    client.set_nodelay(true).expect("no delay");
    client
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    let (sent, arrives) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        for (at, bytes) in arrives {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if sent.send((Instant::now() + ROUND_TRIP / 2, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
    });
}

/// How many round trips pass until the server has accepted the command.
fn start(client: &mut ParallelClient, command: &Command) -> f64 {
    let begun = Instant::now();
    let outputs = client.run_command(command).expect("it starts");
    let took = begun.elapsed().as_secs_f64() / ROUND_TRIP.as_secs_f64();
    eprintln!("{took:.2} round trips");
    join(client, &outputs);
    took
}

/// Checks the number of round trips. Another measurement follows if it was larger, because other
/// work on the machine adds time.
#[track_caller]
fn assert_round_trips(expected: f64, mut measure: impl FnMut() -> f64) {
    for _ in 0..3 {
        let took = measure();
        assert!(took >= expected, "{took} round trips, fewer than {expected}");
        if took < expected + SLACK {
            return;
        }
    }
    panic!("more than {expected} round trips, three times");
}

fn variables(count: usize) -> impl Iterator<Item = (String, &'static str)> {
    (0..count).map(|number| (format!("LC_{number}"), "value"))
}

/// The connect is not delayed. It takes one more round trip.
#[test]
fn a_login_with_its_first_command_takes_six() {
    let _dog = guard("login_round_trips");
    let sshd = Sshd::start();
    assert_round_trips(6.0, || {
        let mut client = build(client_at(&sshd, [slow_line(sshd.address())]));
        start(&mut client, &Command::new("true"))
    });
}

#[test]
fn a_command_takes_two_and_each_request_to_the_server_one_more() {
    let _dog = guard("command_round_trips");
    let sshd = Sshd::start();
    let mut client = build(client_at(&sshd, [slow_line(sshd.address())]));
    client.connect().expect("it connects");
    for (expected, command) in [
        (2.0, Command::new("true")),
        (3.0, Command::new("true").use_pty(true)),
        (7.0, Command::new("true").envs(variables(5))),
    ] {
        assert_round_trips(expected, || start(&mut client, &command));
    }
}

#[test]
fn a_spare_channel_saves_one() {
    let _dog = guard("spare_round_trips");
    let sshd = Sshd::start();
    let builder = client_at(&sshd, [slow_line(sshd.address())]).spare_channel(true);
    let mut client = build(builder);
    client.connect().expect("it connects");
    start(&mut client, &Command::new("true"));
    for (expected, command) in [
        (1.0, Command::new("true")),
        (1.0, Command::new("true").shell_envs(variables(40))),
        (2.0, Command::new("true").use_pty(true)),
    ] {
        assert_round_trips(expected, || start(&mut client, &command));
    }
}

/// 40 variables start within 0.3 s of none.
#[test]
fn variables_in_the_text_take_none() {
    let _dog = guard("shell_env_round_trips");
    let sshd = Sshd::start();
    let mut client = build(client_at(&sshd, [slow_line(sshd.address())]));
    client.connect().expect("it connects");
    let many = Command::new("true").shell_envs(variables(40));
    let none = start(&mut client, &Command::new("true"));
    let more = (0..3).map(|_| start(&mut client, &many) - none).fold(f64::INFINITY, f64::min);
    assert!(more * ROUND_TRIP.as_secs_f64() < 0.3, "{more} round trips");
}
