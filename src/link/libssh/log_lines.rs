//! Parses libssh's log lines, because some facts are found nowhere else.
//!
//! Only the log contains the root cause of a failed handshake, the numbers and packet sizes of
//! channels, the reason why a Kerberos ticket cannot be used, and the number of bytes that wait for
//! the socket. These facts go into a record, one for each thread. Callbacks add their reports to
//! the same record. Code that calls libssh takes the record after each call.

use std::cell::RefCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::channel::OpenReply;

/// What one or more calls into libssh have logged and reported on this thread.
#[derive(Default)]
pub(super) struct CallLog {
    /// The first error that libssh's client state machine has logged. libssh's error text does not
    /// keep it, because later errors overwrite that text.
    pub root_cause: Option<String>,
    /// The number of the channel that the server was last asked to open.
    pub created: Option<u32>,
    /// The number of the channel to which the next line about a window refers.
    confirmed: Option<u32>,
    /// The server's answers to requests for channels, each with the channel's number.
    pub replies: Vec<(u32, OpenReply)>,
    pub bad_confirmation: Option<String>,
    pub gssapi_problem: Option<String>,
    /// The length of the data in the largest packet of a write, in bytes.
    pub largest_packet: usize,
    /// Whether a write has sent an empty packet. Such a write never ends: libssh goes on sending
    /// empty packets.
    pub loops: bool,
    /// Whether the server has begun a key exchange.
    pub key_exchange_begun: bool,
    /// How many key exchanges have completed.
    pub key_exchanges_done: u64,
    /// Whether the server has closed a channel.
    pub has_closed: bool,
    /// Whether a channel has carried so much that its window should be grown.
    pub needs_window: bool,
    /// The traffic of the channels, as counted by [`data_traffic`].
    pub traffic: u64,
    /// The lists of host key algorithms of the server and of this end.
    pub host_keys: Vec<String>,
    /// How many bytes were waiting for the socket, if a line has reported it.
    pub waiting: Option<u64>,
    /// The channels of tunnels and agents that have news.
    pub news: Vec<usize>,
}

thread_local! {
    static LOG: RefCell<CallLog> = RefCell::default();
}

/// Lets a callback add to the record. Catches panics, so that none crosses into C.
pub(super) fn report(note: impl FnOnce(&mut CallLog)) {
    let _ = catch_unwind(AssertUnwindSafe(|| with(note)));
}

/// Gives access to the record of this thread.
pub(super) fn with<T>(look: impl FnOnce(&mut CallLog) -> T) -> T {
    LOG.with_borrow_mut(look)
}

/// Returns the record and empties it, except for the root cause.
pub(super) fn take() -> CallLog {
    with(|log| mem::replace(log, CallLog { root_cause: log.root_cause.clone(), ..CallLog::default() }))
}

/// How much a packet with `bytes` bytes of data adds to the traffic since the last key exchange.
///
/// The result includes an overhead, because servers count lengths and padding too. For sshd, a
/// packet with one byte of data counts as 24 or 32 bytes.
pub(super) fn data_traffic(bytes: usize) -> u64 {
    bytes as u64 + 24
}

impl CallLog {
    /// Records the progress of a key exchange. libssh reports 0.6 when it has read the server's
    /// KEXINIT and 1 when the new keys are in use.
    pub(super) fn note_progress(&mut self, progress: f32) {
        self.key_exchange_begun |= (0.55..0.65).contains(&progress);
        self.key_exchanges_done += u64::from(progress >= 1.0);
    }

    pub(super) fn note(&mut self, is_warning: bool, line: &str) {
        // Each line begins with the name of the function that logs it.
        let Some((function, line)) = line.split_once(':') else { return };
        let line = line.trim_start();
        match function {
            // Below the level of warnings, the state machine only announces its next step.
            "ssh_client_connection_callback" if is_warning => {
                self.root_cause.get_or_insert_with(|| line.to_owned());
            }
            "ssh_packet_channel_open_conf" => self.note_confirmation(line),
            "ssh_packet_channel_open_fail" => self.note_refusal(line),
            // For example "Poll callback on socket 7 (POLLIN ), out buffer 1234".
            "ssh_socket_pollcallback" => {
                let bytes = line.rsplit_once("out buffer ").and_then(|(_, bytes)| bytes.trim().parse().ok());
                self.waiting = self.waiting.or(bytes);
            }
            "ssh_list_kex" => {
                self.host_keys.extend(line.strip_prefix("server host key algo: ").map(str::to_owned));
            }
            _ => {
                if let Some(bytes) = line.strip_prefix("ssh_channel_write wrote ").and_then(leading_number) {
                    self.largest_packet = self.largest_packet.max(bytes as usize);
                    self.loops |= bytes == 0;
                } else if let Some(number) = line.strip_prefix("Creating a channel ") {
                    self.created = leading_number(number);
                } else if let Some(line) = line.strip_prefix("GSSAPI(") {
                    // The line names the step and then the problem, for example "GSSAPI(acquiring
                    // credential): …".
                    let problem = line.split_once("): ").map(|(_, problem)| problem.to_owned());
                    self.gssapi_problem = problem.or(self.gssapi_problem.take());
                }
            }
        }
    }

