//! One lookup and its servers: unreachable servers, servers that do not understand the query, and
//! truncated responses.

use std::time::Duration;

use super::rig::{MS, NO_DATA, Rig, addresses, found, refused};
use crate::dns::LookupError;
use crate::dns::conf::Transport::{Tcp, Udp};
use crate::dns::lookup::LossReason;
use crate::dns::wire::{Extension, Kind, Response};

const V4: &str = "192.0.2.1";

fn only_v4(servers: usize, options: &str) -> Rig {
    Rig::with("web1.", servers, options, &[Kind::A])
}

#[test]
fn an_unreachable_server_is_skipped_at_once() {
    let mut rig = only_v4(3, "");
    rig.io.unreachable = vec![0, 1];
    let mut rig = rig.start();
    assert_eq!(rig.schedule(Kind::A), [(2, 0)]);
    rig.answer(Kind::A, 2, addresses(&[V4]));
    rig.assert_end(&found(&[V4]));
}

#[test]
fn the_lookup_ends_at_once_if_no_server_is_reachable() {
    let mut rig = only_v4(2, "");
    rig.io.unreachable = vec![0, 1];
    let rig = rig.start();
    rig.assert_end(&Err(refused()));
    // Trying other names does not help either.
    let mut rig = Rig::new("web1", 1, "");
    rig.io.unreachable = vec![0];
    rig.start().assert_end(&Err(refused()));
    let rig = only_v4(0, "").start();
    assert!(matches!(rig.end, Some(Err(LookupError::Unreachable(_)))), "{:?}", rig.end);
}

#[test]
fn a_late_refusal_counts_too() {
    let mut rig = only_v4(2, "").start();
    rig.pass(MS);
    rig.lose(Kind::A, 0, Udp, LossReason::Unreachable(refused()));
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (1, 1)]);
    rig.lose(Kind::A, 1, Udp, LossReason::Unreachable(refused()));
    rig.assert_end(&Err(refused()));
}

#[test]
fn a_failed_server_is_not_queried_again() {
    for code in [2, 4, 5] {
        let mut rig = only_v4(2, "").start();
        rig.answer(Kind::A, 0, Response::Failure(code));
        assert_eq!(rig.schedule(Kind::A), [(0, 0), (1, 0)]);
        rig.pass(Duration::from_secs(3));
        assert_eq!(rig.schedule(Kind::A), [(0, 0), (1, 0), (1, 400), (1, 1200), (1, 2800)]);
        rig.answer(Kind::A, 1, Response::Failure(code));
        rig.assert_end(&Err(LookupError::Rcode(code)));
    }
}

#[test]
fn the_failure_of_an_earlier_server_changes_nothing_else() {
    let mut rig = only_v4(3, "").start();
    rig.pass(400 * MS);
    rig.answer(Kind::A, 0, Response::Failure(2));
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (1, 400)]);
    rig.pass(400 * MS);
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (1, 400), (2, 800)]);
    rig.pass(1000 * MS);
    assert!(rig.schedule(Kind::A)[3..].iter().all(|&(server, _)| server != 0), "{:?}", rig.schedule(Kind::A));
}

#[test]
fn a_server_without_edns_is_queried_without_it() {
    let mut rig = only_v4(2, "").start();
    rig.answer(Kind::A, 0, Response::FormatError);
    assert_eq!(rig.io.without_edns, [0]);
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (0, 0)]);
    rig.answer_over(Kind::A, 0, Udp, Extension::None, Response::FormatError);
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (0, 0), (1, 0)]);
    rig.answer(Kind::A, 1, addresses(&[V4]));
    rig.assert_end(&found(&[V4]));
}

#[test]
fn a_truncated_response_is_repeated_over_tcp() {
    let mut rig = only_v4(2, "").start();
    rig.answer(Kind::A, 0, Response::Truncated);
    assert_eq!(rig.out().last().unwrap().3, Tcp);
    rig.answer_over(Kind::A, 0, Tcp, Extension::Edns, addresses(&[V4]));
    rig.assert_end(&found(&[V4]));
}

#[test]
fn tcp_waits_the_whole_pause_before_the_next_server() {
    let mut rig = only_v4(2, "timeout:2").start();
    rig.answer(Kind::A, 0, Response::Truncated);
    rig.pass(1999 * MS);
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (0, 0)]);
    rig.pass(MS);
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (0, 0), (1, 2000)]);
}

#[test]
fn a_broken_connection_skips_its_server_unless_it_had_answered() {
    let mut rig = only_v4(2, "").start();
    rig.answer(Kind::A, 0, Response::Truncated);
    rig.lose(Kind::A, 0, Tcp, LossReason::Interrupted);
    rig.lose(Kind::A, 0, Tcp, LossReason::Unreachable(refused()));
    let out = rig.out();
    let asked: Vec<_> = out.iter().map(|(_, _, server, transport)| (*server, *transport)).collect();
    assert_eq!(asked, [(0, Udp), (0, Tcp), (0, Tcp), (1, Udp)]);
}

#[test]
fn a_response_truncated_over_tcp_is_invalid() {
    let mut rig = only_v4(1, "").start();
    rig.answer(Kind::A, 0, Response::Truncated);
    rig.answer_over(Kind::A, 0, Tcp, Extension::Edns, Response::Truncated);
    rig.assert_end(&Err(LookupError::BadAnswer));
}

#[test]
fn tcp_can_be_used_first() {
    let mut rig = Rig::new("web1.", 1, "use-vc").start();
    assert!(rig.out().iter().all(|(_, _, _, transport)| *transport == Tcp));
    rig.answer_over(Kind::A, 0, Tcp, Extension::Edns, addresses(&[V4]));
    rig.answer_over(Kind::Aaaa, 0, Tcp, Extension::Edns, NO_DATA);
    rig.assert_end(&found(&[V4]));
}
