//! `host: line`, one host after the other: `-L`.

use std::io::{self, Read};
use std::time::Duration;

use sshoal::StdStream;

use super::arrivals::Arrivals;
use super::gather::Gathered;
use super::stream::Stream;
use super::{HostIndex, Hosts, News, Options, Report, Screen, Sort};

/// So many bytes are read at a time.
const PIECE: usize = 64 * 1024;

/// Lines in the order of hosts, and those of a host in the order in which they arrived. In the
/// order of the targets, the lines of the first host that has not ended are written as they arrive; all
/// else is kept until it is that host's turn.
pub struct Ordered<'a> {
    stream: Stream<'a>,
    kept: Gathered,
    /// The order of what is kept.
    arrivals: Arrivals,
    ended: Vec<bool>,
    /// The host whose turn it is, in the order of the targets.
    head: HostIndex,
    /// Whether what is kept of that host has not been written.
    is_head_kept: bool,
    sort: Sort,
}

impl<'a> Ordered<'a> {
    pub fn new(hosts: &'a Hosts<'a>, options: &Options) -> Self {
        Self { is_head_kept: false, ..Self::of(hosts, options, Gathered::new()) }
    }

    /// Of output that was gathered before.
    pub fn of(hosts: &'a Hosts<'a>, options: &Options, kept: Gathered) -> Self {
        Self {
            stream: Stream::new(hosts, options.label),
            kept,
            arrivals: Arrivals::new(),
            ended: vec![false; hosts.len()],
            head: 0,
            is_head_kept: true,
            sort: options.sort.unwrap_or(Sort::Host),
        }
    }

    fn is_head(&self, host: HostIndex) -> bool {
        self.sort == Sort::Host && host == self.head
    }

    fn end(&mut self, host: HostIndex, screen: &mut Screen<'_>) -> io::Result<()> {
        let Some(ended) = self.ended.get_mut(host) else { return Ok(()) };
        *ended = true;
        match self.sort {
            Sort::Output => Ok(()),
            Sort::Time => self.write(host, screen),
            Sort::Host => {
                while self.ended.get(self.head) == Some(&true) {
                    self.stream.finish(self.head, screen)?;
                    self.head += 1;
                    self.write_kept(self.head, screen)?;
                }
                Ok(())
            }
        }
    }

    /// Writes all of a host.
    fn write(&mut self, host: HostIndex, screen: &mut Screen<'_>) -> io::Result<()> {
        self.write_kept(host, screen)?;
        self.stream.finish(host, screen)
    }

    /// Writes what is kept of a host; more may follow.
    fn write_kept(&mut self, host: HostIndex, screen: &mut Screen<'_>) -> io::Result<()> {
        let Self { kept, arrivals, stream: written, .. } = self;
        let [mut out, mut err] =
            [StdStream::Stdout, StdStream::Stderr].map(|stream| kept.content(host, stream));
        let mut bytes = vec![0; PIECE];
        let mut write = |stream, len: u64| {
            let content = match stream {
                StdStream::Stdout => &mut out,
                StdStream::Stderr => &mut err,
            };
            let mut run = content.take(len);
            loop {
                match run.read(&mut bytes)? {
                    0 => return Ok(()),
                    read => written.output(host, stream, &bytes[..read], screen)?,
                }
            }
        };
        arrivals.runs(host, &mut write)?;
        // Nothing is known of the order of what was gathered before.
        write(StdStream::Stdout, u64::MAX)?;
        write(StdStream::Stderr, u64::MAX)
    }

    /// Writes what is left when the run is over.
    fn rest(&mut self, screen: &mut Screen<'_>) -> io::Result<()> {
        let count = self.ended.len();
        match self.sort {
            Sort::Host => {
                if self.is_head_kept {
                    self.write_kept(self.head, screen)?;
                }
                self.stream.finish(self.head, screen)?;
                (self.head + 1..count).try_for_each(|host| self.write(host, screen))
            }
            Sort::Time => {
                let not_ended: Vec<HostIndex> = (0..count).filter(|host| !self.ended[*host]).collect();
                not_ended.into_iter().try_for_each(|host| self.write(host, screen))
            }
            Sort::Output => {
                let hosts = self.kept.sorted(count, StdStream::Stdout)?;
                hosts.into_iter().try_for_each(|host| self.write(host, screen))
            }
        }
    }
}

impl Report for Ordered<'_> {
    fn report(&mut self, news: News<'_>, _: Duration, screen: &mut Screen<'_>) -> io::Result<()> {
        match news {
            News::Output { host, stream, bytes } if self.is_head(host) => {
                self.stream.output(host, stream, bytes, screen)
            }
            News::Output { host, stream, bytes } => {
                self.arrivals.note(host, stream, bytes.len())?;
                self.kept.output(host, stream, bytes)
            }
            News::Ended { host, .. } => self.end(host, screen),
            News::Finished => self.rest(screen),
            _ => Ok(()),
        }
    }
}
