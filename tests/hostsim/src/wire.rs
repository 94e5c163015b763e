//! The byte stream that russh uses instead of the plain TCP stream: counts, drips, ends and alters
//! it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::faults::{Action, Fault, Stage};
use crate::fleet::{Gauge, Host, Plan, lock};
use crate::retire::retire;
use crate::stats::{add, count};
use crate::tracker::Tracker;

/// Time between two bytes of a dripping host.
pub(crate) const DRIP: Duration = Duration::from_millis(100);

/// A TCP connection, counted while it exists.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) tcp: TcpStream,
    pub(crate) open: Gauge,
}

/// One host's end of a connection, shared by the russh session (as [`WireStream`]), the handler and
/// the programs, so that each of them can perform an action on it.
#[derive(Debug)]
pub(crate) struct Wire {
    host: Arc<Host>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once an action has taken it.
    connection: Option<Connection>,
    /// How often the session has received something: tells whether two callbacks belong to one
    /// message.
    reads: u64,
    /// Woken when an action is armed.
    reader: Option<Waker>,
    armed: Option<Action>,
    script: Option<Box<Script>>,
}

/// What happens to outgoing bytes; none for healthy hosts.
#[derive(Debug, Default)]
struct Script {
    drip: bool,
    hold: Option<Pin<Box<Sleep>>>,
    tracker: Tracker,
    /// Faults of the stages that only the stream can detect.
    marks: Vec<Fault>,
}

impl Wire {
    pub(crate) fn new(tcp: TcpStream, host: &Arc<Host>) -> Self {
        let connection = Connection { tcp, open: Gauge::new(host, |counters| &counters.connections_now) };
        let script = Script::of(&host.profile.plan).map(Box::new);
        let state = State { connection: Some(connection), reads: 0, reader: None, armed: None, script };
        Self { host: host.clone(), state: Mutex::new(state) }
    }

    pub(crate) fn reads(&self) -> u64 {
        lock(&self.state).reads
    }

    /// Sends one byte per 100 ms from now on.
    pub(crate) fn drip(&self) {
        lock(&self.state).script.get_or_insert_default().drip = true;
    }

    /// Takes the connection from the session and ends it by `action`.
    pub(crate) fn retire(&self, action: &Action) {
        lock(&self.state).retire(action, &self.host);
    }

    /// Like [`Wire::retire`], but waits until the session has written all its data: it reads only
    /// after that.
    pub(crate) fn retire_when_flushed(&self, action: &Action) {
        let mut state = lock(&self.state);
        state.armed = Some(action.clone());
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

impl State {
    fn retire(&mut self, action: &Action, host: &Host) {
        if let Some(connection) = self.connection.take() {
            count(&host.counters.retired);
            tokio::spawn(retire(connection, action.clone()));
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8], host: &Host) -> Poll<io::Result<usize>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(Err(gone()));
        };
        let tcp = Pin::new(&mut connection.tcp);
        let Some(script) = &mut self.script else {
            return tcp.poll_write(cx, buf);
        };
        ready!(script.poll_hold(cx));
        let unit = &buf[..script.unit(buf).min(buf.len())];
        let flipped = script.flip(unit);
        let bytes = flipped.as_ref().map_or(unit, |byte| byte.as_slice());
        let sent = ready!(tcp.poll_write(cx, bytes))?;
        if let Some(action) = script.advance(&unit[..sent]) {
            self.retire(&action, host);
        }
        Poll::Ready(Ok(sent))
    }
}

impl Script {
    fn of(plan: &Plan) -> Option<Self> {
        let stages = [Stage::Banner, Stage::Kex, Stage::Wire];
        let marks: Vec<Fault> = stages.iter().filter_map(|stage| plan.at(*stage)).cloned().collect();
        let drip = plan.action(Stage::Accept) == Some(&Action::Drip);
        (drip || !marks.is_empty()).then(|| Self { drip, marks, ..Self::default() })
    }

    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(hold) = &mut self.hold {
            ready!(hold.as_mut().poll(cx));
            self.hold = None;
        }
        Poll::Ready(())
    }

    /// How many bytes one write may contain, so that no fault lies within it.
    fn unit(&self, buf: &[u8]) -> usize {
        if self.drip {
            return 1;
        }
        if self.marks.is_empty() {
            return buf.len();
        }
        let wire = self.marks.iter().find(|fault| fault.stage == Stage::Wire);
        match (self.tracker.sealed(), wire) {
            (None, _) => self.tracker.unit(buf),
            (Some(sent), Some(fault)) if fault.after > sent => {
                usize::try_from(fault.after - sent).unwrap_or(buf.len())
            }
            (Some(_), Some(_)) => 1,
            (Some(_), None) => buf.len(),
        }
    }

    /// The altered byte, if the next one is to be flipped.
    fn flip(&self, unit: &[u8]) -> Option<[u8; 1]> {
        let sent = self.tracker.sealed()?;
        let mask = self.marks.iter().find_map(|fault| match fault.action {
            Action::Flip(mask) if fault.after == sent => Some(mask),
            _ => None,
        })?;
        unit.first().map(|byte| [byte ^ mask])
    }

    /// Records sent bytes; returns an action that is due now and takes the connection.
    fn advance(&mut self, sent: &[u8]) -> Option<Action> {
        if self.drip {
            self.hold = Some(Box::pin(sleep(DRIP)));
        }
        if self.marks.is_empty() {
            return None;
        }
        let before = self.tracker.sealed();
        let reached = self.tracker.advance(sent);
        let now = self.tracker.sealed();
        let due = self.marks.iter().position(|fault| match (fault.stage, &fault.action) {
            // Its byte was sent once the count exceeds it.
            (Stage::Wire, Action::Flip(_)) => before == Some(fault.after) && now > before,
            (Stage::Wire, _) => now == Some(fault.after),
            (stage, _) => reached == Some(stage),
        })?;
        match self.marks.remove(due).action {
            Action::Flip(_) => None,
            Action::Drip => {
                self.drip = true;
                None
            }
            Action::Delay(time) => {
                self.hold = Some(Box::pin(sleep(time)));
                None
            }
            action => Some(action),
        }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "an action took the connection")
}

/// The stream that russh reads and writes.
#[derive(Debug)]
pub(crate) struct WireStream(pub(crate) Arc<Wire>);

impl AsyncRead for WireStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &self.0;
        let mut state = lock(&wire.state);
        if let Some(action) = state.armed.take() {
            state.retire(&action, &wire.host);
        }
        let Some(connection) = &mut state.connection else {
            return Poll::Ready(Err(gone()));
        };
        let before = buf.filled().len();
        let Poll::Ready(result) = Pin::new(&mut connection.tcp).poll_read(cx, buf) else {
            if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
                state.reader = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        state.reads += 1;
        add(&wire.host.counters.wire_in, (buf.filled().len() - before) as u64);
        Poll::Ready(result)
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &self.0;
        let sent = ready!(lock(&wire.state).poll_write(cx, buf, &wire.host))?;
        add(&wire.host.counters.wire_out, sent as u64);
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut lock(&self.0.state).connection {
            Some(connection) => Pin::new(&mut connection.tcp).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
