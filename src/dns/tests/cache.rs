//! Which responses are cached, and for how long.

use std::time::{Duration, Instant};

use crate::dns::cache::Cache;
use crate::dns::wire::{Kind, Response, name};

const SECOND: Duration = Duration::from_secs(1);

fn found(ttl: Duration) -> Response {
    Response::Addresses { addresses: vec!["192.0.2.1".parse().unwrap()], ttl }
}

#[test]
fn a_response_is_cached_for_its_ttl_and_its_own_query() {
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
fn responses_without_a_ttl_are_not_cached() {
    let (mut cache, now) = (Cache::new(10), Instant::now());
    let web1 = name("web1.example").unwrap();
    for answer in [
        found(Duration::ZERO),
        Response::NoSuchName { ttl: None },
        Response::NoData { ttl: None },
        Response::Failure(2),
        Response::FormatError,
        Response::Truncated,
    ] {
        cache.insert(&web1, Kind::A, &answer, now);
        assert_eq!(cache.find(&web1, Kind::A, now), None, "{answer:?}");
    }
    let negative = Response::NoSuchName { ttl: Some(SECOND) };
    cache.insert(&web1, Kind::A, &negative, now);
    assert_eq!(cache.find(&web1, Kind::A, now), Some(&negative));
}

#[test]
fn a_full_cache_drops_the_oldest_and_never_grows() {
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
    // Inserting it again makes it the youngest entry.
    cache.insert(&names[96], Kind::A, &found(SECOND), now);
    for name in &names[..3] {
        cache.insert(name, Kind::A, &found(SECOND), now);
    }
    assert!(cache.find(&names[96], Kind::A, now).is_some());
    assert!(known(&cache, now) <= 4);
}

#[test]
fn a_cache_of_size_zero_stores_nothing() {
    let (mut cache, now) = (Cache::new(0), Instant::now());
    let web1 = name("web1.example").unwrap();
    cache.insert(&web1, Kind::A, &found(SECOND), now);
    assert_eq!(cache.find(&web1, Kind::A, now), None);
}
