use super::framed;
use crate::limits;
use crate::sftp::{
    Attrs, Decoder, Extensions, FileKind, Limits, Name, ProtocolError, Reply, StatusCode, Times,
};

/// What is wrong with this packet.
fn fault(packet: &[u8]) -> ProtocolError {
    Reply::parse(packet).unwrap_err()
}

#[test]
fn the_version_of_openssh_has_the_extensions_that_we_use() {
    let mut packet = b"\x02\0\0\0\x03".to_vec();
    let mut extend = |name: &[u8], data: &[u8]| {
        packet.extend(framed(name));
        packet.extend(framed(data));
        packet.clone()
    };
    extend(b"posix-rename@openssh.com", b"1");
    extend(b"statvfs@openssh.com", b"2");
    let packet = extend(b"fsync@openssh.com", b"2");
    let extensions = Extensions { posix_rename: true, fsync: false, limits: false };
    assert_eq!(Reply::parse(&packet), Ok(Reply::Version { version: 3, extensions }));
    let packet = extend(b"limits@openssh.com", b"1");
    let extensions = Extensions { limits: true, ..extensions };
    assert_eq!(Reply::parse(&packet), Ok(Reply::Version { version: 3, extensions }));
    for end in 6..packet.len() {
        // The pairs end after 33, 61 and 87 bytes of them.
        let is_whole = [5 + 33, 5 + 33 + 28, 5 + 33 + 28 + 26].contains(&end);
        let expected = if is_whole { None } else { Some(ProtocolError::Truncated("VERSION")) };
        assert_eq!(Reply::parse(&packet[..end]).err(), expected, "{end} bytes");
    }
    assert_eq!(fault(b"\x02\0\0"), ProtocolError::Truncated("VERSION"));
}

#[test]
fn a_status_may_have_no_text_and_no_language() {
    let code = StatusCode::NoSuchFile;
    let status = |text| Ok(Reply::Status { id: 7, code, text });
    assert_eq!(Reply::parse(b"\x65\0\0\0\x07\0\0\0\x02"), status(b""));
    assert_eq!(Reply::parse(b"\x65\0\0\0\x07\0\0\0\x02\0\0\0\x02no"), status(b"no"));
    assert_eq!(Reply::parse(b"\x65\0\0\0\x07\0\0\0\x02\0\0\0\x02no\0\0\0\x02en"), status(b"no"));
    let trailing = fault(b"\x65\0\0\0\x07\0\0\0\x02\0\0\0\x02no\0\0\0\0!");
    assert_eq!(trailing, ProtocolError::Trailing("STATUS", 1));
    assert_eq!(fault(b"\x65\0\0\0\x07\0\0\0\x02\0\0\0\x03no"), ProtocolError::Truncated("STATUS"));
    assert_eq!(fault(b"\x65\0\0\0\x07\0\0\0"), ProtocolError::Truncated("STATUS"));
}

#[test]
fn status_codes_have_numbers_and_plain_words() {
    for number in 0..40 {
        let code = StatusCode::from(number);
        assert_eq!((code.code(), matches!(code, StatusCode::Other(_))), (number, number > 8));
    }
    let said = [3, 8, 14, 99].map(|code| StatusCode::from(code).to_string());
    assert_eq!(said, ["permission denied", "operation not supported", "no space left", "SFTP status 99"]);
}

#[test]
fn a_handle_has_at_most_256_bytes() {
    let packet = |length: usize| [&b"\x66\0\0\0\x01"[..], &framed(&vec![b'h'; length])].concat();
    for length in [0, 4, limits::SFTP_HANDLE] {
        let handle = &vec![b'h'; length][..];
        assert_eq!(Reply::parse(&packet(length)), Ok(Reply::Handle { id: 1, handle }));
    }
    assert_eq!(fault(&packet(257)), ProtocolError::LongHandle(257));
    let text = "its SFTP handle is 257 bytes long, more than 256";
    assert_eq!(ProtocolError::LongHandle(257).to_string(), text);
}

#[test]
fn data_is_a_string_and_nothing_behind_it() {
    let data = |bytes| Ok(Reply::Data { id: 1, bytes });
    assert_eq!(Reply::parse(b"\x67\0\0\0\x01\0\0\0\x03\0\x01\x02"), data(b"\0\x01\x02"));
    assert_eq!(Reply::parse(b"\x67\0\0\0\x01\0\0\0\0"), data(b""));
    // Version 6 says at the end whether this was the last data of the file.
    assert_eq!(fault(b"\x67\0\0\0\x01\0\0\0\x01a\x01"), ProtocolError::Trailing("DATA", 1));
    let text = "its SFTP packet of type DATA has 1 extra bytes at the end";
    assert_eq!(ProtocolError::Trailing("DATA", 1).to_string(), text);
    // A length of 4 GiB.
    assert_eq!(fault(b"\x67\0\0\0\x01\xff\xff\xff\xff"), ProtocolError::Truncated("DATA"));
}

