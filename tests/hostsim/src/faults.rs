//! What can go wrong with a simulated host, and when. The text forms are those of `--rule` on the
//! command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::setting::Setting;
use crate::subset::Subset;

/// A moment in the life of a connection, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// `accept`: TCP is accepted, nothing was sent yet.
    Accept,
    /// `banner`: the identification string was sent, and nothing after it.
    Banner,
    /// `kex`: our KEXINIT was sent; the action replaces the response to the client's.
    Kex,
    /// `auth`: the first authentication request has arrived, and has no response yet.
    Auth,
    /// `open`: a CHANNEL_OPEN has arrived, and has no response yet.
    Open,
    /// `exec`: a request for a command or a subsystem has arrived, and has no response yet.
    Exec,
    /// `stream` or `stream@N`: exec was accepted and N bytes of output (default 0, at most
    /// [`AFTER_MAX`]) were sent.
    Stream,
    /// `end`: all output was sent, the exit status was not.
    End,
    /// `close`: output and exit status were sent; EOF and CLOSE were not.
    Close,
    /// `wire@N`: N bytes were sent after our NEWKEYS message, counted on the encrypted stream; may
    /// split a message.
    Wire,
}

/// Largest N of `stream@N`: 1 TiB, so that sums with it cannot overflow.
pub const AFTER_MAX: u64 = 1 << 40;

/// What a faulty host does at its [`Stage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `silence`: sends nothing more; reads and discards what the client sends.
    Silence,
    /// `fin`: closes its sending side; reads and discards what the client sends.
    Fin,
    /// `rst`: resets the TCP connection (SO_LINGER 0).
    Rst,
    /// `stall`: stops reading and writing, so the client's writes stall once the kernel's buffers
    /// are full.
    Stall,
    /// `drip`: continues, but sends one byte per 100 ms.
    Drip,
    /// `delay=MS`: waits this many milliseconds, then continues.
    Delay(Duration),
    /// `disconnect=TEXT`: SSH_MSG_DISCONNECT (reason BY_APPLICATION) with this description.
    Disconnect(String),
    /// `garbage`: sends 4 KiB of pseudo-random bytes instead of the next message, then nothing.
    Garbage,
    /// `raw=HEX`: sends these bytes without encryption, then nothing.
    Raw(Vec<u8>),
    /// `refuse` (auth, open, exec): the protocol's own refusal.
    Refuse,
    /// `http` (accept): an HTTP/1.1 400 response, then FIN.
    Http,
    /// `lines` (accept): an endless series of text lines before the identification string.
    Lines,
    /// `long-line` (accept): one line of 1 MiB that never ends, then silence.
    LongLine,
    /// `flip=MASK` (wire): XORs one byte with this mask (two hex digits).
    Flip(u8),
    /// `flood` (stream): endless output on stdout, whatever the command.
    Flood,
    /// `opens` (exec): the server opens a session, an x11, an agent and a forwarded-tcpip channel
    /// to the client.
    Opens,
    /// `no-close` (close): sends neither EOF nor CLOSE; the connection stays open.
    NoClose,
    /// `no-status` (end): sends EOF, but neither exit status nor CLOSE; the connection stays open.
    NoStatus,
}

/// An action at a stage; created by [`Fault::at`] or [`Fault::after`], which reject combinations
/// without meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(crate) stage: Stage,
    pub(crate) after: u64,
    pub(crate) action: Action,
}

impl Fault {
    /// `action` at `stage`.
    ///
    /// # Errors
    /// The action has no meaning at this stage.
    pub fn at(stage: Stage, action: Action) -> Result<Self, String> {
        Self::after(stage, 0, action)
    }

    /// `action` once `after` bytes have passed at `stage`, which must be [`Stage::Stream`] or
    /// [`Stage::Wire`].
    ///
    /// # Errors
    /// The action has no meaning at this stage, or the stage counts no bytes.
    pub fn after(stage: Stage, after: u64, action: Action) -> Result<Self, String> {
        use Stage::{Accept, Auth, Close, End, Exec, Open, Stream, Wire};
        let legal = match action {
            Action::Silence
            | Action::Fin
            | Action::Rst
            | Action::Stall
            | Action::Garbage
            | Action::Raw(_) => true,
            Action::Drip | Action::Delay(_) => stage != Wire,
            Action::Disconnect(_) => !matches!(stage, Accept | Wire),
            Action::Refuse => matches!(stage, Auth | Open | Exec),
            Action::Http | Action::Lines | Action::LongLine => stage == Accept,
            Action::Flip(mask) => stage == Wire && mask != 0,
            Action::Flood => stage == Stream && after == 0,
            Action::Opens => stage == Exec,
            Action::NoClose => stage == Close,
            Action::NoStatus => stage == End,
        };
        let counts = matches!(stage, Stream | Wire) && after <= AFTER_MAX;
        if !legal || (after > 0 && !counts) {
            return Err(format!("no such fault: {}", Self { stage, after, action }));
        }
        Ok(Self { stage, after, action })
    }
}

