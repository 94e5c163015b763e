//! Names back into sets: `web1 web2 web3` is `web[1-3]`.
//!
//! The texts and their order are those of ClusterShell 1.10.1.

mod grid;
mod index;

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use grid::Block;
use index::{Index, write_ranges};

/// The names as one text, folded as ClusterShell does it: `db,web[01-20]`.
///
/// A name that would be read as something else, such as an IPv6 address, stays as it is. A name that
/// occurs twice counts once.
pub fn fold<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    Folded::new(names).to_string()
}

/// [`fold`] for labels, as output takes it.
pub fn fold_labels(labels: &[&str]) -> String {
    fold(labels)
}

/// Names, of which those that differ in numbers only are together.
pub struct Folded {
    /// Sorted by pattern. A name without a number is a block without dimensions.
    groups: Vec<(Pattern, Vec<Block>)>,
}

impl Folded {
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        // For each pattern, the indexes of all names, one name after the other.
        let mut found: HashMap<String, (usize, Vec<Index>)> = HashMap::new();
        let (mut pattern, mut point) = (String::new(), Vec::new());
        for name in names {
            split(name.as_ref(), &mut pattern, &mut point);
            match found.get_mut(&pattern) {
                Some((_, indexes)) => indexes.extend_from_slice(&point),
                None => drop(found.insert(pattern.clone(), (point.len(), point.clone()))),
            }
        }
        let mut groups: Vec<(Pattern, Vec<Block>)> = found
            .into_iter()
            .map(|(pattern, (dimensions, indexes))| (Pattern(pattern), blocks(dimensions, indexes)))
            .collect();
        groups.sort_unstable_by(|(left, _), (right, _)| left.0.cmp(&right.0));
        Self { groups }
    }

    /// The names, in the order of the folded text.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (pattern, blocks) in &self.groups {
            for block in blocks {
                each_point(block, |point| names.push(pattern.with(point)));
            }
        }
        names
    }
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (pattern, blocks) in &self.groups {
            for block in blocks {
                f.write_str(separator)?;
                separator = ",";
                pattern.write(f, |f, dimension| match block[dimension].as_slice() {
                    [index] => write!(f, "{index}"),
                    indexes => {
                        f.write_char('[')?;
                        write_ranges(f, indexes)?;
                        f.write_char(']')
                    }
                })?;
            }
        }
        Ok(())
    }
}

fn blocks(dimensions: usize, mut indexes: Vec<Index>) -> Vec<Block> {
    match dimensions {
        0 => vec![Vec::new()],
        1 => {
            indexes.sort_unstable();
            indexes.dedup();
            vec![vec![indexes]]
        }
        _ => grid::fold(&indexes, dimensions),
    }
}

/// Calls `each` with every point of a product, the last dimension changing first.
fn each_point(block: &Block, mut each: impl FnMut(&[Index])) {
    let mut places = vec![0; block.len()];
    let mut point: Vec<Index> = block.iter().map(|indexes| indexes[0]).collect();
    loop {
        each(&point);
        let Some(dimension) = (0..block.len()).rev().find(|at| places[*at] + 1 < block[*at].len()) else {
            return;
        };
        places[dimension] += 1;
        places[dimension + 1..].fill(0);
        for at in dimension..block.len() {
            point[at] = block[at][places[at]];
        }
    }
}

/// A name with `%s` in the place of each number and `%%` for `%`: ClusterShell sorts by that text.
struct Pattern(String);

impl Pattern {
    /// Writes a name; `write_index` writes the number of a dimension.
    fn write<W: fmt::Write>(
        &self,
        out: &mut W,
        mut write_index: impl FnMut(&mut W, usize) -> fmt::Result,
    ) -> fmt::Result {
        let mut dimension = 0;
        let mut pieces = self.0.split('%');
        out.write_str(pieces.next().unwrap_or_default())?;
        while let Some(piece) = pieces.next() {
            if let Some(text) = piece.strip_prefix('s') {
                write_index(out, dimension)?;
                dimension += 1;
                out.write_str(text)?;
            } else {
                // The second `%` of a pair ends an empty piece.
                out.write_char('%')?;
                out.write_str(pieces.next().unwrap_or_default())?;
            }
        }
        Ok(())
    }

    fn with(&self, point: &[Index]) -> String {
        let mut name = String::with_capacity(self.0.len() + 8);
        // A string takes everything.
        let _ = self.write(&mut name, |name, dimension| write!(name, "{}", point[dimension]));
        name
    }
}

/// Splits a name into its pattern and its numbers.
fn split(name: &str, pattern: &mut String, point: &mut Vec<Index>) {
    pattern.clear();
    point.clear();
    let is_text = !can_have_ranges(name);
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            pattern.push(first);
            if first == '%' {
                pattern.push('%');
            }
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (run, after) = rest.split_at(digits);
        match Index::parse(run).filter(|_| !is_text) {
            Some(index) => {
                point.push(index);
                pattern.push_str("%s");
            }
            None => pattern.push_str(run),
        }
        rest = after;
    }
}

/// Whether ranges in the name would be read as ranges. IPv6 addresses have brackets or several
/// colons.
fn can_have_ranges(name: &str) -> bool {
    let is_syntax = |c: char| c.is_whitespace() || c.is_control() || "[](),!&^*?".contains(c);
    !name.contains(is_syntax) && name.bytes().filter(|byte| *byte == b':').count() < 2
}
