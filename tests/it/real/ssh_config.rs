//! Hosts as OpenSSH's configuration describes them, with real servers. OpenSSH's own client reads
//! the same files.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use sshoal::config::ClientBuilder;
use sshoal::ssh_config::{LocalContext, SshConfig};
use sshoal::{Error, ParallelClient};

use super::{SLOW, build, guard, run_one};
use crate::support::agent::Agent;
use crate::support::keys::{ClientKey, KeyPair, KeyType};
use crate::support::sshd::Sshd;
use crate::support::user::TestUser;

const A: &str = "127.0.2.1";
const OUTER: &str = "127.0.3.1";
const INNER: &str = "127.0.3.2";

/// A configuration file in the directory of a server.
pub(super) struct File {
    path: PathBuf,
}

impl File {
    pub fn write(sshd: &Sshd, text: &str) -> Self {
        let path = sshd.dir().join("ssh_config");
        fs::write(&path, text).expect("write");
        Self { path }
    }

    fn load(&self) -> SshConfig {
        let context = LocalContext::current().expect("a user");
        SshConfig::load_file(&self.path, context).expect("valid")
    }

    pub fn builder(&self, host: &str) -> ClientBuilder {
        ParallelClient::builder([host]).ssh_config(self.load()).num_retries(1).timeout(SLOW)
    }

    /// What OpenSSH's client prints with this file. No command means a login shell.
    pub fn ssh(&self, host: &str, command: &[&str]) -> Vec<String> {
        let output = self.run_ssh(host, command);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    /// What OpenSSH's client prints as an error.
    pub fn ssh_fails(&self, host: &str, command: &[&str]) -> String {
        let output = self.run_ssh(host, command);
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn run_ssh(&self, host: &str, command: &[&str]) -> Output {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&self.path).args(["-o", "BatchMode=yes", host]).args(command).stdin(Stdio::null());
        ssh.env_remove("SSH_AUTH_SOCK").output().expect("ssh (Debian: openssh-client)")
    }
}

pub(super) fn key(sshd: &Sshd, key: ClientKey) -> String {
    sshd.key(key).display().to_string()
}

#[test]
fn a_host_is_reached_as_ssh_reaches_it() {
    let _dog = guard("ssh_config_host");
    let sshd = Sshd::start();
    let known = sshd.known_hosts([A]);
    let text = format!(
        "Match originalhost web1\n Port {}\nHost web*\n HostName {A}\n User {}\n IdentityFile {}\n\
         IdentitiesOnly yes\n SetEnv LANG=de_AT LC_ALL=C.UTF-8 NOT_ACCEPTED=1\n SendEnv LC_MESSAGES\n \
         UserKnownHostsFile {}\n",
        sshd.port(),
        sshd.user(),
        key(&sshd, ClientKey::Ecdsa),
        known.display(),
    );
    let file = File::write(&sshd, &text);
    let command = "echo $LANG $LC_ALL $NOT_ACCEPTED; id -un";
    let by_ssh = file.ssh("web1", &[command]);
    assert_eq!(by_ssh[0], "de_AT C.UTF-8");
    let mut client = build(file.builder("web1"));
    assert_eq!(run_one(&mut client, command), by_ssh);
    assert_eq!(sshd.count("Accepted publickey"), 2);
    assert!(sshd.log().contains("ECDSA"), "{}", sshd.log());
}

/// `MaxAuthTries` is 6, so the agent's order would end the connection before the right key.
#[test]
fn identities_only_offers_one_of_thirteen_keys() {
    let _dog = guard("ssh_config_thirteen");
    let sshd = Sshd::start();
    let known = sshd.known_hosts([A]);
    let strangers: Vec<KeyPair> = (0..12).map(|_| KeyPair::generate(KeyType::Ed25519)).collect();
    let public = sshd.key(ClientKey::Ed25519).with_extension("pub");
    let agent = Agent::with_keys(strangers.iter().chain([ClientKey::Ed25519.pair()]));
    // OpenSSH finds the public half beside the name of the private one, which is not there.
    let only_public = sshd.dir().join("only_public");
    fs::copy(&public, only_public.with_extension("pub")).expect("copy");
    let text = format!(
        "Host {A}\n Port {}\n User {}\n IdentityAgent {}\n UserKnownHostsFile {}\n",
        sshd.port(),
        sshd.user(),
        agent.socket().display(),
        known.display(),
    );
    let only = format!("{text} IdentitiesOnly yes\n IdentityFile {}\n", only_public.display());
    let file = File::write(&sshd, &only);
    assert_eq!(file.ssh(A, &["echo in"]), ["in"]);
    let before = sshd.auth_messages().len();
    assert_eq!(run_one(&mut build(file.builder(A)), "echo in"), ["in"]);
    assert_eq!(sshd.auth_messages().len() - before, 3, "{}", sshd.log());
    let all = File::write(&sshd, &text);
    let error = super::start_error(all.builder(A));
    assert!(error.to_string().contains("identities_only"), "{error}");
}

#[test]
fn each_of_two_jump_hosts_has_its_own_user_and_key() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("ssh_config_jump");
    let [outer, inner, target] = [Sshd::start(), Sshd::start(), Sshd::start()];
    let text = format!(
        "Host web1\n HostName {A}\n Port {}\n ProxyJump inner\n IdentityFile {}\n UserKnownHostsFile {}\n\
         Host inner\n HostName {INNER}\n Port {}\n User {}\n ProxyJump outer\n IdentityFile {}\n \
         UserKnownHostsFile {}\n\
         Host outer\n HostName {OUTER}\n Port {}\n IdentityFile {}\n UserKnownHostsFile {}\n\
         Host *\n IdentitiesOnly yes\n User {}\n",
        target.port(),
        key(&target, ClientKey::Ed25519),
        target.known_hosts([A]).display(),
        inner.port(),
        user.name(),
        key(&inner, ClientKey::Ecdsa),
        inner.known_hosts([INNER]).display(),
        outer.port(),
        key(&outer, ClientKey::Rsa),
        outer.known_hosts([OUTER]).display(),
        target.user(),
    );
    let file = File::write(&target, &text);
    let command = "set -- $SSH_CONNECTION; echo $1; id -un";
    let by_ssh = file.ssh("web1", &[command]);
    let mut client = build(file.builder("web1"));
    assert_eq!(run_one(&mut client, command), by_ssh);
    for (sshd, user, key) in
        [(&outer, target.user(), "RSA"), (&inner, user.name(), "ECDSA"), (&target, target.user(), "ED25519")]
    {
        let accepted = format!("Accepted publickey for {user} from");
        let log = sshd.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.starts_with(&accepted)).collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.contains(key)), "{log}");
    }
}

