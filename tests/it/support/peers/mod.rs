//! Peers that are not SSH servers: refusing, silent and scripted ones. And asyncssh.

mod asyncssh;
mod refusing;
mod scripted;
#[cfg(test)]
mod tests;

pub use asyncssh::Asyncssh;
pub use refusing::{Refused, Unanswered};
pub use scripted::{Scripted, Step};
