//! Records the events that a caller gets, and checks that each event is legal.

use std::collections::{BTreeMap, BTreeSet};

use crate::Event;
use crate::error::HostErrorKind;
use crate::fleet::Tally;
use crate::ids::StdStream;
use crate::ids::{CommandId, HostId, RunId};
use crate::output::{Deliver, Outcome};
use crate::session::tests::fake_link::Sent;
use crate::stage::Stage;

/// Everything that events have reported, about all commands, hosts and runs of the simulation.
#[derive(Default)]
pub(super) struct Told {
    pub commands: BTreeMap<CommandId, Command>,
    pub hosts: BTreeMap<HostId, Connection>,
    pub runs: BTreeMap<RunId, Run>,
    /// The hosts whose scans have not ended.
    pub scans: BTreeSet<HostId>,
    /// How many commands have ended in each way.
    pub ends: BTreeMap<String, usize>,
    pub events: usize,
    /// Whether the `Drained` event has come; `None` if no drain was requested.
    pub drained: Option<bool>,
    /// What the peers have sent on the channels that were closed.
    pub sent: Sent,
}

/// A command, as the caller knows it.
pub(super) struct Command {
    pub host: HostId,
    pub run: RunId,
    /// The command's text, which identifies its channel.
    pub text: String,
    pub deliver: Deliver,
    /// Whether the bound of its streams is low. If so, output that arrives after the command was
    /// given up may be dropped.
    pub is_short: bool,
    pub started: bool,
    /// How the command ended, with all details.
    pub outcome: Option<String>,
    pub released: bool,
    /// Whether output was discarded unread.
    pub discarded: bool,
    /// Whether the caller may write input.
    pub is_open: bool,
    /// Whether input was refused and no `Writable` event has come since.
    pub refused: bool,
    /// What was read of the command's two streams, and the lines that came with their offsets.
    pub read: [Vec<u8>; 2],
    pub lines: [Vec<(u64, Vec<u8>)>; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    Down,
    Trying(Stage),
    Up,
    /// The host was removed, and all its events have come.
    Gone,
}

#[derive(Default)]
pub(super) struct Run {
    pub commands: usize,
    pub succeeded: usize,
    pub failed: usize,
    pub not_started: usize,
    /// How many commands were released before their `Finished` event.
    pub released: usize,
    pub done: bool,
}

impl Told {
    pub(super) fn hear(&mut self, event: &Event<'_>) {
        self.events += 1;
        match event {
            Event::Entered { host, stage } => self.entered(*host, *stage),
            Event::Banner { host, text } => {
                let authenticating = Connection::Trying(Stage::Authenticating);
                assert_eq!(self.connection(*host, authenticating), authenticating, "{text}");
            }
            Event::Touch { host, name, .. } => {
                let authenticating = Connection::Trying(Stage::Authenticating);
                assert_eq!(self.connection(*host, authenticating), authenticating, "{name}");
            }
            Event::Connected { host, .. } => {
                let before = self.connection(*host, Connection::Up);
                assert_eq!(
                    before,
                    Connection::Trying(Stage::Authenticating),
                    "{host:?} is connected without having authenticated"
                );
            }
            Event::Disconnected { host, .. } => _ = self.connection(*host, Connection::Down),
            Event::Scanned { host, found } => {
                assert!(self.scans.remove(host), "{host:?} was scanned, but not asked to: {found:?}");
            }
            Event::Started { host, command } => {
                let known = self.command(*command, *host);
                assert!(!std::mem::replace(&mut known.started, true), "{command:?} is started twice");
            }
            Event::Output { host, command, stream, bytes } => {
                let known = self.command(*command, *host);
                assert!(known.started, "{command:?} prints before it is started");
                assert_eq!(known.deliver, Deliver::Bytes, "{command:?}");
                assert!(!bytes.is_empty(), "{command:?}: empty output");
                known.read[*stream as usize].extend_from_slice(bytes);
            }
            Event::Line { host, command, stream, bytes, offset } => {
                let known = self.command(*command, *host);
                assert!(known.started, "{command:?} prints before it is started");
                assert_eq!(known.deliver, Deliver::Lines, "{command:?}");
                known.lines[*stream as usize].push((*offset, bytes.to_vec()));
            }
            Event::Progress { command, .. } => panic!("{command:?} is no transfer"),
            Event::Writable { host, command } => {
                let known = self.command(*command, *host);
                assert!(
                    std::mem::take(&mut known.refused),
                    "{command:?} is writable, but had room all the time"
                );
            }
            Event::Finished { host, command, outcome, .. } => self.finished(*host, *command, outcome),
            Event::BatchDone { run, tally, left, .. } => {
                let known = self.runs.get_mut(run).unwrap_or_else(|| panic!("{run:?} is unknown"));
                assert!(!known.done, "a batch of {run:?} ends after the run");
                assert_eq!(tally.finished() + left, known.commands, "{run:?}: {tally:?}");
            }
            Event::RunDone { run, tally } => self.done(*run, *tally),
            Event::Drained => assert_eq!(self.drained.replace(true), Some(false), "drained"),
        }
    }

    fn entered(&mut self, host: HostId, stage: Stage) {
        let before = self.connection(host, Connection::Trying(stage));
        // An attempt that gets no descriptor starts again without a `Disconnected` event.
        let begins = matches!(stage, Stage::Resolving | Stage::Connecting);
        let legal = match before {
            Connection::Down => begins,
            Connection::Trying(from) => begins || from < stage,
            Connection::Up | Connection::Gone => false,
        };
        assert!(legal, "{host:?} enters {stage} from {before:?}");
    }