const EXTENDED_PAIRS: &[u8] = b"\x80\0\0\x04\0\0\x41\xed\0\0\0\x02\0\0\0\x03a@b\0\0\0\x01x\0\0\0\0\0\0\0\0";

#[test]
fn extended_attributes_are_skipped() {
    let packet = [b"\x69\0\0\0\x01", EXTENDED_PAIRS].concat();
    let attrs = Attrs { mode: Some(0o40_755), ..Attrs::default() };
    assert_eq!(Reply::parse(&packet), Ok(Reply::Attrs { id: 1, attrs }));
    assert_eq!((attrs.kind(), attrs.permissions()), (Some(FileKind::Directory), Some(0o755)));
    assert_eq!(fault(&[&packet[..], b"12"].concat()), ProtocolError::Trailing("ATTRS", 2));
    // So many pairs that the packet cannot have them.
    assert_eq!(fault(b"\x69\0\0\0\x01\x80\0\0\0\xff\xff\xff\xff"), ProtocolError::Truncated("ATTRS"));
}

#[test]
fn flags_of_other_versions_are_ignored() {
    let attrs = Attrs { mode: Some(0o644), ..Attrs::default() };
    assert_eq!(
        Reply::parse(b"\x69\0\0\0\x01\x7f\xff\xff\xf4\0\0\x01\xa4"),
        Ok(Reply::Attrs { id: 1, attrs })
    );
}

#[test]
fn every_attribute_that_is_cut_is_an_error() {
    let packet =
        b"\x69\0\0\0\x01\0\0\0\x0f\0\0\0\0\0\0\x01\0\0\0\0\x05\0\0\0\x06\0\0\xa1\xff\0\0\0\x07\0\0\0\x08";
    let times = Some(Times { access: 7, modified: 8 });
    let attrs = Attrs { size: Some(256), ids: Some((5, 6)), mode: Some(0o120_777), times };
    assert_eq!(Reply::parse(packet), Ok(Reply::Attrs { id: 1, attrs }));
    for end in 1..packet.len() {
        assert_eq!(fault(&packet[..end]), ProtocolError::Truncated("ATTRS"), "{end} bytes");
    }
}

#[test]
fn the_kind_of_a_file_is_in_its_mode() {
    let kind = |mode| Attrs { mode, ..Attrs::default() }.kind();
    assert_eq!(kind(Some(0o100_644)), Some(FileKind::File));
    assert_eq!(kind(Some(0o120_777)), Some(FileKind::Symlink));
    // Devices, sockets and fifos.
    for other in [0o020_666, 0o060_660, 0o140_777, 0o010_644] {
        assert_eq!(kind(Some(other)), Some(FileKind::Other), "{other:o}");
    }
    assert_eq!((kind(Some(0o644)), kind(None)), (None, None));
}

/// A packet with two names, the second of which has extended attributes.
fn two_names() -> Vec<u8> {
    let second = [b"\0\0\0\x02..\0\0\0\0", EXTENDED_PAIRS].concat();
    [&b"\x68\0\0\0\x09\0\0\0\x02\0\0\0\x02\xff/\0\0\0\x04long\0\0\0\0"[..], &second].concat()
}

