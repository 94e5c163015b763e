//! One line that says how far the run is.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use sshoal::Stage;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::flow::Flow;
use super::{HostIndex, Hosts, News, Screen};
use crate::end::End;

/// The line is drawn again after this time, not for every host.
const INTERVAL: Duration = Duration::from_millis(100);

/// The rate is that of this time.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// A host that has been busy for this long is worth a look.
const SLOW: Duration = Duration::from_secs(1);

/// How far a run is.
pub struct Progress<'a> {
    hosts: &'a Hosts<'a>,
    /// What each host is doing, and since when.
    states: Vec<State>,
    ok: usize,
    failed: usize,
    drawn: Option<Duration>,
    /// How many hosts had ended, at times within the window of the rate.
    samples: VecDeque<(Duration, usize)>,
    /// What was copied, if the run copies files.
    flow: Option<Flow>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// Since the attempt to connect began.
    Active {
        stage: Stage,
        since: Duration,
    },
    Ended,
}

impl<'a> Progress<'a> {
    pub fn new(hosts: &'a Hosts<'a>, copies: bool) -> Self {
        let states = vec![State::Waiting; hosts.len()];
        let samples = VecDeque::from([(Duration::ZERO, 0)]);
        let flow = copies.then(|| Flow::new(hosts.len()));
        Self { hosts, states, ok: 0, failed: 0, drawn: None, samples, flow }
    }

    pub fn report(&mut self, news: News<'_>, at: Duration) {
        match news {
            News::Entered { host, stage: Stage::Queued } => self.set(host, State::Waiting),
            News::Entered { host, stage } => self.enter(host, stage, at),
            News::Connected { host, .. } => self.enter(host, Stage::Opening, at),
            News::Started { host } => self.set(host, State::Active { stage: Stage::Running, since: at }),
            News::Progress { host, done } => {
                if let Some(flow) = &mut self.flow {
                    flow.progress(host, done);
                }
            }
            News::Ended { host, end, .. } => {
                self.set(host, State::Ended);
                if let Some(flow) = &mut self.flow {
                    let done = if let End::Copied(done) = end { Some(done) } else { None };
                    flow.end(host, done);
                }
                let count = if end.is_success() { &mut self.ok } else { &mut self.failed };
                *count += 1;
            }
            _ => {}
        }
    }

    fn enter(&mut self, host: HostIndex, stage: Stage, at: Duration) {
        let since = match self.states.get(host) {
            Some(State::Active { since, .. }) => *since,
            _ => at,
        };
        self.set(host, State::Active { stage, since });
    }

    fn set(&mut self, host: HostIndex, state: State) {
        if let Some(kept) = self.states.get_mut(host) {
            *kept = state;
        }
    }

    /// Draws the line, or the last one again if that is from a moment ago.
    pub fn draw(&mut self, at: Duration, screen: &mut Screen<'_>) -> io::Result<()> {
        if self.drawn.is_some_and(|drawn| at < drawn + INTERVAL) {
            return screen.restore_progress();
        }
        self.drawn = Some(at);
        self.sample(at);
        match screen.width() {
            // A line as wide as the terminal would wrap on some.
            Some(width) => screen.show_progress(self.line(at, width.saturating_sub(1))),
            None => Ok(()),
        }
    }

    fn sample(&mut self, at: Duration) {
        if let Some(flow) = &mut self.flow {
            flow.sample(at, RATE_WINDOW);
        }
        self.samples.push_back((at, self.ok + self.failed));
        while self.samples.get(1).is_some_and(|(time, _)| *time + RATE_WINDOW <= at) {
            self.samples.pop_front();
        }
    }

    /// Ends per second of late.
    fn rate(&self, at: Duration) -> Option<f64> {
        let (time, ended) = self.samples.front()?;
        let (seconds, ended) = (at.saturating_sub(*time).as_secs_f64(), self.ok + self.failed - ended);
        (seconds >= 0.5 && ended > 0).then(|| ended as f64 / seconds)
    }

    /// The line in at most so many columns: the first parts that fit.
    pub fn line(&self, at: Duration, columns: usize) -> String {
        let mut line = String::new();
        for (separator, part) in self.parts(at) {
            let longer = format!("{line}{}{part}", if line.is_empty() { "" } else { separator });
            if longer.width() <= columns {
                line = longer;
            } else if line.is_empty() {
                return cut(&part, columns);
            }
        }
        line
    }

    /// The parts of the line, each with what separates it from the one before.
    fn parts(&self, at: Duration) -> Vec<(&'static str, String)> {
        let ended = self.ok + self.failed;
        let mut parts =
            vec![("", format!("{ended}/{} ok {} failed {}", self.states.len(), self.ok, self.failed))];
        let eta = |seconds: f64| format!("eta {}", whole(Duration::from_secs_f64(seconds.min(1e9).ceil())));
        let copied = self.flow.as_ref().map(|flow| flow.parts(at));
        if let Some((amount, rate)) = &copied {
            parts.push((" | ", amount.clone()));
            if let Some((rate, left)) = rate {
                parts.push((" | ", rate.clone()));
                parts.push((" | ", eta(*left)));
            }
        }
        let (mut connecting, mut running) = (0, 0);
        for state in &self.states {
            match state {
                State::Active { stage: Stage::Running, .. } => running += 1,
                State::Active { .. } => connecting += 1,
                _ => {}
            }
        }
        let active = [("connecting", connecting), ("running", running)];
        let active = active.iter().filter(|(_, count)| *count > 0);
        let active: Vec<String> = active.map(|(what, count)| format!("{what} {count}")).collect();
        if !active.is_empty() {
            parts.push((" | ", active.join(" ")));
        }
        if let Some(rate) = self.rate(at).filter(|_| copied.is_none()) {
            parts.push((" | ", format!("{rate:.0}/s")));
            parts.push((" | ", eta((self.states.len() - ended) as f64 / rate)));
        }
        if let Some((host, stage, since)) = self.slowest(at) {
            let (label, taken) = (self.hosts.label(host), whole(at.saturating_sub(since)));
            parts.push((" | ", format!("slowest {label} {taken} {}", doing(stage))));
        }
        parts
    }

    /// The host that has been busy for the longest time, if that is worth a look.
    fn slowest(&self, at: Duration) -> Option<(HostIndex, Stage, Duration)> {
        let active = self.states.iter().enumerate().filter_map(|(host, state)| match state {
            State::Active { stage, since } => Some((host, *stage, *since)),
            _ => None,
        });
        active.min_by_key(|(_, _, since)| *since).filter(|(_, _, since)| *since + SLOW <= at)
    }

    /// The hosts that have not ended.
    pub fn unfinished(&self) -> Vec<HostIndex> {
        (0..self.states.len()).filter(|host| self.states[*host] != State::Ended).collect()
    }
}

/// What a host does in a stage, in one word.
fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolving => "resolving",
        Stage::Connecting => "connecting",
        Stage::Handshaking => "handshaking",
        Stage::Authenticating => "authenticating",
        Stage::Running => "running",
        Stage::Closing => "closing",
        _ => "starting",
    }
}

/// A time for people: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 03 min`.
pub fn duration(time: Duration) -> String {
    if time < Duration::from_secs(10) { format!("{:.1} s", time.as_secs_f64()) } else { whole(time) }
}

/// A time in whole seconds, so that a line that is drawn often is steady.
fn whole(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// As much of a text as fits.
fn cut(text: &str, columns: usize) -> String {
    let mut left = columns;
    let fits = |c: &char| match left.checked_sub(c.width().unwrap_or_default()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    text.chars().take_while(fits).collect()
}
