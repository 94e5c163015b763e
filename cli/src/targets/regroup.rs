//! Hosts as groups, where all hosts of a group are among them.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::error::Error;
use super::fold::{Folded, fold};
use super::language::{Evaluator, Lookup};
use super::select::Sources;

/// The hosts as one text: the largest groups first, without groups that share hosts with a larger
/// one, then the hosts in no group. `source` is that of the groups, and is in their names then.
pub fn regroup(hosts: &[String], sources: &Sources, source: Option<&str>) -> Result<String, Error> {
    let name = match source {
        Some(source) => source.to_owned(),
        None => sources.default_source()?,
    };
    let mut rest: HashSet<String> = hosts.iter().cloned().collect();
    let mut evaluator = Evaluator::new(sources);
    let mut whole = Vec::new();
    for group in candidates(hosts, sources, &name)? {
        let members = evaluator.group(Some(&name), &group)?;
        let members: Vec<String> = members.names().into_iter().map(str::to_owned).collect();
        if !members.is_empty() && members.iter().all(|member| rest.contains(member)) {
            whole.push((group, members));
        }
    }
    whole.sort_by(|(left, few), (right, many)| {
        Reverse(few.len()).cmp(&Reverse(many.len())).then(left.cmp(right))
    });
    let mut groups = Vec::new();
    for (group, members) in whole {
        if members.iter().all(|member| rest.contains(member)) {
            for member in &members {
                rest.remove(member);
            }
            groups.push(source.map_or_else(|| format!("@{group}"), |source| format!("@{source}:{group}")));
        }
    }
    let texts = [fold(groups), Folded::new(&rest).to_string()];
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(","))
}

/// The groups that may have hosts among these. Few hosts are asked for one by one, if their source
/// can say it.
fn candidates(hosts: &[String], sources: &Sources, source: &str) -> Result<Vec<String>, Error> {
    let listed = sources.groups.names(source);
    let by_host = sources.groups.has_reverse(source)
        && listed.as_ref().map_or(true, |groups| groups.len() >= hosts.len());
    if !by_host {
        return listed;
    }
    let mut groups = HashSet::new();
    // A user may contain what a shell would expand, and sources know hosts without users and ports.
    for host in hosts.iter().filter(|host| !host.contains(['@', ':'])) {
        groups.extend(sources.groups.groups_of(source, host).transpose()?.unwrap_or_default());
    }
    let mut groups: Vec<String> = groups.into_iter().collect();
    groups.sort();
    Ok(groups)
}
