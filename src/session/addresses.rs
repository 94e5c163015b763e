//! Connects to the addresses of a host, one at a time. The next address is dialled when an address
//! fails or has used up its share of the time limit. If an attempt delay is set, the addresses
//! race: when an address has not answered within the delay, the next one is dialled while the first
//! one is still in progress (RFC 8305).

use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::address::LocalAddresses;
use crate::error::{HostErrorKind, UnknownHostProblem};
use crate::limits;

use super::deadline::Deadline;
use super::{Cx, Failure, Profile};

impl Profile {
    /// The addresses to dial, in order.
    pub(super) fn select(
        &self,
        found: Result<Vec<SocketAddr>, HostErrorKind>,
    ) -> Result<Vec<SocketAddr>, HostErrorKind> {
        let wanted = self.connection.family;
        let found = match found {
            // The name exists, but it has no address of this family, and the name servers were
            // asked for no other family.
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

/// The addresses of a host, and how far they have been tried.
#[derive(Debug)]
pub(super) struct Addresses {
    list: Vec<SocketAddr>,
    /// If addresses race, the head start of each address before the next one is dialled.
    attempt_delay: Option<Duration>,
    /// How many addresses have been dialled.
    begun: usize,
    /// How many connects are in progress. At most one, unless addresses race.
    under_way: usize,
    /// When to dial the next address, even if no connect has failed by then. `None` if no address
    /// is left, or if there is neither a time limit nor an attempt delay.
    pub next_at: Option<Instant>,
}

impl Addresses {
    pub(super) fn new(list: Vec<SocketAddr>, attempt_delay: Option<Duration>) -> Self {
        let mut list = if attempt_delay.is_some() { interleave(list) } else { list };
        list.truncate(limits::ADDRESSES);
        Self { list, attempt_delay, begun: 0, under_way: 0, next_at: None }
    }

    /// Dials the next address, from one of the local addresses `from` if there are some. If that
    /// fails at once, goes on with the address after it. `failed` is the failure of the previous
    /// address, if any.
    pub(super) fn dial(
        &mut self,
        mut failed: Option<(SocketAddr, io::Error)>,
        from: Option<LocalAddresses>,
        deadline: Option<Deadline>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Failure> {
        while let Some(address) = self.list.get(self.begun).copied() {
            let beside = self.under_way > 0;
            let from = from.map(|local| local.towards(address)).transpose();
            let begun = from.and_then(|from| match beside {
                true => cx.link.dial_beside(address, from),
                false => cx.link.dial(address, from),
            });
            let error = match begun {
                Ok(()) => None,
                Err(e) if is_out_of_descriptors(&e) && beside => {
                    // The connects in progress continue; this address is dialled later.
                    self.next_at = self.next_turn(cx.now, deadline);
                    return Ok(());
                }
                Err(e) if is_out_of_descriptors(&e) => return Err(Failure::NoDescriptor),
                Err(e) => Some(e),
            };
            self.begun += 1;
            self.next_at = self.next_turn(cx.now, deadline);
            let Some(e) = error else {
                self.under_way += 1;
                return Ok(());
            };
            failed = Some((address, e));
        }
        if self.under_way > 0 { Ok(()) } else { Err(self.exhausted(failed)) }
    }

    /// Checks whether an address is connected. Dials the next address if one has failed or has used
    /// up its time.
    pub(super) fn poll(
        &mut self,
        from: Option<LocalAddresses>,
        deadline: Option<Deadline>,
        cx: &mut Cx<'_>,
    ) -> Result<Poll<()>, Failure> {
        while let Poll::Ready((address, result)) = cx.link.dialled() {
            let Err(e) = result else { return Ok(Poll::Ready(())) };
            self.under_way = self.under_way.saturating_sub(1);
            self.dial(Some((address, e)), from, deadline, cx)?;
            // When addresses race, one readiness event covers all their sockets: check them all.
            if self.attempt_delay.is_none() {
                return Ok(Poll::Pending);
            }
        }
        if self.next_at.is_some_and(|at| at <= cx.now) {
            if self.attempt_delay.is_none() {
                self.under_way = 0;
            }
            self.dial(None, from, deadline, cx)?;
        }
        Ok(Poll::Pending)
    }

    /// When to dial the next address: after an equal share of the remaining time, or after the
    /// attempt delay if that is shorter.
    fn next_turn(&self, now: Instant, deadline: Option<Deadline>) -> Option<Instant> {
        let left = u32::try_from(self.list.len() - self.begun).unwrap_or(u32::MAX);
        if left == 0 {
            return None;
        }
        let share = deadline.map(|deadline| {
            let share = deadline.at.saturating_duration_since(now) / left.saturating_add(1);
            share.max(limits::ADDRESS_SLICE_MIN)
        });
        now.checked_add(share.into_iter().chain(self.attempt_delay).min()?)
    }

    fn exhausted(&self, failed: Option<(SocketAddr, io::Error)>) -> Failure {
        let Some((address, error)) = failed else {
            return HostErrorKind::UnknownHost(UnknownHostProblem::NoAddress).into();
        };
        HostErrorKind::Connect { address, tried: self.begun, known: self.list.len(), error }.into()
    }
}

/// Alternates the address families, starting with that of the first address (RFC 8305 section 4).
fn interleave(list: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = list.first().map(SocketAddr::is_ipv6) else { return list };
    let (preferred, others): (Vec<_>, Vec<_>) = list.into_iter().partition(|it| it.is_ipv6() == first);
    let (mut preferred, mut others) = (preferred.into_iter(), others.into_iter());
    let mut mixed = Vec::with_capacity(preferred.len() + others.len());
    while preferred.len() + others.len() > 0 {
        mixed.extend(preferred.next());
        mixed.extend(others.next());
    }
    mixed
}

/// Whether the error is EMFILE or ENFILE. In that case the host is not at fault, and the connection
/// has to wait for a descriptor.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let code = error.raw_os_error();
    code == Some(Errno::EMFILE as i32) || code == Some(Errno::ENFILE as i32)
}
