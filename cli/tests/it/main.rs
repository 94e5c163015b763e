//! The program as users run it: against real servers, against the simulated fleet, and on a
//! terminal.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod completion;
mod contact;
mod copies;
mod copy_ends;
#[cfg(feature = "demo")]
mod demo;
mod ends;
#[cfg(feature = "demo")]
mod fleet;
mod history;
mod hosts;
mod incomplete;
mod input;
mod looks;
mod manual;
mod pdsh;
mod prompt;
mod runs;
mod safety;
mod secrets;
mod signals;
mod support;
mod terminal;
mod texts;
mod usage;
