//! The fleet with scripted links and simulated time.

mod caller;
mod checks;
mod finale;
mod links;
mod simulation;
mod told;
mod world;
