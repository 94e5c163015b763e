//! Builds the fleet of a run.

use std::time::Duration;

use sshoal::config::{FleetBuilder, Retry, RetryPolicy};
use sshoal::ssh_config::SshConfig;
use sshoal::{Error, Fleet, HostConfig};

use crate::args::{ConnectionArgs, Limit, RunningArgs};
use crate::targets::Target;

/// How much output all hosts together may have ready before they wait for the screen.
const UNREAD: usize = 32 * 1024 * 1024;

/// How long a host may take to confirm that a channel is closed. sshd does so only when the command
/// has ended.
const CLOSE: Duration = Duration::from_secs(2);

/// A fleet of these targets, each as ssh_config says.
pub fn build(
    targets: &[Target],
    connection: &ConnectionArgs,
    running: &RunningArgs,
    config: &SshConfig,
) -> Result<Fleet, Error> {
    let mut resolver = config.resolver();
    let mut configs = Vec::with_capacity(targets.len());
    for target in targets {
        let destination = connection.destination(target);
        let resolved = HostConfig::from_ssh_config(&mut resolver, &destination)?;
        for ignored in resolved.ignored {
            log::info!("{ignored}");
        }
        configs.push(match running.connect_timeout {
            // Before the ConnectTimeout of a file.
            Some(Limit(limit)) => resolved.config.timeout(limit).connect_timeout(limit),
            None => resolved.config,
        });
    }
    let hosts = targets.iter().map(|target| target.host.as_str());
    paced(Fleet::builder(hosts).host_config(configs), running).build()
}

/// Sets what limits a fleet.
pub fn paced(builder: FleetBuilder, running: &RunningArgs) -> FleetBuilder {
    let builder = builder
        .max_connecting(running.max_connecting)
        .max_running(running.fanout)
        .connects_per_second(running.rate)
        .output_budget(UNREAD)
        .stop_grace(super::runner::STOP_GRACE)
        .close_timeout(CLOSE);
    // As with ssh, the first failure is final, unless ssh_config has ConnectionAttempts. But sshd
    // drops connections at random while too many log in at once (MaxStartups).
    let attempts = RetryPolicy::default().refused(Retry::NEVER).failed(Retry::NEVER);
    match running.connect_timeout {
        None => builder.retry(attempts),
        Some(Limit(limit)) => builder.timeout(limit).retry(attempts.time_limit(limit)),
    }
}
