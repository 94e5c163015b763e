//! Runs a command that needs time, input or a fault; the handler runs short ones itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use russh::server::Handle;
use russh::{ChannelId, Disconnect, Sig};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use crate::exec::{CHUNK, Content, Finish, Program, Step, Stream, pattern};
use crate::faults::{Action, Fault, Stage};
use crate::fleet::{EVENTS, Host, lock};
use crate::sftp::Server;
use crate::stats::count;
use crate::wire::{DRIP, Wire};

/// SSH_EXTENDED_DATA_STDERR (RFC 4254 section 5.2).
pub(crate) const STDERR: u32 = 1;

/// The session ended, by itself or by an action.
pub(crate) struct Gone;

/// Channel data for a program. Unbounded, because a session that waited here could not pass on the
/// output that would make room; the handler disconnects a client beyond a fixed backlog.
pub(crate) struct Input {
    pub(crate) queue: UnboundedReceiver<Bytes>,
    pub(crate) backlog: Arc<AtomicUsize>,
}

impl Input {
    async fn next(&mut self) -> Option<Bytes> {
        let bytes = self.queue.recv().await?;
        self.backlog.fetch_sub(bytes.len(), Ordering::Relaxed);
        Some(bytes)
    }
}

/// One running command.
pub(crate) struct Run {
    pub(crate) handle: Handle,
    pub(crate) channel: ChannelId,
    pub(crate) wire: Arc<Wire>,
    pub(crate) host: Arc<Host>,
    pub(crate) input: Input,
    /// Bytes of output passed to the session.
    pub(crate) sent: u64,
    /// The action of [`Stage::Stream`], until it was performed.
    pub(crate) fault: Option<Fault>,
}

impl Run {
    pub(crate) async fn run(mut self, mut program: Program) -> Result<(), Gone> {
        let host = self.host.clone();
        let plan = &host.profile.plan;
        self.fault = plan.at(Stage::Stream).cloned();
        // Output is counted from 0: a fault after 0 bytes comes before all of it.
        self.write(Stream::Stdout, Bytes::new()).await?;
        for step in program.steps {
            if let Some(status) = self.step(step).await? {
                program.finish = Finish::Exit(status);
            }
        }
        if program.finish == Finish::Never {
            return std::future::pending().await;
        }
        if plan.action(Stage::End) == Some(&Action::NoStatus) {
            return self.handle.eof(self.channel).await.map_err(|()| Gone);
        }
        self.action(plan.action(Stage::End)).await?;
        self.status(program.finish).await.map_err(|()| Gone)?;
        if plan.action(Stage::Close) == Some(&Action::NoClose) {
            return Ok(());
        }
        self.action(plan.action(Stage::Close)).await?;
        self.handle.eof(self.channel).await.map_err(|()| Gone)?;
        self.handle.close(self.channel).await.map_err(|()| Gone)
    }

    /// Returns the exit status of a program that has failed.
    async fn step(&mut self, step: Step) -> Result<Option<u32>, Gone> {
        match step {
            Step::Sleep(time) => sleep(time).await,
            Step::Write(stream, content) => self.content(stream, content).await?,
            Step::Drip(text) => {
                for at in 0..text.len() {
                    self.write(Stream::Stdout, text.slice(at..=at)).await?;
                    sleep(DRIP).await;
                }
            }
            Step::Cat => {
                while let Some(bytes) = self.input.next().await {
                    self.write(Stream::Stdout, bytes).await?;
                }
            }
            Step::Save(path) => {
                let created = lock(self.host.disk()).replace(&path);
                let Ok(file) = created else { return self.fail("cat: cannot create the file\n").await };
                while let Some(bytes) = self.input.next().await {
                    let written = lock(self.host.disk()).write(&file, None, &bytes);
                    if written.is_err() {
                        return self.fail("cat: write error: No space left on device\n").await;
                    }
                }
            }
            Step::Count => {
                let mut total = 0_u64;
                while let Some(bytes) = self.input.next().await {
                    total += bytes.len() as u64;
                }
                self.write(Stream::Stdout, format!("{total}\n").into()).await?;
            }
            Step::Yes => {
                let block = Bytes::from("y\n".repeat(CHUNK / 2));
                loop {
                    self.write(Stream::Stdout, block.clone()).await?;
                }
            }
            Step::Sftp => return self.sftp().await,
        }
        Ok(None)
    }

