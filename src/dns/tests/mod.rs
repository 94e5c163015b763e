mod cache;
mod conf;
mod dnsmasq;
mod engine;
mod hosts;
mod lookup;
mod names;
mod rig;
mod servers;
mod wire;
/// The name server of the integration tests.
#[path = "../../../tests/it/support/zone.rs"]
mod zone;
