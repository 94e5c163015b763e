//! Commands that say what groups are, as in groups.conf(5).

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use indexmap::IndexSet;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::cleanup::{self, Interrupt};
use crate::targets::error::{Error, shown};

/// How long a command may take.
pub const TIME_MAX: Duration = Duration::from_secs(30);

/// The most bytes that a command may write.
const OUTPUT_MAX: u64 = 64 << 20;

/// The commands of a source.
#[derive(Debug)]
pub struct Upcalls {
    /// `$SOURCE`.
    pub source: String,
    /// `$CFGDIR`, where the commands run.
    pub folder: PathBuf,
    /// The hosts of `$GROUP`.
    pub map: Option<String>,
    /// All groups with their hosts, as `group: hosts`.
    pub mapall: Option<String>,
    /// All hosts.
    pub all: Option<String>,
    /// The names of all groups.
    pub list: Option<String>,
    /// The groups of `$NODE`.
    pub reverse: Option<String>,
    /// How long an answer counts.
    pub cache_time: Duration,
    /// How long a command may take.
    pub time_max: Duration,
    /// When all commands have to have ended, if somebody waits. They say nothing on standard error
    /// then, which has a line that is being typed.
    pub until: Option<Instant>,
    pub answers: RefCell<HashMap<String, (Instant, String)>>,
}

impl Upcalls {
    /// The hosts of a group.
    pub fn map(&self, group: &str) -> Result<String, Error> {
        if self.mapall.is_some() {
            let groups = self.mapped()?;
            let hosts: Vec<&str> =
                groups.iter().filter(|(name, _)| name == group).map(|(_, hosts)| &**hosts).collect();
            if !hosts.is_empty() {
                return Ok(hosts.join(" "));
            }
        }
        let unknown = || Error::new(format!("no group {} in source {}", shown(group), self.source));
        let hosts = match &self.map {
            Some(command) => self.answer(command, &[("GROUP", group)])?,
            None => return Err(unknown()),
        };
        // Commands succeed for groups that they do not know.
        if hosts.is_empty()
            && self.list().transpose()?.is_some_and(|names| names.iter().all(|name| name != group))
        {
            return Err(unknown());
        }
        Ok(hosts)
    }

    /// All hosts, if there is a command for that.
    pub fn all(&self) -> Option<Result<String, Error>> {
        self.all.as_ref().map(|command| self.answer(command, &[]))
    }

    /// The names of all groups, if there is a command for that.
    pub fn list(&self) -> Option<Result<Vec<String>, Error>> {
        if self.mapall.is_some() {
            // A group may be on several lines.
            let names = |groups: Vec<(String, String)>| groups.into_iter().map(|(name, _)| name);
            return Some(
                self.mapped().map(|groups| names(groups).collect::<IndexSet<_>>().into_iter().collect()),
            );
        }
        let answer = self.answer(self.list.as_ref()?, &[]);
        Some(answer.map(|names| names.split_whitespace().map(str::to_owned).collect()))
    }

    /// The groups of a host, if there is a command for that.
    pub fn reverse(&self, host: &str) -> Option<Result<Vec<String>, Error>> {
        let answer = self.answer(self.reverse.as_ref()?, &[("NODE", host)]);
        Some(answer.map(|names| names.split_whitespace().map(str::to_owned).collect()))
    }

    fn mapped(&self) -> Result<Vec<(String, String)>, Error> {
        let Some(command) = &self.mapall else { return Ok(Vec::new()) };
        let answer = self.answer(command, &[])?;
        let lines = answer.lines().map(str::trim).filter(|line| !line.is_empty());
        lines
            .map(|line| match line.split_once(':') {
                Some((name, hosts))
                    if !name.trim().is_empty() && !name.trim().contains(char::is_whitespace) =>
                {
                    Ok((name.trim().to_owned(), hosts.trim().to_owned()))
                }
                _ => Err(Error::new(format!(
                    "source {}: \"{}\" of its command mapall is not \"group: hosts\"",
                    self.source,
                    shown(line)
                ))),
            })
            .collect()
    }

    /// What the command writes, or wrote not long ago.
    fn answer(&self, command: &str, variables: &[(&str, &str)]) -> Result<String, Error> {
        let folder = self.folder.to_string_lossy();
        let usual = [("CFGDIR", &*folder), ("SOURCE", &*self.source)];
        let command = substituted(command, &[variables, &usual].concat());
        let now = Instant::now();
        if let Some((until, answer)) = self.answers.borrow().get(&command)
            && now < *until
        {
            return Ok(answer.clone());
        }
        let answer = run_shell(&command, &self.folder, self.time_max, self.until)
            .map_err(|error| error.within(format!("source {}", self.source)))?;
        let answer = answer.trim().to_owned();
        self.answers.borrow_mut().insert(command, (now + self.cache_time, answer.clone()));
        Ok(answer)
    }
}

