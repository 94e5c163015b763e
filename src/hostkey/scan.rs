//! The search for what `known_hosts` files say about the key of one host, in slices.

use std::task::Poll;

use super::key::{HostKey, KeyType};
use super::known_hosts::KnownHosts;
use super::names::HostNames;
use super::verdict::{Location, Verdict};

/// A search for the [`Verdict`] on a host's key that can stop and go on.
///
/// Hashed names and patterns cannot be indexed: each has to be compared, at half a microsecond for a hashed
/// one. A search through a large file would stall a thread that serves other hosts; so it is done in slices:
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
/// A key on record is found in the first slice, but where hundreds of hashed hosts share it.
#[derive(Clone, Debug)]
pub struct HostScan {
    names: HostNames,
    key: HostKey,
    /// Whether the search ends with the `@revoked` lines.
    only_revoked: bool,
    stage: Stage,
    /// How many lines of this stage were compared.
    position: usize,
    /// Lines of the host, with its port or without, as the stage has it.
    lines: Vec<usize>,
    /// In [`Stage::Trusted`]: how many revocations of the present line's key were compared.
    revocations: usize,
    /// In [`Stage::Trusted`]: the types of keys that are on record and not revoked.
    types: Vec<KeyType>,
    verdict: Option<Verdict>,
    authority: Option<Location>,
}

/// What is looked for, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// A `@revoked` line with the key.
    Revoked,
    /// A line of the host with the key.
    Known,
    /// Lines of the host with other keys.
    Others,
    /// A line with the key that names the host without its port, as nothing names it with the port.
    KnownBare,
    /// Such lines with other keys.
    OthersBare,
    /// Which of the other keys are not revoked.
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
            stage: Stage::Revoked,
            position: 0,
            lines: Vec::new(),
            revocations: 0,
            types: Vec::new(),
            verdict: None,
            authority: None,
        }
    }

    /// The verdict will be `Revoked` or `Unknown`.
    pub(super) fn only_revoked(self) -> Self {
        Self { only_revoked: true, ..self }
    }

    /// Compares at most `lines` lines, and tells whether the search is over. A long list of patterns counts
    /// as several. `known` has to be the same in each call.
    pub fn advance(&mut self, known: &KnownHosts, lines: usize) -> bool {
        let mut left = lines.max(1);
        while self.stage != Stage::Done {
            let Poll::Ready(next) = self.pass(known, &mut left) else { return false };
            (self.stage, self.position) = (next, 0);
        }
        true
    }

    /// Whether the search is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// What the files say about the key, as [`KnownHosts::verdict`]; `None` before the search is over.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref().filter(|_| self.is_done())
    }

    /// The host key algorithms for which other keys of the host are on record, best first: those to ask the
    /// server for, if it was not asked for them when it showed this key. Empty where all that is on record
    /// has spoken: the key is known, changed, or revoked.
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

    /// The `@cert-authority` line that covers a host that is unknown.
    pub(super) fn authority(&self) -> Option<&Location> {
        self.authority.as_ref()
    }

    /// Goes through the lines of this stage as far as `left` allows, and says which stage follows.
    fn pass(&mut self, known: &KnownHosts, left: &mut usize) -> Poll<Stage> {
        let Self { names, key, position, .. } = self;
        let (exact, bare) = ([names.exact()], [names.bare()]);
        let any = names.all().collect::<Vec<_>>();
        match self.stage {
            Stage::Revoked => match known.find(known.revocations(key), position, left, &any) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(id)) => self.end(Verdict::Revoked { location: known.location_of(id) }),
                Poll::Ready(None) if self.only_revoked => self.end(Verdict::Unknown),
                Poll::Ready(None) => Poll::Ready(Stage::Known),
            },
            Stage::Known | Stage::KnownBare => {
                let name = if self.stage == Stage::Known { exact } else { bare };
                let plain = known.named_with(name[0], key);
                match known.find(known.unindexed_with(key, plain), position, left, &name) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(hidden) => match hidden.or(plain) {
                        Some(id) => self.end(Verdict::Known { location: known.location_of(id) }),
                        None if self.stage == Stage::Known => Poll::Ready(Stage::Others),
                        None => Poll::Ready(Stage::OthersBare),
                    },
                }
            }
            Stage::Others | Stage::OthersBare => {
                let name = if self.stage == Stage::Others { exact } else { bare };
                while let Some(id) = match known.find(known.unindexed(), position, left, &name) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(found) => found,
                } {
                    self.lines.push(id);
                }
                self.lines.extend(known.named(name[0]));
                self.lines.sort_unstable();
                Poll::Ready(self.after_others(known))
            }
            Stage::Trusted => {
                while let Some(id) = self.lines.get(*position) {
                    let revocations = known.revocations_of(*id);
                    match known.find(revocations, &mut self.revocations, left, &any) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(None) => self.types.extend(known.key_type_of(*id)),
                        Poll::Ready(Some(_)) => {}
                    }
                    (*position, self.revocations) = (*position + 1, 0);
                }
                let is_unknown = self.verdict == Some(Verdict::Unknown);
                Poll::Ready(if is_unknown { Stage::Authority } else { Stage::Done })
            }
            Stage::Authority => match known.find(known.authorities(), position, left, &any) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(found) => {
                    self.authority = found.map(|id| known.location_of(id));
                    Poll::Ready(Stage::Done)
                }
            },
            Stage::Done => Poll::Ready(Stage::Done),
        }
    }

    fn end(&mut self, verdict: Verdict) -> Poll<Stage> {
        self.verdict = Some(verdict);
        Poll::Ready(Stage::Done)
    }

    /// The host has no line with its key, and all others are found.
    fn after_others(&mut self, known: &KnownHosts) -> Stage {
        let with_port = self.stage == Stage::Others;
        if with_port && self.lines.is_empty() && self.names.fallback().is_some() {
            return Stage::KnownBare;
        }
        // Lines without the port know a key, but change none.
        let deciding = if with_port { &self.lines[..] } else { &[] };
        let verdict = known.verdict_by_lines(&self.key, deciding);
        let next = if matches!(verdict, Verdict::Changed { .. }) { Stage::Done } else { Stage::Trusted };
        self.verdict = Some(verdict);
        next
    }
}
