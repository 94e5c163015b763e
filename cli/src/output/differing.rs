//! Which hosts have printed something else than most.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;

use super::HostIndex;
use crate::end::End;

/// How a command on a host ended, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// It has not run, or not ended: its output says nothing.
    No,
    Failed,
    Ok,
}

impl From<&End> for Ran {
    fn from(end: &End) -> Self {
        match end.has_run() {
            false => Self::No,
            true if end.is_success() => Self::Ok,
            true => Self::Failed,
        }
    }
}

/// The hosts whose output is not that of the largest group. Of several largest ones, that with the
/// most hosts that succeeded counts, and then the first.
pub fn differing<K: Eq + Hash>(outputs: impl IntoIterator<Item = (HostIndex, K, Ran)>) -> Vec<HostIndex> {
    let mut numbers: HashMap<K, usize> = HashMap::new();
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let mut hosts = Vec::new();
    for (host, output, ran) in outputs.into_iter().filter(|(_, _, ran)| *ran != Ran::No) {
        let number = *numbers.entry(output).or_insert(groups.len());
        if number == groups.len() {
            groups.push((0, 0));
        }
        groups[number].0 += 1;
        groups[number].1 += usize::from(ran == Ran::Ok);
        hosts.push((host, number));
    }
    let largest = (0..groups.len()).min_by_key(|number| Reverse(groups[*number]));
    hosts.retain(|(_, number)| Some(*number) != largest);
    hosts.into_iter().map(|(host, _)| host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_group_is_what_others_differ_from() {
        let of = |outputs: &[(&'static str, Ran)]| {
            differing(outputs.iter().enumerate().map(|(host, (output, ran))| (host, *output, *ran)))
        };
        use Ran::{Failed, No, Ok};
        assert_eq!(of(&[("a", Ok), ("b", Ok), ("a", Failed), ("", Ok)]), [1, 3]);
        assert_eq!(of(&[("a", Ok), ("a", Ok)]), [0; 0]);
        // What has not run has printed nothing, which is no difference.
        assert_eq!(of(&[("", No), ("", No), ("a", Ok)]), [0; 0]);
        // Of equal groups, the one that succeeded counts; then the first.
        assert_eq!(of(&[("a", Failed), ("b", Ok)]), [0]);
        assert_eq!(of(&[("a", Ok), ("b", Ok)]), [1]);
        assert_eq!(of(&[]), [0; 0]);
    }
}
