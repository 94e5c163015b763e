//! Faults of authentication, channels and commands, seen by a whole SSH client.

use std::time::Duration;

use hostsim::Sim;
use russh::ChannelOpenFailure;

use crate::support::*;

#[test]
fn authentication_refused_silent_closed_reset_or_disconnected() {
    run(async {
        let sim = faulty("* auth:refuse");
        let (mut session, _) = connect(&sim, 0).await;
        for _ in 0..3 {
            assert!(!session.authenticate_publickey("user", key(&sim)).await.unwrap().success());
            assert!(!session.authenticate_password("user", sim.password()).await.unwrap().success());
        }

        let sim = faulty("* auth:silence");
        let (mut session, log) = connect(&sim, 0).await;
        silent(session.authenticate_password("user", sim.password())).await;
        assert_eq!(log.tcp(), TcpEnd::Open);

        for (action, expected) in [("fin", TcpEnd::Fin), ("rst", TcpEnd::Rst)] {
            let sim = faulty(&format!("* auth:{action}"));
            let (mut session, log) = connect(&sim, 0).await;
            let result = session.authenticate_password("user", sim.password()).await;
            assert!(!result.is_ok_and(|result| result.success()));
            assert_eq!(log.ended().await, expected);
            assert_eq!(sim.stats().unwrap().auth_password, 1);
        }

        let sim = faulty("* auth:disconnect=we are closed");
        let (mut session, log) = connect(&sim, 0).await;
        let result = session.authenticate_password("user", sim.password()).await;
        assert!(!result.is_ok_and(|result| result.success()));
        assert_eq!(log.disconnect().await, "we are closed");

        let sim = faulty("* auth:delay=250");
        let (mut session, _) = connect(&sim, 0).await;
        let answer = takes(Duration::from_millis(250), session.authenticate_password("user", sim.password()));
        assert!(answer.await.unwrap().success());
    });
}

#[test]
fn channels_refused_silent_or_reset() {
    run(async {
        let sim = faulty("* open:refuse");
        let (session, _) = login(&sim, 0).await;
        let refused = session.channel_open_session().await;
        let Err(russh::Error::ChannelOpenFailure(reason)) = refused else { panic!("opened") };
        assert_eq!(reason, ChannelOpenFailure::ResourceShortage);
        assert_eq!(sim.stats().unwrap().channels, 0);

        let sim = faulty("* open:silence");
        let (session, log) = login(&sim, 0).await;
        let opened = tokio::time::timeout(Duration::from_millis(300), session.channel_open_session()).await;
        assert!(opened.is_err());
        assert_eq!(log.tcp(), TcpEnd::Open);

        let sim = faulty("* open:rst");
        let (session, log) = login(&sim, 0).await;
        assert!(session.channel_open_session().await.is_err());
        assert_eq!(log.ended().await, TcpEnd::Rst);

        let sim = faulty("* open:disconnect=full");
        let (session, log) = login(&sim, 0).await;
        assert!(session.channel_open_session().await.is_err());
        assert_eq!(log.disconnect().await, "full");
    });
}

#[test]
fn exec_refused_silent_delayed_or_closed() {
    run(async {
        let sim = faulty("* exec:refuse");
        let (session, _) = login(&sim, 0).await;
        let mut channel = start(&session, "echo x").await;
        let outcome = until_quiet(&mut channel).await;
        assert_eq!(outcome, Outcome { accepted: Some(false), ..Outcome::default() });

        let sim = faulty("* exec:silence");
        let (session, log) = login(&sim, 0).await;
        let mut channel = start(&session, "echo x").await;
        assert_eq!(until_quiet(&mut channel).await, Outcome::default());
        assert_eq!(log.tcp(), TcpEnd::Open);

        let sim = faulty("* exec:delay=250");
        let (session, _) = login(&sim, 0).await;
        let outcome = takes(Duration::from_millis(250), exec(&session, "echo x")).await;
        assert_eq!(outcome, Outcome::good(b"x\n", b"", 0));

        let sim = faulty("* exec:fin");
        let (session, log) = login(&sim, 0).await;
        assert_eq!(exec(&session, "echo x").await, Outcome::default());
        assert_eq!(log.ended().await, TcpEnd::Fin);
    });
}

#[test]
fn output_is_cut_at_the_exact_byte() {
    run(async {
        for after in [0, 1, 7, 40_000, 1_000_000] {
            for (action, expected) in [("fin", TcpEnd::Fin), ("rst", TcpEnd::Rst), ("silence", TcpEnd::Open)]
            {
                let sim = faulty(&format!("* stream@{after}:{action}"));
                let (session, log) = login(&sim, 0).await;
                let mut channel = start(&session, "bytes 2000000").await;
                let outcome = until_quiet(&mut channel).await;
                assert_eq!(
                    (outcome.status, outcome.eof, outcome.close),
                    (None, false, false),
                    "{after} {action}"
                );
                assert_eq!(log.tcp(), expected, "{after} {action}");
                // A reset may discard output that the client has not read yet.
                let length = if action == "rst" { outcome.stdout.len().min(after) } else { after };
                assert!(outcome.stdout == pattern(length), "{after} {action}: {}", outcome.stdout.len());
            }
        }
    });
}

#[test]
fn a_cut_waits_for_output_that_the_socket_has_not_taken_yet() {
    run(async {
        // Dripping simulates a full socket: the host holds the output for seconds.
        let sim = spawn(Sim::builder().rule("* exec:drip").rule("* stream@5:fin"));
        let (session, log) = login(&sim, 0).await;
        let outcome = finish(start(&session, "echo hello").await).await;
        assert_eq!(log.tcp(), TcpEnd::Fin);
        assert_eq!((outcome.text(), outcome.status, outcome.eof), ("hello", None, false));
    });
}

