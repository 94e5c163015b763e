use proptest::prelude::*;

use crate::sftp::peer::{self, Received};
use crate::sftp::{Attrs, OpenFlags, Request, Times};

const ATTRS: Attrs = Attrs {
    size: Some(0x0102_0304_0506_0708),
    ids: Some((1000, 1001)),
    mode: Some(0o100_644),
    times: Some(Times { access: 11, modified: 12 }),
};

fn encoded(request: Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(0x0a0b_0c0d, &mut out);
    out
}

#[test]
fn init_asks_for_version_3_and_has_no_number() {
    assert_eq!(encoded(Request::Init), b"\0\0\0\x05\x01\0\0\0\x03");
}

#[test]
fn an_open_has_its_path_flags_and_attributes() {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let attrs = Attrs { mode: Some(0o600), ..Attrs::default() };
    let expected = b"\0\0\0\x18\x03\x0a\x0b\x0c\x0d\0\0\0\x03a\xff/\0\0\0\x2a\0\0\0\x04\0\0\x01\x80";
    assert_eq!(encoded(Request::Open { path: b"a\xff/", flags, attrs }), expected);
}

#[test]
fn attributes_are_in_the_order_of_the_draft() {
    let expected = b"\0\0\0\x29\x0a\x0a\x0b\x0c\x0d\0\0\0\0\0\0\0\x0f\
        \x01\x02\x03\x04\x05\x06\x07\x08\0\0\x03\xe8\0\0\x03\xe9\0\0\x81\xa4\0\0\0\x0b\0\0\0\x0c";
    assert_eq!(encoded(Request::Fsetstat { handle: b"", attrs: ATTRS }), expected);
}

#[test]
fn the_length_of_a_write_counts_the_data_that_the_caller_appends() {
    let write = Request::Write { handle: b"h", offset: 1 << 40, data_len: 5 };
    let mut out = b"before".to_vec();
    write.encode(0x0a0b_0c0d, &mut out);
    assert_eq!(out, b"before\0\0\0\x1b\x06\x0a\x0b\x0c\x0d\0\0\0\x01h\0\0\x01\0\0\0\0\0\0\0\0\x05");
    out.extend(b"bytes");
    let Received { data, rest, .. } = peer::receive(&out[6..]).unwrap().unwrap();
    assert_eq!((data, rest), (&b"bytes"[..], &b""[..]));
    // The longest length that there is, in place of one that does not fit.
    assert_eq!(encoded(Request::Write { handle: b"h", offset: 0, data_len: u32::MAX })[..4], [0xff; 4]);
}

#[test]
fn a_symlink_has_the_order_of_openssh() {
    let expected = b"\0\0\0\x13\x14\x0a\x0b\x0c\x0d\0\0\0\x02to\0\0\0\x04link";
    assert_eq!(encoded(Request::Symlink { target: b"to", link: b"link" }), expected);
}

#[test]
fn extensions_have_their_names() {
    let rename = encoded(Request::PosixRename { from: b"a", to: b"b" });
    assert_eq!(
        rename,
        b"\0\0\0\x2b\xc8\x0a\x0b\x0c\x0d\0\0\0\x18posix-rename@openssh.com\0\0\0\x01a\0\0\0\x01b"
    );
    let fsync = encoded(Request::Fsync { handle: b"h" });
    assert_eq!(fsync, b"\0\0\0\x1f\xc8\x0a\x0b\x0c\x0d\0\0\0\x11fsync@openssh.com\0\0\0\x01h");
    assert_eq!(encoded(Request::Limits), b"\0\0\0\x1b\xc8\x0a\x0b\x0c\x0d\0\0\0\x12limits@openssh.com");
}

fn attrs() -> impl Strategy<Value = Attrs> {
    let times = any::<(u32, u32)>().prop_map(|(access, modified)| Times { access, modified });
    (any::<Option<u64>>(), any::<Option<(u32, u32)>>(), any::<Option<u32>>(), prop::option::of(times))
        .prop_map(|(size, ids, mode, times)| Attrs { size, ids, mode, times })
}

/// Every request but INIT, with these fields.
pub(super) fn all<'a>(
    first: &'a [u8],
    second: &'a [u8],
    attrs: Attrs,
    offset: u64,
    len: u32,
) -> Vec<Request<'a>> {
    let (path, handle) = (first, second);
    vec![
        Request::Open { path, flags: OpenFlags(len), attrs },
        Request::Close { handle },
        Request::Read { handle, offset, len },
        Request::Write { handle, offset, data_len: 0 },
        Request::Lstat { path },
        Request::Stat { path },
        Request::Fstat { handle },
        Request::Setstat { path, attrs },
        Request::Fsetstat { handle, attrs },
        Request::Opendir { path },
        Request::Readdir { handle },
        Request::Remove { path },
        Request::Mkdir { path, attrs },
        Request::Rmdir { path },
        Request::Realpath { path },
        Request::Rename { from: first, to: second },
        Request::Readlink { path },
        Request::Symlink { target: first, link: second },
        Request::PosixRename { from: first, to: second },
        Request::Fsync { handle },
        Request::Limits,
    ]
}

proptest! {
    #[test]
    fn a_server_reads_every_request_as_it_was_meant(
        first: Vec<u8>, second: Vec<u8>, attrs in attrs(), offset: u64, len: u32, id: u32,
    ) {
        let requests = all(&first, &second, attrs, offset, len);
        let mut stream = Vec::new();
        requests.iter().for_each(|request| request.encode(id, &mut stream));
        let mut rest = &stream[..];
        for request in &requests {
            let received = peer::receive(rest).unwrap().unwrap();
            prop_assert_eq!((received.id, &received.request), (id, request));
            rest = received.rest;
        }
        prop_assert!(rest.is_empty());
    }
}
