//! The search for the verdict on one host's key, in slices.

use std::task::{Poll, ready};

use super::key::{HostKey, KeyType};
use super::known_hosts::KnownHosts;
use super::names::HostNames;
use super::verdict::{Location, Verdict};

/// An interruptible search for the [`Verdict`] on a host's key.
///
/// Hashed names and patterns cannot be indexed, so each of them must be compared with the host's
/// name. This takes half a microsecond for a hashed name. A search through a large file would
/// therefore stall a thread that serves other hosts, so the search runs in slices:
///
/// ```
/// # use sshoal::hostkey::{HostKey, KnownHosts};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let known = KnownHosts::empty();
/// # let text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
/// # let key = HostKey::from_openssh(text)?;
/// let mut scan = known.scan("web1", 2222, &key);
/// while !scan.advance(&known, 500) {
///     // serve other hosts
/// }
/// assert_eq!(scan.verdict(), Some(&known.verdict("web1", 2222, &key)));
/// # Ok(())
/// # }
/// ```
///
/// A key on record is found in the first slice, unless hundreds of hashed hosts share it.
#[derive(Clone, Debug)]
pub struct HostScan {
    names: HostNames,
    key: HostKey,
    /// Whether the search ends after the `@revoked` lines, so that the verdict is `Revoked` or
    /// `Unknown`.
    pub(super) only_revoked: bool,
    phase: Phase,
    /// How many lines have been compared in this phase.
    position: usize,
    /// The lines for the host. Depending on the phase, they name the host with or without its port.
    lines: Vec<usize>,
    /// In [`Phase::Trusted`], how many `@revoked` lines with the current line's key have been
    /// compared with the host.
    revocations: usize,
    /// The types of the host's keys on record that are not revoked, as found by [`Phase::Trusted`].
    types: Vec<KeyType>,
    verdict: Option<Verdict>,
    authority: Option<Location>,
}

/// What the search looks for, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// A `@revoked` line with the key.
    Revoked,
    /// A line for the host that contains the key.
    Known,
    /// Lines for the host that contain other keys.
    Others,
    /// A line that contains the key and names the host without its port. This phase runs only if no
    /// line names the host with its port.
    KnownBare,
    /// Lines that contain other keys and name the host without its port.
    OthersBare,
    /// Revocations of the other keys, to find out which of those keys are not revoked.
    Trusted,
    /// A `@cert-authority` line for the host.
    Authority,
    Done,
}

impl HostScan {
    pub(super) fn new(names: HostNames, key: HostKey) -> Self {
        Self {
            names,
            key,
            only_revoked: false,
            phase: Phase::Revoked,
            position: 0,
            lines: Vec::new(),
            revocations: 0,
            types: Vec::new(),
            verdict: None,
            authority: None,
        }
    }

    /// Begins the search again, for instance in other keys on record.
    pub(super) fn restart(&mut self) {
        let fresh = Self::new(self.names.clone(), self.key.clone());
        *self = Self { only_revoked: self.only_revoked, ..fresh };
    }

    /// Compares at most `lines` lines, and returns whether the search is complete. A long list of
    /// patterns counts as several lines. `known` must be the same in each call.
    pub fn advance(&mut self, known: &KnownHosts, lines: usize) -> bool {
        let mut left = lines.max(1);
        while self.phase != Phase::Done {
            let Poll::Ready(next) = self.run_phase(known, &mut left) else { return false };
            (self.phase, self.position) = (next, 0);
        }
        true
    }

    /// Runs the whole search. Returns the verdict and the [algorithms](Self::algorithms).
    pub(super) fn run(mut self, known: &KnownHosts) -> (Verdict, Vec<&'static str>) {
        while !self.advance(known, usize::MAX) {}
        let algorithms = self.algorithms();
        (self.verdict.unwrap_or(Verdict::Unknown), algorithms)
    }