    fn note_confirmation(&mut self, line: &str) {
        if line.starts_with("Invalid") || line.contains("in incorrect channel state") {
            // The first such line gives the reason. The second says only "Invalid packet".
            self.bad_confirmation.get_or_insert_with(|| line.to_owned());
        } else if let Some(channel) = line.strip_prefix("Received a CHANNEL_OPEN_CONFIRMATION for channel ") {
            self.confirmed = leading_number(channel);
        } else if let Some(rest) = line.strip_prefix("Remote window : ") {
            let packet_max = rest.rsplit("maxpacket : ").next().and_then(leading_number);
            let opened = packet_max.map(|packet_max| OpenReply::Opened { packet_max });
            self.replies.extend(self.confirmed.take().zip(opened));
        }
    }

    /// Parses a line such as "Channel opening failure: channel 43 error (2) Connection refused".
    pub(super) fn note_refusal(&mut self, line: &str) {
        let parsed = line.strip_prefix("Channel opening failure: channel ").and_then(|rest| {
            let (number, rest) = rest.split_once(" error (")?;
            let (reason, text) = rest.split_once(") ")?;
            let (reason, text) = (reason.parse().ok()?, text.to_owned());
            Some((number.parse().ok()?, OpenReply::Refused { reason, text }))
        });
        self.replies.extend(parsed);
    }
}

fn leading_number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> CallLog {
        let mut log = CallLog::default();
        lines.iter().for_each(|line| log.note(true, line));
        log
    }

    #[test]
    fn confirmations_belong_to_the_channels_that_they_name() {
        let log = log(&[
            "channel_open: Creating a channel 43 with 2097152 window and 32768 max packet",
            "ssh_packet_channel_open_conf: Received a CHANNEL_OPEN_CONFIRMATION for channel 44:1",
            "ssh_packet_channel_open_conf: Remote window : 0, maxpacket : 7",
            "ssh_packet_channel_open_conf: Received a CHANNEL_OPEN_CONFIRMATION for channel 43:0",
            "ssh_packet_channel_open_conf: Remote window : 2097152, maxpacket : 32768",
        ]);
        assert_eq!(log.created, Some(43));
        let opened = |packet_max| OpenReply::Opened { packet_max };
        assert_eq!(log.replies, [(44, opened(7)), (43, opened(32_768))]);
    }

    #[test]
    fn refusals_carry_number_reason_and_text() {
        let log = log(&[
            "ssh_packet_channel_open_fail: Channel opening failure: channel 43 error (2) a) b: c",
            "ssh_packet_channel_open_fail: Channel opening failure: channel x error (2) d",
            "ssh_packet_channel_open_fail: Channel opening failure: channel 44 error (1) ",
        ]);
        let refused = |reason, text: &str| OpenReply::Refused { reason, text: text.to_owned() };
        assert_eq!(log.replies, [(43, refused(2, "a) b: c")), (44, refused(1, ""))]);
    }

    #[test]
    fn what_packets_carry_is_seen_and_so_is_an_empty_one() {
        let wrote = |bytes| format!("channel_write_common: ssh_channel_write wrote {bytes} bytes");
        let (four, two, none) = (wrote(4), wrote(2), wrote(0));
        let seen = |log: CallLog| (log.largest_packet, log.loops);
        assert_eq!(seen(log(&[&four, &two])), (4, false));
        assert_eq!(seen(log(&[&none])), (0, true));
    }

    #[test]
    fn a_confirmation_for_an_open_channel_is_a_bad_one() {
        let line = "SSH2_MSG_CHANNEL_OPEN_CONFIRMATION received in incorrect channel state 3";
        let log = log(&[&format!("ssh_packet_channel_open_conf: {line}")]);
        assert_eq!(log.bad_confirmation.as_deref(), Some(line));
    }

    #[test]
    fn only_the_first_line_about_a_bad_confirmation_says_what_is_wrong() {
        let log = log(&[
            "ssh_packet_channel_open_conf: Invalid maximum packet size 0 in SSH2_MSG_CHANNEL_OPEN_CONFIRMATION",
            "ssh_packet_channel_open_conf: Invalid packet",
        ]);
        assert!(log.bad_confirmation.unwrap().contains("size 0"));
        assert!(log.replies.is_empty());
    }
}
