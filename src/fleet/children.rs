//! The processes of proxy commands. Each leads to one connection. Once that has ended, the process
//! and its group get SIGTERM and, after a while, SIGKILL. No turn waits for a process.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use mio::Registry;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use slab::Slab;

use super::event_loop::{CHILD, EventLoop, Timer, token};
use super::slot::Armed;
use crate::clock;
use crate::proxy_command::{CommandReport, Process, limits};
use crate::reactor::IndexQueue;
use crate::ssh_config::user_shell;

/// All processes of a fleet. Dropping this ends them, which takes up to two seconds if they resist.
pub(super) struct Children {
    shell: PathBuf,
    list: Slab<Child>,
    generation: u32,
    /// How many processes there may be.
    max: usize,
    /// The indices of the processes to visit.
    ready: IndexQueue,
}

/// Identifies a process that leads to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChildId(NonZeroU32);

#[derive(Debug)]
struct Child {
    process: Process,
    generation: u32,
    state: State,
    timer: Option<Armed>,
    /// When to read standard error again, after a flood.
    listen_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Leads to the connection of this slot.
    Leads { slot: usize },
    /// The connection has ended. The process has time to end until then.
    Ending { until: Instant },
    /// The process has got SIGKILL.
    Killed,
}

/// The result of a visit to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visited {
    /// Its connection goes on, or the process has not ended yet.
    Stays,
    /// It has ended by itself, and led to the connection of this slot.
    Ended { slot: usize },
    /// It is gone, with all others of its group.
    Gone,
}

impl ChildId {
    fn of(index: usize) -> Option<Self> {
        u32::try_from(index + 1).ok().and_then(NonZeroU32::new).map(Self)
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Children {
    pub(super) fn new() -> Self {
        Self {
            shell: user_shell(),
            list: Slab::new(),
            generation: 0,
            max: processes_max(),
            ready: IndexQueue::default(),
        }
    }

    /// How many processes there are, those included that are about to end.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Starts a command that leads to the connection of this slot.
    ///
    /// # Errors
    /// Those of the system. `EAGAIN` if there are too many processes.
    pub(super) fn start(
        &mut self,
        line: &str,
        socket: OwnedFd,
        slot: usize,
        registry: &Registry,
    ) -> io::Result<ChildId> {
        let index = self.list.vacant_key();
        let id = ChildId::of(index).filter(|_| self.list.len() < self.max).ok_or(Errno::EAGAIN)?;
        let mut process = Process::start(&self.shell, line, socket)?;
        self.generation = self.generation.wrapping_add(1);
        process.register(registry, token::<CHILD>(index, self.generation));
        let (generation, state) = (self.generation, State::Leads { slot });
        self.list.insert(Child { process, generation, state, timer: None, listen_at: None });
        // Without a descriptor that reports its end, a timer is armed.
        self.ready.push(index);
        Ok(id)
    }

    pub(super) fn report(&mut self, id: ChildId) -> Option<&mut dyn CommandReport> {
        self.list.get_mut(id.index()).map(|child| &mut child.process as &mut dyn CommandReport)
    }

    /// Ends the process of a connection that has ended.
    pub(super) fn end(&mut self, id: ChildId, now: Instant) {
        let Some(child) = self.list.get_mut(id.index()) else { return };
        child.process.ignore();
        if !child.process.is_gone() {
            child.process.terminate();
        }
        child.state = State::Ending { until: now + limits::GRACE };
        self.ready.push(id.index());
    }

    pub(super) fn note_ready(&mut self, index: usize, generation: u32) {
        if self.list.get(index).is_some_and(|child| child.generation == generation) {
            self.ready.push(index);
        }
    }

    /// Called when the timer of a process has expired.
    pub(super) fn expired(&mut self, index: usize) {
        if let Some(child) = self.list.get_mut(index) {
            child.timer = None;
            self.ready.push(index);
        }
    }

    /// The number of processes to visit in this turn.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Visits the next process that has news, or whose time is up.
    pub(super) fn visit_next(&mut self, event_loop: &mut EventLoop, now: Instant) -> Option<Visited> {
        let index = self.ready.pop()?;
        let Some(child) = self.list.get_mut(index) else { return Some(Visited::Stays) };
        let (visited, again) = child.visit(now);
        child.timer = event_loop.arm(child.timer, again, Timer::Child(index));
        if visited == Visited::Gone {
            self.list.remove(index);
        }
        Some(visited)
    }
}

impl Child {
    /// Returns the result, and when to visit the process again at the latest.
    fn visit(&mut self, now: Instant) -> (Visited, Option<Instant>) {
        if self.listen_at.is_none_or(|at| at <= now) {
            let is_flood = self.process.listen();
            self.listen_at = is_flood.then(|| now + limits::FLOOD_PAUSE);
        }
        let has_ended = self.process.end().is_ready();
        // A descriptor reports the end of the process, but not those of the others in its group.
        let is_reported = !has_ended && self.process.is_watched();
        let unreported = (!is_reported).then(|| now + limits::LOOK_PAUSE);
        match self.state {
            State::Leads { slot } => {
                let visited = if has_ended { Visited::Ended { slot } } else { Visited::Stays };
                (visited, self.listen_at.or(unreported.filter(|_| !has_ended)))
            }
            State::Ending { .. } if self.process.is_gone() => (Visited::Gone, None),
            State::Ending { until } if now < until => {
                (Visited::Stays, Some(unreported.unwrap_or(until).min(until)))
            }
            State::Ending { .. } => {
                self.process.kill();
                self.state = State::Killed;
                // The others are waited for by the system's first process, if at all.
                if has_ended { (Visited::Gone, None) } else { (Visited::Stays, unreported) }
            }
            State::Killed if has_ended => (Visited::Gone, None),
            State::Killed => (Visited::Stays, unreported),
        }
    }
}

/// Ends all processes. Their connections have been closed before, at which most of them end.
impl Drop for Children {
    fn drop(&mut self) {
        let mut left: Vec<Process> = self.list.drain().map(|child| child.process).collect();
        left.retain_mut(|process| !process.is_gone());
        left.iter().for_each(Process::terminate);
        wait(&mut left, limits::GRACE, Process::is_gone);
        left.iter().for_each(Process::kill);
        wait(&mut left, limits::KILL_WAIT, |process| process.end().is_ready());
    }
}

/// Waits until all are done, and removes those that are.
fn wait(left: &mut Vec<Process>, limit: Duration, is_done: fn(&mut Process) -> bool) {
    let (until, mut pause) = (clock::now() + limit, Duration::from_millis(1));
    left.retain_mut(|process| !is_done(process));
    while !left.is_empty() && clock::now() < until {
        thread::sleep(pause);
        pause = (2 * pause).min(limits::LOOK_PAUSE);
        left.retain_mut(|process| !is_done(process));
    }
}

/// How many processes may lead to hosts at once.
fn processes_max() -> usize {
    let soft = getrlimit(Resource::RLIMIT_NPROC).map_or(u64::MAX, |(soft, _)| soft);
    usize::try_from(soft).unwrap_or(usize::MAX) / limits::PROCESS_SHARE
}
