//! Maps libssh's error texts to [`LinkErrorKind`].
//!
//! libssh has one error text per session, and a later error overwrites it. For example, a key
//! exchange without a common algorithm ends with the text "Socket error: disconnected". So the
//! first line that libssh's client state machine logged during the same pump takes precedence over
//! the error text.

use super::algorithms::explain_mismatch;
use crate::link::{LinkError, LinkErrorKind};

/// Error texts for a packet that was altered or cannot be decrypted. Before the first keys are in
/// use, these texts mean that the packet is malformed.
const UNREADABLE: [&str; 7] = [
    "HMAC error",
    "Decryption error",
    "Invalid padding",
    "Packet too short to read",
    "must be used on multiple of",
    "on at least one blocksize",
    "Given numbers of bytes left to be read < 0",
];

/// Error texts which mean that the host does not hold the private half of the key that it shows, or
/// that the key exchange was altered in transit. The second text is about a signature made with an
/// algorithm that was not offered.
const SIGNATURE: [&str; 2] = ["Failed to verify server hostkey signature", "doesn't match user preference"];

/// If libssh's error text begins with one of these, it is left over from an earlier call. The first
/// is about known_hosts files, which libssh is not given. The second is about a keepalive request,
/// which servers answer with a refusal.
const STALE: [&str; 2] = ["Can't verify server in known hosts", "Global request "];

/// libssh's text for a line of more than 255 bytes before the server's version, or a version of
/// that length (RFC 4253 section 4.2 limits only the version).
const LONG_LINE: &str = "too large banner";

const NOT_SSH: [&str; 3] = ["banner", "No version of SSH protocol usable", "Protocol mismatch"];

const PROTOCOL: [&str; 13] = [
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
    "overflows remote window",
    "in packet",
];

/// The operating system's texts for a broken connection. If the first read or write on a connection
/// fails, libssh reports such a text without any prefix.
const BROKEN: [&str; 5] = [
    "Connection reset by peer",
    "Connection timed out",
    "No route to host",
    "Network is unreachable",
    "Broken pipe",
];

const DISCONNECT: &str = "Received SSH_MSG_DISCONNECT: ";

/// Classifies a fatal error by its root cause or, if none was logged, by the session's error text.
///
/// `encrypted` says whether the peer's packets are encrypted. Only then can they fail to decrypt.
/// `first_keys` says whether the first keys have been agreed on and the host's signature has not
/// been verified yet.
pub(super) fn fatal(text: &str, root_cause: Option<&str>, encrypted: bool, first_keys: bool) -> LinkError {
    if let Some(error) = disconnect(text) {
        return error;
    }
    let text = root_cause.unwrap_or(text);
    let unreadable = if encrypted { LinkErrorKind::Integrity } else { LinkErrorKind::Protocol };
    // For some packets that it cannot read, and for a signature that it cannot read, libssh sets no
    // error text.
    if text.is_empty() || STALE.iter().any(|stale| text.starts_with(stale)) {
        return if first_keys {
            LinkError::new(LinkErrorKind::Integrity, "the host's signature cannot be read")
        } else {
            LinkError::new(unreadable, "a packet that cannot be read")
        };
    }
    if let Some(explained) = explain_mismatch(text) {
        return LinkError::new(LinkErrorKind::NoCommonAlgorithm, explained);
    }
    let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    let kind = if text.contains(LONG_LINE) {
        let text = "a line before its version has more than the 255 bytes that libssh reads";
        return LinkError::new(LinkErrorKind::NotSsh, text);
    } else if let Some(length) = packet_length(text) {
        let text = format!(
            "a packet of {length} bytes was announced, more than the 262144 that libssh reads: it was \
             altered, or the server sends packets of that size"
        );
        return LinkError::new(unreadable, text);
    } else if text.contains("kex error") {
        LinkErrorKind::NoCommonAlgorithm
    } else if has(&SIGNATURE) {
        LinkErrorKind::Integrity
    } else if has(&UNREADABLE) {
        unreadable
    } else if has(&NOT_SSH) {
        LinkErrorKind::NotSsh
    } else if text.starts_with("Socket error") || text.starts_with("Writing packet") || BROKEN.contains(&text)
    {
        LinkErrorKind::Lost
    } else if has(&PROTOCOL) {
        LinkErrorKind::Protocol
    } else {
        LinkErrorKind::Other
    };
    LinkError::new(kind, lost_text(kind, text))
}

