//! The search for the lines of one host, in slices.

use super::known_hosts::KnownHosts;
use super::names::HostNames;

/// A search for all lines of a host that can stop and go on.
///
/// Hashed names and patterns cannot be indexed: each has to be compared, at up to half a microsecond for a
/// hashed one. A search through a large file would stall a thread that serves other hosts; so it is done in
/// slices:
///
/// ```
/// # use sshoal::hostkey::KnownHosts;
/// # let known = KnownHosts::empty();
/// let mut scan = known.scan("web1", 2222);
/// while !scan.advance(&known, 1_000) {
///     // serve other hosts
/// }
/// let algorithms = known.algorithms_from(&scan);
/// # assert!(algorithms.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct HostScan {
    names: HostNames,
    stage: Stage,
    /// How many of the unindexed entries have been compared in this stage.
    position: usize,
    lines: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Looks for the host with its port.
    Exact,
    /// Looks for the host without its port, as nothing was found with it.
    Fallback,
    /// Has found lines of the host with its port.
    DoneExact,
    /// Has found none; the lines, if any, are those of the host without its port.
    DoneFallback,
}

impl HostScan {
    pub(super) fn new(names: HostNames) -> Self {
        Self { names, stage: Stage::Exact, position: 0, lines: Vec::new() }
    }

    /// Compares at most `count` lines and tells whether the search is over. `known` has to be the same in
    /// each call.
    pub fn advance(&mut self, known: &KnownHosts, count: usize) -> bool {
        let name = match self.stage {
            Stage::Exact => self.names.exact(),
            Stage::Fallback => self.names.fallback().unwrap_or_default(),
            Stage::DoneExact | Stage::DoneFallback => return true,
        };
        if self.position == 0 {
            self.lines.extend(known.named(name));
        }
        let end = self.position.saturating_add(count.max(1)).min(known.unindexed_len());
        self.lines.extend(known.unindexed_matches(name, self.position, end));
        self.position = end;
        if end < known.unindexed_len() {
            return false;
        }
        self.lines.sort_unstable();
        self.stage = match self.stage {
            Stage::Exact if !self.lines.is_empty() => Stage::DoneExact,
            Stage::Exact if self.names.fallback().is_some() => {
                self.position = 0;
                Stage::Fallback
            }
            _ => Stage::DoneFallback,
        };
        self.is_done()
    }

    /// Whether all lines have been compared.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::DoneExact | Stage::DoneFallback)
    }

    pub(super) fn names(&self) -> &HostNames {
        &self.names
    }

    /// The lines of the host, or those without its port where there are none with it.
    pub(super) fn lines(&self) -> &[usize] {
        &self.lines
    }

    /// The lines of the host with its port.
    pub(super) fn exact_lines(&self) -> &[usize] {
        if self.stage == Stage::DoneExact { &self.lines } else { &[] }
    }
}
