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
/// The integration tests and the benchmark of the resolver use it too.
mod zone;
