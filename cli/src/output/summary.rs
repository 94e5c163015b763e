//! The last words: what failed, on which hosts, what to do, and the counts.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use sshoal::StdStream;
use sshoal::error::Label;
use sshoal::transfer::Transferred;
use unicode_width::UnicodeWidthStr;

use super::copied::{self, Way, bytes};
use super::progress::duration;
use super::{HostIndex, Hosts, News, Options, Report, Screen};
use crate::end::End;

const FAILED: Style = AnsiColor::Red.on_default();

/// A set that is wider than this has a line of its own.
const SET_COLUMNS_MAX: usize = 60;

/// So many different failures of one kind are listed; the rest is one line.
const TEXTS_PER_KIND: usize = 8;

/// Folds the failures, and counts.
pub struct Summary<'a> {
    hosts: &'a Hosts<'a>,
    /// The different ends, in the order in which they happened, and their hosts.
    ends: Vec<(End, Vec<HostIndex>)>,
    numbers: HashMap<End, usize>,
    /// When hosts ended.
    times: Vec<Duration>,
    quiet: bool,
    rerun: Option<String>,
    /// Which way files went, and what all hosts have done, also those that failed.
    way: Option<Way>,
    copied: Transferred,
    /// What the hosts have done that have not ended.
    begun: HashMap<HostIndex, Transferred>,
}

impl<'a> Summary<'a> {
    pub fn new(hosts: &'a Hosts<'a>, options: &Options) -> Self {
        let (quiet, rerun) = (options.quiet, options.rerun.clone());
        Self {
            hosts,
            ends: Vec::new(),
            numbers: HashMap::new(),
            times: Vec::new(),
            quiet,
            rerun,
            way: options.way,
            copied: Transferred::default(),
            begun: HashMap::new(),
        }
    }

    fn add(&mut self, host: HostIndex, end: &End) {
        let number = match self.numbers.get(end) {
            Some(number) => *number,
            None => {
                self.numbers.insert(end.clone(), self.ends.len());
                self.ends.push((end.clone(), Vec::new()));
                self.ends.len() - 1
            }
        };
        self.ends[number].1.push(host);
    }

    /// Each failure with its hosts: kinds with many hosts last, where the eye is.
    fn write_failures(&self, screen: &mut Screen<'_>) -> io::Result<()> {
        let mut kinds: Vec<(Label, Vec<usize>)> = Vec::new();
        for (number, (end, _)) in self.ends.iter().enumerate().filter(|(_, (end, _))| !end.is_success()) {
            match kinds.iter_mut().find(|(label, _)| *label == end.label()) {
                Some((_, numbers)) => numbers.push(number),
                None => kinds.push((end.label(), vec![number])),
            }
        }
        kinds.sort_by_key(|(_, numbers)| {
            numbers.iter().map(|number| self.ends[*number].1.len()).sum::<usize>()
        });
        kinds.iter_mut().try_for_each(|(_, numbers)| {
            numbers.sort_by_key(|number| std::cmp::Reverse(self.ends[*number].1.len()));
            self.write_kind(numbers, screen)
        })
    }

    fn write_kind(&self, numbers: &[usize], screen: &mut Screen<'_>) -> io::Result<()> {
        // Another line would be as long as the one that it saves.
        let listed = if numbers.len() <= TEXTS_PER_KIND + 1 { numbers.len() } else { TEXTS_PER_KIND };
        let (listed, rest) = numbers.split_at(listed);
        let mut lines: Vec<(Vec<HostIndex>, String, Option<&str>)> = Vec::new();
        for number in listed {
            let (end, hosts) = &self.ends[*number];
            lines.push((hosts.clone(), end.to_string(), advice(end)));
        }
        if let Some(first) = rest.first() {
            let hosts = rest.iter().flat_map(|number| self.ends[*number].1.clone()).collect();
            let text = format!("{} other texts of this kind (--json has them all)", rest.len());
            lines.push((hosts, text, advice(&self.ends[*first].0)));
        }
        for (position, (hosts, text, advice)) in lines.iter().enumerate() {
            self.write_failure(hosts, text, screen)?;
            // Advice that is the same for several failures follows the last of them.
            let next = lines.get(position + 1).and_then(|(_, _, advice)| *advice);
            if let Some(advice) = advice.filter(|advice| next != Some(*advice)) {
                screen.text(StdStream::Stderr, &format!("    {advice}\n"))?;
            }
        }
        Ok(())
    }