    fn connection(&mut self, host: HostId, next: Connection) -> Connection {
        let known = self.hosts.get_mut(&host).unwrap_or_else(|| panic!("{host:?} is unknown"));
        assert_ne!(*known, Connection::Gone, "{host:?} was removed, but becomes {next:?}");
        std::mem::replace(known, next)
    }

    fn command(&mut self, id: CommandId, host: HostId) -> &mut Command {
        let command = self.commands.get_mut(&id).unwrap_or_else(|| panic!("{id:?} is unknown"));
        assert_eq!(command.host, host, "{id:?} is on another host");
        assert!(!command.released, "an event of {id:?} after its release");
        assert!(command.outcome.is_none(), "an event of {id:?} after its end: {:?}", command.outcome);
        command
    }

    fn finished(&mut self, host: HostId, id: CommandId, outcome: &Outcome) {
        let sent = self.sent.clone();
        let command = self.command(id, host);
        let failed = matches!(outcome, Outcome::Failed(_));
        assert!(failed || command.started, "{id:?} was never started, but ended with {outcome}");
        command.outcome = Some(format!("{outcome:?}"));
        if command.deliver != Deliver::Nothing {
            command.check_output(id, &sent);
        }
        let run = command.run;
        let run = self.runs.get_mut(&run).unwrap_or_else(|| panic!("{run:?} is unknown"));
        assert!(!run.done, "{id:?} ends after its run");
        *match outcome {
            Outcome::Exited(0) => &mut run.succeeded,
            Outcome::Failed(error) if matches!(error.kind(), HostErrorKind::NotStarted(_)) => {
                &mut run.not_started
            }
            _ => &mut run.failed,
        } += 1;
        *self.ends.entry(kind_of(outcome)).or_default() += 1;
    }

    fn done(&mut self, id: RunId, tally: Tally) {
        let run = self.runs.get_mut(&id).unwrap_or_else(|| panic!("{id:?} is unknown"));
        assert!(!std::mem::replace(&mut run.done, true), "{id:?} is done twice");
        let told = [run.succeeded, run.failed, run.not_started];
        assert_eq!(told.iter().sum::<usize>() + run.released, run.commands, "{id:?} is done too early");
        assert_eq!(tally.finished(), run.commands, "{id:?}: {tally:?}");
        let counted = [tally.succeeded, tally.failed, tally.not_started];
        assert!(counted.iter().zip(told).all(|(counted, told)| *counted >= told), "{id:?}: {tally:?}");
    }

    /// The caller releases a command.
    pub(super) fn release(&mut self, id: CommandId) {
        let Some(command) = self.commands.get_mut(&id) else { return };
        if !std::mem::replace(&mut command.released, true) && command.outcome.is_none() {
            self.runs.get_mut(&command.run).unwrap().released += 1;
        }
    }
}

impl Command {
    pub(super) fn new(host: HostId, run: RunId, text: String, deliver: Deliver, is_short: bool) -> Self {
        let (outcome, read, lines) = Default::default();
        let [started, released, discarded, is_open, refused] = [false; 5];
        Self {
            host,
            run,
            text,
            deliver,
            is_short,
            started,
            outcome,
            released,
            discarded,
            is_open,
            refused,
            read,
            lines,
        }
    }

    /// Checks that all output was read, in order, and no byte twice.
    pub(super) fn check_output(&mut self, id: CommandId, sent: &Sent) {
        let sent = sent.lock().unwrap().remove(&self.text).unwrap_or_default();
        for (stream, sent) in [StdStream::Stdout, StdStream::Stderr].into_iter().zip(sent) {
            if self.deliver == Deliver::Lines {
                self.join_lines(stream, &sent);
            }
            let read = &self.read[stream as usize];
            // Output that comes before a host refuses the command is not delivered.
            let given_up = self.outcome.as_ref().is_some_and(|outcome| outcome.starts_with("Failed"));
            let complete = !self.started || self.is_short && given_up || *read == sent;
            assert!(
                self.discarded || complete && sent.starts_with(read),
                "{id:?}, {stream:?} of {}: read {}, sent {}; {:?}",
                self.text,
                read.escape_ascii(),
                sent.escape_ascii(),
                self.outcome
            );
        }
    }

    /// Joins the lines again, with their line ends.
    fn join_lines(&mut self, stream: StdStream, sent: &[u8]) {
        let read = &mut self.read[stream as usize];
        for (offset, line) in std::mem::take(&mut self.lines[stream as usize]) {
            assert_eq!(offset, read.len() as u64, "a line at a wrong offset");
            assert!(!line.contains(&b'\n'), "two lines in one");
            read.extend(line);
            let rest = sent.get(read.len()..).unwrap_or_default();
            let end = [&b"\r\n"[..], b"\n"].into_iter().find(|end| rest.starts_with(end));
            assert!(end.is_some() || rest.is_empty(), "a line was cut");
            read.extend(end.unwrap_or_default());
        }
    }
}

/// The outcome's name, without details.
fn kind_of(outcome: &Outcome) -> String {
    let first_word = |text: String| text.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    match outcome {
        Outcome::Failed(error) => match error.kind() {
            HostErrorKind::Timeout { kind, .. } => format!("timeout {kind:?}"),
            kind => first_word(format!("{kind:?}")),
        },
        outcome => first_word(format!("{outcome:?}")),
    }
}
