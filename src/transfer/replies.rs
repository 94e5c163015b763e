//! What the answers to requests mean.

use crate::error::{RemotePath, TransferProblem};
use crate::limits;
use crate::sftp::{Reply, StatusCode};

/// A status that says that a request was not carried out.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub code: StatusCode,
    /// What the server says about it.
    pub text: String,
    /// What to look at if the status does not say enough.
    pub hint: &'static str,
}

impl Refusal {
    /// A failure that the server has not explained.
    pub(super) fn failure(hint: &'static str) -> Self {
        Self { code: StatusCode::Failure, text: String::new(), hint }
    }

    /// The same refusal, with what to look at.
    pub(super) fn hinting(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    /// The problem if this was requested for this path.
    pub(super) fn problem(self, action: &'static str, path: &[u8]) -> TransferProblem {
        let Self { code, text, hint } = self;
        let hint = if code == StatusCode::Failure { hint } else { "" };
        let (path, status) = (RemotePath::new(path), code.to_string());
        TransferProblem::Refused { action, path, status, text, hint }
    }
}

/// Whether a request without a result was carried out.
pub(super) fn done(reply: &Reply<'_>) -> Result<Result<(), Refusal>, TransferProblem> {
    match reply {
        Reply::Status { code: StatusCode::Ok, .. } => Ok(Ok(())),
        other => refused(other).map(Err),
    }
}

/// How many bytes a read of `len` bytes has returned: at least one, and not more than that.
pub(super) fn read_length(len: u32, bytes: &[u8]) -> Result<u32, TransferProblem> {
    match u32::try_from(bytes.len()).unwrap_or(u32::MAX) {
        found if found == 0 || found > len => {
            Err(TransferProblem::Protocol(format!("a read of {len} bytes returned {found}")))
        }
        found => Ok(found),
    }
}

/// The refusal of a request that has no other answer than the one that the caller has ruled out.
pub(super) fn refused(reply: &Reply<'_>) -> Result<Refusal, TransferProblem> {
    match reply {
        Reply::Status { code: StatusCode::Ok, .. } => {
            Err(TransferProblem::Protocol("success instead of a result".to_owned()))
        }
        Reply::Status { code, text, .. } => {
            let text = &text[..text.len().min(limits::PEER_TEXT)];
            Ok(Refusal { code: *code, text: String::from_utf8_lossy(text).into_owned(), hint: "" })
        }
        other => {
            let text = format!("the answer to a request is {}", other.name());
            Err(TransferProblem::Protocol(text))
        }
    }
}
