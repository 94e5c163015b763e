//! Tests of the fixtures themselves with OpenSSH's client, which shares no code with the library
//! under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Pid;

use super::dropbear::Dropbear;
use super::eventually;
use super::keys::{ClientKey, KeyPair, KeyType, PASSPHRASE};
use super::openssh_client::Login;
use super::process::{Daemon, is_alive, processes_of};
use super::sshd::{AuthMessage, Sshd};
use super::system::{is_rerun, rerun};
use super::user::TestUser;

const LIMIT: Duration = Duration::from_secs(10);

fn key_login<'a>(sshd: &Sshd, known_hosts: &'a Path, key: ClientKey) -> Login<'a> {
    let secret = (key == ClientKey::Encrypted).then_some(PASSPHRASE);
    Login { known_hosts, user: sshd.user(), key: Some(sshd.key(key)), secret }
}

#[track_caller]
fn assert_output(output: &Output, stdout: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), &*String::from_utf8_lossy(&output.stdout)),
        (Some(0), stdout),
        "{stderr}"
    );
}

#[test]
fn every_key_opens_every_host_of_one_sshd() {
    let sshd = Sshd::builder().host_keys(KeyType::ALL).env("COLOUR", "blue").start();
    let hosts: Vec<String> = sshd.hosts(300).collect();
    assert_eq!((hosts[0].as_str(), hosts[299].as_str()), ("127.0.2.1", "127.0.3.44"));
    let known_hosts = sshd.known_hosts(&hosts);
    for (key, host) in ClientKey::ALL.into_iter().zip([0, 1, 254, 299]) {
        let output =
            key_login(&sshd, &known_hosts, key).run(&hosts[host], sshd.port(), "echo $SHLVL $COLOUR");
        // If the shell that runs the command is bash, it has counted itself.
        let stdout = String::from_utf8_lossy(&output.stdout).replace('6', "5");
        assert_eq!(stdout, "5 blue\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
    let accepted =
        AuthMessage { outcome: "Accepted".into(), method: "publickey".into(), user: sshd.user().into() };
    let messages = sshd.auth_messages();
    assert_eq!(messages.iter().filter(|&message| *message == accepted).count(), 4, "{messages:?}");
}

#[test]
fn ipv6_and_another_host_key() {
    let sshd = Sshd::builder().listen(["::1".parse().expect("an address")]).start();
    assert!(sshd.address().is_ipv6());
    let known_hosts = sshd.known_hosts(["::1"]);
    let login = key_login(&sshd, &known_hosts, ClientKey::Ed25519);
    assert_output(&login.run("::1", sshd.port(), "echo hello"), "hello\n");

    let changed = Sshd::builder().own_host_key(KeyPair::generate(KeyType::Ed25519)).start();
    let old_key = sshd.host_keys()[0].public();
    let stale = changed.dir().join("stale");
    fs::write(&stale, format!("[127.0.0.1]:{} {old_key}\n", changed.port())).expect("write known_hosts");
    let output =
        key_login(&changed, &stale, ClientKey::Ed25519).run("127.0.0.1", changed.port(), "echo hello");
    assert_eq!(output.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&output.stderr).contains("HOST IDENTIFICATION HAS CHANGED"));
    assert_eq!(changed.auth_messages(), []);
}

#[test]
fn a_password_counts_and_a_wrong_one_does_not() {
    let Some(user) = TestUser::create() else {
        return;
    };
    let sshd = Sshd::builder().log_level("DEBUG1").start();
    let known_hosts = sshd.known_hosts(["127.0.0.1"]);
    let login =
        |secret| Login { known_hosts: &known_hosts, user: user.name(), key: None, secret: Some(secret) };

    assert_eq!(sshd.userauth_requests(), 0);
    let output = login(user.password()).run("127.0.0.1", sshd.port(), "id -un; echo $HOME");
    assert_output(&output, &format!("{}\n{}\n", user.name(), user.home().display()));
    assert_eq!(sshd.userauth_requests(), 2, "none, then password");

    let output = login("wrong").run("127.0.0.1", sshd.port(), "echo hello");
    assert_eq!((output.status.code(), &*output.stdout), (Some(255), &b""[..]));
    sshd.await_log("Failed password", 1);
    let messages = sshd.auth_messages();
    let outcomes: Vec<(&str, &str)> =
        messages.iter().map(|message| (message.outcome.as_str(), message.method.as_str())).collect();
    assert_eq!(outcomes, [("Accepted", "password"), ("Failed", "password")]);
    assert!(messages.iter().all(|message| message.user == user.name()));
}

#[test]
fn a_certificate_stands_for_its_authority() {
    let authority = KeyPair::generate(KeyType::Ed25519);
    let stranger = KeyPair::generate(KeyType::Ed25519);
    let sshd = Sshd::builder().authorized_key(&format!("cert-authority {}", authority.public())).start();
    let known_hosts = sshd.known_hosts(["127.0.0.1"]);
    let key = stranger.write(sshd.dir(), "stranger");
    let login = Login { known_hosts: &known_hosts, user: sshd.user(), key: Some(key), secret: None };

    let certificate = sshd.dir().join("stranger-cert.pub");
    for (validity, code) in [(None, 255), (Some("20200101:20200102"), 255), (Some("+1h"), 0)] {
        if let Some(validity) = validity {
            fs::write(&certificate, authority.certify(&stranger, sshd.user(), validity)).expect("write");
        }
        assert_eq!(login.run("127.0.0.1", sshd.port(), "true").status.code(), Some(code), "{validity:?}");
    }
}

#[test]
fn options_and_matches_reach_the_server() {
    let sshd = Sshd::builder()
        .option("Ciphers aes256-ctr")
        .matching("LocalAddress 127.0.2.2", &["ForceCommand echo forced"])
        .start();
    let hosts: Vec<String> = sshd.hosts(2).collect();
    let known_hosts = sshd.known_hosts(&hosts);
    let login = key_login(&sshd, &known_hosts, ClientKey::Ed25519);
    assert_output(&login.run(&hosts[0], sshd.port(), "echo asked"), "asked\n");
    assert_output(&login.run(&hosts[1], sshd.port(), "echo asked"), "forced\n");

    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-c", "aes128-ctr", "-p", &sshd.port().to_string(), &hosts[0], "true"]);
    let output = ssh.stdin(Stdio::null()).output().expect("ssh");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no matching cipher"));
}

/// A command that ignores the end of its connection, in a separate session, without a parent to
/// find it by.
const STRAGGLER: &str = "(setsid sleep 600 </dev/null >/dev/null 2>&1 &); echo started";

#[test]
fn nothing_is_left_after_the_drop() {
    let sshd = Sshd::start();
    let known_hosts = sshd.known_hosts(["127.0.0.1"]);
    let login = key_login(&sshd, &known_hosts, ClientKey::Ed25519);
    assert_output(&login.run("127.0.0.1", sshd.port(), STRAGGLER), "started\n");
    let mut waiting = login.command("127.0.0.1", sshd.port(), sshd.dir());
    let mut waiting =
        waiting.arg("sleep 600").stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("ssh");
    // The listener, two sleeps, and at least one process of the open connection.
    let processes = eventually(LIMIT, "sessions and commands", || {
        let processes = sshd.daemon().processes();
        (processes.len() >= 4 && sleepers(&processes) == 2).then_some(processes)
    });

    let dir = sshd.dir().to_owned();
    let address = sshd.address();
    drop(sshd);
    assert!(processes.iter().all(|&pid| !is_alive(pid)));
    assert!(!dir.exists());
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(waiting.wait().expect("ssh").code(), Some(255));
}

/// Waits for this number of processes, because the server's side of a connection outlives the
/// client's by a moment.
fn await_processes(daemon: &Daemon, count: usize) -> Vec<Pid> {
    eventually(LIMIT, &format!("{count} processes of a server"), || {
        let processes = daemon.processes();
        (processes.len() == count).then_some(processes)
    })
}

fn sleepers(processes: &[Pid]) -> usize {
    let name = |pid: &Pid| fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    processes.iter().filter(|pid| name(pid).is_ok_and(|name| name == "sleep\n")).count()
}

#[test]
fn the_user_is_gone_after_the_drop() {
    let Some(user) = TestUser::create() else {
        return;
    };
    let (name, uid, home) = (user.name().to_owned(), user.uid(), user.home().to_owned());
    let known = || Command::new("id").arg(&name).output().expect("id").status.success();
    assert!(known());
    let sshd = Sshd::start();
    let known_hosts = sshd.known_hosts(["127.0.0.1"]);
    let secret = Some(user.password());
    let login = Login { known_hosts: &known_hosts, user: &name, key: None, secret };
    assert_output(&login.run("127.0.0.1", sshd.port(), STRAGGLER), "started\n");
    // Only the straggler, once the session is over.
    eventually(LIMIT, "one process", || (processes_of(uid).len() == 1).then_some(()));

    drop(user);
    assert!(!known());
    assert!(!home.exists());
    eventually(LIMIT, "no process of the user", || processes_of(uid).is_empty().then_some(()));
}

#[test]
fn dropbear_takes_keys_and_passwords_and_leaves_nothing() {
    let Some(dropbear) = Dropbear::start() else {
        return;
    };
    let known_hosts = dropbear.known_hosts();
    let user = dropbear.user();
    let (host, port) = ("127.0.0.1", dropbear.address().port());
    for key in [ClientKey::Ed25519, ClientKey::Ecdsa] {
        let login = Login {
            known_hosts: &known_hosts,
            user: user.name(),
            key: Some(dropbear.key(key)),
            secret: None,
        };
        assert_output(&login.run(host, port, "id -un"), &format!("{}\n", user.name()));
    }
    dropbear.await_log("Pubkey auth succeeded", 2);
    let login =
        |secret| Login { known_hosts: &known_hosts, user: user.name(), key: None, secret: Some(secret) };
    assert_output(&login(user.password()).run(host, port, STRAGGLER), "started\n");
    assert_eq!(login("wrong").run(host, port, "true").status.code(), Some(255));
    dropbear.await_log("Bad password attempt", 1);

    let processes = await_processes(dropbear.daemon(), 2);
    drop(dropbear);
    assert!(processes.iter().all(|&pid| !is_alive(pid)));
}

#[test]
fn nothing_is_left_when_the_test_is_killed() {
    const REPORT: &str = "SSHOAL_REPORT";
    if is_rerun() {
        let user = TestUser::create();
        let sshd = Sshd::start();
        let known_hosts = sshd.known_hosts(["127.0.0.1"]);
        let login = key_login(&sshd, &known_hosts, ClientKey::Ed25519);
        assert_output(&login.run("127.0.0.1", sshd.port(), STRAGGLER), "started\n");
        let pids = await_processes(sshd.daemon(), 2)
            .iter()
            .map(|pid| pid.as_raw_pid().to_string())
            .collect::<Vec<_>>();
        let user = user.as_ref().map_or("", TestUser::name);
        let text = format!("{}\n{user}\n{}\nend", sshd.dir().display(), pids.join(" "));
        fs::write(std::env::var_os(REPORT).expect("set below"), text).expect("write the report");
        // Long enough to be killed meanwhile, but not endless in case the parent fails.
        std::thread::sleep(LIMIT * 3);
        return;
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    let report = dir.path().join("report");
    let mut child = rerun(module_path!(), "nothing_is_left_when_the_test_is_killed");
    let mut child = child.env(REPORT, &report).spawn().expect("run this test's program");
    let report = eventually(LIMIT * 2, "the report of the child", || {
        fs::read_to_string(&report).ok().filter(|text| text.ends_with("end"))
    });
    child.kill().expect("kill");
    child.wait().expect("wait");

    let mut lines = report.lines();
    let mut next = || lines.next().expect("a line");
    let (dir, user, pids) = (PathBuf::from(next()), next(), next());
    let pids: Vec<Pid> =
        pids.split(' ').map(|pid| pid.parse().ok().and_then(Pid::from_raw).expect("pid")).collect();
    assert_eq!(pids.len(), 2, "the listener and the straggler");
    eventually(LIMIT, "nothing left by a killed test", || {
        let known = !user.is_empty() && Command::new("id").arg(user).output().expect("id").status.success();
        (!known && !dir.exists() && !pids.iter().any(|&pid| is_alive(pid))).then_some(())
    });
}
