//! A real Kerberos realm (Debian: `krb5-kdc`, `krb5-admin-server`, `krb5-user`): its KDC,
//! principals and tickets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::process::{Daemon, new_mark, signal};
use super::sshd::{self, Sshd};
use super::system::{is_rerun, public_dir, rerun};
use super::{eventually, ports};

pub const REALM: &str = "SSHOAL.TEST";

const START_LIMIT: Duration = Duration::from_secs(10);
const START_ATTEMPTS: u32 = 20;

/// Names the realm's directory to the process that runs in it.
const DIR: &str = "SSHOAL_REALM";

/// A realm with a running KDC. Dropping it ends the KDC.
pub struct Realm {
    kdc: Daemon,
    dir: PathBuf,
}

/// Runs a test's body in a process that uses a new realm: Kerberos is configured through the
/// environment, which a process cannot safely change while it runs. `module` is the test's
/// `module_path!()`.
///
/// # Panics
/// If the body does, with its message.
pub fn in_a_realm(module: &str, test: &str, body: impl FnOnce(&Realm)) {
    if is_rerun() {
        let dir = std::env::var_os(DIR).expect("the realm's directory");
        return body(&Realm::start(PathBuf::from(dir)));
    }
    let output = run_in_a_realm(&mut rerun(module, test));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "in the realm, {}:\n{stderr}", output.status);
}

/// Runs this command, a [`rerun`] of a test whose body runs [`in_a_realm`].
pub fn run_in_a_realm(command: &mut Command) -> Output {
    let dir = public_dir();
    let path = |name: &str| dir.path().join(name);
    command
        .env(DIR, dir.path())
        .env("KRB5_CONFIG", path("krb5.conf"))
        .env("KRB5_KDC_PROFILE", path("kdc.conf"))
        .env("KRB5_KTNAME", path("services.keytab"))
        .env("KRB5CCNAME", format!("DIR:{}", path("tickets").display()))
        .stderr(Stdio::piped())
        .output()
        .expect("run this test's program")
}

impl Realm {
    fn start(dir: PathBuf) -> Self {
        fs::create_dir(dir.join("tickets")).expect("a directory");
        for _ in 0..START_ATTEMPTS {
            let port = ports::candidate();
            fs::write(dir.join("krb5.conf"), client_config(port)).expect("write krb5.conf");
            fs::write(dir.join("kdc.conf"), kdc_config(port, &dir)).expect("write kdc.conf");
            if !dir.join("principal").exists() {
                run(Command::new("/usr/sbin/kdb5_util").args(["create", "-s", "-P", "master", "-r", REALM]));
            }
            let log = dir.join("kdc.log");
            let mut command = Command::new("/usr/sbin/krb5kdc");
            let kdc = Daemon::spawn(command.arg("-n"), new_mark(), &log, &dir).expect("start krb5kdc");
            let mut realm = Self { kdc, dir: dir.clone() };
            if realm.await_start() {
                return realm;
            }
            fs::remove_file(log).expect("remove the log");
        }
        panic!("no free port for krb5kdc in {START_ATTEMPTS} attempts");
    }

    /// `false` means that the port was taken.
    fn await_start(&mut self) -> bool {
        eventually(START_LIMIT, "krb5kdc in operation", || {
            let ended = self.kdc.exited();
            let log = self.log();
            if log.contains("Address already in use") {
                return Some(false);
            }
            assert!(ended.is_none(), "krb5kdc has ended:\n{log}");
            log.contains("commencing operation").then_some(true)
        })
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("kdc.log")).unwrap_or_default()).into_owned()
    }

    /// Number of tickets that the KDC has issued for this service, such as `host/web1` or
    /// `krbtgt/SSHOAL.TEST`.
    pub fn issued(&self, service: &str) -> usize {
        let wanted = format!(" for {service}@{REALM}");
        self.log().lines().filter(|line| line.contains("ISSUE") && line.ends_with(&wanted)).count()
    }

    /// Creates a user, who can then [`log_in`](Self::log_in).
    pub fn add_user(&self, name: &str) {
        self.add_principal(name, "users.keytab");
    }

    /// Creates the `host` service of a server, with its key in the keytab that servers of this
    /// process read.
    pub fn add_host(&self, name: &str) {
        self.add_principal(&format!("host/{name}"), "services.keytab");
    }

    fn add_principal(&self, name: &str, keytab: &str) {
        let keytab = self.dir.join(keytab);
        for query in [format!("addprinc -randkey {name}"), format!("ktadd -k {} {name}", keytab.display())] {
            run(Command::new("/usr/sbin/kadmin.local").args(["-q", &query]));
        }
    }

    /// Gets the user's first ticket, like `kinit` with these options. It becomes the default one.
    pub fn log_in(&self, name: &str, options: &[&str]) {
        let keytab = self.dir.join("users.keytab");
        run(Command::new("kinit").args(options).arg("-k").arg("-t").arg(keytab).arg(name));
    }

    /// Whether valid default tickets exist.
    pub fn is_logged_in(&self) -> bool {
        Command::new("klist").arg("-s").status().expect("klist (Debian: krb5-user)").success()
    }

    /// Silences the KDC: requests reach its socket, and nobody answers.
    pub fn silence(&self) {
        signal(self.kdc.pid(), Signal::STOP);
    }

    pub fn unsilence(&self) {
        signal(self.kdc.pid(), Signal::CONT);
    }

    /// An sshd whose commands know the realm, and that accepts tickets for every service in its
    /// keytab.
    pub fn sshd(&self) -> sshd::Builder {
        let config = self.dir.join("krb5.conf");
        Sshd::builder()
            .option("GSSAPIAuthentication yes")
            .option("GSSAPIStrictAcceptorCheck no")
            .env("KRB5_CONFIG", &config.to_string_lossy())
    }
}

/// DNS is never used: names are taken literally.
fn client_config(port: u16) -> String {
    format!(
        "[libdefaults]
    default_realm = {REALM}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    forwardable = true
[realms]
    {REALM} = {{
        kdc = 127.0.0.1:{port}
    }}
"
    )
}

fn kdc_config(port: u16, dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "[kdcdefaults]
    kdc_listen = 127.0.0.1:{port}
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {REALM} = {{
        database_name = {dir}/principal
        key_stash_file = {dir}/stash
        acl_file = {dir}/acl
        master_key_type = aes128-cts
        supported_enctypes = aes128-cts:normal
    }}
[logging]
    kdc = FILE:{dir}/kdc.log
"
    )
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{command:?}: {error} (Debian: krb5-kdc, krb5-admin-server, krb5-user)");
    });
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
