//! An SFTP server that breaks the protocol on purpose, as the subsystem of a real sshd:
//! `sftp_server.py`.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::keys::ClientKey;
use crate::support::openssh_client::Login;
use crate::support::sshd::Sshd;
use crate::support::system::public_dir;

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hostile/sftp_server.py")
}

/// `python3` with the server; Debian's, and without bytecode in the source folder.
const PYTHON: [&str; 2] = ["/usr/bin/python3", "-B"];

/// An sshd whose subsystem `sftp` misbehaves on the disk of this machine; commands work.
pub struct HostileSftp {
    sshd: Sshd,
    hosts: Vec<String>,
}

impl HostileSftp {
    /// The first host misbehaves as the first of `kinds`, and so on; `sftp_kinds.py` has them. At
    /// least two.
    pub fn start(kinds: &[&str]) -> Self {
        assert!(kinds.len() > 1, "a single kind is the same on all hosts");
        let words = [PYTHON.join(" "), script().display().to_string(), kinds.join(" ")];
        let sshd = Sshd::builder().option(&format!("Subsystem sftp {}", words.join(" "))).start();
        let count = u32::try_from(kinds.len()).expect("few kinds");
        let hosts = sshd.hosts(count).collect();
        Self { sshd, hosts }
    }

    pub fn sshd(&self) -> &Sshd {
        &self.sshd
    }

    /// The addresses of the kinds, in their order.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }
}

#[test]
fn each_host_misbehaves_in_its_own_way() {
    let server = HostileSftp::start(&["healthy", "disk-full", "old-version", "disk-full-and-stuck"]);
    let (sshd, hosts) = (server.sshd(), server.hosts());
    let known_hosts = sshd.known_hosts(hosts);
    let key = Some(sshd.key(ClientKey::Ed25519));
    let login = Login { known_hosts: &known_hosts, user: sshd.user(), key, secret: None };
    let folder = tempfile::tempdir().expect("temporary directory");
    let content = vec![7; 500_000];
    fs::write(folder.path().join("here"), &content).expect("write");
    let there = sshd.dir().join("files");
    fs::create_dir(&there).expect("create");
    let there = there.display();
    let run = |host: usize, commands: &str| {
        let output = login.sftp(&hosts[host], sshd.port(), folder.path(), commands);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let round_trip = format!(
        "put -p here {there}/a\nrename {there}/a {there}/b\nget {there}/b back\nmkdir {there}/d\n\
         put -r {there}/d\nls -l {there}\nrm {there}/b\nrmdir {there}/d\n"
    );
    let (ok, stderr) = run(0, &round_trip.replace("put -r", "ls"));
    assert!(ok, "{stderr}");
    assert!(fs::read(folder.path().join("back")).expect("read") == content);
    assert_eq!(run(1, &format!("put here {there}/full\n")), (false, full(&format!("{there}/full"))));
    // OpenSSH's client has no request that version 2 lacks before its first file.
    assert!(!run(2, &format!("symlink a {there}/link\n")).0);
    assert!(!run(3, &format!("put here {there}/stuck\n")).0);
    assert!(!run(3, &format!("rm {there}/stuck\n")).0);
    assert_eq!(login.run(&hosts[1], sshd.port(), "echo hello").stdout, b"hello\n");
}

fn full(path: &str) -> String {
    format!("write remote \"{path}\": Failure\r\n")
}

fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    let length = u32::try_from(body.len() + 1).expect("short");
    [&length.to_be_bytes()[..], &[kind], &body].concat()
}

fn string(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).expect("short").to_be_bytes()[..], text].concat()
}

