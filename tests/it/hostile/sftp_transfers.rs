//! Transfers with an SFTP server that breaks the protocol on purpose, in every kind that
//! `sftp_server.py` has.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sshoal::fleet::{CommandId, Started};
use sshoal::transfer::{Get, Links, Put};
use sshoal::{Command, Fleet, HostErrorKind, Outcome, Run};
use tempfile::TempDir;

use super::SLOW;
use super::sftp::{HostileSftp, kinds};
use super::watch::{forget_peak, status, thread_cpu};
use crate::support::fleet::Driven;
use crate::support::keys::ClientKey;
use crate::support::system::{is_rerun, public_dir, rerun};

/// How each kind ends a put, a get of a file and a get of a directory; one line per kind and
/// transfer. `UPDATE_SNAPSHOTS=1` writes it anew.
const OUTCOMES: &str = "tests/it/hostile/sftp_outcomes.txt";

/// Kinds that never answer something. Their transfers end by this limit.
const SILENT: [&str; 5] =
    ["no-version", "silent-after-open", "silent-at-rename", "never-reads", "never-reads-after-open"];
const SILENCE: Duration = Duration::from_secs(8);

/// Kinds whose servers claim to have done what they have not, which no client can see.
const LIARS: [&str; 1] = ["rename-lies"];

/// What is sent: more than the servers that end or fail do so after.
fn new_content() -> Vec<u8> {
    (0..180_000_u32).map(|at| (at % 251) as u8).collect()
}

/// What is fetched: two reads.
static FILE: [u8; 40_000] = [b'f'; 40_000];

/// What the target of a put has before.
const OLD: &[u8] = b"the old file";

/// Where the hosts' files are, and where their copies go.
struct Disk {
    remote: TempDir,
    local: TempDir,
}

impl Disk {
    /// Each host has a directory of its own with `target`, `file` and `folder`.
    fn new(hosts: usize) -> Self {
        let (remote, local) = (public_dir(), tempfile::tempdir().expect("a folder"));
        fs::write(local.path().join("new"), new_content()).expect("written");
        fs::create_dir(local.path().join("copies")).expect("made");
        let disk = Self { remote, local };
        for at in 0..hosts {
            let own = disk.of(at);
            fs::create_dir_all(own.join("folder/inner")).expect("made");
            fs::write(own.join("target"), OLD).expect("written");
            fs::write(own.join("file"), FILE).expect("written");
            fs::write(own.join("folder/good"), "x").expect("written");
            symlink("good", own.join("folder/link")).expect("made");
            for path in ["file", "folder/good"] {
                fs::set_permissions(own.join(path), fs::Permissions::from_mode(0o644)).expect("set");
            }
        }
        disk
    }

    fn of(&self, host: usize) -> PathBuf {
        self.remote.path().join(host.to_string())
    }

    fn copies(&self) -> PathBuf {
        self.local.path().join("copies")
    }
}

/// A path on the host, which is this machine.
fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn fleet(server: &HostileSftp) -> Fleet {
    let sshd = server.sshd();
    let builder = Fleet::builder(server.hosts().iter().map(String::as_str)).port(sshd.port());
    let builder = builder.user(sshd.user()).key_file(sshd.key(ClientKey::Ed25519)).identity_auth(false);
    let builder = builder.allow_agent(false).known_hosts([sshd.known_hosts(server.hosts())]);
    builder.max_attempts(1).timeout(SLOW * 3).build().expect("a fleet")
}

/// Limits what a transfer of this kind may take.
fn limited(kind: &str, work: impl Into<Command>) -> Command {
    work.into().time_limit(if SILENT.contains(&kind) { SILENCE } else { SLOW * 4 })
}

/// A text without the random ends of the names of part files.
fn without_random_names(text: &str) -> String {
    let mut pieces = text.split(".sshoal-");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let is_random = piece.len() >= 16 && piece.bytes().take(16).all(|byte| byte.is_ascii_hexdigit());
        out += ".sshoal-";
        out += if is_random { &piece[16..] } else { piece };
    }
    out
}

