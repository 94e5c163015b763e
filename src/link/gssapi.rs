//! A GSSAPI login: the session is lent to a helper thread whenever libssh must be entered.
//!
//! In the middle of the method libssh asks the KDC for a ticket and waits for it, half a minute if the KDC is silent. No
//! ticket can be fetched beforehand instead: a delegated one is made anew each time. So until the reply is final the
//! reactor does not enter the session. A thread does what a visit would do, and gives the session back; in between it
//! rests here, and no thread waits for the server.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::libssh::Session;
use super::{AuthReply, Credential, Gssapi, LinkError, LinkErrorKind, Pumped};
use crate::limits;
use crate::workers::{Job, Workers};

/// The threads that sessions are lent to.
pub(super) type Lender = Workers<Visit>;

/// One GSSAPI method under way. Dropping it closes the connection: at once, or after the call that a thread is in.
pub(super) struct Login {
    index: usize,
    gssapi: Arc<Gssapi>,
    loan: Arc<Mutex<Loan>>,
}

/// What a visit came to.
type Reply = Result<Poll<AuthReply>, LinkError>;

/// Who has the session.
enum Loan {
    /// The link, since a visit that came to this.
    Resting(Session, Reply),
    /// Nobody: the visit was not begun.
    Queued(Session),
    /// A thread.
    Away,
    /// Nobody will, once the thread that may still have it has dropped it.
    Forgotten,
}

/// One visit.
pub(super) struct Visit {
    index: usize,
    gssapi: Arc<Gssapi>,
    loan: Arc<Mutex<Loan>>,
}

impl Login {
    /// Begins the method on the session of the link at this index.
    pub(super) fn begin(session: Session, index: usize, gssapi: Arc<Gssapi>, lender: &Lender) -> Self {
        let login = Self { index, gssapi, loan: Arc::new(Mutex::new(Loan::Queued(session))) };
        login.queue(lender);
        login
    }

    /// Lends the session for another visit if there is anything to be found. With the reply there, it is pumped as any.
    ///
    /// Edges that were reported while it was away are not lost: whether there is news is asked of the socket itself.
    pub(super) fn pump(&mut self, budget: usize, lender: &Lender) -> Result<Pumped, LinkError> {
        let mut loan = lock(&self.loan);
        match &mut *loan {
            Loan::Resting(session, Ok(Poll::Ready(_))) => return session.pump(budget),
            Loan::Resting(session, Ok(Poll::Pending)) if session.has_news() => {}
            _ => return Ok(Pumped::Drained),
        }
        if let Loan::Resting(session, _) = std::mem::replace(&mut *loan, Loan::Away) {
            *loan = Loan::Queued(session);
        }
        drop(loan);
        self.queue(lender);
        Ok(Pumped::Drained)
    }

    /// The server's reply and the session, once the method is over.
    pub(super) fn end(&mut self) -> Result<Poll<(Session, AuthReply)>, LinkError> {
        let mut loan = lock(&self.loan);
        match std::mem::replace(&mut *loan, Loan::Forgotten) {
            Loan::Resting(session, Ok(Poll::Ready(reply))) => Ok(Poll::Ready((session, reply))),
            Loan::Resting(_, Err(error)) => Err(error),
            other => {
                *loan = other;
                Ok(Poll::Pending)
            }
        }
    }

    fn queue(&self, lender: &Lender) {
        let Self { index, gssapi, loan } = self;
        lender.start(Visit { index: *index, gssapi: gssapi.clone(), loan: loan.clone() });
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let left = std::mem::replace(&mut *lock(&self.loan), Loan::Forgotten);
        drop(left);
    }
}

impl Job for Visit {
    /// The index of the link that has to look again.
    type Done = usize;

    fn run(self) -> usize {
        if let Some(mut session) = self.take() {
            let reply = enter(&mut session, &Credential::Gssapi(self.gssapi));
            let mut loan = lock(&self.loan);
            if matches!(*loan, Loan::Away) {
                *loan = Loan::Resting(session, reply);
            }
        }
        self.index
    }

    fn refuse(self, cause: &io::Error) -> usize {
        if let Some(session) = self.take() {
            let error = LinkError::new(LinkErrorKind::Limit, format!("no thread for GSSAPI: {cause}"));
            *lock(&self.loan) = Loan::Resting(session, Err(error));
        }
        self.index
    }
}

impl Visit {
    /// The session, unless it was forgotten meanwhile.
    fn take(&self) -> Option<Session> {
        let mut loan = lock(&self.loan);
        match std::mem::replace(&mut *loan, Loan::Away) {
            Loan::Queued(session) => Some(session),
            other => {
                *loan = other;
                None
            }
        }
    }
}

/// What may block.
fn enter(session: &mut Session, credential: &Credential) -> Reply {
    if let ready @ Poll::Ready(_) = session.authenticate(credential)? {
        return Ok(ready);
    }
    session.pump(limits::PUMPS_PER_VISIT)?;
    session.authenticate(credential)
}

fn lock(loan: &Mutex<Loan>) -> MutexGuard<'_, Loan> {
    loan.lock().unwrap_or_else(PoisonError::into_inner)
}
