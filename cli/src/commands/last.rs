//! `sshoal last`: what the last runs were, and how they ended.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, SystemTime};

use sshoal::output::sanitise;

use crate::args::LastArgs;
use crate::history::{self, Which};
use crate::targets::fold;

/// Prints a run: when it was, its command, and its hosts by how their commands ended.
pub fn run(args: &LastArgs) -> Result<u8, Box<dyn Error>> {
    let record = history::last(args.before)?;
    let began = SystemTime::UNIX_EPOCH + Duration::from_millis(record.began_ms);
    let age = SystemTime::now().duration_since(began).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    if let Some(which) = args.which {
        if !record.knows(which) {
            return Err(format!("--end diff: {}", history::NOT_COMPARED).into());
        }
        let targets = record.targets(which);
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        if !names.is_empty() {
            writeln!(out, "{}", fold(&names))?;
        }
        return Ok(u8::from(names.is_empty()));
    }
    let (age, count) = (rounded(age.as_secs()), record.hosts.len());
    let hosts = if count == 1 { "host" } else { "hosts" };
    writeln!(out, "{age} ago on {count} {hosts}: {}", sanitise(&record.command))?;
    let mut by_end: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for host in &record.hosts {
        by_end.entry(&host.end).or_default().push(&host.name);
    }
    for (end, names) in by_end {
        writeln!(out, "{} ({}): {}", fold(&names), names.len(), sanitise(&end.replace('_', " ")))?;
    }
    let differing = record.targets(Which::Diff);
    if !differing.is_empty() {
        let names: Vec<&str> = differing.iter().map(|target| target.name.as_str()).collect();
        writeln!(out, "{} ({}): printed something else than most", fold(&names), names.len())?;
    }
    Ok(0)
}

/// A time in the largest unit of which there are at least two.
fn rounded(seconds: u64) -> String {
    let units = [(86_400, "days"), (3600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{} {name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded() {
        let cases = [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7300, "2 h"), (180_000, "2 days")];
        cases.into_iter().for_each(|(seconds, text)| assert_eq!(rounded(seconds), text));
    }
}
