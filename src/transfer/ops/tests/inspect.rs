//! Reading, listing, and metadata.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::output::FileKind;

/// Bytes that differ from place to place.
fn bytes(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn contents(result: FileResult) -> Vec<u8> {
    match result {
        FileResult::Contents(contents) => contents.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_is_read_up_to_its_end() {
    for len in [0, 1, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 3_000_000] {
        for (reverses, max_read) in [(false, usize::MAX), (true, usize::MAX), (false, 10_000), (true, 700)] {
            let mut host = Host::new().file("/f", bytes(len)).with(|host| {
                (host.reverses, host.max_read) = (reverses, max_read);
            });
            let read = contents(run(FileRequest::read("/f"), &mut host).expect("read"));
            assert!(read == bytes(len), "{len} bytes, {reverses} {max_read}: {}", read.len());
        }
    }
}

#[test]
fn a_file_of_another_size_than_it_says_is_read_in_full() {
    // Below /proc, sizes are 0, and below /sys, they are those of a page.
    for (said, len) in [(0, 100_000), (4096, 5), (4096, 0), (10, 200)] {
        let mut host = Host::new().file("/f", bytes(len)).with(|host| {
            host.sizes.insert("/f".to_owned(), said);
        });
        assert_eq!(contents(run(FileRequest::read("/f"), &mut host).expect("read")), bytes(len), "{said}");
    }
}

#[test]
fn a_file_that_becomes_shorter_while_it_is_read_is_an_error() {
    let mut sizes = [100_000, 100_000, 40_000].into_iter();
    let mut host = Host::new().file("/f", bytes(40_000)).quirk(move |id, request| {
        let is_about_size = matches!(request, Request::Stat { .. } | Request::Fstat { .. });
        let size = is_about_size.then(|| sizes.next()).flatten()?;
        let attrs = Attrs { size: Some(size), mode: Some(FILE), ..Attrs::default() };
        Some(peer::encode(&Reply::Attrs { id, attrs }))
    });
    let problem = error(FileRequest::read("/f"), &mut host);
    assert!(problem.contains("changed while it was read") && problem.contains("40000"), "{problem}");
}

#[test]
fn a_file_beyond_the_limit_is_an_error_that_says_so() {
    let read = || FileRequest::read("/f").max_bytes(1000);
    assert_eq!(contents(run(read(), &mut Host::new().file("/f", bytes(1000))).expect("read")).len(), 1000);
    let mut long = Host::new().file("/f", bytes(1001));
    let problem = error(read(), &mut long);
    assert_eq!(problem, "/f: it has more than 1000 bytes; raise FileRequest::max_bytes");
    assert_eq!(long.log, ["STAT /f"], "it is not opened");
    let mut lying = Host::new().file("/f", bytes(1001)).with(|host| {
        host.sizes.insert("/f".to_owned(), 0);
    });
    assert_eq!(error(read(), &mut lying), problem);
}

#[test]
fn only_files_are_read() {
    let mut host = Host::new().directory("/d").node("/p", FIFO, "");
    assert_eq!(error(FileRequest::read("/d"), &mut host), "/d is a directory, not a file");
    assert_eq!(error(FileRequest::read("/p"), &mut host), "/p is a device, a socket or a fifo, not a file");
    assert_eq!(error(FileRequest::read("/n"), &mut host), "cannot look at /n: no such file");
    assert_eq!(host.log, ["STAT /d", "STAT /p", "STAT /n"], "a fifo would block the server");
}

#[test]
fn a_directory_is_listed_in_order() {
    let mut host = Host::new().directory("/d").file("/d/b", "12").directory("/d/c").file("/d/c/inner", "");
    host = host.node("/d/a", LINK | 0o777, "").node("/d/e", FIFO, "");
    let listed = run(FileRequest::list("/d"), &mut host).expect("listed");
    let FileResult::Entries(entries) = listed else { panic!("{listed:?}") };
    let kinds = entries.iter().map(|entry| (text(&entry.name), entry.metadata.kind, entry.metadata.size));
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [
            ("a".to_owned(), Some(FileKind::Symlink), Some(0)),
            ("b".to_owned(), Some(FileKind::File), Some(2)),
            ("c".to_owned(), Some(FileKind::Directory), Some(0)),
            ("e".to_owned(), Some(FileKind::Other), Some(0)),
        ]
    );
    host.lists_kinds = false;
    let FileResult::Entries(unknown) = run(FileRequest::list("/d"), &mut host).expect("listed") else {
        panic!("entries")
    };
    assert!(unknown.len() == 4 && unknown.iter().all(|entry| entry.metadata.kind.is_none()));
    assert_eq!(error(FileRequest::list("/d/b"), &mut host), "/d/b is a file, not a directory");
    assert_eq!(error(FileRequest::list("/n"), &mut host), "cannot list the directory /n: no such file");
}

#[test]
fn metadata_is_what_the_host_says() {
    let mut host = Host::new().file("/f", "123").node("/l", LINK | 0o777, "");
    let result = run(FileRequest::metadata("/f"), &mut host).expect("there");
    let FileResult::Metadata(metadata) = result else { panic!("{result}") };
    assert_eq!((metadata.kind, metadata.size, metadata.mode), (Some(FileKind::File), Some(3), Some(0o640)));
    assert_eq!((metadata.user_id, metadata.group_id), (Some(7), Some(8)));
    let after = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!((metadata.accessed, metadata.modified), (after(1), after(2)));
    run(FileRequest::symlink_metadata("/l"), &mut host).expect("there");
    assert_eq!(host.log, ["STAT /f", "LSTAT /l"]);
}
