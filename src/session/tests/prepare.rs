//! Tests of the requests that are made on a channel before the request to run the command.

use super::call::Call;
use super::harness::{Bench, Config};
use super::script::{Answer, Channel, Packet, Peer, Script, lost};
use crate::command::{ChannelRequest, RunOptions};
use crate::error::{ChannelProblem, HostErrorKind};
use crate::limits;
use crate::link::LinkErrorKind;
use crate::stage::Stage;

fn variable(name: &str) -> ChannelRequest {
    ChannelRequest::Env { name: std::ffi::CString::new(name).unwrap(), value: c"value".into() }
}

/// A terminal and two variables.
pub(super) fn setup() -> Vec<ChannelRequest> {
    let pty = ChannelRequest::Pty { term: c"xterm".into(), columns: 80, rows: 24 };
    vec![pty, variable("LANG"), variable("LC_ALL")]
}

fn run(channel: Channel, ignore_refused_env: bool) -> Bench {
    let peer = Peer { channels: vec![channel, Channel::default()], ..Peer::default() };
    let mut bench = Bench::new(Script::peer(peer));
    bench.command_with(
        RunOptions { setup: setup(), ignore_refused_env, ..RunOptions::default() },
        b"",
        false,
    );
    bench.run();
    bench
}

/// The answers to the three requests of [`setup`], of which the `nth` is refused.
fn refusing(nth: usize) -> Channel {
    let mut requests = vec![Answer::ok(1); 3];
    requests[nth] = Answer::error(1, LinkErrorKind::Denied);
    Channel { requests, ..Channel::default() }
}

fn asked(bench: &Bench) -> Vec<&Call> {
    let mut asked = bench.calls(|call| matches!(call, Call::Request(..) | Call::Exec(..)));
    asked.dedup();
    asked
}

#[test]
fn each_request_waits_for_the_answer_to_the_one_before() {
    let bench = run(Channel { requests: vec![Answer::ok(3)], ..Channel::default() }, false);
    assert!(bench.outcome(0).is_success());
    let request = |text: &str| Call::Request(0, text.to_owned());
    let [pty, lang, all] =
        [r#"Pty("xterm", 80x24)"#, r#"Env("LANG", ..)"#, r#"Env("LC_ALL", ..)"#].map(request);
    assert_eq!(asked(&bench), [&pty, &lang, &all, &Call::Exec(0, "command 0".to_owned())]);
}

#[test]
fn the_agent_is_asked_for_first_on_each_channel() {
    let config = Config { forward_agent: true, ..Config::default() };
    let mut bench = Bench::with(config, Script::peer(Peer::default()));
    bench.command_with(RunOptions { setup: setup(), ..RunOptions::default() }, b"", false);
    bench.run();
    let requests = bench.calls(|call| matches!(call, Call::Request(..))).len();
    assert!(bench.outcome(0).is_success());
    bench.command();
    bench.run();
    let of = |bench: &Bench| asked(bench).into_iter().map(|call| format!("{call:?}")).collect::<Vec<_>>();
    let all = of(&bench);
    assert!(all[0].contains("ForwardAgent") && all[1].contains("Pty") && requests >= 4, "{all:?}");
    assert!(all.iter().filter(|call| call.contains("ForwardAgent")).count() == 2, "{all:?}");
}

#[test]
fn a_refused_terminal_ends_the_command_unsent() {
    let mut bench = run(refusing(0), true);
    let HostErrorKind::Channel(ChannelProblem::PtyRefused(_)) = bench.error(0).kind() else { panic!() };
    assert_eq!((bench.error(0).stage(), asked(&bench).len()), (Stage::Preparing, 1));
    bench.command();
    bench.run();
    assert!(bench.outcome(1).is_success());
    assert_eq!(bench.dials(), 1);
}

#[test]
fn a_refused_variable_ends_the_command_unsent_unless_it_may_go_without() {
    let bench = run(refusing(2), false);
    match bench.error(0).kind() {
        HostErrorKind::Channel(ChannelProblem::EnvRefused { name, .. }) => assert_eq!(name, "LC_ALL"),
        other => panic!("{other}"),
    }
    assert_eq!(asked(&bench).len(), 3);
    let bench = run(refusing(1), true);
    assert!(bench.outcome(0).is_success());
    assert_eq!(asked(&bench).len(), 4);
}

#[test]
fn a_channel_closed_instead_of_an_answer_is_a_refusal() {
    let mut bench =
        Bench::new(Script::channel(Channel { requests: vec![Answer::never()], ..Channel::default() }));
    bench.command_with(RunOptions { setup: setup(), ..RunOptions::default() }, b"", false);
    bench.run_until(|bench| bench.exec(0).stage() == Stage::Preparing);
    bench.link.arrive(0, Packet::Close);
    bench.run();
    assert_eq!(
        bench.error(0).kind().to_string(),
        "the server refused a terminal: it closed the channel instead of answering"
    );
}

#[test]
fn endless_output_before_the_command_is_a_protocol_error() {
    let mut bench =
        Bench::new(Script::channel(Channel { requests: vec![Answer::never()], ..Channel::default() }));
    bench.check_idle = false;
    bench.command_with(RunOptions { setup: setup(), ..RunOptions::default() }, b"", false);
    bench.run_until(|bench| bench.exec(0).stage() == Stage::Preparing);
    bench.link.arrive(0, Packet::Stdout(vec![b'y'; limits::EARLY_OUTPUT + 1]));
    bench.run();
    assert!(matches!(bench.error(0).kind(), HostErrorKind::Protocol(_)), "{}", bench.error(0));
}

#[test]
fn a_connection_lost_before_the_command_was_sent_is_made_anew() {
    let bad = Channel { requests: vec![Answer { after: Some(2), says: Err(lost()) }], ..Channel::default() };
    let bad = Peer { channels: vec![bad], ..Peer::default() };
    let mut bench = Bench::new(Script::peers(vec![bad, Peer::default()]));
    bench.command_with(RunOptions { setup: setup(), ..RunOptions::default() }, b"", false);
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!((bench.dials(), asked(&bench).len()), (2, 5));
}
