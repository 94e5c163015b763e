//! Peers that are no SSH servers: refusing ones, silent ones, and those that speak from a script.

mod refusing;
mod scripted;
#[cfg(test)]
mod tests;

pub use refusing::{Refused, Unanswered};
pub use scripted::{Scripted, Step};
