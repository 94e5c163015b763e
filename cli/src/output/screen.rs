//! The two streams of the process, and the progress line that must not tear what is written there.

use std::env;
use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use sshoal::StdStream;

use super::escape;

/// So much is collected before it is written, or until [`Screen::flush`].
const BUFFER: usize = 64 * 1024;

/// Erases the line that the cursor is on.
const ERASE: &[u8] = b"\r\x1b[K";

/// One stream to write to, and what it takes.
pub struct Sink<'a> {
    pub writer: Box<dyn Write + 'a>,
    /// Whether colours are written.
    pub colour: bool,
    /// Whether a person looks at it: escapes are needed, and columns are aligned.
    pub terminal: bool,
}

/// Standard output and standard error.
pub struct Screen<'a> {
    out: Buffered<'a>,
    err: Buffered<'a>,
    width: Box<dyn Fn() -> Option<usize> + 'a>,
    /// Whether bytes of hosts are written as they are, even to a terminal.
    raw: bool,
    /// The progress line.
    progress: String,
    /// Whether it is on the terminal, and the cursor behind it.
    shows_progress: bool,
}

struct Buffered<'a> {
    sink: Sink<'a>,
    bytes: Vec<u8>,
}

impl<'a> Screen<'a> {
    /// The width is that of standard error's terminal, in columns, and is asked for before each
    /// use.
    pub fn new(out: Sink<'a>, err: Sink<'a>, width: impl Fn() -> Option<usize> + 'a) -> Self {
        let buffered = |sink| Buffered { sink, bytes: Vec::new() };
        Self {
            out: buffered(out),
            err: buffered(err),
            width: Box::new(width),
            raw: false,
            progress: String::new(),
            shows_progress: false,
        }
    }

    /// The streams of this process. With [`ColorChoice::Auto`], colours are written to terminals,
    /// unless the environment says otherwise: `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE`, `TERM`.
    pub fn of_process(colour: ColorChoice) -> Screen<'static> {
        let (out, err) = (io::stdout(), io::stderr());
        let takes_colour = |auto: ColorChoice| match colour {
            ColorChoice::Auto => auto != ColorChoice::Never,
            other => other != ColorChoice::Never,
        };
        let out = Sink {
            colour: takes_colour(AutoStream::choice(&out)),
            terminal: out.is_terminal(),
            writer: Box::new(out),
        };
        let err = Sink {
            colour: takes_colour(AutoStream::choice(&err)),
            terminal: err.is_terminal(),
            writer: Box::new(err),
        };
        Screen::new(out, err, || {
            if env::var_os("TERM").is_some_and(|term| term == "dumb") {
                return None;
            }
            terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0))
        })
    }

    /// Writes the bytes of hosts as they are.
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// The width of the terminal, if there is one on which a line can be erased.
    pub fn width(&self) -> Option<usize> {
        (self.width)()
    }

    pub fn is_terminal(&self, stream: StdStream) -> bool {
        self.buffered(stream).sink.terminal
    }

    pub fn takes_colour(&self, stream: StdStream) -> bool {
        self.buffered(stream).sink.colour
    }

    /// A text of this program.
    pub fn text(&mut self, stream: StdStream, text: &str) -> io::Result<()> {
        self.bytes(stream, text.as_bytes())
    }

    /// A text of this program, in this style if the stream takes colours.
    pub fn styled(&mut self, stream: StdStream, style: Style, text: &str) -> io::Result<()> {
        if !self.takes_colour(stream) || style.is_plain() {
            return self.text(stream, text);
        }
        self.text(stream, &format!("{style}{text}{style:#}"))
    }

    /// A line of a host, and a line end. On a terminal it is escaped.
    pub fn host_line(&mut self, stream: StdStream, style: Style, line: &[u8]) -> io::Result<()> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let shown = if self.is_terminal(stream) && !self.raw { escape::line(line) } else { line.into() };
        if self.takes_colour(stream) && !style.is_plain() {
            self.text(stream, &style.render().to_string())?;
            self.bytes(stream, &shown)?;
            self.text(stream, &style.render_reset().to_string())?;
        } else {
            self.bytes(stream, &shown)?;
        }
        self.bytes(stream, b"\n")
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, stream: StdStream, bytes: &[u8]) -> io::Result<()> {
        let other = match stream {
            StdStream::Stdout => StdStream::Stderr,
            StdStream::Stderr => StdStream::Stdout,
        };
        // On a terminal both streams are seen in the order in which things happened.
        if self.is_terminal(stream) && self.is_terminal(other) {
            self.flush_one(other)?;
        }
        let buffered = self.buffered_mut(stream);
        buffered.bytes.extend_from_slice(bytes);
        if buffered.bytes.len() >= BUFFER {
            self.flush_one(stream)?;
        }
        Ok(())
    }

    /// Writes what was collected.
    pub fn flush(&mut self) -> io::Result<()> {
        self.flush_one(StdStream::Stdout)?;
        self.flush_one(StdStream::Stderr)
    }

    /// Shows a line that the next output replaces. Everything collected is written first.
    ///
    /// The line must be shorter than the terminal is wide: one that wraps could not be erased.
    pub fn show_progress(&mut self, line: String) -> io::Result<()> {
        self.progress = line;
        self.flush()?;
        self.draw_progress()
    }

    /// Shows the progress line again below output that has replaced it.
    pub fn restore_progress(&mut self) -> io::Result<()> {
        if self.shows_progress || self.progress.is_empty() { Ok(()) } else { self.draw_progress() }
    }

    /// Erases the progress line for good.
    pub fn end_progress(&mut self) -> io::Result<()> {
        self.progress.clear();
        self.hide_progress()
    }

    fn draw_progress(&mut self) -> io::Result<()> {
        self.err.sink.writer.write_all(&[ERASE, self.progress.as_bytes()].concat())?;
        self.shows_progress = true;
        self.err.sink.writer.flush()
    }

    fn hide_progress(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.shows_progress) {
            self.err.sink.writer.write_all(ERASE)?;
            self.err.sink.writer.flush()?;
        }
        Ok(())
    }

    fn flush_one(&mut self, stream: StdStream) -> io::Result<()> {
        if self.buffered(stream).bytes.is_empty() {
            return Ok(());
        }
        if self.is_terminal(stream) {
            self.hide_progress()?;
        }
        let buffered = self.buffered_mut(stream);
        let written = buffered.sink.writer.write_all(&buffered.bytes);
        buffered.bytes.clear();
        written.and_then(|()| buffered.sink.writer.flush())
    }

    fn buffered(&self, stream: StdStream) -> &Buffered<'a> {
        match stream {
            StdStream::Stdout => &self.out,
            StdStream::Stderr => &self.err,
        }
    }

    fn buffered_mut(&mut self, stream: StdStream) -> &mut Buffered<'a> {
        match stream {
            StdStream::Stdout => &mut self.out,
            StdStream::Stderr => &mut self.err,
        }
    }
}
