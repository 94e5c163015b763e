//! Why a link has failed, or could not do something.

/// The failure of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkError {
    pub kind: LinkErrorKind,
    /// The error text from libssh or the operating system.
    pub text: String,
}

/// The kind of a link's failure, as far as the error text reveals it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkErrorKind {
    /// The peer closed the connection, or the socket failed.
    Lost,
    /// Like [`Lost`](Self::Lost), but it happened before the peer sent its version line.
    Dropped,
    /// The peer has sent SSH_MSG_DISCONNECT with this reason code.
    Disconnected(u32),
    /// The peer does not speak SSH 2.
    NotSsh,
    /// For some kind of algorithm (such as ciphers), client and server have none in common.
    NoCommonAlgorithm,
    /// A packet could not be decrypted, or its MAC or the host's signature is wrong.
    Integrity,
    /// The peer has sent a malformed or unexpected message.
    Protocol,
    /// The server wants a new password instead of the one that it was sent.
    PasswordExpired,
    /// The server has refused a request. The connection is still up.
    Denied,
    /// The channel's maximum packet size leaves no room for data.
    Unwritable,
    /// A limit of this process or of libssh has been reached.
    Limit,
    /// Any other failure.
    Other,
}

impl LinkError {
    pub(crate) fn new(kind: LinkErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}