    fn write_failure(&self, hosts: &[HostIndex], text: &str, screen: &mut Screen<'_>) -> io::Result<()> {
        let mut hosts = hosts.to_vec();
        hosts.sort_unstable();
        let (set, text) = (self.hosts.counted(&hosts), text.replace('\n', "\n    "));
        // Behind a long set the reason would not be seen.
        let is_short = set.width() <= SET_COLUMNS_MAX;
        let label = if is_short { set } else { format!("{} hosts", hosts.len()) };
        screen.text(StdStream::Stderr, "sshoal: ")?;
        screen.styled(StdStream::Stderr, FAILED, &label)?;
        screen.text(StdStream::Stderr, &format!(": {text}\n"))?;
        if is_short {
            Ok(())
        } else {
            screen.text(StdStream::Stderr, &format!("    {}\n", self.hosts.set(&hosts)))
        }
    }

    fn write_counts(&self, at: Duration, screen: &mut Screen<'_>) -> io::Result<()> {
        let count = |wanted: &dyn Fn(&End) -> bool| {
            let ends = self.ends.iter().filter(|(end, _)| wanted(end));
            ends.map(|(_, hosts)| hosts.len()).sum::<usize>()
        };
        let total = self.hosts.len();
        let ok = count(&End::is_success);
        let cancelled = count(&|end| end.label() == Label::Cancelled);
        let not_started = count(&|end| end.label() == Label::NotStarted);
        let not_ended = total - count(&|_| true).min(total);
        let failed = count(&|_| true) - ok - cancelled - not_started;
        let others = [(cancelled, "cancelled"), (not_started, "not started"), (not_ended, "not ended")];
        let others = others.iter().filter(|(count, _)| *count > 0);
        let others: String = others.map(|(count, what)| format!(", {count} {what}")).collect();
        if let Some(rerun) = self.rerun.as_ref().filter(|_| ok < total) {
            screen.text(
                StdStream::Stderr,
                &format!("sshoal: to run it again on those that failed: {rerun}\n"),
            )?;
        }
        if let Some(way) = self.way {
            let text = copied::text(&self.copied, way);
            let rate = bytes(self.copied.bytes as f64 / at.as_secs_f64().max(0.001));
            let rate = if way == Way::DryPut { String::new() } else { format!("; {rate}/s") };
            screen.text(StdStream::Stderr, &format!("sshoal: {text}{rate}\n"))?;
        }
        screen.text(StdStream::Stderr, &format!("sshoal: {}\n", self.times(at)))?;
        let hosts = if total == 1 { "host" } else { "hosts" };
        screen.text(StdStream::Stderr, &format!("{total} {hosts}: {ok} ok, {failed} failed{others}\n"))
    }

    /// How long the run took, and its hosts if there are several.
    fn times(&self, at: Duration) -> String {
        let mut times = self.times.clone();
        times.sort_unstable();
        let within = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1));
        match (within(50), within(95)) {
            (Some(half), Some(most)) if times.len() > 1 => {
                let (at, half, most) = (duration(at), duration(*half), duration(*most));
                format!("{at}; half of the hosts ended within {half}, 95 % within {most}")
            }
            _ => duration(at),
        }
    }
}

fn advice(end: &End) -> Option<&str> {
    match end {
        End::Failed(failure) => failure.advice.as_deref(),
        _ => None,
    }
}

impl Report for Summary<'_> {
    fn report(&mut self, news: News<'_>, at: Duration, screen: &mut Screen<'_>) -> io::Result<()> {
        match news {
            News::Ended { host, end, .. } => {
                self.add(host, end);
                self.times.push(at);
                match (end, self.begun.remove(&host)) {
                    (End::Copied(done), _) => copied::add(&mut self.copied, done),
                    (_, Some(done)) => copied::add(&mut self.copied, &done),
                    (_, None) => {}
                }
                Ok(())
            }
            News::Progress { host, done } => {
                self.begun.insert(host, *done);
                Ok(())
            }
            News::Finished => {
                self.write_failures(screen)?;
                if self.quiet { Ok(()) } else { self.write_counts(at, screen) }
            }
            _ => Ok(()),
        }
    }
}
