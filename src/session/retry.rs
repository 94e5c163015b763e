//! The policy for attempts to connect: which failures are followed by another attempt, how often,
//! after what pause, and for how long.

use std::io::ErrorKind;
use std::time::Duration;

use super::attempts::Jitter;
use crate::error::{
    ChannelProblem, ConfigProblem, HostError, HostErrorKind, ProxyCommandProblem, UnknownHostProblem,
};
use crate::limits;
use crate::stage::{Stage, TimeoutKind};

/// `SSH_OPEN_CONNECT_FAILED` and `SSH_OPEN_RESOURCE_SHORTAGE` (RFC 4254 section 5.1).
const CONNECT_FAILED: u32 = 2;
const RESOURCE_SHORTAGE: u32 = 4;

/// Which failed attempts to connect are followed by another one, how often, after what pause, and
/// for how long ([`retry`](crate::config::ClientBuilder::retry)).
///
/// | the attempt failed because | rule | default |
/// |---|---|---|
/// | the port refused the connection, or a proxy could not connect to the host | [`refused`](#structfield.refused) | 2 attempts, 1 s apart |
/// | the server closed or reset the connection before it sent its SSH identification, like sshd beyond its `MaxStartups`; so did a proxy command that then ended with status 0 | [`dropped`](#structfield.dropped) | 11 attempts; the pauses are random, up to 0.25 s at first, then doubling up to 4 s |
/// | of anything else that may pass: no such name, no answer of the resolver, host unreachable, connection lost or disconnected, a proxy command that failed, a time limit of one stage, [peer dead](crate::HostErrorKind::PeerDead) while a command waits | [`failed`](#structfield.failed) | 3 attempts, 5 s apart (parallel-ssh: `num_retries`, `retry_delay`) |
/// | of anything that the next attempt would find again: no credential accepted, a host key that is not trusted, not an SSH server, no common algorithm, altered data, only addresses of the wrong [family](crate::config::AddressFamily), a channel or a command that was refused | none | final |
///
/// All attempts of a connection are counted together. An attempt that failed is followed by
/// another one if fewer attempts were made than the rule for its failure allows. A command that may
/// have started on the host is never sent again.
///
/// The count and the [`time_limit`](#structfield.time_limit) begin with the first attempt after the
/// host was idle, connected or given up. When a connection that has run a command is lost, the
/// commands that wait for it get a full set of attempts, and the first of these begins at once.
///
/// ```
/// use std::time::Duration;
/// use sshoal::ParallelClient;
/// use sshoal::config::{Retry, RetryPolicy};
///
/// # fn main() -> Result<(), sshoal::Error> {
/// # let none: [&str; 0] = [];
/// // A refused connect is final. Everything else is tried for two minutes.
/// let policy = RetryPolicy::default()
///     .refused(Retry::NEVER)
///     .failed(Retry::new(20, Duration::from_secs(6)))
///     .time_limit(Duration::from_secs(120));
/// assert_eq!((policy.refused.attempts, policy.failed.attempts), (1, 20));
/// let client = ParallelClient::builder(["web1"]).retry(policy)
/// #   .known_hosts(none).identity_auth(false)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use]
pub struct RetryPolicy {
    /// After a refused connect.
    pub refused: Retry,
    /// After a connection that was dropped before the server's identification.
    pub dropped: Retry,
    /// After every other failure that may pass.
    pub failed: Retry,
    /// The time from the first dial until the host has accepted its first command, or is given up.
    /// All attempts and the pauses between them are included, waits for a place in the pool are
    /// not. In addition, each variable of [`Command::env`](crate::Command::env) may take as long as
    /// the start of a command. `None` means that only the limits of the single stages apply.
    /// Default: 30 s.
    pub time_limit: Option<Duration>,
}

/// How often an attempt to connect is made, and how long the pauses are ([`RetryPolicy`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use]
pub struct Retry {
    /// The most attempts that are made, at least 1. With 1, the failure is final.
    pub attempts: u32,
    /// The pause before the next attempt. During the pause, the host takes no place in the pool.
    pub delay: Duration,
    /// The longest pause of exponential backoff with full jitter: the pause before attempt `n` is a
    /// random time from zero to `delay * 2^(n - 1)`, at most this, so that hosts that fail together
    /// do not return together. `None` means that every pause lasts `delay`.
    pub backoff: Option<Duration>,
}

impl Retry {
    /// The failure is final.
    pub const NEVER: Self = Self::new(1, Duration::ZERO);

    /// This many attempts, the first included, with this pause between them.
    pub const fn new(attempts: u32, delay: Duration) -> Self {
        Self { attempts, delay, backoff: None }
    }

    /// Sets the longest pause of [exponential backoff](#structfield.backoff).
    pub const fn backoff(mut self, max: Duration) -> Self {
        self.backoff = Some(max);
        self
    }

