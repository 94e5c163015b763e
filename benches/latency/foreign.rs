//! An event loop other than the fleet's: `poll(2)` over its own timer and the fleet's descriptor.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use sshoal::{Budget, Event, Fleet};

use super::report::Row;
use super::support::clock;

/// The period of the loop's own timer.
const PERIOD: Duration = Duration::from_millis(1);

/// How many checks of the timer are kept.
const LOOKS: usize = 1 << 17;

/// The time of [`Budget::default`].
pub const BUDGET: Duration = Duration::from_millis(1);

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() }
}

/// The loop's own work, a thousand times a second.
#[derive(Debug)]
struct Ticker {
    timer: OwnedFd,
    next: Duration,
    /// How late each tick came. Missed ticks count too, so no delay hides the following ones.
    delays: Vec<Duration>,
    /// CPU time of this thread when the timer was last checked.
    looked: Duration,
    /// CPU time between two checks of the timer: how late it can fire on an otherwise idle CPU. Of
    /// the latest [`LOOKS`] checks.
    between: Vec<Duration>,
    looks: usize,
}

impl Ticker {
    /// Starts a timer that ticks for about this long.
    fn start(time: Duration) -> Self {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).unwrap();
        let next = clock(ClockId::Monotonic) + PERIOD;
        let times = Itimerspec { it_interval: timespec(PERIOD), it_value: timespec(next) };
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &times).unwrap();
        let looked = clock(ClockId::ThreadCPUTime);
        // These take all their memory at once, so that its growth shows what the fleet takes.
        let ticks = (time.as_millis() / PERIOD.as_millis()) as usize;
        let [mut delays, mut between] = [ticks, LOOKS].map(|length| vec![Duration::MAX; length]);
        delays.clear();
        between.clear();
        Self { timer, next, delays, looked, between, looks: 0 }
    }

    fn tick(&mut self) {
        let cpu = clock(ClockId::ThreadCPUTime);
        let between = cpu - std::mem::replace(&mut self.looked, cpu);
        match self.between.get_mut(self.looks % LOOKS) {
            Some(oldest) => *oldest = between,
            None => self.between.push(between),
        }
        self.looks += 1;
        let mut expired = [0; 8];
        // Not readable: no tick has expired.
        if rustix::io::read(&self.timer, &mut expired) != Ok(8) {
            return;
        }
        let now = clock(ClockId::Monotonic);
        for _ in 0..u64::from_ne_bytes(expired) {
            self.delays.push(now.saturating_sub(self.next));
            self.next += PERIOD;
        }
    }
}

/// The turns of a fleet, as measured by the loop.
#[derive(Debug, Default)]
pub struct Turns {
    /// Wall-clock time.
    elapsed: Vec<Duration>,
    /// CPU time of this thread, which other processes do not increase.
    cpu: Vec<Duration>,
    /// The longest step of each.
    steps: Vec<Duration>,
    /// The rest of each.
    rest: Vec<Duration>,
    pub visits: usize,
    pub key_exchanges: usize,
}

impl Turns {
    pub fn len(&self) -> usize {
        self.elapsed.len()
    }

    /// Forgets the turns, and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        for times in [&mut self.elapsed, &mut self.cpu, &mut self.steps, &mut self.rest] {
            times.clear();
        }
        (self.visits, self.key_exchanges) = (0, 0);
    }

    pub fn rows(&mut self, case: &str) -> Vec<Row> {
        vec![
            Row::spread(case, "turn", &mut self.elapsed),
            Row::spread(case, "turn, CPU time", &mut self.cpu),
            Row::spread(case, "longest step of a turn", &mut self.steps),
            Row::spread(case, "turn without its longest step", &mut self.rest),
        ]
    }

    /// The 99.9th percentile of the turns as a share of the promise: the budget plus one step.
    pub fn goal(&mut self) -> f64 {
        self.elapsed.sort_unstable();
        let promised = BUDGET + self.steps.iter().max().copied().unwrap_or_default();
        super::support::rank(&self.elapsed, 0.999).as_secs_f64() / promised.as_secs_f64()
    }
}

