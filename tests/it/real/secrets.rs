//! Secrets reach only the host that they are for.

use std::fmt::Write as _;
use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use sshoal::config::ClientBuilder;
use sshoal::{Command, HostConfig, ParallelClient};

use super::{SLOW, build, guard, join};
use crate::support::keys::{KeyPair, KeyType};
use crate::support::sshd::Sshd;
use crate::support::user::TestUser;

/// Everything that any part of this program has logged.
static LOG: Mutex<String> = Mutex::new(String::new());

struct Collector;

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut log = LOG.lock().expect("no panic");
        let _ = writeln!(log, "{} {} {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

const CANARIES: [&str; 3] = ["canary-password", "canary-passphrase", "canary-answer"];

fn with_secrets(sshd: &Sshd, user: &TestUser) -> ClientBuilder {
    let key = KeyPair::generate_encrypted(KeyType::Ed25519, CANARIES[1]);
    let builder = ParallelClient::builder(["127.0.2.1", "127.0.2.2"]).port(sshd.port()).user(user.name());
    let builder = builder.known_hosts([sshd.known_hosts(["127.0.2.1", "127.0.2.2"])]);
    let builder = builder.identity_auth(false).allow_agent(false).num_retries(1).timeout(SLOW);
    builder.password(CANARIES[0]).passphrase(CANARIES[1]).key_bytes(key.private())
}

#[test]
fn no_secret_is_logged_or_shown() {
    let Some(user) = TestUser::create() else { return };
    let _dog = guard("secrets");
    log::set_logger(&Collector).expect("the only logger");
    log::set_max_level(LevelFilter::Trace);
    let options = ["UsePAM yes", "KbdInteractiveAuthentication yes"];
    let sshd = options.iter().fold(Sshd::builder(), |builder, line| builder.option(line)).start();
    let mut shown = String::new();
    let config = HostConfig::default().password(CANARIES[0]).responder(|_| Some(vec![CANARIES[2].into()]));
    let typed = with_secrets(&sshd, &user).keyboard_interactive(true);
    let answered = with_secrets(&sshd, &user).host_config([config.clone(), config]);
    let wrong_count =
        with_secrets(&sshd, &user).responder(|_| Some(vec![CANARIES[2].into(), CANARIES[0].into()]));
    for builder in [typed, answered, wrong_count] {
        let _ = write!(shown, "{builder:?}");
        let mut client = build(builder);
        let outputs = client
            .run_command_with(Command::new("true"), sshoal::ReadOptions::default().stop_on_errors(false))
            .expect("it starts");
        join(&client, &outputs);
        for output in &outputs {
            let error = output.error().expect("a wrong password");
            let _ = write!(shown, "{client:?} {output:?} {error} {error:?}");
        }
    }
    let log = LOG.lock().expect("no panic");
    assert!(log.contains("authentication failed"), "nothing was logged: {log}");
    for canary in CANARIES {
        assert!(!log.contains(canary), "{canary} in the log");
        assert!(!shown.contains(canary), "{canary} in Debug or an error");
    }
}
