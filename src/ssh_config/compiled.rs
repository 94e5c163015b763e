//! Files in the form that is evaluated for each destination.

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