#[test]
fn a_disconnect_in_mid_output_carries_its_text() {
    run(async {
        let sim = faulty("* stream@50000:disconnect=maintenance: now");
        let (session, log) = login(&sim, 0).await;
        let outcome = exec(&session, "bytes 100000").await;
        assert!(outcome.stdout == pattern(50_000));
        assert_eq!((outcome.status, outcome.eof), (None, false));
        assert_eq!(log.disconnect().await, "maintenance: now");
        // Shorter output is not affected.
        let (session, _) = login(&sim, 0).await;
        assert_eq!(exec(&session, "bytes 49999").await, Outcome::good(&pattern(49_999), b"", 0));
    });
}

#[test]
fn drip_and_delay_in_mid_output_lose_nothing() {
    run(async {
        let sim = faulty("* stream@3:delay=250");
        let (session, _) = login(&sim, 0).await;
        let command = "echo hello; echo again";
        let outcome = takes(Duration::from_millis(250), exec(&session, command)).await;
        assert_eq!(outcome, Outcome::good(b"hello\nagain\n", b"", 0));

        let sim = faulty("* stream:drip");
        let (session, log) = login(&sim, 0).await;
        let mut channel = start(&session, "echo hello").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let before = log.received();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let dripped = log.received() - before;
        assert!((1..=11).contains(&dripped), "{dripped} bytes in a second");
        let mut outcome = Outcome::default();
        while !outcome.stdout.ends_with(b"\n") {
            assert!(note(&mut channel, &mut outcome).await);
        }
        assert_eq!(outcome.text(), "hello\n");
    });
}

#[test]
fn a_flood_does_not_end() {
    run(async {
        let sim = faulty("* stream:flood");
        let (session, _) = login(&sim, 0).await;
        let mut channel = start(&session, "echo x").await;
        let mut outcome = Outcome::default();
        while outcome.stdout.len() < 5_000_000 {
            assert!(note(&mut channel, &mut outcome).await);
        }
        assert!(outcome.stdout == pattern(outcome.stdout.len()));
    });
}

#[test]
fn endings_that_are_incomplete() {
    run(async {
        // rule, status, eof, close, TCP
        for (rule, status, eof, tcp) in [
            ("* end:fin", None, false, TcpEnd::Fin),
            ("* end:rst", None, false, TcpEnd::Rst),
            ("* end:silence", None, false, TcpEnd::Open),
            ("* end:no-status", None, true, TcpEnd::Open),
            ("* close:fin", Some(3), false, TcpEnd::Fin),
            ("* close:silence", Some(3), false, TcpEnd::Open),
            ("* close:no-close", Some(3), false, TcpEnd::Open),
        ] {
            let sim = faulty(rule);
            let (session, log) = login(&sim, 0).await;
            let mut channel = start(&session, "echo out; exit 3").await;
            let outcome = until_quiet(&mut channel).await;
            if tcp != TcpEnd::Rst {
                assert_eq!(outcome.text(), "out\n", "{rule}");
                assert_eq!((outcome.status, outcome.eof, outcome.close), (status, eof, false), "{rule}");
            }
            assert_eq!(log.tcp(), tcp, "{rule}");
            if rule.contains("no-") {
                // The connection stays open.
                assert_eq!(until_quiet(&mut start(&session, "echo more").await).await.text(), "more\n");
            }
        }
        let sim = faulty("* close:delay=250");
        let (session, _) = login(&sim, 0).await;
        let outcome = takes(Duration::from_millis(250), exec(&session, "echo out; exit 3")).await;
        assert_eq!(outcome, Outcome::good(b"out\n", b"", 3));
    });
}

#[test]
fn a_host_that_stops_reading_stalls_its_client() {
    run(async {
        let sim = faulty("* stream:stall");
        let (session, _) = login(&sim, 0).await;
        let channel = start(&session, "count").await;
        let (_read, write) = channel.split();
        let input = vec![0; 64 << 10];
        let sent = async {
            for _ in 0..1000 {
                write.data(&input[..]).await.unwrap();
            }
        };
        silent(sent).await;
        let stats = sim.stats().unwrap();
        assert!(stats.retired == 1 && stats.stdin_bytes < 4 << 20, "{stats:?}");
    });
}

#[test]
fn a_packet_size_of_zero_is_announced() {
    run(async {
        let sim = spawn(Sim::builder().rule("127.1.0.2 set:packet=0"));
        let (session, _) = login(&sim, 0).await;
        assert_eq!(session.channel_open_session().await.unwrap().writable_packet_size().await, 32_768);
        // russh's client does not send data in packets of zero bytes.
        let (session, _) = login(&sim, 1).await;
        assert!(session.channel_open_session().await.is_err());
        assert_eq!(sim.stats_of(sim.host(1)).unwrap().channels, 1);
    });
}

#[test]
fn channels_that_the_server_opens_are_counted() {
    run(async {
        let sim = faulty("* exec:opens");
        let (session, _) = login(&sim, 0).await;
        assert_eq!(exec(&session, "sleep 0.1; echo x").await, Outcome::good(b"x\n", b"", 0));
        let stats = settled(&sim, |stats| stats.server_opens == 4).await;
        // russh's client accepts these channels; OpenSSH's is tested elsewhere.
        assert_eq!(stats.server_opens_refused, 0);
    });
}
