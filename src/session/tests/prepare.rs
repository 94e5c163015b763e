//! Tests of the requests that are made on a channel before the request to run the command.

use super::call::Call;
use super::harness::{Bench, Config, EXEC};
use super::host_keys::accepts_changed;
use super::script::{Answer, Channel, Packet, Peer, Script, lost};
use crate::command::{ChannelRequest, LoginProgram, Program, RunOptions};
use crate::error::{ChannelProblem, HostErrorKind};
use crate::limits;
use crate::link::LinkErrorKind;
use crate::session::RetryPolicy;
use crate::stage::{Stage, TimeoutKind};

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

/// As in OpenSSH, where `SetEnv` asks for no reply. The command's own variables come later, and
/// win.
#[test]
fn variables_of_the_host_may_be_refused() {
    let denied = || Answer::error(1, LinkErrorKind::Denied);
    let mut requests = vec![denied(), Answer::ok(1), Answer::ok(1), denied(), Answer::ok(1)];
    let run = |requests: &[Answer]| {
        let channel = Channel { requests: requests.to_vec(), ..Channel::default() };
        let peer = Peer { channels: vec![channel], ..Peer::default() };
        let config = Config { setup: vec![variable("LANG"), variable("TZ")], ..Config::default() };
        let mut bench = Bench::with(config, Script::peer(peer));
        bench.command_with(RunOptions { setup: setup(), ..RunOptions::default() }, b"", false);
        bench.run();
        bench
    };
    let bench = run(&requests);
    let asked: Vec<String> = asked(&bench).into_iter().map(|call| format!("{call:?}")).collect();
    assert!(asked[0].contains("LANG") && asked[1].contains("TZ") && asked[2].contains("Pty"), "{asked:?}");
    assert_eq!((refused_names(&bench), asked.len()), (&["LANG".to_owned()][..], 5), "the command's own");
    requests.truncate(3);
    requests.push(Answer::ok(1));
    assert!(run(&requests).outcome(0).is_success());
}

