//! Servers that misbehave: each is an error, or bounded.

use super::*;
use crate::limits;

fn names(id: u32, names: &[&[u8]]) -> Vec<u8> {
    let attrs = Attrs { mode: Some(FILE), ..Attrs::default() };
    let names: Vec<Name<'_>> = names.iter().map(|name| Name { name, long: b"", attrs }).collect();
    peer::names(id, &names)
}

#[test]
fn data_that_was_not_asked_for_is_an_error() {
    type Length = fn(u32) -> usize;
    let violations: [(&str, Length); 2] =
        [("a read of 32768 bytes returned 32769", |len| len as usize + 1), ("returned 0", |_| 0)];
    for (expected, length) in violations {
        let mut host = Host::new().file("/f", vec![b'a'; 100_000]).quirk(move |id, request| match request {
            Request::Read { len, .. } => {
                Some(peer::encode(&Reply::Data { id, bytes: &vec![b'a'; length(*len)] }))
            }
            _ => None,
        });
        let problem = error(FileRequest::read("/f"), &mut host);
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn short_reads_do_not_go_on_for_ever() {
    let mut host = Host::new().file("/f", vec![b'a'; 10_000_000]).with(|host| host.max_read = 1);
    let problem = error(FileRequest::read("/f"), &mut host);
    assert!(problem.contains("a few bytes each"), "{problem}");
    let reads = host.log.iter().filter(|request| request.starts_with("READ")).count();
    assert!(reads < 300, "{reads}");
}

#[test]
fn a_file_without_an_end_stops_at_the_limit() {
    let mut host = Host::new().file("/f", "").quirk(|id, request| match request {
        Request::Read { len, .. } => Some(peer::encode(&Reply::Data { id, bytes: &vec![0; *len as usize] })),
        _ => None,
    });
    let problem = error(FileRequest::read("/f").max_bytes(10_000_000), &mut host);
    assert!(problem.contains("more than 10000000 bytes"), "{problem}");
}

#[test]
fn a_file_that_ends_before_its_own_bytes_is_an_error() {
    // The first read finds the end, and the next ones find data.
    let mut host = Host::new().file("/f", vec![b'a'; 100_000]).quirk(|id, request| match request {
        Request::Read { offset: 0, .. } => Some(peer::status(id, StatusCode::Eof, b"")),
        _ => None,
    });
    let problem = error(FileRequest::read("/f"), &mut host);
    assert!(problem.contains("changed while it was read"), "{problem}");
}

#[test]
fn names_that_lead_elsewhere_are_an_error() {
    let long = vec![b'a'; limits::REMOTE_NAME_BYTES + 1];
    let bad: [&[u8]; 5] = [b"", b"../../etc/passwd", b"a/b", b"a\0b", &long];
    for name in bad {
        for request in [FileRequest::list("/d"), FileRequest::remove("/d").recurse(true)] {
            let name = name.to_vec();
            let mut host = Host::new().directory("/d").quirk(move |id, request| match request {
                Request::Readdir { .. } => Some(names(id, &[b"good", &name])),
                _ => None,
            });
            let problem = error(request, &mut host);
            assert!(problem.contains("the name of an entry of a directory "), "{problem}");
            let is_safe = |request: &String| !request.starts_with("REMOVE") && !request.starts_with("RMDIR");
            assert!(host.log.iter().all(is_safe), "{:?}", host.log);
        }
    }
}

#[test]
fn a_directory_without_an_end_stops_at_the_limits() {
    let endless = || {
        Host::new().directory("/d").quirk(|id, request| match request {
            Request::Readdir { .. } => Some(names(id, &[&[b'a'; 1000][..]; 100])),
            _ => None,
        })
    };
    let list = || FileRequest::list("/d");
    for (request, expected) in [
        (list().max_entries(1000), "/d: it has more than 1000 entries; raise FileRequest::max_entries"),
        (list().max_bytes(50_000), "/d: its names have more than 50000 bytes; raise FileRequest::max_bytes"),
        (list(), "/d: its names have more than 67108864 bytes; raise FileRequest::max_bytes"),
        (
            FileRequest::remove("/d").recurse(true).max_entries(1000),
            "/d: there are more than 1000 entries below it; raise FileRequest::max_entries",
        ),
        (FileRequest::remove("/d").recurse(true), "/d: the names below it have more than 67108864 bytes"),
    ] {
        assert_eq!(error(request, &mut endless()), expected);
    }
    let mut host = endless();
    error(list().max_bytes(50_000), &mut host);
    let asked = host.log.iter().filter(|request| *request == "READDIR").count();
    assert!(asked <= limits::READDIRS_IN_FLIGHT, "{asked}: the first answer is too much");
}

#[test]
fn an_answer_without_names_ends_a_directory() {
    for request in [FileRequest::list("/d"), FileRequest::remove("/d").recurse(true)] {
        let mut host = Host::new().directory("/d").quirk(|id, request| match request {
            Request::Readdir { .. } => Some(names(id, &[])),
            _ => None,
        });
        run(request, &mut host).expect("it ends");
    }
}

#[test]
fn an_answer_of_another_kind_is_an_error() {
    let requests = [
        FileRequest::read("/f"),
        FileRequest::list("/f"),
        FileRequest::metadata("/f"),
        FileRequest::remove("/f"),
        FileRequest::create_dir("/f").create_parents(true),
        FileRequest::rename("/f", "/g"),
    ];
    let strange: [fn(u32) -> Vec<u8>; 3] = [
        |id| peer::encode(&Reply::Extended { id, bytes: b"" }),
        |id| names(id, &[b"a"]),
        |id| peer::encode(&Reply::Data { id, bytes: b"a" }),
    ];
    for request in requests {
        for answer in strange {
            let mut host = Host::new().file("/f", "a").quirk(move |id, _| Some(answer(id)));
            let problem = error(request.clone(), &mut host);
            assert!(problem.contains("violated the protocol"), "{problem}");
        }
    }
}