#[derive(Debug, Default)]
pub struct Loop {
    ticker: Option<Ticker>,
    pub turns: Turns,
    /// Number of times that `poll(2)` returned before the end of the wait.
    pub wakeups: usize,
    /// The most output that was taken between two turns.
    pub most: Taken,
}

/// Output that was taken between two turns.
#[derive(Debug, Default, Clone, Copy)]
pub struct Taken {
    pub lines: usize,
    pub bytes: usize,
}

impl Taken {
    fn count(&mut self, event: &Event<'_>) {
        match event {
            Event::Line { bytes, .. } => {
                self.lines += 1;
                self.bytes += bytes.len();
            }
            Event::Output { bytes, .. } => self.bytes += bytes.len(),
            _ => {}
        }
    }
}

impl Loop {
    /// A loop with its own work, which runs for about this long.
    pub fn with_timer(time: Duration) -> Self {
        Self { ticker: Some(Ticker::start(time)), ..Self::default() }
    }

    /// How late the timer fired, and the CPU time between two checks of it.
    pub fn delays(self) -> (Vec<Duration>, Vec<Duration>) {
        self.ticker.map(|ticker| (ticker.delays, ticker.between)).unwrap_or_default()
    }

    /// Runs the loop without a fleet for this long.
    pub fn run_alone(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.wait(None, until);
        }
    }

    /// Runs the loop until `see` breaks it, or until this time. Returns whether it was broken.
    pub fn run(
        &mut self,
        fleet: &mut Fleet,
        until: Instant,
        mut see: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> bool {
        loop {
            let mut taken = Taken::default();
            while let Some(event) = fleet.next_event() {
                taken.count(&event);
                if see(event).is_break() {
                    return true;
                }
            }
            self.most.lines = self.most.lines.max(taken.lines);
            self.most.bytes = self.most.bytes.max(taken.bytes);
            let deadline = fleet.next_deadline();
            let is_ready = self.wait(Some(fleet), deadline.map_or(until, |at| at.min(until)));
            let now = Instant::now();
            if is_ready || deadline.is_some_and(|at| at <= now) {
                self.turn(fleet, now);
            }
            if now >= until {
                return false;
            }
        }
    }

    /// Waits for the timer, for the fleet's descriptor and for this time. Returns whether the
    /// descriptor is readable.
    fn wait(&mut self, fleet: Option<&Fleet>, until: Instant) -> bool {
        let timer = self.ticker.as_ref().map(|ticker| ticker.timer.as_fd());
        let fds = timer.into_iter().chain(fleet.map(AsFd::as_fd));
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let timeout = timespec(until.saturating_duration_since(Instant::now()));
        let is_woken = poll(&mut fds, Some(&timeout)).unwrap() > 0;
        let is_ready = fleet.is_some() && fds.last().is_some_and(|fd| fd.revents().contains(PollFlags::IN));
        self.wakeups += usize::from(is_woken);
        if let Some(ticker) = &mut self.ticker {
            ticker.tick();
        }
        is_ready
    }

    fn turn(&mut self, fleet: &mut Fleet, now: Instant) {
        let cpu = clock(ClockId::ThreadCPUTime);
        let turn = fleet.turn(now, Budget::default()).unwrap();
        let step = turn.longest_step.map(|step| step.took).unwrap_or_default();
        self.turns.cpu.push(clock(ClockId::ThreadCPUTime) - cpu);
        self.turns.elapsed.push(turn.elapsed);
        self.turns.steps.push(step);
        self.turns.rest.push(turn.elapsed.saturating_sub(step));
        self.turns.visits += turn.visits;
        self.turns.key_exchanges += turn.key_exchanges;
    }
}
