//! The library against a server that breaks the protocol on purpose, in ways that neither OpenSSH nor the simulated
//! fleet can be made to: `server.py`, on top of Debian's python3-paramiko.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails at once")]

mod after_close;
mod agent;
mod answers;
mod floods;
mod gssapi;
mod interactive;
mod login;
mod packets;
mod prepare;
mod pressure;
mod rekeys;
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

use sshoal::config::ClientBuilder;
use sshoal::hostkey::HostKeyPolicy;
use sshoal::{HostOutput, JoinOptions, Outcome, ParallelClient};

use super::support::alarm::{Watchdog, watchdog};
use super::support::system::{is_rerun, rerun};

/// What a step of a test takes at most on a machine that is busy with other things.
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

/// The address that behaves.
const HEALTHY: &str = "127.0.0.1";

fn guard(name: &str) -> Watchdog {
    watchdog(Duration::from_secs(120), name)
}

/// Runs a test in a process of its own, as memory is the process's. Whether this is that process.
#[track_caller]
fn alone(module: &str, test: &str) -> bool {
    if is_rerun() {
        return true;
    }
    let output = rerun(module, test).output().expect("run this test's program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// A running `server.py`. It ends when its standard input does: when this is dropped, or this process is killed.
struct Hostile {
    child: Child,
    port: u16,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Hostile {
    /// A server that misbehaves at [`address`] 0 as the first of `kinds`, and so on, and behaves at [`HEALTHY`].
    #[track_caller]
    fn start(kinds: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hostile/server.py");
        let mut command = Command::new("/usr/bin/python3");
        // No bytecode in the sources' folder.
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

    /// For these addresses: a password, any host key, one attempt.
    fn client<A: Into<String>>(&self, addresses: impl IntoIterator<Item = A>) -> ClientBuilder {
        let builder = ParallelClient::builder(addresses.into_iter().map(Into::into))
            .port(self.port)
            .user("somebody")
            .password("any");
        let builder = builder.identity_auth(false).allow_agent(false).known_hosts(Vec::<String>::new());
        let builder = builder.host_keys(HostKeyPolicy::danger_accept_any_host_key());
        builder.num_retries(1).timeout(SLOW)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the kind at this position of the list is served.
fn address(position: usize) -> String {
    format!("127.0.1.{}", position + 1)
}

/// The addresses of all these kinds, and the one that behaves.
fn all(kinds: &[&str]) -> Vec<String> {
    (0..kinds.len()).map(address).chain([HEALTHY.to_owned()]).collect()
}

/// Joins within the limit of a slow machine.
#[track_caller]
fn join(client: &ParallelClient, outputs: &[HostOutput]) {
    let options = JoinOptions::default().timeout(SLOW * 2).close_stdin(true);
    client.join(outputs, options).expect("all commands end");
}

/// Runs a command to its end. The last host of the client is the one that behaves, and has to, whatever the others do.
#[track_caller]
fn run(client: &mut ParallelClient, command: &str) -> Vec<HostOutput> {
    let outputs = client.start_command(command).expect("a command");
    join(client, &outputs);
    let healthy = outputs.last().expect("a host");
    assert_eq!(healthy.host(), HEALTHY);
    assert_eq!(stdout(healthy), ["hello"]);
    assert!(matches!(healthy.outcome(), Some(Outcome::Exited(0))), "{:?}", healthy.outcome());
    outputs[..outputs.len() - 1].to_vec()
}

/// The unread lines of standard output up to its end, or to what cut it short.
fn stdout(output: &HostOutput) -> Vec<String> {
    output.stdout().map_while(Result::ok).collect()
}

/// Whether a text can be shown on a terminal as it is.
fn printable(text: &str) -> bool {
    sshoal::output::sanitise(text) == text
}
