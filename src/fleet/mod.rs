//! The types that belong to a [`Fleet`](crate::Fleet): its hosts, commands, runs, turns and
//! metrics.

// The public methods of `Fleet` are in `api.rs`, `commands.rs`, `hosts.rs`, `output.rs` and
// `turn.rs`. `engine/` does the work of a turn. It combines the event loop, the registry of
// connections, and the schedule.

mod admission;
mod agents;
pub(super) mod api;
mod backpressure;
mod children;
mod commands;
mod descriptors;
mod disk;
mod engine;
mod event_loop;
mod event_queue;
pub(super) mod events;
mod hosts;
mod key_report;
mod library;
mod members;
mod metrics;
mod output;
mod password_guard;
mod rate_limit;
mod registry;
mod reload;
pub(super) mod run;
mod runs;
mod schedule;
mod slot;
mod sums;
#[cfg(test)]
mod tests;
mod touch_guard;
mod transfer_rate;
mod transfers;
mod turn;
pub(super) mod turn_budget;
mod turn_times;

pub use commands::{CommandRef, Started};
pub use hosts::HostRef;
pub use key_report::{KeyReport, KeyTally};
pub use library::SshLibrary;
pub use metrics::Metrics;
pub use reload::{Reload, Reloaded};
pub use run::{Batch, Tally};
pub use turn::FleetWaker;
pub use turn_budget::{LongestStep, Turn};
pub use turn_times::TurnTimes;

pub use crate::ids::{CommandId, HostId, RunId};
pub use crate::link::algorithms::Algorithms;
pub use crate::link::{CryptoProvider, PartialPacket};
pub use crate::session::{CommandState, HostState, ScannedHost};
pub use crate::stage::Timings;
