//! The programs that copy, each in processes of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use super::fixtures::openssh_client::Login;
use super::in_process;
use super::measure::Measured;
use super::site::{Content, Site};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Put,
    Get,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
        }
    }
}

/// A program that copies files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    Sshoal,
    Sftp,
    Scp,
    /// On Python, with the folder of its packages, empty if Python knows them.
    Asyncssh(String),
    ParallelSsh,
}

/// One copy by a program.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Of the whole process.
    pub wall: Duration,
    /// Of the process and those that it has started.
    pub cpu: Duration,
    /// Of the copy alone, without the login. Only sshoal tells it.
    pub copying: Option<Duration>,
}

impl Program {
    /// All programs that are able to do this work in an acceptable time.
    pub fn all(content: Content, is_far: bool) -> Vec<Self> {
        let mut all = vec![Self::Sshoal, Self::Sftp, Self::Scp];
        if matches!(content, Content::File(_)) {
            all.extend(asyncssh().map(Self::Asyncssh));
            // It waits for the answer to each write: 32 KiB for a round trip.
            all.extend((!is_far).then_some(Self::ParallelSsh));
        }
        all
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Sshoal => "sshoal",
            Self::Sftp => "sftp",
            Self::Scp => "scp",
            Self::Asyncssh(_) => "asyncssh",
            Self::ParallelSsh => "parallel-ssh",
        }
    }

    pub fn is_there(&self) -> bool {
        let mut python = Command::new("python3");
        let is_there = *self != Self::ParallelSsh
            || python.args(["-c", "import pssh"]).stderr(Stdio::null()).status().is_ok_and(|it| it.success());
        if !is_there {
            eprintln!("not installed: {}", self.name());
        }
        is_there
    }

    /// Copies from `from` to `to` in the folder of the site.
    pub fn run(&self, site: &Site, direction: Direction, own: &dyn Fn() -> Command) -> Run {
        let scratch = tempfile::tempdir().unwrap();
        let mut command = self.command(site, direction, own, scratch.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (began, before) = (Instant::now(), children_cpu());
        let output = command.output().unwrap();
        let (wall, cpu) = (began.elapsed(), children_cpu() - before);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
        let copying = (*self == Self::Sshoal).then(|| {
            let measured: Measured = String::from_utf8(output.stdout).unwrap().parse().unwrap();
            Duration::from_secs_f64(measured.wall_s)
        });
        Run { wall, cpu, copying }
    }

    fn command(
        &self,
        site: &Site,
        direction: Direction,
        own: &dyn Fn() -> Command,
        scratch: &Path,
    ) -> Command {
        let (from, to) = (site.path("from"), site.path("to"));
        let (host, port) = (site.address.ip().to_string(), site.address.port());
        let (key, known_hosts) = (site.key.to_str().unwrap(), site.known_hosts.to_str().unwrap());
        let openssh = |name: &str| {
            let login = Login {
                known_hosts: &site.known_hosts,
                user: site.user(),
                key: Some(site.key.clone()),
                secret: None,
            };
            login.program(name, port, scratch)
        };
        let is_tree = matches!(site.content, Content::Tree(_));
        match self {
            Self::Sshoal => {
                let address = site.address.to_string();
                in_process(own(), &["lone", direction.name(), &address, key, known_hosts, &from, &to])
            }
            Self::Sftp => {
                let batch = scratch.join("batch");
                let recurse = if is_tree { " -r" } else { "" };
                fs::write(&batch, format!("{}{recurse} {from} {to}\n", direction.name())).unwrap();
                let mut sftp = openssh("sftp");
                sftp.arg("-b").arg(batch).arg(host);
                sftp
            }
            Self::Scp => {
                let mut scp = openssh("scp");
                scp.arg("-q").args(is_tree.then_some("-r"));
                match direction {
                    Direction::Put => scp.arg(from).arg(format!("{host}:{to}")),
                    Direction::Get => scp.arg(format!("{host}:{from}")).arg(to),
                };
                scp
            }
            Self::Asyncssh(packages) => {
                let mut python = script(self, site, direction);
                python.env("PYTHONPATH", packages);
                python
            }
            Self::ParallelSsh => script(self, site, direction),
        }
    }
}

fn script(program: &Program, site: &Site, direction: Direction) -> Command {
    let mut python = Command::new("python3");
    // Write no bytecode into the source folder.
    python.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/transfer/programs.py"));
    python.args([program.name(), direction.name(), &site.address.ip().to_string()]);
    python.arg(site.address.port().to_string()).arg(site.user()).arg(&site.key).arg(&site.known_hosts);
    python.args([site.path("from"), site.path("to")]);
    python
}

/// The folder of asyncssh's packages. `None` if PyPI cannot be reached.
fn asyncssh() -> Option<String> {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/asyncssh")).output().unwrap();
    if !output.status.success() {
        eprintln!("not installed: asyncssh: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// The CPU time of all processes that this one has started and that have ended, and of those that
/// they waited for.
fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}
