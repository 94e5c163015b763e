//! The keys that a host has shown in a scan, each with what the files say about it.

use std::fmt;
use std::sync::Arc;

use super::key::{HostKey, KeyType};
use super::loaded::Loaded;
use super::names::HostNames;
use super::verdict::{Location, Verdict};
use super::verification::Verification;

/// A key that a host has shown in a [scan](crate::Fleet::scan_host_keys). The host has proved that
/// it owns the private half, but not that it is the host that it claims to be.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ScannedKey {
    /// The key.
    pub key: HostKey,
    /// The verdict of the known_hosts files: [`Verdict::Unknown`] for a new key.
    pub verdict: Verdict,
}

/// One line: the type, the fingerprint and the verdict, with the lines that it is based on.
impl fmt::Display for ScannedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.key.key_type(), self.key.fingerprint())?;
        let list = |f: &mut fmt::Formatter<'_>, locations: &mut dyn Iterator<Item = &Location>| {
            for (index, location) in locations.enumerate() {
                write!(f, "{}{location}", if index == 0 { "" } else { ", " })?;
            }
            Ok(())
        };
        match &self.verdict {
            Verdict::Unknown => f.write_str("new"),
            Verdict::Known { location } => write!(f, "recorded at {location}"),
            Verdict::Revoked { location } => write!(f, "revoked at {location}"),
            Verdict::Changed { locations } => {
                f.write_str("changed: another key is recorded at ")?;
                list(f, &mut locations.iter())
            }
            Verdict::OtherType { recorded } => {
                f.write_str("not recorded, unlike keys of other types at ")?;
                list(f, &mut recorded.iter().map(|(_, location)| location))
            }
        }
    }
}

/// The keys of one host.
#[derive(Clone)]
pub(crate) struct ScannedKeys {
    pub(super) names: HostNames,
    pub(super) keys: Vec<ScannedKey>,
    /// The types of the keys that the host lists and has not shown.
    withheld: Vec<KeyType>,
    /// The `@cert-authority` line that matches the host, if no key is on record for it.
    authority: Option<Location>,
    /// The files that the verdicts are from. `None` until there is a verdict.
    pub(super) loaded: Option<Arc<Loaded>>,
}

impl ScannedKeys {
    /// Creates an instance without keys for a host that is recorded under this name and port.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        let names = HostNames::new(host, port);
        Self { names, keys: Vec::new(), withheld: Vec::new(), authority: None, loaded: None }
    }

    /// The name under which known_hosts files list the host.
    pub(crate) fn name(&self) -> &str {
        self.names.exact()
    }

    pub(crate) fn keys(&self) -> &[ScannedKey] {
        &self.keys
    }

    pub(crate) fn withheld(&self) -> &[KeyType] {
        &self.withheld
    }

    pub(crate) fn authority(&self) -> Option<&Location> {
        self.authority.as_ref()
    }

    /// Whether the host was asked for the key that it would sign with in this algorithm.
    pub(crate) fn has(&self, algorithm: &str) -> bool {
        let key_type = KeyType::from_column(algorithm.as_bytes());
        let mut types =
            self.keys.iter().map(|shown| shown.key.key_type()).chain(self.withheld.iter().copied());
        types.any(|known| Some(known) == key_type)
    }

    /// Records that the host has not shown the key that it would sign with in this algorithm.
    pub(crate) fn withhold(&mut self, algorithm: &str) {
        self.withheld.extend(KeyType::from_column(algorithm.as_bytes()));
    }

    /// Looks for the key in `lines` more lines. Adds the key and returns `true` once there is a
    /// verdict. A policy has no influence on the verdict.
    pub(crate) fn advance(&mut self, verification: &mut Verification, lines: usize) -> bool {
        let Some((verdict, authority)) = verification.verdict(lines) else { return false };
        self.keys.push(ScannedKey { key: verification.scan.key().clone(), verdict });
        self.authority = authority;
        self.loaded = Some(verification.loaded.clone());
        true
    }
}

/// Leaves the content of the files out.
impl fmt::Debug for ScannedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, withheld, authority, .. } = self;
        let mut shown = f.debug_struct("ScannedKeys");
        shown.field("name", &self.name()).field("keys", keys).field("withheld", withheld);
        shown.field("authority", authority).finish_non_exhaustive()
    }
}
