//! What a person or another program reads of a run.
//!
//! A run reports [`News`] to an [`Output`], which hands it to its views; no view knows another.
//! Every view is a [`Report`] that writes to the [`Screen`] or to files.
//!
//! | flag | in [`Options`] | view |
//! |---|---|---|
//! | `sshoal fold`, `dshbak` | [`fold`], [`Options::headers`] | `fold_input.rs`: lines of other programs |
//! | (none) | [`Form::Stream`] | `stream.rs`: `host: line` as lines arrive |
//! | `-L` | [`Form::Ordered`] | `ordered.rs`: the same, one host after the other |
//! | `-b`, `-B` | [`Form::Folded`] | `folded.rs`: equal output once, at the end |
//! | `-bL` | [`Form::Live`] | `live.rs`: equal lines once, as soon as no host can add to them |
//! | `--json` | [`Form::Json`] | `json.rs`: JSON Lines, one object for each [`News`] |
//! | `-N` | [`Options::label`] false | no labels in front of lines, no headers |
//! | `--diff`, `--sort` | [`Options::diff`], [`Options::sort`] | `folded.rs`, `ordered.rs` |
//! | `--outdir`, `--errdir` | [`Options::outdir`], [`Options::errdir`] | `files.rs`: one file for each host |
//! | `--joblog` | [`Options::joblog`] | `joblog.rs`: a line for each host, as GNU parallel's |
//! | (on a terminal) | [`Options::progress`] | `progress.rs`: one line |
//! | `put`, `get`, `sync` | [`Options::way`] | `copied.rs`: what was copied, as a line of output; `flow.rs`: bytes and rates |
//! | `-q` | [`Options::quiet`] | `summary.rs`: failures only, no counts |
//! | `--raw`, `--color` | [`Screen::raw`], [`Screen::of_process`] | |
//!
//! What makes these cheap is in `store/`: it keeps equal output of many hosts once.

mod arrivals;
mod copied;
mod diff;
mod differing;
mod escape;
mod files;
mod flow;
mod fold_input;
mod folded;
mod gather;
mod hosts;
mod joblog;
mod json;
mod lines;
mod live;
mod ordered;
mod progress;
mod screen;
mod store;
mod stream;
mod summary;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use sshoal::fleet::Timings;
use sshoal::transfer::Transferred;
use sshoal::{Stage, StdStream};

use self::files::Files;
use self::folded::Folded;
use self::joblog::JobLog;
use self::json::Json;
use self::live::Live;
use self::ordered::Ordered;
use self::progress::Progress;
use self::stream::Stream;
use self::summary::Summary;
use crate::end::End;

pub use copied::{Way, add};
pub use fold_input::fold;
pub use hosts::{Fold, HostIndex, Hosts};
pub use screen::Screen;
#[cfg(test)]
pub use screen::Sink;

/// Something that happened in a run. For each host, [`Ended`](Self::Ended) comes once and last.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// An attempt to connect has entered this stage.
    Entered { host: HostIndex, stage: Stage },
    /// The user is logged in.
    Connected { host: HostIndex, timings: Timings },
    /// A host has accepted the command.
    Started { host: HostIndex },
    /// Output as it arrived: it may begin and end anywhere in a line.
    Output { host: HostIndex, stream: StdStream, bytes: &'a [u8] },
    /// What the copies of a host have done so far.
    Progress { host: HostIndex, done: &'a Transferred },
    /// The command has ended on this host, or failed before it ran.
    Ended { host: HostIndex, end: &'a End, timings: Timings },
    /// All hosts of a batch have ended; so many hosts of the run have not.
    BatchDone { batch: usize, left: usize },
    /// All hosts have ended, or the run was stopped.
    Finished,
}

/// One form of output. `at` is the time since the run began.
///
/// An error of the screen or of a file ends the view. Its text says what failed and what to do; its
/// kind is `BrokenPipe` if the reader of standard output is gone.
pub trait Report {
    fn report(&mut self, news: News<'_>, at: Duration, screen: &mut Screen<'_>) -> io::Result<()>;

    /// The hosts that have printed something else than most; `None` if this view compares no
    /// output. To be called when the run is over.
    fn differing(&self) -> Option<Vec<HostIndex>> {
        None
    }
}

/// The main form of output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Stream,
    Ordered,
    Folded {
        /// Whether standard error is folded too, or streamed as it arrives.
        stderr: bool,
    },
    Live,
    Json,
}

/// The order of hosts with [`Form::Ordered`], and of groups with [`Form::Folded`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// In the order of the targets.
    Host,
    /// By output.
    Output,
    /// Hosts that ended first come first.
    Time,
}

/// The headers of groups with [`Form::Folded`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Headers {
    /// With the number of hosts, and how they ended if they failed.
    #[default]
    Clush,
    /// As `dshbak -c`.
    Dshbak,
    /// As `dshbak`: each host is shown by itself.
    DshbakEach,
}

/// What the flags of the command line mean for the output.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub form: Form,
    pub headers: Headers,
    /// Whether lines and groups say which hosts they are from.
    pub label: bool,
    /// `None`: hosts in the order of the targets, the largest group first.
    pub sort: Option<Sort>,
    /// Whether groups are shown as differences to the largest one.
    pub diff: bool,
    pub outdir: Option<PathBuf>,
    pub errdir: Option<PathBuf>,
    pub joblog: Option<PathBuf>,
    /// Whether the progress line is shown, if standard error is a terminal.
    pub progress: bool,
    /// Whether the summary has failures only.
    pub quiet: bool,
    /// Which way files go, if the run copies files.
    pub way: Option<Way>,
    /// Whether only the progress line is shown.
    pub only_progress: bool,
    /// The command, for the job log and for JSON.
    pub command: String,
    /// How to run the command again on the hosts that failed, for the summary.
    pub rerun: Option<String>,
}

