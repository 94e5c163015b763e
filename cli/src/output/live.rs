//! Equal lines once, as soon as no host can add to them: `-bL`.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;

use memchr::memchr_iter;
use sshoal::StdStream;

use super::differing::{Ran, differing};
use super::store::{MEMORY_BYTES, Position, Store};
use super::stream::{self, Stream};
use super::{HostIndex, Hosts, News, Options, Report, Screen};

/// A line that is longer counts as several.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// When all hosts have been shown up to here, and more than this is stored, it is dropped.
const STORED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The lines of all hosts by their numbers. The line with a number is written once every host has
/// it or has ended. Without a terminal, that is at the end of the run.
pub struct Live<'a> {
    hosts: &'a Hosts<'a>,
    label: bool,
    /// Standard error as it arrives.
    stderr: Stream<'a>,
    store: Store,
    states: Vec<State>,
    /// How many lines were written.
    written: u64,
    /// How many hosts that have not ended have so many lines more than were written.
    ahead: VecDeque<usize>,
    /// Hosts that have printed the same so far, and up to where it was written.
    cohorts: Vec<(Position, Vec<HostIndex>)>,
    /// The outputs that the store had when it was emptied, each behind an earlier one, and their
    /// numbers. Two outputs are equal if these and what follows them are.
    pasts: HashMap<(u32, Position), u32>,
    /// The sets of hosts of the last line: those of the next line are often the same.
    sets: Vec<(Vec<HostIndex>, String)>,
}

#[derive(Clone, Copy, Default)]
struct State {
    at: Position,
    lines: u64,
    /// The length of the last line, which has not ended.
    open: usize,
    ended: bool,
    /// What was printed before the store was emptied, as a number: see [`Live::pasts`].
    past: u32,
    ran: Option<Ran>,
}

impl<'a> Live<'a> {
    pub fn new(hosts: &'a Hosts<'a>, options: &Options) -> Self {
        let count = hosts.len();
        Self {
            hosts,
            label: options.label,
            stderr: Stream::new(hosts, options.label),
            store: Store::new(MEMORY_BYTES),
            states: vec![State::default(); count],
            written: 0,
            ahead: VecDeque::from([count]),
            cohorts: vec![(Position::default(), (0..count).collect())],
            pasts: HashMap::new(),
            sets: Vec::new(),
        }
    }

    fn output(&mut self, host: HostIndex, bytes: &[u8]) -> io::Result<()> {
        let Some(state) = self.states.get_mut(host) else { return Ok(()) };
        state.at = self.store.append(state.at, bytes)?;
        let before = state.lines;
        state.lines += line_ends(&mut state.open, bytes);
        let now = state.lines;
        self.moved(before, Some(now));
        Ok(())
    }

    fn end(&mut self, host: HostIndex) -> io::Result<()> {
        if self.states.get(host).is_some_and(|state| state.open > 0) {
            self.output(host, b"\n")?;
        }
        if let Some(state) = self.states.get_mut(host) {
            state.ended = true;
            let lines = state.lines;
            self.moved(lines, None);
        }
        Ok(())
    }

    /// A host had so many lines, and has more now, or has ended.
    fn moved(&mut self, before: u64, now: Option<u64>) {
        // A host that has not ended has no fewer lines than were written.
        if let Some(count) = self.ahead.get_mut((before - self.written) as usize) {
            *count = count.saturating_sub(1);
        }
        if let Some(now) = now {
            let ahead = (now - self.written) as usize;
            if ahead >= self.ahead.len() {
                self.ahead.resize(ahead + 1, 0);
            }
            self.ahead[ahead] += 1;
        }
    }

    /// Writes the lines that no host can add to.
    fn write(&mut self, screen: &mut Screen<'_>) -> io::Result<()> {
        while self.ahead.len() > 1 && self.ahead[0] == 0 {
            self.write_line(screen)?;
            self.ahead.pop_front();
        }
        if self.ahead.len() == 1 && self.store.len() > STORED_BYTES_MAX {
            self.forget()?;
        }
        Ok(())
    }

