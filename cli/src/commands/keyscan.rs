//! `sshoal keyscan`: the keys of new hosts.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use sshoal::fleet::{KeyReport, ScannedHost};
use sshoal::hostkey::{AddOptions, Verdict};
use sshoal::output::sanitise;
use sshoal::ssh_config::{LocalContext, SshConfig};
use sshoal::{Budget, Event, Fleet};

use super::run::select;
use crate::args::{KeyscanArgs, Secrets};
use crate::run::fleet;
use crate::targets::{Target, fold};

/// Fetches the keys of all hosts, and records the new ones.
pub fn run(args: &KeyscanArgs) -> Result<u8, Box<dyn Error>> {
    crate::logging::start(0);
    let config = args.connection.ssh_config()?;
    let targets = select(&args.targets, None, &config)?.targets;
    let fleet = fleet::build(&targets, &args.connection, &args.pace, &config, &Secrets::default())?;
    let scanned = scan(fleet, targets.len())?;
    let failed = show_failures(&targets, &scanned);
    let refused = show_refused(&targets, &scanned);
    if args.print {
        print(&targets, &scanned)?;
    } else {
        record(args, &targets, scanned, &config)?;
    }
    Ok(if failed || refused { 4 } else { 0 })
}

/// What each host has shown, in the order of the targets.
fn scan(mut fleet: Fleet, count: usize) -> Result<Vec<ScannedHost>, Box<dyn Error>> {
    let ids = fleet.hosts().to_vec();
    let positions: HashMap<_, usize> = ids.iter().copied().zip(0..).collect();
    fleet.scan_host_keys(ids.iter().copied());
    let mut scanned: Vec<(usize, ScannedHost)> = Vec::with_capacity(count);
    while scanned.len() < count {
        fleet.wait(None)?;
        fleet.turn(Instant::now(), Budget::default().any_time())?;
        let mut done = Vec::new();
        while let Some(event) = fleet.next_event() {
            if let Event::Scanned { host, found, .. } = event
                && let Some(position) = positions.get(&host)
            {
                scanned.push((*position, found));
                done.push(host);
            }
        }
        done.into_iter().for_each(|host| _ = fleet.remove_host(host));
    }
    scanned.sort_by_key(|(position, _)| *position);
    Ok(scanned.into_iter().map(|(_, host)| host).collect())
}

/// Whether there are any. Equal failures are one line.
fn show_failures(targets: &[Target], scanned: &[ScannedHost]) -> bool {
    let mut by_cause: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (target, host) in targets.iter().zip(scanned) {
        if let Some(error) = host.error() {
            by_cause.entry(error.cause()).or_default().push(&target.name);
        }
    }
    for (cause, names) in &by_cause {
        eprintln!("sshoal: {} ({}): {}", fold(names), names.len(), sanitise(cause));
    }
    !by_cause.is_empty()
}

/// Shows keys that cannot be trusted. Returns whether there are any.
fn show_refused(targets: &[Target], scanned: &[ScannedHost]) -> bool {
    let mut has_some = false;
    for (target, host) in targets.iter().zip(scanned) {
        for key in host.keys() {
            if matches!(key.verdict, Verdict::Changed { .. } | Verdict::Revoked { .. }) {
                has_some = true;
                eprintln!("sshoal: {}: {key}; not recorded", target.name);
            }
        }
    }
    has_some
}

fn print(targets: &[Target], scanned: &[ScannedHost]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for (target, host) in targets.iter().zip(scanned) {
        for key in host.keys() {
            writeln!(out, "{} {key}", target.name)?;
        }
    }
    Ok(())
}

/// Adds the new keys to the file of each host.
fn record(
    args: &KeyscanArgs,
    targets: &[Target],
    scanned: Vec<ScannedHost>,
    config: &SshConfig,
) -> Result<(), Box<dyn Error>> {
    let usual = LocalContext::current()?.home.join(".ssh/known_hosts");
    let mut resolver = config.resolver();
    let mut reports: BTreeMap<(PathBuf, bool), KeyReport> = BTreeMap::new();
    for (target, host) in targets.iter().zip(scanned) {
        let settings = resolver.resolve(&args.connection.destination(target))?;
        let first = settings.user_known_hosts.as_deref().and_then(|files| files.first().cloned());
        let file = args.file.clone().or(first).unwrap_or_else(|| usual.clone());
        let is_hashed = args.hash || settings.hash_known_hosts.as_deref().copied().unwrap_or(false);
        reports.entry((file, is_hashed)).or_default().extend([host]);
    }
    for ((file, is_hashed), report) in reports {
        let added = report.add_to(&file, AddOptions::default().hashed(is_hashed))?;
        let hosts = report.hosts().len();
        eprintln!(
            "sshoal: {hosts} hosts: {} new keys are now in {}, {} were on record",
            added.added,
            sanitise(&*file.to_string_lossy()),
            report.tally().recorded.max(added.present)
        );
        for left_out in &added.left_out {
            eprintln!("sshoal: not added: {left_out}");
        }
        if added.added > 0 {
            eprintln!(
                "sshoal: Nothing but the network vouches for new keys: compare their fingerprints \
                 (ssh-keygen -l -f FILE) with those that the hosts have on their consoles."
            );
        }
    }
    Ok(())
}
