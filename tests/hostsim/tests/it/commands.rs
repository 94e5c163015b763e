//! The behaviour of healthy simulated hosts.

use std::sync::Arc;
use std::time::Duration;

use crate::support::*;

#[test]
fn commands_do_what_the_table_says() {
    let sim = healthy();
    run(async {
        let (session, _) = login(&sim, 0).await;
        for (command, stdout, stderr, status) in [
            ("echo hello  there", "hello  there\n", "", 0),
            ("stderr oops; exit 3", "", "oops\n", 3),
            ("both x", "x\n", "x\n", 0),
            ("hostname", "127.1.0.1\n", "", 0),
            ("lines 3; exit 255", "line 0\nline 1\nline 2\n", "", 255),
            ("exit 4294967295", "", "", u32::MAX),
            ("sudo -S $SHELL -c 'echo wrapped'", "wrapped\n", "", 0),
            ("no-such", "", "hostsim: no-such: command not found\n", 127),
            ("sleep 0.01; echo slow; stderr way; exit 9", "slow\n", "way\n", 9),
        ] {
            let expected = Outcome::good(stdout.as_bytes(), stderr.as_bytes(), status);
            assert_eq!(exec(&session, command).await, expected, "{command}");
        }
        let outcome = exec(&session, "echo last; signal TERM").await;
        assert_eq!(
            (outcome.text(), outcome.signal.as_deref(), outcome.status),
            ("last\n", Some("TERM"), None)
        );
        for command in ["echo last; noexit", "sleep 0.01; echo last; noexit"] {
            let outcome = exec(&session, command).await;
            assert_eq!(
                (outcome.text(), outcome.status, outcome.eof, outcome.close),
                ("last\n", None, true, true)
            );
        }
    });
    let stats = left_alone(&sim);
    assert_eq!((stats.channels, stats.channels_now, stats.execs), (12, 0, 12));
    assert_eq!(sim.stats_of(sim.host(0)).unwrap(), stats);
    assert_eq!(sim.stats_of(sim.host(1)).unwrap(), hostsim::Stats::default());
}

#[test]
fn long_output_is_exact_and_in_order() {
    let sim = healthy();
    run(async {
        let (session, _) = login(&sim, 0).await;
        assert!(exec(&session, "bytes 10000000").await == Outcome::good(&pattern(10_000_000), b"", 0));
        let lines: String = (0..300_000).map(|n| format!("line {n}\n")).collect();
        assert!(exec(&session, "lines 300000").await == Outcome::good(lines.as_bytes(), b"", 0));
    });
}

#[test]
fn output_is_exact_across_key_exchanges() {
    let sim = spawn(hostsim::Sim::builder().set("rekey-bytes", "65536"));
    run(async {
        let (session, log) = login(&sim, 0).await;
        assert!(exec(&session, "bytes 3000000").await == Outcome::good(&pattern(3_000_000), b"", 0));
        // A host key signature and two KEXINITs each: visible in comparison with the same output
        // without re-exchange.
        assert!(log.received() > 3_030_000, "{}", log.received());
    });
}

#[test]
fn input_reaches_cat_and_count() {
    let sim = healthy();
    let input = pattern(3_000_000);
    run(async {
        let (session, _) = login(&sim, 0).await;
        for (command, expected) in [("cat; exit 5", &input[..]), ("count; exit 5", b"3000000\n")] {
            let channel = start(&session, command).await;
            let (read, write) = channel.split();
            let sent = input.clone();
            let writer = tokio::spawn(async move {
                write.data(&sent[..]).await.unwrap();
                write.eof().await.unwrap();
            });
            let outcome = read_all(read).await;
            writer.await.unwrap();
            assert!(outcome == (expected.to_vec(), Some(5)), "{command}");
        }
    });
    let stats = left_alone(&sim);
    assert_eq!((stats.stdin_bytes, stats.eofs), (6_000_000, 2));
}

async fn read_all(mut read: russh::ChannelReadHalf) -> (Vec<u8>, Option<u32>) {
    let (mut bytes, mut status) = (Vec::new(), None);
    while let Some(message) = read.wait().await {
        match message {
            russh::ChannelMsg::Data { data } => bytes.extend_from_slice(&data),
            russh::ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => (),
        }
    }
    (bytes, status)
}

#[test]
fn time_passes_in_sleep_and_drip() {
    let sim = healthy();
    run(async {
        let (session, _) = login(&sim, 0).await;
        takes(Duration::from_millis(250), exec(&session, "sleep 0.25")).await;
        let outcome = takes(Duration::from_millis(300), exec(&session, "drip abcd")).await;
        assert_eq!(outcome, Outcome::good(b"abcd", b"", 0));
    });
}

#[test]
fn hang_accepts_and_says_no_more_until_the_channel_closes() {
    let sim = healthy();
    run(async {
        let (session, _) = login(&sim, 0).await;
        let mut channel = start(&session, "echo before; hang").await;
        let outcome = until_quiet(&mut channel).await;
        assert_eq!(
            outcome,
            Outcome { accepted: Some(true), stdout: b"before\n".to_vec(), ..Outcome::default() }
        );
        settled(&sim, |stats| stats.channels_now == 1).await;
        channel.close().await.unwrap();
        settled(&sim, |stats| stats.channels_now == 0).await;
        assert_eq!(exec(&session, "echo other").await.text(), "other\n");
    });
}

#[test]
fn endless_output_waits_for_its_reader_and_ends_with_its_channel() {
    let sim = healthy();
    run(async {
        let (session, _) = login(&sim, 0).await;
        let mut channel = start(&session, "yes").await;
        let mut outcome = Outcome::default();
        while outcome.stdout.len() < 5_000_000 {
            assert!(note(&mut channel, &mut outcome).await);
        }
        assert!(outcome.stdout.chunks(2).all(|line| line == b"y\n"));
        // Nobody reads: window, sockets and queues fill up, then nothing is transferred any more.
        let mut sent = 0;
        while sent != sim.stats().unwrap().wire_out {
            sent = sim.stats().unwrap().wire_out;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(sent < 5_000_000 + (32 << 20), "{sent} bytes sent");
        drop(channel);
        drop(session);
        settled(&sim, |stats| stats.channels_now == 0 && stats.connections_now == 0).await;
    });
}

#[test]
fn a_thousand_hosts_answer_from_one_process() {
    const HOSTS: usize = 1000;
    let sim = Arc::new(healthy());
    run_within(Duration::from_secs(300), async {
        let mut visits = Vec::new();
        // A few at a time, so that client and fleet both have work: unoptimised handshakes take
        // milliseconds.
        for first in (0..HOSTS).step_by(20) {
            let tasks: Vec<_> =
                (first..first + 20).map(|index| tokio::spawn(visit(sim.clone(), index))).collect();
            for task in tasks {
                visits.push(task.await.unwrap());
            }
        }
        let stats = sim.stats().unwrap();
        assert_eq!((stats.connections, stats.connections_now, stats.execs), (1000, 1000, 1000));
        assert_eq!((stats.handshakes, stats.auth_successes), (1000, 1000));
    });
    left_alone(&sim);
    assert_eq!(sim.stats_of(sim.host(999)).unwrap().execs, 1);
}

async fn visit(sim: Arc<hostsim::Sim>, index: usize) -> Session {
    let (session, _) = login(&sim, index).await;
    assert_eq!(exec(&session, "hostname").await.text(), format!("{}\n", sim.host(index)));
    session
}
