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
}

impl Refusal {
    /// The problem if this was requested for this path.
    pub(super) fn problem(self, action: &'static str, path: &[u8]) -> TransferProblem {
        let Self { code, text } = self;
        TransferProblem::Refused { action, path: RemotePath::new(path), status: code.to_string(), text }
    }
}

/// Whether a request without a result was carried out.
pub(super) fn done(reply: &Reply<'_>) -> Result<Result<(), Refusal>, TransferProblem> {
    match reply {
        Reply::Status { code: StatusCode::Ok, .. } => Ok(Ok(())),
        other => refused(other).map(Err),
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
            Ok(Refusal { code: *code, text: String::from_utf8_lossy(text).into_owned() })
        }
        other => {
            let text = format!("the answer to a request is {}", other.name());
            Err(TransferProblem::Protocol(text))
        }
    }
}
