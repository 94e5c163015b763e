//! The same names, resolved here and by `getaddrinfo`, from a real name server (Debian:
//! `dnsmasq-base`).

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::engine::{Bench, config};
use super::zone::closed;
use crate::dns::{LookupError, LookupResult, Resolver};

const ZONE: &[&str] = &[
    "--host-record=v4.example,192.0.2.1",
    "--host-record=v6.example,2001:db8::1",
    "--host-record=both.example,192.0.2.2,2001:db8::2",
    "--host-record=under_score.example,192.0.2.3",
    "--host-record=db.search.example,192.0.2.4",
    "--cname=alias.example,both.example",
    "--cname=alias2.example,alias.example",
    "--txt-record=text.example,nothing else",
    "--local=/example/",
];

const NAMES: &[&str] = &[
    "v4.example",
    "V4.Example",
    "v6.example",
    "both.example",
    "both.example.",
    "alias.example",
    "alias2.example",
    "under_score.example",
    "many.example",
    "db",
    "text.example",
    "missing.example",
    "127.1",
    "::1",
];

struct Dnsmasq {
    child: Child,
    address: SocketAddr,
}

impl Dnsmasq {
    /// Starts the server on this address. `None` if the address is not available.
    fn start(address: SocketAddr) -> Option<Self> {
        let mut command = Command::new("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--conf-file=/dev/null",
            "--pid-file=",
        ]);
        command.args(["--bind-interfaces", "--user="]).args(ZONE);
        command.arg(format!("--listen-address={}", address.ip())).arg(format!("--port={}", address.port()));
        // These are too many addresses for one UDP response without EDNS.
        command
            .args((1..=30).map(|n| format!("--host-record=many.example,198.51.100.{n},2001:db8::1:{n:x}")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Self { child: command.spawn().expect("dnsmasq (Debian: dnsmasq-base)"), address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if server.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "dnsmasq does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        Some(server)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn own(dnsmasq: &Dnsmasq, name: &str) -> LookupResult {
    let config = config([dnsmasq.address]).search(["search.example"]);
    Bench::new(Resolver::Native(config)).look_up(name)
}

fn set(result: LookupResult) -> BTreeSet<IpAddr> {
    result.into_iter().flatten().map(|address| address.ip()).collect()
}

/// The results of `getaddrinfo` with this server in `/etc/resolv.conf`, in a separate mount
/// namespace.
fn of_system(dnsmasq: &Dnsmasq) -> Vec<BTreeSet<IpAddr>> {
    const CALLS: &str = "
import socket, sys
for name in sys.argv[1:]:
    try:
        print(*{entry[4][0] for entry in socket.getaddrinfo(name, 22, type=socket.SOCK_STREAM)})
    except socket.gaierror:
        print()
";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "nameserver {}\nsearch search.example", dnsmasq.address.ip()).unwrap();
    let mut command = Command::new("unshare");
    let script = r#"mount --bind "$1" /etc/resolv.conf && shift && exec python3 "$@""#;
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(file.path()).args(["-c", CALLS]).args(NAMES);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| line.split_whitespace().map(|word| word.parse().unwrap()).collect();
    text.lines().map(line).collect()
}

#[test]
fn a_real_server_is_understood() {
    let dnsmasq = (0..50).find_map(|_| Dnsmasq::start(closed())).expect("a free port");
    let find = |name| set(own(&dnsmasq, name)).into_iter().map(|ip| ip.to_string()).collect::<Vec<_>>();
    assert_eq!(find("both.example"), ["192.0.2.2", "2001:db8::2"]);
    assert_eq!(find("alias2.example"), ["192.0.2.2", "2001:db8::2"]);
    assert_eq!(find("db"), ["192.0.2.4"]);
    assert_eq!(find("many.example").len(), 60);
    assert_eq!(own(&dnsmasq, "text.example"), Err(LookupError::NoAddress));
    assert_eq!(own(&dnsmasq, "missing.example"), Err(LookupError::NoSuchName));
}

/// Needs root, because glibc queries only port 53 and reads the machine's configuration.
#[test]
fn results_match_getaddrinfo() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let start = |octet| Dnsmasq::start(([127, 53, 54, octet], 53).into());
    let dnsmasq = (1..50).find_map(start).expect("a free address for port 53");
    let of_system = of_system(&dnsmasq);
    assert_eq!(of_system.len(), NAMES.len());
    for (name, expected) in NAMES.iter().zip(of_system) {
        assert_eq!(set(own(&dnsmasq, name)), expected, "{name}");
    }
}
