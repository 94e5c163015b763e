//! Faults before encryption starts, seen by a plain TCP client.

use std::time::Duration;

use hostsim::Sim;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

const CLIENT_ID: &[u8] = b"SSH-2.0-test\r\n";

/// Reads until FIN or RST; returns the bytes, and which of the two it was.
async fn read_all(tcp: &mut TcpStream) -> (Vec<u8>, TcpEnd) {
    let mut bytes = Vec::new();
    match tcp.read_to_end(&mut bytes).await {
        Ok(_) => (bytes, TcpEnd::Fin),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => (bytes, TcpEnd::Rst),
        Err(error) => panic!("{error}"),
    }
}

/// The identification string.
async fn banner(tcp: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(tcp.read_u8().await.unwrap());
    }
    let line = String::from_utf8(line).unwrap();
    assert!(line.starts_with("SSH-2.0-") && line.ends_with("\r\n"), "{line:?}");
    line
}

/// The payload of one unencrypted packet.
async fn packet(tcp: &mut TcpStream) -> Vec<u8> {
    let length = tcp.read_u32().await.unwrap() as usize;
    let mut rest = vec![0; length];
    tcp.read_exact(&mut rest).await.unwrap();
    rest[1..length - usize::from(rest[0])].to_vec()
}

async fn open(sim: &Sim) -> TcpStream {
    tcp(sim, sim.host(0)).await
}

#[test]
fn right_after_accept() {
    run(async {
        let sim = faulty("* accept:silence");
        silent(open(&sim).await.read_u8()).await;

        let sim = faulty("* accept:fin");
        assert_eq!(read_all(&mut open(&sim).await).await, (Vec::new(), TcpEnd::Fin));

        let sim = faulty("* accept:rst");
        // The reset may arrive before connect(2) has returned.
        match TcpStream::connect((sim.host(0), sim.port())).await {
            Ok(mut host) => assert_eq!(read_all(&mut host).await, (Vec::new(), TcpEnd::Rst)),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }

        let sim = faulty("* accept:raw=00ff0d0a");
        let mut host = open(&sim).await;
        let mut bytes = [0; 4];
        host.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, [0, 255, 13, 10]);
        silent(host.read_u8()).await;

        let sim = faulty("* accept:garbage");
        let mut bytes = [0; 4096];
        open(&sim).await.read_exact(&mut bytes).await.unwrap();
        assert!(!bytes.starts_with(b"SSH-") && bytes.iter().any(|byte| *byte != 0));

        let sim = faulty("* accept:http");
        let (bytes, end) = read_all(&mut open(&sim).await).await;
        assert!(bytes.starts_with(b"HTTP/1.1 400 ") && end == TcpEnd::Fin);
        assert_eq!(sim.stats().unwrap().retired, 1);
    });
}

#[test]
fn lines_without_end_and_a_line_without_end() {
    run(async {
        let sim = faulty("* accept:lines");
        let mut bytes = vec![0; 4 << 20];
        open(&sim).await.read_exact(&mut bytes).await.unwrap();
        let lines = std::str::from_utf8(&bytes).unwrap().split("\r\n");
        assert!(lines.clone().count() > 100_000);
        assert!(lines.take(100_000).all(|line| line == "this host will let you in soon"));

        let sim = faulty("* accept:long-line");
        let mut host = open(&sim).await;
        let mut bytes = vec![0; 1 << 20];
        host.read_exact(&mut bytes).await.unwrap();
        assert!(bytes.iter().all(|byte| *byte == b'x'));
        silent(host.read_u8()).await;
    });
}

#[test]
fn slow_from_the_start() {
    run(async {
        let sim = faulty("* accept:delay=250");
        takes(Duration::from_millis(250), banner(&mut open(&sim).await)).await;

        let sim = faulty("* accept:drip");
        let mut host = open(&sim).await;
        takes(Duration::from_millis(400), async {
            for expected in b"SSH-2" {
                assert_eq!(host.read_u8().await.unwrap(), *expected);
            }
        })
        .await;
    });
}

