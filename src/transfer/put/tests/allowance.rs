//! Puts that may not send all bytes at once.

use super::world::{World, plan};
use super::{TARGET, contents};
use crate::clock;
use crate::ids::CommandId;
use crate::limits::{CHUNK, TRANSFER_SHARE};
use crate::reactor::workers::Job as _;
use crate::transfer::Transfer;
use crate::transfer::put::Put;

const TEMPORARY: &[u8] = b"/srv/app/.target.sshoal-1";

impl World {
    /// Lets the transfer go on until it waits, or has ended.
    fn go_as_far_as_allowed(&mut self) {
        loop {
            self.work();
            if !self.deliver() {
                return;
            }
        }
    }
}

#[test]
fn a_put_sends_no_more_than_it_is_allowed() {
    let mut world = World::new(|put| put);
    world.may_lack_target = true;
    world.allowance = 0;
    world.go_as_far_as_allowed();
    assert!(world.host.bytes(TEMPORARY) == Some(b""), "a request without contents needs no allowance");
    for sent in 1..=3 {
        assert_eq!(world.transfer.lack() as usize, CHUNK);
        // Less than a chunk is not of use, and is left for others.
        world.allowance = CHUNK as u64 - 1;
        world.go_as_far_as_allowed();
        assert_eq!(world.allowance, CHUNK as u64 - 1);
        world.allowance += 1;
        world.go_as_far_as_allowed();
        assert!(world.host.bytes(TEMPORARY) == Some(&contents()[..sent * CHUNK]), "chunk {sent}");
        assert_eq!(world.allowance, 0);
    }
    assert_eq!(world.transfer.lack(), 100);
    world.allowance = 150;
    world.go_as_far_as_allowed();
    assert_eq!((world.transfer.lack(), world.allowance), (0, 50));
    assert!(world.host.bytes(TARGET) == Some(&contents()));
}

#[test]
fn an_empty_file_needs_no_allowance() {
    let mut world = World::of(&Put::bytes(*b"", TARGET), false);
    (world.allowance, world.may_lack_target, world.may_have_part) = (0, true, true);
    world.go_as_far_as_allowed();
    assert_eq!(world.host.bytes(TARGET), Some(&b""[..]));
}

#[test]
fn a_put_that_is_given_up_waits_for_no_allowance() {
    let mut world = World::new(|put| put);
    world.may_lack_target = true;
    world.allowance = CHUNK as u64;
    world.go_as_far_as_allowed();
    assert_eq!(world.transfer.lack() as usize, CHUNK);
    world.transfer.stop();
    assert_eq!(world.transfer.lack(), 0);
    world.go_as_far_as_allowed();
    assert!(world.transfer.has_ended());
    assert_eq!(world.host.temporaries(), [""; 0]);
}

#[test]
fn a_server_that_accepts_little_at_a_time_gets_it_within_the_allowance() {
    let mut world = World::new(|put| put);
    world.may_lack_target = true;
    world.host.extensions.limits = true;
    world.host.limits = [0, 0, 1_000, 0];
    world.allowance = 2_500;
    world.go_as_far_as_allowed();
    assert!(world.host.bytes(TEMPORARY) == Some(&contents()[..2_000]));
    assert_eq!((world.transfer.lack(), world.allowance), (1_000, 500));
    world.allowance = u64::MAX;
    world.go_as_far_as_allowed();
    assert!(world.host.bytes(TARGET) == Some(&contents()));
}

#[test]
fn a_long_write_is_of_the_chunks_that_are_allowed() {
    let mut world = World::new(|put| put);
    world.may_lack_target = true;
    world.host.extensions.limits = true;
    world.host.limits = [0, 0, 10 * CHUNK as u64, 0];
    for (allowance, sent) in [(TRANSFER_SHARE + 10, 1), (2 * CHUNK + 50, 3)] {
        let requests = world.host.requests;
        world.allowance = allowance as u64;
        world.go_as_far_as_allowed();
        assert!(world.host.bytes(TEMPORARY) == Some(&contents()[..sent * CHUNK]), "{sent} chunks");
        // Before the first write, the limits are asked for and the file is created.
        assert_eq!(world.host.requests - requests, if sent == 1 { 3 } else { 1 });
    }
    assert_eq!((world.transfer.lack(), world.allowance), (100, 50));
}

/// How many bytes wait to be sent.
fn sent(transfer: &mut Transfer) -> usize {
    let mut all = 0;
    while transfer.has_unsent() {
        let count = transfer.next_bytes(&mut Vec::new(), 10_000).len();
        transfer.sent(count);
        all += count;
    }
    all
}

#[test]
fn a_put_by_scp_sends_no_more_than_it_is_allowed() {
    let put = Put::bytes(contents(), TARGET);
    let mut transfer = Transfer::plain(CommandId::new(0, 0), &plan(&put, false), "web1");
    let go_on = |transfer: &mut Transfer, mut allowance: u64| {
        transfer.go_on_with(&mut allowance, clock::now());
        for (_, answer) in transfer.take_jobs().into_iter().flat_map(|job| job.run()) {
            transfer.answer(answer);
        }
        allowance
    };
    go_on(&mut transfer, 0);
    // The receiver is ready, and accepts the record before the contents.
    transfer.receive(&[0]);
    assert!(sent(&mut transfer) > 0);
    transfer.receive(&[0]);
    for _ in 0..3 {
        assert_eq!(go_on(&mut transfer, CHUNK as u64 - 1), CHUNK as u64 - 1);
        assert_eq!((transfer.lack() as usize, sent(&mut transfer)), (CHUNK, 0));
        assert_eq!(go_on(&mut transfer, CHUNK as u64 + 5), 5);
        assert_eq!(sent(&mut transfer), CHUNK);
    }
    assert_eq!(go_on(&mut transfer, 100), 0);
    // The end of the contents is a zero byte.
    assert_eq!((transfer.lack(), sent(&mut transfer)), (0, 101));
}
