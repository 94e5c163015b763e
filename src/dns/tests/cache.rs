//! What is kept, and for how long.

use std::time::{Duration, Instant};

use crate::dns::cache::Cache;
use crate::dns::wire::{Answer, Kind, name};

const SECOND: Duration = Duration::from_secs(1);

fn found(ttl: Duration) -> Answer {
    Answer::Addresses { addresses: vec!["192.0.2.1".parse().unwrap()], ttl }
}

#[test]
fn an_answer_holds_for_its_time_and_for_its_own_question() {
    let (mut cache, now) = (Cache::new(10), Instant::now());
    let web1 = name("web1.example").unwrap();
    cache.insert(&web1, Kind::A, &found(10 * SECOND), now);
    let shouted = name("WEB1.Example.").unwrap();
    assert_eq!(cache.find(&shouted, Kind::A, now + 9 * SECOND), Some(&found(10 * SECOND)));
    assert_eq!(cache.find(&web1, Kind::A, now + 10 * SECOND), None);
    assert_eq!(cache.find(&web1, Kind::Aaaa, now), None);
    assert_eq!(cache.find(&name("web2.example").unwrap(), Kind::A, now), None);
}

#[test]
fn what_may_not_be_kept_is_not() {
    let (mut cache, now) = (Cache::new(10), Instant::now());
    let web1 = name("web1.example").unwrap();
    for answer in [
        found(Duration::ZERO),
        Answer::NoSuchName { ttl: None },
        Answer::NoData { ttl: None },
        Answer::Failure(2),
        Answer::FormatError,
        Answer::Truncated,
    ] {
        cache.insert(&web1, Kind::A, &answer, now);
        assert_eq!(cache.find(&web1, Kind::A, now), None, "{answer:?}");
    }
    let negative = Answer::NoSuchName { ttl: Some(SECOND) };
    cache.insert(&web1, Kind::A, &negative, now);
    assert_eq!(cache.find(&web1, Kind::A, now), Some(&negative));
}

#[test]
fn a_full_cache_drops_what_came_first_and_never_grows() {
    let (mut cache, now) = (Cache::new(4), Instant::now());
    let names: Vec<_> = (0..100).map(|n| name(&format!("web{n}.example")).unwrap()).collect();
    let known =
        |cache: &Cache, now| names.iter().filter(|name| cache.find(name, Kind::A, now).is_some()).count();
    for name in &names {
        cache.insert(name, Kind::A, &found(SECOND), now);
        assert!(cache.find(name, Kind::A, now).is_some());
        assert!(known(&cache, now) <= 4);
    }
    assert_eq!(known(&cache, now), 4);
    // Renewed, it is as young as its last arrival.
    cache.insert(&names[96], Kind::A, &found(SECOND), now);
    for name in &names[..3] {
        cache.insert(name, Kind::A, &found(SECOND), now);
    }
    assert!(cache.find(&names[96], Kind::A, now).is_some());
    assert!(known(&cache, now) <= 4);
}

#[test]
fn a_cache_of_no_size_keeps_nothing() {
    let (mut cache, now) = (Cache::new(0), Instant::now());
    let web1 = name("web1.example").unwrap();
    cache.insert(&web1, Kind::A, &found(SECOND), now);
    assert_eq!(cache.find(&web1, Kind::A, now), None);
}
