//! The dialogue with a `sudo` whose password is known.

use std::sync::Arc;

use super::call::Call;
use super::harness::{AUTH, Bench, Config, EXEC};
use super::host_keys::accepts_changed;
use super::prepare::setup;
use super::script::{Channel, Packet, Peer, Script, Take, lost};
use crate::command::{Command, RunOptions, SudoMark};
use crate::error::{CancelCause, ChannelProblem, HostErrorKind};
use crate::limits;
use crate::output::stdin::Input as Stdin;
use crate::session::state::Phase;
use crate::session::{Input, Permission, TrialEnd, TrialOf};
use crate::stage::{Stage, TimeoutKind};

const INPUT: &[u8] = b"for the command\n";
const ANSWER: &[u8] = b"open sesame\n";

/// The options of a command whose `sudo` password is `open sesame`, and the prompt and start marks
/// of its `sudo`.
fn options() -> (RunOptions, String, String) {
    let command = Command::new("id").sudo_password("open sesame").stdin(Stdin::Open);
    let request = command.to_requests(1, Default::default()).unwrap().remove(0);
    let options = Arc::into_inner(Arc::into_inner(request).unwrap().options).unwrap();
    let login = options.sudo.as_ref().unwrap();
    let [prompt, start] = [SudoMark::Prompt, SudoMark::Start].map(|mark| login.text(mark));
    (options, prompt, start)
}

/// A host that has accepted such a command and has sent nothing yet.
struct Dialogue {
    bench: Bench,
    prompt: String,
    start: String,
}

impl Dialogue {
    fn new() -> Self {
        Self::on(Channel::sending(vec![]))
    }

    fn on(channel: Channel) -> Self {
        let peer = Peer { channels: vec![channel, Channel::default()], ..Peer::default() };
        let (options, prompt, start) = options();
        Self::with(Bench::new(Script::peer(peer)), options, prompt, start)
    }

    fn with(mut bench: Bench, options: RunOptions, prompt: String, start: String) -> Self {
        let is_open = options.input == Stdin::Open;
        bench.command_with(options, if is_open { INPUT } else { b"" }, is_open);
        // These rounds do not let the dialogue's timer expire.
        for _ in 0..100 {
            bench.round_but_timers();
        }
        assert_eq!(bench.exec(0).stage(), Stage::Running);
        Self { bench, prompt, start }
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            self.bench.round_but_timers();
        }
    }

    /// Lets `sudo` print this output.
    fn says(&mut self, text: &str) {
        self.bench.link.arrive(0, Packet::Stderr(text.as_bytes().to_vec()));
        self.settle();
    }

    fn prompts(&mut self) {
        self.says(&self.prompt.clone());
    }

    fn starts(&mut self) {
        self.says(&self.start.clone());
    }

    fn ends(&mut self) {
        for packet in [Packet::Status(0), Packet::Eof, Packet::Close] {
            self.bench.link.arrive(0, packet);
        }
        self.settle();
    }

    fn received(&self) -> &[u8] {
        self.bench.link.received(0)
    }

    fn input_has_ended(&self) -> bool {
        !self.bench.calls(|call| matches!(call, Call::SendEof(_))).is_empty()
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.bench.exec(0).stderr.unread().to_vec()).unwrap()
    }
}

fn both() -> Vec<u8> {
    [ANSWER, INPUT].concat()
}

#[test]
fn a_prompt_is_answered_once_and_input_waits_for_the_start() {
    let mut dialogue = Dialogue::new();
    assert_eq!(dialogue.received(), b"");
    dialogue.says("We trust you.\n");
    assert_eq!(dialogue.received(), b"");
    dialogue.prompts();
    assert_eq!(dialogue.received(), ANSWER);
    dialogue.says("Fine.\n");
    assert_eq!(dialogue.received(), ANSWER);
    assert!(!dialogue.input_has_ended());
    dialogue.starts();
    assert_eq!(dialogue.received(), both());
    assert!(dialogue.input_has_ended());
    assert_eq!(dialogue.bench.deadline(), None);
    dialogue.says("error\n");
    dialogue.ends();
    assert_eq!(dialogue.stderr(), "We trust you.\nFine.\nerror\n");
    assert!(dialogue.bench.outcome(0).is_success());
}

