//! Tokens in options that `ssh -G` prints unexpanded, compared with what `ssh -v` opens and runs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sshoal::ssh_config::{LocalContext, ProxyRoute, SshConfig, SshDestination};

use crate::support::alarm::watchdog;
use crate::support::keys::ClientKey;
use crate::support::ports;
use crate::support::sshd::Sshd;

const CASES: u64 = 300;

/// `%j` is of OpenSSH 9.6.
const COMMON: &[&str] = &["%C", "%L", "%d", "%h", "%i", "%k", "%l", "%n", "%p", "%r", "%u", "%%"];
const PROXY: &[&str] = &["%h", "%n", "%p", "%r", "%%"];

/// A random number below `end`. A failure prints the whole case, so no seed is needed.
fn below(end: usize) -> usize {
    usize::try_from(ports::random() >> 33).expect("31 bits") % end
}

fn pick<'a>(from: &[&'a str]) -> &'a str {
    from[below(from.len())]
}

/// Between one and three of these, with letters in between.
fn tokens(from: &[&str]) -> String {
    (0..1 + below(3)).map(|index| format!("{index}x{}", pick(from))).collect()
}

/// A file that does not exist, in a directory that does not exist either, so that ssh cannot create
/// it.
fn path() -> String {
    let start = pick(&["/absent/", "~/sshoal-absent/", "${SSHOAL_DIR}/", "/%d/absent/"]);
    format!("{start}{}", tokens(COMMON))
}

/// What ssh and this library made of one configuration.
#[derive(Debug, Default, PartialEq, Eq)]
struct Opened {
    identities: Vec<String>,
    certificates: Vec<String>,
    known_hosts: Vec<String>,
    proxy_command: Option<String>,
    remote_command: Option<String>,
}

/// The configuration. Its proxy command runs a server, so that ssh gets as far as the command.
fn config(sshd: &Sshd) -> String {
    let mut text = String::from("Host web*\n");
    let mut line = |line: String| writeln!(text, "  {line}").expect("a text");
    if below(2) == 0 {
        line(format!("HostName {}", pick(&["%h.example.org", "192.0.2.%%", "other"])));
    }
    if below(2) == 0 {
        line(format!("HostKeyAlias {}", pick(&["alias", "Web.Alias"])));
    }
    if below(2) == 0 {
        line(format!("Port {}", 1 + below(60000)));
    }
    line(format!("User {}", sshd.user()));
    let server = format!("/usr/sbin/sshd -i -f {}/sshd_config", sshd.dir().display());
    line(format!("ProxyCommand sh -c 'exec {server}' {}", tokens(PROXY)));
    for _ in 0..below(3) {
        line(format!("IdentityFile {}", path()));
    }
    for _ in 0..below(3) {
        line(format!("CertificateFile {}", path()));
    }
    line(format!("IdentityFile {}", sshd.key(ClientKey::Ed25519).display()));
    // ssh reads each file several times, so two names of one file could not be told apart.
    line(format!("UserKnownHostsFile {}-1 {}-2", path(), path()));
    line("GlobalKnownHostsFile /absent/global".to_owned());
    line(format!("RemoteCommand true {}", tokens(COMMON)));
    text
}

/// Each text between these two, in the lines that have both.
fn between<'a>(log: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = String> + 'a {
    log.lines().filter_map(move |line| Some(line.split_once(start)?.1.rsplit_once(end)?.0.to_owned()))
}

fn by_ssh(file: &Path, alias: &str) -> Opened {
    let mut ssh = Command::new("ssh");
    ssh.args(["-v", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-F"]).arg(file).arg(alias);
    ssh.env("SSHOAL_DIR", "/from/variable").env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
    let output = ssh.output().expect("ssh (Debian: openssh-client)");
    let log = String::from_utf8(output.stderr).expect("UTF-8").replace('\r', "");
    assert!(output.status.success(), "{log}");
    let mut known_hosts: Vec<String> = Vec::new();
    for path in between(&log, "load_hostkeys: fopen ", ": No such file or directory") {
        if !known_hosts.contains(&path) {
            known_hosts.push(path);
        }
    }
    known_hosts.retain(|path| path != "/absent/global");
    Opened {
        identities: between(&log, "debug1: identity file ", " type ")
            .filter(|path| !path.ends_with("-cert"))
            .collect(),
        certificates: between(&log, "debug1: certificate file ", " type ").collect(),
        known_hosts,
        proxy_command: between(&format!("{log}\n"), "Executing proxy command: exec ", "").next(),
        remote_command: between(&log, "Sending command: ", "").next(),
    }
}

fn by_library(text: &str, alias: &str) -> Opened {
    let mut context = LocalContext::current().expect("a user");
    context.variables.insert("SSHOAL_DIR".to_owned(), "/from/variable".to_owned());
    let config = SshConfig::parse(text, "config", context).expect("valid");
    let settings = config.resolver().resolve(&SshDestination::new(alias)).expect("valid");
    let shown = |path: &Path| path.display().to_string();
    let Some(ProxyRoute::Command(command)) = settings.proxy.as_deref() else {
        panic!("{:?}", settings.proxy)
    };
    Opened {
        identities: settings.identity_files.iter().flatten().map(|file| shown(&file.value)).collect(),
        certificates: settings.certificate_files.iter().map(|file| shown(&file.value)).collect(),
        known_hosts: settings
            .user_known_hosts
            .iter()
            .flat_map(|files| &files.value)
            .map(|file| shown(file))
            .collect(),
        proxy_command: Some(command.clone()),
        remote_command: settings.remote_command.map(|command| command.value),
    }
}

#[test]
fn tokens_stand_for_what_ssh_opens_and_runs() {
    let _dog = watchdog(Duration::from_secs(600), "ssh_config_tokens");
    let sshd = Sshd::start();
    for case in 0..CASES {
        let text = config(&sshd);
        let alias = pick(&["web1", "web-two", "webX.local"]);
        let file = sshd.dir().join(format!("config{case}"));
        fs::write(&file, &text).expect("write");
        assert_eq!(by_library(&text, alias), by_ssh(&file, alias), "case {case}, {alias}:\n{text}");
    }
}
