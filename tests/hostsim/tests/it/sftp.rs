//! The SFTP server of simulated hosts, seen by OpenSSH's `sftp` and `scp`, and beside OpenSSH's
//! `sftp-server`.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use hostsim::{FileKind, RemoteFile, Sim, digest};

use crate::process::{Files, files, openssh};
use crate::support::*;

const SERVER: &str = "/usr/lib/openssh/sftp-server";

/// A folder that is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn known(sim: &Sim) -> Files {
    files(sim, &sim.known_hosts().unwrap())
}

fn with_input(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("OpenSSH's client and server are installed");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that has ended does not read.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Runs `sftp` with these commands, in `folder`.
fn sftp(sim: &Sim, files: &Files, host: &str, folder: &Folder, commands: &str) -> Output {
    let mut sftp = openssh("sftp", sim, files);
    with_input(sftp.args(["-b", "-"]).arg(host).current_dir(&folder.0), commands.as_bytes())
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn fails(output: &Output, reason: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains(reason), "{}: {stderr}", output.status);
}

#[track_caller]
fn file<'a>(files: &'a [RemoteFile], path: &str) -> &'a RemoteFile {
    let names: Vec<_> = files.iter().map(|file| String::from_utf8_lossy(&file.path)).collect();
    files.iter().find(|file| file.path == path.as_bytes()).unwrap_or_else(|| panic!("{path} in {names:?}"))
}

fn content(bytes: &[u8]) -> FileKind {
    FileKind::File { size: bytes.len() as u64, digest: Some(digest(bytes)) }
}

#[test]
fn sftp_puts_and_gets_files_of_any_size() {
    let sim = spawn(Sim::builder().set("sftp-keep", "3000000"));
    let (known, folder) = (known(&sim), Folder::new("put"));
    let (kept, summed) = (pattern(3_000_000), pattern(7_000_001));
    let small = folder.write("kept", &kept, 0o640);
    folder.write("summed", &summed, 0o600);
    folder.write("empty", b"", 0o644);
    let commands = "put -p kept\nput -f summed\nput empty /home/none\nget -p kept back\n";
    succeeds(&sftp(&sim, &known, "user@127.1.0.1", &folder, commands));
    assert!(fs::read(folder.0.join("back")).unwrap() == kept);
    let (there, back) = (fs::metadata(small).unwrap(), fs::metadata(folder.0.join("back")).unwrap());
    assert_eq!((back.mode(), back.mtime()), (there.mode(), there.mtime()));

    let disk = sim.files_of(sim.host(0)).unwrap();
    assert_eq!(disk.len(), 3);
    let found = file(&disk, "/home/kept");
    assert_eq!((&found.kind, found.mode), (&content(&kept), 0o640));
    assert_eq!(i64::from(found.modified), there.mtime());
    assert_eq!(file(&disk, "/home/summed").kind, content(&summed));
    assert_eq!(file(&disk, "/home/none").kind, content(b""));
    fails(&sftp(&sim, &known, "user@127.1.0.1", &folder, "get summed"), "Failure");
    assert_eq!(sim.files_of(sim.host(1)).unwrap(), [], "each host has its own disk");

    let stats = left_alone(&sim);
    assert_eq!((stats.sftp_written, stats.sftp_read, stats.sftp_fsyncs), (10_000_001, 3_000_000, 1));
    assert_eq!((stats.sftp_sessions, stats.sftp_handles_now, stats.sftp_violations), (2, 0, 0));
}

