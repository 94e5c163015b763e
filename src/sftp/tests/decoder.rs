use proptest::prelude::*;
use proptest::sample::Index;

use super::framed;
use crate::limits;
use crate::sftp::peer;
use crate::sftp::{Attrs, Decoder, Extensions, Name, ProtocolError, Reply, StatusCode, Times};

/// Feeds these bytes, and returns the replies as a server would have encoded them.
fn feed(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let mut replies = Vec::new();
    decoder.feed(bytes, |reply| {
        replies.push(peer::encode(&reply));
        Ok::<_, ProtocolError>(())
    })?;
    Ok(replies)
}

#[test]
fn a_stream_may_come_byte_by_byte() {
    let first = peer::status(1, StatusCode::Ok, b"Success");
    let second = peer::encode(&Reply::Data { id: 2, bytes: b"bytes" });
    let mut decoder = Decoder::default();
    for packet in [&first, &second] {
        let (last, start) = packet.split_last().unwrap();
        for byte in start {
            assert_eq!(feed(&mut decoder, &[*byte]), Ok(vec![]));
            assert!(decoder.is_partial());
        }
        assert_eq!(feed(&mut decoder, &[*last]), Ok(vec![packet.clone()]));
        assert!(!decoder.is_partial());
    }
    assert_eq!(feed(&mut decoder, &[]), Ok(vec![]));
}

#[test]
fn whole_packets_are_not_copied() {
    let packet = peer::encode(&Reply::Data { id: 2, bytes: &[7; 32_768] });
    let stream = packet.repeat(4);
    let mut decoder = Decoder::default();
    let within = |reply: Reply<'_>| {
        let Reply::Data { bytes, .. } = reply else { panic!("{reply:?}") };
        assert!(stream.as_ptr_range().contains(&bytes.as_ptr()));
        Ok::<_, ProtocolError>(())
    };
    decoder.feed(&stream, within).unwrap();
    assert_eq!(decoder.held(), 0);
    // The start of a packet is copied, and with the end of the packet the copy is gone.
    assert_eq!(feed(&mut decoder, &stream[..packet.len() + 10]).unwrap().len(), 1);
    assert!((10..=20).contains(&decoder.held()), "{}", decoder.held());
    assert_eq!(feed(&mut decoder, &stream[packet.len() + 10..]).unwrap().len(), 3);
    assert_eq!(decoder.held(), 0);
}

#[test]
fn a_long_packet_is_refused_from_its_length_alone() {
    let longest = u32::try_from(limits::SFTP_PACKET).unwrap();
    for (length, pieces) in [(longest + 1, 1), (u32::MAX, 1), (longest + 1, 4), (u32::MAX, 4)] {
        let mut decoder = Decoder::default();
        let head = length.to_be_bytes();
        let results: Vec<_> = head.chunks(4 / pieces).map(|piece| feed(&mut decoder, piece)).collect();
        assert_eq!(results.last(), Some(&Err(ProtocolError::TooLong(length))));
        assert!(decoder.held() <= 4, "{}", decoder.held());
    }
    let mut decoder = Decoder::default();
    assert_eq!(feed(&mut decoder, &longest.to_be_bytes()), Ok(vec![]));
    assert!(decoder.held() <= 8, "{}", decoder.held());
}

#[test]
fn a_packet_without_bytes_is_an_error() {
    assert_eq!(feed(&mut Decoder::default(), &[0; 4]), Err(ProtocolError::Empty));
    assert_eq!(feed(&mut Decoder::default(), &framed(b"\x02")), Err(ProtocolError::Truncated("VERSION")));
}

/// An error of the caller ends the call, and the rest of the stream is not looked at.
#[test]
fn a_caller_can_stop() {
    #[derive(Debug, PartialEq)]
    enum Stop {
        Enough,
        Protocol,
    }
    impl From<ProtocolError> for Stop {
        fn from(_: ProtocolError) -> Self {
            Self::Protocol
        }
    }
    let status = peer::status(1, StatusCode::Ok, b"");
    let stream = [&status[..], &status, b"\0\0\0\0"].concat();
    for cut in 0..=status.len() {
        let (mut decoder, mut calls) = (Decoder::default(), 0);
        let mut stop = |_: Reply<'_>| {
            calls += 1;
            Err(Stop::Enough)
        };
        let start = decoder.feed(&stream[..cut], &mut stop);
        if cut < status.len() {
            assert_eq!((start, decoder.feed(&stream[cut..], &mut stop)), (Ok(()), Err(Stop::Enough)));
        } else {
            assert_eq!(start, Err(Stop::Enough));
        }
        assert_eq!(calls, 1);
        let all = Decoder::default().feed(&stream, |_| Ok(()));
        assert_eq!(all, Err(Stop::Protocol));
    }
}

