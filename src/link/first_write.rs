//! The first write to a channel of a forwarded agent, made on a thread that may get stuck.
//!
//! A host announces a maximum packet size for each channel. For a channel that the host opens,
//! libssh does not reveal that size. In libssh 0.10, which subtracts headers, a size of 10 bytes
//! leaves no room for data; since 0.11, a size of 0 does. With such a size, `ssh_channel_write`
//! writes empty packets forever. Such a call takes up a core and ever more memory, and nothing can
//! stop it. But each pass of the loop logs how many bytes it has written. So the first write is
//! made on a thread that reads these log lines. At the first empty packet, the thread goes to sleep
//! within the call, for the rest of the process's life. That costs the thread's stack, the session,
//! and one descriptor. The connection is shut down, and the host fails. After
//! [`limits::PARKED_THREADS`] such threads, no agent is forwarded any more.
//!
//! The caller waits for the thread. Because the socket does not block, this takes little longer
//! than starting a thread. The session moves to the thread and back, so nothing else can use a
//! session whose thread is stuck.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::{io, thread};

use socket2::SockRef;

use super::libssh::{self, SshSession};
use super::{ChannelId, LinkError, LinkErrorKind};
use crate::limits;

/// How many threads of this process sleep forever.
static PARKED: AtomicUsize = AtomicUsize::new(0);

/// Held during a first write. The write may add to [`PARKED`].
static TRIAL: Mutex<()> = Mutex::new(());

/// What a thread is to write.
struct Order {
    session: Box<SshSession>,
    channel: ChannelId,
    bytes: Vec<u8>,
}

/// The result that a thread reports.
enum Report {
    Written(Box<SshSession>, Result<usize, LinkError>),
    /// The thread is about to sleep forever.
    Parked,
}

/// What is left of a session whose thread is stuck.
#[derive(Debug)]
pub(super) struct StuckSession {
    pub error: LinkError,
    /// The descriptor of the session's socket, which stays open as long as the process lives.
    pub socket: Option<RawFd>,
}

/// Whether an agent can be forwarded, that is, whether one more thread may get stuck.
pub(crate) fn can_forward_agent() -> bool {
    PARKED.load(Ordering::Relaxed) < limits::PARKED_THREADS
}

/// Makes the first write to this channel. Returns the session with the number of bytes written or
/// an error. If the session's thread gets stuck, the session is lost.
///
/// [`LinkErrorKind::Limit`], returned with the session, means that no write was tried.
pub(super) fn write(
    session: Box<SshSession>,
    channel: ChannelId,
    bytes: Vec<u8>,
) -> Result<(Box<SshSession>, Result<usize, LinkError>), StuckSession> {
    let _trial = TRIAL.lock().unwrap_or_else(PoisonError::into_inner);
    if !can_forward_agent() {
        let text = format!("{} threads are stuck in libssh, which is the limit", limits::PARKED_THREADS);
        return Ok((session, Err(LinkError::new(LinkErrorKind::Limit, text))));
    }
    let (socket, duplicate, orders, reports) = match prepare(&session) {
        Ok(prepared) => prepared,
        Err(e) => return Ok((session, Err(LinkError::new(LinkErrorKind::Limit, e.to_string())))),
    };
    if let Err(mpsc::SendError(Order { session, .. })) = orders.send(Order { session, channel, bytes }) {
        return Ok((session, Err(LinkError::new(LinkErrorKind::Limit, "its thread has ended"))));
    }
    let report = reports.recv_timeout(limits::FIRST_WRITE_TIMEOUT);
    let socket = match report {
        Ok(Report::Written(session, written)) => return Ok((session, written)),
        Ok(Report::Parked) => Some(socket),
        // The thread has not reported in time. It is stuck somewhere else and may still use the
        // descriptor in any way.
        Err(_) => None,
    };
    PARKED.fetch_add(1, Ordering::Relaxed);
    // This fails only if the connection no longer exists.
    let _ = SockRef::from(&duplicate).shutdown(std::net::Shutdown::Both);
    let text = "its channel to the forwarded ssh-agent has a packet size that leaves no room for data";
    Err(StuckSession { error: LinkError::new(LinkErrorKind::Protocol, text), socket })
}

type Prepared = (RawFd, OwnedFd, Sender<Order>, Receiver<Report>);

/// Starts a thread that waits for an order. Returns the session's socket, a duplicate of the socket
/// that the thread cannot close, and the channels to and from the thread.
fn prepare(session: &SshSession) -> io::Result<Prepared> {
    let socket = session.descriptor().ok_or(io::ErrorKind::NotConnected)?;
    let duplicate = socket.try_clone_to_owned()?;
    let (give, orders) = mpsc::channel();
    let (tell, reports) = mpsc::channel();
    thread::Builder::new().name("sshoal-agent".to_owned()).spawn(move || serve(&orders, &tell))?;
    Ok((socket.as_raw_fd(), duplicate, give, reports))
}

fn serve(orders: &Receiver<Order>, reports: &Sender<Report>) {
    let Ok(Order { mut session, channel, bytes }) = orders.recv() else { return };
    let tell = reports.clone();
    libssh::park_in_loops(move || drop(tell.send(Report::Parked)));
    let written = session.write_first(channel, &bytes);
    // If the caller no longer waits, this drops the session.
    let _ = reports.send(Report::Written(session, written));
}
