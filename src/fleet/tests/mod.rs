//! The fleet against scripted links and invented time.

mod caller;
mod checks;
mod finale;
mod links;
mod simulation;
mod told;
mod world;
