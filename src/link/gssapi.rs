//! A GSSAPI login, whose calls into libssh run on helper threads.
//!
//! During such a login, libssh asks the KDC for a ticket and waits for the answer, for half a
//! minute if the KDC is silent. Fetching the ticket in advance does not help, because a delegated
//! ticket is requested anew for each login. So the reactor's thread does not call into the session
//! until the login is decided. Instead, a helper thread takes the session, advances the login, and
//! gives the session back. While the login waits for the server, it uses no thread.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::libssh::SshSession;
use super::{AuthReply, Credential, Gssapi, LinkError, LinkErrorKind, Pumped};
use crate::limits;
use crate::reactor::workers::{Job, Workers};

/// The helper threads that make the GSSAPI calls.
pub(super) type Threads = Workers<GssapiVisit>;

/// A GSSAPI login in progress. Dropping it closes the connection: at once or, if a thread is inside
/// a call on it, when that call returns.
pub(super) struct GssapiLogin(GssapiVisit);

/// The result of one call on a helper thread.
type Reply = Result<Poll<AuthReply>, LinkError>;

/// Who holds the session.
enum Custody {
    /// No call is in progress. The login holds the session and the result of the last call.
    Resting(SshSession, Reply),
    /// The login holds the session, which waits for a thread.
    Queued(SshSession),
    /// A thread holds the session.
    Away,
    /// The login was dropped. If a thread still holds the session, the thread drops it.
    Forgotten,
}

/// The period for which a thread has a session to itself, to make one GSSAPI call on it.
#[derive(Clone)]
pub(super) struct GssapiVisit {
    index: usize,
    gssapi: Arc<Gssapi>,
    custody: Arc<Mutex<Custody>>,
}

impl GssapiLogin {
    /// Begins a login for the link with this index.
    pub(super) fn begin(session: SshSession, index: usize, gssapi: Arc<Gssapi>, threads: &Threads) -> Self {
        let visit = GssapiVisit { index, gssapi, custody: Arc::new(Mutex::new(Custody::Queued(session))) };
        threads.start(visit.clone());
        Self(visit)
    }

    /// Queues another GSSAPI call if the socket has something to read or can accept waiting bytes.
    /// Once the reply has arrived, pumps the session instead.
    ///
    /// A readiness event that was reported while a thread held the session is not lost, because
    /// this method polls the socket itself.
    pub(super) fn pump(&mut self, budget: usize, threads: &Threads) -> Result<Pumped, LinkError> {
        let mut custody = self.0.lock();
        match &mut *custody {
            Custody::Resting(session, Ok(Poll::Ready(_))) => return session.pump(budget),
            Custody::Resting(session, Ok(Poll::Pending)) if session.has_news() => {}
            _ => return Ok(Pumped::Drained),
        }
        if let Custody::Resting(session, _) = std::mem::replace(&mut *custody, Custody::Away) {
            *custody = Custody::Queued(session);
        }
        drop(custody);
        threads.start(self.0.clone());
        Ok(Pumped::Drained)
    }

    /// The session and the reply, once the login is decided.
    pub(super) fn end(&mut self) -> Poll<(SshSession, Result<AuthReply, LinkError>)> {
        let mut custody = self.0.lock();
        match std::mem::replace(&mut *custody, Custody::Forgotten) {
            Custody::Resting(session, Ok(Poll::Ready(reply))) => Poll::Ready((session, Ok(reply))),
            Custody::Resting(session, Err(error)) => Poll::Ready((session, Err(error))),
            other => {
                *custody = other;
                Poll::Pending
            }
        }
    }
}

impl Drop for GssapiLogin {
    fn drop(&mut self) {
        let left = std::mem::replace(&mut *self.0.lock(), Custody::Forgotten);
        drop(left);
    }
}

impl Job for GssapiVisit {
    /// The index of the link that must be visited.
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
            let error =
                LinkError::new(LinkErrorKind::Limit, format!("cannot start a thread for GSSAPI: {cause}"));
            self.give_back(session, Err(error));
        }
        self.index
    }
}

impl GssapiVisit {
    /// Takes the session, unless the login was dropped.
    fn take(&self) -> Option<SshSession> {
        let mut custody = self.lock();
        match std::mem::replace(&mut *custody, Custody::Away) {
            Custody::Queued(session) => Some(session),
            other => {
                *custody = other;
                None
            }
        }
    }

