//! Puts to a host in memory. The local file is a few chunks of bytes, and its jobs are done at
//! once.

mod allowance;
mod directed;
mod host;
mod links;
mod missing;
mod pruning;
mod random;
mod world;

use crate::limits;

/// The old contents of the target.
const OLD: &[u8] = b"old contents";

/// The path of the target.
const TARGET: &[u8] = b"/srv/app/target";

/// The contents to send: three chunks and a part of one.
fn contents() -> Vec<u8> {
    (0..3 * limits::CHUNK as u32 + 100).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
