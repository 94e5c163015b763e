//! One lookup and its servers: those that cannot be reached, do not understand, or have too much to say.

use std::time::Duration;

use super::rig::{MS, NO_DATA, Rig, addresses, found, refused};
use crate::dns::Failure;
use crate::dns::conf::Transport::{Tcp, Udp};
use crate::dns::lookup::Cause;
use crate::dns::wire::{Answer, Extension, Kind};

const V4: &str = "192.0.2.1";

fn only_v4(servers: usize, options: &str) -> Rig {
    Rig::with("web1.", servers, options, &[Kind::A])
}

#[test]
fn a_server_that_cannot_be_reached_gives_way_at_once() {
    let mut rig = only_v4(3, "");
    rig.world.unreachable = vec![0, 1];
    let mut rig = rig.begin();
    assert_eq!(rig.schedule(Kind::A), [(2, 0)]);
    rig.answer(Kind::A, 2, addresses(&[V4]));
    rig.assert_end(&found(&[V4]));
}

#[test]
fn with_no_server_in_reach_it_ends_at_once() {
    let mut rig = only_v4(2, "");
    rig.world.unreachable = vec![0, 1];
    let rig = rig.begin();
    rig.assert_end(&Err(refused()));
    // Nor is there a point in other names.
    let mut rig = Rig::new("web1", 1, "");
    rig.world.unreachable = vec![0];
    rig.begin().assert_end(&Err(refused()));
    let rig = only_v4(0, "").begin();
    assert!(matches!(rig.end, Some(Err(Failure::Unreachable(_)))), "{:?}", rig.end);
}

#[test]
fn a_refusal_that_comes_later_counts_as_well() {
    let mut rig = only_v4(2, "").begin();
    rig.pass(MS);
    rig.lose(Kind::A, 0, Udp, Cause::Unreachable(refused()));
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (1, 1)]);
    rig.lose(Kind::A, 1, Udp, Cause::Unreachable(refused()));
    rig.assert_end(&Err(refused()));
}

#[test]
fn a_server_that_fails_is_not_asked_again() {
    for code in [2, 4, 5] {
        let mut rig = only_v4(2, "").begin();
        rig.answer(Kind::A, 0, Answer::Failure(code));
        assert_eq!(rig.schedule(Kind::A), [(0, 0), (1, 0)]);
        rig.pass(Duration::from_secs(3));
        assert_eq!(rig.schedule(Kind::A), [(0, 0), (1, 0), (1, 400), (1, 1200), (1, 2800)]);
        rig.answer(Kind::A, 1, Answer::Failure(code));
        rig.assert_end(&Err(Failure::Rcode(code)));
    }
}

#[test]
fn the_failure_of_a_server_that_is_not_waited_for_changes_nothing_else() {
    let mut rig = only_v4(3, "").begin();
    rig.pass(400 * MS);
    rig.answer(Kind::A, 0, Answer::Failure(2));
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (1, 400)]);
    rig.pass(400 * MS);
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (1, 400), (2, 800)]);
    rig.pass(1000 * MS);
    assert!(rig.schedule(Kind::A)[3..].iter().all(|&(server, _)| server != 0), "{:?}", rig.schedule(Kind::A));
}

#[test]
fn a_server_that_does_not_understand_edns_is_asked_without() {
    let mut rig = only_v4(2, "").begin();
    rig.answer(Kind::A, 0, Answer::FormatError);
    assert_eq!(rig.world.without_edns, [0]);
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (0, 0)]);
    rig.answer_over(Kind::A, 0, Udp, Extension::None, Answer::FormatError);
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (0, 0), (1, 0)]);
    rig.answer(Kind::A, 1, addresses(&[V4]));
    rig.assert_end(&found(&[V4]));
}

#[test]
fn what_does_not_fit_in_a_datagram_is_asked_for_over_tcp() {
    let mut rig = only_v4(2, "").begin();
    rig.answer(Kind::A, 0, Answer::Truncated);
    assert_eq!(rig.out().last().unwrap().3, Tcp);
    rig.answer_over(Kind::A, 0, Tcp, Extension::Edns, addresses(&[V4]));
    rig.assert_end(&found(&[V4]));
}

#[test]
fn tcp_has_the_whole_pause_before_the_next_server_is_asked() {
    let mut rig = only_v4(2, "timeout:2").begin();
    rig.answer(Kind::A, 0, Answer::Truncated);
    rig.pass(1999 * MS);
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (0, 0)]);
    rig.pass(MS);
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (0, 0), (1, 2000)]);
}

#[test]
fn a_broken_connection_gives_way_to_the_next_server_unless_it_had_served() {
    let mut rig = only_v4(2, "").begin();
    rig.answer(Kind::A, 0, Answer::Truncated);
    rig.lose(Kind::A, 0, Tcp, Cause::Interrupted);
    rig.lose(Kind::A, 0, Tcp, Cause::Unreachable(refused()));
    let out = rig.out();
    let asked: Vec<_> = out.iter().map(|(_, _, server, transport)| (*server, *transport)).collect();
    assert_eq!(asked, [(0, Udp), (0, Tcp), (0, Tcp), (1, Udp)]);
}

#[test]
fn an_answer_that_does_not_even_fit_over_tcp_is_of_no_use() {
    let mut rig = only_v4(1, "").begin();
    rig.answer(Kind::A, 0, Answer::Truncated);
    rig.answer_over(Kind::A, 0, Tcp, Extension::Edns, Answer::Truncated);
    rig.assert_end(&Err(Failure::BadAnswer));
}

#[test]
fn tcp_can_be_what_is_used_first() {
    let mut rig = Rig::new("web1.", 1, "use-vc").begin();
    assert!(rig.out().iter().all(|(_, _, _, transport)| *transport == Tcp));
    rig.answer_over(Kind::A, 0, Tcp, Extension::Edns, addresses(&[V4]));
    rig.answer_over(Kind::Aaaa, 0, Tcp, Extension::Edns, NO_DATA);
    rig.assert_end(&found(&[V4]));
}
