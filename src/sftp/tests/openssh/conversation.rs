use super::talk::Talk;
use crate::sftp::{Attrs, FileKind, Limits, OpenFlags, Request, StatusCode, Times};

const NONE: Attrs = Attrs { size: None, ids: None, mode: None, times: None };
const TIMES: Times = Times { access: 1_000_000_000, modified: 1_500_000_000 };

/// A name that is not UTF-8.
const FILE: &[u8] = b"sub/caf\xe9";

/// Makes every request at least once, in an empty directory, and leaves it empty.
pub(super) fn converse(talk: &mut Talk<'_>) {
    talk.greet();
    let limits = talk.extended(Request::Limits);
    let Limits { packet, read, write, handles } = Limits::parse(&limits).unwrap();
    assert_eq!((packet, read, write), (256 * 1024, 255 * 1024, 255 * 1024));
    assert!(handles > 0);
    assert_eq!(talk.name(Request::Realpath { path: b"/usr/.." }), b"/");
    make_directory(talk);
    write_file(talk);
    read_file(talk);
    set_attributes(talk);
    follow_links(talk);
    list(talk);
    rename(talk);
    remove(talk);
}

fn make_directory(talk: &mut Talk<'_>) {
    let mkdir = Request::Mkdir { path: b"sub", attrs: Attrs { mode: Some(0o750), ..NONE } };
    talk.ok(mkdir);
    assert_eq!(talk.status(mkdir), StatusCode::Failure);
    let attrs = talk.attrs(Request::Stat { path: b"sub" });
    assert_eq!((attrs.kind(), attrs.permissions()), (Some(FileKind::Directory), Some(0o750)));
    assert!(attrs.size.is_some() && attrs.ids.is_some() && attrs.times.is_some(), "{attrs:?}");
}

fn write_file(talk: &mut Talk<'_>) {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let open = Request::Open { path: FILE, flags, attrs: Attrs { mode: Some(0o640), ..NONE } };
    let handle = &talk.handle(open);
    assert_eq!(talk.status(open), StatusCode::Failure, "it exists");
    let write = |offset, data_len| Request::Write { handle, offset, data_len };
    assert_eq!(talk.status_of(write(6, 5), b"world"), StatusCode::Ok);
    assert_eq!(talk.status_of(write(0, 6), b"hello\0"), StatusCode::Ok);
    talk.ok(Request::Fsync { handle });
    let attrs = talk.attrs(Request::Fstat { handle });
    assert_eq!((attrs.size, attrs.mode, attrs.kind()), (Some(11), Some(0o100_640), Some(FileKind::File)));
    let attrs = Attrs { mode: Some(0o600), times: Some(TIMES), ..NONE };
    talk.ok(Request::Fsetstat { handle, attrs });
    let attrs = talk.attrs(Request::Fstat { handle });
    assert_eq!((attrs.permissions(), attrs.times), (Some(0o600), Some(TIMES)));
    talk.ok(Request::Close { handle });
    assert_eq!(talk.status(Request::Close { handle }), StatusCode::NoSuchFile, "it is closed");
}

fn read_file(talk: &mut Talk<'_>) {
    let open = |path| Request::Open { path, flags: OpenFlags::READ, attrs: NONE };
    assert_eq!(talk.status(open(b"sub/none")), StatusCode::NoSuchFile);
    let handle = &talk.handle(open(FILE));
    let read = |offset, len| Request::Read { handle, offset, len };
    assert_eq!(talk.data(read(0, 7)), b"hello\0w");
    assert_eq!(talk.data(read(7, 100)), b"orld", "as much as there is");
    assert_eq!(talk.status(read(11, 100)), StatusCode::Eof);
    talk.ok(Request::Close { handle });
}

fn set_attributes(talk: &mut Talk<'_>) {
    let ids = talk.attrs(Request::Stat { path: FILE }).ids;
    let attrs = Attrs { size: Some(5), ids, mode: Some(0o644), times: Some(TIMES) };
    talk.ok(Request::Setstat { path: FILE, attrs });
    let set = talk.attrs(Request::Stat { path: FILE });
    assert_eq!(set, Attrs { mode: Some(0o100_644), ..attrs });
}

fn follow_links(talk: &mut Talk<'_>) {
    // The target is relative to the directory of the link.
    talk.ok(Request::Symlink { target: b"caf\xe9", link: b"sub/link" });
    assert_eq!(talk.name(Request::Readlink { path: b"sub/link" }), b"caf\xe9");
    assert_eq!(talk.attrs(Request::Lstat { path: b"sub/link" }).kind(), Some(FileKind::Symlink));
    let attrs = talk.attrs(Request::Stat { path: b"sub/link" });
    assert_eq!((attrs.kind(), attrs.size), (Some(FileKind::File), Some(5)));
}

fn list(talk: &mut Talk<'_>) {
    assert_eq!(talk.status(Request::Opendir { path: b"none" }), StatusCode::NoSuchFile);
    let handle = talk.handle(Request::Opendir { path: b"sub" });
    let mut found = Vec::new();
    while let Some(names) = talk.listing(&handle) {
        found.extend(names.into_iter().map(|(name, attrs)| (name, attrs.kind().unwrap())));
    }
    talk.ok(Request::Close { handle: &handle });
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let expected: [(&[u8], FileKind); 4] = [
        (b".", FileKind::Directory),
        (b"..", FileKind::Directory),
        (b"caf\xe9", FileKind::File),
        (b"link", FileKind::Symlink),
    ];
    assert_eq!(found, expected.map(|(name, kind)| (name.to_vec(), kind)));
}

fn rename(talk: &mut Talk<'_>) {
    talk.ok(Request::Rename { from: b"sub/link", to: b"sub/other" });
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::APPEND;
    let handle = &talk.handle(Request::Open { path: b"sub/new", flags, attrs: NONE });
    for _ in 0..2 {
        // The offset does not matter to a file that is appended to.
        let write = Request::Write { handle, offset: 0, data_len: 4 };
        assert_eq!(talk.status_of(write, b"more"), StatusCode::Ok);
    }
    talk.ok(Request::Close { handle });
    let (from, to) = (&b"sub/new"[..], FILE);
    assert_eq!(talk.status(Request::Rename { from, to }), StatusCode::Failure, "it exists");
    talk.ok(Request::PosixRename { from, to });
    assert_eq!(talk.status(Request::Lstat { path: from }), StatusCode::NoSuchFile);
    assert_eq!(talk.attrs(Request::Stat { path: b"sub/other" }).size, Some(8), "the new file");
}

fn remove(talk: &mut Talk<'_>) {
    assert_eq!(talk.status(Request::Rmdir { path: b"sub" }), StatusCode::Failure, "not empty");
    talk.ok(Request::Remove { path: FILE });
    talk.ok(Request::Remove { path: b"sub/other" });
    talk.ok(Request::Rmdir { path: b"sub" });
    assert_eq!(talk.status(Request::Stat { path: b"sub" }), StatusCode::NoSuchFile);
}