/// `RequestTTY force`, `ssh -t` and `ssh -T`.
#[test]
fn the_terminal_of_the_host_is_for_commands_that_leave_it_to_the_host() {
    let of_host = ChannelRequest::Pty { term: c"vt100".into(), columns: 132, rows: 50 };
    let config = Config { setup: vec![of_host, variable("TZ")], ..Config::default() };
    let mut bench = Bench::with(config, Script::peer(Peer::default()));
    let pty = setup().remove(0);
    for (setup, pty_of_host) in [(vec![], true), (vec![pty], false), (vec![], false)] {
        bench.command_with(RunOptions { setup, pty_of_host, ..RunOptions::default() }, b"", false);
        bench.run();
    }
    let requested = |channel: usize| -> Vec<&str> {
        let of_channel = asked(&bench).into_iter().filter_map(move |call| match call {
            Call::Request(on, text) if *on == channel => Some(text.as_str()),
            _ => None,
        });
        of_channel.collect()
    };
    let (of_host, tz) = (r#"Pty("vt100", 132x50)"#, r#"Env("TZ", ..)"#);
    assert_eq!(requested(0), [of_host, tz]);
    assert_eq!(requested(1), [tz, r#"Pty("xterm", 80x24)"#]);
    assert_eq!(requested(2), [tz]);
    assert_eq!([0, 1, 2].map(|number| bench.exec(number).on_terminal), [true, true, false]);
}

/// As for a terminal that the command asks for: it would not print what it prints on one.
#[test]
fn a_refused_terminal_of_the_host_ends_the_command_unsent() {
    let config = Config { setup: vec![setup().remove(0)], ..Config::default() };
    let channel = Channel { requests: vec![Answer::error(1, LinkErrorKind::Denied)], ..Channel::default() };
    let mut bench = Bench::with(config, Script::peer(Peer { channels: vec![channel], ..Peer::default() }));
    bench.command();
    bench.run();
    let HostErrorKind::Channel(ChannelProblem::PtyRefused(_)) = bench.error(0).kind() else { panic!() };
    assert!(bench.calls(|call| matches!(call, Call::Exec(..))).is_empty());
    assert!(!bench.exec(0).on_terminal);
}

#[test]
fn a_program_in_place_of_the_login_shell_is_run_and_refused_as_what_it_is() {
    let cli = LoginProgram::new(Program::Command, "cli").unwrap();
    let refused = Channel { exec: Answer::error(1, LinkErrorKind::Denied), ..Channel::default() };
    for (channel, is_refused) in [(Channel::default(), false), (refused, true)] {
        let config = Config { login_program: cli.clone(), ..Config::default() };
        let mut bench =
            Bench::with(config, Script::peer(Peer { channels: vec![channel], ..Peer::default() }));
        bench.program = Program::Shell;
        bench.command();
        bench.run();
        assert_eq!(asked(&bench), [&Call::Exec(0, "cli".to_owned())]);
        if is_refused {
            let HostErrorKind::Channel(ChannelProblem::ExecRefused(_)) = bench.error(0).kind() else {
                panic!("{}", bench.error(0))
            };
        }
    }
}

#[test]
fn a_host_with_a_changed_key_gets_no_agent() {
    let config = Config { forward_agent: true, verifier: accepts_changed(), ..Config::default() };
    let mut bench = Bench::with(config, Script::peer(Peer::default()));
    bench.command();
    bench.run();
    assert!(bench.outcome(0).is_success());
    assert_eq!(asked(&bench), [&Call::Exec(0, "command 0".to_owned())]);
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

fn refused_names(bench: &Bench) -> &[String] {
    match bench.error(0).kind() {
        HostErrorKind::Channel(ChannelProblem::EnvRefused { names, .. }) => names,
        other => panic!("{other}"),
    }
}

#[test]
fn refused_variables_end_the_command_unsent_unless_it_may_go_without() {
    let bench = run(refusing(2), false);
    assert_eq!((refused_names(&bench), asked(&bench).len()), (&["LC_ALL".to_owned()][..], 3));
    // The others are asked for as well, so that the error names all.
    let bench = run(refusing(1), false);
    assert_eq!((refused_names(&bench), asked(&bench).len()), (&["LANG".to_owned()][..], 3));
    let denied = Answer::error(1, LinkErrorKind::Denied);
    let channel = Channel { requests: vec![Answer::ok(1), denied], ..Channel::default() };
    let bench = run(channel, false);
    assert_eq!(refused_names(&bench), ["LANG", "LC_ALL"]);
    assert_eq!((bench.error(0).stage(), asked(&bench).len()), (Stage::Preparing, 3));
    assert_eq!(
        bench.error(0).kind().to_string(),
        "the server refused the environment variables LANG, LC_ALL: Denied; let it accept them (OpenSSH: \
         AcceptEnv), or use shell_env"
    );
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
fn a_channel_closed_among_refusals_ends_them() {
    let requests = vec![Answer::ok(1), Answer::error(1, LinkErrorKind::Denied), Answer::never()];
    let mut bench = Bench::new(Script::channel(Channel { requests, ..Channel::default() }));
    let ignore_refused_env = true;
    let options = RunOptions { setup: setup(), ignore_refused_env, ..RunOptions::default() };
    bench.command_with(options, b"", false);
    bench.run_until(|bench| asked(bench).len() == 3);
    bench.link.arrive(0, Packet::Close);
    bench.run();
    assert_eq!(refused_names(&bench), ["LC_ALL"]);
}

#[test]
fn the_text_of_many_refused_variables_stays_short_and_the_names_are_complete() {
    let count = 5000;
    let setup: Vec<_> = (0..count).map(|number| variable(&format!("SSHOAL_{number}"))).collect();
    let requests = vec![Answer::error(1, LinkErrorKind::Denied)];
    let mut bench = Bench::new(Script::channel(Channel { requests, ..Channel::default() }));
    bench.command_with(RunOptions { setup, ..RunOptions::default() }, b"", false);
    bench.run();
    let names = refused_names(&bench);
    assert_eq!((names.len(), names[count - 1].as_str()), (count, "SSHOAL_4999"));
    let text = bench.error(0).kind().to_string();
    assert!(text.len() < 2 * limits::PEER_TEXT, "{text}");
    assert!(text.contains("SSHOAL_0, SSHOAL_1, ") && text.contains(" and 4955 more: Denied; "), "{text}");
}

/// Each variable waits for its answer. The limit for the start of a command applies to each answer,
/// also where all attempts together have a limit.
#[test]
fn any_number_of_variables_fits_into_the_time_limit() {
    let answers = Answer::ok(3);
    for answer in [answers.clone(), Answer::error(3, LinkErrorKind::Denied)] {
        let channel = Channel { requests: vec![answer], ..Channel::default() };
        let setup = (0..100).map(|number| variable(&format!("V{number}"))).collect();
        let config = Config { retry: Some(RetryPolicy::default()), ..Config::default() };
        let mut bench = Bench::with(config, Script::channel(channel));
        bench.round = EXEC / 4;
        let options = RunOptions { setup, ignore_refused_env: true, ..RunOptions::default() };
        bench.command_with(options, b"", false);
        let begun = bench.now;
        bench.run();
        assert!(bench.outcome(0).is_success());
        assert!(bench.now - begun > 75 * EXEC);
    }
    // A server that does not answer one of them fails the command in that time.
    let requests = vec![answers.clone(), answers, Answer::never()];
    let mut bench = Bench::new(Script::channel(Channel { requests, ..Channel::default() }));
    bench.command_with(RunOptions { setup: setup(), ..RunOptions::default() }, b"", false);
    bench.run();
    match bench.error(0).kind() {
        HostErrorKind::Timeout { kind: TimeoutKind::Exec, after } => assert_eq!(*after, EXEC),
        other => panic!("{other}"),
    }
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