/// The effect of a rule on its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// `STAGE[@N]:DEED`.
    Fault(Fault),
    /// `set:NAME=VALUE`: a setting that differs from the fleet's.
    Set(Setting),
}

/// The behaviour of some hosts. Text form: `SUBSET BEHAVIOUR`, e.g. `i%100==7 stream@1000:rst`.
///
/// All rules that match a host apply; if two set the same thing or use the same stage, the later
/// one wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The hosts.
    pub hosts: Subset,
    /// What they do.
    pub behaviour: Behaviour,
}

const STAGES: [(Stage, &str); 10] = [
    (Stage::Accept, "accept"),
    (Stage::Banner, "banner"),
    (Stage::Kex, "kex"),
    (Stage::Auth, "auth"),
    (Stage::Open, "open"),
    (Stage::Exec, "exec"),
    (Stage::Stream, "stream"),
    (Stage::End, "end"),
    (Stage::Close, "close"),
    (Stage::Wire, "wire"),
];

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = STAGES.iter().find(|(stage, _)| stage == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = STAGES.iter().find(|(_, name)| *name == text);
        found.map(|(stage, _)| *stage).ok_or_else(|| format!("not a stage: {text:?}"))
    }
}

const PLAIN_DEEDS: [(Action, &str); 14] = [
    (Action::Silence, "silence"),
    (Action::Fin, "fin"),
    (Action::Rst, "rst"),
    (Action::Stall, "stall"),
    (Action::Drip, "drip"),
    (Action::Garbage, "garbage"),
    (Action::Refuse, "refuse"),
    (Action::Http, "http"),
    (Action::Lines, "lines"),
    (Action::LongLine, "long-line"),
    (Action::Flood, "flood"),
    (Action::Opens, "opens"),
    (Action::NoClose, "no-close"),
    (Action::NoStatus, "no-status"),
];

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(time) => write!(f, "delay={}", time.as_millis()),
            Self::Disconnect(text) => write!(f, "disconnect={text}"),
            Self::Raw(bytes) => write!(f, "raw={}", hex(bytes)),
            Self::Flip(mask) => write!(f, "flip={mask:02x}"),
            plain => f.write_str(
                PLAIN_DEEDS.iter().find(|(action, _)| action == plain).map_or("", |(_, name)| name),
            ),
        }
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("not an action: {text:?}");
        let Some((name, value)) = text.split_once('=') else {
            let found = PLAIN_DEEDS.iter().find(|(_, name)| *name == text);
            return found.map(|(action, _)| action.clone()).ok_or_else(bad);
        };
        match name {
            "delay" => Ok(Self::Delay(Duration::from_millis(value.parse().map_err(|_| bad())?))),
            "disconnect" => Ok(Self::Disconnect(value.to_owned())),
            "raw" => unhex(value).map(Self::Raw).ok_or_else(bad),
            "flip" => match unhex(value).as_deref() {
                Some([mask]) => Ok(Self::Flip(*mask)),
                _ => Err(bad()),
            },
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            0 => write!(f, "{}:{}", self.stage, self.action),
            after => write!(f, "{}@{after}:{}", self.stage, self.action),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, action) = text.split_once(':').ok_or_else(|| format!("not STAGE:ACTION: {text:?}"))?;
        let (stage, after) = match place.split_once('@') {
            Some((stage, after)) => (stage, after.parse().map_err(|_| format!("not a number: {after:?}"))?),
            None => (place, 0),
        };
        Self::after(stage.parse()?, after, action.parse()?)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.behaviour {
            Behaviour::Fault(fault) => write!(f, "{} {fault}", self.hosts),
            Behaviour::Set(setting) => write!(f, "{} set:{setting}", self.hosts),
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (hosts, behaviour) =
            text.split_once(' ').ok_or_else(|| format!("not SUBSET BEHAVIOUR: {text:?}"))?;
        let behaviour = match behaviour.strip_prefix("set:") {
            Some(setting) => Behaviour::Set(setting.parse()?),
            None => Behaviour::Fault(behaviour.parse()?),
        };
        Ok(Self { hosts: hosts.parse()?, behaviour })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_survive_their_text_form() {
        for text in [
            "* accept:http",
            "i%100==7 stream@1000:rst",
            "127.1.0.0/24 banner:delay=250",
            "127.1.0.9 auth:disconnect=go away: now = please",
            "i:3..5 wire@4096:flip=80",
            "::1 banner:raw=ffffffff00",
            "* close:no-close",
            "* set:ciphers=aes256-ctr,aes128-ctr",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for (stage, name) in STAGES {
            assert_eq!(name.parse(), Ok(stage));
        }
    }

    #[test]
    fn meaningless_combinations_are_refused() {
        for text in [
            "accept:refuse",
            "banner:http",
            "auth@5:rst",
            "wire:drip",
            "wire@3:flip=00",
            "stream:flip=01",
            "stream@1:flood",
            "stream@1099511627777:fin",
            "end:no-close",
            "kex:nonsense",
            "kex:raw=abc",
            "kex",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
