//! Counters: kept per host, summed on request, passed to the parent as one line of JSON.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The live counters of one host.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)+
        }

        /// The counters of a host or of the whole fleet.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            pub(crate) fn add_to(&self, stats: &mut Stats) {
                $(stats.$name = stats.$name.wrapping_add(self.$name.load(Ordering::Relaxed));)+
            }
        }

        impl Stats {
            /// All counters as one flat JSON object, without a line break.
            #[must_use]
            pub fn to_json(&self) -> String {
                let fields = [$((stringify!($name), self.$name),)+];
                let fields: Vec<String> = fields.iter().map(|(name, n)| format!("\"{name}\":{n}")).collect();
                format!("{{{}}}", fields.join(","))
            }

            /// The inverse of [`Stats::to_json`]; unknown names are errors, missing ones count as
            /// 0.
            #[must_use]
            pub fn from_json(json: &str) -> Option<Self> {
                let mut stats = Self::default();
                let body = json.trim().strip_prefix('{')?.strip_suffix('}')?;
                for field in body.split(',').filter(|field| !field.is_empty()) {
                    let (name, number) = field.split_once(':')?;
                    match name.trim().trim_matches('"') {
                        $(stringify!($name) => stats.$name = number.trim().parse().ok()?,)+
                        _ => return None,
                    }
                }
                Some(stats)
            }
        }
    };
}

counters! {
    /// TCP connections accepted.
    connections,
    /// TCP connections open now.
    connections_now,
    /// Key exchanges that the client completed: its request for the userauth service arrived, so it
    /// has verified (or ignored) the host key. A client that refuses the host key is not counted.
    handshakes,
    /// USERAUTH requests with method `none`.
    auth_none,
    /// USERAUTH publickey requests without a signature, and signed ones whose key was refused.
    auth_publickey_query,
    /// USERAUTH publickey requests with a signature that was verified.
    auth_publickey_signed,
    /// USERAUTH requests with method `password`.
    auth_password,
    /// USERAUTH requests with method `keyboard-interactive`.
    auth_keyboard,
    /// USERAUTH_INFO_RESPONSE messages.
    auth_keyboard_answers,
    /// Authentications that succeeded.
    auth_successes,
    /// Session channels opened.
    channels,
    /// Session channels open now.
    channels_now,
    /// Connections to other hosts that clients requested (`direct-tcpip`).
    tunnels,
    /// Exec requests, including refused ones.
    execs,
    /// Bytes of channel data received from clients.
    stdin_bytes,
    /// CHANNEL_EOF messages received.
    eofs,
    /// Sessions of the subsystem `sftp`.
    sftp_sessions,
    /// Requests of those sessions, without INIT.
    sftp_requests,
    /// Bytes that SFTP wrote into files.
    sftp_written,
    /// Bytes of files that SFTP sent.
    sftp_read,
    /// Requests `fsync@openssh.com`.
    sftp_fsyncs,
    /// Handles of SFTP open now.
    sftp_handles_now,
    /// SFTP sessions that the server ended, because a packet was malformed or too long.
    sftp_violations,
    /// Connections that an action took from the SSH server: silence, fin, rst, stall, garbage, raw.
    retired,
    /// Channels that the server opened towards clients.
    server_opens,
    /// Of those, how many the client refused.
    server_opens_refused,
    /// Bytes received on the wire.
    wire_in,
    /// Bytes sent on the wire.
    wire_out,
    /// Bugs of the simulator: tasks that panicked. Counted for the whole process only.
    panics,
}

impl Stats {
    /// All SSH_MSG_USERAUTH_* messages from clients.
    #[must_use]
    pub fn userauth_messages(&self) -> u64 {
        self.auth_none
            + self.auth_publickey_query
            + self.auth_publickey_signed
            + self.auth_password
            + self.auth_keyboard
            + self.auth_keyboard_answers
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

pub(crate) fn subtract(counter: &AtomicU64, n: u64) {
    counter.fetch_sub(n, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_round_trip_and_sums() {
        let (one, two) = (Counters::default(), Counters::default());
        add(&one.stdin_bytes, u64::from(u32::MAX) + 1);
        count(&one.execs);
        count(&two.execs);
        count(&two.auth_keyboard_answers);
        let mut sum = Stats::default();
        one.add_to(&mut sum);
        two.add_to(&mut sum);
        assert_eq!((sum.execs, sum.stdin_bytes, sum.userauth_messages()), (2, 4_294_967_296, 1));
        assert_eq!(Stats::from_json(&sum.to_json()), Some(sum));
        assert!(!sum.to_json().contains('\n'));
        for bad in ["", "{", "{\"execs\":x}", "{\"nonsense\":1}", "{execs}"] {
            assert_eq!(Stats::from_json(bad), None, "{bad}");
        }
        assert_eq!(Stats::from_json("{}"), Some(Stats::default()));
    }
}
