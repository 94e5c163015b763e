//! The events that the caller has not taken yet.
//!
//! Each host has a queue of its own, and the queues take turns, so a host with much output does not
//! delay the events of another. The turns are measured in bytes: a queue that has exceeded its
//! quantum pays the excess off in its next turns (deficit round robin: Shreedhar and Varghese,
//! SIGCOMM 1995).
//!
//! A run's news come after the ends that they report, although those are in the queues of many
//! hosts.

use std::collections::{HashMap, VecDeque};

use super::events::Entry;
use super::runs::RunNews;
use super::turn_budget::Budget;
use crate::ids::{CommandId, HostId, RunId};
use crate::reactor::IndexQueue;

/// Lines of output that the caller may take between two turns of the fleet. Taking one costs up to
/// 0.3 µs, so this many take less than 0.1 ms, and what the caller does with them adds to it.
pub(super) const LINES_PER_TURN: usize = 256;

/// Bytes of output that the caller may take between two turns of the fleet: what four visits read.
pub(super) const BYTES_PER_TURN: usize = 256 * 1024;

/// Bytes of output that one event may have: what one visit reads. The rest is another event.
pub(super) const BYTES_PER_EVENT: usize = 64 * 1024;

/// Bytes that a queue may give in its turn: some dozens of short lines.
const QUANTUM: isize = 4 * 1024;

/// How many buffers are kept for queues that have no events, and the number of events that such a
/// buffer may have room for.
const SPARE_BUFFERS: usize = 64;
const SPARE_CAPACITY: usize = 16;

/// Bytes that each event counts, beyond those of its output.
const EVENT_COST: isize = 64;

#[derive(Debug)]
pub(super) struct EventQueue {
    /// The queue of the fleet's own events, then those of the hosts by index.
    queues: Vec<HostQueue>,
    /// The queues with events, except the current one, in the order of their turns.
    turns: IndexQueue,
    /// Buffers that no queue uses.
    spare: Vec<VecDeque<Queued>>,
    /// The queue whose turn it is.
    current: Option<usize>,
    /// How many events are queued that the caller has not seen a part of.
    fresh: usize,
    ends: HashMap<RunId, Ends>,
    is_drained: bool,
    /// How many lines and bytes the caller may take before the next turn of the fleet.
    lines: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct HostQueue {
    events: VecDeque<Queued>,
    /// How many bytes may be taken in this turn. Negative if earlier turns took too many.
    credit: isize,
}

#[derive(Debug)]
struct Queued {
    entry: Entry,
    /// Whether the caller has taken a part of this output already.
    is_rest: bool,
}

/// The ends of one run's commands that were not taken, and the news that wait for them.
#[derive(Debug, Default)]
struct Ends {
    /// One part for each piece of news, and one for the ends since the last news.
    parts: VecDeque<Part>,
    /// How many parts came before these.
    gone: usize,
}

#[derive(Debug, Default)]
struct Part {
    untaken: usize,
    news: Option<RunNews>,
}

impl Default for EventQueue {
    fn default() -> Self {
        let Budget { lines, bytes, .. } = Budget::default();
        Self {
            queues: Vec::new(),
            turns: IndexQueue::default(),
            spare: Vec::new(),
            current: None,
            fresh: 0,
            ends: HashMap::new(),
            is_drained: false,
            lines,
            bytes,
        }
    }
}

impl EventQueue {
    /// How many events are queued, not counting the rests of output that was taken in part. Rests
    /// are bounded by the limits on unread output, and so need not end a turn.
    pub(super) fn len(&self) -> usize {
        self.fresh
    }

    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none_or(|index| self.queues[index].events.is_empty())
            && self.turns.is_empty()
            && !self.is_drained
    }

    /// Lets the caller take as much as this budget allows.
    pub(super) fn grant(&mut self, budget: Budget) {
        (self.lines, self.bytes) = (budget.lines, budget.bytes);
    }

    pub(super) fn push(&mut self, host: HostId, entry: Entry) {
        self.fresh += 1;
        self.queue(1 + host.index()).push_back(Queued { entry, is_rest: false });
    }

    /// Queues the end of a command.
    pub(super) fn push_end(&mut self, host: HostId, command: CommandId, run: RunId) {
        let Ends { parts, gone } = self.ends.entry(run).or_default();
        if parts.is_empty() {
            parts.push_back(Part::default());
        }
        let last = parts.len() - 1;
        parts[last].untaken += 1;
        let part = *gone + last;
        self.push(host, Entry::End { command, run, part });
    }

