//! The hosts of a prompt, and which of them the next command is for.

use indexmap::IndexMap;
use sshoal::fleet::HostId;

use super::words::{Change, ends};
use crate::history::{Record, Which};
use crate::targets::{Target, fold};

/// The hosts of a prompt.
#[derive(Debug, Default)]
pub struct Choice {
    /// All hosts that were ever chosen, by their names. They are in the fleet.
    known: IndexMap<String, (Target, HostId)>,
    /// The hosts of the next command: positions in `known`.
    chosen: Vec<usize>,
    /// How many hosts the prompt was opened with; they are the first ones.
    opened: usize,
}

impl Choice {
    /// All of these hosts are chosen.
    pub fn new(targets: Vec<Target>, ids: Vec<HostId>) -> Self {
        let mut choice = Self::default();
        choice.learn(targets, ids);
        choice.opened = choice.known.len();
        choice.chosen = (0..choice.opened).collect();
        choice
    }

    /// Hosts that the fleet has got.
    pub fn learn(&mut self, targets: Vec<Target>, ids: Vec<HostId>) {
        let entry = |(target, id): (Target, HostId)| (target.name.clone(), (target, id));
        self.known.extend(targets.into_iter().zip(ids).map(entry));
    }

    /// Those of these targets that the fleet does not have yet.
    pub fn unknown(&self, targets: &[Target]) -> Vec<Target> {
        targets.iter().filter(|target| !self.known.contains_key(&target.name)).cloned().collect()
    }

    /// Changes what is chosen. The targets are known. Returns false, and changes nothing, if no
    /// host would be left.
    pub fn change(&mut self, change: Change, targets: &[Target]) -> bool {
        let named: Vec<usize> =
            targets.iter().filter_map(|target| self.known.get_index_of(&target.name)).collect();
        let mut is_named = vec![false; self.known.len()];
        named.iter().for_each(|position| is_named[*position] = true);
        let mut chosen = match change {
            Change::Replace => Vec::new(),
            Change::Add | Change::Remove => self.chosen.clone(),
        };
        chosen.retain(|position| !is_named[*position]);
        if change != Change::Remove {
            chosen.extend(named);
        }
        if chosen.is_empty() {
            return false;
        }
        self.chosen = chosen;
        true
    }

    /// The names of all hosts that were ever chosen.
    pub fn names(&self) -> Vec<String> {
        self.known.keys().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    /// The chosen hosts, in order.
    pub fn targets(&self) -> Vec<Target> {
        self.chosen.iter().map(|position| self.known[*position].0.clone()).collect()
    }

    pub fn ids(&self) -> Vec<HostId> {
        self.chosen.iter().map(|position| self.known[*position].1).collect()
    }

    /// What the names of ends stand for.
    pub fn groups(&self, last: Option<&Record>) -> Vec<(String, String)> {
        let hosts = |which| match which {
            Which::All => self.known.keys().take(self.opened).cloned().collect(),
            _ => last.map_or_else(Vec::new, |last| {
                last.targets(which).into_iter().map(|target| target.name).collect::<Vec<_>>()
            }),
        };
        ends().map(|(which, name)| (name, fold(hosts(which)))).collect()
    }
}
