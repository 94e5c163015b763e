//! libssh used as in its own documentation: one blocking session, one channel, `ssh_channel_read`
//! until the end.

use libssh_rs::{AuthStatus, Session, SshKey, SshOption};

use super::Job;
use super::measure::{Measured, Meter};
use super::support::{USER, keys};

/// The size of the buffers in libssh's examples.
const CHUNK: usize = 32 * 1024;

pub fn run(job: Job) -> Measured {
    let mut meter = Meter::start();
    let connections: Vec<Connection> = (0..job.hosts)
        .map(|index| Connection::open(&hostsim::host_address(index).to_string(), job.port))
        .collect();
    meter.restart_clocks();
    let read = connections.iter().map(|connection| connection.run(&job.command()) as u64).sum::<u64>();
    assert_eq!(read, job.expected());
    meter.end(job.hosts, 0)
}

struct Connection(Session);

impl Connection {
    fn open(host: &str, port: u16) -> Self {
        let session = Session::new().unwrap();
        for option in [
            SshOption::Hostname(host.to_owned()),
            SshOption::Port(port),
            SshOption::User(Some(USER.to_owned())),
            SshOption::ProcessConfig(false),
            SshOption::KeyExchange("curve25519-sha256".to_owned()),
            SshOption::HostKeys("ssh-ed25519".to_owned()),
            SshOption::CiphersCS("chacha20-poly1305@openssh.com".to_owned()),
            SshOption::CiphersSC("chacha20-poly1305@openssh.com".to_owned()),
        ] {
            session.set_option(option).unwrap();
        }
        session.connect().unwrap();
        let key = SshKey::from_privkey_base64(&keys().user_openssh().unwrap(), None).unwrap();
        assert_eq!(session.userauth_publickey(None, &key).unwrap(), AuthStatus::Success);
        Self(session)
    }

    /// The number of bytes that the command prints.
    fn run(&self, command: &str) -> usize {
        let channel = self.0.new_channel().unwrap();
        channel.open_session().unwrap();
        channel.request_exec(command).unwrap();
        let (mut chunk, mut bytes) = (vec![0; CHUNK], 0);
        loop {
            match channel.read_timeout(&mut chunk, false, None).unwrap() {
                0 => return bytes,
                read => bytes += read,
            }
        }
    }
}
