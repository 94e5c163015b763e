//! The commands of a simulated host; the crate's documentation lists them.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// Bytes per channel message; russh's own maximum packet size.
pub(crate) const CHUNK: usize = 32 << 10;

/// Programs with at most this much output, and without delays or input, run at once.
const SHORT_MAX: u64 = 32 << 10;

/// The pattern of `bytes N` repeats with this period, a prime, so that no power of two hides a
/// shift.
const PERIOD: u8 = 251;

/// Byte number `offset` of the output of `bytes N`: the offset modulo 251.
#[must_use]
pub fn pattern_byte(offset: u64) -> u8 {
    u8::try_from(offset % u64::from(PERIOD)).unwrap_or(0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Output of known content, generated piece by piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(Bytes),
    /// This number of bytes of [`pattern_byte`].
    Pattern(u64),
    /// The lines `line FROM` up to, not including, `line TO`.
    Lines(u64, u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Write(Stream, Content),
    Sleep(Duration),
    /// One byte per 100 ms.
    Drip(Bytes),
    Cat,
    /// Writes the input to this file.
    Save(Bytes),
    Count,
    Yes,
    /// The SFTP server.
    Sftp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Exit(u32),
    Signal(String),
    NoStatus,
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    pub(crate) finish: Finish,
}

impl Program {
    /// Parses a command line sent to the host called `hostname`. Never fails: like a shell, an
    /// unknown command prints a message on stderr and exits with status 127.
    pub(crate) fn parse(command: &str, hostname: &str) -> Self {
        let inner = unwrap_shell(command);
        let mut program = Self { steps: Vec::new(), finish: Finish::Exit(0) };
        for part in split_commands(&inner) {
            let (name, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
            if !program.push(name, rest.trim_start(), hostname) {
                break;
            }
        }
        program
    }

    /// The subsystem `sftp`.
    pub(crate) fn sftp() -> Self {
        Self { steps: vec![Step::Sftp], finish: Finish::Exit(0) }
    }

    /// Adds one command; returns whether the next one would be reached.
    fn push(&mut self, name: &str, rest: &str, hostname: &str) -> bool {
        let text = || Bytes::from(unquote(rest).to_owned());
        let line = || Bytes::from(format!("{}\n", unquote(rest)));
        let write = |stream, bytes| Step::Write(stream, Content::Text(bytes));
        self.finish = Finish::Exit(0);
        let step = match (name, rest.parse::<u64>()) {
            ("true" | ":", _) => return true,
            ("echo", _) => write(Stream::Stdout, line()),
            ("stderr", _) => write(Stream::Stderr, line()),
            ("both", _) => {
                self.steps.push(write(Stream::Stdout, line()));
                write(Stream::Stderr, line())
            }
            ("hostname", _) => write(Stream::Stdout, format!("{hostname}\n").into()),
            ("bytes", Ok(n)) => Step::Write(Stream::Stdout, Content::Pattern(n)),
            ("lines", Ok(n)) => Step::Write(Stream::Stdout, Content::Lines(0, n)),
            ("drip", _) => Step::Drip(text()),
            ("cat", _) => match rest.strip_prefix('>') {
                Some(file) => Step::Save(unquote(file.trim()).to_owned().into()),
                None => Step::Cat,
            },
            ("count", _) => Step::Count,
            ("yes", _) => Step::Yes,
            ("sleep", _) => match rest.parse().ok().and_then(|time| Duration::try_from_secs_f64(time).ok()) {
                Some(time) => Step::Sleep(time),
                None => return self.fail(1, format!("sleep: invalid time {rest:?}\n")),
            },
            ("exit", _) => {
                self.finish = Finish::Exit(rest.parse().unwrap_or(2));
                return false;
            }
            ("false", _) => {
                self.finish = Finish::Exit(1);
                return true;
            }
            ("signal", _) => {
                self.finish = Finish::Signal(rest.trim_start_matches("SIG").to_owned());
                return false;
            }
            ("noexit", _) => {
                self.finish = Finish::NoStatus;
                return false;
            }
            ("hang", _) => {
                self.finish = Finish::Never;
                return false;
            }
            _ => return self.fail(127, format!("hostsim: {name}: command not found\n")),
        };
        self.steps.push(step);
        true
    }

    fn fail(&mut self, status: u32, message: String) -> bool {
        self.steps.push(Step::Write(Stream::Stderr, Content::Text(message.into())));
        self.finish = Finish::Exit(status);
        true
    }

    /// Whether the program ends at once and its output fits into the first window of any client.
    pub(crate) fn is_short(&self) -> bool {
        let mut total = 0_u64;
        for step in &self.steps {
            let Step::Write(_, content) = step else {
                return false;
            };
            total = total.saturating_add(content.len_max());
        }
        total <= SHORT_MAX && self.finish != Finish::Never
    }

    pub(crate) fn reads_input(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Cat | Step::Save(_) | Step::Count | Step::Sftp))
    }
}

impl Content {
    /// An upper bound of the length.
    fn len_max(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Pattern(n) => *n,
            Self::Lines(from, to) => to.saturating_sub(*from).saturating_mul(26),
        }
    }

    /// Returns the next piece, at most [`CHUNK`] bytes; `offset` is the number of bytes returned
    /// before. `None` at the end.
    pub(crate) fn next_chunk(&mut self, offset: u64) -> Option<Bytes> {
        match self {
            Self::Text(text) => {
                let piece = text.split_to(text.len().min(CHUNK));
                (!piece.is_empty()).then_some(piece)
            }
            Self::Pattern(left) => {
                let length = usize::try_from(*left).unwrap_or(CHUNK).min(CHUNK);
                *left -= length as u64;
                (length > 0).then(|| pattern(offset, length))
            }
            Self::Lines(from, to) => {
                let mut piece = BytesMut::with_capacity(CHUNK);
                while from < to && piece.len() < CHUNK - 26 {
                    piece.extend_from_slice(format!("line {from}\n").as_bytes());
                    *from += 1;
                }
                (!piece.is_empty()).then(|| piece.freeze())
            }
        }
    }
}

