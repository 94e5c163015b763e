//! `getaddrinfo` on helper threads, for sites whose names come from NSS modules. It needs threads
//! because a call blocks and cannot be cancelled.

use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;

use super::{Finished, LookupError, LookupId};
use crate::reactor::workers::Job;

/// One call of `getaddrinfo`.
pub(super) struct Call {
    pub host: Arc<str>,
    pub port: u16,
    pub id: LookupId,
    pub owner: usize,
}

impl Job for Call {
    type Done = Finished;

    fn run(self) -> Finished {
        let result = (&*self.host, self.port).to_socket_addrs();
        let result = result.map(Iterator::collect).map_err(|e| classify(&e));
        Finished { id: self.id, owner: self.owner, result }
    }

    fn refuse(self, cause: &io::Error) -> Finished {
        let text = format!("cannot start a thread for the lookup: {cause}");
        Finished { id: self.id, owner: self.owner, result: Err(LookupError::SystemResolver(text)) }
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
