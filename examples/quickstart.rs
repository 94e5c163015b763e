//! Runs one command on many hosts and says how each one fared.
//!
//! Without arguments it starts a simulated fleet of 1,000 SSH hosts on loopback and runs a command
//! on all of them:
//!
//! ```text
//! cargo run --release --example quickstart
//! ```
//!
//! With `--hosts` it runs yours on real hosts, which must be in your known_hosts files:
//!
//! ```text
//! cargo run --release --example quickstart -- --hosts web1,web2:2222 --user deploy -- uname -a
//! ```

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use sshoal::hostkey::{HostKey, HostKeyPins, HostKeyPolicy};
use sshoal::output::sanitise;
use sshoal::{HostOutput, JoinOptions, Outcome, ParallelClient};

const HOSTS: usize = 1_000;
const USAGE: &str = "usage: quickstart
       quickstart --hosts HOST[:PORT],... [OPTIONS] -- COMMAND
options: --user USER, --key FILE, --known-hosts FILE, --timeout SECONDS (30 for each stage of a connection)
Without --hosts it runs a command on a simulated fleet of 1,000 hosts.";

fn main() -> ExitCode {
    // The simulated fleet is this program once more, as a process of its own.
    if hostsim::asked_to_serve() {
        return hostsim::serve_from_args();
    }
    let args: Vec<String> = env::args().skip(1).collect();
    let result = if args.is_empty() { simulated_fleet() } else { real_hosts(args) };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::from(2)
        }
    }
}

/// Returns the number of hosts that failed.
fn simulated_fleet() -> Result<usize, Box<dyn Error>> {
    let sim = hostsim::Sim::builder().spawn(Command::new(env::current_exe()?))?;
    println!("simulated fleet: {HOSTS} hosts, {} to {}", sim.host(0), sim.host(HOSTS - 1));

    // All simulated hosts have one key. Real ones are looked up in the known_hosts files.
    let key = HostKey::from_openssh(&sim.host_key_openssh()?)?;
    let mut client = ParallelClient::builder(sim.hosts(HOSTS))
        .user("demo")
        .key_bytes(sim.user_key_openssh()?)
        .identity_auth(false)
        .host_keys(HostKeyPolicy::pinned(HostKeyPins::new().for_any_host(key.fingerprint())))
        .timeout(Duration::from_secs(30))
        .build()?;

    let begun = Instant::now();
    let outputs = client.run_command_with(
        sshoal::Command::new("hostname"),
        sshoal::ReadOptions::default().stop_on_errors(false),
    )?;
    client.join(&outputs, JoinOptions::default())?;
    println!("ran `hostname` on all of them from one thread in {:.2?}", begun.elapsed());

    // Every simulated host answers with its own address.
    let failed = outputs.iter().filter(|output| !answered_with(output, output.host())).count();
    for output in outputs.iter().filter_map(HostOutput::error).take(10) {
        eprintln!("{output}");
    }
    println!("{HOSTS} hosts: {} ok, {failed} failed", HOSTS - failed);
    Ok(failed)
}

fn answered_with(output: &HostOutput, expected: &str) -> bool {
    let lines: Vec<_> = output.stdout().collect();
    output.exit_code() == Some(0) && matches!(lines.as_slice(), [Ok(line)] if line == expected)
}

/// Returns the number of hosts that failed.
fn real_hosts(args: Vec<String>) -> Result<usize, Box<dyn Error>> {
    let Options { hosts, user, key, known_hosts, timeout, command } = Options::parse(args)?;
    let mut builder = ParallelClient::builder(hosts).timeout(timeout).num_retries(1);
    if let Some(user) = user {
        builder = builder.user(user);
    }
    if let Some(key) = key {
        builder = builder.key_file(key);
    }
    if let Some(file) = known_hosts {
        builder = builder.known_hosts([file]);
    }
    let mut client = builder.build()?;
    let outputs = client.run_command_with(
        sshoal::Command::new(command),
        sshoal::ReadOptions::default().stop_on_errors(false),
    )?;

    let mut failed = 0;
    for output in &outputs {
        // The limit above is for the stages of a connection: a command may be silent for longer.
        let mut output = output.clone();
        output.set_read_timeout(None);
        failed += usize::from(!show(&output));
    }
    println!("{} hosts: {} ok, {failed} failed", outputs.len(), outputs.len() - failed);
    Ok(failed)
}

/// Prints what a host answered, and how its command ended unless it was a success. Whether it was.
fn show(output: &HostOutput) -> bool {
    output.stdin().close();
    for line in output.stdout().map_while(Result::ok) {
        println!("[{}] {}", output.host(), sanitise(&line));
    }
    for line in output.stderr().map_while(Result::ok) {
        eprintln!("[{}] {}", output.host(), sanitise(&line));
    }
    match output.outcome() {
        Some(Outcome::Exited(0)) => return true,
        Some(Outcome::Failed(error)) => eprintln!("{error}"),
        Some(outcome) => eprintln!("{}: {outcome}", output.host()),
        None => eprintln!("{}: still running", output.host()),
    }
    false
}

struct Options {
    hosts: Vec<String>,
    user: Option<String>,
    key: Option<String>,
    known_hosts: Option<String>,
    timeout: Duration,
    command: String,
}

impl Options {
    fn parse(args: Vec<String>) -> Result<Self, String> {
        let (mut hosts, mut user, mut key, mut known_hosts, mut timeout) = (Vec::new(), None, None, None, 30);
        let mut args = args.into_iter();
        while let Some(option) = args.next() {
            if option == "--" {
                break;
            }
            let value = args.next().ok_or(USAGE)?;
            match option.as_str() {
                "--hosts" => hosts = value.split(',').map(str::to_owned).collect(),
                "--user" => user = Some(value),
                "--key" => key = Some(value),
                "--known-hosts" => known_hosts = Some(value),
                "--timeout" => {
                    timeout = value.parse().map_err(|_| format!("not a number of seconds: {value}"))?
                }
                _ => return Err(USAGE.to_owned()),
            }
        }
        let command = args.collect::<Vec<_>>().join(" ");
        if hosts.is_empty() || command.is_empty() {
            return Err(USAGE.to_owned());
        }
        Ok(Self { hosts, user, key, known_hosts, timeout: Duration::from_secs(timeout), command })
    }
}