    /// Writes the next line of all hosts that have it.
    fn write_line(&mut self, screen: &mut Screen<'_>) -> io::Result<()> {
        let mut groups: Vec<(Vec<u8>, Vec<HostIndex>)> = Vec::new();
        let mut numbers: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut cohorts = Vec::new();
        for (from, mut members) in std::mem::take(&mut self.cohorts) {
            members.retain(|host| self.states[*host].lines > self.written);
            while let Some(first) = members.first() {
                let (line, after) = self.store.line(from, self.states[*first].at, LINE_BYTES_MAX)?;
                let shares = |host: &HostIndex| self.store.begins_with(self.states[*host].at, after);
                let (same, others) = members.into_iter().partition(shares);
                let same: Vec<HostIndex> = same;
                match numbers.get(&line) {
                    Some(number) => groups[*number].1.extend(&same),
                    None => {
                        numbers.insert(line.clone(), groups.len());
                        groups.push((line, same.clone()));
                    }
                }
                cohorts.push((after, same));
                members = others;
            }
        }
        self.cohorts = cohorts;
        self.written += 1;
        for (_, hosts) in &mut groups {
            hosts.sort_unstable();
        }
        groups.sort_by_key(|(_, hosts)| hosts.first().copied());
        self.write_groups(groups, screen)
    }

    fn write_groups(
        &mut self,
        groups: Vec<(Vec<u8>, Vec<HostIndex>)>,
        screen: &mut Screen<'_>,
    ) -> io::Result<()> {
        let (label, text) = stream::styles(StdStream::Stdout);
        let mut known = std::mem::take(&mut self.sets);
        for (line, hosts) in groups {
            match &hosts[..] {
                _ if !self.label => {}
                [host] => {
                    stream::write_label(screen, StdStream::Stdout, label, self.hosts.label(*host), 0)?;
                }
                _ => {
                    let known = known.iter_mut().find(|(same, _)| *same == hosts);
                    let set = known.map_or_else(|| self.hosts.set(&hosts), |(_, set)| std::mem::take(set));
                    stream::write_label(screen, StdStream::Stdout, label, &set, 0)?;
                    self.sets.push((hosts, set));
                }
            }
            screen.host_line(StdStream::Stdout, text, &line)?;
        }
        Ok(())
    }

    /// Drops what was written.
    fn forget(&mut self) -> io::Result<()> {
        let mut store = Store::new(MEMORY_BYTES);
        let mut left = Vec::new();
        for state in self.states.iter_mut().filter(|state| state.ended) {
            state.past = past(&mut self.pasts, state.past, state.at);
            state.at = Position::default();
        }
        for (from, members) in std::mem::take(&mut self.cohorts) {
            for host in members {
                let state = &mut self.states[host];
                if state.ended {
                    continue;
                }
                // The beginning of the next line.
                let (begun, _) = self.store.line(from, state.at, LINE_BYTES_MAX)?;
                state.past = past(&mut self.pasts, state.past, from);
                state.at = store.append(Position::default(), &begun)?;
                left.push(host);
            }
        }
        self.store = store;
        self.cohorts = vec![(Position::default(), left)];
        Ok(())
    }
}

/// The number of an output, which is behind another one with a number.
fn past(pasts: &mut HashMap<(u32, Position), u32>, before: u32, at: Position) -> u32 {
    // 0 is nothing.
    let next = u32::try_from(pasts.len()).unwrap_or(u32::MAX).saturating_add(1);
    *pasts.entry((before, at)).or_insert(next)
}

/// Counts the lines that end in these bytes; `open` is how long the line is so far.
fn line_ends(open: &mut usize, bytes: &[u8]) -> u64 {
    let mut lines = 0;
    let mut start = 0;
    for end in memchr_iter(b'\n', bytes) {
        *open += end - start;
        lines += (*open / LINE_BYTES_MAX) as u64 + 1;
        *open = 0;
        start = end + 1;
    }
    *open += bytes.len() - start;
    lines += (*open / LINE_BYTES_MAX) as u64;
    *open %= LINE_BYTES_MAX;
    lines
}

impl Report for Live<'_> {
    fn report(&mut self, news: News<'_>, at: Duration, screen: &mut Screen<'_>) -> io::Result<()> {
        match news {
            News::Output { stream: StdStream::Stderr, .. } => return self.stderr.report(news, at, screen),
            News::Output { host, bytes, .. } => self.output(host, bytes)?,
            News::Ended { host, end, .. } => {
                self.stderr.finish(host, screen)?;
                self.end(host)?;
                if let Some(state) = self.states.get_mut(host) {
                    state.ran = Some(end.into());
                }
            }
            News::Finished => {
                for host in 0..self.states.len() {
                    if !self.states[host].ended {
                        self.end(host)?;
                    }
                }
                return self.write(screen);
            }
            _ => return Ok(()),
        }
        if screen.is_terminal(StdStream::Stdout) { self.write(screen) } else { Ok(()) }
    }

    fn differing(&self) -> Option<Vec<HostIndex>> {
        let of_host = |state: &State| ((state.past, state.at), state.ran.unwrap_or(Ran::No));
        let outputs = self.states.iter().map(of_host).enumerate();
        Some(differing(outputs.map(|(host, (output, ran))| (host, output, ran))))
    }
}
