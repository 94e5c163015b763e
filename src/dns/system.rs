//! `getaddrinfo` on helper threads, for sites whose names come from NSS modules. It needs threads
//! because a call blocks and cannot be cancelled.

use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;

use super::{LookupError, LookupId, LookupResult};
use crate::reactor::workers::Job;

/// One call of `getaddrinfo`.
pub(super) struct Call {
    pub host: Arc<str>,
    pub port: u16,
    pub id: LookupId,
}

/// The result of a call.
pub(super) struct CallResult {
    pub id: LookupId,
    pub result: LookupResult,
}

impl Job for Call {
    type Done = CallResult;

    fn run(self) -> CallResult {
        let result = (&*self.host, self.port).to_socket_addrs();
        CallResult { id: self.id, result: result.map(Iterator::collect).map_err(|e| classify(&e)) }
    }

    fn refuse(self, cause: &io::Error) -> CallResult {
        let text = format!("cannot start a thread for the lookup: {cause}");
        CallResult { id: self.id, result: Err(LookupError::SystemResolver(text)) }
    }
}

/// Classifies an error by its text, because `std` keeps only the text of `getaddrinfo`'s code.
/// EAI_AGAIN and EAI_SYSTEM say nothing about the name.
fn classify(error: &io::Error) -> LookupError {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned();
    let about_us =
        error.raw_os_error().is_some() || text.contains("Temporary failure") || text.contains("System error");
    if about_us { LookupError::SystemResolver(text) } else { LookupError::SystemUnknown(text) }
}
