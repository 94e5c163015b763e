//! Peers that are not SSH servers: refusing, silent and scripted ones.

mod refusing;
mod scripted;
#[cfg(test)]
mod tests;

pub use refusing::{Refused, Unanswered};
pub use scripted::{Scripted, Step};
