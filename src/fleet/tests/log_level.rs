//! When libssh logs more than warnings, which costs a quarter of a command's instructions
//! (docs/design.md): only while a channel opens that may be written to, and while a tunnel opens.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::hostkey::HostKeyPolicy;
use crate::link::engine::verbose_scopes;
use crate::session::CommandState;
use crate::{Budget, Command, Fleet, Proxy};

/// The address at which the server is its own proxy.
const PROXY: &str = "127.0.0.2";

/// An OpenSSH server. The package has unit tests, and no simulated hosts.
struct Sshd {
    server: Child,
    dir: TempDir,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

impl Sshd {
    fn start() -> Self {
        // As Debian's unit file does; only root needs it, and only root can.
        _ = fs::create_dir_all("/run/sshd");
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for key in ["host", "user"] {
            let mut keygen = Program::new("ssh-keygen");
            let keygen = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
            assert!(keygen.status().unwrap().success());
        }
        let port = (10_240..32_768)
            .step_by(97)
            .map(|port| port + u16::try_from(std::process::id() % 97).unwrap())
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .unwrap();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nListenAddress {PROXY}\nHostKey {}\nAuthorizedKeysFile {}\nUsePAM no\n\
             StrictModes no\nPidFile none\nPermitRootLogin yes\nUseDNS no\n",
            path("host"),
            path("user.pub"),
        );
        fs::write(path("config"), config).unwrap();
        let mut server = Program::new("/usr/sbin/sshd");
        server.args(["-D", "-e", "-f", &path("config")]).stdin(Stdio::null()).stderr(Stdio::null());
        let server = server.spawn().expect("/usr/sbin/sshd (Debian: openssh-server)");
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "sshd does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { server, dir, port }
    }

    fn key(&self) -> std::path::PathBuf {
        self.dir.path().join("user")
    }

    fn fleet(&self, proxy: Option<Proxy>) -> Fleet {
        let known = self.dir.path().join("known_hosts");
        let line = fs::read_to_string(self.dir.path().join("host.pub")).unwrap();
        fs::write(&known, format!("[127.0.0.1]:{0},[{PROXY}]:{0} {line}", self.port)).unwrap();
        let builder = Fleet::builder([format!("127.0.0.1:{}", self.port)]).identity_auth(false);
        let builder = builder.allow_agent(false).known_hosts([known]).host_keys(HostKeyPolicy::strict());
        let builder = builder.key_file(self.key()).timeout(Duration::from_secs(60));
        proxy.into_iter().fold(builder, |builder, proxy| builder.proxy(proxy)).build().unwrap()
    }

    fn proxy(&self) -> Proxy {
        let proxy = Proxy::new(format!("{PROXY}:{}", self.port)).key_file(self.key());
        proxy.identity_auth(false).allow_agent(false)
    }
}

/// Drives the fleet until its only host is connected, or its command has come this far.
fn drive(fleet: &mut Fleet, command: Option<crate::ids::CommandId>, until: CommandState) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let host = fleet.hosts()[0];
        let is_done = match command {
            Some(id) => fleet.command(id).is_none_or(|command| command.state() >= until),
            None => !fleet.host(host).unwrap().is_awaited(),
        };
        if is_done {
            return;
        }
        assert!(Instant::now() < deadline, "{:?}", fleet.host(host));
        fleet.wait(Some(Duration::from_secs(1))).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
        while let Some(event) = fleet.next_event() {
            drop(event);
        }
    }
}

fn connect(fleet: &mut Fleet) {
    let host = fleet.hosts()[0];
    fleet.connect([host]);
    drive(fleet, None, CommandState::Finished);
    assert!(fleet.host(host).unwrap().error().is_none(), "{:?}", fleet.host(host).unwrap().error());
}

#[test]
fn a_login_and_a_command_without_input_take_only_warnings() {
    let sshd = Sshd::start();
    let mut fleet = sshd.fleet(None);
    verbose_scopes();
    connect(&mut fleet);
    assert_eq!(verbose_scopes(), 0, "the login");
    for _ in 0..2 {
        let command = fleet.start("seq 100").unwrap().commands[0];
        drive(&mut fleet, Some(command), CommandState::Finished);
        assert_eq!(verbose_scopes(), 0, "the command");
    }
}

#[test]
fn a_command_with_input_takes_the_log_only_while_its_channel_opens() {
    let sshd = Sshd::start();
    let mut fleet = sshd.fleet(None);
    connect(&mut fleet);
    verbose_scopes();
    let command = fleet.start(Command::new("cat").stdin(crate::config::Input::Open)).unwrap().commands[0];
    drive(&mut fleet, Some(command), CommandState::Running);
    let opening = verbose_scopes();
    assert!((1..20).contains(&opening), "{opening}");
    for _ in 0..20 {
        fleet.write_stdin(command, &[b'x'; 1000]).unwrap();
        fleet.turn(Instant::now(), Budget::default()).unwrap();
    }
    fleet.close_stdin(command);
    drive(&mut fleet, Some(command), CommandState::Finished);
    assert_eq!(verbose_scopes(), 0);
}

#[test]
fn a_proxy_takes_the_log_only_while_a_tunnel_opens() {
    let sshd = Sshd::start();
    let mut fleet = sshd.fleet(Some(sshd.proxy()));
    verbose_scopes();
    connect(&mut fleet);
    let opening = verbose_scopes();
    assert!((1..20).contains(&opening), "{opening}");
    let command = fleet.start("seq 1000").unwrap().commands[0];
    drive(&mut fleet, Some(command), CommandState::Finished);
    assert_eq!(verbose_scopes(), 0);
}
