//! The library with a server that violates the protocol on purpose, in ways that neither OpenSSH
//! nor the simulated fleet can: `server.py`, based on Debian's python3-paramiko. And with a real
//! sshd whose SFTP server does so: `sftp_server.py`.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails at once")]

mod after_close;
mod agent;
mod answers;
mod floods;
mod gssapi;
mod interactive;
mod key_scan;
mod login;
mod packets;
mod prepare;
mod pressure;
mod rekeys;
pub mod sftp;
mod sftp_transfers;
mod shells;
mod unclosed;
mod unread;
mod valgrind;
mod watch;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sshoal::config::{ClientBuilder, Input};
use sshoal::hostkey::HostKeyPolicy;
use sshoal::{HostOutput, JoinOptions, Outcome, ParallelClient};

use super::support::alarm::{Watchdog, watchdog};
use super::support::system::{is_rerun, rerun};

/// Limit of one step of a test, for a machine that is busy otherwise.
const SLOW: Duration = Duration::from_secs(20);

/// Message types that the server counts (RFC 4253, 4252 and 4254).
const KEXINIT: u8 = 20;
const USERAUTH: u8 = 50;
const INFO_RESPONSE: u8 = 61;
const REQUEST_SUCCESS: u8 = 81;
const REQUEST_FAILURE: u8 = 82;
const OPEN: u8 = 90;
const OPEN_CONFIRMATION: u8 = 91;
const OPEN_FAILURE: u8 = 92;
const DATA: u8 = 94;
const EXEC: u8 = 98;

/// With and without input: libssh logs how a channel is opened only if it may be written to.
const INPUTS: [Input; 2] = [Input::Open, Input::Empty];

/// The address of the well-behaved host.
const HEALTHY: &str = "127.0.0.1";

fn guard(name: &str) -> Watchdog {
    watchdog(Duration::from_secs(120), name)
}

/// Reruns a test in a separate process, because memory is measured per process. Returns whether
/// this is that process.
#[track_caller]
fn alone(module: &str, test: &str) -> bool {
    if is_rerun() {
        return true;
    }
    let output = rerun(module, test).output().expect("run this test's program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// A running `server.py`. It ends with its standard input: when this is dropped, or this process is
/// killed.
struct Hostile {
    child: Child,
    port: u16,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Hostile {
    /// A server that at [`address`] 0 misbehaves as the first of `kinds`, and so on, and behaves
    /// well at [`HEALTHY`].
    #[track_caller]
    fn start(kinds: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hostile/server.py");
        let mut command = Command::new("/usr/bin/python3");
        // Write no bytecode into the source folder.
        command.arg("-B").arg(script).args(kinds).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("/usr/bin/python3 (Debian: python3-paramiko)");
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut server = Self { child, port: 0, pipes: Mutex::new((stdin, BufReader::new(stdout))) };
        let line = server.line();
        let port = line.strip_prefix("listening ").and_then(|port| port.parse().ok());
        server.port = port.unwrap_or_else(|| panic!("server.py {kinds:?} did not start: {line:?}"));
        server
    }

    fn line(&self) -> String {
        let mut line = String::new();
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        pipes.1.read_line(&mut line).expect("server.py's stdout");
        line.trim_end().to_owned()
    }

    /// How many messages of each type the clients of this address have sent.
    fn seen(&self, address: &str) -> HashMap<u8, usize> {
        let ask = format!("{address}\n");
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        pipes.0.write_all(ask.as_bytes()).expect("server.py's stdin");
        drop(pipes);
        let pair = |pair: &str| {
            let (kind, count) = pair.split_once('=')?;
            Some((kind.parse().ok()?, count.parse().ok()?))
        };
        self.line().split(' ').filter_map(pair).collect()
    }

    /// How many messages of this type the clients of this address have sent.
    fn count(&self, address: &str, kind: u8) -> usize {
        self.seen(address).get(&kind).copied().unwrap_or_default()
    }

    /// A client for these addresses: a password, any host key, one attempt.
    fn client<A: Into<String>>(&self, addresses: impl IntoIterator<Item = A>) -> ClientBuilder {
        let builder = ParallelClient::builder(addresses.into_iter().map(Into::into))
            .port(self.port)
            .user("somebody")
            .password("any");
        let builder = builder.identity_auth(false).allow_agent(false).known_hosts(Vec::<String>::new());
        let builder = builder.host_keys(HostKeyPolicy::danger_accept_any_host_key());
        builder.guard_passwords(false).num_retries(1).timeout(SLOW)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address of the kind at this position of the list.
fn address(position: usize) -> String {
    format!("127.0.1.{}", position + 1)
}

/// The addresses of all these kinds, and the well-behaved one.
fn all(kinds: &[&str]) -> Vec<String> {
    (0..kinds.len()).map(address).chain([HEALTHY.to_owned()]).collect()
}

/// Joins with a limit for a slow machine.
#[track_caller]
fn join(client: &ParallelClient, outputs: &[HostOutput]) {
    let options = JoinOptions::default().timeout(SLOW * 2).close_stdin(true);
    client.join(outputs, options).expect("all commands end");
}

/// Runs a command to its end. The client's last host is the well-behaved one, which must succeed,
/// whatever the others do.
#[track_caller]
fn run(client: &mut ParallelClient, command: impl Into<sshoal::Command>) -> Vec<HostOutput> {
    let outputs = client.start_command(command).expect("a command");
    join(client, &outputs);
    let healthy = outputs.last().expect("a host");
    assert_eq!(healthy.host(), HEALTHY);
    assert_eq!(stdout(healthy), ["hello"]);
    assert!(matches!(healthy.outcome(), Some(Outcome::Exited(0))), "{:?}", healthy.outcome());
    outputs[..outputs.len() - 1].to_vec()
}

fn greet(input: Input) -> sshoal::Command {
    sshoal::Command::new("greet").stdin(input)
}

/// The unread lines of standard output up to its end or to an error.
fn stdout(output: &HostOutput) -> Vec<String> {
    output.stdout().map_while(Result::ok).collect()
}

/// Whether a text is safe to print on a terminal.
fn printable(text: &str) -> bool {
    sshoal::output::sanitise(text) == text
}
