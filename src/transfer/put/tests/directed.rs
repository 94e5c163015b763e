//! What a put does in each case.

use std::cell::Cell;

use sha2::{Digest as _, Sha256};

use super::host::{NOW, Refuse};
use super::world::World;
use super::{OLD, TARGET, contents};
use crate::error::{LocalProblem, TransferProblem};
use crate::sftp::{Request, StatusCode};
use crate::transfer::local::FileAnswer;
use crate::transfer::put::Put;

const CHUNK: u64 = crate::limits::CHUNK as u64;
const FIRST: &[u8] = b"/srv/app/.target.sshoal-1";
const SECOND: &[u8] = b"/srv/app/.target.sshoal-2";

/// A put over an old file.
fn world(set: impl FnOnce(Put) -> Put) -> World {
    let mut world = World::new(set);
    world.host.put(TARGET, OLD, 1_000);
    world
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "  -\n"
}

/// The new file is there, and nothing else is.
#[track_caller]
fn assert_replaced(world: &World) {
    assert!(world.host.bytes(TARGET) == Some(&contents()));
    assert_eq!(world.host.temporaries(), [""; 0]);
    assert_eq!(world.host.open_files(), 0);
}

/// The old file is there, and nothing else is.
#[track_caller]
fn assert_unchanged(world: &World) {
    assert_eq!(world.host.bytes(TARGET), Some(OLD));
    assert_eq!(world.host.temporaries(), [""; 0]);
    assert_eq!(world.host.open_files(), 0);
}

