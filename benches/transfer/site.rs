//! A server on loopback, and what is copied to it and from it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::fixtures::delay::Delay;
use super::fixtures::keys::ClientKey;
use super::fixtures::ports;
use super::fixtures::sshd::Sshd;
use super::programs::{Direction, Program, Run};
use super::report::Row;

pub const ROUND_TRIP: Duration = Duration::from_millis(50);

/// Bytes of each file of a directory.
pub const SMALL: u64 = 4_096;

/// What is copied.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// A file of so many bytes.
    File(u64),
    /// A directory of so many small files.
    Tree(usize),
}

impl Content {
    /// The work of a copy, in the unit of the table: MB, or files.
    pub fn amount(self) -> f64 {
        match self {
            Self::File(bytes) => bytes as f64 / 1e6,
            Self::Tree(files) => files as f64,
        }
    }

    fn create(self, path: &Path) {
        match self {
            Self::File(bytes) => fs::write(path, contents(bytes)).unwrap(),
            Self::Tree(files) => {
                fs::create_dir(path).unwrap();
                let text = contents(SMALL);
                (0..files).for_each(|index| fs::write(path.join(format!("file{index}")), &text).unwrap());
            }
        }
    }

    /// Whether this is there.
    fn is_at(self, path: &Path) -> bool {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        match self {
            Self::File(bytes) => size(path) == bytes,
            Self::Tree(files) => {
                (0..files).all(|index| size(&path.join(format!("file{index}"))) == SMALL)
                    && fs::read_dir(path).unwrap().count() == files
            }
        }
    }
}

/// Bytes that no compression or sparse file makes cheap.
pub fn contents(len: u64) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A folder in memory if there is a file system for that: disks are not what is measured.
pub fn memory_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The server, the line to it, and the files.
pub struct Site {
    pub content: Content,
    folder: TempDir,
    pub known_hosts: PathBuf,
    pub key: PathBuf,
    pub address: SocketAddr,
    line: Option<Delay>,
    sshd: Sshd,
}

impl Site {
    pub fn new(content: Content, is_far: bool) -> Self {
        let sshd = Sshd::builder().sftp_server("").start();
        let line = is_far.then(|| {
            let (listener, _) = ports::listen(Ipv4Addr::LOCALHOST.into()).unwrap();
            Delay::start(listener, sshd.address(), ROUND_TRIP).unwrap()
        });
        let address = line.as_ref().map_or(sshd.address(), Delay::address);
        let folder = memory_folder();
        content.create(&folder.path().join("from"));
        let known_hosts = folder.path().join("known_hosts");
        let line_of = |public: &str| format!("[{}]:{} {public}\n", address.ip(), address.port());
        let lines: String = sshd.host_keys().iter().map(|key| line_of(key.public())).collect();
        fs::write(&known_hosts, lines).unwrap();
        let key = sshd.key(ClientKey::Ed25519);
        Self { content, folder, known_hosts, key, address, line, sshd }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    pub fn user(&self) -> &str {
        self.sshd.user()
    }

    pub fn is_far(&self) -> bool {
        self.line.is_some()
    }

    /// Measures all programs in turns.
    pub fn measure(&self, direction: Direction, rounds: usize, own: &dyn Fn() -> Command) -> Row {
        let mut programs = Program::all(self.content, self.is_far());
        programs.retain(Program::is_there);
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); programs.len()];
        for round in 0..rounds {
            eprintln!("{:?}, {direction:?}, round {}", self.content, round + 1);
            for turn in 0..programs.len() {
                // Each begins in turn.
                let index = (turn + round) % programs.len();
                runs[index].push(self.run(&programs[index], direction, own));
            }
        }
        Row {
            content: self.content,
            is_far: self.is_far(),
            direction,
            runs: programs.into_iter().zip(runs).collect(),
        }
    }

    fn run(&self, program: &Program, direction: Direction, own: &dyn Fn() -> Command) -> Run {
        let run = program.run(self, direction, own);
        let copy = self.folder.path().join("to");
        assert!(self.content.is_at(&copy), "{program:?} has not copied everything");
        match self.content {
            Content::File(_) => fs::remove_file(copy).unwrap(),
            Content::Tree(_) => fs::remove_dir_all(copy).unwrap(),
        }
        run
    }
}
