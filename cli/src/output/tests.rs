//! What the tests of all views need, and the views together.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use sshoal::error::Label;
use sshoal::fleet::Timings;
use sshoal::{Stage as RunStage, StdStream};

use super::{Fold, Hosts, News, Options, Output, Report, Screen, Sink};
use crate::end::{End, Failure};

mod json_lines;
mod memory;
mod summary;
mod terminal;
mod views;

/// Bytes that were written, for a test to look at.
#[derive(Clone, Default)]
pub struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.borrow_mut())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.take()).unwrap()
    }
}

/// Hosts, and a screen that a test can read.
pub struct Stage {
    pub hosts: Hosts<'static>,
    screen: RefCell<Screen<'static>>,
    pub out: Written,
    pub err: Written,
}

/// Sets that a test can read: the labels with commas.
fn join(labels: &[&str]) -> String {
    labels.join(",")
}

pub const JOIN: &Fold = &join;

impl Stage {
    /// Both streams are pipes.
    pub fn new(labels: &[&str]) -> Self {
        Self::with(labels, false, false)
    }

    /// Both streams are terminals.
    pub fn terminal(labels: &[&str], colour: bool) -> Self {
        Self::with(labels, true, colour)
    }

    fn with(labels: &[&str], terminal: bool, colour: bool) -> Self {
        let (out, err) = (Written::default(), Written::default());
        let screen = RefCell::new(screen(&out, &err, terminal, colour));
        Self { hosts: hosts(labels), screen, out, err }
    }

    pub fn report(&self, view: &mut dyn Report, news: News<'_>, at: Duration) {
        self.try_report(view, news, at).unwrap();
    }

    fn try_report(&self, view: &mut dyn Report, news: News<'_>, at: Duration) -> io::Result<()> {
        let mut screen = self.screen.borrow_mut();
        view.report(news, at, &mut screen)?;
        screen.flush()
    }

    /// Output of hosts: `out:` or `err:`, and the text.
    pub fn play(&self, view: &mut dyn Report, pieces: &[(usize, &str)]) {
        self.try_play(view, pieces).unwrap();
    }

    pub fn try_play(&self, view: &mut dyn Report, pieces: &[(usize, &str)]) -> io::Result<()> {
        pieces.iter().try_for_each(|(host, text)| self.try_report(view, output(*host, text), at(1)))
    }

    pub fn end(&self, view: &mut dyn Report, host: usize, end: &End) {
        self.report(view, ended(host, end), at(2));
    }

    pub fn finish(&self, view: &mut dyn Report) {
        self.report(view, News::Finished, at(3));
    }

    pub fn screen(&self) -> std::cell::RefMut<'_, Screen<'static>> {
        self.screen.borrow_mut()
    }
}

pub fn hosts(labels: &[&str]) -> Hosts<'static> {
    Hosts::new(labels.iter().map(|label| (*label).to_owned()), JOIN)
}

pub fn screen(out: &Written, err: &Written, terminal: bool, colour: bool) -> Screen<'static> {
    let sink = |written: &Written| Sink { writer: Box::new(written.clone()), colour, terminal };
    Screen::new(sink(out), sink(err), || Some(80))
}

pub fn output(host: usize, text: &str) -> News<'_> {
    let (stream, text) = match text.split_at(4) {
        ("out:", text) => (StdStream::Stdout, text),
        (_, text) => (StdStream::Stderr, text),
    };
    News::Output { host, stream, bytes: text.as_bytes() }
}

pub fn ended(host: usize, end: &End) -> News<'_> {
    News::Ended { host, end, timings: Timings::default() }
}

pub fn exited(status: u32) -> End {
    End::Exited(status)
}

pub fn signaled(name: &str) -> End {
    End::Signaled { name: name.to_owned(), core_dumped: false }
}

pub fn failed(text: &str) -> End {
    failed_as(RunStage::Connecting, Label::Connect, text, None)
}

pub fn failed_as(stage: RunStage, label: Label, text: &str, advice: Option<&str>) -> End {
    End::Failed(Failure { stage, label, text: text.to_owned(), advice: advice.map(str::to_owned) })
}

pub fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A run of views as the program has them.
pub fn run<'a>(hosts: &'a Hosts<'a>, options: &Options, screen: Screen<'a>) -> Output<'a> {
    Output::new(options, hosts, screen, SystemTime::UNIX_EPOCH).unwrap()
}