/// `length` (at most [`CHUNK`]) bytes of the pattern from `offset` on, in a shared buffer.
pub(crate) fn pattern(offset: u64, length: usize) -> Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    let all = PATTERN.get_or_init(|| (0..(CHUNK + usize::from(PERIOD)) as u64).map(pattern_byte).collect());
    let start = usize::from(pattern_byte(offset));
    all.slice(start..start + length)
}

/// The command inside `[sudo ...] SHELL -c 'COMMAND'`, as clients wrap it; any other line
/// unchanged.
fn unwrap_shell(command: &str) -> String {
    let command = command.trim();
    let Some((shell, quoted)) = command.split_once(" -c ") else {
        return command.to_owned();
    };
    let program = shell.split(' ').next_back().unwrap_or_default();
    let is_shell = program == "$SHELL" || program.ends_with("sh");
    let is_wrapper = shell == program || shell.starts_with("sudo ");
    let quoted = quoted.trim();
    let Some(body) = quoted.strip_prefix('\'').and_then(|body| body.strip_suffix('\'')) else {
        return command.to_owned();
    };
    if !(is_shell && is_wrapper) {
        return command.to_owned();
    }
    body.replace("'\\''", "'")
}

/// Splits a line at semicolons outside quotes.
fn split_commands(line: &str) -> impl Iterator<Item = &str> {
    let mut quote = None;
    let outside = move |c: char| {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => (),
        }
        c == ';' && quote.is_none()
    };
    line.split(outside).map(str::trim).filter(|part| !part.is_empty())
}

fn unquote(text: &str) -> &str {
    let inside = |quote| text.strip_prefix(quote).and_then(|text: &str| text.strip_suffix(quote));
    inside('\'').or_else(|| inside('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(command: &str) -> (Vec<u8>, Vec<u8>, Finish) {
        let program = Program::parse(command, "127.1.0.1");
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        for step in program.steps {
            let Step::Write(stream, mut content) = step else { panic!("{step:?}") };
            let sink = if stream == Stream::Stdout { &mut stdout } else { &mut stderr };
            let mut offset = 0;
            while let Some(piece) = content.next_chunk(offset) {
                assert!(piece.len() <= CHUNK);
                offset += piece.len() as u64;
                sink.extend_from_slice(&piece);
            }
        }
        (stdout, stderr, program.finish)
    }

    #[test]
    fn commands_and_sequences() {
        let text = |command: &str| {
            let (stdout, stderr, finish) = output(command);
            (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), finish)
        };
        let exit = |out: &str, err: &str, status| (out.to_owned(), err.to_owned(), Finish::Exit(status));
        assert_eq!(text("echo a  b"), exit("a  b\n", "", 0));
        assert_eq!(text("echo 'a; b'; stderr \"c\"; exit 3; echo never"), exit("a; b\n", "c\n", 3));
        assert_eq!(text("both x;lines 2;hostname"), exit("x\nline 0\nline 1\n127.1.0.1\n", "x\n", 0));
        assert_eq!(text("nope 1"), exit("", "hostsim: nope: command not found\n", 127));
        assert_eq!(text("nope; true"), exit("", "hostsim: nope: command not found\n", 0));
        assert_eq!(text("bytes x"), exit("", "hostsim: bytes: command not found\n", 127));
        assert_eq!(text("exit 4294967295"), exit("", "", u32::MAX));
        assert_eq!(text(""), exit("", "", 0));
        assert_eq!(text("signal SIGKILL").2, Finish::Signal("KILL".to_owned()));
        assert_eq!(text("echo x; noexit; echo y"), ("x\n".to_owned(), String::new(), Finish::NoStatus));
    }

    #[test]
    fn shell_wrappers_are_seen_through() {
        for wrapped in [
            "$SHELL -c 'echo it'\\''s; exit 4'",
            "bash -c 'echo it'\\''s; exit 4'",
            "sudo -u bob -S $SHELL -c 'echo it'\\''s; exit 4'",
        ] {
            assert_eq!(unwrap_shell(wrapped), "echo it's; exit 4", "{wrapped}");
        }
        for plain in ["echo a -c 'b'", "bash -c echo", "grep -c 'x'"] {
            assert_eq!(unwrap_shell(plain), plain);
        }
    }

    #[test]
    fn long_contents_are_exact_across_chunks() {
        let (stdout, ..) = output("bytes 100000");
        assert_eq!(stdout.len(), 100_000);
        assert!(stdout.iter().enumerate().all(|(at, byte)| *byte == pattern_byte(at as u64)));
        let (stdout, ..) = output("lines 20000");
        let expected: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        assert!(stdout == expected.as_bytes());
    }

    #[test]
    fn only_small_timeless_programs_are_short() {
        let short = |command| Program::parse(command, "h").is_short();
        assert!(short("echo x; exit 3") && short("bytes 32768") && short("lines 100") && short("noexit"));
        for long in
            ["bytes 32769", "lines 18446744073709551615", "sleep 0", "cat", "count", "yes", "hang", "drip a"]
        {
            assert!(!short(long), "{long}");
        }
    }
}
