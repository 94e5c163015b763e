use super::*;

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

/// All hosts wait for a whole share.
fn share(_: usize) -> u32 {
    SHARE as u32
}

/// A limit whose bucket is empty, and these hosts in line.
fn line(rate: u64, hosts: impl IntoIterator<Item = usize>, now: Instant) -> TransferRate {
    let mut limit = TransferRate::new(Some(rate), now);
    limit.bucket.as_mut().unwrap().take(u64::MAX, now);
    hosts.into_iter().for_each(|host| limit.update(host, share(host)));
    limit
}

#[test]
fn the_rate_holds_exactly_whatever_the_length_of_turns() {
    let origin = crate::clock::now();
    for rate in [1, 3, 999, 32_768, 1_000_003, 12_345_678_901] {
        for turn in [NANO, Duration::from_nanos(333_333), Duration::from_millis(1), 7 * SECOND / 97] {
            let mut bucket = Bucket::new(rate, origin);
            let mut taken = 0;
            for nth in 0..10_000 {
                taken += u128::from(bucket.take(u64::MAX, origin + turn * nth));
            }
            let elapsed = (turn * 9_999).as_nanos();
            let expected = u128::from(rate) * elapsed / NANOS_PER_SECOND + u128::from(bucket.capacity());
            assert_eq!(taken, expected, "{rate} B/s, turns of {turn:?}");
        }
    }
}

#[test]
fn a_pause_allows_no_more_than_the_burst() {
    let origin = crate::clock::now();
    for (rate, burst) in [(1, SHARE), (1_000_000, 250_000 + SHARE)] {
        let mut bucket = Bucket::new(rate, origin);
        assert_eq!(bucket.take(u64::MAX, origin), burst);
        assert_eq!(bucket.take(u64::MAX, origin), 0);
        assert_eq!(bucket.take(u64::MAX, origin + 1_000_000 * SECOND), burst);
        // An earlier time counts as the latest one.
        assert_eq!(bucket.take(u64::MAX, origin), 0);
    }
}

#[test]
fn extreme_rates_and_times_do_not_overflow() {
    let origin = crate::clock::now();
    let mut bucket = Bucket::new(u64::MAX, origin);
    assert!(bucket.take(u64::MAX, origin) >= u64::MAX / 4);
    assert_eq!(bucket.full_at(u64::from(u32::MAX), origin), Some(origin + NANO));
    let late = origin + Duration::from_secs(10_000_000_000);
    assert!(bucket.take(u64::MAX, late) >= u64::MAX / 4);
    bucket.add(u64::MAX);
    assert_eq!(bucket.tokens, bucket.capacity());
    let mut bucket = Bucket::new(1, origin);
    bucket.take(u64::MAX, origin);
    assert_eq!(bucket.full_at(u64::MAX, origin), None);
}

#[test]
fn a_rate_below_a_share_per_second_lets_a_share_pass_when_it_is_due() {
    let origin = crate::clock::now();
    let mut limit = line(1_000, [7], origin);
    for nth in 1..4 {
        let at = limit.next_at(origin, share).unwrap();
        assert_eq!(at, origin + Duration::from_micros(32_768_000) * nth);
        assert_eq!(limit.next(at - NANO, share), None);
        assert_eq!(limit.next(at, share), Some((7, SHARE)));
        limit.update(7, share(7));
    }
}

#[test]
fn hosts_take_turns_of_a_share() {
    let origin = crate::clock::now();
    let mut limit = line(SHARE, 0..3, origin);
    let mut order = Vec::new();
    for second in 1..=7 {
        let now = origin + SECOND * second;
        // A visit out of turn gets nothing while others wait.
        assert_eq!(limit.unclaimed(now), 0);
        let (host, allowance) = limit.next(now, share).unwrap();
        assert_eq!((allowance, limit.next(now, share)), (SHARE, None));
        order.push(host);
        limit.update(host, share(host));
        // Further visits change no place in the line.
        limit.update(2, share(2));
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn a_host_that_waits_for_a_few_bytes_waits_no_longer_than_for_them() {
    let origin = crate::clock::now();
    let mut limit = line(1_000, 0..2, origin);
    let lack = |host| if host == 0 { 100 } else { SHARE as u32 };
    assert_eq!(limit.next_at(origin, lack), Some(origin + SECOND / 10));
    assert_eq!(limit.next(origin + SECOND / 10, lack), Some((0, 100)));
    // What one host does not need is there for the next one.
    limit.give_back(60);
    let at = origin + SECOND / 10 + Duration::from_millis(SHARE - 60);
    assert_eq!(limit.next_at(origin, lack), Some(at));
    assert_eq!(limit.next(at, lack), Some((1, SHARE)));
    assert_eq!((limit.next_at(at, lack), limit.next(at, lack)), (None, None));
}

#[test]
fn a_host_that_no_longer_waits_holds_nobody_up() {
    let origin = crate::clock::now();
    let mut limit = line(1, 0..3, origin);
    let lack = |host| u32::from(host == 2);
    assert_eq!(limit.next_at(origin, lack), Some(origin + SECOND));
    assert_eq!(limit.next(origin + SECOND, lack), Some((2, 1)));
    assert_eq!(limit.next_at(origin, |_| 0), None);
    assert_eq!(limit.unclaimed(origin + 2 * SECOND), 1);
}

#[test]
fn what_is_there_is_shared_equally() {
    let origin = crate::clock::now();
    let mut limit = line(40 * SHARE, 0..2, origin);
    let now = origin + SECOND / 4;
    assert_eq!(limit.next(now, share), Some((0, 5 * SHARE)));
    assert_eq!(limit.next(now, share), Some((1, 5 * SHARE)));
    // Out of turn, a visit gets a share.
    assert_eq!(limit.unclaimed(now + SECOND), SHARE);
}

#[test]
fn a_changed_limit_holds_at_once() {
    let origin = crate::clock::now();
    let mut limit = line(1_000, 0..2, origin);
    limit.change(Some(1_000_000), origin + SECOND);
    let at = origin + SECOND + Duration::from_micros(SHARE - 1_000);
    assert_eq!(limit.next_at(origin + SECOND, share), Some(at));
    // A lower limit allows less at once.
    limit.give_back(u64::MAX);
    limit.change(Some(4), origin + SECOND);
    assert_eq!(limit.bucket.as_mut().unwrap().take(u64::MAX, origin + SECOND), 1 + SHARE);
    // Without a limit, those in line go on at once.
    limit.change(None, origin + SECOND);
    assert_eq!(limit.next_at(origin + SECOND, share), Some(origin + SECOND));
    let rest: Vec<_> = std::iter::from_fn(|| limit.next(origin + SECOND, share)).collect();
    assert_eq!(rest, [(0, u64::MAX), (1, u64::MAX)]);
    limit.change(Some(10), origin + SECOND);
    assert_eq!(limit.unclaimed(origin + SECOND), SHARE, "a new limit begins with its burst");
}