#[test]
fn no_input_and_given_input_wait_for_the_start_as_well() {
    for (input, received) in [(Stdin::Empty, ANSWER.to_vec()), (INPUT.into(), both())] {
        for asks in [true, false] {
            let (options, prompt, start) = options();
            let bench = Bench::new(Script::channel(Channel::sending(vec![])));
            let mut dialogue =
                Dialogue::with(bench, RunOptions { input: input.clone(), ..options }, prompt, start);
            if asks {
                dialogue.prompts();
                assert_eq!(dialogue.received(), ANSWER);
            }
            assert!(!dialogue.input_has_ended(), "sudo would take the end for the password");
            dialogue.starts();
            let answer = if asks { 0 } else { ANSWER.len() };
            assert_eq!(dialogue.received(), &received[answer..]);
            assert!(dialogue.input_has_ended());
            dialogue.ends();
            assert!(dialogue.bench.outcome(0).is_success());
        }
    }
}

#[test]
fn a_sudo_that_asks_for_nothing_gets_nothing() {
    let mut dialogue = Dialogue::new();
    dialogue.says("lecture\n");
    assert_eq!(dialogue.received(), b"");
    dialogue.starts();
    assert_eq!(dialogue.received(), INPUT);
    assert!(dialogue.input_has_ended());
    dialogue.ends();
    assert_eq!(dialogue.stderr(), "lecture\n");
}

#[test]
fn marks_are_found_however_they_are_cut() {
    let (_, prompt, start) = options();
    for cut in 1..prompt.len().max(start.len()) {
        let mut dialogue = Dialogue::new();
        let said = format!("a{}b", dialogue.prompt);
        dialogue.says(&said[..=cut]);
        assert_eq!(dialogue.received(), b"", "cut at {cut}");
        dialogue.says(&said[cut + 1..]);
        assert_eq!(dialogue.received(), ANSWER, "cut at {cut}");
        let said = format!("c{}d", dialogue.start);
        let cut = cut.min(said.len() - 3);
        dialogue.says(&said[..=cut]);
        assert_eq!(dialogue.received(), ANSWER, "cut at {cut}");
        dialogue.says(&said[cut + 1..]);
        assert_eq!(dialogue.received(), both(), "cut at {cut}");
        assert_eq!(dialogue.stderr(), "abcd", "cut at {cut}");
    }
    // The output arrives byte by byte, and then all at once.
    let mut dialogue = Dialogue::new();
    let said = format!("{0}{1}", dialogue.prompt, dialogue.start);
    said.bytes().for_each(|byte| dialogue.says(std::str::from_utf8(&[byte]).unwrap()));
    assert_eq!((dialogue.received(), dialogue.stderr().as_str()), (&both()[..], ""));
    let mut dialogue = Dialogue::new();
    dialogue.says(&format!("x{}y{}z", dialogue.prompt, dialogue.start));
    assert_eq!(dialogue.stderr(), "xyz");
    // The command has begun, so no password is asked for any more.
    assert_eq!(dialogue.received(), INPUT);
}

#[test]
fn what_looks_like_a_prompt_is_output() {
    let (_, other, _) = options();
    let mut dialogue = Dialogue::new();
    let cut = |text: &str, less: usize| text[..text.len() - less].to_owned();
    let said = [
        "[sudo] password for deploy: Password: ".to_owned(),
        other,
        cut(&dialogue.prompt, 1) + "_",
        dialogue.prompt.to_uppercase(),
        cut(&dialogue.start, 3) + "\n",
        "sshoal-sshoal-\n".to_owned(),
        // This output is held back to the end, because it may become a mark.
        cut(&dialogue.prompt, 1),
    ]
    .concat();
    dialogue.says(&said);
    dialogue
        .bench
        .link
        .arrive(0, Packet::Stdout(format!("{}{}", dialogue.prompt, dialogue.start).into_bytes()));
    dialogue.settle();
    assert_eq!(dialogue.received(), b"");
    dialogue.ends();
    assert_eq!(dialogue.stderr(), said);
    assert_eq!(dialogue.bench.exec(0).stdout.len(), dialogue.prompt.len() + dialogue.start.len());
    assert!(dialogue.bench.outcome(0).is_success());
}

