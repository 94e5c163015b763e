//! A run: the loop over the fleet, and what ends it.
//!
//! | file | what it holds |
//! |---|---|
//! | `fleet` | builds the fleet of a run from the flags and ssh_config |
//! | `runner` | the loop: waits for hosts, signals and input, and reports what happens |
//! | `control` | what changes the course of a run: limits, signals, gates |
//! | `interrupts`, `signals` | what ^C, ^Z, SIGTERM and SIGHUP mean |
//! | `broadcast`, `input` | standard input, sent to all hosts |
//! | `keys` | Enter, which asks how far a run is |
//! | `gate` | what decides whether the next batch starts |
//! | `silence` | commands that print nothing for too long |
//! | `ends` | from the outcomes of the library to what reports show |
//! | `code` | the exit code |

mod broadcast;
mod code;
mod control;
mod ends;
pub mod fleet;
mod gate;
mod input;
mod interrupts;
mod keys;
mod runner;
mod signals;
mod silence;

pub use code::{Rule, STOPPED, USAGE};
pub use runner::Runner;
