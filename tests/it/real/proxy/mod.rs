//! Hosts behind real bastions: sshd with `AllowTcpForwarding`, one or two in a row.

mod errors;
mod flow;
mod keepalive;

use std::fs;
use std::path::PathBuf;

use sshoal::config::ClientBuilder;
use sshoal::{HostError, HostErrorKind, Proxy};

use super::client_for;
use crate::support::keys::ClientKey;
use crate::support::ports;
use crate::support::sshd::Sshd;

/// The address of the bastions; no host behind them uses it.
pub(super) const GATE: &str = "127.0.3.1";
pub(super) const SECOND_GATE: &str = "127.0.3.2";

/// This server as a proxy at this address, with its key.
pub(super) fn gate(sshd: &Sshd, host: &str) -> Proxy {
    let proxy = Proxy::new(format!("{host}:{}", sshd.port())).user(sshd.user());
    proxy.key_file(sshd.key(ClientKey::Ed25519)).identity_auth(false)
}

/// One known_hosts file with the keys of each server under these names.
pub(super) fn known(servers: &[(&Sshd, &[&str])]) -> PathBuf {
    let lines = servers
        .iter()
        .flat_map(|(sshd, names)| names.iter().map(|name| sshd.known_hosts_lines(name)).collect::<Vec<_>>());
    let path = servers[0].0.dir().join(format!("known_{:016x}", ports::random()));
    fs::write(&path, lines.collect::<String>()).expect("write known_hosts");
    path
}

/// A client for hosts of `target` with the names `hosts`, behind `bastion`.
pub(super) fn behind(bastion: &Sshd, target: &Sshd, hosts: &[&str]) -> ClientBuilder {
    let known_hosts = known(&[(bastion, &[GATE]), (target, hosts)]);
    client_for(target, hosts).known_hosts([known_hosts]).proxy(gate(bastion, GATE))
}

/// The proxy's own error within a host's.
#[track_caller]
pub(super) fn of_proxy(error: &HostError) -> &HostError {
    match error.kind() {
        HostErrorKind::Proxy(inner) => inner,
        _ => panic!("not the proxy's: {error}"),
    }
}
