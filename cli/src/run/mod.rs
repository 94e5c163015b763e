//! A run: the loop over the fleet, and what ends it.
//!
//! | file | what it holds |
//! |---|---|
//! | `fleet` | builds the fleet of a run from the flags and ssh_config |
//! | `runner` | the loop: waits for hosts, signals and input, and reports what happens |
//! | `event_loop` | what the program waits for, in a run and at a prompt |
//! | `control` | what changes the course of a run: limits, signals, gates |
//! | `interrupts`, `signals` | what ^C, ^Z, SIGTERM and SIGHUP mean |
//! | `broadcast`, `input` | standard input, sent to all hosts |
//! | `keys` | Enter, which asks how far a run is |
//! | `gate` | what decides whether the next batch starts |
//! | `silence` | commands that print nothing for too long |
//! | `ends` | from the outcomes of the library to what reports show |
//! | `task` | the commands of one host |
//! | `code` | the exit code |

mod broadcast;
mod code;
mod control;
mod ends;
mod event_loop;
pub mod fleet;
mod gate;
mod input;
mod interrupts;
mod keys;
mod runner;
mod signals;
mod silence;
mod task;

pub use code::{Rule, STOPPED, USAGE, code_of_signal};
pub use event_loop::EventLoop;
pub use interrupts::{OF_PROMPT, OF_RUN, to_handle};
pub use runner::{Ended, RunError, Runner};

use sshoal::Fleet;

use crate::output::Output;
use crate::plan::Plan;

/// Does what is planned on all hosts of the fleet.
pub fn once(fleet: Fleet, plan: &Plan, output: Output<'_>) -> Result<Ended, RunError> {
    let mut event_loop = EventLoop::new(fleet, &interrupts::OF_RUN)?;
    let hosts = event_loop.fleet.hosts().to_vec();
    Runner::start(&mut event_loop, &hosts, plan, output)?.finish()
}