#[test]
fn sftp_changes_names_links_and_permissions() {
    let sim = healthy();
    let (known, folder) = (known(&sim), Folder::new("names"));
    folder.write("a", b"first", 0o644);
    folder.write("b", b"second", 0o644);
    let commands = "mkdir d\nput a d/a\nput b d/b\nrename d/a d/b\nsymlink d e\nmkdir empty\n\
                    rename d moved\nchmod 400 moved/b\nls -ln moved\nrmdir empty\nln -s moved f\nget f/b c\n";
    let printed = succeeds(&sftp(&sim, &known, "user@127.1.0.1", &folder, commands));
    assert!(printed.contains("-r--------"), "{printed}");
    assert_eq!(fs::read(folder.0.join("c")).unwrap(), b"first");
    let disk = sim.files_of(sim.host(0)).unwrap();
    let names: Vec<_> = disk.iter().map(|file| std::str::from_utf8(&file.path).unwrap()).collect();
    assert_eq!(names, ["/home/e", "/home/f", "/home/moved", "/home/moved/b"]);
    assert_eq!(file(&disk, "/home/f").kind, FileKind::Symlink { target: b"moved".to_vec() });
    assert_eq!(file(&disk, "/home/moved/b").mode, 0o400);
    for (command, reason) in [
        ("put a moved/b", "Permission denied"),
        ("get e/b", "not found"),
        ("rmdir moved", "Failure"),
        ("mkdir moved", "Failure"),
        ("rm moved", "Failure"),
        ("rename none some", "No such file"),
        ("put a none/a", "No such file"),
    ] {
        fails(&sftp(&sim, &known, "user@127.1.0.1", &folder, command), reason);
    }
    assert_eq!(sim.files_of(sim.host(0)).unwrap(), disk);
}

#[test]
fn trees_survive_both_ways_and_scp_works_too() {
    let sim = healthy();
    let (known, folder) = (known(&sim), Folder::new("trees"));
    folder.write("tree/one", b"1", 0o600);
    folder.write("tree/inner/two", b"22", 0o755);
    fs::create_dir(folder.0.join("tree/empty")).unwrap();
    for number in 0..250 {
        folder.write(&format!("tree/many/{number}"), number.to_string().as_bytes(), 0o644);
    }
    succeeds(&sftp(&sim, &known, "user@127.1.0.1", &folder, "put -rp tree\nget -rp tree back\n"));
    let diff = Command::new("diff").args(["-r", "tree", "back"]).current_dir(&folder.0).output().unwrap();
    succeeds(&diff);
    let mode = |path: &str| fs::metadata(folder.0.join(path)).unwrap().mode();
    assert_eq!((mode("back/one"), mode("back/inner/two")), (0o100_600, 0o100_755));

    let mut scp = openssh("scp", &sim, &known);
    let output = scp.args(["-r", "tree/inner", "user@127.1.0.9:"]).current_dir(&folder.0).output().unwrap();
    succeeds(&output);
    let disk = sim.files_of(sim.host(8)).unwrap();
    assert_eq!(file(&disk, "/home/inner/two").kind, content(b"22"));
}

#[test]
fn files_of_any_size_exist_from_the_beginning() {
    let sim = spawn(
        Sim::builder()
            .set("sftp-files", "data/middle=3000000,/etc/hosts=120,data/huge=5000000000000")
            .rule("127.1.0.2 set:sftp-files=other=5"),
    );
    let (known, folder) = (known(&sim), Folder::new("source"));
    let commands = "get data/middle\nget /etc/hosts\nls -l data\n";
    let printed = succeeds(&sftp(&sim, &known, "user@127.1.0.1", &folder, commands));
    assert!(printed.contains("5000000000000"), "{printed}");
    assert!(fs::read(folder.0.join("middle")).unwrap() == pattern(3_000_000));
    assert!(fs::read(folder.0.join("hosts")).unwrap() == pattern(120));
    let disk = sim.files_of(sim.host(0)).unwrap();
    let names: Vec<_> = disk.iter().map(|file| std::str::from_utf8(&file.path).unwrap()).collect();
    assert_eq!(names, ["/etc", "/etc/hosts", "/home/data", "/home/data/huge", "/home/data/middle"]);
    let others = sim.files_of(sim.host(1)).unwrap();
    assert_eq!((others.len(), &others[0].kind), (1, &FileKind::File { size: 5, digest: None }));
    succeeds(&sftp(&sim, &known, "user@127.1.0.1", &folder, "put hosts data/middle\nrm data/huge\n"));
    let disk = sim.files_of(sim.host(0)).unwrap();
    assert_eq!((disk.len(), &file(&disk, "/home/data/middle").kind), (4, &content(&pattern(120))));
}

