//! JSON Lines: one object for each thing that happens, as `json-lines.schema.json` describes them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::ser::Formatter;
use sshoal::fleet::Timings;
use sshoal::output::sanitise;
use sshoal::transfer::Transferred;
use sshoal::{Stage, StdStream};

use super::lines::{Lines, Piece};
use super::{HostIndex, Hosts, News, Options, Report, Screen};
use crate::end::End;

/// The version of the form. A reader ignores keys and types that it does not know; only what would
/// break such a reader raises the version.
const VERSION: u32 = 1;

/// The progress of a host is told once in this time.
const PROGRESS: Duration = Duration::from_secs(1);

/// What happens, as JSON Lines.
pub struct Json<'a> {
    hosts: &'a Hosts<'a>,
    lines: Lines,
    began: SystemTime,
    command: String,
    is_begun: bool,
    kinds: BTreeMap<&'static str, usize>,
    /// When the progress of each host was told.
    told: HashMap<HostIndex, Duration>,
}

#[derive(Serialize)]
struct Record<'a> {
    v: u32,
    #[serde(flatten)]
    event: Event<'a>,
    /// Seconds since 1970.
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "t", rename_all = "lowercase")]
enum Event<'a> {
    Start {
        hosts: usize,
        command: &'a str,
    },
    Connected {
        timings_us: BTreeMap<String, u64>,
    },
    Started,
    Line {
        stream: &'static str,
        #[serde(flatten)]
        bytes: Bytes<'a>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    },
    Progress(Copied),
    End {
        outcome: Outcome<'a>,
        timings_us: BTreeMap<String, u64>,
    },
    Batch {
        batch: usize,
        left: usize,
    },
    Summary {
        hosts: usize,
        ok: usize,
        failed: usize,
        seconds: f64,
        kinds: &'a BTreeMap<&'static str, usize>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Bytes<'a> {
    Text(&'a str),
    B64(String),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome<'a> {
    Exit(u32),
    Copied(Copied),
    Signal(&'a str),
    NoStatus(bool),
    Failed {
        stage: String,
        kind: &'static str,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        advice: Option<&'a str>,
    },
}

/// What copies have done.
#[derive(Serialize)]
struct Copied {
    files: u64,
    directories: u64,
    links: u64,
    skipped: u64,
    deleted: u64,
    bytes: u64,
    total: u64,
    verified: u64,
}

impl From<&Transferred> for Copied {
    fn from(done: &Transferred) -> Self {
        Self {
            files: done.files,
            directories: done.directories,
            links: done.links,
            skipped: done.skipped,
            deleted: done.deleted,
            bytes: done.bytes,
            total: done.total,
            verified: done.verified,
        }
    }
}

impl<'a> Json<'a> {
    pub fn new(hosts: &'a Hosts<'a>, options: &Options, began: SystemTime) -> Self {
        let (lines, command) = (Lines::new(), options.command.clone());
        let told = HashMap::new();
        Self { hosts, lines, began, command, is_begun: false, kinds: BTreeMap::new(), told }
    }

    fn write(
        &self,
        screen: &mut Screen<'_>,
        at: Duration,
        host: Option<HostIndex>,
        event: Event<'_>,
    ) -> io::Result<()> {
        write(screen, self.hosts, self.began + at, host, event)
    }

    fn summary(&self, screen: &mut Screen<'_>, at: Duration) -> io::Result<()> {
        let ok = self.kinds.get("succeeded").copied().unwrap_or_default();
        let failed = self.kinds.values().sum::<usize>() - ok;
        let (hosts, seconds, kinds) = (self.hosts.len(), at.as_secs_f64(), &self.kinds);
        self.write(screen, at, None, Event::Summary { hosts, ok, failed, seconds, kinds })
    }
}

fn write(
    screen: &mut Screen<'_>,
    hosts: &Hosts<'_>,
    time: SystemTime,
    host: Option<HostIndex>,
    event: Event<'_>,
) -> io::Result<()> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ts = since.as_micros() as f64 / 1e6;
    let host = host.map(|host| hosts.label(host));
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, Printable);
    Record { v: VERSION, event, ts, host }.serialize(&mut serializer)?;
    line.push(b'\n');
    screen.bytes(StdStream::Stdout, &line)
}

/// JSON that is safe for a terminal: beside what JSON requires, everything is escaped that
/// [`sanitise`] escapes.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if let Cow::Borrowed(_) = sanitise(fragment) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            let mut bytes = [0; 4];
            let text = character.encode_utf8(&mut bytes);
            match sanitise(text) {
                Cow::Borrowed(text) => writer.write_all(text.as_bytes())?,
                Cow::Owned(_) => {
                    let mut units = [0; 2];
                    for unit in character.encode_utf16(&mut units) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn timings_us(timings: Timings) -> BTreeMap<String, u64> {
    const STAGES: [Stage; 10] = [
        Stage::Queued,
        Stage::Resolving,
        Stage::Connecting,
        Stage::Handshaking,
        Stage::Authenticating,
        Stage::Opening,
        Stage::Preparing,
        Stage::Requesting,
        Stage::Running,
        Stage::Closing,
    ];
    let times = STAGES.map(|stage| (stage_name(stage), timings.of(stage).as_micros() as u64));
    times.into_iter().filter(|(_, micros)| *micros > 0).collect()
}

fn stage_name(stage: Stage) -> String {
    format!("{stage:?}").to_lowercase()
}

fn outcome(end: &End) -> Outcome<'_> {
    match end {
        End::Exited(status) => Outcome::Exit(*status),
        End::Signaled { name, .. } => Outcome::Signal(name),
        End::NoStatus => Outcome::NoStatus(true),
        End::Copied(done) => Outcome::Copied(done.into()),
        End::Failed(failure) => Outcome::Failed {
            stage: stage_name(failure.stage),
            kind: failure.label.as_str(),
            text: &failure.text,
            advice: failure.advice.as_deref(),
        },
    }
}

fn line<'p>(stream: StdStream, piece: Piece<'p>) -> Event<'p> {
    let stream = match stream {
        StdStream::Stdout => "stdout",
        StdStream::Stderr => "stderr",
    };
    let bytes = match str::from_utf8(piece.bytes) {
        Ok(text) => Bytes::Text(text),
        Err(_) => Bytes::B64(BASE64_STANDARD.encode(piece.bytes)),
    };
    Event::Line { stream, bytes, partial: !piece.ends }
}