#[test]
fn a_reload_reads_the_files_again() {
    let _dog = guard("ssh_config_reload");
    let sshd = Sshd::start();
    let known = sshd.known_hosts([A]);
    let text = format!(
        "Host {A}\n Port {}\n User {}\n IdentityFile {}\n SetEnv LANG=first\n",
        sshd.port(),
        sshd.user(),
        key(&sshd, ClientKey::Ed25519),
    );
    let file = File::write(&sshd, &text);
    let mut client = build(file.builder(A).known_hosts([&known]).allow_agent(false));
    assert_eq!(run_one(&mut client, "echo $LANG"), ["first"]);
    File::write(&sshd, &text.replace("first", "second"));
    assert_eq!(run_one(&mut client, "echo $LANG"), ["first"]);
    client.reload().expect("valid");
    assert_eq!(run_one(&mut client, "echo $LANG"), ["second"]);
    File::write(&sshd, "Port none");
    let Err(Error::SshConfig(error)) = client.reload() else { panic!("a wrong line") };
    assert!(error.to_string().contains("ssh_config:1"), "{error}");
    assert_eq!(run_one(&mut client, "echo $LANG"), ["second"]);
    assert_eq!(sshd.count("Accepted publickey"), 1, "the connection stays");
}

/// The bastion of the proxy command is reached by `ssh -W`, with the same file.
#[test]
fn a_proxy_command_and_a_first_contact() {
    let _dog = guard("ssh_config_command");
    let [gate, target] = [Sshd::start(), Sshd::start()];
    let recorded = target.dir().join("recorded");
    let text = format!(
        "Host web1\n HostName {A}\n Port {}\n StrictHostKeyChecking accept-new\n HashKnownHosts yes\n \
         UserKnownHostsFile {}\n ProxyCommand ssh -F {}/ssh_config -o BatchMode=yes -W %h:%p gate\n\
         Host gate\n HostName {OUTER}\n Port {}\n UserKnownHostsFile {}\n IdentityFile {}\n\
         Host *\n IdentitiesOnly yes\n User {}\n IdentityFile {}\n",
        target.port(),
        recorded.display(),
        target.dir().display(),
        gate.port(),
        gate.known_hosts([OUTER]).display(),
        key(&gate, ClientKey::Ed25519),
        target.user(),
        key(&target, ClientKey::Ed25519),
    );
    let file = File::write(&target, &text);
    let command = "set -- $SSH_CONNECTION; echo $3 $4";
    let there = format!("{A} {}", target.port());
    assert_eq!(run_one(&mut build(file.builder("web1")), command), [&*there]);
    assert!(fs::read_to_string(&recorded).expect("recorded").starts_with("|1|"));
    assert_eq!(file.ssh("web1", &[command]), [there], "ssh knows the key now");
    assert_eq!(gate.count("Accepted publickey"), 2);
}
