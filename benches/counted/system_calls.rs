//! How many system calls logins and commands take, counted by `ptrace(2)`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hostsim::Sim;
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{self, Signal};
use sshoal::{Budget, Event, Fleet};

use super::support::trusting;

const HOSTS: usize = 50;

/// Further commands of each host.
const ROUNDS: usize = 5;

/// How long the hosts may answer between two turns.
const ANSWERS: Duration = Duration::from_millis(100);

/// A system call that nothing else makes. It divides the others.
const MARK: i64 = libc::SYS_getppid;

/// These do not count: clocks that only the kernel can read, pauses and signals of this code.
const NOT_COUNTED: [i64; 3] = [libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_kill];

/// How many marks there are: around logins, further commands, and the end of connections.
const MARKS: usize = 4;

/// The first field of the line on which the traced process names its thread.
const THREAD: &str = "thread";

/// The system calls of one login, command or end of a connection.
#[derive(Debug)]
pub struct Calls {
    pub all: f64,
    /// Those that send something.
    pub sends: f64,
    /// All calls that were counted, by their numbers.
    pub by_number: BTreeMap<i64, usize>,
}

/// What is counted.
#[derive(Debug)]
pub struct Counted {
    /// A login with its first command.
    pub fresh: Calls,
    /// A further command.
    pub later: Calls,
    /// The end of a connection.
    pub end: Calls,
}

fn mark() {
    let _ = process::getppid();
}

/// The work of the process that [`count`] traces: a login with a command on each host, further
/// commands, and the end of the connections.
pub fn work(sim: &Sim) {
    let fleet = |hosts| trusting(Fleet::builder(sim.hosts(hosts))).build().unwrap();
    // One-time work of the libraries.
    run(&mut fleet(1), sim);
    let mut fleet = fleet(HOSTS);
    eprintln!("{THREAD} {}", rustix::thread::gettid().as_raw_nonzero());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    mark();
    run(&mut fleet, sim);
    mark();
    (0..ROUNDS).for_each(|_| run(&mut fleet, sim));
    mark();
    drop(fleet);
    mark();
}

/// Runs a command on all hosts. They answer between turns only: answers during a turn would take
/// more calls, now and then.
fn run(fleet: &mut Fleet, sim: &Sim) {
    let simulator = process::Pid::from_raw(sim.pid().cast_signed()).unwrap();
    let signal = |signal| process::kill_process(simulator, signal).unwrap();
    fleet.start("echo hello").unwrap();
    let mut is_done = false;
    while !is_done {
        sleep(ANSWERS);
        signal(Signal::STOP);
        fleet.wait(Duration::ZERO).unwrap();
        // Without a limit of time, turns read no clock.
        fleet.turn(Instant::now(), Budget::default().any_time()).unwrap();
        signal(Signal::CONT);
        while let Some(event) = fleet.next_event() {
            if let Event::RunDone { tally, .. } = event {
                assert_eq!(tally.succeeded, fleet.hosts().len());
                is_done = true;
                break;
            }
        }
    }
}

/// Counts the system calls of this program, which does the [`work`]. `None` if this machine lets no
/// process trace its child.
pub fn count(program: &mut Command) -> Option<Counted> {
    let mut child = program.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let thread = lines.find_map(|line| line.strip_prefix(THREAD)?.trim().parse().ok()).unwrap();
    let Some(counted) = trace(&mut child, thread) else {
        child.kill().unwrap();
        child.wait().unwrap();
        return None;
    };
    assert!(child.wait().unwrap().success());
    let [fresh, later, end] = counted;
    Some(Counted {
        fresh: Calls::of(fresh, HOSTS),
        later: Calls::of(later, HOSTS * ROUNDS),
        end: Calls::of(end, HOSTS),
    })
}

impl Calls {
    fn of(by_number: BTreeMap<i64, usize>, units: usize) -> Self {
        let sends = by_number.get(&libc::SYS_sendto).copied().unwrap_or_default();
        let all: usize = by_number.values().sum();
        let [all, sends] = [all, sends].map(|calls| calls as f64 / units as f64);
        Self { all, sends, by_number }
    }
}

/// Counts the system calls of this thread between its marks.
fn trace(child: &mut Child, thread: i32) -> Option<[BTreeMap<i64, usize>; MARKS - 1]> {
    let tid = Pid::from_raw(thread);
    match ptrace::seize(tid, Options::PTRACE_O_TRACESYSGOOD) {
        Err(Errno::EPERM) => return None,
        seized => seized.unwrap(),
    }
    // The thread is reading. From this stop on, it stops at each system call.
    ptrace::interrupt(tid).unwrap();
    let mut found: Vec<BTreeMap<i64, usize>> = Vec::new();
    writeln!(child.stdin.as_mut().unwrap(), "begin").unwrap();
    loop {
        let signal = match waitpid(tid, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::PtraceSyscall(_) => {
                if ptrace::syscall_info(tid).unwrap().op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                    let number = number(child.id(), thread);
                    match found.last_mut() {
                        _ if number == MARK => found.push(BTreeMap::new()),
                        Some(calls) if !NOT_COUNTED.contains(&number) => {
                            *calls.entry(number).or_default() += 1;
                        }
                        _ => {}
                    }
                }
                None
            }
            WaitStatus::PtraceEvent(..) => None,
            WaitStatus::Stopped(_, signal) => Some(signal),
            ended => panic!("{ended:?}"),
        };
        if found.len() == MARKS {
            ptrace::detach(tid, signal).unwrap();
            found.pop();
            return Some(found.try_into().unwrap());
        }
        ptrace::syscall(tid, signal).unwrap();
    }
}

/// The system call in which this thread is stopped.
fn number(process: u32, thread: i32) -> i64 {
    let call = fs::read_to_string(format!("/proc/{process}/task/{thread}/syscall")).unwrap();
    call.split_whitespace().next().unwrap().parse().unwrap()
}
