//! Single options of OpenSSH's configuration, with real servers and beside OpenSSH's own client.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use sshoal::error::AuthProblem;
use sshoal::hostkey::HostKeyProblem;
use sshoal::{Command, HostErrorKind, HostOutput, JoinOptions, Outcome, ParallelClient};

use super::ssh_config::{File, key};
use super::{SLOW, build, client_at, client_for, guard, join, rest, run_one, start_error, stdout};
use crate::support::agent::Agent;
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::ports;
use crate::support::sshd::Sshd;

const A: &str = "127.0.2.1";
const MIB: usize = 1 << 20;

/// The options that every host needs.
fn basics(sshd: &Sshd) -> String {
    format!(
        "Host web*\n HostName {A}\n Port {}\n User {}\n IdentityFile {}\n IdentitiesOnly yes\n \
         UserKnownHostsFile {}\n",
        sshd.port(),
        sshd.user(),
        key(sshd, ClientKey::Ed25519),
        sshd.known_hosts([A, "::1"]).display(),
    )
}

/// The lines that a login shell prints, without line ends of a terminal.
fn shell_lines(client: &mut ParallelClient) -> Vec<String> {
    let outputs = client.run_command(Command::login_shell().stdin("")).expect("it starts");
    join(client, &outputs);
    lines(&outputs[0])
}