#[test]
fn hosts_may_lack_the_subsystem_or_extensions_or_space() {
    let sim = spawn(
        Sim::builder()
            .rule("127.1.0.1 set:sftp=false")
            .rule("127.1.0.2 set:sftp-extensions=")
            .rule("127.1.0.3 set:sftp-limits=34000,4096,2048,2")
            .rule("127.1.0.4 set:sftp-space=2000000"),
    );
    let (known, folder) = (known(&sim), Folder::new("less"));
    let bytes = pattern(1_000_000);
    folder.write("a", &bytes, 0o644);
    let run = |host: &str, commands: &str| sftp(&sim, &known, &format!("user@{host}"), &folder, commands);
    fails(&run("127.1.0.1", "pwd"), "subsystem request failed");

    // Without posix-rename, the client renames by version 3, which does not replace.
    fails(&run("127.1.0.2", "put a\nput a b\nrename a b\n"), "Failure");
    succeeds(&run("127.1.0.3", "put a\nput a b\nrename a b\nget b c\n"));
    assert!(fs::read(folder.0.join("c")).unwrap() == bytes);
    let stats = sim.stats_of(sim.host(2)).unwrap();
    assert_eq!((stats.sftp_written, stats.sftp_violations), (2_000_000, 0));
    assert!(stats.sftp_requests > 2 * 1_000_000 / 2048, "{stats:?}");

    succeeds(&run("127.1.0.4", "put a\nput a b\nrm a\nput a\n"));
    fails(&run("127.1.0.4", "put a c\n"), "");
    succeeds(&run("127.1.0.4", "rm b\nput a c\n"));
}

#[test]
fn a_session_can_break_in_the_middle() {
    let sim = spawn(Sim::builder().rule("* stream@500:rst").set("sftp-limits", "34000,4096,4096,9"));
    let (known, folder) = (known(&sim), Folder::new("break"));
    folder.write("a", &pattern(1_000_000), 0o644);
    fails(&sftp(&sim, &known, "user@127.1.0.1", &folder, "put a\n"), "");
    let stats = left_alone(&sim);
    assert_eq!((stats.sftp_handles_now, stats.retired), (0, 1));
    assert!(stats.sftp_written > 0);
}

fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    [&u32::try_from(body.len() + 1).unwrap().to_be_bytes()[..], &[kind], &body].concat()
}

fn string(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

/// Splits a stream of packets.
fn packets(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let (packet, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*head)).unwrap());
        found.push(packet);
        bytes = rest;
    }
    found
}

/// The next `count` packets with their lengths.
fn read_packets(stream: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        bytes.extend(head);
        stream.take(u32::from_be_bytes(head).into()).read_to_end(&mut bytes).unwrap();
    }
    bytes
}

/// The subsystem's answers to `input`, until it ends, and the exit status.
fn subsystem(sim: &Sim, files: &Files, host: &str, input: &[u8]) -> (Vec<u8>, Option<i32>) {
    let output = with_input(openssh("ssh", sim, files).args(["-s", host, "sftp"]), input);
    (output.stdout, output.status.code())
}

const INIT: [u8; 9] = [0, 0, 0, 5, 1, 0, 0, 0, 3];

#[test]
fn requests_wait_for_one_another_where_the_host_is_slow() {
    let sim = spawn(Sim::builder().set("sftp-delay", "30"));
    let known = known(&sim);
    let mut input = INIT.to_vec();
    for id in 0..9_u32 {
        input.extend(packet(17, &[&id.to_be_bytes(), &string(b".")]));
    }
    let start = Instant::now();
    let (answers, status) = subsystem(&sim, &known, "user@127.1.0.1", &input);
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    assert_eq!((packets(&answers).len(), status), (10, Some(0)));
}

