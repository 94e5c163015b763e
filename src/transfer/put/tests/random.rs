//! Puts with refusals, cancels and losses at random moments, and answers in any order.

use std::cell::Cell;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::host::NOW;
use super::world::World;
use super::{OLD, TARGET, contents};
use crate::sftp::{Request, StatusCode};
use crate::transfer::put::Put;
use crate::transfer::put::file::edges_not_taken;

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % below as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.next(many) == 0
    }
}

/// Runs a transfer with this seed. Panics if it does not end, or leaves what it must not.
fn run(seed: u64) {
    let mut random = Random(seed);
    let flags: [bool; 6] = std::array::from_fn(|_| random.one_in(2));
    let [sync, skip_same, checksum, resume, has_rename, is_privileged] = flags;
    let in_place = !resume && !is_privileged && random.one_in(4);
    let set = |put: Put| {
        let put = put.sync(sync).skip_same(skip_same).checksum(checksum).resume(resume);
        put.in_place(in_place)
    };
    let mut world = World::privileged(set, is_privileged);
    world.may_lack_target = !has_rename || is_privileged;
    world.may_have_part = in_place;
    world.host.extensions.posix_rename = has_rename;
    world.host.extensions.fsync = !random.one_in(10);
    world.host.extensions.limits = random.one_in(2);
    world.host.limits = [0, 0, 1 << random.next(19), 0];
    if random.one_in(4) {
        world.host.nodes.remove(&b"/srv/app"[..]);
        world.may_lack_target = true;
    } else {
        let there = if random.one_in(4) { contents() } else { OLD.to_vec() };
        world.host.put(TARGET, &there, NOW - 5);
        if random.one_in(3) {
            world.host.put(
                b"/srv/app/.target.sshoal-1",
                &contents()[..50_000],
                NOW - random.next(8_000) as u32,
            );
        }
    }
    let others = world.host.temporaries();
    let refused = Rc::new(Cell::new(false));
    let (refuse_at, refused_remove) = (random.next(60), refused.clone());
    world.host.refuse = Box::new(move |number, request| {
        let refuses = number == refuse_at;
        refused_remove.set(refused_remove.get() || refuses && matches!(request, Request::Remove { .. }));
        refuses.then_some(if number % 2 == 0 { StatusCode::Failure } else { StatusCode::PermissionDenied })
    });
    let fails = random.one_in(5);
    let sum: String = Sha256::digest(contents()).iter().map(|byte| format!("{byte:02x}")).collect();
    world.run = Box::new(move |_| (!fails).then(|| sum.clone()));
    let stop_at = if random.one_in(2) { random.next(40) } else { usize::MAX };
    let mut ended = None;
    for step in 0..10_000 {
        if step == stop_at {
            world.transfer.stop();
        }
        world.work();
        ended = world.transfer.end();
        if ended.is_some() {
            break;
        }
        let count = world.replies.len();
        let delivered = match random.next(4) {
            0 if !world.answers.is_empty() => {
                world.answers.pop_front().map(|answer| world.transfer.answer(answer))
            }
            1 if !world.results.is_empty() => {
                world.results.pop_front().map(|result| world.transfer.ran(result))
            }
            // Answers in another order than the requests, and in pieces.
            _ if count > 0 => world.replies.remove(random.next(count.min(3))).map(|reply| {
                let cut = random.next(reply.len());
                world.transfer.receive(&reply[..cut]);
                world.transfer.receive(&reply[cut..]);
            }),
            _ => world.deliver().then_some(()),
        };
        assert!(delivered.is_some(), "seed {seed}: the transfer waits for nothing: {:?}", world.transfer);
    }
    let ended = ended.unwrap_or_else(|| panic!("seed {seed}: no end: {:?}", world.transfer));
    if let Ok(done) = ended
        && !is_privileged
        && done.files + done.skipped == 1
    {
        assert!(world.host.bytes(TARGET) == Some(&contents()), "seed {seed}");
    }
    let named: Vec<String> = world.transfer.left_over().iter().map(ToString::to_string).collect();
    for left in world.host.temporaries() {
        let is_known = others.contains(&left) || named.iter().any(|named| left.ends_with(named.as_str()));
        assert!(is_known || refused.get(), "seed {seed}: {left} is left and not named");
    }
    assert!(world.host.open_files() == 0 || refuse_at < 60, "seed {seed}");
}

/// A file of the same size and time is left alone.
fn skip_by_time() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let modified = file.as_file().metadata().unwrap().modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as u32;
    let mut world = World::of(&Put::new(file.path(), TARGET).skip_same(true), false);
    world.may_have_part = true;
    world.host.put(TARGET, b"", modified);
    assert_eq!(world.finish().unwrap().skipped, 1);
}

#[test]
fn a_put_always_ends_and_leaves_nothing_unnamed() {
    (0..1_500).for_each(run);
    skip_by_time();
    assert_eq!(edges_not_taken(), [""; 0], "what the put can do and no seed has done");
}
