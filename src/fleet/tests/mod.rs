//! The fleet with scripted links and simulated time.

mod batched;
mod caller;
mod checks;
mod finale;
mod links;
mod log_level;
mod simulation;
mod throttled;
mod told;
mod world;
