//! How many system calls logins and commands take. `docs/performance.md` has the figures.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hostsim::Sim;
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{self, Signal};
use sshoal::fleet::CryptoProvider;
use sshoal::{Budget, Event, Fleet};

use super::{engine, fleet, watch};
use crate::support::system::{is_rerun, rerun};

const HOSTS: usize = 50;

/// Further commands of each host.
const ROUNDS: usize = 5;

/// How long the hosts may answer between two turns.
const ANSWERS: Duration = Duration::from_millis(100);

/// A system call that nothing else makes. It divides the others.
const MARK: i64 = libc::SYS_getppid;

/// These do not count: clocks that only the kernel can read, pauses and signals of this test.
const NOT_COUNTED: [i64; 3] = [libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_kill];

/// How many marks there are: around logins, further commands, and the end of connections.
const MARKS: usize = 4;

/// The first field of the line on which the traced process names its thread.
const THREAD: &str = "thread";

fn mark() {
    let _ = process::getppid();
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

/// The work of the traced process: a login with a command on each host, further commands, and the
/// end of the connections.
fn work() {
    let sim = fleet(&[]);
    // One-time work of the libraries.
    run(&mut engine(&sim, 1).build().unwrap(), &sim);
    let mut fleet = engine(&sim, HOSTS).build().unwrap();
    eprintln!("{THREAD} {}", rustix::thread::gettid().as_raw_nonzero());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    mark();
    run(&mut fleet, &sim);
    mark();
    (0..ROUNDS).for_each(|_| run(&mut fleet, &sim));
    mark();
    drop(fleet);
    mark();
}

/// System calls by their numbers.
type Calls = BTreeMap<i64, usize>;

/// Counts the system calls of this thread between its marks. `None` if this machine lets no process
/// trace its child.
fn trace(child: &mut Child, thread: i32) -> Option<[Calls; MARKS - 1]> {
    let tid = Pid::from_raw(thread);
    match ptrace::seize(tid, Options::PTRACE_O_TRACESYSGOOD) {
        Err(Errno::EPERM) => return None,
        seized => seized.unwrap(),
    }
    // The thread is reading. From this stop on, it stops at each system call.
    ptrace::interrupt(tid).unwrap();
    let mut found = Vec::new();
    writeln!(child.stdin.as_mut().unwrap(), "begin").unwrap();
    loop {
        let signal = match waitpid(tid, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::PtraceSyscall(_) => {
                if ptrace::syscall_info(tid).unwrap().op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                    count(&mut found, number(child.id(), thread));
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

/// Counts a system call. A mark begins a new count.
fn count(found: &mut Vec<Calls>, number: i64) {
    match found.last_mut() {
        _ if number == MARK => found.push(Calls::new()),
        Some(calls) if !NOT_COUNTED.contains(&number) => *calls.entry(number).or_default() += 1,
        _ => {}
    }
}

/// The system call in which this thread is stopped.
fn number(process: u32, thread: i32) -> i64 {
    let call = fs::read_to_string(format!("/proc/{process}/task/{thread}/syscall")).unwrap();
    call.split_whitespace().next().unwrap().parse().unwrap()
}

/// libssh makes most of the calls. Each answer takes some of its own here, more than in a busy
/// fleet.
#[test]
fn logins_and_commands_need_few_system_calls() {
    if is_rerun() {
        return work();
    }
    let _dog = watch();
    let mut child = rerun(module_path!(), "logins_and_commands_need_few_system_calls");
    let mut child = child.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let thread = lines.find_map(|line| line.strip_prefix(THREAD)?.trim().parse().ok()).unwrap();
    let Some([fresh, later, ends]) = trace(&mut child, thread) else {
        child.kill().unwrap();
        child.wait().unwrap();
        eprintln!("not counted: ptrace(2) is not permitted here");
        return;
    };
    assert!(child.wait().unwrap().success());
    // OpenSSL's own generator asks for the process id each time, in case of a fork.
    let has_provider = Fleet::library().provider == CryptoProvider::InUse;
    let [most_fresh, most_later] = if has_provider { [69.0, 23.0] } else { [78.0, 28.0] };
    let asks_for_id = [&fresh, &later].iter().any(|calls| calls.contains_key(&libc::SYS_getpid));
    assert_ne!(has_provider, asks_for_id);
    for (what, calls, units, most, most_sends) in [
        ("a login with its first command", fresh, HOSTS, most_fresh, 11.0),
        ("a further command", later, HOSTS * ROUNDS, most_later, 5.0),
        ("the end of a connection", ends, HOSTS, 6.0, 1.0),
    ] {
        let sends = calls.get(&libc::SYS_sendto).copied().unwrap_or_default();
        let all: usize = calls.values().sum();
        let [all, sends] = [all, sends].map(|calls| calls as f64 / units as f64);
        assert!(
            all <= most && sends <= most_sends,
            "{what}: {all} system calls, {sends} of them send; by number: {calls:?}"
        );
    }
}
