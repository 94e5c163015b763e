//! The first write to a channel that a host has opened to a forwarded agent, on a thread that may not come
//! back.
//!
//! A host announces how long the packets to it may be. libssh tells that to nobody for channels that the host
//! opens, and where it leaves no room for data (10 bytes for libssh 0.10, which takes headers off; 0 since
//! 0.11) `ssh_channel_write` writes empty packets for ever: it takes a core and ever more memory, and nothing
//! ends it from outside. But each pass logs how many bytes it has written. So the first write of each
//! channel is made by a thread that listens to that. At the first empty packet the thread falls asleep,
//! inside the call, for as long as the process lives: that costs its stack, the session, and one descriptor.
//! The connection is shut down, and the host has failed. After [`limits::PARKED_THREADS`] of these no agent
//! is forwarded any more.
//!
//! The caller waits for the thread, which takes as long as to start one: the socket does not block. The
//! session goes to the thread by value and comes back by value, so nothing can touch one whose thread has not
//! come back.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use socket2::SockRef;

use super::libssh::{self, LibsshSession};
use super::{ChannelId, LinkError, LinkErrorKind};
use crate::limits;

/// Threads of this process that sleep for good.
static PARKED: AtomicUsize = AtomicUsize::new(0);

/// Held for as long as a thread may become another of them.
static TRIAL: Mutex<()> = Mutex::new(());

/// What the thread is to do.
struct Task {
    session: Box<LibsshSession>,
    channel: ChannelId,
    bytes: Vec<u8>,
}

/// What a thread has to tell.
enum Report {
    Written(Box<LibsshSession>, Result<usize, LinkError>),
    /// It is about to fall asleep.
    Parked,
}

/// A session that will not come back.
#[derive(Debug)]
pub(super) struct Lost {
    pub error: LinkError,
    /// Its socket's descriptor, which stays open for as long as the process lives.
    pub socket: Option<RawFd>,
}

/// Whether an agent can be forwarded: as long as one more thread may fall asleep.
pub(crate) fn can_forward_agent() -> bool {
    PARKED.load(Ordering::Relaxed) < limits::PARKED_THREADS
}

/// Makes the first write to this channel. The session comes back with what was written, or it is lost.
///
/// [`LinkErrorKind::Limit`] with the session: nothing was tried.
pub(super) fn write(
    session: Box<LibsshSession>,
    channel: ChannelId,
    bytes: Vec<u8>,
) -> Result<(Box<LibsshSession>, Result<usize, LinkError>), Lost> {
    let _trial = TRIAL.lock().unwrap_or_else(PoisonError::into_inner);
    if !can_forward_agent() {
        let text = format!("{} threads are stuck in libssh already", limits::PARKED_THREADS);
        return Ok((session, Err(LinkError::new(LinkErrorKind::Limit, text))));
    }
    let (socket, duplicate, tasks, reports) = match prepare(&session) {
        Ok(prepared) => prepared,
        Err(e) => return Ok((session, Err(LinkError::new(LinkErrorKind::Limit, e.to_string())))),
    };
    if let Err(mpsc::SendError(Task { session, .. })) = tasks.send(Task { session, channel, bytes }) {
        return Ok((session, Err(LinkError::new(LinkErrorKind::Limit, "its thread has ended"))));
    }
    let report = reports.recv_timeout(limits::FIRST_WRITE_TIMEOUT);
    let socket = match report {
        Ok(Report::Written(session, written)) => return Ok((session, written)),
        Ok(Report::Parked) => Some(socket),
        // It does not say what keeps it, and may still use the descriptor in any way.
        Err(_) => None,
    };
    PARKED.fetch_add(1, Ordering::Relaxed);
    // Fails only if the connection is gone.
    let _ = SockRef::from(&duplicate).shutdown(std::net::Shutdown::Both);
    let text = "a channel to the forwarded ssh-agent whose packets have no room for data";
    Err(Lost { error: LinkError::new(LinkErrorKind::Protocol, text), socket })
}

type Prepared = (RawFd, OwnedFd, Sender<Task>, Receiver<Report>);

/// The session's socket, a duplicate of it that is ours whatever the thread does, and a thread that waits for
/// its task.
fn prepare(session: &LibsshSession) -> io::Result<Prepared> {
    let socket = session.descriptor().ok_or(io::ErrorKind::NotConnected)?;
    let duplicate = socket.try_clone_to_owned()?;
    let (give, tasks) = mpsc::channel();
    let (tell, reports) = mpsc::channel();
    thread::Builder::new().name("sshoal-agent".to_owned()).spawn(move || serve(&tasks, &tell))?;
    Ok((socket.as_raw_fd(), duplicate, give, reports))
}

fn serve(tasks: &Receiver<Task>, reports: &Sender<Report>) {
    let Ok(Task { mut session, channel, bytes }) = tasks.recv() else { return };
    let tell = reports.clone();
    libssh::park_in_loops(move || drop(tell.send(Report::Parked)));
    let written = session.write_first(channel, &bytes, limits::TUNNEL_BACKLOG);
    // Where nobody waits any more the session ends here.
    let _ = reports.send(Report::Written(session, written));
}
