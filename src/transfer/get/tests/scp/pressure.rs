//! Disks that are slow, limits on the rate, and gets that are cancelled.

use super::*;
use crate::limits::TRANSFER_SHARE as SHARE;
use crate::output::{Bound, Room};

/// Delivers what has arrived, and runs no jobs.
fn deliver(rig: &mut Rig) {
    rig.exchange();
    while !rig.arriving.is_empty() && rig.transfer.room(usize::MAX).bytes > 0 {
        let count = rig.piece.unwrap_or(usize::MAX).min(rig.arriving.len());
        let bytes: Vec<u8> = rig.arriving.drain(..count).collect();
        rig.transfer.receive(&bytes);
        rig.exchange();
    }
}

/// Lets the part file be created.
fn begin(rig: &mut Rig) {
    while rig.zeros < 2 {
        assert!(rig.step());
    }
    assert!(rig.jobs.is_empty());
}

#[test]
fn what_waits_for_the_disk_is_bounded_in_bytes_and_in_jobs() {
    let data = contents(limits::FILE_UNWRITTEN + 100_000);
    for piece in [1_000, 60_000] {
        let mut run = Run::new();
        let mut rig = run.scp_file(&data, |get| get);
        rig.piece = Some(piece);
        begin(&mut rig);
        deliver(&mut rig);
        assert_eq!(rig.transfer.room(usize::MAX), Room { bytes: 0, bound: Bound::Stream });
        assert!((limits::FILE_UNWRITTEN..limits::FILE_UNWRITTEN + piece).contains(&rig.transfer.unwritten()));
        assert_eq!(rig.jobs.len(), limits::SCP_WRITES);
        let share = rig.transfer.unwritten() + 10;
        assert_eq!(rig.transfer.room(share).bytes, 0);
        let copied = done(rig.run());
        assert_eq!(copied.bytes, data.len() as u64);
        assert!(run.read("copy") == data);
        assert!(rig.unwritten < limits::FILE_UNWRITTEN + piece);
    }
}

#[test]
fn the_output_budget_bounds_what_waits_for_the_disk() {
    let mut run = Run::new();
    let mut rig = run.scp_file(&contents(5_000), |get| get);
    rig.piece = Some(1_000);
    begin(&mut rig);
    let bytes: Vec<u8> = rig.arriving.drain(..1_000).collect();
    rig.transfer.receive(&bytes);
    rig.exchange();
    assert_eq!(rig.transfer.room(1_000), Room { bytes: 0, bound: Bound::Budget });
    assert_eq!(rig.transfer.room(1_500).bytes, 500);
}

#[test]
fn nothing_more_is_read_until_what_has_arrived_is_allowed() {
    let data = contents(4 * SHARE + 100);
    let mut run = Run::new();
    let mut rig = run.scp_file(&data, |get| get);
    (rig.allowance, rig.piece) = (0, Some(2 * SHARE));
    begin(&mut rig);
    // The lines before the contents need no allowance.
    assert_eq!(rig.transfer.lack(), 0);
    for owed in [2 * SHARE, 2 * SHARE, 100] {
        deliver(&mut rig);
        assert_eq!((rig.transfer.lack() as usize, rig.transfer.room(usize::MAX).bytes), (owed.min(SHARE), 0));
        rig.allowance = owed as u64 - 1;
        rig.exchange();
        assert_eq!((rig.transfer.lack(), rig.allowance, rig.transfer.room(usize::MAX).bytes), (1, 0, 0));
        rig.allowance = 8;
        rig.exchange();
        assert_eq!((rig.transfer.lack(), rig.allowance), (0, 7));
        assert!(rig.transfer.room(usize::MAX).bytes > 0);
        rig.allowance = 0;
    }
    done(rig.run());
    assert!(run.read("copy") == data);
}

#[test]
fn a_get_that_is_given_up_waits_for_no_allowance() {
    let mut run = Run::new();
    let mut rig = run.scp_file(&contents(2 * SHARE), |get| get);
    (rig.allowance, rig.piece) = (0, Some(SHARE));
    begin(&mut rig);
    deliver(&mut rig);
    rig.transfer.stop();
    assert_eq!(rig.transfer.lack(), 0);
    assert!(rig.transfer.has_ended());
    assert!(rig.transfer.room(usize::MAX).bytes > 0, "what still comes is dropped");
    rig.finish_jobs();
    rig.transfer.receive(&contents(SHARE));
    assert_eq!((rig.transfer.unwritten(), run.tree()), (0, vec![]));
}

#[test]
fn a_cancelled_get_leaves_nothing_wherever_it_is() {
    let mut steps = 0;
    loop {
        let mut run = Run::new();
        let mut rig = run.scp_file(&contents(10_000), |get| get);
        rig.piece = Some(1_000);
        for _ in 0..steps {
            rig.step();
        }
        if rig.end.is_some() {
            break;
        }
        // Only once nothing is missing any more does the copy get its name.
        let is_whole = rig.jobs.iter().any(|job| matches!(job, FileJob::Finish { .. }));
        rig.transfer.stop();
        assert!(rig.transfer.has_ended() && rig.transfer.ends_with_channel(), "after {steps} steps");
        assert!(rig.transfer.room(usize::MAX).bytes > 0, "what still comes is dropped");
        rig.finish_jobs();
        let left = if is_whole { vec!["copy".to_owned()] } else { vec![] };
        assert_eq!(run.tree(), left, "after {steps} steps");
        steps += 1;
    }
    assert!(steps > 15, "{steps}");
}

#[test]
fn a_lost_connection_leaves_nothing() {
    for steps in 0..15 {
        let mut run = Run::new();
        let mut rig = run.scp_file(&contents(10_000), |get| get);
        rig.piece = Some(1_000);
        for _ in 0..steps {
            rig.step();
        }
        rig.transfer.lose();
        rig.finish_jobs();
        assert_eq!(run.tree(), [""; 0], "after {steps} steps");
    }
}

#[test]
fn what_a_cancelled_get_has_on_its_way_to_the_disk_holds_nothing_up() {
    let mut run = Run::new();
    let mut rig = run.scp_file(&contents(limits::FILE_UNWRITTEN + 100_000), |get| get);
    begin(&mut rig);
    deliver(&mut rig);
    assert_eq!(rig.transfer.room(usize::MAX).bytes, 0);
    rig.transfer.stop();
    assert!(rig.transfer.room(usize::MAX).bytes > 0);
}

#[test]
fn what_a_host_that_has_ended_was_to_get_is_dropped() {
    let mut run = Run::new();
    let mut rig = run.scp_file(b"text", |get| get);
    begin(&mut rig);
    // It does not wait for the answer to the last byte, which cannot be sent any more.
    rig.transfer.receive(b"text\0");
    assert!(rig.transfer.has_unsent() && !rig.transfer.wants_eof());
    rig.transfer.channel_ended(Some(&Outcome::Exited(0)));
    assert!(!rig.transfer.has_unsent() && !rig.transfer.wants_eof());
    rig.has_exited = true;
    assert_eq!(done(rig.run()).files, 1);
}

#[test]
fn a_part_file_that_comes_too_late_is_removed_by_a_job() {
    let mut run = Run::new();
    let mut rig = run.scp_file(b"text", |get| get);
    while rig.jobs.is_empty() {
        assert!(rig.step());
    }
    rig.transfer.stop();
    run_job(rig.jobs.remove(0), &mut rig.transfer);
    // A turn must not wait for the disk.
    assert_eq!(run.tree().len(), 1);
    rig.finish_jobs();
    assert_eq!(run.tree(), [""; 0]);
}