    /// Whether the search is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// The same verdict as from [`KnownHosts::verdict`]; `None` until the search is complete.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref().filter(|_| self.is_done())
    }

    /// The host key algorithms for which other keys of the host are on record, best first. They
    /// should be requested from the server, unless they were already requested when the server sent
    /// this key. Empty if the verdict is known, changed or revoked.
    #[must_use]
    pub fn algorithms(&self) -> Vec<&'static str> {
        KeyType::algorithms_of(self.types.clone())
    }

    pub(super) fn key(&self) -> &HostKey {
        &self.key
    }

    pub(super) fn names(&self) -> &HostNames {
        &self.names
    }

    /// The `@cert-authority` line that matches the host, if the host is unknown.
    pub(super) fn authority(&self) -> Option<&Location> {
        self.authority.as_ref()
    }

    /// Compares the lines of this phase until `left`, the rest of the slice's budget, is used up.
    /// Returns the next phase once this phase is complete.
    fn run_phase(&mut self, known: &KnownHosts, left: &mut usize) -> Poll<Phase> {
        let Self { names, key, position, .. } = self;
        let both = [names.exact(), names.bare()];
        let (exact, bare) = both.split_at(1);
        let any = if names.fallback().is_some() { &both[..] } else { exact };
        Poll::Ready(match self.phase {
            Phase::Revoked => match ready!(known.find(known.revocations(key), position, left, any)) {
                Some(id) => self.finish(Verdict::Revoked { location: known.location_of(id) }),
                None if self.only_revoked => self.finish(Verdict::Unknown),
                None => Phase::Known,
            },
            Phase::Known | Phase::KnownBare => {
                let name = if self.phase == Phase::Known { exact } else { bare };
                let plain = known.named_with(name[0], key);
                let hidden = ready!(known.find(known.unindexed_with(key, plain), position, left, name));
                match hidden.or(plain) {
                    Some(id) => self.finish(Verdict::Known { location: known.location_of(id) }),
                    None if self.phase == Phase::Known => Phase::Others,
                    None => Phase::OthersBare,
                }
            }
            Phase::Others | Phase::OthersBare => {
                let name = if self.phase == Phase::Others { exact } else { bare };
                while let Some(id) = ready!(known.find(known.unindexed(), position, left, name)) {
                    self.lines.push(id);
                }
                self.lines.extend(known.named(name[0]));
                self.lines.sort_unstable();
                self.after_others(known)
            }
            Phase::Trusted => {
                while let Some(id) = self.lines.get(*position) {
                    let revocations = known.revocations_of(*id);
                    if ready!(known.find(revocations, &mut self.revocations, left, any)).is_none() {
                        self.types.extend(known.key_type_of(*id));
                    }
                    (*position, self.revocations) = (*position + 1, 0);
                }
                if self.verdict == Some(Verdict::Unknown) { Phase::Authority } else { Phase::Done }
            }
            Phase::Authority => {
                let found = ready!(known.find(known.authorities(), position, left, any));
                self.authority = found.map(|id| known.location_of(id));
                Phase::Done
            }
            Phase::Done => Phase::Done,
        })
    }

    fn finish(&mut self, verdict: Verdict) -> Phase {
        self.verdict = Some(verdict);
        Phase::Done
    }

    /// Sets the verdict and returns the next phase. Called when all lines for the host were found
    /// and none of them contains the key that the host sent.
    fn after_others(&mut self, known: &KnownHosts) -> Phase {
        let with_port = self.phase == Phase::Others;
        if with_port && self.lines.is_empty() && self.names.fallback().is_some() {
            return Phase::KnownBare;
        }
        // Lines that name the host without its port can make a key known, but never changed.
        let deciding = if with_port { &self.lines[..] } else { &[] };
        let verdict = known.verdict_by_lines(&self.key, deciding);
        let next = if matches!(verdict, Verdict::Changed { .. }) { Phase::Done } else { Phase::Trusted };
        self.verdict = Some(verdict);
        next
    }
}
