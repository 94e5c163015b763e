//! The types that belong to a [`ParallelClient`]: readers and writers of output and input, and what
//! a join reports.
//!
//! The client is parallel-ssh's `ParallelSSHClient` as a thin loop around a fleet.

mod ahead;
mod all_lines;
pub(crate) mod api;
mod copies;
mod files;
mod hosts;
pub(crate) mod join;
pub(crate) mod key_scan;
mod lines;
pub(crate) mod options;
pub(crate) mod output;
mod reader;
mod shared;
mod shell;
mod silence;
mod stdin;
mod wait;

use std::time::{Duration, Instant};

use self::api::ParallelClient;
use self::output::HostOutput;
use crate::clock;

pub use all_lines::AllLines;
pub use copies::CopyOptions;
pub use join::{Failures, JoinError};
pub use lines::{Lines, RawLines};
pub use reader::Reader;
pub use shell::{InteractiveShell, ShellError, ShellFailures};
pub use stdin::Stdin;

/// The deadline of a wait that begins now.
fn deadline(limit: Option<Duration>) -> Option<Instant> {
    clock::now().checked_add(limit?)
}
