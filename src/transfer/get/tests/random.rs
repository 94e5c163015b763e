//! Random trees, orders and failures.

use super::host::status;
use super::*;
use crate::limits;
use crate::sftp::{Request, StatusCode};

/// Contents that differ from file to file.
fn contents_of(number: usize, size: usize) -> Vec<u8> {
    contents(size).into_iter().map(|byte| byte.wrapping_add(number as u8)).collect()
}

/// A tree of up to 60 paths with their contents.
fn random_tree(random: &mut Random) -> Vec<(String, Option<Vec<u8>>)> {
    let mut directories = vec!["/srv".to_owned()];
    let mut all = Vec::new();
    for number in 0..random.below(60) {
        let path = format!("{}/{number}", directories[random.below(directories.len())]);
        if random.below(3) == 0 {
            directories.push(path.clone());
            all.push((path, None));
        } else {
            let size = [0, 1, 100, 40_000, 200_000][random.below(5)];
            all.push((path, Some(contents_of(number, size))));
        }
    }
    all
}

/// Besides the files, one directory on each level may be open at a time.
#[track_caller]
fn assert_handles_are_closed(rig: &Rig, run: &Run) {
    let depth = run.tree().iter().map(|path| path.matches('/').count()).max();
    let allowed = limits::FILES_AT_ONCE + depth.unwrap_or(0) + 1;
    assert!(rig.host.most_open <= allowed, "{} handles, {allowed} allowed", rig.host.most_open);
}

#[test]
fn random_trees_arrive_whole_in_random_order() {
    for seed in 1..20 {
        let mut random = Random(seed);
        let tree = random_tree(&mut random);
        let mut host = Host::new().node("/srv", Node::Directory, 0o755).with(|host| {
            host.names_per_reply = 1 + random.below(20);
            host.lists_attrs = random.below(2) == 0;
            host.max_read = [usize::MAX, 7_000, 600][random.below(3)];
        });
        for (path, bytes) in &tree {
            let node = bytes.clone().map_or(Node::Directory, Node::File);
            host = host.node(path, node, 0o750);
        }
        let mut run = Run::new();
        let mut rig = run.get("/srv", "copy", host, |get| get.recurse(true)).in_random_order(seed);
        let done = done(rig.run());
        assert_eq!(run.tree().len(), tree.len() + 1, "seed {seed}");
        for (path, bytes) in &tree {
            let copy = path.replacen("/srv", "copy", 1);
            match bytes {
                Some(bytes) => assert!(run.read(&copy) == *bytes, "seed {seed}: {copy}"),
                None => assert!(run.path().join(&copy).is_dir(), "seed {seed}: {copy}"),
            }
        }
        assert_eq!(done.bytes, done.total, "seed {seed}");
        assert_eq!(rig.transfer.unwritten(), 0, "seed {seed}");
        assert_handles_are_closed(&rig, &run);
    }
}

#[test]
fn random_refusals_end_in_an_error_and_leave_no_part_files() {
    for seed in 1..30 {
        let mut random = Random(seed);
        let tree = random_tree(&mut random);
        let mut host = Host::new().node("/srv", Node::Directory, 0o755);
        for (path, bytes) in &tree {
            let node = bytes.clone().map_or(Node::Directory, Node::File);
            host = host.node(path, node, 0o750);
        }
        let refused = std::rc::Rc::new(std::cell::Cell::new(0));
        let count = refused.clone();
        let host = host.quirk(move |id, request| {
            let may_fail = !matches!(
                request,
                Request::Init | Request::Limits | Request::Realpath { .. } | Request::Close { .. }
            );
            let fails = may_fail && random.below(10) == 0;
            count.set(count.get() + usize::from(fails));
            fails.then(|| status(id, StatusCode::Failure))
        });
        let mut run = Run::new();
        let mut rig = run.get("/srv", "copy", host, |get| get.recurse(true)).in_random_order(seed);
        let end = rig.run();
        assert_eq!(end.is_err(), refused.get() > 0, "seed {seed}: {end:?}");
        // An answer that comes late does no harm to the file that has its slot then.
        if let Err(TransferProblem::Incomplete { failed, .. }) = end {
            assert!(
                failed <= refused.get() as u64,
                "seed {seed}: {failed} files for {} refusals",
                refused.get()
            );
        }
        let tree = run.tree();
        assert!(!tree.iter().any(|path| path.contains("sshoal")), "seed {seed}: {tree:?}");
        // What is there is whole.
        for path in tree.iter().filter(|path| !path.ends_with('/')) {
            let (bytes, number) = (run.read(path), path.rsplit('/').next().unwrap().parse().unwrap());
            assert!(bytes == contents_of(number, bytes.len()), "seed {seed}: {path}");
            assert!([0, 1, 100, 40_000, 200_000].contains(&bytes.len()), "seed {seed}: {path}");
        }
        assert_handles_are_closed(&rig, &run);
    }
}
