//! The settings for attempts to connect and for time limits.

use std::time::Duration;

use super::settings;
use crate::config::builder::{ClientBuilder, FleetBuilder};
use crate::config::host_config::HostConfig;
use crate::session::RetryPolicy;

settings! { HostConfig, FleetBuilder.client, ClientBuilder.fleet; {
    /// Which failed attempts to connect are followed by another one, how often, after what pause,
    /// and for how long. Default: [`RetryPolicy::default`].
    ///
    /// [`max_attempts`](Self::max_attempts), [`retry_delay`](Self::retry_delay) and
    /// [`retry_backoff`](Self::retry_backoff) change single values of the policy that was set
    /// before them, here or in a less specific place. A policy replaces what was set before it.
    ///
    /// The default policy gives up after 30 s. That limit does not apply if this setting is not
    /// made and `max_attempts`, `retry_delay`, `retry_backoff` or [`timeout`](Self::timeout) is:
    /// what these settings say is then done to the end.
    /// [`HostRef::retry_policy`](crate::fleet::HostRef::retry_policy) shows the policy of a host.
    retry(policy: RetryPolicy) => |config| {
        config.retry = Some(policy);
        (config.attempts, config.retry_delay, config.retry_backoff) = (None, None, None);
    };

    /// How many times a connection to a host is attempted at most, whatever the attempts fail from
    /// (parallel-ssh: `num_retries`). Default: the numbers of [`retry`](Self::retry), which are 3,
    /// after a refused connect 2, and after connections that were dropped before the server's
    /// identification 11. 0 is rejected.
    ///
    /// There is one counter per connection. A failed attempt is repeated only if another attempt
    /// can succeed:
    ///
    /// | stage | tried again | final |
    /// |---|---|---|
    /// | resolving | no such name, no answer of the resolver, timeout | only addresses of the wrong [family](Self::address_family) |
    /// | connecting | refused, unreachable, reset, timeout: every address of the name in each attempt | |
    /// | SSH handshake | connection lost, disconnected, timeout | not an SSH server, no common algorithm, altered data, a host key that is not trusted |
    /// | authentication | connection lost, timeout, disconnected for another reason than the user or the credentials | no credential accepted |
    /// | opening the channel | connection lost, disconnected, [peer dead](Self::keepalive) | refused by the server, timeout |
    /// | from the request on | | everything: the command may have started, and is never sent twice |
    ///
    /// parallel-ssh has three counters, for connect, handshake and authentication. It tries refused
    /// credentials again, but not a refused connect.
    max_attempts(attempts: u32) => |config| config.attempts = Some(attempts);

    /// The same as [`max_attempts`](Self::max_attempts) under parallel-ssh's name, except that 0
    /// counts as 1.
    num_retries(attempts: u32) => |config| config.attempts = Some(attempts.max(1));

    /// Pause between two attempts, whatever the first one failed from. Default: the pauses of
    /// [`retry`](Self::retry), which are 5 s, after a refused connect 1 s, and after a dropped
    /// connection random. Zero means no pause. During the pause, the host occupies no place in the
    /// pool.
    retry_delay(delay: Duration) => |config| config.retry_delay = Some(delay);

    /// The longest pause of exponential backoff with full jitter. The pause before attempt `n` is a
    /// random time between zero and [`retry_delay`](Self::retry_delay)` * 2^(n - 1)`, at most
    /// `max`, so that hosts that fail together do not retry together. Default: `None`: the pauses
    /// of [`retry`](Self::retry) or `retry_delay`.
    retry_backoff(max: impl Into<Option<Duration>>) => |config| config.retry_backoff = Some(max.into());

    /// Time limit for each stage of each host. The stages are: resolving and connecting, the SSH
    /// handshake, authentication, and starting the command. The limit is the total time of a stage.
    /// Default: `None`. Resolving and connecting are then limited to 10 s, the handshake to 10 s,
    /// authentication to 20 s and starting the command to 30 s, and all attempts together to the 30
    /// s of the default [`retry`](Self::retry) policy, so that a silent peer cannot keep a place in
    /// the pool.
    ///
    /// Servers whose logins take longer than 20 s, because of slow directories or name servers for
    /// instance, need a limit that is set. A limit that is set also covers the wait for a
    /// [channel](crate::Command::wait_for_channel), and the default limit does not.
    timeout(limit: impl Into<Option<Duration>>) => |config| config.timeout = Some(limit.into());

    /// Time limit for resolving and connecting, and for the SSH handshake after it (OpenSSH:
    /// `ConnectTimeout`). Default: the limits of [`timeout`](Self::timeout).
    connect_timeout(limit: impl Into<Option<Duration>>) =>
        |config| config.connect_timeout = Some(limit.into());

    /// How long a command that is [cancelled](crate::HostOutput::cancel), or has reached its
    /// [`time_limit`](crate::Command::time_limit), may take to end after it has got SIGTERM and the
    /// end of its input. Then its channel is closed. Default: 1 s; zero closes it at once.
    stop_grace(limit: Duration) => |config| config.stop_grace = Some(limit);

    /// How long a host may take to confirm that a channel is closed. Then the command ends without
    /// the confirmation. Default: 10 s; zero waits for no confirmation.
    ///
    /// A command that is cancelled on a host that no longer answers ends after
    /// [`stop_grace`](Self::stop_grace) and this limit.
    close_timeout(limit: Duration) => |config| config.close_timeout = Some(limit);

    /// How long a reader waits for the next byte of its stream, and how long a writer waits until
    /// more input is accepted. `None` means no limit. Default: [`timeout`](Self::timeout), if set.
    /// [`HostOutput::set_read_timeout`](crate::HostOutput::set_read_timeout) takes precedence.
    read_timeout(limit: impl Into<Option<Duration>>) =>
        |config| config.read_timeout = Some(limit.into());
}}
