//! Servers as child processes that leave nothing behind, neither when dropped nor when the test is
//! killed.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{collections::HashMap, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::ports;

/// The environment variable whose value marks a server's processes.
pub const MARK: &str = "SSHOAL_FIXTURE";

/// A server in the foreground, with its forked processes and their commands.
pub struct Daemon {
    child: Child,
    mark: String,
    _janitor: Janitor,
}

/// A unique value for [`MARK`].
pub fn new_mark() -> String {
    format!("{}-{:016x}", std::process::id(), ports::random())
}

impl Daemon {
    /// Starts `command` with its stdout and stderr appended to `log`. `mark` must be in the
    /// environment of every command that the server runs: it identifies one that has left the
    /// server's process tree. If this process dies without dropping the daemon, `dir` is removed
    /// too.
    pub fn spawn(command: &mut Command, mark: String, log: &Path, dir: &Path) -> std::io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        command.env(MARK, &mark).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A terminal's Ctrl-C is for the test, which then ends its servers in order.
        let child = command.process_group(0).spawn()?;
        let pid = child.id().to_string();
        let janitor =
            Janitor::new(ABANDONED_DAEMON, &[&pid, &format!("{MARK}={mark}"), &dir.to_string_lossy()]);
        Ok(Self { child, mark, _janitor: janitor })
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The status of the server itself, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("waitpid")
    }

    /// All live processes of this server: itself, its descendants, and the marked commands that
    /// outlived them.
    pub fn processes(&self) -> Vec<Pid> {
        let marked = format!("{MARK}={}", self.mark).into_bytes();
        let parents = parents();
        let root = self.pid();
        let ours = |&pid: &Pid| descends(pid, root, &parents) || has_environment(pid, &marked);
        parents.keys().copied().filter(ours).collect()
    }

    /// Kills the processes that the server has forked, and keeps the server: every connection is
    /// lost at once.
    pub fn kill_sessions(&self) {
        let root = self.pid();
        signal(root, Signal::STOP);
        self.kill_all_but(Some(root));
        signal(root, Signal::CONT);
    }

    /// Stops the processes that the server has forked: the sessions keep their connections, and the
    /// kernel keeps acknowledging data. [`continue_sessions`] lets them go on.
    pub fn stop_sessions(&self) -> Vec<Pid> {
        let mut sessions = self.processes();
        sessions.retain(|pid| *pid != self.pid());
        assert!(!sessions.is_empty());
        sessions.iter().for_each(|pid| signal(*pid, Signal::STOP));
        sessions
    }

    fn kill_all_but(&self, spared: Option<Pid>) {
        let end = Instant::now() + Duration::from_secs(2);
        let mut killed = Vec::new();
        loop {
            let mut others = self.processes();
            others.retain(|&pid| Some(pid) != spared);
            if others.is_empty() || Instant::now() > end {
                return remove_agent_sockets(&killed);
            }
            killed.extend_from_slice(&others);
            // Stop all of them first: no session lives to report that its command was killed.
            for number in [Signal::STOP, Signal::KILL] {
                others.iter().for_each(|&pid| signal(pid, number));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // While stopped, the server does not fork; while alive, it keeps its children in its
        // process tree.
        signal(self.pid(), Signal::STOP);
        self.kill_all_but(Some(self.pid()));
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.kill_all_but(None);
    }
}

/// Removes the sockets of forwarded agents, `/tmp/ssh-XXXXXXXXXX/agent.PID`, which a killed session
/// of sshd leaves behind.
fn remove_agent_sockets(killed: &[Pid]) {
    let Ok(entries) = fs::read_dir("/tmp") else { return };
    let is_of_sshd = |name: &str| name.len() == "ssh-XXXXXXXXXX".len() && name.starts_with("ssh-");
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_of_sshd)) {
        for pid in killed {
            let socket = entry.path().join(format!("agent.{}", pid.as_raw_nonzero()));
            if fs::remove_file(socket).is_ok() {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// Ends what [`Daemon::stop_sessions`] has begun.
pub fn continue_sessions(stopped: &[Pid]) {
    stopped.iter().for_each(|pid| signal(*pid, Signal::CONT));
}

/// Sends `number`; ignores a process that is gone already.
pub fn signal(pid: Pid, number: Signal) {
    let _ = kill_process(pid, number);
}

/// The parent of every live process (no zombies).
fn parents() -> HashMap<Pid, Pid> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let parent = |name: &str| {
        let pid = Pid::from_raw(name.parse().ok()?)?;
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).ok()?;
        // "pid (comm) state ppid …", where comm may contain anything, parentheses included.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        (state != "Z").then_some((pid, Pid::from_raw(parent)?))
    };
    entries.filter_map(|entry| parent(entry.file_name().to_str()?)).collect()
}

fn descends(mut pid: Pid, ancestor: Pid, parents: &HashMap<Pid, Pid>) -> bool {
    // Bounded, because the snapshot is not atomic and may contain a cycle.
    for _ in 0..parents.len() {
        if pid == ancestor {
            return true;
        }
        let Some(&parent) = parents.get(&pid) else {
            return false;
        };
        pid = parent;
    }
    false
}

fn has_environment(pid: Pid, entry: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
    environment.is_ok_and(|bytes| bytes.split(|&byte| byte == 0).any(|variable| variable == entry))
}

/// Whether a process with this id is alive (not a zombie).
pub fn is_alive(pid: Pid) -> bool {
    parents().contains_key(&pid)
}

/// Live processes of a user.
pub fn processes_of(uid: u32) -> Vec<Pid> {
    let owned = |pid: &Pid| {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        uids.is_some_and(|uids| uids.split_ascii_whitespace().any(|field| field.parse() == Ok(uid)))
    };
    parents().into_keys().filter(owned).collect()
}

const ABANDONED_DAEMON: &str = r#"
    kill -KILL "$1" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        pids=$(grep -las "$2" /proc/[0-9]*/environ | cut -d/ -f3)
        [ -z "$pids" ] || kill -KILL $pids 2>/dev/null
        sleep 0.1
    done
    rm -rf -- "$3""#;

/// A shell that runs a script if this process dies while the janitor exists: it waits for the end
/// of a pipe whose other end only this process has. (`PR_SET_PDEATHSIG` would follow the thread,
/// not the process, and could end only the server itself.)
pub struct Janitor(Child);

impl Janitor {
    /// `arguments` become `$1`, `$2`, … of the `/bin/sh` script.
    pub fn new(script: &str, arguments: &[&str]) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("read -r _\n{script}")).arg("janitor").args(arguments);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A separate process group, so that killing the test's group does not kill the janitor.
        Self(shell.current_dir("/").process_group(0).spawn().expect("/bin/sh"))
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
