//! Causes that are equal for hosts that failed alike.

use std::collections::HashMap;

use super::host::{HostError, HostErrorKind};
use super::name::UnknownHostProblem;

impl HostError {
    /// The stage and the cause without what differs from host to host: names, addresses, keys and
    /// elapsed times. Two hosts that failed alike have equal causes, so that a program can show the
    /// cause once, with the number of hosts. The `Display` form has the details.
    ///
    /// ```
    /// # let show = |errors: Vec<sshoal::HostError>| {
    /// let mut counts = std::collections::BTreeMap::new();
    /// for error in &errors {
    ///     *counts.entry(error.cause()).or_insert(0) += 1;
    /// }
    /// for (cause, hosts) in counts {
    ///     println!("{hosts} hosts: {cause}");
    /// }
    /// # };
    /// ```
    pub fn cause(&self) -> String {
        let what = match self.kind() {
            HostErrorKind::NotStarted(why) => return format!("not started: {why}"),
            HostErrorKind::Connect { error, .. } => error.to_string(),
            HostErrorKind::UnknownHost(UnknownHostProblem::OtherFamily { wanted, .. }) => {
                format!("no {wanted} address")
            }
            HostErrorKind::ProxyCommand(problem) => problem.cause(),
            HostErrorKind::HostKey(error) => error.problem().to_string(),
            HostErrorKind::PeerDead { .. } => "the server does not respond".to_owned(),
            HostErrorKind::Undecodable { encoding, .. } => format!("a line of output is not {encoding}"),
            kind => kind.to_string(),
        };
        format!("{} failed: {what}", self.stage())
    }
}

/// Puts values of equal causes into groups, the largest group first. Values without a cause are
/// left out.
pub(crate) fn group_by_cause<T>(
    values: &[T],
    cause: impl Fn(&T) -> Option<String>,
) -> Vec<(String, Vec<&T>)> {
    let mut groups: Vec<(String, Vec<&T>)> = Vec::new();
    let mut by_cause: HashMap<String, usize> = HashMap::new();
    for value in values {
        let Some(cause) = cause(value) else { continue };
        let group = *by_cause.entry(cause).or_insert_with_key(|cause| {
            groups.push((cause.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[group].1.push(value);
    }
    groups.sort_by_key(|(_, values)| std::cmp::Reverse(values.len()));
    groups
}
