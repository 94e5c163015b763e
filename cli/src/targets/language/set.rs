//! A set of hosts that remembers in which order they were inserted.

use std::collections::HashMap;

use sshoal::HostSpec;

use super::parser::Operator;

/// Distinct names, each a valid [`HostSpec`] in its shortest form, or the name of a group.
///
/// Each operation takes time for the operand only, unless names have users or ports.
#[derive(Debug, Clone, Default)]
pub struct HostSet {
    /// The place of each name; a later name has a larger one.
    places: HashMap<Box<str>, u64>,
    next: u64,
    /// How many names may have a user or a port.
    decorated: usize,
}

impl HostSet {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether the name is new.
    pub fn insert(&mut self, name: &str) -> bool {
        if self.places.contains_key(name) {
            return false;
        }
        self.places.insert(name.into(), self.next);
        self.next += 1;
        self.decorated += usize::from(is_decorated(name));
        true
    }

    fn remove(&mut self, name: &str) -> bool {
        let found = self.places.remove(name).is_some();
        self.decorated -= usize::from(found && is_decorated(name));
        found
    }

    /// A name without a user or port stands for the host with any, on the right of a difference or
    /// intersection: `root@web1` is in `@all ! web1` no more.
    pub fn apply(&mut self, operator: Operator, other: &Self) {
        match operator {
            Operator::Union => {
                for name in other.names() {
                    self.insert(name);
                }
            }
            Operator::Difference => {
                for name in other.places.keys() {
                    self.remove(name);
                }
                if self.decorated > 0 {
                    self.retain(|name| !other.covers(name));
                }
            }
            Operator::Intersection if self.decorated > 0 => self.retain(|name| other.covers(name)),
            Operator::Intersection => {
                let common = other.places.keys().filter_map(|name| self.places.remove_entry(name));
                self.places = common.collect();
            }
            Operator::Xor => {
                for name in other.names() {
                    if !self.remove(name) {
                        self.insert(name);
                    }
                }
            }
        }
    }

    fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.places.retain(|name, _| keep(name));
        self.decorated = self.places.keys().filter(|name| is_decorated(name)).count();
    }

    /// Whether this has the name, or the name without its user, its port or both.
    fn covers(&self, name: &str) -> bool {
        if self.places.contains_key(name) {
            return true;
        }
        let Ok(spec) = name.parse::<HostSpec>() else { return false };
        let (user, host, port) = (spec.user(), spec.host(), spec.port());
        let shorter = [(None, None), (user, None), (None, port)];
        shorter.into_iter().any(|(user, port)| {
            let spec = HostSpec::from_parts(user, host, port);
            spec.is_ok_and(|spec| self.places.contains_key(spec.to_string().as_str()))
        })
    }

    /// The names in the order of their insertion.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<(&str, u64)> = self.places.iter().map(|(name, place)| (&**name, *place)).collect();
        names.sort_unstable_by_key(|(_, place)| *place);
        names.into_iter().map(|(name, _)| name).collect()
    }
}

/// Whether the name may have a user or a port; an IPv6 address counts too.
fn is_decorated(name: &str) -> bool {
    name.contains(['@', ':'])
}