    /// Queues news of a run, behind the ends that are queued.
    pub(super) fn push_news(&mut self, run: RunId, news: RunNews) {
        let Ends { parts, .. } = self.ends.entry(run).or_default();
        match parts.back_mut() {
            Some(part) => part.news = Some(news),
            None => parts.push_back(Part { untaken: 0, news: Some(news) }),
        }
        parts.push_back(Part::default());
        self.release_news(run);
    }

    /// Queues the end of a drain, behind everything else.
    pub(super) fn push_drained(&mut self) {
        self.is_drained = true;
    }

    /// Puts the rest of a stream's output back. The end of its command must not overtake it; other
    /// events of the host may.
    pub(super) fn put_back(&mut self, host: HostId, entry: Entry, has_ended: bool) {
        let queue = self.queue(1 + host.index());
        let queued = Queued { entry, is_rest: true };
        if has_ended {
            queue.push_front(queued);
        } else {
            queue.push_back(queued);
        }
    }

    /// The next event. `None` if there is none, or if the caller has taken all that it may take
    /// before the next turn of the fleet.
    pub(super) fn next(&mut self) -> Option<Entry> {
        if self.lines == 0 || self.bytes == 0 {
            return None;
        }
        loop {
            let Some(index) = self.current.or_else(|| self.begin_turn()) else {
                return std::mem::take(&mut self.is_drained).then_some(Entry::Drained);
            };
            let queue = &mut self.queues[index];
            if queue.credit > 0
                && let Some(Queued { entry, is_rest }) = queue.events.pop_front()
            {
                queue.credit -= EVENT_COST;
                self.fresh -= usize::from(!is_rest);
                if let Entry::End { run, part, .. } = entry {
                    self.end_taken(run, part);
                }
                return Some(entry);
            }
            self.end_turn(index);
        }
    }

    /// Counts output that the caller takes.
    pub(super) fn took(&mut self, host: HostId, bytes: usize, is_line: bool) {
        self.lines = self.lines.saturating_sub(is_line.into());
        self.bytes = self.bytes.saturating_sub(bytes);
        self.queues[1 + host.index()].credit -= bytes.cast_signed();
    }

    fn queue(&mut self, index: usize) -> &mut VecDeque<Queued> {
        if self.queues.len() <= index {
            self.queues.resize_with(index + 1, HostQueue::default);
        }
        if self.current != Some(index) {
            self.turns.push(index);
        }
        let events = &mut self.queues[index].events;
        if events.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *events = spare;
        }
        events
    }

    fn begin_turn(&mut self) -> Option<usize> {
        self.current = Some(self.turns.pop()?);
        self.current.inspect(|index| self.queues[*index].credit += QUANTUM)
    }

    fn end_turn(&mut self, index: usize) {
        self.current = None;
        if self.queues[index].events.is_empty() {
            // Most hosts have no events most of the time, so a few buffers serve all of them.
            let HostQueue { events, .. } = std::mem::take(&mut self.queues[index]);
            if self.spare.len() < SPARE_BUFFERS && events.capacity() <= SPARE_CAPACITY {
                self.spare.push(events);
            }
        } else {
            self.turns.push(index);
        }
    }

    fn end_taken(&mut self, run: RunId, part: usize) {
        let Some(ends) = self.ends.get_mut(&run) else { return };
        if let Some(part) = ends.parts.get_mut(part - ends.gone) {
            part.untaken -= 1;
        }
        self.release_news(run);
    }

    /// Queues the news of a run that wait for no end.
    fn release_news(&mut self, run: RunId) {
        let Some(ends) = self.ends.get_mut(&run) else { return };
        let mut ready = Vec::new();
        while let Some(Part { untaken: 0, news: Some(news) }) = ends.parts.front() {
            ready.push(*news);
            ends.parts.pop_front();
            ends.gone += 1;
        }
        for news in ready {
            if let RunNews::Done(_) = news {
                self.ends.remove(&run);
            }
            self.fresh += 1;
            self.queue(0).push_back(Queued { entry: Entry::Run(run, news), is_rest: false });
        }
    }
}

#[cfg(test)]
mod tests;