#[test]
fn a_command_that_has_begun_cannot_ask() {
    let mut dialogue = Dialogue::new();
    dialogue.starts();
    let said = format!("{}{}", dialogue.prompt, dialogue.start);
    dialogue.says(&said);
    assert_eq!(dialogue.received(), INPUT);
    assert_eq!(dialogue.stderr(), said);
}

#[test]
fn a_second_prompt_gives_up_only_the_command() {
    let mut dialogue = Dialogue::new();
    dialogue.prompts();
    let sorry = format!("Sorry, try again.\n{}", dialogue.prompt);
    dialogue.says(&sorry);
    let bench = &mut dialogue.bench;
    let HostErrorKind::Channel(ChannelProblem::SudoPasswordRefused) = bench.error(0).kind() else {
        panic!("{}", bench.error(0));
    };
    assert_eq!(bench.error(0).stage(), Stage::Running);
    assert_eq!(bench.exec(0).stderr.unread(), b"Sorry, try again.\n");
    assert_eq!(bench.calls(|call| matches!(call, Call::Write(..))).len(), 1);
    assert_eq!(bench.calls(|call| *call == Call::Close(0)).len(), 1);
    assert_eq!(bench.phase(), Phase::Ready);
    bench.command();
    bench.run();
    assert!(bench.outcome(1).is_success());
}

/// The exit status of `sudo` itself is 1, which is also the status of many commands.
#[test]
fn a_refused_password_outranks_the_status_that_came_with_it() {
    let mut dialogue = Dialogue::new();
    dialogue.prompts();
    let bench = &mut dialogue.bench;
    let said = format!("Sorry.\n{}sudo: no password\n", dialogue.prompt);
    for packet in [Packet::Stderr(said.into_bytes()), Packet::Status(1), Packet::Eof, Packet::Close] {
        bench.link.arrive(0, packet);
    }
    bench.run();
    let HostErrorKind::Channel(ChannelProblem::SudoPasswordRefused) = bench.error(0).kind() else {
        panic!("{}", bench.error(0));
    };
    assert_eq!(bench.exec(0).stderr.unread(), b"Sorry.\nsudo: no password\n");
    assert_eq!(bench.link.open_channels(), 0);
}

#[test]
fn a_user_without_rights_has_the_status_of_sudo() {
    let mut dialogue = Dialogue::new();
    dialogue.prompts();
    dialogue.says("deploy is not in the sudoers file.\n");
    assert_eq!(dialogue.received(), ANSWER);
    for packet in [Packet::Status(1), Packet::Eof, Packet::Close] {
        dialogue.bench.link.arrive(0, packet);
    }
    dialogue.bench.run();
    assert_eq!(dialogue.bench.outcome(0).to_string(), "exit status 1");
    assert!(!dialogue.input_has_ended());
}

#[test]
fn a_silent_sudo_times_out_and_the_connection_stays_up() {
    for asks in [false, true] {
        let mut dialogue = Dialogue::new();
        let accepted = dialogue.bench.deadline().expect("no deadline is set") - AUTH;
        if asks {
            dialogue.prompts();
            dialogue.says("Verification code: ");
        }
        assert_eq!(dialogue.received(), if asks { ANSWER } else { b"" });
        let bench = &mut dialogue.bench;
        assert_eq!(bench.deadline(), Some(accepted + AUTH), "the limit is a total");
        bench.run();
        let HostErrorKind::Timeout { kind: TimeoutKind::Sudo, after: AUTH } = bench.error(0).kind() else {
            panic!("{}", bench.error(0));
        };
        assert_eq!(bench.exec(0).stderr.len(), if asks { "Verification code: ".len() } else { 0 });
        assert_eq!((bench.phase(), bench.link.open_channels()), (Phase::Ready, 0));
    }
    assert_ne!(AUTH, EXEC);
}

