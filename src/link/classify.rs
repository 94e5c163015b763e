//! What a failure was, from the texts that libssh leaves.
//!
//! libssh has one error string per session and overwrites it: a key exchange that found no common algorithm ends as
//! "Socket error: disconnected". So the first line that its client state machine logged in the same pump outranks it.

use super::{LinkError, LinkErrorKind};

/// Texts of a packet that does not decrypt to what its sender made. Before the first keys they mean a malformed packet.
const INTEGRITY: [&str; 9] = [
    "HMAC error",
    "Decryption error",
    "Packet len too high",
    "Invalid padding",
    "Packet too short to read",
    "Failed to verify server hostkey signature",
    "must be used on multiple of",
    "on at least one blocksize",
    "Given numbers of bytes left to be read < 0",
];

const NOT_SSH: [&str; 3] = ["banner", "No version of SSH protocol usable", "Protocol mismatch"];

const PROTOCOL: [&str; 12] = [
    "wrong state",
    "Wrong state",
    "Invalid state",
    "strict KEX",
    "rejected packet",
    "Invalid packet",
    "Invalid SSH_MSG",
    "invalid channel",
    "Unknown channel id",
    "short read",
    "Window exceeded",
    "in packet",
];

const DISCONNECT: &str = "Received SSH_MSG_DISCONNECT: ";

/// Classifies a fatal error by the session's error text and, where one was logged, its root cause.
pub(super) fn fatal(text: &str, root_cause: Option<&str>) -> LinkError {
    if let Some(error) = disconnect(text) {
        return error;
    }
    let text = root_cause.unwrap_or(text);
    let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    let kind = if text.contains("kex error") {
        LinkErrorKind::NoCommonAlgorithm
    } else if has(&INTEGRITY) {
        LinkErrorKind::Integrity
    } else if has(&NOT_SSH) {
        LinkErrorKind::NotSsh
    } else if text.starts_with("Socket error") || text.starts_with("Writing packet") {
        LinkErrorKind::Lost
    } else if has(&PROTOCOL) {
        LinkErrorKind::Protocol
    } else {
        LinkErrorKind::Other
    };
    LinkError::new(kind, lost_text(kind, text))
}

/// "Received SSH_MSG_DISCONNECT: 2:Too many authentication failures".
fn disconnect(text: &str) -> Option<LinkError> {
    let (_, rest) = text.split_once(DISCONNECT)?;
    let (code, message) = rest.split_once(':').unwrap_or((rest, ""));
    let code = code.trim().parse().ok()?;
    Some(LinkError::new(LinkErrorKind::Disconnected(code), message.trim()))
}

/// libssh's wording of an end of stream says "Socket error: disconnected", or a success: both mislead.
fn lost_text(kind: LinkErrorKind, text: &str) -> String {
    if kind != LinkErrorKind::Lost {
        return text.to_owned();
    }
    match text.strip_prefix("Socket error: ") {
        Some("disconnected" | "Success" | "") => "the peer closed the connection".to_owned(),
        Some(cause) => cause.to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> LinkErrorKind {
        fatal(text, None).kind
    }

    #[test]
    fn disconnect_carries_reason_and_text() {
        let error = fatal("Received SSH_MSG_DISCONNECT: 2:Too many authentication failures", None);
        assert_eq!(error, LinkError::new(LinkErrorKind::Disconnected(2), "Too many authentication failures"));
    }

    #[test]
    fn a_disconnect_text_with_colons_stays_whole() {
        let error = fatal("Received SSH_MSG_DISCONNECT: 11:a: b", None);
        assert_eq!(error.text, "a: b");
    }

    #[test]
    fn root_cause_outranks_the_overwritten_text() {
        let error = fatal("Socket error: disconnected", Some("kex error : no match for method mac algo"));
        assert_eq!(error.kind, LinkErrorKind::NoCommonAlgorithm);
    }

    #[test]
    fn texts_map_to_kinds() {
        assert_eq!(kind("HMAC error"), LinkErrorKind::Integrity);
        assert_eq!(kind("read_packet(): Packet len too high(3029 3a)"), LinkErrorKind::Integrity);
        assert_eq!(kind("Decryption error"), LinkErrorKind::Integrity);
        assert_eq!(kind("Receiving banner: too large banner"), LinkErrorKind::NotSsh);
        assert_eq!(kind("No version of SSH protocol usable (banner: SSH-1.5-x)"), LinkErrorKind::NotSsh);
        assert_eq!(kind("Received unexpected packets in strict KEX mode."), LinkErrorKind::Protocol);
        assert_eq!(kind("Server specified invalid channel 7"), LinkErrorKind::Protocol);
        assert_eq!(kind("something else"), LinkErrorKind::Other);
    }

    #[test]
    fn end_of_stream_is_said_plainly() {
        assert_eq!(fatal("Socket error: disconnected", None).text, "the peer closed the connection");
        let reset = fatal("Socket error: Connection reset by peer", None);
        assert_eq!(reset, LinkError::new(LinkErrorKind::Lost, "Connection reset by peer"));
    }
}
