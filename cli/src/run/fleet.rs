//! Builds the fleet of a run.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sshoal::config::{FleetBuilder, Retry, RetryPolicy};
use sshoal::ssh_config::SshConfig;
use sshoal::{Error, Fleet, HostConfig};

use crate::args::{ConnectionArgs, Limit, PaceArgs, Secrets};
use crate::targets::Target;

/// How much output all hosts together may have ready before they wait for the screen.
const UNREAD: usize = 32 * 1024 * 1024;

/// How long a host may take to confirm that a channel is closed. sshd does so only when the command
/// has ended.
const CLOSE: Duration = Duration::from_secs(2);

/// How many descriptors a host may take: behind a proxy command, three.
const DESCRIPTORS: u64 = 4;

/// The pause before the first retry; later ones are longer, and random.
const PAUSE: Duration = Duration::from_secs(1);

/// A fleet of these targets, each as ssh_config says.
pub fn build(
    targets: &[Target],
    connection: &ConnectionArgs,
    pace: &PaceArgs,
    config: &SshConfig,
    secrets: &Secrets,
) -> Result<Fleet, Error> {
    allow_descriptors(targets.len());
    let configs = configs(targets, connection, pace, config)?;
    let hosts = targets.iter().map(|target| target.host.as_str());
    let mut builder = Fleet::builder(hosts).host_config(configs);
    if let Some(password) = &secrets.password {
        builder = builder.password(password.as_str());
    }
    if let Some(passphrase) = &secrets.passphrase {
        builder = builder.passphrase(passphrase.as_str());
    }
    paced(builder, pace).build()
}

/// The settings of each target.
pub fn configs(
    targets: &[Target],
    connection: &ConnectionArgs,
    pace: &PaceArgs,
    config: &SshConfig,
) -> Result<Vec<HostConfig>, Error> {
    let mut resolver = config.resolver();
    let mut configs = Vec::with_capacity(targets.len());
    for target in targets {
        let destination = connection.destination(target);
        let resolved = HostConfig::from_ssh_config(&mut resolver, &destination)?;
        for ignored in resolved.ignored {
            log::info!("{ignored}");
        }
        configs.push(match pace.connect_timeout {
            // Before the ConnectTimeout of a file.
            Some(Limit(limit)) => resolved.config.timeout(limit).connect_timeout(limit),
            None => resolved.config,
        });
    }
    Ok(configs)
}

/// Raises the limit on open files, within what this process may set, if many hosts need more.
fn allow_descriptors(hosts: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(hosts).unwrap_or(u64::MAX).saturating_mul(DESCRIPTORS);
    let is_short = limit.current.is_some_and(|current| current < wanted);
    let current = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if is_short && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit }) {
        log::info!("the limit on open files stays as it is: {error}");
    }
}

/// Sets what limits a fleet.
pub fn paced(builder: FleetBuilder, pace: &PaceArgs) -> FleetBuilder {
    let builder = builder
        .max_connecting(pace.max_connecting)
        .max_running(pace.fanout)
        .connects_per_second(pace.rate)
        .output_budget(UNREAD)
        .stop_grace(super::runner::STOP_GRACE)
        .close_timeout(CLOSE);
    // As with ssh, the first failure is final, unless ssh_config has ConnectionAttempts. But sshd
    // drops connections at random while too many log in at once (MaxStartups).
    let once = RetryPolicy::default().refused(Retry::NEVER).failed(Retry::NEVER);
    match (pace.retry, pace.connect_timeout) {
        (None, None) => builder.retry(once),
        (None, Some(Limit(limit))) => builder.timeout(limit).retry(once.time_limit(limit)),
        (Some(retries), limit) => {
            let again = Retry::new(retries.saturating_add(1), PAUSE).backoff(8 * PAUSE);
            let builder = builder.retry(once.refused(again).failed(again).time_limit(None));
            limit.map_or(builder.clone(), |Limit(limit)| builder.timeout(limit))
        }
    }
}
