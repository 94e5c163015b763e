//! What a person sees.

use std::cell::Cell;
use std::num::NonZeroU16;

use proptest::collection::vec;
use proptest::prelude::*;
use vt100::Parser;

use super::*;
use crate::output::progress::{Progress, duration};
use crate::output::{Form, HostIndex};

/// A terminal that shows what a run writes to both streams.
struct Terminal {
    parser: Parser,
    written: Written,
}

impl Terminal {
    fn new(columns: u16) -> Self {
        Self { parser: Parser::new(cells(24), cells(columns), 1000), written: Written::default() }
    }

    fn resize(&mut self, columns: u16) {
        self.parser.set_size(cells(24), cells(columns));
    }

    /// The lines that are not empty.
    fn lines(&mut self) -> Vec<String> {
        // As a terminal driver does.
        let bytes = self.written.text().replace('\n', "\r\n");
        self.parser.process(bytes.as_bytes());
        let (_, columns) = self.parser.screen().size();
        let rows = self.parser.screen().rows(0, columns.get());
        rows.map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    }
}

fn cells(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

/// A run on a terminal of this width, with its progress line.
fn on_terminal<'a>(
    terminal: &Terminal,
    hosts: &'a Hosts<'a>,
    width: &'a Cell<usize>,
    options: Options,
) -> Output<'a> {
    let sink = || Sink { writer: Box::new(terminal.written.clone()), colour: false, terminal: true };
    let screen = Screen::new(sink(), sink(), || Some(width.get()));
    run(hosts, &Options { progress: true, label: true, ..options }, screen)
}

fn labels(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("db{number}")).collect()
}

fn hosts_of(count: usize) -> Hosts<'static> {
    Hosts::new(labels(count), JOIN)
}

fn enter(output: &mut Output<'_>, host: HostIndex, stage: RunStage, time: u64) {
    output.report(News::Entered { host, stage }, at(time)).unwrap();
}

/// 312 of 1,000 hosts have ended after 3 s.
fn play(output: &mut Output<'_>) {
    enter(output, 999, RunStage::Connecting, 500);
    enter(output, 999, RunStage::Authenticating, 900);
    for host in 0..312 {
        let end = if host < 4 { exited(1) } else { exited(0) };
        output.report(ended(host, &end), at(2_000)).unwrap();
    }
    for host in 312..351 {
        enter(output, host, RunStage::Connecting, 2_500);
    }
    for host in 351..407 {
        output.report(News::Started { host }, at(2_500)).unwrap();
    }
}

#[test]
fn progress_is_one_line() {
    let (mut terminal, hosts, width) = (Terminal::new(120), hosts_of(1000), Cell::new(120));
    let mut output = on_terminal(&terminal, &hosts, &width, Options::default());
    play(&mut output);
    output.turn(at(3_000)).unwrap();
    let expected = "312/1000 ok 308 failed 4 | connecting 40 running 56 | 104/s | eta 7 s | slowest db999 2 s \
                    authenticating";
    assert_eq!(terminal.lines(), [expected]);
    // Not for every turn.
    output.turn(at(3_050)).unwrap();
    assert_eq!(terminal.written.text(), "");
}

#[test]
fn progress_fits_into_40_columns_and_follows_a_resize() {
    let (mut terminal, hosts, width) = (Terminal::new(80), hosts_of(1000), Cell::new(80));
    let mut output = on_terminal(&terminal, &hosts, &width, Options::default());
    play(&mut output);
    output.turn(at(3_000)).unwrap();
    assert_eq!(terminal.lines(), ["312/1000 ok 308 failed 4 | connecting 40 running 56 | 104/s | eta 7 s"]);
    terminal.resize(40);
    width.set(40);
    output.turn(at(3_100)).unwrap();
    assert_eq!(terminal.lines(), ["312/1000 ok 308 failed 4 | 101/s"]);
    output.report(super::output(351, "out:a line\n"), at(3_150)).unwrap();
    output.turn(at(3_200)).unwrap();
    assert_eq!(terminal.lines(), ["db351: a line", "312/1000 ok 308 failed 4 | 98/s"]);
    for columns in 2..30 {
        terminal.resize(columns);
        width.set(columns.into());
        output.turn(at(4_000 + u64::from(columns) * 100)).unwrap();
        let progress = terminal.lines().pop().unwrap_or_default();
        assert!(progress.len() < columns.into(), "{progress:?} in {columns} columns");
        assert!("312/1000 ok 308 failed 4 | 57/s".starts_with(&progress[..progress.len().min(24)]));
    }
}

#[test]
fn output_does_not_tear_the_progress_line() {
    let (mut terminal, hosts, width) = (Terminal::new(90), hosts_of(3), Cell::new(90));
    let mut output = on_terminal(&terminal, &hosts, &width, Options::default());
    output.report(News::Started { host: 0 }, at(0)).unwrap();
    output.turn(at(100)).unwrap();
    output.report(super::output(0, "out:one\nbegun"), at(150)).unwrap();
    output.report(super::output(1, "err:oh\n"), at(150)).unwrap();
    // It is below the lines at once, as it was.
    output.turn(at(150)).unwrap();
    let progress = "0/3 ok 0 failed 0 | running 1";
    assert_eq!(terminal.lines(), ["db0: one", "db1: oh", progress]);
    output.note("^C again within 2 s: cancel all").unwrap();
    output.turn(at(300)).unwrap();
    assert_eq!(
        terminal.lines(),
        ["db0: one", "db1: oh", "sshoal: ^C again within 2 s: cancel all", progress]
    );
    output.status(at(350)).unwrap();
    let seen = terminal.lines();
    assert_eq!(seen[3..], [&format!("sshoal: {progress}"), "sshoal: not ended: db0,db1,db2 (3)"]);
    for host in 0..3 {
        output.report(ended(host, &exited(0)), at(400)).unwrap();
        output.turn(at(400 + host as u64 * 100)).unwrap();
    }
    output.report(News::Finished, at(700)).unwrap();
    // A turn after the end does not bring it back.
    output.turn(at(900)).unwrap();
    let times = "sshoal: 0.7 s; half of the hosts ended within 0.4 s, 95 % within 0.4 s";
    assert_eq!(terminal.lines()[5..], ["db0: begun", times, "3 hosts: 3 ok, 0 failed"]);
}

