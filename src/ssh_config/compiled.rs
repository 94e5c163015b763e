//! Files in the form that is evaluated for each destination.

use std::collections::HashMap;
use std::sync::Arc;

use super::condition::Condition;
use super::settings::Effect;
use super::source::SettingSource;

/// The number of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GateId(pub usize);

/// A `Host` or `Match` line. In an included file, the `Include` line has to apply as well.
#[derive(Debug)]
pub(super) struct Gate {
    pub outer: Option<GateId>,
    pub condition: Condition,
    pub source: SettingSource,
}

/// Whether each gate is open; `None` is not known yet.
pub(super) type GateStates = Vec<Option<bool>>;

/// Finds the gates for a name without a look at each of them: generated files have thousands of
/// `Host` lines that name one host.
#[derive(Debug)]
pub(super) struct GateIndex {
    /// Closed are those that only names without wildcards open.
    closed: GateStates,
    by_name: HashMap<Box<[u8]>, Vec<GateId>>,
}

impl GateIndex {
    pub fn new(gates: &[Gate]) -> Self {
        let mut index = Self { closed: vec![None; gates.len()], by_name: HashMap::new() };
        for (number, gate) in gates.iter().enumerate() {
            for name in gate.condition.names().into_iter().flatten() {
                index.closed[number] = Some(false);
                index.by_name.entry(name.into()).or_default().push(GateId(number));
            }
        }
        index
    }

    /// What is known for a name before any condition is tested.
    pub fn start(&self, name: &[u8], states: &mut GateStates) {
        states.clone_from(&self.closed);
        for gate in self.by_name.get(name).into_iter().flatten() {
            states[gate.0] = None;
        }
    }
}

/// Lines that apply together.
#[derive(Debug)]
pub(super) struct Section {
    /// `None` applies always.
    pub gate: Option<GateId>,
    pub items: Vec<(Item, SettingSource)>,
    /// Whether there are unknown keywords, which are errors even where the section does not apply.
    pub has_unknown: bool,
}

#[derive(Debug)]
pub(super) enum Item {
    Effect(Effect),
    Ignored { keyword: Arc<str>, arguments: Arc<str>, reason: &'static str },
    Unknown(Arc<str>),
}

impl Section {
    pub fn new(gate: Option<GateId>) -> Self {
        Self { gate, items: Vec::new(), has_unknown: false }
    }

    pub fn extend(&mut self, items: impl Iterator<Item = (Item, SettingSource)>) {
        for item in items {
            self.has_unknown |= matches!(item.0, Item::Unknown(_));
            self.items.push(item);
        }
    }
}