/// Output under way while the command is being stopped still arrives, including marks.
#[test]
fn a_command_that_is_ended_during_the_dialogue_shows_no_mark_and_gets_no_answer() {
    let mut dialogue = Dialogue::on(Channel { confirm_after: None, ..Channel::sending(vec![]) });
    let id = dialogue.bench.commands[0];
    dialogue.bench.step(Input::Cancel(id, CancelCause::Caller));
    dialogue.says(&format!("a{}b{}c{}", dialogue.prompt, dialogue.prompt, dialogue.start));
    assert_eq!((dialogue.received(), dialogue.stderr().as_str()), (&b""[..], "abc"));
    dialogue.bench.run();
    assert!(matches!(dialogue.bench.error(0).kind(), HostErrorKind::Cancelled(CancelCause::Caller)));
    // The peer is like a `sudo` that has refused the password and keeps asking.
    let mut dialogue = Dialogue::on(Channel { confirm_after: None, ..Channel::sending(vec![]) });
    dialogue.prompts();
    dialogue.says(&format!("Sorry.\n{}", dialogue.prompt));
    dialogue.says(&format!("Sorry.\n{}", dialogue.prompt));
    assert_eq!((dialogue.received(), dialogue.stderr().as_str()), (ANSWER, "Sorry.\nSorry.\n"));
    dialogue.bench.run();
    let error = dialogue.bench.error(0);
    assert!(matches!(error.kind(), HostErrorKind::Channel(ChannelProblem::SudoPasswordRefused)), "{error}");
}

/// The dialogue's time limit does not apply to closing the channel.
#[test]
fn an_end_reported_during_the_dialogue_has_the_close_timeout() {
    let mut dialogue = Dialogue::on(Channel { confirm_after: None, ..Channel::sending(vec![]) });
    let dialogue_end = dialogue.bench.deadline().expect("no deadline is set");
    let bench = &mut dialogue.bench;
    bench.now = dialogue_end - limits::CLOSE_TIMEOUT / 2;
    for packet in [Packet::Status(1), Packet::Eof] {
        bench.link.arrive(0, packet);
    }
    for _ in 0..3 {
        bench.round_but_timers();
    }
    assert!(bench.deadline().expect("no deadline is set") > dialogue_end);
}

#[test]
fn the_answer_is_sent_as_the_peer_accepts_it() {
    let takes = vec![Take::AtMost(3), Take::Nothing, Take::AtMost(1), Take::Nothing, Take::AtMost(2)];
    let mut dialogue = Dialogue::on(Channel { takes, ..Channel::sending(vec![]) });
    dialogue.prompts();
    assert_eq!(dialogue.received(), ANSWER);
    dialogue.starts();
    assert_eq!(dialogue.received(), both());
}

#[test]
fn a_sudo_that_takes_no_answer_ends_by_itself() {
    let mut dialogue = Dialogue::on(Channel { takes: vec![Take::Denied], ..Channel::sending(vec![]) });
    dialogue.prompts();
    dialogue.ends();
    assert_eq!(dialogue.received(), b"");
    assert!(dialogue.bench.outcome(0).is_success());
}

#[test]
fn the_prompt_line_of_sudo_rs_is_removed() {
    let mut dialogue = Dialogue::new();
    let framed = format!("[sudo: {}] Password: ", dialogue.prompt);
    let said = format!("[sudo: lecture]\n{framed}");
    said.bytes().for_each(|byte| dialogue.says(std::str::from_utf8(&[byte]).unwrap()));
    assert_eq!(dialogue.received(), ANSWER);
    dialogue.says("\n");
    dialogue.says("[sudo: ");
    dialogue.starts();
    assert_eq!(dialogue.received(), both());
    assert_eq!(dialogue.stderr(), "[sudo: lecture]\n[sudo: ");
    // `sudo` also asks in this form after it has refused a password.
    let mut dialogue = Dialogue::new();
    let framed = format!("[sudo: {}] Password: ", dialogue.prompt);
    dialogue.says(&framed);
    dialogue.says(&format!("\nsudo: Authentication failed, try again.\n{framed}"));
    assert!(dialogue.bench.exec(0).is_finished());
    assert_eq!(dialogue.stderr(), "sudo: Authentication failed, try again.\n");
}

