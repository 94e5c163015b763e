//! Files to and from hosts, over SFTP version 3.
//!
//! [`Put`] sends files to hosts, and [`Get`] fetches them. Both turn into a
//! [`Command`](crate::Command), so everything that runs a command runs a transfer: a
//! [`Fleet`](crate::Fleet), a [`Run`](crate::Run) with its batches, a
//! [`ParallelClient`](crate::ParallelClient).
//!
//! ```no_run
//! use std::time::Instant;
//! use sshoal::transfer::Put;
//! use sshoal::{Budget, Event, Fleet, Outcome};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut fleet = Fleet::builder(["web1", "web2"]).user("deploy").build()?;
//! fleet.start(Put::new("app.conf", "/etc/app/app.conf").mode(0o640))?;
//! loop {
//!     fleet.wait(None)?;
//!     fleet.turn(Instant::now(), Budget::default())?;
//!     while let Some(event) = fleet.next_event() {
//!         match event {
//!             Event::Finished { host, outcome: Outcome::Transferred(done), .. } => {
//!                 println!("{host:?}: {done}");
//!             }
//!             Event::Finished { host, outcome, .. } => println!("{host:?}: {outcome}"),
//!             Event::RunDone { .. } => return Ok(()),
//!             _ => {}
//!         }
//!     }
//! }
//! # }
//! ```
//!
//! The files of this machine are read and written on two helper threads, so a slow disk delays no
//! turn of the fleet.

mod driver;
mod errand;
mod get;
pub(crate) mod local;
mod names;
mod ops;
mod phase;
mod plan;
mod put;
mod reads;
mod replies;
mod report;
mod requests;
mod task;

pub use crate::output::file_result::{DirectoryEntry, FileKind, FileMetadata, FileResult};
pub use crate::output::transferred::Transferred;
pub(crate) use driver::Transfer;
pub(crate) use errand::{Errand, ErrandResult};
pub use get::Get;
pub use local::Links;
pub use ops::FileRequest;
pub(crate) use plan::{Fill, Plan, PlanProblem, Shared, Work};
pub use put::{Placement, Put};