#[test]
fn what_violates_the_protocol_ends_the_session() {
    let sim = spawn(Sim::builder().set("sftp-limits", "100,100,10,5"));
    let known = known(&sim);
    let write = packet(6, &[&[0; 4], &string(&[0; 4]), &[0; 8], &string(&[7; 11])]);
    let open = packet(3, &[&[0; 4], &string(b"a"), &10_u32.to_be_bytes(), &[0; 4]]);
    let run = |packets: &[&[u8]]| subsystem(&sim, &known, "user@127.1.0.1", &packets.concat());
    for bad in [&[0, 0, 0, 101][..], &[0, 0, 0, 0], &[255; 4], &packet(17, &[&[0; 4], &[0, 0, 0, 9]])] {
        let (answers, status) = run(&[&INIT, bad, &open]);
        assert_eq!((packets(&answers).len(), status), (1, Some(11)), "{bad:?}");
    }
    assert_eq!(run(&[&open]).1, Some(11), "no INIT");
    assert_eq!(left_alone(&sim).sftp_violations, 5);
    // One byte more than a write may have.
    let (answers, status) = run(&[&INIT, &open, &write]);
    assert_eq!((packets(&answers)[2][..9].to_vec(), status), (vec![101, 0, 0, 0, 0, 0, 0, 0, 4], Some(0)));
}

/// Requests whose answers are the same from OpenSSH's server: what exists is that server's business
/// in both cases.
fn script() -> Vec<Vec<u8>> {
    let mut id = 0_u32;
    let mut requests = Vec::new();
    let mut ask = |kind: u8, fields: &[&[u8]]| {
        let head = id.to_be_bytes();
        requests.push(packet(kind, &[&[&head[..]], fields].concat()));
        id += 1;
    };
    let path = |text: &str| string(text.as_bytes());
    let mode = |mode: u32| [&4_u32.to_be_bytes()[..], &mode.to_be_bytes()].concat();
    let size = |size: u64| [&1_u32.to_be_bytes()[..], &size.to_be_bytes()].concat();
    let flags = |flags: u32| flags.to_be_bytes();
    let handle = |number: u32| string(&number.to_be_bytes());
    let at = |offset: u64| offset.to_be_bytes();
    // Create, write beyond the end, read, read at the end, close, use after close.
    ask(3, &[&path("a"), &flags(2 | 8 | 32), &mode(0o640)]);
    ask(6, &[&handle(0), &at(5), &string(b"hello")]);
    ask(5, &[&handle(0), &at(0), &flags(100)]);
    ask(4, &[&handle(0)]);
    ask(4, &[&handle(0)]);
    ask(6, &[&handle(0), &at(5), &string(b"late")]);
    ask(3, &[&path("a"), &flags(2 | 8 | 32), &mode(0o640)]);
    ask(3, &[&path("none"), &flags(1), &mode(0)]);
    ask(3, &[&path("none/a"), &flags(2 | 8), &mode(0o644)]);
    ask(3, &[&path("a/b"), &flags(2 | 8), &mode(0o644)]);
    // Names.
    ask(14, &[&path("d"), &mode(0o755)]);
    ask(14, &[&path("d"), &mode(0o755)]);
    ask(14, &[&path("d/e"), &mode(0o755)]);
    ask(14, &[&path("x/y"), &mode(0o755)]);
    ask(15, &[&path("d")]);
    ask(15, &[&path("a")]);
    ask(13, &[&path("d")]);
    ask(13, &[&path("none")]);
    ask(18, &[&path("a"), &path("d")]);
    ask(18, &[&path("a"), &path("none/a")]);
    ask(18, &[&path("d"), &path("d/e/f")]);
    ask(18, &[&path("a"), &path("d/a")]);
    ask(3, &[&path("other"), &flags(2 | 8), &mode(0o600)]);
    ask(18, &[&path("other"), &path("d/a")]);
    ask(20, &[&path("d/a"), &path("l")]);
    ask(20, &[&path("d/a"), &path("l")]);
    ask(20, &[&path("loop"), &path("loop")]);
    ask(20, &[&path("nowhere"), &path("dangling")]);
    ask(19, &[&path("l")]);
    ask(19, &[&path("d")]);
    ask(19, &[&path("none")]);
    ask(17, &[&path("loop")]);
    ask(17, &[&path("dangling")]);
    ask(17, &[&path("l")]);
    ask(7, &[&path("none")]);
    ask(9, &[&path("l"), &size(3)]);
    ask(9, &[&path("l"), &size(8)]);
    ask(9, &[&path("none"), &mode(0o600)]);
    ask(16, &[&path("d/../d/./a")]);
    ask(16, &[&path("l")]);
    ask(16, &[&path("none")]);
    ask(16, &[&path("none/none")]);
    // Extensions, and what there is not.
    let extension = |name: &str| path(&format!("{name}@openssh.com"));
    ask(200, &[&extension("posix-rename"), &path("l"), &path("d/a")]);
    ask(200, &[&extension("posix-rename"), &path("d/a"), &path("d/e")]);
    ask(200, &[&extension("posix-rename"), &path("none"), &path("d/e")]);
    ask(200, &[&extension("posix-rename"), &path("d"), &path("moved")]);
    ask(200, &[&extension("fsync"), &handle(9)]);
    ask(200, &[&extension("nonsense"), &path("x")]);
    ask(11, &[&path("none")]);
    ask(11, &[&path("moved")]);
    requests
}