/// A fleet with a host for each kind, and how its transfers end.
struct Proof {
    kinds: Vec<String>,
    disk: Disk,
    driven: Driven,
    server: HostileSftp,
    /// A line for each kind and transfer.
    lines: BTreeMap<(usize, &'static str), String>,
}

impl Proof {
    fn new() -> Self {
        // Well-behaved hosts are in the list several times.
        let mut kinds = kinds();
        kinds.extend(["healthy".to_owned(), "healthy".to_owned()]);
        let names: Vec<&str> = kinds.iter().map(String::as_str).collect();
        let server = HostileSftp::start(&names);
        let driven = Driven::new(fleet(&server));
        Self { disk: Disk::new(kinds.len()), kinds, driven, server, lines: BTreeMap::new() }
    }

    /// Runs a transfer on every host to its end, within limits of time, memory and processor time.
    fn run(&mut self, title: &'static str, work: impl Fn(&Disk, &Path) -> Command) -> Vec<Outcome> {
        let hosts = self.driven.fleet.hosts().to_vec();
        let each = hosts.into_iter().zip(&self.kinds).enumerate();
        let each = each.map(|(at, (host, kind))| (host, limited(kind, work(&self.disk, &self.disk.of(at)))));
        let Started { run, commands, .. } = self.driven.fleet.start(Run::each(each)).expect("it starts");
        let before = forget_peak();
        let ended = |driven: &Driven, id: &CommandId| driven.ends.contains_key(id);
        let silent = |at: usize| SILENT.contains(&self.kinds[at].as_str());
        let others: Vec<CommandId> =
            (0..commands.len()).filter(|at| !silent(*at)).map(|at| commands[at]).collect();
        let what = format!("{title}: those that answer");
        self.driven.until(SLOW * 5, &what, |driven| others.iter().all(|id| ended(driven, id)));

        // Nothing is left to do but to wait for those that are silent.
        let (begun, cpu) = (Instant::now(), thread_cpu());
        self.driven.until(SLOW * 2, title, |driven| driven.done(run).is_some());
        let cpu = thread_cpu().saturating_sub(cpu);
        assert!(
            cpu < Duration::from_millis(500),
            "{title}: {cpu:?} of processor time in {:?}",
            begun.elapsed()
        );

        let grown = status("VmHWM:").saturating_sub(before);
        assert!(grown < 48 << 20, "{title}: {grown} bytes more");
        let ends: Vec<Outcome> = commands.iter().map(|id| self.driven.ends[id].clone()).collect();
        for (at, outcome) in ends.iter().enumerate() {
            self.lines.insert((at, title), self.line(at, title, outcome));
            if self.kinds[at] == "healthy" {
                assert!(outcome.is_success(), "{title} of a healthy host: {outcome}");
            }
        }
        ends
    }

    /// What an outcome says, without what differs from run to run.
    fn line(&self, at: usize, title: &str, outcome: &Outcome) -> String {
        let kind = &self.kinds[at];
        let said = match outcome {
            Outcome::Failed(error) => match error.kind() {
                HostErrorKind::Transfer(problem) => problem.to_string(),
                HostErrorKind::Timeout { .. } => "time limit".to_owned(),
                other => other.to_string(),
            },
            other => other.to_string(),
        };
        let said = said.replace(text(&self.disk.of(at)), "DIR").replace(text(&self.disk.copies()), "COPIES");
        let said = without_random_names(&said.replace(&self.server.hosts()[at], "HOST"));
        let short = said.char_indices().nth(220).map_or(&said[..], |(end, _)| &said[..end]);
        format!("{kind}, {title}: {short}\n")
    }

    /// What a put has left on each host: the old file or the new one, and nothing that its outcome
    /// does not name.
    fn check_put(&self, ends: &[Outcome]) {
        let new = new_content();
        for (at, (kind, outcome)) in self.kinds.iter().zip(ends).enumerate() {
            let own = self.disk.of(at);
            let target = fs::read(own.join("target"));
            let is_new = target.as_ref().is_ok_and(|bytes| *bytes == new);
            let is_old = target.as_ref().is_ok_and(|bytes| bytes == OLD);
            assert!(is_new || is_old, "{kind}: the target is a part: {target:?}");
            let is_honest = !LIARS.contains(&kind.as_str());
            assert!(
                !outcome.is_success() || is_new || !is_honest,
                "{kind}: {outcome}, but the target is old"
            );
            let left: Vec<PathBuf> = match outcome {
                Outcome::Failed(error) => {
                    error.left_over().iter().map(|path| PathBuf::from(path.to_string())).collect()
                }
                _ => Vec::new(),
            };
            for entry in fs::read_dir(&own).expect("a directory") {
                let path = entry.expect("an entry").path();
                let is_ours = ["target", "file", "folder"].iter().any(|name| path == own.join(name));
                assert!(is_ours || left.contains(&path) || !is_honest, "{kind}: {path:?} of {outcome}");
            }
        }
    }

