//! The process, its addresses, its parent, and the OpenSSH client as an independent check.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use hostsim::{Sim, SimError, Stats};

use crate::support::*;

fn hostsim() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hostsim"))
}

#[test]
fn the_process_ends_with_its_input() {
    let mut child = hostsim().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let port: u16 = first.strip_prefix("listening ").unwrap().parse().unwrap();
    assert!((20_000..32_000).contains(&port));
    stdin.write_all(b"stats\nstats 127.0.0.5\nstats x\nnonsense\n").unwrap();
    for expected in [Some(Stats::default()), Some(Stats::default()), None, None] {
        let line = lines.next().unwrap().unwrap();
        assert_eq!(Stats::from_json(&line), expected, "{line}");
        assert_eq!(expected.is_none(), line.starts_with("error "));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert!(lines.next().is_none());
}

#[test]
fn dropping_the_handle_ends_a_busy_process_at_once() {
    let sim = healthy();
    let proc = PathBuf::from(format!("/proc/{}", sim.pid()));
    run(async {
        let (session, _) = login(&sim, 0).await;
        let _yes = start(&session, "yes").await;
        let _hang = start(&session, "hang").await;
        assert!(proc.exists());
        let start = Instant::now();
        drop(sim);
        assert!(start.elapsed() < Duration::from_secs(2));
    });
    assert!(!proc.exists());
}

#[test]
fn a_process_that_cannot_serve_says_why() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (builder, reason) in [
        (Sim::builder().port(port), "in use"),
        (Sim::builder().rule("* accept:refuse"), "no such fault"),
        (Sim::builder().set("colour", "red"), "not a setting"),
        (Sim::builder().set("host-keys", "rsa").set("other-host-key", "true"), "cannot change"),
        (Sim::builder().password("two\nlines"), "line break"),
    ] {
        let error = builder.spawn(hostsim()).unwrap_err();
        assert!(matches!(&error, SimError::Refused(text) if text.contains(reason)), "{error}");
    }
    let error = Sim::builder().spawn(Command::new("true")).unwrap_err();
    assert!(matches!(error, SimError::Ended), "{error}");
}

#[test]
fn ipv6_is_one_more_host() {
    let sim = spawn(Sim::builder().ipv6().rule("::1 set:auth=none"));
    run(async {
        let (session, _) = connect_with(&sim, Ipv6Addr::LOCALHOST, russh::client::Config::default()).await;
        let mut session = session.unwrap();
        assert!(session.authenticate_none("user").await.unwrap().success());
        assert_eq!(exec(&session, "hostname").await.text(), "::1\n");
    });
    assert_eq!(sim.stats_of(Ipv6Addr::LOCALHOST).unwrap().execs, 1);
}

#[test]
fn addresses_and_texts_of_the_handle() {
    let sim = healthy();
    let port = sim.port();
    assert_eq!(sim.hosts(2), [format!("127.1.0.1:{port}"), format!("127.1.0.2:{port}")]);
    assert_eq!(sim.known_hosts_of(3, false).unwrap().lines().count(), 3);
    let key = sim.host_key_openssh().unwrap();
    assert_eq!(sim.known_hosts_of(1, false).unwrap(), format!("[127.1.0.1]:{port} {key}\n"));
    let others = healthy();
    assert_ne!(others.user_key_openssh().unwrap(), sim.user_key_openssh().unwrap());
    assert_ne!(others.host_key_openssh().unwrap(), key);
}

pub struct Files {
    key: PathBuf,
    known_hosts: PathBuf,
}

/// Writes the files that the OpenSSH client needs.
pub fn files(sim: &Sim, known_hosts: &str) -> Files {
    use std::os::unix::fs::PermissionsExt;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let files = Files {
        key: folder.join(format!("key-{}", sim.pid())),
        known_hosts: folder.join(format!("known_hosts-{}", sim.pid())),
    };
    std::fs::write(&files.key, sim.user_key_openssh().unwrap()).unwrap();
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&files.known_hosts, known_hosts).unwrap();
    files
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_file(&self.key).unwrap();
        std::fs::remove_file(&self.known_hosts).unwrap();
    }
}

fn ssh(sim: &Sim, files: &Files, host: &str, command: &str) -> Output {
    let mut ssh = openssh("ssh", sim, files);
    ssh.args([host, command]).stdin(Stdio::null()).output().expect("the OpenSSH client is installed")
}

/// A program of OpenSSH's client with everything but the host and what follows it.
pub fn openssh(program: &str, sim: &Sim, files: &Files) -> Command {
    let known_hosts = format!("UserKnownHostsFile={}", files.known_hosts.display());
    let strict = ["StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null", &known_hosts];
    let quiet = ["BatchMode=yes", "IdentitiesOnly=yes", "ConnectTimeout=10", "LogLevel=ERROR"];
    let port = format!("Port={}", sim.port());
    let mut command = Command::new(program);
    command.args(["-F", "none", "-o", &port, "-i"]).arg(&files.key);
    for option in strict.iter().chain(&quiet) {
        command.args(["-o", option]);
    }
    command
}

#[test]
fn openssh_gets_exact_output_with_strict_host_key_checking() {
    let sim = healthy();
    let files = files(&sim, &sim.known_hosts().unwrap());
    let output = ssh(&sim, &files, "user@127.1.0.7", "echo out; stderr err; hostname; exit 3");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "out\n127.1.0.7\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");
    assert_eq!(output.status.code(), Some(3));
    let output = ssh(&sim, &files, "user@127.77.0.9", "bytes 1000000");
    assert!(output.stdout == pattern(1_000_000) && output.status.success());
    let stats = sim.stats().unwrap();
    // OpenSSH first tries `none`, then asks whether the key is acceptable, then signs.
    let auth =
        [stats.auth_none, stats.auth_publickey_query, stats.auth_publickey_signed, stats.auth_successes];
    assert_eq!(auth, [2; 4]);
    assert_eq!((stats.userauth_messages(), stats.auth_password, stats.execs), (6, 0, 2));
}

#[test]
fn openssh_agrees_about_known_hosts() {
    let sim = spawn(Sim::builder().rule("127.1.0.3 set:other-host-key=true"));
    for hashed in [false, true] {
        let files = files(&sim, &sim.known_hosts_of(3, hashed).unwrap());
        let known = ssh(&sim, &files, "user@127.1.0.2", "echo in");
        assert_eq!(known.stdout, b"in\n", "hashed: {hashed}");
        let unknown = ssh(&sim, &files, "user@127.1.0.4", "echo in");
        assert_eq!((unknown.status.code(), unknown.stdout.len()), (Some(255), 0));
        let changed = ssh(&sim, &files, "user@127.1.0.3", "echo in");
        assert!(String::from_utf8_lossy(&changed.stderr).contains("HAS CHANGED"));
        assert_eq!(changed.status.code(), Some(255));
    }
    let refused = sim.stats_of(sim.host(2)).unwrap();
    assert_eq!((refused.connections, refused.handshakes, refused.userauth_messages()), (2, 0, 0));
}

#[test]
fn openssh_refuses_channels_that_the_server_opens() {
    let sim = faulty("* exec:opens");
    let files = files(&sim, &sim.known_hosts().unwrap());
    assert_eq!(ssh(&sim, &files, "user@127.1.0.1", "sleep 0.3; echo x").stdout, b"x\n");
    let stats = left_alone(&sim);
    assert_eq!((stats.server_opens, stats.server_opens_refused), (4, 4));
}
