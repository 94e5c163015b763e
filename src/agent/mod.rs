//! The ssh-agent: one connection that all hosts share, driven by the reactor.
//!
//! Agents answer in the order of the requests, so requests are pipelined. The list of keys is
//! requested once per command and shared by its hosts. No failure of an agent fails a host: the
//! host gets no key, or no signature, and the log says why. If the agent stays silent, the
//! deadlines of the hosts apply.

mod client;
mod connection;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub(crate) use client::{AgentAnswer, AgentClient, Asker};
pub(crate) use connection::connect_unix;