/// What must agree of an answer: its type, its status, its data, and names relative to the folder.
fn essence(answer: &[u8], folder: &[u8]) -> Vec<u8> {
    match answer[0] {
        101 => answer[..9].to_vec(),
        // The count and the first name; what follows describes it, in words.
        104 => {
            let length = usize::try_from(u32::from_be_bytes(answer[9..13].try_into().unwrap())).unwrap();
            let name = &answer[13..13 + length];
            [&answer[..9], name.strip_prefix(folder).unwrap_or(name)].concat()
        }
        // Type and id: numbers of handles, owners and times differ.
        102 | 105 => answer[..5].to_vec(),
        _ => answer.to_vec(),
    }
}

#[test]
fn answers_are_those_of_openssh() {
    let sim = healthy();
    let (known, folder) = (known(&sim), Folder::new("oracle"));
    let requests = script();
    let input = [&INIT[..], &requests.concat()].concat();
    let mut server = Command::new(SERVER);
    // It loses answers if its input ends before they are written.
    let mut server =
        server.arg("-d").arg(&folder.0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    server.stdin.as_mut().unwrap().write_all(&input).unwrap();
    let theirs = read_packets(server.stdout.as_mut().unwrap(), requests.len() + 1);
    assert!(server.wait().unwrap().success());
    let ours = subsystem(&sim, &known, "user@127.1.0.1", &input).0;
    let (ours, theirs) = (packets(&ours), packets(&theirs));
    assert_eq!((ours.len(), theirs.len()), (requests.len() + 1, requests.len() + 1));
    let root = folder.0.to_str().unwrap().as_bytes();
    let mut faults = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let (ours, theirs) = (essence(ours[index + 1], b"/home"), essence(theirs[index + 1], root));
        if ours != theirs {
            faults.push(format!("{:?}: {ours:?} for {theirs:?}", String::from_utf8_lossy(request)));
        }
    }
    assert_eq!(faults, [""; 0]);
    // What is left is the same too.
    let mut left = Vec::new();
    let find = Command::new("find").args([".", "-mindepth", "1"]).current_dir(&folder.0).output().unwrap();
    for line in succeeds(&find).lines() {
        left.push(format!("/home{}", line.strip_prefix('.').unwrap()).into_bytes());
    }
    left.sort();
    let disk: Vec<_> = sim.files_of(sim.host(0)).unwrap().into_iter().map(|file| file.path).collect();
    assert_eq!(disk, left);
}