    /// Gives the session back. If the login was dropped, drops the session.
    fn give_back(&self, session: SshSession, reply: Reply) {
        let mut custody = self.lock();
        if matches!(*custody, Custody::Away) {
            *custody = Custody::Resting(session, reply);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Custody> {
        self.custody.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Advances the login as far as possible. May block, so this runs on a helper thread.
fn enter(session: &mut SshSession, credential: &Credential) -> Reply {
    if let ready @ Poll::Ready(_) = session.authenticate(credential)? {
        return Ok(ready);
    }
    session.pump(limits::PUMPS_PER_VISIT)?;
    session.authenticate(credential)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use mio::Waker;

    use super::*;
    use crate::link::HandshakeOptions;
    use crate::link::algorithms::Offered;

    /// A login to a server that is a socket. The test plays the part of the threads.
    struct Bench {
        _poll: mio::Poll,
        threads: Threads,
        login: Option<GssapiLogin>,
        server: UnixStream,
    }

    impl Bench {
        fn new() -> Self {
            let poll = mio::Poll::new().unwrap();
            let waker = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
            let threads = Threads::new("test", 0, waker);
            let (client, server) = UnixStream::pair().unwrap();
            server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let algorithms = Offered::for_tests();
            let options = HandshakeOptions::new(c"deploy", &algorithms);
            let session = SshSession::start(client.into(), &options).unwrap();
            let gssapi = Gssapi { server: "web".to_owned(), client: None, delegate: false };
            let login = GssapiLogin::begin(session, 7, Arc::new(gssapi), &threads);
            Self { _poll: poll, threads, login: Some(login), server }
        }

        fn login(&mut self) -> &mut GssapiLogin {
            self.login.as_mut().unwrap()
        }

        /// The call that is queued.
        fn visit(&mut self) -> GssapiVisit {
            self.login().0.clone()
        }

        fn is_queued(&mut self) -> bool {
            matches!(*self.login().0.lock(), Custody::Queued(_))
        }

        /// Whether the client has closed the connection.
        fn is_closed(&mut self) -> bool {
            self.server.read_to_end(&mut Vec::new()).is_ok()
        }
    }

    #[test]
    fn a_login_that_no_thread_has_begun_with_is_closed_at_once() {
        let mut bench = Bench::new();
        let visit = bench.visit();
        assert!(bench.login().end().is_pending());
        bench.login = None;
        assert!(bench.is_closed());
        assert_eq!(visit.run(), 7);
    }

    #[test]
    fn a_login_under_a_call_is_closed_after_it() {
        let mut bench = Bench::new();
        let visit = bench.visit();
        let session = visit.take().unwrap();
        assert!(bench.login().end().is_pending());
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
        assert!(matches!(*bench.login().0.lock(), Custody::Away));
        let Bench { login, threads, .. } = &mut bench;
        assert_eq!(login.as_mut().unwrap().pump(1, threads), Ok(Pumped::Drained), "while it is away");
        visit.give_back(session, Ok(Poll::Pending));

        for (sends, queued) in [(&b""[..], false), (&b"SSH-2.0-x\r\n"[..], true)] {
            bench.server.write_all(sends).unwrap();
            let Bench { login, threads, .. } = &mut bench;
            assert_eq!(login.as_mut().unwrap().pump(1, threads), Ok(Pumped::Drained));
            assert_eq!(bench.is_queued(), queued);
            assert!(bench.login().end().is_pending());
        }
    }

    #[test]
    fn the_reply_ends_the_method_and_gives_the_session_back() {
        let mut bench = Bench::new();
        let visit = bench.visit();
        let session = visit.take().unwrap();
        visit.give_back(session, Ok(Poll::Ready(AuthReply::Denied)));
        let Poll::Ready((_session, Ok(reply))) = bench.login().end() else { panic!("no reply") };
        assert_eq!(reply, AuthReply::Denied);
    }

    #[test]
    fn without_a_thread_the_login_fails() {
        let mut bench = Bench::new();
        assert_eq!(bench.visit().refuse(&io::Error::other("none left")), 7);
        let Poll::Ready((_, Err(error))) = bench.login().end() else { panic!("it goes on") };
        assert_eq!(
            error,
            LinkError::new(LinkErrorKind::Limit, "cannot start a thread for GSSAPI: none left")
        );
        assert!(bench.is_closed());
    }

    #[test]
    fn a_connection_that_breaks_during_a_visit_fails_the_login() {
        let mut bench = Bench::new();
        let visit = bench.visit();
        let session = visit.take().unwrap();
        let broken = LinkError::new(LinkErrorKind::Lost, "reset");
        visit.give_back(session, Err(broken.clone()));
        let Bench { login, threads, .. } = &mut bench;
        assert_eq!(login.as_mut().unwrap().pump(1, threads), Ok(Pumped::Drained));
        let Poll::Ready((_, Err(error))) = bench.login().end() else { panic!("it goes on") };
        assert_eq!(error, broken);
        assert!(bench.is_closed());
    }
}
