//! The target that fetches a directory from a hostile SFTP server.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::assert_clean;
use crate::clock;
use crate::ids::CommandId;
use crate::limits;
use crate::output::Outcome;
use crate::reactor::workers::Job as _;
use crate::sftp::{Attrs, Extensions, Name, Reply, Request, StatusCode, Times, peer};
use crate::transfer::local::FileJob;
use crate::transfer::{Get, Links, Shared, Transfer, Work};

/// Any bytes as the mind of a server: each says how the next request is answered, and with what. A
/// get copies from it into a directory. A server without SFTP sends pieces of the mind as they are.
///
/// The oracles: the get ends; nothing is written outside of its directory, and each link leads to a
/// place in the directory; a part file is left only if it can be resumed; what waits for the disk
/// is bounded; errors are safe for a terminal.
pub fn get(data: &[u8]) {
    let mut mind = Mind(data);
    let flags = mind.byte();
    let is_set = |bit: u8| flags & (1 << bit) != 0;
    let place = Place::new();
    let links = [Links::Follow, Links::Copy, Links::Skip, Links::Copy][usize::from(flags & 3)];
    let get = Get::new("/srv", place.inside().join("copy")).recurse(!is_set(2)).links(links);
    let get = get.preserve(is_set(3)).resume(is_set(4)).skip_same(is_set(5)).growing(is_set(6));
    let get = get.max_entries(200).max_depth(6).max_bytes(1 << 20);
    let planned = Work::Get(get).plan(&mut Shared::default(), &mut |path| Ok(path.to_vec()), false);
    let Ok(plan) = planned else { panic!("not planned") };
    let (id, is_plain) = (CommandId::new(0, 0), is_set(7) && plan.plain_command().is_some());
    let transfer =
        if is_plain { Transfer::plain(id, &plan, "host") } else { Transfer::new(id, &plan, "host") };
    let piece = usize::from(flags) + 1;
    let problem = Server { mind, is_plain, sent: Vec::new(), replies: Vec::new(), piece }.run(transfer);
    assert_clean(&problem.unwrap_or_default());
    // The host may choose such names too.
    let may_have_parts = is_set(4) || memchr::memmem::find(data, b".sshoal-").is_some();
    place.check(may_have_parts);
}

/// Decides what the server does.
struct Mind<'a>(&'a [u8]);

impl<'a> Mind<'a> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    fn bytes(&mut self, max: usize) -> &'a [u8] {
        let length = usize::from(self.byte()).min(max).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// Names that mean something, and any others.
    fn name(&mut self) -> &'a [u8] {
        match self.byte() {
            0 => b"a",
            1 => b"b",
            2 => b"..",
            3 => b".",
            4 => b"a/b",
            5 => b"../outside",
            6 => b"/etc/passwd",
            7 => b"A",
            8 => b"a/..",
            9 => b"",
            10 => b"../../outside",
            11 => b"b/../../outside",
            _ => self.bytes(40),
        }
    }

    fn attrs(&mut self) -> Attrs {
        let kinds = [0o100_000, 0o040_000, 0o120_000, 0o040_000, 0o100_000, 0o010_000, 0];
        let kind = self.byte();
        let mode =
            (kind != 255).then(|| kinds[usize::from(kind) % kinds.len()] | (0o10 * u32::from(self.byte())));
        let size = match self.byte() {
            255 => None,
            254 => Some(u64::MAX),
            253 => Some(1 << 63),
            252 => Some(100_000),
            size => Some(u64::from(size)),
        };
        let times =
            (self.byte() & 1 == 0).then_some(Times { access: 1, modified: u32::from(self.byte() & 1) });
        Attrs { size, ids: None, mode, times }
    }
}

struct Server<'a> {
    mind: Mind<'a>,
    /// Whether it has no SFTP, and `scp` sends the file.
    is_plain: bool,
    /// What the get has sent, and the server has not read.
    sent: Vec<u8>,
    /// What the server has answered, and the get has not read.
    replies: Vec<Vec<u8>>,
    /// The size of the pieces in which answers arrive.
    piece: usize,
}