#[test]
fn labels_are_aligned_and_hostile_output_is_escaped() {
    let stage = Stage::terminal(&["a", "世界"], false);
    let mut view = crate::output::stream::Stream::new(&stage.hosts, true);
    stage.play(&mut view, &[(0, "out:x\ty\n"), (1, "out:\x1b]0;title\x07\rroot\n"), (0, "err:\u{202e}\r\n")]);
    let expected = "a:    x\ty\n世界: \\x1b]0;title\\x07\\rroot\n";
    assert_eq!(stage.out.text(), expected);
    assert_eq!(stage.err.text(), "a:    \\u{202e}\n");
}

#[test]
fn raw_output_is_written_as_it_is() {
    let written = Written::default();
    let screen = screen(&written, &Written::default(), true, false).raw(true);
    let hosts = hosts(&["a"]);
    let mut output = run(&hosts, &Options::default(), screen);
    output.report(super::output(0, "out:\x1b[1mbold\n"), at(0)).unwrap();
    output.turn(at(0)).unwrap();
    assert_eq!(written.text(), "\x1b[1mbold\n");
}

#[test]
fn standard_error_is_red_where_colours_are_taken() {
    let stage = Stage::terminal(&["a"], true);
    let mut view = crate::output::stream::Stream::new(&stage.hosts, true);
    stage.play(&mut view, &[(0, "out:x\n"), (0, "err:y\n")]);
    assert_eq!(stage.out.text(), "\x1b[34ma\x1b[0m: x\n");
    assert_eq!(stage.err.text(), "\x1b[31ma\x1b[0m: \x1b[31my\x1b[0m\n");
}

#[test]
fn colours_are_written_when_they_are_wanted() {
    use anstream::ColorChoice;
    for (choice, expected) in [(ColorChoice::Always, true), (ColorChoice::Never, false)] {
        let screen = Screen::of_process(choice);
        assert_eq!(screen.takes_colour(StdStream::Stdout), expected, "{choice:?}");
    }
}

#[test]
fn times_are_for_people() {
    let shown = |millis| duration(at(millis));
    assert_eq!(
        [40, 9_940, 59_999, 185_000, 7_380_000].map(shown),
        ["0.0 s", "9.9 s", "59 s", "3 min 05 s", "2 h 03 min"]
    );
}

#[test]
fn the_slowest_host_is_that_whose_attempt_began_first() {
    let hosts = hosts_of(3);
    let mut progress = Progress::new(&hosts, false);
    progress.report(News::Entered { host: 1, stage: RunStage::Resolving }, at(0));
    progress.report(News::Entered { host: 0, stage: RunStage::Connecting }, at(100));
    // Not worth a look.
    assert_eq!(progress.line(at(900), 99), "0/3 ok 0 failed 0 | connecting 2");
    progress.report(News::Entered { host: 1, stage: RunStage::Handshaking }, at(5_000));
    assert!(progress.line(at(6_000), 99).ends_with("slowest db1 6 s handshaking"));
    progress.report(News::Connected { host: 1, timings: Timings::default() }, at(5_500));
    assert!(progress.line(at(6_000), 99).ends_with("connecting 2 | slowest db1 6 s starting"));
    // It failed and waits for the next attempt.
    progress.report(News::Entered { host: 1, stage: RunStage::Queued }, at(6_000));
    assert!(progress.line(at(6_100), 99).ends_with("slowest db0 6 s connecting"));
    assert_eq!(progress.unfinished(), [0, 1, 2]);
    progress.report(ended(0, &exited(0)), at(7_000));
    assert_eq!(progress.line(at(7_000), 99), "1/3 ok 1 failed 0 | 0/s | eta 14 s");
    assert_eq!(progress.unfinished(), [1, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is written and whenever the line is drawn: the terminal shows the same lines as
    /// without it, and the progress line at most once, below them.
    #[test]
    fn a_terminal_shows_the_lines_and_then_the_progress(
        pieces in vec((0..3_usize, any::<bool>(), "(one|two|\n){0,3}", 0..150_u64), 0..8),
        columns in 30..60_u16,
    ) {
        let shown = |progress: bool| {
            let (mut terminal, hosts, width) = (Terminal::new(columns), hosts_of(3), Cell::new(columns.into()));
            let options = Options { form: Form::Stream, ..Options::default() };
            let mut output = on_terminal(&terminal, &hosts, &width, options);
            let mut time = 1_000;
            for (host, is_error, text, pause) in &pieces {
                time += pause;
                let text = format!("{}{text}", if *is_error { "err:" } else { "out:" });
                output.report(super::output(*host, &text), at(time)).unwrap();
                if progress {
                    output.turn(at(time)).unwrap();
                }
            }
            if progress {
                output.turn(at(time + 1_000)).unwrap();
            } else {
                // Written, but never drawn.
                output.note("").unwrap();
            }
            terminal.lines()
        };
        let mut with = shown(true);
        let last = with.pop().unwrap();
        prop_assert!(last.starts_with("0/3 ok 0 failed 0"), "{:?}", last);
        prop_assert_eq!(with, shown(false));
    }
}
