//! The process of a command.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::task::Poll;

use mio::unix::SourceFd;
use mio::unix::pipe::Receiver;
use mio::{Interest, Registry, Token};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::CommandReport;
use super::tail::{Left, Tail};

/// A running process, or one that has ended. No call blocks. Dropping it leaves the process alone.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// The process group, whose id is that of the process.
    group: Pid,
    /// Readable once the process has ended; `None` if the system has no such descriptor.
    pidfd: Option<OwnedFd>,
    /// The read end of standard error, until it ends or is no longer read.
    stderr: Option<Receiver>,
    tail: Tail,
    /// How the process has ended, once it was waited for.
    ended: Option<Option<ExitStatus>>,
}

impl Process {
    /// Starts the command as OpenSSH does: `shell -c "exec command"`, with the socket as its
    /// standard input and output. All other descriptors of this process are closed on exec.
    ///
    /// # Errors
    /// Those of `pipe(2)`, `fork(2)` and `execve(2)` of the shell.
    pub(crate) fn start(shell: &Path, line: &str, socket: OwnedFd) -> io::Result<Self> {
        let socket = UnixStream::from(socket);
        // Programs expect that reads from standard input block.
        socket.set_nonblocking(false)?;
        let socket = OwnedFd::from(socket);
        let mut child = Command::new(shell)
            .arg("-c")
            .arg(format!("exec {line}"))
            .stdin(socket.try_clone()?)
            .stdout(socket)
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stderr = child.stderr.take().map(Receiver::from);
        let stderr = stderr.filter(|stderr| stderr.set_nonblocking(true).is_ok());
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let pidfd = open_pidfd(&child);
        let group = Pid::from_raw(pid);
        Ok(Self { child, group, pidfd, stderr, tail: Tail::default(), ended: None })
    }

    /// Registers what becomes readable when the process writes to standard error or ends. A failure
    /// is not fatal: without the one, standard error is not read; without the other,
    /// [`is_watched`](Self::is_watched) is false.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) {
        if let Some(stderr) = &mut self.stderr
            && registry.register(stderr, token, Interest::READABLE).is_err()
        {
            self.stderr = None;
        }
        let register = |fd: &OwnedFd| {
            registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE).is_ok()
        };
        self.pidfd = self.pidfd.take().filter(register);
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> Pid {
        self.group
    }

    /// Whether the end of the process makes a registered descriptor readable.
    pub(crate) fn is_watched(&self) -> bool {
        self.pidfd.is_some()
    }

    /// Reads standard error. Returns whether there may be more to read at once.
    pub(crate) fn listen(&mut self) -> bool {
        let Some(stderr) = &mut self.stderr else { return false };
        let left = self.tail.read(stderr);
        if left == Left::End {
            self.stderr = None;
        }
        left == Left::More
    }

    /// Stops reading standard error.
    pub(crate) fn ignore(&mut self) {
        self.stderr = None;
    }

    /// Asks the process and all others of its group to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
        // A process that has tried to read from the terminal is stopped.
        self.signal(Signal::SIGCONT);
    }

    /// Ends the process and all others of its group.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// The system does not give the number of a group to another process while there is a member,
    /// or while the first one was not waited for. If all are gone, nothing is sent.
    fn signal(&self, signal: Signal) {
        let _ = killpg(self.group, signal);
    }

    /// Whether the process was waited for and no other process of its group is left.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.end().is_ready() && killpg(self.group, None).is_err()
    }
}

impl CommandReport for Process {
    fn end(&mut self) -> Poll<Option<ExitStatus>> {
        if self.ended.is_none() {
            // `wait` fails if the program ignores SIGCHLD, or has waited for all of its processes.
            self.ended = self.child.try_wait().map_or(Some(None), |ended| ended.map(Some));
        }
        self.ended.map_or(Poll::Pending, Poll::Ready)
    }

    fn said(&mut self) -> Option<Arc<str>> {
        self.listen();
        self.tail.text()
    }
}

/// A descriptor that is readable once the process has ended (`pidfd_open(2)`, Linux 5.3).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_pidfd(child: &Child) -> Option<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    pidfd_open(Pid::from_child(child), PidfdFlags::NONBLOCK).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_pidfd(_child: &Child) -> Option<OwnedFd> {
    None
}