impl Report for Json<'_> {
    fn report(&mut self, news: News<'_>, at: Duration, screen: &mut Screen<'_>) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_begun, true) {
            let (hosts, command) = (self.hosts.len(), &*self.command);
            self.write(screen, Duration::ZERO, None, Event::Start { hosts, command })?;
        }
        let (hosts, time) = (self.hosts, self.began + at);
        match news {
            News::Connected { host, timings } => {
                self.write(screen, at, Some(host), Event::Connected { timings_us: timings_us(timings) })
            }
            News::Started { host } => self.write(screen, at, Some(host), Event::Started),
            News::Output { host, stream, bytes } => self.lines.push(host, stream, bytes, &mut |piece| {
                write(screen, hosts, time, Some(host), line(stream, piece))
            }),
            News::Progress { host, done } => match self.told.get(&host) {
                Some(told) if at < *told + PROGRESS => Ok(()),
                _ => {
                    self.told.insert(host, at);
                    self.write(screen, at, Some(host), Event::Progress(done.into()))
                }
            },
            News::Ended { host, end, timings } => {
                self.told.remove(&host);
                for stream in [StdStream::Stdout, StdStream::Stderr] {
                    self.lines.finish(host, stream, &mut |piece| {
                        write(screen, hosts, time, Some(host), line(stream, piece))
                    })?;
                }
                *self.kinds.entry(end.label().as_str()).or_default() += 1;
                let event = Event::End { outcome: outcome(end), timings_us: timings_us(timings) };
                self.write(screen, at, Some(host), event)
            }
            News::BatchDone { batch, left } => self.write(screen, at, None, Event::Batch { batch, left }),
            News::Finished => self.summary(screen, at),
            News::Entered { .. } => Ok(()),
        }
    }
}