#[test]
fn on_a_terminal_sudo_asks_on_standard_output() {
    let (options, prompt, start) = options();
    // The terminal may be the host's.
    let config = Config { setup: setup(), ..Config::default() };
    let bench = Bench::with(config, Script::channel(Channel::sending(vec![])));
    let mut dialogue = Dialogue::with(bench, options, prompt, start);
    dialogue.prompts();
    assert_eq!(dialogue.received(), b"");
    assert_eq!(dialogue.stderr(), dialogue.prompt);
    let said = |dialogue: &mut Dialogue, text: &str| {
        dialogue.bench.link.arrive(0, Packet::Stdout(text.as_bytes().to_vec()));
        dialogue.settle();
    };
    let [prompt, start] = [dialogue.prompt.clone(), dialogue.start.clone()];
    said(&mut dialogue, &format!("\r\nlecture\r\n{prompt}"));
    assert_eq!(dialogue.received(), ANSWER);
    // One of the line ends belongs to the prompt. Some versions print asterisks and erase them.
    said(&mut dialogue, "**\x08 \x08\r");
    said(&mut dialogue, "\n");
    said(&mut dialogue, "\r\n");
    said(&mut dialogue, &format!("{start}\r\n"));
    assert_eq!(dialogue.received(), both());
    assert_eq!(dialogue.bench.exec(0).stdout.unread(), b"\r\nlecture\r\n\r\n\r\n");
}

#[test]
fn a_command_whose_output_nobody_reads_is_answered_too() {
    let mut dialogue = Dialogue::new();
    let id = dialogue.bench.commands.remove(0);
    dialogue.bench.execs.release(id);
    for mark in [dialogue.prompt.clone(), dialogue.start.clone()] {
        dialogue.bench.link.arrive(0, Packet::Stderr(mark.into_bytes()));
        dialogue.bench.again_without_checks();
    }
    assert_eq!(dialogue.received(), both());
}

/// Acceptance, marks and failure arrive together. No prompt is answered any more, and no mark is
/// left in the output.
#[test]
fn a_lost_connection_leaves_no_mark_in_the_output_and_loses_nothing_else() {
    for started in [false, true] {
        let (options, prompt, start) = options();
        let start = if started { start } else { String::new() };
        let begun = &prompt[..9];
        let said = format!("before {prompt}between {start}behind {begun}").into_bytes();
        let channel = Channel::sending(vec![(1, Packet::Stderr(said)), (1, Packet::Fault(lost()))]);
        let mut bench = Bench::new(Script::channel(channel));
        bench.command_with(options, INPUT, true);
        bench.run();
        assert!(matches!(bench.error(0).kind(), HostErrorKind::ConnectionLost(_)));
        let left = format!("before between behind {begun}");
        assert_eq!(bench.exec(0).stderr.unread(), left.as_bytes());
    }
}

/// The dialogue of a host that sends no password without permission.
fn guarded() -> Dialogue {
    let config = Config { guard_passwords: true, ..Config::default() };
    let (options, prompt, start) = options();
    let peer = Peer { channels: vec![Channel::sending(vec![]), Channel::default()], ..Peer::default() };
    let mut bench = Bench::with(config, Script::peer(peer));
    bench.grants_trials = false;
    Dialogue::with(bench, options, prompt, start)
}

