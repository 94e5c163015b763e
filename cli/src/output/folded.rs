//! Equal output once, at the end: `-b` and `-B`.

use std::io;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use sshoal::StdStream;

use super::diff;
use super::gather::{Gathered, Group};
use super::stream::{self, Stream};
use super::{Headers, HostIndex, Hosts, News, Options, Report, Screen};
use crate::end::End;

const FAILED: Style = AnsiColor::Red.on_default();

/// Groups of hosts with the same output and the same end.
pub struct Folded<'a> {
    hosts: &'a Hosts<'a>,
    gathered: Gathered,
    /// Standard error as it arrives, if it is not folded.
    stderr: Option<Stream<'a>>,
    options: Options,
}

impl<'a> Folded<'a> {
    pub fn new(hosts: &'a Hosts<'a>, options: &Options, stderr: bool) -> Self {
        let streamed = (!stderr).then(|| Stream::new(hosts, options.label));
        Self { stderr: streamed, ..Self::of(hosts, options, Gathered::new()) }
    }

    /// Of output that was gathered before.
    pub fn of(hosts: &'a Hosts<'a>, options: &Options, gathered: Gathered) -> Self {
        Self { hosts, gathered, stderr: None, options: options.clone() }
    }

    fn write(&self, stream: StdStream, screen: &mut Screen<'_>) -> io::Result<()> {
        let groups =
            self.gathered.groups(stream, self.options.sort, self.options.headers != Headers::DshbakEach)?;
        let printed: Vec<&Group> = groups.iter().filter(|group| !group.at.is_empty()).collect();
        if self.options.diff && printed.len() > 1 {
            return diff::write(self.hosts, &self.gathered, &printed, stream, screen);
        }
        for group in printed {
            if self.options.label {
                self.write_header(group, stream, screen)?;
            }
            let (_, text) = stream::styles(stream);
            self.gathered.lines(group.at, &mut |piece| match piece.is_mere_end() {
                true => Ok(()),
                false => screen.host_line(stream, text, piece.bytes),
            })?;
        }
        Ok(())
    }

    fn write_header(&self, group: &Group, stream: StdStream, screen: &mut Screen<'_>) -> io::Result<()> {
        let (label, _) = stream::styles(stream);
        // Those programs have different rules, and only one has counts.
        let (rule, header) = match self.options.headers {
            Headers::Clush => ("-".repeat(15), header(self.hosts, &self.gathered, group)),
            _ => ("-".repeat(16), self.hosts.set(&group.hosts)),
        };
        let is_success = self.gathered.end_of(group).is_some_and(End::is_success);
        let style = if is_success { label } else { FAILED };
        screen.styled(stream, style, &format!("{rule}\n{header}\n{rule}\n"))
    }
}

/// The hosts of a group, and how they ended unless that was as hoped.
pub fn header(hosts: &Hosts<'_>, gathered: &Gathered, group: &Group) -> String {
    let set = hosts.counted(&group.hosts);
    match gathered.end_of(group) {
        Some(end) if end.is_success() => set,
        Some(end) => format!("{set}: {end}"),
        None => format!("{set}: has not ended"),
    }
}

impl Report for Folded<'_> {
    fn report(&mut self, news: News<'_>, at: Duration, screen: &mut Screen<'_>) -> io::Result<()> {
        match (news, &mut self.stderr) {
            (News::Output { stream: StdStream::Stderr, .. }, Some(streamed)) => {
                streamed.report(news, at, screen)
            }
            (News::Output { host, stream, bytes }, _) => self.gathered.output(host, stream, bytes),
            (News::Ended { host, end, .. }, streamed) => {
                if let Some(streamed) = streamed {
                    streamed.report(news, at, screen)?;
                }
                self.gathered.end(host, end)
            }
            (News::Finished, _) => {
                self.write(StdStream::Stdout, screen)?;
                self.write(StdStream::Stderr, screen)
            }
            _ => Ok(()),
        }
    }

    fn differing(&self) -> Option<Vec<HostIndex>> {
        Some(self.gathered.differing(self.stderr.is_none()))
    }
}