    /// The pause after `failed` failed attempts.
    pub(super) fn pause(&self, failed: u32, jitter: &mut Jitter) -> Duration {
        let Some(max) = self.backoff else { return self.delay };
        let factor = 1_u128.checked_shl(failed).unwrap_or(u128::MAX);
        jitter.up_to(self.delay.as_nanos().saturating_mul(factor).min(max.as_nanos()))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            // A daemon that is being restarted is back after a second; a port without one refuses
            // for hours.
            refused: Retry::new(2, Duration::from_secs(1)),
            // sshd has room again as soon as one pending login ends, which takes some tenths of a
            // second. The last attempt starts at most 28 s after the first. In that time, a server
            // that logs in ten users a second serves nearly three hundred.
            dropped: Retry::new(11, Duration::from_millis(125)).backoff(Duration::from_secs(4)),
            failed: Retry::new(limits::ATTEMPTS, limits::RETRY_DELAY),
            time_limit: Some(limits::ATTEMPTS_TIME),
        }
    }
}

impl RetryPolicy {
    /// Sets the rule for a refused connect.
    pub fn refused(mut self, rule: Retry) -> Self {
        self.refused = rule;
        self
    }

    /// Sets the rule for a connection that was dropped before the server's identification.
    pub fn dropped(mut self, rule: Retry) -> Self {
        self.dropped = rule;
        self
    }

    /// Sets the rule for every other failure that may pass.
    pub fn failed(mut self, rule: Retry) -> Self {
        self.failed = rule;
        self
    }

    /// Sets the [time limit](#structfield.time_limit) of all attempts. Zero is rejected.
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.time_limit = limit.into();
        self
    }

    /// Sets the number of attempts in every rule.
    pub fn attempts(self, attempts: u32) -> Self {
        self.each(|rule| Retry { attempts, ..rule })
    }

    /// Sets the pause in every rule, without backoff.
    pub fn delay(self, delay: Duration) -> Self {
        self.each(|rule| Retry::new(rule.attempts, delay))
    }

    /// Sets the longest pause of [exponential backoff](Retry#structfield.backoff) in every rule.
    pub fn backoff(self, max: Duration) -> Self {
        self.each(|rule| rule.backoff(max))
    }

    fn each(self, change: impl Fn(Retry) -> Retry) -> Self {
        let Self { refused, dropped, failed, time_limit } = self;
        Self { refused: change(refused), dropped: change(dropped), failed: change(failed), time_limit }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigProblem> {
        let rules = [self.refused, self.dropped, self.failed];
        if rules.iter().any(|rule| rule.attempts == 0) {
            let (setting, allowed) = ("retry", "at least 1 attempt in each rule");
            return Err(ConfigProblem::OutOfRange { setting, allowed });
        }
        let times = rules.iter().map(|rule| rule.backoff).chain([self.time_limit]);
        times.into_iter().try_for_each(|limit| ConfigProblem::check_limit("retry", limit))
    }

    /// The rule for a failure; `None` if the failure is final.
    pub(super) fn rule(&self, cause: Cause) -> Option<Retry> {
        match cause {
            Cause::Refused => Some(self.refused),
            Cause::Dropped => Some(self.dropped),
            Cause::Failed => Some(self.failed),
            Cause::Final => None,
        }
    }
}

/// Why an attempt to connect ended, as far as the policy distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The port refused the connection.
    Refused,
    /// The server had no room for the connection. It ended the connection before sending its SSH
    /// identification. If the load comes from this client, the drop says nothing about the host.
    Dropped,
    /// Another attempt may succeed.
    Failed,
    /// Another attempt would end in the same way. A refusal is final, and a host that failed
    /// verification must not be tried again.
    Final,
}

impl Cause {
    pub(super) fn of(kind: &HostErrorKind) -> Self {
        match kind {
            HostErrorKind::Connect { error, .. } => match error.kind() {
                ErrorKind::ConnectionRefused => Self::Refused,
                // The server accepted the connection, and reset it before the connect was checked.
                // A port without a listener would have refused the connection.
                ErrorKind::ConnectionReset => Self::Dropped,
                _ => Self::Failed,
            },
            // No time is left for another attempt, or the session did not wait for the host but for
            // another one or for a person.
            HostErrorKind::Timeout {
                kind: TimeoutKind::Attempts | TimeoutKind::Trial | TimeoutKind::Touch,
                ..
            } => Self::Final,
            HostErrorKind::UnknownHost(
                UnknownHostProblem::NoSuchName
                | UnknownHostProblem::NoAddress
                | UnknownHostProblem::System(_),
            )
            | HostErrorKind::Resolver(_)
            | HostErrorKind::Timeout { .. }
            | HostErrorKind::ConnectionLost(_)
            | HostErrorKind::PeerDead { .. } => Self::Failed,
            HostErrorKind::Disconnected { reason, .. } if !is_refusal(*reason) => Self::Failed,
            HostErrorKind::Proxy(error) => Self::of_proxy(error),
            // The command has done its work, so the server has ended the connection.
            HostErrorKind::ProxyCommand(ProxyCommandProblem::Ended { status: Some(status), .. })
                if status.success() =>
            {
                Self::Dropped
            }
            HostErrorKind::ProxyCommand(ProxyCommandProblem::Ended { .. }) => Self::Failed,
            HostErrorKind::UnknownHost(
                UnknownHostProblem::BadName(_) | UnknownHostProblem::OtherFamily { .. },
            )
            | HostErrorKind::ProxyCommand(ProxyCommandProblem::NotStarted { .. })
            | HostErrorKind::Handshake(_)
            | HostErrorKind::HostKey(_)
            | HostErrorKind::Auth { .. }
            | HostErrorKind::Channel(_)
            | HostErrorKind::Disconnected { .. }
            | HostErrorKind::Integrity(_)
            | HostErrorKind::Protocol(_)
            | HostErrorKind::Undecodable { .. }
            | HostErrorKind::Limit(_)
            | HostErrorKind::Ssh(_)
            | HostErrorKind::Cancelled(_)
            | HostErrorKind::Transfer(_)
            | HostErrorKind::Sink { .. }
            | HostErrorKind::NotStarted(_)
            | HostErrorKind::Bug(_) => Self::Final,
        }
    }