fn names(packet: &[u8]) -> Result<Vec<Name<'_>>, ProtocolError> {
    match Reply::parse(packet)? {
        Reply::Names { id: 9, names } => names.collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_are_bytes() {
    let packet = two_names();
    let attrs = Attrs { mode: Some(0o40_755), ..Attrs::default() };
    let first = Name { name: b"\xff/", long: b"long", attrs: Attrs::default() };
    let expected = vec![first, Name { name: b"..", long: b"", attrs }];
    assert_eq!(names(&packet), Ok(expected));
    assert_eq!(names(b"\x68\0\0\0\x09\0\0\0\0"), Ok(vec![]));
    assert_eq!(names(b"\x68\0\0\0\x09\0\0\0\0\0"), Err(ProtocolError::Trailing("NAME", 1)));
    let mut trailing = packet.clone();
    trailing.extend(b"123");
    assert_eq!(names(&trailing), Err(ProtocolError::Trailing("NAME", 3)));
    for end in 1..packet.len() {
        let error = names(&packet[..end]).unwrap_err();
        assert!(
            matches!(error, ProtocolError::Truncated("NAME") | ProtocolError::TooManyNames(2)),
            "{error}"
        );
    }
}

#[test]
fn a_count_of_names_is_no_reason_to_believe_in_them() {
    assert_eq!(names(b"\x68\0\0\0\x09\xff\xff\xff\xff"), Err(ProtocolError::TooManyNames(u32::MAX)));
    let text = "its SFTP packet is too short for the 4294967295 names that it announces";
    assert_eq!(ProtocolError::TooManyNames(u32::MAX).to_string(), text);
    // As many as could be there, but the first one takes up all the room.
    let packet = b"\x68\0\0\0\x09\0\0\0\x02\0\0\0\x0c123456789012\0\0\0\0\0\0\0\0";
    let Ok(Reply::Names { mut names, .. }) = Reply::parse(packet) else { panic!("no names") };
    assert_eq!(names.left(), 2);
    assert_eq!(names.next().unwrap().unwrap().name, b"123456789012");
    assert_eq!((names.left(), names.next()), (1, Some(Err(ProtocolError::Truncated("NAME")))));
    assert_eq!((names.left(), names.next(), names.next()), (0, None, None));
    // Nothing is read behind a name that is wrong.
    let packet = b"\x68\0\0\0\x09\0\0\0\x02\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let Ok(Reply::Names { mut names, .. }) = Reply::parse(packet) else { panic!("no names") };
    assert_eq!((names.next(), names.next()), (Some(Err(ProtocolError::Truncated("NAME"))), None));
}

#[test]
fn limits_are_four_numbers_to_which_a_later_version_may_add() {
    let body = [&[0; 7][..], &[1], &[0; 7], &[2], &[0; 7], &[3], &[0; 7], &[4]].concat();
    let limits = Limits { packet: 1, read: 2, write: 3, handles: 4 };
    assert_eq!(Limits::parse(&body), Ok(limits));
    assert_eq!(Limits::parse(&[&body[..], b"more"].concat()), Ok(limits));
    for end in 0..body.len() {
        assert_eq!(Limits::parse(&body[..end]), Err(ProtocolError::Truncated("EXTENDED_REPLY")));
    }
    let packet = [b"\xc9\0\0\0\x05", &body[..]].concat();
    assert_eq!(Reply::parse(&packet), Ok(Reply::Extended { id: 5, bytes: &body }));
}

#[test]
fn what_is_no_reply_is_refused() {
    for packet_type in
        (0..=255).filter(|packet_type| ![2, 101, 102, 103, 104, 105, 201].contains(packet_type))
    {
        assert_eq!(fault(&[packet_type, 0, 0, 0, 1]), ProtocolError::Type(packet_type));
    }
    assert_eq!(fault(b""), ProtocolError::Empty);
    let text = "it sent an SFTP packet of type 3, which is no reply";
    assert_eq!(ProtocolError::Type(3).to_string(), text);
}

/// The names of types are the same in errors and of replies.
#[test]
fn a_reply_has_the_name_and_the_number_of_its_packet() {
    let packets: [(&[u8], &str); 6] = [
        (b"\x65\0\0\0\x07\0\0\0\x02", "STATUS"),
        (b"\x66\0\0\0\x07\0\0\0\0", "HANDLE"),
        (b"\x67\0\0\0\x07\0\0\0\0", "DATA"),
        (b"\x68\0\0\0\x07\0\0\0\0", "NAME"),
        (b"\x69\0\0\0\x07\0\0\0\0", "ATTRS"),
        (b"\xc9\0\0\0\x07", "EXTENDED_REPLY"),
    ];
    for (packet, name) in packets {
        let reply = Reply::parse(packet).unwrap();
        assert_eq!((reply.name(), reply.id()), (name, Some(7)));
        assert_eq!(fault(&packet[..4]), ProtocolError::Truncated(name));
    }
    let version = Reply::parse(b"\x02\0\0\0\x03").unwrap();
    assert_eq!((version.name(), version.id()), ("VERSION", None));
}

#[test]
fn a_shell_that_prints_before_sftp_is_an_error_at_once() {
    let said = b"Welcome to web1\n";
    let error = Decoder::default().feed(said, |_| Ok::<_, ProtocolError>(())).unwrap_err();
    assert_eq!(error.to_string(), "its SFTP packet is 1466264675 bytes long, more than 263168");
}
