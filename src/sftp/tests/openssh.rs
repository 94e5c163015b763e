//! OpenSSH's own server answers every request, now and as it was recorded.

mod conversation;
mod server;
mod talk;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use conversation::converse;
use server::{Live, Recorded};
use talk::Talk;

use super::requests;
use crate::limits;
use crate::sftp::{Attrs, Extensions, Limits, OpenFlags, Reply, Request, StatusCode};

/// `UPDATE_SNAPSHOTS=1 cargo test --lib sftp` records it anew.
const RECORDED: &str = include_str!("openssh/recorded.txt");

#[test]
fn a_recorded_server_is_understood() {
    let mut server = Recorded::new(RECORDED);
    converse(&mut Talk::new(&mut server));
    server.assert_at_the_end();
}

#[test]
fn a_real_server_is_understood() {
    let Some(mut server) = Live::start(&[]) else { return };
    converse(&mut Talk::new(&mut server));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::write(root.join("src/sftp/tests/openssh/recorded.txt"), server.recorded()).unwrap();
        let corpus = root.join("fuzz/corpus/sftp");
        fs::write(corpus.join("openssh_replies"), server.replies_as_fuzz_input()).unwrap();
        fs::write(corpus.join("openssh_requests"), server.requests_as_fuzz_input()).unwrap();
    }
}

#[test]
fn the_conversation_has_every_request() {
    let name = |request: Request<'_>| format!("{request:?}").split(' ').next().unwrap().to_owned();
    let requests = requests::all(b"", b"", Attrs::default(), 0, 0).into_iter().map(name);
    let expected: BTreeSet<String> = requests.chain([name(Request::Init)]).collect();
    let made: BTreeSet<String> =
        RECORDED.split("\n\n# ").skip(1).map(|rest| rest.lines().next().unwrap().to_owned()).collect();
    assert_eq!(made, expected);
}

#[test]
fn the_longest_reads_and_writes_of_openssh_fit() {
    let Some(mut server) = Live::start(&[]) else { return };
    let mut talk = Talk::new(&mut server);
    talk.greet();
    let limits = talk.extended(Request::Limits);
    let Limits { packet, read, write, .. } = Limits::parse(&limits).unwrap();
    assert!(packet <= u64::try_from(limits::SFTP_PACKET).unwrap(), "{packet}");
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let handle = talk.handle(Request::Open { path: b"long", flags, attrs: Attrs::default() });
    let bytes: Vec<u8> = (0..write).map(|index| (index % 251) as u8).collect();
    let data_len = u32::try_from(write).unwrap();
    let write = |offset| Request::Write { handle: &handle, offset, data_len };
    assert_eq!(talk.status_of(write(0), &bytes), StatusCode::Ok);
    assert_eq!(talk.status_of(write(bytes.len() as u64), &bytes), StatusCode::Ok);
    let all = talk.data(Request::Read { handle: &handle, offset: 0, len: u32::try_from(read).unwrap() });
    assert!(all.len() as u64 == read && bytes.starts_with(&all), "{} bytes", all.len());
    // A server may return less than it is asked for.
    let all = talk.data(Request::Read { handle: &handle, offset: 0, len: u32::MAX });
    assert!(all.len() as u64 == read, "{} bytes", all.len());
}

#[test]
fn a_large_directory_comes_in_many_replies() {
    const FILES: usize = 1000;
    let Some(mut server) = Live::start(&[]) else { return };
    let expected: Vec<Vec<u8>> = (0..FILES).map(|index| format!("{index:0255}").into_bytes()).collect();
    for name in &expected {
        fs::write(server.dir().join(str::from_utf8(name).unwrap()), "").unwrap();
    }
    let mut talk = Talk::new(&mut server);
    talk.greet();
    let handle = talk.handle(Request::Opendir { path: b"." });
    let (mut found, mut replies) = (Vec::new(), 0);
    while let Some(names) = talk.listing(&handle) {
        found.extend(names.into_iter().map(|(name, _)| name));
        replies += 1;
    }
    found.retain(|name| name.len() > 2);
    found.sort();
    assert!(found == expected && replies > 1, "{} names in {replies} replies", found.len());
}

#[test]
fn a_server_that_may_only_read_refuses_the_rest() {
    let Some(mut server) = Live::start(&["-R"]) else { return };
    let mut talk = Talk::new(&mut server);
    // It has no extensions that write.
    talk.greet_with(Extensions { limits: true, ..Extensions::default() });
    let attrs = Attrs::default();
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    for request in [Request::Open { path: b"a", flags, attrs }, Request::Mkdir { path: b"a", attrs }] {
        let packet = talk.ask(request, b"");
        let reply = Reply::parse(&packet).unwrap();
        let Reply::Status { code, text, .. } = reply else { panic!("{reply:?}") };
        assert_eq!((code, text), (StatusCode::PermissionDenied, &b"Permission denied"[..]));
    }
}
