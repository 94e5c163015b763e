//! One lookup: which server it queries when, and how it evaluates the responses.

use std::time::Duration;

use super::rig::{MS, NO_DATA, NO_SUCH_NAME, Rig, addresses, alias, found};
use crate::dns::LookupError;
use crate::dns::lookup::Io;
use crate::dns::wire::{Kind, Response, name};
use crate::limits;

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";

#[test]
fn both_kinds_are_queried_at_once_and_both_are_found() {
    let mut rig = Rig::new("web1.", 1, "").start();
    assert_eq!((rig.schedule(Kind::A), rig.schedule(Kind::Aaaa)), (vec![(0, 0)], vec![(0, 0)]));
    rig.answer(Kind::Aaaa, 0, addresses(&[V6]));
    assert_eq!(rig.end, None);
    rig.answer(Kind::A, 0, addresses(&[V4]));
    rig.assert_end(&found(&[V4, V6]));
}

#[test]
fn only_requested_kinds_are_queried() {
    for kinds in [&[Kind::A][..], &[Kind::Aaaa]] {
        let kinds: &'static [Kind] = if kinds[0] == Kind::A { &[Kind::A] } else { &[Kind::Aaaa] };
        let mut rig = Rig::with("web1.", 1, "", kinds).start();
        assert_eq!(rig.io.out.len(), 1);
        rig.answer(kinds[0], 0, addresses(&[V4]));
        rig.assert_end(&found(&[V4]));
    }
}

#[test]
fn one_server_is_queried_again_after_400_ms_doubling_each_time() {
    let mut rig = Rig::new("web1.", 1, "").start();
    assert_eq!(rig.run(), Duration::from_secs(10));
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (0, 400), (0, 1200), (0, 2800), (0, 6000)]);
    rig.assert_end(&Err(LookupError::Timeout(Duration::from_secs(10))));
}

#[test]
fn several_servers_alternate_and_each_round_doubles_the_pause() {
    let mut rig = Rig::new("web1.", 3, "timeout:2 attempts:3").start();
    assert_eq!(rig.run(), Duration::from_secs(6));
    let expected = [(0, 0), (1, 400), (2, 800), (0, 1200), (1, 2000), (2, 2800), (0, 3600), (1, 5200)];
    assert_eq!(rig.schedule(Kind::Aaaa), expected);
    // The last queries do not count as unanswered, because their pause of 1.6 s exceeds the time
    // that is left.
    assert_eq!(rig.io.unanswered.len(), 2 * (expected.len() - 1));
}

#[test]
fn no_pause_is_longer_than_the_timeout() {
    let mut rig = Rig::new("web1.", 1, "timeout:1 attempts:5").start();
    rig.run();
    assert_eq!(rig.schedule(Kind::A), [(0, 0), (0, 400), (0, 1200), (0, 2200), (0, 3200), (0, 4200)]);
}

#[test]
fn a_dead_first_server_costs_one_pause() {
    let mut rig = Rig::new("web1.", 2, "").start();
    rig.pass(400 * MS);
    assert_eq!(rig.io.unanswered, [0, 0]);
    rig.answer(Kind::A, 1, addresses(&[V4]));
    rig.answer(Kind::Aaaa, 1, NO_DATA);
    rig.assert_end(&found(&[V4]));
}

#[test]
fn a_late_response_from_an_earlier_server_counts() {
    let mut rig = Rig::new("web1.", 2, "").start();
    rig.pass(500 * MS);
    rig.answer(Kind::A, 0, addresses(&[V4]));
    rig.answer(Kind::Aaaa, 0, NO_DATA);
    rig.assert_end(&found(&[V4]));
}

#[test]
fn addresses_of_one_family_wait_50_ms_for_the_other() {
    for (first, address) in [(Kind::A, V4), (Kind::Aaaa, V6)] {
        let mut rig = Rig::new("web1.", 1, "").start();
        rig.pass(10 * MS);
        rig.answer(first, 0, addresses(&[address]));
        rig.pass(49 * MS);
        assert_eq!(rig.end, None);
        rig.pass(MS);
        rig.assert_end(&found(&[address]));
    }
}

#[test]
fn nodata_for_one_family_waits_for_the_other_without_limit() {
    let mut rig = Rig::new("web1.", 1, "").start();
    rig.answer(Kind::Aaaa, 0, NO_DATA);
    rig.pass(Duration::from_secs(9));
    assert_eq!(rig.end, None);
    rig.answer(Kind::A, 0, addresses(&[V4]));
    rig.assert_end(&found(&[V4]));
}

#[test]
fn a_name_that_does_not_exist_for_one_family_may_exist_for_the_other() {
    // Some servers answer like this (RFC 4074 section 4.2).
    let mut rig = Rig::new("web1.", 1, "").start();
    rig.answer(Kind::Aaaa, 0, NO_SUCH_NAME);
    rig.pass(20 * MS);
    rig.answer(Kind::A, 0, addresses(&[V4]));
    rig.assert_end(&found(&[V4]));
    // But the lookup waits for this server no longer than for any other.
    let mut rig = Rig::new("web1.", 1, "").start();
    rig.answer(Kind::Aaaa, 0, NO_SUCH_NAME);
    assert_eq!(rig.run(), limits::DNS_GRACE);
    rig.assert_end(&Err(LookupError::NoSuchName));
}

