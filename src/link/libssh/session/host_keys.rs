//! The key that a server shows, and which host keys it has, as its first message (KEXINIT) lists
//! them. Only libssh's log has that list.

use super::SshSession;
use crate::hostkey::BlobReader;
use crate::link::algorithms::Algorithms;
use crate::link::libssh::options::require_rsa_bits;
use crate::link::{LinkError, LinkErrorKind};

/// libssh cuts longer log lines.
const LINE_MAX: usize = 1000;

/// The lists of host key algorithms of a handshake.
pub(super) struct HostKeyLists {
    offered: Box<str>,
    server: Option<Box<str>>,
}

impl HostKeyLists {
    pub(super) fn new(offered: &str) -> Self {
        Self { offered: offered.into(), server: None }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.server.is_some()
    }

    /// Records the server's list, if it is among those that libssh has logged. libssh logs the list
    /// of this end in the same way.
    pub(super) fn note(&mut self, logged: Vec<String>) {
        let is_server = |list: &String| **list != *self.offered && list.len() < LINE_MAX;
        if let Some(list) = logged.into_iter().find(is_server) {
            self.server = Some(list.into());
        }
    }
}

impl SshSession {
    /// The server's public key as a wire blob.
    pub(crate) fn server_key(&mut self) -> Result<Vec<u8>, LinkError> {
        let no_key = || LinkError::new(LinkErrorKind::Protocol, "no server key after the handshake");
        let key = self.raw.server_key().ok_or_else(no_key)?;
        let key_type = BlobReader::new(&key).string().unwrap_or_default();
        let key_type = String::from_utf8_lossy(key_type);
        self.algorithms = self.raw.algorithms(self.group_exchange, &key_type);
        // Not earlier: libssh reports a host key that is too short as a wrong signature.
        if let Some(bits) = self.rsa_bits_min {
            require_rsa_bits(&mut self.raw, bits)?;
        }
        Ok(key)
    }

    /// The algorithms of the connection, once the [server's key](Self::server_key) was asked for.
    pub(crate) fn algorithms(&self) -> Algorithms {
        self.algorithms.clone()
    }

    /// The host key algorithms that the server has listed, if the list is known. It is known at
    /// most if the caller has chosen the algorithms to offer.
    pub(crate) fn listed_host_keys(&self) -> Option<&str> {
        self.host_keys.as_ref()?.server.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_that_of_the_server() {
        let mut lists = HostKeyLists::new("ssh-ed25519,rsa-sha2-512");
        lists.note(vec![lists.offered.to_string()]);
        assert_eq!(lists.server, None);
        lists.note(vec![lists.offered.to_string(), "ssh-ed25519".to_owned()]);
        assert_eq!(lists.server.as_deref(), Some("ssh-ed25519"));
    }

    #[test]
    fn a_list_that_may_be_cut_is_not_used() {
        let mut lists = HostKeyLists::new("ssh-ed25519");
        lists.note(vec!["x,".repeat(LINE_MAX / 2)]);
        assert_eq!(lists.server, None);
    }
}
