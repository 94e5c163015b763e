//! The library with real servers, OpenSSH and Dropbear: over loopback, and through a proxy that
//! damages the stream.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails at once")]

mod agent;
mod algorithms;
mod auth;
mod banner;
mod basic;
mod certificates;
mod channels;
mod command;
mod compression;
mod descriptors;
mod dropbear;
mod encoding;
mod family;
mod gssapi;
mod host_config;
mod hostkey;
mod hosts;
mod input;
mod integrity;
mod interactive;
mod join;
mod keepalive;
mod key_scan;
mod keys;
mod lines;
mod many;
mod messages;
mod peers;
mod prepare;
mod pressure;
mod proxy;
mod proxy_command;
mod recording;
mod rekeys;
mod reload;
mod resolver;
mod round_trips;
mod secrets;
mod sessions;
mod shells;
mod shutdown;
mod spare;
mod ssh_config;
mod ssh_config_options;
mod ssh_config_tokens;
mod startups;
mod stdin;
mod stop;
mod sudo;
mod sudo_stub;
mod timing;
mod transfer;
mod trust;
mod windows;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sshoal::config::{ClientBuilder, FleetBuilder};
use sshoal::{Command, Error, HostError, HostOutput, JoinOptions, Outcome, ParallelClient, ReadOptions};

use super::support::alarm::{Watchdog, watchdog};
use super::support::keys::ClientKey;
use super::support::ports;
use super::support::sshd::Sshd;

/// The positions of these outputs in their host list.
fn positions(outputs: &[HostOutput]) -> Vec<usize> {
    outputs.iter().map(HostOutput::position).collect()
}

/// Limit of one step of a test, for a machine that is busy otherwise.
const SLOW: Duration = Duration::from_secs(20);

fn guard(name: &str) -> Watchdog {
    watchdog(Duration::from_secs(120), name)
}

/// A client for hosts of this server, by name: key login, the right known_hosts, one attempt, no
/// limit that a slow machine reaches.
pub(super) fn client_for<H: AsRef<str>>(sshd: &Sshd, hosts: impl IntoIterator<Item = H>) -> ClientBuilder {
    let hosts: Vec<String> = hosts.into_iter().map(|host| host.as_ref().to_owned()).collect();
    let known_hosts = sshd.known_hosts(&hosts);
    let hosts = hosts.iter().map(|host| if host.contains(':') { format!("[{host}]") } else { host.clone() });
    let builder = ParallelClient::builder(hosts).port(sshd.port()).user(sshd.user());
    with_key(builder, sshd).known_hosts([known_hosts])
}

/// Like [`client_for`], for addresses that lead to this server, such as those of proxies.
fn client_at(sshd: &Sshd, addresses: impl IntoIterator<Item = SocketAddr>) -> ClientBuilder {
    let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
    let known_hosts = known_hosts_at(sshd, &addresses);
    let hosts = addresses.iter().map(ToString::to_string);
    with_key(ParallelClient::builder(hosts).user(sshd.user()), sshd).known_hosts([known_hosts])
}

fn with_key<B: WithKey>(builder: B, sshd: &Sshd) -> B {
    builder.with_key(sshd)
}

trait WithKey {
    fn with_key(self, sshd: &Sshd) -> Self;
}

macro_rules! with_key {
    ($($builder:ty)+) => {$(
        impl WithKey for $builder {
            fn with_key(self, sshd: &Sshd) -> Self {
                let builder = self.key_file(sshd.key(ClientKey::Ed25519));
                builder.identity_auth(false).allow_agent(false).max_attempts(1).timeout(SLOW)
            }
        }
    )+};
}

with_key!(ClientBuilder FleetBuilder);

/// A known_hosts file with this server's keys under these addresses.
fn known_hosts_at(sshd: &Sshd, addresses: &[SocketAddr]) -> PathBuf {
    let mut text = String::new();
    for address in addresses {
        for key in sshd.host_keys() {
            text += &format!("[{}]:{} {}\n", address.ip(), address.port(), key.public());
        }
    }
    let path = sshd.dir().join(format!("known_{:016x}", ports::random()));
    fs::write(&path, text).expect("write known_hosts");
    path
}

fn build(builder: ClientBuilder) -> ParallelClient {
    builder.build().expect("a client")
}

/// Joins with a limit for a slow machine.
#[track_caller]
fn join(client: &ParallelClient, outputs: &[HostOutput]) {
    let options = JoinOptions::default().timeout(SLOW).close_stdin(true);
    client.join(outputs, options).expect("all commands end");
}

/// The unread rest of both streams, as bytes with line ends converted to `\n`.
fn rest(output: &HostOutput) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let all = |lines: sshoal::client::RawLines<'_>| lines.map_while(Result::ok).collect();
    (all(output.stdout().raw()), all(output.stderr().raw()))
}

/// The unread lines of standard output up to its end or to an error.
fn stdout(output: &HostOutput) -> Vec<String> {
    output.stdout().map_while(Result::ok).collect()
}

/// Runs a command on all hosts to its end, also if some of them fail.
fn run_all(client: &mut ParallelClient, command: &str) -> Vec<HostOutput> {
    let options = ReadOptions::default().stop_on_errors(false);
    let outputs = client.run_command_with(Command::new(command), options).expect("it starts");
    join(client, &outputs);
    outputs
}

/// Runs one command on one host, which must succeed; returns its standard output.
#[track_caller]
fn run_one(client: &mut ParallelClient, command: &str) -> Vec<String> {
    let outputs = client.run_command(command).expect("it starts");
    join(client, &outputs);
    let lines = stdout(&outputs[0]);
    assert!(matches!(outputs[0].outcome(), Some(Outcome::Exited(0))), "{:?}", outputs[0].outcome());
    lines
}

/// The error of the only host, whose start must fail.
#[track_caller]
fn start_error(builder: ClientBuilder) -> HostError {
    match build(builder).run_command("true") {
        Err(Error::Host(error)) => error,
        Err(other) => panic!("not a host's error: {other}"),
        Ok(outputs) => panic!("it started: {:?}", outputs[0].outcome()),
    }
}
