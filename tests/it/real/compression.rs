//! Compression with a real server: used if both sides want it, and bounded.

use std::fs;
use std::io::Write as _;

use sshoal::{HostConfig, JoinOptions, ParallelClient};

use super::{build, client_at, guard, join, rest, run_one};
use crate::support::proxy::{Counts, Proxy};
use crate::support::sshd::Sshd;

/// Ten megabytes of repetitive text.
const PRINT: &str = "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 10000000";
const PRINTED: u64 = 10_000_000;

fn server(compression: &str) -> Sshd {
    Sshd::builder().option(&format!("Compression {compression}")).start()
}

/// A client that reaches the server through a counting relay.
fn counted(sshd: &Sshd, compress: bool) -> (Proxy, ParallelClient) {
    let proxy = Proxy::builder(sshd.address()).start();
    let client = build(client_at(sshd, [proxy.address()]).compress(compress));
    (proxy, client)
}

/// The bytes on the wire of a command that prints [`PRINTED`] bytes and of one that reads as many.
fn wire(sshd: &Sshd, compress: bool) -> Counts {
    let (proxy, mut client) = counted(sshd, compress);
    let outputs = client.run_command(PRINT).expect("starts");
    join(&client, &outputs);
    let (printed, _) = rest(&outputs[0]);
    let line = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let (last, whole) = printed.split_last().expect("lines");
    assert!(whole.iter().all(|printed| printed == line) && line.starts_with(last));
    assert_eq!(whole.len() * (line.len() + 1) + last.len(), PRINTED as usize);
    let outputs = client.run_command("wc -c").expect("starts");
    let chunk = line.repeat(1_000);
    for _ in 0..PRINTED as usize / chunk.len() {
        outputs[0].stdin().write_all(&chunk).expect("taken");
    }
    join(&client, &outputs);
    let (counted, _) = rest(&outputs[0]);
    let read = PRINTED as usize / chunk.len() * chunk.len();
    assert_eq!(counted, [read.to_string().into_bytes()]);
    proxy.counts()
}

/// parallel-ssh: `compress`.
#[test]
fn both_directions_are_compressed_if_both_sides_want_it() {
    let _dog = guard("compression");
    let willing = server("yes");
    let counts = wire(&willing, true);
    assert!(counts.from_server < PRINTED / 20, "{counts:?}");
    assert!(counts.from_client < PRINTED / 20, "{counts:?}");
    let counts = wire(&willing, false);
    assert!(counts.from_server > PRINTED && counts.from_client > PRINTED * 9 / 10, "{counts:?}");
    let counts = wire(&server("no"), true);
    assert!(counts.from_server > PRINTED && counts.from_client > PRINTED * 9 / 10, "{counts:?}");
}

#[test]
fn each_host_has_its_own_compression() {
    let _dog = guard("host_compression");
    let sshd = server("delayed");
    let proxies = [Proxy::builder(sshd.address()).start(), Proxy::builder(sshd.address()).start()];
    let configs = [HostConfig::default(), HostConfig::default().compress(false)];
    let addresses = proxies.each_ref().map(Proxy::address);
    let mut client = build(client_at(&sshd, addresses).compress(true).host_config(configs));
    let outputs = client.run_command(PRINT).expect("starts");
    join(&client, &outputs);
    let [compressed, plain] = proxies.each_ref().map(|proxy| proxy.counts().from_server);
    assert!(compressed < PRINTED / 20 && plain > PRINTED, "{compressed} {plain}");
}

/// New keys start a new stream of compressed data.
#[test]
fn compression_goes_on_after_new_keys() {
    let _dog = guard("compression_rekey");
    let sshd = Sshd::builder().option("Compression yes").option("RekeyLimit 64K").log_level("DEBUG1").start();
    let (proxy, mut client) = counted(&sshd, true);
    // Random digits compress to half their size, so that the wire has enough data for new keys.
    let lines =
        run_one(&mut client, "head -c 1000000 /dev/urandom | od -An -v -tx1 | tee /dev/stderr | cksum");
    assert_eq!(lines.len(), 1);
    assert!(sshd.count("set_newkeys: rekeying") > 4, "{}", sshd.log());
    assert!(proxy.counts().from_server < 2_500_000, "{:?}", proxy.counts());
    assert_eq!(run_one(&mut client, "echo in"), ["in"]);
}

fn peak_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A hundred megabytes that arrive as a hundred kilobytes.
#[test]
fn what_inflates_a_thousandfold_arrives_whole_in_little_memory() {
    const BYTES: usize = 100_000_000;
    let _dog = guard("compression_bomb");
    let sshd = server("yes");
    let (proxy, mut client) = counted(&sshd, true);
    run_one(&mut client, "true");
    fs::write("/proc/self/clear_refs", "5").expect("the peak is forgotten");
    let before = peak_kib();
    let outputs = client.run_command(format!("head -c {BYTES} /dev/zero")).expect("starts");
    let (mut total, mut buffer) = (0, vec![0; 64 * 1024]);
    let mut reader = outputs[0].stdout_reader();
    while let Ok(count @ 1..) = std::io::Read::read(&mut reader, &mut buffer) {
        assert!(buffer[..count].iter().all(|byte| *byte == 0));
        total += count;
    }
    client.join(&outputs, JoinOptions::default()).expect("it ends");
    assert_eq!((total, outputs[0].exit_code()), (BYTES, Some(0)));
    assert!(proxy.counts().from_server < BYTES as u64 / 100, "{:?}", proxy.counts());
    let grown = peak_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB");
}