    /// The cause of a host's failure that is an error of its proxy. A proxy that cannot be reached
    /// has already been tried as often as allowed, so its hosts are not tried again.
    fn of_proxy(error: &HostError) -> Self {
        match error.kind() {
            HostErrorKind::Channel(ChannelProblem::TunnelRefused { reason: CONNECT_FAILED, .. }) => {
                Self::Refused
            }
            HostErrorKind::Channel(ChannelProblem::TunnelRefused { reason: RESOURCE_SHORTAGE, .. }) => {
                Self::Failed
            }
            kind if error.stage() == Stage::Forwarding => Self::of(kind),
            _ => Self::Final,
        }
    }
}

/// Whether a disconnect with this reason (RFC 4253 section 11.1) is a decision about the user.
pub(super) fn is_refusal(reason: u32) -> bool {
    // 2: protocol error, which sshd sends after too many authentication failures; 14: no more
    // authentication methods; 15: illegal user name.
    matches!(reason, 2 | 14 | 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The longest of many pauses, and whether any pause was shorter than a tenth of it.
    fn spread(rule: Retry, failed: u32) -> (Duration, bool) {
        let pauses: Vec<_> =
            (0..2_000).map(|seed| rule.pause(failed, &mut Jitter::new(seed * 7_919))).collect();
        let longest = *pauses.iter().max().unwrap();
        (longest, pauses.iter().any(|pause| *pause < longest / 10))
    }

    #[test]
    fn without_backoff_every_pause_is_the_delay() {
        let rule = Retry::new(3, 5 * SECOND);
        for failed in [1, 2, 40, u32::MAX] {
            assert_eq!(rule.pause(failed, &mut Jitter::new(1)), 5 * SECOND);
        }
    }

    #[test]
    fn the_longest_pause_doubles_up_to_the_maximum_and_the_shortest_stays_near_zero() {
        let rule = Retry::new(3, SECOND).backoff(30 * SECOND);
        for (failed, ceiling) in
            [(1, 2), (2, 4), (3, 8), (4, 16), (5, 30), (31, 30), (32, 30), (u32::MAX, 30)]
        {
            let ceiling = ceiling * SECOND;
            let (longest, reaches_down) = spread(rule, failed);
            assert!(longest <= ceiling && longest > ceiling * 9 / 10, "after {failed}: {longest:?}");
            assert!(reaches_down, "after {failed} no pause is short");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        for (base, max, ceiling) in [
            (Duration::ZERO, Duration::MAX, Duration::ZERO),
            (SECOND, Duration::ZERO, Duration::ZERO),
            (Duration::MAX, SECOND, SECOND),
            (Duration::MAX, Duration::MAX, Duration::from_nanos(u64::MAX)),
            (Duration::from_nanos(1), Duration::MAX, Duration::from_nanos(u64::MAX)),
        ] {
            let rule = Retry::new(3, base).backoff(max);
            for failed in [1, 31, 32, 64, 127, 128, u32::MAX] {
                assert!(rule.pause(failed, &mut Jitter::new(3)) <= ceiling, "{base:?} {max:?}");
            }
        }
    }

    #[test]
    fn equal_seeds_give_equal_pauses_and_different_ones_do_not() {
        let pause = |seed| Retry::new(9, SECOND).backoff(60 * SECOND).pause(4, &mut Jitter::new(seed));
        assert_eq!(pause(7), pause(7));
        assert_ne!(pause(7), pause(8));
    }

    #[test]
    fn rules_are_set_one_by_one_or_all_at_once() {
        let policy = RetryPolicy::default();
        assert_eq!((policy.refused, policy.failed), (Retry::new(2, SECOND), Retry::new(3, 5 * SECOND)));
        assert_eq!(policy.time_limit, Some(30 * SECOND));
        let all = policy.delay(SECOND).attempts(4).refused(Retry::NEVER).time_limit(None);
        let four = Retry::new(4, SECOND);
        assert_eq!((all.refused, all.dropped, all.failed, all.time_limit), (Retry::NEVER, four, four, None));
    }
}
