//! Compressed messages that inflate a thousandfold, and servers that do not answer keepalives.

use std::fs;
use std::time::{Duration, Instant};

use sshoal::{HostErrorKind, Stage};

use super::{HEALTHY, Hostile, address, all, guard, join, run, stdout};
use crate::support::system::{is_rerun, rerun};

/// A message type that only keepalives use here (RFC 4254 section 4).
const GLOBAL_REQUEST: u8 = 80;

fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// In a separate process, because the peak is per process.
#[test]
fn what_inflates_without_end_ends_its_connection_and_costs_no_memory() {
    let _dog = guard("inflates");
    if !is_rerun() {
        let mut alone =
            rerun(module_path!(), "what_inflates_without_end_ends_its_connection_and_costs_no_memory");
        let output = alone.output().expect("run this test's program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let kinds = ["inflates", "inflates-often"];
    let server = Hostile::start(&kinds);
    let mut client = server.client([HEALTHY]).build().expect("a client");
    let outputs = client.run_command("greet").expect("starts");
    join(&client, &outputs);
    let before = peak();
    let mut client = server.client(all(&kinds)).compress(true).build().expect("a client");
    let outputs = run(&mut client, "greet");
    let error = outputs[0].error().expect("more than a packet may hold");
    assert!(matches!(error.kind(), HostErrorKind::Protocol(_)), "{error}");
    assert!(stdout(&outputs[0]).is_empty());
    // 150 MB in as many packets as are allowed.
    assert_eq!((stdout(&outputs[1]), outputs[1].exit_code()), (vec!["hello".to_owned()], Some(0)));
    assert!(client.metrics().visits > 600 / 64, "{:?}", client.metrics());
    let grown = peak() - before;
    assert!(grown < 16 << 20, "{grown} bytes more");
    // Compressed data is not inflated unless compression was requested.
    let mut client = server.client(all(&kinds)).build().expect("a client");
    let outputs = run(&mut client, "greet");
    assert!(outputs[0].error().is_some(), "100 MB are no packet");
    assert!(outputs[1].error().is_some(), "nor are 250 KB on the wire");
}

/// Both servers leave every keepalive unanswered; only one of them sends nothing at all.
#[test]
fn a_server_that_answers_no_keepalive_is_dead_unless_it_says_something_else() {
    let _dog = guard("noise_for_keepalives");
    let interval = Duration::from_millis(300);
    let server = Hostile::start(&["noise-for-keepalives"]);
    let hosts = [address(0), HEALTHY.to_owned()];
    let mut client =
        server.client(hosts).keepalive(interval).keepalive_max_missed(2).build().expect("a client");
    let begun = Instant::now();
    let outputs = client.run_command("silence").expect("starts");
    join(&client, &outputs);
    assert_eq!((stdout(&outputs[0]), outputs[0].exit_code()), (vec!["hello".to_owned()], Some(0)));
    let error = outputs[1].error().expect("silent");
    assert!(matches!(error.kind(), HostErrorKind::PeerDead { unanswered: 2, .. }), "{error}");
    assert_eq!(error.stage(), Stage::Running);
    assert!(begun.elapsed() >= 3 * interval, "{:?}", begun.elapsed());
    assert_eq!(server.count(HEALTHY, GLOBAL_REQUEST), 1, "libssh asks again only after an answer");
}
