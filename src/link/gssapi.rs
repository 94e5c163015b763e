//! A GSSAPI login: the session is lent to a helper thread whenever libssh must be entered.
//!
//! In the middle of the method libssh asks the KDC for a ticket and waits for it, half a minute if the KDC is silent. No
//! ticket can be fetched beforehand instead: a delegated one is made anew each time. So until the reply is final the
//! reactor does not enter the session. A thread does what a visit would do, and gives the session back; in between it
//! rests here, and no thread waits for the server.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::libssh::LibsshSession;
use super::{AuthReply, Credential, Gssapi, LinkError, LinkErrorKind, Pumped};
use crate::limits;
use crate::reactor::workers::{Job, Workers};

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
    Resting(LibsshSession, Reply),
    /// Nobody: the visit was not begun.
    Queued(LibsshSession),
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
    pub(super) fn begin(session: LibsshSession, index: usize, gssapi: Arc<Gssapi>, lender: &Lender) -> Self {
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
    pub(super) fn end(&mut self) -> Result<Poll<(LibsshSession, AuthReply)>, LinkError> {
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
            let reply = enter(&mut session, &Credential::Gssapi(self.gssapi.clone()));
            self.give_back(session, reply);
        }
        self.index
    }

    fn refuse(self, cause: &io::Error) -> usize {
        if let Some(session) = self.take() {
            let error = LinkError::new(LinkErrorKind::Limit, format!("no thread for GSSAPI: {cause}"));
            self.give_back(session, Err(error));
        }
        self.index
    }
}

impl Visit {
    /// The session, unless it was forgotten meanwhile.
    fn take(&self) -> Option<LibsshSession> {
        let mut loan = lock(&self.loan);
        match std::mem::replace(&mut *loan, Loan::Away) {
            Loan::Queued(session) => Some(session),
            other => {
                *loan = other;
                None
            }
        }
    }

    /// Closes the connection instead if nobody wants it any more.
    fn give_back(&self, session: LibsshSession, reply: Reply) {
        let mut loan = lock(&self.loan);
        if matches!(*loan, Loan::Away) {
            *loan = Loan::Resting(session, reply);
        }
    }
}

/// What may block.
fn enter(session: &mut LibsshSession, credential: &Credential) -> Reply {
    if let ready @ Poll::Ready(_) = session.authenticate(credential)? {
        return Ok(ready);
    }
    session.pump(limits::PUMPS_PER_VISIT)?;
    session.authenticate(credential)
}

fn lock(loan: &Mutex<Loan>) -> MutexGuard<'_, Loan> {
    loan.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use mio::Waker;

    use super::*;
    use crate::link::Setup;

    /// A login whose server is this end of a socket, and a lender whose threads are played by the test.
    struct Bench {
        _poll: mio::Poll,
        lender: Lender,
        login: Option<Login>,
        server: UnixStream,
    }

    impl Bench {
        fn new() -> Self {
            let poll = mio::Poll::new().unwrap();
            let waker = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
            let lender = Lender::new("test", 0, waker);
            let (client, server) = UnixStream::pair().unwrap();
            server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let setup = Setup { user: c"deploy", recorded: &[], compress: false, agent: None };
            let session = LibsshSession::start(client.into(), &setup, c"ssh-ed25519").unwrap();
            let gssapi = Gssapi { server: c"web".to_owned(), client: None, delegate: false };
            let login = Login::begin(session, 7, Arc::new(gssapi), &lender);
            Self { _poll: poll, lender, login: Some(login), server }
        }

        fn login(&mut self) -> &mut Login {
            self.login.as_mut().unwrap()
        }

        /// The visit that is in the queue.
        fn visit(&mut self) -> Visit {
            let Login { index, gssapi, loan } = self.login();
            Visit { index: *index, gssapi: gssapi.clone(), loan: loan.clone() }
        }

        fn is_queued(&mut self) -> bool {
            matches!(*lock(&self.login().loan), Loan::Queued(_))
        }

        /// Whether the client has closed the connection, whatever it said before.
        fn is_closed(&mut self) -> bool {
            self.server.read_to_end(&mut Vec::new()).is_ok()
        }
    }

    #[test]
    fn a_login_that_no_thread_has_begun_with_is_closed_at_once() {
        let mut bench = Bench::new();
        let visit = bench.visit();
        assert!(bench.login().end().unwrap().is_pending());
        bench.login = None;
        assert!(bench.is_closed());
        assert_eq!(visit.run(), 7);
    }

    #[test]
    fn a_login_under_a_call_is_closed_after_it() {
        let mut bench = Bench::new();
        let visit = bench.visit();
        let session = visit.take().unwrap();
        assert!(bench.login().end().unwrap().is_pending());
        bench.login = None;
        bench.server.set_nonblocking(true).unwrap();
        assert!(!bench.is_closed());
        bench.server.set_nonblocking(false).unwrap();
        visit.give_back(session, Ok(Poll::Pending));
        assert!(bench.is_closed());
    }

    #[test]
    fn a_session_is_lent_again_only_for_news() {
        let mut bench = Bench::new();
        let visit = bench.visit();
        let mut session = visit.take().unwrap();
        session.pump(limits::PUMPS_PER_VISIT).unwrap();
        let Login { loan, .. } = bench.login();
        assert!(matches!(*lock(loan), Loan::Away));
        let Bench { login, lender, .. } = &mut bench;
        assert_eq!(login.as_mut().unwrap().pump(1, lender), Ok(Pumped::Drained), "while it is away");
        visit.give_back(session, Ok(Poll::Pending));

        for (sends, queued) in [(&b""[..], false), (&b"SSH-2.0-x\r\n"[..], true)] {
            bench.server.write_all(sends).unwrap();
            let Bench { login, lender, .. } = &mut bench;
            assert_eq!(login.as_mut().unwrap().pump(1, lender), Ok(Pumped::Drained));
            assert_eq!(bench.is_queued(), queued);
            assert!(bench.login().end().unwrap().is_pending());
        }
    }

    #[test]
    fn the_reply_ends_the_method_and_gives_the_session_back() {
        let mut bench = Bench::new();
        let visit = bench.visit();
        let session = visit.take().unwrap();
        visit.give_back(session, Ok(Poll::Ready(AuthReply::Denied)));
        let Poll::Ready((_session, reply)) = bench.login().end().unwrap() else { panic!("no reply") };
        assert_eq!(reply, AuthReply::Denied);
    }

    #[test]
    fn without_a_thread_the_login_fails() {
        let mut bench = Bench::new();
        assert_eq!(bench.visit().refuse(&io::Error::other("none left")), 7);
        let Err(error) = bench.login().end() else { panic!("it goes on") };
        assert_eq!(error, LinkError::new(LinkErrorKind::Limit, "no thread for GSSAPI: none left"));
        assert!(bench.is_closed());
    }

    #[test]
    fn a_connection_that_breaks_during_a_visit_fails_the_login() {
        let mut bench = Bench::new();
        let visit = bench.visit();
        let session = visit.take().unwrap();
        let broken = LinkError::new(LinkErrorKind::Lost, "reset");
        visit.give_back(session, Err(broken.clone()));
        let Bench { login, lender, .. } = &mut bench;
        assert_eq!(login.as_mut().unwrap().pump(1, lender), Ok(Pumped::Drained));
        assert_eq!(bench.login().end().err(), Some(broken));
        assert!(bench.is_closed());
    }
}