fn lines(output: &HostOutput) -> Vec<String> {
    stdout(output).iter().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn a_remote_command_replaces_login_shells_only() {
    let _dog = guard("ssh_config_remote_command");
    let sshd = Sshd::start();
    let file = File::write(&sshd, &format!("{} RemoteCommand echo instead %n\n", basics(&sshd)));
    assert_eq!(file.ssh("web1", &[]), ["instead web1"]);
    let refused = file.ssh_fails("web1", &["echo given"]);
    assert!(refused.contains("Cannot execute command-line and remote command"), "{refused}");
    let mut client = build(file.builder("web1"));
    assert_eq!(shell_lines(&mut client), ["instead web1"]);
    // A fleet's command runs all the same.
    assert_eq!(run_one(&mut client, "echo given"), ["given"]);
    let mut shell = build(file.builder("web1").remote_command("none"));
    let outputs = shell.run_command(Command::login_shell().stdin("echo shell\n")).expect("it starts");
    join(&shell, &outputs);
    assert_eq!(lines(&outputs[0]).last().map(String::as_str), Some("shell"));
}

#[test]
fn a_subsystem_can_be_the_login_shell() {
    let _dog = guard("ssh_config_subsystem");
    let sshd = Sshd::builder().option("Subsystem sftp internal-sftp").start();
    let text = format!("{} SessionType subsystem\n RemoteCommand sftp\n", basics(&sshd));
    let mut client = build(File::write(&sshd, &text).builder("web1"));
    let outputs = client.run_command(Command::login_shell()).expect("it starts");
    // SSH_FXP_INIT and SSH_FXP_VERSION.
    outputs[0].stdin().write_all(&[0, 0, 0, 5, 1, 0, 0, 0, 3]).expect("queued");
    let mut version = [0; 9];
    outputs[0].stdout_reader().read_exact(&mut version).expect("an answer");
    assert_eq!(version[4..], [2, 0, 0, 0, 3]);
    join(&client, &outputs);
    assert_eq!(run_one(&mut client, "echo given"), ["given"], "ssh would ask for a subsystem of this name");
}

/// Standard input of `ssh` is not a terminal here, as it is in a fleet.
#[test]
fn a_terminal_is_there_when_ssh_would_have_one_without_a_local_one() {
    let _dog = guard("ssh_config_request_tty");
    let sshd = Sshd::start();
    let is_terminal = |lines: Vec<String>| match lines.as_slice() {
        [line] if line.trim_end() == "not a tty" => false,
        [line] if line.starts_with("/dev/pts/") => true,
        other => panic!("{other:?}"),
    };
    for (word, expected) in [("no", false), ("auto", false), ("yes", false), ("force", true)] {
        let file = File::write(&sshd, &format!("{} RequestTTY {word}\n", basics(&sshd)));
        assert_eq!(is_terminal(file.ssh("web1", &["tty; true"])), expected, "ssh, {word}");
        let mut client = build(file.builder("web1"));
        assert_eq!(is_terminal(run_one(&mut client, "tty; true")), expected, "{word}");
        // What the command says precedes it, like `ssh -T` and `ssh -tt`.
        for on in [false, true] {
            let outputs = client.run_command(Command::new("tty; true").use_pty(on)).expect("it starts");
            join(&client, &outputs);
            assert_eq!(is_terminal(lines(&outputs[0])), on, "{word}");
        }
    }
    // A shell on a terminal of the host's settings is closed by `exit`.
    let mut client =
        build(File::write(&sshd, &format!("{} RequestTTY force\n", basics(&sshd))).builder("web1"));
    let shells = client.open_shell().expect("it starts");
    shells[0].run("tty; exit 7").expect("queued");
    client.join_shells(&shells, JoinOptions::default().timeout(SLOW)).expect("it ends");
    assert!(lines(&shells[0]).iter().any(|line| line.contains("/dev/pts/")));
    let shells = client.open_shell().expect("it starts");
    client.join_shells(&shells, JoinOptions::default().timeout(SLOW)).expect("it ends");
    assert!(matches!(shells[0].outcome(), Some(Outcome::Exited(_))), "{:?}", shells[0].outcome());
}

#[test]
fn rsa_keys_have_the_size_that_the_file_requires() {
    let _dog = guard("ssh_config_rsa_size");
    let sshd = Sshd::builder().host_keys([KeyType::Rsa, KeyType::Ed25519]).log_level("DEBUG1").start();
    let with = |lines: &str| File::write(&sshd, &format!("{}{lines}\n", basics(&sshd)));
    // The server's key has 3,072 bits.
    for (bits, is_enough) in [(3072, true), (3073, false)] {
        let file = with(&format!(" HostKeyAlgorithms rsa-sha2-512\n RequiredRSASize {bits}"));
        if is_enough {
            assert_eq!(file.ssh("web1", &["echo in"]), ["in"]);
            assert_eq!(run_one(&mut build(file.builder("web1")), "echo in"), ["in"]);
            continue;
        }
        let by_ssh = file.ssh_fails("web1", &["echo in"]);
        assert!(by_ssh.contains("Invalid key length"), "{by_ssh}");
        let error = start_error(file.builder("web1"));
        let HostErrorKind::HostKey(problem) = error.kind() else { panic!("{error}") };
        let HostKeyProblem::TooShort { bits: 3072, required: 3073, .. } = problem.problem() else {
            panic!("{error}")
        };
    }
    // The user's key has as many, in a file or in an agent. It is not offered.
    let rsa = key(&sshd, ClientKey::Rsa);
    let agent = Agent::with_keys([ClientKey::Rsa.pair()]);
    let in_agent = format!("IdentityAgent {}\n IdentityFile none", agent.socket().display());
    let plain = format!("IdentityFile {}\n IdentitiesOnly yes", key(&sshd, ClientKey::Ed25519));
    for of_user in [format!("IdentityFile {rsa}"), in_agent] {
        let basics = basics(&sshd).replace(&plain, &of_user);
        let with = |bits: u32| File::write(&sshd, &format!("{basics} RequiredRSASize {bits}\n"));
        let enough = with(3072);
        assert_eq!(enough.ssh("web1", &["echo in"]), ["in"]);
        assert_eq!(run_one(&mut build(enough.builder("web1")), "echo in"), ["in"]);
        let short = with(3073);
        let by_ssh = short.ssh_fails("web1", &["echo in"]);
        assert!(by_ssh.contains("Permission denied"), "{by_ssh}");
        let offered = sshd.userauth_requests();
        let error = start_error(short.builder("web1"));
        let HostErrorKind::Auth { problems, .. } = error.kind() else { panic!("{error}") };
        assert!(matches!(&problems[..], [AuthProblem::Unable { .. }]), "{error}");
        assert!(error.to_string().contains("size 3072"), "{error}");
        assert!(sshd.userauth_requests() - offered <= 1, "{}", sshd.log());
    }
}

/// Prints this many bytes and reads as many.
fn exchange(client: &mut ParallelClient, bytes: usize) {
    let printed = client.run_command(format!("head -c {bytes} /dev/zero | tr '\\0' x")).expect("it starts");
    join(client, &printed);
    assert_eq!(rest(&printed[0]).0.concat().len(), bytes);
    let counted = client.run_command(Command::new("wc -c").stdin(vec![b'y'; bytes])).expect("it starts");
    join(client, &counted);
    assert_eq!(lines(&counted[0]), [bytes.to_string()]);
}

/// How many key exchanges have begun, and how many have ended, once `sshd` logs no more of them.
/// The last bytes of a command may have begun one, which goes on with the next call of the client.
fn key_exchanges(sshd: &Sshd) -> (usize, usize) {
    const QUIET: Duration = Duration::from_millis(500);

    let counts = || (sshd.count("SSH2_MSG_KEXINIT received"), sshd.count("SSH2_MSG_NEWKEYS received"));
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let before = counts();
        thread::sleep(QUIET);
        if before == counts() {
            return before;
        }
        assert!(Instant::now() < end, "key exchanges go on: {before:?}");
    }
}