/// What a client asks, with ids from 0 on and the handles of the healthy server.
fn requests(of: &str) -> Vec<u8> {
    let mut all = packet(1, &[&3_u32.to_be_bytes()]);
    let mut id = 0_u32;
    let mut ask = |kind: u8, fields: &[&[u8]]| {
        all.extend(packet(kind, &[&[&id.to_be_bytes()[..]], fields].concat()));
        id += 1;
    };
    let path = |text: &str| string(text.as_bytes());
    let handle = string(&1_u32.to_be_bytes());
    let u32 = |number: u32| number.to_be_bytes();
    let u64 = |number: u64| number.to_be_bytes();
    let mode = [u32(4), u32(0o644)].concat();
    match of {
        "get" => {
            ask(7, &[&path("file")]);
            ask(3, &[&path("file"), &u32(1), &u32(0)]);
            ask(8, &[&handle]);
            for offset in [0, 60_000, 100_000] {
                ask(5, &[&handle, &u64(offset), &u32(60_000)]);
            }
            ask(4, &[&handle]);
        }
        "put" => {
            ask(200, &[&path("limits@openssh.com")]);
            ask(3, &[&path("part"), &u32(2 | 8 | 32), &mode]);
            for offset in [0, 60_000, 120_000] {
                ask(6, &[&handle, &u64(offset), &string(&[7; 60_000])]);
            }
            ask(10, &[&handle, &mode]);
            ask(200, &[&path("fsync@openssh.com"), &handle]);
            ask(4, &[&handle]);
            ask(200, &[&path("posix-rename@openssh.com"), &path("part"), &path("whole")]);
            ask(7, &[&path("whole")]);
            ask(13, &[&path("part")]);
        }
        _ => {
            ask(16, &[&path("folder")]);
            ask(7, &[&path("folder")]);
            ask(11, &[&path("folder")]);
            ask(12, &[&handle]);
            ask(12, &[&handle]);
            ask(4, &[&handle]);
            ask(11, &[&path("folder/link")]);
            ask(19, &[&path("folder/link")]);
        }
    }
    all
}

/// Ends the server when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a kind answers to `requests`: at most 2 MiB, until it ends, or until it is silent if it
/// reads nothing more.
fn answers(kind: &str, requests: Vec<u8>) -> Vec<u8> {
    let folder = public_dir();
    fs::write(folder.path().join("file"), vec![b'x'; 100_000]).expect("write");
    fs::create_dir(folder.path().join("folder")).expect("create");
    fs::write(folder.path().join("folder/good"), "x").expect("write");
    for (name, mode) in [("file", 0o644), ("folder", 0o755), ("folder/good", 0o644)] {
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).expect("chmod");
    }
    symlink("good", folder.path().join("folder/link")).expect("link");
    let mut command = Command::new(PYTHON[0]);
    command.args(&PYTHON[1..]).arg(script()).arg(kind).current_dir(folder.path());
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
    let mut child = Running(child);
    let mut stdin = child.0.stdin.take().expect("piped");
    let stdout = child.0.stdout.take().expect("piped");
    let writer = thread::spawn(move || {
        // One that has ended does not read.
        let _ = stdin.write_all(&requests);
    });
    let (sender, pieces) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || {
        let mut stdout = stdout.take(2 << 20);
        let mut piece = vec![0; 1 << 16];
        while let Ok(count @ 1..) = stdout.read(&mut piece) {
            let _ = sender.send(piece[..count].to_vec());
        }
    });
    let mut all = Vec::new();
    let reads = !kind.starts_with("never-reads");
    let limit = |first: bool| if first || reads { super::SLOW } else { Duration::from_millis(500) };
    while let Ok(piece) = pieces.recv_timeout(limit(all.is_empty())) {
        all.extend(piece);
    }
    drop(child);
    writer.join().expect("the writer");
    reader.join().expect("the reader");
    all
}

/// The fields of an answer.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// `SIZE:MODE`, and `:late` for times that 31 bits do not hold.
    fn attrs(&mut self) -> Option<String> {
        let flags = self.u32()?;
        let size = if flags & 1 == 0 { None } else { Some(self.take(8)?.try_into().ok()?) };
        let mode = if flags & 4 == 0 { None } else { Some(self.u32()?) };
        // The size of a directory is that of its file system's.
        let is_directory = mode.is_some_and(|mode| mode >> 12 == 4);
        let size = size.filter(|_| !is_directory).map(|size| u64::from_be_bytes(size).to_string());
        let mut word = size.unwrap_or_default();
        if let Some(mode) = mode {
            word += &format!(":{mode:o}");
        }
        if flags & 8 != 0 && (self.u32()?, self.u32()?).1 > u32::MAX / 2 {
            word += ":late";
        }
        if flags >> 31 == 1 {
            word += &format!("+{}", self.u32()?);
        }
        Some(word)
    }

    /// What an answer of this type says, without the id.
    fn answer(&mut self, kind: u8) -> Option<String> {
        Some(match kind {
            101 => match (self.u32()?, self.string().map(<[u8]>::len)) {
                (code, None) => format!("status {code} without text"),
                (code, Some(length @ 1000..)) => format!("status {code} with {length}"),
                (code, Some(_)) => format!("status {code}"),
            },
            102 => format!("handle '{}'", short(self.string()?)),
            103 => format!("data {}", self.string()?.len()),
            104 => {
                let mut word = format!("names {}", self.u32()?);
                while !self.0.is_empty() && word.len() < 50 {
                    let name = short(self.string()?);
                    self.string()?;
                    word += &format!(" {name}={}", self.attrs()?);
                }
                word
            }
            105 => format!("attrs {}", self.attrs()?),
            201 => format!("limits {:x?}", self.0.chunks(8).next_back()?),
            _ => return None,
        })
    }
}