/// A limit, or what is left of the time if that is less.
fn within(time_max: Duration, until: Option<Instant>) -> Duration {
    until.map_or(time_max, |until| until.saturating_duration_since(Instant::now()).min(time_max))
}

/// Replaces `$NAME` and `${NAME}`, and `$$` by `$`. Other variables are the shell's.
pub fn substituted(command: &str, variables: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(command.len());
    let mut rest = command;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, len) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match variables.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => {
                out.push_str(value);
                rest = &after[len..];
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Runs a command of the user's configuration.
fn run_shell(
    command: &str,
    folder: &Path,
    time_max: Duration,
    until: Option<Instant>,
) -> Result<String, Error> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).current_dir(folder);
    run(shell, time_max, until).map_err(|error| Error::new(format!("{error}: {}", shown(command))))
}

/// How often it is looked whether ^C was pressed.
const TICK: Duration = Duration::from_millis(50);

/// Runs a program without standard input, and returns what it writes to its standard output. When
/// its time is over, or on ^C, it is killed with all that it has started. With `until`, somebody
/// waits: see [`Upcalls::until`].
pub fn run(mut program: Command, time_max: Duration, until: Option<Instant>) -> Result<String, Error> {
    let time_max = within(time_max, until);
    if until.is_some() {
        program.stderr(Stdio::null());
    }
    let io = |error: std::io::Error| Error::new(format!("cannot run a command ({error})"));
    // A signal waits until it is known what to kill.
    let group: Arc<Mutex<Option<Pid>>> = Arc::default();
    let on_signal = group.clone();
    let _cleanup = cleanup::on_signal(move || kill(*locked(&on_signal))).map_err(io)?;
    let mut known = locked(&group);
    // In a process group of its own, with what it starts.
    let child = program.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn();
    let mut child = child.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let name = program.get_program().to_string_lossy().into_owned();
            Error::new(format!("cannot run a command ({error}: is {} installed?)", shown(&name)))
        }
        _ => io(error),
    })?;
    *known = Some(Pid::from_child(&child));
    drop(known);
    let Some(stdout) = child.stdout.take() else { return Err(Error::new("no pipe")) };
    let until = Limit { start: Instant::now(), time_max, interrupt: Interrupt::watch() };
    let output = read(stdout, &until).and_then(|output| Ok((wait(&mut child, &until)?, output)));
    if output.is_err() {
        kill(*locked(&group));
        let _ = child.wait();
    }
    let (status, output) = output?;
    if !status.success() {
        return Err(Error::new(format!("a command failed ({status})")));
    }
    String::from_utf8(output).map_err(|_| Error::new("a command wrote something that is not UTF-8"))
}

/// Kills a process group, which may have ended by itself.
fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn locked(group: &Mutex<Option<Pid>>) -> MutexGuard<'_, Option<Pid>> {
    group.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What ends a wait.
struct Limit {
    start: Instant,
    time_max: Duration,
    interrupt: Interrupt,
}

impl Limit {
    fn check(&self) -> Result<(), Error> {
        if self.interrupt.was_pressed() {
            return Err(Error::new("a command was ended by ^C"));
        }
        if self.start.elapsed() >= self.time_max {
            return Err(Error::new(format!("a command took longer than {:?}", self.time_max)));
        }
        Ok(())
    }
}

/// Reads to the end. A thread reads, and is left behind if a process holds the pipe open for
/// longer.
fn read(stdout: ChildStdout, limit: &Limit) -> Result<Vec<u8>, Error> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut output = Vec::new();
        let result = stdout.take(OUTPUT_MAX + 1).read_to_end(&mut output);
        // The receiver is gone when the time is over.
        let _ = sender.send(result.map(|_| output));
    });
    loop {
        let left = limit.time_max.saturating_sub(limit.start.elapsed());
        match receiver.recv_timeout(left.min(TICK)) {
            Ok(Ok(output)) if output.len() as u64 > OUTPUT_MAX => {
                return Err(Error::new(format!("a command wrote more than {} MiB", OUTPUT_MAX >> 20)));
            }
            Ok(Ok(output)) => return Ok(output),
            Ok(Err(error)) => return Err(Error::new(format!("a command's output cannot be read ({error})"))),
            Err(_) => limit.check()?,
        }
    }
}

fn wait(child: &mut Child, limit: &Limit) -> Result<std::process::ExitStatus, Error> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => limit.check()?,
            Err(error) => return Err(Error::new(format!("a command's end is unknown ({error})"))),
        }
        // It has closed its output, and is about to end.
        std::thread::sleep(Duration::from_millis(1));
    }
}
