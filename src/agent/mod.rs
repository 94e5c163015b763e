//! The ssh-agent: one connection that all hosts share, driven by the reactor.
//!
//! Agents answer in the order in which they were asked, so requests are sent ahead of the answers. The list of keys is
//! asked for once per command and kept for all of its hosts. Nothing an agent does or fails to do is an error of a host:
//! an answer that does not come is no key, or no signature, and the log says why. Only silence is left to the hosts'
//! own deadlines.

mod client;
mod connection;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub(crate) use client::{AgentClient, Answer, Asker};
pub(crate) use connection::connect_unix;
