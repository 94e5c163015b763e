//! What a scan has found out about a host.
//!
//! A handshake shows one key of a host. A scan therefore connects once for each type of key that
//! the host has: it offers all algorithms, then those of the types that the host has not shown, and
//! so on. It ends when the list in the host's own KEXINIT shows that there are no further keys. If
//! that list is not known, it ends when a handshake finds no common algorithm. There is one
//! connection at a time, and none of them logs in.

use std::sync::Arc;

use super::Target;
use super::failure::Failure;
use crate::error::{HostError, HostErrorKind};
use crate::hostkey::{KeyType, Location, ScannedKey, ScannedKeys, Verification};
use crate::link::LinkErrorKind;
use crate::link::algorithms::Offered;

/// A scan of one host.
#[derive(Debug)]
pub(super) struct Scan {
    found: ScannedKeys,
    /// Whether the host has shown keys of all types that it has.
    has_all: bool,
}

impl Scan {
    pub(super) fn new(target: &Target) -> Self {
        let (name, port) = &target.recorded;
        Self { found: ScannedKeys::new(name, *port), has_all: false }
    }

    /// Whether the host has shown a key.
    pub(super) fn has_keys(&self) -> bool {
        !self.found.keys().is_empty()
    }

    /// The host key algorithms for which the host has not been asked.
    pub(super) fn unseen(&self, offered: &Offered) -> String {
        offered.host_keys.split(',').filter(|name| !self.found.has(name)).collect::<Vec<_>>().join(",")
    }

    /// Whether the host has been asked for all of its keys. `listed` are the algorithms that it has
    /// listed, if they are known.
    pub(super) fn is_complete(&self, offered: &Offered, listed: Option<&str>) -> bool {
        let unseen = self.unseen(offered);
        self.has_all
            || unseen.is_empty()
            || listed.is_some_and(|listed| first_common(&unseen, listed).is_none())
    }

    /// Prepares to look for the key in all lines. A key of a type that the host was not asked for
    /// is an error, so that a scan always ends.
    pub(super) fn check(&self, shown: Verification, offered: &Offered) -> Result<Verification, Failure> {
        if self.unseen(offered).split(',').any(|name| shown.is_of(name)) {
            return Ok(shown.search_all());
        }
        let text = "the host has shown a key of a type that it was not asked for";
        Err(HostErrorKind::Protocol(text.to_owned()).into())
    }

    /// Looks for the shown key in `lines` more lines. Returns whether there is a verdict.
    pub(super) fn advance(&mut self, shown: &mut Verification, lines: usize) -> bool {
        self.found.advance(shown, lines)
    }

    /// Whether the scan may go on although a handshake has failed.
    ///
    /// If there is no common algorithm, the host has shown keys of all types that it has, because
    /// everything else that is negotiated had a common algorithm before. If the host has listed its
    /// algorithms and then closes the connection, it cannot or will not show a key of that type.
    pub(super) fn outlives(&mut self, error: LinkErrorKind, offered: &Offered, listed: Option<&str>) -> bool {
        let unseen = self.unseen(offered);
        match error {
            _ if !self.has_keys() => return false,
            LinkErrorKind::NoCommonAlgorithm => self.has_all = true,
            LinkErrorKind::Lost | LinkErrorKind::Disconnected(_) => {
                let Some(used) = listed.and_then(|listed| first_common(&unseen, listed)) else {
                    return false;
                };
                self.found.withhold(used);
            }
            _ => return false,
        }
        true
    }

    pub(super) fn end(self, target: &Target, error: Option<HostError>) -> Box<ScannedHost> {
        let (host, port) = (target.host.clone(), target.port);
        Box::new(ScannedHost { host, port, scanned: self.found, error })
    }
}

/// The first algorithm that both ends have, which is the one in use (RFC 4253 section 7.1).
fn first_common<'a>(own: &'a str, listed: &str) -> Option<&'a str> {
    own.split(',').find(|name| listed.split(',').any(|other| other == *name))
}

/// The keys of one host, as found by a [scan](crate::Fleet::scan_host_keys).
#[derive(Clone, Debug)]
pub struct ScannedHost {
    host: Arc<str>,
    port: u16,
    scanned: ScannedKeys,
    error: Option<HostError>,
}

impl ScannedHost {
    /// The host as the list names it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port of the SSH server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name under which known_hosts files list the host: its
    /// [alias](crate::HostConfig::host_key_alias), or the host in the list, as in `[web1]:2222`
    /// unless the port is 22.
    pub fn name(&self) -> &str {
        self.scanned.name()
    }

    /// The keys that the host has shown, at most one of each type.
    pub fn keys(&self) -> &[ScannedKey] {
        self.scanned.keys()
    }

    /// The types of the keys that the host lists and has not shown, because it has closed the
    /// connection when it was asked for them. Dropbear does so if it lacks the file of a key.
    pub fn withheld(&self) -> &[KeyType] {
        self.scanned.withheld()
    }

    /// The `@cert-authority` line that matches the host, if no key is on record for it. `ssh`
    /// accepts such a host by its certificate, which libssh does not support.
    pub fn authority(&self) -> Option<&Location> {
        self.scanned.authority()
    }

    /// Why the host could not be asked for all of its keys; `None` if it was. There may be an error
    /// after some keys.
    pub fn error(&self) -> Option<&HostError> {
        self.error.as_ref()
    }

    pub(crate) fn scanned(&self) -> &ScannedKeys {
        &self.scanned
    }
}