/// Also when both ends begin at the same time.
#[test]
fn new_keys_are_asked_for_after_the_bytes_of_the_limit() {
    let _dog = guard("ssh_config_rekey_bytes");
    for of_server in ["default", "1M"] {
        let sshd = Sshd::builder().option(&format!("RekeyLimit {of_server}")).log_level("DEBUG1").start();
        let file = File::write(&sshd, &format!("{} RekeyLimit 1M\n", basics(&sshd)));
        let mut client = build(file.builder("web1"));
        exchange(&mut client, 16 * MIB);
        // Short commands, whose messages are no output.
        for _ in 0..50 {
            assert_eq!(run_one(&mut client, "echo in"), ["in"]);
        }
        assert_eq!(sshd.count("Accepted publickey"), 1, "one connection");
        let (_, keys) = key_exchanges(&sshd);
        assert!((20..=80).contains(&keys), "{keys} key exchanges");
        // Without a limit, this end asks for none.
        if of_server == "default" {
            let mut unlimited = build(client_for(&sshd, [A]));
            exchange(&mut unlimited, 16 * MIB);
            assert_eq!(key_exchanges(&sshd).1, keys + 1);
        }
    }
}

/// 64 KiB is the least that is allowed, and requests alone reach it.
#[test]
fn new_keys_for_requests_are_no_attack() {
    let _dog = guard("rekey_requests");
    let sshd = Sshd::builder().log_level("DEBUG1").option("AcceptEnv A*").start();
    let value = "x".repeat(8 * 1024);
    let variables: Vec<(String, String)> = (0..8).map(|n| (format!("A{n}"), value.clone())).collect();
    let mut client = build(client_for(&sshd, [A]).rekey_bytes(64 * 1024).env(variables));
    for _ in 0..30 {
        assert_eq!(run_one(&mut client, "true"), [""; 0]);
    }
    assert_eq!(sshd.count("Accepted publickey"), 1, "{}", sshd.log());
    assert!(sshd.count("SSH2_MSG_NEWKEYS received") > 20);
}

/// Forwards one connection. Bytes to the server wait for a tenth of a second, and pass slowly.
fn narrow_line(server: SocketAddr) -> SocketAddr {
    let (listener, address) = ports::listen([127, 0, 0, 1].into()).expect("listen");
    thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut server = TcpStream::connect(server).expect("the server is there");
        let (mut back, mut there) =
            (server.try_clone().expect("a copy"), client.try_clone().expect("a copy"));
        thread::spawn(move || std::io::copy(&mut back, &mut there));
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            // A small message waits for a round trip; large ones share the wait.
            thread::sleep(Duration::from_millis(if read < 8 * 1024 { 50 } else { 5 }));
            if server.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
        let _ = server.shutdown(Shutdown::Write);
    });
    address
}

/// What is written while this end waits for the server's part of an exchange stays in libssh.
#[test]
fn little_is_held_back_while_new_keys_are_awaited() {
    let _dog = guard("rekey_upload");
    let sshd = Sshd::builder().log_level("DEBUG1").start();
    let line = narrow_line(sshd.address());
    // The socket pair of a proxy command takes a fifth of a MiB at once, and TCP ten times as much.
    let command = "bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & exec cat >&3'";
    let builder = client_at(&sshd, [line]).proxy_command(command);
    let mut client = build(builder.rekey_bytes(2 * MIB as u64));
    let input = vec![b'y'; 12 * MIB];
    let counted = client.run_command(Command::new("wc -c").stdin(input)).expect("it starts");
    join(&client, &counted);
    assert_eq!(lines(&counted[0]), [(12 * MIB).to_string()], "{:?}", counted[0].outcome());
    assert!(sshd.count("SSH2_MSG_NEWKEYS received") >= 5);
}

