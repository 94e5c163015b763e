//! The keys of an ssh-agent: real agents, and lying, stalling and refusing ones, with real servers.

mod faults;
mod forward;
mod login;
mod order;
mod skipped;
mod touch;

use std::path::Path;

use sshoal::ParallelClient;
use sshoal::config::ClientBuilder;

use super::SLOW;
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::sshd::Sshd;

const HOST: &str = "127.0.2.1";

/// A client with known host keys, and no credential but the agent at this socket.
fn with_agent<'a>(sshd: &Sshd, hosts: impl IntoIterator<Item = &'a str>, socket: &Path) -> ClientBuilder {
    let hosts: Vec<&str> = hosts.into_iter().collect();
    let builder = ParallelClient::builder(hosts.clone()).port(sshd.port()).user(sshd.user());
    let builder = builder.identity_auth(false).agent_socket(socket).known_hosts([sshd.known_hosts(hosts)]);
    builder.num_retries(1).timeout(SLOW)
}

/// A key that no server accepts.
fn stranger() -> KeyPair {
    KeyPair::generate(KeyType::Ed25519)
}

/// The pair of an accepted key.
fn authorized(sshd: &Sshd, key: ClientKey) -> &'static KeyPair {
    sshd.key(key);
    key.pair()
}

/// The result of each authentication attempt, in order.
fn outcomes(sshd: &Sshd) -> Vec<String> {
    sshd.auth_messages().into_iter().map(|message| message.outcome).collect()
}