/// Refuses the first request that `is` is true of.
fn refuse_first(code: StatusCode, is: impl Fn(&Request<'_>) -> bool + 'static) -> Refuse {
    let mut refused = false;
    Box::new(move |_, request| {
        let refuses = !refused && is(request);
        refused |= refuses;
        refuses.then_some(code)
    })
}

#[test]
fn a_file_replaces_its_target_in_one_step() {
    for sync in [false, true] {
        let mut world = world(|put| put.mode(0o640).sync(sync));
        let done = world.finish().unwrap();
        assert_eq!((done.files, done.bytes, done.replaced_in_two_steps), (1, contents().len() as u64, 0));
        assert_eq!(world.host.nodes[TARGET].mode & 0o7777, 0o640);
        assert_replaced(&world);
    }
}

#[test]
fn only_the_last_answer_may_end_a_put() {
    let mut world = World::of(&Put::bytes(vec![b'x'; 9 * CHUNK as usize], "/srv/new"), false);
    world.may_lack_target = true;
    let mut writing = 0;
    while world.transfer.end().is_none() {
        world.work();
        let may_end = world.transfer.may_end();
        assert_eq!(may_end, world.replies.len() <= 1, "{} answers follow", world.replies.len());
        writing += usize::from(!may_end);
        assert!(world.deliver() || world.transfer.has_ended());
    }
    assert!(writing > 0);
}

#[test]
fn answers_are_owed_to_a_transfer_that_goes_on() {
    let mut world = world(|put| put);
    let mut most = 0;
    while most < 3 {
        world.work();
        let owed = world.transfer.owed_answers();
        // While it greets the server, it cannot go on whatever the answer is.
        assert!(owed == world.replies.len() || most == 0 && owed == 0);
        most = most.max(owed);
        world.deliver();
    }
    world.work();
    world.transfer.stop();
    assert!(!world.replies.is_empty());
    assert_eq!(world.transfer.owed_answers(), 0, "its channel may be closed");
}

/// The host renames the copy, and the answer comes after the cancel.
#[test]
fn a_copy_that_was_renamed_before_a_cancel_is_counted() {
    let mut world = world(|put| put);
    for _ in 0..1_000 {
        world.work();
        if world.host.bytes(TARGET) == Some(&contents()[..]) {
            break;
        }
        world.deliver();
    }
    world.transfer.stop();
    assert_eq!(world.finish().expect("nothing fails").files, 1);
    assert_replaced(&world);
}

#[test]
fn nobody_else_may_read_a_copy_before_it_has_its_mode() {
    let mut world = world(|put| put.mode(0o600));
    world.host.refuse = Box::new(|_, request| {
        if let Request::Open { attrs, .. } = request {
            assert_eq!(attrs.mode, Some(0o600));
        }
        None
    });
    world.finish().unwrap();
}

#[test]
fn without_posix_rename_the_old_target_is_removed_first() {
    let mut world = world(|put| put);
    world.host.extensions.posix_rename = false;
    world.may_lack_target = true;
    assert_eq!(world.finish().unwrap().replaced_in_two_steps, 1);
    assert_replaced(&world);
}

#[test]
fn a_copy_is_kept_if_the_old_target_is_gone() {
    let mut world = world(|put| put);
    world.host.extensions.posix_rename = false;
    world.may_lack_target = true;
    world.host.refuse =
        Box::new(|_, request| matches!(request, Request::Rename { .. }).then_some(StatusCode::Failure));
    world.finish().unwrap_err();
    assert_eq!(world.host.bytes(TARGET), None);
    assert!(world.host.bytes(FIRST) == Some(&contents()), "the copy is all that there is");
    assert_eq!(world.transfer.left_over()[0].as_bytes(), FIRST);
}

#[test]
fn a_server_without_fsync_is_an_error() {
    let mut world = world(|put| put.sync(true));
    world.host.extensions.fsync = false;
    assert!(matches!(world.finish(), Err(TransferProblem::Unsupported { .. })));
    assert_unchanged(&world);
}

#[test]
fn missing_directories_are_created_on_request() {
    for create in [true, false] {
        let mut world = World::new(|put| put.create_parents(create));
        world.may_lack_target = true;
        world.host.nodes.remove(&b"/srv/app"[..]);
        world.host.nodes.remove(&b"/srv"[..]);
        let finished = world.finish();
        assert_eq!(finished.is_ok(), create, "{finished:?}");
        assert_eq!(world.host.bytes(TARGET).is_some(), create);
    }
}

#[test]
fn a_directory_that_cannot_be_created_is_named() {
    let mut world = World::new(|put| put);
    world.may_lack_target = true;
    world.host.nodes.remove(&b"/srv/app"[..]);
    world.host.refuse = Box::new(|_, request| {
        matches!(request, Request::Mkdir { .. }).then_some(StatusCode::PermissionDenied)
    });
    let problem = world.finish().unwrap_err().to_string();
    assert!(problem.starts_with("cannot create the directory /srv/app: permission denied"), "{problem}");
}

#[test]
fn temporary_files_of_others_are_left_alone_unless_they_are_old() {
    for (age, left) in [(10, true), (3_601, false)] {
        let mut world = world(|put| put);
        world.host.put(FIRST, b"another put's", NOW - age);
        world.finish().unwrap();
        assert!(world.host.bytes(TARGET) == Some(&contents()));
        assert_eq!(world.host.bytes(FIRST).is_some(), left);
        assert_eq!(world.host.bytes(SECOND), None);
    }
}

#[test]
fn a_temporary_name_may_be_given_back_while_it_is_looked_at() {
    // Another put has the first name when this one wants it, and no longer when this one looks.
    let mut world = world(|put| put);
    world.host.refuse = refuse_first(StatusCode::Failure, |request| matches!(request, Request::Open { .. }));
    world.finish().unwrap();
    assert!(world.host.bytes(TARGET) == Some(&contents()));
    assert_eq!(world.host.temporaries(), [""; 0]);
}

#[test]
fn temporary_names_run_out() {
    let mut world = world(|put| put);
    for number in 1..=crate::limits::TEMPORARY_NAMES {
        world.host.put(format!("/srv/app/.target.sshoal-{number}").as_bytes(), b"", NOW);
    }
    let problem = world.finish().unwrap_err().to_string();
    assert!(problem.contains("all temporary names are taken"), "{problem}");
    assert_eq!(world.host.bytes(TARGET), Some(OLD));
}

#[test]
fn files_that_are_the_same_are_skipped() {
    let mut world = World::new(|put| put.skip_same(true).checksum(true));
    world.host.put(TARGET, &contents(), 1_000);
    world.run = Box::new(|_| Some(sum(&contents())));
    let done = world.finish().unwrap();
    assert_eq!((done.files, done.skipped, done.total), (0, 1, 0));
    assert_eq!(world.commands.len(), 1);
    assert!(world.commands[0].starts_with("sha256sum < '/srv/app/target'"), "{:?}", world.commands);
}

#[test]
fn files_of_another_checksum_or_size_are_sent_and_verified() {
    let other = {
        let mut other = contents();
        other[0] ^= 1;
        other
    };
    for old in [&other[..], &contents()[1..]] {
        let mut world = World::new(|put| put.skip_same(true).checksum(true));
        world.host.put(TARGET, old, 1_000);
        world.may_lack_target = true;
        let compared = old.len() == contents().len();
        let mut sums = vec![sum(&contents())];
        sums.extend(compared.then(|| sum(b"other")));
        world.run = Box::new(move |_| sums.pop());
        world.host.nodes.remove(TARGET);
        world.host.put(TARGET, OLD, 1_000);
        if compared {
            // The target has the size of the local file until it is compared.
            world.host.nodes.get_mut(TARGET).unwrap().bytes = contents();
        }
        let done = world.finish().unwrap();
        assert_eq!((done.files, done.skipped, done.verified), (1, 0, 1));
        assert_replaced(&world);
    }
}

#[test]
fn a_copy_of_another_checksum_never_becomes_the_target() {
    let mut world = world(|put| put.checksum(true));
    world.run = Box::new(|_| Some(sum(b"other")));
    assert!(matches!(world.finish(), Err(TransferProblem::WrongChecksum { .. })));
    assert_unchanged(&world);
}

#[test]
fn a_host_without_checksums_is_an_error() {
    let mut world = world(|put| put.checksum(true));
    let problem = world.finish().unwrap_err().to_string();
    assert!(problem.contains("sha256sum failed on the host"), "{problem}");
    assert_unchanged(&world);
}

#[test]
fn a_short_copy_never_becomes_the_target() {
    let mut world = world(|put| put);
    world.host.loses_bytes = true;
    let Err(TransferProblem::WrongSize { expected, found, .. }) = world.finish() else {
        panic!("it succeeds")
    };
    assert_eq!((expected, found), (contents().len() as u64, contents().len() as u64 - 1));
    assert_unchanged(&world);
}

#[test]
fn a_local_file_that_has_changed_never_becomes_the_target() {
    let mut world = world(|put| put);
    world.local = Box::new(|answer| match answer {
        FileAnswer::Checked { file, .. } => {
            FileAnswer::Checked { file, result: Err(LocalProblem::Changed { path: "local".into() }) }
        }
        answer => answer,
    });
    assert!(matches!(world.finish(), Err(TransferProblem::LocalFileChanged { .. })));
    assert_unchanged(&world);
}

/// A server that accepts writes of several chunks.
fn generous_world(put: &Put) -> World {
    let mut world = World::of(put, false);
    world.host.put(TARGET, OLD, 1_000);
    world.host.extensions.limits = true;
    world.host.limits = [256 * 1024, 255 * 1024, 255 * 1024, 100];
    world
}

#[test]
fn a_server_that_accepts_large_writes_gets_few() {
    let mut world = generous_world(&Put::bytes(contents(), TARGET));
    world.host.refuse = Box::new(|_, request| {
        if let Request::Write { data_len, .. } = request {
            assert_eq!(*data_len as usize, contents().len());
        }
        None
    });
    assert_eq!(world.finish().unwrap().bytes, contents().len() as u64);
    assert_replaced(&world);
    // A file that may keep what was written gets nothing but what was read.
    for set in [Put::resume, Put::in_place] {
        let mut world = generous_world(&set(Put::bytes(contents(), TARGET), true));
        world.run = Box::new(|_| Some(sum(&contents())));
        world.may_have_part = true;
        world.host.refuse = Box::new(|_, request| {
            assert!(!matches!(request, Request::Write { data_len, .. } if u64::from(*data_len) > CHUNK));
            None
        });
        world.finish().unwrap();
        assert_replaced(&world);
    }
}

#[test]
fn a_local_file_that_cannot_be_read_on_never_becomes_the_target() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), contents().repeat(10)).unwrap();
    for lost in 0..3 {
        let mut world = generous_world(&Put::new(file.path(), TARGET));
        let read = Cell::new(0);
        world.local = Box::new(move |answer| match answer {
            FileAnswer::Chunk { file, offset, .. } if read.replace(read.get() + 1) == lost => {
                FileAnswer::Chunk { file, offset, bytes: Err(LocalProblem::Changed { path: "local".into() }) }
            }
            answer => answer,
        });
        let end = world.finish();
        assert!(matches!(end, Err(TransferProblem::LocalFileChanged { .. })), "{lost}: {end:?}");
        assert_unchanged(&world);
    }
}