    /// What gets have left here: whole files in the directory of their host, and nothing else.
    fn check_gets(&self, files: &[Outcome]) {
        let copies = self.disk.copies();
        let mut found = Vec::new();
        let mut folders = vec![copies.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a directory") {
                let entry = entry.expect("an entry");
                let path = entry.path();
                assert!(found.len() < 500_000, "no end");
                if entry.file_type().expect("a type").is_dir() {
                    folders.push(path.clone());
                }
                found.push(path);
            }
        }
        for path in &found {
            let name = path.file_name().expect("a name").to_string_lossy();
            // One kind has a directory with this file, and names a link like that directory.
            let is_allowed = !name.contains("escape") || path.ends_with("folder/link/escape");
            assert!(is_allowed && !name.contains(".sshoal-"), "{path:?}");
            // A host's files are in its own directory.
            let below: Vec<_> = path.strip_prefix(&copies).expect("below").components().collect();
            let is_its_own =
                below.get(1).is_none_or(|part| ["file", "folder"].iter().any(|own| part.as_os_str() == *own));
            assert!(is_its_own, "{path:?}");
            let mode = fs::symlink_metadata(path).expect("there").permissions().mode();
            assert!(mode & 0o7000 == 0, "{path:?}: {mode:o}");
            if fs::symlink_metadata(path).expect("there").is_symlink() {
                let target = fs::read_link(path).expect("a link");
                assert!(target.is_relative() && !target.starts_with(".."), "{path:?} -> {target:?}");
            }
        }
        assert!(!Path::new("/tmp/sshoal-escape").exists());
        let mut beside: Vec<_> =
            fs::read_dir(self.disk.local.path()).expect("a directory").flatten().collect();
        beside.retain(|entry| entry.file_name() != "new" && entry.file_name() != "copies");
        assert!(beside.is_empty(), "{beside:?}");
        for ((kind, host), outcome) in self.kinds.iter().zip(self.server.hosts()).zip(files) {
            let copy = copies.join(host).join("file");
            assert_eq!(copy.exists(), outcome.is_success(), "{kind}: {outcome}");
            let bytes = fs::read(&copy).unwrap_or_default();
            // Some lie so that a client cannot see it; what is stored is of the size that was said.
            let lies =
                ["size-", "short-reads-for-ever", "endless-file"].iter().any(|lie| kind.starts_with(lie));
            assert!(bytes.is_empty() || lies || bytes == FILE, "{kind}: {} bytes", bytes.len());
        }
    }

    fn check_outcomes(&self) {
        let text: String = self.lines.values().map(String::as_str).collect();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(OUTCOMES);
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&path, &text).expect("write");
        }
        let expected = fs::read_to_string(&path).expect("read");
        let faults: Vec<(&str, &str)> =
            text.lines().zip(expected.lines()).filter(|(found, wanted)| found != wanted).collect();
        assert_eq!((faults, text.lines().count()), (Vec::new(), expected.lines().count()));
    }
}

/// In a separate process, because its memory is measured.
#[test]
fn no_kind_harms_a_transfer_of_another_host_or_this_machine() {
    let _dog = crate::support::alarm::watchdog(Duration::from_secs(300), "sftp_transfers");
    if !is_rerun() {
        let mut alone = rerun(module_path!(), "no_kind_harms_a_transfer_of_another_host_or_this_machine");
        let output = alone.output().expect("run this test's program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let mut proof = Proof::new();
    let puts = proof.run("put", |disk, own| {
        Put::new(disk.local.path().join("new"), text(&own.join("target"))).sync(true).into()
    });
    proof.check_put(&puts);
    let files = proof.run("get of a file", |disk, own| {
        Get::new(text(&own.join("file")), disk.copies().join("{host}/")).into()
    });
    let folders = |disk: &Disk, own: &Path| {
        let get = Get::new(text(&own.join("folder")), disk.copies().join("{host}/"));
        get.recurse(true).links(Links::Copy).max_entries(1000).into()
    };
    proof.run("get of a directory", folders);
    proof.check_outcomes();
    proof.check_gets(&files);
}
