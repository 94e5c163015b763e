//! The target that reads what an SFTP server sends.

use super::assert_clean;
use crate::limits;
use crate::sftp::peer::{self, Received};
use crate::sftp::{Decoder, Limits, ProtocolError, Reply};

/// Any bytes as the output of a server, in pieces of the size given by the first byte; and as the
/// requests of a client.
///
/// The oracles: however a stream is split, it contains the same replies; a reply that is encoded
/// again has the same meaning, and is no longer than what was sent; the memory follows what has
/// arrived; errors are safe for a terminal; a request that is encoded again has the same meaning.
pub fn sftp(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else { return };
    let whole = replies(stream, usize::MAX);
    assert_eq!(replies(stream, usize::from(size).max(1)), whole, "pieces of {size}");
    check_requests(stream);
}

/// The replies of a stream that arrives in pieces, encoded again, and what ends them.
fn replies(stream: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<ProtocolError>) {
    let (mut decoder, mut found, mut arrived) = (Decoder::default(), Vec::new(), 0);
    for piece in stream.chunks(size) {
        arrived += piece.len();
        let each = |reply: Reply<'_>| {
            found.push(check(&reply));
            Ok::<_, ProtocolError>(())
        };
        if let Err(error) = decoder.feed(piece, each) {
            assert_clean(&error.to_string());
            return (found, Some(error));
        }
        let most = (2 * arrived).clamp(8, limits::SFTP_PACKET + 4);
        assert!(decoder.held() <= most, "{} bytes for {arrived}", decoder.held());
        assert!(decoder.is_partial() || decoder.held() == 0, "memory between two packets");
    }
    let length: usize = found.iter().map(Vec::len).sum();
    // The language of a status, which servers may leave out, and the text.
    assert!(length <= arrived + 8 * found.len(), "{length} bytes from {arrived}");
    (found, None)
}

/// The reply as a server would have encoded it.
fn check(reply: &Reply<'_>) -> Vec<u8> {
    let encoded = peer::encode(reply);
    let again = Reply::parse(&encoded[4..]).unwrap_or_else(|error| panic!("{error}: {reply:?}"));
    match (reply, again) {
        (Reply::Names { id, names }, Reply::Names { id: same, names: again }) => {
            assert_eq!(*id, same);
            let left = names.left();
            let (all, faults): (Vec<_>, Vec<_>) = names.clone().partition(Result::is_ok);
            assert!(faults.len() <= 1 && all.len() <= left as usize, "{reply:?}");
            assert!(faults.len() == 1 || all.len() == left as usize, "{reply:?}");
            for fault in faults {
                assert_clean(&fault.err().map(|error| error.to_string()).unwrap_or_default());
            }
            assert_eq!(again.collect::<Vec<_>>(), all);
        }
        (reply, again) => assert_eq!(*reply, again),
    }
    match reply {
        Reply::Handle { handle, .. } => assert!(handle.len() <= limits::SFTP_HANDLE),
        Reply::Status { code, .. } => assert_clean(&code.to_string()),
        Reply::Extended { bytes, .. } => assert_eq!(Limits::parse(bytes).is_ok(), bytes.len() >= 32),
        _ => {}
    }
    encoded
}

fn check_requests(mut stream: &[u8]) {
    while let Ok(Some(Received { id, request, data, rest })) = peer::receive(stream) {
        let mut encoded = Vec::new();
        request.encode(id, &mut encoded);
        encoded.extend_from_slice(data);
        let Ok(Some(again)) = peer::receive(&encoded) else { panic!("{request:?}") };
        assert_eq!((&again.request, again.data, again.rest), (&request, data, &[][..]));
        stream = rest;
    }
}