#[test]
fn the_search_list_is_followed_until_a_name_exists() {
    let mut rig = Rig::new("web1", 1, "").start();
    for answer in [NO_SUCH_NAME, NO_DATA] {
        rig.answer(Kind::A, 0, answer.clone());
        rig.answer(Kind::Aaaa, 0, answer);
    }
    assert_eq!(rig.names(), ["web1.a.example.", "web1.b.example.", "web1."]);
    rig.answer(Kind::Aaaa, 0, addresses(&[V6]));
    rig.answer(Kind::A, 0, NO_DATA);
    rig.assert_end(&found(&[V6]));
}

#[test]
fn a_server_failure_continues_the_search_and_a_timeout_ends_it() {
    let mut rig = Rig::new("web1", 1, "").start();
    rig.answer(Kind::A, 0, Response::Failure(2));
    rig.answer(Kind::Aaaa, 0, Response::Failure(2));
    assert_eq!(rig.names(), ["web1.a.example.", "web1.b.example."]);
    assert_eq!(rig.run(), Duration::from_secs(10));
    assert_eq!(rig.names(), ["web1.a.example.", "web1.b.example."]);
    rig.assert_end(&Err(LookupError::Timeout(Duration::from_secs(10))));
}

#[test]
fn an_uncertain_failure_is_reported_before_nxdomain() {
    let of_names = |answers: [Response; 3]| {
        let mut rig = Rig::new("web1", 1, "").start();
        for answer in answers {
            rig.answer(Kind::A, 0, answer.clone());
            rig.answer(Kind::Aaaa, 0, answer);
        }
        rig.end.unwrap().unwrap_err()
    };
    let failed = Response::Failure(5);
    for (answers, expected) in [
        ([NO_SUCH_NAME, NO_SUCH_NAME, NO_SUCH_NAME], LookupError::NoSuchName),
        ([NO_DATA, NO_SUCH_NAME, NO_SUCH_NAME], LookupError::NoAddress),
        ([NO_SUCH_NAME, NO_SUCH_NAME, NO_DATA], LookupError::NoAddress),
        ([failed.clone(), NO_DATA, NO_SUCH_NAME], LookupError::Rcode(5)),
        ([NO_SUCH_NAME, NO_DATA, failed], LookupError::Rcode(5)),
    ] {
        assert_eq!(of_names(answers.clone()), expected, "{answers:?}");
    }
}

/// Which failure of the two queries for one name is reported: NXDOMAIN, then a timeout, then a
/// server's error, then NODATA.
#[test]
fn failures_of_one_name_have_an_order_of_precedence() {
    let silence = LookupError::Timeout(Duration::from_secs(10));
    // `None` means no answer at all.
    let results = [
        (Some(NO_SUCH_NAME), LookupError::NoSuchName),
        (None, silence),
        (Some(Response::Failure(2)), LookupError::Rcode(2)),
        (Some(NO_DATA), LookupError::NoAddress),
    ];
    for (stronger, (first, expected)) in results.iter().enumerate() {
        for (second, _) in &results[stronger..] {
            for kinds in [[Kind::A, Kind::Aaaa], [Kind::Aaaa, Kind::A]] {
                let mut rig = Rig::new("web1.", 1, "").start();
                for (kind, answer) in kinds.into_iter().zip([first, second]) {
                    if let (Some(answer), None) = (answer, &rig.end) {
                        rig.answer(kind, 0, answer.clone());
                    }
                }
                rig.run();
                rig.assert_end(&Err(expected.clone()));
            }
        }
    }
}

#[test]
fn aliases_are_followed_hop_by_hop_and_no_further_than_eight() {
    for (hops, is_found) in [(1, true), (8, true), (9, false)] {
        let mut rig = Rig::with("web1.", 1, "", &[Kind::A]).start();
        for hop in 0..hops {
            if rig.end.is_none() {
                rig.answer(Kind::A, 0, alias(&format!("hop{hop}")));
            }
        }
        if is_found {
            assert_eq!(rig.io.out.last().unwrap().name, format!("hop{}.", hops - 1));
            rig.answer(Kind::A, 0, addresses(&[V4]));
            rig.assert_end(&found(&[V4]));
        } else {
            rig.assert_end(&Err(LookupError::NoAddress));
        }
    }
}

#[test]
fn cached_names_are_not_queried() {
    let mut rig = Rig::new("web1", 1, "");
    let [a_example, b_example, target] =
        ["web1.a.example", "web1.b.example", "t.example"].map(|n| name(n).unwrap());
    rig.io.known.insert((a_example.clone(), Kind::A), NO_SUCH_NAME);
    rig.io.known.insert((a_example, Kind::Aaaa), NO_SUCH_NAME);
    rig.io.known.insert((b_example, Kind::A), alias("t.example"));
    rig.io.known.insert((target, Kind::A), addresses(&[V4]));
    let mut rig = rig.start();
    assert_eq!(rig.names(), ["web1.b.example."], "for IPv6 only");
    assert_eq!(rig.io.out.len(), 1);
    rig.answer(Kind::Aaaa, 0, NO_DATA);
    rig.assert_end(&found(&[V4]));
}

#[test]
fn a_loop_of_cached_aliases_ends() {
    let mut rig = Rig::with("x.", 1, "", &[Kind::A]);
    for (from, to) in [("x", "y"), ("y", "x")] {
        rig.io.known.insert((name(from).unwrap(), Kind::A), alias(to));
    }
    rig.start().assert_end(&Err(LookupError::NoAddress));
}

#[test]
fn the_ids_are_those_of_all_open_queries() {
    let mut rig = Rig::new("web1", 2, "").start();
    rig.pass(Duration::from_secs(3));
    assert!(rig.io.waiting.len() > 4);
    rig.lookup.ids().for_each(|(id, kind)| rig.io.forget(id, kind));
    assert_eq!(rig.io.waiting, [0u16; 0]);
}
