//! The limit on the bytes of files that a fleet transfers per second.
//!
//! A token bucket holds how many bytes may be requested now. A visit to a host takes an allowance,
//! and gives back what was not requested. If that was too little, the host stands in line until its
//! next allowance. While hosts stand in line, only the first of them is served, so they advance
//! evenly. One timer says when there is enough for the first in line, so waiting costs no turns.

use std::time::{Duration, Instant};

use super::slot::Armed;
use crate::limits;
use crate::reactor::IndexQueue;

const SHARE: u64 = limits::TRANSFER_SHARE as u64;
const NANOS_PER_SECOND: u128 = 1_000_000_000;

#[derive(Debug)]
pub(super) struct TransferRate {
    /// `None` if there is no limit.
    bucket: Option<Bucket>,
    /// The hosts that wait for an allowance, and possibly some that no longer do.
    line: IndexQueue,
    /// The timer for the first in line.
    pub timer: Option<Armed>,
}

impl TransferRate {
    pub(super) fn new(rate: Option<u64>, now: Instant) -> Self {
        let bucket = rate.map(|rate| Bucket::new(rate, now));
        Self { bucket, line: IndexQueue::default(), timer: None }
    }

    /// Changes the limit, in bytes per second. What may be requested now stays the same, as far as
    /// the new limit allows so much at once.
    pub(super) fn change(&mut self, rate: Option<u64>, now: Instant) {
        match (&mut self.bucket, rate) {
            (Some(bucket), Some(rate)) => bucket.change(rate, now),
            (bucket, rate) => *bucket = rate.map(|rate| Bucket::new(rate, now)),
        }
    }

    /// Takes the allowance for a visit whose turn it is not: up to a share if no host stands in
    /// line.
    pub(super) fn unclaimed(&mut self, now: Instant) -> u64 {
        match &mut self.bucket {
            None => u64::MAX,
            Some(_) if !self.line.is_empty() => 0,
            Some(bucket) => bucket.take(SHARE, now),
        }
    }

    /// Gives back what was allowed and not requested.
    pub(super) fn give_back(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.bucket {
            bucket.add(bytes);
        }
    }

    /// Called after a visit to a host. Adds the host to the end of the line if it waits for bytes.
    pub(super) fn update(&mut self, index: usize, lack: u32) {
        if lack > 0 {
            self.line.push(index);
        }
    }

    /// Takes the first host that waits out of the line, with its allowance, if there is enough for
    /// it. `lack` says how many bytes a host waits for.
    pub(super) fn next(&mut self, now: Instant, lack: impl Fn(usize) -> u32) -> Option<(usize, u64)> {
        let lack = self.first_lack(lack)?;
        let hosts = self.line.len() as u64;
        let allowance = match &mut self.bucket {
            None => u64::MAX,
            Some(bucket) => {
                let level = bucket.level(now);
                if level < lack {
                    return None;
                }
                // With equal shares for all in line, a high rate takes fewer visits.
                bucket.take(SHARE.max(level / hosts), now)
            }
        };
        Some((self.line.pop()?, allowance))
    }

    /// When there is enough for the first host in line. `None` if no host waits.
    pub(super) fn next_at(&mut self, now: Instant, lack: impl Fn(usize) -> u32) -> Option<Instant> {
        let lack = self.first_lack(lack)?;
        self.bucket.as_mut().map_or(Some(now), |bucket| bucket.full_at(lack, now))
    }

    /// How many bytes the first in line waits for. Those that no longer wait leave the line.
    fn first_lack(&mut self, lack: impl Fn(usize) -> u32) -> Option<u64> {
        loop {
            match lack(self.line.first()?) {
                0 => _ = self.line.pop(),
                lack => return Some(lack.into()),
            }
        }
    }
}

/// A token bucket. A token is a byte. Nothing is rounded, so the rate holds exactly over any time.
#[derive(Debug)]
struct Bucket {
    /// Tokens per second; not 0.
    rate: u64,
    tokens: u64,
    /// The part of the next token that is there, in billionths.
    part: u128,
    filled: Instant,
}

impl Bucket {
    /// A bucket that is full.
    fn new(rate: u64, now: Instant) -> Self {
        let mut bucket = Self { rate: rate.max(1), tokens: 0, part: 0, filled: now };
        bucket.tokens = bucket.capacity();
        bucket
    }

    fn capacity(&self) -> u64 {
        let burst = u128::from(self.rate) * limits::TRANSFER_BURST.as_nanos() / NANOS_PER_SECOND;
        u64::try_from(burst).unwrap_or(u64::MAX).saturating_add(SHARE)
    }

    fn change(&mut self, rate: u64, now: Instant) {
        self.fill(now);
        (self.rate, self.part) = (rate.max(1), 0);
        self.add(0);
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled);
        self.filled = self.filled.max(now);
        let gained = elapsed.as_nanos().saturating_mul(self.rate.into()).saturating_add(self.part);
        self.part = gained % NANOS_PER_SECOND;
        self.add(u64::try_from(gained / NANOS_PER_SECOND).unwrap_or(u64::MAX));
    }

    fn add(&mut self, tokens: u64) {
        let capacity = self.capacity();
        self.tokens = self.tokens.saturating_add(tokens);
        if self.tokens >= capacity {
            (self.tokens, self.part) = (capacity, 0);
        }
    }

    fn level(&mut self, now: Instant) -> u64 {
        self.fill(now);
        self.tokens
    }

    /// Takes this many tokens, or as many as there are.
    fn take(&mut self, tokens: u64, now: Instant) -> u64 {
        let taken = self.level(now).min(tokens);
        self.tokens -= taken;
        taken
    }

    /// When there are this many tokens. `None` if that is beyond the clock's range.
    fn full_at(&mut self, tokens: u64, now: Instant) -> Option<Instant> {
        let Some(missing) = tokens.checked_sub(self.level(now)).filter(|missing| *missing > 0) else {
            return Some(now);
        };
        let parts = u128::from(missing) * NANOS_PER_SECOND - self.part;
        let nanos = u64::try_from(parts.div_ceil(self.rate.into())).ok()?;
        self.filled.checked_add(Duration::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests;
