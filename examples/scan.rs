//! Fetches the host keys of hosts, shows which are new, and adds the new ones to a known_hosts
//! file.
//!
//! ```text
//! cargo run --release --example scan -- web1 web2:2222
//! cargo run --release --example scan -- --add ~/.ssh/known_hosts --hashed web1 web2:2222
//! ```
//!
//! Compare the fingerprints with those that the hosts show on their consoles
//! (`ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub`) before you add them, unless you trust the
//! network.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use sshoal::ParallelClient;
use sshoal::fleet::KeyReport;
use sshoal::hostkey::AddOptions;

const USAGE: &str = "usage: scan [--known-hosts FILE] [--add FILE [--hashed]] HOST[:PORT]...";

fn main() -> ExitCode {
    match scan() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether all hosts were scanned, and no key is changed or revoked.
fn scan() -> Result<bool, Box<dyn Error>> {
    let (mut hosts, mut file, mut known) = (Vec::new(), None, None);
    let mut options = AddOptions::default();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--add" => file = Some(PathBuf::from(args.next().ok_or(USAGE)?)),
            "--known-hosts" => known = Some(PathBuf::from(args.next().ok_or(USAGE)?)),
            "--hashed" => options = options.hashed(true),
            option if option.starts_with('-') => return Err(USAGE.into()),
            _ => hosts.push(arg),
        }
    }
    if hosts.is_empty() {
        return Err(USAGE.into());
    }
    let mut builder = ParallelClient::builder(hosts);
    if let Some(known) = known.or_else(|| file.clone()) {
        builder = builder.known_hosts([known]);
    }
    let mut report = KeyReport::default();
    for host in builder.scan_host_keys()? {
        let host = host?;
        host.keys().iter().for_each(|key| println!("{} {key}", host.name()));
        if let Some(line) = host.authority() {
            println!("{} is covered by a certificate authority at {line}", host.name());
        }
        if let Some(error) = host.error() {
            eprintln!("{error}");
        }
        report.extend([host]);
    }
    let tally = report.tally();
    println!("{tally}");
    if let Some(file) = file {
        let added = report.add_to(file, options)?;
        println!("{} keys added, {} present", added.added, added.present);
        added.left_out.iter().for_each(|key| eprintln!("not added: {key}"));
    }
    Ok((tally.failed, tally.changed, tally.revoked) == (0, 0, 0))
}