#[test]
fn an_interrupted_copy_goes_on_where_it_stopped() {
    let mut world = world(|put| put.resume(true));
    let part = contents()[..contents().len() - 50].to_vec();
    world.host.put(FIRST, &part, NOW);
    world.run = Box::new(|_| Some(sum(&contents())));
    assert_eq!(world.finish().unwrap().verified, 1);
    assert_replaced(&world);
    // A cancelled copy is kept for that.
    let mut world = World::new(|put| put.resume(true));
    world.may_lack_target = true;
    for _ in 0..6 {
        world.work();
        world.deliver();
    }
    world.transfer.stop();
    let _ = world.finish();
    assert_eq!(world.host.temporaries(), ["/srv/app/.target.sshoal-1"]);
    assert_eq!(world.transfer.left_over()[0].as_bytes(), FIRST);
}

#[test]
fn another_user_installs_the_copy() {
    let mut world = World::privileged(|put| put.mode(0o640).owner("root:adm"), true);
    world.may_lack_target = true;
    world.run = Box::new(|_| Some(String::new()));
    let done = world.finish().unwrap();
    assert_eq!(done.files, 1);
    assert_eq!(
        world.commands,
        ["mkdir -p -- '/srv/app' && test ! -d '/srv/app/target' && install -m 640 -o 'root' -g 'adm' -- \
          '.target.sshoal-1' '/srv/app/.target.sshoal-1' && mv -f -- '/srv/app/.target.sshoal-1' \
          '/srv/app/target' || { code=$?; rm -f -- '/srv/app/.target.sshoal-1'; exit $code; }"]
    );
    assert_eq!(world.host.temporaries(), [""; 0], "the copy in the home directory is removed");
}