/// Parses a text such as "Received SSH_MSG_DISCONNECT: 2:Too many authentication failures".
fn disconnect(text: &str) -> Option<LinkError> {
    let (_, rest) = text.split_once(DISCONNECT)?;
    let (code, message) = rest.split_once(':').unwrap_or((rest, ""));
    let code = code.trim().parse().ok()?;
    Some(LinkError::new(LinkErrorKind::Disconnected(code), message.trim()))
}

/// Parses a text such as "read_packet(): Packet len too high(307219 4b013)".
fn packet_length(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Packet len too high(")?;
    rest.split(' ').next()?.parse().ok()
}

/// Replaces misleading texts about a lost connection. For example, libssh reports an end of stream
/// as "Socket error: disconnected" or as "Success".
fn lost_text(kind: LinkErrorKind, text: &str) -> String {
    if kind != LinkErrorKind::Lost {
        return text.to_owned();
    }
    match text.strip_prefix("Socket error: ") {
        // The last two texts describe an errno value that is left over from an earlier call on the
        // non-blocking socket.
        Some(
            "disconnected"
            | "Success"
            | ""
            | "Operation now in progress"
            | "Resource temporarily unavailable",
        ) => "the peer closed the connection".to_owned(),
        Some(cause) => cause.to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> LinkErrorKind {
        fatal(text, None, true, false).kind
    }

    #[test]
    fn disconnect_carries_reason_and_text() {
        let error =
            fatal("Received SSH_MSG_DISCONNECT: 2:Too many authentication failures", None, true, false);
        assert_eq!(error, LinkError::new(LinkErrorKind::Disconnected(2), "Too many authentication failures"));
    }

    #[test]
    fn a_disconnect_text_with_colons_stays_whole() {
        let error = fatal("Received SSH_MSG_DISCONNECT: 11:a: b", None, true, false);
        assert_eq!(error.text, "a: b");
    }

    #[test]
    fn root_cause_outranks_the_overwritten_text() {
        let error = fatal(
            "Socket error: disconnected",
            Some("kex error : no match for method mac algo"),
            true,
            false,
        );
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
        let overflow = "Window adjust 4294967295 overflows remote window.";
        assert_eq!(kind(overflow), LinkErrorKind::Protocol);
        assert_eq!(kind("Connection reset by peer"), LinkErrorKind::Lost);
        assert_eq!(kind("something else"), LinkErrorKind::Other);
    }

    #[test]
    fn a_packet_that_cannot_be_read_is_a_matter_of_integrity_under_a_cipher_only() {
        for text in [
            "",
            "Global request keepalive@openssh.com failed",
            "HMAC error",
            "read_packet(): Packet len too high(3029 3a)",
        ] {
            assert_eq!(fatal(text, None, true, false).kind, LinkErrorKind::Integrity);
            assert_eq!(fatal(text, None, false, false).kind, LinkErrorKind::Protocol);
        }
        let unsigned = fatal("Can't verify server in known hosts if the host is not set", None, false, true);
        let text = "the host's signature cannot be read";
        assert_eq!(unsigned, LinkError::new(LinkErrorKind::Integrity, text));
        let forged = "Failed to verify server hostkey signature";
        assert_eq!(fatal(forged, None, false, false).kind, LinkErrorKind::Integrity);
    }

    /// libssh's own limits say nothing about the peer.
    #[test]
    fn limits_of_libssh_are_named() {
        let line = fatal("Receiving banner: too large banner", None, false, false);
        assert_eq!(line.kind, LinkErrorKind::NotSsh);
        assert!(line.text.ends_with("more than the 255 bytes that libssh reads"), "{}", line.text);
        for (encrypted, kind) in [(true, LinkErrorKind::Integrity), (false, LinkErrorKind::Protocol)] {
            let packet = fatal("read_packet(): Packet len too high(307219 4b013)", None, encrypted, false);
            assert_eq!(packet.kind, kind);
            let text = "a packet of 307219 bytes was announced, more than the 262144 that libssh reads";
            assert!(packet.text.starts_with(text), "{}", packet.text);
        }
    }

    #[test]
    fn end_of_stream_is_said_plainly() {
        assert_eq!(
            fatal("Socket error: disconnected", None, true, false).text,
            "the peer closed the connection"
        );
        let reset = fatal("Socket error: Connection reset by peer", None, true, false);
        assert_eq!(reset, LinkError::new(LinkErrorKind::Lost, "Connection reset by peer"));
    }
}
