//! From a name's addresses to a TCP connection: one after the other, the next on any error.

use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Instant;

use crate::error::{HostErrorKind, UnknownHostProblem};
use crate::limits;
use crate::link::Link;

use super::{Failure, Profile};

impl Profile {
    /// The addresses to dial, in order.
    pub(super) fn select(
        &self,
        found: Result<Vec<SocketAddr>, HostErrorKind>,
    ) -> Result<Vec<SocketAddr>, HostErrorKind> {
        let wanted = self.connection.family;
        let found = match found {
            // The name exists, and name servers were asked for this family alone.
            Err(HostErrorKind::UnknownHost(UnknownHostProblem::NoAddress)) if wanted.is_exclusive() => {
                Vec::new()
            }
            found => found?,
        };
        let admitted = found.iter().any(|address| wanted.admits(address.ip()));
        if admitted || !wanted.is_exclusive() {
            return Ok(wanted.select(found));
        }
        let found = found.iter().map(SocketAddr::ip).take(limits::ADDRESSES).collect();
        Err(HostErrorKind::UnknownHost(UnknownHostProblem::OtherFamily { wanted, found }))
    }
}

/// The addresses of a host and how far they have been tried.
#[derive(Debug)]
pub(super) struct Addresses {
    list: Vec<SocketAddr>,
    /// Addresses begun; the last of them is under way.
    begun: usize,
    /// When the one under way has had its share of the time.
    slice_end: Option<Instant>,
}

impl Addresses {
    pub(super) fn new(mut list: Vec<SocketAddr>) -> Self {
        list.truncate(limits::ADDRESSES);
        Self { list, begun: 0, slice_end: None }
    }

    /// When the address under way must give way to the next; `None` for the last, which has all the time left.
    pub(super) fn slice_end(&self) -> Option<Instant> {
        self.slice_end
    }

    /// Dials the next address, and the one after it while dialling fails at once.
    pub(super) fn dial(
        &mut self,
        now: Instant,
        deadline: Option<Instant>,
        link: &mut dyn Link,
        mut error: Option<io::Error>,
    ) -> Result<(), Failure> {
        while let Some(address) = self.list.get(self.begun).copied() {
            self.begun += 1;
            self.slice_end = self.slice(now, deadline);
            match link.dial(address) {
                Ok(()) => return Ok(()),
                Err(e) if is_out_of_descriptors(&e) => return Err(Failure::NoDescriptor),
                Err(e) => error = Some(e),
            }
        }
        Err(self.exhausted(error.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))
    }

    /// Whether the address under way is connected; goes on to the next when it has failed.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        deadline: Option<Instant>,
        link: &mut dyn Link,
    ) -> Result<Poll<()>, Failure> {
        match link.dialled() {
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Ready(Err(e)) => self.dial(now, deadline, link, Some(e)).map(|()| Poll::Pending),
            Poll::Pending if self.slice_end.is_some_and(|end| end <= now) => {
                let e = io::Error::new(io::ErrorKind::TimedOut, "no answer");
                self.dial(now, deadline, link, Some(e)).map(|()| Poll::Pending)
            }
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// An equal share of the time left, unless there is no other address to give the rest to.
    fn slice(&self, now: Instant, deadline: Option<Instant>) -> Option<Instant> {
        let left = u32::try_from(self.list.len() - self.begun).unwrap_or(u32::MAX);
        if left == 0 {
            return None;
        }
        let share = deadline?.saturating_duration_since(now) / left.saturating_add(1);
        now.checked_add(share.max(limits::ADDRESS_SLICE_MIN))
    }

    fn exhausted(&self, source: io::Error) -> Failure {
        let Some(address) = self.list.get(self.begun.saturating_sub(1)).copied() else {
            return HostErrorKind::UnknownHost(UnknownHostProblem::NoAddress).into();
        };
        HostErrorKind::Connect { address, tried: self.begun, known: self.list.len(), source }.into()
    }
}

/// EMFILE or ENFILE: nothing is wrong with the host, the connection has to wait.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let code = error.raw_os_error();
    code == Some(Errno::EMFILE as i32) || code == Some(Errno::ENFILE as i32)
}
