//! The ssh-agent, over one connection that all hosts share and the reactor drives. Signatures by
//! security keys have another one, because they wait for the agent's user.
//!
//! Agents answer in the order of the requests, so requests are pipelined. The list of keys is
//! requested once per command, and the hosts of the command share it. A failure of the agent does
//! not fail a host. Instead, the host gets no key or no signature, and the log gives the reason. If
//! the agent does not answer, the time limits of the hosts apply.

mod client;
mod connection;
pub(crate) mod limits;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub(crate) use client::{AgentAnswer, AgentClient, Asker, Listed};
pub(crate) use connection::connect_unix;