/// Everything that is written about a run.
///
/// ```text
/// let screen = Screen::of_process(color).raw(raw);
/// let hosts = Hosts::new(labels, &fold);
/// let mut output = Output::new(&options, &hosts, screen, SystemTime::now())?;
/// loop {
///     // a turn of the fleet
///     output.report(News::Started { host }, at)?; // one for each event
///     output.turn(at)?;
/// }
/// output.report(News::Finished, at)?;
/// ```
pub struct Output<'a> {
    hosts: &'a Hosts<'a>,
    screen: Screen<'a>,
    views: Vec<Box<dyn Report + 'a>>,
    progress: Progress<'a>,
    /// Whether the progress line is drawn.
    shows_progress: bool,
    /// Which way files go, if what was copied is shown as the output of each host.
    says: Option<Way>,
}

impl<'a> Output<'a> {
    /// `began` is when the run begins, by the wall clock. Folders are created here.
    pub fn new(
        options: &Options,
        hosts: &'a Hosts<'a>,
        screen: Screen<'a>,
        began: SystemTime,
    ) -> io::Result<Self> {
        let form: Box<dyn Report + 'a> = match options.form {
            Form::Folded { stderr } => Box::new(Folded::new(hosts, options, stderr)),
            Form::Stream => Box::new(Stream::new(hosts, options.label)),
            Form::Ordered => Box::new(Ordered::new(hosts, options)),
            Form::Live => Box::new(Live::new(hosts, options)),
            Form::Json => Box::new(Json::new(hosts, options, began)),
        };
        let mut views = vec![form];
        for (folder, stream) in [(&options.outdir, StdStream::Stdout), (&options.errdir, StdStream::Stderr)] {
            if let Some(folder) = folder {
                views.push(Box::new(Files::new(folder, stream, hosts)?));
            }
        }
        if let (Some(out), Some(err)) = (&options.outdir, &options.errdir)
            && out.canonicalize()? == err.canonicalize()?
        {
            let text =
                "--outdir and --errdir are the same folder, where one file would replace another: give two";
            return Err(io::Error::other(text));
        }
        if let Some(path) = &options.joblog {
            views.push(Box::new(JobLog::create(path, hosts, options, began)?));
        }
        // The summary is last on the screen.
        views.push(Box::new(Summary::new(hosts, options)));
        let shows_progress = options.progress && screen.is_terminal(StdStream::Stderr);
        if options.only_progress {
            views.clear();
        }
        // What another program reads has it in numbers.
        let says = options.way.filter(|_| options.form != Form::Json && !options.quiet);
        let progress = Progress::new(hosts, options.way.is_some());
        Ok(Self { hosts, screen, views, progress, shows_progress, says })
    }

    /// Hands news to all views. A view that fails writes what it has and gets no more news; the
    /// first error is returned.
    pub fn report(&mut self, news: News<'_>, at: Duration) -> io::Result<()> {
        self.progress.report(news, at);
        let mut failed = self.say(news, at);
        self.views.retain_mut(|view| {
            let reported = view.report(news, at, &mut self.screen);
            let is_whole = reported.is_ok();
            if !is_whole && !matches!(news, News::Finished) {
                // What made it fail is reported; that it fails again is no news.
                _ = view.report(News::Finished, at, &mut self.screen);
            }
            if failed.is_ok() {
                failed = reported;
            }
            is_whole
        });
        if let News::Finished = news {
            self.shows_progress = false;
            self.screen.end_progress()?;
            self.screen.flush()?;
        }
        failed
    }

    /// The hosts that have printed something else than most, if output was compared.
    pub fn differing(&self) -> Option<Vec<HostIndex>> {
        self.views.iter().find_map(|view| view.differing())
    }

    /// Shows what was copied to a host, or from it, in the main form of output.
    fn say(&mut self, news: News<'_>, at: Duration) -> io::Result<()> {
        let (Some(way), News::Ended { host, end: End::Copied(done), .. }) = (self.says, news) else {
            return Ok(());
        };
        let Some(form) = self.views.first_mut() else { return Ok(()) };
        let line = format!("{}\n", copied::text(done, way));
        form.report(
            News::Output { host, stream: StdStream::Stdout, bytes: line.as_bytes() },
            at,
            &mut self.screen,
        )
    }

    /// Writes what was reported. To be called when there is no news left for now, and at least ten
    /// times per second while the progress line is shown.
    pub fn turn(&mut self, at: Duration) -> io::Result<()> {
        self.screen.flush()?;
        if self.shows_progress { self.progress.draw(at, &mut self.screen) } else { Ok(()) }
    }

    /// A text for the user on standard error, of one or more lines.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            self.screen.text(StdStream::Stderr, &format!("sshoal: {line}\n"))?;
        }
        self.screen.flush()
    }

    /// How far the run is, and which hosts have not ended, for a user who asks.
    pub fn status(&mut self, at: Duration) -> io::Result<()> {
        let line = self.progress.line(at, usize::MAX);
        let unfinished = self.progress.unfinished();
        let hosts = if unfinished.is_empty() { "none".to_owned() } else { self.hosts.counted(&unfinished) };
        self.note(&format!("{line}\nnot ended: {hosts}"))
    }
}

#[cfg(test)]
mod tests;
