//! From the settings that a caller gives to the targets that a fleet connects to. No network.

mod builder;
mod certificates;
mod credentials;
mod host_config;
mod key_file;
mod layers;
mod list;
mod owner;
mod proxy;
mod settings;
mod targets;
mod way;

pub use builder::{ClientBuilder, FleetBuilder};
pub(crate) use builder::{Limits, Setup, check_count};
pub use host_config::HostConfig;
pub(crate) use list::{HostList, entry};
pub(crate) use owner::Owner;
pub use proxy::Proxy;
pub(crate) use targets::check_number;
