//! Hosts with a proxy command.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::Poll;

use super::harness::{Bench, CONNECT, Config, HANDSHAKE};
use super::script::{Answer, Packet, Peer, Script};
use crate::error::{HostErrorKind, ProxyCommandProblem};
use crate::link::{LinkError, LinkErrorKind};
use crate::proxy_command::CommandReport;
use crate::session::state::Phase;
use crate::session::{HostState, Input};
use crate::stage::{Stage, TimeoutKind};

/// The process of a command, as a test has it.
#[derive(Debug, Clone, Default)]
pub(super) struct FakeChild {
    /// The status with which it exits; `None` while it runs.
    pub status: Option<i32>,
    pub said: Option<&'static str>,
}

impl CommandReport for FakeChild {
    fn end(&mut self) -> Poll<Option<ExitStatus>> {
        let ended = |status| Poll::Ready(Some(ExitStatus::from_raw(status << 8)));
        self.status.map_or(Poll::Pending, ended)
    }

    fn said(&mut self) -> Option<Arc<str>> {
        self.said.map(Into::into)
    }
}

/// The end of a connection before the host has identified itself.
pub(super) fn dropped() -> LinkError {
    LinkError::new(LinkErrorKind::Dropped, "the end")
}

impl Bench {
    /// Ends the process of the command, as its connection has ended.
    pub(super) fn exit(&mut self, status: i32) {
        self.child.as_mut().unwrap().status = Some(status);
        self.step(Input::Wake);
    }
}

/// A host with a proxy command.
pub(super) fn with_command(script: Script, attempts: u32) -> Bench {
    let mut bench = Bench::with(Config { attempts, commanded: true, ..Config::default() }, script);
    bench.command();
    bench
}

/// A host whose first connection ends before anything arrives. By then, the process has this exit
/// status.
pub(super) fn ends_early(status: Option<i32>, attempts: u32) -> Bench {
    let silent = Peer { handshake: Answer::never(), ..Peer::default() };
    let mut bench = with_command(Script::peers(vec![silent, Peer::default()]), attempts);
    bench.next_child.status = status;
    bench.run_until_phase(Phase::Launching);
    bench.link.fail_next(dropped());
    bench.step(Input::Wake);
    bench.next_child.status = None;
    bench
}

/// The text of the error of a command that has ended.
pub(super) fn ended(bench: &Bench) -> String {
    let kind = bench.error(0).kind();
    assert!(matches!(kind, HostErrorKind::ProxyCommand(ProxyCommandProblem::Ended { .. })), "{kind}");
    kind.to_string()
}

#[test]
fn a_host_with_a_command_is_neither_looked_up_nor_dialled() {
    let mut bench = with_command(Script::default(), 1);
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!((bench.dials(), bench.lookup, bench.commands_started), (0, false, 1));
}

#[test]
fn the_time_limit_covers_the_start_until_the_first_byte() {
    let silent = Peer { handshake: Answer::never(), ..Peer::default() };
    let mut bench = with_command(Script::peer(silent), 1);
    bench.next_child.said = Some("waiting for the token");
    bench.step(Input::Admitted { commands: 1 });
    assert_eq!((bench.phase(), bench.deadline()), (Phase::Launching, Some(bench.now + CONNECT)));
    assert_eq!(bench.view().state, HostState::Connecting);
    bench.run();
    let error = bench.error(0);
    let is_connect = matches!(error.kind(), HostErrorKind::Timeout { kind: TimeoutKind::Connect, .. });
    assert!(is_connect && error.stage() == Stage::Connecting, "{error}");
    assert_eq!(error.proxy_command_said(), Some("waiting for the token"));
    assert!(error.to_string().ends_with("; the proxy command said: \"waiting for the token\""), "{error}");
}

#[test]
fn after_the_first_byte_the_limit_is_that_of_the_handshake() {
    let silent = Peer { handshake: Answer::never(), ..Peer::default() };
    let mut bench = with_command(Script::peer(silent), 1);
    bench.run_until_phase(Phase::Launching);
    bench.link.arrive(0, Packet::Keys(0));
    bench.step(Input::Wake);
    assert_eq!((bench.phase(), bench.deadline()), (Phase::Handshaking, Some(bench.now + HANDSHAKE)));
    bench.run();
    let kind = bench.error(0).kind();
    assert!(matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Handshake, .. }), "{kind}");
}

/// A server that drops connections beyond its limit looks like this behind `nc`.
#[test]
fn a_command_that_ends_with_success_before_the_identification_was_dropped_by_the_server() {
    for (status, attempts) in [(0, Some(11)), (1, Some(3))] {
        let silent = Peer { handshake: Answer::never(), ..Peer::default() };
        let mut bench = Bench::with(
            Config { retry: Some(Default::default()), commanded: true, ..Config::default() },
            Script::peer(silent),
        );
        bench.next_child.status = Some(status);
        bench.command();
        for _ in 0..attempts.unwrap_or_default() {
            bench.run_until_phase(Phase::Launching);
            bench.link.fail_next(dropped());
            bench.step(Input::Wake);
        }
        assert_eq!(bench.error(0).attempts(), attempts, "status {status}");
    }
}

#[test]
fn a_command_that_cannot_be_started_is_final_and_named() {
    let mut bench = with_command(Script::default(), 3);
    bench.starts = [nix::errno::Errno::ENOENT.into()].into();
    bench.run();
    let error = bench.error(0);
    assert_eq!((error.stage(), error.attempt(), bench.commands_started), (Stage::Connecting, 1, 1));
    assert!(error.to_string().ends_with("No such file or directory (os error 2): nc web1 22"), "{error}");
}
