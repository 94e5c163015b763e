//! The open session channels of one connection and their programs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use russh::server::Session;
use russh::{ChannelId, Disconnect, Error, Sig};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use crate::exec::{Finish, Program, Step, Stream};
use crate::fleet::{Gauge, Host};
use crate::run::{Input, Run, STDERR};
use crate::wire::Wire;

/// Input queued for a program; a client that sends more without reading the output is disconnected.
const BACKLOG_MAX: usize = 64 << 20;

#[derive(Default)]
pub(crate) struct Slots(Vec<Slot>);

struct Slot {
    channel: ChannelId,
    /// Counts the channel until a program takes over.
    open: Option<Gauge>,
    program: Option<AbortHandle>,
    input: Option<UnboundedSender<Bytes>>,
    backlog: Arc<AtomicUsize>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(program) = &self.program {
            program.abort();
        }
    }
}

impl Slots {
    pub(crate) fn open(&mut self, channel: ChannelId, host: &Arc<Host>) {
        // russh does not report the end of channels that the server closed: remove them here.
        self.0.retain(|slot| !slot.program.as_ref().is_some_and(AbortHandle::is_finished));
        let open = Some(Gauge::new(host, |counters| &counters.channels_now));
        self.0.push(Slot { channel, open, program: None, input: None, backlog: Arc::default() });
    }

    /// Ends the program of `channel`, if there is one.
    pub(crate) fn close(&mut self, channel: ChannelId) {
        self.0.retain(|slot| slot.channel != channel);
    }

    pub(crate) fn end_input(&mut self, channel: ChannelId) {
        if let Some(slot) = self.slot(channel) {
            slot.input = None;
        }
    }

    /// Passes input to the program that reads it; drops it if none does.
    pub(crate) fn feed(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        let Some(slot) = self.slot(channel) else {
            return Ok(());
        };
        let Some(input) = &slot.input else {
            return Ok(());
        };
        let backlog = slot.backlog.fetch_add(data.len(), Ordering::Relaxed) + data.len();
        if backlog > BACKLOG_MAX {
            return session.disconnect(Disconnect::ByApplication, "too much unread input", "");
        }
        // A program that has ended does not read.
        let _ = input.send(Bytes::copy_from_slice(data));
        Ok(())
    }

    /// Runs `program` in a separate task.
    pub(crate) fn start(
        &mut self,
        channel: ChannelId,
        program: Program,
        host: Arc<Host>,
        wire: Arc<Wire>,
        session: &Session,
    ) {
        let Some(slot) = self.slot(channel) else {
            return;
        };
        let (sender, queue) = unbounded_channel();
        slot.input = program.reads_input().then_some(sender);
        let input = Input { queue, backlog: slot.backlog.clone() };
        let open = slot.open.take();
        let run = Run { handle: session.handle(), channel, wire, host, input, sent: 0, fault: None };
        let task = tokio::spawn(async move {
            // In either case the program has ended, and the client was informed or is gone.
            let _ = run.run(program).await;
            drop(open);
        });
        slot.program = Some(task.abort_handle());
    }

    /// Runs a program that needs neither time nor input, without a task.
    pub(crate) fn play(
        &mut self,
        channel: ChannelId,
        program: Program,
        session: &mut Session,
    ) -> Result<(), Error> {
        self.close(channel);
        for step in program.steps {
            let Step::Write(stream, mut content) = step else {
                continue;
            };
            let mut offset = 0;
            while let Some(piece) = content.next_chunk(offset) {
                offset += piece.len() as u64;
                match stream {
                    Stream::Stdout => session.data(channel, piece)?,
                    Stream::Stderr => session.extended_data(channel, STDERR, piece)?,
                }
            }
        }
        match program.finish {
            Finish::Exit(status) => session.exit_status_request(channel, status)?,
            Finish::Signal(name) => session.exit_signal_request(channel, Sig::Custom(name), false, "", "")?,
            Finish::NoStatus | Finish::Never => (),
        }
        session.eof(channel)?;
        session.close(channel)
    }

    fn slot(&mut self, channel: ChannelId) -> Option<&mut Slot> {
        self.0.iter_mut().find(|slot| slot.channel == channel)
    }
}
