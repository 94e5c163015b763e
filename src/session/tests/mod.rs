//! Tests the session against a scripted link in simulated time, without IO, a clock or sleeping.

mod agent;
mod auth;
pub(crate) mod call;
mod commands;
mod connect;
mod deadlines;
mod disk;
mod edges;
mod exec_edges;
pub(crate) mod fake_link;
mod gssapi;
mod harness;
mod host_keys;
mod interactive;
mod keepalive;
mod log;
mod partial;
mod policy;
mod prepare;
mod pressure;
mod proxy;
mod queue;
mod race;
pub(crate) mod random;
mod rekeys;
mod retry;
pub(crate) mod script;
mod simulation;
mod stop;
mod sudo;
mod torture;
mod trials;
mod wire;

pub(super) use edges::record;
pub(super) use exec_edges::record_exec;
pub(in crate::session) use queue::Looks;
