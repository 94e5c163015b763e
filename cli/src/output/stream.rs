//! `host: line`, as lines arrive.

use std::io;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use sshoal::StdStream;
use unicode_width::UnicodeWidthStr;

use super::lines::{Lines, Piece};
use super::{HostIndex, Hosts, News, Report, Screen};

/// Labels are aligned on a terminal if none is wider than this.
const LABEL_COLUMNS_MAX: usize = 30;

const LABEL: Style = AnsiColor::Blue.on_default();
const ERROR: Style = AnsiColor::Red.on_default();

/// The default form: lines with the label of their host.
pub struct Stream<'a> {
    prefix: Prefix<'a>,
    lines: Lines,
}

impl<'a> Stream<'a> {
    pub fn new(hosts: &'a Hosts<'a>, label: bool) -> Self {
        Self { prefix: Prefix::new(hosts, label), lines: Lines::new() }
    }
}

impl Stream<'_> {
    /// Writes the lines that end in these bytes.
    pub fn output(
        &mut self,
        host: HostIndex,
        stream: StdStream,
        bytes: &[u8],
        screen: &mut Screen<'_>,
    ) -> io::Result<()> {
        let Self { prefix, lines } = self;
        lines.push(host, stream, bytes, &mut |piece| prefix.write(screen, host, stream, piece))
    }

    /// Writes the last lines of a host that have no line end.
    pub fn finish(&mut self, host: HostIndex, screen: &mut Screen<'_>) -> io::Result<()> {
        let Self { prefix, lines } = self;
        [StdStream::Stdout, StdStream::Stderr].into_iter().try_for_each(|stream| {
            lines.finish(host, stream, &mut |piece| prefix.write(screen, host, stream, piece))
        })
    }
}

impl Report for Stream<'_> {
    fn report(&mut self, news: News<'_>, _: Duration, screen: &mut Screen<'_>) -> io::Result<()> {
        match news {
            News::Output { host, stream, bytes } => self.output(host, stream, bytes, screen),
            News::Ended { host, .. } => self.finish(host, screen),
            News::Finished => self.lines.hosts().into_iter().try_for_each(|host| self.finish(host, screen)),
            _ => Ok(()),
        }
    }
}

/// How a line says which host it is from.
pub struct Prefix<'a> {
    hosts: &'a Hosts<'a>,
    shown: bool,
    /// The columns of labels on a terminal.
    columns: usize,
}

impl<'a> Prefix<'a> {
    pub fn new(hosts: &'a Hosts<'a>, shown: bool) -> Self {
        let columns = Some(hosts.width()).filter(|width| *width <= LABEL_COLUMNS_MAX).unwrap_or_default();
        Self { hosts, shown, columns }
    }

    /// Writes a line of a host.
    pub fn write(
        &self,
        screen: &mut Screen<'_>,
        host: HostIndex,
        stream: StdStream,
        piece: Piece<'_>,
    ) -> io::Result<()> {
        if piece.is_mere_end() {
            return Ok(());
        }
        let (label, text) = styles(stream);
        if self.shown {
            write_label(screen, stream, label, self.hosts.label(host), self.columns)?;
        }
        screen.host_line(stream, text, piece.bytes)
    }
}

/// The styles of labels and of lines.
pub fn styles(stream: StdStream) -> (Style, Style) {
    match stream {
        StdStream::Stdout => (LABEL, Style::new()),
        StdStream::Stderr => (ERROR, ERROR),
    }
}

/// Writes `label: `. On a terminal, lines are aligned; programs get nothing but one blank.
pub fn write_label(
    screen: &mut Screen<'_>,
    stream: StdStream,
    style: Style,
    label: &str,
    columns: usize,
) -> io::Result<()> {
    screen.styled(stream, style, label)?;
    screen.text(stream, ": ")?;
    if screen.is_terminal(stream) {
        let missing = columns.saturating_sub(label.width());
        screen.text(stream, &" ".repeat(missing))?;
    }
    Ok(())
}