#[test]
fn a_guarded_password_waits_for_its_permission() {
    let mut dialogue = guarded();
    let of = TrialOf::Sudo(dialogue.bench.commands[0]);
    assert_eq!(dialogue.bench.trials, [], "asked before sudo has asked");
    dialogue.prompts();
    assert_eq!((dialogue.received(), &dialogue.bench.trials[..]), (&b""[..], &[of][..]));
    dialogue.bench.permit(of, Permission::Granted);
    dialogue.settle();
    assert_eq!((dialogue.received(), &dialogue.bench.trial_ends[..]), (ANSWER, &[][..]));
    dialogue.starts();
    assert_eq!(dialogue.bench.trial_ends, [TrialEnd::Accepted]);
    dialogue.ends();
    assert!(dialogue.bench.outcome(0).is_success() && dialogue.bench.trials.is_empty());
}

#[test]
fn a_refusal_by_sudo_is_reported_and_so_is_every_other_end() {
    type How = fn(&mut Dialogue);
    let ends: [(How, TrialEnd); 5] = [
        (|dialogue| dialogue.prompts(), TrialEnd::Refused),
        (|dialogue| dialogue.ends(), TrialEnd::Unanswered),
        (|dialogue| dialogue.bench.cancel(0), TrialEnd::Unanswered),
        (|dialogue| dialogue.bench.link.arrive(0, Packet::Fault(lost())), TrialEnd::Unanswered),
        (|dialogue| dialogue.bench.now += AUTH, TrialEnd::Unanswered),
    ];
    for (number, (how, end)) in ends.into_iter().enumerate() {
        let mut dialogue = guarded();
        dialogue.prompts();
        dialogue.bench.permit(TrialOf::Sudo(dialogue.bench.commands[0]), Permission::Granted);
        dialogue.settle();
        how(&mut dialogue);
        dialogue.bench.step(Input::Wake);
        dialogue.bench.run();
        assert_eq!(dialogue.bench.trial_ends, [end], "{number}");
    }
}

#[test]
fn a_withheld_password_is_not_sent_to_sudo() {
    let mut dialogue = guarded();
    dialogue.prompts();
    dialogue.bench.withhold_a_password();
    dialogue.settle();
    dialogue.bench.run();
    assert_eq!(dialogue.received(), b"");
    let HostErrorKind::Channel(ChannelProblem::SudoPasswordWithheld { refused_by }) =
        dialogue.bench.error(0).kind()
    else {
        panic!("{}", dialogue.bench.error(0))
    };
    assert_eq!(refused_by.iter().map(|host| &**host).collect::<Vec<_>>(), ["web8", "web9"]);
    let text = dialogue.bench.error(0).to_string();
    assert!(text.contains("web8 and web9 have refused it") && text.contains("guard_passwords"), "{text}");
}

#[test]
fn a_host_with_a_changed_key_gets_no_password_for_sudo() {
    let config = || Config { verifier: accepts_changed(), ..Config::default() };
    let dialogue = || {
        let (options, prompt, start) = options();
        let peer = Peer { channels: vec![Channel::sending(vec![]), Channel::default()], ..Peer::default() };
        Dialogue::with(Bench::with(config(), Script::peer(peer)), options, prompt, start)
    };
    let mut asking = dialogue();
    asking.prompts();
    asking.bench.run();
    assert_eq!(asking.received(), b"");
    let kind = asking.bench.error(0).kind();
    assert!(matches!(kind, HostErrorKind::Channel(ChannelProblem::SudoPasswordUnsafe)), "{kind}");
    // A `sudo` that needs no password runs the command.
    let mut silent = dialogue();
    silent.starts();
    silent.ends();
    assert!(silent.bench.outcome(0).is_success());
}

#[test]
fn the_wait_for_permission_ends() {
    let mut dialogue = guarded();
    dialogue.prompts();
    dialogue.bench.now += 2 * AUTH;
    dialogue.bench.run();
    let kind = dialogue.bench.error(0).kind();
    assert!(matches!(kind, HostErrorKind::Timeout { kind: TimeoutKind::Trial, .. }), "{kind}");
    assert_eq!(dialogue.bench.trial_ends, [TrialEnd::Unanswered]);
}