/// The memory follows what has arrived, not what a length claims, and never exceeds one packet.
#[test]
fn memory_is_bounded() {
    let longest = u32::try_from(limits::SFTP_PACKET).unwrap();
    let packet = [&longest.to_be_bytes()[..], b"\xc9\0\0\0\x01", &[0; limits::SFTP_PACKET - 5]].concat();
    for piece in [1, 7, 1000, 32 * 1024] {
        let (mut decoder, mut arrived, mut replies) = (Decoder::default(), 0, 0);
        for bytes in packet.chunks(piece) {
            replies += feed(&mut decoder, bytes).unwrap().len();
            arrived += bytes.len();
            let most = (2 * arrived).min(packet.len()).max(4);
            assert!(decoder.held() <= most, "{} bytes for {arrived}", decoder.held());
        }
        assert_eq!((replies, decoder.held()), (1, 0));
    }
}

fn attrs() -> impl Strategy<Value = Attrs> {
    let times = any::<(u32, u32)>().prop_map(|(access, modified)| Times { access, modified });
    (any::<Option<u64>>(), any::<Option<(u32, u32)>>(), any::<Option<u32>>(), prop::option::of(times))
        .prop_map(|(size, ids, mode, times)| Attrs { size, ids, mode, times })
}

/// A reply as a server encodes it.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    let extensions = any::<[bool; 3]>().prop_map(|[posix_rename, fsync, limits]| Extensions {
        posix_rename,
        fsync,
        limits,
    });
    let name = (bytes(), bytes(), attrs());
    prop_oneof![
        (any::<u32>(), extensions)
            .prop_map(|(version, extensions)| peer::encode(&Reply::Version { version, extensions })),
        (any::<u32>(), any::<u32>(), bytes()).prop_map(|(id, code, text)| peer::status(
            id,
            code.into(),
            &text
        )),
        (any::<u32>(), bytes()).prop_map(|(id, handle)| peer::encode(&Reply::Handle { id, handle: &handle })),
        (any::<u32>(), bytes()).prop_map(|(id, bytes)| peer::encode(&Reply::Data { id, bytes: &bytes })),
        (any::<u32>(), attrs()).prop_map(|(id, attrs)| peer::encode(&Reply::Attrs { id, attrs })),
        (any::<u32>(), bytes()).prop_map(|(id, bytes)| peer::encode(&Reply::Extended { id, bytes: &bytes })),
        (any::<u32>(), prop::collection::vec(name, 0..5)).prop_map(|(id, all)| {
            let all: Vec<Name<'_>> =
                all.iter().map(|(name, long, attrs)| Name { name, long, attrs: *attrs }).collect();
            peer::names(id, &all)
        }),
    ]
}

proptest! {
    /// Encoded again, a reply has the same bytes, so it says what the server meant.
    #[test]
    fn replies_are_the_same_however_a_stream_is_cut(
        packets in prop::collection::vec(packet(), 0..12),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let stream = packets.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let (mut decoder, mut replies) = (Decoder::default(), Vec::new());
        for pair in cuts.windows(2) {
            replies.extend(feed(&mut decoder, &stream[pair[0]..pair[1]]).unwrap());
        }
        prop_assert_eq!(replies, packets);
        prop_assert_eq!(decoder.held(), 0);
    }

    #[test]
    fn any_bytes_are_replies_or_an_error(bytes: Vec<u8>) {
        let packet = framed(&bytes);
        let mut decoder = Decoder::default();
        if let Ok(replies) = feed(&mut decoder, &packet) {
            prop_assert_eq!(replies.len(), 1);
        }
        prop_assert_eq!(decoder.held(), 0);
    }
}
