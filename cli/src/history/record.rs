//! What is kept of a run.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sshoal::error::Label;

use crate::targets::Target;

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The version of this format.
    v: u32,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    pub command: String,
    /// Whether outputs were compared.
    #[serde(default, skip_serializing_if = "is_false")]
    compared: bool,
    pub hosts: Vec<Entry>,
}

/// One host of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// The label of how the command ended.
    pub end: String,
    /// Whether the host has printed something else than most.
    #[serde(default, skip_serializing_if = "is_false")]
    differs: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Hosts of a run by how their commands ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    All,
    /// All that did not exit with status 0.
    Failed,
    Ok,
    /// A time limit was reached.
    Timeout,
    /// The command could not be started.
    Unreachable,
    /// The run was stopped before.
    NotStarted,
    /// The output was not that of most hosts.
    Diff,
}

/// The ends of commands that have begun.
const BEGUN: [Label; 7] = [
    Label::Succeeded,
    Label::ExitStatus,
    Label::Signaled,
    Label::NoStatus,
    Label::CommandTimeout,
    Label::ReadTimeout,
    Label::Transfer,
];

impl Record {
    pub fn new(began: SystemTime, command: String, targets: &[Target], ends: &[Label]) -> Self {
        let since = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let entry = |(target, end): (&Target, &Label)| Entry {
            name: target.name.clone(),
            host: target.host.clone(),
            user: target.user.clone(),
            port: target.port,
            end: end.as_str().to_owned(),
            differs: false,
        };
        Self {
            v: 1,
            began_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            command,
            compared: false,
            hosts: targets.iter().zip(ends).map(entry).collect(),
        }
    }

    /// Notes which hosts have printed something else than most, if outputs were compared.
    #[must_use]
    pub fn with_differing(mut self, differing: Option<&[usize]>) -> Self {
        self.compared = differing.is_some();
        for position in differing.unwrap_or_default() {
            if let Some(entry) = self.hosts.get_mut(*position) {
                entry.differs = true;
            }
        }
        self
    }

    /// Whether it is known which hosts have ended like this.
    pub fn knows(&self, which: Which) -> bool {
        which != Which::Diff || self.compared
    }

    /// The hosts that have ended like this.
    pub fn targets(&self, which: Which) -> Vec<Target> {
        let target = |entry: &Entry| Target {
            name: entry.name.clone(),
            host: entry.host.clone(),
            user: entry.user.clone(),
            port: entry.port,
        };
        self.hosts.iter().filter(|entry| which.holds(entry)).map(target).collect()
    }
}

impl Which {
    fn holds(self, entry: &Entry) -> bool {
        let end = entry.end.as_str();
        let is = |label: Label| end == label.as_str();
        match self {
            Self::All => true,
            Self::Ok => is(Label::Succeeded),
            Self::Failed => !is(Label::Succeeded),
            Self::Timeout => end.ends_with("_timeout") || is(Label::PeerDead),
            Self::NotStarted => is(Label::NotStarted),
            Self::Diff => entry.differs,
            Self::Unreachable => !BEGUN.into_iter().chain([Label::NotStarted, Label::Cancelled]).any(is),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_by_their_ends() {
        let ends = [
            Label::Succeeded,
            Label::ExitStatus,
            Label::CommandTimeout,
            Label::ConnectTimeout,
            Label::HostKeyUnknown,
            Label::NotStarted,
        ];
        let target = |number| Target {
            name: format!("web{number}"),
            host: "web".into(),
            user: Some("root".into()),
            port: Some(2222),
        };
        let targets: Vec<Target> = (0..ends.len()).map(target).collect();
        let record = Record::new(SystemTime::now(), "true".into(), &targets, &ends);
        assert!(record.knows(Which::Failed) && !record.knows(Which::Diff));
        let record = record.with_differing(Some(&[1, 2]));
        let record: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        let found = |which| {
            let targets = record.targets(which);
            targets.iter().map(|target| target.name[3..].parse().unwrap()).collect::<Vec<usize>>()
        };
        assert_eq!(record.targets(Which::All), targets);
        assert_eq!(found(Which::Ok), [0]);
        assert_eq!(found(Which::Failed), [1, 2, 3, 4, 5]);
        assert_eq!(found(Which::Timeout), [2, 3]);
        assert_eq!(found(Which::Unreachable), [3, 4]);
        assert_eq!(found(Which::NotStarted), [5]);
        assert!(record.knows(Which::Diff));
        assert_eq!(found(Which::Diff), [1, 2]);
    }
}