/// A printable name, or its beginning and its length. Of the test's own folder only the last part,
/// because the rest is random.
fn short(name: &[u8]) -> String {
    let last = if name.ends_with(b"/folder") { b"folder" } else { name };
    match last.len() {
        0..=24 => last.escape_ascii().to_string(),
        length => format!("{}…{length}", last[..8].escape_ascii()),
    }
}

/// What the packets say; with `!` where the id is not that of the next request.
fn transcript(mut bytes: &[u8]) -> String {
    let mut words = Vec::new();
    let mut next = 0;
    while let Some((head, rest)) = bytes.split_first_chunk() {
        if words.len() == 12 {
            words.push("…".to_owned());
            break;
        }
        let length = u32::from_be_bytes(*head);
        let Some((packet, rest)) = usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n)) else {
            words.push(format!("{length} bytes announced"));
            break;
        };
        bytes = rest;
        let [kind, fields @ ..] = packet else {
            words.push("empty".to_owned());
            continue;
        };
        let mut fields = Fields(fields);
        let number = fields.u32();
        if *kind == 2 {
            let mut pairs = 0;
            while fields.string().and(fields.string()).is_some() {
                pairs += 1;
            }
            words.push(format!("version {}+{pairs}", number.expect("a version")));
            continue;
        }
        let word = fields.answer(*kind).unwrap_or_else(|| format!("{length} bytes of type {kind}"));
        let right = number == Some(next);
        next += u32::from(right);
        words.push(if right { word } else { format!("{word}!") });
    }
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// What each kind answers, where it differs from what the healthy server answers; one line per kind
/// and series of requests. `UPDATE_SNAPSHOTS=1` writes it anew.
const TRANSCRIPTS: &str = "tests/it/hostile/sftp_kinds.txt";

const SERIES: [&str; 3] = ["get", "put", "list"];

fn transcripts(kind: &str) -> [String; 3] {
    SERIES.map(|of| transcript(&answers(kind, requests(of))))
}

/// What `--list` prints: a line for each kind with what it does.
fn list() -> String {
    let output = Command::new(PYTHON[0]).args(&PYTHON[1..]).arg(script()).arg("--list").output();
    String::from_utf8(output.expect("python3").stdout).expect("text")
}

/// The names of all kinds.
pub fn kinds() -> Vec<String> {
    list().lines().filter_map(|line| line.split_once('\t')).map(|(kind, _)| kind.to_owned()).collect()
}

#[test]
fn each_kind_does_what_it_says() {
    let _dog = super::guard("sftp_kinds");
    let list = list();
    let kinds: Vec<(&str, &str)> = list.lines().filter_map(|line| line.split_once('\t')).collect();
    assert!(kinds.len() > 90 && kinds[0].0 == "healthy", "{list}");
    let healthy = transcripts("healthy");
    let lines_of = |&(kind, what): &(&str, &str)| {
        assert!(what.ends_with('.'), "{kind}: {what}");
        let found = if kind == "healthy" { healthy.clone() } else { transcripts(kind) };
        let differs = |at: &usize| kind == "healthy" || found[*at] != healthy[*at];
        let lines = (0..SERIES.len()).filter(differs);
        let lines: String = lines.map(|at| format!("{kind}, {}: {}\n", SERIES[at], found[at])).collect();
        assert_ne!(lines, "", "{kind} behaves");
        lines
    };
    // Most of the time they start, so four at a time.
    let quarter = kinds.len().div_ceil(4);
    let run = |kinds: &[(&str, &str)]| kinds.iter().map(lines_of).collect::<String>();
    let text: String = thread::scope(|scope| {
        let run = &run;
        let start = |kinds| scope.spawn(move || run(kinds));
        let threads: Vec<_> = kinds.chunks(quarter).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("the kinds of one thread")).collect()
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(TRANSCRIPTS);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &text).expect("write");
    }
    let expected = fs::read_to_string(&path).expect("read");
    let faults: Vec<(&str, &str)> =
        text.lines().zip(expected.lines()).filter(|(found, wanted)| found != wanted).collect();
    assert_eq!((faults, text.len()), (Vec::new(), expected.len()));
}