#[test]
fn new_keys_are_asked_for_after_the_time_of_the_limit() {
    let _dog = guard("ssh_config_rekey_time");
    let sshd = Sshd::builder().log_level("DEBUG1").start();
    let file = File::write(&sshd, &format!("{} RekeyLimit default 1\n", basics(&sshd)));
    let mut client = build(file.builder("web1"));
    // More exchanges for little data than a server might ask for.
    let outputs = client.run_command("for n in $(seq 140); do echo $n; sleep 0.1; done").expect("it starts");
    join(&client, &outputs);
    assert_eq!(lines(&outputs[0]).len(), 140);
    let (begun, keys) = key_exchanges(&sshd);
    assert!((11..=20).contains(&keys), "{keys} key exchanges");
    // An idle connection stays as it is.
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(key_exchanges(&sshd).0, begun);
    assert_eq!(run_one(&mut client, "echo in"), ["in"]);
    assert_eq!(sshd.count("Accepted publickey"), 1);
}

#[test]
fn connections_come_from_the_address_that_ssh_uses() {
    let _dog = guard("ssh_config_bind");
    let sshd = Sshd::builder().listen([Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()]).start();
    let from = "set -- $SSH_CONNECTION; echo $1";
    for (lines, host, expected) in [
        ("BindAddress 127.0.0.9", A, Some("127.0.0.9")),
        ("BindAddress localhost", A, Some("127.0.0.1")),
        ("BindInterface lo", A, Some("127.0.0.1")),
        ("BindInterface lo", "::1", Some("::1")),
        ("BindInterface lo\n BindAddress 127.0.0.9", A, Some("127.0.0.9")),
        ("BindAddress 127.0.0.9", "::1", None),
        ("BindInterface sshoal-none", A, None),
        ("BindAddress sshoal.invalid", A, None),
    ] {
        let text = basics(&sshd).replace(&format!("HostName {A}"), &format!("HostName {host}"));
        let file = File::write(&sshd, &format!("{text} {lines}\n"));
        let Some(expected) = expected else {
            file.ssh_fails("web1", &[from]);
            let error = start_error(file.builder("web1"));
            assert!(
                matches!(error.kind(), HostErrorKind::Connect { .. } | HostErrorKind::UnknownHost(_)),
                "{error}"
            );
            continue;
        };
        assert_eq!(file.ssh("web1", &[from]), [expected], "ssh, {lines}");
        assert_eq!(run_one(&mut build(file.builder("web1")), from), [expected], "{lines}");
    }
}

/// The agent holds the plain key, and signs for the certificate of a file.
#[test]
fn a_certificate_goes_with_a_key_that_only_the_agent_has() {
    let _dog = guard("ssh_config_agent_certificate");
    let authority = KeyPair::generate(KeyType::Ed25519);
    for key_type in [KeyType::Ed25519, KeyType::Ecdsa, KeyType::Rsa] {
        let line = format!("cert-authority {}", authority.public());
        let sshd = Sshd::builder().authorized_key(&line).start();
        let user = KeyPair::generate(key_type);
        let strangers: Vec<KeyPair> = (0..5).map(|_| KeyPair::generate(KeyType::Ed25519)).collect();
        let agent = Agent::with_keys(strangers.iter().chain([&user]));
        let certificate = sshd.dir().join("certificate");
        std::fs::write(&certificate, authority.certify(&user, sshd.user(), "+1h")).expect("write");
        let public = sshd.dir().join("plain.pub");
        std::fs::write(&public, user.public()).expect("write");
        let plain = format!("IdentityFile {}", key(&sshd, ClientKey::Ed25519));
        let text = basics(&sshd).replace(&plain, &format!("IdentityAgent {}", agent.socket().display()));
        let text = format!("{text} CertificateFile {}\n", certificate.display());
        let by_file = format!("{text} IdentityFile {}\n", sshd.dir().join("plain").display());
        for text in [text.replace("IdentitiesOnly yes", "IdentityFile none"), by_file] {
            let file = File::write(&sshd, &text);
            assert_eq!(file.ssh("web1", &["echo in"]), ["in"], "{key_type:?}\n{text}");
            assert_eq!(run_one(&mut build(file.builder("web1")), "echo in"), ["in"], "{key_type:?}\n{text}");
        }
        assert_eq!(sshd.count("Accepted publickey"), 4);
        assert_eq!(sshd.count("Failed publickey"), 0, "{}", sshd.log());
    }
}
