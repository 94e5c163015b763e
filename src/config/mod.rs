//! Settings: the builders, and the types that their methods take.

mod agent_key;
mod algorithms;
mod bind;
mod builder;
mod certificates;
mod commands;
mod credentials;
mod file_lists;
pub(crate) mod host_config;
mod host_keys;
mod key_file;
mod known;
mod known_keys;
mod layers;
mod library;
mod list;
mod names;
mod owner;
pub(crate) mod proxy;
mod settings;
mod ssh_file;
mod ssh_settings;
mod targets;
mod way;

pub use builder::{ClientBuilder, FleetBuilder};
pub(crate) use builder::{Limits, Setup, check_count};
pub(crate) use host_config::HostConfig;
pub(crate) use list::{Listed, check_number, entry, hosts};
pub(crate) use owner::Owner;
pub use ssh_file::ResolvedHost;
pub(crate) use targets::{Common, Part};

pub use crate::command::{HostArg, HostArgs, Pty};
pub use crate::credential::{Answer, Challenge, Prompt};
pub use crate::dns::{DnsConfig, Resolver};
pub use crate::host::AddressFamily;
pub use crate::output::stdin::Input;
pub use crate::session::{Retry, RetryPolicy};