#[test]
fn each_request_may_be_refused() {
    type Is = fn(&Request<'_>) -> bool;
    let requests: [(Is, &str); 6] = [
        (|request| matches!(request, Request::Open { .. }), "cannot create"),
        (|request| matches!(request, Request::Write { .. }), "cannot write to"),
        (|request| matches!(request, Request::Fstat { .. }), "cannot look at"),
        (|request| matches!(request, Request::Fsetstat { .. }), "cannot set the mode"),
        (|request| matches!(request, Request::Close { .. }), "cannot close"),
        (|request| matches!(request, Request::PosixRename { .. }), "cannot rename the copy to"),
    ];
    for (is, text) in requests {
        let mut world = world(|put| put);
        world.host.refuse = refuse_first(StatusCode::PermissionDenied, is);
        let problem = world.finish().unwrap_err().to_string();
        assert!(problem.starts_with(text) && problem.contains("permission denied"), "{problem}");
        assert_eq!(world.host.bytes(TARGET), Some(OLD));
        assert_eq!(world.host.temporaries(), [""; 0], "{text}");
    }
}

#[test]
fn an_answer_of_the_wrong_kind_is_an_error() {
    let mut world = world(|put| put);
    world.work();
    world.deliver();
    world.work();
    world.replies.clear();
    world.replies.push_back(crate::sftp::peer::encode(&crate::sftp::Reply::Data { id: 1, bytes: b"" }));
    world.deliver();
    assert!(matches!(world.transfer.end(), Some(Err(TransferProblem::Protocol(_)))));
}

#[test]
fn a_server_that_takes_few_bytes_at_a_time_does_not_fill_memory() {
    let mut world = world(|put| put);
    world.host.extensions.limits = true;
    world.host.limits = [34_000, 10, 10, 1];
    for round in 0.. {
        assert!(round < 10_000, "it does not end");
        world.work();
        assert!(world.replies.len() <= crate::limits::SFTP_IN_FLIGHT, "{} at once", world.replies.len());
        if let Some(end) = world.transfer.end() {
            end.unwrap();
            break;
        }
        world.deliver();
    }
    assert_replaced(&world);
}
