//! A few hosts, and the ssh_config of their user.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::ClientKey;
use super::program::{PROGRAM, Program};
use super::sshd::Sshd;
use super::user::TestUser;
use super::{eventually, sshd};

/// Hosts `web1`, `web2` … that are one server, whose keys are on record; `new1`, whose key is not;
/// and `gone1`, which refuses connections.
pub struct Site {
    pub sshd: Sshd,
    config: PathBuf,
}

impl Site {
    pub fn start() -> Self {
        Self::with(Sshd::builder(), 4)
    }

    pub fn with(builder: sshd::Builder, hosts: u32) -> Self {
        let sshd = builder.start();
        let user = sshd.user();
        Self::of(sshd, user, hosts)
    }

    /// With a login as this user. sshd passes on no signals to the commands of root.
    pub fn of_user(user: &TestUser) -> Self {
        Self::of_user_with(Sshd::builder(), user)
    }

    pub fn of_user_with(builder: sshd::Builder, user: &TestUser) -> Self {
        Self::of(builder.start(), user.name(), 4)
    }

    /// With hosts of these names, patterns of ssh_config, which are all one. Files are copied to
    /// this folder, instead of the home directory.
    pub fn named_as(patterns: &[&str], home: &std::path::Path) -> Self {
        let sftp = format!("Subsystem sftp {} -d {}", super::sftp::SFTP_SERVER, home.display());
        let site = Self::with(Sshd::builder().option(&sftp), 4);
        let text = std::fs::read_to_string(&site.config).expect("the configuration");
        let hosts = format!("Host {}\n HostName 127.0.2.2\n", patterns.join(" "));
        fs::write(&site.config, hosts + &text).expect("write the configuration");
        site
    }

    fn of(sshd: Sshd, user: &str, hosts: u32) -> Self {
        let addresses: Vec<String> = sshd.hosts(hosts + 1).collect();
        let known = sshd.known_hosts(&addresses[1..]);
        let mut text =
            format!("Host new1\n HostName {}\nHost gone1\n HostName 127.0.3.1\n Port 1\n", addresses[0]);
        for (number, address) in addresses.iter().enumerate().skip(1) {
            text.push_str(&format!("Host web{number}\n HostName {address}\n"));
        }
        text.push_str(&format!(
            "Host *\n User {}\n Port {}\n IdentityFile {}\n IdentitiesOnly yes\n IdentityAgent none\n \
             UserKnownHostsFile {}\n GlobalKnownHostsFile none\n",
            user,
            sshd.port(),
            sshd.key(ClientKey::Ed25519).display(),
            known.display(),
        ));
        let config = sshd.dir().join("client_config");
        fs::write(&config, text).expect("write the configuration");
        Self { sshd, config }
    }

    /// A command line that uses the site's ssh_config.
    pub fn sshoal<'a>(&'a self, args: impl IntoIterator<Item = &'a str>) -> Program {
        self.bare().args(["-F", self.config()]).args(args)
    }

    /// A command line without arguments.
    pub fn bare(&self) -> Program {
        Program::new(&self.sshd.dir().join("state"))
    }

    /// A command line of a link to the program, with this name.
    pub fn named(&self, name: &str) -> Program {
        let link = self.sshd.dir().join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(PROGRAM, &link).expect("make a link");
        }
        Program::of(&link, &self.sshd.dir().join("state"))
    }

    pub fn config(&self) -> &str {
        self.config.to_str().expect("a path in UTF-8")
    }

    /// A file in the folder of the site.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.sshd.dir().join(name);
        fs::write(&path, content).expect("write a file");
        path.display().to_string()
    }

    /// Waits until so many processes of commands have this word among their arguments.
    #[track_caller]
    pub fn await_processes(&self, word: &str, count: usize) {
        eventually(Duration::from_secs(10), &format!("{count} processes of {word}"), || {
            (self.processes(word) == count).then_some(())
        });
    }

    /// How many processes of commands have this word as an argument.
    pub fn processes(&self, word: &str) -> usize {
        let has_word = |pid: &rustix::process::Pid| {
            let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
        };
        self.sshd.daemon().processes().iter().filter(|pid| has_word(pid)).count()
    }
}
