//! From the settings that a caller gives to the targets that a fleet connects to. No network.

mod builder;
mod certificates;
mod credentials;
mod host_config;
mod key_file;
mod list;
mod owner;
mod proxy;
mod settings;
mod targets;
mod way;

use std::time::Duration;

pub(crate) use builder::Limits;
pub use builder::{Build, Builder, Setup};
pub use host_config::HostConfig;
pub(crate) use list::HostList;
pub(crate) use owner::Owner;
pub use proxy::Proxy;
pub(crate) use targets::check_number;

/// Zero means no limit, as in parallel-ssh.
pub(crate) fn limit(after: Duration) -> Option<Duration> {
    (!after.is_zero()).then_some(after)
}
