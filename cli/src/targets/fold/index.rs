//! The number in a name, with its width.

use std::cmp::Ordering;
use std::fmt;

/// A run of digits, as in `web007`. Equal numbers of different widths are different indexes.
///
/// The order is ClusterShell's: by width, then by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Index {
    width: u8,
    value: u64,
}

impl Index {
    /// Longer runs of digits are text: no one counts with them, and they may not fit into the value.
    pub const WIDTH_MAX: usize = 18;

    /// `digits` are ASCII digits. `None` if there are none, or more than [`WIDTH_MAX`](Self::WIDTH_MAX).
    pub fn parse(digits: &str) -> Option<Self> {
        let width = u8::try_from(digits.len()).ok().filter(|width| usize::from(*width) <= Self::WIDTH_MAX)?;
        Some(Self { width, value: digits.parse().ok()? })
    }

    /// Whether this has a leading zero.
    pub fn is_padded(self) -> bool {
        self.width > 1 && self.value < 10u64.pow(u32::from(self.width) - 1)
    }

    pub fn is_as_wide_as(self, other: Self) -> bool {
        self.width == other.width
    }

    pub fn follows(self, before: Self) -> bool {
        self.value == before.value + 1
    }

    /// Compares as text, so that 10 is before 9: the order of ClusterShell's vectors.
    pub fn cmp_text(self, other: Self) -> Ordering {
        let common = self.width.min(other.width);
        let head = |index: Self| index.value / 10u64.pow(u32::from(index.width - common));
        head(self).cmp(&head(other)).then(self.width.cmp(&other.width))
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}", self.value, width = usize::from(self.width))
    }
}

/// Writes sorted, distinct indexes as `1-3,5,007-009`.
///
/// A range that begins with a leading zero keeps its width. As in ClusterShell, an index after a gap
/// counts as padded if a single, padded one is before the gap: `08,10-99,100`.
pub fn write_ranges(out: &mut impl fmt::Write, sorted: &[Index]) -> fmt::Result {
    let Some((&first, rest)) = sorted.split_first() else { return Ok(()) };
    let (mut start, mut last, mut padded) = (first, first, first.is_padded());
    for &index in rest {
        let fits = if padded { index.is_as_wide_as(last) } else { !index.is_padded() };
        if fits && index.follows(last) {
            last = index;
            continue;
        }
        write_range(out, start, last)?;
        out.write_char(',')?;
        if !fits || start != last {
            padded = index.is_padded();
        }
        (start, last) = (index, index);
    }
    write_range(out, start, last)
}

fn write_range(out: &mut impl fmt::Write, start: Index, last: Index) -> fmt::Result {
    if start == last { write!(out, "{start}") } else { write!(out, "{start}-{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(digits: &[&str]) -> String {
        let mut indexes: Vec<Index> = digits.iter().map(|digits| Index::parse(digits).unwrap()).collect();
        indexes.sort();
        let mut out = String::new();
        write_ranges(&mut out, &indexes).unwrap();
        out
    }

    #[test]
    fn ranges_keep_their_width() {
        assert_eq!(ranges(&["1", "2", "3"]), "1-3");
        assert_eq!(ranges(&["8", "9", "10", "11"]), "8-11");
        assert_eq!(ranges(&["08", "09", "10", "11"]), "08-11");
        assert_eq!(ranges(&["99", "099", "100", "101"]), "99,099-101");
        assert_eq!(ranges(&["01", "1", "001"]), "1,01,001");
        assert_eq!(ranges(&["0", "00", "000"]), "0,00,000");
        assert_eq!(ranges(&["08", "10", "11", "99", "100"]), "08,10-11,99-100");
        assert_eq!(ranges(&["98", "99", "100", "08"]), "08,98-99,100");
    }

    #[test]
    fn the_order_of_texts_is_that_of_strings() {
        let texts = ["0", "1", "2", "9", "00", "01", "10", "19", "001", "010", "100", "101", "190"];
        for a in texts {
            for b in texts {
                let [left, right] = [a, b].map(|text| Index::parse(text).unwrap());
                assert_eq!(left.cmp_text(right), a.cmp(b), "{a} {b}");
            }
        }
    }

    #[test]
    fn too_many_digits_are_text() {
        assert_eq!(Index::parse("123456789012345678").unwrap().to_string(), "123456789012345678");
        assert_eq!(Index::parse("1234567890123456789"), None);
        assert_eq!(Index::parse(""), None);
    }
}
