use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::TempDir;

use crate::sftp::{Decoder, HEAD, ProtocolError, Reply};

/// Where Debian, Fedora, Alpine, Arch and macOS have it.
const PROGRAMS: [&str; 4] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
];

/// For an answer, on a machine that is busy otherwise.
const SLOW: Duration = Duration::from_secs(20);

/// The size of the pieces in which output is decoded: packets end anywhere in them.
const PIECE: usize = 61;

/// What a recorded file begins with.
const ABOUT: &str = "# A conversation with OpenSSH's sftp-server, in hexadecimal packets with their lengths.
# UPDATE_SNAPSHOTS=1 cargo test --lib sftp
";

pub(super) trait Server {
    /// Sends a request, and returns the packet of the reply, without its length.
    fn ask(&mut self, name: &str, request: &[u8]) -> Vec<u8>;
}

/// A running server, in a directory of its own.
pub(super) struct Live {
    child: Child,
    dir: TempDir,
    decoder: Decoder,
    /// The names of the requests, the requests, and the replies.
    log: Vec<(String, Vec<u8>, Vec<u8>)>,
}

impl Live {
    /// `None` if the program is not installed.
    pub(super) fn start(arguments: &[&str]) -> Option<Self> {
        let Some(program) = PROGRAMS.iter().find(|path| Path::new(path).exists()) else {
            eprintln!("skipped: sftp-server is not installed (Debian: openssh-sftp-server)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(["-u", "0022"]).args(arguments).current_dir(dir.path());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Some(Self { child, dir, decoder: Decoder::default(), log: Vec::new() })
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn recorded(&self) -> String {
        let mut text = ABOUT.to_owned();
        for (name, request, reply) in &self.log {
            // The fields are in the packets.
            let name = name.split(' ').next().unwrap();
            writeln!(text, "\n# {name}\n> {}\n< {}", hex(request), hex(reply)).unwrap();
        }
        text
    }

    pub(super) fn replies_as_fuzz_input(&self) -> Vec<u8> {
        let replies = self.log.iter().map(|(_, _, reply)| &reply[..]);
        [&[PIECE as u8][..]].into_iter().chain(replies).collect::<Vec<_>>().concat()
    }

    pub(super) fn requests_as_fuzz_input(&self) -> Vec<u8> {
        let requests = self.log.iter().map(|(_, request, _)| &request[..]);
        [&[PIECE as u8][..]].into_iter().chain(requests).collect::<Vec<_>>().concat()
    }

    /// Reads until a reply is complete, and returns the bytes of it.
    fn receive(&mut self) -> Vec<u8> {
        let output = self.child.stdout.as_mut().unwrap();
        let (deadline, mut bytes, mut replies) = (Instant::now() + SLOW, Vec::new(), 0);
        while replies == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut ready = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
            let count = poll(&mut ready, PollTimeout::try_from(left).unwrap()).unwrap();
            assert!(count > 0, "no answer after {SLOW:?}, but {} bytes", bytes.len());
            let mut piece = [0; PIECE];
            let length = output.read(&mut piece).unwrap();
            assert!(length > 0, "sftp-server has ended");
            bytes.extend_from_slice(&piece[..length]);
            let each = |reply: Reply<'_>| {
                assert_eq!(Reply::parse(&bytes[HEAD..]).as_ref(), Ok(&reply));
                replies += 1;
                Ok::<_, ProtocolError>(())
            };
            self.decoder.feed(&piece[..length], each).unwrap();
        }
        assert!((replies, self.decoder.held()) == (1, 0));
        bytes
    }
}

impl Server for Live {
    fn ask(&mut self, name: &str, request: &[u8]) -> Vec<u8> {
        self.child.stdin.as_mut().unwrap().write_all(request).unwrap();
        let reply = self.receive();
        let packet = reply[HEAD..].to_vec();
        self.log.push((name.to_owned(), request.to_vec(), reply));
        packet
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A server as it was recorded. It accepts the same requests in the same order.
pub(super) struct Recorded<'a> {
    lines: Box<dyn Iterator<Item = &'a str> + 'a>,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { lines: Box::new(lines) }
    }

    #[track_caller]
    pub(super) fn assert_at_the_end(mut self) {
        assert_eq!(self.lines.next(), None);
    }
}

impl Server for Recorded<'_> {
    fn ask(&mut self, name: &str, request: &[u8]) -> Vec<u8> {
        let recorded = self.lines.next().and_then(|line| line.strip_prefix("> "));
        assert_eq!(recorded, Some(&*hex(request)), "{name}");
        let reply = self.lines.next().and_then(|line| line.strip_prefix("< ")).unwrap();
        let pairs = reply.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        let reply: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        reply[HEAD..].to_vec()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