    async fn fail(&mut self, message: &'static str) -> Result<Option<u32>, Gone> {
        self.write(Stream::Stderr, Bytes::from_static(message.as_bytes())).await?;
        Ok(Some(1))
    }

    /// Answers requests until the input ends, or one of them is malformed.
    async fn sftp(&mut self) -> Result<Option<u32>, Gone> {
        let delay = self.host.profile.sftp.delay;
        let mut server = Server::new(self.host.clone());
        let (mut unread, mut answers) = (BytesMut::new(), BytesMut::new());
        while let Some(bytes) = self.input.next().await {
            unread.extend_from_slice(&bytes);
            loop {
                let packet = match server.next_packet(&mut unread) {
                    Ok(Some(packet)) => packet,
                    Ok(None) => break,
                    Err(_) => return self.violation(answers).await,
                };
                if !delay.is_zero() {
                    self.write(Stream::Stdout, answers.split().freeze()).await?;
                    sleep(delay).await;
                }
                if server.answer(&packet, &mut answers).is_err() {
                    return self.violation(answers).await;
                }
                if answers.len() >= CHUNK {
                    self.write(Stream::Stdout, answers.split().freeze()).await?;
                }
            }
            self.write(Stream::Stdout, answers.split().freeze()).await?;
        }
        Ok(None)
    }

    async fn violation(&mut self, answers: BytesMut) -> Result<Option<u32>, Gone> {
        count(&self.host.counters.sftp_violations);
        self.write(Stream::Stdout, answers.freeze()).await?;
        Ok(Some(11))
    }

    async fn content(&mut self, stream: Stream, mut content: Content) -> Result<(), Gone> {
        let mut offset = 0;
        while let Some(piece) = content.next_chunk(offset) {
            offset += piece.len() as u64;
            self.write(stream, piece).await?;
        }
        Ok(())
    }

    /// Passes `bytes` to the session; waits while the client's window and the socket are full. A
    /// fault within the piece happens at its exact byte.
    async fn write(&mut self, stream: Stream, mut bytes: Bytes) -> Result<(), Gone> {
        let end = self.sent + bytes.len() as u64;
        if let Some(fault) = self.fault.take_if(|fault| fault.after <= end) {
            let before = usize::try_from(fault.after - self.sent).unwrap_or(bytes.len());
            self.send(stream, bytes.split_to(before)).await?;
            self.action(Some(&fault.action)).await?;
        }
        self.send(stream, bytes).await
    }

    async fn send(&mut self, stream: Stream, bytes: Bytes) -> Result<(), Gone> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.sent += bytes.len() as u64;
        let sent = match stream {
            Stream::Stdout => self.handle.data(self.channel, bytes).await,
            Stream::Stderr => self.handle.extended_data(self.channel, STDERR, bytes).await,
        };
        sent.map_err(|_| Gone)
    }

    async fn status(&self, finish: Finish) -> Result<(), ()> {
        match finish {
            Finish::Exit(status) => self.handle.exit_status_request(self.channel, status).await,
            Finish::Signal(name) => {
                let (name, text) = (Sig::Custom(name), String::new());
                self.handle.exit_signal_request(self.channel, name, false, text, String::new()).await
            }
            Finish::NoStatus | Finish::Never => Ok(()),
        }
    }

    async fn action(&mut self, action: Option<&Action>) -> Result<(), Gone> {
        match action {
            None => Ok(()),
            Some(Action::Delay(time)) => {
                sleep(*time).await;
                Ok(())
            }
            Some(Action::Drip) => {
                self.wire.drip();
                Ok(())
            }
            Some(Action::Flood) => self.flood().await,
            Some(Action::Disconnect(text)) => {
                let reason = Disconnect::ByApplication;
                let _ = self.handle.disconnect(reason, text.clone(), String::new()).await;
                Err(Gone)
            }
            Some(action) => {
                self.settle().await?;
                self.wire.retire_when_flushed(action);
                Err(Gone)
            }
        }
    }

    async fn flood(&mut self) -> Result<(), Gone> {
        loop {
            let piece = pattern(self.sent, CHUNK);
            self.send(Stream::Stdout, piece).await?;
        }
    }

    /// Waits until the session has taken everything from its queue: empty messages, which send
    /// nothing, push the real ones out of it.
    async fn settle(&self) -> Result<(), Gone> {
        for _ in 0..=EVENTS {
            self.handle.data(self.channel, Bytes::new()).await.map_err(|_| Gone)?;
        }
        Ok(())
    }
}
