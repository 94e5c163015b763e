//! The names of a host: those to connect to, and those that its keys are recorded under.

use super::layers::Layers;
use crate::address::canonical;
use crate::host::HostSpec;
use crate::session::Target;

/// The names of a host, besides the one in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Names<'a> {
    /// The name or address to connect to.
    pub dialled: &'a str,
    /// Whether host keys are recorded under the name to connect to, as in OpenSSH, and not under
    /// the name in the list.
    is_recorded: bool,
    key_alias: Option<&'a str>,
}

impl<'a> Names<'a> {
    /// The names in the layers of a host. `spec` is the host's entry in the list.
    pub fn of(layers: &Layers<'a>, spec: &'a HostSpec) -> Self {
        let dialled = layers.first(|config| config.hostname.as_deref());
        let key_alias = layers.value(|config| config.host_key_alias.as_deref());
        let is_recorded = dialled.is_some_and(|given| given.from_ssh_config);
        let dialled = dialled.map_or(spec.host(), |given| given.value);
        Self { dialled, is_recorded, key_alias }
    }

    pub fn apply(&self, target: &mut Target) {
        if self.dialled != &*target.host {
            target.dial(self.dialled);
        }
        if self.is_recorded {
            target.recorded.0 = canonical(self.dialled).into();
        }
        if let Some(alias) = self.key_alias {
            target.recorded = (alias.into(), 22);
        }
    }
}