#[test]
fn after_the_banner() {
    run(async {
        let sim = faulty("* banner:silence");
        let mut host = open(&sim).await;
        banner(&mut host).await;
        host.write_all(CLIENT_ID).await.unwrap();
        silent(host.read_u8()).await;

        for (action, expected) in [("fin", TcpEnd::Fin), ("rst", TcpEnd::Rst)] {
            let sim = faulty(&format!("* banner:{action}"));
            // A reset may arrive before connect(2) has returned, or overtake the banner.
            let (bytes, end) = match TcpStream::connect((sim.host(0), sim.port())).await {
                Ok(mut host) => read_all(&mut host).await,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    (Vec::new(), TcpEnd::Rst)
                }
                Err(error) => panic!("{error}"),
            };
            assert_eq!(end, expected);
            assert!(bytes.is_empty() && action == "rst" || bytes.ends_with(b"\r\n"), "{bytes:?}");
        }

        let sim = faulty("* banner:raw=ffffffff");
        let mut host = open(&sim).await;
        banner(&mut host).await;
        assert_eq!(host.read_u32().await.unwrap(), u32::MAX);
        silent(host.read_u8()).await;

        let sim = faulty("* banner:delay=250");
        let mut host = open(&sim).await;
        banner(&mut host).await;
        host.write_all(CLIENT_ID).await.unwrap();
        let kexinit = takes(Duration::from_millis(200), packet(&mut host)).await;
        assert_eq!(kexinit[0], 20);
    });
}

#[test]
fn during_key_exchange() {
    run(async {
        for action in ["silence", "fin", "rst", "disconnect=not today"] {
            let sim = faulty(&format!("* kex:{action}"));
            let mut host = open(&sim).await;
            banner(&mut host).await;
            host.write_all(CLIENT_ID).await.unwrap();
            match action {
                "silence" => {
                    assert_eq!(packet(&mut host).await[0], 20);
                    silent(host.read_u8()).await;
                }
                "fin" => {
                    assert_eq!(packet(&mut host).await[0], 20);
                    assert_eq!(read_all(&mut host).await, (Vec::new(), TcpEnd::Fin));
                }
                "rst" => assert_eq!(read_all(&mut host).await.1, TcpEnd::Rst),
                _ => {
                    assert_eq!(packet(&mut host).await[0], 20);
                    let disconnect = packet(&mut host).await;
                    assert_eq!(disconnect[..5], [1, 0, 0, 0, 11]);
                    assert_eq!(&disconnect[9..18], b"not today");
                    assert_eq!(read_all(&mut host).await, (Vec::new(), TcpEnd::Fin));
                }
            }
            // A complete client gets no further either.
            if action != "silence" {
                let (session, _) = connect_with(&sim, sim.host(1), russh::client::Config::default()).await;
                assert!(session.is_err());
            }
            assert_eq!(sim.stats().unwrap().handshakes, 0);
        }
    });
}

#[test]
fn a_stalled_host_reads_nothing_and_notices_that_its_client_left() {
    run(async {
        let sim = faulty("* banner:stall");
        let mut host = open(&sim).await;
        banner(&mut host).await;
        let mut sent = 0_usize;
        let block = vec![0; 1 << 20];
        let stalled = async {
            loop {
                sent += host.write(&block).await.unwrap();
            }
        };
        // Socket buffers hold some megabytes; then nothing is transferred any more.
        let _: Result<(), _> = tokio::time::timeout(Duration::from_secs(1), stalled).await;
        assert!(sent < 64 << 20, "{sent} bytes were taken");
        silent(host.write(&block)).await;

        let sim = faulty("* banner:stall");
        drop(open(&sim).await);
        settled(&sim, |stats| stats.connections == 1 && stats.connections_now == 0).await;
    });
}

#[test]
fn a_silent_host_takes_everything_and_notices_that_its_client_left() {
    run(async {
        let sim = faulty("* accept:silence");
        let mut host = open(&sim).await;
        for _ in 0..32 {
            host.write_all(&vec![0; 1 << 20]).await.unwrap();
        }
        settled(&sim, |stats| stats.connections_now == 1).await;
        drop(host);
        settled(&sim, |stats| stats.connections_now == 0).await;
    });
}

#[test]
fn only_the_hosts_of_a_rule_are_faulty() {
    let sim = spawn(Sim::builder().rule("i%3==1 accept:fin").rule("127.1.0.3 accept:http"));
    run(async {
        for index in 0..6 {
            let mut host = tcp(&sim, sim.host(index)).await;
            match index {
                1 | 4 => assert_eq!(read_all(&mut host).await, (Vec::new(), TcpEnd::Fin)),
                2 => assert!(read_all(&mut host).await.0.starts_with(b"HTTP")),
                _ => assert!(banner(&mut host).await.starts_with("SSH-2.0-")),
            }
        }
    });
}