impl Server<'_> {
    /// Runs the get to its end, and returns how it has failed.
    fn run(&mut self, mut transfer: Transfer) -> Option<String> {
        let mut jobs: Vec<FileJob> = Vec::new();
        let (mut end, now) = (None, clock::now());
        for _ in 0..1_000_000 {
            self.receive(&mut transfer);
            jobs.extend(transfer.take_jobs());
            end = end.or_else(|| transfer.end());
            let most = limits::FILE_UNWRITTEN + limits::SFTP_PACKET;
            assert!(transfer.unwritten() <= most, "{} bytes wait", transfer.unwritten());
            let reads = end.is_none() && !self.replies.is_empty() && transfer.room(usize::MAX).bytes > 0;
            if !jobs.is_empty() && (!reads || self.mind.byte() & 1 == 0) {
                let job = jobs.swap_remove(usize::from(self.mind.byte()) % jobs.len());
                job.run().into_iter().for_each(|(_, answer)| transfer.answer(answer));
            } else if reads {
                let reply = self.replies.remove(0);
                reply.chunks(self.piece).for_each(|piece| transfer.receive(piece));
            } else if let Some(end) = end {
                return end.err().map(|problem| problem.to_string());
            } else {
                let exit = (self.mind.byte() & 1 == 0).then_some(Outcome::Exited(0));
                transfer.server_ended(exit.as_ref().filter(|_| self.is_plain));
            }
            transfer.go_on_with(&mut u64::MAX.clone(), now);
        }
        panic!("no end: {transfer:?}");
    }

    /// Reads what the get sends, and decides about the answers. A mind that is empty answers no
    /// more.
    fn receive(&mut self, transfer: &mut Transfer) {
        let mut buffer = Vec::new();
        while transfer.has_unsent() {
            let bytes = transfer.next_bytes(&mut buffer, 10_000);
            self.sent.extend_from_slice(bytes);
            let count = bytes.len();
            transfer.sent(count);
        }
        let sent = std::mem::take(&mut self.sent);
        if self.is_plain {
            let replies = sent.iter().map(|_| self.mind.bytes(255).to_vec());
            return self.replies.extend(replies.filter(|reply| !reply.is_empty()));
        }
        let mut rest = &sent[..];
        while let Some(received) = peer::receive(rest).unwrap_or_else(|error| panic!("{error}")) {
            rest = received.rest;
            if !self.mind.0.is_empty() {
                let reply = self.answer(received.id, &received.request);
                self.replies.push(reply);
            }
        }
        assert!(rest.is_empty(), "half a request");
    }

    fn answer(&mut self, id: u32, request: &Request<'_>) -> Vec<u8> {
        let mind = &mut self.mind;
        match mind.byte() {
            // What answers the request, more or less.
            0..200 => match *request {
                Request::Init => {
                    let extensions = Extensions { limits: mind.byte() & 1 == 0, ..Extensions::default() };
                    peer::encode(&Reply::Version { version: 3, extensions })
                }
                Request::Limits => {
                    let limits = [0, 0, 0, u64::from(mind.byte() % 8)].map(u64::to_be_bytes).concat();
                    peer::encode(&Reply::Extended { id, bytes: &limits })
                }
                Request::Open { .. } | Request::Opendir { .. } => {
                    peer::encode(&Reply::Handle { id, handle: &[1] })
                }
                Request::Stat { path: b"/srv" } => {
                    let mode = Some(if mind.byte() < 200 { 0o040_755 } else { 0o100_644 });
                    peer::encode(&Reply::Attrs { id, attrs: Attrs { mode, ..Attrs::default() } })
                }
                Request::Stat { .. } | Request::Lstat { .. } | Request::Fstat { .. } => {
                    peer::encode(&Reply::Attrs { id, attrs: mind.attrs() })
                }
                Request::Read { len, .. } => match mind.bytes(len as usize) {
                    [] => peer::status(id, StatusCode::Eof, b""),
                    bytes => peer::encode(&Reply::Data { id, bytes }),
                },
                Request::Readdir { .. } => names(id, mind),
                Request::Readlink { .. } | Request::Realpath { .. } => {
                    let name = Name { name: mind.name(), long: b"", attrs: Attrs::default() };
                    peer::names(id, &[name])
                }
                _ => peer::status(id, StatusCode::Ok, b""),
            },
            200..230 => peer::status(id, StatusCode::from(u32::from(mind.byte())), mind.bytes(20)),
            230..235 => peer::encode(&Reply::Data { id, bytes: mind.bytes(100) }),
            235..240 => names(id, mind),
            240..245 => peer::encode(&Reply::Handle { id: id.wrapping_add(1), handle: mind.bytes(10) }),
            _ => peer::packet(mind.byte(), id, mind.bytes(100)),
        }
    }
}

fn names(id: u32, mind: &mut Mind<'_>) -> Vec<u8> {
    let count = mind.byte() % 6;
    let names: Vec<_> =
        (0..count).map(|_| Name { name: mind.name(), long: b"", attrs: mind.attrs() }).collect();
    match names.is_empty() {
        true => peer::status(id, StatusCode::Eof, b""),
        false => peer::names(id, &names),
    }
}

/// A directory of this machine, with one in it that the get may write to.
struct Place(PathBuf);

/// What is beside that directory.
const BESIDE: &[u8] = b"not to be written to";

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sshoal-fuzz-{}-{number}", std::process::id()));
        let place = Self(path);
        fs::create_dir_all(place.inside()).unwrap_or_else(|error| panic!("{error}"));
        fs::write(place.0.join("outside"), BESIDE).unwrap_or_else(|error| panic!("{error}"));
        place
    }

    fn inside(&self) -> PathBuf {
        self.0.join("in")
    }

    fn check(&self, may_have_parts: bool) {
        let mut found = Vec::new();
        walk(&self.inside(), &mut found);
        let root = fs::canonicalize(self.inside()).unwrap_or_else(|error| panic!("{error}"));
        for path in found {
            let is_part = path.file_name().is_some_and(|name| {
                memchr::memmem::find(name.as_encoded_bytes(), b".sshoal-").is_some_and(|at| at > 0)
            });
            assert!(!is_part || may_have_parts, "{} is left", path.display());
            // A link that leads nowhere, or in a circle, leads not out.
            if let Ok(real) = fs::canonicalize(&path) {
                assert!(real.starts_with(&root), "{} leads to {}", path.display(), real.display());
            }
        }
        let mut beside: Vec<_> = entries(&self.0);
        beside.sort();
        assert_eq!(beside, [self.inside(), self.0.join("outside")]);
        assert!(fs::read(self.0.join("outside")).is_ok_and(|text| text == BESIDE));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// All paths below a directory, which are made readable.
fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap_or_else(|error| panic!("{error}"));
    for path in entries(path) {
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
            walk(&path, found);
        }
        found.push(path);
    }
}

fn entries(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{error}"));
    entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
}
